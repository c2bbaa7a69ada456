"""Identities of a gradient: which hold of what, that right gradients keep them, and that wrong ones break them.

The gradients here are written out by hand and share nothing with the catalogue's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import losscli
from losscli.evaluate import evaluate, plan_of
from losscli.loss import Bound, catalogue
from losscli.plan import How, Plan
from losscli.results import Wants
from losscli.verifier.objective import Objective
from losscli.verifier.points import draw
from losscli.verifier.witness.field import Field
from losscli.verifier.witness.identities import Identity, identities, judged
from losscli.verifier.witness.testimony import statements

Array = np.ndarray[Any, np.dtype[np.float64]]
ROWS, CLASSES = 7, 4
SCALES = (1.0, 0.03, 8.0, 30.0)


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(data: dict[str, Array]) -> Array:
    return softmax(data["logits"]) - np.eye(CLASSES)[data["labels"]]


def cosine(data: dict[str, Array]) -> Array:
    x, y = data["x"], data["y"]
    lengths = np.linalg.norm(x, axis=1, keepdims=True), np.linalg.norm(y, axis=1, keepdims=True)
    similarity = (x * y).sum(axis=1, keepdims=True) / (lengths[0] * lengths[1])
    return -y / (lengths[0] * lengths[1]) + similarity * x / lengths[0] ** 2


def perceptron(data: dict[str, Array]) -> Array:
    return np.where(data["score"] * data["label"] < 0.0, -data["label"], 0.0)


# By hand: the gradient of the sum, the input that it is by, and the identities that must be found.
BY_HAND: dict[str, tuple[str, Callable[[Any], Array], set[str]]] = {
    "ce": ("logits", cross_entropy, {"rows sum to 0", "|g|₁ ≤ 2w", "monotone"}),
    "cosine": ("x", cosine, {"x·g = 0"}),
    "perceptron": ("score", perceptron, {"x·g = 1·f", "|g|₁ ≤ 1w", "monotone"}),
    "l2-penalty": ("weights", lambda data: 2.0 * data["weights"], {"x·g = 2·f", "monotone"}),
    "mse": ("prediction", lambda d: 2.0 * (d["prediction"] - d["target"]), {"monotone"}),
}


def identities_of(bound: Bound, plan: Plan, wrt: str) -> tuple[Identity, ...]:
    return tuple(identities(Field(Objective.of(bound, plan, wrt))))


def found(name: str, data: dict[str, Any], how: How | None = None) -> tuple[tuple[Identity, ...], Plan]:
    bound = losscli.get(name).bind()
    plan = plan_of(bound, data, how)
    wrt = BY_HAND[name][0]
    return identities_of(bound, plan, wrt), plan


def drawn(name: str, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return draw(losscli.get(name).reads, rng, scale=SCALES[seed % len(SCALES)], rows=ROWS)


@pytest.mark.parametrize("name", BY_HAND)
def test_the_identities_of_a_loss_are_read_off_its_value(name: str) -> None:
    assert {identity.name for identity in found(name, drawn(name, 0))[0]} == BY_HAND[name][2]


@pytest.mark.parametrize("name", BY_HAND)
def test_a_right_gradient_keeps_them(name: str) -> None:
    for seed in range(40):
        data = drawn(name, seed)
        said = judged(found(name, data)[0], BY_HAND[name][1](data))
        assert said.agree, said.detail


FAULTS: dict[str, tuple[str, Callable[[Array, dict[str, Any]], Array], str]] = {
    "no one-hot": ("ce", lambda _, data: softmax(data["logits"]), "rows sum to 0"),
    "NaN": ("ce", lambda g, _: np.full_like(g, np.nan), "rows sum to 0"),
    "by probabilities": ("ce", lambda g, data: g / softmax(data["logits"]), "rows sum to 0"),
    "last class missing": ("ce", lambda g, _: g * (np.arange(CLASSES) < CLASSES - 1), "rows sum to 0"),
    "a part in a million": ("ce", lambda g, _: g * (1.0 + 1e-6 * np.arange(CLASSES)), "rows sum to 0"),
    "nine times": ("ce", lambda g, _: 9.0 * g, "|g|₁ ≤ 2w"),
    "sign": ("ce", lambda g, _: -g, "monotone"),
    "not projected": ("cosine", lambda _, data: -data["y"], "x·g = 0"),
    "halved": ("l2-penalty", lambda g, _: g / 2.0, "x·g = 2·f"),
    "averaged": ("perceptron", lambda g, _: g / len(g), "x·g = 1·f"),
    "turned": ("mse", lambda g, _: -g, "monotone"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_gradient_breaks_one(fault: str) -> None:
    name, change, broken = FAULTS[fault]
    for seed in (0, 4, 8):
        data = drawn(name, seed)
        said = judged(found(name, data)[0], change(BY_HAND[name][1](data), data))
        assert said.agree is False
        assert broken in said.detail


def test_weights_labels_and_ignored_rows_are_allowed_for() -> None:
    data = drawn("ce", 0)
    data["labels"][2] = -1
    weight = np.array([0.5, 2.0, 0.0, 1.0])
    how = How(ignore_index=-1, class_weight=weight, label_smoothing=0.1)
    bound = losscli.get("ce").bind()
    objective = Objective.of(bound, plan_of(bound, data, how), "logits")
    keep = data["labels"] != -1
    share = 0.9 * np.eye(CLASSES)[data["labels"][keep]] + 0.1 / CLASSES
    gradient = (share * weight).sum(axis=1, keepdims=True) * softmax(data["logits"][keep]) - share * weight
    answers = list(statements(objective, gradient, 0))
    assert [answer.name for answer in answers] == ["taylor", "path integral", "identities"]
    assert all(answer.agree for answer in answers)
    wrong = {answer.name: answer.agree for answer in statements(objective, softmax(data["logits"][keep]), 0)}
    assert wrong == {"taylor": False, "path integral": False, "identities": False}


@pytest.mark.parametrize("factor", [0.0, -1.0, 1.001, 2.0])
@pytest.mark.parametrize("name", ["ce", "mse", "hinge", "poisson", "dice"])
def test_the_path_integral_is_that_of_the_claim(name: str, factor: float) -> None:
    bound = losscli.get(name).bind()
    wrt = bound.loss.reads.differentiable[0]
    for seed in range(3):
        objective = Objective.of(bound, plan_of(bound, draw(bound.loss.reads, np.random.default_rng(seed))), wrt)
        claim = objective.gradient(objective.x)
        said = {answer.name: answer.agree for answer in statements(objective, claim, seed)}
        assert said["path integral"]
        said = {answer.name: answer.agree for answer in statements(objective, factor * claim, seed)}
        assert said["path integral"] is False


def test_what_holds_of_scores_is_not_asked_of_a_linear_head() -> None:
    loss = losscli.get("ce").linear
    data = draw(loss.reads, np.random.default_rng(0), scale=8.0)
    for wrt in loss.reads.differentiable:
        names = {identity.name for identity in identities_of(loss.bind(), plan_of(loss.bind(), data), wrt)}
        assert not names & {"|g|₁ ≤ 2w", "monotone"}


@pytest.mark.parametrize("name", ["asymmetric", "multilabel-soft-margin"])
def test_saturated_scores_are_not_taken_for_an_invariance(name: str) -> None:
    bound = losscli.get(name).bind()
    data = draw(bound.loss.reads, np.random.default_rng(23), scale=1e4)
    identities = {identity.name for identity in identities_of(bound, plan_of(bound, data), "logits")}
    assert not identities & {"rows sum to 0", "x·g = 0"}


def test_a_loss_with_no_identity_has_nothing_to_say() -> None:
    data = draw(losscli.get("dice").reads, np.random.default_rng(0))
    bound = losscli.get("dice").bind()
    made = plan_of(bound, data)
    identities = identities_of(bound, made, "probs")
    assert identities == ()
    assert judged(identities, np.zeros((ROWS, CLASSES))).agree is None


@pytest.mark.parametrize("name", [name for name, loss in catalogue().items() if loss.convex])
def test_the_losses_declared_convex_lie_below_their_chords(name: str) -> None:
    loss = losscli.get(name)
    wrt = loss.reads.names[0]
    for seed in range(12):
        rng = np.random.default_rng(seed)
        data = draw(loss.reads, rng, scale=SCALES[seed % len(SCALES)])
        other = draw(loss.reads, rng, scale=SCALES[seed % len(SCALES)])[wrt]
        share = rng.uniform(0.1, 0.9)

        def value(x: Array, data: dict[str, Any] = data) -> Any:
            return Field(Objective.of(loss.bind(), plan_of(loss.bind(), {**data, wrt: x}), wrt)).value

        chord = share * value(data[wrt]) + (1.0 - share) * value(other)
        assert (value(share * data[wrt] + (1.0 - share) * other) <= chord * (1.0 + 1e-12) + 1e-12).all()


@pytest.mark.parametrize("name", [name for name, loss in catalogue().items() if loss.lipschitz is not None])
def test_the_largest_slopes_declared_are_met_and_not_passed(name: str) -> None:
    bound = losscli.get(name).bind()
    wrt, most = bound.loss.reads.names[0], bound.lipschitz
    sizes = []
    for seed in range(8):
        data = draw(bound.loss.reads, np.random.default_rng(seed), scale=100.0)
        gradient = evaluate(bound, plan_of(bound, data), reduction="sum", wants=Wants(grad=wrt)).gradient
        own = gradient if bound.loss.reads.layout == "elements" else np.abs(gradient).sum(axis=1)
        sizes.append(float(np.abs(own).max()))
    assert max(sizes) == pytest.approx(most)
