"""Losses of a residual r = prediction - target."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.regression import RESIDUAL
from losscli.families.relative import GROWTH, RELATIVE
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array, positive_part, sech2
from losscli.stable import log_cosh as log_cosh_of

_AT_ZERO = Kinks("r = 0", piece=lambda r, **_: r > 0)


@loss(
    aliases=("l2", "squared"),
    reads=RESIDUAL,
    formula="r**2",
    slope="twice the residual, 2r, by the prediction; -2r by the target",
    convex=True,
    sources=("Legendre (1805), Nouvelles méthodes pour la détermination des orbites des comètes",),
    peers=("torch.nn.MSELoss", "optax.squared_error", "keras MeanSquaredError", "sklearn mean_squared_error"),
)
def mse(r: Array) -> Rows:
    """Squared error, without the factor 1/2."""
    return Rows(r * r, grad=lambda: 2.0 * r, hess=lambda: np.full_like(r, 2.0))


@loss(
    reads=RESIDUAL,
    formula="r**2/2",
    slope="the residual r itself by the prediction; -r by the target",
    convex=True,
    sources=("Gauss (1809), Theoria motus corporum coelestium",),
    peers=("optax.l2_loss", "sklearn HalfSquaredError", "LightGBM regression", "XGBoost reg:squarederror"),
)
def half_mse(r: Array) -> Rows:
    """Half the squared error, whose slope is the residual itself."""
    return Rows(0.5 * (r * r), grad=lambda: r, hess=lambda: np.ones_like(r))


@loss(
    aliases=("l1", "absolute"),
    reads=RESIDUAL,
    formula="abs(r)",
    slope="the sign of r by the prediction, however large the error, and 0 at r = 0; the opposite by the target",
    kinks=_AT_ZERO,
    convex=True,
    lipschitz=1.0,
    sources=("Boscovich (1757); Laplace (1793)",),
    peers=("torch.nn.L1Loss", "keras MeanAbsoluteError", "sklearn mean_absolute_error", "LightGBM regression_l1"),
)
def mae(r: Array) -> Rows:
    """Absolute error; its slope at r = 0 is taken as 0."""
    return Rows(np.abs(r), grad=lambda: np.sign(r), hess=lambda: np.zeros_like(r))


@loss(
    reads=RESIDUAL,
    formula="r**2/2 if abs(r) <= delta else delta*(abs(r) - delta/2)",
    slope="the residual r, held within ±delta, by the prediction; the opposite by the target",
    convex=True,
    lipschitz=lambda delta: delta,
    sources=("Huber (1964), doi:10.1214/aoms/1177703732",),
    peers=("torch.nn.HuberLoss", "optax.huber_loss", "keras Huber", "sklearn HuberLoss"),
)
def huber(r: Array, *, delta: Annotated[float, Param("|r| where the parabola meets the line", above=0)] = 1.0) -> Rows:
    """Quadratic near zero, linear in the tails.

    The slope is the residual clipped to [-delta, delta]: continuous, so there is no kink.
    """
    clipped = np.clip(r, -delta, delta)
    # Every operation but the first two takes place in the memory of the one before.
    return Rows(
        (-0.5 * clipped + r) * clipped, grad=lambda: clipped, hess=lambda: (np.abs(r) < delta).astype(np.float64)
    )


@loss(
    reads=RESIDUAL,
    formula="r**2/(2*beta) if abs(r) < beta else abs(r) - beta/2",
    slope="r/beta, held within ±1, by the prediction; the opposite by the target",
    convex=True,
    lipschitz=1.0,
    sources=("Girshick (2015), Fast R-CNN, arXiv:1504.08083, eq. 3",),
    peers=("torch.nn.SmoothL1Loss",),
)
def smooth_l1(
    r: Array, *, beta: Annotated[float, Param("|r| where the parabola meets the line", above=0)] = 1.0
) -> Rows:
    """Absolute error with a parabola at its tip: huber divided by its delta."""
    clipped = np.clip(r, -beta, beta)
    # Dividing by the usual 1 would be a tenth of the whole.
    slope = clipped if beta == 1.0 else clipped / beta
    return Rows(
        (-0.5 * clipped + r) * slope, grad=lambda: slope, hess=lambda: (np.abs(r) < beta).astype(np.float64) / beta
    )


@loss(
    reads=RESIDUAL,
    formula="log(cosh(r))",
    slope="tanh(r) by the prediction: nearly r close to zero, nearly the sign of r far out; the opposite by the target",
    convex=True,
    lipschitz=1.0,
    sources=("Green (1990), doi:10.1109/42.52985",),
    peers=("optax.log_cosh", "keras LogCosh"),
)
def log_cosh(r: Array) -> Rows:
    """Logarithm of the hyperbolic cosine: r²/2 near zero, |r| - log 2 far out."""
    return Rows(log_cosh_of(r), grad=lambda: np.tanh(r), hess=lambda: sech2(r))


@loss(
    aliases=("pinball",),
    reads=RESIDUAL,
    formula="max(-tau*r, (1 - tau)*r)",
    slope="1 - tau where r > 0, -tau where r < 0 and 0 at r = 0, by the prediction; the opposite by the target",
    kinks=_AT_ZERO,
    convex=True,
    lipschitz=lambda tau: max(tau, 1.0 - tau),
    sources=("Koenker & Bassett (1978), doi:10.2307/1913643",),
    peers=("sklearn mean_pinball_loss", "LightGBM quantile", "XGBoost reg:quantileerror"),
)
def quantile(r: Array, *, tau: Annotated[float, Param("the quantile", above=0, below=1)] = 0.5) -> Rows:
    """Tilted absolute error, smallest on average at the tau-quantile of the target.

    Its slope at r = 0 is taken as 0, which lies between the slopes of both sides, -tau and 1 - tau.
    """
    return Rows(
        np.maximum(-tau * r, (1.0 - tau) * r),
        grad=lambda: (1.0 - tau) * (r > 0) - tau * (r < 0),
        hess=lambda: np.zeros_like(r),
    )


@loss(
    reads=RESIDUAL,
    formula="(tau if r < 0 else 1 - tau)*r**2",
    slope="2(1 - tau) r where r > 0 and 2 tau r where r < 0, by the prediction; the opposite by the target",
    convex=True,
    sources=("Newey & Powell (1987), doi:10.2307/1911031",),
    peers=("XGBoost reg:expectileerror", "CatBoost Expectile (alpha)"),
)
def expectile(r: Array, *, tau: Annotated[float, Param("the expectile", above=0, below=1)] = 0.5) -> Rows:
    """Tilted squared error, without a factor 1/2, smallest on average at the target's expectile.

    As for quantile, tau weighs predictions that are too low. The slope is continuous: there is no kink.
    """
    # One of the two is 0: choosing the weight entry by entry would be two thirds of the whole.
    low, high = np.clip(r, -np.inf, 0.0), np.clip(r, 0.0, np.inf)
    return Rows(
        tau * low * low + (1.0 - tau) * high * high,
        grad=lambda: 2.0 * (tau * low + (1.0 - tau) * high),
        hess=lambda: 2.0 * np.where(r < 0, tau, 1.0 - tau),
    )


_EPSILON = Param("the error that is forgiven", at_least=0)


@loss(
    reads=RESIDUAL,
    formula="max(0, abs(r) - epsilon)",
    slope="the sign of r where |r| > epsilon and 0 up to it, by the prediction; the opposite by the target",
    kinks=Kinks("|r| = epsilon", piece=lambda r, epsilon: np.sign(r) * (np.abs(r) > epsilon)),
    convex=True,
    lipschitz=1.0,
    sources=("Drucker et al. (1996), Support vector regression machines, NIPS 9",),
    peers=("sklearn LinearSVR", "sklearn SGDRegressor epsilon_insensitive"),
)
def epsilon_insensitive(r: Array, *, epsilon: Annotated[float, _EPSILON] = 0.1) -> Rows:
    """Excess of the absolute error over epsilon; its slope at |r| = epsilon is taken as 0."""
    excess = np.abs(r) - epsilon
    return Rows(positive_part(excess), grad=lambda: np.sign(r) * (excess > 0), hess=lambda: np.zeros_like(r))


@loss(
    reads=RESIDUAL,
    formula="max(0, abs(r) - epsilon)**2",
    slope="twice what |r| exceeds epsilon by, with the sign of r, by the prediction, and 0 up to epsilon; the opposite"
    " by the target",
    convex=True,
    sources=("Drucker et al. (1996), Support vector regression machines, NIPS 9",),
    peers=(
        "sklearn LinearSVR squared_epsilon_insensitive",
        "sklearn SGDRegressor squared_epsilon_insensitive",
    ),
)
def squared_epsilon_insensitive(r: Array, *, epsilon: Annotated[float, _EPSILON] = 0.1) -> Rows:
    """Squared excess of the absolute error over epsilon: its slope is continuous, so there is no kink."""
    excess = positive_part(np.abs(r) - epsilon)
    return Rows(
        excess * excess,
        grad=lambda: 2.0 * np.sign(r) * excess,
        hess=lambda: 2.0 * (np.abs(r) > epsilon).astype(np.float64),
    )


@loss(
    reads=RESIDUAL,
    formula="abs(r)**p",
    slope="p |r|^(p - 1) with the sign of r, by the prediction; the opposite by the target",
    sources=("Nyquist (1983), The optimal Lp norm estimator in linear regression models, CSTM 12(21)",),
    peers=("CatBoost Lq", "torchmetrics MinkowskiDistance (its p-th power)"),
)
def lp(r: Array, *, p: Annotated[float, Param("the power; mae is the one of power 1", above=1)] = 2.0) -> Rows:
    """Absolute error to the power p, between absolute and squared error for p from 1 to 2.

    For p below 2 the curvature is infinite at r = 0.
    """
    size = np.abs(r)
    return Rows(
        size**p,
        grad=lambda: p * np.sign(r) * size ** (p - 1.0),
        hess=lambda: p * (p - 1.0) * size ** (p - 2.0),
    )


@loss(
    reads=RELATIVE,
    formula="abs(prediction - target)/max(abs(target), least)",
    slope="the sign of prediction - target over max(|target|, least) by the prediction, 0 where they agree; by the"
    " target that times -prediction/target, or times -1 up to |target| = least",
    kinks=Kinks(
        "prediction = target, |target| = least",
        piece=lambda x, t, least: np.stack([x > t, np.where(np.abs(t) > least, np.sign(t), 0.0)], axis=1),
    ),
    sources=("Makridakis (1993), doi:10.1016/0169-2070(93)90079-3",),
    peers=(
        "sklearn mean_absolute_percentage_error (least = 2^-52)",
        "keras MeanAbsolutePercentageError (least = 1e-7, × 100)",
        "LightGBM mape (least = 1)",
    ),
)
def mape(
    x: Array, t: Array, *, least: Annotated[float, Param("what |target| counts for at least", above=0)] = 1e-7
) -> Rows:
    """Absolute error as a share of the target's size, not in per cent.

    Its slopes at prediction = target are taken as 0, and at |target| = least as those of smaller targets.
    """
    sign, large = np.sign(x - t), np.abs(t) > least
    size = np.maximum(np.abs(t), least)

    def grad() -> tuple[Array, Array]:
        slope = sign / size
        return slope, -slope * np.where(large, x / t, 1.0)

    return Rows(
        np.abs(x - t) / size,
        grad,
        hess=lambda: (np.zeros_like(t), np.where(large, 2.0 * sign / size * (x / t) / size * np.sign(t), 0.0)),
    )


@loss(
    aliases=("squared-log",),
    reads=GROWTH,
    formula="d**2",
    slope="2d/(1 + prediction) by the prediction; -2d/(1 + target) by the target",
    sources=("Törnqvist, Vartia & Vartia (1985), How should relative changes be measured?, Am. Stat. 39(1)",),
    peers=(
        "sklearn mean_squared_log_error",
        "keras MeanSquaredLogarithmicError (clips negative numbers)",
        "XGBoost reg:squaredlogerror (half of it)",
    ),
)
def msle(d: Array) -> Rows:
    """Squared difference of the logarithms of one plus prediction and one plus target, without a factor 1/2."""
    return Rows(d * d, grad=lambda: 2.0 * d, hess=lambda: np.full_like(d, 2.0))


@loss(
    reads=RESIDUAL,
    formula="1 if abs(r) > tolerance else 0",
    slope="0 by both inputs: the value is flat on both sides of its jumps at |r| = tolerance",
    kinks=Kinks("|r| = tolerance", piece=lambda r, tolerance: np.sign(r) * (np.abs(r) > tolerance), jump=True),
    sources=("Wald (1950), Statistical decision functions (simple loss functions)",),
    peers=("not numpy.isclose (rtol = 0)",),
)
def zero_one_tolerance(
    r: Array, *, tolerance: Annotated[float, Param("the largest error that counts as none", at_least=0)] = 0.5
) -> Rows:
    """One where the absolute error exceeds a tolerance, else zero; its slope is 0 wherever it has one."""
    return Rows((np.abs(r) > tolerance).astype(np.float64), grad=lambda: 0.0 * r, hess=lambda: np.zeros_like(r))
