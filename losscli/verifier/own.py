"""Whether the gradient of a user's own function is the slope of its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from losscli.errors import UsageError, did_you_mean
from losscli.inputs import Array
from losscli.loss import Bound
from losscli.verifier.along import Integral
from losscli.verifier.answer import Answer, Remarks
from losscli.verifier.drawn import drawings
from losscli.verifier.entries import Entries, bits_of
from losscli.verifier.foreign import frameworks_of
from losscli.verifier.functions import (
    Claimant,
    Claims,
    Inputs,
    RaisedError,
    Target,
    Values,
    claimant_of,
    floats,
)
from losscli.verifier.ledger import Ledger

LIMIT = 256  # entries of a function that mixes its rows, looked at one by one
_COLUMNS = 64
_SCALES = (1.0, 0.03, 8.0)
_CALLS = 5  # of a function with the same inputs, to see whether it gives the same answer
_ROUNDINGS = 8.0  # of a claim, in changes that it shows when its inputs change by half a unit in the last place
_FORMATS = {24: "single", 11: "half", 8: "bfloat16"}


@dataclass(frozen=True)
class Given:
    """Inputs to look at a function at, under the name of what they try, and the bounds of those that have any."""

    kind: str
    inputs: Inputs
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What a user asks for: who claims the gradient, what it is held against, and how inputs are drawn."""

    grad_name: str = ""
    loss_name: str = ""
    against: Bound | None = None
    wrt: str = ""
    shape: tuple[int, ...] | None = None
    seed: int = 0
    command: str = ""


