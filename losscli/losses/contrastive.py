"""Losses of a batch of embeddings, in which every row is compared with all others.

Scores are cosines over a temperature, or inner products. An exponential is taken of the difference of two scores, never
of a score: a batch that is well told apart keeps its digits, and no temperature is too low.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

import numpy as np

from losscli.families.embedding import BATCH, PRODUCTS, RETRIEVAL, Cosines
from losscli.families.vectors import BY_COSINE
from losscli.inputs import Array, Bools, Ints
from losscli.loss import Batch, Frozen, Kinks, Param, loss
from losscli.stable import row_sums
from losscli.twofold import split, two_sum

_Temperature = Annotated[float, Param("what cosines are divided by: the lower, the more the nearest count", above=0)]


@dataclass(frozen=True)
class _Scores:
    """Scores (N, M) as sums of two floats, lest exp(-1/temperature) lose digits to the rounding of its exponent."""

    high: Array
    low: Array

    @classmethod
    def of(cls, cosines: Cosines, temperature: float) -> _Scores:
        """Cosines over a temperature."""
        times, rest = split(1 / Fraction(temperature))
        return cls(cosines.whole * times, cosines.part * times + cosines.whole * rest)

    def top(self, among: Bools) -> Ints:
        """The column of each row's largest score among some, (N,)."""
        return np.where(among, self.high + self.low, -np.inf).argmax(axis=1)

    def at(self, columns: Ints) -> _Scores:
        """One score of each row, (N, 1)."""
        rows = np.arange(len(columns))
        return _Scores(self.high[rows, columns][:, None], self.low[rows, columns][:, None])

    def less(self, other: _Scores) -> tuple[Array, Array]:
        """The difference from other scores, and what its rounding has lost."""
        return two_sum(self.high - other.high, self.low - other.low)


@dataclass(frozen=True)
class _Share:
    """Each row's exponentials of some of its scores, from the largest of them on: 0 elsewhere.

    ``peak`` is that score, (N, 1); ``excess`` the sum of the others' exponentials; ``total`` that of all, 0 where a row
    has none.
    """

    e: Array
    peak: _Scores
    excess: Array
    total: Array

    @classmethod
    def of(cls, scores: _Scores, among: Bools) -> _Share:
        """The exponentials of the scores where ``among`` is true."""
        columns, rows = scores.top(among), np.arange(len(among))
        gap, lost = scores.less(scores.at(columns))
        e = np.where(among, np.exp(gap) * (1.0 + lost), 0.0)
        without = e.copy()
        without[rows, columns] = 0.0
        excess = row_sums(without)[:, None]
        return cls(e, scores.at(columns), excess, excess + e[rows, columns][:, None])


def _batch(value: Array, count: Any, slope: Callable[[], Array]) -> Batch:
    """The mean over what counts, 0 where nothing does; the slope is that of the sum."""
    mean = 1.0 / max(1, int(count))
    return Batch(np.array([value.sum() * mean]), grad=lambda: slope() * mean)


def _rivals(scores: _Scores, among: Bools, positive: Bools, temperature: float = 1.0, *, mutual: bool = False) -> Batch:
    """The surprise at a row's positives in the softmax of its scores among some: the mean over them, then over rows.

    The slopes are by the scores times the temperature; ``mutual``: the score of a pair is one number for both rows.
    """
    several = positive.sum(axis=1, keepdims=True)
    share = _Share.of(scores, among)
    total = 1.0 + share.excess
    gap, lost = share.peak.less(scores)
    behind = row_sums(np.where(positive, gap + lost, 0.0))[:, None] / several
    value = np.where(several > 0, np.log1p(share.excess) + behind, 0.0)

    def slope() -> Array:
        # n p - 1 of a positive is what it exceeds the other positives by, less the negatives: no difference from one.
        best = scores.top(positive)
        lead = np.where(positive, np.expm1(scores.less(scores.at(best))[0]), 0.0)
        above = (several * lead - row_sums(lead)[:, None]) * share.e[np.arange(len(best)), best][:, None]
        below = row_sums(np.where(positive, 0.0, share.e))[:, None]
        p = share.e / total
        most, least = positive & (p > 0.75), positive & (several * p < 0.25)
        beside = np.where(positive & ~least, (above - below) / (several * total), p)
        rest = np.where(several > 0, np.where(most, -share.excess / total, beside), 0.0)
        # Of two positives one may see the other alone, and be overlooked by it: 1 - 1/n and -1/n then meet first.
        whole: Array = most - np.where(most | least, 1.0 / several, 0.0)
        if mutual:
            return ((whole + whole.T) + (rest + rest.T)) / (2.0 * temperature)
        return (whole + rest) / temperature

    return _batch(value, np.count_nonzero(several), slope)


def _softplus(gap: Array, lost: Array, excess: Array) -> tuple[Array, Array]:
    """log(1 + e^a (1 + excess)) for a = gap + lost, and its derivative by a."""
    below, e = gap <= 0.0, np.exp(-np.abs(gap))
    rival = np.where(below, e * (1.0 + lost) * (1.0 + excess), 1.0 + excess)
    own = np.where(below, 1.0, e * (1.0 - lost))
    return np.where(below, np.log1p(rival), gap + lost + np.log1p(excess + own)), rival / (own + rival)


