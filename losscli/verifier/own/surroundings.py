"""What a function's slopes are all around a point: there is more to a kink than any axis through it shows.

The middle one of three equal numbers stays the same whichever of them moves, and one of them is its gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle, product

import numpy as np

from losscli.inputs import Array, Bools
from losscli.verifier.ledger import Found
from losscli.verifier.numeric.differences import Reason, Slopes
from losscli.verifier.numeric.tied import CLOSEST, beside
from losscli.verifier.numeric.verdict import FAIL, KINK_FAIL, judge
from losscli.verifier.objective import Column
from losscli.verifier.own.entries import Entries
from losscli.verifier.own.functions import Inputs, RaisedError, floats

_RANDOM, _TURNS = 64, 64  # points: the entries of a row in random orders, and turned so that each has every place
_ENDS = 3  # of what is claimed at these points, on either side, one of which must prove true
_CALLS = 2048  # to prove what is claimed at these points, where rows are not independent
_STEP = 2.0**-7  # of a difference there, in distances from the point: less than from one entry of a row to the next
_CLOSE = 2.0**-10  # of a jump, what a gradient varies by between the point and those around it
_SHEER = (Reason.DISCONTINUITY, Reason.METHODS_DISAGREE)  # what a jump, √|x| and |x|^1.5 at 0 look like
_LIKE = 2.0**-4  # of a jump, how near a claim there must be to its slope to count


@dataclass(frozen=True)
class Surroundings:
    """The points around one at which all inputs are moved a little, within the ``bounds`` of those that have any.

    ``drawn`` says that nobody has asked for this very point, ``far`` that a function need not have any slope there.
    """

    entries: Entries
    claim: Array
    bounds: Mapping[str, tuple[float, float]]
    seed: int = 0
    drawn: bool = False
    far: bool = False

    def claims(self, x: Array) -> Array:
        """The gradient claimed at an input while the others are moved."""
        return self._at({**self.moved(), self.entries.name: self.entries.inputs[self.entries.name]}).claims(x)

    def moved(self) -> Inputs:
        """All inputs moved next to where they are, all up or down or each, by more or by less."""
        inputs, (side, far) = dict(self.entries.inputs), next(self._ways)
        for name in floats(inputs):
            step = self._rng.uniform(-1.0, 1.0, np.shape(inputs[name]))
            inputs[name] = self._beside(name, far * CLOSEST * (side * np.abs(step) if side else step))
        return inputs

    def seen(self, found: Found) -> Found:
        """A column with the kinks around it; of a drawn point no slope is missing where the value jumps or has none."""
        slopes = self._widened(found)
        found = replace(found, slopes=slopes, allowance=self.rounding(found.allowance, slopes.kink))
        if not self.drawn:
            return found
        moot = np.full(slopes.kink.shape, self.far) | (np.isin(slopes.reason, _SHEER) & ~slopes.kink)
        return replace(found, column=replace(found.column, moot=moot))

    def rounding(self, allowance: Array | float, kinked: Bools) -> Array:
        """What claims may be off by for their rounding: at a kink, where they jump anyway, half of their digits."""
        most = 2.0 ** -(self.entries.bits // 2) * np.abs(np.nan_to_num(self.claim)).max()
        return np.where(kinked, np.minimum(allowance, most), allowance)

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
        # A few of the least and of the largest ones are enough.
        ordered = np.argsort(near[:, wanted], axis=0)
        telling = np.unique([ordered[:_ENDS], ordered[-_ENDS:]])
        proved = []
        for at in telling[: self._affordable(wanted)]:
            slopes = self._slopes(self._near[at][0], column, wanted)
            proved.append(np.where(np.abs(near[at] - slopes) <= _LIKE * jump, near[at], np.nan))
        wanted &= self._within(claimed, np.stack(proved))
        return _kinked(found.slopes, wanted, np.fmin.reduce(proved), np.fmax.reduce(proved))

    @property
    def _distance(self) -> float:
        return 2.0 ** -(self.entries.bits // 2)

    @cached_property
    def _near(self) -> list[tuple[Entries, Array]]:
        """The function at points around, and the gradient claimed there; where it raises there is none."""
        x = self.entries.x
        row = x[0].size if self.entries.separable else x.size
        turns, orders = min(row, _TURNS), np.random.default_rng(self.seed)
        moved = [self._spread(orders) for _ in range(_RANDOM)]
        moved += [self._spread(np.random.default_rng(self.seed), at / turns) for at in range(turns)]
        told = [(one, one.claims(one.x)) for one in map(self._at, moved)]
        return [(one, claims) for one, claims in told if np.isfinite(claims).all()]

    @cached_property
    def _ways(self) -> Iterator[tuple[float, float]]:
        return cycle(product((-1.0, 0.0, 1.0), (0.25, 4.0)))

    @cached_property
    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def _beside(self, name: str, step: Array) -> Array:
        """An input moved by so many sizes of its entries, within its bounds."""
        return beside(np.asarray(self.entries.inputs[name]), step, *self.bounds.get(name, (-np.inf, np.inf)))

    def _at(self, inputs: Inputs) -> Entries:
        return replace(self.entries, inputs=inputs, raised=[], apart=self.entries.separable)

    def _spread(self, rng: np.random.Generator, turn: float = 0.0) -> Inputs:
        """The inputs, their entries moved to places evenly spread over a row, then all of them by part of a turn."""
        inputs = dict(self.entries.inputs)
        for name in floats(inputs):
            x = np.asarray(inputs[name])
            table = np.empty((len(x), x[0].size) if self.entries.separable and x.ndim else (1, x.size))
            # Not quite evenly: entries of two inputs must not meet.
            evenly = (np.arange(table.shape[1]) + rng.uniform(0.25, 0.75, table.shape)) / table.shape[1]
            places = rng.permuted(evenly, axis=1)
            spread = 2.0 * ((places + turn) % 1.0).reshape(x.shape) - 1.0
            inputs[name] = self._beside(name, self._distance * spread)
        return inputs

    def _affordable(self, wanted: Bools) -> int:
        calls = 2 if self.entries.separable else 2 * int(wanted.sum())
        return max(4, _CALLS // calls)

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
