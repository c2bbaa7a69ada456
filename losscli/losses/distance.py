"""Distances between two vectors per row, x and y of shape (M, D)."""

from __future__ import annotations

import numpy as np

from losscli.loss import Kinks, Rows, loss
from losscli.signatures import VECTORS
from losscli.stable import Array, along, norm, others, over, row_sums, unit


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

    Written as half the squared distance of the unit vectors, which keeps the digits of a small angle.
    """
    length, breadth = norm(x), norm(y)
    u, v = along(x, length), along(y, breadth)
    apart = u - v
    far = row_sums(apart * apart)[:, None] / 2.0
    # Beyond a right angle the sum of the unit vectors is the shorter one, and keeps the digits.
    opposed = far > 1.0
    if opposed.any():
        np.copyto(apart, u + v, where=opposed)
    near = np.where(opposed, row_sums(apart * apart)[:, None] / 2.0, 2.0 - far)
    defined = (length > 0) & (breadth > 0)

    def slope(own: Array, sign: float, size: Array) -> Array:
        # The part of the other unit vector across one's own, from the shorter of difference and sum.
        across = apart * np.where(opposed, -1.0, sign) + own * np.where(opposed, near, -far)
        return across / np.where(defined, size, np.inf)

    def curve(own: Array, other: Array, size: Array) -> Array:
        cosine = np.where(opposed, near - 1.0, 1.0 - far)
        return np.where(defined, over(2.0 * own * other - 3.0 * cosine * own**2 + cosine, size * size), 0.0)

    return Rows(
        np.where(defined, np.where(opposed, 2.0 - near, far), 1.0)[:, 0],
        grad=lambda: (slope(u, 1.0, length), slope(v, -1.0, breadth)),
        hess=lambda: (curve(u, v, length), curve(v, u, breadth)),
    )
