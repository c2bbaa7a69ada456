"""One function looked at: what is wrong with itself, then its claimed gradient beside the slopes of its value."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from losscli.errors import UsageError, did_you_mean
from losscli.inputs import Array
from losscli.verifier.diagnosis.explain import explained, explained_as
from losscli.verifier.ledger import Held, Ledger
from losscli.verifier.mutants import largest
from losscli.verifier.numeric.lines import Lines
from losscli.verifier.numeric.locate import locate
from losscli.verifier.numeric.probes import probe
from losscli.verifier.numeric.tied import Tied
from losscli.verifier.own.across import Across, Looked, across
from losscli.verifier.own.along import Integral
from losscli.verifier.own.answer import Answer, Remarks
from losscli.verifier.own.drawn import FAR
from losscli.verifier.own.entries import DOUBLE, Entries, bits_of
from losscli.verifier.own.functions import NUMPY, Claimant, Claims, Inputs, RaisedError, Values, floats
from losscli.verifier.own.recognise import recognised
from losscli.verifier.own.surroundings import Surroundings
from losscli.verifier.witness.complex_step import complex_step

# Entries of a function that mixes its rows, looked at one by one: each takes some fifty calls with all the numbers
# there are, and so many of these together are a matter of seconds.
_MOST, _FEWEST, _NUMBERS, _CALLED = 256, 16, 5e8, 50
_COLUMNS = 64
_STEPPED = 3  # entries that the complex step is asked about, each some forty calls of the guard
_CALLS = 5  # of a function with the same inputs, to see whether it gives the same answer
_ROUNDINGS = 8.0  # of a claim, in changes that it shows when its inputs change by half a unit in the last place
_WHY_NOT = ("the value jumps there, or is too steep", "the value is rounded too coarsely there, or is none")
_FORMATS = {24: "single", 11: "half", 8: "bfloat16"}


@dataclass(frozen=True)
class Given:
    """Inputs to look at a function at, under the name of what they try, and the bounds of those that have any."""

    kind: str
    inputs: Inputs
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def far(self) -> bool:
        """Whether the inputs are larger than a function need survive."""
        return self.kind == FAR


@dataclass
class Examination:
    """What looking at a function adds up to.

    The reference is the slope of the value by a Ridders table with an error bar; before a claim is called wrong, the
    integral of the claimed gradient, or the Taylor test, must disagree with what the value gains, too. Of a function
    that mixes its rows ``limit`` entries are looked at one by one, or as many as take a few seconds (0); of all of them
    together if there are more.
    ``defaults`` are those of the function's other parameters.
    """

    seed: int = 0
    limit: int = 0
    defaults: Mapping[str, Any] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    remarks: Remarks = field(default_factory=Remarks)
    shown: dict[tuple[Claimant, str], int] = field(default_factory=dict)
    idle: dict[str, bool] = field(default_factory=dict)

    def look(self, claimant: Claimant, case: Given, wrt: str = "") -> None:
        """One case, by every input of real numbers or by ``wrt`` alone. Raises UsageError where there is none."""
        names, inputs = self._names(case.inputs, wrt), case.inputs
        # No function is obliged to survive all numbers, nor to do it in silence.
        remark = self.remarks.note if case.far else self.remarks.doubt
        try:
            values = [np.asarray(value, np.float64) for value in claimant.values([inputs] * _CALLS)]
        except RaisedError as error:
            remark(f"{case.kind}: raised {error}")
            return
        if not self._finite(case, values[0]):
            return
        for name in claimant.changed(inputs):
            self.remarks.fault(f"changes its input {name!r} in place")
        unrest = self._unrest(values)
        _visit(claimant, inputs)
        try:
            claims = claimant.claims(inputs)
        except RaisedError as error:
            (remark if case.far else self.remarks.fault)(f"{case.kind}: the gradient raised {error}")
            return
        looked, coarsest = [], DOUBLE
        for name in names:
            bits = self._bits(claimant, inputs, name)
            coarsest = min(coarsest, bits)
            entries = Entries(claimant, inputs, name, bits, unrest, case.bounds.get(name, (-np.inf, np.inf)))
            claim = self.claim(case.kind, claims, name, np.shape(inputs[name]))
            if claim is not None and claim.size:
                around = Surroundings(entries, claim, case.bounds, self.seed, drawn=case.kind != "data", far=case.far)
                looked.append(self._entries(case, around, min(bits, digits(claims[name]))))
        if coarsest in _FORMATS:
            self.remarks.note(f"computes in {_FORMATS[coarsest]} precision: the resolution is that of its rounding")
        if coarsest == DOUBLE and not unrest and not case.far:
            self._together(case.kind, looked)

    def answer(self, label: str, command: str) -> Answer:
        """The check with what was noticed, and what a wrong claim looks like."""
        check = self.ledger.check(label, {}, self.seed, command)
        for name in (name for name, idle in self.idle.items() if idle):
            self.remarks.note(f"the value does not depend on {name}")
        self._missing(check.checked)
        point = check.wrong.case if check.wrong is not None else None
        known = recognised(point, self.defaults) if isinstance(point, Entries) else None
        if known is None:
            return self.remarks.answer(explained(check))
        self.remarks.note(known.said)
        return self.remarks.answer(explained_as(check, known))

    def _missing(self, checked: int) -> None:
        """Say where no slope can be told at drawn points; of hardly anything else no pass can be given."""
        near = 0
        for (kind, name), number in self.ledger.silent.items():
            if number:
                self.remarks.note(f"{kind}: {name}: {number} entries not looked at: {_WHY_NOT[kind == FAR]}")
            near += number * (kind != FAR)
        if near > checked:
            self.remarks.doubt("in most entries the value jumps, or is too steep")

    def _bits(self, claimant: Claimant, inputs: Inputs, name: str) -> int:
        """The digits shown so far as one input is moved; where the values are round there may seem to be fewer.

        Not by all inputs together: of logits in single precision beside targets in double all values are double.
        """
        known = self.shown.get((claimant, name), 0)
        if known < DOUBLE:
            self.shown[claimant, name] = known = max(known, bits_of(claimant, inputs, [name], self.seed))
        return known or DOUBLE

    def _names(self, inputs: Inputs, wrt: str) -> list[str]:
        names = floats(inputs)
        if wrt and wrt not in names:
            message = f"no gradient by {wrt!r}: the inputs of real numbers are {', '.join(names) or 'none'}"
            raise UsageError("wrt-unknown", message, hint=did_you_mean(wrt, names))
        for name, array in inputs.items():
            if name not in names:
                kind = "integers" if np.asarray(array).dtype.kind in "iu" else "no numbers"
                self.remarks.note(f"{name}: {kind}, not looked at")
        if not names:
            raise UsageError("function-data", "no input of real numbers to take a gradient by")
        return [wrt] if wrt else names

    def _finite(self, case: Given, value: Values) -> bool:
        """Whether there is anything to look at: a finite value, or any where it need not be one; the rest is noted."""
        lost = int(np.count_nonzero(~np.isfinite(value)))
        if lost:
            where = f"in {lost} of {value.size} rows " if lost < value.size else ""
            self.remarks.note(f"{case.kind}: {where}its value is not finite")
        return not case.far or lost < value.size

    def _unrest(self, values: Sequence[Values]) -> float:
        """How far calls with the same inputs differ: the noise of a function that draws random numbers."""
        if all(np.array_equal(value, values[0], equal_nan=True) for value in values):
            return 0.0
        totals = [float(value.sum()) for value in values]
        spread = max(totals) - min(totals)
        if not any("nondeterministic" in doubt for doubt in self.remarks.doubts):
            self.remarks.doubt(f"nondeterministic: {len(values)} calls with the same inputs differ by {spread:.2g}")
        return spread

    def claim(
        self, kind: str, claims: Claims, name: str, shape: tuple[int, ...], what: str = "gradient"
    ) -> Array | None:
        """The gradient claimed by one input; None where there is none to be looked at, and the reason is noted."""
        if name not in claims:
            self.remarks.note(f"{name}: no gradient by it is claimed, not looked at")
            return None
        if claims[name] is None:
            self.remarks.fault(f"the {what} by {name} is None")
            return None
        try:
            claim = np.asarray(claims[name], np.float64)
        except (TypeError, ValueError):
            self.remarks.fault(f"the {what} by {name} is no array of numbers")
            return None
        if claim.shape != shape:
            self.remarks.fault(f"the {what} by {name} has shape {claim.shape}, and {name} has {shape}")
            return None
        lost = np.count_nonzero(~np.isfinite(claim))
        if lost:
            self.remarks.note(f"{kind}: the {what} by {name} is not finite in {lost} of {claim.size} entries")
        return np.atleast_1d(claim)

    def ask_again(self, entries: Entries, claim: Array) -> None:
        """Doubt a gradient that is another one for the same inputs: its noise would be taken for its rounding."""
        if not np.array_equal(entries.claims(entries.x), claim, equal_nan=True):
            self.remarks.doubt(f"nondeterministic gradient by {entries.name}: two calls with the same inputs differ")

    def _entries(self, case: Given, around: Surroundings, bits: int) -> Looked:
        """The entries of one input: slopes, verdicts, a witness, planted faults; ``bits`` are those of the claim.

        Far out, where values are huge or all the same, nothing but what is plainly wrong counts.
        """
        kind, entries, claim = case.kind, around.entries, around.claim
        limit = _COLUMNS if entries.separable else self.limit or _affordable(claim.size)
        columns = entries.columns(limit, self.seed, largest(claim))
        looked = entries.count(limit)
        if looked < claim.size:
            self.remarks.note(f"{entries.name}: {looked} of {claim.size} entries looked at")
        low, high = entries.bounds
        noise = max((float(np.max(column.noise)) for column in columns), default=0.0)
        self.ask_again(entries, claim)
        spare = allowance(entries, claim, bits)
        found = len(entries.raised)
        kinked = self.ledger.look(
            kind,
            entries.name,
            claim,
            columns,
            witness=Integral(entries, claim, noise, spare, case.far),
            low=low,
            high=high,
            plant=not case.far,
            sample=not case.far,
            allowance=spare,
            case=entries,
            seen=around.seen,
        )
        if not case.far:
            self._step(entries, claim, np.where(kinked, np.inf, spare))
            if looked < claim.size and entries.bits == DOUBLE and not entries.unrest:
                self._certify(kind, entries, claim)
        if len(entries.raised) > found:
            self.remarks.note(f"{kind}: raised near this point: {entries.raised[found]}")
        self.idle[entries.name] = self.idle.get(entries.name, True) and _ignores(entries)
        return Looked(around, kinked, around.rounding(spare, kinked))

    def _step(self, entries: Entries, claim: Array, spare: Array) -> None:
        """The complex step as one more witness, of functions that NumPy can give complex numbers to."""
        if entries.claimant.kind != NUMPY.name or entries.bits != DOUBLE or entries.unrest:
            return
        low, high = entries.bounds
        # What it raises for complex numbers, or beside the point, says nothing of its gradient.
        with contextlib.suppress(RaisedError):
            said = complex_step(
                entries.value, entries.x, lambda _: claim, low=low, high=high, allowance=spare, entries=_STEPPED
            )
            self.ledger.jury.hear(said)

    def _together(self, kind: str, looked: Sequence[Looked]) -> None:
        """Entries on kinks moved together: those of a row of one input, and those of several inputs at one place."""
        for one in looked:
            self._tied(kind, one.entries.name, one, one.tied)
        for several in across(looked):
            for tied in several.tied():
                self._tied(kind, several.name, several, tied)

    def _tied(self, kind: str, name: str, claims: Looked | Across, tied: Tied) -> None:
        """Each row's entries on kinks as one direction: they must have a subgradient between them."""
        if not tied.rows.size:
            return
        said = tied.judged(claims.claim, claims.allowance, self.seed)
        lost = said.rows[said.wrong]
        if lost.size:
            self.remarks.fault(f"claims of tied entries of {name} are no subgradient together")
            claimed, slope, bar = (array[said.wrong] for array in (said.claim, said.slope, said.bar))
            self.ledger.hold(kind, name, Held(claimed, slope, bar, "no subgradient", lost))

    def _certify(self, kind: str, entries: Entries, claim: Array) -> None:
        """All entries together by random directions, and where they are wrong if no entry has told yet."""
        lines = Lines(lambda x: entries.values([x])[0], entries.x, *entries.bounds)
        certificate = probe(lines, lines.x, claim, seed=self.seed)
        wanted = certificate.verdict == "fail" and not self.ledger.failures
        located = locate(lines, lines.x, claim, seed=self.seed) if wanted else None
        self.ledger.certify(kind, entries.name, claim, certificate, located, entries)


