"""Dialects: what another library makes of the same data, and what it is called."""

from __future__ import annotations

import json

import numpy as np
import pytest

import losscli
from losscli.cli import run
from losscli.dialects import like
from losscli.errors import UsageError
from losscli.plan import How

LOGITS = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0], [1.0, 1.0, -1.0]])


def test_torch_ignores_minus_100_and_has_nan_for_a_mean_of_nothing() -> None:
    ce = like(losscli.get("ce"), "torch").bind()
    some = losscli.evaluate(ce, {"logits": LOGITS, "labels": [0, -100, 1]}).value
    assert some == losscli.evaluate(losscli.get("ce").bind(), {"logits": LOGITS[[0, 2]], "labels": [0, 1]}).value
    assert np.isnan(losscli.evaluate(ce, {"logits": LOGITS, "labels": [-100] * 3}).value)


def test_torch_divides_by_all_rows_where_labels_are_soft() -> None:
    how, soft = How(class_weight=np.array([0.5, 2.0, 3.0])), np.eye(3)
    data = {"logits": LOGITS, "labels": soft}
    exact = losscli.evaluate(losscli.get("ce").bind(), data, how=how)
    torch = losscli.evaluate(like(losscli.get("ce"), "torch").bind(), data, how=how)
    assert (exact.weight, torch.weight) == (5.5, 3.0)
    assert torch.value == pytest.approx(exact.value * 5.5 / 3.0, rel=1e-15)


def test_the_command_line_speaks_dialects(capsys: pytest.CaptureFixture[str]) -> None:
    files = ["samples/digits/logits.csv", "samples/digits/labels.csv"]
    assert run(["compute", "ce", *files, "--like", "torch", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["like"] == "torch"
    assert run(["compute", "ce", *files, "--like", "torc"]) == 2
    assert "did you mean 'torch'" in capsys.readouterr().err
    with pytest.raises(UsageError, match="lightgbm has no dice"):
        like(losscli.get("dice"), "lightgbm")
