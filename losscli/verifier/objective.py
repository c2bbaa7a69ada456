"""A loss as many scalar functions of one variable: what the numeric engine differentiates.

The entries of an input that independent rows (or groups) hold at the same position move together, so one call
differentiates a whole column of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscli import stable
from losscli.inputs import Array, Fold, Groups, Ints
from losscli.loss import Bound, Pooled
from losscli.plan import Plan
from losscli.targets import Table, arrange

Labels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Column:
    """Entries of one input that move together: ``f(t)`` the losses they belong to when they take the values t.

    ``at`` indexes the entries in the input laid out as kept rows; ``piece(t)`` labels each loss's smooth piece,
    ``noise`` is the rounding error of a loss where its own size hides it.
    """

    at: tuple[Any, ...]
    x: Array
    f: Callable[[Array], Array]
    piece: Callable[[Array], Labels] | None
    noise: Array | float = 0.0


@dataclass(frozen=True)
class Objective:
    """The losses of a plan's rows as functions of one of its inputs."""

    bound: Bound
    plan: Plan
    table: Table
    name: str

    @classmethod
    def of(cls, bound: Bound, plan: Plan, name: str) -> Objective:
        """The objective of a plan small enough to be held as one block."""
        return cls(bound, plan, arrange(plan, 0, plan.rows), name)

    @property
    def at(self) -> int:
        """The position of the input among the signature's."""
        return self.plan.signature.names.index(self.name)

    @property
    def x(self) -> Array:
        """The input as kept rows, (M,) or (M, C)."""
        array: Array = self.table.arrays[self.at]
        return array

    def fold(self, x: Array) -> Fold:
        """The fold with the input replaced."""
        arrays = list(self.table.arrays)
        arrays[self.at] = x
        return self.plan.signature.links[self.plan.link].fold(*arrays)

    def values(self, x: Array) -> Array:
        """Weighted losses, one per row or group, with the input replaced."""
        with np.errstate(all="ignore"):
            fold = self.fold(x)
            kernel = self.bound(*fold.variables)
            assert not isinstance(kernel, Pooled)
            value = fold.combine(kernel.value) if fold.combine else kernel.value
            weight = self.table.weighing.weight
            return value if weight is None else stable.times(weight, value)

    def pieces(self, x: Array) -> Labels:
        """The label of each row's smooth piece with the input replaced."""
        with np.errstate(all="ignore"):
            return np.asarray(self.bound.pieces(*self.fold(x).variables))

    def columns(self, limit: int) -> Iterator[Column]:
        """The input's entries, those that may move together at once; at most ``limit`` columns, spread evenly."""
        if isinstance(self._kernel(), Pooled):
            yield self._pooled()
        elif self.table.groups is not None:
            yield from self._by_group(self.table.groups, limit)
        elif self.x.ndim == 1:
            yield self._column(...)
        else:
            width = self.x.shape[1]
            for position in np.unique(np.linspace(0, width - 1, min(width, limit)).astype(int)):
                yield self._column((slice(None), int(position)))

    def _kernel(self) -> Any:
        with np.errstate(all="ignore"):
            return self.bound(*self.fold(self.x).variables)

    def _column(self, at: Any) -> Column:
        base = self.x

        def moved(t: Array) -> Array:
            x = base.copy()
            x[at] = t
            return x

        where = at if isinstance(at, tuple) else (at,)
        if self.bound.loss.kinks is None:
            return Column(where, base[at], lambda t: self.values(moved(t)), None)
        return Column(where, base[at], lambda t: self.values(moved(t)), lambda t: self.pieces(moved(t)), self._noise())

    def _noise(self) -> Array:
        """The rounding error at a kink, where terms as large as inputs and parameters cancel to nothing."""
        arrays = [array for array in self.table.arrays if isinstance(array, np.ndarray)]
        sizes = np.max([np.abs(array).reshape(len(self.x), -1).max(axis=1) for array in arrays], axis=0)
        params = [abs(value) for value in self.bound.params.values() if isinstance(value, float)]
        return np.asarray(np.finfo(float).eps * np.maximum(sizes, max(params, default=0.0)))

    def _by_group(self, groups: Groups, limit: int) -> Iterator[Column]:
        """The k-th row of every group that has one, for k = 0, 1, ..."""
        base = self.x
        for k in range(min(int(groups.sizes.max()), limit)):
            has: Ints = np.flatnonzero(groups.sizes > k)
            rows = groups.starts[has] + k

            def f(t: Array, rows: Ints = rows, has: Ints = has) -> Array:
                x = base.copy()
                x[rows] = t
                return self.values(x)[has]

            yield Column((rows,), base[rows], f, None)

    def _pooled(self) -> Column:
        """Every entry on its own: the totals without it, and its own terms."""
        kernel = self._kernel()
        weight = self.table.weighing.weight
        rest = [stable.others((term if weight is None else term * weight)[None])[0] for term in kernel.terms]

        def f(t: Array) -> Array:
            with np.errstate(all="ignore"):
                moved = self.bound(*self.fold(t).variables)
                assert isinstance(moved, Pooled)
                terms = (term if weight is None else term * weight for term in moved.terms)
                return np.asarray(moved.value(*(a + b for a, b in zip(rest, terms, strict=True))))

        return Column((slice(None),), self.x, f, None)
