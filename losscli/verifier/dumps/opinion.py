"""A second opinion on entries of a claim that differ from the exact slope: numeric slopes.

The first slope is the gradient's formula, the second differences of the value (for a Hessian, of the gradient). A
difference counts as a failure where both say so. On a kink, where there is no one slope, every claim between the
one-sided slopes is right, if those of a row are a subgradient together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from losscli.inputs import Groups, Ints
from losscli.plan import Plan
from losscli.verifier.dumps.audit import KEPT, Audit, Beside, Suspect, Tally
from losscli.verifier.labelled import objective_of
from losscli.verifier.numeric import differences
from losscli.verifier.numeric.differences import IntArray
from losscli.verifier.numeric.tied import Tied, jumps
from losscli.verifier.numeric.verdict import FAIL, INCONCLUSIVE, KINK_FAIL, KINK_OK, PASS, judge
from losscli.verifier.objective import Column, Objective

# As many columns of numeric slopes as a second of work allows; the worst entries come first.
_COLUMNS = 8


@dataclass(frozen=True)
class Opinion:
    """What numeric slopes say of suspects, by index; the evaluations it took."""

    codes: Mapping[tuple[int, ...], int] = field(default_factory=dict)
    evaluations: int = 0

    def __add__(self, other: Opinion) -> Opinion:
        return Opinion({**self.codes, **other.codes}, self.evaluations + other.evaluations)

    @property
    def confirmed(self) -> int:
        """How many of them are wrong by both methods."""
        return sum(code in (FAIL, KINK_FAIL) for code in self.codes.values())


def opinion_of(audit: Audit, tally: Tally) -> Opinion:
    """Numeric slopes at the worst failures and, until one of them is confirmed, at others from everywhere."""
    worst = [suspect for suspect in tally.worst if suspect.code == FAIL]
    opinion = Opinion()
    for some in (worst, *(tally.spread[at : at + KEPT] for at in range(0, len(tally.spread), KEPT))):
        unasked = [suspect for suspect in some if suspect.index not in opinion.codes]
        if unasked and not opinion.confirmed:
            opinion = opinion + second_opinion(audit, unasked)
    return opinion


def second_opinion(audit: Audit, suspects: Sequence[Suspect]) -> Opinion:
    """Numeric slopes at the suspects, their rows alone where rows are independent."""
    part = audit if audit.shared or audit.totals else replace(audit, plan=_part(audit.plan, suspects))
    seen = part.beside((0, part.plan.rows))
    objective = objective_of(part.bound, part.plan, part.name, seen.slopes.table, part.mean)
    codes: dict[tuple[int, ...], int] = {}
    acquitted: dict[tuple[int, ...], int] = {}
    wanted = {s.index for s in suspects}
    evaluations = asked = 0
    for column in _columns(part, seen, objective):
        index = _indices(part, seen, column)
        if not wanted.intersection(index):
            continue
        asked += 1
        if asked > _COLUMNS:
            break
        said, calls = _said(part, seen, column)
        evaluations += calls
        codes |= {at: int(code) for at, code in zip(index, said, strict=True) if at in wanted}
        rows = np.arange(len(seen.claim))[column.at[:1]].reshape(-1)
        acquitted |= {at: int(row) for at, row in zip(index, rows, strict=True) if codes.get(at) == KINK_OK}
    lost = _lost_together(part, seen, objective, sorted(set(acquitted.values())))
    codes |= {at: int(KINK_FAIL) for at, row in acquitted.items() if row in lost}
    for suspect in suspects:
        # A row that does not count has a slope of exactly zero, and no difference tells of an infinite one.
        if (suspect.bar == 0.0 and suspect.reference == 0.0) or np.isinf(suspect.reference):
            codes[suspect.index] = int(FAIL)
    return Opinion(codes, evaluations)


def _part(plan: Plan, suspects: Sequence[Suspect]) -> Plan:
    """A plan of the suspects' rows, or of their groups."""
    rows = np.unique([s.row for s in suspects])
    if plan.groups is None:
        return replace(plan, order=rows, lead=(len(rows), *plan.lead[1:]))
    which: Ints = np.unique(np.searchsorted(plan.groups.starts, rows, side="right") - 1)
    sizes = plan.groups.sizes[which]
    taken = np.concatenate([np.arange(n) + start for start, n in zip(plan.groups.starts[which], sizes, strict=True)])
    order = taken if plan.order is None else plan.order[taken]
    return replace(plan, order=order, lead=(len(taken), *plan.lead[1:]), groups=Groups(np.cumsum(sizes) - sizes, sizes))


def _columns(audit: Audit, seen: Beside, objective: Objective) -> Iterator[Column]:
    """The columns with failures, those with the worst entries first."""
    failed = seen.codes == FAIL
    found = [column for column in objective.columns(1 << 30) if failed[column.at].any()]
    with np.errstate(all="ignore"):
        gap = np.where(failed, np.nan_to_num(np.abs(seen.claim - seen.slopes.value) / seen.bar, nan=np.inf), 0.0)
    found.sort(key=lambda column: -float(gap[column.at].max()))
    for column in found:
        yield column if audit.order == 1 else replace(objective.curved(column), piece=None)


def _said(audit: Audit, seen: Beside, column: Column) -> tuple[IntArray, int]:
    domain = audit.plan.signature.domain(audit.name, audit.plan.link)
    s = differences.slopes(
        column.f, column.x, low=domain.low, high=domain.high, piece=column.piece, noise_floor=column.noise
    )
    # What it differentiates is the sum of the losses; the claim is of the reduced one.
    claim, bar = seen.claim[column.at] / audit.scale, seen.bar[column.at] / audit.scale
    codes = judge(claim, s, bar)
    known = seen.codes[column.at]
    # It is asked about differences alone: where it sees none either, the two methods disagree.
    codes = np.where((known == FAIL) & (codes == PASS), INCONCLUSIVE, codes)
    return np.where(known == FAIL, codes, np.where(codes == KINK_OK, KINK_OK, known)), s.evaluations


def _lost_together(audit: Audit, seen: Beside, objective: Objective, rows: Sequence[int]) -> set[int]:
    """The rows whose claims at kinks, each between its one-sided slopes, are no subgradient together."""
    if not rows or audit.order > 1 or audit.shared or audit.totals or audit.plan.groups is not None:
        return set()
    x, domain = objective.x, audit.plan.signature.domain(audit.name, audit.plan.link)
    kinked = np.zeros(x.shape, dtype=np.bool_)
    kinked[rows] = jumps(objective.gradient, x, domain.low, domain.high)[rows]
    tied = Tied(objective.values, objective.gradient, x, kinked, True, domain.low, domain.high)
    said = tied.judged(seen.claim / audit.scale, seen.bar / audit.scale)
    return {int(row) for row in said.rows[said.wrong]}


def _indices(audit: Audit, seen: Beside, column: Column) -> list[tuple[int, ...]]:
    """Where the entries of a column stand in the claim's file."""
    shape = seen.claim.shape
    grid = np.arange(seen.claim.size).reshape(shape)[column.at].reshape(-1)
    made = []
    for flat in grid:
        at = tuple(int(i) for i in np.unravel_index(flat, shape))
        if audit.shared:
            made.append(at)
        else:
            made.append(audit.plan.place(audit.claim, 0, int(seen.keep[at[0]]), at[1:]).index or ())
    return made
