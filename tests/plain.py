"""Losses that no line of arithmetic says, as plain functions in mpmath's arithmetic: slow, and easy to read.

Each takes the inputs of one loss (a row's, or a group's) and the parameters by name, as numbers and lists of numbers,
and returns the value. ``y`` is the index of a hard label, ``v`` the labels as a mass per class; ``frozen`` marks what
a slope holds constant. This list is kept short: a loss that has a printed formula is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath


def entmax(logits: Any, v: Any, alpha: Any) -> Any:
    """Newton's method for tau from below, which never passes it but by rounding."""
    a = alpha - 1
    scores = [a * z for z in logits]
    tau, step = max(scores) - 1, mpmath.inf
    while step > mpmath.eps * (1 + abs(tau)):
        inside = [z - tau for z in scores if z > tau]
        step = a * (sum(x ** (1 / a) for x in inside) - 1) / sum(x ** (1 / a - 1) for x in inside)
        tau += step
    p = [max(0, z - tau) ** (1 / a) for z in scores]
    linear = sum((pj - vj) * z for pj, vj, z in zip(p, v, logits, strict=True) if pj != vj)
    return linear + sum(vj**alpha - pj**alpha for pj, vj in zip(p, v, strict=True)) / (alpha * a)


PLAIN: Mapping[str, Callable[..., Any]] = {"entmax": entmax}
