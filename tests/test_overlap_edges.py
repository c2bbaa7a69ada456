"""Edges of the losses of overlap: empty masks, nearly perfect ones, and what other libraries make of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from accuracy import KINDS, Draw, check

from losscli.evaluate import evaluate
from losscli.loss import get
from losscli.plan import How
from losscli.results import Wants

NAMES = ("dice", "jaccard", "tversky", "focal-tversky", "log-cosh-dice")
HARD = np.array([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])


def value(name: str, p: Any, t: Any, link: str = "probs", **params: Any) -> float:
    return float(evaluate(get(name).bind(**params), {"probs": p, "target": t}, how=How(link=link)).value)


def slopes(name: str, p: Any, t: Any, link: str = "probs", **params: Any) -> tuple[np.ndarray, np.ndarray]:
    wants = Wants(grad="probs", hess="probs")
    result = evaluate(get(name).bind(**params), {"probs": p, "target": t}, how=How(link=link), wants=wants)
    assert result.gradient is not None
    assert result.hessian is not None
    return result.gradient, result.hessian


@pytest.mark.parametrize("name", NAMES)
def test_two_empty_masks_have_no_overlap_to_speak_of(name: str) -> None:
    empty = np.zeros(4)
    # optax says NaN too; keras 1 with a slope of 0, as its 1e-7 stands below the fraction alone.
    assert math.isnan(value(name, empty, empty))
    assert all(np.isnan(slope).all() for slope in slopes(name, empty, empty))


@pytest.mark.parametrize("name", NAMES)
def test_smoothing_makes_two_empty_masks_perfect(name: str) -> None:
    empty = np.zeros(4)
    assert value(name, empty, empty, smooth=0.5) == 0.0
    params = {"smooth": 0.5, "gamma": 2.0} if name == "focal-tversky" else {"smooth": 0.5}
    gradient, hessian = slopes(name, empty, empty, "probs", **params)
    assert np.isfinite(hessian).all()
    # One half of false positives, or all of them, over the smoothing; powers and cosh are flat there.
    flat = {"dice": 2.0, "jaccard": 2.0, "tversky": 1.0, "focal-tversky": 0.0, "log-cosh-dice": 0.0}
    np.testing.assert_array_equal(gradient, np.full(4, flat[name]))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_truth_is_missed_wholly_and_without_a_slope(name: str) -> None:
    p = np.array([0.2, 0.7, 1e-300])
    everything = math.log(math.cosh(1.0)) if name == "log-cosh-dice" else 1.0
    assert value(name, p, np.zeros(3)) == pytest.approx(everything, rel=1e-15)
    for slope in slopes(name, p, np.zeros(3)):
        assert not slope.any()


def test_alpha_weighs_false_positives_and_beta_false_negatives() -> None:
    p, t = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0, 1.0])
    # TP 1, FP 2, FN 1. keras up to 3.15.1, Flux and ivadomed change the two: 1.7/2.7.
    assert value("tversky", p, t, alpha=0.3, beta=0.7) == pytest.approx(1.3 / 2.3, rel=1e-15)
    assert value("tversky", p, t, alpha=0.7, beta=0.3) == pytest.approx(1.7 / 2.7, rel=1e-15)


def test_the_relatives_are_one_loss() -> None:
    rng = np.random.default_rng(0)
    p, t = rng.random(9), np.round(rng.random(9))
    tversky = value("tversky", p, t, alpha=0.5, beta=0.5, smooth=0.25)
    assert value("dice", p, t, smooth=0.5) == tversky
    assert value("jaccard", p, t, smooth=0.5) == value("tversky", p, t, alpha=1.0, beta=1.0, smooth=0.5)
    assert value("focal-tversky", p, t, gamma=1.0, smooth=0.25) == pytest.approx(tversky, rel=1e-15)
    jaccard, dice = value("jaccard", p, t), value("dice", p, t)
    assert jaccard == pytest.approx(2.0 * dice / (1.0 + dice), rel=1e-15)
    assert value("log-cosh-dice", p, t) == pytest.approx(math.log(math.cosh(dice)), rel=1e-14)


def test_numbers_of_optax() -> None:
    # optax 0.2.8 in float64: dice_loss(smooth=1, alpha=0.3, beta=0.7, apply_softmax=False), the second of two classes.
    p, t = np.array([0.9, 0.6, 0.3, 0.2]), np.array([1.0, 1.0, 0.0, 0.0])
    assert value("tversky", p, t, smooth=1.0, alpha=0.3, beta=0.7) == pytest.approx(0.16666666666666663, rel=1e-14)
    assert value("jaccard", p, t, smooth=1.0) == pytest.approx(0.2857142857142857, rel=1e-14)


def test_a_soft_mask_matches_itself_only_when_squared() -> None:
    half = np.full(5, 0.5)
    assert value("dice", half, half) == 0.5
    assert value("dice", half, half, squared=True) == 0.0
    # segmentation_models takes min(p, t) for the overlap, and 0 for this.
    assert value("jaccard", half, half) == pytest.approx(2.0 / 3.0, rel=1e-15)


@pytest.mark.parametrize("gap", [1e-3, 1e-9, 1e-17, 1e-30])
def test_a_nearly_perfect_mask_keeps_its_digits(gap: float) -> None:
    # 1 - (2 I + s)/(P + T + s) in float64 is 0 or rounding noise from 1e-16 on.
    p, t = np.array([gap, 1.0, 0.0]), np.array([0.0, 1.0, 0.0])
    assert value("dice", p, t) == pytest.approx(gap / (2.0 + gap), rel=1e-15)
    assert value("jaccard", p, t) == pytest.approx(gap / (1.0 + gap), rel=1e-15)
    assert value("tversky", p, t, alpha=3.0) == pytest.approx(3.0 * gap / (1.0 + 3.0 * gap), rel=1e-15)
    assert value("focal-tversky", p, t, gamma=0.5, alpha=1.0) == pytest.approx(math.sqrt(gap / (1.0 + gap)), rel=1e-15)
    dice = gap / (2.0 + gap)
    assert value("log-cosh-dice", p, t) == pytest.approx(dice * dice / 2.0 - dice**4 / 12.0, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.25, 0.75])
def test_below_gamma_one_the_slope_at_a_perfect_mask_is_infinite(gamma: float) -> None:
    # segmentation_models has NaN there, as autograd multiplies 0 by infinity.
    assert value("focal-tversky", HARD, HARD, gamma=gamma) == 0.0
    gradient, _ = slopes("focal-tversky", HARD, HARD, gamma=gamma)
    np.testing.assert_array_equal(gradient, np.where(HARD == 1.0, -np.inf, np.inf))
    # Who does not count false positives is not moved by them.
    gradient, _ = slopes("focal-tversky", HARD, HARD, gamma=gamma, alpha=0.0)
    np.testing.assert_array_equal(gradient, np.where(HARD == 1.0, -np.inf, 0.0))


def test_above_gamma_one_a_perfect_mask_is_flat() -> None:
    gradient, _ = slopes("focal-tversky", HARD, HARD, gamma=1.5)
    assert not gradient.any()
    tversky, _ = slopes("tversky", HARD, HARD)
    np.testing.assert_array_equal(slopes("focal-tversky", HARD, HARD, gamma=1.0)[0], tversky)


def test_masks_with_nothing_in_common() -> None:
    assert value("log-cosh-dice", HARD, 1.0 - HARD) == pytest.approx(0.4337808304830271, rel=1e-15)
    for name in NAMES[:4]:
        assert value(name, HARD, 1.0 - HARD) == 1.0


ROUGH: dict[str, list[dict[str, Any]]] = {
    "dice": [{"squared": True}, {"smooth": 3.0}],
    "jaccard": [{}, {"smooth": 0.5}],
    "tversky": [{"alpha": 0.0, "beta": 2.0}, {"alpha": 1e-8, "beta": 1e8}],
    "focal-tversky": [{"gamma": 0.3}, {"gamma": 20.0}, {"gamma": 1.5, "alpha": 3.0, "beta": 0.1}],
    "log-cosh-dice": [{"squared": True}, {"smooth": 0.2}],
}


def masks(kind: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    t, soft, tiny = np.round(rng.random(9)), rng.uniform(0.1, 0.9, 9), 10.0 ** -rng.uniform(3, 16, 9)
    return {
        "nearly right": (np.abs(t - tiny), t),
        "nearly right, soft": (soft * (1.0 + tiny), soft),
        "nearly wrong": (np.abs(1.0 - t - tiny), t),
        "nearly empty": (tiny * 1e-200, t),
    }[kind]


@pytest.mark.parametrize("kind", ["nearly right", "nearly right, soft", "nearly wrong", "nearly empty"])
@pytest.mark.parametrize("name", NAMES)
def test_rough_masks_are_within_the_bounds(name: str, kind: str) -> None:
    p, t = masks(kind)
    for params in ROUGH[name]:
        made = Draw(get(name).bind(**params), {"probs": p, "target": t}, How(link="probs"))
        assert check(made, KINDS[:2], rows=[0, 1]) == 3


def test_the_curvature_of_logits_near_zero_keeps_its_digits() -> None:
    # A true pixel leaves the union as it is: only the bend of σ is left, p q (q - p), which is -z/8 + z³/12 there.
    z, t = np.array([1e-9, 0.3]), np.array([1.0, 0.0])
    _, hessian = slopes("jaccard", z, t, "logits")
    off = 1.0 / (1.0 + math.exp(-0.3))
    assert hessian[0] == pytest.approx(1e-9 / 8.0 / (1.0 + off), rel=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_masks_below_all_normal_numbers_have_slopes(name: str) -> None:
    gradient, _ = slopes(name, np.array([1e-310, 2e-310, 0.0]), np.array([0.0, 0.0, 0.0]), "probs")
    assert not np.isnan(gradient).any()
