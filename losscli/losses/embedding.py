"""Losses of embeddings: pairs and triplets of vectors, shape (M, D)."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from losscli.families.vectors import TRIPLETS
from losscli.inputs import Bools
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array, along, norm, others, over


def _norm_slope(d: Array, size: Array, p: float) -> Array:
    if p == 2:
        return along(d, size)
    return np.sign(d) * np.abs(over(d, size)) ** (p - 1.0)


def _norm_curve(d: Array, p: float) -> Array:
    if p == 1:
        return np.zeros_like(d)
    size = norm(d, p)
    share = np.abs(over(d, size))
    return (p - 1.0) * over(share ** (p - 2.0) * others(share**p), size)


def _chosen(a: Array, positive: Array, negative: Array, p: float, swap: bool) -> tuple[Array, Array, Bools, Array]:
    """The distances to the positive and to the negative, and which triplets take the negative from the positive."""
    near, d = norm(a - positive, p), a - negative
    far = norm(d, p)
    if not swap:
        return near, far, np.zeros(far.shape, dtype=np.bool_), d
    across = norm(positive - negative, p)
    swapped = across < far
    return near, np.where(swapped, across, far), swapped, np.where(swapped, positive - negative, d)


def _pieces(a: Array, positive: Array, negative: Array, *, margin: float, p: float, swap: bool) -> Any:
    near, far, swapped, d = _chosen(a, positive, negative, p, swap)
    signs = [np.sign(a - positive), np.sign(d)] if p < 2 else [near == 0, far == 0]
    return np.concatenate([margin + (near - far) > 0, swapped, *signs], axis=1)


@loss(
    aliases=("triplet-margin",),
    reads=TRIPLETS,
    formula="max(0, margin"
    " + sum(abs(ai - bi)**p for ai, bi in zip(anchor, positive))**(1/p)"
    " - (min(sum(abs(ai - ci)**p for ai, ci in zip(anchor, negative)),"
    " sum(abs(bi - ci)**p for bi, ci in zip(positive, negative)))"
    " if swap else sum(abs(ai - ci)**p for ai, ci in zip(anchor, negative)))**(1/p))",
    kinks=Kinks("the margin is just met; two vectors coincide; p < 2 and they share a coordinate", piece=_pieces),
    sources=(
        "Schroff et al. (2015), FaceNet, arXiv:1503.03832",
        "Balntas et al. (2016), doi:10.5244/C.30.119 (the swap)",
    ),
    peers=("torch.nn.TripletMarginLoss(eps=0)", "optax.triplet_margin_loss", "PML TripletMarginLoss"),
)
def triplet(
    a: Array,
    positive: Array,
    negative: Array,
    *,
    margin: Annotated[float, Param("by how much the negative should be farther", at_least=0)] = 1.0,
    p: Annotated[float, Param("the norm that measures distance", at_least=1)] = 2.0,
    swap: Annotated[bool, Param("measure to the negative from the positive where that is nearer")] = False,
) -> Rows:
    """Shortfall of the negative's distance from the anchor beyond the positive's, below a margin.

    Torch adds 1e-6 to each coordinate difference; here the distance is the norm itself, with slope 0 at zero.
    """
    near, far, swapped, d = _chosen(a, positive, negative, p, swap)
    short = margin + (near - far)
    active = (short > 0).astype(np.float64)

    def grad() -> tuple[Array, Array, Array]:
        pull, push = active * _norm_slope(a - positive, near, p), active * _norm_slope(d, far, p)
        if not swap:
            return pull - push, -pull, push
        return pull - push * ~swapped, -pull - push * swapped, push

    def hess() -> tuple[Array, Array, Array]:
        pull, push = active * _norm_curve(a - positive, p), active * _norm_curve(d, p)
        return pull - push * ~swapped, pull - push * swapped, -push

    return Rows(np.maximum(0.0, short)[:, 0], grad, hess)
