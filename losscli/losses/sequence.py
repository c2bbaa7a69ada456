"""Connectionist temporal classification: labels in order, without saying at which frames.

A row's labels l are read with blanks around them: blank, l1, blank, l2, ..., blank. Frame by frame, whoever stands at
one of these places stays, goes to the next, or from a label to the next label if that is another one; any other class
fails. Places are numbered from 0, and a row begins on the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise
from typing import Annotated

import numpy as np

from losscli.errors import UsageError
from losscli.families.sequence import SEQUENCE, Frames
from losscli.inputs import Bools, Ints
from losscli.loss import Fault, Param, Rows, loss
from losscli.stable import Array, others

# Below this a probability is told by its logarithm, lest it lose digits or vanish.
_LEAST = 1e-290
# ln 2 as a number of 32 bits, whose products with exponents are exact, and the rest of it.
_LN2 = (math.ldexp(round(math.ldexp(math.log(2.0), 32)), -32), -4.2009150726810846e-11)


@dataclass(frozen=True)
class _Wide:
    """Numbers of at least 0 as m · 2^e: products over thousands of frames neither vanish nor lose digits."""

    m: Array
    e: Array

    @classmethod
    def of(cls, m: Array, e: Array | float = 0.0) -> _Wide:
        m, more = np.frexp(m)
        return cls(m, np.where(m == 0.0, -np.inf, e + more))

    @classmethod
    def exp(cls, p: Array, surprise: Array) -> _Wide:
        """e^-surprise, which is p as far as floats reach."""
        made, low = cls.of(p), p < _LEAST
        if low.any():
            s = np.minimum(surprise[low], 1e300)
            e = np.floor(s / math.log(2.0))
            left = (s - e * _LN2[0]) - e * _LN2[1]
            far = cls.of(np.exp(-np.clip(left, 0.0, 1.0)) * (surprise[low] < np.inf), -e)
            made.m[low], made.e[low] = far.m, far.e
        return made

    def __mul__(self, other: _Wide) -> _Wide:
        return _Wide.of(self.m * other.m, self.e + other.e)

    def over(self, total: _Wide) -> Array:
        """Shares of a total, as floats."""
        return _scaled(self.m / total.m[:, None], self.e - total.e[:, None])

    def moved(self, by: int) -> _Wide:
        """What stood at each place, so many places further on."""
        return _Wide(_moved(self.m, by), _moved(self.e, by, -np.inf))

    def where(self, chosen: Bools, other: _Wide) -> _Wide:
        return _Wide(np.where(chosen, self.m, other.m), np.where(chosen, self.e, other.e))

    def at(self, frame: int) -> _Wide:
        return _Wide(self.m[:, frame], self.e[:, frame])


def _scaled(m: Array, e: Array) -> Array:
    return np.asarray(np.ldexp(m, np.clip(e, -2200.0, 2200.0).astype(np.intc)))


def _total(*terms: _Wide) -> _Wide:
    top = reduce(np.maximum, (term.e for term in terms))
    top = np.where(np.isneginf(top), 0.0, top)
    return _Wide.of(sum((_scaled(term.m, term.e - top) for term in terms), np.zeros_like(top)), top)


def _moved(x: Array, by: int, empty: float = 0.0) -> Array:
    """The last axis moved on by some places, or back, and filled up."""
    made = np.full_like(x, empty)
    if by > 0:
        made[..., by:] = x[..., :-by]
    else:
        made[..., :by] = x[..., -by:]
    return made


@dataclass(frozen=True)
class _Places:
    """The places (N, S) of each row's labels among blanks: which class stands there, and how one gets there.

    ``real`` are the places that a row has, ``skip`` those that are reached from the last but one, ``last`` those on
    which all labels are told.
    """

    symbol: Ints
    real: Bools
    skip: Bools
    last: Bools

    @classmethod
    def of(cls, labels: Ints, blank: int) -> _Places:
        rows, count = labels.shape
        symbol = np.full((rows, 2 * count + 1), blank)
        symbol[:, 1::2] = np.where(labels >= 0, labels, blank)
        place, end = np.arange(2 * count + 1), 2 * np.count_nonzero(labels >= 0, axis=1)[:, None]
        skip = (place % 2 == 1) & (symbol != np.roll(symbol, 2, axis=1)) & (place > 1) & (place <= end)
        return cls(symbol, place <= end, skip, (place <= end) & (place >= end - 1))

    def take(self, rows: Ints) -> _Places:
        return _Places(self.symbol[rows], self.real[rows], self.skip[rows], self.last[rows])

    def among(self, x: Array, empty: float) -> Array:
        """Numbers of classes (N, T, C) as those of places (N, T, S)."""
        return np.where(self.real[:, None], np.take_along_axis(x, self.symbol[:, None], axis=2), empty)

    def by_class(self, x: Array, classes: int) -> Array:
        """Numbers of places (N, T, S) added up by class, (N, T, C)."""
        made = np.zeros((*x.shape[:2], classes))
        for place in range(x.shape[2]):
            made[np.arange(len(x)), :, self.symbol[:, place]] += x[:, :, place]
        return made

    def failing(self, classes: int) -> Array:
        """1 for the classes that lead nowhere from a place, (N, S, C), else 0."""
        rows, count = self.symbol.shape
        made = np.ones((rows, count, classes))
        for step, reached in enumerate((self.real, self.real, self.skip)):
            at = np.ix_(range(rows), range(count - step))
            made[(*at, self.symbol[:, step:])] *= ~reached[:, step:]
        return made


@dataclass(frozen=True)
class _Paths:
    """All ways through the places of each row, and their probabilities."""

    frames: Frames
    places: _Places

    @cached_property
    def emitted(self) -> _Wide:
        """The probability of each place's class in each frame, (N, T, S)."""
        frames, places = self.frames, self.places
        return _Wide.exp(places.among(frames.p, 0.0), places.among(frames.surprise, np.inf))

    @cached_property
    def before(self) -> list[_Wide]:
        """For each place the probability to be there, before the first frame and after each."""
        start = np.zeros(self.places.symbol.shape)
        start[:, 0] = 1.0
        made, nowhere = [_Wide.of(start)], _Wide.of(np.zeros_like(start))
        for t, live in enumerate(self.frames.live.T):
            now = made[-1]
            inflow = _total(now, now.moved(1), now.moved(2).where(self.places.skip, nowhere))
            made.append((inflow * self.emitted.at(t)).where(live[:, None], now))
        return made

    @cached_property
    def after(self) -> list[_Wide]:
        """For each place the probability of a good end from there, before the first frame and after each."""
        made = [_Wide.of(self.places.last.astype(np.float64))]
        nowhere = _Wide.of(np.zeros(self.places.symbol.shape))
        for t in reversed(range(self.frames.live.shape[1])):
            now, live = made[-1], self.frames.live[:, t, None]
            come = now * self.emitted.at(t)
            made.append(_total(come, come.moved(-1), come.where(self.places.skip, nowhere).moved(-2)).where(live, now))
        return made[::-1]

    @cached_property
    def likelihood(self) -> _Wide:
        """The probability of the labels, (N,)."""
        end = self.before[-1].where(self.places.last, _Wide.of(np.zeros(self.places.symbol.shape)))
        top = end.e.max(axis=1, keepdims=True)
        top = np.where(np.isneginf(top), 0.0, top)
        return _Wide.of(_scaled(end.m, end.e - top).sum(axis=1), top[:, 0])

    @cached_property
    def occupancy(self) -> Array:
        """The probability of each class in each frame, given the labels, (N, T, C)."""
        pairs = zip(self.before[1:], self.after[1:], strict=True)
        shares = np.stack([(come * end).over(self.likelihood) for come, end in pairs], axis=1)
        return self.places.by_class(shares, self.frames.p.shape[2])


