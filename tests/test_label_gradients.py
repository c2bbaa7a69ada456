"""Gradients by soft labels: the loss of each class, as smoothing and weights leave it."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import losscli
from losscli.errors import UsageError
from losscli.plan import How
from losscli.results import Wants

CLASSES, ROWS = 4, 5


@pytest.mark.parametrize("name", ["ce", "softmax-focal", "nll"])
def test_the_slope_by_labels_is_that_of_the_loss_written_out(name: str) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(ROWS, CLASSES)) * 10.0
    data = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    weight, smoothing, sample = np.array([0.5, 0.0, 2.0, 3.0]), 0.1, rng.uniform(1.0, 2.0, ROWS)
    labels = rng.dirichlet(np.ones(CLASSES), ROWS)
    loss = losscli.get(name)
    result = losscli.evaluate(
        loss.bind(),
        {loss.reads.names[0]: data, "labels": labels},
        how=How(class_weight=weight, label_smoothing=smoothing),
        sample_weight=sample,
        reduction="sum",
        wants=Wants(grad="labels"),
    )
    assert result.gradient is not None
    for (row, at), got in np.ndenumerate(result.gradient):
        with mpmath.workdps(40):
            total = mpmath.fsum(mpmath.exp(mpmath.mpf(float(z))) for z in data[row]) if name != "nll" else 1
            p = mpmath.exp(mpmath.mpf(float(data[row, at]))) / total
            own = -mpmath.log(p) * ((1 - p) ** 2 if name == "softmax-focal" else 1)
            truth = (1 - mpmath.mpf(smoothing)) * float(weight[at]) * float(sample[row]) * own
        assert got == pytest.approx(float(truth), rel=2e-15, abs=0)


def test_class_indices_have_no_slope() -> None:
    data = {"logits": np.zeros((2, 3)), "labels": [0, 1]}
    with pytest.raises(UsageError, match="only soft labels"):
        losscli.evaluate(losscli.get("ce").bind(), data, wants=Wants(grad="labels"))
    with pytest.raises(UsageError, match="no gradient with respect to"):
        losscli.evaluate(losscli.get("brier").bind(), data, wants=Wants(grad="labels"))
