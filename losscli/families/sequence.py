"""Sequences: what each frame is taken for, and the labels that its row should come to, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from losscli import stable
from losscli.families.plain import WEIGHTED
from losscli.inputs import (
    LOG_PROBABILITY,
    LOGIT,
    Array,
    Bools,
    Domain,
    Fold,
    Input,
    Ints,
    Link,
    Partials,
    Signature,
)


@dataclass(frozen=True)
class Frames:
    """Probabilities of the classes in every frame, (N, T, C): ``p``, 1 - p and -log p.

    ``count`` (N,) is how many frames of each row count, ``live`` (N, T) which.

    ``tied``: those of a frame sum to one and follow its logits, by which partials are taken; else each log p is a
    variable of its own.
    """

    p: Array
    rest: Array
    surprise: Array
    live: Bools
    count: Array
    tied: bool

    def take(self, rows: Ints) -> Frames:
        """The frames of some rows."""
        p, rest, surprise = self.p[rows], self.rest[rows], self.surprise[rows]
        return Frames(p, rest, surprise, self.live[rows], self.count[rows], self.tied)


def moved(x: Any, by: int, empty: float = 0.0) -> Any:
    """The last axis moved on by some places, or back, and filled up."""
    made = np.full_like(x, empty)
    if by > 0:
        made[..., by:] = x[..., :-by]
    else:
        made[..., :by] = x[..., -by:]
    return made


@dataclass(frozen=True)
class Places:
    """The places (N, S) of each row's labels, with a blank before and after each.

    ``symbol`` is the class of a place, ``real`` are the places that a row has, ``skip`` those that are reached from the
    last but one, ``last`` those on which all labels are told.
    """

    symbol: Ints
    real: Bools
    skip: Bools
    last: Bools

    @classmethod
    def of(cls, labels: Ints, blank: int) -> Places:
        """The places of labels (N, L) that end with -1."""
        rows, count = labels.shape
        symbol = np.full((rows, 2 * count + 1), blank)
        symbol[:, 1::2] = np.where(labels >= 0, labels, blank)
        place, end = np.arange(2 * count + 1), 2 * np.count_nonzero(labels >= 0, axis=1)[:, None]
        skip = (place % 2 == 1) & (symbol != np.roll(symbol, 2, axis=1)) & (place > 1) & (place <= end)
        return cls(symbol, place <= end, skip, (place <= end) & (place >= end - 1))

    def take(self, rows: Ints) -> Places:
        """The places of some rows."""
        return Places(self.symbol[rows], self.real[rows], self.skip[rows], self.last[rows])

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


def _fold(frames: Frames, labels: Array) -> Fold:
    """The frames and the labels, -1 from where a row's end; partials come as one long row each."""

    def gradient(a: Partials, _: str) -> Array:
        return a[0].reshape(frames.p.shape)

    return Fold((frames, labels.astype(np.intp)), gradient, lambda a, b, _: gradient(b, ""))  # noqa: ARG005


def _counted(shape: tuple[int, ...], lengths: Array | None) -> tuple[Bools, Array]:
    """The frames before each row's length, and that length; all, where none is given."""
    count = np.full(shape[0], float(shape[1])) if lengths is None else lengths
    return np.asarray(np.arange(shape[1]) < count[:, None]), count


def logits(z: Array, labels: Array, lengths: Array | None) -> Fold:
    """The softmax of every frame."""
    view = stable.softmax(z.reshape(-1, z.shape[2]))
    p, rest, surprise = (x.reshape(z.shape) for x in (view.p, view.rest, view.surprise))
    return _fold(Frames(p, rest, surprise, *_counted(z.shape, lengths), tied=True), labels)


def log_probabilities(x: Array, labels: Array, lengths: Array | None) -> Fold:
    """Log-probabilities, each free to move on its own."""
    return _fold(Frames(np.exp(x), -np.expm1(x), -x, *_counted(x.shape, lengths), tied=False), labels)


def _torn(labels: Array) -> Bools:
    """Rows with a fraction, or with a label after a -1."""
    late = (labels[:, 1:] >= 0.0) & (labels[:, :-1] < 0.0)
    return np.asarray(late.any(axis=1) | (labels != np.floor(labels)).any(axis=1))


# Of four classes, 0 and 2 are left to be the blank.
def _words(rng: np.random.Generator, shape: tuple[int, ...], _: float) -> npt.NDArray[Any]:
    drawn: Ints = rng.choice([1, 3], shape)
    return np.where(np.arange(shape[1]) < rng.integers(0, shape[1] + 1, (shape[0], 1)), drawn, -1)


def _counts(rng: np.random.Generator, shape: tuple[int, ...], _: float) -> npt.NDArray[Any]:
    return rng.integers(4, 7, shape)


_LABEL = Domain("whole numbers of at least 0, the labels in order, and -1 after the last", low=-1.0, breaks=_torn)
_COUNT = Domain("a whole number of at least 0", low=0.0, breaks=lambda x: x != np.floor(x))

SEQUENCE = Signature(
    "sequence",
    (
        Input("logits", LOGIT, differentiable=True, help="a score per frame and class (N, T, C)", axes="NTC"),
        Input("labels", _LABEL, help="each row's labels, -1 after the last (N, L)", axes="NL", draw=_words),
        Input(
            "lengths",
            _COUNT,
            help="how many frames of each row count (N); without it all",
            axes="N",
            optional=True,
            draw=_counts,
        ),
    ),
    "rows",
    {
        "logits": Link(logits, (("p", "[[exp(a)/sum(exp(b) for b in z) for a in z] for z in logits]"),)),
        "log-probs": Link(
            log_probabilities, (("p", "[[exp(a) for a in z] for z in logits]"),), {"logits": LOG_PROBABILITY}
        ),
    },
    options=WEIGHTED,
)