def _affordable(size: int) -> int:
    """How many entries of so many to look at one by one."""
    return int(np.clip(_NUMBERS / (_CALLED * size), _FEWEST, _MOST))


def _visit(claimant: Claimant, inputs: Inputs) -> None:
    """Ask about other inputs, the rows in reverse order: what a function keeps of its last call is theirs then."""
    others = {name: np.flip(x, axis=0).copy() if np.ndim(x) else 0.5 * x for name, x in inputs.items()}
    with contextlib.suppress(RaisedError):
        claimant.claims(others)


def digits(claim: Any) -> int:
    """The significant bits of the numbers of a claim."""
    dtype = np.asarray(claim).dtype
    return int(np.finfo(dtype).nmant) + 1 if dtype.kind == "f" else DOUBLE


def _ignores(entries: Entries) -> bool:
    """Whether the value stays the same, whatever one input is."""
    rng = np.random.default_rng(0)
    others = [entries.x * (1.0 + 0.1 * rng.uniform(-1.0, 1.0, entries.x.shape)) for _ in range(2)]
    return bool(np.any(entries.x)) and all(np.array_equal(value, entries.base) for value in entries.values(others))


def allowance(entries: Entries, claim: Array, bits: int) -> Array:
    """What the rounding of the claim itself may be: how far it moves when its inputs do so by half a last place.

    Of a change and its opposite the smaller counts: across a kink a claim moves for another reason.
    """
    rng = np.random.default_rng(0)
    unit = 2.0**-bits
    moved = np.zeros(claim.shape)
    for _ in range(3):
        change = unit * entries.x * rng.choice((-1.0, 1.0), entries.x.shape)
        sides = [entries.claims(np.clip(entries.x + sign * change, *entries.bounds)) for sign in (1.0, -1.0)]
        with np.errstate(all="ignore"):
            moved = np.fmax(moved, np.fmin(*(np.abs(side - claim) for side in sides)))
    with np.errstate(all="ignore"):
        size = _ROUNDINGS * np.nan_to_num(moved, posinf=0.0) + 4.0 * unit * np.abs(claim)
    return np.where(np.isfinite(size), size, 0.0)
