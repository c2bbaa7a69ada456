"""Counts: rates or their logarithms, and what was counted, entry by entry."""

from __future__ import annotations

import numpy as np

from losscli import stable
from losscli.families.plain import WEIGHTED
from losscli.inputs import NON_NEGATIVE, REAL, Array, Fold, Input, Link, Partials, Signature


def log_rate(x: Array, target: Array) -> Fold:
    """The rate e^x, its logarithm x, and the target."""
    rate = np.exp(x)

    def gradient(a: Partials, _: str) -> Array:
        # A count of one against a rate of nearly one: e^x - 1 is what it is about.
        return np.where(np.abs(x) < 0.5, a[0] * np.expm1(x) + (a[0] + a[1]), a[0] * rate + a[1])

    return Fold(
        (rate, x, target),
        gradient,
        hessian=lambda a, b, _: (a[0] + b[0] * rate) * rate + b[1],
    )


def rate(x: Array, target: Array) -> Fold:
    """The rate x, its logarithm, and the target."""
    return Fold(
        (x, np.log(x), target),
        gradient=lambda a, _: a[0] + stable.over(a[1], x),
        hessian=lambda a, b, _: b[0] + stable.over(b[1] - a[1], x * x),
    )


COUNT = Signature(
    "count",
    (
        Input("prediction", REAL, differentiable=True, help="the logarithm of the rate, or the rate"),
        Input("target", NON_NEGATIVE, help="counts"),
    ),
    "elements",
    {
        "log-rate": Link(log_rate, (("rate", "exp(prediction)"), ("t", "target"))),
        "rate": Link(rate, (("rate", "prediction"), ("t", "target")), {"prediction": NON_NEGATIVE}),
    },
    options=WEIGHTED,
    head=True,
)
