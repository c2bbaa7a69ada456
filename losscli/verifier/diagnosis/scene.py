"""One claim's loss, data and input, and the gradients that other losses or data would have in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from losscli import stable
from losscli.errors import LosscliError
from losscli.evaluate import denominator
from losscli.inputs import Array, Target, no_curve
from losscli.loss import Bound, Pooled
from losscli.plan import Plan
from losscli.results import Reduction
from losscli.targets import Table, arrange
from losscli.verifier.allowance import ExactSlopes

# What other data, another loss, or curvatures that it has not, may be refused for: then it explains nothing.
_REFUSED = (LosscliError, ArithmeticError, LookupError, ValueError, NotImplementedError)
# Ways of giving the same number.
_FORMS = ({"logits", "probs", "log-probs"}, {"rate", "log-rate"}, {"masses", "log-masses"})


@dataclass(frozen=True)
class Hypothesis:
    """A wrong gradient, made when it is asked for, and the data that would tell it from others."""

    make: Callable[..., Array]
    given: tuple[Any, ...] = ()
    apart: str = "other data"

    def __call__(self) -> Array:
        """The wrong gradient; an empty array where there is none to be had."""
        try:
            with np.errstate(all="ignore"):
                return self.make(*self.given)
        except _REFUSED:
            return np.empty(0)


Found = Iterator[tuple[str, Hypothesis]]


def told(make: Callable[..., Array], *given: Any, apart: str = "other data") -> Hypothesis:
    """A hypothesis: a function of what is given."""
    return Hypothesis(make, given, apart)


@dataclass(frozen=True)
class Scene:
    """A loss over a plan's rows and the input it is differentiated by; ``whole`` has all rows, the plan a sample."""

    bound: Bound
    plan: Plan
    whole: Plan
    name: str
    reduction: Reduction
    order: int = 1

    @property
    def sample(self) -> bool:
        """Whether there are more rows than are looked at."""
        return self.plan is not self.whole

    @property
    def together(self) -> bool:
        """Whether an entry depends on more rows than its own."""
        return self.plan.groups is not None or self.plan.signature.entry(self.name).shared

    @property
    def behind_head(self) -> bool:
        """Whether the scores come out of a linear head."""
        return "l1" in self.plan.signature.options

    @property
    def first(self) -> str:
        """The name of the first input."""
        return self.plan.signature.names[0]

    def scale(self, bound: Bound, whole: Plan) -> float:
        """The factor of the reduction."""
        weight = denominator(bound, whole) if self.reduction == "mean" else 1.0
        return 1.0 / weight if weight > 0.0 else 1.0

    def made(self, bound: Bound, plan: Plan, scale: float) -> ExactSlopes:
        """The slopes of a loss over a plan's rows; what a pooled loss adds up is added up again."""
        table = arrange(plan, 0, plan.rows)
        slopes = _smoothed(ExactSlopes(bound, plan, table, self.name, scale, order=self.order))
        kernel = bound(*slopes.fold.variables)
        if not isinstance(kernel, Pooled):
            return slopes
        return replace(slopes, scale=1.0, totals=kernel.totals(table.weighing.weight))

    @cached_property
    def slopes(self) -> ExactSlopes:
        """The right slopes."""
        with np.errstate(all="ignore"):
            return self.made(self.bound, self.plan, self.scale(self.bound, self.whole))

    @cached_property
    def curved(self) -> bool:
        """Whether the loss has second derivatives by the input."""
        fold = self.slopes.fold
        if fold.hessian is no_curve or not self.plan.signature.entry(self.name).curved:
            return False
        with np.errstate(all="ignore"):
            return self.bound(*fold.variables).hess is not None

    @cached_property
    def truth(self) -> Array:
        """The right slopes, laid out."""
        with np.errstate(all="ignore"):
            return self.filled(self.slopes)

    def filled(self, slopes: ExactSlopes) -> Array:
        """The slopes of all rows, laid out."""
        return self.laid_out(slopes.value, slopes.table)

    def laid_out(self, rows: Array, table: Table | None = None, fill: float = 0.0) -> Array:
        """Kept rows among those that do not count, in the layout of the input."""
        if self.plan.signature.entry(self.name).shared:
            return rows
        weighing = (table or self.slopes.table).weighing
        if weighing.keep is not None:
            whole = np.full((weighing.rows, *rows.shape[1:]), fill)
            whole[weighing.keep] = rows
            rows = whole
        return rows.reshape(*self.plan.lead, *rows.shape[1:]) if self.plan.groups is None else rows

    def changed(self, change: Callable[[Plan], Plan]) -> Array:
        """The slopes over changed data, which change what the mean divides by."""
        return self.filled(self.made(self.bound, change(self.plan), self.scale(self.bound, change(self.whole))))

    def summed(self, change: Callable[[Plan], Plan]) -> Array:
        """The slopes over changed data, divided by what is right."""
        return self.filled(self.made(self.bound, change(self.plan), self.slopes.scale))

    def other(self, bound: Bound) -> Array:
        """The slopes of another loss; an empty array where it has none by the input."""
        if self.name not in bound.loss.reads.differentiable:
            return np.empty(0)
        change: Callable[[Plan], Plan] = lambda p: replace(p, signature=bound.loss.reads)  # noqa: E731
        return self.filled(self.made(bound, change(self.plan), self.scale(bound, change(self.whole))))

    def rearranged(self, rows: Any) -> Array:
        """The slopes of other rows in the place of these."""
        order = rows if self.whole.order is None else self.whole.order[rows]
        return self.filled(self.made(self.bound, replace(self.plan, order=order), self.slopes.scale))

    def slopes_by(self, arrays: Sequence[Any], link: str = "") -> Array:
        """The slopes of kept rows with the arrays that a fold reads replaced, or read in another way."""
        fold = self.slopes.fold_of(arrays, link)
        return self.slopes.of(fold, fold.variables)

    def slopes_with(self, at: int, array: Any) -> Array:
        """The slopes of kept rows with one input replaced."""
        arrays = list(self.slopes.table.arrays)
        arrays[at] = array
        return self.slopes_by(arrays)

    def through(self, arrays: Sequence[Any], link: str = "") -> Array:
        """The slopes with the arrays that a fold reads replaced, or read in another way, laid out."""
        return self.laid_out(self.slopes_by(arrays, link))

    def with_input(self, at: int, array: Any) -> Array:
        """The slopes with one input replaced, laid out."""
        return self.laid_out(self.slopes_with(at, array))

    def converted(self, link: str) -> Array:
        """The slopes by another form of the inputs, at the same point."""
        reads, given = self.plan.signature, self.plan.link
        names = {*reads.links[given].domains, *reads.links[link].domains} or {self.first}
        simplex = any(reads.domain(self.first, word).sums for word in ("probs", "log-probs") if word in reads.links)
        arrays = [
            _convert(array, given, link, simplex) if name in names else array
            for name, array in zip(reads.names, self.slopes.table.arrays, strict=True)
        ]
        return self.through(arrays, link)

    @cached_property
    def factor(self) -> Any:
        """What the reduction multiplies each kept row's loss by, (M,)."""
        weight = self.slopes.table.weighing.weight
        rows = len(self.slopes.table.arrays[0])
        return np.full(rows, self.slopes.scale) if weight is None else weight * self.slopes.scale

    def reduced(self, rows: Array) -> Array:
        """Slopes of each kept row's own loss as those of the reduced loss, laid out."""
        factor = self.factor.reshape(-1, *([1] * (rows.ndim - 1)))
        return self.laid_out(np.asarray(rows * factor))

    @cached_property
    def target(self) -> Target | None:
        """The class labels, where the loss reads any."""
        return self.slopes.table.weighing.target


