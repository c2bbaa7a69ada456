"""Every kind of built-in point: where it exists, and that it sees a fault that all others miss."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import losscli
from losscli import blocks
from losscli.evaluate import evaluate, plan_of
from losscli.inputs import Array
from losscli.loss import Batch, Bound, Loss, Pooled, Rows, catalogue
from losscli.plan import How
from losscli.results import Wants
from losscli.verifier.gradcheck import gradcheck
from losscli.verifier.points import KINDS, cases
from losscli.verifier.points.material import finite
from losscli.verifier.report import content

QUICK = {name: loss for name, loss in catalogue().items() if not loss.costly}
Fault = Callable[[tuple[Any, ...], dict[str, Any], Array], Array]


def faulty(name: str, fault: Fault, **params: Any) -> Bound:
    """A loss of which the first slope of the kernel is changed."""
    loss = losscli.get(name)

    def kernel(*variables: Any, **given: Any) -> Rows | Pooled | Batch:
        result = loss.kernel(*variables, **given)

        def grad(*totals: Any) -> Any:
            slope = result.grad(*totals)
            several = slope if isinstance(slope, tuple) else (slope,)
            changed = fault(variables, given, np.array(several[0]))
            return (changed, *several[1:]) if isinstance(slope, tuple) else changed

        return dataclasses.replace(result, grad=grad)

    return dataclasses.replace(loss, kernel=kernel).bind(**params)


def at_exact_ties(variables: tuple[Any, ...], _: dict[str, Any], g: Array) -> Array:
    """Wrong where all entries of a row are equal, not being zero."""
    level = (g.shape[1] > 1) & (np.ptp(variables[0], axis=1) == 0.0) & (variables[0][:, 0] != 0.0)
    g[level, 0] += 0.01
    return g


def beside_a_clamp(variables: tuple[Any, ...], _: dict[str, Any], g: Array) -> Array:
    """No slope for what another library would clip, and nobody else comes near."""
    p = variables[0]
    return np.where((p > 0.9e-7) & (p < 1e-7), 0.0, g)


def with_huge_numbers(variables: tuple[Any, ...], _: dict[str, Any], g: Array) -> Array:
    """Halved where a square would be near the end of the numbers."""
    return np.where(np.abs(variables[0]) > 1e20, g / 2.0, g)


def of_one_class(_: tuple[Any, ...], __: dict[str, Any], g: Array) -> Array:
    """A constant where there is but one class."""
    return g + 1.0 if g.ndim > 1 and g.shape[1] == 1 else g


def of_one_row(_: tuple[Any, ...], __: dict[str, Any], g: Array) -> Array:
    """Doubled where there is but one row."""
    return 2.0 * g if len(g) == 1 else g


def of_a_small_exponent(variables: tuple[Any, ...], params: dict[str, Any], g: Array) -> Array:
    """Wrong for γ < 1, and only where the exponential saturates."""
    return np.where((0.0 < params["gamma"] < 1.0) & (np.abs(variables[0]) > 15.0), 1.01 * g, g)


def leaking(_: tuple[Any, ...], __: dict[str, Any], g: Array) -> Array:
    """Every row hears of all others, in the last bit or by what is not a number."""
    return g + 0.0 * g.sum()


FAULTS: list[tuple[str, str, Fault]] = [
    ("ties", "sparsemax", at_exact_ties),
    ("probabilities", "dice", beside_a_clamp),
    ("extremes", "mse", with_huge_numbers),
    ("shapes", "sparsemax", of_one_class),
    ("shapes", "mse", of_one_row),
    ("parameters", "focal", of_a_small_exponent),
    ("containment", "huber", leaking),
]


@pytest.mark.parametrize(("kind", "name", "fault"), FAULTS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_fault_that_one_kind_alone_can_see(kind: str, name: str, fault: Fault) -> None:
    bound = faulty(name, fault)
    check = gradcheck(bound, kinds=[kind])
    assert check.verdict == "fail"
    assert any(entry.kind.startswith(kind) and entry.verdict == "fail" for entry in check.worst)
    assert gradcheck(bound, kinds=[other for other in KINDS if other != kind]).verdict == "pass"


class Leaky(blocks.Scaled):
    """A weight of zero that lets a slope through."""

    def __getitem__(self, at: Any) -> Any:
        scaled = super().__getitem__(at)
        if self.factor is None or not self.factor.ndim:
            return scaled
        silent = (self.factor == 0.0).reshape(-1, *[1] * (scaled.ndim - 1))
        return np.where(silent, self.partials[at], scaled)


@pytest.mark.parametrize("kind", ["shapes", "upstreams"])
def test_a_row_of_weight_zero_has_no_slope(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = losscli.get("mse").bind()
    monkeypatch.setattr(blocks, "Scaled", Leaky)
    assert gradcheck(bound, kinds=[kind]).verdict == "fail"
    others = [other for other in KINDS if other not in ("shapes", "upstreams")]
    assert gradcheck(bound, kinds=others).verdict == "pass"


def test_a_mean_that_divides_by_rows_in_place_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = losscli.get("mse").bind()
    evaluation = importlib.import_module("losscli.evaluate")
    monkeypatch.setattr(evaluation, "denominator", lambda _, made, __: float(made.rows))
    check = gradcheck(bound, kinds=["upstreams"])
    assert check.verdict == "fail"
    assert {entry.reason for entry in check.worst if entry.verdict == "fail"} == {"mean × N = sum"}
    # Witnesses of the random points compare the two without weights, where both are the same.
    assert gradcheck(bound, kinds=[kind for kind in KINDS if kind != "upstreams"]).verdict == "pass"


@pytest.mark.parametrize("loss", QUICK.values(), ids=QUICK)
def test_kinds_exist_for_every_loss_that_they_mean_something_to(loss: Loss) -> None:
    bound, reads = loss.bind(), loss.reads
    found = {case.kind for case in cases(bound, reads.default_link, 0)}
    assert {"random", "ties", "shapes", "upstreams"} <= found
    domains = [reads.domain(name, link) for link in reads.links for name in reads.differentiable]
    assert ("probabilities" in found) == any(domain.sums or domain.high == 1.0 for domain in domains)
    assert ("parameters" in found) == bool(loss.params)
    assert ("containment" in found) == (reads.layout != "groups" and "overlap" not in reads.name)


def test_points_are_the_same_whatever_else_is_asked_for() -> None:
    bound = losscli.get("focal").bind()
    whole = {kind: [case for case in cases(bound, "logits", 3) if case.kind == kind] for kind in KINDS}
    for kind in KINDS:
        for one, other in zip(cases(bound, "logits", 3, [kind]), whole[kind], strict=True):
            assert one.label == other.label
            assert all(np.array_equal(one.data[name], other.data[name]) for name in other.data)


def test_parameters_are_tried_at_their_bounds_and_at_each_choice() -> None:
    labels = {case.label for case in cases(losscli.get("focal").bind(), "logits", 0, ["parameters"])}
    assert {"gamma=0.0", "gamma=0.5", "gamma=1.0", "gamma=5.0", "alpha=0.0", "alpha=1.0"} <= labels
    assert "gamma=2.0" not in labels
    labels = {case.label for case in cases(losscli.get("lambdarank").bind(), "values", 0, ["parameters"])}
    assert {"gain=linear", "norm=False"} <= labels


def test_a_parameter_that_fails_is_named() -> None:
    check = gradcheck(faulty("focal", of_a_small_exponent), kinds=["parameters"])
    points = {point["kind"]: point["verdict"] for point in content(check)["points"]}
    assert points["parameters gamma=0.5"] == "fail"
    assert points["parameters gamma=1.0"] == "pass"


def test_rows_of_infinite_loss_are_left_out() -> None:
    bound = losscli.get("bce").bind()
    found = cases(bound, "logits", 0, ["probabilities"])
    assert {case.how.link for case in found} == {"logits", "probs"}
    for case in found:
        # By the logits it is the targets that are probabilities.
        probability = "logits" if case.how.link == "probs" else "target"
        assert finite(bound, case.how.link, case.data).all()
        assert {0.0, 1.0} <= set(case.data[probability].tolist())


def test_where_every_row_is_ignored_nothing_was_checked() -> None:
    def only_ignored(bound: Bound, link: str, seed: int, kinds: Any) -> Any:
        found = cases(bound, link, seed, ["shapes"])
        return [case for case in found if case.how.ignore_index is not None and (case.data["labels"] == -1).all()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("losscli.verifier.gradcheck.cases", only_ignored)
        check = gradcheck(losscli.get("ce").bind())
    assert (check.verdict, check.checked) == ("not_checked", 0)
    assert [(point.kind, point.verdict) for point in check.points] == [("shapes", "not_checked")]


def slopes(name: str, data: dict[str, Any], wrt: str, **params: Any) -> Array:
    result = evaluate(losscli.get(name).bind(**params), data, reduction="sum", wants=Wants(grad=wrt))
    assert result.gradient is not None
    return result.gradient


def test_a_zero_in_another_row_costs_no_subnormal_number_its_slope() -> None:
    tiny = {"p": [[0.4, 0.6]], "q": [[5e-324, 1.0]]}
    both = {"p": [[0.4, 0.6], [0.5, 0.5]], "q": [[5e-324, 1.0], [0.0, 1.0]]}
    for wrt in ("p", "q"):
        np.testing.assert_array_equal(slopes("renyi", both, wrt)[0], slopes("renyi", tiny, wrt)[0])
    np.testing.assert_allclose(slopes("renyi", tiny, "p"), [[5.0, 0.0]], rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("p", [0.0, 5e-324, 1e-300])
def test_the_curvature_of_renyi_where_a_square_is_lost(p: float) -> None:
    data = {"p": [[p, 0.4, 0.6]], "q": [[0.3, 0.3, 0.4]]}
    made = evaluate(losscli.get("renyi").bind(), data, reduction="sum", wants=Wants(hess="p")).hessian
    assert made is not None
    assert made[0, 0] == pytest.approx(2.0 / (0.3 * (0.16 / 0.3 + 0.36 / 0.4)), rel=1e-13)


def test_huge_features_leave_sphereface_a_number() -> None:
    rng = np.random.default_rng(0)
    data = {
        "features": 1e20 * rng.normal(size=(200, 3)),
        "weights": rng.normal(size=(4, 3)),
        "labels": np.arange(200) % 4,
    }
    assert evaluate(losscli.get("sphereface").bind(), data).nonfinite == 0


def test_a_masked_batch_of_sequences_has_slopes_of_zero() -> None:
    bound = losscli.get("ctc").bind()
    case = cases(bound, "logits", 0, ["random"])[0]
    made = plan_of(bound, case.data, How(link="logits"), mask=np.zeros(len(case.data["logits"])))
    result = evaluate(bound, made, reduction="sum", wants=Wants(grad="logits"), empty="nan")
    assert result.gradient is not None
    assert not result.gradient.any()
