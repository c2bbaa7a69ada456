"""The numeric engine, measured: bars hold the truth, exact claims pass, small faults are found.

Truth is the derivative written out by hand and evaluated by mpmath at 60 digits at the very double x.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from losscli.verifier.numeric.differences import Reason, Slopes, slopes
from losscli.verifier.numeric.verdict import FAIL, INCONCLUSIVE, KINK_FAIL, PASS, judge

INF = np.inf


def sech2(x: Any) -> Any:
    return 1 / mp.cosh(x) ** 2


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def softplus(t: Any) -> Any:
    return np.maximum(t, 0.0) + np.log1p(np.exp(-np.abs(t)))


@dataclass(frozen=True)
class Slice:
    name: str
    f: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    low: float = -INF
    high: float = INF
    top: float = 300.0  # largest |x| drawn


S = 0.25  # the other score in the two-class cross-entropy
ZOO = [
    Slice("softplus", softplus, sigmoid),
    Slice("bce with target 0.3", lambda t: softplus(t) - 0.3 * t, lambda x: sigmoid(x) - mp.mpf(0.3)),
    Slice("naive softplus", lambda t: np.log1p(np.exp(t)), sigmoid),
    Slice("saturating log1p(exp(-x))", lambda t: np.log1p(np.exp(-t)), lambda x: -sigmoid(-x), top=745.0),
    Slice("cross-entropy", lambda t: np.logaddexp(t, S) - t, lambda x: sigmoid(x - mp.mpf(S)) - 1),
    Slice("exp", np.exp, mp.exp),
    Slice("exp(-x)", lambda t: np.exp(-t), lambda x: -mp.exp(-x)),
    Slice("exp(50 x)", lambda t: np.exp(50.0 * t), lambda x: 50 * mp.exp(50 * x), top=12.0),
    Slice("sin(30 x)", lambda t: np.sin(30.0 * t), lambda x: 30 * mp.cos(30 * x)),
    Slice("tanh", np.tanh, sech2),
    Slice("1 - tanh²", lambda t: 1.0 - np.tanh(t) ** 2, lambda x: -2 * mp.tanh(x) * sech2(x)),
    Slice("log(cosh(x))", lambda t: np.log(np.cosh(t)), mp.tanh),
    Slice("stable log-cosh", lambda t: np.abs(t) + np.log1p(np.exp(-2.0 * np.abs(t))), mp.tanh),
    Slice("squared", lambda t: (t - 0.7) ** 2, lambda x: 2 * (x - mp.mpf(0.7))),
    Slice("quartic", lambda t: t**4, lambda x: 4 * x**3),
    Slice("power 1.5", lambda t: t**1.5, lambda x: mp.mpf(1.5) * mp.sqrt(x), low=0.0),
    Slice("power -0.5", lambda t: t**-0.5, lambda x: -mp.mpf(0.5) * x ** mp.mpf(-1.5), low=0.0),
    Slice("log", np.log, lambda x: 1 / x, low=0.0),
    Slice("kl", lambda t: 0.4 * np.log(0.4 / t) + t - 0.4, lambda x: 1 - mp.mpf(0.4) / x, low=0.0),
    Slice("entropy", lambda t: t * np.log(t), lambda x: mp.log(x) + 1, low=0.0),
    Slice(
        "bce of probabilities",
        lambda t: -(0.3 * np.log(t) + 0.7 * np.log1p(-t)),
        lambda x: -mp.mpf(0.3) / x + mp.mpf(0.7) / (1 - x),
        low=0.0,
        high=1.0,
    ),
    Slice(
        "focal, γ = 2",
        lambda t: -((1.0 - t) ** 2) * np.log(t),
        lambda x: 2 * (1 - x) * mp.log(x) - (1 - x) ** 2 / x,
        low=0.0,
        high=1.0,
    ),
    Slice("rational", lambda t: t / (1.0 + t * t), lambda x: (1 - x * x) / (1 + x * x) ** 2),
    Slice("cauchy", lambda t: np.log1p(t * t), lambda x: 2 * x / (1 + x * x)),
    Slice("√(1 + x²)", lambda t: np.sqrt(1.0 + t * t), lambda x: x / mp.sqrt(1 + x * x)),
    Slice("√(1 + x²) - 1", lambda t: np.sqrt(1.0 + t * t) - 1.0, lambda x: x / mp.sqrt(1 + x * x)),
    Slice(
        "cosine",
        lambda t: 1.0 - (0.6 * t + 0.8) / np.hypot(t, 1.0),
        lambda x: -(mp.mpf(0.6) - mp.mpf(0.8) * x) / mp.sqrt(1 + x * x) ** 3,
    ),
    Slice("1e-6 x²", lambda t: 1e-6 * t * t, lambda x: 2 * mp.mpf(1e-6) * x),
    Slice("1e9 + x²", lambda t: 1e9 + t * t, lambda x: 2 * x),
    Slice("poisson", lambda t: np.exp(t) - 3.0 * t, lambda x: mp.exp(x) - 3),
    Slice("student", lambda t: 2.5 * np.log1p(t * t / 4.0), lambda x: mp.mpf(5) / 4 * x / (1 + x * x / 4)),
    Slice("gaussian", lambda t: np.exp(-t * t / 2.0), lambda x: -x * mp.exp(-x * x / 2)),
]


def points(rng: np.random.Generator, s: Slice, count: int = 36) -> np.ndarray:
    """Draw half of the points in log-magnitude, from 1e-8 on, and half evenly around 0, within the slice's domain."""
    if s.high < INF:
        near = 10.0 ** rng.uniform(-8, -0.4, count)
        return np.concatenate([near, 1.0 - near, rng.uniform(0.01, 0.99, count)])
    size = 10.0 ** rng.uniform(-8, np.log10(s.top), 2 * count)
    wide, even = size * np.where(np.arange(2 * count) % 2, 1.0, -1.0), rng.uniform(-5, 5, count)
    x = np.concatenate([wide, even])
    return np.abs(x) if s.low == 0.0 else x


