"""Distances between two vectors per row, x and y of shape (M, D)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from losscli.families.vectors import VECTORS
from losscli.inputs import Bools
from losscli.loss import Kinks, Rows, loss
from losscli.stable import Array, along, norm, others, over, row_sums, unit

# A cosine of this size is far enough from one for their difference to keep its digits.
_STEEP = 0.5


@loss(
    aliases=("l2-distance",),
    reads=VECTORS,
    formula="sqrt(sum((xi - yi)**2 for xi, yi in zip(x, y)))",
    kinks=Kinks("x = y", piece=lambda x, y: (x == y).all(axis=1)),
    sources=("Euclid, Elements, I.47",),
    peers=("scipy.spatial.distance.euclidean", "torch.nn.PairwiseDistance(eps=0)"),
)
def euclidean(x: Array, y: Array) -> Rows:
    """Length of the straight line from y to x; its slope at x = y is taken as 0."""
    d = x - y
    size = norm(d)

    def hess() -> tuple[Array, Array]:
        curve = over(others(unit(d) ** 2), size)
        return curve, curve

    return Rows(size[:, 0], grad=lambda: (unit(d), -unit(d)), hess=hess)


@loss(
    aliases=("cosine-distance",),
    reads=VECTORS,
    formula="1 - sum(xi*yi for xi, yi in zip(x, y))/sqrt(sum(xi**2 for xi in x)*sum(yi**2 for yi in y))"
    " if sum(abs(xi) for xi in x) > 0 and sum(abs(yi) for yi in y) > 0 else 1",
    kinks=Kinks("x = 0 or y = 0", piece=lambda x, y: (x == 0).all(axis=1) | (y == 0).all(axis=1), jump=True),
    sources=("Salton, Wong & Yang (1975), doi:10.1145/361219.361220",),
    peers=("scipy.spatial.distance.cosine", "optax.cosine_distance", "torch.nn.CosineSimilarity (1 - it)"),
)
def cosine(x: Array, y: Array) -> Rows:
    """One minus the cosine of the angle between x and y; one, without a slope, for a zero vector.

    For a small angle, half the squared distance of the unit vectors, which keeps its digits.
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
        return made

    def curve(own: Array, other: Array, size: Array) -> Array:
        u, v, cosine = along(own, size), along(other, norm(other)), 1.0 - value
        return np.where(both > 0, over(2.0 * u * v - 3.0 * cosine * u**2 + cosine, size * size), 0.0)

    return Rows(
        value[:, 0],
        grad=lambda: (slope(x, y, length, 1.0), slope(y, x, breadth, -1.0)),
        hess=lambda: (curve(x, y, length), curve(y, x, breadth)),
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
