"""Linear heads: scores made of features, weights and a bias, their slopes, and structural risk."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accuracy import Draw, check, parameters, rng_of

import losscli
from losscli.cli import run
from losscli.engines import engine
from losscli.errors import UsageError
from losscli.loss import Loss, catalogue
from losscli.plan import How
from losscli.results import Penalty, Wants
from losscli.verifier.gradcheck import gradcheck
from losscli.verifier.points import draw

HEADS = [loss for loss in catalogue().values() if loss.reads.head]
heads = pytest.mark.parametrize("loss", HEADS, ids=lambda loss: loss.name)


@heads
def test_value_and_slopes_are_those_of_the_formula_with_the_scores_written_out(loss: Loss) -> None:
    behind = loss.linear
    for link in behind.reads.links:
        bound = behind.bind(**parameters(loss, 1))
        data = draw(behind.reads, rng_of(f"linear {loss.name} {link}"), link, rows=5)
        for given in (data, {name: array for name, array in data.items() if name != "bias"}):
            assert check(Draw(bound, given, How(link=link)), ["value"], rows=range(3))
        assert check(Draw(bound, data, How(link=link)), ["gradient"], rows=[0, 2], width=1)


@pytest.mark.parametrize(
    "name", ["ce", "bce", "hinge", "focal", "poisson", "multilabel-soft-margin", "multilabel-margin"]
)
def test_gradcheck_passes_behind_a_head(name: str) -> None:
    found = gradcheck(losscli.get(name).linear.bind())
    assert found.verdict == "pass"
    assert found.caught == found.planted >= 12


def test_a_wrong_gradient_behind_a_head_is_found() -> None:
    bce = losscli.get("bce").linear
    right = bce.reads.links["logits"].fold

    def wrong(*arrays: Any) -> Any:
        fold = right(*arrays)
        return replace(fold, gradient=lambda a, name: fold.gradient(a, name) * (1.0 + 1e-6 * (name == "weights")))

    links = {"logits": replace(bce.reads.links["logits"], fold=wrong)}
    found = gradcheck(replace(bce, reads=replace(bce.reads, links=links)).bind())
    assert found.verdict == "fail"
    assert {entry.name for entry in found.worst if entry.verdict == "fail"} == {"weights"}


def test_the_hessian_of_weights_is_the_slope_of_their_gradient() -> None:
    rng = np.random.default_rng(3)
    data = {"features": rng.normal(size=(9, 3)), "weights": rng.normal(size=(4, 3)), "labels": rng.integers(0, 4, 9)}
    bound = losscli.get("ce").linear.bind()
    hessian = losscli.evaluate(bound, data, wants=Wants(hess="weights")).hessian
    step = np.zeros((4, 3))
    step[2, 1] = 1e-6
    ends = [{**data, "weights": data["weights"] + sign * step} for sign in (1, -1)]
    up, down = (losscli.evaluate(bound, end, wants=Wants(grad="weights")).gradient for end in ends)
    assert up is not None
    assert down is not None
    assert hessian is not None
    assert hessian[2, 1] == pytest.approx((up - down)[2, 1] / 2e-6, rel=1e-7)
    with pytest.raises(UsageError, match="no diagonal Hessian with respect to features"):
        losscli.evaluate(bound, data, wants=Wants(hess="features"))


def test_slopes_by_weights_have_the_same_bits_for_every_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("losscli.plan._BLOCK_BYTES", 1 << 12)
    rng = np.random.default_rng(4)
    data = {
        "features": rng.normal(size=(5_000, 7)) * 10.0 ** rng.integers(-8, 8, (5_000, 1)),
        "weights": rng.normal(size=(3, 7)),
        "bias": rng.normal(size=3),
        "labels": rng.integers(0, 3, 5_000),
    }
    for name in ("weights", "bias"):
        made = [
            losscli.evaluate(
                losscli.get("ce").linear.bind(), data, wants=Wants(grad=name, hess=name), engine=engine(*who)
            )
            for who in (("serial", None), ("threads", 2), ("threads", 5))
        ]
        assert len({(result.gradient.tobytes(), result.hessian.tobytes()) for result in made}) == 1  # type: ignore[union-attr]


def test_structural_risk_adds_the_penalties_and_their_slopes() -> None:
    rng = np.random.default_rng(5)
    data = {"features": rng.normal(size=(6, 2)), "weights": np.array([0.5, -3.0]), "bias": 9.0, "target": np.ones(6)}
    bound = losscli.get("bce").linear.bind()
    plain = losscli.evaluate(bound, data, wants=Wants(grad="weights"))
    risk = losscli.evaluate(bound, data, wants=Wants(grad="weights"), penalty=Penalty(l1=0.25, l2=2.0))
    assert risk.value == plain.value + 0.25 * 3.5 + 2.0 * 9.25
    assert plain.gradient is not None
    assert risk.gradient is not None
    assert np.array_equal(risk.gradient, plain.gradient + 0.25 * np.array([1.0, -1.0]) + 2.0 * np.array([1.0, -6.0]))
    for loss, options, match in (
        (losscli.get("bce"), {}, "no weights to penalise"),
        (losscli.get("bce").linear, {"reduction": "none"}, "added to one value"),
    ):
        with pytest.raises(UsageError, match=match):
            losscli.evaluate(loss.bind(), data, penalty=Penalty(l1=1.0), **options)


def test_the_command_line_reads_features_weights_and_a_bias(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(6)
    arrays = {"x": rng.normal(size=(8, 3)), "w": rng.normal(size=(4, 3)), "b": rng.normal(size=4)}
    files = {name: str(tmp_path / f"{name}.npy") for name in (*arrays, "y")}
    for name, array in {**arrays, "y": rng.integers(0, 4, 8)}.items():
        np.save(files[name], array)
    answers = []
    for inputs in ("xwby", "xwy"):
        words = ["compute", "ce", "--linear", *(files[name] for name in inputs), "--json", "--grad", "--wrt", "weights"]
        assert run([*words, "--l2", "0.5"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    scores = arrays["x"] @ arrays["w"].T + arrays["b"]
    plain = losscli.evaluate(losscli.get("ce").bind(), {"logits": scores, "labels": np.load(files["y"])})
    assert answers[0]["value"] == pytest.approx(plain.value + 0.5 * (arrays["w"] ** 2).sum(), rel=1e-14)
    assert answers[0]["penalty"] == {"l1": 0.0, "l2": 0.5}
    assert [entry["name"] for entry in answers[0]["inputs"]] == ["features", "weights", "bias", "labels"]
    assert np.shape(answers[0]["gradient"]["values"]) == (4, 3)
    assert answers[1]["value"] != answers[0]["value"]
    assert run(["compute", "ce", "--linear", files["x"], files["b"], files["y"]]) == 3
    assert "weights must have 3 along axis D, as features has" in capsys.readouterr().err
    assert run(["compute", "cosine", "--linear", files["x"], files["x"]]) == 2
    assert "reads no scores" in capsys.readouterr().err


def test_several_outputs_have_a_head_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    arrays = {"x": rng.normal(size=(6, 2)), "w": rng.normal(size=(3, 2)), "b": rng.normal(size=3)}
    arrays |= {"t": rng.integers(0, 2, (6, 3)).astype(float), "short": np.ones((6, 2))}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)

    def compute(words: str) -> Any:
        command = [sys.executable, "-m", "losscli", "compute", "multilabel-soft-margin", "--linear", *words.split()]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    scores = arrays["x"] @ arrays["w"].T + arrays["b"]
    miss = (1.0 / (1.0 + np.exp(-scores)) - arrays["t"]) / arrays["t"].size
    right = {"weights": miss.T @ arrays["x"], "bias": miss.sum(axis=0), "features": miss @ arrays["w"]}
    plain = losscli.evaluate(losscli.get("multilabel-soft-margin").bind(), {"logits": scores, "target": arrays["t"]})
    penalty = {"weights": 0.25 * np.sign(arrays["w"]) + 2.0 * arrays["w"], "bias": 0.0, "features": 0.0}
    for name, slope in right.items():
        done = compute(f"x.npy w.npy b.npy t.npy --grad --wrt {name} --l1 0.25 --l2 1 --json")
        made = json.loads(done.stdout)
        assert made["gradient"]["values"] == pytest.approx(np.asarray(slope + penalty[name]), rel=1e-13)
        risk = 0.25 * np.abs(arrays["w"]).sum() + (arrays["w"] ** 2).sum()
        assert made["value"] == pytest.approx(plain.value + risk, rel=1e-14)
    done = compute("x.npy w.npy short.npy")
    assert done.returncode == 3
    assert "target must have 3 along axis C, as weights has" in done.stderr
