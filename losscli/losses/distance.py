"""Distances between two vectors per row, x and y of shape (M, D)."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.vectors import VECTORS
from losscli.inputs import Bools
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array, along, norm, others, over, row_sums, times


def _same(x: Array, y: Array, *_: Array) -> Bools:
    return np.asarray((x == y).all(axis=1))


@loss(
    aliases=("l2-distance",),
    reads=VECTORS,
    formula="sqrt(sum((xi - yi)**2 for xi, yi in zip(x, y)))",
    slope="the unit vector from y to x by x, its opposite by y; 0 where x = y",
    kinks=Kinks("x = y", piece=_same),
    sources=("Euclid, Elements, I.47",),
    peers=("scipy.spatial.distance.euclidean", "torch.nn.PairwiseDistance(eps=0)"),
)
def euclidean(x: Array, y: Array) -> Rows:
    """Length of the straight line from y to x; its slope at x = y is taken as 0."""
    d = x - y
    size = norm(d)

    def grad() -> tuple[Array, Array]:
        slope = along(d, size)
        return slope, -slope

    def hess() -> tuple[Array, Array]:
        curve = over(others(along(d, size) ** 2), size)
        return curve, curve

    return Rows(size[:, 0], grad, hess)


@loss(
    aliases=("squared-euclidean",),
    reads=VECTORS,
    formula="sum((xi - yi)**2 for xi, yi in zip(x, y))",
    slope="twice the way from y to x, 2(x - y), by x; the opposite by y",
    convex=True,
    sources=("Euclid, Elements, I.47",),
    peers=("scipy.spatial.distance.sqeuclidean", "sklearn euclidean_distances(squared=True) (x² - 2xy + y²: cancels)"),
)
def sqeuclidean(x: Array, y: Array) -> Rows:
    """Squared length of the straight line from y to x."""
    d = x - y
    return Rows(
        row_sums(d * d), grad=lambda: (2.0 * d, -2.0 * d), hess=lambda: (np.full_like(d, 2.0), np.full_like(d, 2.0))
    )


@loss(
    aliases=("cityblock", "l1-distance"),
    reads=VECTORS,
    formula="sum(abs(xi - yi) for xi, yi in zip(x, y))",
    slope="the sign of each xi - yi by x, the opposite by y; 0 for a coordinate that they share",
    kinks=Kinks("x and y share a coordinate", piece=lambda x, y: np.sign(x - y)),
    sources=("Minkowski (1910), Geometrie der Zahlen",),
    peers=("scipy.spatial.distance.cityblock", "torch.nn.PairwiseDistance(p=1, eps=0)", "sklearn manhattan_distances"),
)
def manhattan(x: Array, y: Array) -> Rows:
    """Sum of the coordinates' absolute differences; its slope where a coordinate is shared is taken as 0."""
    d = x - y
    return Rows(
        row_sums(np.abs(d)),
        grad=lambda: (np.sign(d), -np.sign(d)),
        hess=lambda: (np.zeros_like(d), np.zeros_like(d)),
    )


def _farthest(x: Array, y: Array) -> Array:
    """The sign of the largest difference where it stands, 0 elsewhere."""
    d = x - y
    size = np.abs(d)
    return np.sign(d) * (size == size.max(axis=1, keepdims=True))


@loss(
    aliases=("max-distance", "linf-distance"),
    reads=VECTORS,
    formula="max(abs(xi - yi) for xi, yi in zip(x, y))",
    slope="the sign of xi - yi for the largest difference, 0 for all others, by x; the opposite by y; those that tie"
    " share it, 0 where x = y",
    kinks=Kinks("x = y, or the largest difference is tied", piece=_farthest),
    sources=("Minkowski (1910), Geometrie der Zahlen",),
    peers=("scipy.spatial.distance.chebyshev", "torch.nn.PairwiseDistance(p=inf, eps=0)"),
)
def chebyshev(x: Array, y: Array) -> Rows:
    """Largest of the coordinates' absolute differences.

    Coordinates that tie share the slope evenly; at x = y it is taken as 0.
    """
    d = x - y

    def grad() -> tuple[Array, Array]:
        at = _farthest(x, y)
        slope = over(at, row_sums(np.abs(at))[:, None])
        return slope, -slope

    return Rows(np.abs(d).max(axis=1), grad, hess=lambda: (np.zeros_like(d), np.zeros_like(d)))


@loss(
    reads=VECTORS,
    formula="sum(abs(xi - yi)**p for xi, yi in zip(x, y))**(1/p)",
    slope="(|xi - yi|/L)^(p - 1) with the sign of xi - yi by x, L the distance itself; the opposite by y; 0 where x ="
    " y",
    kinks=Kinks(
        "x = y; p < 2 and they share a coordinate",
        piece=lambda x, y, *, p: np.sign(x - y) if p < 2.0 else _same(x, y),
    ),
    sources=("Minkowski (1910), Geometrie der Zahlen",),
    peers=("scipy.spatial.distance.minkowski", "torch.nn.PairwiseDistance(eps=0)", "sklearn minkowski metric"),
)
def minkowski(
    x: Array,
    y: Array,
    *,
    p: Annotated[float, Param("the exponent: 1 is manhattan, 2 is euclidean", at_least=1)] = 3.0,
) -> Rows:
    """The p-th root of the sum of the differences' p-th powers.

    Its slope at x = y, and where p is 1 and a coordinate is shared, is taken as 0. Below p = 2 the second derivative
    is infinite where a coordinate is shared.
    """
    d = x - y
    # Differences are measured in the largest one: powers neither overflow nor vanish, and its own is exact.
    most = np.abs(d).max(axis=1, keepdims=True, initial=0.0)
    share = over(np.abs(d), most)
    powers = share**p
    total = row_sums(powers)[:, None]

    def grad() -> tuple[Array, Array]:
        slope = np.sign(d) * over(share ** (p - 1.0), total ** (1.0 - 1.0 / p))
        return slope, -slope

    def hess() -> tuple[Array, Array]:
        rest = over(over(others(powers), total), total ** (1.0 - 1.0 / p))
        curve = over(times(np.full_like(d, p - 1.0), times(rest, share ** (p - 2.0))), most)
        return curve, curve

    return Rows((most * total ** (1.0 / p))[:, 0], grad, hess)


