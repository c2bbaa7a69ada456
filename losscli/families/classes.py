"""Classes: a score for each class, and a label per row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from losscli import stable
from losscli.families.plain import CLASSIFIED, LABELS
from losscli.inputs import (
    LOG_PROBABILITY,
    LOGIT,
    REAL,
    SIMPLEX,
    Array,
    Bools,
    Fold,
    Input,
    Ints,
    Link,
    Partials,
    Signature,
    Target,
)


def likelihood_logits(z: Array, y: Target) -> Fold:
    """s = -log p_y, p the softmax: of the true class (M,), or of every class (M, C) for soft labels."""
    return _likelihood_soft(z, y) if y.index is None else _likelihood_hard(z, y.index)


def _likelihood_hard(z: Array, index: Ints) -> Fold:
    """The surprise of the true class, s = log(1 + Σ_{j≠y} exp(z_j - z_y)), and p - e_y without forming p_y - 1."""
    e = np.exp(z)
    flat, at = _flat(e, index)
    own = flat.take(at)
    flat[at] = 0.0
    rest = stable.row_sums(e)
    total = rest + own
    surprise = np.log1p(rest / own)
    wild = _wild(z, own, total)
    if wild is not None:
        surprise[wild], e[wild], own[wild], rest[wild] = _shifted(z[wild], index[wild])
        total = rest + own

    def gradient(a: Partials, _: str) -> Array:
        scale = a[0] / total
        slope = e * scale[:, None]
        flat, at = _flat(slope, index)
        flat[at] = -rest * scale
        return slope

    def hessian(a: Partials, b: Partials, _: str) -> Array:
        rows = np.arange(len(z))
        p = e / total[:, None]
        q = stable.others(p)
        other, mine = rest / total, own / total
        # 1 - p_j counts the label's share, which e no longer holds.
        q += mine[:, None]
        q[rows, index] = other
        p[rows, index] = mine
        curve = a[0][:, None] * p * q
        p[rows, index] = other
        return curve + stable.times(p * p, b[0][:, None])

    return Fold((surprise,), gradient, hessian, right=lambda: np.asarray(e.max(axis=1) <= own))


def _wild(z: Array, own: Array, total: Array) -> Ints | None:
    """The rows whose exponentials have overflowed, or have lost digits that a shift would keep; None: none.

    Each row is judged on its own, so its digits do not depend on its neighbours. Where the sum is at least 1 a shift
    would only make entries smaller.
    """
    # So that the quotient of a sum and an exponential is a float, too.
    low, high, smallest = 1e-150, 1e150, -700.0
    if not len(z) or (own.min() >= low and total.max() <= high and (total.min() >= 1.0 or z.min() >= smallest)):
        return None
    return np.flatnonzero(~((own >= low) & (total <= high) & ((total >= 1.0) | (z.min(axis=1) >= smallest))))


def _shifted(z: Array, index: Ints) -> tuple[Array, Array, Array, Array]:
    """Surprise, exponentials without the true class's, its own, and the sum of the others', all from the row's top."""
    rows = np.arange(len(z))
    top = z.max(axis=1)
    e = np.exp(z - top[:, None])
    own = e[rows, index]
    e[rows, index] = 0.0
    rest = stable.row_sums(e)
    # Where the label is on top own - 1 is exactly 0 and log1p sees the others alone; where it is not, rest ≥ 1.
    return np.log1p(rest + (own - 1.0)) + (top - z[rows, index]), e, own, rest


def _flat(x: Array, index: Ints) -> tuple[Array, Ints]:
    """The memory of x (M, C) as one axis, and where in it each row's own class stands: quicker than two indices."""
    rows, classes = x.shape
    if x.flags.c_contiguous:
        return x.reshape(-1), np.arange(rows) * classes + index
    return x.reshape(-1, order="F"), index * rows + np.arange(rows)


def _likelihood_soft(z: Array, y: Target) -> Fold:
    mass = y.dense(z.shape[1])
    view = stable.softmax(z)

    def gradient(a: Partials, _: str) -> Array:
        pull = stable.times(mass, a[0])
        return view.p * stable.others(pull) - pull * view.rest

    def hessian(a: Partials, b: Partials, _: str) -> Array:
        pull, curve = stable.times(mass, a[0]), stable.times(mass, b[0])
        p, q = view.p, view.rest
        bend = p * p * stable.others(curve) + stable.times(q * q, curve)
        return bend + stable.row_sums(pull)[:, None] * p * q

    return Fold((view.surprise,), gradient, hessian, combine=lambda x: stable.row_sums(stable.times(mass, x)))


