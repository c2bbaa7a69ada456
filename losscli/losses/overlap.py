"""Losses of overlap between a predicted and a true mask: functions of sums over all pixels."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.overlap import OVERLAP
from losscli.loss import Param, Pooled, loss
from losscli.stable import Array


@loss(
    aliases=("sorensen-dice",),
    reads=OVERLAP,
    formula="1 - (2*sum(pj*tj for pj, tj in zip(p, t)) + smooth)"
    "/(sum((pj**2 + tj**2 if squared else pj + tj) for pj, tj in zip(p, t)) + smooth)",
    sources=("Dice (1945), doi:10.2307/1932409", "Milletari et al. (2016), V-Net, arXiv:1606.04797 (squared)"),
    peers=("keras Dice", "optax.losses.dice_loss", "MONAI DiceLoss", "segmentation_models DiceLoss"),
)
def dice(
    p: Array,
    q: Array,
    t: Array,
    *,
    smooth: Annotated[float, Param("added above and below the fraction", at_least=0)] = 0.0,
    squared: Annotated[bool, Param("square the masks below the fraction")] = False,
) -> Pooled:
    """One minus twice the overlap of two masks over the sum of their sizes, pooled over all pixels.

    The value is the mismatch over the size, so a nearly perfect mask keeps its digits. Two empty masks without
    smoothing have no overlap to speak of: the value is not a number.
    """
    apart = (p - t) ** 2 if squared else p * (1.0 - t) + q * t
    size = p * p + t * t if squared else p + t

    def value(_: Array, apart: Array, size: Array) -> Array:
        return np.divide(apart, size + smooth)

    def grad(shared: Array, apart: Array, size: Array) -> Array:
        total = size + smooth
        alike = (2.0 * shared + smooth) / total
        if squared:
            return 2.0 * (p * alike - t) / total
        return ((1.0 - t) * alike - t * (1.0 + apart / total)) / total

    def hess(shared: Array, apart: Array, size: Array) -> Array:
        total = size + smooth
        slope = grad(shared, apart, size)
        if squared:
            return (2.0 * (2.0 * shared + smooth) / total - 4.0 * p * slope) / total
        return -2.0 * slope / total

    return Pooled((p * t, apart, size), value, grad, hess)
