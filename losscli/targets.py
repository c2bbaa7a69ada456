"""From data as given to what a kernel reads: labels, smoothing, class weights, ignored rows, masks.

Done once, for all losses, block by block. This is the only place that looks at values and refuses them: downstream
a kernel may rely on the domain of each of its inputs, and never meets a row that does not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscli.columns import Column, Raw
from losscli.errors import DataError, Place, did_you_mean
from losscli.inputs import IDENTITY, LABEL, SIMPLEX, Array, Domain, Groups, Ints, Target
from losscli.plan import Laid, Plan
from losscli.stable import FEW, times


@dataclass(frozen=True)
class Weighing:
    """What labels, weights and mask say of a block's rows before any score is read.

    ``keep`` the rows that count (None: all). For those: ``weight`` what multiplies the loss (None: 1), ``measure``
    what a row adds to the mean's denominator (None: 1), ``target`` the labels.
    """

    rows: int
    keep: Ints | None = None
    weight: Array | None = None
    measure: Array | None = None
    target: Target | None = None

    @property
    def kept(self) -> int:
        """How many rows count."""
        return self.rows if self.keep is None else len(self.keep)

    @property
    def total(self) -> float:
        """What the block adds to the mean's denominator."""
        return float(self.kept if self.measure is None else self.measure.sum())


@dataclass(frozen=True)
class Table:
    """A block as a fold reads it: validated float64 arrays, labels and groups, kept rows only."""

    arrays: tuple[Any, ...]
    weighing: Weighing
    groups: Groups | None = None


def weigh(plan: Plan, start: int, stop: int) -> Weighing:
    """Which rows of a block count, and for how much: reads labels, weights and mask alone."""
    lead = (stop - start, *plan.lead[1:])
    rows = math.prod(lead)
    mask = _spread(plan, plan.mask, start, stop, lead)
    counted = None if mask is None else mask != 0
    labels = _read_labels(plan, start, stop) if plan.signature.labels else None
    if labels is not None and labels.ndim == 1 and plan.how.ignore_index is not None:
        named = labels != plan.how.ignore_index
        counted = named if counted is None else counted & named
    keep = None if counted is None or counted.all() else np.flatnonzero(counted)
    weight = _sample_weight(plan, start, stop, lead, keep)
    if labels is None:
        return Weighing(rows, keep, weight, weight)
    place = _placer(plan, plan.columns[plan.signature.labels], start, keep)
    return _classified(plan, labels if keep is None else labels[keep], Weighing(rows, keep, weight), place)


def _spread(plan: Plan, column: Column | None, start: int, stop: int, lead: tuple[int, ...]) -> Array | None:
    """A weight or a mask of a block, given to every row that it covers."""
    if column is None:
        return None
    block = np.asarray(plan.read(column, start, stop), dtype=np.float64)
    block = block.reshape(block.shape + (1,) * (len(lead) - block.ndim))
    return np.ascontiguousarray(np.broadcast_to(block, lead)).reshape(-1)


def _sample_weight(plan: Plan, start: int, stop: int, lead: tuple[int, ...], keep: Ints | None) -> Array | None:
    weight = _spread(plan, plan.sample_weight, start, stop, lead)
    if weight is None or plan.sample_weight is None:
        return None
    weight = weight if keep is None else weight[keep]
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        place = _placer(plan, plan.sample_weight, start, keep)(row)
        raise DataError("weight", f"a weight must be finite and at least 0, not {weight[row]:g}", place=place)
    return weight


def _placer(plan: Plan, column: Column, start: int, keep: Ints | None) -> Callable[..., Place]:
    """Where a kept row of a block, or one entry of it, stands in its file."""
    return lambda row, *entry: plan.place(column, start, row if keep is None else int(keep[row]), entry)


def by_labels(plan: Plan, weighing: Weighing, losses: Array, scale: float, mean: float = 0.0) -> Array:
    """The slopes by soft labels, (M, C): each class's own loss, (M, C), as smoothing, weights and reduction leave it.

    ``mean`` is that of the losses where it divides by the weights of the labels' classes, which move with them.
    """
    by_class = np.asarray(1.0 if plan.how.class_weight is None else plan.how.class_weight)
    weight = np.asarray(scale if weighing.weight is None else weighing.weight[:, None] * scale)
    own = times((1.0 - plan.how.label_smoothing) * by_class, losses)
    return own * weight if mean == 0.0 else (own - times(by_class, np.asarray(mean))) * weight


