"""Samples that coincide, nearly coincide, are far apart or of different sizes: where peers lose digits."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import plain
import pytest
from accuracy import Draw, check

from losscli.errors import DataError
from losscli.evaluate import evaluate
from losscli.loss import get
from losscli.results import Result, Wants
from losscli.twofold import Twofold, exp_less_one


def draws() -> np.random.Generator:
    """Of each test its own: what it sees does not depend on the tests that ran before."""
    return np.random.default_rng(1)


X, Y = (np.random.default_rng(seed).normal(size=(rows, 3)) + seed * 0.3 for seed, rows in ((0, 40), (1, 25)))
KERNELS = [("mmd", {}), ("mmd", {"kernel": "laplacian"}), ("energy", {})]


def of(name: str, x: Any, y: Any, grad: str = "", **params: Any) -> Result:
    return evaluate(get(name).bind(**params), {"x": np.array(x), "y": np.array(y)}, wants=Wants(grad=grad))


def value(name: str, x: Any, y: Any, **params: Any) -> float:
    return float(of(name, x, y, **params).value)


def slope(name: str, x: Any, y: Any, wrt: str = "x", **params: Any) -> Any:
    return of(name, x, y, wrt, **params).gradient


def test_scipys_numbers_for_samples_of_different_sizes() -> None:
    x, y = np.array([0.5, -1.0, 2.25, 3.0]), np.array([0.25, 1.5, -2.0])
    # Scipy 1.17: wasserstein_distance(x, y), and energy_distance(x, y), which is the root.
    assert value("wasserstein-1d", x, y) == pytest.approx(1.2708333333333333, rel=4e-16)
    assert value("energy", x[:, None], y[:, None]) == pytest.approx(0.9223309842157773**2, rel=1e-14)


@pytest.mark.parametrize(("name", "params"), KERNELS)
def test_a_sample_in_another_order_is_the_same_sample(name: str, params: dict[str, Any]) -> None:
    # Sums of floats leave some 1e-17, of either sign; its root would be 1e-9, or NaN.
    assert value(name, X, X[draws().permutation(len(X))], **params) == 0.0
    assert value("wasserstein-1d", X[:, 0], X[::-1, 0]) == 0.0


@pytest.mark.parametrize("step", [1e-6, 1e-10, 1e-14])
def test_close_samples_keep_the_digits_of_their_discrepancy(step: float) -> None:
    y = X * (1.0 + step * draws().normal(size=X.shape))
    order = draws().permutation(len(X))
    with mpmath.workdps(50):
        clouds = [[[mpmath.mpf(float(c)) for c in row] for row in sample] for sample in (X[:8], y[:8])]

        def mean(a: Any, b: Any) -> Any:
            return sum(mpmath.exp(-sum((c - d) ** 2 for c, d in zip(u, v, strict=True)) / 2) for u in a for v in b) / 64

        exact = mean(clouds[0], clouds[0]) + mean(clouds[1], clouds[1]) - 2 * mean(*clouds)
    assert value("mmd", X[:8], y[:8]) == pytest.approx(float(exact), rel=1e-14)
    assert value("mmd", X, y) == pytest.approx(value("mmd", X, y[order]), rel=1e-10)


@pytest.mark.parametrize("offset", [0.0, 2.0**20])
def test_two_single_points(offset: float) -> None:
    x, y = [[offset, offset]], [[offset + 3.0, offset + 4.0]]
    assert value("energy", x, y) == 10.0
    assert value("mmd", x, y, bandwidth=5.0) == pytest.approx(-2.0 * math.expm1(-0.5), rel=4e-16)
    assert value("mmd", x, y, kernel="laplacian", bandwidth=5.0) == pytest.approx(-2.0 * math.expm1(-1.0), rel=4e-16)
    assert slope("energy", x, y).tolist() == [[-1.2, -1.6]]
    assert value("wasserstein-1d", x[0], y[0], p=3.0) == (27.0 + 64.0) / 2.0


@pytest.mark.parametrize(("name", "params"), KERNELS)
def test_points_that_coincide_have_no_slope(name: str, params: dict[str, Any]) -> None:
    x = [[1.0, 2.0], [1.0, 2.0]]
    assert value(name, x, x, **params) == 0.0
    assert not slope(name, x, x, **params).any()
    assert not slope(name, x, x, "y", **params).any()


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-500, 2.0**500, 2.0**1000])
def test_energy_is_as_large_as_its_points(scale: float) -> None:
    assert value("energy", X * scale, Y * scale) == value("energy", X, Y) * scale
    assert np.array_equal(slope("energy", X * scale, Y * scale), slope("energy", X, Y))
    assert value("mmd", X * scale, Y * scale, bandwidth=scale) == value("mmd", X, Y)


def test_points_out_of_a_kernels_reach_leave_the_pairs_of_points_with_themselves() -> None:
    far = np.array([[0.0], [1e300], [-1e300]])
    more = far + 1e299
    assert value("mmd", far, more, bandwidth=1e-300) == pytest.approx(2.0 / 3.0, rel=4e-16)
    assert not slope("mmd", far, more, bandwidth=1e-300).any()
    # What is left of the means over different points is tiny, and no difference from one.
    tiny = value("mmd", [[0.0], [30.0]], [[1000.0], [2000.0]], unbiased=True)
    assert tiny == pytest.approx(math.exp(-450.0), rel=1e-13)


def test_a_distance_too_small_to_be_squared_has_a_direction() -> None:
    assert slope("energy", [[0.0, 0.0]], [[3e-200, 4e-200]]).tolist() == [[-1.2, -1.6]]
    assert slope("energy", [[0.0]], [[1e-200], [1.0]]).tolist() == [[-2.0]]


def test_masses_of_a_line_go_together_in_whole_numbers() -> None:
    x, y = np.array([0.0, 3.0]), np.array([5.0, 1.0, 2.0])
    # Thirds of y: 1, then 2 half to 0 and half to 3, then 5.
    assert value("wasserstein-1d", x, y) == pytest.approx((2 * 1 + 1 * 2 + 1 * 1 + 2 * 2) / 6, rel=4e-16)
    assert slope("wasserstein-1d", x, y).tolist() == [-0.5, pytest.approx(-1.0 / 6.0, rel=4e-16)]
    assert slope("wasserstein-1d", x, y, "y").tolist() == pytest.approx([1 / 3, 1 / 3, 0.0], rel=4e-16)
    assert slope("wasserstein-1d", [1.0, 2.0], [1.0, 2.0]).tolist() == [0.0, 0.0]


def test_what_goes_too_far_one_way_and_the_other_cancels() -> None:
    # A power close to 1 of distances close to 1: the slope is their difference, of which floats keep few digits.
    near, p = 1.0 + 2.0**-30, 1.0 + 2.0**-10
    exact = -p * math.expm1((p - 1.0) * math.log1p(2.0**-30)) / 2.0
    assert slope("wasserstein-1d", [0.0], [-1.0, near], p=p)[0] == pytest.approx(exact, rel=1e-14)


def test_two_floats_hold_a_hundred_bits_of_an_exponential() -> None:
    # From 37 on e^-s - 1 needs its second float for the exponential itself.
    scales = np.repeat([1e-9, 1e-3, 1.0, 10.0, 600.0], 6)
    s = np.concatenate([[0.0], draws().uniform(size=30) * scales, np.linspace(30.0, 90.0, 20)])
    for made, exact in zip(exp_less_one(Twofold.of(s)), (mpmath.expm1, mpmath.exp), strict=True):
        with mpmath.workdps(60):
            for high, low, one in zip(made.high, made.low, s, strict=True):
                truth = exact(-mpmath.mpf(float(one)))
                assert abs(mpmath.mpf(float(high)) + float(low) - truth) <= abs(truth) * mpmath.mpf(2) ** -98


def test_sinkhorn_of_two_single_points_is_their_cost() -> None:
    x, y = [[1.0, 2.0]], [[4.0, 6.0]]
    assert value("sinkhorn", x, y) == 25.0
    assert value("sinkhorn", x, y, p=1, epsilon=1e-3) == 5.0
    assert slope("sinkhorn", x, y).tolist() == [[-6.0, -8.0]]
    assert slope("sinkhorn", x, y, "y", p=1).tolist() == [
        [pytest.approx(0.6, rel=4e-16), pytest.approx(0.8, rel=4e-16)]
    ]
    # The same point once more: geomloss fails on single points that coincide.
    assert value("sinkhorn", x, x, debiased=True) == 0.0
    assert not slope("sinkhorn", x, x, p=1).any()


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("permuted", [False, True])
def test_a_small_epsilon_leaves_the_cheapest_plan_and_its_entropy(p: int, permuted: bool) -> None:
    # POT's sinkhorn2 at reg 1e-3: 0.0, with a slope of NaN.
    x = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    y = x + np.array([0.0, 0.25])
    y = y[[2, 0, 1]] if permuted else y
    exact = 0.25**p + 1e-3 * math.log(3.0)
    assert value("sinkhorn", x, y, epsilon=1e-3, p=p) == pytest.approx(exact, rel=4e-16)
    steep = -p * 0.25 ** (p - 1) / 3.0
    assert slope("sinkhorn", x, y, epsilon=1e-3, p=p).tolist() == [[0.0, pytest.approx(steep, rel=4e-16)]] * 3
    assert value("sinkhorn", x, y, epsilon=1e-3, p=p, debiased=True) == pytest.approx(0.25**p, rel=4e-16)


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 10.0])
def test_a_plan_moves_as_much_as_it_pays_for(epsilon: float, debiased: bool) -> None:
    # All points of x moved by t: the value's slope is that of |mean x - mean y|² whatever the plan.
    whole = slope("sinkhorn", X, Y, epsilon=epsilon, debiased=debiased).sum(axis=0)
    np.testing.assert_allclose(whole, 2.0 * (X.mean(axis=0) - Y.mean(axis=0)), rtol=1e-13)
    back = slope("sinkhorn", Y, X, "y", epsilon=epsilon, debiased=debiased)
    np.testing.assert_allclose(back, slope("sinkhorn", X, Y, epsilon=epsilon, debiased=debiased), rtol=1e-14)


def test_a_sinkhorn_divergence_is_none_of_equal_samples_and_keeps_the_digits_of_close_ones() -> None:
    order = draws().permutation(len(X))
    for epsilon in (1e-2, 1.0, 1e6):
        assert value("sinkhorn", X, X[order], epsilon=epsilon, debiased=True) == 0.0
        # A translation costs its square, whatever is rounded in sums with it.
        near = value("sinkhorn", X, np.ldexp(np.rint(np.ldexp(X, 40)), -40) + 2.0**-20, epsilon=epsilon, debiased=True)
        assert near == pytest.approx(3.0 * 2.0**-40, rel=1e-5)


@pytest.mark.parametrize("power", [-500, -300, 300, 500])
def test_sinkhorns_units_are_those_of_the_cost(power: int) -> None:
    scale = 2.0**power
    assert value("sinkhorn", X * scale, Y * scale, epsilon=scale * scale) == value("sinkhorn", X, Y) * scale * scale
    found = slope("sinkhorn", X * scale, Y * scale, epsilon=scale * scale)
    assert np.array_equal(found, slope("sinkhorn", X, Y) * scale)


def test_a_huge_epsilon_leaves_the_mean_cost() -> None:
    mean = float(((X[:, None] - Y) ** 2).sum(axis=2).mean())
    assert value("sinkhorn", X, Y, epsilon=1e300) == pytest.approx(mean, rel=1e-14)
    gap = X.mean(axis=0) - Y.mean(axis=0)
    assert value("sinkhorn", X, Y, epsilon=1e300, debiased=True) == pytest.approx(float((gap * gap).sum()), rel=1e-13)


def test_an_epsilon_that_leaves_no_digits_is_refused() -> None:
    with pytest.raises(DataError, match="epsilon"):
        value("sinkhorn", X, Y, epsilon=1e-14)


def line(x: Any, y: Any, x_mass: Any = None, y_mass: Any = None, grad: str = "", **params: Any) -> Result:
    """Transport on a line of numbers with masses."""
    data = {"x": x, "y": y, "x_mass": x_mass, "y_mass": y_mass}
    given = {name: np.array(array, dtype=float) for name, array in data.items() if array is not None}
    return evaluate(get("wasserstein-1d").bind(**params), given, wants=Wants(grad=grad))


def test_scipys_numbers_for_masses() -> None:
    # The examples in the documentation of scipy.stats.wasserstein_distance.
    assert line([0, 1, 3], [5, 6, 8], [1, 1, 1], [1, 1, 1]).value == pytest.approx(5.0, rel=4e-16)
    u, v = [3.4, 3.9, 7.5, 7.8], [4.5, 1.4]
    assert line(u, v, [1.4, 0.9, 3.1, 7.2], [3.2, 3.5]).value == pytest.approx(4.078133143804786, rel=1e-14)


@pytest.mark.parametrize("p", [1.0, 2.5])
def test_a_mass_of_a_whole_number_is_so_many_numbers(p: float) -> None:
    x, y = X[:6, 0], Y[:4, 0]
    a, b = np.array([3, 1, 0, 2, 1, 4]), np.array([1, 0, 5, 2])
    for wrt, own, mass in (("x", x, a), ("y", y, b)):
        made = line(x, y, a * 0.1, b * 3.0, wrt, p=p)
        plain = line(np.repeat(x, a), np.repeat(y, b), grad=wrt, p=p)
        assert made.value == pytest.approx(plain.value, rel=1e-14)
        assert made.gradient is not None
        assert plain.gradient is not None
        ends = np.cumsum(mass)
        summed = [plain.gradient[end - some : end].sum() for some, end in zip(mass, ends, strict=True)]
        assert made.gradient == pytest.approx(np.array(summed), rel=1e-13, abs=1e-16)
        assert made.gradient.shape == own.shape


@pytest.mark.parametrize("given", ["", "x", "y", "xy"])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
def test_masses_of_any_size_keep_their_digits(given: str, p: float) -> None:
    rng = draws()
    data = {"x": rng.normal(size=7), "y": rng.normal(size=5)}
    for name, count in (("x", 7), ("y", 5)):
        if name in given:
            data[f"{name}_mass"] = rng.uniform(0.5, 2.0, count) * 10.0 ** rng.integers(-5, 5, count)
    assert check(Draw(get("wasserstein-1d").bind(p=p), data), ["value", "gradient"]) == 13


def test_masses_on_the_command_line(tmp_path: Path) -> None:
    for name, column in {"x": "0\n1\n3", "y": "5\n6\n8", "a": "3\n1\n0", "b": "1\n1\n2", "none": "0\n0\n0"}.items():
        (tmp_path / f"{name}.csv").write_text(column + "\n")

    def compute(*words: str) -> Any:
        command = [sys.executable, "-m", "losscli", "compute", "wasserstein-1d", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    made = json.loads(compute("x.csv", "y.csv", "a.csv", "b.csv", "--grad", "--json").stdout)
    # A quarter goes from 0 to 5, one to 6 and one to 8, and one from 1 to 8.
    assert made["value"] == (5.0 + 6.0 + 8.0 + 7.0) / 4.0
    assert made["gradient"]["values"] == [-0.75, -0.25, 0.0]
    done = compute("x.csv", "y.csv", "none.csv")
    assert (done.returncode, done.stdout) == (3, "")
    assert "the masses of x_mass are all 0" in done.stderr
    done = compute("x.csv", "y.csv", "a.csv", "a.csv", "--p", "2", "-q")
    assert done.returncode == 0


MASSES = {
    "plain": ([1.5, 0.5, 2.0, 0.25], [0.75, 1.0, 3.0]),
    # A point without mass is none; one of hardly any is nearly all that its own column is filled from.
    "none and hardly any": ([0.0, 1e-9, 7e5, 1.25], [2.0, 0.0, 3.0]),
}


@pytest.mark.parametrize("masses", MASSES)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("epsilon", [0.01, 0.5, 20.0])
def test_sinkhorn_with_masses_is_the_dual_at_50_digits(masses: str, p: int, debiased: bool, epsilon: float) -> None:
    a, b = MASSES[masses]
    x, y = X[:4, :2], Y[:3, :2]
    data = {"x": x, "y": y, "x_mass": np.array(a), "y_mass": np.array(b)}
    found = evaluate(get("sinkhorn").bind(p=p, debiased=debiased, epsilon=epsilon), data, wants=Wants(grad="x"))
    with mpmath.workdps(50):

        def exact(step: Any) -> Any:
            moved = [[mpmath.mpf(c) for c in row] for row in x.tolist()]
            moved[3][0] += step
            return plain.sinkhorn(moved, y.tolist(), a, b, mpmath.mpf(epsilon), p, debiased)

        h = mpmath.mpf(10) ** -15
        whole, steep = exact(0), (exact(h) - exact(-h)) / (2 * h)
        assert abs(float(found.value) - whole) <= 4 * 2.0**-52 * abs(whole)
        assert abs(found.gradient[3, 0] - steep) <= 4 * 2.0**-52 * abs(steep)
    assert not found.gradient[[m == 0.0 for m in a]].any()


def test_sinkhorns_masses_are_shares_and_those_of_points_that_coincide_add_up() -> None:
    def cost(x: Any, y: Any, **masses: Any) -> float:
        return float(evaluate(get("sinkhorn").bind(epsilon=0.3), {"x": x, "y": y, **masses}).value)

    alike = cost(X, Y)
    assert cost(X, Y, x_mass=np.full(40, 0.5), y_mass=np.full(25, 2.0**70)) == alike
    assert cost(X, Y, x_mass=np.full(40, 0.3)) == pytest.approx(alike, rel=1e-15)
    counts = np.arange(1, 26) % 4
    assert cost(X, Y, y_mass=counts.astype(float)) == pytest.approx(cost(X, np.repeat(Y, counts, axis=0)), rel=1e-14)
    with pytest.raises(DataError, match="masses of x_mass are all 0"):
        cost(X, Y, x_mass=np.zeros(40))
