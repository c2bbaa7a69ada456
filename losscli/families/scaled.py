"""Vectors on scales of their own: two per row, and variances or an inverse covariance that all rows share."""

from __future__ import annotations

import numpy as np

from losscli.families.plain import WEIGHTED
from losscli.families.rates import POSITIVE
from losscli.inputs import REAL, Array, Domain, Fold, Input, Link, Partials, Signature

_LARGEST = float(np.finfo(float).max)
# Bounds that a float has anyway say that this is no free vector, whose sign might be turned.
_MATRIX = Domain("a finite number", -_LARGEST, _LARGEST)
_X = Input("x", REAL, differentiable=True, help="one vector per row (N, D)", axes="ND")
_Y = Input("y", REAL, differentiable=True, help="one vector per row (N, D)", axes="ND")


def _definite(rng: np.random.Generator, shape: tuple[int, ...], _: float) -> Array:
    root = rng.normal(size=shape)
    return root @ root.T + 0.3 * np.eye(shape[0])


def _variances(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    return rng.lognormal(sigma=1.5, size=shape) * scale * scale


def _by_variance(x: Array, y: Array, variance: Array) -> Fold:
    """x - y and the variances; the partials by a variance are a row's own, and added up."""
    return Fold(
        (x - y, variance),
        gradient=lambda a, name: a[1].sum(axis=0) if name == "variance" else -a[0] if name == "y" else a[0],
        hessian=lambda a, b, name: b[1].sum(axis=0) if name == "variance" else b[0],  # noqa: ARG005
    )


def _by_matrix(x: Array, y: Array, precision: Array) -> Fold:
    """d = x - y and the matrix; a partial by the matrix is one of the two factors of a row's outer product with d."""
    d = x - y

    def gradient(a: Partials, name: str) -> Array:
        if name == "precision":
            return np.asarray(a[1].T @ d)
        return -a[0] if name == "y" else a[0]

    def hessian(_: Partials, b: Partials, name: str) -> Array:
        return np.asarray(b[1].T @ (d * d)) if name == "precision" else b[0]

    return Fold((d, precision), gradient, hessian)


STANDARDIZED = Signature(
    "standardized-vectors",
    (
        _X,
        _Y,
        Input("variance", POSITIVE, differentiable=True, help="one per coordinate (D)", axes="D", draw=_variances),
    ),
    "rows",
    {"values": Link(_by_variance, (("d", "[xi - yi for xi, yi in zip(x, y)]"),))},
    options=WEIGHTED,
)
CORRELATED = Signature(
    "correlated-vectors",
    (
        _X,
        _Y,
        Input(
            "precision",
            _MATRIX,
            differentiable=True,
            help="the inverse of the covariance (D, D)",
            axes="DD",
            draw=_definite,
        ),
    ),
    "rows",
    {"values": Link(_by_matrix, (("d", "[xi - yi for xi, yi in zip(x, y)]"),))},
    options=WEIGHTED,
)
