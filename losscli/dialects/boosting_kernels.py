"""The arithmetic of LightGBM and XGBoost, where it is not that of the exact form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscli.families.ranking import Picked, gains, ideal, in_order, in_place, limits, pair_sums, positions, spread
from losscli.families.relative import growth
from losscli.inputs import Array, Fold, Groups, Ints
from losscli.loss import Batch, Rows
from losscli.losses.pairwise import bell
from losscli.losses.ranking import draws
from losscli.losses.regression import quantile as exact_quantile
from losscli.losses.survival import cox as exact_cox
from losscli.stable import sigmoid, softplus

# LightGBM's table of the logistic: how many steps it has, and where it ends on either side of 0.
_STEPS, _END = 1 << 20, 25.0
# XGBoost's least prediction of a growth, -1 + 1e-6 in single precision.
_LEAST_GROWTH = float(np.float32(-1.0 + 1e-6))


def one(curve: Array, _: Array) -> Array:
    """A Hessian of 1."""
    return np.ones_like(curve)


def quantile(r: Array, *, tau: float) -> Rows:
    """The slope where the residual is 0 is that above it."""
    plain = exact_quantile(r, tau=tau)
    assert isinstance(plain, Rows)
    return Rows(plain.value, lambda: np.where(r >= 0.0, 1.0 - tau, -tau), plain.hess)


def bce_of_xgboost(yes: Array, no: Array, t: Array, _: Any, *, pos_weight: float) -> Rows:
    """A row whose target is 1 weighs pos_weight."""
    weight = np.where(t == 1.0, pos_weight, 1.0)
    positive, negative = weight * t, weight * (1.0 - t)
    return Rows(
        positive * yes + negative * no,
        grad=lambda: (positive, negative),
        hess=lambda: (np.zeros_like(t), np.zeros_like(t)),
    )


def growth_of_xgboost(prediction: Array, target: Array) -> Fold:
    """A prediction below -1 + 1e-6 counts for that, with the slope there."""
    return growth(np.maximum(prediction, _LEAST_GROWTH), target)


def ties_wrong(z: Array, y: Ints) -> Rows:
    """One unless the true class scores above all others."""
    beside = (z >= z[np.arange(len(z)), y][:, None]).sum(axis=1)
    return Rows((beside > 1).astype(np.float64), lambda: np.zeros_like(z), lambda: np.zeros_like(z))


def first_wins(z: Array, y: Ints) -> Rows:
    """One where the true class is not the first of the highest scores."""
    return Rows((z.argmax(axis=1) != y).astype(np.float64), lambda: np.zeros_like(z), lambda: np.zeros_like(z))


def cox_of_xgboost(log_risk: Array, time: Array, event: Array, groups: Groups) -> Batch:
    """Of the events at one time, a slope has those of its own row and of earlier ones."""
    plain = exact_cox(log_risk, time, event, groups)
    assert isinstance(plain, Batch)
    order = in_order(time, groups)
    grad, hess = np.empty_like(log_risk), np.empty_like(log_risk)
    for start, size in zip(groups.starts, groups.sizes, strict=True):
        rows = order[start : start + size]
        e = np.exp(log_risk[rows] - log_risk[rows].max())
        at_risk = np.cumsum(e[::-1])[::-1][np.searchsorted(time[rows], time[rows])]
        grad[rows] = e * np.cumsum(event[rows] / at_risk) - event[rows]
        hess[rows] = e * np.cumsum(event[rows] / at_risk) - e * e * np.cumsum(event[rows] / at_risk**2)
    return Batch(plain.value, lambda: grad, lambda: hess)


def xendcg_of_lightgbm(s: Array, relevance: Array, groups: Groups, *, objective_seed: int) -> Batch:
    """The first three terms of the inverse Hessian times the gradient; 0 for a query of one document."""
    u = np.concatenate([draws(objective_seed + i, int(n)) for i, n in enumerate(groups.sizes, groups.first)])
    weight = np.exp2(np.floor(relevance)) - u
    share = weight / groups.spread(groups.sum(weight))
    low = s - groups.spread(groups.max(s))
    total = groups.sum(np.exp(low))
    p = np.exp(low) / groups.spread(total)
    several = spread(groups.sizes > 1, groups)

    def grad() -> Array:
        term = p - share
        made = term
        for _ in range(2):
            with np.errstate(divide="ignore", invalid="ignore"):
                over = term / (1.0 - p)
                term = p * (groups.spread(groups.sum(over)) - over)
            made = made + term
        return np.where(several, made, 0.0)

    value = groups.sum(share * (groups.spread(np.log(total)) - low))
    return Batch(value, grad, lambda: np.where(several, p * (1.0 - p), 0.0))


def lambdarank_of_lightgbm(
    s: Array,
    relevance: Array,
    groups: Groups,
    *,
    sigma: float,
    truncation: int,
    norm: bool,
    gain: str,
    held: Any = None,
) -> Batch:
    """Lambdas by a table of the logistic."""
    end = _END / sigma
    scale = _STEPS / (2.0 * end)

    def wrong(d: Array) -> Array:
        return sigmoid(-sigma * (np.clip(np.floor((d + end) * scale), 0, _STEPS - 1) / scale - end))

    worth = gains(relevance, gain)
    pairs = _Pairs(sigma, truncation, norm, norm, wrong, lambda d: wrong(d) * (1.0 - wrong(d)))
    return pairs.batch(s, s if held is None else held, relevance, groups, worth)


def lambdarank_of_xgboost(
    s: Array,
    relevance: Array,
    groups: Groups,
    *,
    sigma: float,
    truncation: int,
    norm: bool,
    gain: str,
    held: Any = None,
) -> Batch:
    """Lambdas with twice the curvature."""
    worth = gains(relevance, gain)
    return _xgboost(sigma, truncation, norm).batch(s, s if held is None else held, relevance, groups, worth)


def ranknet_of_xgboost(s: Array, relevance: Array, groups: Groups, *, sigma: float) -> Batch:
    """Pairs of the first 32, each over its distance, and a query over its size."""
    return _xgboost(sigma, 32, True).batch(s, s, relevance, groups, None)


def _xgboost(sigma: float, truncation: int, norm: bool) -> _Pairs:
    return _Pairs(
        sigma,
        truncation,
        norm,
        norm,
        lambda d: sigmoid(-sigma * d),
        lambda d: 2.0 * np.maximum(bell(sigma * d), 1e-16),
    )


@dataclass(frozen=True)
class _Pairs:
    """Pairs of a query's documents, one of them among the first by score, weighed by what a swap would change.

    ``wrong`` is the probability that a pair is in the wrong order by its score difference, ``bend`` its curvature over
    sigma squared. ``near``: a pair is divided by 0.01 + the score difference; ``sized``: a query's sum by its own size.
    """

    sigma: float
    truncation: int
    near: bool
    sized: bool
    wrong: Callable[[Array], Array]
    bend: Callable[[Array], Array]

    def batch(self, s: Array, base: Array, relevance: Array, groups: Groups, worth: Array | None) -> Batch:
        """The loss with weights at ``base``; without ``worth`` all swaps change as much."""
        order = in_order(-base, groups)
        rank, x, fixed, grade = positions(groups), s[order], base[order], relevance[order]
        start, end = limits(groups)
        until = np.where(rank < self.truncation, end, np.minimum(end, start + self.truncation))
        best = np.ones(len(groups.sizes)) if worth is None else ideal(worth, groups, self.truncation)
        best = groups.spread(np.where(best > 0.0, best, 1.0))
        apart = spread(self.near & (groups.max(base) + groups.max(-base) > 0.0), groups)
        gain = None if worth is None else worth[order]

        def size(a: Picked, b: Picked) -> Array:
            made = (grade[a] != grade[b]) / best[a]
            if gain is not None:
                made *= np.abs((gain[a] - gain[b]) * (1.0 / np.log(2.0 + rank[a]) - 1.0 / np.log(2.0 + rank[b])))
            return made / np.where(apart[a], 0.01 + np.abs(fixed[a] - fixed[b]), 1.0)

        def pairs(a: Picked, b: Picked) -> tuple[Array, Array, Array, Array]:
            sign, weight = np.sign(grade[a] - grade[b]), size(a, b)
            lead = sign * (x[a] - x[b])
            return (
                weight * softplus(-self.sigma * lead),
                weight * self.wrong(sign * (fixed[a] - fixed[b])),
                sign * weight * self.wrong(lead),
                weight * self.bend(lead),
            )

        value, drawn, push, bend = pair_sums(pairs, start, until)
        # Each pair is seen from either side.
        total = self.sigma * groups.sum(drawn)
        factor = np.where(total > 0.0, np.log2(1.0 + total) / np.where(total > 0.0, total, 1.0), 1.0)
        factor = factor if self.sized else np.ones_like(factor)
        scale = groups.spread(factor)
        return Batch(
            groups.sum(value) / 2.0 * factor,
            lambda: in_place(order, -self.sigma * scale * push),
            lambda: in_place(order, self.sigma * self.sigma * scale * bend),
        )
