"""How far a right implementation of limited precision may be from the truth: an allowance for every entry.

A claim of unit roundoff u may differ from the exact slope by the rounding of what it is computed from, and by no more.
Two things are measured at the data themselves, never assumed: the *terms* that are added up to the entry, k·u of whose
sizes is lost in the sum, and what the entry moves by when the intermediate numbers (probabilities, residuals, margins,
totals) move by k·u of their own sizes. For cross-entropy that comes to k·u·(p + y + p(|z_i| + Σ p_j|z_j|)), z from the
row's top. Added is the least normal number, for what is flushed to zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from losscli.blocks import Scaled
from losscli.families.binary import formed
from losscli.inputs import PROBABILITY, Array, Fold, Partials, Target
from losscli.loss import Bound, Pooled
from losscli.plan import Plan
from losscli.precision import Precision
from losscli.targets import Table, by_labels

# Of the least number below 1: a probability that is 1 leaves nothing to divide by.
_BELOW_ONE = 1.0 - 2.0**-53
_DRAWS = 2


@dataclass(frozen=True)
class ExactSlopes:
    """The slopes of one block by one input, as kept rows: exact, and how they move with what they are made of.

    ``scale`` is the factor of the reduction, ``totals`` those of a pooled loss, ``order`` 1 for the gradient and 2 for
    the diagonal of the Hessian; ``mean`` that of the losses where slopes by labels need it.
    """

    bound: Bound
    plan: Plan
    table: Table
    name: str
    scale: float
    totals: tuple[float, ...] = ()
    order: int = 1
    mean: float = 0.0

    @property
    def labelled(self) -> bool:
        """Whether they are by soft labels, whose loss is a mean over the classes."""
        return self.name == self.plan.signature.labels

    @cached_property
    def fold(self) -> Fold:
        """The fold of the data as they are."""
        return self.fold_of(self.table.arrays)

    def fold_of(self, arrays: Sequence[Any], link: str = "") -> Fold:
        """The fold of other data, or by another way of giving them."""
        fold = self.plan.way(link).fold(*arrays)
        # What is formed when it is asked for could not be moved.
        return replace(fold, variables=tuple(map(formed, fold.variables)))

    @cached_property
    def value(self) -> Array:
        """The exact slopes, in the layout of the input's kept rows."""
        return self.of(self.fold, self.fold.variables)

    def of(self, fold: Fold, variables: Sequence[Any], totals: Sequence[float] = ()) -> Array:
        """The slopes through a fold with the kernel's variables, or the totals of its terms, replaced."""
        if self.labelled:
            return by_labels(self.plan, self.table.weighing, self._losses(variables), self.scale, self.mean)
        first, second = self._partials(variables, totals or self.totals)
        return self._chained(fold, first, second)

    def _chained(self, fold: Fold, first: Partials, second: Partials | None) -> Array:
        made = fold.gradient(first, self.name) if second is None else fold.hessian(first, second, self.name)
        return np.asarray(made, dtype=np.float64)

    def _losses(self, variables: Sequence[Any]) -> Array:
        """Each class's own loss, (M, C)."""
        kernel = self.bound(*variables, held=self.bound.hold(*self.fold.variables))
        assert not isinstance(kernel, Pooled)
        return kernel.value

    def _partials(self, variables: Sequence[Any], totals: Sequence[float]) -> tuple[Scaled, Scaled | None]:
        held = self.bound.hold(*self.fold.variables)
        kernel = self.bound(*variables, held=held)
        given = totals if isinstance(kernel, Pooled) else ()
        weight = self.table.weighing.weight
        first = Scaled(kernel.grad(*given), weight, self.scale)
        if self.order == 1:
            return first, None
        if kernel.hess is None:
            raise NotImplementedError
        return first, Scaled(kernel.hess(*given), weight, self.scale)

    def terms(self, fold: Fold, variables: Sequence[Any]) -> Array:
        """The sizes of the partials' shares in each entry, added up."""
        if self.labelled:
            losses = np.abs(self._losses(variables))
            return by_labels(self.plan, self.table.weighing, losses, self.scale, -abs(self.mean))
        first, second = self._partials(variables, self.totals)

        def only(partials: Scaled, at: int) -> Partials:
            return [own if k == at else np.zeros_like(own) for k, own in enumerate(partials)]

        def share(at: int) -> Array:
            return np.abs(self._chained(fold, only(first, at), None if second is None else only(second, at)))

        # There may be slopes by more variables than curvatures: by soft targets, and by what a rounding has lost.
        return np.asarray(sum(share(at) for at in range(len(first))))


