"""torchvision's losses of boxes, which add 1e-7 below each fraction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from losscli.families.boxes import OUTWARD, Pair, area, edges, flip
from losscli.inputs import Array
from losscli.loss import Rows
from losscli.stable import row_sums

_BOX = 1e-7
_DUAL = 4.0 / math.pi**2


def _quotient(above: Array, slope: Array, below: Array, by: Array) -> tuple[Array, Array]:
    """A quotient and its slopes, from those of what stands above and below."""
    value = above / below
    return value, (slope - value * by) / below


def _parts(pair: Pair) -> Mapping[str, tuple[Array, Array]]:
    """The areas of what two boxes share, of their union and of their hull: with slopes by the first one's edges."""
    outer, inner = pair.outer, 1.0 - pair.outer
    shared = area(pair.shared)
    by_shared = OUTWARD * inner * edges(flip(pair.shared))
    by_own = OUTWARD * edges(flip(pair.own))
    by_hull = OUTWARD * outer * edges(flip(pair.hull))
    union = area(pair.own) + area(pair.other) - shared
    return {"shared": (shared, by_shared), "union": (union, by_own - by_shared), "hull": (area(pair.hull), by_hull)}


def _least(pair: Pair) -> Array:
    """What is added below fractions, in the units of the pair's areas."""
    return _BOX / area(pair.unit)


def _iou(pair: Pair) -> tuple[Array, Array]:
    parts, least = _parts(pair), _least(pair)
    (shared, by_shared), (union, by_union) = parts["shared"], parts["union"]
    return _quotient(shared, by_shared, union + least, by_union)


def void(pair: Pair) -> tuple[Array, Array]:
    """The share of the box around both that belongs to neither."""
    parts, least = _parts(pair), _least(pair)
    (union, by_union), (hull, by_hull) = parts["union"], parts["hull"]
    return _quotient(hull - union, by_hull - by_union, hull + least, by_hull)


def offset(pair: Pair) -> tuple[Array, Array]:
    """The squared distance of the centres over the squared diagonal."""
    apart, hull = pair.apart * pair.unit, pair.hull * pair.unit
    # Slopes are by edges in the units of the pair.
    unit = edges(pair.unit)
    by_hull = 2.0 * OUTWARD * pair.outer * edges(hull) * unit
    return _quotient(
        row_sums(apart * apart)[:, None],
        edges(apart) * unit,
        row_sums(hull * hull)[:, None] + _BOX,
        by_hull,
    )


def shape(pair: Pair) -> tuple[Array, Array]:
    """The squared difference of the angles of the diagonals, as a share, and its weight times its slopes."""
    own, other = pair.own * pair.unit, pair.other * pair.unit
    gap = np.arctan(other[:, :1] / other[:, 1:]) - np.arctan(own[:, :1] / own[:, 1:])
    value = _DUAL * gap * gap
    turn = flip(own) * np.array([1.0, -1.0]) / row_sums(own * own)[:, None]
    weight = value / (1.0 - _iou(pair)[0] + value + _BOX)
    return weight * value, -2.0 * _DUAL * weight * gap * OUTWARD * edges(turn * pair.unit)


def boxes(*terms: Any) -> Any:
    """One minus the IoU plus terms, 1e-7 being added below each fraction; no second derivatives."""

    def kernel(pair: Pair, *, held: Any = None) -> Rows:  # noqa: ARG001
        def slope(side: Pair) -> Array:
            return np.asarray(sum(term(side)[1] for term in terms) - _iou(side)[1])

        value = 1.0 - _iou(pair)[0] + sum(term(pair)[0] for term in terms)
        return Rows(value[:, 0], grad=lambda: (slope(pair), slope(pair.turned)))

    return kernel