def _same(labels: Array) -> tuple[Bools, Bools]:
    """Which other rows have the label of a row, and which have another, (N, N) each."""
    alike = labels[:, None] == labels
    return alike & ~np.eye(len(labels), dtype=np.bool_), ~alike


def _zero_rows(cosines: Cosines, *_: Any, **__: Any) -> Bools:
    return np.concatenate([cosines.length, cosines.breadth])[None, :, 0] == 0.0


_AT_ZERO = Kinks("an embedding is zero", piece=_zero_rows, jump=True)


@loss(
    aliases=("ntxent", "simclr"),
    reads=BATCH,
    formula="sum(log(1 + sum(exp((s[i][k] - s[i][j])/temperature) for k in other[i]))"
    " for i in range(len(s)) for j in same[i])/max(1, sum(len(js) for js in same))",
    slope="w - 1 by a positive pair's cosine and w by each of its anchor's negatives', w the softmax of all these over"
    " temperature; divided by temperature and the number of pairs" + BY_COSINE,
    kinks=_AT_ZERO,
    sources=("Sohn (2016), NIPS 29 (its form)", "Chen et al. (2020), SimCLR, arXiv:2002.05709, eq. 1"),
    peers=(
        "optax.losses.ntxent(temperature) (without a positive: NaN)",
        "PML NTXentLoss(temperature) (at 1e-4 stuck at 708)",
    ),
)
def nt_xent(cosines: Cosines, labels: Array, *, temperature: _Temperature = 0.07) -> Batch:
    """Surprise at a positive among itself and the anchor's negatives, by cosine; the mean over all positive pairs.

    With two views of each sample under one label it is SimCLR's loss; of more, an anchor's other positives are left
    out, and every pair counts alike, as in optax and pytorch-metric-learning. A batch without a positive pair gives 0.
    A zero embedding has the cosine 0 with all others, and no slope.
    """
    positive, negative = _same(labels)
    scores = _Scores.of(cosines, temperature)
    share = _Share.of(scores, negative)
    value, chance = _softplus(*share.peak.less(scores), share.excess)
    counted = positive & (share.total > 0.0)

    def slope() -> Array:
        pull = np.where(counted, chance, 0.0)
        push = np.where(negative, share.e / share.total, 0.0)
        return (push * row_sums(pull)[:, None] - pull) / temperature

    return _batch(np.where(counted, value, 0.0), np.count_nonzero(positive), slope)


@loss(
    aliases=("supervised-contrastive",),
    reads=BATCH,
    formula="sum(log(sum(exp((x - s[i][j])/temperature) for k, x in enumerate(s[i]) if k != i))/len(same[i])"
    " for i in range(len(s)) for j in same[i])/max(1, sum(min(1, len(js)) for js in same))",
    slope="w by the cosines of an anchor with all other rows, less 1/len(same[i]) for a positive, w their softmax over"
    " temperature; divided by temperature and the number of anchors with a positive" + BY_COSINE,
    kinks=_AT_ZERO,
    sources=("Khosla et al. (2020), arXiv:2004.11362, eq. 2 (L_out)",),
    peers=("PML SupConLoss(temperature)", "HobbitLong SupContrast SupConLoss (times temperature/base_temperature)"),
)
def supcon(cosines: Cosines, labels: Array, *, temperature: _Temperature = 0.1) -> Batch:
    """Mean surprise at an anchor's positives among all other rows, by cosine; the mean over anchors that have one.

    A batch without a positive pair gives 0. A zero embedding has the cosine 0 with all others, and no slope.
    """
    positive, negative = _same(labels)
    return _rivals(_Scores.of(cosines, temperature), positive | negative, positive, temperature, mutual=True)


@loss(
    aliases=("infonce", "multiple-negatives"),
    reads=RETRIEVAL,
    formula="sum(log(sum(exp((x - row[i])/temperature) for x in row)) for i, row in enumerate(s))/len(s)",
    slope="w by the cosines of a query with all keys, less 1 for its own, w their softmax over temperature; divided by"
    " temperature and len(s)" + BY_COSINE,
    kinks=_AT_ZERO,
    sources=("van den Oord et al. (2018), arXiv:1807.03748, eq. 4",),
    peers=(
        "torch.nn.CrossEntropyLoss of the cosines over the temperature, labels 0 to N - 1",
        "info-nce-pytorch InfoNCE(temperature)",
        "sentence-transformers MultipleNegativesRankingLoss(scale=1/temperature)",
    ),
)
def info_nce(cosines: Cosines, *, temperature: _Temperature = 0.1) -> Batch:
    """Surprise at a query's own key among the keys of all queries, by cosine; the mean over queries.

    CLIP's loss is the mean of this one and of the one with query and key exchanged. A zero vector has the cosine 0 with
    all others, and no slope.
    """
    scores = _Scores.of(cosines, temperature)
    own = np.eye(len(cosines.whole), dtype=np.bool_)
    return _rivals(scores, np.ones_like(own), own, temperature)


