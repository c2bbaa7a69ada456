"""Regression: predictions and targets, entry by entry."""

from __future__ import annotations

from losscli.families.plain import WEIGHTED
from losscli.inputs import REAL, Array, Fold, Input, Link, Signature


def residual(prediction: Array, target: Array) -> Fold:
    """r = prediction - target."""
    return Fold(
        (prediction - target,),
        gradient=lambda a, name: a[0] if name == "prediction" else -a[0],
        hessian=lambda a, b, name: b[0],  # noqa: ARG005
    )


RESIDUAL = Signature(
    "residual",
    (Input("prediction", REAL, differentiable=True), Input("target", REAL, differentiable=True)),
    "elements",
    {"values": Link(residual, (("r", "prediction - target"),), reveals=("prediction", "target"))},
    options=WEIGHTED,
    head=True,
)
