"""What the declared pieces of a function say about the steps that may be taken from a point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int8]
Piece = Callable[[Array], NDArray[Any]]

LEVELS = 25  # steps s/4, s/8, ... s·2^-26: the last one is √u of the scale, below which rounding always wins
ULPS = 4  # prediction - target and the like cost a few roundings before an input meets its kink


@dataclass(frozen=True)
class Reach:
    """How far the declared pieces let a step go from x, on either side, and where x itself is on a kink."""

    left: Array
    right: Array
    on: BoolArray


def power_below(x: Array) -> Array:
    """Round down to a power of two (0 and inf stay)."""
    mantissa, exponent = np.frexp(x)
    return np.where(np.isfinite(x), np.where(mantissa > 0.0, np.ldexp(0.5, exponent), 0.0), x)


def first_level(scale: Array, reach: Array) -> IntArray:
    """Find the first level whose step scale·2^-(2+k) is within reach; LEVELS where none is."""
    with np.errstate(all="ignore"):
        level = np.ceil(np.log2(scale / reach) - 2.0)
    return np.where(reach > 0.0, np.clip(np.nan_to_num(level, nan=LEVELS), 0, LEVELS), LEVELS).astype(np.int8)


def _same(a: NDArray[Any], b: NDArray[Any]) -> BoolArray:
    equal: BoolArray = np.equal(a, b)
    return np.asarray(equal if equal.ndim == 1 else equal.reshape(equal.shape[0], -1).all(axis=1), np.bool_)


def _ulp(x: Array) -> Array:
    return np.asarray(np.spacing(np.maximum(np.abs(x), np.finfo(np.float64).tiny)))


def _changes(label: Piece, x: Array, ulp: Array) -> BoolArray:
    """Where a label changes within ULPS distances of x."""
    here = label(x)
    on = np.zeros(x.shape, np.bool_)
    for n in range(1, ULPS + 1):
        on |= ~_same(label(x - n * ulp), here) | ~_same(label(x + n * ulp), here)
    return on


def on_kinks(piece: Piece | None, x: Array, blur: Array | float = 0.0) -> BoolArray:
    """Find the entries that stand on a kink, as the labels of smooth pieces tell; ``blur`` as in declared_reach."""
    if piece is None:
        return np.zeros(x.shape, np.bool_)
    return _on(_labels(piece, -np.inf, np.inf), x, np.maximum(1.0, np.abs(x)), blur)[0]


def declared_reach(
    piece: Piece | None, x: Array, scale: Array, low: Array | float, high: Array | float, blur: Array | float = 0.0
) -> Reach:
    """Read the declared pieces around x: a side is clean up to the largest step below which no label changes.

    ``blur`` is the rounding error of what x is compared with.
    """
    if piece is None:
        return Reach(np.full(x.shape, np.inf), np.full(x.shape, np.inf), np.zeros(x.shape, np.bool_))
    label = _labels(piece, low, high)
    here, (on, ulp) = label(x), _on(label, x, scale, blur)
    mask = on.reshape(on.shape + (1,) * (here.ndim - 1))

    def clean(step: Array) -> Array:
        # On a kink the label of x is an accident of `>` or `>=`. Each side is compared with its own beginning instead,
        # at a distance where `sign`, which has a label for the kink alone, has left that label behind.
        return _clean(label, x, step, np.where(mask, label(x + np.copysign(2 * ULPS * ulp, step)), here))

    return Reach(clean(-scale), clean(scale), on)


def _labels(piece: Piece, low: Array | float, high: Array | float) -> Piece:
    def label(t: Array) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            return np.asarray(piece(np.clip(t, low, high)))

    return label


def _on(label: Piece, x: Array, scale: Array, blur: Array | float) -> tuple[BoolArray, Array]:
    """Where x is on a kink, and the distances that tell: an ulp each, or the blur where floats are too fine."""
    ulp, least = _ulp(x), scale * 2.0 ** -(1 + LEVELS)
    on = _changes(label, x, ulp)
    # At 0 floats are finer than what 1 - x is rounded to: no label changes beside x, and at every step another is met.
    here = label(x)
    stuck = ~on & ~_same(label(x - least), here) & ~_same(label(x + least), here)
    if not stuck.any():
        return on, ulp
    wide = np.maximum(ulp, blur)
    stuck &= _changes(label, x, wide)
    return on | stuck, np.where(stuck, wide, ulp)


def _clean(label: Piece, x: Array, scale: Array, want: NDArray[Any]) -> Array:
    """Find the largest step, on the side given by the sign of scale, below which every label is the one wanted."""
    clean, reach = np.ones(x.shape, np.bool_), np.zeros(x.shape)
    for k in reversed(range(LEVELS)):
        h = scale * 2.0 ** -(2 + k)
        clean &= _same(label(x + h), want)
        np.copyto(reach, np.abs(h), where=clean)
    return reach
