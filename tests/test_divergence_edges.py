"""Divergences where peers give NaN or lose digits: zeros, impossible classes, p close to q, sure rows, tiny masses."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from losscli.evaluate import evaluate
from losscli.loss import catalogue, get
from losscli.plan import How
from losscli.results import Result, Wants

PAIRS = sorted(name for name, loss in catalogue().items() if loss.reads.name == "distributions")
EPS = 2.0**-52
NO = -math.inf
LOG2 = math.log(2.0)


def of(name: str, p: Any, q: Any = None, link: str = "", grad: str = "", hess: str = "", **params: Any) -> Result:
    data = {"p": np.array([p], dtype=np.float64)}
    if q is not None:
        data["q"] = np.array([q], dtype=np.float64)
    bound = get(name).bind(**params)
    return evaluate(bound, data, how=How(link=link), reduction="none", wants=Wants(grad=grad, hess=hess))


def value(name: str, p: Any, q: Any = None, link: str = "", **params: Any) -> float:
    return float(np.asarray(of(name, p, q, link, **params).value)[0])


def slope(name: str, p: Any, q: Any = None, link: str = "", wrt: str = "p", **params: Any) -> list[float]:
    slopes = of(name, p, q, link, wrt, **params).gradient
    assert slopes is not None
    return list(slopes[0])


def curve(name: str, p: Any, q: Any = None, link: str = "", wrt: str = "p", **params: Any) -> list[float]:
    curves = of(name, p, q, link, "", wrt, **params).hessian
    assert curves is not None
    return list(curves[0])


def softmax(z: list[float]) -> list[Any]:
    e = [mpmath.exp(mpmath.mpf(x)) for x in z]
    return [x / mpmath.fsum(e) for x in e]


# Of p = (1/2, 1/2, 0) and q = (1/4, 1/4, 1/2).
OF_A_ZERO = {
    "bhattacharyya": LOG2 / 2,
    "chi2": 1.0,
    "cross-entropy-probs": 2 * LOG2,
    "hellinger": math.sqrt(1 - math.sqrt(0.5)),
    "js": 0.5 * (math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * LOG2),
    "kl": LOG2,
    "renyi": LOG2,
    "total-variation": 0.5,
}
DISJOINT = {"js": LOG2, "hellinger": 1.0, "total-variation": 1.0}


def test_all_pairs_are_here() -> None:
    assert set(PAIRS) == set(OF_A_ZERO)


@pytest.mark.parametrize("name", PAIRS)
def test_a_class_of_probability_zero_adds_nothing_of_its_own(name: str) -> None:
    p, q = [0.5, 0.5, 0.0], [0.25, 0.25, 0.5]
    assert value(name, p, q) == pytest.approx(OF_A_ZERO[name], rel=4 * EPS)
    with np.errstate(divide="ignore"):
        logs = [np.log(p), np.log(q)]
    for link in ("log-probs", "logits"):
        assert value(name, *logs, link) == pytest.approx(OF_A_ZERO[name], rel=8 * EPS)
        for wrt in ("p", "q"):
            # Torch, where p is 0: a gradient of NaN by p.
            assert all(map(math.isfinite, slope(name, *logs, link, wrt)))
            assert all(map(math.isfinite, curve(name, *logs, link, wrt)))
        assert slope(name, *logs, link)[2] == 0.0
    # Torch and optax give NaN where both are 0.
    assert math.isfinite(value(name, [0.5, 0.5, 0.0], [0.25, 0.75, 0.0]))


@pytest.mark.parametrize("link", ["probs", "log-probs", "logits"])
@pytest.mark.parametrize("name", PAIRS)
def test_disjoint_distributions_are_as_far_apart_as_can_be(name: str, link: str) -> None:
    p, q = ([1.0, 0.0], [0.0, 1.0]) if link == "probs" else ([0.0, NO], [NO, 0.0])
    assert value(name, p, q, link) == pytest.approx(DISJOINT.get(name, math.inf), rel=EPS)


@pytest.mark.parametrize("name", PAIRS)
def test_an_impossible_class_leaves_the_others_as_they_are(name: str) -> None:
    # Torch's kl_div of a log-probability of -inf: NaN.
    for wrt in ("p", "q"):
        assert value(name, [0.0, 1.0, NO], [1.0, 0.5, NO], "logits") == value(name, [0.0, 1.0], [1.0, 0.5], "logits")
        for what in (slope, curve):
            seen = what(name, [0.0, 1.0, NO], [1.0, 0.5, NO], "logits", wrt)
            assert seen == pytest.approx([*what(name, [0.0, 1.0], [1.0, 0.5], "logits", wrt), 0.0], rel=8 * EPS)


@pytest.mark.parametrize("name", [name for name in PAIRS if name != "cross-entropy-probs"])
def test_a_distribution_does_not_diverge_from_itself(name: str) -> None:
    z = [0.3, -20.0, 4.0, 700.0]
    assert value(name, z, z, "logits") == 0.0
    assert math.copysign(1.0, value(name, z, z, "logits")) == 1.0
    assert slope(name, z, z, "logits") == slope(name, z, z, "logits", "q") == [0.0] * 4
    assert all(map(math.isfinite, curve(name, z, z, "logits")))
    assert value(name, z, [x + 1e3 for x in z], "logits") == 0.0


# What a divergence is, over half of Σ p (log p/q)², where p is close to q.
SHARES = {"kl": 1.0, "js": 0.25, "bhattacharyya": 0.25, "chi2": 2.0, "renyi": 2.0}


@pytest.mark.parametrize("name", SHARES)
def test_divergences_of_neighbours_keep_their_digits(name: str) -> None:
    z, w = [0.0, 1e-9, -1e-9], [1e-9, 0.0, 2e-9]
    # Log p/q is the logits' differences less their mean, which is -1e-9.
    spread = [-1e-9 + 1e-9, 1e-9 + 1e-9, -3e-9 + 1e-9]
    truth = SHARES[name] * sum(x * x for x in spread) / 6.0
    # Torch's kl_div is off in the eighth digit; scipy's jensenshannon of the probabilities is NaN.
    assert value(name, z, w, "logits") == pytest.approx(truth, rel=1e-8)
    with mpmath.workdps(60):
        p, q = softmax(z), softmax(w)
        exact = mpmath.fsum(a * mpmath.log(a / b) for a, b in zip(p, q, strict=True))
    if name == "kl":
        assert value("kl", z, w, "logits") == pytest.approx(float(exact), rel=8 * EPS, abs=0)


def test_sure_and_alike_distributions_keep_their_digits() -> None:
    z, w = [40.0, 0.0, -3.0], [41.0, 0.5, -2.0]
    with mpmath.workdps(80):
        p, q = softmax(z), softmax(w)
        kl = mpmath.fsum(a * mpmath.log(a / b) for a, b in zip(p, q, strict=True))
        by_q = [float(b - a) for a, b in zip(p, q, strict=True)]
    # Torch: 2.1e-18 instead of 4.5e-19, and a slope of 0 by the first logit.
    assert value("kl", z, w, "logits") == pytest.approx(float(kl), rel=8 * EPS, abs=0)
    assert 4e-19 < float(kl) < 5e-19
    assert slope("kl", z, w, "logits", "q") == pytest.approx(by_q, rel=8 * EPS, abs=0)
    assert by_q[0] > 1e-18


@pytest.mark.parametrize("name", PAIRS)
def test_classes_that_agree_are_seen_beside_one_that_does_not(name: str) -> None:
    # Three classes share nearly all of p and of q; log p/q is 1e-8 between them and 2 for the fourth.
    z, w = [1e-8, -2e-8, 3e-8, -40.0], [2e-8, 1e-8, -1e-8, -42.0]
    slopes = slope(name, z, w, "logits"), slope(name, w, z, "logits", "q")
    assert all(any(entry != 0.0 for entry in side[:3]) for side in slopes)
    assert all(abs(math.fsum(side)) <= 4 * EPS * max(map(abs, side)) for side in slopes)


def test_a_distance_of_masses_smaller_than_their_squares() -> None:
    # Scipy: inf.
    tiny = value("js", [1.0, 5e-324], [1.0, 0.0], root=True)
    assert tiny == pytest.approx(math.sqrt(5e-324 / 2.0) * math.sqrt(LOG2), rel=4 * EPS)
    assert value("hellinger", [0.0, -900.0], [0.0, -1500.0], "logits") == pytest.approx(
        math.exp(-450.0) / math.sqrt(2.0), rel=4 * EPS, abs=0
    )


def test_logits_far_apart_overflow_nothing() -> None:
    z, w = [0.0, -1000.0], [-1000.0, 0.0]
    assert value("renyi", z, w, "logits", alpha=3.0) == pytest.approx(1000.0, rel=EPS)
    assert slope("renyi", z, w, "logits", "q", alpha=3.0) == [-1.0, 1.0]
    assert value("bhattacharyya", z, w, "logits") == pytest.approx(500.0 - LOG2, rel=EPS)
    assert slope("bhattacharyya", z, w, "logits", "q") == [-0.25, 0.25]
    assert slope("kl", z, w, "logits", "q") == [-1.0, 1.0]
    assert value("js", z, w, "logits") == pytest.approx(LOG2, rel=EPS)
    assert value("chi2", z, w, "logits") == math.inf


def test_generalized_kl_of_nothing_is_the_other_mass() -> None:
    assert value("generalized-kl", [0.0, 1.0], [2.0, 1.0]) == 2.0
    assert value("generalized-kl", [0.0, 0.0], [0.0, 0.0]) == 0.0
    assert value("generalized-kl", [1.0], [0.0]) == math.inf
    assert slope("generalized-kl", [0.0, 1.0, 0.0], [2.0, 4.0, 0.0], wrt="q") == [1.0, 0.75, 1.0]
    assert value("generalized-kl", [NO, 0.0], [0.0, 0.0], "log-masses") == 1.0
    # A difference of 1e-9 of 1e9: the terms p log(p/q) - p + q cancel to half its square over q.
    near = value("generalized-kl", [math.log(1e9) + 1e-9], [math.log(1e9)], "log-masses")
    gap = (math.log(1e9) + 1e-9) - math.log(1e9)
    assert near == pytest.approx(1e9 * gap * gap / 2.0, rel=1e-8)


def test_entropy_and_its_slope_of_a_sure_distribution() -> None:
    assert value("entropy", [1.0, 0.0]) == value("entropy", [0.0, NO], link="logits") == 0.0
    with mpmath.workdps(60):
        p = softmax([50.0, 0.0])
        exact = -mpmath.fsum(a * mpmath.log(a) for a in p)
        by_p = [float(-a * (mpmath.log(a) + exact)) for a in p]
    assert value("entropy", [50.0, 0.0], link="logits") == pytest.approx(float(exact), rel=4 * EPS, abs=0)
    assert slope("entropy", [50.0, 0.0], link="logits") == pytest.approx(by_p, rel=4 * EPS, abs=0)
    # As far as it goes: all classes alike, where the slope is of the first order.
    assert slope("entropy", [1e-9, 0.0], link="logits") == pytest.approx([-2.5e-10, 2.5e-10], rel=1e-8)


def test_logarithms_to_base_two_count_bits() -> None:
    assert value("entropy", [0.5, 0.25, 0.25], base=2.0) == 1.5
    assert value("self-information", 0.125, base=2.0) == 3.0
    p, q = [0.5, 0.5, 0.0], [0.25, 0.25, 0.5]
    assert value("kl", p, q, base=2.0) == pytest.approx(1.0, rel=EPS)
    # Scipy's jensenshannon(p, q, 2).
    assert value("js", p, q, base=2.0, root=True) == pytest.approx(0.5579230452841438, rel=4 * EPS)
    for name in ("kl", "renyi", "bhattacharyya", "cross-entropy-probs", "js"):
        bits = slope(name, p[:2], [0.25, 0.75], base=2.0)
        assert bits == pytest.approx([x / LOG2 for x in slope(name, p[:2], [0.25, 0.75])], rel=4 * EPS)


def test_orders_of_renyi_are_the_other_divergences() -> None:
    p, q = [0.2, 0.3, 0.5], [0.4, 0.35, 0.25]
    assert value("renyi", p, q, alpha=1.0) == value("kl", p, q)
    assert value("renyi", p, q, alpha=0.5) == pytest.approx(2.0 * value("bhattacharyya", p, q), rel=4 * EPS)
    assert value("renyi", p, q, alpha=2.0) == pytest.approx(math.log1p(value("chi2", p, q)), rel=4 * EPS)
    z, w = list(np.log(p)), list(np.log(q))
    assert value("renyi", z, w, "logits", alpha=1.0 + 1e-12) == pytest.approx(value("kl", z, w, "logits"), rel=1e-11)
    beside = slope("renyi", z, w, "logits", alpha=1.0 - 1e-12)
    assert beside == pytest.approx(slope("kl", z, w, "logits"), rel=1e-10)


@pytest.mark.parametrize("name", PAIRS)
def test_probabilities_and_their_logits_are_the_same_distributions(name: str) -> None:
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.35, 0.25])
    free = value(name, p, q)
    assert value(name, np.log(p), np.log(q), "logits") == pytest.approx(free, rel=16 * EPS)
    assert value(name, np.log(p), np.log(q), "log-probs") == pytest.approx(free, rel=16 * EPS)
    for wrt, own in (("p", p), ("q", q)):
        by_share = np.array(slope(name, p, q, wrt=wrt))
        by_log = slope(name, np.log(p), np.log(q), "log-probs", wrt)
        by_logit = slope(name, np.log(p), np.log(q), "logits", wrt)
        np.testing.assert_allclose(by_log, own * by_share, rtol=16 * EPS)
        np.testing.assert_allclose(by_logit, own * (by_share - own @ by_share), rtol=0, atol=16 * EPS)
