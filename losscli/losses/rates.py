"""Deviances and likelihoods of a rate: amounts and counts that spread the wider, the larger they are."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np

from losscli.families.rates import POSITIVE_RATE, RATE, Rate
from losscli.loss import Param, Rows, loss
from losscli.stable import Array, times

# Up to here the series of an area ends within its 20 terms, and beyond the difference keeps its digits.
_SEAM, _TERMS = 1.0, 20


def _area(a: float, length: Array) -> Array:
    """The integral over w from 0 to ``length`` of (1 - e^-w) e^(aw), over e^(a length) where a > 0.

    A deviance by its slope: positive throughout, where the powers of rate and target that make it up cancel.
    """
    near = np.minimum(length, _SEAM / max(abs(a), abs(a - 1.0)))
    # a^k - (a-1)^k without its difference, over (k + 1)!.
    terms = [
        sum(a**i * (a - 1.0) ** (k - 1 - i) for i in range(k)) / math.factorial(k + 1) for k in range(_TERMS, 0, -1)
    ]
    series = near * near * np.polyval(terms, near) * np.exp(-max(a, 0.0) * near)
    if not -1.0 < a < 2.0:
        share = -np.expm1(-length) * (1.0 if a > 0.0 else np.exp(a * length))
        far = (np.copysign(np.expm1(-abs(a) * length), -a) + a * share) / (a * (a - 1.0))
    elif a > 0.0:
        far = _grown(-a, length) - times(np.exp(-min(a, 1.0) * length), _grown(-abs(1.0 - a), length))
    else:
        far = _grown(a, length) - _grown(a - 1.0, length)
    return np.where(length == near, series, far)


def _grown(a: float, length: Array) -> Array:
    """The integral of e^(aw) over w from 0 to ``length``."""
    return np.expm1(a * length) / a if a else length


def _deviance(rate: Rate, t: Array, power: float) -> Rows:
    """Twice the integral from t to the rate of (s - t) s^-power ds, with slopes by the rate and by its logarithm."""
    above, gap = rate.lean >= 0.0, np.abs(rate.lean)
    whole = t**2 * t**-power if power < 1 else t ** (2.0 - power)
    high = (rate.amount(1.0, 2.0, power) if power < 2 else whole) * _area(2.0 - power, gap)
    low = (rate.amount(t, 1.0, power) if power > 1 else whole) * _area(power - 1.0, gap)

    def larger(order: float) -> Array:
        return np.where(above, rate.amount(2.0, order, power), rate.amount(2.0 * t, order - 1.0, power))

    def slope(order: float) -> Array:
        return np.copysign(larger(order) * rate.short, rate.lean)

    def curve(order: float, mine: float, other: float) -> Array:
        lever = np.where(above, mine + other * rate.ratio, mine * rate.ratio + other)
        return times(lever, larger(order))

    return Rows(
        2.0 * np.where(gap == 0.0, 0.0, np.where(above, high, low)),
        grad=lambda: (slope(1.0), slope(2.0)),
        hess=lambda: (curve(0.0, 1.0 - power, power), curve(2.0, 2.0 - power, power - 1.0)),
    )


_TWEEDIE = (
    "2*(t*log(t/rate) - t + rate if power == 1 else t/rate - 1 - log(t/rate) if power == 2"
    " else t**(2 - power)/((1 - power)*(2 - power)) - t*rate**(1 - power)/(1 - power) + rate**(2 - power)/(2 - power))"
)


@loss(
    aliases=("tweedie-deviance",),
    reads=RATE,
    formula=_TWEEDIE,
    slope="2 (rate - t) rate^(1 - power) by the logarithm of the rate, the prediction: twice the miss over the"
    " variance, times the rate",
    sources=("Jørgensen (1987), Exponential dispersion models, JRSS B 49(2)",),
    peers=(
        "sklearn mean_tweedie_deviance",
        "sklearn HalfTweedieLoss (half of it, without the terms of the target alone)",
        "LightGBM tweedie, XGBoost reg:tweedie (same, power from 1 to 2)",
    ),
)
def tweedie(
    rate: Rate,
    t: Array,
    *,
    power: Annotated[float, Param("of the rate, to which the variance is proportional")] = 1.5,
) -> Rows:
    """Tweedie deviance: zero where rate and target agree, and larger misses count less the larger the rate.

    Power 0 is the squared error, 1 the Poisson, 2 the gamma and 3 the inverse Gaussian deviance. Between 0 and 1 there
    is no such distribution, and the deviance that of no likelihood. From 2 on a target of 0 is infinitely far.
    """
    return _deviance(rate, t, power)


@loss(
    reads=POSITIVE_RATE,
    formula="2*(t/rate - 1 - log(t/rate))",
    slope="2 (1 - t/rate) by the logarithm of the rate, the prediction: twice the relative miss",
    sources=("Nelder & Wedderburn (1972), doi:10.2307/2344614", "McCullagh & Nelder (1989), table 2.1"),
    peers=(
        "sklearn mean_gamma_deviance",
        "sklearn HalfGammaLoss (half of it, without the terms of the target alone)",
        "LightGBM gamma, XGBoost reg:gamma (same)",
    ),
)
def gamma_deviance(rate: Rate, t: Array) -> Rows:
    """Deviance of a gamma distribution: twice how far the ratio of target to rate lies from one, and its logarithm."""
    return _deviance(rate, t, 2.0)


@loss(
    aliases=("nb2",),
    reads=RATE,
    formula="log(1 + dispersion*rate)/dispersion + t*log(dispersion + 1/rate)",
    slope="(rate - t)/(1 + dispersion rate) by the logarithm of the rate, the prediction: the Poisson slope, held back"
    " where the rate is large",
    sources=("Cameron & Trivedi (1986), doi:10.1002/jae.3950010104 (NB2)",),
    peers=(
        "statsmodels NegativeBinomial (alpha)",
        "torch.distributions.NegativeBinomial (total_count = 1/dispersion; negative log_prob)",
    ),
)
def negative_binomial(
    rate: Rate,
    t: Array,
    *,
    dispersion: Annotated[float, Param("variance is rate + dispersion · rate²", above=0)] = 1.0,
) -> Rows:
    """Negative log-likelihood of an overdispersed count, without the terms that do not depend on the rate.

    As the dispersion falls to 0 it becomes the Poisson one.
    """
    # Sums of two terms whose larger one comes first: 1 + dispersion · rate, or dispersion + 1/rate.
    inverse, steep = rate.amount(1.0, 0.0, 1.0), dispersion * rate.rate
    low = steep < 1.0
    flat = np.log1p(np.where(low, steep, inverse / dispersion))
    spread = np.where(np.isinf(steep), rate.log + math.log(dispersion), np.log1p(steep))
    lift = np.where(low, flat - rate.log, flat + math.log(dispersion))
    pull = np.where(low, rate.rate / (1.0 + steep), 1.0 / (dispersion + inverse))
    still = np.where(low, 1.0 / (1.0 + steep), inverse * pull)

    def slope(above: Array, below: Array) -> Array:
        return rate.short * np.where(rate.lean >= 0.0, above, -t * below)

    def bend() -> Array:
        return times(t * (1.0 + 2.0 * steep), (inverse * still) ** 2) - dispersion * still * still

    return Rows(
        spread / dispersion + times(t, lift),
        grad=lambda: (slope(still, inverse * still), slope(pull, still)),
        hess=lambda: (bend(), (1.0 + dispersion * t) * (pull * still)),
    )
