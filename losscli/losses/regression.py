"""Losses of a residual r = prediction - target."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.regression import RESIDUAL
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array, sech2
from losscli.stable import log_cosh as log_cosh_of

_AT_ZERO = Kinks("r = 0", piece=lambda r, **_: r > 0)


@loss(
    aliases=("l2", "squared"),
    reads=RESIDUAL,
    formula="r**2",
    sources=("Legendre (1805), Nouvelles méthodes pour la détermination des orbites des comètes",),
    peers=("torch.nn.MSELoss", "optax.squared_error", "keras MeanSquaredError", "sklearn mean_squared_error"),
)
def mse(r: Array) -> Rows:
    """Squared error, without the factor 1/2."""
    return Rows(r * r, grad=lambda: 2.0 * r, hess=lambda: np.full_like(r, 2.0))


@loss(
    reads=RESIDUAL,
    formula="r**2/2",
    sources=("Gauss (1809), Theoria motus corporum coelestium",),
    peers=("optax.l2_loss", "sklearn HalfSquaredError", "LightGBM regression", "XGBoost reg:squarederror"),
)
def half_mse(r: Array) -> Rows:
    """Half the squared error, whose slope is the residual itself."""
    return Rows(r * r / 2.0, grad=lambda: r, hess=lambda: np.ones_like(r))


@loss(
    aliases=("l1", "absolute"),
    reads=RESIDUAL,
    formula="abs(r)",
    kinks=_AT_ZERO,
    sources=("Boscovich (1757); Laplace (1793)",),
    peers=("torch.nn.L1Loss", "keras MeanAbsoluteError", "sklearn mean_absolute_error", "LightGBM regression_l1"),
)
def mae(r: Array) -> Rows:
    """Absolute error; its slope at r = 0 is taken as 0."""
    return Rows(np.abs(r), grad=lambda: np.sign(r), hess=lambda: np.zeros_like(r))


@loss(
    reads=RESIDUAL,
    formula="r**2/2 if abs(r) <= delta else delta*(abs(r) - delta/2)",
    sources=("Huber (1964), doi:10.1214/aoms/1177703732",),
    peers=("torch.nn.HuberLoss", "optax.huber_loss", "keras Huber", "sklearn HuberLoss"),
)
def huber(r: Array, *, delta: Annotated[float, Param("|r| where the parabola meets the line", above=0)] = 1.0) -> Rows:
    """Quadratic near zero, linear in the tails.

    The slope is the residual clipped to [-delta, delta]: continuous, so there is no kink.
    """
    clipped = np.clip(r, -delta, delta)
    return Rows(
        clipped * (r - clipped / 2.0), grad=lambda: clipped, hess=lambda: (np.abs(r) < delta).astype(np.float64)
    )


@loss(
    reads=RESIDUAL,
    formula="r**2/(2*beta) if abs(r) < beta else abs(r) - beta/2",
    sources=("Girshick (2015), Fast R-CNN, arXiv:1504.08083, eq. 3",),
    peers=("torch.nn.SmoothL1Loss",),
)
def smooth_l1(
    r: Array, *, beta: Annotated[float, Param("|r| where the parabola meets the line", above=0)] = 1.0
) -> Rows:
    """Absolute error with a parabola at its tip: huber divided by its delta."""
    slope = np.clip(r / beta, -1.0, 1.0)
    return Rows(
        slope * (r - beta * slope / 2.0), grad=lambda: slope, hess=lambda: (np.abs(r) < beta).astype(np.float64) / beta
    )


@loss(
    reads=RESIDUAL,
    formula="log(cosh(r))",
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
    kinks=_AT_ZERO,
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
