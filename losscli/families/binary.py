"""Binary and multi-label: logits or probabilities and targets in [0, 1], entry by entry."""

from __future__ import annotations

import numpy as np

from losscli import stable
from losscli.families.plain import WEIGHTED
from losscli.inputs import PROBABILITY, REAL, Array, Fold, Input, Link, Partials, Signature


def binary_logits(z: Array, target: Array) -> Fold:
    """yes = -log σ(z), no = -log σ(-z), and the target."""
    # The two surprises share one exponential and one logarithm; np.clip is a third of np.maximum's time.
    excess = np.abs(z)
    np.negative(excess, out=excess)
    np.log1p(np.exp(excess, out=excess), out=excess)
    yes, no = np.clip(z, -np.inf, 0.0), np.clip(z, 0.0, np.inf)
    np.subtract(excess, yes, out=yes)
    np.add(excess, no, out=no)

    def gradient(a: Partials, _: str) -> Array:
        p, q = stable.odds(z)
        return a[1] * p - a[0] * q

    def hessian(a: Partials, b: Partials, _: str) -> Array:
        p, q = stable.odds(z)
        return stable.times(q * q, b[0]) + stable.times(p * p, b[1]) + (a[0] + a[1]) * (p * q)

    return Fold((yes, no, target), gradient, hessian)


def binary_probs(p: Array, target: Array) -> Fold:
    """yes = -log p, no = -log(1 - p), and the target; p a free variable."""
    q = 1.0 - p

    def gradient(a: Partials, _: str) -> Array:
        return stable.over(a[1], q) - stable.over(a[0], p)

    def hessian(a: Partials, b: Partials, _: str) -> Array:
        return stable.over(a[0] + b[0], p * p) + stable.over(a[1] + b[1], q * q)

    # An outcome that cannot be and has no weight surprises nobody: kernels may multiply.
    yes = np.where((p == 0.0) & (target == 0.0), 0.0, -np.log(p))
    no = np.where((p == 1.0) & (target == 1.0), 0.0, -np.log1p(-p))
    return Fold((yes, no, target), gradient, hessian)


_SIGMOID = "1/(1 + exp(-logits))"
BINARY = Signature(
    "binary",
    (
        Input("logits", REAL, differentiable=True),
        Input("target", PROBABILITY, help="0, 1 or a probability between"),
    ),
    "elements",
    {
        "logits": Link(binary_logits, (("p", _SIGMOID), ("t", "target"))),
        "probs": Link(binary_probs, (("p", "logits"), ("t", "target")), {"logits": PROBABILITY}),
    },
    options=WEIGHTED | {"label-smoothing", "classes"},
    head=True,
)
