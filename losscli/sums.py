"""Sums that do not depend on who adds them: what the blocks of a run add up to."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from losscli.inputs import Array
from losscli.twofold import two_sum


@dataclass(frozen=True)
class Exact:
    """A sum kept exactly, as non-overlapping floats (Shewchuk 1997): addition is associative, to the last bit."""

    parts: tuple[float, ...] = ()
    special: float = 0.0

    def __add__(self, other: Exact) -> Exact:
        parts: Iterable[float] = self.parts
        for x in other.parts:
            parts = _grown(parts, x)
        return Exact(tuple(parts), self.special + other.special)

    def plus(self, x: float) -> Exact:
        """The sum and one more number; infinities and NaN are kept apart, as they have no exact parts."""
        if not math.isfinite(x):
            return Exact(self.parts, self.special + x)
        return Exact(tuple(_grown(self.parts, x)), self.special)

    @property
    def value(self) -> float:
        """The sum, rounded once."""
        return math.fsum(self.parts) if self.special == 0.0 else self.special


def _grown(parts: Iterable[float], x: float) -> list[float]:
    """Floats that do not overlap and add up to others and x."""
    grown: list[float] = []
    for y in parts:
        high = x + y
        virtual = high - x
        low = (x - (high - virtual)) + (y - virtual)
        if low:
            grown.append(low)
        x = high
    grown.append(x)
    return grown


@dataclass(frozen=True)
class ExactArray:
    """Sums of arrays, entry by entry, as three floats each that do not overlap, and the plain sum.

    What 159 bits cannot hold is lost, so addition is associative but for sums whose terms cancel to 2^-106 of the
    largest: what is rounded to 53 bits does not show it. The plain sum tells of infinities and NaN.
    """

    parts: tuple[Array, Array, Array]
    plain: Array

    @classmethod
    def of(cls, x: Array) -> ExactArray:
        """The sum of one array."""
        zero = np.zeros_like(x)
        return cls((x, zero, zero), x)

    def __add__(self, other: ExactArray) -> ExactArray:
        made = self
        for part in other.parts:
            made = made._plus(part)
        return ExactArray(made.parts, self.plain + other.plain)

    def _plus(self, x: Array) -> ExactArray:
        first, low = two_sum(self.parts[0], x)
        second, low = two_sum(self.parts[1], low)
        third = self.parts[2] + low
        # Where the leading parts cancelled, what is left moves up.
        second, third = two_sum(second, third)
        first, second = two_sum(first, second)
        return ExactArray((first, *two_sum(second, third)), self.plain)

    @property
    def value(self) -> Array:
        """The sums, rounded."""
        first, second, third = self.parts
        return np.where(np.isfinite(self.plain), first + (second + third), self.plain)


@dataclass(frozen=True)
class Tally:
    """The rows of one true class: how many, their summed loss, and how many have that class on top."""

    rows: int
    loss: Exact
    right: int

    @property
    def mean(self) -> float:
        """The mean loss."""
        return self.loss.value / self.rows

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.rows + other.rows, self.loss + other.loss, self.right + other.right)


@dataclass(frozen=True)
class Part:
    """What is known of some blocks together; however parts are added up, the sum is the same to the last bit.

    ``total`` the sums of the losses (of a pooled loss: of its terms), ``rows`` the losses seen, ``kept`` those that
    count, ``judged`` and ``right`` the rows with a label and those with it on top, ``top`` the largest losses as
    (loss, row), at most ``keep`` of them, ``classes`` the tally of each class that was seen, ``gradient`` and
    ``hessian`` what the blocks add to the slopes by an input that all rows share.
    """

    total: tuple[Exact, ...] = ()
    rows: int = 0
    kept: int = 0
    nonfinite: int = 0
    judged: int = 0
    right: int = 0
    keep: int = 0
    top: tuple[tuple[float, int], ...] = ()
    classes: Mapping[int, Tally] = field(default_factory=dict)
    gradient: ExactArray | None = None
    hessian: ExactArray | None = None

    def __add__(self, other: Part) -> Part:
        if not self.total:
            return other
        classes = self.classes
        if other.classes:
            classes = dict(classes)
            for index, tally in other.classes.items():
                classes[index] = classes[index] + tally if index in classes else tally
        return Part(
            tuple(a + b for a, b in zip(self.total, other.total, strict=True)),
            self.rows + other.rows,
            self.kept + other.kept,
            self.nonfinite + other.nonfinite,
            self.judged + other.judged,
            self.right + other.right,
            self.keep,
            largest(self.keep, (*self.top, *other.top)),
            classes,
            _both(self.gradient, other.gradient),
            _both(self.hessian, other.hessian),
        )


def _both(a: ExactArray | None, b: ExactArray | None) -> ExactArray | None:
    return a if b is None else b if a is None else a + b


def largest(count: int, pairs: tuple[tuple[float, int], ...]) -> tuple[tuple[float, int], ...]:
    """The largest of some (loss, row) pairs, NaN first of all; of equal ones those of the first rows."""
    if not pairs:
        return ()
    return tuple(heapq.nsmallest(count, pairs, key=lambda pair: (not np.isnan(pair[0]), -pair[0], pair[1])))