def likelihood_log_probs(x: Array, y: Target) -> Fold:
    """Log-probabilities as free variables: s = -x_y."""
    return _by_class(x, y, lambda x: -x, lambda _, a: -a, lambda _, a, b: b)  # noqa: ARG005


def likelihood_probs(p: Array, y: Target) -> Fold:
    """Probabilities as free variables: s = -log p_y."""
    return _by_probability(p, y)


def _by_probability(p: Array, y: Target, least: float = 0.0) -> Fold:
    """The fold of probabilities, with the least that slopes are divided by."""

    def slope(p: Array, a: Array) -> Array:
        return -stable.over(a, np.maximum(p, least))

    def curve(p: Array, a: Array, b: Array) -> Array:
        return -stable.over(slope(p, a + b), np.maximum(p, least))

    return _by_class(p, y, lambda p: -np.log(p), slope, curve)


def _by_class(
    x: Array,
    y: Target,
    surprise: Callable[[Array], Array],
    slope: Callable[[Array, Array], Array],
    curve: Callable[[Array, Array, Array], Array],
) -> Fold:
    """The fold of a surprise that depends on its own class alone: of soft labels on every class's, each by its mass."""
    if y.index is not None:
        return _by_own_class(x, y.index, surprise, slope, curve)
    mass = y.dense(x.shape[1])
    return Fold(
        (surprise(x),),
        gradient=lambda a, _: slope(x, stable.times(mass, a[0])),
        hessian=lambda a, b, _: curve(x, stable.times(mass, a[0]), stable.times(mass, b[0])),
        combine=lambda value: stable.row_sums(stable.times(mass, value)),
    )


def _by_own_class(
    x: Array,
    index: Ints,
    surprise: Callable[[Array], Array],
    slope: Callable[[Array, Array], Array],
    curve: Callable[[Array, Array, Array], Array],
) -> Fold:
    """The same for a label per row, of whose classes no other has a slope."""
    rows = np.arange(len(x))
    own = x[rows, index]

    def placed(by_own: Array) -> Array:
        made = np.zeros_like(x)
        made[rows, index] = by_own
        return made

    return Fold(
        (surprise(own),),
        gradient=lambda a, _: placed(slope(own, a[0])),
        hessian=lambda a, b, _: placed(curve(own, a[0], b[0])),
        # A surprise falls with what it is the surprise of.
        right=lambda: np.asarray(own == x.max(axis=1)),
    )


def chance_logits(z: Array, y: Target) -> Fold:
    """s = -log p_y and p_y itself, p the softmax."""
    base = likelihood_logits(z, y)
    return _with_chance(base, np.exp(-base.variables[0]))


def chance_log_probs(x: Array, y: Target) -> Fold:
    """s = -x_y and p_y = exp(x_y), log-probabilities x as free variables."""
    base = likelihood_log_probs(x, y)
    return _with_chance(base, np.exp(-base.variables[0]))


def chance_probs(p: Array, y: Target) -> Fold:
    """s = -log p_y and p_y itself, probabilities as free variables; slopes at 0 are those of the least p above it."""
    least = float(np.finfo(np.float64).smallest_subnormal)
    base = _by_probability(p, y, least)
    own = np.maximum(p if y.index is None else p[np.arange(len(p)), y.index], least)

    def hessian(a: Partials, b: Partials, name: str) -> Array:
        # d²/dp² = (d²/du² - d/du)/p², u = log p: what is linear in p must leave nothing, so its two parts meet first.
        return base.hessian((a[0],), (b[0] + (b[1] - a[1]),), name)

    return replace(_with_chance(base, own), hessian=hessian)


def _with_chance(base: Fold, p: Array) -> Fold:
    """The fold of a sum f(s) + g(log p), s = -log p: partials are those of f by s and those of g by log p.

    Derivatives by log p instead of p neither overflow where p is tiny, nor miss digits that exp(-s) has lost.
    """
    return replace(
        base,
        variables=(*base.variables, p),
        gradient=lambda a, name: base.gradient((a[0] - a[1],), name),
        hessian=lambda a, b, name: base.hessian((a[0] - a[1],), (b[0] + b[1],), name),
    )


