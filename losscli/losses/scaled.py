"""Distances between vectors whose coordinates have scales of their own."""

from __future__ import annotations

import numpy as np

from losscli.families.scaled import CORRELATED, STANDARDIZED
from losscli.loss import Kinks, Rows, loss
from losscli.stable import Array, norm, others, over, row_sums, unit


@loss(
    aliases=("seuclidean",),
    reads=STANDARDIZED,
    formula="sqrt(sum(di**2/vi for di, vi in zip(d, variance)))",
    slope="di/(vi L) by xi, the opposite by yi, and -di²/(2 vi² L) by the variance vi, L the distance itself; 0 where"
    " x = y",
    kinks=Kinks("x = y", piece=lambda d, variance: (d == 0).all(axis=1)),  # noqa: ARG005
    sources=("Mahalanobis (1936), On the generalised distance in statistics, for a diagonal covariance",),
    peers=("scipy.spatial.distance.seuclidean",),
)
def standardized_euclidean(d: Array, variance: Array) -> Rows:
    """Euclidean distance of vectors whose coordinates are divided by their standard deviations; slope 0 at x = y."""
    deviation = np.sqrt(variance)
    t = d / deviation
    size, u = norm(t), unit(t)

    def hess() -> tuple[Array, Array]:
        square = u * u
        return over(others(square), size) / variance, size * square * (1.0 - square / 4.0) / (variance * variance)

    return Rows(size[:, 0], grad=lambda: (u / deviation, -u * (t / variance) / 2.0), hess=hess)


@loss(
    reads=CORRELATED,
    formula="sqrt(sum(di*pij*dj for di, row in zip(d, precision) for pij, dj in zip(row, d)))",
    slope="P d/L by x, the opposite by y, and d dᵀ/(2L) by the precision: L is the distance itself, P the mean of the"
    " precision and its transpose; 0 where x = y",
    kinks=Kinks("x = y", piece=lambda d, precision: (d == 0).all(axis=1)),  # noqa: ARG005
    sources=("Mahalanobis (1936), On the generalised distance in statistics",),
    peers=("scipy.spatial.distance.mahalanobis",),
)
def mahalanobis(d: Array, precision: Array) -> Rows:
    """Distance in units of a covariance, whose inverse is given; slope 0 at x = y.

    A matrix that is not positive semidefinite may give the square root of a negative number: not a number.
    """
    # Sizes near 1 keep the squares from overflowing; what is divided out comes back at the end.
    scale = np.abs(d).max(axis=1, keepdims=True)
    scale = np.where(scale == 0.0, 1.0, scale)
    e = d / scale
    # Not a product of matrices, whose bits depend on how many rows there are.
    pull = np.einsum("md,de->me", e, precision + precision.T) / 2.0
    size = np.sqrt(row_sums(e * pull))[:, None]

    def hess() -> tuple[Array, Array]:
        slope = over(pull, size)
        return over(np.diag(precision) - slope * slope, size * scale), over(-(e * e), 4.0 * size**3) * scale**-1

    return Rows((size * scale)[:, 0], grad=lambda: (over(pull, size), over(e, 2.0 * size)), hess=hess)
