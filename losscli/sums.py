"""Sums that do not depend on who adds them: what the blocks of a run add up to."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, replace

import numpy as np

from losscli.inputs import Array


@dataclass(frozen=True)
class Exact:
    """A sum kept exactly, as non-overlapping floats (Shewchuk 1997): addition is associative, to the last bit."""

    parts: tuple[float, ...] = ()
    special: float = 0.0

    def __add__(self, other: Exact) -> Exact:
        total = self
        for x in other.parts:
            total = total.plus(x)
        return replace(total, special=total.special + other.special)

    def plus(self, x: float) -> Exact:
        """The sum and one more number; infinities and NaN are kept apart, as they have no exact parts."""
        if not math.isfinite(x):
            return replace(self, special=self.special + x)
        parts: list[float] = []
        for y in self.parts:
            high = x + y
            virtual = high - x
            low = (x - (high - virtual)) + (y - virtual)
            if low:
                parts.append(low)
            x = high
        return replace(self, parts=(*parts, x))

    @property
    def value(self) -> float:
        """The sum, rounded once."""
        return math.fsum(self.parts) if self.special == 0.0 else self.special


@dataclass(frozen=True)
class Part:
    """What is known of some blocks together; parts are added in the order of their blocks.

    ``total`` the sums of the losses (of a pooled loss: of its terms), ``rows`` the losses seen, ``kept`` those that
    count, ``judged`` and ``right`` the rows with a label and those with it on top, ``top`` the largest losses as
    (loss, row), at most ``keep`` of them, ``classes`` (3, C) the rows, summed losses and right rows of each class.
    """

    total: tuple[Exact, ...] = ()
    rows: int = 0
    kept: int = 0
    nonfinite: int = 0
    judged: int = 0
    right: int = 0
    keep: int = 0
    top: tuple[tuple[float, int], ...] = ()
    classes: Array | None = None

    def __add__(self, other: Part) -> Part:
        if not self.total:
            return other
        classes = self.classes if other.classes is None or self.classes is None else self.classes + other.classes
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
        )


def largest(count: int, pairs: tuple[tuple[float, int], ...]) -> tuple[tuple[float, int], ...]:
    """The largest of some (loss, row) pairs, NaN first of all; of equal ones those of the first rows."""
    return tuple(heapq.nsmallest(count, pairs, key=lambda pair: (not np.isnan(pair[0]), -pair[0], pair[1])))
