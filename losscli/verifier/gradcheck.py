"""Whether the gradient of a loss is the slope of its value, at points chosen to be hard."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from losscli.errors import UsageError
from losscli.evaluate import evaluate, plan_of
from losscli.inputs import Array
from losscli.loss import Bound, Pooled
from losscli.plan import How, Plan
from losscli.results import Wants
from losscli.verifier.differences import IntArray, Reason, Slopes, slopes
from losscli.verifier.mutants import MUTANTS
from losscli.verifier.objective import Column, Objective
from losscli.verifier.oracle import Oracle
from losscli.verifier.points import KINDS, cases
from losscli.verifier.verdict import VERDICTS, Overall, Verdict, judge, overall, why

# Data given by the user: this many rows are looked at, in this many columns, both spread evenly.
_ROWS, _COLUMNS = 64, 64
_WORST = 5
_FAILURES = (VERDICTS.index(Verdict.FAIL), VERDICTS.index(Verdict.KINK_FAIL))


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
        return float(_ratio(np.array([self.claimed]), np.array([self.reference]), np.array([self.bar]))[0])


@dataclass(frozen=True)
class Method:
    """A witness: its name, how often it was called, and whether it agreed wherever it was asked."""

    name: str
    evaluations: int
    agree: bool


@dataclass(frozen=True)
class Point:
    """All entries looked at under one kind of point."""

    kind: str
    checked: int
    verdict: Overall


@dataclass(frozen=True)
class Check:
    """The answer of a gradcheck."""

    bound: Bound
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


@dataclass
class _Ledger:
    """What the cases add up to while they are looked at."""

    counts: Counter[str] = field(default_factory=Counter)
    by_kind: dict[str, Counter[str]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    abs: float = 0.0
    rel: float = 0.0
    ridders: int = 0
    formula: int = 0
    agree: bool = True
    confirmed: int = 0
    planted: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)


def gradcheck(
    bound: Bound,
    *,
    data: Mapping[str, Any] | None = None,
    how: How | None = None,
    sample_weight: Any = None,
    mask: Any = None,
    kinds: Sequence[str] = KINDS,
    wrt: str = "",
    seed: int = 0,
    command: str = "",
) -> Check:
    """Verify the gradient of a loss at built-in points, or at the data given, for every input it has one for.

    The claim is the gradient of the summed loss as ``evaluate`` returns it; the reference is the slope of the value
    by a Ridders table with an error bar, and at a few entries the derivative of the printed formula at 40 digits.
    Every run plants wrong gradients and must catch them. Options about labels and weights go with data: the
    built-in points choose their own. Raises UsageError and DataError.
    """
    how = how or How()
    reads = bound.loss.reads
    ledger = _Ledger()
    if data is None:
        link = how.link or reads.default_link
        plain = replace(how, link=link, class_weight=None) == How(link=link)
        if not plain or any(given is not None for given in (how.class_weight, sample_weight, mask)):
            message = "the built-in points choose their own labels and weights"
            raise UsageError("option-without-data", message, hint="give data to check a gradient with these options")
        todo = [(case.kind, plan_of(bound, case.data, case.how)) for case in cases(bound, link, seed, kinds)]
    else:
        todo = [("data", _thinned(plan_of(bound, data, how, sample_weight, mask)))]
    for kind, made in todo:
        for name in [wrt] if wrt else reads.differentiable:
            _look(ledger, bound, made, kind, name)
    checked = sum(ledger.counts.values())
    missed = tuple(name for name in ledger.planted if not ledger.caught[name])
    verdict = "fail" if missed else overall(ledger.counts, checked)
    methods = [Method("ridders", ledger.ridders, ledger.counts[Verdict.FAIL] + ledger.counts[Verdict.KINK_FAIL] == 0)]
    if ledger.formula:
        methods.append(Method("formula", ledger.formula, ledger.agree))
    return Check(
        bound,
        verdict,
        checked,
        {str(word): ledger.counts[word] for word in VERDICTS},
        (ledger.abs, ledger.rel),
        tuple(
            Point(kind, sum(counts.values()), overall(counts, sum(counts.values())))
            for kind, counts in ledger.by_kind.items()
        ),
        tuple(methods),
        tuple(sorted(ledger.entries, key=_badness, reverse=True)[:_WORST]),
        len(ledger.planted),
        len(ledger.planted) - len(missed),
        missed,
        seed,
        command,
    )


def _badness(entry: Entry) -> tuple[bool, float]:
    return entry.verdict in (Verdict.FAIL, Verdict.KINK_FAIL), entry.ratio


def _thinned(made: Plan) -> Plan:
    """A plan of some of the rows, spread evenly: the numeric engine looks at every column of each."""
    if made.groups is not None or made.rows <= _ROWS:
        return made
    rows = np.unique(np.linspace(0, made.rows - 1, _ROWS).astype(int))
    return replace(made, order=rows, lead=(len(rows), *made.lead[1:]))


def _look(ledger: _Ledger, bound: Bound, made: Plan, kind: str, name: str) -> None:
    """One case with respect to one input: claims, slopes, verdicts, witnesses, planted faults."""
    objective = Objective.of(bound, made, name)
    if not objective.table.weighing.kept:
        return
    claim, dropped = _claim(objective)
    _judge_dropped(ledger, kind, name, dropped)
    domain = made.signature.domain(name, made.link)
    found: list[tuple[Column, Slopes]] = []
    for column in objective.columns(_COLUMNS):
        s = slopes(column.f, column.x, low=domain.low, high=domain.high, piece=column.piece, noise_floor=column.noise)
        found.append((column, s))
        ledger.ridders += s.evaluations
    witness = _Witness.of(objective, kind, name)
    for column, s in found:
        _judge(ledger, witness, column, s, claim)
    if kind in ("random", "data"):
        _plant(ledger, found, _righted(claim, found))
        _resolve(ledger, found)


def _claim(objective: Objective) -> tuple[Array, Array]:
    """The gradient of the summed loss, as the library gives it, for the rows that count and for those that do not."""
    made, name = objective.plan, objective.name
    result = evaluate(objective.bound, made, reduction="sum", wants=Wants(grad=name))
    assert result.gradient is not None
    whole = made.columns[name].laid_out(result.gradient)
    if objective.shared:
        return whole, np.empty(0)
    view = whole[made.at(0, made.rows)]
    rows = view.reshape(objective.table.weighing.rows, *objective.x.shape[1:])
    keep = objective.table.weighing.keep
    return (rows, rows[:0]) if keep is None else (rows[keep], np.delete(rows, keep, axis=0))


def _judge_dropped(ledger: _Ledger, kind: str, name: str, dropped: Array) -> None:
    """A row that does not count has a gradient of exactly zero: nothing numeric is needed to say so."""
    for at in np.argwhere(dropped != 0.0):
        index = tuple(int(i) for i in at)
        ledger.counts[Verdict.FAIL] += 1
        ledger.by_kind.setdefault(kind, Counter())[Verdict.FAIL] += 1
        ledger.entries.append(Entry(kind, name, index, float(dropped[index]), 0.0, 0.0, Verdict.FAIL, "ignored row"))


@dataclass(frozen=True)
class _Witness:
    """The printed formula, asked about a few entries of one case; silent where mpmath is not installed."""

    oracle: Oracle | None
    kind: str
    name: str

    @classmethod
    def of(cls, objective: Objective, kind: str, name: str) -> _Witness:
        """The witness for an objective."""
        if importlib.util.find_spec("mpmath") is None or not objective.bound.loss.formula:
            return cls(None, kind, name)
        with np.errstate(all="ignore"):
            pooled = isinstance(objective.bound(*objective.fold(objective.x).variables), Pooled)
        if pooled and objective.table.weighing.weight is not None:
            # The formula of a pooled loss knows nothing of weights within its sums.
            return cls(None, kind, name)
        return cls(Oracle(objective.bound, objective.plan, objective.table, pooled), kind, name)

    def slope(self, index: tuple[int, ...]) -> float | None:
        """The derivative of the formula at one entry; None where there is none to be had."""
        if self.oracle is None:
            return None
        try:
            return float(self.oracle.slope(self.name, index))
        except ArithmeticError:
            return None


def _judge(ledger: _Ledger, witness: _Witness, column: Column, s: Slopes, claim: Array) -> None:
    claimed = np.asarray(claim[column.at])
    codes = judge(claimed, s)
    index = _indices(claim, column)
    failed = np.flatnonzero([VERDICTS[code] is Verdict.FAIL for code in codes])
    for at in failed[: max(0, _WORST - ledger.confirmed)]:
        # A failure needs a second mechanism: where the formula takes the claim's side, the methods disagree. A few
        # that it confirms settle the verdict.
        truth = witness.slope(index[at])
        if truth is not None:
            ledger.formula += 1
            if abs(truth - claimed[at]) <= 1e-9 * abs(truth):
                codes[at] = VERDICTS.index(Verdict.INCONCLUSIVE)
                s.reason[at] = Reason.METHODS_DISAGREE
            else:
                ledger.confirmed += 1
    reasons = why(codes, s)
    tally = Counter(VERDICTS[code] for code in codes)
    ledger.counts.update({str(word): n for word, n in tally.items()})
    ledger.by_kind.setdefault(witness.kind, Counter()).update({str(word): n for word, n in tally.items()})
    _agree(ledger, witness, column, s, index, codes)
    settled = ~np.isin(codes, _FAILURES)
    for at in np.lexsort((-_ratio(claimed, s.value, s.bar), settled))[:_WORST]:
        ledger.entries.append(
            Entry(
                witness.kind,
                witness.name,
                index[at],
                float(claimed[at]),
                float(s.value[at]),
                float(s.bar[at]),
                VERDICTS[codes[at]],
                Reason(int(reasons[at])).word if codes[at] == VERDICTS.index(Verdict.INCONCLUSIVE) else "",
            )
        )


def _ratio(claimed: Array, reference: Array, bar: Array) -> Array:
    """Differences in bars; nothing where there is no reference, and where claim and reference are the same."""
    with np.errstate(all="ignore"):
        gap = np.abs(claimed - reference)
        ratio = np.where(np.isfinite(claimed), np.where(gap == 0, 0.0, gap / bar), np.inf)
    return np.where(np.isnan(reference), 0.0, ratio)


def _indices(claim: Array, column: Column) -> list[tuple[int, ...]]:
    grid = np.arange(claim.size).reshape(claim.shape)[column.at].reshape(-1)
    return [tuple(int(i) for i in np.unravel_index(flat, claim.shape)) for flat in grid]


def _agree(
    ledger: _Ledger, witness: _Witness, column: Column, s: Slopes, index: list[tuple[int, ...]], codes: IntArray
) -> None:
    """Ask the formula about one smooth entry of the first column: it must lie within the numeric slope's bar."""
    if witness.kind == "kinks" or any(isinstance(position, int) and position for position in column.at[1:]):
        return
    smooth = np.flatnonzero(codes == VERDICTS.index(Verdict.PASS))
    if not len(smooth):
        return
    at = int(smooth[len(smooth) // 2])
    truth = witness.slope(index[at])
    if truth is not None:
        ledger.formula += 1
        ledger.agree &= abs(truth - float(s.value[at])) <= float(s.bar[at])


def _righted(claim: Array, found: Sequence[tuple[Column, Slopes]]) -> Array:
    """The claim with the references where it fails: a fault planted in a wrong claim might undo it."""
    made = claim.copy()
    for column, s in found:
        claimed = np.asarray(claim[column.at])
        made[column.at] = np.where(np.isin(judge(claimed, s), _FAILURES), s.value, claimed)
    return made


def _plant(ledger: _Ledger, found: Sequence[tuple[Column, Slopes]], claim: Array) -> None:
    """Every planted fault that changes this claim must make some entry fail."""
    for name, change in MUTANTS.items():
        wrong = change(claim)
        if np.array_equal(wrong, claim):
            continue
        ledger.planted[name] += 1
        for column, s in found:
            codes = judge(np.asarray(wrong[column.at]), s)
            if any(VERDICTS[code] in (Verdict.FAIL, Verdict.KINK_FAIL) for code in codes):
                ledger.caught[name] += 1
                break


def _resolve(ledger: _Ledger, found: Sequence[tuple[Column, Slopes]]) -> None:
    """The smallest error that would have been noticed at every random point: absolutely, and to the largest slope."""
    bars = np.concatenate([s.bar for _, s in found])
    sizes = np.concatenate([np.abs(s.value) for _, s in found])
    known = np.isfinite(bars) & np.isfinite(sizes)
    if known.any():
        largest = float(bars[known].max())
        ledger.abs = max(ledger.abs, largest)
        scale = float(sizes[known].max())
        ledger.rel = max(ledger.rel, largest / scale if scale > 0 else 0.0)