@loss(
    aliases=("matching",),
    reads=VECTORS,
    formula="sum(1 if xi != yi else 0 for xi, yi in zip(x, y))/len(x)",
    slope="0 by both vectors: the value only jumps, where a coordinate comes to be shared",
    kinks=Kinks("x and y share a coordinate", piece=lambda x, y: x == y, jump=True),
    sources=("Hamming (1950), doi:10.1002/j.1538-7305.1950.tb00463.x",),
    peers=("scipy.spatial.distance.hamming", "sklearn hamming_loss (of label sets)"),
)
def hamming(x: Array, y: Array) -> Rows:
    """Share of the coordinates in which x and y differ; its slope is 0."""
    flat = (np.zeros_like(x), np.zeros_like(y))
    return Rows(row_sums((x != y).astype(np.float64)) / x.shape[1], grad=lambda: flat, hess=lambda: flat)


@loss(
    reads=VECTORS,
    formula="sum(abs(xi - yi)/(abs(xi) + abs(yi)) if abs(xi) + abs(yi) > 0 else 0 for xi, yi in zip(x, y))",
    slope="2|yi|/(|xi| + |yi|)² with the sign of xi - yi by xi, 2|xi|/(|xi| + |yi|)² with the other by yi; 0 unless"
    " both have the same sign",
    kinks=Kinks(
        "x and y share a coordinate, or one of theirs is 0; where both are 0 the value jumps",
        piece=lambda x, y: np.concatenate([np.sign(x - y), np.sign(x), np.sign(y)], axis=1),
        jump=True,
    ),
    sources=("Lance & Williams (1967), Mixed-data classificatory programs I, Australian Computer Journal 1:15-20",),
    peers=("scipy.spatial.distance.canberra",),
)
def canberra(x: Array, y: Array) -> Rows:
    """Sum of the coordinates' absolute differences, each as a share of their sizes; 0/0 is 0.

    Its slope is taken as 0 where a coordinate is shared, or is 0.
    """
    width = np.abs(x) + np.abs(y)
    # Of opposite signs, a coordinate adds 1 whatever its size.
    turn = np.sign(x - y) * (np.sign(x) * np.sign(y) > 0.0)

    def slope(other: Array) -> Array:
        return over(turn * (2.0 * over(np.abs(other), width)), width)

    return Rows(
        row_sums(over(np.abs(x - y), width)),
        grad=lambda: (slope(y), -slope(x)),
        hess=lambda: (
            -2.0 * over(np.sign(x) * slope(y), width),
            2.0 * over(np.sign(y) * slope(x), width),
        ),
    )


@loss(
    reads=VECTORS,
    formula="sum(abs(xi - yi) for xi, yi in zip(x, y))/sum(abs(xi + yi) for xi, yi in zip(x, y))"
    " if sum(abs(xi - yi) for xi, yi in zip(x, y)) > 0 else 0",
    slope="(sign(xi - yi) - L sign(xi + yi))/S by xi and (sign(yi - xi) - L sign(xi + yi))/S by yi: L is the loss"
    " itself, S the sum of |x + y|, sign(0) = 0",
    kinks=Kinks(
        "a coordinate of x is y's or minus y's; where both vectors are 0 the value jumps",
        piece=lambda x, y: np.concatenate([np.sign(x - y), np.sign(x + y)], axis=1),
        jump=True,
    ),
    sources=("Bray & Curtis (1957), doi:10.2307/1942268",),
    peers=("scipy.spatial.distance.braycurtis (of two zero vectors: NaN)",),
)
def bray_curtis(x: Array, y: Array) -> Rows:
    """Sum of the absolute differences over the sum of the absolute sums; 0 where x = y, infinite where x = -y.

    The sign of a difference or sum that is 0 is taken as 0 in its slope.
    """
    down, up = np.sign(x - y), np.sign(x + y)
    width = row_sums(np.abs(x + y))[:, None]
    value = over(row_sums(np.abs(x - y))[:, None], width)
    # |x + y| - |x - y| is twice the smaller of the two, with the sign of their product.
    slack = over(2.0 * row_sums(np.sign(x) * np.sign(y) * np.minimum(np.abs(x), np.abs(y)))[:, None], width)

    def slope(side: Array) -> Array:
        # side - value · up, where side and up are signs.
        return over(np.where(side * up > 0.0, side * slack, side - times(up, value)), width)

    def curve(side: Array) -> Array:
        return -2.0 * over(up * slope(side), width)

    return Rows(value[:, 0], grad=lambda: (slope(down), slope(-down)), hess=lambda: (curve(down), curve(-down)))
