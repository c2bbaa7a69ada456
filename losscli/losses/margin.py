"""Losses of a margin m = label · score, label -1 or 1: how far on the right side of zero a score lies."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.margin import MARGIN
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array, sigmoid, softplus


@loss(
    reads=MARGIN,
    formula="max(0, 1 - m)",
    kinks=Kinks("m = 1", piece=lambda m: m < 1),
    sources=("Cortes & Vapnik (1995), doi:10.1007/BF00994018",),
    peers=("optax.hinge_loss", "keras Hinge", "sklearn hinge_loss", "XGBoost binary:hinge"),
)
def hinge(m: Array) -> Rows:
    """Shortfall of the margin below 1; its slope at m = 1 is taken as 0."""
    short = np.maximum(0.0, 1.0 - m)
    return Rows(short, grad=lambda: np.minimum(np.sign(m - 1.0), 0.0), hess=lambda: np.zeros_like(m))


@loss(
    reads=MARGIN,
    formula="max(0, 1 - m)**2",
    sources=("Lee & Mangasarian (2001), doi:10.1023/A:1011215321374",),
    peers=("keras SquaredHinge", "sklearn LinearSVC"),
)
def squared_hinge(m: Array) -> Rows:
    """Squared shortfall of the margin below 1: its slope is continuous, so there is no kink."""
    short = np.maximum(0.0, 1.0 - m)
    return Rows(short * short, grad=lambda: -2.0 * short, hess=lambda: 2.0 * (m < 1).astype(np.float64))


@loss(
    reads=MARGIN,
    formula="log(1 + exp(-m))",
    sources=("Friedman, Hastie & Tibshirani (2000), doi:10.1214/aos/1016218223",),
    peers=("torch.nn.SoftMarginLoss", "sklearn HalfBinomialLoss", "LightGBM binary"),
)
def logistic(m: Array) -> Rows:
    """Negative log-probability of the label when the score is its log-odds."""
    return Rows(softplus(-m), grad=lambda: -sigmoid(-m), hess=lambda: sigmoid(m) * sigmoid(-m))


@loss(
    reads=MARGIN,
    formula="exp(-beta*m)",
    sources=("Freund & Schapire (1997), doi:10.1006/jcss.1997.1504",),
    peers=("sklearn ExponentialLoss (beta = 2)",),
)
def exponential(m: Array, *, beta: Annotated[float, Param("steepness", above=0)] = 1.0) -> Rows:
    """Exponential of the negative margin, the loss of AdaBoost."""
    value = np.exp(-beta * m)
    return Rows(value, grad=lambda: -beta * value, hess=lambda: beta * beta * value)


@loss(
    reads=MARGIN,
    formula="max(0, -m)",
    kinks=Kinks("m = 0", piece=lambda m: m < 0),
    sources=("Rosenblatt (1958), doi:10.1037/h0042519",),
    peers=("optax.perceptron_loss",),
)
def perceptron(m: Array) -> Rows:
    """How far the score lies on the wrong side of zero; its slope at m = 0 is taken as 0."""
    return Rows(np.maximum(0.0, -m), grad=lambda: np.minimum(np.sign(m), 0.0), hess=lambda: np.zeros_like(m))
