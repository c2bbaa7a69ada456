"""A loss as many scalar functions of one variable: what the numeric engine differentiates.

The entries of an input that independent rows (or groups) hold at the same position move together, so one call
differentiates a whole column of all rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from losscli import stable
from losscli.blocks import Scaled
from losscli.inputs import Array, Fold, Groups, Ints
from losscli.loss import Bound, Pooled
from losscli.plan import Plan
from losscli.targets import Table, arrange
from losscli.verifier.numeric.kinks import UNIT
from losscli.verifier.numeric.pieces import BoolArray, on_kinks

Labels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Column:
    """Entries of one input that move together: ``f(t)`` the losses they belong to when they take the values t.

    ``at`` indexes the entries in the input laid out as kept rows; ``piece(t)`` labels each loss's smooth piece,
    ``noise`` is the rounding error of a loss where its own size hides it; ``moot`` tells where there
    may be no slope at all, so that none found is no answer missing; ``unit`` is the distance from 1 to the next number.
    """

    at: tuple[Any, ...]
    x: Array
    f: Callable[[Array], Array]
    piece: Callable[[Array], Labels] | None
    noise: Array | float = 0.0
    moot: BoolArray | None = None
    unit: float = UNIT

    def index(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Where each of the entries stands in the input, of a shape."""
        places = np.arange(math.prod(shape)).reshape(shape)[self.at].reshape(-1)
        return [tuple(int(i) for i in np.unravel_index(place, shape)) for place in places]


# Nearer to a bound than this, a probability leaves steps with few digits or none.
_BESIDE = 2.0**-20
# Entries of an input of a batch in which all rows meet: each takes the loss of the whole batch, some forty times.
_MET = 4


