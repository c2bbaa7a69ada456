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


def ctc(p: Any, labels: Any, lengths: Any, blank: Any) -> Any:
    """Frame by frame, what is told so far and the last class; a label is told anew when another class came between."""
    wanted = [k for k in labels if k >= 0]
    alive = {(0, blank): mpmath.mpf(1)}
    for frame in p if lengths is None else p[: int(lengths)]:
        after: dict[tuple[int, Any], Any] = {}
        for (told, last), mass in alive.items():
            for k, share in enumerate(frame):
                now = told if k in (blank, last) else told + 1
                if now == told or (told < len(wanted) and k == wanted[told]):
                    after[now, k] = after.get((now, k), 0) + mass * share
        alive = after
    return -mpmath.log(sum(mass for (told, _), mass in alive.items() if told == len(wanted)))


PLAIN: Mapping[str, Callable[..., Any]] = {"ctc": ctc, "entmax": entmax}
