"""Losses of a ranking as a whole: scores against graded relevance, within each query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np

from losscli.families.ranking import (
    GRADES,
    RANKING,
    Picked,
    Ragged,
    Table,
    gains,
    ideal,
    in_order,
    in_place,
    layouts,
    limits,
    pair_sums,
    positions,
)
from losscli.inputs import Groups
from losscli.loss import Batch, Param, loss
from losscli.losses.pairwise import bell, logistic
from losscli.losses.survival import RiskSets
from losscli.stable import Array, either

# Scores of a group that lie within this make shares so alike that their differences from other shares may cancel.
_CLOSE = 1.0


@dataclass(frozen=True)
class _Shares:
    """Weights that are 1 for a group's largest entry, as shares of their sum."""

    weight: Array
    groups: Ragged | Table

    @cached_property
    def excess(self) -> Array:
        """The sum of each group's weights without one of the largest, which would swallow small ones."""
        # 1 for 1, and 0 for whatever is less.
        top = np.floor(self.weight)
        return np.asarray(self.groups.sum(self.weight - top) + (self.groups.sum(top) - 1.0))

    @cached_property
    def share(self) -> Array:
        """Each row's share."""
        return np.asarray(self.weight / self.groups.spread(1.0 + self.excess))

    @cached_property
    def rest(self) -> Array:
        """1 - the share."""
        excess = self.groups.spread(self.excess)
        return np.asarray((excess + (1.0 - self.weight)) / (1.0 + excess))


def _gap(x: Any, groups: Ragged | Table) -> Any:
    """How far each entry is below its group's largest."""
    return groups.spread(groups.max(x)) - x


def _log_even(x: Any, groups: Ragged | Table) -> Any:
    """log(n p) for the softmax p within each group of n rows: what it exceeds the uniform distribution by."""
    gap = _gap(x, groups)
    return -gap - np.log1p(groups.spread(groups.sum(np.expm1(-gap)) / groups.sizes))


def _log_even_share(weight: Any, groups: Ragged | Table) -> Any:
    """log(n t) for the shares t of weights within each group of n rows."""
    total = groups.spread(groups.sum(weight))
    return np.log1p((groups.spread(groups.sizes) * weight - total) / total)


@dataclass(frozen=True)
class _CrossEntropy:
    """Cross-entropy between the shares of weights, 1 the largest, and the softmax of the scores, of some groups.

    ``log_even`` gives log(n t) for the weights' shares t, from what they are made of, in any kind of float.
    """

    s: Array
    made_of: Array
    weight: Array
    groups: Ragged | Table
    log_even: Callable[[Any, Ragged | Table], Any]

    @cached_property
    def gap(self) -> Array:
        """How far each score is below its group's largest."""
        return np.asarray(_gap(self.s, self.groups))

    @cached_property
    def p(self) -> _Shares:
        """The softmax of the scores."""
        return _Shares(np.exp(-self.gap), self.groups)

    @cached_property
    def t(self) -> _Shares:
        """The shares of the weights."""
        return _Shares(self.weight, self.groups)

    def value(self) -> Array:
        """The cross-entropy of each group."""
        return np.asarray(np.log1p(self.p.excess) + self.groups.sum(self.weight * self.gap) / (1.0 + self.t.excess))

    def slope(self) -> Array:
        """Its slope by each score."""
        p, t = self.p, self.t
        slope = p.share - t.share
        lead = (p.share > 0.75) & (t.share > 0.75)
        if lead.any():
            slope[lead] = t.rest[lead] - p.rest[lead]
        close = self.groups.max(self.gap) < _CLOSE
        if close.any():
            # p and t may be close where nothing else excuses an error: their ratio tells, in all digits there are.
            rows, few = self.groups.pick(close)
            log_t = self.log_even(self.made_of[rows].astype(np.longdouble), few)
            ratio = _log_even(self.s[rows].astype(np.longdouble), few) - log_t
            slope[rows] = np.exp(log_t) * np.expm1(ratio) / few.spread(few.sizes)
        return slope

    def curve(self) -> Array:
        """Its second derivative by each score."""
        return self.p.share * self.p.rest


def _cross_entropy(
    s: Array,
    made_of: Array,
    groups: Groups,
    weigh: Callable[[Array, Ragged | Table], Array],
    log_even: Callable[[Any, Ragged | Table], Any],
) -> Batch:
    """The cross-entropy of all groups; ``weigh`` makes weights, 1 the largest, of what is ``made_of``."""
    parts = []
    for some in layouts(groups):
        own = some.take(made_of)
        parts.append(_CrossEntropy(some.take(s), own, weigh(own, some), some, log_even))

    def placed(by_row: Callable[[_CrossEntropy], Array]) -> Array:
        made = np.empty_like(s)
        for part in parts:
            part.groups.put(made, by_row(part))
        return made

    value = np.empty(len(groups.sizes))
    for part in parts:
        value[part.groups.which] = part.value()
    return Batch(value, lambda: placed(_CrossEntropy.slope), lambda: placed(_CrossEntropy.curve))


