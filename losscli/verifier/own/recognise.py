"""Which loss of the catalogue a user's function computes, told by its values: then its mistakes have names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscli.errors import LosscliError
from losscli.evaluate import evaluate, plan_of
from losscli.loss import Bound, Loss, catalogue
from losscli.plan import How, Plan
from losscli.results import Reduction
from losscli.verifier.diagnosis.scene import SLOW
from losscli.verifier.own.entries import DOUBLE, Entries

# Random numbers agree in so many digits by accident as good as never; functions of fewer digits agree in fewer.
_SAME, _NEARLY = 1e-9, 1e-4


@dataclass(frozen=True)
class Known:
    """The loss that a function computes, over its data; ``names`` are the loss's names of the function's inputs."""

    bound: Bound
    plan: Plan
    reduction: Reduction
    names: Mapping[str, str]

    @property
    def said(self) -> str:
        """What the value is, in words."""
        given = ", ".join(f"{name} = {value}" for name, value in self.bound.params.items())
        of = f" ({given})" if given else ""
        return f"its value is the {self.reduction} of {self.bound.loss.name}{of}"


def recognised(entries: Entries, defaults: Mapping[str, Any]) -> Known | None:
    """The loss whose value a function has at a point; ``defaults`` are those of its own parameters.

    A loss of that name comes first, then one without parameters.
    """
    if not np.isfinite(entries.base).all() or not np.any(entries.base):
        return None
    found = list(_found(entries, defaults))
    label = entries.claimant.label.rpartition(":")[2].lower().replace("_", "-")
    return min(found, key=lambda known: (known.bound.loss.name not in label, len(known.bound.params)), default=None)


def _found(entries: Entries, defaults: Mapping[str, Any]) -> Iterator[Known]:
    inputs = entries.inputs
    for loss in catalogue().values():
        if len(loss.reads.required) != len(inputs) or loss.reads.layout == "groups" or loss.name in SLOW:
            continue
        for turned in (list(inputs), list(inputs)[::-1]):
            names = dict(zip(turned, loss.reads.required, strict=True))
            if names.get(entries.name) in loss.reads.differentiable:
                yield from _alike(entries, loss, names, defaults)


def _alike(entries: Entries, loss: Loss, names: Mapping[str, str], defaults: Mapping[str, Any]) -> Iterator[Known]:
    """The ways of reading the inputs by which a loss has the function's value."""
    data = {names[name]: array for name, array in entries.inputs.items()}
    shared = {entry.name: defaults[entry.name] for entry in loss.params if entry.name in defaults}
    for given in ({}, shared) if shared else ({},):
        for how in _ways(loss):
            try:
                bound = loss.bind(**given)
                plan = plan_of(bound, data, how)
                rows = np.asarray(evaluate(bound, plan, reduction="none").value)
            except (LosscliError, ValueError, TypeError, IndexError):
                # Other inputs than this loss reads.
                continue
            reduction = _reduction(entries, rows)
            if reduction is not None:
                yield Known(bound, plan, reduction, names)


def _ways(loss: Loss) -> Iterator[How]:
    for link in loss.reads.links:
        yield How(link=link)
        if "labels" in loss.reads.options:
            yield How(link=link, zero_one_labels=True)


def _reduction(entries: Entries, rows: Any) -> Reduction | None:
    """How the rows' losses make the function's value; a value per row counts as their sum."""
    value, close = entries.base, _SAME if entries.bits == DOUBLE else _NEARLY
    with np.errstate(all="ignore"):
        if value.ndim and value.size == rows.size:
            same = np.allclose(value.reshape(-1), rows.reshape(-1), rtol=close, atol=0.0)
            return "sum" if same else None
        if value.size != 1 or rows.size < 2:
            return None
        made: dict[Reduction, float] = {"mean": float(rows.mean()), "sum": float(rows.sum())}
        total = float(value.reshape(()))
    return next((word for word, number in made.items() if abs(number - total) <= close * abs(total)), None)
