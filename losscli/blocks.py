"""One block of rows: from its tables to its part of the answer, and its rows of whatever is written per row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from losscli.columns import Writable
from losscli.errors import DataError, Place, UsageError
from losscli.files.row_file import RowFile, RowFiles
from losscli.inputs import Array, Fold, no_curve
from losscli.loss import Batch, Bound, Fault, Pooled, Rows, Slope
from losscli.plan import Plan
from losscli.results import Wants
from losscli.reveals import revealing
from losscli.stable import by_row
from losscli.sums import Exact, ExactArray, Part, Tally, largest
from losscli.targets import Table, Weighing, arrange, by_labels, weigh

Span = tuple[int, int]


@dataclass(frozen=True)
class Outputs:
    """Arrays in the shape of the inputs that blocks write their own rows of; None where nothing is asked for.

    What is not an array in memory need only be assignable by rows; ``flush``, if it has it, puts them on the disk.
    """

    gradient: Writable | None = None
    hessian: Writable | None = None
    per_sample: Writable | None = None


@dataclass(frozen=True)
class Work:
    """What is done with every block: the loss, the data, what is asked for, and the factor of the reduction.

    ``totals`` are those of a pooled loss on the second pass over its data, when its slopes can be written; ``mean`` is
    that of the losses where slopes by labels need it.
    """

    bound: Bound
    plan: Plan
    wants: Wants
    scale: float
    outputs: Outputs
    totals: tuple[float, ...] = ()
    mean: float = 0.0

    @property
    def forkable(self) -> bool:
        """Whether a copy of this process can do it: what it writes goes to files, or to arrays mapped from them."""
        return all(
            target is None or isinstance(target, RowFile | RowFiles) or getattr(target, "mode", "") in ("r+", "w+")
            for target in vars(self.outputs).values()
        )

    @cached_property
    def revealing(self) -> tuple[str, ...]:
        """The inputs that need no look, as what is wrong with them shows in the losses."""
        return revealing(self.bound, self.plan)

    def __call__(self, span: Span) -> Part:
        """The block's part of the answer."""
        with np.errstate(all="ignore"):
            table = arrange(self.plan, *span, trusting=self.revealing)
            fold = folded(self.plan, table)
            fault = self.bound.fault(*fold.variables)
            if fault is not None:
                raise self._refusal(span, table, fault)
            kernel = self.bound(*fold.variables)
            if isinstance(kernel, Pooled):
                return self._pooled(span, table, fold, kernel)
            value = fold.combine(kernel.value) if fold.combine else kernel.value
            total = float(value.sum())
            if not math.isfinite(total):
                # An infinite loss may be the truth; a number outside its domain may be behind it, and is refused.
                arrange(self.plan, *span)
            weighing = table.weighing
            # A row of weight zero counts for nothing, even where its loss is infinite.
            weight = weighing.weight
            weighted = value if weight is None else np.where(weight == 0.0, 0.0, value * weight)
            if self.outputs.per_sample is not None:
                self._write_losses(self.outputs.per_sample, span, table, weighted)
            part = self._part(span, table, fold, value, weighted, total if weight is None else float(weighted.sum()))
            return self._with_slopes(part, span, weighing, fold, kernel)

    def _refusal(self, span: Span, table: Table, fault: Fault) -> DataError:
        keep, column = table.weighing.keep, self.plan.columns[fault.name]
        row = fault.row if keep is None else int(keep[fault.row])
        place = self.plan.place(column, span[0], row, fault.entry)
        return DataError(fault.code, fault.message, place=place, hint=fault.hint)

    def _part(self, span: Span, table: Table, fold: Fold, value: Array, weighted: Array, total: float) -> Part:
        lost = 0 if math.isfinite(total) else int(np.count_nonzero(~np.isfinite(weighted)))
        wants, target = self.wants, table.weighing.target
        judged, right = 0, 0
        classes: dict[int, Tally] = {}
        index = None if target is None or not (wants.accuracy or wants.by_class) else target.index
        if index is not None and fold.right is not None:
            hits = fold.right()
            judged, right = len(hits), int(np.count_nonzero(hits))
            if wants.by_class:
                rows, losses, rights = np.bincount(index), np.bincount(index, value), np.bincount(index, hits)
                for at in np.flatnonzero(rows).tolist():
                    classes[at] = Tally(int(rows[at]), Exact().plus(float(losses[at])), int(rights[at]))
        return Part(
            (Exact().plus(total),),
            table.weighing.rows if table.groups is None else len(weighted),
            len(weighted),
            lost,
            judged,
            right,
            wants.top,
            self._largest(span, table, weighted) if wants.top else (),
            classes,
        )

    def place(self, span: Span) -> Place:
        """Where a block begins in its file."""
        return self.plan.place(self.plan.first, span[0], 0)

    def flush(self) -> None:
        """See to it that what was written is on the disk."""
        for target in (self.outputs.gradient, self.outputs.hessian, self.outputs.per_sample):
            if target is not None and hasattr(target, "flush"):
                target.flush()

    def _largest(self, span: Span, table: Table, weighted: Array) -> tuple[tuple[float, int], ...]:
        best = np.argsort(-weighted, kind="stable")[: self.wants.top]
        keep = table.weighing.keep
        rows = best if keep is None else keep[best]
        first = self._first_loss(span)
        return largest(
            self.wants.top, tuple((float(weighted[a]), first + int(b)) for a, b in zip(best, rows, strict=True))
        )

    def _first_loss(self, span: Span) -> int:
        """How many losses (rows, entries or groups) come before a block."""
        groups = self.plan.groups
        return (
            span[0] * math.prod(self.plan.lead[1:]) if groups is None else int(np.searchsorted(groups.starts, span[0]))
        )

    def _write_losses(self, target: Writable, span: Span, table: Table, weighted: Array) -> None:
        if table.groups is None:
            self._scatter("", target, span, table.weighing, weighted)
        else:
            first = self._first_loss(span)
            target[first : first + len(weighted)] = weighted

    def _with_slopes(self, part: Part, span: Span, weighing: Weighing, fold: Fold, kernel: Rows | Batch) -> Part:
        """Write the block's rows of what is asked for; a slope by an input that all rows share goes into the part."""
        gradient, hessian, wants = self.outputs.gradient, self.outputs.hessian, self.wants
        if gradient is None and hessian is None:
            return part
        if gradient is not None and wants.grad == self.plan.signature.labels:
            slopes = by_labels(self.plan, weighing, kernel.value, self.scale, self.mean)
            self._scatter(wants.grad, gradient, span, weighing, slopes)
            return part
        first = Scaled(kernel.grad(), weighing.weight, self.scale)
        if gradient is not None:
            slopes = fold.gradient(first, wants.grad)
            shared = self._put(wants.grad, gradient, span, weighing, slopes)
            part = part if shared is None else replace(part, gradient=shared)
        if hessian is not None:
            if kernel.hess is None or not self.plan.signature.entry(wants.hess).curved or fold.hessian is no_curve:
                message = f"{self.bound.loss.name} has no diagonal Hessian with respect to {wants.hess}"
                other = kernel.hess is not None and fold.hessian is no_curve
                hint = f"it has one with --from {self.plan.signature.default_link}" if other else ""
                raise UsageError("hessian-none", message, hint=hint)
            second = Scaled(kernel.hess(), weighing.weight, self.scale)
            slopes = fold.hessian(first, second, wants.hess)
            shared = self._put(wants.hess, hessian, span, weighing, slopes)
            part = part if shared is None else replace(part, hessian=shared)
        return part

    def _put(self, name: str, target: Writable, span: Span, weighing: Weighing, slopes: Array) -> ExactArray | None:
        if self.plan.signature.entry(name).shared:
            return ExactArray.of(np.ascontiguousarray(slopes))
        self._scatter(name, target, span, weighing, slopes)
        return None

    def _scatter(self, name: str, target: Writable, span: Span, weighing: Weighing, rows: Array) -> None:
        """Give kept rows their numbers, where they stand in the file of an input; rows that do not count get zero."""
        if weighing.keep is not None:
            whole = np.zeros((weighing.rows, *rows.shape[1:]))
            whole[weighing.keep] = rows
            rows = whole
        at = self.plan.at(*span)
        if name:
            self.plan.columns[name].write(target, at, rows)
        else:
            target[at] = rows.reshape(span[1] - span[0], *target.shape[1:])

    def _pooled(self, span: Span, table: Table, fold: Fold, kernel: Pooled) -> Part:
        weighing = table.weighing
        if self.wants.per_sample or self.wants.top:
            message = f"{self.bound.loss.name} is a function of all rows together: a row has no loss of its own"
            raise UsageError("loss-pooled", message, hint="leave out --per-sample and --top")
        if self.totals:
            hess = None if kernel.hess is None else partial(kernel.hess, *self.totals)
            made = Rows(np.empty(0), partial(kernel.grad, *self.totals), hess)
            # Slopes by what all rows share add up; the terms have been.
            part = Part((Exact(),), weighing.rows, weighing.kept)
            return self._with_slopes(part, span, weighing, fold, made)
        totals = tuple(Exact().plus(float(term)) for term in kernel.totals(weighing.weight))
        return Part(totals, weighing.rows, weighing.kept)


