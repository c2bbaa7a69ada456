"""Multi-class losses.

The likelihood losses are written in the surprise of a class, s = -log p_y in nats: the fold gives the chain rule to
logits, log-probabilities or probabilities, and to soft labels as the mean over the classes.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.classes import DEVIATION, LIKELIHOOD, LOG_LIKELIHOOD, SCORES
from losscli.inputs import Ints
from losscli.loss import Kinks, Param, Rows, loss
from losscli.losses.focal import focus
from losscli.stable import Array, row_sums


@loss(
    aliases=("cross-entropy", "softmax"),
    reads=LIKELIHOOD,
    formula="-log(p)",
    sources=("Good (1952), Rational decisions, JRSS B 14(1)", "Bridle (1990), doi:10.1007/978-3-642-76153-9_28"),
    peers=(
        "torch.nn.CrossEntropyLoss",
        "optax.softmax_cross_entropy",
        "keras CategoricalCrossentropy",
        "sklearn log_loss",
    ),
)
def ce(s: Array) -> Rows:
    """Cross-entropy in nats, the negative log-probability of the true class."""
    return Rows(s, grad=lambda: np.ones_like(s), hess=lambda: np.zeros_like(s))


@loss(
    aliases=("negative-log-likelihood",),
    reads=LOG_LIKELIHOOD,
    formula="-log(p)",
    sources=("Fisher (1922), doi:10.1098/rsta.1922.0009",),
    peers=("torch.nn.NLLLoss",),
)
def nll(s: Array) -> Rows:
    """Negative log-likelihood in nats, from log-probabilities taken as free variables."""
    return Rows(s, grad=lambda: np.ones_like(s), hess=lambda: np.zeros_like(s))


@loss(
    reads=LIKELIHOOD,
    formula="-(1 - p)**gamma*log(p)",
    sources=("Lin et al. (2017), Focal loss for dense object detection, arXiv:1708.02002, eq. 4",),
    peers=("keras CategoricalFocalCrossentropy", "MONAI FocalLoss(use_softmax=True)"),
)
def softmax_focal(
    s: Array, *, gamma: Annotated[float, Param("how much well-classified samples are discounted", at_least=0)] = 2.0
) -> Rows:
    """Cross-entropy discounted by (1 - p)^gamma, p the softmax probability of the true class."""
    view = focus(s, gamma)
    return Rows(view.value, grad=view.slope, hess=view.curve)


@loss(
    reads=DEVIATION,
    formula="sum((pj - vj)**2 for pj, vj in zip(p, v))",
    sources=("Brier (1950), doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2",),
    peers=("sklearn brier_score_loss(scale_by_half=False)",),
)
def brier(d: Array) -> Rows:
    """Squared distance between the class probabilities and the labels, summed over the classes."""
    return Rows(row_sums(d * d), grad=lambda: 2.0 * d, hess=lambda: np.full_like(d, 2.0))


@loss(
    aliases=("error-rate",),
    reads=SCORES,
    formula="0 if z[y] >= max(z) else 1",
    kinks=Kinks(
        "the true class ties with the strongest rival", piece=lambda z, y: _own(z, y) >= z.max(axis=1), jump=True
    ),
    sources=("Wald (1939), doi:10.1214/aoms/1177732144",),
    peers=("sklearn zero_one_loss",),
)
def zero_one(z: Array, y: Ints) -> Rows:
    """One where a rival scores above the true class, else zero; a tie counts as right."""
    value = (_own(z, y) < z.max(axis=1)).astype(np.float64)
    return Rows(value, grad=lambda: np.zeros_like(z), hess=lambda: np.zeros_like(z))


@loss(
    reads=SCORES,
    formula="sum(max(0, margin - z[y] + zj)**p for j, zj in enumerate(z) if j != y)/len(z)",
    kinks=Kinks(
        "p = 1 and a rival trails the true class by exactly the margin",
        piece=lambda z, y, *, p, margin: _shortfall(z, y, margin) > 0 if p == 1 else np.zeros(len(z)),
    ),
    sources=("Weston & Watkins (1999), Support vector machines for multi-class pattern recognition, ESANN",),
    peers=("torch.nn.MultiMarginLoss",),
)
def multi_margin(
    z: Array,
    y: Ints,
    *,
    p: Annotated[int, Param("power of each shortfall", at_least=1, at_most=2)] = 1,
    margin: Annotated[float, Param("lead that the true class should have")] = 1.0,
) -> Rows:
    """Shortfalls of the true class's lead over each rival, to the power p, summed and divided by the classes."""
    rows, classes = np.arange(len(z)), z.shape[1]
    short = np.maximum(0.0, _shortfall(z, y, margin))

    def spread(per_rival: Array, sign: float) -> Array:
        per_rival[rows, y] = sign * row_sums(per_rival)
        return per_rival / classes

    return Rows(
        row_sums(short**p) / classes,
        grad=lambda: spread(np.where(short > 0, 1.0 if p == 1 else 2.0 * short, 0.0), -1.0),
        hess=lambda: spread(np.where(short > 0, 2.0 * (p - 1), 0.0), 1.0),
    )


def _own(z: Array, y: Ints) -> Array:
    return np.asarray(z[np.arange(len(z)), y])


def _shortfall(z: Array, y: Ints, margin: float) -> Array:
    short = margin + (z - _own(z, y)[:, None])
    # The true class is no rival of its own: far below any kink.
    short[np.arange(len(z)), y] = -np.inf
    return short
