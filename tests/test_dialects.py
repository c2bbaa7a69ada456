"""Dialects: what another library makes of the same data, and what it is called."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import losscli
from losscli.cli import run
from losscli.dialects import PEERS, dialects_of, like
from losscli.errors import UsageError
from losscli.loss import Loss, catalogue
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


def test_a_dialect_of_a_linear_head_is_that_of_its_scores() -> None:
    head = {"features": LOGITS, "weights": [0.5, -1.0, 2.0], "target": [0.0, 1.0, 1.0]}
    scores = {"logits": LOGITS @ [0.5, -1.0, 2.0], "target": [0.0, 1.0, 1.0]}
    bce = like(losscli.get("bce"), "torch")
    assert losscli.evaluate(bce.linear.bind(), head).value == losscli.evaluate(bce.bind(), scores).value


def test_torch_has_losses_of_zero_for_rows_that_do_not_count() -> None:
    ce, data = like(losscli.get("ce"), "torch").bind(), {"logits": LOGITS, "labels": [-100] * 3}
    assert losscli.evaluate(ce, data, reduction="sum").value == 0.0
    assert np.array_equal(losscli.evaluate(ce, data, reduction="none").value, np.zeros(3))


def test_torch_caps_the_surprise_of_probabilities() -> None:
    data, how = {"logits": [0.0, 0.5], "target": [1.0, 1.0]}, How(link="probs")
    bce = like(losscli.get("bce"), "torch").bind()
    values = losscli.evaluate(bce, data, how=how, reduction="none").value
    assert values == pytest.approx([100.0, np.log(2.0)], rel=1e-15)
    assert losscli.evaluate(losscli.get("bce").bind(), data, how=how).value == np.inf


def test_every_dialect_can_be_taken_and_says_how_it_is_called(entry: Loss) -> None:
    for peer, dialect in dialects_of(entry).items():
        known = {one.name for one in entry.params}
        assert set(dialect.params) <= known
        assert set(dialect.folds) <= set(entry.reads.links)
        assert set(dialect.clip) <= set(entry.reads.names)
        assert dialect.call
        assert not dialect.why.endswith(".")
        assert like(entry, peer).bind().params.keys() == known


def test_no_dialect_is_of_an_unknown_loss() -> None:
    for peer in PEERS:
        table = importlib.import_module(f"losscli.dialects.{peer}").DIALECTS
        assert set(table) <= set(catalogue())


PLAIN = {"mean": [1.0, 2.0], "target": [0.0, 2.5], "variance": [1.0, 1e-9]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "x.json"
    made.write_text(json.dumps(PLAIN))
    return made


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The JSON of losscli dialects, and its entries by library."""
    assert run(["dialects", *words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    return answer, {one["peer"]: one for one in answer["dialects"]}


def test_libraries_side_by_side(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    answer, by_peer = told(capsys, "gaussian-nll", str(path))
    assert (answer["schema"], answer["loss"], answer["params"]) == ("losscli.dialects/1", "gaussian-nll", {})
    assert [one["name"] for one in answer["inputs"]] == ["mean", "target", "variance"]
    exact, torch = by_peer["exact"], by_peer["torch"]
    assert exact["value"] == losscli.evaluate(losscli.get("gaussian-nll").bind(), PLAIN).value
    assert torch["value"] == losscli.evaluate(losscli.get("gaussian-nll").bind(eps=1e-6), PLAIN).value
    assert torch["difference"] == torch["value"] - exact["value"]
    assert torch["relative"] == torch["difference"] / abs(exact["value"])
    assert "eps" in torch["why"]
    assert "gaussian_nll_loss" in torch["call"]


def test_a_parameter_that_is_given_is_that_of_every_library(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    answer, by_peer = told(capsys, "gaussian-nll", str(path), "--eps", "0.5")
    assert answer["params"] == {"eps": 0.5}
    assert (by_peer["torch"]["difference"], by_peer["torch"]["relative"]) == (0.0, 0.0)


def test_what_a_library_cannot_read_is_an_error_of_its_own(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    path.write_text(json.dumps({"logits": LOGITS.tolist(), "labels": [0, -100, 1]}))
    _, by_peer = told(capsys, "ce", str(path))
    assert by_peer["exact"]["error"]["code"] == "label-range"
    assert (by_peer["exact"]["value"], by_peer["torch"]["difference"]) == (None, None)
    assert by_peer["torch"]["value"] > 0.0
    assert run(["dialects", "ce", str(path)]) == 0
    assert "label-range" in capsys.readouterr().out


def test_what_nobody_can_read_is_an_error_of_the_command(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    path.write_text(json.dumps({"logits": LOGITS.tolist(), "labels": [0, 7, 1]}))
    assert run(["dialects", "ce", str(path)]) == 3
    assert "label 7" in capsys.readouterr().err


def test_dialects_from_a_shell(path: Path) -> None:
    def shown(*words: str) -> str:
        call = [sys.executable, "-m", "losscli", "dialects", "gaussian-nll", *words]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout

    quiet = [line.split()[0] for line in shown(str(path), "-q").splitlines()]
    assert quiet == ["exact", *dialects_of(losscli.get("gaussian-nll"))]
    assert "torch.nn.functional.gaussian_nll_loss" in shown(str(path))
    assert "\x1b" not in shown(str(path))
    assert "\x1b" in shown(str(path), "--color", "always")
    assert "each library has its own default" in shown("--help")


def test_show_lists_dialects(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "triplet", "--json"]) == 0
    dialects = {one["peer"]: one for one in json.loads(capsys.readouterr().out)["dialects"]}
    assert "eps=1e-6" in dialects["torch"]["call"]
    assert run(["show", "triplet"]) == 0
    shown = capsys.readouterr().out
    assert dialects["torch"]["why"] in shown
    assert "like torch" in shown
