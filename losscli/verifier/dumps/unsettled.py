"""Entries that a claim cannot be judged by one at a time, judged together: those as small as what rounding may do."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscli.inputs import Array
from losscli.verifier.numeric.differences import BoolArray, IntArray
from losscli.verifier.numeric.verdict import BLUNT

# An entry whose whole allowance is this share of the largest slope may hide nothing larger; neither may all of them
# together whose allowances come to this share of all slopes.
SMALL = 0.01
# Hoeffding (1963): the sum of independent errors, each within ±b, is within this many √Σb² but once in a million.
CHANCE = math.sqrt(2.0 * math.log(2.0 / 1e-6))
_HIDDEN = 2.0**60

Size = tuple[int, int]


@dataclass(frozen=True)
class Unsettled:
    """Sums over entries whose bars hide them, ``count`` of which have no answer of their own, with ``bars`` in all.

    ``products`` is the sum of claim times reference, ``squares`` that of the reference's squares, and ``noise`` the
    root of that of the squares of bar times reference.
    """

    count: int = 0
    bars: float = 0.0
    products: float = 0.0
    squares: float = 0.0
    noise: float = 0.0

    @classmethod
    def of(cls, claim: Array, exact: Array, bar: Array, without: BoolArray) -> Unsettled:
        """The sums over some entries, arrays (n,), and which are without an answer of their own."""
        shaken = bar * np.abs(exact)
        most = float(shaken.max(initial=0.0))
        noise = most * math.sqrt(float(((shaken / most) ** 2).sum())) if most > 0.0 else 0.0
        sums = float(bar[without].sum()), float((claim * exact).sum()), float((exact**2).sum())
        return cls(int(np.count_nonzero(without)), *sums, noise)

    def __add__(self, other: Unsettled) -> Unsettled:
        return Unsettled(
            self.count + other.count,
            self.bars + other.bars,
            self.products + other.products,
            self.squares + other.squares,
            math.hypot(self.noise, other.noise),
        )

    def agrees(self, step: float) -> bool:
        """Whether the claims are, on the whole, the references: within less than what would let any claim pass.

        Each entry is rounded by itself, so those errors average out of the factor between claims and references; what
        entries share, such as the total of their row, is off by at most ``step``. Claims of zero have factor zero.
        """
        if self.squares == 0.0:
            return False
        slack = step + CHANCE * self.noise / self.squares
        return slack <= BLUNT and abs(self.products / self.squares - 1.0) <= slack


def by_size(claim: Array, exact: Array, bar: Array, without: BoolArray) -> dict[Size, Unsettled]:
    """Entries whose bars hide them, by the powers of two of the bar and of bars in the reference; arrays (n,).

    Which entries belong here is no matter of the claim: those that are right by chance would be missed.
    """
    hidden = bar > BLUNT * np.abs(exact)
    claim, exact, bar, without = claim[hidden], exact[hidden], bar[hidden], without[hidden]
    with np.errstate(divide="ignore", over="ignore"):
        deep = np.frexp(np.minimum(bar / np.abs(exact), _HIDDEN))[1]
    sizes, which = np.unique(np.stack([np.frexp(bar)[1], deep]), axis=1, return_inverse=True)
    parts = [which.reshape(-1) == k for k in range(sizes.shape[1])]
    return {
        (int(size[0]), int(size[1])): Unsettled.of(claim[part], exact[part], bar[part], without[part])
        for size, part in zip(sizes.T, parts, strict=True)
    }


def added(one: Mapping[Size, Unsettled], other: Mapping[Size, Unsettled]) -> dict[Size, Unsettled]:
    """The sums of two blocks."""
    none = Unsettled()
    return {size: one.get(size, none) + other.get(size, none) for size in {**one, **other}}


def settled(found: Mapping[Size, Unsettled], largest: float, step: float, mass: float) -> int:
    """How many entries are small beside the largest slope, and right together; zero where they are not.

    Those that a bar hides as deeply are looked at together. Where these do not agree, or are too few to tell, their
    bars must come to a small part of the ``mass``, the sum of all slopes' sizes.
    """
    together: dict[int, Unsettled] = defaultdict(Unsettled)
    for (power, deep), one in found.items():
        if small(power, largest):
            together[deep] += one
    doubtful = sum(one.bars for one in together.values() if not one.agrees(step))
    return sum(one.count for one in together.values()) if doubtful <= SMALL * mass else 0


def small(power: int | IntArray, largest: float) -> Any:
    """Whether bars below powers of two are small beside the largest slope."""
    return np.ldexp(1.0, power) <= SMALL * largest
