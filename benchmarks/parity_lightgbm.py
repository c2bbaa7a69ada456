"""LightGBM's objectives beside losscli's dialect of them.

Trees with a leaf for every row are refitted by an objective: the value of a leaf is -g / (h + lambda_l2), and two
lambda_l2 tell the gradient g and the Hessian h, in single precision. Metrics are those of a booster without trees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lightgbm
import numpy as np

from benchmarks.boosting import Array, Case, Draws, Made, binary, classes, margin, rates, regression
from benchmarks.boosting import comparisons as boosted
from benchmarks.parity import BAR, Comparison

LEAF = {
    "min_data_in_leaf": 1,
    "min_sum_hessian_in_leaf": 0.0,
    "min_data_in_bin": 1,
    "feature_pre_filter": False,
    "learning_rate": 1.0,
    "boost_from_average": False,
    "verbosity": -1,
    "num_threads": 1,
}


def flat(score: Array) -> Array:
    """Scores class by class, as LightGBM has them."""
    return score.T.ravel()


def slopes(case: Case, weight: Array | None) -> tuple[Array, Array]:
    """The gradient and the Hessian of every row."""
    rows, several = len(case.label), case.score.ndim > 1
    width = case.score.shape[1] if several else 1
    features, params = np.arange(rows, dtype=float)[:, None], {**LEAF, "num_leaves": max(2, rows)}

    def uneven(*_: Any) -> tuple[Array, Array]:
        step = np.arange(rows) ** 2 + 1.0
        made = np.tile(step[:, None], width) if several else step
        return made, np.ones_like(made)

    empty = lightgbm.Dataset(features, np.zeros(rows), params=params, free_raw_data=False)
    trees = lightgbm.train({**params, "objective": uneven, "num_class": width}, empty, 1).model_to_string()
    group = None if case.query is None else np.bincount(case.query)

    def leaves(ridge: float) -> Array:
        booster = lightgbm.Booster(model_str=trees)
        booster.params = {**params, **case.options, "lambda_l2": ridge}
        # A model of an objective of our own may not be refitted otherwise.
        booster._Booster__set_objective_to_none = False
        made = booster.refit(
            features, case.label, decay_rate=0.0, weight=weight, group=group, init_score=flat(case.score)
        )
        at = made.predict(features, pred_leaf=True).astype(int).reshape(rows, width)
        found = [[made.get_leaf_output(k, at[row, k]) for k in range(width)] for row in range(rows)]
        return np.array(found).reshape(case.score.shape)

    plain, damped = leaves(0.0), leaves(1.0)
    # A document without a pair has neither gradient nor Hessian.
    still = plain == damped
    second = np.where(still, 0.0, damped / np.where(still, 1.0, plain - damped))
    return -plain * second, second


def metric(case: Case, weight: Array | None) -> float:
    """The value of a metric at the scores."""
    features = np.arange(len(case.label), dtype=float)[:, None]
    data = lightgbm.Dataset(features, case.label, weight=weight, init_score=flat(case.score), params=LEAF)
    booster = lightgbm.Booster({**LEAF, **case.options, "metric": case.metric}, data)
    ((_, _, value, _),) = booster.eval_train()
    return float(value)


def ranking(objective: str, **params: tuple[str, Callable[[Draws], Any]]) -> Callable[[Draws], Case]:
    """Scores and grades; of each parameter, by our name, theirs and how it is drawn."""

    def case(d: Draws) -> Case:
        data = d.query()
        given = {ours: draw(d) for ours, (_, draw) in params.items()}
        theirs = {name: given[ours] for ours, (name, _) in params.items()}
        return Case(
            {"objective": objective, **theirs},
            data,
            data["scores"],
            data["relevance"],
            given,
            query=data["query"],
            # Where a pair's score difference is at a step of its table, rounding takes one step or the other.
            bar=1e-5,
            weighted=False,
        )

    return case


def of(name: str, **more: Any) -> dict[str, Any]:
    """The parameters that choose an objective."""
    return {"objective": name, **more}


DELTA, TAU, POWER = ("alpha", 0.2, 3.0), ("alpha", 0.1, 0.9), ("tweedie_variance_power", 1.1, 1.9)
POSITIVES = "scale_pos_weight"
CASES: Made = (
    ("half-mse", regression(of("regression"))),
    ("mae", regression(of("regression_l1"))),
    ("huber", regression(of("huber"), delta=DELTA)),
    ("fair", regression(of("fair"), c=("fair_c", 0.3, 3.0))),
    ("quantile", regression(of("quantile"), tau=TAU)),
    ("mape", regression(of("mape"))),
    ("poisson", rates(of("poisson"), Draws.counts)),
    ("gamma-deviance", rates(of("gamma"), Draws.positive)),
    ("tweedie", rates(of("tweedie"), Draws.counts, power=POWER)),
    ("logistic", margin(of("binary"))),
    ("bce", binary(of("binary"), POSITIVES)),
    ("bce", binary(of("cross_entropy"), soft=True)),
    ("ce", classes(of("multiclass"))),
    (
        "lambdarank",
        ranking(
            "lambdarank",
            sigma=("sigmoid", lambda d: d.number(0.5, 2)),
            truncation=("lambdarank_truncation_level", lambda d: int(d.rng.integers(1, 9))),
            norm=("lambdarank_norm", Draws.coin),
        ),
    ),
    ("xendcg", ranking("rank_xendcg", objective_seed=("objective_seed", lambda d: int(d.rng.integers(1, 99))))),
    ("mse", regression(of("regression"), "l2", BAR)),
    ("mae", regression(of("regression_l1"), "l1", BAR)),
    ("huber", regression(of("huber"), "huber", BAR, delta=DELTA)),
    ("fair", regression(of("fair"), "fair", BAR, c=("fair_c", 0.3, 3.0))),
    ("quantile", regression(of("quantile"), "quantile", BAR, tau=TAU)),
    ("mape", regression(of("mape"), "mape", BAR)),
    ("poisson", rates(of("poisson"), Draws.counts, "poisson", BAR)),
    ("logistic", margin(of("binary"), "binary_logloss", BAR)),
    ("bce", binary(of("cross_entropy"), soft=True, metric="cross_entropy", bar=BAR)),
    ("ce", classes(of("multiclass"), "multi_logloss", BAR)),
    ("binary-zero-one", binary(of("binary"), metric="binary_error", bar=BAR)),
    ("zero-one", classes(of("multiclass"), "multi_error", BAR, ties=True)),
)


def comparisons(seed: int) -> Iterator[Comparison]:
    """Random calls of every objective and metric with a dialect."""
    return boosted(seed, CASES, slopes, metric)
