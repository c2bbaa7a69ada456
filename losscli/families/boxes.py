"""Boxes: a predicted and a true one per row, by two opposite corners, x1, y1, x2, y2, or by a point and a size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from losscli.families.plain import WEIGHTED
from losscli.inputs import Array, Bools, Domain, Fold, Input, Link, Partials, Signature, no_curve, unscaled
from losscli.stable import by_row

# Coordinates between these have areas, and products of them, that neither overflow nor vanish.
_TAME = (1e-70, 1e70)
# Which way an edge moves its box's size: x1, y1, x2, y2.
OUTWARD = np.array([-1.0, -1.0, 1.0, 1.0])


def flip(x: Array) -> Array:
    """The number of the other axis."""
    return x[:, ::-1]


def edges(x: Array) -> Array:
    """A number per axis, (M, 2), given to both of its edges, (M, 4)."""
    return np.concatenate([x, x], axis=1)


def area(x: Array) -> Array:
    """Width times height, (M, 2) → (M, 1)."""
    return x[:, :1] * x[:, 1:]


def filled(x: Array) -> Array:
    """A divisor: inf for 0, so that what has no size moves nothing."""
    return np.where(x == 0.0, np.inf, x)


@dataclass(frozen=True)
class Pair:
    """Two boxes axis by axis, each number (M, 2), the first one being what slopes are taken with respect to.

    ``own`` and ``other`` their lengths; ``beyond`` and ``within`` by how much the first sticks out of the second, and
    the second out of the first; ``inner`` the length they share, negative where there is a gap; ``hull`` that of both
    together; ``apart`` how far the first's centre lies ahead. ``outer`` (M, 4) is 1 for the first one's edges that lie
    outside the second, 1/2 where two edges coincide. All lengths are in ``unit``, a power of two.
    """

    own: Array
    other: Array
    beyond: Array
    within: Array
    inner: Array
    hull: Array
    apart: Array
    outer: Array
    unit: Array

    @classmethod
    def of(cls, p: Array, t: Array) -> Pair:
        """The first boxes and the second, both (M, 4)."""
        unit = _unit(p, t)
        p, t = (p, t) if unit is None else (p / edges(unit), t / edges(unit))
        gap = (p - t) * OUTWARD
        out, back = np.maximum(gap, 0.0), np.maximum(-gap, 0.0)
        start, end = np.maximum(p[:, :2], t[:, :2]), np.minimum(p[:, 2:], t[:, 2:])
        first, last = np.minimum(p[:, :2], t[:, :2]), np.maximum(p[:, 2:], t[:, 2:])
        return cls(
            own=p[:, 2:] - p[:, :2],
            other=t[:, 2:] - t[:, :2],
            beyond=out[:, :2] + out[:, 2:],
            within=back[:, :2] + back[:, 2:],
            inner=end - start,
            hull=last - first,
            apart=(gap[:, 2:] - gap[:, :2]) / 2.0,
            outer=np.heaviside(gap, 0.5),
            unit=np.ones((1, 2)) if unit is None else unit,
        )

    @classmethod
    def by_sizes(cls, own: Array, other: Array, start: Array, end: Array) -> Pair:
        """Boxes of such lengths, the first of which starts and ends so far ahead of the second, all (M, 2)."""
        size = np.maximum(np.maximum(own, other), np.maximum(np.abs(start), np.abs(end)))
        unit = _unit_of(size)
        if unit is not None:
            own, other, start, end = own / unit, other / unit, start / unit, end / unit
        gap = np.concatenate([-start, end], axis=1)
        out, back = np.maximum(gap, 0.0), np.maximum(-gap, 0.0)
        later, longer = start >= 0.0, end >= 0.0
        return cls(
            own=own,
            other=other,
            beyond=out[:, :2] + out[:, 2:],
            within=back[:, :2] + back[:, 2:],
            inner=np.where(later, np.where(longer, other - start, own), np.where(longer, other, own + start)),
            hull=np.where(later, np.where(longer, own + start, other), np.where(longer, own, other - start)),
            apart=(start + end) / 2.0,
            outer=np.heaviside(gap, 0.5),
            unit=np.ones((1, 2)) if unit is None else unit,
        )

    @cached_property
    def turned(self) -> Pair:
        """The same boxes the other way round."""
        return replace(
            self,
            own=self.other,
            other=self.own,
            beyond=self.within,
            within=self.beyond,
            apart=-self.apart,
            outer=1.0 - self.outer,
        )

    @cached_property
    def meet(self) -> Bools:
        """Whether the boxes share an area, (M, 1)."""
        return np.asarray((self.inner > 0.0).all(axis=1, keepdims=True))

    @cached_property
    def shared(self) -> Array:
        """The lengths of the shared area; 0 where there is none."""
        return np.where(self.meet, self.inner, 0.0)

    @cached_property
    def spare(self) -> Array:
        """The first one's length without that of the shared area."""
        return np.where(self.meet, self.beyond, self.own)

    @cached_property
    def missed(self) -> Array:
        """The area that the boxes do not share, (M, 1)."""
        return _missed(self) + _missed(self.turned)

    @cached_property
    def union(self) -> Array:
        """The area of the union, (M, 1); inf where it is empty."""
        return filled(self.missed + area(self.shared))

    @cached_property
    def wider(self) -> Array:
        """By how much the second one is longer."""
        return np.where(self.inner > 0.0, self.within - self.beyond, self.other - self.own)

    @cached_property
    def aspect(self) -> Array:
        """What brings the lengths of both axes to the same unit."""
        return self.unit / self.unit.max(axis=1, keepdims=True)


