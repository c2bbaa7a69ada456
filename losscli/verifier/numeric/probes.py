"""A large gradient judged as a whole: random directions, and a bound on the norm of its error.

Along a Gaussian direction v the error e of a gradient shows as e·v, a normal number of deviation ‖e‖. So k residuals
rᵢ with error bars bᵢ bound it: ‖e‖² ≤ Σ(|rᵢ| + bᵢ)² / χ²(k, α) with confidence 1 - α, whatever the number of entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscli.verifier.numeric.differences import Array, Reason
from losscli.verifier.numeric.lines import SUM, Directional, Lines
from losscli.verifier.numeric.verdict import BLUNT, RESOLUTION, Overall

PROBES = 8
CONFIDENCE = 0.999
SURE = 2  # directions that must exclude a claim
# By what steps are multiplied for a second look along a direction that fails. Sums have kinks by the thousand: where
# these lie closer together than the first steps reach, differences see a smooth function that has other slopes.
FINE = 2.0**-16


@dataclass(frozen=True)
class Certificate:
    """What random directions say of a whole gradient.

    With the stated confidence the norm of its error is at most ``norm_bound``; ``norm`` is that of the gradient.
    Entries near the bounds of their domain count in it by their share of the room that the others have. ``residuals``
    are claimed minus numeric derivatives along the ``probes`` directions, each known to ``bars``; ``entries`` says how
    many entries the directions moved, ``reason`` why nothing is decided.
    """

    verdict: Overall
    norm_bound: float
    norm: float
    confidence: float
    probes: int
    entries: int
    residuals: tuple[float, ...]
    bars: tuple[float, ...]
    evaluations: int
    seed: int
    reason: str = ""

    @property
    def rank(self) -> tuple[int, float]:
        """How bad it is: by the verdict, then by the bound's share of the norm."""
        words = ("pass", "not_checked", "inconclusive", "fail")
        return words.index(self.verdict), self.norm_bound / self.norm if self.norm > 0.0 else 0.0


