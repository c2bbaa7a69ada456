"""Losses of risk sets: who has the event next, among all who still could."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from losscli.families.ranking import in_order, in_place, positions, spread
from losscli.families.survival import SURVIVAL
from losscli.inputs import Groups, Ints
from losscli.loss import Batch, loss
from losscli.stable import Array

Parts = tuple[Array, ...]
Merge = Callable[[Parts, Parts], Parts]

# Log-risks of a group that lie within this are told apart by their differences: their shares are nearly equal, and
# sums of shares may cancel.
_CLOSE = 1.0


def scan(parts: Parts, room: Ints, step: int, merge: Merge) -> Parts:
    """Each row merged with the ``room`` rows before it (step 1) or after it (step -1).

    Doubles its reach in every turn, so that as few roundings meet as in a sum in pairs.
    """
    made = tuple(part.copy() for part in parts)
    reach = 1
    while reach <= room.max(initial=0):
        rows = np.flatnonzero(room >= reach)
        merged = merge(tuple(part[rows] for part in made), tuple(part[rows - step * reach] for part in made))
        for part, new in zip(made, merged, strict=True):
            part[rows] = new
        reach *= 2
    return made


def _merge_tops(a: Parts, b: Parts) -> Parts:
    """Of sets with largest entry m and the sum e of all other exp(x - m): those of the union."""
    gap = a[0] - b[0]
    high, low = np.where(gap >= 0.0, a[1], b[1]), np.where(gap >= 0.0, b[1], a[1])
    return np.maximum(a[0], b[0]), high + (1.0 + low) * np.exp(-np.abs(gap))


def _merge_scaled(a: Parts, b: Parts) -> Parts:
    """Of sums r in units of exp(m): the sum of both."""
    top = np.maximum(a[0], b[0])
    return top, a[1] * np.exp(a[0] - top) + b[1] * np.exp(b[0] - top)


def _add(a: Parts, b: Parts) -> Parts:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _add_twofold(a: Parts, b: Parts) -> Parts:
    """The sum of two floats each, the second one what the first has lost."""
    total = a[0] + b[0]
    virtual = total - a[0]
    return total, (a[0] - (total - virtual)) + (b[0] - virtual) + (a[1] + b[1])


def _quotient(weight: Array, count: Array) -> Parts:
    """weight / count for whole numbers, as two floats."""
    q = weight / count
    high = q.astype(np.float32).astype(np.float64)
    return q, ((weight - high * count) - (q - high) * count) / count


@dataclass(frozen=True)
class RiskSets:
    """Rows in the order of their events, within groups: every row's risk set is itself and those after it.

    ``x`` log-risks, ``weight`` how many events each row's risk set stands for, ``event`` which rows have an event, and
    ``at`` the row whose risk set is meant in each row's event: the first of those tied with it.
    """

    x: Array
    groups: Groups
    weight: Array
    event: Array
    at: Ints

    @cached_property
    def before(self) -> Ints:
        """How many rows of its group come before each row."""
        return positions(self.groups)

    @cached_property
    def count(self) -> Ints:
        """How many rows each risk set has."""
        count: Ints = spread(self.groups.sizes, self.groups) - self.before
        return count

    @cached_property
    def tops(self) -> Parts:
        """The largest log-risk m of each risk set, and the sum of all other exp(x - m)."""
        return scan((self.x, np.zeros_like(self.x)), self.count - 1, -1, _merge_tops)

    def surprise(self) -> Array:
        """-log of each row's share of its risk set, zero without an event."""
        top, excess = self.tops
        return self.event * ((top[self.at] - self.x) + np.log1p(excess[self.at]))

    def slope(self) -> Array:
        """The derivative of the sum of the surprises with respect to each log-risk."""
        top, excess = self.tops
        share = np.exp(self.x - top[self.at]) / (1.0 + excess[self.at])
        rest = (excess[self.at] - np.expm1(self.x - top[self.at])) / (1.0 + excess[self.at])
        own = (self.weight[self.at] - self.event) * share - self.event * rest
        slope = self._shares(self.at - 1) + own
        close = spread(self.groups.max(self.x) + self.groups.max(-self.x) < _CLOSE, self.groups)
        return np.where(close, self._close(), slope) if close.any() else slope

    def _shares(self, upto: Ints, power: int = 1) -> Array:
        """Each row's shares of the risk sets of its group's rows up to one, weighed and added up."""
        top, excess = self.tops
        reciprocal = (-power * top, self.weight / (1.0 + excess) ** power)
        scale, total = scan(reciprocal, self.before, 1, _merge_scaled)
        here = upto >= np.arange(len(upto)) - self.before
        upto = np.where(here, upto, 0)
        return here * total[upto] * np.exp(np.where(here, power * self.x + scale[upto], 0.0))

    def _close(self) -> Array:
        """The slope where log-risks are close: the shares of equal ones, exactly, and what the differences add.

        With y = exp(x) - 1 and its mean over a risk set of n rows, a share is (1 + (y - mean) / (1 + mean)) / n.
        """
        y = np.expm1(self.x - self.groups.spread(self.groups.max(self.x)))
        mean = scan((y,), self.count - 1, -1, _add)[0] / self.count
        share = self.weight / self.count / (1.0 + mean)
        even, lost = scan(_quotient(self.weight, self.count.astype(np.float64)), self.before, 1, _add_twofold)
        by_row, by_set = scan((share, share * mean), self.before, 1, _add)
        return ((even - self.event) + lost) + (y * by_row - by_set)

    def curve(self) -> Array:
        """The second derivative with respect to each log-risk: shares times what they leave.

        A row that is the largest from some row on may have nearly all of those risk sets: what it leaves of them is
        added up there, set by set.
        """
        top, excess = self.tops
        leads = self.x == top
        starts = np.flatnonzero(np.concatenate([[True], leads[:-1]]))
        upto = np.arange(len(self.x))
        upto[leads] = starts - 1
        beyond = self._shares(upto) - self._shares(upto, 2)
        beyond[leads] += np.add.reduceat(self.weight * excess / (1.0 + excess) ** 2, starts)
        return beyond