def positions(shape: tuple[int, ...], limit: int, among: tuple[int, ...] | None = None) -> Iterator[tuple[int, ...]]:
    """Places in an array of a shape, at most ``limit`` of them and one that is named, spread evenly."""
    size = math.prod(shape)
    flat = np.linspace(0, size - 1, min(size, limit)).astype(int)
    if among is not None:
        flat = np.append(flat, np.ravel_multi_index(among, shape))
    for place in np.unique(flat):
        yield tuple(int(i) for i in np.unravel_index(place, shape))


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
        return self.plan.way().fold(*self._with(x).arrays)

    @cached_property
    def held(self) -> Any:
        """What the loss holds constant while its gradient is taken."""
        with np.errstate(all="ignore"):
            return self.bound.hold(*self.fold(self.x).variables)

    @cached_property
    def pooled(self) -> bool:
        """Whether the loss is a function of sums over all rows."""
        return isinstance(self._kernel(), Pooled)

    @property
    def shared(self) -> bool:
        """Whether all losses read the input."""
        return self.plan.signature.entry(self.name).shared

    def moved(self, x: Array) -> Objective:
        """The same losses at another point."""
        return replace(self, table=self._with(x))

    def _with(self, entry: Any) -> Table:
        """The table with the input replaced."""
        arrays = list(self.table.arrays)
        arrays[self.at] = entry
        return replace(self.table, arrays=tuple(arrays))

    def values(self, x: Array) -> Array:
        """Weighted losses, one per row or group, with the input replaced."""
        with np.errstate(all="ignore"):
            fold = self.fold(x)
            kernel = self.bound(*fold.variables, held=self.held)
            assert not isinstance(kernel, Pooled)
            value = fold.combine(kernel.value) if fold.combine else kernel.value
            weight = self.table.weighing.weight
            return value if weight is None else stable.times(weight, value)

    def gradient(self, x: Array) -> Array:
        """The slopes of the summed weighted losses with the input replaced, as kept rows."""
        with np.errstate(all="ignore"):
            fold, weight = self.fold(x), self.table.weighing.weight
            kernel = self.bound(*fold.variables, held=self.held)
            totals = kernel.totals(weight) if isinstance(kernel, Pooled) else ()
            return np.asarray(fold.gradient(Scaled(kernel.grad(*totals), weight, 1.0), self.name), dtype=np.float64)

    def curved(self, column: Column) -> Column:
        """A column whose functions are the slopes by its entries: what they are differentiated to are curvatures."""

        def at_once(t: Array) -> Array:
            x = self.x.copy()
            x[column.at] = t
            return self.gradient(x)[column.at]

        def one_by_one(t: Array) -> Array:
            places = np.arange(self.x.size).reshape(self.x.shape)[column.at].reshape(-1)
            made = np.empty(len(t))
            for k, place in enumerate(places):
                x = self.x.copy()
                x.reshape(-1)[place] = t[k]
                made[k] = self.gradient(x).reshape(-1)[place]
            return made

        # Entries that meet in one loss move one at a time.
        f = one_by_one if self.shared or self.pooled else at_once
        # On a kink the slope may jump: there is no curvature that a claim could be held against.
        return replace(column, f=f, noise=0.0, moot=on_kinks(column.piece, column.x, column.noise))

    def sloped(self, column: Column, *, edges: bool = False) -> Column:
        """A column that expects no slope where the loss jumps; with ``edges`` none beside a bound of the domain either.

        There a step is too short to tell anything, and the slope may be infinite.
        """
        kinks, domain = self.bound.loss.kinks, self.plan.signature.domain(self.name, self.plan.link)
        moot = (
            on_kinks(column.piece, column.x, column.noise)
            if kinks is not None and kinks.jump
            else np.zeros(column.x.shape, np.bool_)
        )
        if edges:
            moot |= np.minimum(column.x - domain.low, domain.high - column.x) < _BESIDE
        return replace(column, moot=moot)

    def pieces(self, x: Array) -> Labels:
        """The label of each row's smooth piece with the input replaced."""
        with np.errstate(all="ignore"):
            return np.asarray(self.bound.pieces(*self.fold(x).variables))

    def columns(self, limit: int, among: tuple[int, ...] | None = None) -> Iterator[Column]:
        """The input's entries, those that may move together at once; at most ``limit`` columns, spread evenly.

        ``among``, the index of an entry as kept rows, is in one of them.
        """
        if self.table.groups is not None and len(self.table.groups.sizes) == 1:
            limit = min(limit, _MET)
        if self.pooled:
            yield self._totalled()
        elif self.shared:
            yield self._one_by_one(limit, among)
        elif self.table.groups is not None:
            yield from self._by_group(self.table.groups, limit, among)
        elif self.x.ndim == 1:
            yield self._column(...)
        else:
            for position in positions(self.x.shape[1:], limit, among and among[1:]):
                yield self._column((slice(None), *position))

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

    def _noise(self) -> Array | float:
        """The rounding error at a kink, where terms as large as inputs and parameters cancel to nothing."""
        arrays = [array for array in self.table.arrays if isinstance(array, np.ndarray)]
        params = [abs(value) for value in self.bound.params.values() if isinstance(value, float)]
        least = max(params, default=0.0)
        if self.table.groups is not None or any(len(array) != len(self.x) for array in arrays):
            return float(np.finfo(float).eps * max(least, *(float(np.abs(array).max(initial=0.0)) for array in arrays)))
        sizes = np.max([np.abs(array).reshape(len(self.x), -1).max(axis=1) for array in arrays], axis=0)
        return np.asarray(np.finfo(float).eps * np.maximum(sizes, least))

    def _by_group(self, groups: Groups, limit: int, among: tuple[int, ...] | None) -> Iterator[Column]:
        """The same entry of the k-th row of every group that has one, for k = 0, 1, ..."""
        if among is not None:
            own = int(np.searchsorted(groups.starts, among[0], side="right")) - 1
            among = (among[0] - int(groups.starts[own]), *among[1:])
        for k, *position in positions((int(groups.sizes.max()), *self.x.shape[1:]), limit, among):
            has: Ints = np.flatnonzero(groups.sizes > k)
            where: Any = (groups.starts[has] + k, *position)

            def moved(t: Array, where: Any = where) -> Array:
                x = self.x.copy()
                x[where] = t
                return x

            def f(t: Array, has: Ints = has, moved: Any = moved) -> Array:
                return self.values(moved(t))[has]

            def piece(t: Array, has: Ints = has, moved: Any = moved) -> Labels:
                labels: Labels = self.pieces(moved(t))[has]
                return labels

            kinked = self.bound.loss.kinks is not None
            yield Column(where, self.x[where], f, piece if kinked else None, self._noise() if kinked else 0.0)

    def _one_by_one(self, limit: int, among: tuple[int, ...] | None) -> Column:
        """Entries of an input that all losses read, each on its own: what moves is the sum of the losses."""
        where = tuple(np.array(list(positions(self.x.shape, limit, among))).T)
        base = self.x[where]

        def each(t: Array, look: Callable[[Array], Any]) -> Any:
            made = []
            for at, value in zip(zip(*where, strict=True), t, strict=True):
                x = self.x.copy()
                x[at] = value
                made.append(look(x))
            return np.array(made)

        def piece(t: Array) -> Labels:
            labels: Labels = each(t, self.pieces)
            return labels.reshape(len(t), -1)

        kinked = self.bound.loss.kinks is not None
        noise = float(np.max(self._noise())) * len(self.table.arrays[0]) if kinked else 0.0
        return Column(where, base, lambda t: each(t, lambda x: self.values(x).sum()), piece if kinked else None, noise)

    def _totalled(self) -> Column:
        """Every entry on its own: the totals without it, and its own terms."""
        kernel = self._kernel()
        weight = self.table.weighing.weight
        rest = [stable.others(term[None])[0] for term in kernel.weighed(weight)]

        def f(t: Array) -> Array:
            with np.errstate(all="ignore"):
                moved = self.bound(*self.fold(t).variables)
                assert isinstance(moved, Pooled)
                return np.asarray(moved.value(*(a + b for a, b in zip(rest, moved.weighed(weight), strict=True))))

        return Column((slice(None),), self.x, f, None)
