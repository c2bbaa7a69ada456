"""LightGBM's dialects: what its objectives give the trees, a gradient and a Hessian per row, and a few of its metrics.

Its slopes are by the raw score, in single precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from losscli.dialects import boosting_kernels as kernels
from losscli.loss import Dialect

_ONE = "the Hessian is 1"
_FLAT = f"{_ONE}, where the true one is 0"

DIALECTS: Mapping[str, Dialect] = {
    "bce": Dialect(
        'lightgbm.train({"objective": "cross_entropy"}); of targets 0 and 1 {"objective": "binary", "scale_pos_weight":'
        " pos_weight}",
    ),
    "binary-zero-one": Dialect('lightgbm.train({"metric": "binary_error"})', "a metric, of targets 0 and 1"),
    "ce": Dialect(
        'lightgbm.train({"objective": "multiclass", "num_class": C})',
        "the Hessian is C/(C - 1) times the true one, C the number of classes",
        hessian=lambda curve, _: curve * curve.shape[-1] / (curve.shape[-1] - 1.0),
    ),
    "fair": Dialect('lightgbm.train({"objective": "fair", "fair_c": c})'),
    "gamma-deviance": Dialect(
        'lightgbm.train({"objective": "gamma"})', "half the deviance, of the logarithm of the rate", factor=0.5
    ),
    "half-mse": Dialect('lightgbm.train({"objective": "regression"})'),
    "huber": Dialect(
        'lightgbm.train({"objective": "huber", "alpha": delta})',
        f"delta is 0.9 unless said otherwise; {_ONE}, beyond delta too",
        params={"delta": 0.9},
        hessian=kernels.one,
    ),
    "lambdarank": Dialect(
        'lightgbm.train({"objective": "lambdarank", "sigmoid": sigma, "lambdarank_truncation_level": truncation,'
        ' "lambdarank_norm": norm})',
        "the logistic is read off a table of 2^20 steps, which ends where sigma times the score difference is 25:"
        " slopes have five digits",
        kernel=kernels.lambdarank_of_lightgbm,
    ),
    "logistic": Dialect('lightgbm.train({"objective": "binary"})'),
    "mae": Dialect('lightgbm.train({"objective": "regression_l1"})', _FLAT, hessian=kernels.one),
    "mape": Dialect(
        'lightgbm.train({"objective": "mape"})',
        f"a target counts for at least 1 unless said otherwise; {_FLAT}",
        params={"least": 1.0},
        hessian=kernels.one,
    ),
    "mse": Dialect('lightgbm.train({"metric": "l2"})', "a metric; the objective regression is half-mse"),
    "poisson": Dialect(
        'lightgbm.train({"objective": "poisson", "poisson_max_delta_step": 0.7})',
        "the Hessian is e^0.7 = 2.01 times the true one, 0.7 its poisson_max_delta_step",
        hessian=lambda curve, _: curve * math.exp(0.7),
    ),
    "quantile": Dialect(
        'lightgbm.train({"objective": "quantile", "alpha": tau})',
        f"tau is 0.9 unless said otherwise; the slope at prediction = target is 1 - tau; {_FLAT}",
        params={"tau": 0.9},
        kernel=kernels.quantile,
        hessian=kernels.one,
    ),
    "tweedie": Dialect(
        'lightgbm.train({"objective": "tweedie", "tweedie_variance_power": power})',
        "half the deviance, of the logarithm of the rate; power from 1 to below 2",
        factor=0.5,
    ),
    "xendcg": Dialect(
        'lightgbm.train({"objective": "rank_xendcg", "objective_seed": objective_seed})',
        "the gradient has two terms more, those of a Newton step; the i-th query's random numbers start from"
        " objective_seed + i, and every iteration goes on with new ones; grades are rounded down",
        kernel=kernels.xendcg_of_lightgbm,
    ),
    "zero-one": Dialect(
        'lightgbm.train({"metric": "multi_error"})', "a metric; a tie counts as wrong", kernel=kernels.ties_wrong
    ),
}
