"""Numbers as sums of two floats, for differences of sums that all but cancel: some 100 bits where a float has 53.

Conventions. ``high`` is the float nearest to the number and ``low`` what it misses; all functions work entry by entry
and broadcast. None validates; numbers beyond 2^990 overflow, so callers bring theirs to a common scale first.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np

from losscli.stable import Array

# Veltkamp's constant: it cuts a float into two halves whose products are exact.
_CUT = 2.0**27 + 1.0
# e^-s is tabulated at so many points per octave that four terms of its series need their second float.
_PER_OCTAVE = 1024
# Beyond this e^-s is 0, and what is larger still is taken for it.
_VANISHED = 800.0


def split(exact: Decimal | Fraction) -> tuple[float, float]:
    """A number as the sum of two floats."""
    high = float(exact)
    return high, float(exact - type(exact)(high))  # type: ignore[operator]


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """A sum and its rounding error (Knuth)."""
    total = a + b
    virtual = total - a
    return total, (a - (total - virtual)) + (b - virtual)


def _joined(high: Any, low: Any) -> Twofold:
    """Two floats of which the first is the larger, without overlap."""
    total = high + low
    return Twofold(total, low - (total - high))


def _halves(a: Any) -> tuple[Any, Any]:
    wide = _CUT * a
    top = wide - (wide - a)
    return top, a - top


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """A product and its rounding error (Dekker)."""
    product = a * b
    (a_top, a_rest), (b_top, b_rest) = _halves(a), _halves(b)
    return product, ((a_top * b_top - product) + a_top * b_rest + a_rest * b_top) + a_rest * b_rest


@dataclass(frozen=True)
class Twofold:
    """An array of numbers, each the sum of two floats."""

    high: Any
    low: Any

    @classmethod
    def of(cls, x: Any) -> Twofold:
        """Floats as they are."""
        return cls(x, np.zeros_like(x))

    @classmethod
    def exact(cls, x: Decimal) -> Twofold:
        """A decimal number as far as two floats hold it."""
        return cls(*split(x))

    @classmethod
    def difference(cls, a: Array, b: Array) -> Twofold:
        """The difference of floats, all of it."""
        return cls(*two_sum(a, -b))

    @property
    def value(self) -> Any:
        """The number, rounded."""
        return self.high + self.low

    def __neg__(self) -> Twofold:
        return Twofold(-self.high, -self.low)

    def __getitem__(self, at: Any) -> Twofold:
        return Twofold(self.high[at], self.low[at])

    def __add__(self, other: Twofold | float) -> Twofold:
        if not isinstance(other, Twofold):
            high, low = two_sum(self.high, other)
            return _joined(high, low + self.low)
        high, low = two_sum(self.high, other.high)
        less, least = two_sum(self.low, other.low)
        made = _joined(high, low + less)
        return _joined(made.high, made.low + least)

    def __sub__(self, other: Twofold | float) -> Twofold:
        return self + -other

    def __mul__(self, other: Twofold | Array | float) -> Twofold:
        if not isinstance(other, Twofold):
            high, low = two_product(self.high, other)
            return _joined(high, low + self.low * other)
        high, low = two_product(self.high, other.high)
        return _joined(high, low + (self.high * other.low + self.low * other.high))

    def __truediv__(self, other: Twofold | float) -> Twofold:
        first = self.high / (other.high if isinstance(other, Twofold) else other)
        rest = self - (other * first if isinstance(other, Twofold) else Twofold(*two_product(first, other)))
        return _joined(first, rest.high / (other.high if isinstance(other, Twofold) else other))

    def times(self, power: Any) -> Twofold:
        """The product with powers of two."""
        return Twofold(self.high * power, self.low * power)

    def where(self, chosen: Any) -> Twofold:
        """The numbers that are chosen, and 0 for the others."""
        return Twofold(np.where(chosen, self.high, 0.0), np.where(chosen, self.low, 0.0))

    def sqrt(self) -> Twofold:
        """The square root; that of 0 is 0."""
        root = np.sqrt(self.high)
        rest = self - Twofold(*two_product(root, root))
        return _joined(root, np.where(root > 0.0, rest.high / (2.0 * root), 0.0))

    @property
    def T(self) -> Twofold:  # noqa: N802
        """Rows and columns exchanged, as NumPy calls it."""
        return Twofold(self.high.T, self.low.T)

    def sum(self, axis: int) -> Twofold:
        """The sum along an axis: halves are added up until one is left."""
        made = Twofold(np.moveaxis(self.high, axis, 0), np.moveaxis(self.low, axis, 0))
        while len(made.high) > 1:
            half = len(made.high) // 2
            pairs = made[:half] + made[half : 2 * half]
            rest = made[2 * half :]
            made = Twofold(*(np.concatenate(both) for both in ((pairs.high, rest.high), (pairs.low, rest.low))))
        return made[0]


@functools.cache
def _table() -> tuple[Twofold, Twofold, Twofold, list[Twofold]]:
    """The step of the table and its inverse powers 2^(-k/steps) less 1; 1/2, 1/3!, ... up to 1/8!."""
    with localcontext(prec=50):
        step = Decimal(2).ln() / _PER_OCTAVE
        powers = [Twofold.exact((-step * k).exp() - 1) for k in range(_PER_OCTAVE)]
        series, last = [], Decimal(1)
        for k in range(2, 9):
            last /= k
            series.append(Twofold.exact(last))
        table = Twofold(np.array([one.high for one in powers]), np.array([one.low for one in powers]))
        # A short step has whole multiples that are floats.
        short = float(np.float32(step))
        return Twofold(short, 0.0), Twofold.exact(step - Decimal(short)), table, series


def exp_less_one(s: Twofold) -> tuple[Twofold, Twofold]:
    """e^-s - 1 and e^-s for s ≥ 0, each with all its digits."""
    large = s.high > _VANISHED
    if large.any():
        s = Twofold(np.where(large, _VANISHED, s.high), np.where(large, 0.0, s.low))
    step, rest, table, series = _table()
    count = np.rint(s.high / step.high)
    # e^-s = 2^-octaves · (1 + entry) · (1 + near), and near = r + r²/2 + r³/6 + ...
    r = -((s + -count * step.high) - rest * count)
    octaves, at = np.divmod(count.astype(np.intp), _PER_OCTAVE)
    near = r * _series(r, series)
    entry = table[at]
    less = entry + (near + entry * near)
    power = np.ldexp(1.0, -octaves)
    # Beyond 53 octaves 2^-octaves - 1 is no float.
    return less.times(power) + Twofold.difference(power, np.ones_like(power)), (less + 1.0).times(power)


def _series(r: Twofold, series: list[Twofold]) -> Twofold:
    """1 + r/2! + r²/3! + ...: only the first terms reach into the second float."""
    tail = r.high * (series[4].high + r.high * (series[5].high + r.high * series[6].high))
    made = Twofold.of(tail) + series[3]
    for term in (*reversed(series[:3]), Twofold(1.0, 0.0)):
        made = made * r + term
    return made