def probe(
    f: Callable[[Array], Any] | Lines,
    x: Array,
    gradient: Array,
    *,
    seed: int,
    count: int = PROBES,
    confidence: float = CONFIDENCE,
) -> Certificate:
    """Judge a claimed gradient of f at x, of any shape, along ``count`` Gaussian directions.

    f returns a number, or an array of terms whose sum is meant, which is known to more digits; ``Lines`` in its place
    tell of bounds and kinks. Wrong is a claim that some direction excludes, that much smaller steps along it do not
    defend, and that another direction, drawn afterwards if need be, excludes as well. Right is one whose error is
    bounded below half of its norm. Source: the small-ball bound of Gaussian projections; Ridders 1982 for each of them.
    """
    lines = f if isinstance(f, Lines) else Lines(f, np.asarray(x, np.float64))
    before = lines.evaluations
    claim = np.asarray(gradient, np.float64).reshape(lines.x.shape)
    if not np.isfinite(claim).all() or not np.isfinite(lines.base).all():
        return _nonfinite(lines, claim, confidence, seed)
    draw = _directions(lines, seed)
    seen: list[Directional] = []
    wrong = 0
    # A claim that two directions exclude is wrong: half of the probes tell well enough by how much.
    while len(seen) < (count if wrong < SURE else count // 2) and lines.x.size:
        seen.append(_residual(lines, claim, next(draw), sure=wrong >= SURE))
        wrong += excluded(seen[-1])
    usable = [one for one in seen if math.isfinite(one.bar)]
    bound = _bound(lines, usable, confidence) if 2 * len(usable) > len(seen) else math.inf
    norm = float(np.linalg.norm(claim * (lines.weights / lines.unit)))
    verdict, reason = _verdict(lines, seen, norm, bound)
    if wrong:
        confirmed = wrong >= SURE or any(excluded(_residual(lines, claim, next(draw))) for _ in range(count))
        verdict, reason = ("fail", "") if confirmed else ("inconclusive", Reason.METHODS_DISAGREE.word)
    return Certificate(
        verdict,
        bound,
        norm,
        confidence,
        len(usable),
        int(np.count_nonzero(np.broadcast_to(lines.weights, claim.shape))),
        tuple(one.value for one in seen),
        tuple(one.bar for one in seen),
        lines.evaluations - before,
        seed,
        reason,
    )


def _residual(lines: Lines, claim: Array, v: Array, *, sure: bool = False) -> Directional:
    """Claimed minus numeric derivative along v; without a bar where smaller steps contradict those that exclude it."""
    coarse = _difference(lines, claim, v)
    if sure or not excluded(coarse):
        return coarse
    fine = _difference(lines, claim, FINE * v)
    apart = abs(fine.value / FINE - coarse.value) > fine.bar / FINE + coarse.bar
    return Directional(coarse.value, math.inf, Reason.NEAR_KINK) if apart else coarse


def _difference(lines: Lines, claim: Array, v: Array) -> Directional:
    """Claimed minus numeric derivative along v, within a bar that holds the rounding of both."""
    s = lines.slope(v)
    parts = claim * v
    return Directional(float(parts.sum()) - s.value, s.bar + SUM * float(np.abs(parts).sum()), s.reason)


def excluded(one: Directional) -> bool:
    """Whether a residual cannot be zero."""
    return abs(one.value) > one.bar


def chi_squared(k: int, share: float) -> float:
    """The number below which a χ² variable of k degrees of freedom falls with probability ``share``, by bisection."""
    low, high = 0.0, 1.0
    while _below(k, high) < share:
        low, high = high, 2.0 * high
    while low < (middle := 0.5 * (low + high)) < high:
        low, high = (middle, high) if _below(k, middle) < share else (low, middle)
    return high


def _below(k: int, x: float) -> float:
    """The distribution function of χ²: the regularised lower gamma function P(k/2, x/2) by its power series."""
    a, half = 0.5 * k, 0.5 * x
    if half == 0.0:
        return 0.0
    term = total = math.exp(a * math.log(half) - half - math.lgamma(a + 1.0))
    n = 0
    while term > 1e-17 * total or n < half:
        n += 1
        term *= half / (a + n)
        total += term
    return total


def _directions(lines: Lines, seed: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    while True:
        yield rng.standard_normal(lines.x.shape) * lines.weights


def _bound(lines: Lines, seen: list[Directional], confidence: float) -> float:
    total = math.sqrt(math.fsum((abs(one.value) + one.bar) ** 2 for one in seen))
    return total / math.sqrt(chi_squared(len(seen), 1.0 - confidence)) / lines.unit


def _verdict(lines: Lines, seen: list[Directional], norm: float, bound: float) -> tuple[Overall, str]:
    """What is said of a claim that nothing excludes."""
    if not np.any(lines.weights) or not seen:
        return "not_checked", ""
    if 2 * np.count_nonzero(np.broadcast_to(lines.weights, lines.x.shape)) < lines.x.size:
        # Most entries stay where they are, on a kink or a bound: nothing is known of them.
        return "inconclusive", Reason.NEAR_KINK.word
    # A gradient of zero has no half. What its error can do along one unit of every entry must be nothing beside f.
    size = RESOLUTION * abs(float(np.sum(lines.base))) / math.sqrt(lines.x.size) / lines.unit
    if bound <= max(BLUNT * norm, size):
        return "pass", ""
    reasons = [one.reason for one in seen if one.reason != Reason.OK]
    return "inconclusive", (reasons[0] if reasons else Reason.NOISE).word


def untried(size: int, seed: int) -> Certificate:
    """The certificate of a gradient of so many entries that nobody has looked at."""
    return Certificate("not_checked", math.inf, math.nan, CONFIDENCE, 0, 0, (), (), 0, seed, f"{size} entries")


def _nonfinite(lines: Lines, claim: Array, confidence: float, seed: int) -> Certificate:
    """No direction says anything of NaN; where f is finite it is wrong, unless no slope exists."""
    silent = not np.isfinite(lines.base).all()
    verdict: Overall = "inconclusive"
    if not silent:
        first = np.unravel_index(int(np.argmin(np.isfinite(claim))), claim.shape)
        verdict = "fail" if math.isfinite(lines.entry(tuple(int(i) for i in first)).bar) else "inconclusive"
    reason = "" if verdict == "fail" else Reason.NONFINITE.word
    return Certificate(verdict, math.inf, math.nan, confidence, 0, claim.size, (), (), lines.evaluations, seed, reason)
