"""A claimed value of a reduced loss, or of each row, beside the exact one."""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from losscli.engines import Engine
from losscli.errors import DataError, Place
from losscli.files.source import Source
from losscli.inputs import Array
from losscli.precision import FORMATS, Precision
from losscli.results import Result
from losscli.sums import Exact
from losscli.targets import arrange
from losscli.verifier.allowance import ExactSlopes, losses_of, roundings
from losscli.verifier.dumps.audit import judged
from losscli.verifier.dumps.unsettled import by_size, settled, small
from losscli.verifier.heads import values_allowed
from losscli.verifier.numeric.verdict import FAIL, INCONCLUSIVE, PASS, VERDICTS, Overall, overall

# As many losses of the printed formula as are had in a moment.
_ASKED = 8


@dataclass(frozen=True)
class Valued:
    """The answer about a claimed value: one number, or the worst of many.

    ``formula`` tells how many losses the printed formula was asked about, and whether it gave the same: only then is a
    difference a failure.
    """

    claimed: float
    reference: float
    bar: float
    verdict: Overall
    counts: Mapping[str, int]
    formula: tuple[int, bool] = (0, True)


@dataclass(frozen=True)
class _Allowed:
    """The allowances of every block's losses."""

    slopes: ExactSlopes
    precision: Precision
    into: Array | None = None

    def __call__(self, span: tuple[int, int]) -> Exact:
        """The sum of the block's allowances; those of its losses are put where they belong."""
        given = self.slopes
        table = arrange(given.plan, *span)
        made = ExactSlopes(given.bound, given.plan, table, given.name, given.scale, given.totals)
        sizes = values_allowed(made, self.precision)
        if self.into is not None:
            first, rows = span[0] * math.prod(given.plan.lead[1:]), table.weighing.rows
            keep = table.weighing.keep
            if table.groups is not None:
                assert given.plan.groups is not None
                first = int(np.searchsorted(given.plan.groups.starts, span[0]))
                rows = len(sizes)
            self.into[first : first + rows][slice(None) if keep is None else keep] = sizes
        return Exact().plus(float(sizes.sum()))


def judge_value(
    result: Result,
    claim: Any,
    precision: Precision,
    *,
    scale: float,
    totals: tuple[float, ...],
    engine: Engine,
    digit: float = 0.0,
) -> Valued:
    """Judge a claimed value, or each row's, against a result; DataError where there are not as many."""
    made = result.plan
    exact = np.asarray(result.value, dtype=np.float64)
    given = np.asarray(claim.array if isinstance(claim, Source) else claim, dtype=np.float64)
    if given.size != exact.size:
        name = claim.name if isinstance(claim, Source) else "--value"
        hint = "--reduction none has one number per row" if exact.size == 1 else "give each row's loss, or --reduction"
        raise DataError(
            "claim-shape", f"{given.size} values, and {exact.size} to compare them with", place=Place(name), hint=hint
        )
    given = given.reshape(exact.shape)
    first = arrange(made, *made.spans()[0])
    slopes = ExactSlopes(result.bound, made, first, made.signature.differentiable[0], scale, totals)
    each = np.zeros(exact.size) if exact.ndim else None
    work = _Allowed(slopes, precision, each)
    if totals:
        allowed: Any = values_allowed(slopes, precision)
    else:
        total = sum(engine(work, made.spans()), Exact()).value
        added = precision.unit * 4.0 * math.log2(max(2, result.rows)) * np.abs(exact) if exact.ndim == 0 else 0.0
        allowed = total * scale + added if each is None else each.reshape(exact.shape)
    bar = np.atleast_1d(allowed + digit + precision.unit * np.abs(exact) + precision.tiny)
    found = _valued(np.atleast_1d(given), np.atleast_1d(exact), bar, roundings(slopes) * precision.unit)
    return found if found.verdict != "fail" else _confirmed(found, slopes)


def _confirmed(found: Valued, slopes: ExactSlopes) -> Valued:
    """A failure with the opinion of the printed formula about the exact losses, where there is one to be had."""
    if importlib.util.find_spec("mpmath") is None or not slopes.bound.loss.formula:
        return found
    from losscli.verifier.oracle import Oracle

    table, weight = slopes.table, slopes.table.weighing.weight
    if slopes.totals and (weight is not None or table.weighing.rows < slopes.plan.rows):
        # The formula of a pooled loss reads all rows, and knows nothing of weights within its sums.
        return found
    oracle = Oracle(slopes.bound, slopes.plan, table, bool(slopes.totals))
    losses = np.atleast_1d(losses_of(slopes))
    asked = np.unique(np.linspace(0, oracle.units - 1, min(oracle.units, _ASKED)).astype(int))
    with np.errstate(all="ignore"):
        truth = np.array([float(oracle.value(int(unit), digits=30)) for unit in asked])
        allowed = np.atleast_1d(values_allowed(slopes, FORMATS["float64"]))[asked]
        agree = bool((np.abs(losses[asked] - truth) <= allowed).all())
    if agree:
        return replace(found, formula=(len(asked), True))
    counts = Counter(found.counts)
    counts["inconclusive"] += counts.pop("fail")
    return replace(found, verdict="inconclusive", counts=dict(counts), formula=(len(asked), False))


def _valued(claim: Array, exact: Array, bar: Array, step: float) -> Valued:
    codes = judged(claim, exact, bar)
    near = np.isfinite(exact) & np.isfinite(bar) & (codes != FAIL)
    found = by_size(claim[near], exact[near], bar[near], codes[near] == INCONCLUSIVE)
    sizes = np.abs(exact[np.isfinite(exact)])
    largest = float(sizes.max(initial=0.0))
    if settled(found, largest, step, float(sizes.sum())):
        codes[(codes == INCONCLUSIVE) & small(np.frexp(bar)[1], largest)] = PASS
    counts = Counter(str(VERDICTS[code]) for code in codes.reshape(-1))
    with np.errstate(all="ignore"):
        gap = np.where(codes == FAIL, np.inf, np.abs(claim - exact) / bar)
    at = np.unravel_index(int(np.argmax(np.nan_to_num(gap, nan=0.0, posinf=np.inf))), exact.shape)
    verdict = overall(counts, codes.size)
    if verdict == "pass" and exact.any() and not (np.abs(exact) > bar).any():
        # Zeros would do as well.
        verdict = "inconclusive"
    return Valued(float(claim[at]), float(exact[at]), float(bar[at]), verdict, dict(counts))
