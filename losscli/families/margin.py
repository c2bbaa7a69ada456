"""Margins: scores and labels of -1 and 1, entry by entry."""

from __future__ import annotations

from losscli.families.plain import WEIGHTED
from losscli.inputs import REAL, SIGN, Array, Fold, Input, Link, Signature


def margin(score: Array, label: Array) -> Fold:
    """m = label · score, label -1 or 1."""
    return Fold(
        (score * label,),
        gradient=lambda a, name: a[0] * label,  # noqa: ARG005
        hessian=lambda a, b, name: b[0],  # noqa: ARG005  (label² = 1)
    )


MARGIN = Signature(
    "margin",
    (
        Input("score", REAL, differentiable=True),
        Input("label", SIGN, help="-1 or 1; 0 or 1 with --labels 01"),
    ),
    "elements",
    {"values": Link(margin, (("m", "label*score"),))},
    options=WEIGHTED | {"labels"},
    head=True,
)