def deviation_logits(z: Array, y: Target) -> Fold:
    """p - y, p the softmax, without the cancellation of p_top - 1."""
    view = stable.softmax(z)
    mass = y.dense(z.shape[1])
    deviation = np.where(view.rest < view.p, (1.0 - mass) - view.rest, view.p - mass)

    def gradient(a: Partials, _: str) -> Array:
        return view.p * (a[0] * view.rest - stable.others(a[0] * view.p))

    def hessian(a: Partials, b: Partials, _: str) -> Array:
        p, q = view.p, view.rest
        squares = stable.others(b[0] * p * p)
        return (q - p) * gradient(a, "") + p * p * (b[0] * q * q + squares)

    return Fold((deviation,), gradient, hessian, right=_right(z, y))


def deviation_probs(p: Array, y: Target) -> Fold:
    """p - y, p a free variable."""
    return Fold(
        (p - y.dense(p.shape[1]),),
        gradient=lambda a, _: a[0],
        hessian=lambda a, b, _: b[0],  # noqa: ARG005
        right=_right(p, y),
    )


def scores(z: Array, y: Target) -> Fold:
    """The scores and the index of the true class."""
    return Fold(
        (z, y.index),
        gradient=lambda a, _: a[0],
        hessian=lambda a, b, _: b[0],  # noqa: ARG005
        right=_right(z, y),
    )


def masses(z: Array, y: Target) -> Fold:
    """The scores, and the labels as a mass per class."""
    return Fold(
        (z, y.dense(z.shape[1])),
        gradient=lambda a, _: a[0],
        hessian=lambda a, b, _: b[0],  # noqa: ARG005
        right=_right(z, y),
    )


def _right(z: Array, y: Target) -> Callable[[], Bools] | None:
    index = y.index
    if index is None:
        return None
    return lambda: np.asarray(z[np.arange(len(z)), index] == z.max(axis=1))


_SOFTMAX = "[exp(z)/sum(exp(w) for w in logits) for z in logits]"
LIKELIHOOD = Signature(
    "likelihood",
    (Input("logits", LOGIT, differentiable=True, help="one score per class (N, C, ...)"), LABELS),
    "classes",
    {
        "logits": Link(likelihood_logits, (("p", "exp(logits[y])/sum(exp(z) for z in logits)"),), reveals=("logits",)),
        "log-probs": Link(likelihood_log_probs, (("p", "exp(logits[y])"),), {"logits": LOG_PROBABILITY}),
        "probs": Link(likelihood_probs, (("p", "logits[y]"),), {"logits": SIMPLEX}),
    },
    options=CLASSIFIED | {"label-smoothing"},
    soft=True,
    expected=True,
    head=True,
)
LOG_LIKELIHOOD = Signature(
    "log-likelihood",
    (Input("log_probs", LOG_PROBABILITY, differentiable=True, help="log-probabilities (N, C, ...)"), LABELS),
    "classes",
    {"log-probs": Link(likelihood_log_probs, (("p", "exp(log_probs[y])"),))},
    options=CLASSIFIED | {"label-smoothing"},
    soft=True,
    expected=True,
)
LIKELIHOOD_OF_PROBS = Signature(
    "likelihood-of-probs",
    (Input("probs", SIMPLEX, differentiable=True, help="probabilities (N, C, ...)"), LABELS),
    "classes",
    {"probs": Link(likelihood_probs, (("p", "probs[y]"),))},
    options=CLASSIFIED | {"label-smoothing"},
    soft=True,
    expected=True,
)
CHANCE = replace(
    LIKELIHOOD,
    name="chance",
    links={
        name: replace(LIKELIHOOD.links[name], fold=fold)
        for name, fold in {"logits": chance_logits, "log-probs": chance_log_probs, "probs": chance_probs}.items()
    },
)
DEVIATION = Signature(
    "deviation",
    (Input("logits", LOGIT, differentiable=True, help="one score per class (N, C, ...)"), LABELS),
    "classes",
    {
        "logits": Link(deviation_logits, (("p", _SOFTMAX),)),
        "probs": Link(deviation_probs, (("p", "logits"),), {"logits": SIMPLEX}),
    },
    options=CLASSIFIED | {"label-smoothing"},
    soft=True,
    head=True,
)
SCORES = Signature(
    "scores",
    (Input("logits", REAL, differentiable=True, help="one score per class (N, C, ...)"), LABELS),
    "classes",
    {"logits": Link(scores, (("z", "logits"),))},
    options=CLASSIFIED,
    head=True,
)
SCORES_AND_MASSES = Signature(
    "scores-and-masses",
    (Input("logits", LOGIT, differentiable=True, help="one score per class (N, C, ...)"), LABELS),
    "classes",
    {"logits": Link(masses, (("z", "logits"),))},
    options=CLASSIFIED | {"label-smoothing"},
    soft=True,
    head=True,
)
