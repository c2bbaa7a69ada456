"""Connectionist temporal classification: labels in order, without saying at which frames.

A row's labels l are read with blanks around them: blank, l1, blank, l2, ..., blank. Frame by frame, whoever stands at
one of these places stays, goes to the next, or from a label to the next label if that is another one; any other class
fails. Places are numbered from 0, and a row begins on the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Annotated

import numpy as np

from losscli.families.sequence import SEQUENCE, Frames, Places, moved
from losscli.inputs import Bools, Ints
from losscli.loss import Fault, Param, Rows, loss
from losscli.stable import Array, others

# Below this a probability is told by its logarithm, lest it lose digits or vanish.
_LEAST = 1e-290
# ln 2 as a number of 32 bits, whose products with exponents are exact, and the rest of it.
_LN2 = (math.ldexp(round(math.ldexp(math.log(2.0), 32)), -32), -4.2009150726810846e-11)


@dataclass(frozen=True)
class _Wide:
    """Numbers as m · 2^e: products over thousands of frames neither vanish nor lose digits."""

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
        return _Wide(moved(self.m, by), moved(self.e, by, -np.inf))

    def __neg__(self) -> _Wide:
        return _Wide(-self.m, self.e)

    def where(self, chosen: Bools, other: _Wide | None = None) -> _Wide:
        m, e = (0.0, -np.inf) if other is None else (other.m, other.e)
        return _Wide(np.where(chosen, self.m, m), np.where(chosen, self.e, e))

    def at(self, frame: int) -> _Wide:
        return _Wide(self.m[:, frame], self.e[:, frame])


def _scaled(m: Array, e: Array) -> Array:
    return np.asarray(np.ldexp(m, np.clip(e, -2200.0, 2200.0).astype(np.intc)))


def _total(*terms: _Wide) -> _Wide:
    top = reduce(np.maximum, (term.e for term in terms))
    top = np.where(np.isneginf(top), 0.0, top)
    return _Wide.of(sum((_scaled(term.m, term.e - top) for term in terms), np.zeros_like(top)), top)


def _missed(frames: Frames, failing: Array) -> Array:
    """The probability of a class that leads nowhere from a place, in each frame, (N, T, S)."""
    return np.asarray(frames.p @ np.ascontiguousarray(failing.transpose(0, 2, 1)))


@dataclass(frozen=True)
class _Paths:
    """All ways through the places of each row, and their probabilities."""

    frames: Frames
    places: Places

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
        made = [_Wide.of(start)]
        for t, live in enumerate(self.frames.live.T):
            now = made[-1]
            inflow = _total(now, now.moved(1), now.moved(2).where(self.places.skip))
            made.append((inflow * self.emitted.at(t)).where(live[:, None], now))
        return made

    @cached_property
    def after(self) -> list[_Wide]:
        """For each place the probability of a good end from there, before the first frame and after each."""
        made = [_Wide.of(self.places.last.astype(np.float64))]
        for t in reversed(range(self.frames.live.shape[1])):
            now, live = made[-1], self.frames.live[:, t, None]
            come = now * self.emitted.at(t)
            made.append(_total(come, come.moved(-1), come.where(self.places.skip).moved(-2)).where(live, now))
        return made[::-1]

    @cached_property
    def likelihood(self) -> _Wide:
        """The probability of the labels, (N,)."""
        end = self.before[-1].where(self.places.last)
        top = end.e.max(axis=1, keepdims=True)
        top = np.where(np.isneginf(top), 0.0, top)
        return _Wide.of(_scaled(end.m, end.e - top).sum(axis=1), top[:, 0])

    @cached_property
    def occupancy(self) -> Array:
        """The probability of each class in each frame, given the labels, (N, T, C)."""
        pairs = zip(self.before[1:], self.after[1:], strict=True)
        shares = np.stack([(come * end).over(self.likelihood) for come, end in pairs], axis=1)
        return self.places.by_class(shares, self.frames.p.shape[2])

    @cached_property
    def lead(self) -> list[_Wide]:
        """By how much each place is better than the next, before the first frame and after each.

        Signed sums of what is not common to both: where it hardly matters which one it is, a difference of their
        probabilities has no digits left.
        """
        places = self.places
        label, ahead = np.arange(places.symbol.shape[1]) % 2 == 1, moved(places.real, -1)
        twin = label & moved(places.real & ~places.skip, -2)
        made = [_Wide.of(np.where(ahead, places.last * 1.0 - moved(places.last * 1.0, -1), 0.0))]
        for t, after in reversed(list(enumerate(self.after[1:]))):
            now, q = made[-1], self.emitted.at(t)
            # From a blank the label after next fails; from a label an equal one.
            leap = -(q * after).where(places.skip).moved(-3)
            wait = q * _total(now, now.moved(-1))
            new = (q * after).where(label & ~twin, wait.where(twin, _total(wait, leap))).where(ahead)
            made.append(new.where(self.frames.live[:, t, None], now))
        return made[::-1]

    @cached_property
    def slope(self) -> Array:
        """The derivative by the logits: p - occupancy, from how much better other classes would be in each frame."""
        p, places = self.frames.p, self.places
        failing = places.failing(p.shape[2])
        missed = _Wide.of(_missed(self.frames, failing))
        gains, shares = [], []
        for t, (here, end, ahead) in enumerate(zip(self.before, self.after[1:], self.lead[1:], strict=False)):
            q0, f = self.emitted.at(t), missed.at(t)
            q1, q2 = q0.moved(-1), q0.where(places.skip).moved(-2)
            one, two = ahead, ahead.moved(-1)
            both = _total(one, two)
            stay = -_total(q1 * one, q2 * both, f * end)
            step = _total(q0 * one, -(q2 * two), -(f * end.moved(-1)))
            leap = _total(q0 * both, q1 * two, -(f * end.moved(-2)))
            a, b, c = ((here * q * gain).over(self.likelihood) for q, gain in ((q0, stay), (q1, step), (q2, leap)))
            gains.append(a + moved(b, 1) + moved(c, 2))
            shares.append((here * self.after[t]).over(self.likelihood))
        return places.by_class(np.stack(gains, axis=1), p.shape[2]) + p * (np.stack(shares, axis=1) @ failing)


@dataclass(frozen=True)
class _Failures:
    """The probability *not* to come to the labels, where that is the smaller one: a sum in which nothing cancels."""

    frames: Frames
    places: Places

    @cached_property
    def steps(self) -> tuple[Array, Array, Array]:
        """The probabilities to stay at a place, to go on by one, and by two, (N, T, S) each."""
        p, skip = self.places.among(self.frames.p, 0.0), self.places.skip[:, None]
        return p, moved(p, -1), moved(np.where(skip, p, 0.0), -2)

    @cached_property
    def missed(self) -> Array:
        """The probability of a class that leads nowhere from a place, in each frame, (N, T, S)."""
        frames = self.frames
        if frames.tied:
            return np.asarray(
                frames.p @ np.ascontiguousarray(self.places.failing(frames.p.shape[2]).transpose(0, 2, 1))
            )
        surprise, skip = self.places.among(frames.surprise, np.inf), self.places.skip[:, None]
        least = np.minimum(surprise, moved(surprise, -1, np.inf))
        least = np.minimum(least, moved(np.where(skip, surprise, np.inf), -2, np.inf))
        low, middle, _ = np.sort(np.stack(self.steps), axis=0)
        return -np.expm1(-least) - (low + middle)

    @cached_property
    def after(self) -> list[Array]:
        """The probability to fail from each place on, before the first frame and after each."""
        made = [1.0 - self.places.last.astype(np.float64)]
        for t in reversed(range(self.frames.live.shape[1])):
            now, live = made[-1], self.frames.live[:, t, None]
            stay, one, two = (step[:, t] for step in self.steps)
            ahead = stay * now + one * moved(now, -1) + two * moved(now, -2)
            made.append(np.where(live, self.missed[:, t] + ahead, now))
        return made[::-1]

    @cached_property
    def whole(self) -> Array:
        """The probability to fail, (N,)."""
        return self.after[0][:, 0]


def _unfit(frames: Frames, labels: Ints, *, blank: int) -> Fault | None:
    """The first row whose labels are no classes, or cannot be told in its frames."""
    classes = frames.p.shape[2]
    if blank >= classes:
        return Fault(0, "logits", (), "label-range", f"the blank {blank} is not in 0..{classes - 1}")
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
    slope="in each frame the softmax of the logits less the probability of each class there given the labels, over all"
    " alignments; 0 from a row's length on",
    check=_unfit,
    costly=True,
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
    paths = _Paths(frames, Places.of(labels, blank))
    likelihood, live, width = paths.likelihood, frames.live[:, :, None], math.prod(frames.p.shape[1:])
    value = -np.log(likelihood.m) - likelihood.e * math.log(2.0)
    near: Ints = np.flatnonzero(likelihood.e >= 0.0)
    own = Frames(
        frames.p[near], frames.rest[near], frames.surprise[near], frames.live[near], frames.count[near], frames.tied
    )
    failures = _Failures(own, paths.places.take(near))
    if len(near):
        value[near] = -np.log1p(-failures.whole)

    def slope() -> Array:
        return paths.slope if frames.tied else -paths.occupancy

    def bend() -> Array:
        share = paths.occupancy
        if not frames.tied:
            return slope() * _others(share)
        return slope() * np.where(share > 0.5, _others(share) - frames.p, frames.rest - share)

    return Rows(
        value,
        grad=lambda: np.where(live, slope(), 0.0).reshape(len(value), width),
        hess=lambda: np.where(live, bend(), 0.0).reshape(len(value), width),
    )


def _others(x: Array) -> Array:
    return others(x.reshape(-1, x.shape[-1])).reshape(x.shape)
