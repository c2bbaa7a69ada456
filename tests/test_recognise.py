"""Functions that compute a loss of the catalogue are known by their values, and their mistakes by name."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from losscli.cli import run

LOSSES = """
import numpy as np

def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)

def hot(z, labels):
    return np.eye(z.shape[1])[labels]

def cross_entropy(logits, labels):
    p = softmax(logits)
    return -np.log(p[np.arange(len(p)), labels]).mean(), p / len(p)

def single(logits, labels):
    p = softmax(logits.astype(np.float32))
    return -np.log(p[np.arange(len(p)), labels]).mean(), (p - 2 * hot(p, labels).astype(np.float32)) / len(p)

def focal(logits, target, gamma=3.0):
    p = 1 / (1 + np.exp(-logits))
    right = np.where(target == 1, p, 1 - p)
    grad = (1 - right) ** gamma * (p - target)
    return (-((1 - right) ** gamma) * np.log(right)).mean(), grad / logits.size

def reversed_mse(y_true, y_pred):
    return ((y_pred - y_true) ** 2).sum(axis=1), {"y_pred": 2 * (y_true - y_pred)}

def huber(prediction, target, delta=1.5):
    r = prediction - target
    far = np.abs(r) > delta
    return np.where(far, delta * (np.abs(r) - delta / 2), r * r / 2).sum(), np.where(far, np.sign(r), r)

def signed(scores, labels):
    m = scores * (2 * labels - 1)
    return np.log1p(np.exp(-m)).mean(), -1 / (1 + np.exp(m)) / len(m)

def smoothed(logits, labels, smoothing=0.15):
    p, c = softmax(logits), logits.shape[1]
    t = (1 - smoothing) * hot(p, labels) + smoothing / c
    return -(t * np.log(p)).sum(axis=1).mean(), (p - hot(p, labels)) / len(p)

def spread(logits, labels, epsilon_smoothing=0.15):
    p, c = softmax(logits), logits.shape[1]
    t = (1 - epsilon_smoothing) * hot(p, labels) + epsilon_smoothing / c
    wrong = np.where(hot(p, labels) == 1, 1 - epsilon_smoothing, epsilon_smoothing / (c - 1))
    return -(t * np.log(p)).sum(axis=1).mean(), (p - wrong) / len(p)

def by_class(logits, labels, weight):
    p, w = softmax(logits), weight[labels]
    return -(w * np.log(p[np.arange(len(p)), labels])).sum() / w.sum(), (p - hot(p, labels)) / len(p)

def by_default(logits, labels, class_weight=(1.0, 2.0, 5.0)):
    p, w = softmax(logits), np.asarray(class_weight)[labels]
    return -(w * np.log(p[np.arange(len(p)), labels])).mean(), (p - hot(p, labels)) / len(p)

def by_row(logits, labels, sample_weight):
    p, w = softmax(logits), sample_weight
    grad = w[:, None] * (p - hot(p, labels))
    return -(w * np.log(p[np.arange(len(p)), labels])).sum() / w.sum(), grad / len(p)

def by_number(y_pred, y_true, weights):
    r = y_pred - y_true
    return (weights * r * r).mean(), {"y_pred": 2 * weights * r / weights.sum()}

def ignoring(logits, labels):
    keep = labels != -100
    named = np.where(keep, labels, 0)
    p = softmax(logits)
    rows = -np.log(p[np.arange(len(p)), named]) * keep
    return rows.sum() / keep.sum(), (p - hot(p, named)) / keep.sum()

def heated(logits, labels, temperature=2.5):
    p = softmax(logits / temperature)
    return -np.log(p[np.arange(len(p)), labels]).mean(), (p - hot(p, labels)) / len(p)

def pinball(y_pred, y_true, share=0.9):
    r = y_true - y_pred
    return np.maximum(share * r, (share - 1) * r).mean(), {"y_pred": np.where(r > 0, -1, 1) / r.size}

def overlap(probs, target, smooth=1.0):
    twice, total = 2 * (probs * target).sum() + smooth, probs.sum() + target.sum() + smooth
    return 1 - twice / total, (2 * target * total - twice) / total**2

