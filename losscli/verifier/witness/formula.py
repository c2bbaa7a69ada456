"""The printed formula as a witness: its derivative at one entry of a claim, in 40 digits."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from losscli.inputs import Array
from losscli.precision import FORMATS
from losscli.verifier.allowance import ExactSlopes, losses_of
from losscli.verifier.heads import values_allowed
from losscli.verifier.objective import Objective
from losscli.verifier.oracle import Oracle
from losscli.verifier.witness.field import Field


@dataclass(frozen=True)
class Formula:
    """The printed formula as a witness of one claim."""

    objective: Objective
    oracle: Oracle
    wrt: str
    order: int = 1
    name: str = "formula"

    @classmethod
    def of(cls, objective: Objective, order: int = 1) -> Formula | None:
        """The witness for an objective; None where mpmath is not installed or the formula does not say."""
        if importlib.util.find_spec("mpmath") is None or not objective.bound.loss.formula:
            return None
        if objective.pooled and objective.table.weighing.weight is not None:
            # The formula of a pooled loss knows nothing of weights within its sums.
            return None
        oracle = Oracle(objective.bound, objective.plan, objective.table, objective.pooled)
        return cls(objective, oracle, objective.name, order)

    def spare(self, index: tuple[int, ...]) -> float:
        """What the rounding of intermediate numbers, such as scores of a linear head, moves a slope by."""
        return float(np.nan_to_num(self._rounding[index])) if self.order == 1 else 0.0

    def slope(self, index: tuple[int, ...], other: float | None = None) -> float | None:
        """The derivative of the formula at one entry; None where there is none to be had.

        Beside an ``other`` slope it is asked who is right: of a value that is not its own it cannot tell.
        """
        try:
            if other is not None and not self._is_value(index):
                return None
            return float(self.oracle.slope(self.wrt, index, order=self.order))
        except ArithmeticError:
            return None

    @cached_property
    def _rounding(self) -> Array:
        return Field(self.objective).allowance

    @cached_property
    def _losses(self) -> tuple[Array, Array]:
        """The losses of all units, and their rounding."""
        oracle = self.oracle
        slopes = ExactSlopes(oracle.bound, oracle.plan, oracle.table, self.wrt, 1.0)
        return losses_of(slopes), values_allowed(slopes, FORMATS["float64"])

    def _is_value(self, index: tuple[int, ...]) -> bool:
        """Whether the losses that an entry moves are those of the formula, to rounding."""
        oracle = self.oracle
        if oracle.pooled:
            return True
        units, _ = oracle.touched(self.wrt, index)
        losses, allowed = self._losses
        return not any(abs(losses[unit] - float(oracle.value(unit, digits=30))) > allowed[unit] for unit in units)
