"""Losses with a wrong gradient, checked as a user checks a loss: every fault must fail, and no right loss may."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import losscli
from losscli.loss import Batch, Loss, Pooled, Rows, catalogue
from losscli.plan import How
from losscli.verifier.checks import Check
from losscli.verifier.gradcheck import gradcheck
from losscli.verifier.holding import claimed
from losscli.verifier.objective import Objective

Array = np.ndarray[Any, np.dtype[np.float64]]
Change = Callable[[Array], Array]
FAILURES = ("fail", "kink_fail")
# Those that count errors have no slope but zero.
SLOPED = {name: loss for name, loss in catalogue().items() if "zero-one" not in name and name != "hamming"}
# One loss for each kind of input.
FAMILIES = {loss.reads.name: loss for loss in SLOPED.values()} | {"samples": SLOPED["energy"]}
RNG = np.random.default_rng(0)
SCORES = {"logits": RNG.normal(size=(9, 4)), "labels": np.array([0, 1, 2, 3, 0, -1, 2, -1, 1])}


def spoiled(loss: Loss, change: Change) -> Loss:
    """The loss with each array of its kernel's gradient changed."""

    def kernel(*variables: Any, **params: Any) -> Rows | Pooled | Batch:
        result = loss.kernel(*variables, **params)

        def grad(*totals: Any) -> Any:
            slope = result.grad(*totals)
            return tuple(map(change, slope)) if isinstance(slope, tuple) else change(slope)

        return dataclasses.replace(result, grad=grad)

    return dataclasses.replace(loss, kernel=kernel)


def at_largest(g: Array, value: Callable[[float], float]) -> Array:
    made = np.array(g)
    if made.size:
        at = np.unravel_index(int(np.argmax(np.abs(made))), made.shape)
        made[at] = value(float(made[at]))
    return made


FAULTS: dict[str, Change] = {
    "1.0001 times": lambda g: 1.0001 * g,
    "sign": lambda g: -g,
    "without its factor 2": lambda g: g / 2.0,
    "zero": np.zeros_like,
    "NaN": lambda g: np.full_like(g, np.nan),
    "one entry NaN": lambda g: at_largest(g, lambda _: float("nan")),
    "one entry infinite": lambda g: at_largest(g, lambda _: float("inf")),
    "one entry 1 % off": lambda g: at_largest(g, lambda x: 1.01 * x),
    "clipped to a tenth": lambda g: np.clip(g, -0.1 * np.abs(g).max(), 0.1 * np.abs(g).max()),
}


def assert_fails(check: Check) -> None:
    """The verdict is a failure, and the entries named first are what failed, worst first."""
    assert check.verdict == "fail"
    assert sum(check.counts[word] for word in FAILURES) > 0
    assert check.worst[0].verdict in FAILURES
    assert any(point.verdict == "fail" for point in check.points)
    assert not next(method for method in check.methods if method.name == "ridders").agree
    failed = [entry for entry in check.worst if entry.verdict in FAILURES]
    assert check.worst[: len(failed)] == tuple(failed)
    assert check.missed == ()
    ratios = [entry.ratio for entry in failed]
    assert ratios == sorted(ratios, reverse=True)
    for entry in failed:
        assert entry.name in losscli.get(check.loss).reads.differentiable
        assert entry.reason == ""
        if entry.verdict == "fail" and np.isfinite(entry.claimed):
            assert abs(entry.claimed - entry.reference) > entry.bar


@pytest.mark.parametrize("loss", catalogue().values(), ids=lambda loss: loss.name)
def test_a_right_gradient_passes(loss: Loss) -> None:
    check = gradcheck(loss.bind())
    assert (check.verdict, check.missed) == ("pass", ())
    assert check.caught == check.planted > 0
    assert all(method.agree for method in check.methods)
    assert not any(check.counts[word] for word in FAILURES)


@pytest.mark.parametrize("name", SLOPED)
def test_a_gradient_one_part_in_ten_thousand_too_large_fails(name: str) -> None:
    assert_fails(gradcheck(spoiled(losscli.get(name), FAULTS["1.0001 times"]).bind(), kinds=("random",)))


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "1.0001 times"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_gradient_of_any_family_fails(family: str, fault: str) -> None:
    assert_fails(gradcheck(spoiled(FAMILIES[family], FAULTS[fault]).bind(), kinds=("random",)))


