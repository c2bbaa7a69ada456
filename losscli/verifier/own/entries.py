"""A user's function as many scalar functions of one variable, and how exactly it is computed.

Entries of independent rows move together, one column of all rows at once; those of a function that mixes its rows move
one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from losscli.inputs import Array
from losscli.verifier.numeric.kinks import OFFSETS, spread
from losscli.verifier.objective import Column, positions
from losscli.verifier.own.functions import Claimant, Inputs, RaisedError, Values

DOUBLE = 53
# Significant bits of the formats below double: single, half, bfloat16.
_FORMATS = (8, 11, 24, DOUBLE)
_ROUND = 11  # numbers of so few bits may be round ones, such as a thousand


@dataclass(frozen=True)
class Entries:
    """The entries of one input of a function at one point; ``raised`` collects what it raises beside that point.

    ``bits`` are the significant bits that the function computes with, ``unrest`` how far two calls differ, ``apart``
    says whether rows are independent, where that is known.
    """

    claimant: Claimant
    inputs: Inputs
    name: str
    bits: int = DOUBLE
    unrest: float = 0.0
    bounds: tuple[float, float] = (-np.inf, np.inf)
    raised: list[str] = field(default_factory=list)
    apart: bool | None = None

    @property
    def x(self) -> Array:
        """The input, float64; a single number as an array of one."""
        return np.atleast_1d(np.asarray(self.inputs[self.name], np.float64))

    def given(self, x: Values) -> Inputs:
        """All inputs, with this one replaced."""
        return {**self.inputs, self.name: x.reshape(np.shape(self.inputs[self.name]))}

    def values(self, many: Sequence[Array]) -> list[Values]:
        """The values with the input replaced by each of many; NaN where the function raises."""
        given = [self.given(x) for x in many]
        try:
            return [np.asarray(value, np.float64) for value in self.claimant.values(given)]
        except RaisedError as error:
            self.raised.append(str(error))
        return [self._alone(inputs) for inputs in given]

    def sums(self, x: Array) -> Array:
        """The values with the input replaced, one per row where rows are independent, else their sum."""
        value = self.values([x])[0]
        return np.asarray(value.reshape(len(value), -1).sum(axis=1) if self.separable else value.sum())

    def value(self, x: Values) -> Values:
        """The value with the input replaced, by complex numbers perhaps, as the function returns it."""
        return np.asarray(self.claimant.value(self.given(x)))

    def claims(self, x: Array) -> Array:
        """The gradient claimed with the input replaced; NaN where there is none."""
        try:
            return np.asarray(self.claimant.claims(self.given(x))[self.name], np.float64).reshape(x.shape)
        except (RaisedError, KeyError, TypeError, ValueError):
            return np.full(x.shape, np.nan)

    def _alone(self, inputs: Inputs) -> Values:
        try:
            return np.asarray(self.claimant.value(inputs), np.float64)
        except RaisedError:
            return np.full(self.base.shape, np.nan)

    @cached_property
    def base(self) -> Values:
        """The value at the point itself."""
        return np.asarray(self.claimant.value(self.inputs), np.float64)

    @cached_property
    def separable(self) -> bool:
        """Whether each row's value depends on that row of the input alone; found out by moving several rows.

        Those of the largest and of the smallest entry are among them, and some moves go beyond all others: a maximum of
        all rows does not change by any small step elsewhere.
        """
        if self.apart is not None:
            return self.apart
        x, value = self.x, self.base
        if not value.ndim or len(x) != len(value) or len(x) < 2:
            return False
        extremes = [np.unravel_index(at, x.shape)[0] for at in (np.argmax(x), np.argmin(x))]
        tried = [(row, new) for row in np.unique([0, len(x) // 2, len(x) - 1, *extremes]) for new in self._moves(row)]
        made = zip(tried, self.values([new for _, new in tried]), strict=True)
        # Far away it may raise, and has nothing to tell.
        told = [(row, new) for (row, _), new in made if not np.isnan(new).all()]
        if not told:
            return False
        return all(
            new.shape == value.shape
            and np.array_equal(np.delete(new, row, 0), np.delete(value, row, 0), equal_nan=True)
            for row, new in told
        )

    def _moves(self, row: int) -> Iterator[Array]:
        """The input with one row a little away, beyond the largest entry, below the smallest, and both by turns."""
        (low, high), finite = self.bounds, self.x[np.isfinite(self.x)]
        top, bottom = float(finite.max(initial=low)), float(finite.min(initial=high))
        reach, share = max(1.0, top - bottom), np.random.default_rng(row).uniform(0.25, 0.75, self.x[row].shape)
        above = top + share * min(reach, high - top)
        below = bottom - share * min(reach, bottom - low)
        middle = 0.5 * (low + high) if np.isfinite(high) else self.x[row] + 1.0
        for new in (
            self.x[row] + 0.25 * share * (middle - self.x[row]),
            above,
            below,
            np.where(share < 0.5, above, below),
        ):
            x = self.x.copy()
            x[row] = new
            yield x

    def columns(self, limit: int, seed: int, among: tuple[int, ...]) -> list[Column]:
        """At most ``limit`` columns of entries: evenly spread for independent rows, drawn by seed otherwise.

        The entry ``among`` is one of them: that is where a planted fault must show.
        """
        if not self.separable:
            return [self._one_by_one(limit, seed, among)]
        return [self._column((slice(None), *at)) for at in positions(self.x.shape[1:], limit, among[1:])]

    def count(self, limit: int) -> int:
        """How many entries these columns hold."""
        return min(self.x.size, limit * (len(self.x) if self.separable else 1))

    def along(self, at: tuple[Any, ...]) -> Callable[[Array], Array]:
        """The value as a function of some entries: of one of each row where rows are independent, else one by one."""

        def together(t: Array) -> Array:
            x = self.x.copy()
            x[at] = t
            return self.sums(x)

        def alone(t: Array) -> Array:
            # Most entries rest while others are still looked at.
            chosen = np.ravel_multi_index(at, self.x.shape)
            moving = np.flatnonzero(t != self.x[at])
            made = np.full(len(t), self.base.sum())
            made[moving] = [value.sum() for value in self.values([self.moved(chosen[i], t[i]) for i in moving])]
            return made

        return together if self.separable else alone

    def _column(self, at: tuple[Any, ...]) -> Column:
        f, x = self.along(at), self.x[at]
        return Column(at, x, f, None, self._noise(f, x), unit=2.0 ** (1 - self.bits))

    def _one_by_one(self, limit: int, seed: int, among: tuple[int, ...]) -> Column:
        size = self.x.size
        chosen = np.arange(size)
        if size > limit:
            drawn = np.random.default_rng(seed).choice(size, limit, replace=False)
            drawn[0] = np.ravel_multi_index(among, self.x.shape)
            chosen = np.unique(drawn)
        return self._column(np.unravel_index(chosen, self.x.shape))

    def moved(self, flat: Any, t: float) -> Array:
        """The input with one entry, counted through, replaced."""
        x = self.x.copy()
        x.reshape(-1)[flat] = t
        return x

    def _noise(self, f: Callable[[Array], Array], x: Array) -> Array | float:
        """The rounding errors of a function that computes in less than double, which show in larger steps only."""
        if self.bits == DOUBLE:
            return self.unrest
        width = np.maximum(1.0, np.abs(x)) * 2.0 ** -(self.bits // 2)
        low, high = self.bounds
        steps = [np.clip(x + at / OFFSETS[-1] * width, low, high) for at in OFFSETS]
        sides = [np.stack([f(step) for step in steps]), np.stack([f(2.0 * x - step) for step in steps])]
        # A kink within one of the windows is no noise.
        measured = np.fmin(*(spread(side) for side in sides))
        return np.fmax(np.fmax(measured, np.abs(f(x)) * 2.0**-self.bits), self.unrest)


def bits_of(claimant: Claimant, inputs: Inputs, names: Sequence[str], seed: int) -> int:
    """The significant bits that a function computes with: 53, 24, 11 or 8; 0 where nothing tells.

    Told from its values at random points beside the given one, which have as many, and from whether it notices changes
    that only a double can hold.
    """
    rng = np.random.default_rng(seed)

    def beside(size: float, least: float = 0.0) -> Inputs:
        def moved(array: Array) -> Array:
            return array + size * np.maximum(np.abs(array), least) * rng.uniform(-1.0, 1.0, np.shape(array))

        return {name: moved(array) if name in names else array for name, array in inputs.items()}

    try:
        far = claimant.values([beside(2.0**-12) for _ in range(4)])
        near = claimant.values([inputs, *(beside(2.0**-34) for _ in range(3))])
        # What does not vary may be a round number; a coarse format needs large changes to vary.
        shown = _varying(far)
        shown = shown if shown.size else _varying(claimant.values([beside(2.0**-5) for _ in range(4)]))
        # Where not even that is noticed, steps as large as slopes are taken by, and the value that rests.
        rest = [] if shown.size else claimant.values([inputs, *(beside(0.25, 1.0) for _ in range(4))])
    except RaisedError:
        return 0
    used = _digits(shown) if shown.size else _resting(rest)
    same = all(np.array_equal(value, near[0]) for value in near)
    if same and any(_notices(value, near[0]) for value in far):
        used = min(used, 24)
    return next(bits for bits in (0, *_FORMATS) if used <= bits)


def _resting(many: Sequence[Values]) -> int:
    """The bits of values that hardly vary; nothing is known where they are round, or all of them zero."""
    used = _digits(np.concatenate([np.asarray(value, np.float64).reshape(-1) for value in many]))
    return 0 if used <= _ROUND else 24 if used <= 24 else DOUBLE


def _varying(many: Sequence[Values]) -> Array:
    """The values, but for zeros, that are not the same in all of several calls."""
    rows = [np.asarray(value, np.float64).reshape(-1) for value in many]
    if len({row.size for row in rows}) > 1:
        return np.empty(0)
    shown = np.stack(rows)
    shown = shown[:, (shown != shown[0]).any(axis=0)].reshape(-1)
    return _telling(shown)


def _notices(far: Values, base: Values) -> bool:
    """Whether a value that large changes move so far would show, in double, changes of a 2^22nd of them."""
    with np.errstate(all="ignore"):
        return bool(np.any(np.abs(far - base) * 2.0**-22 > np.spacing(np.abs(base))))


def _digits(values: Array) -> int:
    """The most bits that any of the values has."""
    return max((_significant(float(value)) for value in _telling(values)[:256]), default=0)


def _telling(values: Array) -> Array:
    return values[np.isfinite(values) & (values != 0.0)]


def _significant(value: float) -> int:
    mantissa = int(abs(math.frexp(value)[0]) * 2.0**DOUBLE)
    return DOUBLE - ((mantissa & -mantissa).bit_length() - 1)
