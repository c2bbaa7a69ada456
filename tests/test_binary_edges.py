"""Margin, binary and multi-label losses where other libraries fail, and the identities that tie them to each other."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import numpy.testing as npt
import pytest
from accuracy import Draw, check

from losscli.errors import DataError, UsageError
from losscli.evaluate import evaluate
from losscli.families.binary import binary_logits, expected, formed
from losscli.kernels import Mixture
from losscli.loss import get
from losscli.plan import How
from losscli.results import Result, Wants

EPS = 2.0**-52
Floats = np.ndarray[Any, np.dtype[np.float64]]
RNG = np.random.default_rng(5)
SCORES = np.array([-40.0, -3.0, -1.0, -0.25, 0.0, 1e-9, 0.5, 1.0, 2.0, 40.0])
TARGETS = np.array([0.0, 1.0, 0.3, 1.0, 0.0, 1.0, 0.9, 0.0, 1.0, 0.0])


def compute(name: str, data: dict[str, Any], link: str = "", **params: Any) -> Result:
    first = next(iter(data))
    wants = Wants(grad=first, hess=first)
    return evaluate(get(name).bind(**params), data, how=How(link=link), reduction="none", wants=wants)


def numbers(result: Result) -> list[Floats]:
    """Value, gradient and Hessian."""
    assert result.gradient is not None
    assert result.hessian is not None
    return [np.asarray(result.value), result.gradient, result.hessian]


def at(name: str, m: float, **params: Any) -> list[float]:
    """Value, slope and curvature of a margin loss at one margin."""
    return [float(x[0]) for x in numbers(compute(name, {"score": [m], "label": [1.0]}, **params))]


def outcome(name: str, x: float, target: float, link: str = "", **params: Any) -> list[float]:
    """Value, slope and curvature of a binary loss at one logit or probability."""
    return [float(n[0]) for n in numbers(compute(name, {"logits": [x], "target": [target]}, link, **params))]


# Margins


@pytest.mark.parametrize(
    ("name", "params", "m", "expected"),
    [
        ("hinge", {}, -1.0, (2.0, -1.0, 0.0)),
        # optax and Keras on JAX halve the slope here; 0 and -1 are the slopes of the sides.
        ("hinge", {}, 1.0, (0.0, 0.0, 0.0)),
        ("squared-hinge", {}, -2.0, (9.0, -6.0, 2.0)),
        ("smooth-hinge", {}, -2.0, (2.5, -1.0, 0.0)),
        ("smooth-hinge", {}, 0.0, (0.5, -1.0, 0.0)),
        ("smooth-hinge", {}, 0.5, (0.125, -0.5, 1.0)),
        ("smooth-hinge", {}, 1.0, (0.0, 0.0, 0.0)),
        ("modified-huber", {}, -1.5, (6.0, -4.0, 0.0)),
        ("modified-huber", {}, -1.0, (4.0, -4.0, 0.0)),
        ("modified-huber", {}, 0.5, (0.25, -1.0, 2.0)),
        ("perceptron", {}, 0.0, (0.0, 0.0, 0.0)),
        ("ramp", {}, -1.0, (1.0, 0.0, 0.0)),
        ("ramp", {}, 0.0, (1.0, 0.0, 0.0)),
        ("ramp", {}, 0.25, (0.75, -1.0, 0.0)),
        ("ramp", {"cap": 2.0}, -0.5, (1.5, -1.0, 0.0)),
        ("savage", {}, 0.0, (0.25, -0.25, 0.125)),
        ("tangent", {}, 0.0, (1.0, -4.0, 8.0)),
        ("tangent", {}, -1.0, ((math.pi / 2 + 1) ** 2, -2 * (math.pi / 2 + 1), -math.pi)),
        ("exponential", {"beta": 2.0}, 0.0, (1.0, -2.0, 4.0)),
        ("logistic", {"bits": True}, 0.0, (1.0, -0.5 / math.log(2.0), 0.25 / math.log(2.0))),
        ("zero-one-margin", {}, -1e-300, (1.0, 0.0, 0.0)),
        ("zero-one-margin", {}, 0.0, (0.0, 0.0, 0.0)),
    ],
)
def test_a_margin_loss_has_these_numbers(
    name: str, params: dict[str, Any], m: float, expected: tuple[float, ...]
) -> None:
    npt.assert_allclose(at(name, m, **params), expected, rtol=2 * EPS, atol=0)


@pytest.mark.parametrize("m", [-1.7e308, -1e155, -745.0, 745.0, 1e155, 1.7e308])
@pytest.mark.parametrize("name", ["tangent", "savage", "logistic", "ramp", "smooth-hinge"])
def test_no_margin_is_too_large(name: str, m: float) -> None:
    assert np.isfinite(at(name, m)).all()


def test_a_huge_margin_still_has_a_slope() -> None:
    # The square of 1.4e154 is infinite; the slope, 4 (π - 1)/m², is not zero.
    m = 1.4e154
    assert at("tangent", m)[1] == pytest.approx(4.0 * (math.pi - 1.0) / m / m, rel=1e-14, abs=0)


def test_soft_margin_of_a_large_score_neither_overflows_nor_vanishes() -> None:
    # torch.nn.SoftMarginLoss gives inf and a gradient of NaN at m = -1000; sklearn's HalfBinomialLoss 0 at m = 40.
    assert at("logistic", -1000.0) == [1000.0, -1.0, 0.0]
    assert at("logistic", 40.0)[0] == pytest.approx(4.248354255291589e-18, rel=1e-15, abs=0)


def test_a_tiny_exponential_times_a_large_beta_keeps_its_digits() -> None:
    # The loss itself is subnormal and has lost its digits.
    beta, m = 1e20, 7.4e-18
    with mpmath.workdps(40):
        exact = -mpmath.mpf(beta) * mpmath.exp(-mpmath.mpf(beta) * mpmath.mpf(m))
    assert at("exponential", m, beta=beta)[1] == pytest.approx(float(exact), rel=800 * EPS, abs=0)


@pytest.mark.parametrize("bits", [False, True])
def test_in_bits_the_logistic_loss_is_never_below_zero_one(bits: bool) -> None:
    data = {"score": np.linspace(-3.0, 3.0, 101), "label": np.ones(101)}
    above = numbers(compute("logistic", data, bits=bits))[0] >= numbers(compute("zero-one-margin", data))[0]
    assert above.all() == bits


def test_margin_losses_that_are_one_another() -> None:
    data = {"score": SCORES, "label": np.where(TARGETS > 0.5, 1.0, -1.0)}
    binary = {"logits": SCORES, "target": np.where(TARGETS > 0.5, 1.0, 0.0)}
    for one, other in (
        (compute("ramp", data, cap=1e9), compute("hinge", data)),
        (compute("logistic", data), compute("bce", binary)),
    ):
        for mine, theirs in zip(numbers(one), numbers(other), strict=True):
            npt.assert_allclose(mine, theirs, rtol=4 * EPS, atol=0)
    # The squared probability of the wrong label is the Brier score of the sigmoid.
    wrong = -numbers(compute("logistic", data))[1] * data["label"]
    npt.assert_allclose(numbers(compute("savage", data))[0], wrong**2, rtol=4 * EPS)


@pytest.mark.parametrize("label", [0.0, 2.0, 0.5, math.nan])
def test_a_label_that_is_no_sign_is_refused(label: float) -> None:
    # Keras reads 0 and 1 as -1 and 1, but only where all labels of a batch are 0 or 1.
    with pytest.raises(DataError, match="label must be -1 or 1"):
        compute("ramp", {"score": [1.0, 2.0], "label": [1.0, label]})


# Binary losses


def test_an_impossible_outcome_costs_infinitely_much_and_a_certain_one_nothing() -> None:
    # torch.nn.BCELoss: 100 and -1e12 at p = 0; Keras: 16.118 and a gradient of 0.
    for name in ("bce", "focal", "poly1-bce", "asymmetric"):
        assert outcome(name, 0.0, 1.0, "probs") == [math.inf, -math.inf, math.inf]
        value, slope, curve = outcome(name, 1.0, 1.0, "probs")
        assert value == 0.0
        assert np.isfinite([slope, curve]).all()


def test_probabilities_and_logits_agree_where_a_sigmoid_saturates() -> None:
    # torch's BCELoss of a sigmoid: a gradient of -0.69 at z = -28 and of -4e-6 at z = -40; Keras 0 at z = -200.
    for z in (-28.0, -40.0, -200.0):
        assert outcome("bce", z, 1.0)[1] == pytest.approx(-1.0, rel=1e-11, abs=0)
        assert outcome("focal", z, 1.0)[0] == pytest.approx(-z, rel=1e-11, abs=0)
        assert outcome("focal", z, 1.0)[1] == pytest.approx(-1.0, rel=1e-9, abs=0)
        assert outcome("asymmetric", z, 1.0)[1] == pytest.approx(-1.0, rel=1e-9, abs=0)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_a_focal_slope_is_finite_where_the_outcome_is_certain(gamma: float) -> None:
    # torchvision, SMP and Keras: NaN for 0 < gamma < 1 once 1 - p rounds to 0.
    for z, target in ((800.0, 1.0), (-800.0, 0.0), (40.0, 1.0), (-40.0, 0.0)):
        for found in (
            outcome("focal", z, target, gamma=gamma),
            outcome("asymmetric", z, target, gamma_pos=gamma, gamma_neg=gamma, clip=0.0),
        ):
            value, slope, curve = found
            assert 0.0 <= value < 1e-17
            assert abs(slope) < 1e-17
            assert abs(curve) < 1e-17


def test_asymmetric_has_the_numbers_of_its_published_code() -> None:
    # ASL's AsymmetricLoss(gamma_neg=4, gamma_pos=1, clip=.05, eps=0) in torch 2.13, float64.
    z, target = np.array([-2.0, 0.5, 3.0, 1.0]), np.array([1.0, 0.0, 0.0, 1.0])
    value, slope, _ = numbers(compute("asymmetric", {"logits": z, "target": target}))
    npt.assert_allclose(
        value, [1.8733919771959595, 0.09125300409120031, 1.5453905387009454, 0.0842490435019141], rtol=1e-14
    )
    npt.assert_allclose(
        slope, [-0.9991172903489264, 0.2088736875111649, 0.6171375893330674, -0.13392047412196004], rtol=1e-14
    )


@pytest.mark.parametrize("link", ["logits", "probs"])
def test_a_negative_below_the_clip_costs_nothing(link: str) -> None:
    p = np.array([0.0, 0.02, 0.0499, 0.3]) if link == "probs" else np.array([-800.0, -4.0, -2.95, -1.0])
    for gamma in (0.0, 0.5, 1.0, 4.0):
        found = numbers(compute("asymmetric", {"logits": p, "target": np.zeros(4)}, link, gamma_neg=gamma))
        assert [bool(x[:3].any()) for x in found] == [False] * 3
        assert [bool(x[3]) for x in found] == [True] * 3


def test_binary_losses_that_are_one_another() -> None:
    for link, x in (("logits", SCORES), ("probs", 1.0 / (1.0 + np.exp(-SCORES)))):
        data = {"logits": x, "target": TARGETS}
        for gamma in (0.0, 0.7, 2.0):
            mine = compute("asymmetric", data, link, gamma_pos=gamma, gamma_neg=gamma, clip=0.0)
            for a, b in zip(numbers(mine), numbers(compute("focal", data, link, gamma=gamma)), strict=True):
                npt.assert_allclose(a, b, rtol=64 * EPS, atol=0)
        for a, b in zip(
            numbers(compute("poly1-bce", data, link, epsilon=0.0)), numbers(compute("bce", data, link)), strict=True
        ):
            npt.assert_allclose(a, b, rtol=8 * EPS, atol=0)


@pytest.mark.parametrize("epsilon", [-1.0, -1.0 + 1e-9, -0.5, 1.0, 2.0, 100.0])
def test_poly1_keeps_its_digits_where_its_terms_cancel(epsilon: float) -> None:
    z = np.array([-37.0, -9.0, -1e-9, 1e-9, 2.0, 17.0, 36.0])
    p = np.array([1e-300, 1e-9, 0.3, 0.5, 0.9, 1 - 1e-9, 1 - 2.0**-53])
    for target in (0.0, 1.0, 0.3):
        for link, x in (("logits", z), ("probs", p)):
            data = {"logits": x, "target": np.full(7, target)}
            made = Draw(get("poly1-bce").bind(epsilon=epsilon), data, How(link=link))
            # In probabilities of 1e-300 a curvature is beyond all floats: the oracle's step has no room there.
            assert check(made, ["value", "gradient", "hessian"], rows=range(1, 7)) == 30


def test_poly1_of_a_confident_mistake_is_hardly_curved() -> None:
    # 1 + ε (p - q) is 2 p for ε = 1: as written it is 0 once q rounds to 1.
    p = math.exp(-40.0)
    assert outcome("poly1-bce", -40.0, 1.0, epsilon=1.0)[2] == pytest.approx(2.0 * p * p, rel=1e-14, abs=0)


@pytest.mark.parametrize(
    ("gamma", "clip", "z"),
    [(2.0, 0.5, 1e-9), (1.0, 0.9, 9.0), (5.0, 0.97, 17.0), (4.0, 0.05, -2.9444389), (3.0, 0.3, 1e-4)],
)
def test_what_is_left_above_the_clip_keeps_its_digits(gamma: float, clip: float, z: float) -> None:
    made = Draw(get("asymmetric").bind(gamma_neg=gamma, clip=clip), {"logits": np.array([z]), "target": np.zeros(1)})
    assert check(made, ["value", "gradient", "hessian"]) == 5


def test_a_logit_has_more_digits_than_the_probability_that_is_clipped() -> None:
    # p - 1/2 = z/4; the loss is its square, and its slope z/8. As 0.5 + 2.5e-101 - 0.5 they would be zero.
    value, slope, curve = outcome("asymmetric", 1e-100, 0.0, gamma_neg=1.0, clip=0.5)
    npt.assert_allclose([value, slope, curve], [6.25e-202, 1.25e-101, 0.125], rtol=4 * EPS)


def test_a_probability_of_one_half_says_no() -> None:
    p, target = [0.5, 0.5, 0.5 + 2.0**-53, 0.25, 1.0], [0.0, 1.0, 1.0, 0.3, 0.3]
    assert numbers(compute("binary-zero-one", {"logits": p, "target": target}, "probs"))[0].tolist() == [
        *(0.0, 1.0, 0.0, 0.3, 0.7)
    ]
    # As a logit the side is known however small it is.
    z = [0.0, 1e-300, -1e-300]
    assert numbers(compute("binary-zero-one", {"logits": z, "target": np.ones(3)}))[0].tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("name", ["bce", "focal", "poly1-bce", "asymmetric", "binary-zero-one"])
def test_what_is_no_target_or_no_logit_is_refused(name: str) -> None:
    # torch's BCEWithLogitsLoss gives a negative loss for a target of 2, and NaN for an infinite logit.
    for target in (2.0, -0.1, math.nan):
        with pytest.raises(DataError, match=r"target must be in \[0, 1\]"):
            compute(name, {"logits": [0.0, 1.0], "target": [1.0, target]})
    for z in (math.inf, -math.inf, math.nan):
        with pytest.raises(DataError, match="logits must be a finite number"):
            compute(name, {"logits": [0.0, z], "target": [1.0, 1.0]})


@pytest.mark.parametrize(
    ("name", "params"),
    [
        *(("poly1-bce", {"epsilon": -1.5}), ("asymmetric", {"clip": 1.0}), ("asymmetric", {"gamma_neg": -1.0})),
        *(("ramp", {"cap": 0.0}), ("exponential", {"beta": 0.0}), ("bce", {"pos_weight": 0.0})),
    ],
)
def test_a_parameter_out_of_range_is_refused(name: str, params: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="must be a number"):
        get(name).bind(**params)


# Multi-label losses


@pytest.mark.parametrize(
    ("labels", "value", "slope"),
    [
        # torch.nn.functional.multilabel_margin_loss, 2.13, float64.
        ([3, 0, -1, 1], 0.85, [-0.5, 0.5, 0.5, -0.5]),
        ([3, 3, -1, 1], 0.65, [0.5, 0.5, 0.5, -1.5]),
        ([2, -1, -1, -1], 0.725, [0.25, 0.25, -0.75, 0.25]),
        ([-1, 0, 1, 2], 0.0, [0.0, 0.0, 0.0, 0.0]),
        ([0, 1, 2, 3], 0.0, [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_a_list_of_labels_ends_at_its_first_minus_one(labels: list[int], value: float, slope: list[float]) -> None:
    found = numbers(compute("multilabel-margin", {"logits": [[0.1, 0.2, 0.4, 0.8]], "labels": [labels]}))
    assert found[0][0] == pytest.approx(value, rel=4 * EPS, abs=0)
    assert found[1].tolist() == [slope]
    assert not found[2].any()


def test_on_a_kink_the_slope_is_zero() -> None:
    found = numbers(compute("multilabel-margin", {"logits": [[2.0, 1.0, 0.5, -1.0]], "labels": [[0, -1, -1, -1]]}))
    assert found[0][0] == 0.0
    assert not found[1].any()


def test_one_true_class_is_the_margin_loss_of_weston_and_watkins() -> None:
    z, index = RNG.normal(size=(20, 6)), RNG.integers(0, 6, 20)
    labels = np.where(np.arange(6) == 0, index[:, None], -1)
    one = numbers(compute("multilabel-margin", {"logits": z, "labels": labels}))
    other = numbers(compute("multi-margin", {"logits": z, "labels": index}))
    for mine, theirs in zip(one, other, strict=True):
        npt.assert_allclose(mine, theirs, rtol=8 * EPS, atol=0)


@pytest.mark.parametrize("wrong", [4.0, 0.5, -2.0, math.nan, math.inf])
def test_a_label_that_is_no_class_is_refused_where_it_stands(wrong: float) -> None:
    # Also behind the end of its list, as in torch.
    for at in ((1, 0), (1, 2)):
        labels = np.array([[0.0, 1.0, -1.0, -1.0], [1.0, -1.0, -1.0, -1.0]])
        labels[at] = wrong
        with pytest.raises(DataError, match="labels must be a class index, or -1") as refused:
            compute("multilabel-margin", {"logits": np.zeros((2, 4)), "labels": labels})
        assert refused.value.place is not None
        assert refused.value.place.index == at


def test_soft_margin_is_the_mean_of_its_classes() -> None:
    z, target = RNG.normal(scale=20.0, size=(9, 5)), RNG.uniform(size=(9, 5)).round(1)
    for link, x in (("logits", z), ("probs", RNG.uniform(0.01, 0.99, size=(9, 5)))):
        one = numbers(compute("multilabel-soft-margin", {"logits": x, "target": target}, link))
        other = numbers(compute("bce", {"logits": x, "target": target}, link))
        npt.assert_allclose(one[0], other[0].mean(axis=1), rtol=8 * EPS)
        npt.assert_allclose(one[1] * 5.0, other[1], rtol=1e-13)
        npt.assert_allclose(one[2] * 5.0, other[2], rtol=1e-13)


def test_soft_margin_takes_no_padding() -> None:
    # Once in torch's documentation, never in its code: -1 is no target.
    with pytest.raises(DataError, match=r"target must be in \[0, 1\], not -1"):
        compute("multilabel-soft-margin", {"logits": np.zeros((2, 3)), "target": [[1, 0, 1], [1, -1, 0]]})


def test_the_short_way_of_a_mixture_of_outcomes_ends_where_the_long_one_does() -> None:
    """The expected surprise and its slope without either surprise: soft targets near 0 and 1, zeros of both signs."""
    z = np.concatenate([SCORES, -SCORES, [0.0, -0.0, 1e-300, 745.0, -745.0, 1e8, -1e8], RNG.normal(size=500) * 10.0])
    t = RNG.choice([0.0, 1.0, 0.5, 0.3, 1e-12, 1.0 - 1e-12, 1e-300], size=z.shape)
    fold = binary_logits(z, t)
    yes, no = map(formed, fold.variables[:2])
    npt.assert_allclose(expected(t, *fold.variables[:2]), t * yes + (1.0 - t) * no, rtol=4 * EPS)
    short = fold.gradient(Mixture.of(t, lambda: z), "logits")
    with np.errstate(all="ignore"):
        long = fold.gradient((t, 1.0 - t), "logits")
    # Where a soft target is met what is left is the rounding of the chance, by either way.
    npt.assert_allclose(short, long, rtol=8 * EPS, atol=2 * EPS * float(np.abs(t * (1.0 - t)).max()))
    hard = (t == 0.0) | (t == 1.0)
    npt.assert_allclose(short[hard], long[hard], rtol=8 * EPS)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_no_slope_changes_its_sign_at_a_score_of_minus_zero(target: float) -> None:
    data = {"logits": np.array([0.0, -0.0]), "target": np.full(2, target)}
    assert np.asarray(compute("bce", data).gradient).tolist() == [0.5 - target] * 2
