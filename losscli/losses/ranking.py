"""Losses of a ranking: scores against graded relevance, within each query."""

from __future__ import annotations

import numpy as np

from losscli.families.ranking import RANKING
from losscli.inputs import Groups
from losscli.loss import Batch, loss
from losscli.stable import Array, times


def _softmax(x: Array, groups: Groups) -> tuple[Array, Array, Array]:
    """Softmax within each group: probabilities, 1 - them, and their surprises, all (M,)."""
    gap = groups.spread(groups.max(x)) - x
    e = np.exp(-gap)
    # Everything but one of the entries on top, added up without the 1 that would swallow it.
    ties = groups.sum((gap == 0).astype(np.float64)) - 1.0
    excess = groups.spread(groups.sum(np.where(gap == 0, 0.0, e)) + ties)
    total = 1.0 + excess
    return e / total, np.where(gap == 0, excess, total - e) / total, np.log1p(excess) + gap


def _excess(x: Array, groups: Groups) -> Array:
    """log(n p), p the softmax within a group of n: what it exceeds the uniform distribution by, zero where all tie."""
    gap = groups.spread(groups.max(x)) - x
    return -gap - np.log1p(groups.spread(groups.sum(np.expm1(-gap)) / groups.sizes))


@loss(
    aliases=("listwise-softmax",),
    reads=RANKING,
    formula="-sum(exp(yi)/sum(exp(w) for w in relevance)*log(exp(si)/sum(exp(w) for w in scores))"
    " for yi, si in zip(relevance, scores))",
    sources=("Cao et al. (2007), Learning to rank, doi:10.1145/1273496.1273513, top-one probability",),
    peers=("rax.softmax_loss", "optax.ranking_softmax_loss", "TF-Ranking SoftmaxLoss"),
)
def listnet(s: Array, relevance: Array, groups: Groups) -> Batch:
    """Cross-entropy in nats, per query, between the softmax of the relevance and the softmax of the scores."""
    p, p_rest, surprise = _softmax(s, groups)
    t, t_rest, _ = _softmax(relevance, groups)

    def grad() -> Array:
        # p - t, without cancellation: from 1 - p and 1 - t where both lead, from log(p/t) where the two are close.
        ratio = _excess(s, groups) - _excess(relevance, groups)
        near = np.where(np.abs(ratio) < 1.0, t * np.expm1(ratio), p - t)
        return np.where((p_rest < 0.25) & (t_rest < 0.25), t_rest - p_rest, near)

    return Batch(groups.sum(times(t, surprise)), grad, hess=lambda: p * p_rest)
