"""Distances where peers lose digits, divide by zero or overflow: zero, parallel and tied vectors, extremes."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from losscli.evaluate import evaluate
from losscli.loss import catalogue, get
from losscli.results import Wants

DISTANCES = sorted(name for name, loss in catalogue().items() if loss.reads.name == "vectors")
EPS = 2.0**-52


def of(name: str, x: Any, y: Any, grad: str = "", hess: str = "", **params: float) -> Any:
    data = {"x": np.array([x], dtype=np.float64), "y": np.array([y], dtype=np.float64)}
    return evaluate(get(name).bind(**params), data, reduction="none", wants=Wants(grad=grad, hess=hess))


def value(name: str, x: Any, y: Any, **params: float) -> float:
    return float(of(name, x, y, **params).value[0])


def slope(name: str, x: Any, y: Any, wrt: str = "x", **params: float) -> list[float]:
    return list(of(name, x, y, wrt, **params).gradient[0])


def curve(name: str, x: Any, y: Any, wrt: str = "x", **params: float) -> list[float]:
    return list(of(name, x, y, "", wrt, **params).hessian[0])


def test_all_distances_are_here() -> None:
    assert {"euclidean", "cosine", "correlation", "minkowski", "hamming", "canberra", "bray-curtis"} <= {*DISTANCES}


@pytest.mark.parametrize("name", DISTANCES)
def test_two_zero_vectors_have_a_distance_and_slopes_of_zero(name: str) -> None:
    zero = [0.0, 0.0, 0.0]
    # Scipy 1.17 gives NaN for cosine, correlation and braycurtis; torch's pairwise_distance 1.7e-6 with slopes of 0.58.
    assert value(name, zero, zero) == (1.0 if name in ("cosine", "correlation") else 0.0)
    for wrt in ("x", "y"):
        assert slope(name, zero, zero, wrt) == zero
        assert all(math.isfinite(entry) for entry in curve(name, zero, zero, wrt))


@pytest.mark.parametrize("name", DISTANCES)
def test_coincident_vectors_are_at_distance_zero_without_a_slope(name: str) -> None:
    x = [0.3, -2.0, 5.0, 1e-9]
    assert value(name, x, x) == 0.0
    assert max(map(abs, slope(name, x, x))) <= EPS
    assert all(math.isfinite(entry) for entry in curve(name, x, x))


@pytest.mark.parametrize("name", ["cosine", "correlation"])
def test_nearly_parallel_vectors_keep_the_digits_of_their_angle(name: str) -> None:
    x = np.array([1.0, 2.0, 3.0])
    y = x * (1.0 + 1e-9 * np.array([1.0, -1.0, 2.0]))
    with mpmath.workdps(60):
        a, b = ([mpmath.mpf(float(entry)) for entry in side] for side in (x, y))
        if name == "correlation":
            a, b = ([entry - sum(side) / 3 for entry in side] for side in (a, b))
        exact = 1 - mpmath.fdot(a, b) / mpmath.sqrt(mpmath.fdot(a, a) * mpmath.fdot(b, b))
    # Scipy: 0.0 for the correlation and 1.1e-16 for the cosine.
    assert value(name, x, y) == pytest.approx(float(exact), rel=1e-6, abs=0)
    assert 1e-19 < value(name, x, y) < 1e-17


def test_a_constant_vector_has_no_correlation() -> None:
    # The mean of three times 0.1 is not 0.1: less that mean, a constant vector would point somewhere.
    constant, other = [0.1, 0.1, 0.1], [1.0, 2.0, 4.0]
    assert value("correlation", constant, other) == value("correlation", other, constant) == 1.0
    assert slope("correlation", constant, other) == slope("correlation", other, constant, "x") == [0.0, 0.0, 0.0]
    assert curve("correlation", constant, other) == [0.0, 0.0, 0.0]
    assert value("correlation", [3.0], [4.0]) == 1.0


def test_correlation_does_not_see_an_offset_or_a_scale() -> None:
    x, y = np.array([1.0, 2.0, 4.0, 7.0]), np.array([3.0, -1.0, 0.5, 2.0])
    plain = value("correlation", x, y)
    assert value("correlation", x + 2.0**30, 4.0 * y) == pytest.approx(plain, rel=4 * EPS)
    assert value("correlation", x, -y) == pytest.approx(2.0 - plain, rel=4 * EPS)
    assert value("correlation", x, -x) == 2.0
    assert sum(slope("correlation", x, y)) == pytest.approx(0.0, abs=EPS)


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_minkowski_neither_overflows_nor_vanishes(size: float) -> None:
    # Scipy: inf and 0.
    assert value("minkowski", [size, size], [0.0, 0.0], p=3.0) == pytest.approx(2.0 ** (1 / 3) * size, rel=4 * EPS)
    assert slope("minkowski", [size, size], [0.0, 0.0], p=3.0) == pytest.approx([2.0 ** (-2 / 3)] * 2, rel=4 * EPS)
    assert value("euclidean", [size, size], [0.0, 0.0]) == pytest.approx(math.sqrt(2.0) * size, rel=4 * EPS)


def test_minkowski_is_manhattan_and_euclidean_and_nears_chebyshev() -> None:
    x, y = [1.0, 2.0, 3.0, 0.5], [1.0, 0.0, 5.0, 1.0]
    assert value("minkowski", x, y, p=1.0) == value("manhattan", x, y)
    assert slope("minkowski", x, y, p=1.0) == slope("manhattan", x, y) == [0.0, 1.0, -1.0, -1.0]
    assert curve("minkowski", x, y, p=1.0) == [0.0] * 4
    assert value("minkowski", x, y, p=2.0) == pytest.approx(value("euclidean", x, y), rel=4 * EPS)
    assert slope("minkowski", x, y, p=2.0) == pytest.approx(slope("euclidean", x, y), rel=4 * EPS)
    assert value("minkowski", x, y, p=2000.0) == pytest.approx(value("chebyshev", x, y), rel=1e-3)


def test_coordinates_that_tie_share_the_slope_of_the_largest() -> None:
    # As torch.linalg.vector_norm; torch.cdist gives each of them 1.
    assert slope("chebyshev", [1.0, -1.0, 0.0], [0.0, 0.0, 0.0]) == [0.5, -0.5, 0.0]
    assert slope("chebyshev", [1.0, -3.0, 0.0], [0.0, 0.0, 0.0], "y") == [0.0, 1.0, 0.0]


def test_hamming_counts_the_coordinates_that_differ() -> None:
    assert value("hamming", [1.0, 0.0, 2.0, 3.0], [1.0, 1.0, 2.0, 2.0]) == 0.5
    assert value("hamming", [0.0], [-0.0]) == 0.0
    assert value("hamming", [0.0], [5e-324]) == 1.0


def test_canberra_of_opposite_signs_is_flat() -> None:
    x, y = [3.0, -1.0, 2.0, 0.0], [-1.0, 2.0, 6.0, 5.0]
    assert value("canberra", x, y) == 3.5
    assert slope("canberra", x, y) == [0.0, 0.0, -2 * 6.0 / 64.0, 0.0]
    assert slope("canberra", x, y, "y") == [0.0, 0.0, 2 * 2.0 / 64.0, 0.0]
    assert value("canberra", [1e-310, 0.0], [3e-310, 0.0]) == 0.5


def test_bray_curtis_of_nearly_disjoint_vectors_has_the_slope_of_what_they_share() -> None:
    x, y = [1.0, 1e-20], [1e-20, 1.0]
    # The value rounds to 1, and one less the value to 0; the slope of 2·1e-20 in the direction of x_0 is still there.
    assert value("bray-curtis", x, y) == 1.0
    assert slope("bray-curtis", x, y) == pytest.approx([1e-20, -1.0], rel=4 * EPS)
    assert slope("bray-curtis", x, y, "y") == pytest.approx([-1.0, 1e-20], rel=4 * EPS)


def test_bray_curtis_of_a_vector_and_its_negative_is_infinite() -> None:
    assert value("bray-curtis", [1.0, 2.0], [-1.0, -2.0]) == math.inf


def test_a_small_difference_of_large_coordinates_is_not_lost() -> None:
    # Sklearn's euclidean_distances(squared=True), from x² - 2xy + y²: 0.
    assert value("sqeuclidean", [1e8 + 1.0, 1.0], [1e8, 1.0]) == 1.0
    assert slope("sqeuclidean", [1e8 + 1.0, 1.0], [1e8, 1.0]) == [2.0, 0.0]