def _smoothed(slopes: ExactSlopes) -> ExactSlopes:
    """The same slopes by soft targets that are smoothed already: mistakes are made with those."""
    plan, table, names = slopes.plan, slopes.table, slopes.plan.signature.names
    share = plan.how.label_smoothing
    if not share or "target" not in names:
        return slopes
    arrays = tuple(
        (1.0 - share) * array + share / 2.0 if name == "target" else array
        for name, array in zip(names, table.arrays, strict=True)
    )
    return replace(
        slopes,
        plan=replace(plan, how=replace(plan.how, label_smoothing=0.0)),
        table=replace(table, arrays=arrays),
        scale=slopes.scale * (1.0 - share if slopes.name == "target" else 1.0),
    )


def softmax(z: Array, axis: int = -1) -> Array:
    """exp(z)/Σ exp(z)."""
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def is_form(given: str, wanted: str) -> bool:
    """Whether two ways of giving inputs are forms of the same number."""
    return any({given, wanted} <= forms for forms in _FORMS)


def _convert(x: Array, given: str, wanted: str, simplex: bool) -> Array:
    """An input in another form of the same number."""
    if given == "logits":
        p = softmax(x) if simplex else stable.sigmoid(x)
        if simplex and wanted == "log-probs":
            return (
                x
                - x.max(axis=-1, keepdims=True)
                - np.log(np.exp(x - x.max(axis=-1, keepdims=True)).sum(-1, keepdims=True))
            )
        return np.log(p) if wanted == "log-probs" else p
    if wanted == "logits":
        p = np.exp(x) if given == "log-probs" else x
        return np.log(p) if simplex else np.log(p) - np.log1p(-p)
    return np.log(x) if wanted.startswith("log-") else np.exp(x)
