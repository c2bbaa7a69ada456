"""Kinked entries of a row moved together: whether their claims are one subgradient between them.

Each of them may lie between its own two one-sided slopes, and all together be the slope of nothing: of the largest of
three tied scores 1, 1 and 1, where only numbers that add up to 1 will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from losscli.verifier.numeric.differences import Array, BoolArray, Slopes, slopes
from losscli.verifier.numeric.verdict import FAIL, KINK_FAIL, judge

Rows = NDArray[np.intp]
Gradient = Callable[[Array], Array]

_ROWS = 16  # of a function that mixes its rows, each moved by itself
_TRIES = 16  # points beside, whose gradients say what a subgradient may be
_CORNERS = 12  # points on the side where every entry claims least, and where it claims most
_BESIDE, CLOSEST = 2.0**-20, 2.0**-30  # how far they are, in sizes of the input
_CLOSE = 2.0**-10  # of what claims nearby vary by: how far a gradient changes until there


@dataclass(frozen=True)
class Together:
    """What is said of rows: what they claim along the kinked entries, and the slope there, give or take the bar."""

    rows: Rows
    claim: Array
    slope: Array
    bar: Array
    wrong: BoolArray


@dataclass(frozen=True)
class Tied:
    """A function of an array whose entries are on kinks in some places; ``kinked`` has the array's shape.

    ``values`` gives one number per row (first axis) where the function is ``separable``, else one for all; ``gradient``
    what it claims to be the slopes of their sum.
    """

    values: Callable[[Array], Array]
    gradient: Gradient
    x: Array
    kinked: BoolArray
    separable: bool
    low: Array | float = -np.inf
    high: Array | float = np.inf

    def judged(self, claim: Array, allowance: Array, seed: int = 0) -> Together:
        """What a claim says of each row's kinked entries together, beside the one-sided slopes along them.

        It is wrong where it lies outside these slopes, and outside what is claimed all around the point, too: a
        subgradient is a mean of gradients nearby (Clarke 1975), and a difference of kinks may have more of them than
        its one-sided slopes span.
        """
        low, high = self._room
        s = slopes(self._value, np.zeros(self.rows.size), low=low, high=high)
        claimed, spare = self._along(claim), self._along(allowance)
        outside = np.isin(judge(claimed, s, spare), (FAIL, KINK_FAIL))
        wrong = outside & np.isfinite(claimed)
        if wrong.any():
            wrong &= ~self._apart(s)
        if wrong.any():
            least, most = self._nearby(seed)
            near = np.where(np.isfinite(s.bar) & ~s.kink, s.bar, 0.0) + spare
            wrong &= (claimed < least - near) | (claimed > most + near)
        return Together(self.rows, claimed, s.value, s.bar, wrong)

    @cached_property
    def rows(self) -> Rows:
        """The rows with several entries on kinks; of a function that mixes its rows, some of them."""
        found = np.flatnonzero(self._moving.sum(axis=1) > 1)
        if self.separable:
            return found
        return found[np.linspace(0, found.size - 1, min(found.size, _ROWS)).astype(int)]

    @cached_property
    def _table(self) -> Array:
        """The array as rows; one of one axis is a single row, unless its entries have nothing to do with each other."""
        whole = self.x.ndim == 1 and not self.separable
        return self.x.reshape((1, -1) if whole else (len(self.x), -1))

    @cached_property
    def _moving(self) -> BoolArray:
        return self.kinked.reshape(self._table.shape)

    def _along(self, gradient: Array) -> Array:
        moving = self._moving[self.rows]
        table = np.broadcast_to(gradient, self.x.shape).reshape(self._table.shape)
        return np.asarray(np.where(moving, table[self.rows], 0.0).sum(axis=1))

    @property
    def _room(self) -> tuple[Array, Array]:
        """How far each row's entries may be moved down and up."""
        room = [(bound - self.x).reshape(self._table.shape)[self.rows] for bound in (self.low, self.high)]
        moving = self._moving[self.rows]
        low, high = np.where(moving, room[0], -np.inf), np.where(moving, room[1], np.inf)
        return low.max(axis=1), high.min(axis=1)

    def _apart(self, together: Slopes) -> BoolArray:
        """Rows whose slopes entry by entry add up to those together: each has been judged by itself, and that is all.

        Of three inputs' medians one may be claimed throughout, though at hardly any point nearby it is all of them.
        """
        low, high = self._room
        places = np.flatnonzero(self._moving[self.rows].any(axis=0))
        zeros, values = np.zeros(self.rows.size), (partial(self._value, place=at) for at in places.tolist())
        alone = [slopes(value, zeros, low=low, high=high) for value in values]
        gaps = [sum(_side(s, side) for s in alone) - _side(together, side) for side in ("left", "right")]
        bar = sum(_side(s, "left_bar") + _side(s, "right_bar") for s in (*alone, together))
        return np.asarray((np.abs(gaps) <= bar).all(axis=0))

    def _value(self, t: Array, place: int | None = None) -> Array:
        steps = self._moving[self.rows] * t[:, None]
        if place is not None:
            steps = np.where(np.arange(steps.shape[1]) == place, steps, 0.0)
        if self.separable:
            return self._moved(self.rows, steps)[self.rows]
        # Most rows rest while others are still looked at.
        moving = np.flatnonzero(steps.any(axis=1))
        made = np.full(t.shape, self._base)
        made[moving] = [
            self._moved(row, step).sum() for row, step in zip(self.rows[moving], steps[moving], strict=True)
        ]
        return made

    @cached_property
    def _base(self) -> float:
        return float(self.values(self.x).sum())

    def _moved(self, rows: Rows | np.intp, steps: Array) -> Array:
        x = self._table.copy()
        x[rows] += steps
        return self.values(x.reshape(self.x.shape))

    def _nearby(self, seed: int) -> tuple[Array, Array]:
        """The least and the largest claim along each row's entries at points all around.

        Of ten entries on kinks of their own hardly any random point has all on the side where they claim most: that
        side is known, entry by entry, from the first points.
        """
        rng, reach = np.random.default_rng(seed), np.where(self.kinked, CLOSEST, 0.0)
        steps = rng.uniform(-1.0, 1.0, (_TRIES, *self.x.shape))
        claims = np.stack([self._claim(reach * step) for step in steps])
        rising = np.sign(np.nansum(steps * (claims - np.nanmean(claims, axis=0)), axis=0))
        corners = rng.uniform(0.0, 1.0, (_CORNERS, *self.x.shape)) * rising
        claims = np.concatenate(
            [claims, [self._claim(sign * reach * step) for sign in (-1.0, 1.0) for step in corners]]
        )
        along = np.stack([self._along(claim) for claim in claims])
        least, most = np.fmin.reduce(along), np.fmax.reduce(along)
        spare = _CLOSE * (most - least)
        return least - spare, most + spare

    def _claim(self, step: Array) -> Array:
        return self.gradient(beside(self.x, step, self.low, self.high))


