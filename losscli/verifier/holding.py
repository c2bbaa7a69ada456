"""What claims must be by other claims of the same loss: under weights, under each reduction, beside a row of NaN."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from losscli.evaluate import denominator, evaluate
from losscli.inputs import Array
from losscli.results import Reduction, Wants
from losscli.verifier.ledger import Held
from losscli.verifier.objective import Objective
from losscli.verifier.witness.field import Field
from losscli.verifier.witness.witnesses import ROUNDOFF

_TINY = float(np.finfo(np.float64).tiny)
_ROUNDINGS = 4.0  # a weight's product, the reduction's factor, its product, and the one that undoes it


def claimed(objective: Objective, order: int = 1, reduction: Reduction = "sum") -> tuple[Array, Array]:
    """The slopes of the reduced loss, as the library gives them, for the rows that count and for those that do not.

    ``order`` 2: the diagonal Hessian in their place. Where no row counts the first has none.
    """
    made, name = objective.plan, objective.name
    wants = Wants(grad=name) if order == 1 else Wants(hess=name)
    result = evaluate(objective.bound, made, reduction=reduction, wants=wants, empty="nan")
    found = result.gradient if order == 1 else result.hessian
    assert found is not None
    whole = made.columns[name].laid_out(found)
    if objective.shared:
        return whole, np.empty(0)
    view = whole[made.at(0, made.rows)]
    rows = view.reshape(objective.table.weighing.rows, *objective.x.shape[1:])
    keep = objective.table.weighing.keep
    return (rows, rows[:0]) if keep is None else (rows[keep], np.delete(rows, keep, axis=0))


def upstreams(objective: Objective, claim: Array) -> Iterator[Held]:
    """The gradient of every reduction is that of the sum times a factor; that of Σ u L is that of Σ L, row by row."""
    field = Field(objective)
    allowance = 2.0 * field.allowance + _ROUNDINGS * ROUNDOFF * np.abs(claim) + _TINY
    weight = 1.0 if field.pooled else _total(objective)
    yield Held(claimed(objective, reduction="none")[0], claim, allowance, "each row's own")
    if weight > 0.0:
        yield Held(claimed(objective, reduction="mean")[0] * weight, claim, allowance, "mean × N = sum")
    weights = objective.table.weighing.weight
    if weights is None or field.pooled or objective.shared:
        return
    plain = replace(objective, plan=replace(objective.plan, sample_weight=None))
    expected = claimed(plain)[0] * weights.reshape(-1, *[1] * (claim.ndim - 1))
    yield Held(claim, expected, allowance, "weight × each row's own")


def _total(objective: Objective) -> float:
    """What a mean of the losses divides by, from the rows that count."""
    if objective.bound.loss.dialect is not None:
        return denominator(objective.bound, objective.plan)
    groups = objective.table.groups
    return objective.table.weighing.total if groups is None else float(len(groups.sizes))


def containment(objective: Objective, _: Array) -> Iterator[Held]:
    """A row of NaN changes nothing in the others.

    But for a rounding: the exponential of several numbers at once takes another way where one of them is NaN.
    """
    if objective.shared:
        return
    row = len(objective.x) // 2
    spoiled = objective.x.copy()
    spoiled[row] = np.nan
    others = np.delete(objective.gradient(spoiled), row, axis=0)
    expected = np.delete(objective.gradient(objective.x), row, axis=0)
    allowance = np.delete(2.0 * Field(objective).allowance, row, axis=0)
    allowance = allowance + _ROUNDINGS * ROUNDOFF * np.abs(expected) + _TINY
    yield Held(others, expected, allowance, "a row of NaN beside it")


HOLDING: Mapping[str, Callable[[Objective, Array], Iterator[Held]]] = {
    "upstreams": upstreams,
    "containment": containment,
}
