"""Witnesses against a claimed gradient whose mechanisms are not that of a difference quotient with an error bar.

A function gives one number, or one per row (first axis) where rows are independent: then every row is a unit of its
own, all are looked at at once, and the answer tells which of them disagree. Sources: the Taylor test of Farrell, Ham,
Funke & Rognes (2013), here with the odd remainder; the path integral of a conservative field, which holds across kinks
(Bolte & Pauwels 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.polynomial import legendre

from losscli.inputs import Array
from losscli.verifier.numeric.differences import IntArray
from losscli.verifier.numeric.kinks import OFFSETS, spread
from losscli.verifier.numeric.verdict import BLUNT, RESOLUTION

Function = Callable[[Array], Any]
Gradient = Callable[[Array], Array]

ROUNDOFF = 2.0**-53
ROUNDINGS = 8.0  # of a value, of the terms that it is made of, and of the noise that it shows
SAFETY = 2.0  # bar / error estimate, as in the table of differences

# Steps 1/4, 1/16 ... 4^-12 of the direction; three remainders in a row make two slopes.
_STEPS = 4.0 ** -np.arange(1.0, 13.0)
_RUN = 3
_ROUNDS = 20  # bisections of a path: a kink is closed in to a millionth of it
_FINE = 2.0**-20  # error of an integral, in sizes of the integrand, at which bisection has done enough


@dataclass(frozen=True)
class Witnessed:
    """What a witness says: whether it agrees with the claim, None where it cannot tell; and the same of every unit."""

    name: str
    agree: bool | None
    evaluations: int
    detail: str
    units: tuple[bool | None, ...] = ()


@dataclass
class _Line:
    """A function and its claimed gradient along x + t·v; t has one number per unit."""

    f: Function
    gradient: Gradient
    x: Array
    v: Array
    evaluations: int = 0

    def __post_init__(self) -> None:
        self.units = max(1, self._look(self.x).size)

    def point(self, t: Array | float) -> Array:
        """The points at t."""
        along = np.asarray(t, dtype=np.float64).reshape(-1, *[1] * (self.x.ndim - 1))
        return np.asarray(self.x + along * self.v)

    def value(self, x: Array) -> Array:
        """The function at points, (units,)."""
        return self._look(x)

    def slope(self, t: Array | float) -> Array:
        """The claimed slope along v at t, (units,)."""
        self.evaluations += 1
        return self.sum(_times(np.asarray(self.gradient(self.point(t)), dtype=np.float64), self.v))

    def sum(self, terms: Array) -> Array:
        """Terms of the shape of x added up by unit."""
        return terms.reshape(self.units, -1).sum(axis=1)

    @cached_property
    def reach(self) -> Array:
        """How far the entries of each unit go, 1 at most: 0 where none moves, and nothing is seen."""
        return np.minimum(1.0, np.abs(self.v).reshape(self.units, -1).max(axis=1, initial=0.0))

    @cached_property
    def claim(self) -> Array:
        """The claimed gradient at x."""
        self.evaluations += 1
        return np.asarray(self.gradient(self.x), dtype=np.float64)

    @cached_property
    def along(self) -> Array:
        """The claimed slope along v at x, (units,)."""
        return self.sum(_times(self.claim, self.v))

    def rounding(self, value: Array, noise: Array | float) -> Array:
        """The error of a value: of its own size, of the terms that its inputs are in it, and of what is known of it.

        An input counts even where its slope is zero: a saturated function hides the rounding of what it saturates from.
        """
        terms = (1.0 + np.abs(self.claim)) * np.minimum(np.abs(self.x), 2.0 * np.abs(self.v))
        size = ROUNDOFF * (np.abs(value) + self.sum(np.where(self.v == 0.0, 0.0, terms)))
        return np.asarray(ROUNDINGS * np.fmax(size, noise))

    def settled(self, said: IntArray, value: Array) -> IntArray:
        """What is said, but for units that do not move or have no number for a value, and for claims that are none."""
        finite = np.isfinite(value)
        made = np.where(self.reach == 0.0, 0, said)
        return np.where(finite, np.where(np.isfinite(self.along), made, -1), 0).astype(np.int8)

    def _look(self, x: Array) -> Array:
        self.evaluations += 1
        return np.asarray(self.f(x), dtype=np.float64).reshape(-1)


def _times(gradient: Array, step: Array) -> Array:
    """Products of slopes and steps; an infinite slope by what does not move, at the edge of a domain, is nothing."""
    return np.where((step == 0.0) & ~np.isnan(gradient), 0.0, gradient * step)


@np.errstate(all="ignore")
def direction(x: Array, *, low: Array | float = -np.inf, high: Array | float = np.inf, seed: int = 0) -> Array:
    """A random direction v of the shape of x: about as long as the numbers themselves, and x ± v within the bounds."""
    rng = np.random.default_rng(seed)
    room = 0.5 * np.minimum(x - low, high - x)
    size = np.minimum(np.maximum(1.0, np.abs(x)), room)
    v = rng.choice((-1.0, 1.0), x.shape) * rng.uniform(0.5, 1.0, x.shape) * size
    return np.where(np.isfinite(x), v, 0.0)


@np.errstate(all="ignore")
def taylor(
    f: Function,
    x: Array,
    gradient: Gradient,
    *,
    v: Array | None = None,
    low: Array | float = -np.inf,
    high: Array | float = np.inf,
    noise: Array | float = 0.0,
    seed: int = 0,
) -> Witnessed:
    """The odd remainder [f(x + hv) − f(x − hv)]/2 − h g·v: of slope 3 where the claim is right, 1 where it is wrong.

    It cannot tell at a kink, where the even remainder has slope 1, nor where rounding hides the slope. ``noise`` is the
    error of a value, where the caller knows of more than there is to see. Farrell, Ham, Funke & Rognes (2013).
    """
    x = np.asarray(x, dtype=np.float64)
    line = _Line(f, gradient, x, direction(x, low=low, high=high, seed=seed) if v is None else v)
    middle = line.value(x)
    window = np.stack([line.value(line.point(2.0**-30 * at)) for at in OFFSETS])
    rounding = line.rounding(middle, np.maximum(np.nan_to_num(spread(window)), noise))
    odd, even, blur = (np.array(part) for part in zip(*(_remainders(line, h, middle) for h in _STEPS), strict=True))
    said = _rates(odd, even, blur + rounding, np.maximum(BLUNT * np.abs(line.along), RESOLUTION * line.reach))
    return witnessed("taylor", line.settled(said, middle), line.evaluations, "slope of the odd remainder")


def _remainders(line: _Line, h: float, middle: Array) -> tuple[Array, Array, Array]:
    """The odd and the even remainder of one step, and how much of the odd one rounding takes away."""
    ends = line.point(h), line.point(-h)
    above, below = map(line.value, ends)
    # Half the way from end to end as it is in floating point, not as it was meant.
    terms = _times(line.claim, 0.5 * (ends[0] - ends[1]))
    blur = ROUNDINGS * ROUNDOFF * (np.maximum(np.abs(above), np.abs(below)) + line.sum(np.abs(terms)))
    return 0.5 * (above - below) - line.sum(terms), 0.5 * (above + below) - middle, blur


def _rates(odd: Array, even: Array, blur: Array, fine: Array) -> IntArray:
    """1, -1 or 0 for every unit: right, wrong, or no telling, by the slopes of the last remainders that show.

    ``fine`` is the largest error of a slope with which there is something to tell.
    """
    steps, units = odd.shape
    shows = np.abs(odd) > blur
    rate = np.log(np.abs(odd[:-1] / odd[1:])) / np.log(4.0)
    bend = np.log(np.abs(even[:-1] / even[1:])) / np.log(4.0)
    bent = (np.minimum(np.abs(even[:-1]), np.abs(even[1:])) > blur[1:]) & (bend < 1.5)
    bound = np.nanmin(np.where(np.isnan(odd), np.inf, (np.abs(odd) + blur) / _STEPS[:, None]), axis=0)
    said = np.zeros(units, dtype=np.int8)
    sharp = bound <= fine
    for unit in range(units):
        runs = [at for at in range(_RUN - 1, steps) if shows[at - _RUN + 1 : at + 1, unit].all()]
        last = runs[-1] if runs else steps - 1
        if bent[max(0, last - _RUN + 1) : last, unit].any():
            continue
        tail = rate[last - _RUN + 1 : last, unit]
        if not runs or (tail > 2.0).all():
            said[unit] = sharp[unit]
        elif (np.abs(tail - 1.0) < 0.5).all():
            # A wrong slope goes on until it drowns; what ends before was a kink.
            drowned = last == steps - 1 or abs(odd[last, unit]) / 4.0 <= 2.0 * blur[last + 1, unit]
            said[unit] = -1 if drowned else 0
    return said


@np.errstate(all="ignore")
def path_integral(
    f: Function,
    x: Array,
    gradient: Gradient,
    *,
    v: Array | None = None,
    low: Array | float = -np.inf,
    high: Array | float = np.inf,
    noise: Array | float = 0.0,
    seed: int = 0,
    rounds: int = _ROUNDS,
) -> Witnessed:
    """f(x + v) − f(x) = ∫ g·dx along the segment, whatever kinks it crosses; it cannot tell where f jumps.

    Gauss and Legendre's rules of 16 and of 8 points: the polynomial of the former must hold at the points of the
    latter and at both ends. Of each unit the piece where it holds least, or where most is missing, is bisected, up to
    ``rounds`` times; what is left is the error of the integral.
    """
    x = np.asarray(x, dtype=np.float64)
    v = direction(x, low=low, high=high, seed=seed) if v is None else v
    # As far as the end is in floating point: beside 1 a step of 1e-12 is off by a part in ten thousand.
    line = _Line(f, gradient, x, np.where(v == 0.0, 0.0, (x + v) - x))
    values = line.value(x), line.value(line.point(1.0))
    rounding = line.rounding(values[0], noise) + line.rounding(values[1], noise)
    gap, error, size = _integral(line, rounding, rounds)
    total, size = gap.sum(axis=0), size.sum(axis=0)
    bar = _bar(error, size, rounding)
    sharp = bar <= np.maximum(BLUNT * np.maximum(np.abs(values[1] - values[0]), size), RESOLUTION * line.reach)
    # What is missing in one piece, however small, is a jump, or a slope too steep to be seen.
    spread_out = np.abs(gap).max(axis=0) < BLUNT * np.abs(gap).sum(axis=0)
    wrong = (np.abs(total) > bar) & spread_out
    said = np.where(wrong, -1, np.where((np.abs(total) <= bar) & sharp, 1, 0)).astype(np.int8)
    return witnessed("path integral", line.settled(said, values[0]), line.evaluations, "f(b) − f(a) against ∫ g·dx")


def _rule() -> tuple[Array, Array, Array]:
    """All points in [0, 1], those of 16 first; their weights; and what takes values at these to those at the others."""
    points, weights = legendre.leggauss(16)
    others = np.array([*legendre.leggauss(8)[0], -1.0, 1.0])
    # Degree 15 through 16 points: these are orthogonal under the rule itself.
    projection = legendre.legvander(points, 15).T * weights * (np.arange(16)[:, None] + 0.5)
    matrix = legendre.legvander(others, 15) @ projection
    return 0.5 * (np.concatenate([points, others]) + 1.0), 0.5 * weights, matrix


_POINTS, _WEIGHTS, _ELSEWHERE = _rule()


def _integral(line: _Line, rounding: Array, rounds: int) -> tuple[Array, Array, Array]:
    """What f gains beyond the integral of the claimed slope, its error, and the integral of its size, by piece."""
    every = np.arange(line.units)
    start, width = np.zeros((1, line.units)), np.ones((1, line.units))
    found = _piece(line, start[0], width[0])[:, None]
    for _ in range(rounds):
        gap, error, size = found
        missing = ~(np.abs(gap.sum(axis=0)) <= _bar(error, size.sum(axis=0), rounding))
        if not (missing | (error.sum(axis=0) > np.maximum(rounding, _FINE * size.sum(axis=0)))).any():
            break
        # Where nothing is missing it is the error that is made smaller.
        worst = np.argmax(np.nan_to_num(np.where(missing, np.maximum(np.abs(gap), error), error), nan=-1.0), axis=0)
        half = 0.5 * width[worst, every]
        second = start[worst, every] + half
        width[worst, every] = half
        found[:, worst, every] = _piece(line, start[worst, every], half)
        start, width = np.vstack([start, second]), np.vstack([width, half])
        found = np.concatenate([found, _piece(line, second, half)[:, None]], axis=1)
    return found[0], found[1], found[2]


def _bar(error: Array, size: Array, rounding: Array) -> Array:
    return np.asarray(SAFETY * error.sum(axis=0) + rounding + ROUNDINGS * ROUNDOFF * size)


def _piece(line: _Line, start: Array, width: Array) -> Array:
    slope = np.stack([line.slope(start + width * at) for at in _POINTS])
    gauss, others = slope[:16], slope[16:]
    gain = line.value(line.point(start + width)) - line.value(line.point(start))
    # In absolute terms: residuals to either side of a kink may cancel in the difference of the two rules.
    error = np.abs(others - _ELSEWHERE @ gauss).max(axis=0)
    return np.stack([gain - width * (_WEIGHTS @ gauss), width * error, width * (_WEIGHTS @ np.abs(gauss))])


def witnessed(name: str, said: IntArray, evaluations: int, detail: str) -> Witnessed:
    """A witness's answer from that of every unit: 1 agrees, -1 disagrees, 0 cannot tell."""
    units = tuple(None if word == 0 else bool(word > 0) for word in said.tolist())
    wrong: Sequence[int] = [at for at, word in enumerate(units) if word is False]
    agree = False if wrong else True if True in units else None
    where = f"; disagrees in {len(wrong)} of {len(units)}, first in {wrong[0]}" if wrong else ""
    return Witnessed(name, agree, evaluations, detail + where, units)
