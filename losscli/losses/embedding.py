"""Losses of embeddings: pairs and triplets of vectors, shape (M, D), and what their distances and scores are."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from losscli.families.embedding import COMPARISONS, DISTANCES, LABELLED_PAIRS, SIGNED_PAIRS, Turn
from losscli.families.vectors import TRIPLETS
from losscli.inputs import Bools
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array, along, either, falling, norm, others, over, positive_part, unit


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
    slope="where the loss is above 0, u - v by the anchor, -u by the positive and v by the negative: u and v point to"
    " it from the two, unit vectors for p = 2; under swap, where v points to the positive, -v goes to that",
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

    return Rows(positive_part(short)[:, 0], grad, hess)


def _met(d: Array) -> Bools:
    return np.asarray((d == 0.0).all(axis=1))


@loss(
    aliases=("contrastive-margin",),
    reads=LABELLED_PAIRS,
    formula="sum((xi - yi)**2 for xi, yi in zip(x, y))/2 if label == 1"
    " else max(0, margin - sqrt(sum((xi - yi)**2 for xi, yi in zip(x, y))))**2/2",
    slope="x - y by x for label 1; for label 0 the unit vector from y to x times -max(0, margin - |x - y|), 0 where x"
    " = y; the opposite by y",
    kinks=Kinks("a pair that does not belong together coincides", piece=lambda d, label, **_: _met(d) & (label == 0)),
    sources=("Hadsell, Chopra & LeCun (2006), doi:10.1109/CVPR.2006.100, eq. 4 (its Y is 1 - label)",),
    peers=(
        "sentence-transformers ContrastiveLoss (Euclidean distance)",
        "PML ContrastiveLoss (not squared, no 1/2; unit vectors)",
        "tensorflow-addons contrastive_loss (of a distance, no 1/2)",
    ),
)
def contrastive(
    d: Array,
    label: Array,
    *,
    margin: Annotated[float, Param("how far apart others should be", above=0)] = 1.0,
) -> Rows:
    """Half the squared distance of a pair that belongs together; of another, half its squared shortfall of a margin.

    Where a pair that does not belong together coincides, the slope is taken as 0.
    """
    size, alike = norm(d), label[:, None] == 1.0
    short = positive_part(margin - size)
    value = np.where(alike, size, short)

    def hess() -> Array:
        u = unit(d)
        # Of two vectors that coincide the curvature is taken as 0, as the slope is.
        apart = np.where(short > 0.0, u * u - over(short * others(u * u), size), 0.0)
        return np.where(alike, 1.0, apart)

    return Rows((value * value / 2.0)[:, 0], grad=lambda: np.where(alike, d, -short * unit(d)), hess=hess)


def _beyond(turn: Turn, margin: float) -> Array:
    return positive_part((turn.whole - margin) + turn.part)


def _turns(turn: Turn, label: Array, *, margin: float) -> Any:
    return np.stack([turn.defined, (label < 0.0) & (_beyond(turn, margin) > 0.0)], axis=1)


@loss(
    aliases=("cosine-embedding-margin",),
    reads=SIGNED_PAIRS,
    formula="1 - c if label == 1 else max(0, c - margin)",
    slope="for label 1 minus what the unit vector of y has across x, over the length of x, by x; for -1 the opposite"
    " where c > margin, else 0; by y the other way round; 0 for a zero vector",
    kinks=Kinks("x = 0 or y = 0; the cosine of a pair that does not belong together is the margin", _turns, jump=True),
    sources=("Collobert, Kavukcuoglu & Farabet (2011), Torch7, BigLearn, NIPS workshop (nn.CosineEmbeddingCriterion)",),
    peers=("torch.nn.CosineEmbeddingLoss(margin) (with 1e-12 added to the squared lengths)",),
)
def cosine_embedding(
    turn: Turn,
    label: Array,
    *,
    margin: Annotated[float, Param("the cosine that others may have", at_least=-1, at_most=1)] = 0.0,
) -> Rows:
    """One minus the cosine of a pair that belongs together; of another, what its cosine exceeds a margin by.

    A zero vector has the cosine 0 with every other, and no slope; at the margin the slope is taken as 0.
    """
    alike, beyond = label > 0.0, _beyond(turn, margin)
    return Rows(
        np.where(alike, (1.0 - turn.whole) - turn.part, beyond),
        grad=lambda: np.where(alike, -1.0, np.sign(beyond)),
        hess=lambda: np.zeros_like(label),
    )


@loss(
    aliases=("hinge-embedding-margin",),
    reads=DISTANCES,
    formula="distance if label == 1 else max(0, margin - distance)",
    slope="1 for label 1; for label -1 it is -1 where distance < margin and 0 from there on",
    kinks=Kinks(
        "label = -1 and distance = margin",
        piece=lambda distance, label, *, margin: (label < 0.0) & (distance < margin),
    ),
    sources=("Collobert, Kavukcuoglu & Farabet (2011), Torch7, BigLearn, NIPS workshop (nn.HingeEmbeddingCriterion)",),
    peers=("torch.nn.HingeEmbeddingLoss(margin) (slope -1 at the margin; other labels than ±1 add both terms)",),
)
def hinge_embedding(
    distance: Array,
    label: Array,
    *,
    margin: Annotated[float, Param("how far apart others should be", at_least=0)] = 1.0,
) -> Rows:
    """Distance of a pair that belongs together; of another, its shortfall of a margin, with slope 0 at the margin."""
    alike, short = label > 0.0, positive_part(margin - distance)
    return Rows(
        either(alike, distance, short),
        grad=lambda: either(alike, 1.0, falling(distance, margin)),
        hess=lambda: np.zeros_like(distance),
    )


@loss(
    aliases=("margin-ranking-loss", "pairwise-hinge"),
    reads=COMPARISONS,
    formula="max(0, margin - label*(x1 - x2))",
    slope="-label by x1 and label by x2 where label (x1 - x2) < margin; 0 from there on",
    kinks=Kinks("label (x1 - x2) = margin", piece=lambda lead, *, margin: lead < margin),
    sources=("Herbrich, Graepel & Obermayer (2000), Large margin rank boundaries for ordinal regression",),
    peers=("torch.nn.MarginRankingLoss(margin) (slope -label at the margin)",),
)
def margin_ranking(
    lead: Array, *, margin: Annotated[float, Param("by how much the one should be larger", at_least=0)] = 0.0
) -> Rows:
    """Shortfall below a margin of how far the score that should be larger exceeds the other.

    Where the margin is just met the slope is taken as 0.
    """
    short = positive_part(margin - lead)
    return Rows(short, grad=lambda: falling(lead, margin), hess=lambda: np.zeros_like(lead))
