"""Slopes by soft targets: what the loss of one outcome exceeds that of the other by, with all of its digits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from accuracy import parameters

import losscli
from losscli.dialects import like
from losscli.errors import UsageError
from losscli.inputs import PROBABILITY
from losscli.loss import catalogue
from losscli.plan import How
from losscli.results import Wants

SOFT = [
    loss.name
    for loss in catalogue().values()
    if "target" in loss.reads.differentiable and loss.reads.entry("target").domain is PROBABILITY
]
# On both sides of 0, where the outcomes' losses cancel, and where one of them is lost in the other.
NEAR_AND_FAR = [s * z for z in (1e-300, 3e-17, 1e-9, 2e-4, 0.3, 2.0, 40.0, 700.0) for s in (1.0, -1.0)]


def by_target(name: str, link: str, scores: Any, targets: Any, **more: Any) -> Any:
    params = more.pop("params", {})
    how = How(link=link, **more)
    data = {"logits": scores, "target": targets}
    bound = losscli.get(name).bind(**params)
    return losscli.evaluate(bound, data, how=how, reduction="none", wants=Wants(grad="target")).gradient


def outcome(name: str, params: dict[str, Any], p: Any, q: Any) -> Any:
    """The loss of target 1 less that of target 0, in mpmath's arithmetic."""
    yes, no = -mpmath.log(p), -mpmath.log(q)
    if name == "bce":
        return params["pos_weight"] * yes - no
    if name == "focal":
        a = params["alpha"]
        a, b = (1, 1) if a is None else (mpmath.mpf(a), 1 - mpmath.mpf(a))
        return a * q ** params["gamma"] * yes - b * p ** params["gamma"] * no
    if name == "poly1-bce":
        return yes + params["epsilon"] * q - no - params["epsilon"] * p
    if name == "asymmetric":
        x = max(mpmath.mpf(0), p - mpmath.mpf(params["clip"]))
        return q ** params["gamma_pos"] * yes + x ** params["gamma_neg"] * mpmath.log(1 - x)
    raise AssertionError(name)


def test_every_loss_of_soft_targets_has_them() -> None:
    assert SOFT == ["asymmetric", "bce", "binary-zero-one", "focal", "multilabel-soft-margin", "poly1-bce"]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["asymmetric", "bce", "focal", "poly1-bce"])
def test_by_target_is_the_difference_of_the_outcomes(name: str, seed: int) -> None:
    loss = losscli.get(name)
    params = dict(loss.bind(**parameters(loss, seed)).params)
    if name == "asymmetric" and seed == 0:
        # The two outcomes are each other's mirror image.
        params |= {"gamma_pos": 2.0, "gamma_neg": 2.0, "clip": 0.0}
    got = by_target(name, "logits", NEAR_AND_FAR, np.resize([0.0, 1.0, 0.3], len(NEAR_AND_FAR)), params=params)
    for z, slope in zip(NEAR_AND_FAR, got, strict=True):
        with mpmath.workdps(700):
            p, q = 1 / (1 + mpmath.exp(-mpmath.mpf(z))), 1 / (1 + mpmath.exp(mpmath.mpf(z)))
            truth = outcome(name, params, p, q)
            assert float(truth) == pytest.approx(slope, rel=2e-14, abs=5e-324), (z, params)


def test_of_cross_entropy_it_is_minus_the_logit() -> None:
    z = np.array([*NEAR_AND_FAR, 1e308, -1e308, 5e-324])
    assert np.array_equal(by_target("bce", "logits", z, np.full(len(z), 0.25)), -z)
    rows = z[:16].reshape(4, 4)
    assert np.array_equal(by_target("multilabel-soft-margin", "logits", rows, np.full((4, 4), 0.5)), -rows / 4.0)