@dataclass(frozen=True)
class Measured:
    name: str
    x: np.ndarray
    truth: list[Any]
    claim: np.ndarray
    found: Slopes


def measure(s: Slice, seed: int) -> Measured:
    x = points(np.random.default_rng(seed), s)
    with mp.workdps(60):
        truth = [s.slope(mp.mpf(float(t))) for t in x]
    found = slopes(s.f, x, low=s.low, high=s.high)
    return Measured(s.name, x, truth, np.array([float(t) for t in truth]), found)


@pytest.fixture(scope="module")
def zoo() -> list[Measured]:
    return [measure(s, seed=1) for s in ZOO]


def errors(m: Measured) -> np.ndarray:
    """|truth - value| at 60 digits; NaN where no slope is given."""
    with mp.workdps(60):
        pairs = zip(m.found.value, m.truth, strict=True)
        return np.array([float(abs(mp.mpf(float(v)) - t)) if np.isfinite(v) else np.nan for v, t in pairs])


def is_failure(codes: np.ndarray) -> np.ndarray:
    return np.isin(codes, (FAIL, KINK_FAIL))


def test_the_zoo_is_large_enough(zoo: list[Measured]) -> None:
    assert len(ZOO) >= 20
    assert sum(m.x.size for m in zoo) >= 2000


@pytest.mark.parametrize("seed", range(1, 7))
def test_no_true_slope_lies_outside_its_bar_and_no_exact_claim_fails(seed: int) -> None:
    for s in ZOO:
        m = measure(s, seed)
        assert not (errors(m) > m.found.bar).any(), m.name
        assert not is_failure(judge(m.claim, m.found)).any(), m.name
        assert not m.found.kink.any(), m.name


def caught(zoo: list[Measured], factor: float, *, skip: str = "") -> float:
    """The share of faults found, over all points whose slope is above 1e-12."""
    found = total = 0
    for m in zoo:
        if m.name != skip:
            counts = np.abs(m.claim) > 1e-12
            found += int((is_failure(judge(m.claim * factor, m.found)) & counts).sum())
            total += int(counts.sum())
    return found / total


def test_small_faults_are_found(zoo: list[Measured]) -> None:
    # 1e9 + x² hides its slopes in its own rounding, 1e-7 per value, and has a test of its own.
    assert caught(zoo, 1 + 1e-6, skip="1e9 + x²") >= 0.98
    assert caught(zoo, 1 - 1e-6, skip="1e9 + x²") >= 0.98
    assert caught(zoo, -1.0, skip="1e9 + x²") >= 0.999
    assert caught(zoo, 0.0, skip="1e9 + x²") >= 0.999


def test_faults_are_found_under_a_large_constant_as_far_as_its_rounding_lets_them_be_seen() -> None:
    m = measure(next(s for s in ZOO if s.name == "1e9 + x²"), seed=1)
    scale = np.maximum(1.0, np.abs(m.x))
    for factor in (1 + 1e-6, 1.001, -1.0, 0.0):
        # Values are rounded to 2^-53·1e9, which differences over half of the scale turn into a slope of twice that.
        visible = np.abs((factor - 1.0) * m.claim) > 100 * 2.0**-53 * 2e9 / scale
        assert visible.sum() >= 5
        assert is_failure(judge(m.claim * factor, m.found))[visible].all()