@loss(
    aliases=("npairs", "n-pair"),
    reads=PRODUCTS,
    formula="sum(log(1 + sum(exp(x - row[i]) for j, x in enumerate(row) if j != i)) for i, row in enumerate(s))/len(s)",
    slope="the softmax of row i less 1 at j = i, over len(s), by the product s[i][j]; that times positive j by anchor"
    " i, times anchor i by positive j",
    sources=("Sohn (2016), Improved deep metric learning with multi-class N-pair loss objective, NIPS 29, eq. 6",),
    peers=("PML NPairsLoss", "TensorFlow Addons npairs_loss (without its l2 regularisation)"),
)
def n_pairs(scores: Array) -> Batch:
    """Surprise at an anchor's own positive among those of all anchors, by inner product; the mean over anchors.

    The paper also keeps the vectors short: l2-penalty is that term.
    """
    own = np.eye(len(scores), dtype=np.bool_)
    return _rivals(_Scores(scores, np.zeros_like(scores)), np.ones_like(own), own)


def _distance(cosines: Cosines, positive: Bools) -> Cosines:
    """In the place of a positive's cosine one minus it: whole -1, 0, 1 or 2, plus part."""
    flip = np.where(positive, -1.0, 1.0)
    return Cosines(
        *(cosines.u, cosines.v, cosines.length, cosines.breadth),
        whole=positive + flip * cosines.whole,
        part=flip * cosines.part,
    )


def _alpha(cosines: Cosines, labels: Array, *, margin: float, **_: Any) -> Array:
    """What each pair is weighed by: how far its cosine is from the best that it could be."""
    far = _distance(cosines, _same(labels)[0])
    return np.maximum(0.0, margin + (far.whole + far.part))


@loss(
    reads=BATCH,
    formula="sum(log(1 + sum(exp(gamma*frozen(max(0, s[i][k] + margin))*(s[i][k] - margin)) for k in other[i])"
    "*sum(exp(-gamma*frozen(max(0, 1 + margin - s[i][j]))*(s[i][j] - 1 + margin)) for j in same[i]))"
    " for i in range(len(s)))/max(1, sum(min(1, len(same[i])*len(other[i])) for i in range(len(s))))",
    slope="by the cosine gamma times the pair's frozen weight, its share of its sum of exponentials and 1 - exp(-L), L"
    " the anchor's own loss, minus that for a positive; divided by the number of anchors that count" + BY_COSINE,
    kinks=_AT_ZERO,
    frozen=Frozen("the pairs' weights max(0, s + margin) and max(0, 1 + margin - s)", _alpha),
    sources=("Sun et al. (2020), arXiv:2002.10857, eqs. 5 to 8 (weights frozen there too)",),
    peers=(
        "PML CircleLoss(m, gamma)",
        "keras Circle(gamma, margin) (weights not frozen: another gradient; unit vectors expected)",
    ),
)
def circle(
    cosines: Cosines,
    labels: Array,
    *,
    gamma: Annotated[float, Param("what weighted cosines are multiplied by", above=0)] = 80.0,
    margin: Annotated[float, Param("how much nearer to 1 and 0 the cosines should be: m", at_least=0, at_most=1)] = 0.4,
    held: Array | None = None,
) -> Batch:
    """Softplus of negatives' cosines over positives', each the more weighed the farther off, per anchor; the mean.

    It is taken over the anchors with a positive and a negative; without any it is 0. The weights are constants to the
    gradient, as published. A zero embedding has the cosine 0 with all others, and no slope.
    """
    positive, negative = _same(labels)
    far = _distance(cosines, positive)
    alpha = _alpha(cosines, labels, margin=margin) if held is None else held
    if held is None:
        # gamma (w + margin) (w - margin), w the distance; gamma (w² - margin²) loses no digits where w is whole.
        square = far.whole.astype(np.intp) ** 2
        table = np.array([split(Fraction(gamma) * (k - Fraction(margin) ** 2)) for k in range(5)])[square]
        high, low = table[..., 0], table[..., 1] + gamma * far.part * (2.0 * far.whole + far.part)
        scores = _Scores(np.where(alpha > 0.0, high, 0.0), np.where(alpha > 0.0, low, 0.0))
    else:
        plain = gamma * alpha * (far.whole - margin + far.part)
        scores = _Scores(plain, np.zeros_like(plain))
    near, away = _Share.of(scores, positive), _Share.of(scores, negative)
    gap, lost = two_sum(near.peak.high + away.peak.high, near.peak.low + away.peak.low)
    value, chance = _softplus(gap, lost, near.excess + away.excess + near.excess * away.excess)
    counted = (near.total > 0.0) & (away.total > 0.0)

    def slope() -> Array:
        shares = np.where(positive, -near.e / near.total, away.e / away.total)
        return np.where(counted & (positive | negative), gamma * alpha * shares * chance, 0.0)

    return _batch(np.where(counted, value, 0.0), np.count_nonzero(counted), slope)
