"""Structural identities: what a gradient must satisfy whatever its entries are, from the claim alone.

Which of them hold is read off the value where that is simple: a loss that does not change when a constant is added to
all scores has slopes that add up to zero; one that is homogeneous of degree p has x·g = p·f (Euler). Bounds and
convexity are declared, as data. Every identity has an allowance for rounding: that of the entries themselves, by their
condition (allowance.py), and k·u of the terms that are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from losscli.inputs import Array
from losscli.verifier.numeric.verdict import RESOLUTION
from losscli.verifier.witness.field import Field
from losscli.verifier.witness.witnesses import ROUNDOFF, Witnessed, witnessed

# Far and near: what holds at a distance alone may be an accident.
_SHIFTS = (1.0, -2.0, 0.0625)
_FACTORS = (2.0, 0.5, 1.0625)


@dataclass(frozen=True)
class Identity:
    """One thing that holds of a gradient: ``gap(g)`` is what must not be above zero, and the allowance, by unit."""

    name: str
    why: str
    gap: Callable[[Array], tuple[Array, Array]]

    def holds(self, gradient: Array) -> list[bool | None]:
        """Whether it holds in every unit of a gradient; None where the allowance is no number.

        A gradient that is not a number itself holds of nothing.
        """
        with np.errstate(all="ignore"):
            gap, allowance = self.gap(gradient)
        otherwise = False if np.isnan(gradient).any() else None
        return [bool(g <= a) if np.isfinite(a) else otherwise for g, a in zip(gap, allowance, strict=True)]


def identities(field: Field, seed: int = 0) -> Iterator[Identity]:
    """The identities that the gradient of a summed loss satisfies, as kept rows, shaped like ``Objective.x``.

    ``seed`` draws the second point that convex losses need.
    """
    with np.errstate(all="ignore"):
        yield from _shifted(field)
        yield from _homogeneous(field)
        yield from _bounded(field)
        yield from _monotone(field, seed)


def judged(found: tuple[Identity, ...], gradient: Array) -> Witnessed:
    """What the identities say of a claimed gradient: it agrees where none is broken; None where there are none."""
    said, broken = [], []
    for identity in found:
        holds = identity.holds(gradient)
        if False in holds:
            broken.append(f"{identity.name} ({identity.why})")
        said.append(-1 if False in holds else int(True in holds))
    names = ", ".join(identity.name for identity in found)
    detail = f"broken: {'; '.join(broken)}" if broken else names
    return witnessed("identities", np.array(said, dtype=np.int8), len(found), detail)


def _shifted(field: Field) -> Iterator[Identity]:
    """A constant added to all entries of a row changes nothing: the row's slopes add up to zero."""
    if not field.free or field.x.size == field.units:
        return
    for constant in _SHIFTS:
        moved = field.at(field.x + constant)
        if not _same(moved.value, field.value, moved.blur + field.blur):
            return

    def gap(g: Array) -> tuple[Array, Array]:
        return np.abs(field.sum(g)), field.sum(field.allowance) + field.rounding(g)

    yield Identity("rows sum to 0", f"a constant added to {field.name} changes nothing", gap)


def _homogeneous(field: Field) -> Iterator[Identity]:
    """Multiples of an input multiply the loss by a power of the factor: x·g is that power times the loss (Euler)."""
    doubled = field.at(2.0 * field.x)
    ratio = (doubled.value / field.value)[(field.value != 0.0) & (doubled.value != 0.0)]
    if not field.free or not ratio.size or not np.isfinite(ratio).all():
        return
    degree = round(float(np.log2(np.abs(ratio[0]))))
    for factor in _FACTORS:
        scaled, power = field.at(factor * field.x), factor**degree
        if not _same(scaled.value, power * field.value, scaled.blur + power * field.blur):
            return

    def gap(g: Array) -> tuple[Array, Array]:
        terms, value = field.x * g, degree * field.value
        allowance = field.sum(np.abs(field.x) * field.allowance) + abs(degree) * field.blur
        return np.abs(field.sum(terms) - value), allowance + field.rounding(terms) + field.k * ROUNDOFF * np.abs(value)

    why = f"the loss is homogeneous of degree {degree} in {field.name}"
    yield Identity(f"x·g = {degree}·f" if degree else "x·g = 0", why, gap)


def _same(a: Array, b: Array, allowance: Array) -> bool:
    # Behind a blunt allowance everything is the same.
    sharp = (np.abs(a - b) <= allowance) & (allowance <= RESOLUTION * np.abs(b))
    return bool((sharp | (a == b)).all())


def _bounded(field: Field) -> Iterator[Identity]:
    """The sizes of a row's slopes add up to no more than a bound."""
    bound, weight, most = field.objective.bound, field.weight, field.objective.bound.lipschitz
    if most is None or not field.first or weight is None:
        return

    def gap(g: Array) -> tuple[Array, Array]:
        return field.sum(np.abs(g)) - most * weight, field.sum(field.allowance) + field.rounding(g)

    yield Identity(f"|g|₁ ≤ {most:g}w", f"no row of {bound.loss.name} is steeper", gap)


def _monotone(field: Field, seed: int) -> Iterator[Identity]:
    """A convex loss's slopes never turn back: (g(y) − g(x))·(y − x) ≥ 0."""
    if not field.objective.bound.loss.convex or not field.first:
        return
    step = field.direction(seed)
    other = field.at(field.x + step)
    slope = field.objective.gradient(other.x)

    def gap(g: Array) -> tuple[Array, Array]:
        terms = (slope - g) * step
        allowance = field.sum((field.allowance + other.allowance) * np.abs(step))
        return -field.sum(terms), allowance + field.rounding((np.abs(slope) + np.abs(g)) * step)

    yield Identity("monotone", "the loss is convex", gap)
