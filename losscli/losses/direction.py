"""Distances between the directions of two vectors per row, x and y of shape (M, D): cosine and correlation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from losscli.families.vectors import VECTORS
from losscli.inputs import Bools
from losscli.loss import Kinks, Rows, loss
from losscli.stable import Array, along, norm, others, over, row_sums

# A cosine of this size is far enough from one for their difference to keep its digits.
_STEEP = 0.5


@loss(
    aliases=("cosine-distance",),
    reads=VECTORS,
    formula="1 - sum(xi*yi for xi, yi in zip(x, y))/sqrt(sum(xi**2 for xi in x)*sum(yi**2 for yi in y))"
    " if sum(abs(xi) for xi in x) > 0 and sum(abs(yi) for yi in y) > 0 else 1",
    slope="minus what the unit vector of y has across x, over the length of x, by x; by y the other way round; 0 for a"
    " zero vector",
    kinks=Kinks("x = 0 or y = 0", piece=lambda x, y: (x == 0).all(axis=1) | (y == 0).all(axis=1), jump=True),
    sources=("Salton, Wong & Yang (1975), doi:10.1145/361219.361220",),
    peers=("scipy.spatial.distance.cosine", "optax.cosine_distance", "torch.nn.CosineSimilarity (1 - it)"),
)
def cosine(x: Array, y: Array) -> Rows:
    """One minus the cosine of the angle between x and y; one, without a slope, for a zero vector.

    For a small angle, half the squared distance of the unit vectors, which keeps its digits.
    """
    return _turned(x, y, lambda slope: slope, lambda u: others(u * u))


@loss(
    aliases=("pearson", "correlation-distance"),
    reads=VECTORS,
    formula="1 - sum((xi - sum(x)/len(x))*(yi - sum(y)/len(y)) for xi, yi in zip(x, y))"
    "/sqrt(sum((xi - sum(x)/len(x))**2 for xi in x)*sum((yi - sum(y)/len(y))**2 for yi in y))"
    " if max(x) > min(x) and max(y) > min(y) else 1",
    slope="as for cosine once x and y have lost their means: minus what y's unit vector then has across x, over the"
    " length of x, by x; by y the other way round; 0 for a constant vector",
    kinks=Kinks(
        "x or y has the same number in all its coordinates",
        piece=lambda x, y: (x == x[:, :1]).all(axis=1) | (y == y[:, :1]).all(axis=1),
        jump=True,
    ),
    sources=("Pearson (1895), doi:10.1098/rspl.1895.0041",),
    peers=("scipy.spatial.distance.correlation (of a constant vector: NaN)", "sklearn correlation metric"),
)
def correlation(x: Array, y: Array) -> Rows:
    """One minus Pearson's correlation of the coordinates of x and y; one, without a slope, where either is constant."""
    return _turned(_centred(x), _centred(y), _level, _left_of_level)


def _level(d: Array) -> Array:
    """Each row less its mean."""
    return d - row_sums(d)[:, None] / d.shape[1]


def _centred(x: Array) -> Array:
    """Each row less its mean: exactly 0 where all its numbers are the same, and rid of the first mean's rounding."""
    return _level(_level(x - x[:, :1]))


def _left_of_level(u: Array) -> Array:
    """1 - 1/D - u² for unit vectors without a mean: for the largest, by the spread of the others around theirs."""
    rows, size = np.arange(len(u)), u.shape[1]
    most = 1.0 - 1.0 / size
    left = most - u * u
    top = np.abs(u).argmax(axis=1)
    spread = u + u[rows, top][:, None] / (size - 1.0)
    spread[rows, top] = 0.0
    left[rows, top] = most * row_sums(spread * spread)
    return left


def _turned(x: Array, y: Array, level: Callable[[Array], Array], left: Callable[[Array], Array]) -> Rows:
    """One minus the cosine; ``level`` carries a slope back, ``left`` is the slope of a unit vector along its own axes.

    That is, of an entry u its distance from the largest that its square may be.
    """
    length, breadth = norm(x), norm(y)
    both = length * breadth
    turn = row_sums(x * y)[:, None] / both
    value = 1.0 - turn
    # Where the angle is far from 0° and 180° nothing cancels; elsewhere, and where products of lengths may overflow
    # or vanish, the unit vectors are compared.
    plain = (np.abs(turn) < _STEEP) & (np.minimum(length, breadth) > 1e-70) & (np.maximum(length, breadth) < 1e70)
    rest = np.flatnonzero(~plain[:, 0])
    narrow = _Narrow.of(x[rest], y[rest]) if rest.size else None
    if narrow is not None:
        value[rest] = narrow.value

    def slope(own: Array, other: Array, size: Array, sign: float) -> Array:
        made = own * (turn / (size * size)) - other / both
        if narrow is not None:
            made[rest] = narrow.slope(own[rest], size[rest], sign)
        return level(made)

    def curve(own: Array, other: Array, size: Array, sign: float) -> Array:
        u = along(own, size)
        across = slope(own, other, size, sign) * size
        bend = over(over((1.0 - value) * left(u) - 2.0 * u * across, size), size)
        return np.where((length > 0) & (breadth > 0), bend, 0.0)

    return Rows(
        value[:, 0],
        grad=lambda: (slope(x, y, length, 1.0), slope(y, x, breadth, -1.0)),
        hess=lambda: (curve(x, y, length, 1.0), curve(y, x, breadth, -1.0)),
    )


@dataclass(frozen=True)
class _Narrow:
    """Two unit vectors by what lies between them: u - v, or, where they point apart, u + v, the shorter one.

    ``half`` is half its squared length, 1 - |cosine|, with the digits that subtracting from 1 would lose.
    """

    apart: Array
    half: Array
    opposed: Bools
    defined: Bools

    @classmethod
    def of(cls, x: Array, y: Array) -> _Narrow:
        length, breadth = norm(x), norm(y)
        u, v = along(x, length), along(y, breadth)
        opposed = row_sums(u * v)[:, None] < 0.0
        apart = np.where(opposed, u + v, u - v)
        return cls(apart, row_sums(apart * apart)[:, None] / 2.0, opposed, (length > 0) & (breadth > 0))

    @property
    def value(self) -> Array:
        """One minus the cosine; one where there is no angle."""
        return np.where(self.defined, np.where(self.opposed, 2.0 - self.half, self.half), 1.0)

    def slope(self, own: Array, size: Array, sign: float) -> Array:
        """The derivative by one of the two: the part of the other unit vector across it, over its length."""
        side = np.where(self.opposed, -1.0, sign)
        across = self.apart * side + along(own, size) * np.where(self.opposed, self.half, -self.half)
        return across / np.where(self.defined, size, np.inf)
