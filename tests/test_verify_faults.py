"""losscli verify: wrong claims that hide behind their format, behind entries that cannot be told, behind infinities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import losscli
from losscli.evaluate import as_source
from losscli.plan import How
from losscli.precision import FORMATS
from losscli.results import Wants
from losscli.verifier.dumps.audit import Audit, judged
from losscli.verifier.dumps.claim_report import content, headline
from losscli.verifier.dumps.claims import Claims, verify
from losscli.verifier.dumps.unsettled import by_size, settled
from losscli.verifier.numeric.verdict import INCONCLUSIVE, NONFINITE

RNG = np.random.default_rng(11)
MSE = losscli.get("mse").bind()
CE = losscli.get("ce").bind()


def slopes(bound, data, **options):
    """The exact gradient by the first input."""
    wants = Wants(grad=bound.loss.reads.differentiable[0])
    return losscli.evaluate(bound, data, wants=wants, **options).gradient


def test_whole_numbers_in_the_data_do_not_widen_the_allowance_of_a_value() -> None:
    data = {"prediction": RNG.normal(size=100), "target": np.arange(100.0)}
    value = losscli.evaluate(MSE, data).value
    assert verify(MSE, data, Claims(value=value)).verdict == "pass"
    for factor in (1.15, 1.001, 1 + 1e-9):
        assert verify(MSE, data, Claims(value=factor * value)).verdict == "fail"


def test_a_value_of_single_precision_data_has_single_precision() -> None:
    data = {"prediction": RNG.normal(size=100).astype(np.float32), "target": np.arange(100.0)}
    value = losscli.evaluate(MSE, data).value
    assert verify(MSE, data, Claims(value=value * (1 + 1e-7))).verdict == "pass"
    assert verify(MSE, data, Claims(value=value * 1.001)).verdict == "fail"


def test_whole_slopes_are_no_evidence_of_a_narrow_format() -> None:
    """2 (prediction - target) of whole numbers is a number of bfloat16, and so is a slope that is 1.6 % off."""
    data = {"prediction": np.arange(65.0, 127.0), "target": np.zeros(62)}
    exact = slopes(MSE, data, reduction="sum")
    off = exact.copy()
    off[-1] += 2.0
    for claim, verdict in ((exact, "pass"), (off, "fail")):
        found = verify(MSE, data, Claims(grad=claim), reduction="sum")
        assert (found.verdict, found.slopes[0].precision.name) == (verdict, "float64")


def test_slopes_rounded_to_whole_numbers_are_not_of_a_narrow_format() -> None:
    data = {"prediction": RNG.uniform(-60.0, 60.0, 400), "target": np.zeros(400)}
    exact = slopes(MSE, data, reduction="sum")
    found = verify(MSE, data, Claims(grad=np.round(exact)), reduction="sum")
    assert (found.verdict, found.slopes[0].precision.name) == ("fail", "float64")
    for name in ("bfloat16", "float16", "float32"):
        rounded = verify(MSE, data, Claims(grad=FORMATS[name].rounded(exact)), reduction="sum")
        assert (rounded.counts["fail"], rounded.slopes[0].precision.name) == (0, name)


def test_beside_an_infinite_slope_nothing_else_passes() -> None:
    bce = losscli.get("bce").bind()
    data = {"logits": np.r_[0.0, np.full(60, 0.3)], "target": np.ones(61)}
    how = How(link="probs")
    exact = slopes(bce, data, how=how)
    assert np.isinf(exact[0])
    right = verify(bce, data, Claims(grad=exact), how=how)
    assert (right.verdict, right.counts["pass"]) == ("pass", 61)
    assert right.slopes[0].caught == right.slopes[0].planted >= 9
    for claim in (5.0, np.nan, np.inf, 0.0, -1e300):
        found = verify(bce, data, Claims(grad=np.r_[claim, exact[1:]]), how=how)
        assert (found.verdict, found.counts["fail"]) == ("fail", 1)
        assert found.slopes[0].worst[0].index == (0,)


def test_beside_no_slope_nothing_is_told() -> None:
    codes = judged(np.array([np.nan, 1.0, np.inf]), np.full(3, np.nan), np.ones(3))
    assert (codes == NONFINITE).all()


def test_failures_are_not_taken_back_for_others_that_were_asked_about() -> None:
    """The worst are beside kinks, where no difference tells; 400 others are plainly doubled."""
    bound = losscli.get("epsilon-insensitive").bind()
    size, far = 10_000, 1e12
    prediction = far + RNG.choice((-3.0, 3.0), size)
    prediction[:70] = np.nextafter(far, np.inf)
    data = {"prediction": prediction, "target": np.full(size, far)}
    exact = slopes(bound, data)
    beside = np.r_[1.0 / size - exact[:70], exact[70:]]
    alone = verify(bound, data, Claims(grad=beside))
    assert alone.verdict == "inconclusive"
    assert alone.slopes[0].withdrawn == 70
    assert "70 differ" in headline(alone)
    found = verify(bound, data, Claims(grad=np.r_[beside[:500], 2.0 * beside[500:900], beside[900:]]))
    assert found.verdict == "fail"
    assert found.slopes[0].opinion.confirmed


def test_where_a_wrong_claim_would_not_be_noticed_nothing_passes() -> None:
    """Three saturated rows in a narrow format, and ninety-seven that do not count."""
    bce = losscli.get("bce").bind()
    data = {"logits": np.full(100, 30.0), "target": np.ones(100)}
    mask = np.arange(100) < 3
    found = verify(bce, data, Claims(grad=np.zeros(100), precision="bfloat16"), mask=mask)
    assert found.verdict == "inconclusive"
    assert found.slopes[0].blind == ("doubled", "halved", "sign", "zero")
    assert "would not have been noticed" in headline(found)
    about = content(found)["selftest"]
    assert about["planted"] > about["caught"] > 0


def test_a_value_of_no_rows_is_not_checked() -> None:
    data = {"logits": RNG.normal(size=(6, 3)), "labels": np.full(6, -100)}
    how = How(ignore_index=-100)
    for reduction in ("sum", "none"):
        found = verify(CE, data, Claims(value=np.zeros(6 if reduction == "none" else ())), how=how, reduction=reduction)
        assert found.verdict == found.value.verdict == "not_checked"
    assert verify(CE, data, Claims(value=1.0), how=how, reduction="sum").verdict == "fail"


def test_methods_agree_or_disagree_with_the_claim() -> None:
    data = {"prediction": RNG.normal(size=20), "target": RNG.normal(size=20)}
    exact, value = slopes(MSE, data), losscli.evaluate(MSE, data).value
    right = content(verify(MSE, data, Claims(value=value, grad=exact)))["methods"]
    assert right
    assert all(method["agree"] for method in right)
    wrong = content(verify(MSE, data, Claims(value=2.0 * value, grad=2.0 * exact)))["methods"]
    assert {"exact gradient", "ridders"} <= {method["name"] for method in wrong}
    assert not any(method["agree"] for method in wrong)


def test_entries_too_small_to_be_told_are_judged_together() -> None:
    """Each of 2,000 classes is hidden by its bar, all of them together are half of the gradient."""
    bfloat16 = FORMATS["bfloat16"]
    rng = np.random.default_rng(0)
    data = {"logits": bfloat16.rounded(3.0 * rng.normal(size=(32, 2000))), "labels": rng.integers(0, 2000, 32)}
    exact = slopes(CE, data)
    right = bfloat16.rounded(exact)
    found = verify(CE, data, Claims(grad=right, precision="bfloat16"))
    assert found.verdict == "pass"
    column = replace(found.plan.columns["logits"], source=as_source("grad", right))
    seen = Audit(CE, found.plan, "logits", column, bfloat16, 1.0 / 32).beside((0, 32))
    hidden = (seen.codes == INCONCLUSIVE) & (np.abs(exact) <= seen.bar)
    assert np.mean(hidden) > 0.5
    for factor in (0.0, 0.5):
        wrong = verify(CE, data, Claims(grad=np.where(hidden, factor * right, right), precision="bfloat16"))
        assert wrong.counts["fail"] == 0
        assert wrong.verdict == "inconclusive"


def test_losses_too_small_to_be_told_are_judged_together() -> None:
    bfloat16 = FORMATS["bfloat16"]
    margin = np.random.default_rng(0).uniform(4.0, 5.0, 20_000)
    logits = bfloat16.rounded(np.stack([margin, np.zeros(20_000)], axis=1))
    logits[0] = (0.0, 40.0)
    data = {"logits": logits, "labels": np.zeros(20_000, int)}
    exact = losscli.evaluate(CE, data, reduction="none").value
    for factor, verdict in ((1.0, "pass"), (0.0, "inconclusive")):
        claim = np.r_[exact[0], factor * bfloat16.rounded(exact[1:])]
        found = verify(CE, data, Claims(value=claim, precision="bfloat16"), reduction="none")
        assert (found.verdict, found.counts["fail"]) == (verdict, 0)


def test_what_is_a_hundredth_of_all_slopes_may_be_hidden() -> None:
    def zeros(size: int, exact: float) -> list[int]:
        found = by_size(np.zeros(size), np.full(size, exact), np.full(size, 1e-6), np.full(size, True))
        return [settled(found, 1.0, 0.0, mass) for mass in (size * 1e-3, size * 1e-5)]

    for size, exact in ((3, 1e-9), (10_000, 1e-6)):
        assert zeros(size, exact) == [size, 0]


def test_numbers_too_small_to_be_told_are_counted() -> None:
    """Slopes below the least normal half have no digits to be judged by."""
    data = {"prediction": np.zeros(100), "target": np.linspace(0.5, 1.0, 100)}
    claim = FORMATS["float16"].rounded(1e-5 * slopes(MSE, data, reduction="sum"))
    found = verify(
        MSE, data, Claims(grad=claim, precision="float16"), sample_weight=np.full(100, 1e-5), reduction="sum"
    )
    assert found.verdict == "inconclusive"
    assert f"and {found.counts['inconclusive']} are too small to be told from rounding" in headline(found)
