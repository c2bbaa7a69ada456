"""The losses of an objective and their slopes as functions of its input, unit by unit, with what rounding may do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from losscli.inputs import LABEL, Array
from losscli.loss import Batch, Pooled, Rows, get
from losscli.precision import FORMATS
from losscli.verifier.allowance import ExactSlopes, roundings
from losscli.verifier.heads import allowed, values_allowed
from losscli.verifier.objective import Objective
from losscli.verifier.witness.witnesses import ROUNDOFF, direction

_DOUBLE = FORMATS["float64"]


@dataclass(frozen=True)
class Field:
    """A loss and its slopes at one point, and what it takes to know them elsewhere.

    A unit is a row where rows are independent, and all rows together where they are not.
    """

    objective: Objective

    @property
    def x(self) -> Array:
        """The input as kept rows."""
        return self.objective.x

    @property
    def name(self) -> str:
        """The name of the input."""
        return self.objective.name

    @property
    def first(self) -> bool:
        """Whether it is the loss's own first input, not a linear head's, given as it is by default."""
        reads = get(self.objective.bound.loss.name).reads
        return self.name == reads.names[0] and self.objective.plan.link == reads.default_link

    @property
    def free(self) -> bool:
        """Whether the input may be any number."""
        domain = self.objective.plan.signature.domain(self.name, self.objective.plan.link)
        unbounded = domain.low == -np.inf and domain.high >= np.finfo(float).max
        return bool(unbounded and not domain.sums and domain.breaks is None and domain is not LABEL)

    @property
    def pooled(self) -> bool:
        """Whether the loss is a function of sums over rows."""
        return self.objective.pooled

    @cached_property
    def units(self) -> int:
        """How many losses can be told apart by the rows of the input."""
        return len(self.value)

    def losses(self, x: Array) -> Array:
        """Weighted losses with the input replaced, (units,)."""
        with np.errstate(all="ignore"):
            if self.pooled:
                kernel = self.objective.bound(*self.objective.fold(x).variables, held=self.objective.held)
                assert isinstance(kernel, Pooled)
                return np.atleast_1d(np.asarray(kernel.value(*kernel.totals(self.objective.table.weighing.weight))))
            values = self.objective.values(x)
        return values if self._apart else values.sum(keepdims=True)

    @cached_property
    def value(self) -> Array:
        """The weighted losses at x, (units,)."""
        return self.losses(self.x)

    @cached_property
    def blur(self) -> Array:
        """The rounding that the losses at x may have, (units,)."""
        with np.errstate(all="ignore"):
            found = np.atleast_1d(values_allowed(self._slopes, _DOUBLE))
        return found if self._apart else found.sum(keepdims=True)

    @cached_property
    def allowance(self) -> Array:
        """The rounding that the slopes at x may have, of the shape of x."""
        with np.errstate(all="ignore"):
            return np.asarray(allowed(self._slopes, _DOUBLE))

    @cached_property
    def k(self) -> float:
        """How many roundings a sum of a unit's numbers has."""
        return roundings(self._slopes)

    def rounding(self, terms: Array) -> Array:
        """The rounding of terms that are added up by unit."""
        return self.k * ROUNDOFF * self.sum(np.abs(terms))

    def sum(self, terms: Array) -> Array:
        """Terms of the shape of x added up by unit."""
        return terms.reshape(self.units, -1).sum(axis=1)

    @cached_property
    def weight(self) -> Array | None:
        """What multiplies each row's loss, labels' masses included, (units,); None where units are no rows."""
        weighing = self.objective.table.weighing
        if not self._apart:
            return None
        weight = np.ones(self.units) if weighing.weight is None else weighing.weight
        mass = None if weighing.target is None else weighing.target.mass
        return weight if mass is None else weight * mass.sum(axis=1)

    def at(self, x: Array) -> Field:
        """The field at another point."""
        return Field(self.objective.moved(x))

    def direction(self, seed: int) -> Array:
        """A random direction v for which x ± v is in the domain."""
        domain = self.objective.plan.signature.domain(self.name, self.objective.plan.link)
        v = direction(self.x, low=domain.low, high=domain.high, seed=seed)
        while domain.breaks is not None and (domain.breaks(self.x + v) | domain.breaks(self.x - v)).any():
            v = 0.5 * v
        return v

    @cached_property
    def _kernel(self) -> Rows | Pooled | Batch:
        with np.errstate(all="ignore"):
            return self.objective.bound(*self.objective.fold(self.x).variables)

    @cached_property
    def _apart(self) -> bool:
        """Whether every row of the input has a loss of its own."""
        together = self.pooled or self.objective.shared or isinstance(self._kernel, Batch)
        return not together and self.objective.table.groups is None

    @cached_property
    def _slopes(self) -> ExactSlopes:
        o = self.objective
        totals = self._kernel.totals(o.table.weighing.weight) if isinstance(self._kernel, Pooled) else ()
        return ExactSlopes(o.bound, o.plan, o.table, o.name, 1.0, totals)
