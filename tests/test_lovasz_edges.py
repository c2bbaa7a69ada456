"""Edges of the Lovász losses: no foreground, classes that are absent, ties, and errors closer than a float can tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accuracy import KINDS, Draw, check

from losscli.cli import run
from losscli.errors import DataError
from losscli.evaluate import evaluate
from losscli.loss import get
from losscli.plan import How
from losscli.results import Wants


def hinge(scores: Any, label: Any) -> tuple[list[float], np.ndarray]:
    data = {"scores": np.array(scores, dtype=np.float64), "label": np.array(label)}
    result = evaluate(get("lovasz-hinge").bind(), data, reduction="none", wants=Wants(grad="scores"))
    assert result.gradient is not None
    return np.asarray(result.value).tolist(), result.gradient


def softmax(probs: Any, labels: Any, classes: str = "present", image: Any = None) -> tuple[Any, np.ndarray]:
    data = {"probs": np.array(probs, dtype=np.float64), "labels": np.array(labels)}
    if image is not None:
        data["image"] = np.array(image)
    bound = get("lovasz-softmax").bind(classes=classes)
    result = evaluate(bound, data, reduction="none" if image is not None else "mean", wants=Wants(grad="probs"))
    assert result.gradient is not None
    return result.value, result.gradient


def jaccard(wrong: np.ndarray, truth: np.ndarray) -> float:
    """The Jaccard loss of a mask that is wrong at some pixels."""
    union = np.count_nonzero(truth | wrong)
    return 1.0 - np.count_nonzero(truth & ~wrong) / union if union else 0.0


def test_on_the_vertices_it_is_the_jaccard_loss() -> None:
    truth = np.array([True, True, False, False, False])
    sign = np.where(truth, 1.0, -1.0)
    for wrong in (np.array([bool(k >> i & 1) for i in range(5)]) for k in range(32)):
        # Errors of 1 at some pixels and 0 at the others: margins of 0 and 1.
        value, _ = hinge([np.where(wrong, 0.0, sign)], [sign])
        assert value[0] == pytest.approx(jaccard(wrong, truth), abs=1e-15)


def test_without_foreground_only_the_worst_pixel_counts() -> None:
    value, slope = hinge([[-0.5, 0.25, -3.0]], [[-1, -1, -1]])
    assert value == [1.25]
    assert slope.tolist() == [[0.0, 1.0, 0.0]]


def test_an_image_with_all_margins_beyond_one_is_free() -> None:
    value, slope = hinge([[1.0, -1.0, 4.0], [-1.0, -1.5, -2.0]], [[1, -1, 1], [-1, -1, -1]])
    assert value == [0.0, 0.0]
    assert not slope.any()


def test_the_first_of_tied_pixels_is_taken_for_the_largest() -> None:
    # Two wrong background pixels beside two of the foreground: the Jaccard loss grows by 1/3, then by 1/6.
    value, slope = hinge([[2.0, 2.0, 0.5, 0.5]], [[1, 1, -1, -1]])
    assert value[0] == pytest.approx(1.5 * (2.0 / 3.0 * 0.5 + 1.0 / 6.0 * 1.0), rel=1e-15)
    np.testing.assert_allclose(slope, [[0.0, 0.0, 1.0 / 3.0, 1.0 / 6.0]], rtol=1e-15)


def test_the_order_is_that_of_the_scores_where_their_errors_round_to_one_float() -> None:
    # 1 - 1e-20 and 1 - 2e-20 are the same float; the higher score of the background is the larger error.
    _, slope = hinge([[-2e-20, -1e-20, 9.0]], [[-1, -1, 1]])
    assert slope.tolist() == [[1.0 / 6.0, 0.5, 0.0]]


def recipe(errors: np.ndarray, own: np.ndarray) -> float:
    """The authors' recipe: differences of 1 - (G - cumsum)/(G + cumsum), which cancel in large images."""
    hit = own[np.argsort(-errors, kind="stable")].astype(np.float64)
    grown = 1.0 - (hit.sum() - hit.cumsum()) / (hit.sum() + (1.0 - hit).cumsum())
    return float(np.maximum(np.sort(errors)[::-1], 0.0) @ np.diff(grown, prepend=0.0))


def test_the_authors_recipe_says_the_same() -> None:
    rng = np.random.default_rng(8)
    scores, label = 2.0 * rng.normal(size=(4, 60)), rng.choice([-1.0, 1.0], (4, 60))
    wanted = [recipe(1.0 - z * s, s > 0.0) for z, s in zip(scores, label, strict=True)]
    np.testing.assert_allclose(hinge(scores, label)[0], wanted, rtol=1e-13)
    probs, labels = rng.dirichlet(np.ones(5), 60), rng.integers(0, 4, 60)
    by_class = [recipe(np.abs((labels == c) - probs[:, c]), labels == c) for c in range(5)]
    assert softmax(probs, labels)[0] == pytest.approx(np.mean(by_class[:4]), rel=1e-13)
    assert softmax(probs, labels, "all")[0] == pytest.approx(np.mean(by_class), rel=1e-13)