def test_of_probabilities_near_one_half_it_keeps_its_digits() -> None:
    p = np.array([0.5, np.nextafter(0.5, 1), np.nextafter(0.5, 0), 0.5 - 1e-9, 0.26, 0.74, 1e-300, 1 - 2.0**-53])
    got = by_target("bce", "probs", p, np.ones(len(p)))
    for x, slope in zip(p, got, strict=True):
        with mpmath.workdps(50):
            truth = mpmath.log(1 - mpmath.mpf(float(x))) - mpmath.log(mpmath.mpf(float(x)))
            assert float(slope) == pytest.approx(float(truth), rel=4e-16, abs=0)


@pytest.mark.parametrize("name", ["bce", "focal"])
def test_an_outcome_that_cannot_be_is_infinitely_worse(name: str) -> None:
    params = {"pos_weight": 3.0} if name == "bce" else {"gamma": 2.0, "alpha": 0.4}
    got = by_target(name, "probs", [0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 1.0, 0.5], params=params)
    assert got.tolist() == [np.inf, np.inf, -np.inf, -np.inf]


@pytest.mark.parametrize("name", SOFT)
def test_smoothing_leaves_its_share_of_the_slope_and_the_curvature_is_zero(name: str) -> None:
    rng = np.random.default_rng(7)
    shape = (6, 3) if name == "multilabel-soft-margin" else (6,)
    scores, targets = rng.normal(size=shape) * 3.0, rng.random(shape)
    plain = by_target(name, "logits", scores, targets)
    assert by_target(name, "logits", scores, targets, label_smoothing=0.25) == pytest.approx(0.75 * plain, rel=4e-16)
    # The value at a smoothed target, and the line through two of them.
    bound, data = losscli.get(name).bind(), {"logits": scores}
    ends = [
        losscli.evaluate(
            bound, {**data, "target": np.full(shape, t)}, how=How(label_smoothing=0.25), reduction="sum"
        ).value
        for t in (0.0, 1.0)
    ]
    assert ends[1] - ends[0] == pytest.approx(0.75 * plain.sum(), rel=1e-13)
    curve = losscli.evaluate(bound, {**data, "target": targets}, wants=Wants(hess="target")).hessian
    assert curve is not None
    assert not curve.any()


def test_behind_a_head_and_in_a_dialect() -> None:
    rng = np.random.default_rng(8)
    x, w, t = rng.normal(size=(5, 2)), rng.normal(size=2), rng.random(5)
    behind = losscli.get("bce").linear.bind()
    made = losscli.evaluate(
        behind, {"features": x, "weights": w, "target": t}, reduction="sum", wants=Wants(grad="target")
    )
    assert made.gradient is not None
    assert np.array_equal(made.gradient, -(x @ w))
    data = {"logits": x[:, 0], "target": t}
    same = losscli.evaluate(like(losscli.get("bce"), "optax").bind(), data, wants=Wants(grad="target")).gradient
    assert same == pytest.approx(-x[:, 0] / 5.0, rel=4e-16)
    with pytest.raises(UsageError, match="no gradient with respect to 'target'"):
        losscli.evaluate(like(losscli.get("focal"), "torch").bind(), data, wants=Wants(grad="target"))


def test_the_command_line_takes_the_target(tmp_path: Path) -> None:
    z, t = [1e-12, -3.0, 800.0], [0.2, 1.0, 0.0]
    for name, column in (("z", z), ("t", t)):
        (tmp_path / f"{name}.csv").write_text("\n".join(map(repr, column)) + "\n")
    words = "compute bce z.csv t.csv --wrt target --grad --hess --reduction sum --gradcheck --json"
    done = subprocess.run(
        [sys.executable, "-m", "losscli", *words.split()], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    made = json.loads(done.stdout)
    assert made["gradient"]["wrt"] == "target"
    assert made["gradient"]["values"] == [-1e-12, 3.0, -800.0]
    assert made["hessian"]["values"] == [0.0, 0.0, 0.0]
    assert made["gradcheck"]["verdict"] == "pass"
