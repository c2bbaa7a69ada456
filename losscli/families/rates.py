"""Rates: a rate or its logarithm, and what came of it, entry by entry; for losses of the ratio of the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from losscli import stable
from losscli.families.plain import WEIGHTED
from losscli.inputs import NON_NEGATIVE, REAL, Array, Domain, Fold, Input, Link, Signature

POSITIVE = Domain("above 0", low=5e-324)
# Powers between these are normal numbers, and so is what they make of any but the wildest size.
_TAME = (1e-290, 1e290)


@dataclass(frozen=True)
class Rate:
    """A rate beside its target t: ``lean`` is log(rate/t), and ``ratio`` how many times the larger the smaller is.

    ``short`` is 1 - ratio; ``amount(x, whole, part)`` is x · rate^(whole - part).
    """

    rate: Array
    log: Array
    lean: Array
    ratio: Array
    short: Array
    amount: Callable[[Array | float, float, float], Array]


def log_rate(x: Array, target: Array) -> Fold:
    """A rate by its logarithm x, and the target."""
    lean = x - np.log(target)

    def amount(size: Array | float, whole: float, part: float) -> Array:
        power = np.exp((whole - part) * x)
        tame = (power > _TAME[0]) & (power < _TAME[1])
        if tame.all():
            return np.asarray(size * power)
        # In two halves: what is small or large beyond floats may meet a size that brings it back.
        half = np.exp((whole - part) / 2.0 * x)
        return np.where(tame, size * power, size * half * half)

    rate = np.exp(x)
    ratio = np.where(lean >= 0.0, amount(target, 0.0, 1.0), rate / target)
    return Fold(
        (Rate(rate, x, lean, ratio, -np.expm1(-np.abs(lean)), amount), target),
        gradient=lambda a, _: a[1],
        hessian=lambda a, b, _: b[1],  # noqa: ARG005
    )


def plain_rate(x: Array, target: Array) -> Fold:
    """A rate x, and the target."""
    apart, larger = x - target, np.maximum(x, target)
    lean = np.where(apart == 0.0, 0.0, np.copysign(stable.log_ratio(x, target), apart))

    def amount(size: Array | float, whole: float, part: float) -> Array:
        # An exponent that rounding touches is off by as much as the logarithm of the rate is large.
        return np.asarray(size * (x**whole * x**-part if part < 1 else x ** (whole - part)))

    ratio, short = stable.over(np.minimum(x, target), larger), stable.over(np.abs(apart), larger)
    return Fold(
        (Rate(x, np.log(x), lean, ratio, short, amount), target),
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
