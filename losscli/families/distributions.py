"""Distributions: one or two per row."""

from __future__ import annotations

from losscli.families.plain import WEIGHTED, plain
from losscli.inputs import SIMPLEX, Input, Link, Signature

DISTRIBUTION = Signature(
    "distribution",
    (Input("p", SIMPLEX, differentiable=True, help="one distribution per row (N, C)"),),
    "rows",
    {"probs": Link(plain("p"))},
    options=WEIGHTED,
)
DISTRIBUTIONS = Signature(
    "distributions",
    (
        Input("p", SIMPLEX, differentiable=True, help="one distribution per row (N, C)"),
        Input("q", SIMPLEX, differentiable=True, help="the one it is compared with (N, C)"),
    ),
    "rows",
    {"probs": Link(plain("p", "q"))},
    options=WEIGHTED,
)
