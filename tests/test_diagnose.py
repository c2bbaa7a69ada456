"""The diagnosis: a planted fault is named, a right gradient and a random one are not, and the sentences are said."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import pytest

import losscli
from losscli.loss import Loss, Rows, get
from losscli.plan import How
from losscli.results import Wants
from losscli.verifier import report
from losscli.verifier.diagnosis.diagnose import diagnose, sentence
from losscli.verifier.diagnosis.hypotheses import generic
from losscli.verifier.diagnosis.scales import scales_by_shape
from losscli.verifier.dumps.claim_report import content, headline
from losscli.verifier.dumps.claims import Claims, verify
from losscli.verifier.gradcheck import gradcheck
from losscli.verifier.points import cases

RNG = np.random.default_rng(11)
CE = get("ce").bind()
Z, Y = RNG.normal(size=(32, 10)) * 2.0, RNG.integers(0, 10, 32)
DATA = {"logits": Z, "labels": Y}
TRUE = losscli.evaluate(CE, DATA, wants=Wants(grad="logits")).gradient
# One of each kind, and some of another draw, under other options.
FAULTS = [*{fault.kind: fault for fault in planted.planted(101)}.values(), *list(planted.planted(102))[1:220:4]]


def said(claim: np.ndarray, **options: object) -> str:
    return headline(verify(CE, DATA, Claims(grad=claim), **options))


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{at}-{fault.kind}" for at, fault in enumerate(FAULTS)])
def test_a_planted_fault_is_named(fault: planted.Planted) -> None:
    found = verify(fault.bound, fault.data, fault.claims, **fault.options)
    assert found.verdict == "fail"
    assert fault.named_by(found.diagnosis), [(one.hypothesis, one.coincides) for one in found.diagnosis]
    kept = found.diagnosis[0]
    assert kept.residual <= 1e-9 or "except" in kept.hypothesis or "not a number" in kept.hypothesis


def test_there_are_many_faults() -> None:
    assert len(FAULTS) >= 120
    assert len({fault.kind for fault in FAULTS}) >= 60


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_right_gradient_is_not_diagnosed(dtype: type) -> None:
    found = verify(CE, DATA, Claims(grad=TRUE.astype(dtype)))
    assert found.verdict == "pass"
    assert found.diagnosis == ()
    assert content(found)["diagnosis"] == []


@pytest.mark.parametrize("seed", range(8))
def test_noise_has_no_explanation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = verify(CE, DATA, Claims(grad=rng.normal(size=Z.shape)))
    assert found.verdict == "fail"
    assert found.diagnosis == ()
    assert "times the exact ones" in headline(found)
    assert diagnose(rng.normal(size=(9, 4)), rng.normal(size=(9, 4)), {}, {}) == ()


def test_the_sentences() -> None:
    assert said(32 * TRUE) == (
        "FAIL ce: claimed = 32.0 × true in all 320 entries: looks like sum instead of mean (N = 32)"
    )
    assert said(-TRUE) == "FAIL ce: claimed = -1.0 × true in all 320 entries: looks like the sign changed"
    assert said(0.731 * TRUE) == "FAIL ce: claimed = 0.731 × true in all 320 entries"
    assert said(0.0 * TRUE) == "FAIL ce: 320 of 320 entries are wrong: looks like all zero"
    one = TRUE.copy()
    one[3, 2] *= 1.01
    assert said(one) == (
        "FAIL ce: 1 of 320 entries are wrong: right except in one entry, (3, 2), where it is 1.01 times the true one"
    )
    lost = TRUE.copy()
    lost[[5, 9]] = np.nan
    assert said(lost) == "FAIL ce: 20 of 320 entries are wrong: right except in rows 5, 9, where it is not a number"
    value = losscli.evaluate(CE, DATA).value
    both = headline(verify(CE, DATA, Claims(value=value, grad=32 * TRUE)))
    assert both.startswith("FAIL ce: value agrees; gradient: claimed = 32.0 × true")


def test_two_things_at_once_are_named_together() -> None:
    p = planted.softmax(Z)
    assert "softmax without the one-hot labels and sum instead of mean (N = 32)" in said(p)
    half = 32 * TRUE
    half[:, 3] = 0.0
    assert "sum instead of mean (N = 32), right except in column 3, where it is 0" in said(half)


def test_places_have_names() -> None:
    claim = TRUE.copy()
    claim[Y == 4] *= -1.0
    assert "right except in the rows of label 4, where the sign is wrong" in said(claim)
    own = TRUE.copy()
    own[np.arange(32), Y] *= 0.5
    assert "right except in the entries of the true class, where it is 0.5 times the true one" in said(own)


def placed(claim: np.ndarray, truth: np.ndarray, **known: object) -> str:
    found = diagnose(claim, truth, {}, {}, **known)
    return sentence(found, truth.size)


def test_what_is_said_of_a_place_is_true_of_all_its_entries() -> None:
    truth = RNG.uniform(0.5, 2.0, (8, 5))
    place = np.zeros((8, 5), bool)
    place[2:5, 1:4] = True
    noise = RNG.normal(size=truth.shape)
    claim = np.where(place, noise, truth)
    assert placed(claim, truth, places={"in the middle": place}) == "right except in the middle"
    claim[3, 2] = truth[3, 2]
    assert placed(claim, truth, places={"in the middle": place}) == "right except in the middle, in 8 of 9 entries"
    claim = truth.copy()
    claim[:6, 3] = noise[:6, 3]
    assert placed(claim, truth) == "right except in column 3, in 6 of 8 entries"
    claim = truth.copy()
    claim[2, :4] = noise[2, :4]
    assert placed(claim, truth) == "right except in row 2, in 4 of 5 entries"


def test_right_except_is_said_of_few_entries_alone() -> None:
    truth = RNG.uniform(0.5, 2.0, (8, 5))
    scattered = RNG.permutation(40).reshape(8, 5)
    noise = RNG.normal(size=truth.shape)
    assert "right except in 7 entries of" in placed(np.where(scattered < 7, noise, truth), truth)
    assert placed(np.where(scattered < 15, noise, truth), truth) == ""
    most = scattered < 25
    claim = np.where(most, 3.0 * truth, truth)
    assert placed(claim, truth, places={"where it is late": most}) == (
        "wrong only where it is late, where it is 3.0 times the true one"
    )


def test_a_bound_on_an_input_is_what_wrong_entries_have_in_common() -> None:
    truth = RNG.uniform(0.5, 2.0, (8, 5))
    inputs = {"x": RNG.normal(size=truth.shape), "y": RNG.normal(size=truth.shape), "w": np.ones(3)}
    noise = RNG.normal(size=truth.shape)
    gap = np.abs(inputs["x"] - inputs["y"])
    for word, far in {
        "where x is above 0.2": inputs["x"] > 0.2,
        "where |x| is above 1": np.abs(inputs["x"]) > 1.0,
        "where |x - y| is below 0.8": gap < 0.8,
    }.items():
        bound, limit = word.rsplit(" ", 1)
        name, cut = placed(np.where(far, noise, truth), truth, inputs=inputs).rsplit(" ", 1)
        assert name.endswith(bound)
        assert float(cut) == pytest.approx(float(limit), abs=0.2)
    negative = np.where(inputs["x"] < 0.0, noise, truth)
    assert placed(negative, truth, inputs=inputs).endswith("where x is below 0")
    # Of three entries some input always has the largest.
    three = np.isin(np.arange(40).reshape(8, 5), np.argsort(inputs["x"], axis=None)[-2:])
    assert "above" not in placed(np.where(three, noise, truth), truth, inputs=inputs)


def test_saturated_rows_are_named() -> None:
    z = Z.copy()
    z[4, (Y[4] + 1) % 10] = z[4].max() + 200.0
    z[20, (Y[20] + 1) % 10] = z[20].max() + 300.0
    data = {"logits": z, "labels": Y}
    claim = losscli.evaluate(CE, data, wants=Wants(grad="logits")).gradient.copy()
    claim[[4, 20]] = np.nan
    found = verify(CE, data, Claims(grad=claim))
    assert "not a number in rows whose label has probability 0 in float32" in headline(found)


def test_numbers_that_say_the_same_are_said_together() -> None:
    data = {"logits": Z[:10], "labels": Y[:10]}
    g = losscli.evaluate(CE, data, wants=Wants(grad="logits")).gradient
    found = verify(CE, data, Claims(grad=g / 10))
    first = found.diagnosis[0]
    assert {first.hypothesis, *first.coincides} >= {
        "a mean over the classes too (C = 10)",
        "divided by N twice (N = 10)",
    }
    assert first.apart == "another number of rows or another number of classes"
    assert f"(the same on these inputs; {first.apart} would tell)" in headline(found)
    assert content(found)["diagnosis"][0]["coincides"] == list(first.coincides)


def test_a_large_claim_is_judged_by_a_sample() -> None:
    n = 5000
    z, y = RNG.normal(size=(n, 4)), RNG.integers(0, 4, n)
    data = {"logits": z, "labels": y}
    g = losscli.evaluate(CE, data, wants=Wants(grad="logits")).gradient
    for claim, word in (
        (n * g, "sum instead of mean (N = 5000)"),
        (np.roll(g, 1, axis=0), "rows one too late"),
        (g[::-1].copy(), "rows in reverse order"),
        (planted.softmax(z) / n, "softmax without the one-hot labels"),
    ):
        assert word in headline(verify(CE, data, Claims(grad=claim)))


def test_images_of_classes_and_their_rows_to_ignore() -> None:
    z, y = RNG.normal(size=(4, 3, 5, 6)), RNG.integers(0, 3, (4, 5, 6))
    y[:, 0] = 9
    data, how = {"logits": z, "labels": y}, How(ignore_index=9)
    g = losscli.evaluate(CE, data, how=how, wants=Wants(grad="logits")).gradient
    assert "(kept = 96 of N = 120)" in headline(verify(CE, data, Claims(grad=96 * g), how=how))
    found = verify(CE, data, Claims(grad=0.8 * g), how=how)
    assert found.diagnosis[0].hypothesis == "a mean over N = 120, not over kept = 96 of N = 120"


def test_entries_that_nobody_looked_at_are_left_out() -> None:
    reference = RNG.normal(size=(7, 3))
    claim = 7.0 * reference
    hidden = reference.copy()
    hidden[2:4] = np.nan
    claim[2:4] = 1e9
    found = diagnose(claim, hidden, generic(hidden), scales_by_shape(hidden.shape))
    assert sentence(found, 15).startswith(
        "claimed = 7.0 × true in all 15 entries: looks like sum instead of mean (N = 7)"
    )
    assert diagnose(claim, np.full_like(claim, np.nan), {}, {}) == ()


def test_generic_faults_of_any_array() -> None:
    reference = RNG.normal(size=(6, 4))
    scales = scales_by_shape(reference.shape)
    for name, make in generic(reference).items():
        found = diagnose(2.0 * make(), reference, generic(reference), scales)
        assert found, name
        words = [word for one in found[:1] for word in (one.hypothesis, *one.coincides)]
        assert any(word.startswith(name) for word in words), (name, words)


def test_a_factor_is_no_explanation_of_one_number() -> None:
    odd = {"something else": lambda: np.array([3.0])}
    (only,) = diagnose(np.array([2.2]), np.array([1.0]), odd, {})
    assert only.pure
    assert only.hypothesis == ""


def test_every_loss_can_be_diagnosed(entry: Loss) -> None:
    bound = entry.bind()
    data = cases(bound, entry.reads.default_link, 3, ["random"])[0].data
    wrt = entry.reads.differentiable[0]
    g = losscli.evaluate(bound, data, wants=Wants(grad=wrt)).gradient
    if not g.any() or np.count_nonzero(g) < 4:
        pytest.skip("no slope to be wrong")
    found = verify(bound, data, Claims(grad=-2.0 * g))
    assert found.verdict == "fail"
    assert found.diagnosis
    assert found.diagnosis[0].pure
    assert found.diagnosis[0].scale == pytest.approx(-2.0)


def test_a_gradcheck_says_what_is_wrong() -> None:
    entry = get("huber")

    def doubled(r, *, delta):
        return Rows(entry.kernel(r, delta=delta).value, grad=lambda: 2.0 * np.clip(r, -delta, delta))

    def of_mse(r, *, delta):
        return Rows(entry.kernel(r, delta=delta).value, grad=lambda: 2.0 * r)

    for kernel, words in ((doubled, "claimed = 2.0 × true in all"), (of_mse, "the gradient of mse")):
        found = gradcheck(replace(entry, kernel=kernel).bind(delta=0.7), kinds=["random"])
        assert found.verdict == "fail"
        assert words in report.headline(found)
        assert report.content(found)["diagnosis"]
    assert gradcheck(entry.bind(), kinds=["random"]).diagnosis == ()


def test_the_command_line_says_it(tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", Z)
    np.save(tmp_path / "y.npy", Y)
    np.save(tmp_path / "g.npy", 32 * TRUE)
    command = [sys.executable, "-m", "losscli", "verify", "ce", "z.npy", "y.npy", "--grad", "g.npy"]
    plain = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert plain.returncode == 1
    first, *rest = plain.stdout.splitlines()
    assert first == "FAIL ce: claimed = 32.0 × true in all 320 entries: looks like sum instead of mean (N = 32)"
    assert any(line.startswith("looks like") for line in rest)
    told = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    about = json.loads(told.stdout)
    assert told.returncode == 1
    assert about["verdict"] == "fail"
    assert about["diagnosis"][0]["hypothesis"] == "sum instead of mean (N = 32)"
    assert about["diagnosis"][0]["scale"] == pytest.approx(32.0)


@pytest.mark.parametrize("alpha", [0.25, 0.75])
def test_a_focal_loss_that_is_balanced_where_nobody_said_so(alpha: float) -> None:
    rng = np.random.default_rng(5)
    data = {"logits": 2.0 * rng.normal(size=60), "target": rng.integers(0, 2, 60).astype(float)}
    claim = losscli.evaluate(get("focal").bind(alpha=alpha), data, wants=Wants(grad="logits")).gradient
    found = verify(get("focal").bind(), data, Claims(grad=claim))
    assert found.diagnosis[0].hypothesis == f"alpha at {alpha}, where none is given"


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
@pytest.mark.parametrize(("name", "soft"), [("ce", False), ("ce", True), ("bce", False)])
def test_smoothing_that_nobody_said_is_named(name: str, soft: bool, share: float) -> None:
    rng = np.random.default_rng(6)
    first, second = get(name).reads.required
    labels = (
        rng.dirichlet(np.ones(4), 30) if soft else rng.integers(0, 4, 30) if name == "ce" else rng.integers(0, 2, 30)
    )
    data = {first: 2.0 * rng.normal(size=(30, 4) if name == "ce" else 30), second: labels}
    bound, how = get(name).bind(), How(label_smoothing=share)
    claim = losscli.evaluate(bound, data, how=how, wants=Wants(grad=first)).gradient
    found = verify(bound, data, Claims(grad=claim))
    assert found.diagnosis[0].hypothesis == f"labels smoothed by {share}, where no smoothing is given"


@pytest.mark.parametrize(("by", "other"), [("logits", "labels"), ("labels", "logits")])
def test_a_slope_by_the_labels_is_told_from_one_by_the_scores(by: str, other: str) -> None:
    rng = np.random.default_rng(7)
    data = {"logits": rng.normal(size=(20, 4)), "labels": rng.dirichlet(np.ones(4), 20)}
    bound = get("ce").bind()
    claim = losscli.evaluate(bound, data, wants=Wants(grad=other)).gradient
    assert verify(bound, data, Claims(grad=claim), wrt=by).diagnosis[0].hypothesis == f"the slope by {other}"