def _read_labels(plan: Plan, start: int, stop: int) -> Raw:
    """Labels of a block: indices (M,), or a mass per class (M, C)."""
    column = plan.columns[plan.signature.labels]
    block = plan.read(column, start, stop)
    if len(column.shape) > len(plan.lead):
        return np.asarray(block, dtype=np.float64).reshape(-1, plan.classes)
    flat = block.reshape(-1)
    if flat.dtype.kind != "U":
        return flat
    return _by_name(flat, plan.names, _placer(plan, column, start, None))


def _by_name(flat: Raw, names: Sequence[str], place: Callable[..., Place]) -> Ints:
    """The index of each class name."""
    if not names:
        message = f"labels are names such as {str(flat[0])!r}, but the classes have none"
        hint = "name them with --classes a,b,c or in the header of the scores"
        raise DataError("label-name", message, place=place(0), hint=hint)
    order = np.argsort(names)
    ordered = np.asarray(names)[order]
    found = np.minimum(np.searchsorted(ordered, flat), len(names) - 1)
    bad = ordered[found] != flat
    if bad.any():
        row = int(np.argmax(bad))
        word = str(flat[row])
        hint = did_you_mean(word, names) or f"the classes are {', '.join(names[:12])}"
        raise DataError("label-name", f"no class is named {word!r}", place=place(row), hint=hint)
    return np.asarray(order[found], dtype=np.intp)


def _classified(plan: Plan, labels: Raw, plain: Weighing, place: Callable[..., Place]) -> Weighing:
    """Labels to a Target, with class weights and smoothing."""
    how, classes, sample = plan.how, plan.classes, plain.weight
    by_class = how.class_weight
    if labels.ndim == 2:
        mass = _checked_mass(plan, labels, place)
        share = None if by_class is None else mass @ by_class
    else:
        index = _checked_index(labels, classes, place, "ignore-index" in plan.signature.options)
        share = None if by_class is None else by_class[index]
        if how.label_smoothing == 0.0:
            weight = _product(sample, share)
            return Weighing(plain.rows, plain.keep, weight, weight, Target(index=index))
        mass = Target(index=index).dense(classes)
    if how.label_smoothing:
        mass = (1.0 - how.label_smoothing) * mass + how.label_smoothing / classes
    measure = _product(sample, share)
    if by_class is not None and plan.signature.expected:
        # Each class's own term carries its own weight (as in torch); the mean still divides by the true class's.
        return Weighing(plain.rows, plain.keep, sample, measure, Target(mass=mass * by_class))
    return Weighing(plain.rows, plain.keep, measure, measure, Target(mass=mass))