def _side(s: Slopes, name: str) -> Array:
    """A side of a kink, or its bar; where there is none, both sides are the same."""
    return np.where(s.kink, getattr(s, name), s.bar if name.endswith("bar") else s.value)


def around(
    gradient: Gradient, x: Array, reach: Array | float, low: float, high: float, seed: int = 0
) -> Iterator[Array]:
    """Gradients at random points as far around one as ``reach``, in sizes of its entries."""
    rng = np.random.default_rng(seed)
    for _ in range(_TRIES):
        yield gradient(beside(x, reach * rng.uniform(-1.0, 1.0, x.shape), low, high))


def beside(x: Array, step: Array, low: Array | float, high: Array | float) -> Array:
    """A point so many sizes of its entries away, but within bounds."""
    return np.clip(x + step * np.maximum(1.0, np.abs(x)), low, high)


def jumps(gradient: Gradient, x: Array, low: float = -np.inf, high: float = np.inf) -> BoolArray:
    """Where a gradient jumps: it varies as much in a thousandth of a neighbourhood as in the whole of it."""
    far, near = (np.ptp(list(around(gradient, x, reach, low, high)), axis=0) for reach in (_BESIDE, _BESIDE / 1024.0))
    return np.asarray((near > 0.25 * far) & (near > _BESIDE * np.abs(gradient(x)).max(initial=1.0)))
