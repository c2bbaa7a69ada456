"""From data to numbers: a plan, its blocks in any engine, and the result.

Blocks start at fixed rows, each is summed by numpy's pairwise sum, and the sums of blocks are added exactly. So the
value is the same float for every engine and thread count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from losscli.blocks import Measure, Outputs, Work, folded
from losscli.dialects import averaged
from losscli.engines import Engine, serial
from losscli.errors import DataError, Place, UsageError
from losscli.files.source import Source
from losscli.inputs import Array
from losscli.loss import Bound, Denominator, Pooled, Rows, get
from losscli.plan import How, Plan, plan
from losscli.results import ByClass, Penalty, Reduction, Result, Wants
from losscli.sums import Exact, Part
from losscli.targets import arrange

# Makes room for one of Outputs, by name and shape: zeros, or a file of them that each worker opens itself.
Allocate = Callable[[str, tuple[int, ...]], Any]


def in_memory(_: str, shape: tuple[int, ...]) -> Array:
    """Room for an output as an array."""
    return np.zeros(shape)


def evaluate(
    bound: Bound,
    sources: Mapping[str, Any] | Plan,
    *,
    how: How | None = None,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: Reduction | None = None,
    empty: Literal["error", "nan", "zero"] | None = None,
    wants: Wants | None = None,
    penalty: Penalty | None = None,
    engine: Engine = serial,
    allocate: Allocate = in_memory,
) -> Result:
    """The reduced loss over data, and on request its gradient, diagonal Hessian and per-row values.

    ``sources`` maps each input's name to an array or a Source, or is a plan already made of them. ``mean`` divides
    by the sum of the weights in force, or by the number of losses that count when there are none. The gradient is
    that of the reduced value; for ``none``, each row's own. ``empty`` is the value when no row counts, an error unless
    the loss is in a dialect that says otherwise. ``penalty`` makes the loss of a linear head a structural risk.
    ``allocate`` makes what slopes and per-row losses are written into, given their name in Outputs and their shape;
    numbers are rounded to its dtype. Raises UsageError and DataError.
    """
    wants, penalty = wants or Wants(), penalty or Penalty()
    _check_penalty(bound, penalty, reduction)
    made = sources if isinstance(sources, Plan) else plan_of(bound, sources, how, sample_weight, mask)
    check_wants(bound, made, wants)
    reduction = reduction or bound.loss.reads.reduction
    if reduction == "mean":
        bound = replace(bound, loss=averaged(bound.loss))
    weight = denominator(bound, made, engine)
    empty = empty or (bound.loss.dialect.empty if bound.loss.dialect else "error")
    outputs = _outputs(made, wants, reduction, allocate)
    scale = 1.0 / weight if reduction == "mean" and weight > 0 else 1.0
    moves = wants.grad == bound.loss.reads.labels and moved_by_labels(bound, made, reduction)
    mean = float(evaluate(bound, made, reduction="mean", empty="zero", engine=engine).value) if moves else 0.0
    work = Work(bound, made, wants, scale, outputs, mean=mean)
    part = sum(engine(work, made.spans()), Part())
    _keep_shared(work, part)
    result = Result(
        bound=bound,
        plan=made,
        reduction=reduction,
        value=math.nan,
        rows=part.rows,
        kept=part.kept,
        weight=weight,
        nonfinite=part.nonfinite,
        accuracy=part.right / part.judged if part.judged else None,
        top=tuple((row, value) for value, row in part.top),
        by_class=_by_class(made, part),
        wants=wants,
        **vars(outputs),
    )
    if part.kept == 0 or (reduction == "mean" and weight == 0.0):
        return replace(result, value=_nothing(result, empty))
    if len(part.total) > 1:
        # One value whatever the reduction: no row has a loss of its own.
        result = replace(result, per_sample=None)
    return _penalised(replace(result, value=_value(work, part, reduction, weight, engine)), penalty)


def _check_penalty(bound: Bound, penalty: Penalty, reduction: Reduction | None) -> None:
    if penalty.terms and "l1" not in bound.loss.reads.options:
        raise UsageError("option-unknown", f"{bound.loss.name} has no weights to penalise")
    if penalty.terms and reduction == "none":
        raise UsageError(
            "penalty", "a penalty is added to one value, not to each row's", hint="--reduction mean or sum"
        )


def _penalised(result: Result, penalty: Penalty) -> Result:
    """The result with the penalties on the weights added to the value and to what is taken by the weights."""
    for name, factor in penalty.terms.items():
        weights = result.plan.shared["weights"]
        rows = get(name).bind()(weights.reshape(-1))
        assert isinstance(rows, Rows)
        result = replace(result, value=result.value + factor * float(rows.value.sum()))
        slopes = (result.wants.grad, result.gradient, rows.grad), (result.wants.hess, result.hessian, rows.hess)
        for by, array, slope in slopes:
            if by == "weights" and array is not None and slope is not None:
                array += factor * np.asarray(slope()).reshape(array.shape)
    return replace(result, penalty=penalty)


def as_source(name: str, data: Any) -> Source:
    """A Source as it is, or one around an array in memory."""
    return data if isinstance(data, Source) else Source(name, np.asarray(data))


def plan_of(
    bound: Bound, sources: Mapping[str, Any], how: How | None = None, sample_weight: Any = None, mask: Any = None
) -> Plan:
    """The plan of a loss's data, given as arrays or Sources."""
    how, dialect = how or How(), bound.loss.dialect
    if dialect is not None and how.ignore_index is None:
        how = replace(how, ignore_index=dialect.ignore_index)
    return plan(
        bound.loss.reads,
        {name: as_source(name, data) for name, data in sources.items()},
        how,
        sample_weight=None if sample_weight is None else as_source("sample-weight", sample_weight),
        mask=None if mask is None else as_source("mask", mask),
    )


