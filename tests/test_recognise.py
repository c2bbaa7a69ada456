"""Functions that compute a loss of the catalogue are known by their values, and their mistakes by name."""

import json
import sys
from pathlib import Path

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


@pytest.fixture
def answer(capsys, tmp_path, monkeypatch, request):
    """The JSON of a check of one function, which fails."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def answered(name):
        file = tmp_path / f"losses_{request.node.name.partition('[')[0]}.py"
        Path(file).write_text(LOSSES)
        assert run(["gradcheck", f"{file}:{name}", "--json"]) == 1
        return json.loads(capsys.readouterr().out)

    return answered


@pytest.mark.parametrize(("name", "loss", "mistake"), CASES)
def test_a_loss_is_known_by_its_value_and_the_mistake_by_name(answer, name, loss, mistake) -> None:
    found = answer(name)
    assert any(loss in note for note in found["notes"])
    said = [one["hypothesis"] for one in found["diagnosis"]] + [
        word for one in found["diagnosis"] for word in one["coincides"]
    ]
    assert any(mistake in word for word in said)


def test_a_function_of_its_own_is_taken_for_no_loss(answer) -> None:
    found = answer("own")
    assert not any("its value" in note for note in found["notes"])
    assert found["diagnosis"][0]["scale"] == pytest.approx(0.5)