@loss(
    aliases=("listwise-softmax",),
    reads=RANKING,
    formula="-sum(exp(yi)/sum(exp(w) for w in relevance)*log(exp(si)/sum(exp(w) for w in scores))"
    " for yi, si in zip(relevance, scores))",
    slope="the softmax of the query's scores less the softmax of its relevance",
    convex=True,
    sources=("Cao et al. (2007), Learning to rank, doi:10.1145/1273496.1273513, top-one probability",),
    peers=(
        "rax.softmax_loss (label_fn: softmax)",
        "optax.ranking_softmax_loss (labels as they are, not their softmax)",
        "TF-Ranking SoftmaxLoss",
    ),
)
def listnet(s: Array, relevance: Array, groups: Groups) -> Batch:
    """Cross-entropy in nats, per query, between the softmax of the relevance and the softmax of the scores."""
    return _cross_entropy(s, relevance, groups, lambda y, some: np.exp(-_gap(y, some)), _log_even)


def draws(seed: int, count: int) -> Array:
    """The first numbers from [0, 1) of x ← 214013 x + 2531011 modulo 2^32, of which bits 16 to 30 are read."""
    powers = np.multiply.accumulate(np.full(count, 214013, dtype=np.uint32), dtype=np.uint32)
    below = np.cumsum(np.concatenate([np.ones(1, dtype=np.uint32), powers[:-1]]), dtype=np.uint32)
    x = powers * np.uint32(seed) + np.uint32(2531011) * below
    return ((x >> np.uint32(16)) & np.uint32(0x7FFF)) / 32768.0


@loss(
    aliases=("xe-ndcg", "rank-xendcg"),
    reads=GRADES,
    formula="-sum(wi/sum(w)*log(exp(si)/sum(exp(sj) for sj in scores))"
    " for draws in [[floor((214013**(i + 1)*objective_seed + 2531011*sum(214013**k for k in range(i + 1)))/65536)/32768"
    " for i in range(len(scores))]]"
    " for w in [[2**y - (u - floor(u)) for y, u in zip(relevance, draws)]] for wi, si in zip(w, scores))",
    slope="the softmax of the query's scores less each document's share wi of the sum of w",
    sources=("Bruch (2021), doi:10.1145/3442381.3449794, arXiv:1911.09798",),
    peers=(
        "LightGBM rank_xendcg (seeds its i-th query with objective_seed + i and draws anew in every iteration;"
        " its gradient has two more terms, those of a Newton step)",
    ),
)
def xendcg(
    s: Array,
    relevance: Array,
    groups: Groups,
    *,
    objective_seed: Annotated[
        int, Param("where every query's random numbers start", at_least=0, at_most=2**31 - 1)
    ] = 5,
) -> Batch:
    """Cross-entropy in nats, per query, from shares of 2^grade - u, u random in [0, 1), to the scores' softmax.

    The i-th document of every query has the i-th draw of LightGBM's generator: x ← 214013 x + 2531011 modulo 2^32, x
    the seed at first, and u the bits 16 to 30 of x as a fraction.
    """
    u = draws(objective_seed, int(groups.sizes.max()))[positions(groups)]
    weight = gains(relevance, "exponential") + (1.0 - u)
    return _cross_entropy(s, weight, groups, lambda w, some: w / some.spread(some.max(w)), _log_even_share)


@loss(
    reads=RANKING,
    formula="sum(log(sum(exp(sj - si) for j, (sj, yj) in enumerate(zip(scores, relevance))"
    " if yj < yi or (yj == yi and j >= i))) for i, (si, yi) in enumerate(zip(scores, relevance)))",
    slope="for each document its softmax shares among those not yet drawn, added up over all draws until its own, less"
    " 1",
    sources=("Xia et al. (2008), Listwise approach to learning to rank, doi:10.1145/1390156.1390306",),
    peers=(
        "rax.listmle_loss (documents of equal relevance in random order)",
        "TF-Ranking ListMLELoss (likewise)",
        "allRank listMLE (likewise)",
    ),
)
def listmle(s: Array, relevance: Array, groups: Groups) -> Batch:
    """Negative log-likelihood in nats, per query, of the order by relevance, drawn one by one by softmax.

    Documents of equal relevance are taken in the order of their rows.
    """
    order = in_order(-relevance, groups)
    one = np.ones_like(s)
    sets = RiskSets(s[order], groups, one, one, np.arange(len(s)))
    return Batch(
        groups.sum(sets.surprise()),
        grad=lambda: in_place(order, sets.slope()),
        hess=lambda: in_place(order, sets.curve()),
    )


