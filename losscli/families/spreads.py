"""Predicted distributions: a mean, the target, and how far targets are said to spread around it, entry by entry."""

from __future__ import annotations

import numpy as np

from losscli.families.plain import WEIGHTED
from losscli.families.rates import POSITIVE
from losscli.inputs import REAL, Array, Fold, Input, Link, Signature


def spread(mean: Array, target: Array, size: Array) -> Fold:
    """r = mean - target, and the spread itself."""
    return Fold(
        (mean - target, size),
        gradient=lambda a, name: -a[0] if name == "target" else a[0] if name == "mean" else a[1],
        hessian=lambda a, b, name: b[0] if name in ("mean", "target") else b[1],  # noqa: ARG005
    )


def _sizes(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    return rng.lognormal(sigma=1.5, size=shape) * scale


def _signature(name: str, size: str, about: str) -> Signature:
    return Signature(
        name,
        (
            Input("mean", REAL, differentiable=True),
            Input("target", REAL, differentiable=True),
            Input(size, POSITIVE, differentiable=True, help=about, draw=_sizes),
        ),
        "elements",
        {"values": Link(spread, (("r", "mean - target"),))},
        options=WEIGHTED,
    )


MEAN_VARIANCE = _signature("mean-variance", "variance", "above 0")
MEAN_SCALE = _signature("mean-scale", "scale", "mean absolute deviation, above 0")
