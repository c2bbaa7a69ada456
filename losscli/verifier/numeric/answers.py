"""What numeric slopes come to: a value with a bar, or the reason why there is none; two answers as one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losscli.verifier.numeric.kinks import UNIT
from losscli.verifier.numeric.pieces import Array, BoolArray, IntArray


class Reason(IntEnum):
    """Why a slope is not usable."""

    OK = 0
    NOISE = 1
    NEAR_KINK = 2
    DISCONTINUITY = 3
    DOMAIN_EDGE = 4
    METHODS_DISAGREE = 5
    NONFINITE = 6

    @property
    def word(self) -> str:
        """The name that reports print."""
        return self.name.lower()


@dataclass(frozen=True)
class Answer:
    """Slopes with bars; where nothing can be said the bar is inf and reason tells why."""

    value: Array
    bar: Array
    reason: IntArray

    def at(self, rows: NDArray[Any]) -> Answer:
        """Select the entries in rows."""
        return Answer(self.value[rows], self.bar[rows], self.reason[rows])

    def put(self, rows: NDArray[Any], new: Answer) -> None:
        """Replace the entries in rows."""
        self.value[rows], self.bar[rows], self.reason[rows] = new.value, new.bar, new.reason


def nothing(size: int, reason: Reason = Reason.OK) -> Answer:
    """No answer for so many entries, and why."""
    return Answer(np.full(size, np.nan), np.full(size, np.inf), np.full(size, reason, np.int8))


def pick(take: BoolArray, a: Answer, b: Answer) -> Answer:
    """The first answer where ``take`` is true, else the second."""
    return Answer(np.where(take, a.value, b.value), np.where(take, a.bar, b.bar), np.where(take, a.reason, b.reason))


def hull(l: Answer, r: Answer) -> Answer:
    """One interval over both sides, or the reason of the side that has none."""
    low, high = np.minimum(l.value - l.bar, r.value - r.bar), np.maximum(l.value + l.bar, r.value + r.bar)
    both = np.isfinite(l.bar) & np.isfinite(r.bar)
    # The middle and the half width are rounded, and the ends must stay inside.
    bar = 0.5 * high - 0.5 * low + 2.0 * UNIT * np.maximum(np.abs(low), np.abs(high))
    reason = np.where(both, np.int8(Reason.OK), np.maximum(l.reason, r.reason))
    return Answer(np.where(both, 0.5 * low + 0.5 * high, np.nan), np.where(both, bar, np.inf), reason)


def better(central: Answer, side: Answer) -> Answer:
    """Take the sharper of two answers that agree; two that exclude each other are worth nothing."""
    clash = np.abs(central.value - side.value) > central.bar + side.bar
    best = pick(side.bar <= central.bar, side, central)
    return pick(clash, nothing(clash.size, Reason.METHODS_DISAGREE), best)
