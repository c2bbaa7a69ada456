"""Masks: predicted and true membership."""

from __future__ import annotations

import numpy as np

from losscli import stable
from losscli.families.plain import WEIGHTED
from losscli.inputs import PROBABILITY, REAL, Array, Fold, Input, Link, Partials, Signature


def mask_probs(p: Array, target: Array) -> Fold:
    """p, 1 - p and the target; partials are taken with respect to p alone."""
    return Fold(
        (p, 1.0 - p, target),
        gradient=lambda a, _: a[0],
        hessian=lambda a, b, _: b[0],  # noqa: ARG005
    )


def mask_logits(z: Array, target: Array) -> Fold:
    """p = σ(z), 1 - p and the target; partials are taken with respect to p alone."""
    p, q = stable.odds(z)

    def hessian(a: Partials, b: Partials, _: str) -> Array:
        # q - p, with its digits where both are nearly one half.
        return p * q * (b[0] * (p * q) - a[0] * np.tanh(z / 2.0))

    return Fold((p, q, target), gradient=lambda a, _: a[0] * (p * q), hessian=hessian)


OVERLAP = Signature(
    "overlap",
    (
        Input("probs", PROBABILITY, differentiable=True, help="predicted membership, any shape"),
        Input("target", PROBABILITY, help="true membership, of the same shape"),
    ),
    "elements",
    {
        "probs": Link(mask_probs, (("p", "probs"), ("t", "target"))),
        "logits": Link(mask_logits, (("p", "[1/(1 + exp(-z)) for z in probs]"), ("t", "target")), {"probs": REAL}),
    },
    options=WEIGHTED,
)