def test_the_entries_named_are_those_that_were_changed() -> None:
    data = {"prediction": np.arange(6.0).reshape(2, 3), "target": np.full((2, 3), 2.5)}

    def change(g: Array) -> Array:
        made = g.copy()
        made[[1, 4]] += (1e-3, 1e-5)
        return made

    check = gradcheck(spoiled(losscli.get("log-cosh"), change).bind(), data=data, wrt="prediction")
    assert_fails(check)
    assert check.counts["fail"] == 2
    # Rows are the entries in order, whatever the array's shape.
    assert [entry.index for entry in check.worst[:2]] == [(1,), (4,)]
    assert check.worst[0].claimed - check.worst[0].reference == pytest.approx(1e-3, rel=1e-6)


def at_zero(slope: float, variable: Callable[[Array], Array]) -> Callable[[Loss], Loss]:
    """What makes a loss claim another slope where ``variable`` of its first input is 0."""

    def changed(loss: Loss) -> Loss:
        def kernel(x: Array, **params: Any) -> Any:
            result = loss.kernel(x, **params)
            return dataclasses.replace(result, grad=lambda: np.where(variable(x) == 0, slope, result.grad()))

        return dataclasses.replace(loss, kernel=kernel)

    return changed


@pytest.mark.parametrize(
    ("name", "params", "kink", "low", "high"),
    [
        ("mae", {}, 0.0, -1.0, 1.0),
        ("quantile", {"tau": 0.8}, 0.0, -0.8, 0.2),
        ("hinge", {}, 1.0, -1.0, 0.0),
        ("perceptron", {}, 0.0, -1.0, 0.0),
    ],
)
def test_on_a_kink_any_slope_between_the_sides_passes_and_no_other(
    name: str, params: dict[str, float], kink: float, low: float, high: float
) -> None:
    loss = losscli.get(name)
    for slope in (low, high, (low + high) / 2):
        assert gradcheck(at_zero(slope, lambda x: x - kink)(loss).bind(**params)).verdict == "pass"
    for slope in (low - 0.01, high + 0.01, 5.0, float("nan")):
        check = gradcheck(at_zero(slope, lambda x: x - kink)(loss).bind(**params))
        assert_fails(check)
        assert check.counts["kink_fail"] > 0
        assert check.counts["fail"] == 0


@pytest.mark.parametrize("name", ["euclidean", "triplet"])
def test_nan_where_vectors_coincide_fails(name: str) -> None:
    loss = losscli.get(name)

    def kernel(x: Array, y: Array, *others: Array, **params: Any) -> Any:
        result = loss.kernel(x, y, *others, **params)
        same = (x == y).all(axis=1)[:, None]
        return dataclasses.replace(result, grad=lambda: tuple(np.where(same, np.nan, g) for g in result.grad()))

    assert_fails(gradcheck(dataclasses.replace(loss, kernel=kernel).bind()))


