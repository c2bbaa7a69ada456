"""Edges of regression losses, rates, spreads and penalties: kinks, cancellation, overflow, and where others differ."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from losscli.errors import LosscliError
from losscli.evaluate import evaluate
from losscli.loss import get
from losscli.plan import How
from losscli.results import Result, Wants


def run(name: str, *inputs: float, wrt: str = "", link: str = "", **params: Any) -> Result:
    """A loss of one row: its value, and its derivatives by ``wrt``."""
    bound = get(name).bind(**params)
    reads = bound.loss.reads
    data = {key: np.array([x]) for key, x in zip(reads.names, inputs, strict=True)}
    wrt = wrt or reads.differentiable[0]
    return evaluate(bound, data, how=How(link=link or reads.default_link), wants=Wants(grad=wrt, hess=wrt))


def value(name: str, *inputs: float, **more: Any) -> float:
    return float(run(name, *inputs, **more).value)


def slope(name: str, *inputs: float, **more: Any) -> float:
    made = run(name, *inputs, **more).gradient
    assert made is not None
    return float(made[0])


def curve(name: str, *inputs: float, **more: Any) -> float:
    made = run(name, *inputs, **more).hessian
    assert made is not None
    return float(made[0])


@pytest.mark.parametrize(
    ("name", "params", "at", "expected"),
    [
        # sklearn's AbsoluteError says -1 at r = 0, its PinballLoss -alpha, LightGBM's quantile 1 - alpha.
        ("mae", {}, 0.0, 0.0),
        ("quantile", {"tau": 0.3}, 0.0, 0.0),
        ("smooth-l1", {"beta": 0.5}, 0.5, 1.0),
        ("huber", {"delta": 2.0}, -2.0, -2.0),
        ("wing", {}, 0.0, 0.0),
        ("wing", {"w": 3.0, "epsilon": 1.0}, 3.0, 1.0),
        ("wing", {"w": 3.0, "epsilon": 1.0}, 0.5, 2.0),
        ("epsilon-insensitive", {"epsilon": 0.25}, 0.25, 0.0),
        ("epsilon-insensitive", {"epsilon": 0.25}, -0.3, -1.0),
        ("tukey", {"c": 2.0}, 2.0, 0.0),
        ("lp", {"p": 1.1}, 0.0, 0.0),
        ("zero-one-tolerance", {"tolerance": 0.5}, 0.5, 0.0),
    ],
)
def test_the_slope_at_a_seam(name: str, params: dict[str, float], at: float, expected: float) -> None:
    assert slope(name, at, 0.0, **params) == expected


def test_an_error_of_just_the_tolerance_is_none() -> None:
    assert value("zero-one-tolerance", 0.5, 0.0) == 0.0
    assert value("zero-one-tolerance", np.nextafter(0.5, 1.0), 0.0) == 1.0


@pytest.mark.parametrize(
    ("name", "near"),
    # sqrt(1 + 1e-18) - 1 and 1 - (1 - 1e-18)³ are 0, 1e-9 - log1p(1e-9) is 4.1e-25; all start as r²/2.
    [("pseudo-huber", 5e-19), ("fair", 5e-19), ("cauchy", 5e-19), ("geman-mcclure", 5e-19), ("tukey", 5e-19)],
)
def test_a_small_residual_keeps_its_digits(name: str, near: float) -> None:
    c = "delta" if name == "pseudo-huber" else "c"
    assert value(name, 1e-9, 0.0, **{c: 1.0}) == pytest.approx(near, rel=1e-9)
    assert slope(name, -1e-9, 0.0, **{c: 1.0}) == pytest.approx(-1e-9, rel=3e-9)
    assert curve(name, 0.0, 0.0, **{c: 3.0}) == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize(
    ("name", "far", "pull"),
    # scipy.special.pseudo_huber(1, 1e200) is inf: it squares the residual.
    [
        ("pseudo-huber", 1e200, 1.0),
        ("fair", 1e200, 1.0),
        ("cauchy", 200.0 * math.log(10.0), 1e-200),
        ("geman-mcclure", 0.5, 0.0),
        ("tukey", 1.0 / 6.0, 0.0),
        ("wing", 1e200, 1.0),
    ],
)
def test_a_huge_residual_neither_overflows_nor_loses_its_slope(name: str, far: float, pull: float) -> None:
    params = {} if name == "wing" else {"delta" if name == "pseudo-huber" else "c": 1.0}
    assert value(name, 1e200, 0.0, **params) == pytest.approx(far, rel=1e-15)
    assert slope(name, 1e200, 0.0, **params) == pytest.approx(pull, rel=1e-15)


def test_an_expectile_is_a_tilted_square() -> None:
    assert value("expectile", -2.0, 0.0, tau=0.9) == pytest.approx(3.6)
    assert value("expectile", 2.0, 0.0, tau=0.9) == pytest.approx(0.4)
    assert value("expectile", 3.0, 0.0) == 4.5


def test_the_share_of_an_error_at_a_target_of_zero() -> None:
    # keras divides by 1e-7 and multiplies by 100, sklearn by 2^-52, LightGBM by 1.
    assert value("mape", 1.0, 0.0) == 1e7
    assert value("mape", 1.0, 0.0, least=2.0**-52) == 4503599627370496.0
    assert value("mape", 1.0, 0.0, least=1.0) == 1.0
    assert value("mape", 0.0, 0.0) == slope("mape", 0.0, 0.0) == 0.0


@pytest.mark.parametrize(("target", "expected"), [(2.0, -0.75), (-2.0, 0.75), (0.5, -1.0), (1.0, -1.0), (3.0, 0.0)])
def test_the_slope_of_a_relative_error_by_the_target(target: float, expected: float) -> None:
    # |3 - t|/|t| changes by 3/t²; up to |t| = 1 the divisor is 1.
    assert slope("mape", 3.0, target, wrt="target", least=1.0) == expected


def test_logarithms_of_what_is_almost_alike() -> None:
    # log1p(1 + 1e-14) - log1p(1) has two digits: sklearn says 2.49600520792586e-29.
    apart = mpmath.mpf(1 + 1e-14) - 1
    with mpmath.workdps(50):
        exact = float(mpmath.log(1 + apart / 2) ** 2)
    assert value("msle", 1.0 + 1e-14, 1.0) == pytest.approx(exact, rel=1e-15, abs=0)


@pytest.mark.parametrize("prediction", [-1.0, -1.5])
def test_logarithms_of_nothing_are_refused(prediction: float) -> None:
    # keras makes 1e-7 of it, XGBoost -1 + 1e-6: a slope of 0, or a wrong one.
    with pytest.raises(LosscliError, match=r"prediction must be a number above -1"):
        value("msle", prediction, 0.0)


NEAR = 3.0000003


@pytest.mark.parametrize(
    ("power", "by_sklearn"), [(0.0, 0.0), (1.0, 3.019806626980426e-14), (1.5, 1.7763568394002505e-14), (3.0, 0.0)]
)
def test_a_deviance_keeps_its_digits_where_rate_and_target_meet(power: float, by_sklearn: float) -> None:
    with mpmath.workdps(60):
        t, rate, p = mpmath.mpf(3), mpmath.mpf(NEAR), mpmath.mpf(power)
        exact = float(mpmath.quad(lambda s: 2 * (s - t) * s**-p, [t, rate]))
    assert value("tweedie", NEAR, 3.0, link="rate", power=power) == pytest.approx(exact, rel=1e-15, abs=0)
    if by_sklearn:
        assert abs(by_sklearn / exact - 1.0) > 5e-3


@pytest.mark.parametrize("pole", [1.0, 2.0])
def test_a_deviance_passes_its_poles_smoothly(pole: float) -> None:
    # By its powers, at 1 + 1e-12, it is 7e-4 off.
    at, beside = (value("tweedie", 6.0, 3.0, link="rate", power=p) for p in (pole, pole + 1e-12))
    assert beside == pytest.approx(at, rel=1e-11, abs=0)
    assert at != beside


@pytest.mark.parametrize("link", ["rate", "log-rate"])
def test_a_count_of_zero(link: str) -> None:
    x = 0.5 if link == "rate" else math.log(0.5)
    assert value("tweedie", x, 0.0, link=link, power=1.0) == pytest.approx(1.0, rel=1e-15)
    assert value("tweedie", x, 0.0, link=link, power=1.5) == pytest.approx(4.0 * math.sqrt(0.5), rel=1e-15)
    # No gamma variable is 0.
    assert value("tweedie", x, 0.0, link=link, power=2.0) == math.inf
    assert value("negative-binomial", x, 0.0, link=link) == pytest.approx(math.log(1.5), rel=1e-15)


def test_a_rate_of_zero_for_no_count_is_right() -> None:
    assert value("tweedie", 0.0, 0.0, link="rate", power=1.5) == 0.0
    assert value("tweedie", 0.0, 3.0, link="rate", power=1.0) == math.inf


def test_a_gamma_target_of_zero_is_refused() -> None:
    with pytest.raises(LosscliError, match="target must be above 0"):
        value("gamma-deviance", 0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "params", "x", "slope_there", "curve_there"),
    [
        # e^745 is infinite and e^-745 one spacing of floats; what the loss makes of them is neither.
        ("gamma-deviance", {}, 745.0, 2.0, 0.0),
        ("tweedie", {"power": 2.0}, 745.0, 2.0, 0.0),
        ("tweedie", {"power": 1.0}, -745.0, -4.0, 0.0),
        ("tweedie", {"power": 1.9}, 745.0, 2.0 * math.exp(74.5), 0.2 * math.exp(74.5)),
        ("negative-binomial", {"dispersion": 0.5}, 745.0, 2.0, 0.0),
        ("negative-binomial", {"dispersion": 0.5}, -745.0, -2.0, 0.0),
    ],
)
def test_a_log_rate_beyond_the_exponential(
    name: str, params: dict[str, float], x: float, slope_there: float, curve_there: float
) -> None:
    assert math.isfinite(value(name, x, 2.0, **params))
    assert slope(name, x, 2.0, **params) == pytest.approx(slope_there, rel=1e-13)
    assert curve(name, x, 2.0, **params) == pytest.approx(curve_there, rel=1e-12, abs=1e-300)


def test_little_dispersion_is_poisson() -> None:
    for x, t in ((0.7, 2.0), (-3.0, 0.0), (2.0, 9.0)):
        assert value("negative-binomial", x, t, dispersion=1e-12) == pytest.approx(value("poisson", x, t), rel=1e-9)
        assert slope("negative-binomial", x, t, dispersion=1e-12) == pytest.approx(slope("poisson", x, t), rel=1e-9)


def test_a_floor_under_the_variance_leaves_it_no_slope() -> None:
    # torch clamps the value but not the slope: -1.25e11 for a variance of 1e-8, where raising it changes nothing.
    given = (0.5, 0.0, 1e-8)
    assert value("gaussian-nll", *given, eps=1e-6) == pytest.approx(124993.09224472102, rel=1e-15)
    assert slope("gaussian-nll", *given, wrt="variance", eps=1e-6) == 0.0
    assert slope("gaussian-nll", *given, wrt="variance") == pytest.approx(-1.25e15 + 5e7, rel=1e-15)
    assert slope("gaussian-nll", *given, wrt="target") == -slope("gaussian-nll", *given, wrt="mean") == -5e7


def test_a_full_likelihood_is_one() -> None:
    assert value("gaussian-nll", 0.0, 0.0, 1.0, full=True) == pytest.approx(math.log(2.0 * math.pi) / 2.0, rel=1e-15)
    assert value("gaussian-nll", 0.0, 0.0, 1.0) == 0.0
    assert value("laplace-nll", 1.0, 3.0, 2.0) == pytest.approx(math.log(4.0) + 1.0, rel=1e-15)


@pytest.mark.parametrize(("name", "size"), [("gaussian-nll", 0.0), ("gaussian-nll", -1.0), ("laplace-nll", 0.0)])
def test_no_spread_is_refused(name: str, size: float) -> None:
    with pytest.raises(LosscliError, match="must be above 0"):
        value(name, 0.0, 0.0, size)


def test_a_tiny_miss_under_a_tiny_variance() -> None:
    # r² alone would be 0.
    assert value("gaussian-nll", 1e-170, 0.0, 1e-300) == pytest.approx(-150.0 * math.log(10.0), rel=1e-15)
    assert slope("gaussian-nll", 1e-200, 0.0, 1e-300) == pytest.approx(1e100, rel=1e-15)


def test_penalties_add_up() -> None:
    weights = {"weights": np.array([-2.0, 0.0, 3.0])}
    assert evaluate(get("l1-penalty").bind(), weights).value == 5.0
    assert evaluate(get("l2-penalty").bind(), weights).value == 13.0
    assert evaluate(get("elastic-net").bind(l1=0.5, l2=0.25), weights).value == 0.5 * 5.0 + 0.25 * 13.0
    assert slope("elastic-net", 0.0, l1=2.0) == 0.0
