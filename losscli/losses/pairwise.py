"""Losses of pairs of documents of a query: what is more relevant should have the higher score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from losscli.families.ranking import (
    GRADES,
    RANKING,
    Picked,
    gains,
    ideal,
    in_order,
    in_place,
    limits,
    pair_sums,
    positions,
    spread,
)
from losscli.inputs import Groups, Ints
from losscli.loss import Batch, Frozen, Param, loss
from losscli.stable import Array, either, softplus

# Within this of 0 a logistic step is told by what it is above one half, beyond by what it is from 0 or 1.
_MIDDLE = 1.0


def logistic(x: Array) -> tuple[Array, Array]:
    """σ(x) as 0, ½ or 1, whose sums are exact, and what it is beyond that: sums of steps may cancel."""
    size = np.abs(x)
    near = size < _MIDDLE
    e = np.exp(-size)
    beyond = np.sign(x) * either(near, np.expm1(-size) / -2.0, -e) / (1.0 + e)
    return either(near, 0.5, (x > 0.0).astype(np.float64)), beyond


def bell(x: Array) -> Array:
    """σ(x) σ(-x)."""
    e = np.exp(-np.abs(x))
    return e / (1.0 + e) ** 2


@loss(
    aliases=("pairwise-logistic", "ranknet-loss"),
    reads=RANKING,
    formula="sum(log(1 + exp(-sigma*(si - sj))) for si, yi in zip(scores, relevance)"
    " for sj, yj in zip(scores, relevance) if yi > yj)",
    slope="each pair with yi > yj adds -sigma/(1 + exp(sigma (si - sj))) to the slope by si and the opposite to that"
    " by sj",
    convex=True,
    sources=(
        "Burges et al. (2005), doi:10.1145/1102351.1102363, equation 3",
        "Burges (2010), From RankNet to LambdaRank to LambdaMART: an overview, MSR-TR-2010-82",
    ),
    peers=(
        "rax.pairwise_logistic_loss (the mean over pairs)",
        "XGBoost rank:pairwise (its Hessian is twice this one)",
        "CatBoost PairLogit",
    ),
)
def ranknet(
    s: Array,
    relevance: Array,
    groups: Groups,
    *,
    sigma: Annotated[float, Param("how steep the logistic is", above=0)] = 1.0,
) -> Batch:
    """Logistic loss in nats of the score differences of all pairs of unequal relevance, summed per query.

    Documents of equal relevance make no pair; a query without pairs has loss 0.
    """
    rows = np.arange(len(s))
    start, end = limits(groups)

    def ahead(a: Picked, b: Picked) -> tuple[Array, Array]:
        sign = np.sign(relevance[a] - relevance[b])
        return sign, sigma * (s[a] - s[b]) * sign

    def terms(a: Picked, b: Picked) -> tuple[Array]:
        sign, x = ahead(a, b)
        return (softplus(-x) * (sign != 0.0),)

    def slopes(a: Picked, b: Picked) -> tuple[Array, Array]:
        sign, x = ahead(a, b)
        step, beyond = logistic(-x)
        return sign * step, sign * beyond

    def curves(a: Picked, b: Picked) -> tuple[Array]:
        sign, x = ahead(a, b)
        return (bell(x) * (sign != 0.0),)

    return Batch(
        groups.sum(pair_sums(terms, rows + 1, end)[0]),
        grad=lambda: -sigma * sum(pair_sums(slopes, start, end)),
        hess=lambda: sigma * sigma * pair_sums(curves, start, end)[0],
    )


@dataclass(frozen=True)
class _Swaps:
    """Documents in the order of their scores, and by how much the NDCG changes where two of them change places."""

    s: Array
    worth: Array
    rank: Ints
    blurred: Array

    def change(self, a: Picked, b: Picked, kind: Any = np.float64) -> Any:
        """The change of the DCG if a and b swap, with the sign of what a is worth above b."""
        first, last = np.minimum(self.rank[a], self.rank[b]), np.maximum(self.rank[a], self.rank[b])
        log_first, log_last = (np.log((2.0 + place).astype(kind)) for place in (first, last))
        discount = np.log1p((last - first) / (2.0 + first).astype(kind)) / (log_first * log_last)
        gap = np.abs(self.s[a].astype(kind) - self.s[b])
        damped = np.where(self.blurred[a], kind(1) / kind(100) + gap, kind(1))
        return (self.worth[a].astype(kind) - self.worth[b]) * discount / damped


@loss(
    aliases=("lambdamart",),
    reads=GRADES,
    formula="sum(frozen(factor*w)*log(1 + exp(-sigma*d))"
    " for gains in [[2**y - 1 if gain == 'exponential' else y for y in relevance]]"
    " for ideal in [sum(g/log(2 + r) for r, g in enumerate(sorted(gains, reverse=True)[:truncation]))]"
    " for ranks in [[sum(sj > si or (sj == si and j < i) for j, sj in enumerate(scores))"
    " for i, si in enumerate(scores)]]"
    " for docs in [zip(scores, gains, ranks)]"
    " for pairs in [[((gi - gj)*abs(1/log(2 + ri) - 1/log(2 + rj))/ideal"
    "/(0.01 + abs(si - sj) if norm and max(scores) > min(scores) else 1) if min(ri, rj) < truncation else 0, si - sj)"
    " for si, gi, ri in docs for sj, gj, rj in docs if gi > gj]]"
    " for total in [sum(2*sigma*w/(1 + exp(sigma*d)) for w, d in pairs)]"
    " for factor in [log(1 + total)/(total*log(2)) if norm and total > 0 else 1] for w, d in pairs)",
    slope="each pair with gi > gj adds -sigma factor w/(1 + exp(sigma (si - sj))) to the slope by si and the opposite"
    " to that by sj, factor and w held constant",
    frozen=Frozen("the change of NDCG where two documents swap, and the factors of norm", hold=lambda s, *_, **__: s),
    sources=(
        "Burges, Ragno & Le (2006), Learning to rank with nonsmooth cost functions, NIPS 19",
        "Burges (2010), From RankNet to LambdaRank to LambdaMART: an overview, MSR-TR-2010-82",
        "Ke et al. (2017), LightGBM, NIPS 30 (norm, truncation)",
    ),
    peers=(
        "LightGBM lambdarank (its σ is a table of 2^20 steps, cut off where |σ Δs| > 25)",
        "XGBoost rank:ndcg (its Hessian is twice this one)",
        "rax.pairwise_logistic_loss(lambdaweight_fn=rax.labeldiff_lambdaweight)",
    ),
)
def lambdarank(
    s: Array,
    relevance: Array,
    groups: Groups,
    *,
    sigma: Annotated[float, Param("how steep the logistic is", above=0)] = 1.0,
    truncation: Annotated[int, Param("the places that count: of a pair one document must have one", at_least=1)] = 30,
    norm: Annotated[bool, Param("divide by 0.01 + the score difference, and a query's sum by its own size")] = True,
    gain: Annotated[
        str, Param("what a grade is worth: 2^grade - 1, or the grade", choices=("exponential", "linear"))
    ] = "exponential",
    held: Any = None,
) -> Batch:
    """Logistic loss in nats of pairs of a query, each weighed by how much NDCG changes if the two swap.

    Its slopes are LambdaMART's lambdas: the weights are held constant, as they jump where two documents change places.
    Documents are ranked by score, the first of equal ones first. LightGBM's numbers are these slopes.
    """
    base = s if held is None else held
    order = in_order(-base, groups)
    rank, x, held_x = positions(groups), s[order], base[order]
    worth = gains(relevance, gain)
    blurred = norm & (groups.max(base) + groups.max(-base) > 0.0)
    swaps = _Swaps(held_x, worth[order], rank, spread(blurred, groups))
    best = ideal(worth, groups, truncation)
    best = np.where(best > 0.0, best, 1.0)
    rows, (start, end) = np.arange(len(s)), limits(groups)
    until = np.where(rank < truncation, end, np.minimum(end, start + truncation))

    def terms(a: Picked, b: Picked) -> tuple[Array, Array]:
        change = swaps.change(a, b)
        size, ahead = np.abs(change), sigma * np.sign(change)
        return size * softplus(-ahead * (x[a] - x[b])), size * sum(logistic(-ahead * (held_x[a] - held_x[b])))

    value, total = map(groups.sum, pair_sums(terms, rows + 1, np.where(rank < truncation, end, rows + 1)))
    total = 2.0 * sigma * total / best
    factor = np.where(total > 0.0, np.log1p(total) / (total * np.log(2.0)), 1.0) if norm else np.ones_like(total)
    scale = groups.spread(factor / best)

    def slopes(a: Picked, b: Picked, kind: Any = np.float64) -> tuple[Any, Any]:
        change = swaps.change(a, b, kind)
        push = change / (1.0 + np.exp(sigma * np.sign(change) * (x[a].astype(kind) - x[b])))
        return push, np.abs(push)

    def grad() -> Array:
        push, size = pair_sums(slopes, start, until)
        # Where pushes up and down nearly cancel, they are added up again in as many digits as the machine has.
        few = np.abs(push) < 0.3 * size
        if few.any():
            fine, _ = pair_sums(lambda a, b: slopes(a, b, np.longdouble), start, np.where(few, until, start))
            push = np.where(few, fine.astype(np.float64), push)
        return in_place(order, -sigma * scale * push)

    def curves(a: Picked, b: Picked) -> tuple[Array]:
        return (np.abs(swaps.change(a, b)) * bell(sigma * (x[a] - x[b])),)

    def hess() -> Array:
        return in_place(order, sigma * sigma * scale * pair_sums(curves, start, until)[0])

    return Batch(value * factor / best, grad, hess)
