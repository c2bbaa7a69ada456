"""Binary and multi-label: logits or probabilities and targets in [0, 1], entry by entry.

A soft target t mixes the losses of the two outcomes, t and 1 - t: the slope by it is the difference of the two.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from losscli import stable
from losscli.families.plain import WEIGHTED
from losscli.inputs import PROBABILITY, REAL, Array, Fold, Input, Link, Partials, Signature, unscaled


def binary_logits(z: Array, target: Array) -> Fold:
    """yes = -log σ(z), no = -log σ(-z), the target, and how to come by the log-odds z."""
    # The two surprises share one exponential and one logarithm; np.clip is a third of np.maximum's time.
    excess = np.abs(z)
    np.negative(excess, out=excess)
    np.log1p(np.exp(excess, out=excess), out=excess)
    yes, no = np.clip(z, -np.inf, 0.0), np.clip(z, 0.0, np.inf)
    np.subtract(excess, yes, out=yes)
    np.add(excess, no, out=no)

    def gradient(a: Partials, name: str) -> Array:
        return a[2] if name == "target" else _by_logit(z, a)

    def hessian(a: Partials, b: Partials, name: str) -> Array:
        if name == "target":
            return np.zeros_like(target)
        p, q = stable.odds(z)
        return stable.times(q * q, b[0]) + stable.times(p * p, b[1]) + (a[0] + a[1]) * (p * q)

    return Fold((yes, no, target, lambda: z), gradient, hessian)


def _by_logit(z: Array, a: Partials) -> Array:
    """p no' - (1 - p) yes' as (no' - e^-z yes')/(1 + e^-z): fewer passes, and one more to weigh it in the end."""
    own, factor = unscaled(a)
    e = np.negative(z)
    np.exp(e, out=e)
    slope = own[0] * e
    np.subtract(own[1], slope, out=slope)
    e += 1.0
    slope /= e
    if not np.isfinite(slope.sum()):
        p, q = stable.odds(z)
        slope = np.where(np.isfinite(slope), slope, own[1] * p - own[0] * q)
    if factor is not None:
        slope *= stable.by_row(factor, slope)
    return slope


def log_odds(p: Array) -> Array:
    """log(p/(1 - p)), with all of its digits also where p is close to 1/2."""
    return np.where(np.abs(p - 0.5) < 0.25, np.log1p((2.0 * p - 1.0) / (1.0 - p)), np.log(p) - np.log1p(-p))


def binary_probs(p: Array, target: Array) -> Fold:
    """yes = -log p, no = -log(1 - p), the target, and how to come by the log-odds; p a free variable."""
    q = 1.0 - p

    def gradient(a: Partials, name: str) -> Array:
        return a[2] if name == "target" else stable.over(a[1], q) - stable.over(a[0], p)

    def hessian(a: Partials, b: Partials, name: str) -> Array:
        if name == "target":
            return np.zeros_like(target)
        return stable.over(a[0] + b[0], p * p) + stable.over(a[1] + b[1], q * q)

    # An outcome that cannot be and has no weight surprises nobody: kernels may multiply.
    yes = np.where((p == 0.0) & (target == 0.0), 0.0, -np.log(p))
    no = np.where((p == 1.0) & (target == 1.0), 0.0, -np.log1p(-p))
    return Fold((yes, no, target, lambda: log_odds(p)), gradient, hessian)


def smoothed(link: Link, share: float, at: int, name: str, *, listed: bool) -> Link:
    """The link with a share of an input, the one ``at`` a place and of that name, spread evenly over both outcomes.

    ``listed`` says that a row has several of them.
    """
    # A formula reads decimals exactly, and these are floats.
    (a, b), (c, d) = (1.0 - share).as_integer_ratio(), (share / 2.0).as_integer_ratio()
    text = f"{a}/{b}*{{}} + {c}/{d}"
    where = (name, f"[{text.format('tj')} for tj in {name}]" if listed else text.format(name))

    def fold(*arrays: Array) -> Fold:
        plain = link.fold(*arrays[:at], (1.0 - share) * arrays[at] + share / 2.0, *arrays[at + 1 :])

        def gradient(a: Partials, by: str) -> Array:
            return plain.gradient(a, by) * (1.0 - share if by == name else 1.0)

        def hessian(a: Partials, b: Partials, by: str) -> Array:
            return plain.hessian(a, b, by) * ((1.0 - share) ** 2 if by == name else 1.0)

        return replace(plain, gradient=gradient, hessian=hessian)

    return replace(link, fold=fold, where=(where, *link.where))


_SIGMOID = "1/(1 + exp(-logits))"
BINARY = Signature(
    "binary",
    (
        Input("logits", REAL, differentiable=True),
        Input("target", PROBABILITY, differentiable=True, help="0, 1 or a probability between"),
    ),
    "elements",
    {
        "logits": Link(binary_logits, (("p", _SIGMOID), ("t", "target")), reveals=("logits",)),
        "probs": Link(binary_probs, (("p", "logits"), ("t", "target")), {"logits": PROBABILITY}),
    },
    options=WEIGHTED | {"label-smoothing", "classes"},
    head=True,
)
