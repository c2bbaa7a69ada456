"""Points on declared kinks, one float beside them and at growing distances, and at the values of parameters."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import Any

import numpy as np

from losscli.inputs import Array, Bools, Domain
from losscli.loss import Bound
from losscli.plan import How
from losscli.verifier.points.material import Case, Data, draw, folded, rows_of, together

# Beside a kink: one float, then from closer than any difference can resolve to far away.
BESIDE = (1e-12, 1e-9, 1e-6, 1e-3, 1e-1)


def kinks(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """Data on declared kinks, one float beside them and at growing distances; and on the values of parameters.

    A kink is found from the loss's own labels of its pieces: between two draws on different pieces lies one, and
    bisection closes in on it until no float is left between.
    """
    reads = bound.loss.reads
    made = [Case("kinks", data, How(link=link)) for data in _at_parameters(bound, link, rng)]
    if bound.loss.kinks is None:
        return made
    found = [draw(reads, rng, link, rows=4) for _ in range(4)]
    for name in reads.differentiable:
        if reads.entry(name).shared:
            continue
        on = [_bisect(bound, link, name, *pair) for pair in pairwise(found)]
        # Rows are independent: those that share everything else make one case.
        apart = reads.layout == "groups" or any(entry.shared for entry in reads.inputs)
        cases = list(chain(*on)) if apart else [together(reads, list(chain(*on)))] if any(on) else []
        made.extend(Case("kinks", data, How(link=link)) for data in cases)
    return made


def _at_parameters(bound: Bound, link: str, rng: np.random.Generator) -> list[Data]:
    """Residuals and margins of exactly ± each parameter, where losses often change their form, and a float beside."""
    reads = bound.loss.reads
    values = [float(value) for value in bound.params.values() if isinstance(value, float)] + [1.0]
    seams = np.array([sign * value for value in values for sign in (1.0, -1.0)])
    if reads.layout != "elements" or len(reads.inputs) < 2 or not np.isinf(reads.domain(reads.names[0], link).low):
        return []
    beside = [np.nextafter(seams, np.inf), np.nextafter(seams, -np.inf)]
    # On a jump there is no slope to look at, only beside it.
    jumps = bound.loss.kinks is not None and bound.loss.kinks.jump
    points = np.concatenate(beside if jumps else [seams, *beside])
    data = draw(reads, rng, link, rows=len(points))
    data[reads.names[0]] = points
    if reads.names[1] in reads.differentiable:
        data[reads.names[1]] = np.zeros(len(points))
    return [data]


def _bisect(bound: Bound, link: str, name: str, start: Data, end: Data) -> list[Data]:
    """Data on the kink between two draws that differ in one input, on both of its sides, and beside it."""
    low, high = start[name].astype(np.float64), end[name].astype(np.float64)
    at_low = _pieces(bound, link, {**start, name: low})
    crossed = _differ(at_low, _pieces(bound, link, {**start, name: high}))
    if not crossed.any():
        return []
    first, last, domain = low.copy(), high.copy(), bound.loss.reads.domain(name, link)
    for _ in range(80):
        middle = _within(domain, low + (high - low) / 2.0)
        other = _differ(at_low, _pieces(bound, link, {**start, name: middle}))
        # Rows of a group move together.
        by_row = other.reshape(-1, *([1] * (low.ndim - 1))) if len(other) == len(low) else other.any()
        low, high = np.where(by_row, low, middle), np.where(by_row, middle, high)
    keep = np.flatnonzero(crossed) if len(crossed) == len(low) else np.arange(len(low))
    beside = [_within(domain, high + gap * (last - first) / np.abs(last - first).max()) for gap in BESIDE]
    # On a jump there is no slope to look at, only beside it.
    jumps = bound.loss.kinks is not None and bound.loss.kinks.jump
    sides = beside if jumps else [high, low, *beside]
    reads = bound.loss.reads
    return [{**rows_of(reads, start, keep), name: side[keep]} for side in sides]


def _within(domain: Domain, x: Array) -> Array:
    """Rows that add up again, where the domain demands it."""
    if domain.sums == "one":
        x = np.maximum(x, 0.0)
        return np.asarray(x / x.sum(axis=-1, keepdims=True))
    if domain.sums == "exp":
        return np.asarray(np.minimum(x - np.log(np.exp(x).sum(axis=-1, keepdims=True)), 0.0))
    return x


def _pieces(bound: Bound, link: str, data: Data) -> np.ndarray[Any, Any]:
    """The label of the smooth piece of every row, (M, K)."""
    fold = folded(bound, link, data)
    with np.errstate(all="ignore"):
        labels = np.asarray(bound.pieces(*fold.variables))
    return labels.reshape(len(labels), -1)


def _differ(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> Bools:
    return np.asarray((a != b).any(axis=1))