def allowance(slopes: ExactSlopes, precision: Precision) -> Array:
    """The allowance of every entry of a block's slopes: same shape, at least the least normal number.

    Infinite where a slope that moves by a rounding is no longer a number.
    """
    step = roundings(slopes) * precision.unit
    with np.errstate(all="ignore"):
        exact = slopes.value
        total = precision.unit * np.abs(exact) + precision.tiny
        for share in _shares(slopes, step):
            total = total + np.where(np.isnan(share), np.inf, share)
    return np.asarray(total)


def _shares(slopes: ExactSlopes, step: float) -> Iterator[Array]:
    softened = _through_probabilities(slopes)
    if softened:
        yield from _by_probabilities(slopes, step)
    if not softened or slopes.order == 2:
        yield from _by_variables(slopes, step)
    if slopes.plan.signature.layout != "elements" and (not softened or slopes.order == 2):
        yield from _by_inputs(slopes, step)
    if slopes.name == "target" and slopes.plan.signature.entry("target").domain is PROBABILITY:
        yield step * slopes.scale * _of_outcomes(slopes)


def _of_outcomes(slopes: ExactSlopes) -> Array:
    """The sizes of the losses of both outcomes: the slope by a soft target is the difference of the two."""
    at, total = slopes.plan.signature.names.index("target"), np.zeros(1)
    for outcome in (0.0, 1.0):
        arrays = list(slopes.table.arrays)
        arrays[at] = np.full_like(arrays[at], outcome)
        fold = slopes.fold_of(arrays)
        losses = _losses(slopes, fold, fold.variables, slopes.totals)
        total = total + np.abs(losses.reshape(-1, *[1] * (arrays[at].ndim - 1)))
    return total


def roundings(slopes: ExactSlopes) -> float:
    """k = 4(1 + log2 of how many numbers are added up): those of a row, a group, or all rows of a pooled loss."""
    plan = slopes.plan
    lengths = [plan.classes, *slopes.table.arrays[0].shape[1:]]
    if plan.groups is not None:
        lengths.append(int(plan.groups.sizes.max()))
    count = max(1, *map(int, lengths), 1)
    if slopes.totals or plan.signature.entry(slopes.name).shared:
        count *= plan.rows
    return 4.0 * (1.0 + math.log2(count))


def _by_variables(slopes: ExactSlopes, step: float) -> Iterator[Array]:
    """Terms, and what the slopes move by with each variable of the kernel, and with each total of a pooled loss."""
    fold, exact = slopes.fold, slopes.value
    yield step * slopes.terms(fold, fold.variables)
    for at, variable in enumerate(fold.variables):
        if _is_real(variable):
            moved = []
            for sign in (-step, step):
                variables = [*fold.variables[:at], _shaken(variable, sign), *fold.variables[at + 1 :]]
                moved.append(np.abs(slopes.of(fold, variables) - exact))
            yield np.maximum(*moved)
    for at, total in enumerate(slopes.totals):
        totals = [*slopes.totals[:at], total * (1.0 + step), *slopes.totals[at + 1 :]]
        yield np.abs(slopes.of(fold, fold.variables, totals) - exact)


def _by_inputs(slopes: ExactSlopes, step: float) -> Iterator[Array]:
    """What the slopes move by with the inputs, where a fold computes more of them than a difference or a product."""
    for fold in _moved_inputs(slopes, step):
        yield np.abs(slopes.of(fold, fold.variables) - slopes.value)


