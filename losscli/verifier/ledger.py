"""What a check adds up to: every entry's verdict, the witnesses asked, the planted faults, how small an error shows.

It knows nothing of where claims come from: a claim is an array, and what it is held against are columns of scalar
functions (objective.py), a second witness, and bounds of the domain.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from losscli.inputs import Array, Bools, Ints
from losscli.verifier.checks import Check, Entry, Point, Wrong, in_bars
from losscli.verifier.jury import Heard, Jury, Method, Witness
from losscli.verifier.mutants import MUTANTS
from losscli.verifier.numeric.differences import IntArray, Reason, Slopes, slopes
from losscli.verifier.numeric.kinks import UNIT
from losscli.verifier.numeric.locate import Located
from losscli.verifier.numeric.pieces import on_kinks
from losscli.verifier.numeric.probes import Certificate
from losscli.verifier.numeric.verdict import VERDICTS, Overall, Verdict, judge, overall, why
from losscli.verifier.objective import Column

_WORST = 5
_MOSTLY = 0.5  # the largest share of one input's entries that may stay without an answer
_WORST_FIRST: tuple[Overall, ...] = ("fail", "inconclusive", "not_checked", "pass")
_FAILURES = (VERDICTS.index(Verdict.FAIL), VERDICTS.index(Verdict.KINK_FAIL))
_UNDECIDED = VERDICTS.index(Verdict.INCONCLUSIVE)
_OPEN = (_UNDECIDED, VERDICTS.index(Verdict.NONFINITE))


@dataclass(frozen=True)
class Found:
    """A column of entries, its numeric slopes, and what the rounding of the claims themselves may be.

    A slope below ``negligible`` need not be told from zero.
    """

    column: Column
    slopes: Slopes
    allowance: Array | float = 0.0
    negligible: float = 0.0

    @cached_property
    def seam(self) -> Bools:
        """Where an entry is on a declared kink that shows no gap along its own axis.

        Along others there may be one, and then the slope by this entry alone is not all that a subgradient may hold.
        """
        return on_kinks(self.column.piece, self.column.x, self.column.noise) & ~self.slopes.kink

    @property
    def telling(self) -> Bools:
        """Where any other claim than the slope is wrong."""
        return np.isfinite(self.slopes.bar) & ~self.slopes.kink & ~self.seam

    def judge(self, claimed: Array) -> IntArray:
        """The verdicts of claims about these entries, as codes."""
        codes = judge(claimed, self.slopes, self.allowance, self.negligible)
        failed = (codes == VERDICTS.index(Verdict.FAIL)) & np.isfinite(claimed)
        if failed.any():
            codes[failed & self.seam] = _UNDECIDED
        return codes


@dataclass(frozen=True)
class Held:
    """A claim that other claims determine: what it must be, give or take rounding, and why; arrays of one shape.

    Along its first axis are all rows, or those named.
    """

    claim: Array
    expected: Array
    allowance: Array
    why: str
    rows: Ints | None = None


@dataclass
class Ledger:
    """What the cases add up to while they are looked at.

    ``silent`` counts, by kind and input, entries without an answer where none was to be expected.
    """

    counts: Counter[str] = field(default_factory=Counter)
    by_kind: dict[str, Counter[str]] = field(default_factory=dict)
    by_input: dict[str, Counter[str]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    resolution: tuple[float, float] = (0.0, 0.0)
    steepest: dict[str, float] = field(default_factory=dict)
    ridders: int = 0
    jury: Jury = field(default_factory=Jury)
    planted: set[tuple[str, str]] = field(default_factory=set)
    caught: set[tuple[str, str]] = field(default_factory=set)
    wrong: Wrong | None = None
    certificate: Certificate | None = None
    silent: Counter[tuple[str, str]] = field(default_factory=Counter)

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
        sample: bool = True,
        what: str = "gradient",
        allowance: Array | None = None,
        case: Any = None,
        seen: Callable[[Found], Found] | None = None,
    ) -> Bools:
        """A claim by one input beside the numeric slopes of its columns; planted faults and resolution on request.

        Returned is where the entries are on kinks.

        The witness is heard where the claim fails, and away from kinks on a ``sample`` of one entry.
        ``allowance``, of the shape of the claim, is what its own rounding may be: nothing for claims in double.
        ``seen`` says more of a column than its axes show, such as kinks beside them.
        """
        found = []
        for column in columns:
            s = slopes(
                column.f,
                column.x,
                low=low,
                high=high,
                piece=column.piece,
                noise_floor=column.noise,
                unit=column.unit,
            )
            spare = 0.0 if allowance is None else np.asarray(allowance[column.at])
            one = Found(column, s, spare, self._negligible(name, column, s))
            found.append(one if seen is None else seen(one))
            self.ridders += s.evaluations
        before = self.failures
        heard = [_heard(one, claim) for one in found]
        self.jury.try_failures(heard, witness, low, high)
        for judged in heard:
            self._enter(kind, name, judged)
            if sample and witness is not None and not kind.endswith("kinks"):
                self.jury.sample(judged, witness)
        if self.failures > before and self.wrong is None:
            self.wrong = Wrong(kind, name, claim, *_reference(claim, found), case)
        if plant:
            _plant(self, what, name, found, _righted(claim, found))
            self._resolve(found)
        kinked = np.zeros(claim.shape, np.bool_)
        for one in found:
            kinked[one.column.at] = one.slopes.kink
        return kinked

    def stray(self, kind: str, name: str, dropped: Array) -> None:
        """A row that does not count has a slope of exactly zero: nothing numeric is needed to say so."""
        for at in np.argwhere(dropped != 0.0):
            index = tuple(int(i) for i in at)
            self._count(kind, name, Counter({Verdict.FAIL: 1}))
            entry = Entry(kind, name, index, float(dropped[index]), 0.0, 0.0, Verdict.FAIL, "ignored row")
            self.entries.append(entry)

    def hold(self, kind: str, name: str, held: Held) -> None:
        """A claim beside what it must be: equal, or within what rounding explains. One that is NaN is never right."""
        with np.errstate(all="ignore"):
            near = np.abs(held.claim - held.expected) <= held.allowance
            vague = near & ~np.isfinite(held.allowance) & (held.claim != held.expected)
        wrong = ~(near | (held.claim == held.expected))
        lost, open_ = int(wrong.sum()), int(vague.sum())
        tally = {Verdict.PASS: wrong.size - lost - open_, Verdict.FAIL: lost, Verdict.INCONCLUSIVE: open_}
        self._count(kind, name, Counter(tally))
        for at in np.argwhere(wrong)[:_WORST]:
            index = tuple(int(i) for i in at)
            place = index if held.rows is None else (int(held.rows[index[0]]), *index[1:])
            claim, expected, bar = (float(array[index]) for array in (held.claim, held.expected, held.allowance))
            self.entries.append(Entry(kind, name, place, claim, expected, bar, Verdict.FAIL, held.why))

    def certify(
        self, kind: str, name: str, claim: Array, certificate: Certificate, located: Located | None, case: Any = None
    ) -> None:
        """What random directions say of a whole claim, and where it is wrong; of several claims the worst counts."""
        if self.certificate is None or certificate.rank > self.certificate.rank:
            self.certificate = certificate
        if located is None or not located.entries:
            return
        self._count(kind, name, Counter({Verdict.FAIL: len(located.entries)}))
        reference, bar = np.full(claim.shape, np.nan), np.full(claim.shape, np.nan)
        for hit in located.entries:
            reference[hit.index], bar[hit.index] = hit.reference, hit.bar
            values = hit.claimed, hit.reference, hit.bar
            self.entries.append(Entry(kind, name, hit.index, *values, Verdict.FAIL, located.pattern))
        self.wrong = self.wrong or Wrong(kind, name, claim, reference, bar, case)

    @property
    def failures(self) -> int:
        """How many entries are wrong."""
        return self.counts[Verdict.FAIL] + self.counts[Verdict.KINK_FAIL]

    def check(self, loss: str, params: Mapping[str, Any], seed: int, command: str) -> Check:
        """The answer."""
        checked = sum(self.counts.values())
        planted = {fault for fault, _ in self.planted}
        missed = tuple(sorted({fault for fault, _ in self.planted - self.caught}))
        besides = self._besides()
        return Check(
            loss,
            params,
            "inconclusive" if missed and besides == "pass" else besides,
            checked,
            {str(word): self.counts[word] for word in VERDICTS},
            self.resolution,
            tuple(
                Point(kind, sum(counts.values()), overall(counts, sum(counts.values())))
                for kind, counts in self.by_kind.items()
            ),
            (Method("ridders", self.ridders, self.failures == 0), *self.jury.methods),
            tuple(sorted(self.entries, key=_badness, reverse=True)[:_WORST]),
            len(planted),
            len(planted) - len(missed),
            missed,
            seed,
            command,
            self.wrong,
            certificate=self.certificate,
            besides=besides,
        )

    def _count(self, kind: str, name: str, tally: Counter[Verdict]) -> None:
        counts = {str(word): n for word, n in tally.items()}
        self.counts.update(counts)
        self.by_kind.setdefault(kind, Counter()).update(counts)
        self.by_input.setdefault(name, Counter()).update(counts)

    def _besides(self) -> Overall:
        """The verdict, were no planted fault missed."""
        on_the_whole = "pass" if self.certificate is None else self.certificate.verdict
        # An input most of whose entries are open is not settled by others.
        parts = [overall(counts, counts.total(), _MOSTLY) for counts in self.by_input.values()]
        parts.append(overall(self.counts, self.counts.total()))
        verdict = "fail" if on_the_whole == "fail" else min(parts, key=_WORST_FIRST.index)
        # Some entries were looked at one by one; of the others nothing is known but through all of them together.
        agreed = on_the_whole == "pass" and all(method.agree for method in self.jury.methods)
        return "inconclusive" if verdict == "pass" and (self.jury.unconfirmed or not agreed) else verdict

    def _enter(self, kind: str, name: str, one: Heard) -> None:
        """Count the verdicts of a column, and keep its worst entries."""
        s, codes, claimed = one.slopes, one.codes, one.claimed
        reasons = why(codes, s)
        # Where no answer was to be expected, none is missing.
        silent = np.isin(codes, _OPEN) & one.moot
        self.silent[kind, name] += int(silent.sum())
        self._count(kind, name, Counter(VERDICTS[code] for code in codes[~silent]))
        settled = ~np.isin(codes, _FAILURES)
        for at in np.lexsort((-in_bars(claimed, s.value, s.bar), settled, silent))[: min(_WORST, np.sum(~silent))]:
            claims, reference, bar = (float(x[at]) for x in (claimed, s.value, s.bar))
            reason = Reason(int(reasons[at])).word if codes[at] == _UNDECIDED else ""
            self.entries.append(Entry(kind, name, one.index[at], claims, reference, bar, VERDICTS[codes[at]], reason))

    def _negligible(self, name: str, column: Column, s: Slopes) -> float:
        """The size of slopes that a function in less than double cannot tell from zero, for half of its digits.

        They are counted from the largest slope by the same input anywhere.
        """
        known = np.abs(s.value[np.isfinite(s.value)])
        self.steepest[name] = max(self.steepest.get(name, 0.0), float(known.max(initial=0.0)))
        return math.sqrt(column.unit) * self.steepest[name] if column.unit > UNIT else 0.0

    def _resolve(self, found: Sequence[Found]) -> None:
        """The smallest error that would have been noticed at every entry: absolutely, and to the largest slope."""
        # On a kink what is told is a claim outside the one-sided slopes, not one between them.
        bars = np.concatenate([_notice(one.slopes) + one.allowance for one in found])
        sizes = np.concatenate([_size(one.slopes) for one in found])
        known = np.isfinite(bars) & np.isfinite(sizes)
        if known.any():
            largest, scale = float(bars[known].max()), float(sizes[known].max())
            absolute, relative = self.resolution
            # Where all slopes are zero, as far as is known, there is nothing that an error could be a share of.
            share = largest / scale if scale > largest else 0.0
            self.resolution = max(absolute, largest), max(relative, share)


def _badness(entry: Entry) -> tuple[bool, float]:
    return entry.verdict in (Verdict.FAIL, Verdict.KINK_FAIL), entry.ratio


def _notice(s: Slopes) -> Array:
    return np.where(s.kink, np.maximum(s.left_bar, s.right_bar), s.bar)


def _size(s: Slopes) -> Array:
    return np.where(s.kink, np.maximum(np.abs(s.left), np.abs(s.right)), np.abs(s.value))


def _heard(found: Found, claim: Array) -> Heard:
    column, s = found.column, found.slopes
    claimed = np.asarray(claim[column.at])
    codes = found.judge(claimed)
    # Reasons of its own: planted faults are judged by the slopes as they were found.
    own = replace(s, reason=s.reason.copy())
    if (codes == _UNDECIDED).any():
        own.reason[(codes == _UNDECIDED) & found.seam] = Reason.NEAR_KINK
    return Heard(column, own, claimed, column.index(claim.shape), codes, found.allowance)


def _reference(claim: Array, found: Sequence[Found]) -> tuple[Array, Array]:
    """The slopes and their bars; NaN where nobody has looked, and on kinks."""
    made, bar = np.full(claim.shape, np.nan), np.zeros(claim.shape)
    for one in found:
        made[one.column.at] = np.where(one.slopes.kink, np.nan, one.slopes.value)
        bar[one.column.at] = one.slopes.bar + one.allowance
    return made, bar


def _righted(claim: Array, found: Sequence[Found]) -> Array:
    """The claim where it was looked at, with references where it fails: a planted fault might undo a wrong claim."""
    # A fault is planted where it can be seen.
    made = np.zeros_like(claim)
    for one in found:
        claimed = np.asarray(claim[one.column.at])
        made[one.column.at] = np.where(np.isin(one.judge(claimed), _FAILURES), one.slopes.value, claimed)
    return made


def _plant(ledger: Ledger, what: str, by: str, found: Sequence[Found], claim: Array) -> None:
    """Every planted fault must make an entry fail that it changes; one that changes kinks alone may be none."""
    for name, change in MUTANTS.items():
        fault = f"{name} ({what})", by
        with np.errstate(all="ignore"):
            wrong = change(claim)
        for one in found:
            planted = np.asarray(wrong[one.column.at])
            changed = planted != claim[one.column.at]
            caught = bool((changed & np.isin(one.judge(planted), _FAILURES)).any())
            if caught or (changed & one.telling).any():
                ledger.planted.add(fault)
            if caught:
                ledger.caught.add(fault)
                break
