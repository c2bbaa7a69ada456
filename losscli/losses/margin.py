"""Losses of a margin m = label · score, label -1 or 1: how far on the right side of zero a score lies."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np

from losscli.families.margin import MARGIN
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array, falling, hypotenuse, odds, positive_part, sigmoid, softplus


@loss(
    reads=MARGIN,
    formula="max(0, 1 - m)",
    slope="-label where m < 1 and 0 from there on, by the score: all that fall short pull alike",
    kinks=Kinks("m = 1", piece=lambda m: m < 1),
    convex=True,
    lipschitz=1.0,
    sources=("Cortes & Vapnik (1995), doi:10.1007/BF00994018",),
    peers=(
        "optax.hinge_loss",
        "keras Hinge (mean over the last axis)",
        "sklearn hinge_loss",
        "XGBoost binary:hinge",
        "LossFunctions.jl L1HingeLoss",
    ),
)
def hinge(m: Array) -> Rows:
    """Shortfall of the margin below 1; its slope at m = 1 is taken as 0."""
    short = positive_part(1.0 - m)
    return Rows(short, grad=lambda: falling(m, 1.0), hess=lambda: np.zeros_like(m))


@loss(
    reads=MARGIN,
    formula="max(0, 1 - m)**2",
    slope="-2(1 - m) label where m < 1 and 0 from there on, by the score: what falls short by more pulls harder",
    convex=True,
    sources=("Lee & Mangasarian (2001), doi:10.1023/A:1011215321374",),
    peers=("keras SquaredHinge (mean over the last axis)", "sklearn LinearSVC", "LossFunctions.jl L2HingeLoss"),
)
def squared_hinge(m: Array) -> Rows:
    """Squared shortfall of the margin below 1: its slope is continuous, so there is no kink."""
    short = positive_part(1.0 - m)
    return Rows(short * short, grad=lambda: -2.0 * short, hess=lambda: 2.0 * (m < 1).astype(np.float64))


@loss(
    aliases=("smoothed-hinge",),
    reads=MARGIN,
    formula="0 if m >= 1 else (1 - m)**2/2 if m > 0 else 1/2 - m",
    slope="-label up to m = 0, -(1 - m) label from there to m = 1 and 0 beyond, by the score",
    convex=True,
    sources=(
        "Rennie (2005), Smooth hinge classification, MIT; Rennie & Srebro (2005), Loss functions for preferences",
    ),
    peers=(
        "LossFunctions.jl SmoothedL1HingeLoss(1)",
        "ML.NET SmoothedHingeLoss(1)",
        "tf.raw_ops.SdcaOptimizer smooth_hinge_loss",
    ),
)
def smooth_hinge(m: Array) -> Rows:
    """Shortfall of the margin below 1, with a parabola from 0 to 1: its slope is continuous, so there is no kink."""
    return _rounded(m, 1.0)


@loss(
    reads=MARGIN,
    formula="max(0, 1 - m)**2 if m >= -1 else -4*m",
    slope="-4 label up to m = -1, -2(1 - m) label from there to m = 1 and 0 beyond, by the score",
    convex=True,
    sources=("Zhang (2004), Solving large scale linear prediction problems, doi:10.1145/1015330.1015332",),
    peers=("sklearn SGDClassifier(loss='modified_huber')", "LossFunctions.jl ModifiedHuberLoss"),
)
def modified_huber(m: Array) -> Rows:
    """Squared shortfall of the margin below 1, linear below -1: its slope is continuous, so there is no kink."""
    return _rounded(m, 2.0)


def _rounded(m: Array, width: float) -> Rows:
    """The shortfall below 1, squared up to a width and linear beyond it, times half the width."""
    short = positive_part(1.0 - m)
    within = np.minimum(short, width)
    return Rows(
        width * within * (short - within / 2.0),
        grad=lambda: -width * within,
        hess=lambda: width * ((m < 1.0) & (m > 1.0 - width)).astype(np.float64),
    )


@loss(
    aliases=("soft-margin",),
    reads=MARGIN,
    formula="log(1 + exp(-m))/(log(2) if bits else 1)",
    slope="-label times the probability of the other label, 1/(1 + exp(m)), by the score; over log(2) with bits",
    convex=True,
    sources=("Friedman, Hastie & Tibshirani (2000), doi:10.1214/aos/1016218223",),
    peers=(
        "torch.nn.SoftMarginLoss",
        "optax.sigmoid_binary_cross_entropy",
        "sklearn HalfBinomialLoss",
        "LightGBM binary",
        "LossFunctions.jl LogitMarginLoss",
    ),
)
def logistic(
    m: Array,
    *,
    bits: Annotated[bool, Param("logarithm to base 2: the loss is 1 at m = 0 and nowhere below zero-one")] = False,
) -> Rows:
    """Negative log-probability of the label when the score is its log-odds."""
    # Multiplied by 1/ln 2 the loss at 0 would not be exactly 1.
    unit, wrong = math.log(2.0) if bits else 1.0, -m
    value = softplus(wrong)
    return Rows(
        value / unit if bits else value,
        grad=lambda: sigmoid(wrong) / -unit if bits else -sigmoid(wrong),
        hess=lambda: np.multiply(*odds(m)) / unit,
    )


@loss(
    reads=MARGIN,
    formula="exp(-beta*m)",
    slope="-beta label times the loss itself, exp(-beta m), by the score",
    convex=True,
    sources=("Freund & Schapire (1997), doi:10.1006/jcss.1997.1504",),
    peers=(
        "sklearn ExponentialLoss (its score is half the log-odds)",
        "LossFunctions.jl ExpLoss",
    ),
)
def exponential(m: Array, *, beta: Annotated[float, Param("steepness", above=0)] = 1.0) -> Rows:
    """Exponential of the negative margin, the loss of AdaBoost."""
    # Squared only at the end, a tiny loss times beta keeps its digits and a huge one is not infinite too early.
    root = np.exp(-beta / 2.0 * m)
    return Rows(root * root, grad=lambda: -beta * root * root, hess=lambda: (beta * root) * (beta * root))


@loss(
    reads=MARGIN,
    formula="max(0, -m)",
    slope="-label where m < 0 and 0 from there on, by the score: what is on the right side does not pull",
    kinks=Kinks("m = 0", piece=lambda m: m < 0),
    convex=True,
    lipschitz=1.0,
    sources=("Rosenblatt (1958), doi:10.1037/h0042519",),
    peers=("optax.perceptron_loss", "sklearn SGDClassifier(loss='perceptron')", "LossFunctions.jl PerceptronLoss"),
)
def perceptron(m: Array) -> Rows:
    """How far the score lies on the wrong side of zero; its slope at m = 0 is taken as 0."""
    return Rows(positive_part(-m), grad=lambda: falling(m, 0.0), hess=lambda: np.zeros_like(m))


@loss(
    aliases=("truncated-hinge",),
    reads=MARGIN,
    formula="min(cap, max(0, 1 - m))",
    slope="-label where 1 - cap < m < 1, else 0, by the score: what is wrong by too much does not pull",
    kinks=Kinks("m = 1; m = 1 - cap", piece=lambda m, *, cap: np.stack([m < 1.0, 1.0 - m < cap], axis=1)),
    sources=(
        "Collobert, Sinz, Weston & Bottou (2006), Trading convexity for scalability, doi:10.1145/1143844.1143870",
    ),
    peers=("UniverSVM (s = 1 - cap)",),
)
def ramp(m: Array, *, cap: Annotated[float, Param("the largest loss, 1 - s in the paper", above=0)] = 1.0) -> Rows:
    """Shortfall of the margin below 1, but never more than cap; its slope is taken as 0 at both ends of the ramp."""
    short = 1.0 - m
    return Rows(
        np.clip(short, 0.0, cap),
        grad=lambda: np.where((short > 0.0) & (short < cap), -1.0, 0.0),
        hess=lambda: np.zeros_like(m),
    )


@loss(
    reads=MARGIN,
    formula="1/(1 + exp(m))**2",
    slope="-2 label q² (1 - q) by the score, q = 1/(1 + exp(m)) being the probability of the other label: 0 far out on"
    " both sides",
    sources=("Masnadi-Shirazi & Vasconcelos (2008), On the design of loss functions for classification, NIPS 21",),
    peers=("SavageBoost (its score is half the log-odds: give it m/2)", "sklearn brier_score_loss of the sigmoid"),
)
def savage(m: Array) -> Rows:
    """Squared probability of the wrong label when the score is the log-odds of the right one: at most 1."""
    wrong, right = odds(-m)
    return Rows(
        wrong * wrong,
        grad=lambda: -2.0 * wrong * wrong * right,
        hess=lambda: 2.0 * wrong * wrong * right * (2.0 * right - wrong),
    )


@loss(
    reads=MARGIN,
    formula="(2*atan(m) - 1)**2",
    slope="4 (2 atan(m) - 1) label/(1 + m²) by the score, which pulls m from both sides to tan(1/2) = 0.546",
    sources=(
        "Masnadi-Shirazi, Mahadevan & Vasconcelos (2010), On the design of robust classifiers for computer vision,"
        " doi:10.1109/CVPR.2010.5540136",
    ),
    peers=("bob.learn.boosting TangentialLoss",),
)
def tangent(m: Array) -> Rows:
    """Squared distance of the margin's doubled arc tangent from 1, which also charges too large a margin.

    It is zero at m = tan(1/2) = 0.546, at most (π + 1)² on the wrong side and (π - 1)² on the right one.
    """
    lean = 2.0 * np.arctan(m) - 1.0
    # Nothing here is as large as the square of a huge margin, which would be infinite.
    scale = 1.0 / hypotenuse(m, 1.0)
    return Rows(
        lean * lean,
        grad=lambda: 4.0 * lean * scale * scale,
        hess=lambda: 8.0 * (scale - m * scale * lean) * scale * scale * scale,
    )


@loss(
    aliases=("margin-error",),
    reads=MARGIN,
    formula="1 if m < 0 else 0",
    slope="0 by the score: the value is flat on both sides of its jump at m = 0",
    kinks=Kinks("m = 0", piece=lambda m: m < 0, jump=True),
    sources=(
        "Wald (1939), doi:10.1214/aoms/1177732144",
        "Bartlett, Jordan & McAuliffe (2006), doi:10.1198/016214505000000907",
    ),
    peers=("sklearn zero_one_loss of the score's sign", "LossFunctions.jl ZeroOneLoss"),
)
def zero_one_margin(m: Array) -> Rows:
    """One where the score lies on the wrong side of zero, else zero; a score of zero counts as right."""
    return Rows((m < 0).astype(np.float64), grad=lambda: np.zeros_like(m), hess=lambda: np.zeros_like(m))