def test_an_absent_class_loses_its_worst_pixel_or_is_left_out() -> None:
    probs = [[0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]
    value, slope = softmax(probs, [0, 0, 0])
    assert value == pytest.approx(0.3, rel=1e-15)
    assert not slope[:, 1].any()
    value, slope = softmax(probs, [0, 0, 0], "all")
    assert value == pytest.approx((0.3 + 0.4) / 2.0, rel=1e-15)
    assert slope[:, 1].tolist() == [0.0, 0.0, 0.5]


def test_images_do_not_see_each_other() -> None:
    rng = np.random.default_rng(3)
    probs, labels = rng.dirichlet(np.ones(3), 9), rng.integers(0, 3, 9)
    image = np.array([7, 2, 7, 7, 2, 2, 2, 7, 5])
    values, slope = softmax(probs, labels, image=image)
    for k, name in enumerate((7, 2, 5)):
        own = image == name
        alone, by_probs = softmax(probs[own], labels[own])
        assert values[k] == alone
        np.testing.assert_array_equal(slope[own], by_probs)


def test_errors_closer_than_a_float_can_tell_are_put_in_order() -> None:
    # The first error is 1 - 2^-60, which rounds to 1, the second exactly 1: background comes first, and costs 1/2.
    probs = [[2.0**-60, 1.0 - 2.0**-60], [1.0, 0.0]]
    _, slope = softmax(probs, [0, 1])
    assert slope[:, 0].tolist() == [-0.25, 0.25]
    _, slope = softmax(probs[::-1], [1, 0])
    assert slope[:, 0].tolist() == [0.25, -0.25]


@pytest.mark.parametrize("sharp", [1e-3, 1e-9, 1e-30])
def test_confident_pixels_keep_their_digits(sharp: float) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 6)
    probs = sharp * rng.random((6, 3))
    probs[np.arange(6), labels if sharp < 1e-20 else (labels + rng.integers(0, 2, 6)) % 3] = 1.0
    probs /= probs.sum(axis=1, keepdims=True)
    made = Draw(get("lovasz-softmax").bind(classes="all"), {"probs": probs, "labels": labels})
    assert check(made, KINDS[:2]) == 19


@pytest.mark.parametrize("scale", [1e-300, 1e-17, 1.0, 1e17, 1e300])
def test_scores_of_any_size_are_within_the_bounds(scale: float) -> None:
    rng = np.random.default_rng(2)
    data = {"scores": scale * rng.normal(size=(3, 6)), "label": rng.choice([-1.0, 1.0], (3, 6))}
    assert check(Draw(get("lovasz-hinge").bind(), data), KINDS[:2], width=6) == 21


def test_masks_of_0_and_1_are_read_on_request(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "image.npz", scores=np.array([[0.5, -2.0, 0.1]]), label=np.array([[1, 0, 0]]))
    assert run(["compute", "lovasz-hinge", str(tmp_path / "image.npz"), "--labels", "01", "-q"]) == 0
    capsys.readouterr()
    assert run(["compute", "lovasz-hinge", str(tmp_path / "image.npz")]) == 3
    assert "label[0, 1]" in capsys.readouterr().err


def test_a_label_that_is_no_class_is_refused_with_its_row() -> None:
    with pytest.raises(DataError, match=r"label 2 is not in 0\.\.1") as error:
        softmax([[0.5, 0.5], [0.5, 0.5]], [0, 2])
    assert error.value.place is not None
    assert error.value.place.index == (1,)


@pytest.mark.parametrize("scale", [1e-12, 0.3, 5.0, 60.0])
@pytest.mark.parametrize("classes", ["present", "all"])
def test_of_logits_it_is_that_of_their_softmax(classes: str, scale: float) -> None:
    rng = np.random.default_rng(3)
    z, labels = scale * rng.normal(size=(6, 3)), rng.integers(0, 3, 6)
    bound, how = get("lovasz-softmax").bind(classes=classes), How(link="logits")
    assert check(Draw(bound, {"probs": z, "labels": labels}, how), KINDS[:2]) == 19
    data = {"probs": z, "labels": labels, "image": np.array([0, 0, 1, 1, 1, 1])}
    made = evaluate(bound, data, how=how, wants=Wants(grad="probs"))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    plain = evaluate(bound, {**data, "probs": p}, wants=Wants(grad="probs"))
    assert plain.gradient is not None
    assert made.value == pytest.approx(plain.value, rel=1e-13)
    right = p * (plain.gradient - (p * plain.gradient).sum(axis=1, keepdims=True))
    assert made.gradient == pytest.approx(right, rel=1e-10, abs=1e-16)


def test_the_command_line_reads_logits(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", probs=np.array([[2.0, -1.0], [0.5, 3.0], [-4.0, -4.5]]), labels=np.array([0, 1, 1]))
    words = "compute lovasz-softmax x.npz --from logits --grad --hess --json --gradcheck"
    done = subprocess.run(
        [sys.executable, "-m", "losscli", *words.split()], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    made = json.loads(done.stdout)
    assert made["gradcheck"]["verdict"] == "pass"
    for row in made["gradient"]["values"]:
        assert row[0] == pytest.approx(-row[1], rel=4e-16, abs=0)
        assert row[0]
    refused = [sys.executable, "-m", "losscli", "compute", "lovasz-softmax", "x.npz"]
    assert subprocess.run(refused, cwd=tmp_path, capture_output=True, check=False).returncode == 3