def _through_probabilities(slopes: ExactSlopes) -> bool:
    """Whether logits become probabilities on their way: of classes, or of two outcomes each."""
    signature = slopes.plan.signature
    name = signature.names[0]
    if slopes.plan.link != "logits" or "probs" not in signature.links or slopes.totals:
        return False
    if slopes.name not in (name, signature.labels):
        return False
    return signature.layout == "classes" or signature.domain(name, "probs") is PROBABILITY


def _by_probabilities(slopes: ExactSlopes, step: float) -> Iterator[Array]:
    """What is lost on the way most take, through probabilities p that are rounded: with p_top - 1 among the terms."""
    first = replace(slopes, order=1)
    p, shaky = _probabilities(slopes)
    by_score = _by_logits if slopes.plan.signature.layout == "classes" else _by_logit
    chain: Callable[[Array, Array, Array], tuple[Array, Array]] = _by_itself if slopes.labelled else by_score

    def slope(p: Array) -> tuple[Array, Array]:
        fold = first.fold_of([p, *slopes.table.arrays[1:]], "probs")
        own = first.of(fold, fold.variables)
        return chain(p, own, np.maximum(np.abs(own), first.terms(fold, fold.variables)))

    exact, terms = slope(p)
    yield step * terms
    for moved in _moved(slopes, p, step * shaky):
        yield np.abs(slope(moved)[0] - exact)


def _moved(slopes: ExactSlopes, p: Array, by: Array) -> Iterator[Array]:
    """The probabilities with those of the labels moved by a rounding, and with the others, so that they cannot cancel.

    Of two outcomes it is the probability that is rounded; and, where the loss of an outcome is discounted by its own
    chance as focal loss is, 1 - p too, of which 1 - (1 - p) makes a large part of a small p.
    """
    target = slopes.table.weighing.target
    if isinstance(target, Target):
        mine = target.dense(p.shape[1]) > 0.0
        yield p * np.exp(-by * mine)
        yield p * np.exp(-by * ~mine)
        return
    yield p * np.exp(-by)
    if _is_discounted(slopes):
        yield np.minimum(p - (1.0 - p) * np.expm1(-by), _BELOW_ONE)


def _is_discounted(slopes: ExactSlopes) -> bool:
    """Whether the slopes by the surprises, two or one, move with them: a likelihood is a plain sum of surprises."""
    if not _is_real(slopes.fold.variables[0]):
        # Outcomes that come with their own arithmetic do more than add up.
        return True
    surprises, others = slopes.fold.variables[:2], slopes.fold.variables[2:]
    kernels = [slopes.bound(*(size * surprise for surprise in surprises), *others) for size in (1.0, 1.5)]
    first, second = (Scaled(kernel.grad(), None, 1.0) for kernel in kernels)
    return not all(np.array_equal(first[at], second[at], equal_nan=True) for at in range(len(surprises)))


def _probabilities(slopes: ExactSlopes) -> tuple[Array, Array]:
    logits = slopes.table.arrays[0]
    return _softmax(logits) if slopes.plan.signature.layout == "classes" else _sigmoid(logits)


def _softmax(z: Array) -> tuple[Array, Array]:
    """p, and how many units of rounding each has: 1 + |z_i| + Σ p_j|z_j|, z from the row's top."""
    z = z - z.max(axis=1, keepdims=True)
    e = np.exp(z)
    p = e / e.sum(axis=1, keepdims=True)
    size = np.where(np.isfinite(z), np.abs(z), 0.0)
    return np.maximum(p, np.finfo(float).tiny), 1.0 + size + (p * size).sum(axis=1, keepdims=True)


def _sigmoid(z: Array) -> tuple[Array, Array]:
    e = np.exp(-np.abs(z))
    p = np.where(z >= 0.0, 1.0, e) / (1.0 + e)
    q = np.where(z >= 0.0, e, 1.0) / (1.0 + e)
    return np.clip(p, np.finfo(float).tiny, _BELOW_ONE), 1.0 + np.abs(z) * q


