"""From a plan to numbers: blocks to parts, parts to a result, gradients block by block.

Blocks start at fixed rows, each is summed by numpy's pairwise sum, and the sums of blocks are added exactly. So the
value is the same float for every engine, thread count and order of arrival.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from losscli.engines import Engine, serial
from losscli.errors import DataError, Place, UsageError
from losscli.files.source import Source
from losscli.inputs import Array, Fold, Ints
from losscli.loss import Batch, Bound, Pooled, Rows, Slope
from losscli.plan import How, Plan, plan
from losscli.results import ByClass, Reduction, Result, Wants
from losscli.sums import Exact, Part
from losscli.targets import Table, Weighing, arrange, weigh

Allocate = Callable[[tuple[int, ...]], Array]


@dataclass
class _Outputs:
    """Arrays that the blocks of a run write into, each its own rows."""

    gradient: Array | None = None
    hessian: Array | None = None
    per_sample: Array | None = None
    top: list[tuple[float, int]] = field(default_factory=list)
    classes: list[tuple[Array, ...]] = field(default_factory=list)


def evaluate(
    bound: Bound,
    sources: Mapping[str, Any] | Plan,
    *,
    how: How | None = None,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: Reduction | None = None,
    empty: Literal["error", "nan", "zero"] = "error",
    wants: Wants | None = None,
    engine: Engine = serial,
    allocate: Allocate = np.zeros,
) -> Result:
    """The reduced loss over data, and on request its gradient, diagonal Hessian and per-row values.

    ``sources`` maps each input's name to an array or a Source, or is a plan already made of them. ``mean`` divides
    by the sum of the weights in force, or by the number of kept rows when there are none. The gradient is that of
    the reduced value; for ``none``, each row's own. ``allocate`` makes the arrays that gradients are written into.
    Raises UsageError and DataError.
    """
    wants = wants or Wants()
    made = (
        sources
        if isinstance(sources, Plan)
        else plan(
            bound.loss.reads,
            {name: as_source(name, data) for name, data in sources.items()},
            how or How(),
            sample_weight=None if sample_weight is None else as_source("sample-weight", sample_weight),
            mask=None if mask is None else as_source("mask", mask),
        )
    )
    _check_wants(bound, wants)
    reduction = reduction or bound.loss.reads.reduction
    weight = _denominator(made, engine)
    if made.groups is not None:
        weight = float(len(made.groups.sizes))
    out = _outputs(made, wants, reduction, allocate)
    scale = 1.0 / weight if reduction == "mean" and weight > 0 else 1.0
    work = partial(_block, made, bound, wants, scale, out)
    part = Part()
    for piece in engine(work, made.spans()):
        part += piece
    if part.kept == 0 or (reduction == "mean" and weight == 0.0):
        return _empty(bound, made, reduction, empty, part, wants)
    value = _finish(bound, made, part, reduction, weight, wants, out, engine)
    return Result(
        bound,
        made,
        reduction,
        value,
        part.rows,
        part.kept,
        weight,
        part.nonfinite,
        part.right / part.judged if part.judged else None,
        out.gradient,
        out.hessian,
        out.per_sample,
        tuple((row, value) for value, row in sorted(out.top, key=lambda pair: (-pair[0], pair[1]))[: wants.top]),
        _by_class(made, out),
        wants,
    )


def as_source(name: str, data: Any) -> Source:
    """A Source as it is, or one around an array in memory."""
    return data if isinstance(data, Source) else Source(name, np.asarray(data))


def _check_wants(bound: Bound, wants: Wants) -> None:
    signature = bound.loss.reads
    for name in filter(None, (wants.grad, wants.hess)):
        if name not in signature.differentiable:
            message = f"{bound.loss.name} has no gradient with respect to {name!r}"
            raise UsageError("wrt-unknown", message, hint=f"--wrt is one of {', '.join(signature.differentiable)}")
    if wants.by_class and signature.layout != "classes":
        raise UsageError("by-class", f"{bound.loss.name} has no classes to break the loss down by")


def _denominator(made: Plan, engine: Engine) -> float:
    """The sum of the weights in force; without any, the number of losses. Reads no scores."""
    plain = made.how.class_weight is None and made.how.ignore_index is None
    if plain and made.sample_weight is None and made.mask is None:
        return float(math.prod(made.lead))
    total = Exact()
    for piece in engine(lambda span: weigh(made, *span).total, made.spans()):
        total = total.plus(piece)
    return total.value


def _outputs(made: Plan, wants: Wants, reduction: Reduction, allocate: Allocate) -> _Outputs:
    out = _Outputs()
    if wants.grad:
        out.gradient = allocate(made.columns[wants.grad].source.array.shape)
    if wants.hess:
        out.hessian = allocate(made.columns[wants.hess].source.array.shape)
    if wants.per_sample or reduction == "none":
        losses = made.lead if made.groups is None else made.groups.sizes.shape
        out.per_sample = allocate(losses)
    return out


def _block(made: Plan, bound: Bound, wants: Wants, scale: float, out: _Outputs, span: tuple[int, int]) -> Part:
    """One block: its sums, and its rows of whatever is written per row."""
    with np.errstate(all="ignore"):
        table = arrange(made, *span)
        fold = made.signature.links[made.link].fold(*table.arrays)
        kernel = bound(*fold.variables)
        if isinstance(kernel, Pooled):
            return _pooled_part(kernel, table.weighing)
        value = fold.combine(kernel.value) if fold.combine else kernel.value
        weighing = table.weighing
        weighted = value if weighing.weight is None else _times_weight(value, weighing.weight)
        _write_rows(made, wants, out, span, weighing, weighted, table)
        if wants.grad or wants.hess:
            _write_slopes(made, wants, out, span, scale, weighing, fold, kernel)
        return _part(weighted, weighing, fold, wants, out, value)


def _times_weight(value: Array, weight: Array) -> Array:
    # A row of weight zero counts for nothing, even where its loss is infinite.
    return np.where(weight == 0.0, 0.0, value * weight)


def _part(weighted: Array, weighing: Weighing, fold: Fold, wants: Wants, out: _Outputs, value: Array) -> Part:
    total = float(weighted.sum())
    nonfinite = 0 if math.isfinite(total) else int((~np.isfinite(weighted)).sum())
    judged, right = 0, 0
    target = weighing.target
    asked = wants.accuracy or wants.by_class
    if asked and fold.right is not None and target is not None and target.index is not None:
        hits = fold.right()
        judged, right = len(hits), int(hits.sum())
        if wants.by_class:
            _count_classes(out, target.index, value, hits)
    rows = weighing.rows if len(weighted) == weighing.kept else len(weighted)
    return Part((Exact().plus(total),), rows, len(weighted), nonfinite, right, judged)


def _pooled_part(kernel: Pooled, weighing: Weighing) -> Part:
    terms = kernel.terms if weighing.weight is None else tuple(term * weighing.weight for term in kernel.terms)
    return Part(tuple(Exact().plus(float(term.sum())) for term in terms), weighing.rows, weighing.kept)


def _count_classes(out: _Outputs, index: Ints, value: Array, hits: Any) -> None:
    size = int(index.max(initial=0)) + 1
    counts = (np.bincount(index, per_row, size) for per_row in (np.ones_like(value), value, hits))
    out.classes.append(tuple(count.astype(np.float64) for count in counts))


def _write_rows(
    made: Plan, wants: Wants, out: _Outputs, span: tuple[int, int], weighing: Weighing, weighted: Array, table: Table
) -> None:
    start, stop = span
    if out.per_sample is not None:
        if table.groups is not None and made.groups is not None:
            first = int(np.searchsorted(made.groups.starts, start))
            out.per_sample[first : first + len(weighted)] = weighted
        else:
            _scatter(out.per_sample, start, stop, weighing, weighted)
    if wants.top:
        rows = np.arange(len(weighted)) if weighing.keep is None else weighing.keep
        best = np.argsort(-weighted, kind="stable")[: wants.top]
        base = start * max(1, math.prod(made.lead[1:])) if table.groups is None else 0
        if table.groups is not None and made.groups is not None:
            base = int(np.searchsorted(made.groups.starts, start))
        out.top = heapq.nlargest(
            wants.top,
            [*out.top, *((float(weighted[i]), base + int(rows[i])) for i in best)],
            key=lambda pair: (pair[0], -pair[1]),
        )


def _write_slopes(
    made: Plan,
    wants: Wants,
    out: _Outputs,
    span: tuple[int, int],
    scale: float,
    weighing: Weighing,
    fold: Fold,
    kernel: Rows | Batch,
) -> None:
    first = _scaled(kernel.grad(), weighing.weight, scale)
    if out.gradient is not None:
        _store(made, wants.grad, out.gradient, span, weighing, fold.gradient(first, wants.grad))
    if out.hessian is not None:
        if kernel.hess is None:
            raise UsageError("hessian-none", "this loss has no diagonal Hessian")
        second = _scaled(kernel.hess(), weighing.weight, scale)
        _store(made, wants.hess, out.hessian, span, weighing, fold.hessian(first, second, wants.hess))


def _scaled(slope: Slope, weight: Array | None, scale: float) -> tuple[Array, ...]:
    """Partials as a tuple, times each row's weight and the reduction's factor: cheaper before the chain rule."""
    partials = slope if isinstance(slope, tuple) else (slope,)
    if weight is None and scale == 1.0:
        return partials
    factor = np.asarray(scale if weight is None else weight * scale)
    by_row = factor.reshape(-1, 1) if factor.ndim else factor
    return tuple(a * (by_row if a.ndim > 1 else factor) for a in partials)


def _store(made: Plan, name: str, target: Array, span: tuple[int, int], weighing: Weighing, slope: Array) -> None:
    """Write a block's slopes where their input's entries stand in its file."""
    column = made.columns[name]
    view = target[None] if column.lead else target
    if column.axis is not None:
        view = np.moveaxis(view, column.axis, -1)
    view = view.reshape(column.array.shape) if view.ndim != column.array.ndim else view
    if made.order is not None:
        view[made.order[slice(*span)]] = slope
    else:
        _scatter(view, *span, weighing, slope)


def _scatter(view: Array, start: int, stop: int, weighing: Weighing, rows: Array) -> None:
    """Give kept rows their numbers; rows that do not count keep zero."""
    block = view[start:stop]
    if weighing.keep is not None:
        whole = np.zeros((weighing.rows, *rows.shape[1:]))
        whole[weighing.keep] = rows
        rows = whole
    block[...] = rows.reshape(block.shape)


def _finish(
    bound: Bound,
    made: Plan,
    part: Part,
    reduction: Reduction,
    weight: float,
    wants: Wants,
    out: _Outputs,
    engine: Engine,
) -> float | Array:
    totals = tuple(total.value for total in part.total)
    if len(totals) > 1:
        with np.errstate(all="ignore"):
            return _finish_pooled(bound, made, totals, wants, out, engine)
    if reduction == "none" and out.per_sample is not None:
        return out.per_sample
    return totals[0] / weight if reduction == "mean" else totals[0]


def _finish_pooled(
    bound: Bound, made: Plan, totals: Sequence[float], wants: Wants, out: _Outputs, engine: Engine
) -> float:
    """The value from the totals, and in a second pass over the data the slopes, which need them."""

    def slopes(span: tuple[int, int]) -> float:
        with np.errstate(all="ignore"):
            table = arrange(made, *span)
            fold = made.signature.links[made.link].fold(*table.arrays)
            kernel = bound(*fold.variables)
            assert isinstance(kernel, Pooled)
            hess = kernel.hess
            bent = None if hess is None else partial(hess, *totals)
            rows = Rows(np.empty(0), partial(kernel.grad, *totals), bent)
            _write_slopes(made, wants, out, span, 1.0, table.weighing, fold, rows)
        return 0.0

    if wants.grad or wants.hess:
        list(engine(slopes, made.spans()))
    table = arrange(made, 0, 1)
    kernel = bound(*made.signature.links[made.link].fold(*table.arrays).variables)
    assert isinstance(kernel, Pooled)
    return float(kernel.value(*(np.float64(total) for total in totals)))


def _empty(bound: Bound, made: Plan, reduction: Reduction, empty: str, part: Part, wants: Wants) -> Result:
    """Nothing counts: refused, or a value of NaN or zero when that was asked for."""
    if empty == "error":
        raise DataError(
            "nothing-kept",
            "no row counts: all are masked, ignored or of weight zero",
            place=Place(made.first.source.name),
            hint="--empty nan or --empty zero gives such data a value",
        )
    value = math.nan if empty == "nan" else 0.0
    gradient = np.zeros(made.columns[wants.grad].source.array.shape) if wants.grad else None
    hessian = np.zeros(made.columns[wants.hess].source.array.shape) if wants.hess else None
    return Result(
        bound, made, reduction, value, part.rows, part.kept, 0.0, 0, gradient=gradient, hessian=hessian, wants=wants
    )


def _by_class(made: Plan, out: _Outputs) -> tuple[ByClass, ...]:
    if not out.classes:
        return ()
    rows, loss, right = (np.zeros(made.classes) for _ in range(3))
    for block in out.classes:
        for total, piece in zip((rows, loss, right), block, strict=True):
            total[: len(piece)] += piece
    names = made.names or tuple(str(index) for index in range(made.classes))
    return tuple(
        ByClass(index, names[index], int(rows[index]), float(loss[index] / rows[index]), int(right[index]))
        for index in range(made.classes)
        if rows[index]
    )