def _product(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return a if b is None else b
    return a * b


def _checked_index(labels: Raw, classes: int, place: Callable[..., Place], skipped: bool) -> Ints:
    """Labels as class indices; refuses fractions and what is out of range. The hint is for rows that may be skipped."""
    if labels.dtype.kind == "f":
        bad = labels != np.floor(labels)
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError("label-fraction", f"label {labels[row]:g} is not a whole number", place=place(row))
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        bad = (labels.astype(np.float64) < 0) | (labels >= classes)
        row = int(np.argmax(bad))
        label = float(labels[row])
        way = f"; skip such rows with --ignore-index {label:.0f}" if skipped else ""
        hint = f"the scores have {classes} classes, counted from 0{way}"
        raise DataError("label-range", f"label {label:.0f} is not in 0..{classes - 1}", place=place(row), hint=hint)
    return labels.astype(np.intp, copy=False)


def _checked_mass(plan: Plan, mass: Array, place: Callable[..., Place]) -> Array:
    if not plan.signature.soft:
        raise DataError("label-soft", "this loss takes class indices, not soft labels", place=place(0))
    bad = SIMPLEX.outside(mass).any(axis=1) | SIMPLEX.bad_rows(mass)
    if bad.any():
        row = int(np.argmax(bad))
        message = f"soft labels must be {SIMPLEX.text}; those of this row sum to {mass[row].sum():.6g}"
        raise DataError("label-simplex", message, place=place(row))
    return mass


def arrange(plan: Plan, start: int, stop: int, *, trusting: Collection[str] = ()) -> Table:
    """A block as the fold reads it: kept rows only, float64, every number in its domain.

    ``trusting`` leaves out the look at inputs that reveal their own faults: who finds a loss that is not finite must
    arrange the block again without it.
    """
    weighing = weigh(plan, start, stop)
    groups = None
    if plan.groups is not None:
        here = (plan.groups.starts >= start) & (plan.groups.starts < stop)
        before = int(np.searchsorted(plan.groups.starts, start))
        groups = Groups(plan.groups.starts[here] - start, plan.groups.sizes[here], before)
    arrays: list[Any] = []
    for laid in plan.laid:
        if laid.entry.shared:
            arrays.append(_shared(plan, laid.entry.name))
        elif laid.entry.domain is IDENTITY:
            arrays.append(groups)
        elif laid.column is None:
            arrays.append(None)
        elif laid.entry.domain is LABEL:
            arrays.append(weighing.target)
        else:
            arrays.append(_numbers(plan, laid, laid.column, weighing.keep, (start, stop), laid.entry.name in trusting))
    return Table(tuple(arrays), weighing, groups)


def _shared(plan: Plan, name: str) -> Array | None:
    """An input that all rows read; refuses the first entry outside its domain."""
    array = plan.shared.get(name)
    if array is not None:
        domain = plan.signature.domain(name, plan.link)
        if not domain.admits(array):
            _refuse(domain, name, array, lambda *at: plan.columns[name].place(at))
    return array


def _numbers(plan: Plan, laid: Laid, column: Column, keep: Ints | None, span: tuple[int, int], trusted: bool) -> Array:
    """Rows of one input as float64 (M,) or (M, C); refuses the first entry outside its domain."""
    name, start = laid.entry.name, span[0]
    raw = plan.read(column, *span)
    if raw.dtype.kind == "U":
        raw = _by_name(raw.reshape(-1), plan.how.classes, _placer(plan, column, start, None)).reshape(raw.shape)
    own = laid.own_axes
    flat = raw if raw.ndim == 1 + own else raw.reshape(-1, *raw.shape[raw.ndim - own :])
    if keep is not None:
        flat = flat[keep]
    block = np.asarray(flat, dtype=np.float64, order="F" if flat.ndim == 2 and flat.shape[-1] < FEW else "C")
    signed = plan.how.zero_one_labels and name == "label"
    if signed:
        block = _signed(block, _placer(plan, column, start, keep))
    if trusted:
        return block
    domain = laid.domain
    # A float32 has half the bytes to look through, and an integer no fraction.
    plain = flat.dtype == np.float32 or (domain.index and flat.dtype.kind in "iu")
    looked = flat if plain and not signed else block
    # What single precision cannot decide double precision does.
    if not (domain.admits(looked) or domain.admits(block)):
        _refuse(domain, name, block, _placer(plan, column, start, keep))
    return block


def _signed(labels: Array, place: Callable[..., Place]) -> Array:
    """Labels of 0 and 1 as -1 and 1."""
    bad = (labels != 0.0) & (labels != 1.0)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError("domain", f"label must be 0 or 1, not {labels[row]:g}", place=place(row))
    return 2.0 * labels - 1.0


def _refuse(domain: Domain, name: str, block: Array, place: Callable[..., Place]) -> None:
    """Name the first entry of a block that is outside its domain, or the first row that is."""
    outside = domain.outside(block)
    if outside.any():
        at = np.unravel_index(int(np.argmax(outside)), block.shape)
        where = place(*(int(i) for i in at))
        hint = "0/1 labels are read with --labels 01" if name == "label" and block[at] == 0.0 else ""
        raise DataError("domain", f"{name} must be {domain.text}, not {float(block[at]):g}", place=where, hint=hint)
    bad = domain.bad_rows(block)
    row = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
    if domain.breaks is not None:
        given = ", ".join(f"{number:g}" for number in np.atleast_1d(block[row]))
        raise DataError("domain", f"{name} must be {domain.text}, not {given}", place=place(*row))
    fault = f"sum to {float(domain.row_sums(block[row])):.6g}" if domain.sums else "are all -inf"
    raise DataError("domain", f"{name} must be {domain.text}; those of this row {fault}", place=place(*row))