@dataclass(frozen=True)
class _Failures:
    """The probability *not* to come to the labels, where that is the smaller one: a sum in which nothing cancels."""

    frames: Frames
    places: _Places

    @cached_property
    def failing(self) -> Array:
        return self.places.failing(self.frames.p.shape[2])

    @cached_property
    def steps(self) -> tuple[Array, Array, Array]:
        """The probabilities to stay at a place, to go on by one, and by two, (N, T, S) each."""
        p, skip = self.places.among(self.frames.p, 0.0), self.places.skip[:, None]
        return p, _moved(p, -1), _moved(np.where(skip, p, 0.0), -2)

    @cached_property
    def missed(self) -> Array:
        """The probability of a class that leads nowhere from a place, in each frame, (N, T, S)."""
        frames = self.frames
        if frames.tied:
            return np.asarray(frames.p @ np.ascontiguousarray(self.failing.transpose(0, 2, 1)))
        surprise, skip = self.places.among(frames.surprise, np.inf), self.places.skip[:, None]
        least = np.minimum(surprise, _moved(surprise, -1, np.inf))
        least = np.minimum(least, _moved(np.where(skip, surprise, np.inf), -2, np.inf))
        low, middle, _ = np.sort(np.stack(self.steps), axis=0)
        return -np.expm1(-least) - (low + middle)

    @cached_property
    def after(self) -> list[Array]:
        """The probability to fail from each place on, before the first frame and after each."""
        made = [1.0 - self.places.last.astype(np.float64)]
        for t in reversed(range(self.frames.live.shape[1])):
            now, live = made[-1], self.frames.live[:, t, None]
            stay, one, two = (step[:, t] for step in self.steps)
            ahead = stay * now + one * _moved(now, -1) + two * _moved(now, -2)
            made.append(np.where(live, self.missed[:, t] + ahead, now))
        return made[::-1]

    @cached_property
    def whole(self) -> Array:
        """The probability to fail, (N,)."""
        return self.after[0][:, 0]

    def slope(self, before: Sequence[Array]) -> Array:
        """The derivative by the logits, given the probability of each place ``before`` each frame."""
        p, rest, places = self.frames.p, self.frames.rest, self.places
        here = np.stack(before, axis=1)
        inflow = here + _moved(here, 1) + np.where(places.skip[:, None], _moved(here, 2), 0.0)
        end = np.stack(self.after[1:], axis=1) * places.real[:, None]
        # Of failing, given a class in a frame: what has failed before is the same for all.
        given = here @ self.failing + places.by_class(inflow * end, p.shape[2])
        lead = given * rest - others((p * given).reshape(-1, p.shape[2])).reshape(p.shape)
        return p * lead / (1.0 - self.whole)[:, None, None]