@loss(
    aliases=("cox-ph", "partial-likelihood"),
    reads=SURVIVAL,
    formula="sum(log(sum(exp(hj - hi) for hj, tj in zip(log_risk, time) if tj >= ti))"
    " for hi, ti, ei in zip(log_risk, time, event) if ei == 1)",
    slope="for each subject its shares exp(hi)/sum(exp(hj)) of those at risk, added up over all events until its own"
    " time, less 1 if it has one itself",
    sources=(
        "Cox (1972), doi:10.1111/j.2517-6161.1972.tb00899.x",
        "Breslow (1974), doi:10.2307/2529620 (events at the same time)",
    ),
    peers=(
        "XGBoost survival:cox (the sign of the label tells the event)",
        "R survival coxph(ties='breslow'), minus its log-likelihood",
        "CatBoost Cox",
    ),
)
def cox(log_risk: Array, time: Array, event: Array, groups: Groups) -> Batch:
    """Negative log partial likelihood of who has each event, in nats, summed over the events of a stratum.

    Events at the same time share one risk set, as Breslow has it: all who are still seen at that time, those censored
    then among them. A stratum without an event has loss 0.
    """
    order = in_order(time, groups)
    x, event, time = log_risk[order], event[order], time[order]
    first = np.concatenate([[True], time[1:] != time[:-1]])
    first[groups.starts] = True
    starts = np.flatnonzero(first)
    weight = np.zeros_like(x)
    weight[starts] = np.add.reduceat(event, starts)
    sets = RiskSets(x, groups, weight, event, starts[np.cumsum(first) - 1])
    return Batch(
        groups.sum(sets.surprise()),
        grad=lambda: in_place(order, sets.slope()),
        hess=lambda: in_place(order, sets.curve()),
    )
