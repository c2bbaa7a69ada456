"""Verdicts: what passes, what fails, what is left open, and how a run is summed up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from losscli.verifier.numeric.differences import Reason, Slopes, slopes
from losscli.verifier.numeric.verdict import (
    FAIL,
    INCONCLUSIVE,
    KINK_FAIL,
    KINK_OK,
    NONFINITE,
    PASS,
    UNSETTLED,
    VERDICTS,
    Verdict,
    judge,
    overall,
    why,
)

NAN, INF = np.nan, np.inf


def is_failure(codes: np.ndarray) -> np.ndarray:
    return np.isin(codes, (FAIL, KINK_FAIL))


def reference(value: float, bar: float, reason: Reason = Reason.OK) -> Slopes:
    none, wide = np.array([NAN]), np.array([INF])
    return Slopes(
        np.array([value]), np.array([bar]), np.array([False]), none, wide, none, wide, np.array([reason], np.int8), 1
    )


def kink(left: float, right: float, bar: float = 1e-12) -> Slopes:
    middle, half, bars = np.array([(left + right) / 2]), np.array([abs(right - left) / 2 + bar]), np.array([bar])
    return Slopes(
        middle, half, np.array([True]), np.array([left]), bars, np.array([right]), bars, np.array([0], np.int8), 1
    )


SMOOTH = [
    # claim, reference, bar, allowance, verdict
    (0.3, 0.3, 1e-12, 0.0, PASS),
    (0.3 + 5e-13, 0.3, 1e-12, 0.0, PASS),
    (0.3 + 5e-12, 0.3, 1e-12, 0.0, FAIL),
    (0.3 + 5e-12, 0.3, 1e-12, 1e-11, PASS),
    (-0.3, 0.3, 1e-12, 0.0, FAIL),
    (0.0, 0.0, 1e-13, 0.0, PASS),
    (1e-20, 0.0, 1e-13, 0.0, PASS),
    (0.0, 1e-14, 1e-13, 0.0, PASS),
    (1e-9, 0.0, 1e-13, 0.0, FAIL),
    (0.3, 0.3, 5.0, 0.0, INCONCLUSIVE),
    (0.0, 0.0, 5.0, 0.0, INCONCLUSIVE),
    (0.3, 0.3, 0.14, 0.0, PASS),
    (0.3, 0.3, 0.16, 0.0, INCONCLUSIVE),
    (6.0, 0.3, 5.0, 0.0, FAIL),
    (1e300, 1e300, 1e288, 0.0, PASS),
    (-1e300, 1e300, 1e288, 0.0, FAIL),
    (NAN, 0.3, 1e-12, 0.0, FAIL),
    (INF, 0.3, 1e-12, 0.0, FAIL),
    (-INF, 0.3, 1e-12, INF, FAIL),
    (NAN, 0.3, 5.0, 0.0, FAIL),
    (0.3, NAN, INF, 0.0, INCONCLUSIVE),
]


@pytest.mark.parametrize(("claim", "value", "bar", "allowance", "verdict"), SMOOTH)
def test_smooth_entries(claim: float, value: float, bar: float, allowance: float, verdict: int) -> None:
    assert judge(np.array([claim]), reference(value, bar), allowance)[0] == verdict


OPEN = [
    (Reason.DISCONTINUITY, INF),
    (Reason.DOMAIN_EDGE, NAN),
    (Reason.METHODS_DISAGREE, -INF),
    (Reason.NEAR_KINK, 1.0),
]


@pytest.mark.parametrize(("reason", "claim"), OPEN)
def test_without_a_slope_nothing_is_said(reason: Reason, claim: float) -> None:
    unknown = reference(NAN, INF, reason)
    codes = judge(np.array([claim]), unknown)
    assert codes[0] == INCONCLUSIVE
    assert why(codes, unknown)[0] == reason


@pytest.mark.parametrize("reason", [Reason.NOISE, Reason.NEAR_KINK])
def test_a_claim_of_nan_is_wrong_where_the_slope_is_bounded(reason: Reason) -> None:
    assert judge(np.array([NAN]), reference(NAN, INF, reason))[0] == FAIL


@pytest.mark.parametrize("claim", [NAN, INF, 0.0, 1.0])
def test_where_the_loss_is_not_finite_nothing_passes(claim: float) -> None:
    assert judge(np.array([claim]), reference(NAN, INF, Reason.NONFINITE), 1.0)[0] == NONFINITE


KINKS = [
    (0.0, KINK_OK),
    (0.5, KINK_OK),
    (1.0, KINK_OK),
    (-1e-13, KINK_OK),
    (1.0 + 1e-13, KINK_OK),
    (1.0 + 1e-9, KINK_FAIL),
    (-0.5, KINK_FAIL),
    (NAN, KINK_FAIL),
    (INF, KINK_FAIL),
]


@pytest.mark.parametrize(("claim", "verdict"), KINKS)
@pytest.mark.parametrize(("left", "right"), [(0.0, 1.0), (1.0, 0.0)], ids=["convex", "concave"])
def test_kinks(claim: float, verdict: int, left: float, right: float) -> None:
    assert judge(np.array([claim]), kink(left, right))[0] == verdict


def test_a_kink_known_too_vaguely_is_left_open() -> None:
    assert judge(np.array([0.5]), kink(0.0, 1.0, bar=3.0))[0] == INCONCLUSIVE
    assert judge(np.array([9.0]), kink(0.0, 1.0, bar=3.0))[0] == KINK_FAIL


def test_allowance_widens_a_kink() -> None:
    assert judge(np.array([1.01]), kink(0.0, 1.0), 0.02)[0] == KINK_OK


def test_many_entries_at_once() -> None:
    x = np.array([0.0, 1.0, -1.0, NAN])
    found = slopes(np.abs, x)
    codes = judge(np.array([0.0, 1.0, 1.0, NAN]), found, np.zeros(4))
    assert [VERDICTS[c] for c in codes] == ["kink_ok", "pass", "fail", "nonfinite"]
    assert codes.dtype == np.int8
    assert (why(codes, found) == Reason.OK).all()


def test_a_bar_too_wide_is_noise() -> None:
    found = reference(0.3, 5.0)
    codes = judge(np.array([0.3]), found)
    assert Reason(int(why(codes, found)[0])).word == "noise"


OVERALL = [
    ({"pass": 10}, 10, "pass"),
    ({"pass": 9, "fail": 1}, 10, "fail"),
    ({"pass": 9, "kink_fail": 1}, 10, "fail"),
    ({"inconclusive": 9, "fail": 1}, 10, "fail"),
    ({}, 0, "not_checked"),
    ({"pass": 0}, 0, "not_checked"),
    ({"kink_ok": 3}, 3, "pass"),
    ({"inconclusive": 5}, 5, "inconclusive"),
    ({"nonfinite": 5}, 5, "inconclusive"),
    ({"pass": 96, "inconclusive": 4}, 100, "pass"),
    ({"pass": 95, "inconclusive": 5}, 100, "inconclusive"),
    ({"pass": 99, "nonfinite": 1}, 100, "inconclusive"),
    ({"pass": 98, "fail": 1, "nonfinite": 1}, 100, "fail"),
    ({"pass": 50}, 100, "inconclusive"),  # half of the entries are missing from the counts
]


@pytest.mark.parametrize(("counts", "checked", "verdict"), OVERALL)
def test_overall(counts: dict[str, int], checked: int, verdict: str) -> None:
    assert overall(counts, checked) == verdict


def test_overall_takes_verdicts_as_keys() -> None:
    assert overall({Verdict.PASS: 3, Verdict.FAIL: 1}, 4) == "fail"
    assert UNSETTLED == 0.05


KINKED: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any], float, float]] = [
    ("relu", lambda r: np.maximum(r, 0.0), lambda r: r > 0, 0.0, 1.0),
    ("relu on a slope", lambda r: 5 + np.maximum(r, 0.0) + 0.3 * r * r, lambda r: r > 0, 0.0, 1.0),
    ("abs", np.abs, np.sign, -1.0, 1.0),
    ("hinge", lambda r: np.maximum(0.0, -r), lambda r: r < 0, -1.0, 0.0),
    (
        "max of two",
        lambda r: np.maximum(2.0 * r, -0.5 * r),
        lambda r: np.stack([2 * r > -0.5 * r, r == r], 1),
        -0.5,
        2.0,
    ),
    ("pinball", lambda r: np.maximum(0.9 * r, -0.1 * r), lambda r: r >= 0, -0.1, 0.9),
    ("norm along a coordinate", lambda r: np.hypot(r, 0.0), lambda r: (r > 0).astype("U5"), -1.0, 1.0),
    ("concave", lambda r: 3.0 - np.abs(r), lambda r: r > 0, -1.0, 1.0),
]
kinked = pytest.mark.parametrize(("name", "f", "piece", "low", "high"), KINKED, ids=[k[0] for k in KINKED])
declared = pytest.mark.parametrize("with_piece", [True, False], ids=["declared", "detected"])


@kinked
@declared
@pytest.mark.parametrize("at", [0.0, 1.0, -37.3, 1e-3, 250.0])
def test_on_a_kink_the_one_sided_slopes_count(
    name: str, f: Any, piece: Any, low: float, high: float, with_piece: bool, at: float
) -> None:
    found = slopes(lambda t: f(t - at), np.full(9, at), piece=(lambda t: piece(t - at)) if with_piece else None)
    assert found.kink.all()
    claims = np.linspace(low, high, 5)
    inside = judge(np.array([*claims, low - 1e-6, high + 1e-6, np.nan, np.inf]), found)
    assert inside.tolist() == [KINK_OK] * 5 + [KINK_FAIL] * 4
    ends = np.minimum(found.left, found.right), np.maximum(found.left, found.right)
    assert np.abs(ends[0] - low).max() < 1e-9
    assert np.abs(ends[1] - high).max() < 1e-9


@kinked
@declared
@pytest.mark.parametrize("at", [0.0, 1.0, -37.3])
def test_beside_a_kink_no_bar_is_wrong(
    name: str, f: Any, piece: Any, low: float, high: float, with_piece: bool, at: float
) -> None:
    distance = np.repeat(10.0 ** np.linspace(-16, -1, 400), 2) * np.tile([1.0, -1.0], 400)
    x = at + distance
    x = x[x != at]
    found = slopes(lambda t: f(t - at), x, piece=(lambda t: piece(t - at)) if with_piece else None)
    curve = 0.6 if name == "relu on a slope" else 0.0
    steep_right = name in (
        "relu",
        "relu on a slope",
        "abs",
        "max of two",
        "pinball",
        "norm along a coordinate",
        "hinge",
    )
    right = (x > at) == steep_right
    truth = np.where(right, high, low) + curve * (x - at)
    if name == "hinge":
        truth = np.where(x > at, 0.0, -1.0)
    assert not (np.abs(found.value - truth) > found.bar).any()
    assert not is_failure(judge(truth, found)).any()
    # Undeclared kinks within a factor of ten of the smallest step are seen but vaguely, which is said, not guessed.
    vague = (np.abs(x - at) > 1e-9) & (np.abs(x - at) < 1e-5)
    for outside in (low - 0.2, high + 0.2):
        codes = judge(np.full(x.size, outside), found)
        assert is_failure(codes)[with_piece | ~vague].all()
        assert not (codes == KINK_OK).any()
        assert not (codes == PASS)[found.bar < 0.1].any()
    far = np.abs(x - at) > (1e-15 * max(1.0, 8 * abs(at)) if with_piece else 1e-3)
    assert is_failure(judge(np.where(right, low, high) - 0.0 * x, found))[far & (name != "hinge")].all()
    assert np.isfinite(found.bar[far]).all()


@declared
def test_ties_of_many_scores(with_piece: bool) -> None:
    # One coordinate moves past a rival that it ties with exactly, in each of 50 rows with 4 scores.
    rng = np.random.default_rng(3)
    rest = rng.normal(size=(50, 4))
    x = rest.max(axis=1)

    def scores(t: Any) -> Any:
        return np.column_stack([rest, t])

    found = slopes(
        lambda t: scores(t).max(axis=1), x, piece=(lambda t: scores(t).argmax(axis=1)) if with_piece else None
    )
    assert found.kink.all()
    assert (judge(np.full(50, 0.5), found) == KINK_OK).all()
    assert (judge(np.full(50, 1.1), found) == KINK_FAIL).all()