def _by_logits(p: Array, slope: Array, size: Array) -> tuple[Array, Array]:
    """From slopes by probabilities to slopes by logits, p_i(a_i - Σ p_j a_j), and the sizes of the terms."""
    return (
        p * (slope - (p * slope).sum(axis=1, keepdims=True)),
        p * (size + (p * size).sum(axis=1, keepdims=True)),
    )


def _by_logit(p: Array, slope: Array, size: Array) -> tuple[Array, Array]:
    return p * (1.0 - p) * slope, p * (1.0 - p) * size


def _by_itself(_: Array, slope: Array, size: Array) -> tuple[Array, Array]:
    return slope, size


def value_allowance(slopes: ExactSlopes, precision: Precision) -> Array:
    """The allowance of each loss of a block, weighted and before the reduction, (M,); of a pooled loss, one number."""
    step = roundings(slopes) * precision.unit
    with np.errstate(all="ignore"):
        variables = slopes.fold.variables
        exact = _losses(slopes, slopes.fold, variables, slopes.totals)
        total = step * np.abs(exact)
        for at, moved in enumerate(slopes.totals):
            totals = [*slopes.totals[:at], moved * (1.0 + step), *slopes.totals[at + 1 :]]
            total = total + np.abs(_losses(slopes, slopes.fold, variables, totals) - exact)
        for at, variable in enumerate(variables if not slopes.totals else ()):
            if _is_real(variable):
                changed = [*variables[:at], _shaken(variable, step), *variables[at + 1 :]]
                total = total + np.abs(_losses(slopes, slopes.fold, changed, ()) - exact)
        for fold in _moved_folds(slopes, step):
            total = total + np.abs(_losses(slopes, fold, fold.variables, ()) - exact)
    return np.asarray(np.where(np.isnan(total), np.inf, total))


def _is_real(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _shaken(x: Array, by: Array | float) -> Array:
    """Numbers moved by a rounding; whole ones are labels, signs and counts, or are held exactly."""
    return np.where(x == np.round(x), x, x * (1.0 + by))


def losses_of(slopes: ExactSlopes) -> Array:
    """The losses of a block, weighted and before the reduction; of a pooled loss, its value."""
    with np.errstate(all="ignore"):
        return _losses(slopes, slopes.fold, slopes.fold.variables, slopes.totals)


def _moved_folds(slopes: ExactSlopes, step: float) -> Iterator[Fold]:
    """The data with their probabilities, or their inputs, moved by a rounding."""
    arrays = slopes.table.arrays
    if slopes.totals:
        return
    if _through_probabilities(slopes):
        p, shaky = _probabilities(slopes)
        for moved in _moved(slopes, p, step * shaky):
            yield slopes.fold_of([moved, *arrays[1:]], "probs")
    elif slopes.plan.signature.layout != "elements":
        yield from _moved_inputs(slopes, step)


def _moved_inputs(slopes: ExactSlopes, step: float) -> Iterator[Fold]:
    """The data with every number moved up or down by a rounding, at random but always the same way."""
    signs = np.random.default_rng(0)
    for _ in range(_DRAWS):
        moved: list[Any] = []
        for array in slopes.table.arrays:
            moved.append(_shaken(array, step * signs.choice((-1.0, 1.0), array.shape)) if _is_real(array) else array)
        yield slopes.fold_of(moved)


def _losses(slopes: ExactSlopes, fold: Fold, variables: Sequence[Any], totals: Sequence[float]) -> Array:
    kernel = slopes.bound(*variables)
    if isinstance(kernel, Pooled):
        return np.asarray(kernel.value(*map(np.float64, totals)))
    value = fold.combine(kernel.value) if fold.combine else kernel.value
    weight = slopes.table.weighing.weight
    return value if weight is None else np.where(weight == 0.0, 0.0, value * weight)