def test_a_cubed_parameter_shows_where_it_is_not_one() -> None:
    huber = losscli.get("huber")

    def kernel(r: Array, *, delta: float) -> Any:
        slope = np.where(np.abs(r) <= delta, r, delta**3 * np.sign(r))
        return dataclasses.replace(huber.kernel(r, delta=delta), grad=lambda: slope)

    wrong = dataclasses.replace(huber, kernel=kernel)
    assert gradcheck(wrong.bind(delta=1.0), kinds=("random",)).verdict == "pass"
    assert_fails(gradcheck(wrong.bind(delta=0.5), kinds=("random",)))
    # Points at other parameters than those given see it wherever one stands.
    assert_fails(gradcheck(wrong.bind(delta=1.0)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["ce", "brier", "softmax-focal", "renyi", "cosine"])
def test_a_part_in_a_million_of_slopes_below_a_billionth_fails(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Beside values of order 1 differences know them to 1e-15, and not to 1e-6 of themselves.
    loss, rng = losscli.get(name), np.random.default_rng(seed)
    logits = rng.normal(size=(3, 3)) - rng.uniform(21.0, 23.0, (3, 1)) * [0.0, 0.0, 1.0]
    mass = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    vectors = np.concatenate([rng.normal(size=(3, 2)), 10.0 ** rng.uniform(-10.0, -9.5, (3, 1))], axis=1)
    data = {
        "renyi": {"p": np.flip(mass, axis=1), "q": rng.dirichlet(np.ones(3), 3)},
        "cosine": {"x": vectors, "y": rng.permuted(vectors, axis=0)},
    }.get(name, {"logits": logits, "labels": np.array([0, 1, 0])})
    factor = 1.0 + rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(-6.0, -5.0)

    def wrong(objective: Objective, *order: int) -> tuple[Array, Array]:
        claim, dropped = claimed(objective, *order)
        return np.where(np.abs(claim) < 1e-8, factor * claim, claim), dropped

    assert gradcheck(loss.bind(), data=data).verdict == "pass"
    monkeypatch.setattr("losscli.verifier.gradcheck.claimed", wrong)
    check = gradcheck(loss.bind(), data=data)
    assert_fails(check)
    assert all(abs(entry.claimed) < 1e-8 for entry in check.worst if entry.verdict in FAILURES)


def test_a_slope_that_is_wrong_only_far_out_fails() -> None:
    # Right at every random point: only the saturation points are far enough out.
    logistic = losscli.get("logistic")

    def kernel(m: Array, **params: Any) -> Any:
        result = logistic.kernel(m, **params)
        return dataclasses.replace(result, grad=lambda: np.where(m < -50.0, 0.0, result.grad()))

    wrong = dataclasses.replace(logistic, kernel=kernel).bind()
    assert gradcheck(wrong, kinds=("random",)).verdict == "pass"
    assert_fails(gradcheck(wrong))


def test_a_wrong_value_with_the_gradient_of_the_right_one_fails() -> None:
    mse = losscli.get("mse")
    wrong = dataclasses.replace(
        mse, kernel=lambda r: dataclasses.replace(mse.kernel(r), value=r * r * (1.0 + 1e-3 * np.abs(r)))
    )
    assert_fails(gradcheck(wrong.bind()))


@pytest.mark.parametrize("squared", [False, True])
def test_a_pooled_loss_that_forgets_its_denominator_fails(squared: bool) -> None:
    dice = losscli.get("dice")

    def kernel(p: Array, q: Array, t: Array, **params: Any) -> Any:
        result = dice.kernel(p, q, t, **params)
        # The overlap's share of the slope alone, as if the sizes did not depend on p.
        return dataclasses.replace(result, grad=lambda *totals: -2.0 * t / (totals[-1] + params["smooth"]))

    assert_fails(gradcheck(dataclasses.replace(dice, kernel=kernel).bind(squared=squared)))
    assert gradcheck(dice.bind(squared=squared, smooth=1.0)).verdict == "pass"


def test_a_batch_loss_that_mixes_up_its_groups_fails() -> None:
    listnet = losscli.get("listnet")

    def kernel(s: Array, relevance: Array, groups: Any) -> Any:
        result = listnet.kernel(s, relevance, groups)
        return dataclasses.replace(result, grad=lambda: np.roll(result.grad(), 1))

    assert_fails(gradcheck(dataclasses.replace(listnet, kernel=kernel).bind()))


HOWS = {
    "ignored rows": How(ignore_index=-1),
    "class weights": How(ignore_index=-1, class_weight=np.array([0.5, 2.0, 0.0, 1.0])),
    "smoothing": How(ignore_index=-1, label_smoothing=0.2),
    "weights and smoothing": How(ignore_index=-1, class_weight=np.array([0.5, 2.0, 0.1, 1.0]), label_smoothing=0.2),
}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", ["ce", "softmax-focal", "multi-margin", "brier"])
def test_data_with_options_pass_and_their_faults_fail(name: str, how: str) -> None:
    loss = losscli.get(name)
    given = HOWS[how]
    if "label-smoothing" not in loss.reads.options:
        given = dataclasses.replace(given, label_smoothing=0.0)
    right = gradcheck(loss.bind(), data=SCORES, how=given)
    assert (right.verdict, right.missed) == ("pass", ())
    # Seven of the nine rows count, with four entries each.
    assert right.checked == 28
    for fault in ("1.0001 times", "sign", "one entry NaN"):
        assert_fails(gradcheck(spoiled(loss, FAULTS[fault]).bind(), data=SCORES, how=given))


def test_binary_targets_with_smoothing_and_probabilities() -> None:
    data = {"logits": np.array([0.2, 0.7, 0.999]), "target": np.array([0.0, 1.0, 0.5])}
    how = How(link="probs", label_smoothing=0.1)
    assert gradcheck(losscli.get("bce").bind(pos_weight=3.0), data=data, how=how).verdict == "pass"
    wrong = spoiled(losscli.get("bce"), FAULTS["1.0001 times"])
    assert_fails(gradcheck(wrong.bind(pos_weight=3.0), data=data, how=how))


def test_nothing_to_check_is_not_a_pass() -> None:
    data = {"logits": SCORES["logits"][:2], "labels": np.array([-1, -1])}
    check = gradcheck(losscli.get("ce").bind(), data=data, how=How(ignore_index=-1))
    assert (check.verdict, check.checked) == ("not_checked", 0)


def test_every_seed_catches_the_fault_and_passes_the_right_one() -> None:
    focal = losscli.get("focal")
    for seed in range(5):
        assert gradcheck(focal.bind(gamma=0.5, alpha=0.25), seed=seed).verdict == "pass"
        assert_fails(gradcheck(spoiled(focal, FAULTS["1.0001 times"]).bind(gamma=0.5, alpha=0.25), seed=seed))