SEAMS: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
    (lambda r: np.where(np.abs(r) <= 1, 0.5 * r * r, np.abs(r) - 0.5), lambda r: np.clip(r, -1, 1)),
    (lambda r: np.maximum(r - 1.0, 0.0) ** 2, lambda r: 2 * np.maximum(r - 1.0, 0.0)),
    (lambda r: 7 + np.where(r > 1.0, r - 1.0, np.expm1(r - 1.0)), lambda r: np.where(r > 1, 1.0, np.exp(r - 1.0))),
]


@pytest.mark.parametrize(("f", "slope"), SEAMS, ids=["huber", "squared hinge", "elu"])
def test_seams_of_the_second_derivative_keep_honest_bars(f: Any, slope: Any) -> None:
    distance = 10.0 ** np.linspace(-16, -0.5, 1000)
    x = np.concatenate([1.0 + distance, 1.0 - distance, [1.0, np.nextafter(1, 0), np.nextafter(1, 2)]])
    found = slopes(f, x)
    assert np.isfinite(found.bar).mean() > 0.98
    assert not (np.abs(found.value - slope(x)) > found.bar + 1e-15).any()
    assert not is_failure(judge(slope(x), found)).any()
    assert is_failure(judge(slope(x) + 1e-3, found))[found.bar < 1e-4].all()


BROKEN: list[tuple[Callable[[Any], Any], float, Reason]] = [
    (np.sign, 0.0, Reason.DISCONTINUITY),
    (lambda t: (t >= 0.0) * 1.0, 0.0, Reason.DISCONTINUITY),
    (lambda t: t + 1e-3 * (t > 2.0), 2.0, Reason.DISCONTINUITY),
    (lambda t: np.sqrt(np.abs(t)), 0.0, Reason.DISCONTINUITY),
    (lambda t: np.abs(t) ** (2 / 3), 0.0, Reason.DISCONTINUITY),
    (np.cbrt, 0.0, Reason.DISCONTINUITY),
    (lambda t: t * np.nan, 1.0, Reason.NONFINITE),
    (lambda t: t + np.inf, 1.0, Reason.NONFINITE),
    (np.sqrt, -1.0, Reason.NONFINITE),
    (lambda t: np.where(t == 1.0, 0.0, np.nan), 1.0, Reason.DOMAIN_EDGE),
]


@pytest.mark.parametrize(("f", "x", "reason"), BROKEN)
def test_what_has_no_slope_gets_a_reason(f: Any, x: float, reason: Reason) -> None:
    found = slopes(f, np.array([x]))
    assert Reason(int(found.reason[0])) == reason
    assert found.bar[0] == INF
    assert np.isnan(found.value[0])


def test_domain_bounds_are_respected_and_used() -> None:
    seen: list[np.ndarray] = []

    def entropy(t: Any) -> Any:
        seen.append(t.copy())
        return -(t * np.log(t) + (1.0 - t) * np.log1p(-t))

    x = np.array([1e-300, 1e-30, 1e-12, 1e-3, 0.25, 0.5, 0.9, 1 - 1e-3, 1 - 1e-9])
    found = slopes(entropy, x, low=0.0, high=1.0)
    assert min(t.min() for t in seen) >= 0.0
    assert max(t.max() for t in seen) <= 1.0
    truth = np.log1p(-x) - np.log(x)
    assert (np.abs(found.value - truth) <= found.bar + 4e-16 * np.abs(truth)).all()
    assert (found.bar < 1e-6 * np.abs(truth) + 1e-9).all()


def test_on_a_bound_one_side_is_enough() -> None:
    found = slopes(lambda t: np.log1p(t) + 3.0, np.array([0.0, 1e-300, 1e-9]), low=0.0)
    assert (np.abs(found.value - 1.0 / (1.0 + np.array([0.0, 1e-300, 1e-9]))) <= found.bar).all()
    assert (found.bar < 1e-9).all()
    upper = slopes(np.exp, np.array([1.0]), high=1.0)
    assert abs(upper.value[0] - np.e) <= upper.bar[0] < 1e-9


@pytest.mark.parametrize("f", [np.sqrt, lambda t: t**1.3, lambda t: np.where(t > 0, t * np.log(t), 0.0)])
def test_a_singular_bound_is_not_differentiated(f: Any) -> None:
    found = slopes(f, np.array([0.0]), low=0.0)
    assert found.bar[0] == INF
    assert judge(np.array([INF]), found)[0] == INCONCLUSIVE