def own(x, y):
    return (x**2 * y).mean(), x * y / x.size
"""
CASES = [
    ("cross_entropy", "mean of ce", "softmax without the one-hot labels"),
    ("focal", "mean of focal (gamma = 3.0", "the focal factor taken for a constant"),
    ("huber", "sum of huber (delta = 1.5)", "right except where the residual is beyond delta, where it is 0.6666667"),
    ("signed", "mean of bce", "the absolute values"),
    ("single", "mean of ce", "right except in the entries of the true class"),
    ("reversed_mse", "sum of sqeuclidean", "the sign changed"),
]


WITH_OPTIONS = [
    ("smoothed", "mean of ce (label smoothing 0.15)", "label smoothing ignored"),
    ("spread", "mean of ce (label smoothing 0.15)", "label smoothing spread over C - 1 classes"),
    ("by_class", "mean of ce (class weights)", "class weights ignored"),
    ("by_default", "class weights, divided by the rows that count", "class weights ignored"),
    ("by_row", "mean of ce (sample weights)", "a mean over N = 6, not over Σw"),
    ("by_number", "mean of mse (sample weights, divided by the rows that count", "a mean over Σw"),
    ("ignoring", "mean of ce (ignored label -100)", "ignored rows kept, but not in the denominator"),
    ("heated", "mean of ce (temperature 2.5)", "the temperature not chained"),
    ("pinball", "mean of quantile (tau = 0.9)", "the sign of the residual"),
    ("overlap", "its value is dice (smooth = 1.0)", "the sign changed"),
]


@pytest.fixture
def answer(capsys, tmp_path, monkeypatch, request):
    """The JSON of a check of one function, which fails."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def answered(name, *data):
        file = tmp_path / f"losses_{request.node.name.partition('[')[0]}.py"
        Path(file).write_text(LOSSES)
        assert run(["gradcheck", f"{file}:{name}", *data, "--json"]) == 1
        return json.loads(capsys.readouterr().out)

    return answered


@pytest.mark.parametrize(("name", "loss", "mistake"), CASES)
def test_a_loss_is_known_by_its_value_and_the_mistake_by_name(answer, name, loss, mistake) -> None:
    found = answer(name)
    assert any(loss in note for note in found["notes"])
    assert mistake in " ".join(_said(found))


@pytest.mark.parametrize(("name", "loss", "mistake"), WITH_OPTIONS)
def test_options_that_inputs_and_defaults_suggest_are_tried(answer, tmp_path, name, loss, mistake) -> None:
    found = answer(name, str(_data(tmp_path / "data.npz", name)))
    assert loss in " ".join(found["notes"])
    assert mistake in _said(found)[0], _said(found)


def _said(found) -> list[str]:
    """The mistakes that a diagnosis names, those of its first line first."""
    return [word for one in found["diagnosis"] for word in (one["hypothesis"], *one["coincides"])]


def _data(path, name):
    """Inputs for the functions with options, six rows and three classes; ignored labels where they are heeded."""
    rng = np.random.default_rng(7)
    labels = np.array([0, 2, 1, 1, 0, 2])
    weight = {"by_class": rng.uniform(0.5, 3.0, 3), "by_row": rng.uniform(0.5, 3.0, 6)}
    given = {
        "logits": rng.normal(size=(6, 3)),
        "labels": np.where(np.arange(6) % 3 == 1, -100, labels) if name == "ignoring" else labels,
        "weight": weight.get(name, np.ones(3)),
        "sample_weight": weight.get(name, np.ones(6)),
        "weights": rng.uniform(0.5, 3.0, (6, 3)),
        "y_pred": rng.normal(size=(6, 3)),
        "y_true": rng.normal(size=(6, 3)),
        "probs": rng.uniform(0.1, 0.9, (6, 3)),
        "target": rng.integers(0, 2, (6, 3)).astype(float),
    }
    np.savez(path, **given)
    return path


def test_a_function_of_its_own_is_taken_for_no_loss(answer) -> None:
    found = answer("own")
    assert not any("its value" in note for note in found["notes"])
    assert found["diagnosis"][0]["scale"] == pytest.approx(0.5)
