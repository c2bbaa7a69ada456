"""Which loss of the catalogue a user's function computes, told by its values: then its mistakes have names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from losscli.errors import LosscliError
from losscli.evaluate import denominator, evaluate, plan_of
from losscli.loss import Bound, Denominator, Dialect, Loss, catalogue
from losscli.plan import Plan
from losscli.results import Reduction
from losscli.verifier.own.entries import DOUBLE, Entries
from losscli.verifier.own.functions import Inputs
from losscli.verifier.own.suggested import Hints, Reading

# Random numbers agree in so many digits by accident as good as never; functions of fewer digits agree in fewer.
_SAME, _NEARLY = 1e-9, 1e-4
_MEANS: tuple[Denominator, ...] = ("kept", "rows", "batch", "entries")
_DIVIDED: Mapping[Denominator, str] = {
    "kept": "divided by the rows that count, not by their weights",
    "rows": "divided by all rows, ignored ones too",
    "batch": "divided by the length of the first axis",
    "entries": "divided by the number of entries",
}


@dataclass(frozen=True)
class Known:
    """The loss that a function computes, over its data; ``names`` are the loss's names of the function's inputs.

    The loss reads scores that the function divides by ``temperature``. Of a pooled loss there is no reduction.
    """

    bound: Bound
    plan: Plan
    reduction: Reduction
    names: Mapping[str, str]
    temperature: float = 1.0

    @property
    def said(self) -> str:
        """What the value is, in words."""
        how, dialect = self.plan.how, self.bound.loss.dialect
        given = [
            f"{name} = {value}" for name, value in self.bound.params.items() if value is not None and value is not False
        ]
        given += [f"label smoothing {how.label_smoothing:g}"] if how.label_smoothing else []
        given += [f"temperature {self.temperature:g}"] if self.temperature != 1.0 else []
        given += ["class weights"] if how.class_weight is not None else []
        given += ["sample weights"] if self.plan.sample_weight is not None else []
        given += [f"ignored label {how.ignore_index}"] if how.ignore_index is not None else []
        given += [_DIVIDED[dialect.mean]] if dialect is not None and dialect.mean in _DIVIDED else []
        of = f" ({', '.join(given)})" if given else ""
        reduced = "" if self.reduction == "none" else f"the {self.reduction} of "
        return f"its value is {reduced}{self.bound.loss.name}{of}"

    def simpler(self, label: str) -> tuple[Any, ...]:
        """What the likeliest of several losses of one value is the least by.

        A loss that the function is called like comes first, then what needs the fewest settings and other names.
        """
        loss, params = self.bound.loss, self.bound.params
        set_ = sum(params[entry.name] != entry.default for entry in loss.params)
        renamed = sum(mine != theirs for mine, theirs in self.names.items())
        rows = loss.reads.layout != "elements"
        return loss.name not in label, loss.dialect is not None, set_, renamed, rows, len(params)


def recognised(entries: Entries, defaults: Mapping[str, Any]) -> Known | None:
    """The loss whose value a function has at a point; ``defaults`` are those of its own parameters."""
    if not np.isfinite(entries.base).all() or not np.any(entries.base):
        return None
    label = entries.claimant.label.rpartition(":")[2].lower().replace("_", "-")
    return min(_found(entries, defaults), key=lambda known: known.simpler(label), default=None)


def _found(entries: Entries, defaults: Mapping[str, Any]) -> Iterator[Known]:
    hints = Hints.of(entries.inputs, defaults)
    arrays = [name for name, array in entries.inputs.items() if np.ndim(array)]
    for loss in catalogue().values():
        if loss.reads.layout == "groups" or loss.costly:
            continue
        for names, spare in _pairings(arrays, loss.reads.required):
            if names.get(entries.name) in loss.reads.differentiable:
                yield from _alike(entries, loss, names, hints, spare)


def _pairings(mine: list[str], theirs: tuple[str, ...]) -> Iterator[tuple[dict[str, str], str]]:
    """A loss's names of the function's inputs, in their order and turned round, and an input that is left over."""
    spares = [""] if len(mine) == len(theirs) else mine if len(mine) == len(theirs) + 1 else []
    for spare in spares:
        rest = [name for name in mine if name != spare]
        for turned in dict.fromkeys([tuple(rest), tuple(rest[::-1])]):
            yield dict(zip(turned, theirs, strict=True)), spare


def _alike(entries: Entries, loss: Loss, names: Mapping[str, str], hints: Hints, spare: str) -> Iterator[Known]:
    """The ways of reading the inputs by which a loss has the function's value."""
    data = {theirs: np.asarray(entries.inputs[mine]) for mine, theirs in names.items()}
    weights = np.asarray(entries.inputs[spare]) if spare else None
    for reading in hints.readings(loss, data, weights):
        if reading.temperature != 1.0 and names[entries.name] != loss.reads.required[0]:
            continue
        try:
            plan = _plan(loss, data, reading)
            found = _reduced(entries, loss.bind(**reading.params), plan)
        except (LosscliError, ValueError, TypeError, IndexError):
            # Other inputs than this loss reads.
            continue
        if found is not None:
            bound, reduction = found
            yield Known(bound, plan, reduction, names, reading.temperature)


def _plan(loss: Loss, data: Inputs, reading: Reading) -> Plan:
    first = loss.reads.required[0]
    scores = data[first] if reading.temperature == 1.0 else data[first] / reading.temperature
    return plan_of(loss.bind(), {**data, first: scores}, reading.how, reading.sample_weight)


def _reduced(entries: Entries, bound: Bound, plan: Plan) -> tuple[Bound, Reduction] | None:
    """How the rows' losses make the function's value; a value per row counts as their sum.

    A mean that divides by something else than the exact one is that of a dialect.
    """
    value, close = entries.base, _SAME if entries.bits == DOUBLE else _NEARLY
    rows = np.asarray(evaluate(bound, plan, reduction="none").value)
    if value.ndim and value.size == rows.size:
        return (bound, "sum") if np.allclose(value.reshape(-1), rows.reshape(-1), close, 0.0) else None

    def same(number: float) -> bool:
        return value.size == 1 and abs(number - value.item()) <= close * abs(value.item())

    def mean(by: Bound) -> float:
        # All rows may be ignored.
        divisor = denominator(by, plan)
        return total / divisor if divisor else float("nan")

    total = float(rows.sum())
    if rows.ndim == 0:
        return (bound, "none") if same(total) else None
    if rows.size < 2:
        # The sum of one row is its mean, too.
        return None
    if same(mean(bound)):
        return bound, "mean"
    if same(total):
        return bound, "sum"
    others = (replace(bound, loss=replace(bound.loss, dialect=Dialect("", mean=by))) for by in _MEANS)
    return next(((other, "mean") for other in others if same(mean(other))), None)