EXTREMES: list[tuple[Callable[[Any], Any], list[float], Callable[[Any], Any]]] = [
    (lambda t: np.log1p(np.exp(-t)), [17, 37, 88.7, 104, 709.8, 745, 800], lambda x: -sigmoid(-x)),
    (lambda t: np.exp(-t), [700, 745, 800, 1e30], lambda x: -mp.exp(-x)),
    (lambda t: 1e300 * t * t, [1.0, 1e-8, 0.0, 1e3, -1e-300], lambda x: 2 * mp.mpf(1e300) * x),
    (lambda t: t * t, [1e30, -1e-30, 1e-310, 0.0, 1e150], lambda x: 2 * x),
    (lambda t: 1e-310 * t, [1.0, 0.0, 1e30, 1e-30], lambda _: mp.mpf(1e-310)),
    (lambda t: t * 0.0 + 5.0, [1.0, 0.0, 1e30, -1e-30, 1e308], lambda _: mp.mpf(0)),
    (lambda _: 5.0, [1.0, 2.0], lambda _: mp.mpf(0)),
    (np.exp, [709.0, 709.7, -745.0], mp.exp),
    (np.log, [1e-12, 1e-30, 1e-300, 1e30, 1e300], lambda x: 1 / x),
]


@pytest.mark.parametrize(("f", "x", "slope"), EXTREMES)
def test_extremes_keep_honest_bars(f: Any, x: list[float], slope: Any) -> None:
    found = slopes(f, np.array(x))
    for t, value, bar in zip(x, found.value, found.bar, strict=True):
        with mp.workdps(60):
            assert bar == INF or abs(mp.mpf(float(value)) - slope(mp.mpf(t))) <= bar
    assert np.isfinite(found.bar).all()


def test_entries_do_not_touch_each_other() -> None:
    x = np.array([0.3, np.nan, 1e-9, 1e30, -2.0])
    together = slopes(np.cos, x)
    for i, t in enumerate(x):
        alone = slopes(np.cos, np.array([t]))
        assert np.array_equal([together.value[i], together.bar[i]], [alone.value[0], alone.bar[0]], equal_nan=True)
    assert together.reason[1] == Reason.NONFINITE


def test_the_noise_floor_of_the_caller_counts() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    found = slopes(lambda t: np.sin(t).astype(np.float32).astype(np.float64), x, noise_floor=2.0**-25)
    assert (np.abs(found.value - np.cos(x)) <= found.bar).all()
    assert np.median(found.bar) < 1e-4


def test_nothing_in_nothing_out() -> None:
    found = slopes(np.exp, np.array([]))
    assert found.value.size == found.bar.size == found.kink.size == found.reason.size == 0


@pytest.mark.parametrize("with_piece", [True, False], ids=["declared", "detected"])
def test_two_thousand_entries_take_less_than_a_second(with_piece: bool) -> None:
    x = np.random.default_rng(0).normal(size=2000)
    x[:500] = 0.0
    start = time.perf_counter()
    found = slopes(lambda t: np.abs(t) + softplus(t), x, piece=(lambda t: t > 0) if with_piece else None)
    assert time.perf_counter() - start < 1.0
    assert found.kink.sum() == 500
    assert (judge(np.sign(x) + 1 / (1 + np.exp(-x)), found)[500:] == PASS).all()


@pytest.mark.parametrize("x", [745.0, -745.0, 88.7, 1e3])
@pytest.mark.parametrize("beside", [0.0, 0.3, -0.3])
def test_a_bend_much_narrower_than_its_place_is_large_is_seen(x: float, beside: float) -> None:
    # Flat but for a few units around x: all large steps agree on a slope of zero.
    found = slopes(lambda t: (t - x) * np.exp(-((t - x) ** 2)), np.array([x + beside]))
    u = (x + beside) - x
    exact = (1.0 - 2.0 * u * u) * np.exp(-u * u)
    assert abs(found.value[0] - exact) <= found.bar[0] <= 1e-6


@pytest.mark.parametrize("p", [1e-6, 1e-7, 3e-8])
def test_a_bend_beside_a_bound_is_not_looked_over_from_afar(p: float) -> None:
    # The rounding of so large a value leaves small steps vague, and far ones look sharper than they are.
    q = 1e-3
    found = slopes(lambda t: (t + p * p / t) + 1e3, np.array([q]), low=0.0)
    assert abs(found.value[0] - (1.0 - (p / q) ** 2)) <= found.bar[0]
