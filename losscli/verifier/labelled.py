"""A loss as a function of its soft labels: for every row the mean of its classes' losses, each by its own mass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from losscli.inputs import Array, Fold, Target
from losscli.loss import Bound, Pooled
from losscli.plan import Plan
from losscli.targets import Table, arrange, by_labels
from losscli.verifier.objective import Objective


@dataclass(frozen=True)
class Labelled(Objective):
    """The losses of a plan's rows as functions of its soft labels; ``mean`` as for the slopes by them (targets.py).

    They are affine in them, so that it does not matter where the labels stand: x is the masses in force, and what it
    is moved by is smoothed and weighed as labels are.
    """

    mean: float = 0.0

    @property
    def x(self) -> Array:
        """The masses in force, (M, C)."""
        target: Target = self.table.arrays[self.at]
        assert target.mass is not None
        return target.mass

    def fold(self, x: Array) -> Fold:
        """The fold with the labels replaced."""
        how = self.plan.how
        share = (1.0 - how.label_smoothing) * (1.0 if how.class_weight is None else how.class_weight)
        return self.plan.way().fold(*self._with(Target(mass=self.x + share * (x - self.x))).arrays)

    def moved(self, x: Array) -> Labelled:
        """The same losses where the masses in force are others."""
        return replace(self, table=self._with(Target(mass=x)))

    def gradient(self, x: Array) -> Array:
        """The slopes of the summed weighted losses: the same everywhere."""
        with np.errstate(all="ignore"):
            kernel = self.bound(*self.fold(x).variables, held=self.held)
            assert not isinstance(kernel, Pooled)
            return by_labels(self.plan, self.table.weighing, kernel.value, 1.0, self.mean)

    def values(self, x: Array) -> Array:
        """Weighted losses, one per row, with the labels replaced, less what moves the mean's denominator."""
        values = super().values(x)
        if self.mean == 0.0:
            return values
        weight, moved = self.table.weighing.weight, (x - self.x) @ np.asarray(self.plan.how.class_weight)
        return values - self.mean * (moved if weight is None else weight * moved)


def objective_of(bound: Bound, plan: Plan, name: str, table: Table | None = None, mean: float = 0.0) -> Objective:
    """The losses of a table, that of the whole plan unless said otherwise, as functions of one input."""
    table = arrange(plan, 0, plan.rows) if table is None else table
    if name == plan.signature.labels:
        return Labelled(bound, plan, table, name, mean)
    return Objective(bound, plan, table, name)
