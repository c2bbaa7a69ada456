"""Outcomes: the binary family for losses that are written in the probabilities of both outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from losscli import stable
from losscli.families.binary import BINARY, binary_logits, binary_probs, formed
from losscli.inputs import Array, Fold


@dataclass(frozen=True)
class Outcomes:
    """Both outcomes of each row, every number with all its digits.

    ``p`` and ``q`` = 1 - p their probabilities, ``yes`` = -log p and ``no`` = -log q their surprises, ``lean`` p - 1/2,
    ``odds`` log(p/q).
    ``logit``: whether slopes are wanted by the logit of p; else by p. Made of each other, they would cancel.
    """

    p: Array
    q: Array
    yes: Array
    no: Array
    lean: Callable[[], Array]
    odds: Callable[[], Array]
    logit: bool


def outcomes_logits(z: Array, target: Array) -> Fold:
    """Both outcomes and the target; slopes are with respect to the logit, and to the target."""
    yes, no, _, odds = map(formed, binary_logits(z, target).variables)
    return _own(Outcomes(*stable.odds(z), yes, no, lambda: np.tanh(z / 2.0) / 2.0, odds, logit=True), target)


def outcomes_probs(p: Array, target: Array) -> Fold:
    """Both outcomes and the target; slopes are with respect to p, and to the target."""
    yes, no, _, odds = binary_probs(p, target).variables
    return _own(Outcomes(p, 1.0 - p, yes, no, lambda: p - 0.5, odds, logit=False), target)


def _own(view: Outcomes, target: Array) -> Fold:
    return Fold(
        (view, target),
        gradient=lambda a, name: a[name == "target"],
        hessian=lambda a, b, name: np.zeros_like(target) if name == "target" else b[0],  # noqa: ARG005
    )


_FOLDS = {"logits": outcomes_logits, "probs": outcomes_probs}
OUTCOMES = replace(
    BINARY,
    name="outcomes",
    links={
        name: replace(link, fold=_FOLDS[name], where=(*link.where, ("q", "1 - p")))
        for name, link in BINARY.links.items()
    },
)
