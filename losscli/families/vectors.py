"""Vectors: two or three per row."""

from __future__ import annotations

from losscli.families.plain import WEIGHTED, plain
from losscli.inputs import REAL, Input, Link, Signature

# How slopes by cosines go on from there, in words.
BY_COSINE = "; a cosine's slope by a vector: what the other's direction has across it, over its length, 0 at length 0"
VECTORS = Signature(
    "vectors",
    (
        Input("x", REAL, differentiable=True, help="one vector per row (N, D)"),
        Input("y", REAL, differentiable=True, help="one vector per row (N, D)"),
    ),
    "rows",
    {"values": Link(plain("x", "y"), reveals=("x", "y"))},
    options=WEIGHTED,
)
TRIPLETS = Signature(
    "triplets",
    tuple(Input(name, REAL, differentiable=True) for name in ("anchor", "positive", "negative")),
    "rows",
    {"values": Link(plain("anchor", "positive", "negative"))},
    options=WEIGHTED,
)
