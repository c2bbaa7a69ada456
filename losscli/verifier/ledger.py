"""What a check adds up to: every entry's verdict, the witnesses asked, the planted faults, how small an error shows.

It knows nothing of where claims come from: a claim is an array, and what it is held against are columns of scalar
functions (objective.py), a second witness, and bounds of the domain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from losscli.inputs import Array
from losscli.verifier.diagnose import Explanation
from losscli.verifier.differences import IntArray, Reason, Slopes, slopes
from losscli.verifier.mutants import MUTANTS
from losscli.verifier.objective import Column
from losscli.verifier.verdict import VERDICTS, Overall, Verdict, judge, overall, why

_WORST = 5
_FAILURES = (VERDICTS.index(Verdict.FAIL), VERDICTS.index(Verdict.KINK_FAIL))
_UNDECIDED = VERDICTS.index(Verdict.INCONCLUSIVE)


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
class Found:
    """A column of entries, its numeric slopes, and what the rounding of the claims themselves may be."""

    column: Column
    slopes: Slopes
    allowance: Array | float = 0.0


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
    """The answer of a gradcheck."""

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


class Witness(Protocol):
    """A second mechanism, asked about a few entries of one claim."""

    @property
    def name(self) -> str:
        """What the reports call it."""
        ...

    def slope(self, index: tuple[int, ...]) -> float | None:
        """The derivative at one entry; None where there is none to be had."""
        ...


@dataclass
class _Asked:
    """How often a witness was asked, and whether it agreed."""

    times: int = 0
    agree: bool = True


@dataclass
class Ledger:
    """What the cases add up to while they are looked at."""

    counts: Counter[str] = field(default_factory=Counter)
    by_kind: dict[str, Counter[str]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    resolution: tuple[float, float] = (0.0, 0.0)
    ridders: int = 0
    witnesses: dict[str, _Asked] = field(default_factory=dict)
    confirmed: int = 0
    planted: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    wrong: Wrong | None = None

    def look(
        self,
        kind: str,
        name: str,
        claim: Array,
        columns: Iterable[Column],
        *,
        witness: Witness | None = None,
        low: Any = -np.inf,
        high: Any = np.inf,
        plant: bool = False,
        what: str = "gradient",
        allowance: Array | None = None,
        case: Any = None,
    ) -> None:
        """A claim by one input beside the numeric slopes of its columns; planted faults and resolution on request.

        ``allowance``, of the shape of the claim, is what its own rounding may be: nothing for claims in double.
        """
        found = []
        for column in columns:
            s = slopes(column.f, column.x, low=low, high=high, piece=column.piece, noise_floor=column.noise)
            found.append(Found(column, s, 0.0 if allowance is None else np.asarray(allowance[column.at])))
            self.ridders += s.evaluations
        before = self.failures
        for one in found:
            self._judge(kind, name, one, claim, witness)
        if self.failures > before and self.wrong is None:
            self.wrong = Wrong(kind, name, claim, *_reference(claim, found), case)
        if plant:
            _plant(self, what, found, _righted(claim, found))
            self._resolve(found)

    def stray(self, kind: str, name: str, dropped: Array) -> None:
        """A row that does not count has a slope of exactly zero: nothing numeric is needed to say so."""
        for at in np.argwhere(dropped != 0.0):
            index = tuple(int(i) for i in at)
            self._count(kind, Counter({Verdict.FAIL: 1}))
            entry = Entry(kind, name, index, float(dropped[index]), 0.0, 0.0, Verdict.FAIL, "ignored row")
            self.entries.append(entry)

    @property
    def failures(self) -> int:
        """How many entries are wrong."""
        return self.counts[Verdict.FAIL] + self.counts[Verdict.KINK_FAIL]

    def check(self, loss: str, params: Mapping[str, Any], seed: int, command: str) -> Check:
        """The answer."""
        checked = sum(self.counts.values())
        missed = tuple(name for name in self.planted if not self.caught[name])
        methods = [Method("ridders", self.ridders, self.failures == 0)]
        methods += [Method(name, asked.times, asked.agree) for name, asked in self.witnesses.items() if asked.times]
        return Check(
            loss,
            params,
            "fail" if missed else overall(self.counts, checked),
            checked,
            {str(word): self.counts[word] for word in VERDICTS},
            self.resolution,
            tuple(
                Point(kind, sum(counts.values()), overall(counts, sum(counts.values())))
                for kind, counts in self.by_kind.items()
            ),
            tuple(methods),
            tuple(sorted(self.entries, key=_badness, reverse=True)[:_WORST]),
            len(self.planted),
            len(self.planted) - len(missed),
            missed,
            seed,
            command,
            self.wrong,
        )

    def _count(self, kind: str, tally: Counter[Verdict]) -> None:
        counts = {str(word): n for word, n in tally.items()}
        self.counts.update(counts)
        self.by_kind.setdefault(kind, Counter()).update(counts)

    def _judge(self, kind: str, name: str, found: Found, claim: Array, witness: Witness | None) -> None:
        column, s = found.column, found.slopes
        claimed = np.asarray(claim[column.at])
        codes = judge(claimed, s, found.allowance)
        index = _indices(claim, column)
        if witness is not None:
            self._confirm(witness, claimed, s, codes, index)
        reasons = why(codes, s)
        self._count(kind, Counter(VERDICTS[code] for code in codes))
        if witness is not None and not kind.endswith("kinks"):
            self._agree(witness, column, s, index, codes)
        settled = ~np.isin(codes, _FAILURES)
        for at in np.lexsort((-_ratio(claimed, s.value, s.bar), settled))[:_WORST]:
            claims, reference, bar = (float(x[at]) for x in (claimed, s.value, s.bar))
            reason = Reason(int(reasons[at])).word if codes[at] == _UNDECIDED else ""
            self.entries.append(Entry(kind, name, index[at], claims, reference, bar, VERDICTS[codes[at]], reason))

    def _confirm(
        self, witness: Witness, claimed: Array, s: Slopes, codes: IntArray, index: Sequence[tuple[int, ...]]
    ) -> None:
        """A failure needs a second mechanism: where the witness takes the claim's side, the methods disagree.

        A few that it confirms settle the verdict.
        """
        failed = np.flatnonzero([VERDICTS[code] is Verdict.FAIL for code in codes])
        for at in failed[: max(0, _WORST - self.confirmed)]:
            truth = witness.slope(index[at])
            if truth is None:
                continue
            self._asked(witness).times += 1
            if abs(truth - claimed[at]) <= 1e-9 * abs(truth):
                codes[at] = _UNDECIDED
                s.reason[at] = Reason.METHODS_DISAGREE
            else:
                self.confirmed += 1

    def _agree(
        self, witness: Witness, column: Column, s: Slopes, index: Sequence[tuple[int, ...]], codes: IntArray
    ) -> None:
        """Ask the witness about one smooth entry of the first column: it must lie within the numeric slope's bar."""
        if any(isinstance(position, int) and position for position in column.at[1:]):
            return
        smooth = np.flatnonzero(codes == VERDICTS.index(Verdict.PASS))
        if not len(smooth):
            return
        at = int(smooth[len(smooth) // 2])
        truth = witness.slope(index[at])
        if truth is not None:
            asked = self._asked(witness)
            asked.times += 1
            asked.agree &= abs(truth - float(s.value[at])) <= float(s.bar[at])

    def _asked(self, witness: Witness) -> _Asked:
        return self.witnesses.setdefault(witness.name, _Asked())

    def _resolve(self, found: Sequence[Found]) -> None:
        """The smallest error that would have been noticed at every entry: absolutely, and to the largest slope."""
        bars = np.concatenate([one.slopes.bar + one.allowance for one in found])
        sizes = np.concatenate([np.abs(one.slopes.value) for one in found])
        known = np.isfinite(bars) & np.isfinite(sizes)
        if known.any():
            largest, scale = float(bars[known].max()), float(sizes[known].max())
            absolute, relative = self.resolution
            self.resolution = max(absolute, largest), max(relative, largest / scale if scale > 0 else 0.0)


def _badness(entry: Entry) -> tuple[bool, float]:
    return entry.verdict in (Verdict.FAIL, Verdict.KINK_FAIL), entry.ratio


def _ratio(claimed: Array, reference: Array, bar: Array) -> Array:
    """Differences in bars; nothing where there is no reference, and where claim and reference are the same."""
    with np.errstate(all="ignore"):
        gap = np.abs(claimed - reference)
        ratio = np.where(np.isfinite(claimed), np.where(gap == 0, 0.0, gap / bar), np.inf)
    return np.where(np.isnan(reference), 0.0, ratio)


def _indices(claim: Array, column: Column) -> list[tuple[int, ...]]:
    grid = np.arange(claim.size).reshape(claim.shape)[column.at].reshape(-1)
    return [tuple(int(i) for i in np.unravel_index(flat, claim.shape)) for flat in grid]


def _reference(claim: Array, found: Sequence[Found]) -> tuple[Array, Array]:
    """The slopes and their bars; NaN where nobody has looked, and on kinks."""
    made, bar = np.full(claim.shape, np.nan), np.zeros(claim.shape)
    for one in found:
        made[one.column.at] = np.where(one.slopes.kink, np.nan, one.slopes.value)
        bar[one.column.at] = one.slopes.bar + one.allowance
    return made, bar


def _righted(claim: Array, found: Sequence[Found]) -> Array:
    """The claim with the references where it fails: a fault planted in a wrong claim might undo it."""
    made = claim.copy()
    for one in found:
        claimed = np.asarray(claim[one.column.at])
        made[one.column.at] = np.where(
            np.isin(judge(claimed, one.slopes, one.allowance), _FAILURES), one.slopes.value, claimed
        )
    return made


def _plant(ledger: Ledger, what: str, found: Sequence[Found], claim: Array) -> None:
    """Every planted fault that changes this claim must make some entry fail."""
    for name, change in MUTANTS.items():
        wrong = change(claim)
        if np.array_equal(wrong, claim):
            continue
        ledger.planted[f"{name} ({what})"] += 1
        for one in found:
            if np.isin(judge(np.asarray(wrong[one.column.at]), one.slopes, one.allowance), _FAILURES).any():
                ledger.caught[f"{name} ({what})"] += 1
                break
