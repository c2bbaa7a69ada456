"""Losses of a predicted and a true box per row.

Nothing is the difference of areas that are close to each other: what two boxes do not share is built from the gaps
between their edges. Where two edges coincide, the slope is the mean of its two sides, as in torch; boxes that do not
overlap, or have no area, have an overlap of 0 without a slope.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np

from losscli.families.boxes import BOXES, OUTWARD, Pair, area, edges, filled, flip
from losscli.loss import Frozen, Kinks, Rows, Seldom, loss
from losscli.stable import Array, over
from losscli.twofold import two_sum

_TURN = 4.0 / np.pi**2


@dataclass(frozen=True)
class _Term:
    """A part of a loss: its value (M, 1), and its slopes and second derivatives by the first box's edges, (M, 4)."""

    value: Callable[[Pair], Array]
    slope: Callable[[Pair], Array]
    curve: Callable[[Pair], Array]


def _miss(pair: Pair) -> Array:
    return np.where(pair.meet, pair.missed / pair.union, 1.0)


def _miss_slope(pair: Pair) -> Array:
    """An edge outside adds to the union alone; one inside takes from the shared area what it adds to the rest."""
    across, length = flip(pair.shared) / pair.union, flip(pair.own)
    outside = across * (length * pair.inner / pair.union)
    inside = across * ((area(pair.other) + length * pair.beyond) / pair.union)
    return OUTWARD * (pair.outer * edges(outside) - (1.0 - pair.outer) * edges(inside))


def _miss_curve(pair: Pair) -> Array:
    growth = pair.outer * edges(flip(pair.own)) + (1.0 - pair.outer) * edges(flip(pair.spare))
    return -2.0 * OUTWARD * _miss_slope(pair) * (growth / pair.union)


def _void(pair: Pair) -> Array:
    """The hull's share that belongs to neither box."""
    crossed = pair.beyond * flip(pair.within)
    return (crossed[:, :1] + crossed[:, 1:] + _gap(pair)) / filled(area(pair.hull))


def _gap(pair: Pair) -> Array:
    """What the product of lengths shared lacks of the shared area, which is not negative."""
    return np.where(pair.meet, 0.0, -area(pair.inner))


def _void_slope(pair: Pair) -> Array:
    """An edge outside moves the hull too."""
    size = filled(area(pair.hull))
    wider = flip(pair.wider)
    near = pair.within * wider + pair.inner * np.where(pair.meet, flip(pair.within), flip(pair.other))
    far = pair.other * wider + pair.inner * flip(pair.own)
    outside = np.where(pair.inner > 0.0, near, far) / size / filled(pair.hull)
    return OUTWARD * (pair.outer * edges(outside) - (1.0 - pair.outer) * edges(flip(pair.spare) / size))


def _void_curve(pair: Pair) -> Array:
    return -2.0 * OUTWARD * pair.outer * _void_slope(pair) / edges(filled(pair.hull))


def _offset(pair: Pair) -> Array:
    """The squared distance of the centres over that of the hull's corners."""
    return _squares(pair.apart * pair.aspect) / _diagonal(pair)


def _squares(x: Array) -> Array:
    return x[:, :1] * x[:, :1] + x[:, 1:] * x[:, 1:]


def _diagonal(pair: Pair) -> Array:
    return filled(_squares(pair.hull * pair.aspect))


def _pull(pair: Pair) -> Array:
    """The slope of the offset where both axes have one unit: an edge outside moves the diagonal too."""
    drag = 2.0 * OUTWARD * pair.outer * edges(pair.hull * pair.aspect) * _offset(pair)
    return (edges(pair.apart * pair.aspect) - drag) / _diagonal(pair)


def _offset_slope(pair: Pair) -> Array:
    return edges(pair.aspect) * _pull(pair)


def _offset_curve(pair: Pair) -> Array:
    drag = 2.0 * OUTWARD * edges(pair.hull * pair.aspect) * _pull(pair) + _offset(pair)
    return edges(pair.aspect * pair.aspect) * ((0.5 - 2.0 * pair.outer * drag) / _diagonal(pair))


def _shape(pair: Pair) -> Array:
    return _TURN * _angle(pair) ** 2


def _angle(pair: Pair) -> Array:
    """By how much the second box is the more slanted one: the angle between the diagonals; 0 beside a point."""
    own, other, wider = (x * pair.aspect for x in (pair.own, pair.other, pair.wider))
    # Lengths that are close to each other are compared by their difference.
    longer = np.where((np.abs(wider) < other).all(axis=1, keepdims=True), wider, other)
    across = longer[:, :1] * own[:, 1:] - own[:, :1] * longer[:, 1:]
    along = own[:, :1] * other[:, :1] + own[:, 1:] * other[:, 1:]
    return np.arctan2(across, along)


def _lean(pair: Pair) -> Array:
    """By how much a longer side turns the first box's diagonal, (M, 2)."""
    own = pair.own * pair.aspect
    return flip(own) * np.array([1.0, -1.0]) / filled(_squares(own))


def _shape_slope(pair: Pair) -> Array:
    return -2.0 * _TURN * edges(pair.aspect * _angle(pair) * _lean(pair)) * OUTWARD


def _shape_curve(pair: Pair) -> Array:
    lean = _lean(pair)
    bend = lean * lean - 2.0 * _angle(pair) * area(lean) * np.array([1.0, -1.0])
    return 2.0 * _TURN * edges(pair.aspect * pair.aspect * bend)


_MISS = _Term(_miss, _miss_slope, _miss_curve)
_VOID = _Term(_void, _void_slope, _void_curve)
_OFFSET = _Term(_offset, _offset_slope, _offset_curve)


