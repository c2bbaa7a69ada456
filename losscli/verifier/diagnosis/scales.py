"""Factors with a name: what a wrong gradient may be the right one times."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from losscli.evaluate import denominator
from losscli.loss import Bound
from losscli.plan import Plan
from losscli.results import Reduction
from losscli.targets import weigh


def scales_of(
    bound: Bound, plan: Plan, reduction: Reduction, params: Mapping[str, Any] | None = None
) -> Mapping[str, float]:
    """Factors with a name that a gradient may be wrong by, of the reduced loss over all rows of a plan.

    ``params`` are the numbers that play a part in it, the loss's parameters unless told otherwise.
    """
    made = _counts(bound, plan, reduction)
    if plan.classes > 1 or plan.own_axes(plan.signature.names[0]):
        c = plan.first.shape[-1]
        made |= {f"a mean over the classes too (C = {c})": 1.0 / c, f"times the number of classes (C = {c})": float(c)}
        if c > 1:
            made |= {f"times C/(C - 1) (C = {c})": c / (c - 1.0), f"times (C - 1)/C (C = {c})": (c - 1.0) / c}
    for name, value in (bound.params if params is None else params).items():
        if isinstance(value, float) and value not in (0.0, 1.0, -1.0):
            word = name.replace("_", "-")
            times = "the temperature not chained" if name == "temperature" else f"times {word}"
            inverse = 1.0 / value
            made |= {f"{times} ({value:g})": value, f"divided by {word} ({value:g})": inverse}
            made |= {f"times {word}² ({value:g})": value * value, f"divided by {word}² ({value:g})": inverse * inverse}
    made |= {"twice too large": 2.0, "half of what it should be": 0.5}
    return _signed(made)


def scales_by_shape(shape: tuple[int, ...]) -> Mapping[str, float]:
    """Factors with a name that a gradient of a shape may be wrong by, whatever it is the gradient of."""
    made = {"twice too large": 2.0, "half of what it should be": 0.5}
    counts = {"N": shape[0] if shape else 1, "C": shape[-1] if len(shape) > 1 else 1, "size": math.prod(shape)}
    for name, count in counts.items():
        if count > 1:
            made |= {f"sum instead of mean ({name} = {count})": float(count)}
            made |= {f"mean instead of sum ({name} = {count})": 1.0 / count}
    return _signed(made)


# What other inputs change the counts and numbers that the names of factors hold.
_COUNTED = {
    "N": "another number of rows",
    "C": "another number of classes",
    "kept": "another number of ignored rows",
    "Σw": "other weights",
    "groups": "another number of groups",
    "batch": "another first axis",
    "size": "another shape",
}


def apart_of(word: str) -> str:
    """The inputs that would tell a factor of this name from others of the same size; empty where none would."""
    counts = [_COUNTED[mark] for mark in re.findall(rf"\b({'|'.join(_COUNTED)}) =", word)]
    named = re.match(r"(?:times|divided by|the) ([a-z-]+?)²?(?: not chained)? \(", word)
    return " or ".join(dict.fromkeys([*counts, *([f"another {named[1]}"] if named else [])]))


def _signed(made: Mapping[str, float]) -> Mapping[str, float]:
    both = {"the sign changed": -1.0}
    for word, scale in made.items():
        # The square of a tiny parameter, or of its inverse, may be no number.
        if scale not in (0.0, 1.0) and math.isfinite(scale):
            both |= {word: scale, f"{word} and the sign changed": -scale}
    return both


def _counts(bound: Bound, plan: Plan, reduction: Reduction) -> dict[str, float]:
    """The factors between the reductions that programs confuse."""
    rows = math.prod(plan.lead) if plan.groups is None else len(plan.groups.sizes)
    if plan.groups is not None:
        of: dict[str, float] = {f"(groups = {rows})": float(rows), f"(N = {plan.rows})": float(plan.rows)}
    else:
        kept, weight = _measured(plan)
        of = {f"(N = {rows})": float(rows)}
        if kept not in (0, rows):
            of[f"(kept = {kept} of N = {rows})"] = float(kept)
        if weight not in (0.0, rows, kept):
            of[f"(Σw = {weight:.8g})"] = weight
        if plan.lead[1:]:
            of[f"(batch = {plan.lead[0]})"] = float(plan.lead[0])
    if reduction != "mean":
        made = {f"mean instead of sum {word}": 1.0 / by for word, by in of.items() if by != 1.0}
        return made | {f"multiplied by {word[1:-1]}": by for word, by in of.items() if by != 1.0}
    own = denominator(bound, plan)
    if own <= 0.0:
        return {}
    mine = next((word for word, by in of.items() if by == own), "")
    made = {f"sum instead of mean {mine}": own, f"divided by N twice {mine}": 1.0 / own}
    for word, by in of.items():
        if by != own:
            right = mine[1:-1] or f"{own:.8g}"
            made |= {f"a mean over {word[1:-1]}, not over {right}": own / by, f"divided by {word[1:-1]} too": 1.0 / by}
    return made


def _measured(plan: Plan) -> tuple[int, float]:
    """How many rows count, and the sum of their weights."""
    found = [weigh(plan, *span) for span in plan.spans()]
    return sum(one.kept for one in found), math.fsum(one.total for one in found)
