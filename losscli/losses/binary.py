"""Binary and multi-label losses, written in the surprises of the two outcomes.

``yes`` = -log p and ``no`` = -log(1 - p), both in nats; t in [0, 1] is the weight of the first.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.binary import BINARY
from losscli.loss import Param, Rows, loss
from losscli.losses.focal import focus
from losscli.stable import Array, times


@loss(
    aliases=("binary-cross-entropy", "log-loss-binary"),
    reads=BINARY,
    formula="-pos_weight*t*log(p) - (1 - t)*log(1 - p)",
    sources=("Good (1952), Rational decisions, JRSS B 14(1)",),
    peers=("torch.nn.BCEWithLogitsLoss", "torch.nn.BCELoss", "optax.sigmoid_binary_cross_entropy", "sklearn log_loss"),
)
def bce(
    yes: Array,
    no: Array,
    t: Array,
    *,
    pos_weight: Annotated[float, Param("weight of the positive outcome", above=0)] = 1.0,
) -> Rows:
    """Binary cross-entropy in nats, the negative log-probability of the outcome."""
    positive, negative = t if pos_weight == 1.0 else pos_weight * t, 1.0 - t
    return Rows(
        positive * yes + negative * no,
        grad=lambda: (positive, negative),
        hess=lambda: (np.zeros_like(t), np.zeros_like(t)),
    )


@loss(
    aliases=("sigmoid-focal",),
    reads=BINARY,
    formula="-(1 if alpha == None else alpha)*t*(1 - p)**gamma*log(p)"
    " - (1 if alpha == None else 1 - alpha)*(1 - t)*p**gamma*log(1 - p)",
    sources=("Lin et al. (2017), Focal loss for dense object detection, arXiv:1708.02002, eq. 5",),
    peers=("torchvision sigmoid_focal_loss", "optax.sigmoid_focal_loss", "keras BinaryFocalCrossentropy"),
)
def focal(
    yes: Array,
    no: Array,
    t: Array,
    *,
    gamma: Annotated[float, Param("how much well-classified samples are discounted", at_least=0)] = 2.0,
    alpha: Annotated[
        float | None, Param("weight of the positive outcome, 1 - alpha the other's", at_least=0, at_most=1)
    ] = None,
) -> Rows:
    """Binary cross-entropy with each outcome discounted by its own probability of being right, to the power gamma.

    A soft target t mixes the two outcomes' losses, t and 1 - t.
    """
    positive = t if alpha is None else alpha * t
    negative = 1.0 - t if alpha is None else (1.0 - alpha) * (1.0 - t)
    right, wrong = focus(yes, gamma), focus(no, gamma)
    return Rows(
        positive * right.value + negative * wrong.value,
        grad=lambda: (positive * right.slope(), negative * wrong.slope()),
        hess=lambda: (times(positive, right.curve()), times(negative, wrong.curve())),
    )