def inputs_of(target: Target) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the inputs that a function must be given, and of those that it may be."""
    return target.required, target.optional


def check_target(target: Target, data: Inputs | None, asked: Asked) -> Answer:
    """Verify the gradient of a function of a file at data, or at inputs drawn from the names of its parameters.

    Raises UsageError where no inputs can be drawn that it accepts, and where it claims nothing.
    """
    if data is not None:
        return _at_data(target, data, asked)
    failed: RaisedError | None = None
    for drawing in drawings(target.parameters, asked.shape):
        first = drawing.draw(asked.seed, 1.0)
        try:
            claimant = claimant_of(target, frameworks_of(target), first, asked.grad_name)
        except RaisedError as error:
            failed = failed or error
            continue
        if not np.isfinite(np.asarray(claimant.value(first), np.float64)).all():
            continue
        cases = [
            Given("random", drawing.draw(asked.seed + at, scale), drawing.bounds) for at, scale in enumerate(_SCALES)
        ]
        notes = [f"inputs drawn: {drawing.said}"]
        return check_function(claimant, cases, wrt=asked.wrt, seed=asked.seed, command=asked.command, notes=notes)
    why = f": {failed}" if failed else ": its value is not finite"
    message = f"no inputs can be drawn that {target.label} accepts{why}"
    raise UsageError("function-data", message, hint="give data, by the names of its parameters")


def _at_data(target: Target, data: Inputs, asked: Asked) -> Answer:
    try:
        claimant = claimant_of(target, frameworks_of(target), data, asked.grad_name)
    except RaisedError as error:
        remarks = Remarks()
        remarks.doubt(f"raised {error}")
        return remarks.answer(Ledger().check(target.label, {}, asked.seed, asked.command))
    return check_function(claimant, [Given("data", data)], wrt=asked.wrt, seed=asked.seed, command=asked.command)


def check_function(
    claimant: Claimant,
    cases: Sequence[Given],
    *,
    wrt: str = "",
    seed: int = 0,
    command: str = "",
    notes: Sequence[str] = (),
) -> Answer:
    """Verify the gradient that a function claims, at some inputs, by every input of real numbers or by ``wrt`` alone.

    The reference is the slope of the value by a Ridders table with an error bar; before a claim is called wrong, the
    integral of the claimed gradient must disagree with what the value gains, too. Raises UsageError where no input has
    a gradient.
    """
    remarks = Remarks(notes=dict.fromkeys(notes))
    ledger = Ledger()
    for case in cases:
        _look(ledger, remarks, claimant, case, _names(case.inputs, wrt, remarks), seed)
    return remarks.answer(ledger.check(claimant.label, {}, seed, command))


def _names(inputs: Inputs, wrt: str, remarks: Remarks) -> list[str]:
    names = floats(inputs)
    if wrt and wrt not in names:
        message = f"no gradient by {wrt!r}: the inputs of real numbers are {', '.join(names) or 'none'}"
        raise UsageError("wrt-unknown", message, hint=did_you_mean(wrt, names))
    for name, array in inputs.items():
        if name not in names:
            remarks.note(
                f"{name}: {'integers' if np.asarray(array).dtype.kind in 'iu' else 'no numbers'}, not looked at"
            )
    if not names:
        raise UsageError("function-data", "no input of real numbers to take a gradient by")
    return [wrt] if wrt else names


def _look(ledger: Ledger, remarks: Remarks, claimant: Claimant, case: Given, names: Sequence[str], seed: int) -> None:
    """One case: what is wrong with the function itself, then its claims beside the slopes."""
    inputs = case.inputs
    try:
        values = [np.asarray(value, np.float64) for value in claimant.values([inputs] * _CALLS)]
    except RaisedError as error:
        remarks.doubt(f"raised {error}")
        return
    for name in claimant.changed(inputs):
        remarks.fault(f"changes its input {name!r} in place")
    unrest = _unrest(values, remarks)
    try:
        claims = claimant.claims(inputs)
    except RaisedError as error:
        remarks.fault(f"the gradient raised {error}")
        return
    bits = bits_of(claimant, inputs, names, seed)
    if bits in _FORMATS:
        remarks.note(f"computes in {_FORMATS[bits]} precision: the resolution is that of its rounding")
    for name in names:
        entries = Entries(claimant, inputs, name, bits, unrest, case.bounds.get(name, (-np.inf, np.inf)))
        claim = _claim(claims, entries, remarks)
        if claim is not None:
            _entries(ledger, remarks, case.kind, entries, claim, seed)


def _unrest(values: Sequence[Values], remarks: Remarks) -> float:
    """How far calls with the same inputs differ: the noise of a function that draws random numbers."""
    if all(np.array_equal(value, values[0], equal_nan=True) for value in values):
        return 0.0
    totals = [float(value.sum()) for value in values]
    spread = max(totals) - min(totals)
    remarks.doubt(f"nondeterministic: {len(values)} calls with the same inputs differ by {spread:.2g}")
    return spread


def _claim(claims: Claims, entries: Entries, remarks: Remarks) -> Array | None:
    """The gradient claimed by one input; None where there is none to be looked at, and the reason is noted."""
    name = entries.name
    if name not in claims:
        remarks.note(f"{name}: no gradient by it is claimed, not looked at")
        return None
    if claims[name] is None:
        remarks.fault(f"the gradient by {name} is None")
        return None
    try:
        claim = np.asarray(claims[name], np.float64)
    except (TypeError, ValueError):
        remarks.fault(f"the gradient by {name} is no array of numbers")
        return None
    if claim.shape != entries.x.shape:
        remarks.fault(f"the gradient by {name} has shape {claim.shape}, and {name} has {entries.x.shape}")
        return None
    return claim


def _entries(ledger: Ledger, remarks: Remarks, kind: str, entries: Entries, claim: Array, seed: int) -> None:
    """The entries of one input: slopes, verdicts, a witness, planted faults."""
    limit = _COLUMNS if entries.separable else LIMIT
    largest = np.unravel_index(int(np.argmax(np.abs(claim))), claim.shape)
    columns = entries.columns(limit, seed, tuple(int(i) for i in largest))
    looked = entries.count(limit)
    if looked < claim.size:
        remarks.note(f"{entries.name}: {looked} of {claim.size} entries looked at")
    low, high = entries.bounds
    noise = max((float(np.max(column.noise)) for column in columns), default=0.0)
    allowance = _allowance(entries, claim)
    found = len(entries.raised)
    ledger.look(
        kind,
        entries.name,
        claim,
        columns,
        witness=Integral(entries, claim, noise),
        low=low,
        high=high,
        plant=True,
        allowance=allowance,
        case=entries,
    )
    if len(entries.raised) > found:
        remarks.note(f"raised near this point: {entries.raised[found]}")
    if _ignores(entries):
        remarks.note(f"the value does not depend on {entries.name}")


def _ignores(entries: Entries) -> bool:
    """Whether the value stays the same, whatever one input is."""
    rng = np.random.default_rng(0)
    others = [entries.x * (1.0 + 0.1 * rng.uniform(-1.0, 1.0, entries.x.shape)) for _ in range(2)]
    return bool(np.any(entries.x)) and all(np.array_equal(value, entries.base) for value in entries.values(others))


def _allowance(entries: Entries, claim: Array) -> Array:
    """What the rounding of the claim itself may be: how far it moves when its inputs do so by half a last place.

    Of a change and its opposite the smaller counts: across a kink a claim moves for another reason.
    """
    rng = np.random.default_rng(0)
    unit = 2.0**-entries.bits
    moved = np.zeros(claim.shape)
    for _ in range(3):
        change = unit * entries.x * rng.choice((-1.0, 1.0), entries.x.shape)
        pair = [_beside(entries, claim, entries.x + sign * change) for sign in (1.0, -1.0)]
        moved = np.fmax(moved, np.fmin(*pair))
    with np.errstate(all="ignore"):
        size = _ROUNDINGS * np.nan_to_num(moved, posinf=0.0) + 4.0 * unit * np.abs(claim)
    return np.where(np.isfinite(size), size, 0.0)


def _beside(entries: Entries, claim: Array, x: Array) -> Any:
    try:
        claims = entries.claimant.claims({**entries.inputs, entries.name: np.clip(x, *entries.bounds)})
        with np.errstate(all="ignore"):
            return np.abs(np.asarray(claims[entries.name], np.float64) - claim)
    except (RaisedError, KeyError, TypeError, ValueError):
        return np.zeros(claim.shape)
