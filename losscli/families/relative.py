"""Regression relative to size: predictions and targets whose difference alone does not tell."""

from __future__ import annotations

import numpy as np

from losscli.families.plain import WEIGHTED, plain
from losscli.inputs import REAL, Array, Domain, Fold, Input, Link, Partials, Signature

# What exceeds -1 is at least the float after it.
ABOVE_MINUS_ONE = Domain("a number above -1", low=float(np.nextafter(-1.0, 0.0)))


def growth(prediction: Array, target: Array) -> Fold:
    """d = log(1 + prediction) - log(1 + target), with all its digits where the two are close."""
    height, base = 1.0 + prediction, 1.0 + target

    def gradient(a: Partials, name: str) -> Array:
        return a[0] / height if name == "prediction" else -a[0] / base

    def hessian(a: Partials, b: Partials, name: str) -> Array:
        return (b[0] - a[0]) / height / height if name == "prediction" else (b[0] + a[0]) / base / base

    apart = prediction - target
    step = np.abs(apart) / np.minimum(height, base)
    size = np.log1p(step)
    if np.isinf(step).any():
        size = np.where(np.isinf(step), np.abs(np.log(height) - np.log(base)), size)
    return Fold((np.copysign(size, apart),), gradient, hessian)


def _above_minus_one(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    """On both sides of 0 where the scale is small, and beside -1 where it is not."""
    return np.expm1(rng.normal(size=shape) * min(scale, 3.0))


RELATIVE = Signature(
    "relative",
    (Input("prediction", REAL, differentiable=True), Input("target", REAL, differentiable=True)),
    "elements",
    {"values": Link(plain("prediction", "target"))},
    options=WEIGHTED,
    head=True,
)
GROWTH = Signature(
    "growth",
    tuple(
        Input(name, ABOVE_MINUS_ONE, differentiable=True, help="above -1", draw=_above_minus_one)
        for name in ("prediction", "target")
    ),
    "elements",
    {"values": Link(growth, (("d", "log(1 + prediction) - log(1 + target)"),))},
    options=WEIGHTED,
)
