"""What all entries of a claim say together that none of them can say alone: a common factor, and how they were rounded.

Errors of roundings to the nearest number are as often up as down, and average out of the factor between claims and
exact slopes. What they leave of it is known from their bars, row by row: entries of one row share its total.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np

from losscli.inputs import Array
from losscli.plan import Plan
from losscli.precision import Precision
from losscli.results import Reduction
from losscli.verifier.diagnosis.diagnose import Explanation
from losscli.verifier.dumps.unsettled import CHANCE
from losscli.verifier.numeric.differences import BoolArray
from losscli.verifier.numeric.verdict import FAIL

if TYPE_CHECKING:
    from losscli.verifier.dumps.audit import Tally

# Where this much could hide in every entry, what all of them say together is worth a word.
COARSE = 0.001
# What all entries share is rounded a few times: one over the number of rows, an upstream gradient, a product of them.
SHARED = 4.0
# So many claims that are the truncated slopes where the rounded ones differ, and hardly any other, are no accident.
_MANY, _NEARLY_ALL = 32, 0.95
# Of so many rows of equal weight the scatter is known well enough.
_ROWS = 32


@dataclass(frozen=True)
class Ends:
    """How many claims are the exact slopes rounded to their format, or cut off, where the two differ."""

    rounded: int = 0
    truncated: int = 0
    telling: int = 0

    @classmethod
    def of(cls, claim: Array, exact: Array, precision: Precision) -> Ends:
        """The counts of some entries, arrays (n,)."""
        normal = np.abs(exact) >= precision.tiny
        claim, exact = claim[normal], exact[normal]
        rounded = precision.rounded(exact)
        unit = np.ldexp(precision.unit, np.frexp(exact)[1])
        cut = np.trunc(exact / unit) * unit
        telling = rounded != cut
        return cls(
            int(np.count_nonzero(telling & (claim == rounded))),
            int(np.count_nonzero(telling & (claim == cut))),
            int(np.count_nonzero(telling)),
        )

    def __add__(self, other: Ends) -> Ends:
        return Ends(self.rounded + other.rounded, self.truncated + other.truncated, self.telling + other.telling)

    @property
    def cut_off(self) -> bool:
        """Whether the claims were truncated, not rounded."""
        return self.truncated >= _MANY and self.truncated >= _NEARLY_ALL * self.telling


@dataclass(frozen=True)
class RowSums:
    """Sums over rows, whose roundings are independent, to tell how well the factor of all entries is known.

    Of a row, the gap is its sum of (claim - slope) times slope, the size that of slopes squared, the bar that of bars
    times slopes.
    """

    bars: float = 0.0
    gaps: float = 0.0
    products: float = 0.0
    sizes: float = 0.0

    @classmethod
    def of(cls, claim: Array, exact: Array, bar: Array, known: BoolArray) -> RowSums:
        """The sums of squares, and of gap times size, over the rows of a block."""
        axes = tuple(range(1, exact.ndim))
        entries = np.where(known, bar * np.abs(exact), 0.0), np.where(known, (claim - exact) * exact, 0.0)
        shaken, gap, size = (x.sum(axis=axes) for x in (*entries, np.where(known, exact**2, 0.0)))
        pairs = ((shaken, shaken), (gap, gap), (gap, size), (size, size))
        return cls(*(float((x * y).sum()) for x, y in pairs))

    def __add__(self, other: RowSums) -> RowSums:
        return RowSums(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def at_most(self, squares: float) -> float:
        """How far independent errors within their bars can move the factor, but for once in a million."""
        return CHANCE * math.sqrt(self.bars) / squares

    def likely(self, factor: float, squares: float) -> float:
        """How far they do, told from how far rows differ from the factor of all: the same share of a normal error."""
        off = factor - 1.0
        scatter = max(0.0, self.gaps - 2.0 * off * self.products + off**2 * self.sizes)
        # A row whose slopes outweigh all others sets the factor, and never differs from it.
        few = squares**2 < _ROWS * self.sizes or self.sizes == 0.0
        return self.at_most(squares) if few else min(self.at_most(squares), CHANCE * math.sqrt(scatter) / squares)


@dataclass(frozen=True)
class Together:
    """The factor between claims and exact slopes, and how far from 1 rounding explains it: surely, and at the most.

    At the most means that the totals of all rows are off to the same side by as much as their roundings allow, as sums
    in a coarse format may be. ``cut_off`` says that the claims were truncated, not rounded.
    """

    factor: float = 1.0
    explained: float = 0.0
    most: float = 0.0
    cut_off: bool = False

    @classmethod
    def of(cls, tally: Tally, own: float) -> Together:
        """What a tally of all entries says; all of them are off by up to ``own`` in common."""
        squares = tally.squares.value
        # Claims that differ one by one are wrong by themselves, or lie between the slopes of a kink.
        if tally.counts[int(FAIL)] or not squares > 0.0 or not math.isfinite(tally.factor):
            return cls()
        explained, most = own + tally.rows.likely(tally.factor, squares), tally.rows.at_most(squares)
        return cls(tally.factor, explained, max(own, tally.step) + most, tally.ends.cut_off)

    @property
    def wrong(self) -> bool:
        """Whether no rounding to the nearest number explains the claims."""
        return self.cut_off or abs(self.factor - 1.0) > self.most

    @property
    def doubtful(self) -> bool:
        """Whether the factor is one that rounding explains only if it went the same way everywhere."""
        return abs(self.factor - 1.0) > max(self.explained, COARSE)

    @property
    def said(self) -> str:
        """What is wrong or doubtful, in words; empty where nothing is."""
        if self.cut_off:
            return "truncated, not rounded"
        known = self.most if self.wrong else self.explained
        word = f"a common factor of {self.factor:.4g}, known to {known:.2g}"
        return word if self.wrong or self.doubtful else ""

    @property
    def explanations(self) -> tuple[Explanation, ...]:
        """The diagnosis of claims that are wrong together alone."""
        return (Explanation(self.said, self.factor, abs(self.factor - 1.0)),) if self.wrong else ()


def common_roundings(plan: Plan, reduction: Reduction) -> float:
    """How many roundings all entries share: those of the sum of the weights too, where a mean divides by it."""
    weighed = plan.sample_weight is not None or plan.how.class_weight is not None
    return SHARED * (1.0 + math.log2(max(1, plan.rows))) if weighed and reduction == "mean" else SHARED
