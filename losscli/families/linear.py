"""Linear heads: features, weights and a bias in the place of the scores that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from losscli.inputs import REAL, Array, Fold, Input, Link, Partials, Signature

_FEATURES = Input("features", REAL, differentiable=True, help="one vector per row (N, D)", axes="ND", curved=False)
_NAMES = ("features", "weights", "bias")
_SCORE = "sum(xi*wi for xi, wi in zip(features, {weights})) + (0 if bias == None else {bias})"


def linear(reads: Signature) -> Signature:
    """The signature of a family that reads scores, with scores = features · weightsᵀ + bias in their place.

    Weights (C, D) and bias (C) for scores of C classes; weights (D) and one bias for one score per row.
    """
    scores, *others = reads.inputs
    classes = reads.layout in ("classes", "rows")
    axes = ("CD", "C") if classes else ("D", "1")
    weights = Input("weights", REAL, differentiable=True, help=f"({', '.join(axes[0])})", axes=axes[0])
    bias = Input("bias", REAL, differentiable=True, help=f"({', '.join(axes[1])})", axes=axes[1], optional=True)
    terms = _SCORE.format(weights="w", bias="bias[j]") if classes else _SCORE.format(weights="weights", bias="bias[0]")
    where = (scores.name, f"[{terms} for j, w in enumerate(weights)]" if classes else terms)
    return replace(
        reads,
        name=f"linear-{reads.name}",
        inputs=(
            _FEATURES,
            weights,
            bias,
            *(replace(entry, axes="NC" if reads.layout == "rows" else "N") for entry in others),
        ),
        layout="rows",
        links={
            name: Link(_fold(link.fold, scores.name, classes), (where, *link.where), reveals=())
            for name, link in reads.links.items()
            # Any number may come out of a linear head: a probability or a rate may not be any.
            if link.domains.get(scores.name, scores.domain).low < 0.0
            and link.domains.get(scores.name, scores.domain).high > 0.0
        },
        options=(reads.options - {"class-axis"}) | {"l1", "l2"},
        head=False,
    )


def _fold(scores_fold: Callable[..., Fold], scores: str, classes: bool) -> Callable[..., Fold]:
    """The fold of the scores that a head makes, and the chain rule through it; by what rows share, summed over them."""

    def fold(x: Array, w: Array, bias: Array | None, *others: Array) -> Fold:
        z = x @ w.T
        made = scores_fold(z if bias is None else z + bias, *others)

        def gradient(a: Partials, name: str) -> Array:
            slope = made.gradient(a, scores if name in _NAMES else name)
            if name == "features":
                return slope @ w if classes else slope[:, None] * w
            return _by_head(slope, x, name)

        def hessian(a: Partials, b: Partials, name: str) -> Array:
            curve = made.hessian(a, b, scores if name in _NAMES else name)
            return _by_head(curve, x * x, name)

        return Fold(made.variables, gradient, hessian, made.combine, made.right)

    return fold


def _by_head(by_score: Array, x: Array, name: str) -> Array:
    """What a derivative by the scores is by what made them; one by another input stays."""
    if name == "weights":
        return np.asarray(by_score.T @ x)
    return np.atleast_1d(by_score.sum(axis=0)) if name == "bias" else by_score
