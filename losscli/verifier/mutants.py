"""Planted faults: wrong gradients that a verifier must refuse, made from a right one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from losscli.inputs import Array


def largest(claim: Array) -> tuple[int, ...]:
    """Where the largest entry stands, the one that some faults are planted in: it must be looked at."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(np.abs(claim))), claim.shape))


def _one(claim: Array, value: Callable[[float], float]) -> Array:
    """The claim with its largest entry changed."""
    made, at = claim.copy(), largest(claim)
    made[at] = value(float(made[at]))
    return made


def _last_missing(claim: Array) -> Array:
    made = claim.copy()
    made[-1] = 0.0
    return made


def _offset(claim: Array) -> Array:
    return claim + 1e-3 * max(float(np.abs(claim).mean()), 1e-3)


MUTANTS: Mapping[str, Callable[[Array], Array]] = {
    "1.001 times": lambda g: 1.001 * g,
    "doubled": lambda g: 2.0 * g,
    "halved": lambda g: g / 2.0,
    "sign": lambda g: -g,
    "zero": np.zeros_like,
    "averaged instead of summed": lambda g: g / len(g),
    "one entry off by 1 %": lambda g: _one(g, lambda x: 1.01 * x),
    "one entry NaN": lambda g: _one(g, lambda _: float("nan")),
    "rows rolled": lambda g: np.roll(g, 1, axis=0),
    "entries reversed": lambda g: g[..., ::-1].copy(),
    "last row missing": _last_missing,
    "constant added": _offset,
}