def _unfit(frames: Frames, labels: Ints, *, blank: int) -> Fault | None:
    """The first row whose labels are no classes, or cannot be told in its frames."""
    classes = frames.p.shape[2]
    if blank >= classes:
        raise UsageError("parameter-range", f"--blank must be less than the number of classes, {classes}, not {blank}")
    wrong = (labels >= classes) | (labels == blank)
    if wrong.any():
        row, at = (int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
        label = int(labels[row, at])
        fault = "is the blank" if label == blank else f"is not in 0..{classes - 1}"
        return Fault(row, "labels", (at,), "label-range", f"label {label} {fault}", "--blank tells which class it is")
    twice = np.count_nonzero((labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] >= 0), axis=1)
    needed, frames_given = np.count_nonzero(labels >= 0, axis=1) + twice, np.count_nonzero(frames.live, axis=1)
    long = frames.count > frames.live.shape[1]
    if long.any():
        row = int(np.argmax(long))
        message = f"lengths says {frames.count[row]:g} frames, and logits has {frames.live.shape[1]}"
        return Fault(row, "lengths", (), "domain", message)
    short = needed > frames_given
    if not short.any():
        return None
    row = int(np.argmax(short))
    message = f"the labels need {needed[row]} frames, a blank between equal ones, and the row has {frames_given[row]}"
    return Fault(row, "labels", (), "domain", message)


@loss(
    reads=SEQUENCE,
    prose="-log of the sum, over the sequences of T classes that become the labels once repeats are merged and then"
    " blanks deleted, of the product over frames t of p_t(class)",
    check=_unfit,
    sources=("Graves et al. (2006), Connectionist temporal classification, doi:10.1145/1143844.1143891",),
    peers=(
        "torch.nn.CTCLoss (reads log-probabilities, and returns the gradient for logits; its mean divides each row"
        " by its number of labels first)",
        "optax.ctc_loss, keras CTC (read logits; a log-probability is at least -1e5)",
        "tf.nn.ctc_loss (blank_index; the last class is the default)",
    ),
)
def ctc(
    frames: Frames,
    labels: Ints,
    *,
    blank: Annotated[int, Param("the class that stands for no label", at_least=0, draw=(0, 2))] = 0,
) -> Rows:
    """Negative log-likelihood in nats of a sequence of labels, summed over all their alignments to the frames.

    The slope by logits is p minus the occupancy, the probability of a class in a frame given the labels; by
    log-probabilities, each a variable of its own, it is minus the occupancy. Frames from a row's length on have none.
    Labels that no alignment reaches, as logits of -inf forbid it, cost infinity, without a slope.
    """
    paths = _Paths(frames, _Places.of(labels, blank))
    likelihood, live = paths.likelihood, frames.live[:, :, None]
    value = -np.log(likelihood.m) - likelihood.e * math.log(2.0)
    near: Ints = np.flatnonzero(likelihood.e >= 0.0)
    own = Frames(
        frames.p[near], frames.rest[near], frames.surprise[near], frames.live[near], frames.count[near], frames.tied
    )
    failures = _Failures(own, paths.places.take(near))
    if len(near):
        value[near] = -np.log1p(-failures.whole)

    def slope() -> Array:
        if not frames.tied:
            return -paths.occupancy
        made = frames.p * _others(paths.occupancy) - frames.rest * paths.occupancy
        if len(near):
            made[near] = failures.slope([_scaled(now.m[near], now.e[near]) for now, _ in pairwise(paths.before)])
        return made

    def bend() -> Array:
        share = paths.occupancy
        if not frames.tied:
            return slope() * _others(share)
        return slope() * np.where(share > 0.5, _others(share) - frames.p, frames.rest - share)

    return Rows(
        value,
        grad=lambda: np.where(live, slope(), 0.0).reshape(len(value), -1),
        hess=lambda: np.where(live, bend(), 0.0).reshape(len(value), -1),
    )


def _others(x: Array) -> Array:
    return others(x.reshape(-1, x.shape[-1])).reshape(x.shape)
