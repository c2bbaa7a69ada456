"""Judging a claimed slope against a numeric one with an error bar, entry by entry and as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from losscli.verifier.numeric.differences import Array, BoolArray, IntArray, Reason, Slopes

BLUNT = 0.5  # a bar above this share of the slope would let a wholly wrong claim pass
VAGUE = 0.01  # largest bar of a one-sided slope, in gaps between the two, for which "between them" means something
# A bar this small is a resolution, not a blindness, even where the slope is smaller still: 0 ± 1e-13 is worth a pass,
# 0.3 ± 5 is not. Float64 losses of order 1 leave 1e-15 to 1e-9, 1e9 + x² leaves 1e-6.
RESOLUTION = 1e-6
UNSETTLED = 0.05  # the largest share of the entries that may stay without an answer in a run that passes

Overall = Literal["pass", "fail", "inconclusive", "not_checked"]


class Verdict(StrEnum):
    """What is said of one entry."""

    PASS = "pass"
    FAIL = "fail"
    KINK_OK = "kink_ok"
    KINK_FAIL = "kink_fail"
    INCONCLUSIVE = "inconclusive"
    NONFINITE = "nonfinite"


VERDICTS = tuple(Verdict)
PASS, FAIL, KINK_OK, KINK_FAIL, INCONCLUSIVE, NONFINITE = map(np.int8, range(len(VERDICTS)))

# Where f itself is finite a claim of NaN is wrong, except where the true slope may be infinite or may not exist.
_MAY_BE_INFINITE = (Reason.DISCONTINUITY, Reason.DOMAIN_EDGE, Reason.METHODS_DISAGREE)


def judge(claim: Array, slopes: Slopes, allowance: Array | float = 0.0, negligible: float = 0.0) -> IntArray:
    """Judge every claim; the codes index VERDICTS.

    A claim passes within bar + allowance, if the bar is sharp enough to mean something: half of the slope, or the
    resolution, which is not below ``negligible``. Too far away is a failure however wide the bar. On a kink any claim
    between the one-sided slopes, give or take their bars, is legitimate.
    """
    claim = np.asarray(claim, np.float64)
    with np.errstate(all="ignore"):
        smooth = _smooth(claim, slopes, allowance, negligible)
        codes = np.where(slopes.kink, _kinked(claim, slopes, allowance), smooth)
    silent = slopes.reason == Reason.NONFINITE
    lost = ~np.isfinite(claim)
    codes[lost] = np.where(slopes.kink, KINK_FAIL, FAIL)[lost]
    codes[lost & np.isin(slopes.reason, _MAY_BE_INFINITE)] = INCONCLUSIVE
    codes[silent] = NONFINITE
    return codes.astype(np.int8)


def why(codes: IntArray, slopes: Slopes) -> IntArray:
    """Give the Reason of every inconclusive entry, OK elsewhere; a bar that is finite but too wide is noise."""
    reason = np.where(slopes.reason == Reason.OK, np.int8(Reason.NOISE), slopes.reason)
    return np.where(codes == INCONCLUSIVE, reason, np.int8(Reason.OK)).astype(np.int8)


def _sharp(bar: Array, size: Array, negligible: float) -> BoolArray:
    sharp: BoolArray = bar <= np.maximum(BLUNT * size, max(RESOLUTION, negligible))
    return sharp


def _smooth(claim: Array, s: Slopes, allowance: Array | float, negligible: float) -> NDArray[np.int8]:
    # NaN, where nothing is known, must fall through to inconclusive: every comparison with it is false.
    far = np.abs(claim - s.value) > s.bar + allowance
    near = np.abs(claim - s.value) <= s.bar + allowance
    passed = near & _sharp(s.bar + allowance, np.maximum(np.abs(claim), np.abs(s.value)), negligible)
    return np.where(far, FAIL, np.where(passed, PASS, INCONCLUSIVE))


def _kinked(claim: Array, s: Slopes, allowance: Array | float) -> NDArray[np.int8]:
    low = np.minimum(s.left - s.left_bar, s.right - s.right_bar) - allowance
    high = np.maximum(s.left + s.left_bar, s.right + s.right_bar) + allowance
    outside = (claim < low) | (claim > high)
    inside = (claim >= low) & (claim <= high)
    # A gap that is tiny itself, at a seam of the second derivative say, need not be known to a hundredth.
    tiny = RESOLUTION * np.maximum(1.0, np.abs(s.value))
    sharp = np.maximum(s.left_bar, s.right_bar) <= np.maximum(VAGUE * np.abs(s.right - s.left), tiny)
    return np.where(outside, KINK_FAIL, np.where(inside & sharp, KINK_OK, INCONCLUSIVE))


def overall(counts: Mapping[str, int], checked: int, unsettled: float = UNSETTLED) -> Overall:
    """Sum up: any failure fails; a pass needs less than a share, UNSETTLED, of the entries without an answer.

    Nothing can be said of the whole where the value is not a number somewhere.
    """
    if counts.get(Verdict.FAIL, 0) + counts.get(Verdict.KINK_FAIL, 0) > 0:
        return "fail"
    if checked <= 0:
        return "not_checked"
    if counts.get(Verdict.NONFINITE, 0) > 0:
        return "inconclusive"
    settled = counts.get(Verdict.PASS, 0) + counts.get(Verdict.KINK_OK, 0)
    # Counted from what is settled, so that an entry that is missing from the counts is never taken for a pass.
    return "pass" if settled > 0 and checked - settled < unsettled * checked else "inconclusive"
