"""Penalties: the parameters of a model."""

from __future__ import annotations

from losscli.families.plain import WEIGHTED, plain
from losscli.inputs import REAL, Input, Link, Signature

WEIGHTS = Signature(
    "weights",
    (Input("weights", REAL, differentiable=True, help="parameters, any shape"),),
    "elements",
    {"values": Link(plain("weights"), (("w", "weights"),))},
    options=WEIGHTED,
    reduction="sum",
)
