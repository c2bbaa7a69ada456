"""Bugs of losses that were found in the wild: each is rejected, and named where data can tell what it is.

A test is called after the project and the number of its issue or pull request; its claim is what that program returned.
"""

from textwrap import dedent

import numpy as np
import pytest

import losscli
from losscli.plan import How
from losscli.results import Wants
from losscli.verifier.dumps.claim_report import headline
from losscli.verifier.dumps.claims import Claims, verify
from losscli.verifier.own.answer import headline as said_of
from losscli.verifier.own.check import Asked, check_target
from losscli.verifier.own.target import load

RNG = np.random.default_rng(11)
N, C = 13, 5
LOGITS, LABELS, UPSTREAM = 2.0 * RNG.normal(size=(N, C)), RNG.integers(0, C, N), RNG.uniform(0.3, 3.0, N)
LABELS[:C] = np.arange(C)
CE = losscli.get("ce").bind()
DATA = {"logits": LOGITS, "labels": LABELS}
# Every fourth row does not count.
KEPT = np.arange(N) % 4 != 1
PARTLY = {"logits": LOGITS, "labels": np.where(KEPT, LABELS, -100)}
SMOOTHING = 0.2
SMOOTHED = How(label_smoothing=SMOOTHING, ignore_index=-100)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


ONE_HOT = np.eye(C)[LABELS]
SLOPES = softmax(LOGITS) - ONE_HOT
# What smoothing adds: the slopes towards equal probabilities.
EVEN = softmax(LOGITS) - 1.0 / C


def right(bound, data, **options):
    """The gradient that the claim should have been."""
    return losscli.evaluate(
        bound, data, wants=Wants(grad=bound.loss.reads.differentiable[0]), empty="nan", **options
    ).gradient


def rejected(bound, data, claim, name, **options):
    """The line about a claim, which must fail, and be known by ``name``; what is right in its place must pass."""
    reduction = options.get("reduction", bound.loss.reads.reduction)
    truth = right(bound, data, **{**options, "reduction": reduction})
    assert verify(bound, data, Claims(grad=truth), **options).verdict == "pass"
    found = verify(bound, data, Claims(grad=claim), **options)
    assert found.verdict == "fail"
    assert found.counts["fail"] > 0
    if name:
        known = [word for one in found.diagnosis[:1] for word in (one.hypothesis, *one.coincides)]
        assert any(name in word for word in known), headline(found)
    return headline(found)


def test_aprender_2182_a_sum_is_divided_by_the_batch():
    line = rejected(CE, DATA, SLOPES / N, "mean instead of sum", reduction="sum")
    assert line == f"FAIL ce: claimed = {1 / N:.7g} × true in all 65 entries: looks like mean instead of sum (N = 13)"


def test_aprender_2182_of_upstream_gradients_the_first_is_read():
    claim = SLOPES * UPSTREAM[0]
    rejected(CE, DATA, claim, "the first sample weight for every row", reduction="sum", sample_weight=UPSTREAM)


def test_flaggems_5212_with_an_upstream_gradient_of_ones_nobody_sees_it():
    claim, options = SLOPES * UPSTREAM[0], {"reduction": "sum"}
    assert verify(CE, DATA, Claims(grad=claim), sample_weight=np.full(N, UPSTREAM[0]), **options).verdict == "pass"
    rejected(CE, DATA, claim, "the first sample weight for every row", sample_weight=UPSTREAM, **options)


@pytest.mark.parametrize("wrt", ["weights", "bias"])
def test_liger_1298_a_head_is_multiplied_by_the_first_upstream_gradient(wrt):
    head = losscli.get("ce").linear.bind()
    features, weights = RNG.normal(size=(N, 3)), RNG.normal(size=(C, 3))
    data = {"features": features, "weights": weights, "bias": RNG.normal(size=C), "labels": LABELS}
    slopes = softmax(features @ weights.T + data["bias"]) - ONE_HOT
    options = {"wrt": wrt, "sample_weight": UPSTREAM, "reduction": "sum"}

    def summed(upstream):
        weighted = slopes * upstream[:, None]
        return weighted.T @ features if wrt == "weights" else weighted.sum(axis=0)

    assert verify(head, data, Claims(grad=summed(UPSTREAM)), **options).verdict == "pass"
    found = verify(head, data, Claims(grad=summed(np.full(N, UPSTREAM[0]))), **options)
    assert (found.verdict, found.diagnosis[0].hypothesis) == ("fail", "the first sample weight for every row")