@dataclass(frozen=True)
class Measure:
    """What every block adds to the mean's denominator: reads labels, weights and mask, and no scores.

    ``counting``: rows that count, whatever their weight.
    """

    plan: Plan
    counting: bool = False

    def __call__(self, span: Span) -> Exact:
        """The block's part of the sum."""
        weighing = weigh(self.plan, *span)
        return Exact().plus(float(weighing.kept) if self.counting else weighing.total)

    def place(self, span: Span) -> Place:
        """Where a block begins in its file."""
        return self.plan.place(self.plan.first, span[0], 0)


def folded(plan: Plan, table: Table) -> Fold:
    """The fold of a table under the plan's link."""
    return plan.way().fold(*table.arrays)


class Scaled(Sequence[Array]):
    """Partials times each row's weight and the reduction's factor: one multiplication each, when it is asked for.

    That is before the chain rule, where rows are shorter.
    """

    def __init__(self, slope: Slope, weight: Array | None, scale: float) -> None:
        self.partials = slope if isinstance(slope, tuple) else (slope,)
        self.factor = (
            None if weight is None and scale == 1.0 else np.asarray(scale if weight is None else weight * scale)
        )

    def __len__(self) -> int:
        return len(self.partials)

    def __getitem__(self, at: Any) -> Any:
        own = self.partials[at]
        if self.factor is None:
            return own
        return own * by_row(self.factor, own)
