"""XGBoost's dialects: what its objectives give the trees, a gradient and a Hessian per row, and a few of its metrics.

Its slopes are by the raw margin, in single precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from losscli.dialects import boosting_kernels as kernels
from losscli.loss import Dialect

# The least normal number of single precision.
_TINY = 2.0**-126
_LEAST = 1e-16
_FLAT = "the Hessian is 1, where the true one is 0"

DIALECTS: Mapping[str, Dialect] = {
    "bce": Dialect(
        'xgboost.train({"objective": "binary:logistic", "scale_pos_weight": pos_weight}); the same as reg:logistic and'
        " binary:logitraw",
        "pos_weight counts where the target is exactly 1, for the whole loss; the Hessian is 1e-16 at least",
        kernel=kernels.bce_of_xgboost,
        hessian=lambda curve, _: np.maximum(curve, _LEAST),
    ),
    "binary-zero-one": Dialect('xgboost.train({"eval_metric": "error"})', "a metric, of targets 0 and 1"),
    "ce": Dialect(
        'xgboost.train({"objective": "multi:softprob", "num_class": C})',
        "the Hessian is twice the true one, and 1e-16 at least",
        hessian=lambda curve, _: np.maximum(2.0 * curve, _LEAST),
    ),
    "cox": Dialect(
        'xgboost.train({"objective": "survival:cox"}) with labels time, or -time where there was no event',
        "without strata; of several events at one time, a row's slope leaves out those of the rows after it",
        kernel=kernels.cox_of_xgboost,
    ),
    "gamma-deviance": Dialect(
        'xgboost.train({"objective": "reg:gamma"})', "half the deviance, of the logarithm of the rate", factor=0.5
    ),
    "half-mse": Dialect('xgboost.train({"objective": "reg:squarederror"})'),
    "hinge": Dialect(
        'xgboost.train({"objective": "binary:hinge"}) with labels 0 and 1',
        f"the Hessian is 1 below the margin and {_TINY:.3g} elsewhere, where the true one is 0",
        hessian=lambda _, slope: np.where(slope != 0.0, 1.0, _TINY),
    ),
    "lambdarank": Dialect(
        'xgboost.train({"objective": "rank:ndcg", "lambdarank_num_pair_per_sample": truncation,'
        ' "lambdarank_normalization": norm, "lambdarank_score_normalization": norm, "ndcg_exp_gain": gain})',
        "truncation is 32 unless said otherwise; the Hessian is twice the true one",
        params={"truncation": 32},
        kernel=kernels.lambdarank_of_xgboost,
    ),
    "logistic": Dialect(
        'xgboost.train({"objective": "binary:logistic"}) with labels 0 and 1',
        "the Hessian is 1e-16 at least",
        hessian=lambda curve, _: np.maximum(curve, _LEAST),
    ),
    "mae": Dialect('xgboost.train({"objective": "reg:absoluteerror"})', _FLAT, hessian=kernels.one),
    "mape": Dialect(
        'xgboost.train({"eval_metric": "mape"})',
        "a metric, which divides by the target whatever its size",
        params={"least": math.ulp(0.0)},
    ),
    "msle": Dialect(
        'xgboost.train({"objective": "reg:squaredlogerror"})',
        "half of it; a prediction counts for at least -1 + 1e-6, and the Hessian for at least 1e-6",
        factor=0.5,
        folds={"values": kernels.growth_of_xgboost},
        hessian=lambda curve, _: np.maximum(curve, 1e-6),
    ),
    "poisson": Dialect(
        'xgboost.train({"objective": "count:poisson", "max_delta_step": 0.7})',
        "the Hessian is e^0.7 = 2.01 times the true one, 0.7 its max_delta_step",
        hessian=lambda curve, _: curve * math.exp(0.7),
    ),
    "pseudo-huber": Dialect('xgboost.train({"objective": "reg:pseudohubererror", "huber_slope": delta})'),
    "quantile": Dialect(
        'xgboost.train({"objective": "reg:quantileerror", "quantile_alpha": tau})',
        f"the slope at prediction = target is 1 - tau; {_FLAT}",
        kernel=kernels.quantile,
        hessian=kernels.one,
    ),
    "ranknet": Dialect(
        'xgboost.train({"objective": "rank:pairwise"})',
        "a pair is divided by 0.01 + its score difference and counts if one of it is among the first 32, a query is"
        " divided by the size of its gradient; the Hessian is twice the true one of that",
        kernel=kernels.ranknet_of_xgboost,
    ),
    "tweedie": Dialect(
        'xgboost.train({"objective": "reg:tweedie", "tweedie_variance_power": power})',
        "half the deviance, of the logarithm of the rate; power above 1 and below 2",
        factor=0.5,
    ),
    "zero-one": Dialect(
        'xgboost.train({"eval_metric": "merror"})',
        "a metric; of classes that tie the first is the answer",
        kernel=kernels.first_wins,
    ),
}
