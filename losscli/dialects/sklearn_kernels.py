"""scikit-learn's own arithmetic, where it is not that of the exact form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from losscli.families import binary, classes
from losscli.families.pairs import Pair
from losscli.families.rates import Rate, log_rate
from losscli.inputs import Array, Fold, Target
from losscli.loss import Pooled, Rows, Slope, get
from losscli.losses import rates, regression
from losscli.losses.multiclass import brier as exact_brier
from losscli.stable import over, xlogy

EPS = 2.0**-52
# What NMF keeps divisors from 0 by: the epsilon of single precision.
_LEAST_MASS = 2.0**-23


def binary_probs(p: Array, target: Array) -> Fold:
    """The surprises of both outcomes of a clipped probability, with no slope where it is clipped."""
    return _clipped(p, binary.binary_probs(np.clip(p, EPS, 1.0 - EPS), target))


def likelihood_probs(p: Array, y: Target) -> Fold:
    """The surprise of the true class by clipped probabilities, with no slope where they are clipped."""
    return _clipped(p, classes.likelihood_probs(np.clip(p, EPS, 1.0 - EPS), y))


def _clipped(p: Array, fold: Fold) -> Fold:
    kept = (p >= EPS) & (p <= 1.0 - EPS)
    return replace(
        fold,
        gradient=lambda a, name: np.where(kept, fold.gradient(a, name), 0.0),
        hessian=lambda a, b, name: np.where(kept, fold.hessian(a, b, name), 0.0),
    )


def brier(d: Array) -> Rows:
    """Half of it for two classes."""
    plain = exact_brier(d)
    assert isinstance(plain, Rows)
    return plain if d.shape[1] > 2 else _half(plain, plain.value / 2.0)


def _half(plain: Rows, value: Array) -> Rows:
    hess = plain.hess
    return Rows(value, lambda: _halved(plain.grad()), None if hess is None else lambda: _halved(hess()))


def _halved(slope: Slope) -> Slope:
    return tuple(one / 2.0 for one in slope) if isinstance(slope, tuple) else slope / 2.0


class RawRate(Rate):
    """A rate that was given by its logarithm."""


def raw(x: Array, target: Array) -> Fold:
    """A rate by its logarithm, and the target."""
    fold = log_rate(x, target)
    return replace(fold, variables=(RawRate(**vars(fold.variables[0])), target))


def gamma_deviance(rate: Rate, t: Array) -> Rows:
    """Of the logarithm of a rate half of it, without the terms of the target alone."""
    plain = rates.gamma_deviance(rate, t)
    assert isinstance(plain, Rows)
    return _half(plain, _raw_value(rate, t, 2.0)) if isinstance(rate, RawRate) else plain


def tweedie(rate: Rate, t: Array, *, power: float) -> Rows:
    """Of the logarithm of a rate half of it, without the terms of the target alone."""
    plain = rates.tweedie(rate, t, power=power)
    assert isinstance(plain, Rows)
    return _half(plain, _raw_value(rate, t, power)) if isinstance(rate, RawRate) else plain


def _raw_value(rate: Rate, t: Array, power: float) -> Array:
    x = rate.log
    if power == 0.0:
        return (rate.rate - t) ** 2 / 2.0
    if power == 1.0:
        return rate.rate - t * x
    if power == 2.0:
        return x + t * np.exp(-x)
    return np.exp((2.0 - power) * x) / (2.0 - power) - t * np.exp((1.0 - power) * x) / (1.0 - power)


def hinge(m: Array) -> Rows:
    """At m = 1 the slope is that below it."""
    return _short(m, 1.0)


def perceptron(m: Array) -> Rows:
    """At m = 0 the slope is that below it."""
    return _short(m, 0.0)


def _short(m: Array, threshold: float) -> Rows:
    return Rows(np.maximum(0.0, threshold - m), lambda: -(m <= threshold).astype(np.float64), lambda: np.zeros_like(m))


def huber(r: Array, *, delta: float) -> Rows:
    """At |r| = delta the Hessian is that within it."""
    plain = regression.huber(r, delta=delta)
    assert isinstance(plain, Rows)
    return replace(plain, hess=lambda: (np.abs(r) <= delta).astype(np.float64))


def mae(r: Array) -> Rows:
    """At r = 0 the slope is that below it."""
    return Rows(np.abs(r), lambda: np.where(r > 0.0, 1.0, -1.0), lambda: np.zeros_like(r))


def quantile(r: Array, *, tau: float) -> Rows:
    """At r = 0 the slope is that below it."""
    plain = regression.quantile(r, tau=tau)
    assert isinstance(plain, Rows)
    return replace(plain, grad=lambda: np.where(r > 0.0, 1.0 - tau, -tau))


def cosine(x: Array, y: Array) -> Rows:
    """A vector of zeros stays one, and has half of what is left for a squared distance."""
    plain = get("cosine").kernel(x, y)
    assert isinstance(plain, Rows)
    zeros = (x == 0.0).all(axis=1).astype(np.intp) + (y == 0.0).all(axis=1)
    return replace(plain, value=np.where(zeros > 0, 1.0 - zeros / 2.0, plain.value))


def bray_curtis(x: Array, y: Array) -> Rows:
    """Differences over sizes."""
    d, total = x - y, (np.abs(x) + np.abs(y)).sum(axis=1, keepdims=True)
    apart = np.abs(d).sum(axis=1, keepdims=True)

    def slope(sign: Array, z: Array) -> Array:
        return over(sign - np.sign(z) * over(apart, total), total)

    def curve(sign: Array, z: Array) -> Array:
        return -2.0 * np.sign(z) * over(slope(sign, z), total)

    return Rows(
        over(apart, total)[:, 0],
        lambda: (slope(np.sign(d), x), slope(-np.sign(d), y)),
        lambda: (curve(np.sign(d), x), curve(-np.sign(d), y)),
    )


def generalized_kl(pair: Pair) -> Rows:
    """Without small entries of p, and with a least divisor; slopes are the exact ones."""
    plain = get("generalized-kl").kernel(pair)
    assert isinstance(plain, Rows)
    p, q = pair.p.p, pair.q.p
    term = np.where(p > _LEAST_MASS, xlogy(p, p / np.maximum(q, _LEAST_MASS)) - p, 0.0)
    small = ((p <= _LEAST_MASS) | (q < _LEAST_MASS)).any(axis=1)
    return replace(plain, value=np.where(small, (term + q).sum(axis=1), plain.value))


def correlation(x: Array, y: Array) -> Rows:
    """NaN for a constant vector."""
    plain = get("correlation").kernel(x, y)
    assert isinstance(plain, Rows)
    constant = (x == x[:, :1]).all(axis=1) | (y == y[:, :1]).all(axis=1)
    return replace(plain, value=np.where(constant, np.nan, plain.value))


def overlap(name: str) -> Callable[..., Pooled]:
    """A loss of overlap that is 1 for two empty masks."""

    def kernel(*variables: Any, **params: Any) -> Pooled:
        plain = get(name).kernel(*variables, **params)
        assert isinstance(plain, Pooled)

        def value(*totals: Any) -> Array:
            with np.errstate(invalid="ignore"):
                made = plain.value(*totals)
            return np.where(np.isnan(made), 1.0, made)

        return replace(plain, value=value)

    return kernel