def test_transformer_engine_2139_the_upstream_gradient_of_another_row_is_read():
    claim = SLOPES * np.roll(UPSTREAM, 1)[:, None]
    rejected(CE, DATA, claim, "sample weights of the row before", reduction="sum", sample_weight=UPSTREAM)


def test_directml_740_without_a_reduction_all_is_zero():
    line = rejected(CE, DATA, np.zeros((N, C)), "all zero", reduction="none")
    assert line.endswith("looks like all zero")


def test_pytorch_64163_a_value_added_up_in_single_precision_is_no_fault_of_the_gradient():
    rng = np.random.default_rng(0)
    log_probs, labels = np.log(softmax(3.0 * rng.normal(size=(3000, 3)))), rng.integers(0, 3, 3000)
    total = np.float32(0.0)
    for term in log_probs[np.arange(3000), labels].astype(np.float32):
        total -= term
    claims = Claims(value=float(total) / 3000, grad=-np.eye(3)[labels] / 3000)
    found = verify(losscli.get("nll").bind(), {"log_probs": log_probs, "labels": labels}, claims)
    assert (found.verdict, found.value.verdict, found.slopes[0].verdict) == ("fail", "fail", "pass")
    assert found.value.formula[1]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_pytorch_73205_smoothing_takes_ignored_rows_into_account(reduction):
    hard = np.where(KEPT[:, None], SLOPES, 0.0)
    kept, rows = (KEPT.sum(), N) if reduction == "mean" else (1, 1)
    claim = (1.0 - SMOOTHING) * hard / kept + SMOOTHING * EVEN / rows
    rejected(CE, PARTLY, claim, "label smoothing over ignored rows", how=SMOOTHED, reduction=reduction)


def test_tinygrad_3570_an_ignored_row_is_smoothed():
    both = (1.0 - SMOOTHING) * SLOPES + SMOOTHING * EVEN
    claim = np.where(KEPT[:, None], both, SMOOTHING * EVEN) / KEPT.sum()
    line = rejected(CE, PARTLY, claim, "right except in rows that do not count", how=SMOOTHED)
    assert "15 of 65 entries are wrong" in line


def test_liger_198_the_mean_of_smoothed_rows_counts_ignored_ones():
    both = (1.0 - SMOOTHING) * SLOPES + SMOOTHING * EVEN
    claim = np.where(KEPT[:, None], both, 0.0) / N
    rejected(CE, PARTLY, claim, "a mean over N = 13, not over kept = 10", how=SMOOTHED)


def test_fetchai_ledger_1580_the_label_is_not_divided_by_the_probability():
    probs = softmax(LOGITS)
    data = {"logits": probs, "labels": LABELS}
    rejected(CE, data, -ONE_HOT / N, "the slope by log-probs, not by probs", how=How(link="probs"))


def test_crysx_nn_7_the_largest_of_all_scores_is_subtracted_from_every_row():
    logits = LOGITS.copy()
    logits[3] -= 800.0
    e = np.exp(logits - logits.max())
    with np.errstate(invalid="ignore"):
        claim = (e / e.sum(axis=1, keepdims=True) - ONE_HOT) / N
    data = {"logits": logits, "labels": LABELS}
    rejected(CE, data, claim, "not a number in rows far below the largest score of all")


def test_kornia_918_focal_below_one_is_not_a_number_where_a_probability_is_0_or_1():
    focal, gamma = losscli.get("focal").bind(gamma=0.5), 0.5
    z = np.r_[3.0 * RNG.normal(size=9), 40.0, -40.0, 800.0, -800.0]
    target = np.r_[RNG.integers(0, 2, 9), 1, 0, 1, 0].astype(float)
    sign = 2.0 * target - 1.0
    # The probability of what happened, and what is left to 1: exactly 0 in the last four rows.
    q = 1.0 / (1.0 + np.exp(-sign * z))
    with np.errstate(all="ignore"):
        slope = gamma * (1.0 - q) ** (gamma - 1.0) * np.log(q) - (1.0 - q) ** gamma / q
        claim = sign * slope * q * (1.0 - q) / len(z)
    assert np.isnan(claim).sum() == 4
    rejected(focal, {"logits": z, "target": target}, claim, "not a number where a probability is beyond")