def check_wants(bound: Bound, made: Plan, wants: Wants) -> None:
    """Refuse what a loss does not have over a plan's data: UsageError."""
    signature = bound.loss.reads
    if wants.grad and wants.grad == signature.labels and signature.expected:
        if not _soft(made):
            message = f"{wants.grad} are class indices: only soft labels, one number per class, have a gradient"
            raise UsageError("wrt-labels", message)
        wants = replace(wants, grad="")
    if wants.hess and wants.hess == signature.labels and signature.expected:
        message = f"{bound.loss.name} has no diagonal Hessian with respect to {wants.hess}: it is linear in them"
        raise UsageError("hessian-none", message)
    for name in filter(None, (wants.grad, wants.hess)):
        if name not in signature.differentiable:
            message = f"{bound.loss.name} has no gradient with respect to {name!r}"
            raise UsageError("wrt-unknown", message, hint=f"--wrt is one of {', '.join(signature.differentiable)}")
    if wants.by_class and not signature.labels:
        raise UsageError("by-class", f"{bound.loss.name} has no classes to break the loss down by")


def denominator(bound: Bound, made: Plan, engine: Engine = serial) -> float:
    """What the mean of a loss over a plan's rows is divided by: reads no scores."""
    return _denominator(made, _mean_of(bound, made), engine)


def moved_by_labels(bound: Bound, made: Plan, reduction: Reduction) -> bool:
    """Whether what a reduction divides by moves with soft labels: with the weights of their classes."""
    return reduction == "mean" and made.how.class_weight is not None and _mean_of(bound, made) == "weights"


def _mean_of(bound: Bound, made: Plan) -> Denominator:
    """What the mean divides by: the weights in force, unless the loss is in a dialect that says otherwise."""
    dialect = bound.loss.dialect
    if dialect is None:
        return "weights"
    return dialect.soft_mean if dialect.soft_mean and _soft(made) else dialect.mean


def _soft(made: Plan) -> bool:
    """Whether labels are given as a number per class."""
    labels = made.columns.get(made.signature.labels)
    return labels is not None and len(labels.shape) > len(made.lead)


def _denominator(made: Plan, by: Denominator, engine: Engine) -> float:
    """What the mean divides by: the sum of the weights in force, or a number of rows. Reads no scores."""
    if made.groups is not None:
        return float(len(made.groups.sizes))
    if by == "batch":
        return float(made.rows)
    if by == "entries":
        return _denominator(made, "kept", engine) * made.first.shape[-1]
    masked = made.how.ignore_index is not None or made.mask is not None
    weighed = by == "weights" and (made.how.class_weight is not None or made.sample_weight is not None)
    if by == "rows" or not (masked or weighed):
        return float(math.prod(made.lead))
    return sum(engine(Measure(made, counting=by == "kept"), made.spans()), Exact()).value


def _outputs(made: Plan, wants: Wants, reduction: Reduction, allocate: Allocate) -> Outputs:
    losses = made.lead if made.groups is None else made.groups.sizes.shape
    return Outputs(
        allocate("gradient", made.columns[wants.grad].source.shape) if wants.grad else None,
        allocate("hessian", made.columns[wants.hess].source.shape) if wants.hess else None,
        allocate("per_sample", losses) if wants.per_sample or reduction == "none" else None,
    )


def _keep_shared(work: Work, part: Part) -> None:
    """Put slopes by inputs that all rows share, which the blocks only add to, where they belong."""
    pairs = (
        (work.wants.grad, part.gradient, work.outputs.gradient),
        (work.wants.hess, part.hessian, work.outputs.hessian),
    )
    for name, total, target in pairs:
        if total is not None and target is not None:
            work.plan.columns[name].laid_out(np.asarray(target))[...] = total.value


def _value(work: Work, part: Part, reduction: Reduction, weight: float, engine: Engine) -> float | Array:
    totals = tuple(total.value for total in part.total)
    if len(totals) > 1:
        return _pooled_value(replace(work, totals=totals, scale=1.0), engine)
    if reduction == "none" and work.outputs.per_sample is not None:
        return np.asarray(work.outputs.per_sample)
    return totals[0] / weight if reduction == "mean" else totals[0]


def _pooled_value(work: Work, engine: Engine) -> float:
    """The value of a pooled loss from its totals; its slopes, which need them, in a second pass over the data."""
    if work.wants.grad or work.wants.hess:
        _keep_shared(work, sum(engine(work, work.plan.spans()), Part()))
    with np.errstate(all="ignore"):
        kernel = work.bound(*folded(work.plan, arrange(work.plan, 0, 1)).variables)
        assert isinstance(kernel, Pooled)
        return float(kernel.value(*map(np.float64, work.totals)))


def _nothing(result: Result, empty: str) -> float | Array:
    """The value when no row counts: refused, or NaN or zero when that was asked for; each row's own is zero."""
    if empty == "error":
        raise DataError(
            "nothing-kept",
            "no row counts: all are masked, ignored or of weight zero",
            place=Place(result.plan.first.source.name),
            hint="--empty nan or --empty zero gives such data a value",
        )
    if result.reduction == "none" and result.per_sample is not None:
        return result.per_sample
    return math.nan if empty == "nan" and result.reduction == "mean" else 0.0


def _by_class(made: Plan, part: Part) -> tuple[ByClass, ...]:
    return tuple(
        ByClass(index, made.names[index] if made.names else str(index), tally.rows, tally.mean, tally.right)
        for index, tally in sorted(part.classes.items())
    )
