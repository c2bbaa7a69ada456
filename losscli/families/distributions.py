"""Distributions: one or two per row, given as probabilities, log-probabilities or logits.

A kernel reads a distribution, or a pair of them, as an object (see shares.py and pairs.py) which knows the chain rule
to what was given: its slopes are by the inputs themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from losscli import stable
from losscli.families.pairs import LogitsPair, LogProbsPair, ProbsPair
from losscli.families.plain import WEIGHTED
from losscli.families.shares import Logits, LogProbs, Probs
from losscli.inputs import (
    LOG_PROBABILITY,
    LOGIT,
    NON_NEGATIVE,
    PROBABILITY,
    REAL,
    SIMPLEX,
    Array,
    Domain,
    Fold,
    Input,
    Link,
    Partials,
    Signature,
)

_LOG_CHANCE = Domain("a log-probability, at most 0", high=0.0, infinite=True)
_LOG_MASS = Domain("a finite number or -inf for no mass", high=np.finfo(float).max, infinite=True)


def given(kind: Callable[..., Any], *names: str) -> Callable[..., Fold]:
    """The fold into one object, by which a kernel's slopes are those by the inputs, in this order."""

    def fold(*arrays: Array) -> Fold:
        return Fold(
            (kind(*arrays),),
            gradient=lambda a, name: a[names.index(name)],
            hessian=lambda a, b, name: b[names.index(name)],  # noqa: ARG005
        )

    return fold


def surprise_probs(p: Array) -> Fold:
    """s = -log p."""
    return Fold(
        (-np.log(p),),
        gradient=lambda a, _: -a[0] / p,
        hessian=lambda a, b, _: (a[0] + b[0]) / (p * p),
    )


def surprise_log_probs(x: Array) -> Fold:
    """s = -x."""
    return Fold((-x,), gradient=lambda a, _: -a[0], hessian=lambda a, b, _: b[0])  # noqa: ARG005


def surprise_logits(z: Array) -> Fold:
    """s = -log σ(z)."""

    def hessian(a: Partials, b: Partials, _: str) -> Array:
        p, q = stable.odds(z)
        return a[0] * (p * q) + b[0] * (q * q)

    return Fold((stable.softplus(-z),), lambda a, _: -a[0] * stable.sigmoid(-z), hessian)


def _where(text: str, *names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, text.format(name)) for name in names)


_EXP, _SOFTMAX = "[exp(x) for x in {}]", "[exp(z)/sum(exp(w) for w in {0}) for z in {0}]"
_P = Input("p", SIMPLEX, differentiable=True, help="one distribution per row (N, C)")
_Q = Input("q", SIMPLEX, differentiable=True, help="the one it is compared with (N, C)")
DISTRIBUTION = Signature(
    "distribution",
    (_P,),
    "rows",
    {
        "probs": Link(given(Probs, "p")),
        "log-probs": Link(given(LogProbs, "p"), _where(_EXP, "p"), {"p": LOG_PROBABILITY}),
        "logits": Link(given(Logits, "p"), _where(_SOFTMAX, "p"), {"p": LOGIT}),
    },
    options=WEIGHTED,
)
DISTRIBUTIONS = Signature(
    "distributions",
    (_P, _Q),
    "rows",
    {
        "probs": Link(given(ProbsPair, "p", "q")),
        "log-probs": Link(
            given(LogProbsPair, "p", "q"), _where(_EXP, "p", "q"), {"p": LOG_PROBABILITY, "q": LOG_PROBABILITY}
        ),
        "logits": Link(given(LogitsPair, "p", "q"), _where(_SOFTMAX, "p", "q"), {"p": LOGIT, "q": LOGIT}),
    },
    options=WEIGHTED,
)
MASSES = Signature(
    "masses",
    (
        Input("p", NON_NEGATIVE, differentiable=True, help="masses that need not sum to one (N, C)"),
        Input("q", NON_NEGATIVE, differentiable=True, help="those that they are compared with (N, C)"),
    ),
    "rows",
    {
        "masses": Link(given(ProbsPair, "p", "q")),
        "log-masses": Link(given(LogProbsPair, "p", "q"), _where(_EXP, "p", "q"), {"p": _LOG_MASS, "q": _LOG_MASS}),
    },
    options=WEIGHTED,
)
EVENTS = Signature(
    "events",
    (Input("p", PROBABILITY, differentiable=True, help="probabilities of what happened, any shape"),),
    "elements",
    {
        "probs": Link(surprise_probs),
        "log-probs": Link(surprise_log_probs, (("p", "exp(p)"),), {"p": _LOG_CHANCE}),
        "logits": Link(surprise_logits, (("p", "1/(1 + exp(-p))"),), {"p": REAL}),
    },
    options=WEIGHTED,
)
