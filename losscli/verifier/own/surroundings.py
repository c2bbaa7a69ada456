"""What a function's slopes are all around a point: there is more to a kink than any axis through it shows.

The middle one of three equal numbers stays the same whichever of them moves, and one of them is its gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from losscli.inputs import Array, Bools
from losscli.verifier.ledger import Found
from losscli.verifier.numeric.differences import Reason, Slopes
from losscli.verifier.numeric.verdict import FAIL, KINK_FAIL, judge
from losscli.verifier.objective import Column
from losscli.verifier.own.entries import Entries
from losscli.verifier.own.functions import Inputs, RaisedError, floats

_TRIES, _CALLS = 16, 2048  # points, fewer where so many calls would not do for all entries in doubt
_STEP = 2.0**-5  # of a difference there, in distances from the point
_CLOSE = 2.0**-10  # of a jump, what a gradient varies by between the point and those around it
_SHEER = (Reason.DISCONTINUITY, Reason.METHODS_DISAGREE)  # what a jump, √|x| and |x|^1.5 at 0 look like
_LIKE = 2.0**-4  # of a jump, how near a claim there must be to its slope to count


@dataclass(frozen=True)
class Surroundings:
    """The points around one at which all inputs are moved a little, within the ``bounds`` of those that have any.

    ``drawn`` says that nobody has asked for this very point; ``sheer`` collects how many of its entries have no slope.
    """

    entries: Entries
    claim: Array
    bounds: Mapping[str, tuple[float, float]]
    seed: int = 0
    drawn: bool = False
    sheer: list[int] = field(default_factory=list)

    def claims(self, x: Array) -> Array:
        """The gradient claimed at an input while the others are moved."""
        return self._at(self._others).claims(x)

    def seen(self, found: Found) -> Found:
        """A column with the kinks around it; of a drawn point no slope is missing where the value jumps or has none."""
        slopes = self._widened(found)
        if not self.drawn:
            return replace(found, slopes=slopes)
        moot = np.isin(slopes.reason, _SHEER) & ~slopes.kink
        self.sheer.append(int(moot.sum()))
        return replace(found, slopes=slopes, column=replace(found.column, moot=moot))

    def _widened(self, found: Found) -> Slopes:
        """Slopes in which an entry that fails is on a kink, where what is claimed is a mean of slopes around it.

        A subgradient is such a mean (Clarke 1975), whatever the slopes along the axes are. A gradient claimed nearby
        counts only where it is the slope there.
        """
        column, claimed = found.column, np.asarray(self.claim[found.column.at])
        # Where a claim jumps, so it does for its own rounding: no allowance is made.
        wanted = np.isin(judge(claimed, found.slopes), (FAIL, KINK_FAIL)) & np.isfinite(claimed)
        if not wanted.any() or not self._near:
            return found.slopes
        near = np.stack([claims[column.at] for _, claims in self._near])
        jump = np.ptp(near, axis=0)
        wanted &= (jump > _CLOSE * np.abs(near).max(axis=0)) & self._within(claimed, near)
        if not wanted.any():
            return found.slopes
        proved = [
            np.where(np.abs(claims[column.at] - self._slopes(there, column, wanted)) <= _LIKE * jump, one, np.nan)
            for (there, claims), one in zip(self._near[: self._tries(wanted)], near, strict=False)
        ]
        wanted &= self._within(claimed, np.stack(proved))
        return _kinked(found.slopes, wanted, np.fmin.reduce(proved), np.fmax.reduce(proved))

    @property
    def _distance(self) -> float:
        return 2.0 ** -(self.entries.bits // 2 + 2)

    @cached_property
    def _near(self) -> list[tuple[Entries, Array]]:
        """The function at points around, and the gradient claimed there; where it raises there is none."""
        rng = np.random.default_rng(self.seed)
        moved = (self._moved(rng) for _ in range(_TRIES))
        told = [(one, one.claims(one.x)) for one in map(self._at, moved)]
        return [(one, claims) for one, claims in told if np.isfinite(claims).all()]

    @cached_property
    def _others(self) -> Inputs:
        moved = self._moved(np.random.default_rng(self.seed))
        return {**moved, self.entries.name: self.entries.inputs[self.entries.name]}

    def _at(self, inputs: Inputs) -> Entries:
        return replace(self.entries, inputs=inputs, raised=[], apart=self.entries.separable)

    def _moved(self, rng: np.random.Generator) -> Inputs:
        inputs = dict(self.entries.inputs)
        for name in floats(inputs):
            x, (low, high) = np.asarray(inputs[name]), self.bounds.get(name, (-np.inf, np.inf))
            change = self._distance * np.maximum(1.0, np.abs(x)) * rng.uniform(-1.0, 1.0, x.shape)
            inputs[name] = np.clip(x + change, low, high)
        return inputs

    def _tries(self, wanted: Bools) -> int:
        calls = 2 if self.entries.separable else 2 * int(wanted.sum())
        return int(np.clip(_CALLS // calls, 4, _TRIES))

    def _slopes(self, there: Entries, column: Column, wanted: Bools) -> Array:
        """Central differences at some entries of a column; NaN at the others."""
        f, x = there.along(column.at), there.x[column.at]
        h = np.where(wanted, _STEP * self._distance * np.maximum(1.0, np.abs(x)), 0.0)
        low, high = (np.clip(x + sign * h, *there.bounds) for sign in (-1.0, 1.0))
        try:
            with np.errstate(all="ignore"):
                return np.asarray((f(high) - f(low)) / (high - low))
        except RaisedError:
            return np.full(wanted.shape, np.nan)

    @staticmethod
    def _within(claimed: Array, near: Array) -> Bools:
        """Whether claims are between the least and the largest of those nearby."""
        least, most = np.fmin.reduce(near), np.fmax.reduce(near)
        spare = _CLOSE * (most - least)
        return np.asarray((claimed >= least - spare) & (claimed <= most + spare))


def _kinked(s: Slopes, where: Bools, least: Array, most: Array) -> Slopes:
    """Slopes with kinks, at some entries, between the least and the largest ones around."""
    spare = _CLOSE * (most - least)
    middle, half = 0.5 * (least + most), 0.5 * (most - least) + spare
    return replace(
        s,
        value=np.where(where, middle, s.value),
        bar=np.where(where, half, s.bar),
        kink=s.kink | where,
        left=np.where(where, least, s.left),
        left_bar=np.where(where, spare, s.left_bar),
        right=np.where(where, most, s.right),
        right_bar=np.where(where, spare, s.right_bar),
    )