@pytest.mark.parametrize("divided", [True, False])
def test_sockeye_200_the_mask_is_turned_round(divided):
    mask = (np.arange(N) % 3 != 0).astype(float)
    others = 1.0 - mask
    claim = SLOPES * others[:, None] / (others.sum() if divided else mask.sum())
    name = "the mask turned round" if divided else "the mask turned round, but not in the denominator"
    rejected(CE, DATA, claim, name, mask=mask)


def test_jax_39794_40385_what_is_left_of_saturated_sigmoids_is_zero():
    z = np.r_[2.0 * RNG.normal(size=8), 40.0, 90.0, 37.5, 700.0]
    target = np.r_[RNG.integers(0, 2, 8), 0, 0, 0, 0].astype(float)
    p = 1.0 / (1.0 + np.exp(-z))
    # The chain rule through p: its slope p(1 - p) is 0 where p is rounded to 1, and a guard keeps 1/(1 - p) finite.
    by_p = -target / p + (1.0 - target) / np.maximum(1.0 - p, 1e-30)
    data = {"logits": z, "target": target}
    rejected(losscli.get("bce").bind(), data, by_p * p * (1.0 - p) / 12, "0 where a probability is 1")


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_extension_cpp_60_and_caffe_6814_a_factor_of_two(factor):
    name = "twice too large" if factor > 1.0 else "half of what it should be"
    rejected(CE, DATA, factor * SLOPES / N, name)


OWN = """
    import numpy as np

    def chamfer(x, y):
        gap = x[:, None, :] - y[None, :, :]
        square = (gap**2).sum(axis=2)
        one, two = square.argmin(axis=1), square.argmin(axis=0)
        value = square.min(axis=1).sum() + square.min(axis=0).sum()
        by_x = 2 * gap[np.arange(len(x)), one]
        np.add.at(by_x, two, 2 * gap[two, np.arange(len(y))])
        by_y = np.zeros_like(y)
        np.add.at(by_y, one, -2 * gap[np.arange(len(x)), one])
        by_y += -2 * gap[two, np.arange(len(y))]
        return value, (by_x, by_y)

    def caffe(x, y):
        value, (by_x, by_y) = chamfer(x, y)
        return 2 * value, (by_x, by_y)

    def stable(z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def cross_entropy(p, labels):
        return -np.log(p[np.arange(len(p)), labels]).sum()

    def ledger(logits, labels):
        p, hot = stable(logits), np.eye(logits.shape[1])[labels]
        by_p = -hot
        return cross_entropy(p, labels), p * (by_p - (by_p * p).sum(axis=1, keepdims=True))

    def aprender(logits, labels):
        p, hot = stable(logits), np.eye(logits.shape[1])[labels]
        return cross_entropy(p, labels), (p - hot) / len(p)

    def directml(logits, labels):
        p = stable(logits)
        return -np.log(p[np.arange(len(p)), labels]), np.zeros_like(p)

    def log_sigmoid(x):
        return np.minimum(x, 0) - np.log1p(np.exp(-abs(x))), np.where(x == 0, 0, 1 / (1 + np.exp(x)))
"""


@pytest.fixture
def own(tmp_path):
    """Check a function of the file above."""
    file = tmp_path / "wild_own.py"
    file.write_text(dedent(OWN))
    return lambda name, data=None, **asked: check_target(load(f"{file}:{name}"), data, Asked(**asked))


def test_caffe_6814_a_layer_that_is_right_by_itself_leaves_out_the_upstream_gradient_of_two(own):
    assert own("chamfer").check.verdict == "pass"
    answer = own("caffe")
    assert "claimed = 0.5 × true" in said_of(answer)


@pytest.mark.parametrize(
    ("name", "said"),
    [("ledger", ""), ("aprender", "claimed = 0.2 × true"), ("directml", "all zero")],
)
def test_a_function_with_the_bug_fails_by_itself(own, name, said):
    answer = own(name)
    assert answer.check.verdict == "fail"
    assert all(method.agree is False for method in answer.check.methods)
    assert said in said_of(answer)


def test_jax_2140_log_sigmoid_has_a_slope_of_zero_at_zero(own):
    assert own("log_sigmoid", {"x": np.array([-1.0, 0.5, 2.0])}).check.verdict == "pass"
    answer = own("log_sigmoid", {"x": np.array([-1.0, 0.0, 2.0])}).check
    assert (answer.verdict, answer.counts["fail"], answer.worst[0].index) == ("fail", 1, (1,))
    assert answer.worst[0].reference == pytest.approx(0.5)
