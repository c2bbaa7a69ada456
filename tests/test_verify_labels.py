"""Slopes by soft labels, claimed and our own: each class's own loss, and what the mean divides by where that moves."""

import json
from pathlib import Path

import numpy as np
import pytest

import losscli
from losscli import blocks
from losscli.cli import run
from losscli.errors import UsageError
from losscli.loss import catalogue
from losscli.plan import How
from losscli.precision import FORMATS
from losscli.results import Wants
from losscli.verifier.dumps.claims import Claims, verify
from losscli.verifier.gradcheck import gradcheck

SOFT = [loss.name for loss in catalogue().values() if loss.reads.expected]
ROWS, CLASSES = 30, 4
WEIGHTS = np.array([0.5, 1.0, 3.0, 0.0])
LOSS = pytest.mark.parametrize("name", SOFT)


def drawn(name: str, seed: int = 0):
    """A loss, its data with soft labels, and weights and a mask of the rows."""
    rng, bound = np.random.default_rng(seed), losscli.get(name).bind()
    scores = 3.0 * rng.normal(size=(ROWS, CLASSES))
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    first = bound.loss.reads.names[0]
    data = {first: np.exp(log_p) if first == "probs" else log_p, "labels": rng.dirichlet(np.ones(CLASSES), ROWS)}
    return bound, data, {"sample_weight": rng.uniform(0.5, 2.0, ROWS), "mask": rng.random(ROWS) > 0.2}


def test_which_losses_have_them() -> None:
    assert {"ce", "nll", "softmax-focal"} <= set(SOFT)


@LOSS
def test_of_a_weighted_mean_they_are_those_of_a_quotient(name: str) -> None:
    """Sum and denominator are both affine in the labels: differences tell their slopes with all digits."""
    bound, data, options = drawn(name)
    how = How(class_weight=WEIGHTS, label_smoothing=0.1)

    def parts(labels):
        given = {**data, "labels": labels}
        total = losscli.evaluate(bound, given, how=how, reduction="sum", **options)
        return float(total.value), losscli.evaluate(bound, given, how=how, reduction="mean", **options).weight

    result = losscli.evaluate(bound, data, how=how, reduction="mean", wants=Wants(grad="labels"), **options)
    total, weight = parts(data["labels"])
    other = np.random.default_rng(1).dirichlet(np.ones(CLASSES), ROWS)
    moved_total, moved_weight = parts(other)
    slope = ((moved_total - total) * weight - total * (moved_weight - weight)) / weight**2
    assert np.vdot(result.gradient, other - data["labels"]) == pytest.approx(slope, rel=1e-12)


@LOSS
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_right_ones_pass_and_wrong_ones_fail(name: str, weighted: bool, smoothing: float, reduction) -> None:
    bound, data, options = drawn(name)
    how = How(class_weight=WEIGHTS if weighted else None, label_smoothing=smoothing)
    more = {"how": how, "reduction": reduction, **options}
    exact = losscli.evaluate(bound, data, wants=Wants(grad="labels"), **more).gradient
    for precision in ("float64", "float32"):
        right = FORMATS[precision].rounded(exact)
        assert verify(bound, data, Claims(grad=right, precision=precision), wrt="labels", **more).verdict == "pass"
        for wrong in (right * 1.001, -right, np.roll(right, 1, axis=0), np.roll(right, 1, axis=1), 0.0 * right):
            found = verify(bound, data, Claims(grad=wrong, precision=precision), wrt="labels", **more)
            assert found.verdict == "fail"
    # A row that does not count has a slope of zero, and no other.
    stray = exact.copy()
    stray[int(np.argmin(options["mask"])), 0] = 1e-9
    assert verify(bound, data, Claims(grad=stray), wrt="labels", **more).counts["fail"] == 1


def test_a_denominator_that_is_held_still_is_a_mistake() -> None:
    bound, data, options = drawn("ce")
    more = {"how": How(class_weight=WEIGHTS), **options}
    whole = losscli.evaluate(bound, data, reduction="mean", **more)
    held = losscli.evaluate(bound, data, reduction="sum", wants=Wants(grad="labels"), **more).gradient / whole.weight
    assert verify(bound, data, Claims(grad=held), wrt="labels", reduction="mean", **more).verdict == "fail"


@LOSS
def test_our_own_are_checked_by_every_method(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bound, data, options = drawn(name)
    more = {"data": data, "wrt": "labels", "how": How(class_weight=WEIGHTS, label_smoothing=0.1), **options}
    check = gradcheck(bound, **more)
    assert (check.verdict, check.counts["fail"], check.caught) == ("pass", 0, check.planted)
    assert all(method.agree for method in check.methods if method.agree is not None)
    right = blocks.by_labels
    monkeypatch.setattr(blocks, "by_labels", lambda *given: right(*given) * 1.0001)
    assert gradcheck(bound, **more).verdict == "fail"


def test_without_soft_labels_there_are_none() -> None:
    bound, data, _ = drawn("ce")
    hard = {**data, "labels": np.zeros(ROWS, dtype=int)}
    claim = Claims(grad=np.zeros((ROWS, CLASSES)))
    with pytest.raises(UsageError, match="only soft labels"):
        verify(bound, hard, claim, wrt="labels")
    with pytest.raises(UsageError, match="only soft labels"):
        gradcheck(bound, data=hard, wrt="labels")
    with pytest.raises(UsageError, match="built-in points"):
        gradcheck(bound, wrt="labels")
    with pytest.raises(UsageError, match="no gradient with respect to 'scores'"):
        verify(bound, data, claim, wrt="scores")
    with pytest.raises(UsageError, match="linear in them"):
        verify(bound, data, Claims(hess=claim.grad), wrt="labels")


def test_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, data, _ = drawn("ce")
    np.savez("data.npz", **data)
    words = ["data.npz", "--wrt", "labels", "--label-smoothing", "0.1"]
    assert run(["compute", "ce", *words, "--grad", "grad.npy", "--gradcheck", "-q"]) == 0
    capsys.readouterr()
    assert run(["verify", "ce", *words, "--grad", "grad.npy", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["claims"][0]["wrt"], said["checked"]) == ("pass", "labels", ROWS * CLASSES)
    assert "--wrt labels" in said["reproduce"]
    np.save("wrong.npy", -np.load("grad.npy"))
    assert run(["verify", "ce", *words, "--grad", "wrong.npy", "-q"]) == 1
    assert "× true in all" in capsys.readouterr().out


@pytest.mark.parametrize(("by", "entries"), [([], 2), (["--wrt", "target"], 1), (["--wrt=prediction"], 1)])
def test_a_compute_checks_the_input_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], by: list[str], entries: int
) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", prediction=rng.normal(size=7), target=rng.normal(size=7))
    assert run(["compute", "mse", str(tmp_path / "data.npz"), "--gradcheck", "--json", *by]) == 0
    assert json.loads(capsys.readouterr().out)["gradcheck"]["checked"] == 7 * entries
