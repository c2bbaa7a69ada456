"""Fenchel-Young losses: what a regularised argmax of the scores loses to the labels.

Each predicts p = argmax <p, z> - Ω(p) over the distributions, sparse where Ω is bounded in slope, and costs
Ω*(z) + Ω(t) - <t, z> for labels t, whose gradient is p - t. On its support p is an increasing function of z - τ, the
threshold τ being what makes p sum to one. The loss is then a sum of terms none of which is negative: Ω's Bregman
divergence of t from p, and the labels' share times how far a score lies below the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from losscli.families.classes import SCORES_AND_MASSES
from losscli.loss import Param, Rows, loss
from losscli.stable import Array, others, over, row_sums, times

_PASSES = 64


@dataclass(frozen=True)
class _Peak:
    """The distribution predicted from rows of scores.

    ``p`` (M, C); ``short`` (M, C) how far a score lies below the ``threshold`` (M,); ``follow`` (M, C) how fast an
    entry of p follows its own score while the threshold stands.
    """

    p: Array
    short: Array
    threshold: Array
    follow: Array

    def deviation(self, t: Array) -> Array:
        """p - t, without the cancellation of p_top - 1."""
        rest = others(self.p)
        return np.where(rest < self.p, (1.0 - t) - rest, self.p - t)

    def rows(self, t: Array, divergence: Array) -> Rows:
        """The loss, given the Bregman divergence of each label from its prediction."""
        # Labels that have been rounded do not sum to one, and the definition says what the rest is worth.
        lack = (1.0 - row_sums(t)) * self.threshold
        return Rows(
            row_sums(divergence + times(t, self.short)) + lack,
            grad=lambda: self.deviation(t),
            hess=lambda: self.follow * others(self.follow) / row_sums(self.follow)[:, None],
        )


@loss(
    reads=SCORES_AND_MASSES,
    formula="sum(tau + sum((max(zj - tau, 0)**2 + vj**2)/2 - vj*zj for zj, vj in zip(z, v)) for tau in"
    " [max((sum(sorted(z, reverse=True)[:k]) - 1)/k for k in range(1, len(z) + 1))])",
    slope="the sparsemax of the logits less the label: exactly 0 for false classes outside the support, and 0 once the"
    " lead is 1",
    convex=True,
    lipschitz=2.0,
    sources=(
        "Martins & Astudillo (2016), From softmax to sparsemax, arXiv:1602.02068",
        "Blondel, Martins & Niculae (2020), Learning with Fenchel-Young losses, JMLR 21(35), arXiv:1901.02324",
    ),
    peers=("optax.losses.multiclass_sparsemax_loss", "entmax.SparsemaxLoss", "tensorflow_addons SparsemaxLoss"),
)
def sparsemax(z: Array, t: Array) -> Rows:
    """Fenchel-Young loss of the sparsemax, the distribution nearest to the scores.

    It is zero once the true class leads by 1. Its slope is continuous; its curvature jumps where a class enters or
    leaves the support, and is taken as that of the classes inside.
    """
    view = _sparsemax(z)
    return view.rows(t, view.deviation(t) ** 2 / 2.0)


def predicted(z: Array) -> Array:
    """The sparsemax of each row of scores, (M, C)."""
    return _sparsemax(z).p


def _sparsemax(z: Array) -> _Peak:
    top = z.max(axis=1, keepdims=True)
    d = z - top
    u = -np.sort(-d, axis=1)
    count = np.count_nonzero(1.0 + np.arange(1.0, z.shape[1] + 1.0) * u > np.cumsum(u, axis=1), axis=1)
    inside = d >= u[np.arange(len(z)), count - 1][:, None]
    size = np.count_nonzero(inside, axis=1)[:, None].astype(np.float64)
    # Scores are taken from the mean of the support, not from its top: then all are as exact as the mean is.
    pivot = top + row_sums(np.where(inside, d, 0.0))[:, None] / size
    x = z - pivot
    level = (1.0 - row_sums(np.where(inside, x, 0.0))[:, None]) / size
    y = x + level
    p = np.maximum(y, 0.0)
    return _Peak(p, np.maximum(-y, 0.0), (pivot - level)[:, 0], inside.astype(np.float64))


@loss(
    reads=SCORES_AND_MASSES,
    prose="sum over classes of p_j z_j - v_j z_j + (v_j^alpha - p_j^alpha)/(alpha (alpha - 1)), where"
    " p_j = max(0, (alpha - 1)(z_j - tau))^(1/(alpha - 1)) and tau is such that the p_j sum to 1",
    slope="p less the label, p the alpha-entmax of the logits: exactly 0 for false classes that fall behind by enough",
    sources=(
        "Peters, Niculae & Martins (2019), Sparse sequence-to-sequence models, arXiv:1905.05702",
        "Blondel, Martins & Niculae (2020), Learning with Fenchel-Young losses, JMLR 21(35), arXiv:1901.02324",
    ),
    peers=(
        "entmax.EntmaxBisectLoss",
        "entmax.Entmax15Loss (alpha = 1.5)",
        "optax.losses.multiclass_sparsemax_loss (alpha = 2)",
    ),
)
def entmax(
    z: Array,
    t: Array,
    *,
    alpha: Annotated[float, Param("how sparse: 2 gives sparsemax, towards 1 cross-entropy", above=1, at_most=2)] = 1.5,
) -> Rows:
    """Fenchel-Young loss of the alpha-entmax, a distribution between the softmax and the sparsemax.

    It is zero once the true class leads by 1/(alpha - 1). Its slope is continuous, so there is no kink.
    """
    view, log_p = _entmax(z, alpha - 1.0)
    return view.rows(t, _divergence(view, log_p, t, alpha))


def _divergence(view: _Peak, log_p: Array, t: Array, alpha: float) -> Array:
    """∫ x^(alpha-2) (t - x) dx from p to t, per class: the Bregman divergence of x^alpha/(alpha (alpha - 1)).

    With e^g the ratio of the smaller of p and t to the larger, only the larger is raised to a power, and only what
    vanishes with alpha - 1 is divided by it. The logarithm of p counts where p itself has underflowed.
    """
    a, p = alpha - 1.0, view.p
    excess = view.deviation(t)
    near = np.log1p(np.abs(excess) / np.minimum(p, t))
    g = -np.where(near < 1.0, near, np.abs(log_p - np.log(t)))
    f, h = np.expm1(g), np.expm1(a * g) / a
    terms = np.where(excess > 0.0, np.exp(g) * h - f, np.exp(a * g) * f - h)
    return times(np.maximum(p, t) ** alpha / alpha, terms)


def _entmax(z: Array, a: float) -> tuple[_Peak, Array]:
    """The entmax of each row and its logarithm, a = alpha - 1.

    p_j^a = a (z_j - τ) is written as P (1 + a (z_j - x)/P) for a pivot x among the scores, P its own p^a. The norm
    (Σ p_j)^a is convex in τ, so Newton's method, which starts from the top with p = 1, comes from one side and ends
    in rounding, that of the pivot included. Each step moves the pivot to the mean of the scores weighed by p^(1 - a):
    there P = (Σ p/p_x)^-a does not move with its own error.
    """
    pivot, steep = z.max(axis=1), np.ones(len(z))
    rows = np.arange(len(z))
    for _ in range(_PASSES):
        x = z[rows] - pivot[rows, None]
        e, v = _powers(a * steep[rows, None] * x, a)
        total, pull = row_sums(e), row_sums(v)
        excess, near = total**a / steep[rows] - 1.0, np.abs(pivot[rows]) * steep[rows]
        pivot[rows] += row_sums(times(v, x)) / pull
        steep[rows] = pull * total ** (a - 1.0)
        rows = rows[excess > 2.0**-49 * (1.0 + a * near)]
        if not rows.size:
            break
    x, inverse = z - pivot[:, None], 1.0 / (a * steep)
    q = a * steep[:, None] * x
    e, v = _powers(q, a)
    total = row_sums(e)[:, None]
    short = np.maximum(-x - inverse[:, None], 0.0)
    view = _Peak(e / total, short, pivot - inverse, v * total ** (a - 1.0))
    return view, np.log1p(np.maximum(q, -1.0)) / a - np.log(total)


def _powers(q: Array, a: float) -> tuple[Array, Array]:
    """(1 + q)^(1/a) and its (1 - a)th power, 0 where 1 + q is negative."""
    q = np.maximum(q, -1.0)
    if a == 0.5:
        return (1.0 + q) ** 2, 1.0 + q
    e = np.exp(np.log1p(q) / a)
    return e, over(e, 1.0 + q)
