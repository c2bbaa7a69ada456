"""Losses of a residual r = prediction - target that forgive outliers: r²/2 near zero, and less than that far out."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.regression import RESIDUAL
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array, hypotenuse

_ZHANG = "Zhang (1997), Parameter estimation techniques, doi:10.1016/S0262-8856(96)01112-2"
# x - log1p(x) by the series of the logarithm in s = x/(2 + x), up to the x where the difference keeps its digits.
_SEAM = 0.5
_SERIES = [1.0 / (2 * k + 3) for k in reversed(range(12))]


def _log1p_gap(x: Array) -> Array:
    """x - log(1 + x) for x ≥ 0: x²/2 near zero, where the difference has no digits left."""
    near = np.minimum(x, _SEAM)
    s = near / (2.0 + near)
    return np.where(x <= _SEAM, s * (near - 2.0 * s * s * np.polyval(_SERIES, s * s)), x - np.log1p(x))


@loss(
    aliases=("charbonnier",),
    reads=RESIDUAL,
    formula="delta**2*(sqrt(1 + (r/delta)**2) - 1)",
    slope="r/√(1 + (r/delta)²) by the prediction: nearly r close to zero, nearly ±delta far out; the opposite by the"
    " target",
    convex=True,
    sources=("Charbonnier et al. (1997), doi:10.1109/83.551699", "Hartley & Zisserman (2004), A6.8"),
    peers=(
        "scipy.special.pseudo_huber",
        "XGBoost reg:pseudohubererror (huber_slope)",
        "scipy.optimize.least_squares soft_l1 (f_scale)",
    ),
)
def pseudo_huber(
    r: Array, *, delta: Annotated[float, Param("how steep the tails are; |r| at which they begin", above=0)] = 1.0
) -> Rows:
    """Smooth huber: half the squared error near zero, delta times the absolute error far out."""
    reach = hypotenuse(r, delta)

    def hess() -> Array:
        flat = delta / reach
        return flat * flat * flat

    return Rows(r / (delta + reach) * delta * r, grad=lambda: r / reach * delta, hess=hess)


@loss(
    reads=RESIDUAL,
    formula="c**2*(abs(r)/c - log(1 + abs(r)/c))",
    slope="r/(1 + |r|/c) by the prediction: nearly r close to zero, towards ±c far out; the opposite by the target",
    sources=("Fair (1974), On the robust estimation of econometric models, AESM 3(4)", _ZHANG),
    peers=("LightGBM fair (fair_c)",),
)
def fair(r: Array, *, c: Annotated[float, Param("|r| where the slope is half of its limit, c", above=0)] = 1.0) -> Rows:
    """Absolute error rounded off near zero, with a slope that tends to c and a curvature that is never zero."""
    size = np.abs(r)
    flat = c / (c + size)
    return Rows(c * (c * _log1p_gap(size / c)), grad=lambda: r / (c + size) * c, hess=lambda: flat * flat)


@loss(
    aliases=("lorentzian",),
    reads=RESIDUAL,
    formula="c**2/2*log(1 + (r/c)**2)",
    slope="r/(1 + (r/c)²) by the prediction: at most c/2, at r = c, and towards 0 far out; the opposite by the target",
    sources=("Black & Anandan (1996), doi:10.1006/cviu.1996.0006", _ZHANG),
    peers=("scipy.optimize.least_squares cauchy (f_scale)", "kornia cauchy_loss (c = √2)"),
)
def cauchy(r: Array, *, c: Annotated[float, Param("|r| where the slope is steepest", above=0)] = 1.0) -> Rows:
    """Logarithm of one plus the squared error: outliers pull the less, the farther out they are."""
    ratio, reach = r / c, hypotenuse(r, c)
    grown = np.log1p(ratio * ratio)
    if np.isinf(grown).any():
        grown = np.where(np.isinf(grown), 2.0 * np.log(np.abs(ratio)), grown)
    flat, steep = c / reach, r / reach
    return Rows(
        c / 2.0 * (c * grown),
        grad=lambda: c * (flat * steep),
        hess=lambda: (c - np.abs(r)) / reach * ((c + np.abs(r)) / reach) * (flat * flat),
    )


@loss(
    reads=RESIDUAL,
    formula="r**2/2/(1 + (r/c)**2)",
    slope="r/(1 + (r/c)²)² by the prediction: towards 0 far out, as 1/r³; the opposite by the target",
    sources=("Geman & McClure (1987), Statistical methods for tomographic image reconstruction", _ZHANG),
    peers=("kornia geman_mcclure_loss (c = 2)", "Barron (2019), arXiv:1701.03077 (alpha = -2, scale c/2, times c²/4)"),
)
def geman_mcclure(r: Array, *, c: Annotated[float, Param("|r| at half the limit", above=0)] = 1.0) -> Rows:
    """Squared error that saturates at c²/2: far outliers cost all the same."""
    reach = hypotenuse(r, c)
    flat, steep = c / reach, r / reach
    capped = c * steep
    return Rows(
        capped * capped / 2.0,
        grad=lambda: capped * (flat * flat * flat),
        hess=lambda: (flat * flat - 3.0 * steep * steep) * (flat * flat) ** 2,
    )


@loss(
    aliases=("biweight", "bisquare"),
    reads=RESIDUAL,
    formula="c**2/6*(1 - (1 - (r/c)**2)**3) if abs(r) <= c else c**2/6",
    slope="r (1 - (r/c)²)² up to |r| = c and 0 beyond, by the prediction; the opposite by the target",
    sources=("Beaton & Tukey (1974), doi:10.1080/00401706.1974.10489171", _ZHANG),
    peers=("statsmodels TukeyBiweight (c = 4.685)",),
)
def tukey(r: Array, *, c: Annotated[float, Param("|r| beyond which the loss is flat", above=0)] = 4.685) -> Rows:
    """Squared error that levels off at c, beyond which outliers do not count.

    With residuals of unit variance c = 4.685 keeps 95 % of the efficiency of least squares. The slope falls to 0 at c,
    and so does the curvature: there is no kink.
    """
    inner = np.clip(r, -c, c)
    share = (inner / c) ** 2
    left = (c - np.abs(inner)) / c * ((c + np.abs(inner)) / c)
    return Rows(
        inner * inner * (3.0 - share * (3.0 - share)) / 6.0,
        grad=lambda: inner * (left * left),
        hess=lambda: left * (1.0 - 5.0 * share),
    )


@loss(
    reads=RESIDUAL,
    formula="w*log(1 + abs(r)/epsilon) if abs(r) < w else abs(r) - w + w*log(1 + w/epsilon)",
    slope="w/(epsilon + |r|) where |r| < w and 1 from there on, with the sign of r, by the prediction, and 0 at r = 0;"
    " the opposite by the target",
    kinks=Kinks("r = 0, |r| = w", piece=lambda r, w, **_: np.where(np.abs(r) < w, np.sign(r), 2.0 * np.sign(r))),
    sources=("Feng et al. (2018), Wing loss for robust facial landmark localisation, arXiv:1711.06753",),
    peers=("segmentation_models_pytorch wing_loss (width 5, curvature 0.5)",),
)
def wing(
    r: Array,
    *,
    w: Annotated[float, Param("|r| where the logarithm meets the line", above=0)] = 10.0,
    epsilon: Annotated[float, Param("how pointed the tip is: the slope there is w/epsilon", above=0)] = 2.0,
) -> Rows:
    """Logarithm of the error near zero, which weighs small errors most, and absolute error beyond w.

    Its slope is taken as 0 at r = 0, and as that of the line at |r| = w.
    """
    size = np.abs(r)
    inner = size < w
    far = (size - w) + w * np.log1p(w / epsilon)
    curve = -w / (epsilon + size) ** 2
    return Rows(
        np.where(inner, w * np.log1p(size / epsilon), far),
        grad=lambda: np.sign(r) * np.where(inner, w / (epsilon + size), 1.0),
        hess=lambda: np.where(inner, curve, 0.0),
    )
