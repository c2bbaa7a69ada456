"""A function of an array, differentiated along straight lines through one point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from losscli.verifier.numeric.differences import Array, BoolArray, Reason, slopes
from losscli.verifier.numeric.kinks import CENTRAL, OFFSETS, UNIT, spread
from losscli.verifier.numeric.pieces import power_below

SUM = 4.0 * UNIT  # rounding of numpy's pairwise sum, to the sum of absolute values
EDGE = 8.0  # how many times further than a direction reaches in one unit its entry may go: of Gaussians, all do not
RUNGS = 3  # central differences that a quick slope is made of
FINEST = 24  # the last step of a ladder, as a power of two


@dataclass(frozen=True)
class Directional:
    """The derivative along one direction, ``|truth - value| <= bar``; bar is inf where nothing can be said."""

    value: float
    bar: float
    reason: Reason = Reason.OK


@dataclass(frozen=True)
class Lines:
    """A scalar function f of an array of any shape, as functions of one variable: t ↦ f(x + t·v) - f(x).

    ``f`` returns a number, or an array of terms whose sum is meant. Terms are subtracted before they are added, so a
    sum of n of them is known to u·√n and not to u·n. ``low`` and ``high`` bound the entries of x, ``piece`` labels the
    smooth piece that f is on at an array like x (kinks.py), ``noise`` is the least error of a value of f where the
    caller knows more than f shows, and ``held`` marks entries that no direction moves.
    """

    f: Callable[[Array], Any]
    x: Array
    low: Array | float = -np.inf
    high: Array | float = np.inf
    piece: Callable[[Array], Any] | None = None
    noise: float = 0.0
    held: BoolArray | None = None
    calls: list[int] = field(default_factory=lambda: [0])

    @property
    def evaluations(self) -> int:
        """How often f was called."""
        return self.calls[0]

    @cached_property
    def base(self) -> Array:
        """What f returns at x."""
        return self._call(self.x)

    @cached_property
    def unit(self) -> float:
        """How far a typical entry goes in one unit of a direction: a power of two, at least 1."""
        size = float(np.median(np.maximum(1.0, np.abs(self.x)))) if self.x.size else 1.0
        return float(power_below(np.array([size]))[0]) if np.isfinite(size) else 1.0

    @cached_property
    def weights(self) -> Array | float:
        """How far each entry goes in one unit: the same everywhere but beside the bounds; 0 where it is held."""
        room = np.minimum(self.x - self.low, self.high - self.x) / EDGE
        weights = np.where(room < self.unit, np.maximum(room, 0.0), self.unit) if np.isfinite(room).any() else self.unit
        return weights if self.held is None else np.where(self.held, 0.0, weights)

    @cached_property
    def floor(self) -> float:
        """The least rounding error of a difference of two values of f: half a unit in the last place of each term."""
        return max(self.noise, 0.5 * UNIT * float(np.sqrt(np.sum(np.square(self.base)))))

    def slope(self, v: Array) -> Directional:
        """The derivative along v by the Ridders engine."""
        span = self._span(v)
        s = self._ridders(lambda t: self.x + t * v, 0.0, -span, span)
        return Directional(s.value, s.bar + SUM * self._total(v), s.reason)

    def entry(self, at: tuple[int, ...]) -> Directional:
        """The derivative by one entry by the Ridders engine, with steps of that entry's own size."""
        low, high = (float(np.broadcast_to(bound, self.x.shape)[at]) for bound in (self.low, self.high))

        def moved(t: float) -> Array:
            x = self.x.copy()
            x[at] = t
            return x

        return self._ridders(moved, float(self.x[at]), low, high)

    def change(self, t: float, v: Array) -> float:
        """The difference f(x + t·v) - f(x)."""
        return self._difference(self.x + t * v)

    def ladder(self, v: Array) -> Quick:
        """The steps for which quick slopes along directions such as v are best, and how noisy f is there."""
        units = np.array(OFFSETS) * 2.0**-30 * self._span(v, 1.0)
        window = np.array([[self.change(t, v)] for t in units])
        noise = max(float(spread(window)[0]), self.floor)
        steps = [2.0**-k * self._span(v, 1.0) for k in range(2, FINEST)]
        quotients = [(self.change(h, v) - self.change(-h, v)) / (2.0 * h) for h in steps]
        with np.errstate(all="ignore"):
            bars = [_neville(quotients[k : k + RUNGS], steps[k + RUNGS - 1], noise)[1] for k in range(len(steps) - 2)]
        return Quick(self, steps[int(np.argmin(np.nan_to_num(bars, nan=np.inf)))], noise)

    def _call(self, x: Array) -> Array:
        self.calls[0] += 1
        with np.errstate(all="ignore"):
            return np.asarray(self.f(x), np.float64)

    def _difference(self, x: Array) -> float:
        with np.errstate(all="ignore"):
            return float(np.sum(self._call(x) - self.base))

    def _ridders(self, moved: Callable[[float], Array], x: float, low: float, high: float) -> Directional:
        piece = self.piece
        s = slopes(
            lambda t: np.array([self._difference(moved(float(t[0])))]),
            np.array([x]),
            low=low,
            high=high,
            piece=None if piece is None else lambda t: np.asarray(piece(moved(float(t[0])))).reshape(1, -1),
            noise_floor=self.floor,
        )
        if s.kink[0]:
            # Slopes differ by the side: which values between them are legitimate is for single entries to say.
            return Directional(float(s.value[0]), np.inf, Reason.NEAR_KINK)
        return Directional(float(s.value[0]), float(s.bar[0]), Reason(int(s.reason[0])))

    def _span(self, v: Array, most: float = np.inf) -> float:
        """How far one may go along ±v within the bounds."""
        if np.all(np.isinf(self.low)) and np.all(np.isinf(self.high)):
            return most
        with np.errstate(all="ignore"):
            size = np.abs(v)
            room = np.minimum(self.x - self.low, self.high - self.x) / size
        return min(most, float(np.min(room, where=size > 0.0, initial=np.inf)))

    def _total(self, v: Array) -> float:
        """The sum of the sizes of the terms' slopes along v, which the rounding of their sum goes with."""
        h = self._span(v, 2.0**-4)
        moved = self._call(self.x + h * v)
        with np.errstate(all="ignore"):
            size = float(np.sum(np.abs(moved - self.base))) / h if h > 0.0 else 0.0
        return size if np.isfinite(size) else 0.0


@dataclass(frozen=True)
class Quick:
    """Slopes by three central differences: good enough to look for errors with, not to convict anyone."""

    lines: Lines
    step: float
    noise: float

    def slope(self, v: Array) -> Directional:
        """The derivative along v."""
        steps = [self.step / 2.0**k for k in range(RUNGS)]
        quotients = [(self.lines.change(h, v) - self.lines.change(-h, v)) / (2.0 * h) for h in steps]
        return Directional(*_neville(quotients, steps[-1], self.noise))


def _neville(quotients: list[float], least: float, noise: float) -> tuple[float, float]:
    """The limit of central differences at h, h/2, h/4, and its error."""
    row = quotients
    for ratio in CENTRAL[: len(quotients) - 1]:
        last = row
        row = [b + (b - a) / (ratio - 1.0) for a, b in pairwise(row)]
    error = max(abs(row[0] - one) for one in last)
    return row[0], 2.0 * (error + 4.0 * noise / least)
