"""Sums that do not depend on the order of their terms: what the blocks of a run add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


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
    """What is known of some blocks together: a monoid under +."""

    total: tuple[Exact, ...] = ()
    rows: int = 0
    kept: int = 0
    nonfinite: int = 0
    right: int = 0
    judged: int = 0

    def __add__(self, other: Part) -> Part:
        if not self.total:
            return other
        return Part(
            tuple(a + b for a, b in zip(self.total, other.total, strict=True)),
            self.rows + other.rows,
            self.kept + other.kept,
            self.nonfinite + other.nonfinite,
            self.right + other.right,
            self.judged + other.judged,
        )
