"""What kernels return makes nothing that is not asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from losscli.blocks import Scaled
from losscli.evaluate import evaluate
from losscli.families import binary
from losscli.kernels import Seldom
from losscli.loss import get
from losscli.plan import How
from losscli.results import Wants


class Spy:
    """A thunk that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        return np.full(3, 2.0)


def test_partials_that_are_seldom_asked_for_are_made_when_they_are() -> None:
    spy, plain = Spy(), np.ones(3)
    made = Seldom((plain, spy))
    assert made[0] is plain
    assert made[:1][0] is plain
    assert len(made) == len(made[:]) == 2
    scaled = Scaled(made, np.array([1.0, 0.5, 2.0]), 2.0)
    assert scaled[0].tolist() == [2.0, 1.0, 4.0]
    assert spy.calls == 0
    assert scaled[1].tolist() == [4.0, 2.0, 8.0]
    assert made[-1].tolist() == made[1:][0].tolist() == [2.0, 2.0, 2.0]
    assert [one.tolist() for one in made] == [[1.0] * 3, [2.0] * 3]
    assert spy.calls == 4


@pytest.mark.parametrize("name", ["bce", "focal", "poly1-bce", "asymmetric", "multilabel-soft-margin"])
def test_slopes_by_scores_take_no_log_odds_and_those_by_targets_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Spy()
    monkeypatch.setattr(binary, "log_odds", lambda p: [asked(), np.zeros_like(p)][1])
    p = np.linspace(0.1, 0.9, 6)
    shape = (2, 3) if get(name).reads.layout == "rows" else (6,)
    data = {"logits": p.reshape(shape), "target": np.ones(shape)}
    for wrt, calls in (("logits", 0), ("target", 1)):
        evaluate(get(name).bind(), data, how=How(link="probs"), wants=Wants(grad=wrt))
        assert asked.calls == calls
