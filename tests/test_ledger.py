"""What must not pass: unconfirmed, unseen and vague entries, hidden behind the many that are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import losscli
from losscli.verifier.gradcheck import gradcheck
from losscli.verifier.jury import Heard, Jury
from losscli.verifier.ledger import Held, Ledger
from losscli.verifier.numeric.differences import slopes
from losscli.verifier.numeric.probes import Lines, probe
from losscli.verifier.numeric.verdict import FAIL, VERDICTS, judge, overall
from losscli.verifier.objective import Column

ALL = (slice(None),)


def column(f: Any, x: Any, **more: Any) -> Column:
    return Column(ALL, np.asarray(x, float), f, None, **more)


def test_a_value_that_is_no_number_somewhere_is_no_pass() -> None:
    assert overall({"pass": 999}, 999) == "pass"
    assert overall({"pass": 999, "nonfinite": 1}, 1000) == "inconclusive"


def test_an_input_that_was_never_settled_is_not_settled_by_others() -> None:
    ledger, x = Ledger(), np.linspace(1.0, 2.0, 100)
    ledger.look("point", "z", 2.0 * x, [column(np.square, x)])
    assert ledger.check("f", {}, 0, "").verdict == "pass"
    ledger.look("point", "T", np.array([123.0]), [column(np.ceil, [3.0])])
    assert ledger.check("f", {}, 0, "").verdict != "pass"


@dataclass(frozen=True)
class Told:
    """A witness that sides with the claim of the first entries, and with twice the slope of the others."""

    slope_of: Any
    name: str = "told"

    def slope(self, index: tuple[int, ...], _: float | None = None) -> float | None:
        return self.slope_of(index[0])


def heard(x: Any, claim: Any) -> Heard:
    s = slopes(np.square, x)
    return Heard(column(np.square, x), s, claim, [(i,) for i in range(len(x))], judge(claim, s))


def test_a_witness_is_asked_until_it_confirms() -> None:
    x = np.linspace(1.0, 2.0, 200)
    claim = 2.0 * x
    claim[:9] *= 3.0
    one, jury = heard(x, claim.copy()), Jury()
    jury.try_failures([one], Told(lambda i: float(claim[i]) if i < 5 else float(2.0 * x[i])), -np.inf, np.inf)
    assert jury.confirmed == 4
    assert [VERDICTS[code] for code in one.codes[:9]] == ["inconclusive"] * 5 + ["fail"] * 4


def test_failures_that_nobody_confirms_are_no_pass() -> None:
    # A slope on one side only: the Taylor test, which needs both, cannot tell.
    x = np.linspace(1.0, 2.0, 100)
    x[0] = 0.0
    claim = 2.0 * x + 1.0
    claim[0] = -5.0
    ledger = Ledger()
    ledger.look("point", "x", claim, [column(lambda t: t * t + t, x)], low=0.0)
    assert ledger.check("f", {}, 0, "").verdict in ("fail", "inconclusive")


def test_equality_within_an_infinite_allowance_is_no_pass() -> None:
    ledger = Ledger()
    ledger.hold("upstreams", "x", Held(np.array([5.0]), np.array([1.0]), np.array([np.inf]), "sum"))
    assert ledger.check("f", {}, 0, "").verdict == "inconclusive"


def test_an_allowance_that_hides_everything_is_no_pass() -> None:
    s = slopes(np.square, np.array([1.0]))
    assert VERDICTS[judge(np.array([500.0]), s, 1e6)[0]] == "inconclusive"
    assert VERDICTS[judge(np.array([2.0]), s, 1e-3)[0]] == "pass"
    assert judge(np.array([500.0]), s, 1e-3)[0] == FAIL


def test_planted_faults_must_be_caught_by_every_input() -> None:
    x = np.linspace(1.0, 2.0, 20)
    ledger = Ledger()
    ledger.look("random", "x", 2.0 * x, [column(np.square, x)], plant=True)
    assert not ledger.check("f", {}, 0, "").missed
    ledger.look("random", "y", 2.0 * x, [column(np.square, x)], plant=True, allowance=np.full(20, 0.9))
    found = ledger.check("f", {}, 0, "")
    assert (found.verdict, found.planted) == ("inconclusive", 12)
    assert "1.001 times (gradient)" in found.missed


@pytest.mark.parametrize(
    ("name", "data", "verdict"),
    [
        # A fault that changes slopes on kinks alone may be another subgradient: nobody can be asked to see it.
        ("mae", {"prediction": [1, 2, 3, 4], "target": [2, 1, 3, 4]}, "pass"),
        ("mae", {"prediction": [1, 2], "target": [1, 2]}, "pass"),
        ("giou", {"prediction": [[1, 1, 2, 2], [0, 0, 4, 2]], "target": [[1, 1, 2, 2], [1, 1, 2, 2]]}, "pass"),
        # At 0 floats are too fine to break a tie of 1 - 0 with another 1, or of 1000 - 0 with 1000 - 0.
        ("chebyshev", {"x": [[0, 0, 0]], "y": [[1, 1, 1]]}, "pass"),
        ("chebyshev", {"x": [[0, 5e-324, 0]], "y": [[1000, -1000, 3]]}, "pass"),
        ("chebyshev", {"x": [[0, 0, 0]], "y": [[1, 1, 1 + 2**-52]]}, "pass"),
        # By the second of two tied numbers the slope is 1/3 to both sides, by both together it is not: 0 is one, too.
        ("wasserstein-1d", {"x": [1, 2, 3], "y": [2, 2, 3]}, "inconclusive"),
    ],
)
def test_a_right_gradient_on_kinks_is_never_failed(name: str, data: dict[str, Any], verdict: str) -> None:
    batch = {key: np.array(value, float) for key, value in data.items()}
    found = gradcheck(losscli.get(name).bind(), data=batch)
    assert (found.verdict, found.missed) == (verdict, ())
    assert found.planted == found.caught > 0


@pytest.mark.parametrize(
    ("name", "data", "verdict"),
    [
        # Slopes beyond the largest number, and a coordinate whose two values are no numbers but 0 and the least one.
        ("bray-curtis", {"x": [[1e-310, 3e-310]], "y": [[2e-310, 1e-310]]}, "inconclusive"),
        ("canberra", {"x": [[0, 2]], "y": [[5e-324, 1]]}, "pass"),
        # An overlap of 1e-24 of the boxes, and boxes that an ulp keeps apart: the other slopes drown in rounding.
        ("iou", {"prediction": [[0, 0, 1, 1]], "target": [[1 - 1e-12, 1 - 1e-12, 2, 2]]}, "inconclusive"),
        ("giou", {"prediction": [[0, 0, 1, 1]], "target": [[1 + 2**-52, 1 + 2**-52, 2, 2]]}, "inconclusive"),
    ],
)
def test_a_right_gradient_that_cannot_be_told_is_never_failed(name: str, data: dict[str, Any], verdict: str) -> None:
    batch = {key: np.array(value, float) for key, value in data.items()}
    found = gradcheck(losscli.get(name).bind(), data=batch)
    assert (found.verdict, found.counts["fail"]) == (verdict, 0)
    assert (found.missed != ()) == (name in ("iou", "giou"))


def test_faults_beside_kinks_are_planted_and_seen() -> None:
    x = np.array([0.0, 0.0, 2.0])
    for allowance, seen in ((0.0, True), (0.9, False)):
        ledger = Ledger()
        sloped = Column(ALL, x, np.abs, np.sign)
        ledger.look("data", "x", np.array([0.0, 0.5, 1.0]), [sloped], plant=True, allowance=np.full(3, allowance))
        found = ledger.check("f", {}, 0, "")
        assert ("1.001 times (gradient)" not in found.missed) == seen
        assert found.planted > 9


def test_a_hessian_that_no_point_looks_at_is_not_checked() -> None:
    mse = losscli.get("mse").bind()
    assert gradcheck(mse, kinds=("extremes",)).verdict == "pass"
    assert gradcheck(mse, kinds=("extremes",), hess=True).verdict == "not_checked"
    assert gradcheck(mse, kinds=("extremes", "random"), hess=True).verdict == "pass"


@pytest.mark.parametrize("seed", range(4))
def test_one_sided_bars_of_single_precision_hold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 500))
    found = slopes(
        lambda t: (np.sin(a * t) + b * t * t).astype(np.float32).astype(float), np.zeros(500), low=0.0, unit=2.0**-23
    )
    known = np.isfinite(found.bar)
    assert known.any()
    assert (np.abs(found.value - a) <= found.bar)[known].all()


def test_a_certificate_of_few_entries_is_none() -> None:
    x = np.linspace(1.0, 2.0, 1000)
    held = np.arange(1000) >= 100
    claim = np.where(held, 77.0, 2.0 * x)
    assert probe(Lines(np.square, x, held=held), x, claim, seed=0).verdict == "inconclusive"
    few = np.arange(1000) < 100
    assert probe(Lines(np.square, x, held=few), x, 2.0 * x, seed=0).verdict == "pass"
