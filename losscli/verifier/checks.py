"""The answer of a gradcheck: its verdict, what was looked at, and the entries that are worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscli.inputs import Array
from losscli.verifier.diagnosis.diagnose import Explanation
from losscli.verifier.jury import Method
from losscli.verifier.numeric.probes import Certificate
from losscli.verifier.numeric.verdict import Overall, Verdict


@dataclass(frozen=True)
class Entry:
    """One entry of a gradient: what was claimed, what was found, and what is said of it."""

    kind: str
    name: str
    index: tuple[int, ...]
    claimed: float
    reference: float
    bar: float
    verdict: Verdict
    reason: str

    @property
    def ratio(self) -> float:
        """How many bars the claim is away from the reference: infinitely many for NaN."""
        return float(in_bars(np.array([self.claimed]), np.array([self.reference]), np.array([self.bar]))[0])


@dataclass(frozen=True)
class Point:
    """All entries looked at under one kind of point."""

    kind: str
    checked: int
    verdict: Overall


@dataclass(frozen=True)
class Wrong:
    """A claim with failures, and the slopes that were found in its place: what a diagnosis begins with.

    ``reference`` has the claim's shape, and NaN where no slope was looked for or there are two; ``bar`` is how far off
    it and the claim's own rounding may be.
    """

    kind: str
    name: str
    claim: Array
    reference: Array
    bar: Array
    case: Any


@dataclass(frozen=True)
class Check:
    """The answer of a gradcheck; ``besides`` is the verdict apart from planted faults that were missed."""

    loss: str
    params: Mapping[str, Any]
    verdict: Overall
    checked: int
    counts: Mapping[str, int]
    resolution: tuple[float, float]
    points: tuple[Point, ...]
    methods: tuple[Method, ...]
    worst: tuple[Entry, ...]
    planted: int
    caught: int
    missed: tuple[str, ...]
    seed: int
    reproduce: str
    wrong: Wrong | None = None
    diagnosis: tuple[Explanation, ...] = ()
    certificate: Certificate | None = None
    besides: Overall = "not_checked"


def in_bars(claimed: Array, reference: Array, bar: Array) -> Array:
    """Differences in bars, of the shape of the claims; nothing where there is no reference, or claims are the same."""
    with np.errstate(all="ignore"):
        gap = np.abs(claimed - reference)
        ratio = np.where(np.isfinite(claimed), np.where(gap == 0, 0.0, gap / bar), np.inf)
    return np.where(np.isnan(reference), 0.0, ratio)
