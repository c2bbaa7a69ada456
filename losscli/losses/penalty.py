"""Penalties on weights: added up, not averaged, unless asked otherwise."""

from __future__ import annotations

import numpy as np

from losscli.families.penalty import WEIGHTS
from losscli.loss import Rows, loss
from losscli.stable import Array


@loss(
    aliases=("ridge", "weight-decay"),
    reads=WEIGHTS,
    formula="w**2",
    sources=("Hoerl & Kennard (1970), doi:10.1080/00401706.1970.10488634",),
    peers=("torch weight_decay (half of it)", "keras L2", "sklearn Ridge alpha"),
)
def l2_penalty(w: Array) -> Rows:
    """Squared weight, without the factor 1/2, summed over all weights."""
    return Rows(w * w, grad=lambda: 2.0 * w, hess=lambda: np.full_like(w, 2.0))