def _rows(pair: Pair, *terms: _Term) -> Rows:
    """The sum of some terms."""
    sides = (pair, pair.turned)
    return Rows(
        _sum(term.value(pair) for term in terms)[:, 0],
        grad=lambda: Seldom(
            partial(add, side, [term.slope for term in terms]) for add in (_slopes, _lost) for side in sides
        ),
        hess=lambda: tuple(_sum(term.curve(side) for term in terms) for side in sides),
    )


def _slopes(pair: Pair, slopes: Sequence[Callable[[Pair], Array]]) -> Array:
    return _sum(slope(pair) for slope in slopes)


def _lost(pair: Pair, slopes: Sequence[Callable[[Pair], Array]]) -> Array:
    """What the rounding of the sum of slopes has lost."""
    total, *others = (slope(pair) for slope in slopes)
    lost = np.zeros_like(total)
    for slope in others:
        total, error = two_sum(total, slope)
        lost += error
    return lost


def _sum(arrays: Iterable[Array]) -> Array:
    return reduce(operator.add, arrays)


def _pieces(pair: Pair) -> Any:
    """Which edge is the outer one, and whether the boxes overlap."""
    return np.concatenate([pair.outer, pair.inner > 0.0], axis=1)


_KINKS = Kinks("two edges coincide, or touch; both boxes are the same point", piece=_pieces)
_OFF = "(p[0] + p[2] - t[0] - t[2])**2 + (p[1] + p[3] - t[1] - t[3])**2"
_DISTANCE = f"(({_OFF})/(4*(width**2 + height**2)) if width + height > 0 else 0)"


@loss(
    aliases=("box-iou",),
    reads=BOXES,
    formula="1 - iou",
    slope="(iou A - (1 + iou) I)/union by an edge, A and I what its box's area and inter grow by with it, their means"
    " of both sides where edges coincide; 0 for boxes apart",
    kinks=_KINKS,
    sources=("Yu et al. (2016), UnitBox, arXiv:1608.01471 (there its logarithm)", "Jaccard (1912)"),
    peers=("torchvision.ops.box_iou (one minus it)", "KerasCV IoULoss(mode='linear')"),
)
def iou(pair: Pair) -> Rows:
    """One minus the area that two boxes share over the area of their union.

    Boxes apart, or without an area, have a loss of 1 and no slope.
    """
    return _rows(pair, _MISS)


@loss(
    aliases=("generalized-iou",),
    reads=BOXES,
    formula="1 - iou + ((width*height - union)/(width*height) if width*height > 0 else 0)",
    slope="that of iou, plus (union/H G - U)/H by an edge: H is the hull's area width height, G and U what it and the"
    " union grow by with it",
    kinks=_KINKS,
    sources=("Rezatofighi et al. (2019), arXiv:1902.09630",),
    peers=("torchvision.ops.generalized_box_iou_loss (adds 1e-7 below both fractions)", "KerasCV GIoULoss"),
)
def giou(pair: Pair) -> Rows:
    """IoU loss of two boxes, plus the share of the box around both that belongs to neither.

    Between 0 and 2; boxes apart have a slope towards each other, but one within the other only that of the IoU loss.
    """
    return _rows(pair, _MISS, _VOID)


@loss(
    aliases=("distance-iou",),
    reads=BOXES,
    formula=f"1 - iou + {_DISTANCE}",
    slope="that of iou, plus (C - R D)/d by an edge: R is the centres' squared distance over the hull's squared"
    " diagonal d, C and D what these two grow by with it",
    kinks=_KINKS,
    sources=("Zheng et al. (2020), arXiv:1911.08287",),
    peers=("torchvision.ops.distance_box_iou_loss (adds 1e-7 below both fractions)",),
)
def diou(pair: Pair) -> Rows:
    """IoU loss of two boxes, plus the squared distance of their centres over the diagonal of both.

    The diagonal is that of the box around both, squared.
    """
    return _rows(pair, _MISS, _OFFSET)


def _weight(pair: Pair) -> Array:
    """CIoU's factor α of the shapes' difference, (M, 1)."""
    shape = _shape(pair)
    return over(shape, _miss(pair) + shape)


@loss(
    aliases=("complete-iou",),
    reads=BOXES,
    formula=f"1 - iou + {_DISTANCE} + sum(frozen(v/(1 - iou + v) if v > 0 else 0)*v for v in [4*angle**2/pi**2])",
    slope="that of diou, plus the frozen weight times 8 angle/pi² times the slope of the angle, by an edge",
    kinks=_KINKS,
    frozen=Frozen("the weight of the shapes' difference", hold=_weight),
    sources=("Zheng et al. (2020), arXiv:1911.08287, equations 8 to 12",),
    peers=("torchvision.ops.complete_box_iou_loss (adds 1e-7 below three fractions; its weight is frozen too)",),
)
def ciou(pair: Pair, *, held: Array | None = None) -> Rows:
    """DIoU loss of two boxes, plus a weighted difference of their aspect ratios.

    The weight v/(1 - IoU + v) of the squared difference of angles v is held constant in the gradient; the paper also
    leaves a factor of 1/(width² + height²) out of it, which is kept here. A box without a width or a height has an
    angle; a point has none, and is taken to have the shape of the other box.
    """
    weight = _weight(pair) if held is None else held
    shape = _Term(
        lambda one: weight * _shape(one), lambda one: weight * _shape_slope(one), lambda one: weight * _shape_curve(one)
    )
    return _rows(pair, _MISS, _OFFSET, shape)
