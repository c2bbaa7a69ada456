"""Rates: a rate or its logarithm, and what came of it, entry by entry; for losses of the ratio of the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from losscli import stable
from losscli.families.plain import WEIGHTED
from losscli.inputs import NON_NEGATIVE, REAL, Array, Domain, Fold, Input, Link, Signature

POSITIVE = Domain("above 0", low=5e-324)


@dataclass(frozen=True)
class Rate:
    """A rate beside its target t: ``lean`` is log(rate/t), ``short`` by what share the smaller misses the larger.

    ``power(whole, part)`` is rate^(whole - part), which in log-space neither overflows nor vanishes early.
    """

    rate: Array
    log: Array
    lean: Array
    short: Array
    power: Callable[[float, float], Array]


def log_rate(x: Array, target: Array) -> Fold:
    """A rate by its logarithm x, and the target."""
    lean = x - np.log(target)
    short = -np.expm1(-np.abs(lean))
    return Fold(
        (Rate(np.exp(x), x, lean, short, lambda whole, part: np.exp((whole - part) * x)), target),
        gradient=lambda a, _: a[1],
        hessian=lambda a, b, _: b[1],  # noqa: ARG005
    )


def plain_rate(x: Array, target: Array) -> Fold:
    """A rate x, and the target."""
    apart = x - target
    lean, short = np.copysign(stable.log_ratio(x, target), apart), stable.over(np.abs(apart), np.maximum(x, target))

    def power(whole: float, part: float) -> Array:
        # An exponent that rounding touches is off by as much as the logarithm of the rate is large.
        return x**whole * x**-part if part < 0 else np.asarray(x ** (whole - part))

    return Fold(
        (Rate(x, np.log(x), np.where(apart == 0.0, 0.0, lean), short, power), target),
        gradient=lambda a, _: a[0],
        hessian=lambda a, b, _: b[0],  # noqa: ARG005
    )


def _some(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    return rng.gamma(2.0, size=shape) * min(scale, 1.0)


# A kernel gives its slopes by the rate and by its logarithm, and a link takes its own: from the other it loses digits.
_LINKS = {
    "log-rate": Link(log_rate, (("rate", "exp(prediction)"), ("t", "target"))),
    "rate": Link(plain_rate, (("rate", "prediction"), ("t", "target")), {"prediction": NON_NEGATIVE}),
}
_PREDICTION = Input("prediction", REAL, differentiable=True, help="the logarithm of the rate, or the rate")
RATE = Signature(
    "rate",
    (_PREDICTION, Input("target", NON_NEGATIVE, help="counts or amounts")),
    "elements",
    _LINKS,
    options=WEIGHTED,
    head=True,
)
POSITIVE_RATE = Signature(
    "positive-rate",
    (_PREDICTION, Input("target", POSITIVE, help="amounts above 0", draw=_some)),
    "elements",
    _LINKS,
    options=WEIGHTED,
    head=True,
)
