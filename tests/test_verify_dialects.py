"""losscli verify of claims in another library's dialect: its own gradients pass, and those off by a hundredth fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import losscli
from losscli.dialects import dialects_of, like
from losscli.errors import LosscliError
from losscli.loss import Bound, catalogue
from losscli.results import Wants
from losscli.verifier.diagnosis import scene
from losscli.verifier.diagnosis.scales import scales_of
from losscli.verifier.dumps.claims import Claims, verify
from losscli.verifier.points import draw

SPOKEN = [(name, peer) for name, loss in catalogue().items() for peer in dialects_of(loss) if loss.reads.differentiable]


def claimed(name: str, peer: str) -> tuple[Bound, dict[str, Any], Any]:
    """A loss in a dialect, data, and its gradient."""
    bound = like(losscli.get(name), peer).bind()
    reads = bound.loss.reads
    data = dict(draw(reads, np.random.default_rng(1), reads.default_link, rows=6))
    result = losscli.evaluate(bound, data, wants=Wants(grad=reads.differentiable[0]))
    return bound, data, result.gradient


@pytest.mark.parametrize(("name", "peer"), SPOKEN)
def test_what_a_library_computes_passes_and_a_hundredth_more_fails(name: str, peer: str) -> None:
    bound, data, gradient = claimed(name, peer)
    assert verify(bound, data, Claims(grad=gradient)).verdict == "pass"
    wrong = verify(bound, data, Claims(grad=1.01 * gradient))
    assert wrong.verdict == ("fail" if gradient.any() else "pass")


def test_a_mean_that_divides_each_row_is_one_where_slopes_are_claimed_too() -> None:
    bound, data, gradient = claimed("ctc", "torch")
    exact = losscli.evaluate(losscli.get("ctc").bind(), data, wants=Wants(grad="logits")).gradient
    assert not np.allclose(gradient, exact)
    assert verify(bound, data, Claims(grad=exact)).verdict == "fail"


@pytest.mark.parametrize("delta", [5e-324, 1e-200, 1e200, 1e308])
def test_names_of_factors_are_of_finite_numbers(delta: float) -> None:
    bound = losscli.get("huber").bind(delta=delta)
    made = losscli.evaluate(bound, {"prediction": [1.0, 2.0], "target": [0.0, 1.0]}).plan
    scales = scales_of(bound, made, "mean")
    assert any("delta" in word for word in scales)
    assert all(np.isfinite(scale) and scale != 0.0 for scale in scales.values())


@pytest.mark.parametrize("name", ["bce", "focal", "circle", "giou", "multiclass-hinge"])
def test_what_cannot_be_made_of_data_explains_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A loss that cannot be asked is not asked: an index that does not fit is a mistake of ours.
    monkeypatch.setattr(scene, "_REFUSED", (LosscliError, ArithmeticError))
    reads = losscli.get(name).reads
    bound, data = losscli.get(name).bind(), dict(draw(reads, np.random.default_rng(1), reads.default_link, rows=6))
    for wrt in reads.differentiable:
        gradient = losscli.evaluate(bound, data, wants=Wants(grad=wrt)).gradient
        wrong = gradient + 0.1 * np.sin(np.arange(gradient.size)).reshape(gradient.shape)
        assert verify(bound, data, Claims(grad=wrong), wrt=wrt).verdict == "fail"
