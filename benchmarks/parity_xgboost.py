"""XGBoost's objectives beside losscli's dialect of them.

Trees with a leaf for every row are refreshed by an objective: a leaf then holds its Hessian h and its weight
-g / (h + reg_lambda), g the gradient, in single precision. Metrics are those of a booster without trees, likewise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xgboost

from benchmarks.boosting import Array, Case, Draws, Made, binary, classes, margin, rates, regression
from benchmarks.boosting import comparisons as boosted
from benchmarks.parity import Comparison

LEAF = {
    "tree_method": "exact",
    "min_child_weight": 0.0,
    "reg_lambda": 0.0,
    "eta": 1.0,
    "base_score": 0.5,
    "nthread": 1,
    "verbosity": 0,
}
# Weights as small as this makes them are not cut off by max_delta_step.
RIDGE = 1024.0


def given(case: Case, weight: Array | None) -> xgboost.DMatrix:
    """A matrix of rows with their scores."""
    features = np.arange(len(case.label), dtype=float)[:, None]
    made = xgboost.DMatrix(features, case.label, weight=weight, qid=case.query, nthread=1)
    made.set_base_margin(case.score)
    return made


def slopes(case: Case, weight: Array | None) -> tuple[Array, Array]:
    """The gradient and the Hessian of every row."""
    rows, several = len(case.label), case.score.ndim > 1
    width = case.score.shape[1] if several else 1
    params = {**LEAF, "max_depth": rows + 1, **({"num_class": width} if several else {})}

    def uneven(*_: Any) -> tuple[Array, Array]:
        step = np.arange(rows) ** 2 + 1.0
        made = np.tile(step[:, None], width) if several else step
        return made, np.ones_like(made)

    empty = xgboost.DMatrix(np.arange(rows, dtype=float)[:, None], np.zeros(rows), nthread=1)
    trees = xgboost.train({**params, "disable_default_eval_metric": True}, empty, 1, obj=uneven)
    refresh = {"process_type": "update", "updater": "refresh", "refresh_leaf": True, "reg_lambda": RIDGE}
    data = given(case, weight)
    made = xgboost.train({**params, **case.options, **refresh}, data, 1, xgb_model=trees)
    model = json.loads(bytes(made.save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]
    at = made.predict(data, pred_leaf=True).astype(int).reshape(rows, width)

    def leaves(name: str) -> Array:
        found = [[model[k][name][at[row, k]] for k in range(width)] for row in range(rows)]
        return np.array(found).reshape(case.score.shape)

    second = leaves("sum_hessian")
    return -leaves("base_weights") * (second + RIDGE), second


def metric(case: Case, weight: Array | None) -> float:
    """The value of a metric at the scores."""
    data = given(case, weight)
    booster = xgboost.Booster({**LEAF, **case.options, "eval_metric": case.metric}, [data])
    return float(booster.eval_set([(data, "x")]).split(":")[-1])


def growth(d: Draws) -> Case:
    """Predictions and targets above -1, a prediction close to it now and then."""
    data = {"prediction": d.positive() - 0.875, "target": d.positive() - 0.875}
    if d.coin():
        data["prediction"][0] = -1.0 + 2.0**-21
    return Case(of("reg:squaredlogerror"), data, data["prediction"], data["target"], bar=1e-5)


def cox(d: Draws) -> Case:
    """Log-risks, times that some share, and events: a label's sign tells them there."""
    data = {"log_risk": d.real(scale=1.0), "time": d.rng.integers(1, 5, d.rows).astype(float), "event": d.hard()}
    label = np.where(data["event"] > 0, data["time"], -data["time"])
    return Case(of("survival:cox"), data, data["log_risk"], label, weighted=False)


def ranking(objective: str, **params: tuple[str, Callable[[Draws], Any]]) -> Callable[[Draws], Case]:
    """Scores and grades; of each parameter, by our name, theirs and how it is drawn."""

    def case(d: Draws) -> Case:
        data = d.query()
        ours = {name: draw(d) for name, (_, draw) in params.items()}
        theirs = {word: ours[name] for name, (words, _) in params.items() for word in words.split()}
        theirs = {word: value == "exponential" if word == "ndcg_exp_gain" else value for word, value in theirs.items()}
        options = {"objective": objective, **theirs}
        return Case(
            options, data, data["scores"], data["relevance"], ours, query=data["query"], bar=1e-5, weighted=False
        )

    return case


def of(name: str, **more: Any) -> dict[str, Any]:
    """The parameters that choose an objective."""
    return {"objective": name, **more}


TAU, POWER, SLOPE = ("quantile_alpha", 0.1, 0.9), ("tweedie_variance_power", 1.1, 1.9), ("huber_slope", 0.3, 3.0)
POSITIVES = "scale_pos_weight"
# A sure row's 1 - p has few digits in single precision.
SURE = 2e-5
LINE = of("reg:squarederror")
CASES: Made = (
    ("half-mse", regression(LINE)),
    ("mae", regression(of("reg:absoluteerror"))),
    ("pseudo-huber", regression(of("reg:pseudohubererror"), delta=SLOPE)),
    ("quantile", regression(of("reg:quantileerror"), tau=TAU)),
    ("msle", growth),
    ("poisson", rates(of("count:poisson"), Draws.counts)),
    ("gamma-deviance", rates(of("reg:gamma"), Draws.positive)),
    ("tweedie", rates(of("reg:tweedie"), Draws.counts, power=POWER)),
    ("hinge", margin(of("binary:hinge"))),
    ("logistic", margin(of("binary:logistic"))),
    ("bce", binary(of("binary:logistic"), POSITIVES, bar=SURE)),
    ("bce", binary(of("reg:logistic"), POSITIVES, soft=True, bar=SURE)),
    ("bce", binary(of("binary:logitraw"), POSITIVES, soft=True, bar=SURE)),
    ("ce", classes(of("multi:softprob"))),
    ("cox", cox),
    (
        "lambdarank",
        ranking(
            "rank:ndcg",
            truncation=("lambdarank_num_pair_per_sample", lambda d: int(d.rng.integers(1, 9))),
            norm=("lambdarank_normalization lambdarank_score_normalization", Draws.coin),
            gain=("ndcg_exp_gain", lambda d: str(d.rng.choice(["exponential", "linear"]))),
        ),
    ),
    ("ranknet", ranking("rank:pairwise")),
    ("mae", regression(LINE, "mae")),
    ("mape", regression(LINE, "mape")),
    ("pseudo-huber", regression(LINE, "mphe", delta=SLOPE)),
    ("quantile", regression(LINE, "quantile", tau=TAU)),
    ("logistic", margin(of("binary:logistic"), "logloss", 1e-5)),
    ("bce", binary(of("reg:logistic"), soft=True, metric="logloss", bar=1e-5)),
    ("binary-zero-one", binary(of("binary:logistic"), metric="error")),
    ("ce", classes(of("multi:softprob"), "mlogloss")),
    ("zero-one", classes(of("multi:softprob"), "merror", ties=True)),
)


def comparisons(seed: int) -> Iterator[Comparison]:
    """Random calls of every objective and metric with a dialect."""
    return boosted(seed, CASES, slopes, metric)
