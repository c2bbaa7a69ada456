"""Edges of connectionist temporal classification: certain rows, alignments that cannot be, padding, and the peers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from accuracy import Draw, check

from losscli.cli import run
from losscli.errors import DataError
from losscli.evaluate import evaluate
from losscli.loss import get
from losscli.plan import How
from losscli.results import Wants


def ctc(scores: Any, labels: Any, lengths: Any = None, link: str = "logits", blank: int = 0) -> tuple[Any, np.ndarray]:
    """Values and gradients of some rows."""
    data = {"logits": np.array(scores, dtype=np.float64), "labels": np.array(labels)}
    if lengths is not None:
        data["lengths"] = np.array(lengths)
    bound = get("ctc").bind(blank=blank)
    result = evaluate(bound, data, how=How(link=link), reduction="none", wants=Wants(grad="logits"))
    assert result.gradient is not None
    return np.asarray(result.value), result.gradient


def log_softmax(z: np.ndarray) -> np.ndarray:
    top = z - z.max(axis=-1, keepdims=True)
    return top - np.log(np.exp(top).sum(axis=-1, keepdims=True))


def spelled(z: np.ndarray, labels: list[int], blank: int) -> float:
    """All sequences of classes, one by one: those that become the labels."""
    p, total = np.exp(log_softmax(z)), 0.0
    for path in itertools.product(range(z.shape[1]), repeat=len(z)):
        merged = [k for k, _ in itertools.groupby(path)]
        if [k for k in merged if k != blank] == labels:
            total += math.prod(p[t, k] for t, k in enumerate(path))
    return -math.log(total)


@pytest.mark.parametrize("labels", [[], [1], [2, 1], [1, 1], [2, 2, 1]], ids=str)
@pytest.mark.parametrize("blank", [0, 3])
def test_it_is_the_sum_over_all_sequences_of_classes(labels: list[int], blank: int) -> None:
    z = np.random.default_rng(len(labels)).normal(size=(5, 4))
    padded = [[*labels, -1, -1, -1][:3]]
    assert ctc([z], padded, blank=blank)[0][0] == pytest.approx(spelled(z, labels, blank), rel=1e-14)


def test_the_slope_by_logits_and_that_by_log_probabilities_differ_by_the_softmax() -> None:
    z = np.random.default_rng(0).normal(size=(2, 6, 4))
    labels = [[1, 3], [2, -1]]
    by_logits, by_log_probs = ctc(z, labels)[1], ctc(log_softmax(z), labels, link="log-probs")[1]
    # torch 2.x reads log-probabilities and returns the former: its own gradcheck fails.
    np.testing.assert_allclose(by_logits, np.exp(log_softmax(z)) + by_log_probs, rtol=0, atol=1e-15)
    np.testing.assert_allclose(by_log_probs.sum(axis=2), -1.0, rtol=1e-14)
    np.testing.assert_allclose(by_logits.sum(axis=2), 0.0, rtol=0, atol=1e-15)


def test_numbers_of_torch() -> None:
    # torch 2.13.0 in float64: ctc_loss(log_softmax(z), reduction="none") and the gradient with respect to z.
    z = np.sin(np.arange(24.0)).reshape(1, 6, 4)
    wanted = [
        [-0.102716414868052, -0.4198869410691253, 0.35700420195592797, 0.1655991539812494],
        [-0.20762802687283563, -0.3556962479477669, 0.2137640213263577, 0.3495602534942449],
    ]
    value, slope = ctc(z, [[1, 3]], [5])
    assert value[0] == pytest.approx(3.644759742132236, rel=1e-14)
    np.testing.assert_allclose(slope[0, :2], wanted, rtol=1e-13)
    assert not slope[0, 5].any()


def test_what_comes_after_a_row_ends_does_not_count() -> None:
    z = np.random.default_rng(1).normal(size=(1, 7, 3))
    short, slope = ctc(z[:, :4], [[2, 2]])
    value, longer = ctc(z, [[2, 2]], [4])
    assert value[0] == short[0]
    np.testing.assert_array_equal(longer[:, :4], slope)
    assert not longer[:, 4:].any()


def test_no_labels_are_blanks_alone_and_no_frames_are_free() -> None:
    z = np.random.default_rng(2).normal(size=(1, 3, 3))
    assert ctc(z, [[-1]])[0][0] == pytest.approx(-log_softmax(z)[0, :, 0].sum(), rel=1e-15)
    value, slope = ctc(z, [[-1]], [0])
    assert value[0] == 0.0
    assert not slope.any()


@pytest.mark.parametrize("gap", [10.0, 40.0, 200.0, 600.0])
def test_a_certain_row_keeps_its_digits(gap: float) -> None:
    # In float64 -log P is 0 from a gap of 37 on; optax in float32 is negative long before.
    z = np.zeros((1, 4, 3))
    z[0, range(4), [1, 0, 0, 2]] = gap
    value, slope = ctc(z, [[1, 2]])
    # To first order: of all classes that could stand where they should not, those that spoil the labels.
    assert value[0] == pytest.approx(6.0 * math.exp(-gap), rel=20.0 * math.exp(-gap) + 1e-14)
    made = Draw(get("ctc").bind(), {"logits": z, "labels": np.array([[1, 2]])})
    if gap < 100.0:
        assert check(made, ["value"]) == 1
    assert (np.sign(slope[0, range(4), [1, 0, 0, 2]]) <= 0.0).all()


@pytest.mark.parametrize("sure", [5.0, 30.0, 300.0])
def test_a_frame_whose_class_hardly_matters_keeps_the_digits_of_its_slope(sure: float) -> None:
    # Once the second frame has told the last label, the third may be blank or that label again: p and the occupancy
    # agree there in all but their last digits, and their difference is noise.
    z = [[[0.0, 0.0, -20.0], [0.0, sure, -np.inf], [0.3, 0.0, -np.inf]]]
    _, slope = ctc(z, [[2, 1]])
    doubt, again = 1.0 / (1.0 + math.exp(sure)), 1.0 / (1.0 + math.exp(0.3))
    wanted = doubt * again * (1.0 - again) / (1.0 - doubt * (1.0 - again))
    np.testing.assert_allclose(slope[0, 2], [wanted, -wanted, 0.0], rtol=2e-15)


def test_probabilities_beyond_the_range_of_floats_keep_their_digits() -> None:
    z = np.zeros((1, 3, 3))
    z[0, :, 2] = 5000.0
    value, slope = ctc(z, [[1, -1]])
    # Three sequences with one or two blanks before or after each, all of e^-15000.
    assert value[0] == pytest.approx(15000.0 - math.log(6.0), rel=1e-15)
    np.testing.assert_allclose(slope[0, :, 2], 1.0, rtol=1e-15)
    np.testing.assert_allclose(slope[0, 0, :2], [-0.5, -0.5], rtol=1e-15)
    long = np.tile(np.array([0.5, -0.5, 0.1]), (1, 3000, 1))
    value, slope = ctc(long, [[1, 2, 1]])
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()


def test_what_logits_forbid_costs_infinity_without_a_slope() -> None:
    z = np.zeros((2, 3, 3))
    z[0, :, 1] = -np.inf
    value, slope = ctc(z, [[1, -1], [1, -1]])
    # torch: inf and NaN too; optax and keras 1e5, with a slope that means nothing.
    assert value[0] == np.inf
    assert np.isnan(slope[0]).all()
    assert np.isfinite(value[1])
    assert np.isfinite(slope[1]).all()


def refusal(**given: Any) -> DataError:
    with pytest.raises(DataError) as error:
        ctc(given.pop("scores", np.zeros((2, 3, 4))), **given)
    return error.value


def test_labels_that_do_not_fit_into_the_frames_are_refused() -> None:
    error = refusal(labels=[[1, 2, 3], [1, 1, 2]])
    assert error.code == "domain"
    assert error.message == "the labels need 4 frames, a blank between equal ones, and the row has 3"
    assert error.place is not None
    assert error.place.index == (1,)
    assert refusal(labels=[[1, 2], [1, 2]], lengths=[2, 1]).place == error.place


def test_labels_that_are_no_classes_are_refused_with_their_place() -> None:
    for labels, words in (
        ([[1, 2], [3, 4]], "label 4 is not in 0..3"),
        ([[1, 2], [3, 0]], "label 0 is the blank"),
    ):
        error = refusal(labels=labels)
        assert (error.code, error.message) == ("label-range", words)
        assert error.place is not None
        assert error.place.index == (1, 1)
    assert refusal(labels=[[1, 2], [-1, 2]]).code == "domain"
    assert refusal(labels=[[1.0, 2.0], [1.0, 1.5]]).code == "domain"
    assert refusal(labels=[[1, 2], [1, 2]], blank=4).message == "the blank 4 is not in 0..3"


def test_more_frames_than_there_are_is_refused() -> None:
    error = refusal(labels=[[1], [2]], lengths=[3, 4])
    assert (error.code, error.message) == ("domain", "lengths says 4 frames, and logits has 3")
    assert error.place is not None
    assert error.place.index == (1,)
    assert refusal(labels=[[1], [2]], lengths=[3, 1.5]).code == "domain"


def test_the_command_line_names_the_file_and_the_row(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "logits.npy", np.zeros((2, 3, 4)))
    (tmp_path / "labels.csv").write_text("1,2\n3,7\n")
    assert run(["compute", "ctc", str(tmp_path / "logits.npy"), str(tmp_path / "labels.csv")]) == 3
    assert "labels.csv:2:2: label 7 is not in 0..3" in capsys.readouterr().err
