"""All entries of data too long to look at each: right gradients get a certificate, one wrong row far down is found."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from losscli.cli import run
from losscli.loss import Bound, Rows, get
from losscli.plan import How
from losscli.verifier.checks import Check
from losscli.verifier.gradcheck import gradcheck
from losscli.verifier.report import content

N = 3000
RNG = np.random.default_rng(0)
FAR = 777  # not among the rows that are looked at one by one
REGRESSION = {"prediction": RNG.normal(size=N), "target": RNG.normal(size=N)}
REGRESSION["prediction"][FAR] = 9.0
SCORES = {"logits": RNG.normal(size=(N, 5)), "labels": RNG.integers(0, 5, N)}
PROBS = {"probs": RNG.dirichlet(np.ones(5), N), "labels": SCORES["labels"]}
TIES = {"prediction": np.round(REGRESSION["prediction"], 1), "target": np.round(REGRESSION["target"], 1)}
GROUPS = {"scores": RNG.normal(size=N), "labels": RNG.integers(0, 2, N)}


def checked(name: str, data: dict[str, Any], **more: Any) -> Check:
    return gradcheck(get(name).bind(), data=data, **more)


def spoiled(name: str) -> Bound:
    """A loss whose slope is a thousandth off where its first variable is above 8."""
    loss = get(name)

    def kernel(*variables: Any, **params: Any) -> Rows:
        rows = loss.kernel(*variables, **params)
        assert isinstance(rows, Rows)

        def grad(*totals: Any) -> Any:
            slope = np.array(rows.grad(*totals))
            slope[variables[0] > 8.0] *= 1.001
            return slope

        return dataclasses.replace(rows, grad=grad)

    return dataclasses.replace(loss, kernel=kernel).bind()


@pytest.mark.parametrize(
    ("name", "data", "more", "entries"),
    [
        ("mse", REGRESSION, {"wrt": "prediction"}, N),
        ("ce", SCORES, {}, 5 * N),
        ("ce", SCORES, {"how": How(ignore_index=2), "sample_weight": RNG.uniform(size=N)}, None),
        ("log-loss", PROBS, {}, 5 * N),
        ("dice", {"probs": RNG.uniform(0.1, 0.9, N), "target": RNG.integers(0, 2, N)}, {}, N),
    ],
)
def test_right_gradients_are_certified(name: str, data: dict[str, Any], more: Any, entries: int | None) -> None:
    check = checked(name, data, **more)
    assert check.verdict == "pass"
    assert check.certificate is not None
    assert check.certificate.verdict == "pass"
    assert check.certificate.norm_bound < 1e-8 * check.certificate.norm
    kept = 5 * int(np.count_nonzero(SCORES["labels"] != 2))
    assert check.certificate.entries == (entries or kept)


def test_rows_on_a_kink_are_left_where_they_are() -> None:
    check = checked("mae", TIES, wrt="prediction")
    on = int(np.count_nonzero(TIES["prediction"] == TIES["target"]))
    assert on > 50
    assert check.certificate is not None
    assert (check.certificate.verdict, check.certificate.entries) == ("pass", N - on)


def test_a_wrong_row_that_nobody_looked_at_is_found() -> None:
    check = gradcheck(spoiled("mse"), data=REGRESSION, wrt="prediction")
    assert check.verdict == "fail"
    assert check.certificate is not None
    assert check.certificate.verdict == "fail"
    worst = check.worst[0]
    assert (worst.index, worst.verdict, worst.reason) == ((FAR,), "fail", "one entry")
    assert abs(worst.reference - 2.0 * (9.0 - REGRESSION["target"][FAR])) <= worst.bar
    assert check.counts["fail"] == 1


def test_few_entries_need_no_certificate() -> None:
    few = {name: array[:60] for name, array in SCORES.items()}
    check = checked("ce", few)
    assert check.certificate is None
    assert "certificate" not in content(check)


def test_a_certificate_is_printed_and_in_the_json(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "batch.npz", **SCORES)
    words = ["gradcheck", "ce", str(tmp_path / "batch.npz")]
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["certificate"]
    assert found["verdict"] == "pass"
    assert (found["confidence"], found["probes"], found["entries"]) == (0.999, 8, 5 * N)
    assert 0.0 < found["norm_bound"] < 1e-8 * found["norm"]
    assert run(words) == 0
    assert "with confidence 99.9%, by 8 random directions" in capsys.readouterr().out
