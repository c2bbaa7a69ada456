"""The printed formula as a witness: values and slopes of a loss's rows at 50 digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from losscli.formula import Program
from losscli.inputs import LABEL, Target
from losscli.loss import Bound
from losscli.plan import Plan
from losscli.targets import Table

if TYPE_CHECKING:
    from mpmath import mpf


@dataclass(frozen=True)
class Oracle:
    """The losses of a table's units (rows, groups, or all rows of a pooled loss) by the printed formula.

    Slopes are with respect to an entry of an input as kept rows: ``(row,)`` or ``(row, class)``.
    """

    bound: Bound
    plan: Plan
    table: Table
    pooled: bool = False

    @cached_property
    def program(self) -> Program:
        """The formula with the definitions of its variables under the link in force."""
        return Program(self.bound.loss.formula, self.plan.way().where)

    def value(self, unit: int, *, digits: int = 50) -> mpf:
        """The weighted loss of a unit."""
        return self._weighted(unit, lambda env: self.program.value(env, digits=digits))

    def slope(self, name: str, entry: Sequence[int], *, order: int = 1, side: int = 0, digits: int = 40) -> mpf:
        """The derivative with respect to an entry of the loss it belongs to: of all losses, where they share it."""
        import mpmath

        units, index = self.touched(name, entry)
        if name == self.plan.signature.labels:
            return self._by_label(units[0], int(entry[1]), digits)

        def one(env: Mapping[str, Any]) -> mpf:
            return self.program.slope(env, name, index, order=order, side=side, digits=digits)

        with mpmath.workdps(60):
            return mpmath.fsum(self._weighted(unit, one) for unit in units)

    def _by_label(self, unit: int, label: int, digits: int) -> mpf:
        """The slope by one entry of soft labels: the loss of its class, as smoothing and weights leave it."""
        import mpmath

        how, weight = self.plan.how, self.table.weighing.weight
        _, env = self.environments(unit)[0]
        with mpmath.workdps(60):
            share = (1 - mpmath.mpf(how.label_smoothing)) * (1.0 if weight is None else float(weight[unit]))
            share *= 1.0 if how.class_weight is None else float(how.class_weight[label])
            return share * self.program.value({**env, "y": label}, digits=digits) if share else mpmath.mpf(0)

    def touched(self, name: str, entry: Sequence[int]) -> tuple[Sequence[int], tuple[int, ...] | None]:
        """The units whose losses an entry of an input moves, and its index within what they read of it."""
        if self.plan.signature.entry(name).shared:
            return range(self.units), tuple(int(i) for i in entry)
        unit, index = self.locate(entry)
        return (unit,), index

    @property
    def units(self) -> int:
        """How many losses there are: rows, groups, or one."""
        if self.pooled:
            return 1
        groups = self.table.groups
        return self.table.weighing.kept if groups is None else len(groups.sizes)

    def locate(self, entry: Sequence[int]) -> tuple[int, tuple[int, ...] | None]:
        """The unit of an entry, and its index within the unit's input (None: the input is one number)."""
        row = int(entry[0])
        if self.pooled:
            return 0, (row,)
        if self.table.groups is not None:
            unit = int(np.searchsorted(self.table.groups.starts, row, side="right")) - 1
            return unit, (row - int(self.table.groups.starts[unit]), *map(int, entry[1:]))
        return row, tuple(map(int, entry[1:])) or None

    def environments(self, unit: int) -> list[tuple[float, dict[str, Any]]]:
        """What the formula is run on, each with the weight of its result: one, or one per class of a soft label."""
        env: dict[str, Any] = dict(self.bound.params)
        target: Target | None = None
        for entry, array in zip(self.plan.signature.inputs, self.table.arrays, strict=True):
            if entry.domain is LABEL:
                target = array
            elif array is None or entry.shared:
                env[entry.name] = None if array is None else array.tolist()
            elif isinstance(array, np.ndarray):
                env[entry.name] = array[self._rows(unit)].tolist()
        if target is None:
            return [(1.0, env)]
        if target.index is not None and self.table.groups is not None:
            return [(1.0, {**env, "y": target.index[self._rows(unit)].tolist()})]
        if target.index is not None:
            classes = self.plan.classes
            label = int(target.index[unit])
            return [(1.0, {**env, "y": label, "v": [float(at == label) for at in range(classes)]})]
        assert target.mass is not None
        mass = target.mass[unit]
        if not self.plan.signature.expected:
            return [(1.0, {**env, "v": mass.tolist()})]
        return [(float(share), {**env, "y": at}) for at, share in enumerate(mass) if share != 0.0]

    def _rows(self, unit: int) -> Any:
        if self.pooled:
            return slice(None)
        groups = self.table.groups
        if groups is None:
            return unit
        return slice(int(groups.starts[unit]), int(groups.starts[unit] + groups.sizes[unit]))

    def _weighted(self, unit: int, run: Any) -> mpf:
        import mpmath

        weight = self.table.weighing.weight
        own = 1.0 if weight is None or self.pooled else float(weight[unit])
        if own == 0.0:
            return mpmath.mpf(0)
        with mpmath.workdps(60):
            return own * mpmath.fsum(share * run(env) for share, env in self.environments(unit))