@dataclass(frozen=True)
class _Places:
    """Soft ranks r of the documents of each query, and the slope q of the discount -1 / log(1 + r) there.

    A rank is 1 + a multiple of ½ and what is ``beyond``, whose differences keep their digits.
    """

    s: Array
    halves: Array
    beyond: Array

    @cached_property
    def log(self) -> Array:
        """The logarithm of 1 + r."""
        return np.log(1.0 + self.halves + self.beyond)

    @cached_property
    def q(self) -> Array:
        """1 / ((1 + r) log(1 + r)²)."""
        return 1.0 / ((1.0 + self.halves + self.beyond) * self.log**2)

    def steeper(self, k: Picked, i: Picked) -> Array:
        """q of i minus q of k."""
        apart = (self.halves[i] - self.halves[k]) + (self.beyond[i] - self.beyond[k])
        here = 1.0 + self.halves[k] + self.beyond[k]
        log_apart = np.log1p(apart / here)
        change = here * log_apart * (self.log[i] + self.log[k]) + apart * self.log[i] ** 2
        return -change * self.q[i] * self.q[k]


@loss(
    aliases=("approxndcg",),
    reads=GRADES,
    formula="-sum(gi/log(2 + sum(1/(1 + exp((si - sj)/temperature)) for j, sj in enumerate(scores) if j != i))/ideal"
    " for gains in [[2**y - 1 if gain == 'exponential' else y for y in relevance]]"
    " for ideal in [sum(g/log(2 + r) for r, g in enumerate(sorted(gains, reverse=True)))]"
    " for i, (si, gi) in enumerate(zip(scores, gains)) if gi > 0)",
    slope="by a soft rank ri gi/((1 + ri) log(1 + ri)² ideal); for each other document j it falls with si, and rises"
    " with sj, by σ(1 - σ)/temperature, σ = 1/(1 + exp((si - sj)/temperature))",
    sources=(
        "Qin, Liu & Li (2010), A general approximation framework, doi:10.1007/s10791-009-9124-x",
        "Bruch et al. (2019), Revisiting approximate metric optimization, doi:10.1145/3331184.3331347",
    ),
    peers=("rax.approx_t12n(rax.ndcg_metric), negated", "TF-Ranking ApproxNDCGLoss (temperature 0.1)"),
)
def approx_ndcg(
    s: Array,
    relevance: Array,
    groups: Groups,
    *,
    temperature: Annotated[float, Param("the score difference that softens a rank by a logistic step", above=0)] = 1.0,
    gain: Annotated[
        str, Param("what a grade is worth: 2^grade - 1, or the grade", choices=("exponential", "linear"))
    ] = "exponential",
) -> Batch:
    """Minus the NDCG of each query, ranks softened: 1 + the logistic of how far each other document is above.

    A query of grades 0 only has loss 0.
    """
    rows, (start, end) = np.arange(len(s)), limits(groups)
    worth = gains(relevance, gain)
    best = ideal(worth, groups)
    best = np.where(best > 0.0, best, 1.0)
    # With itself a document makes half a step.
    steps, beyond = pair_sums(lambda a, b: logistic((s[b] - s[a]) / temperature), start, end)
    at = _Places(s, 0.5 + steps, beyond)

    def slopes(k: Picked, i: Picked) -> tuple[Array, Array, Array]:
        # Of a step's slope ¼ - (σ - ½)² the ¼ is added up on its own, as differences of whole gains are exact.
        x = (s[k] - s[i]) / temperature
        step, beyond = logistic(x)
        slope, gap = bell(x), worth[i] - worth[k]
        near = step == 0.5
        return gap * near, gap * either(near, -beyond * beyond, slope), worth[i] * at.steeper(k, i) * slope

    def grad() -> Array:
        even, uneven, steeper = pair_sums(slopes, start, end)
        return (at.q * (0.25 * even + uneven) + steeper) / groups.spread(temperature * best)

    def curves(k: Picked, i: Picked) -> tuple[Array, Array, Array]:
        x = (s[k] - s[i]) / temperature
        slope = bell(x) * (rows[k] != rows[i])
        tilt = (worth[i] - worth[k]) * at.q[k] + worth[i] * at.steeper(k, i)
        return bend[i] * slope * slope, slope, -tilt * slope * np.tanh(x / 2.0)

    bend = -worth * at.q * (at.log + 2.0) / ((1.0 + at.halves + at.beyond) * at.log)

    def hess() -> Array:
        others, own, tilted = pair_sums(curves, start, end)
        return (others + bend * own * own + tilted) / groups.spread(temperature * temperature * best)

    return Batch(-groups.sum(worth / at.log) / best, grad, hess)