def _unit(p: Array, t: Array) -> Array | None:
    """A power of two near the largest coordinate of each row and axis; None where none is needed."""
    size = np.maximum(np.abs(p), np.abs(t))
    return _unit_of(np.maximum(size[:, :2], size[:, 2:]))


def _unit_of(reach: Array) -> Array | None:
    if not reach.size or (_TAME[0] < reach.min() and reach.max() < _TAME[1]):
        return None
    return np.where(reach > 0.0, np.ldexp(1.0, np.frexp(reach)[1] - 1), 1.0)


def _missed(pair: Pair) -> Array:
    """The area of the first box outside the second, (M, 1)."""
    return pair.spare[:, :1] * pair.own[:, 1:] + pair.shared[:, :1] * pair.spare[:, 1:]


def disordered(x: Array) -> Bools:
    """The rows that are no box: not four numbers, or the second corner not beyond the first."""
    if x.shape[-1] != 4:
        return np.ones(len(x), dtype=np.bool_)
    return np.asarray((x[:, 2:] < x[:, :2]).any(axis=1))


def some(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    """Random boxes: of two drawn like this, about half have something in common."""
    centre = rng.normal(size=(shape[0], 2))
    half = rng.uniform(0.2, 1.5, size=(shape[0], 2))
    return np.concatenate([centre - half, centre + half], axis=1) * scale


def _negative(x: Array) -> Bools:
    """The rows that are no point and size: not four numbers, or a size below 0."""
    if x.shape[-1] != 4:
        return np.ones(len(x), dtype=np.bool_)
    return np.asarray((x[:, 2:] < 0.0).any(axis=1))


def _some_sized(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    x = some(rng, shape, scale)
    return np.concatenate([x[:, :2], x[:, 2:] - x[:, :2]], axis=1)


def pair(prediction: Array, target: Array) -> Fold:
    """Both boxes as one variable; partials are by the edges of the first, and of the second, in its units.

    Further ones are what the rounding of these has lost.
    """
    both = Pair.of(prediction, target)
    unit = edges(both.unit)
    return Fold(
        (both,),
        gradient=lambda a, name: a[_NAMES.index(name)] / unit,
        hessian=lambda a, b, name: b[_NAMES.index(name)] / unit / unit,  # noqa: ARG005
    )


def _centred(prediction: Array, target: Array) -> Pair:
    apart, half = prediction[:, :2] - target[:, :2], (prediction[:, 2:] - target[:, 2:]) / 2.0
    return Pair.by_sizes(prediction[:, 2:], target[:, 2:], apart - half, apart + half)


def _from_corner(prediction: Array, target: Array) -> Pair:
    ahead, longer = prediction[:, :2] - target[:, :2], prediction[:, 2:] - target[:, 2:]
    return Pair.by_sizes(prediction[:, 2:], target[:, 2:], ahead, ahead + longer)


def _sized(make: Callable[[Array, Array], Pair], first: float, last: float) -> Callable[[Array, Array], Fold]:
    """The fold of a point and a size: a longer box starts ``first`` of that later and ends ``last`` of it later."""

    def fold(prediction: Array, target: Array) -> Fold:
        both = make(prediction, target)

        def gradient(a: Partials, name: str) -> Array:
            own, factor = unscaled(a)
            at, unit = _NAMES.index(name), edges(both.unit)
            made = by_size(own[at] / unit)
            if len(own) > len(_NAMES):
                # Both edges together may be slow where each of them is steep.
                made = made + by_size(own[at + len(_NAMES)] / unit)
            return made if factor is None else made * by_row(factor, made)

        def by_size(by_edge: Array) -> Array:
            start, end = by_edge[:, :2], by_edge[:, 2:]
            return np.concatenate([start + end, first * start + last * end], axis=1)

        # The kernels' curvatures are by one edge at a time.
        return Fold((both,), gradient, no_curve)

    return fold


_NAMES = ("prediction", "target")
CORNERS = Domain("x1, y1, x2, y2 with x1 <= x2 and y1 <= y2", breaks=disordered)
_SIZES = (
    ("p", "prediction"),
    ("t", "target"),
    ("inter", "max(0, min(p[2], t[2]) - max(p[0], t[0]))*max(0, min(p[3], t[3]) - max(p[1], t[1]))"),
    ("union", "(p[2] - p[0])*(p[3] - p[1]) + (t[2] - t[0])*(t[3] - t[1]) - inter"),
    ("iou", "inter/union if union > 0 else 0"),
    ("width", "max(p[2], t[2]) - min(p[0], t[0])"),
    ("height", "max(p[3], t[3]) - min(p[1], t[1])"),
    ("solid", "max(p[2] - p[0], p[3] - p[1]) > 0 and max(t[2] - t[0], t[3] - t[1]) > 0"),
    ("angle", "atan((t[2] - t[0])/(t[3] - t[1])) - atan((p[2] - p[0])/(p[3] - p[1])) if solid else 0"),
)


def _given_as(words: str, fold: Callable[..., Fold], start: str, end: str) -> Link:
    """The link of boxes given as a point and a size, and where on an axis they start and end."""
    text = ", ".join(edge.format(at, at + 2) for edge in (start, end) for at in (0, 1))
    where = tuple((short, f"[{text.replace('x[', f'{name}[')}]") for short, name in zip("pt", _NAMES, strict=True))
    domain = Domain(f"{words} with w >= 0 and h >= 0", breaks=_negative, draw=_some_sized)
    return Link(fold, (*where, *_SIZES[2:]), dict.fromkeys(_NAMES, domain))


BOXES = Signature(
    "boxes",
    tuple(
        Input(name, CORNERS, differentiable=True, help=f"{kind} boxes x1, y1, x2, y2 or by --from (N, 4)", draw=some)
        for name, kind in zip(_NAMES, ("predicted", "true"), strict=True)
    ),
    "rows",
    {
        "corners": Link(pair, _SIZES),
        "cxcywh": _given_as("cx, cy, w, h", _sized(_centred, -0.5, 0.5), "x[{0}] - x[{1}]/2", "x[{0}] + x[{1}]/2"),
        "xywh": _given_as("x1, y1, w, h", _sized(_from_corner, 0.0, 1.0), "x[{0}]", "x[{0}] + x[{1}]"),
    },
    options=WEIGHTED,
)
