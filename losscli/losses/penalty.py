"""Penalties on weights: added up, not averaged, unless asked otherwise."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.penalty import WEIGHTS
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array


@loss(
    aliases=("ridge", "weight-decay"),
    reads=WEIGHTS,
    formula="w**2",
    slope="2w: a step against it shrinks all weights by the same share",
    convex=True,
    sources=("Hoerl & Kennard (1970), doi:10.1080/00401706.1970.10488634",),
    peers=("torch weight_decay (half of it)", "keras L2", "sklearn Ridge alpha"),
)
def l2_penalty(w: Array) -> Rows:
    """Squared weight, without the factor 1/2, summed over all weights."""
    return Rows(w * w, grad=lambda: 2.0 * w, hess=lambda: np.full_like(w, 2.0))


@loss(
    aliases=("lasso",),
    reads=WEIGHTS,
    formula="abs(w)",
    slope="the sign of w, 0 at w = 0: a step against it shrinks all weights by the same amount",
    kinks=Kinks("w = 0", piece=lambda w: w > 0),
    convex=True,
    sources=("Tibshirani (1996), doi:10.1111/j.2517-6161.1996.tb02080.x",),
    peers=("keras L1", "sklearn Lasso alpha (beside half the mean squared error)"),
)
def l1_penalty(w: Array) -> Rows:
    """Absolute weight, summed over all weights; its slope at w = 0 is taken as 0."""
    return Rows(np.abs(w), grad=lambda: np.sign(w), hess=lambda: np.zeros_like(w))


@loss(
    reads=WEIGHTS,
    formula="l1*abs(w) + l2*w**2",
    slope="l1 times the sign of w, which is taken as 0 at w = 0, plus 2 l2 w",
    kinks=Kinks("w = 0 where l1 > 0", piece=lambda w, l1, l2: (w > 0) & (l1 > 0)),  # noqa: ARG005
    convex=True,
    sources=("Zou & Hastie (2005), doi:10.1111/j.1467-9868.2005.00503.x, eq. 3",),
    peers=("keras L1L2", "sklearn ElasticNet (l1 = alpha l1_ratio, l2 = alpha (1 - l1_ratio)/2)"),
)
def elastic_net(
    w: Array,
    *,
    l1: Annotated[float, Param("how much an absolute weight costs", at_least=0)] = 1.0,
    l2: Annotated[float, Param("how much a squared weight costs, without a factor 1/2", at_least=0)] = 1.0,
) -> Rows:
    """Absolute weight times l1 plus squared weight times l2, summed; the slope at w = 0 is taken as 0."""
    size = np.abs(w)
    return Rows(
        size * (l1 + l2 * size),
        grad=lambda: l1 * np.sign(w) + 2.0 * l2 * w,
        hess=lambda: np.full_like(w, 2.0 * l2),
    )
