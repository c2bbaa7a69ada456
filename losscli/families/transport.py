"""Two samples of the same thing: how their points lie apart, and in what order numbers on a line are brought together.

Conventions. N points x and M points y of D coordinates; every point of a sample has the same mass, unless masses are
given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from losscli.families.plain import plain
from losscli.inputs import NON_NEGATIVE, REAL, Array, Input, Ints, Link, Signature
from losscli.twofold import Twofold

# How many differences are looked at together: a few of their temporaries stay in a core's cache.
_AT_ONCE = 1 << 14
# What twofold arithmetic may leave of sums that cancel, relative to their terms.
_NOISE = 2.0**-92


@dataclass(frozen=True)
class Apart:
    """The distances between points, and their unit differences: 0 where two points coincide."""

    distance: Twofold
    unit: Twofold

    @classmethod
    def of(cls, a: Array, b: Array) -> Apart:
        """The points a (N, D) from the points b (M, D), to some 100 bits; coordinates of at most 1."""
        gap = Twofold.difference(a[:, None, :], b[None, :, :])
        # Squares of differences made as large as 1 do not vanish.
        power = np.ldexp(1.0, np.minimum(-np.frexp(np.abs(gap.high).max(axis=2))[1], 1000))
        gap = gap.times(power[:, :, None])
        length = (gap * gap).sum(axis=2).sqrt()
        safe = Twofold(np.where(length.high > 0.0, length.high, 1.0), length.low)
        return cls(length.times(1.0 / power), gap / safe[:, :, None])


@dataclass(frozen=True)
class Profile:
    """A kernel as a function of the distance.

    ``values`` is the kernel less its value at 0, and perhaps the kernel itself, ``across`` its slope over
    the distance, ``along`` its second derivative.
    """

    values: tuple[Callable[[Twofold], Twofold], ...]
    slope: Callable[[Twofold], Twofold]
    across: Callable[[Twofold], Twofold]
    along: Callable[[Twofold], Twofold]


@dataclass(frozen=True)
class Discrepancy:
    """The mean kernel within x, plus that within y, less twice that between x and y.

    Where two samples are alike three means cancel, and where they are close, the slopes do too: all of it is done with
    numbers of two floats. ``unbiased`` leaves the pairs of a point with itself out of what the means divide by.
    ``bring`` turns distances in units of 2^exponent into those that the kernel's profile takes.
    """

    x: Array
    y: Array
    profile: Profile
    bring: Callable[[Twofold, int], Twofold]
    unbiased: bool = False

    @cached_property
    def exponent(self) -> int:
        """The power of two just above all coordinates."""
        return int(np.frexp(max(np.abs(self.x).max(), np.abs(self.y).max()))[1])

    def value(self) -> float:
        """The discrepancy: without the pairs of a point with itself the kernels may be written either way."""
        found = [self._value(kernel) for kernel in self.profile.values[: 2 if self.unbiased else 1]]
        size, made = min(found, key=lambda one: one[0])
        return 0.0 if abs(made.high) < _NOISE * size else float(made.value)

    def _value(self, kernel: Callable[[Twofold], Twofold]) -> tuple[float, Twofold]:
        """How large the three means are together, and the discrepancy."""
        terms = [
            self._rows(a, b, lambda apart: kernel(self._near(apart))).sum(axis=0) / self._pairs(a, b)
            for a, b in ((self.x, self.x), (self.y, self.y), (self.x, self.y))
        ]
        return sum(abs(float(term.high)) for term in terms), terms[0] + terms[1] - terms[2].times(2.0)

    def grad(self) -> tuple[Array, Array]:
        """Its slopes by x and by y, per unit of the profile's distance."""
        return self._slopes(lambda apart: apart.unit * self.profile.slope(self._near(apart))[:, :, None])

    def hess(self) -> tuple[Array, Array]:
        """Its second derivatives by x and by y."""

        def bend(apart: Apart) -> Twofold:
            near = self._near(apart)
            across, along = self.profile.across(near), self.profile.along(near)
            return across[:, :, None] + apart.unit * apart.unit * (along - across)[:, :, None]

        return self._slopes(bend)

    def _slopes(self, of: Callable[[Apart], Twofold]) -> tuple[Array, Array]:
        made = [
            (self._rows(a, a, of) / self._pairs(a, a) - self._rows(a, b, of) / self._pairs(a, b)).times(2.0).value
            for a, b in ((self.x, self.y), (self.y, self.x))
        ]
        return made[0], made[1]

    def _near(self, apart: Apart) -> Twofold:
        return self.bring(apart.distance, self.exponent)

    def _pairs(self, a: Array, b: Array) -> float:
        return float(len(a) * (len(b) - 1 if self.unbiased and a is b else len(b)))

    def _rows(self, a: Array, b: Array, of: Callable[[Apart], Twofold]) -> Twofold:
        """For every point of a what it has with all points of b, but never with itself, added up."""
        step = max(1, _AT_ONCE // b.size)
        unit, to = np.ldexp(a, -self.exponent), np.ldexp(b, -self.exponent)
        made = []
        for start in range(0, len(a), step):
            pairs = of(Apart.of(unit[start : start + step], to))
            if a is b:
                rows = np.arange(len(pairs.high))
                for part in (pairs.high, pairs.low):
                    part[rows, start + rows] = 0.0
            made.append(pairs.sum(axis=1))
        return Twofold(np.concatenate([one.high for one in made]), np.concatenate([one.low for one in made]))


def meetings(x: Array, y: Array) -> Array:
    """Which pairs of points coincide, or on which side of one another they lie where all but one coordinate agree."""

    def side(a: Array, b: Array) -> Array:
        signs = np.sign(a[:, None, :] - b[None, :, :])
        return np.where(np.abs(signs).sum(axis=2) <= 1.0, signs.sum(axis=2), 2.0).reshape(-1)

    return np.concatenate([side(x, x), side(y, y), side(x, y)])[None]


@dataclass(frozen=True)
class Coupling:
    """Which number of x goes with which of y as both ascend, and how much of either does so.

    ``at`` and ``to`` are the rows of x and of y, piece by piece, ``mass`` how much there is of it, of a ``total``:
    whole numbers, of N·M in all, where all numbers of a sample have the same mass.
    """

    at: Ints
    to: Ints
    mass: Array
    total: float

    @classmethod
    def of(cls, x: Array, y: Array, x_mass: Array | None = None, y_mass: Array | None = None) -> Coupling:
        """That of two samples, and perhaps of the masses of their numbers; of equal numbers the first comes first."""
        n, m = len(x), len(y)
        if x_mass is not None or y_mass is not None:
            return cls._weighed(
                x, y, *(np.ones(n) if x_mass is None else x_mass, np.ones(m) if y_mass is None else y_mass)
            )
        ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
        starts = np.concatenate([[0], ends[:-1]])
        order, other = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
        return cls(order[starts // m], other[starts // n], (ends - starts).astype(np.float64), float(n * m))

    @classmethod
    def _weighed(cls, x: Array, y: Array, x_mass: Array, y_mass: Array) -> Coupling:
        order, other = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
        first, second = _running(x_mass[order]), _running(y_mass[other])
        # Each is brought to the other's total, so that nothing is divided.
        ends = [first * second[-1], second * first[-1]]
        high, low = (np.concatenate(both) for both in ([one.high for one in ends], [one.low for one in ends]))
        place = np.lexsort((low, high))
        of_first = place < len(x)
        end = Twofold(high[place], low[place])
        mass = (end - Twofold(np.append(0.0, end.high[:-1]), np.append(0.0, end.low[:-1]))).value
        total = float((first[-1] * second[-1]).value)
        # Two ends that are one and the same may differ by their rounding.
        kept = mass > _NOISE * total
        at: Ints = np.cumsum(of_first) - of_first
        to: Ints = np.arange(len(place)) - at
        return cls(order[at[kept]], other[to[kept]], mass[kept], total)

    def gather(self, per_piece: Array, name: str, count: int) -> Array:
        """What the pieces of each number of x, or of y, of which there are so many, add up to."""
        rows = self.at if name == "x" else self.to
        # The pieces of one number stand side by side.
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        made = np.zeros(count)
        made[rows[starts]] = np.add.reduceat(per_piece, starts)
        return made


def _running(mass: Array) -> Twofold:
    """The sums of masses up to each, and with it, in units of a power of two near the largest."""
    made, step = Twofold.of(np.ldexp(mass, -int(np.frexp(mass.max())[1]))), 1
    while step < len(mass):
        after = made[step:] + made[:-step]
        made = Twofold(np.append(made.high[:step], after.high), np.append(made.low[:step], after.low))
        step *= 2
    return made


def _inputs(axes: Sequence[str], says: str) -> tuple[Input, ...]:
    return tuple(
        Input(name, REAL, differentiable=True, help=says.format(axis), axes=axis)
        for name, axis in zip("xy", axes, strict=True)
    )


def massless(x_mass: Array | None, y_mass: Array | None) -> str:
    """The name of masses that are all 0; empty: there are none."""
    given = (("x_mass", x_mass), ("y_mass", y_mass))
    return next((name for name, mass in given if mass is not None and not mass.any()), "")


def _masses(help_text: str) -> tuple[Input, ...]:
    return tuple(
        Input(f"{name}_mass", NON_NEGATIVE, help=help_text.format(axis), axes=axis, optional=True)
        for name, axis in (("x", "N"), ("y", "M"))
    )


_SQUARES = "[[sum((c - d)**2 for c, d in zip(a, b)) for j, b in enumerate({1}){2}] for i, a in enumerate({0})]"
SAMPLES = Signature(
    "samples",
    _inputs(("ND", "MD"), "one point of the sample per row ({0[0]}, {0[1]}); all rows are one sample"),
    "groups",
    {
        "values": Link(
            plain("x", "y"),
            (
                ("xx", _SQUARES.format("x", "x", " if j != i")),
                ("yy", _SQUARES.format("y", "y", " if j != i")),
                ("xy", _SQUARES.format("x", "y", "")),
            ),
        )
    },
)
WEIGHED = Signature(
    "weighed-samples",
    (*SAMPLES.inputs, *_masses("the masses of its points ({}), any sum; without them all alike")),
    "groups",
    {"values": Link(plain("x", "y"), ())},
)
_SORTED = "sorted([(a, 1 if {0}_mass == None else {0}_mass[i]) for i, a in enumerate({0})])"
_SUMS = "[sum(m for a, m in {0}[:k]) for k in range(len({0}) + 1)]"
LINE = Signature(
    "samples-of-numbers",
    (
        *_inputs(("N", "M"), "the sample's numbers ({0[0]}), in any order; all rows are one sample"),
        *_masses("their masses ({}), any sum; without them all alike"),
    ),
    "groups",
    {
        "values": Link(
            plain("x", "y"),
            (
                *((name * 2, _SORTED.format(name)) for name in "xy"),
                *((f"{name}_sums", _SUMS.format(name * 2)) for name in "xy"),
            ),
        )
    },
)
