"""scikit-learn's dialects: its metrics, which have values alone, and what its estimators minimise.

HalfMultinomialLoss and its kin are in sklearn._loss.loss; Hinge and its kin in sklearn.linear_model._sgd_fast.
"""

from __future__ import annotations

from collections.abc import Mapping

from losscli.dialects import sklearn_kernels as kernels
from losscli.dialects.boosting_kernels import first_wins, one
from losscli.loss import Dialect

_CLIP = "probabilities are clipped to [2^-52, 1 - 2^-52]: the loss is at most 36.04"
_FLAT = "the Hessian is 1, where the true one is 0"
_RAW = "of the logarithm of a rate it is half of it, without the terms of the target alone"


def _distance(name: str, params: str = "") -> str:
    return f'sklearn.metrics.DistanceMetric.get_metric("{name}"{params}).pairwise(x, y).diagonal()'


DIALECTS: Mapping[str, Dialect] = {
    "bce": Dialect(
        "HalfBinomialLoss().loss(target, logits, sample_weight); of probabilities"
        " sklearn.metrics.log_loss(target, p, sample_weight=sample_weight)",
        f"{_CLIP}; logits are not",
        folds={"probs": kernels.binary_probs},
    ),
    "binary-zero-one": Dialect("sklearn.metrics.zero_one_loss(target, p > 0.5, sample_weight=sample_weight)"),
    "bray-curtis": Dialect(
        _distance("braycurtis"),
        "divides by the sum of |x| and of |y|, not by that of |x + y|: at most 1",
        kernel=kernels.bray_curtis,
    ),
    "brier": Dialect(
        'sklearn.metrics.brier_score_loss(labels, p, labels=range(C), scale_by_half="auto")',
        "half of it where there are two classes",
        link="probs",
        kernel=kernels.brier,
    ),
    "canberra": Dialect(_distance("canberra")),
    "ce": Dialect(
        "HalfMultinomialLoss(n_classes=C).loss(labels, logits, sample_weight); of probabilities"
        " sklearn.metrics.log_loss(labels, p, labels=range(C), sample_weight=sample_weight)",
        f"{_CLIP}; logits are not",
        folds={"probs": kernels.likelihood_probs},
    ),
    "chebyshev": Dialect(_distance("chebyshev")),
    "correlation": Dialect(
        'sklearn.metrics.pairwise_distances(x, y, metric="correlation").diagonal()',
        "NaN where x or y has the same number in all its coordinates",
        kernel=kernels.correlation,
    ),
    "cosine": Dialect(
        'sklearn.metrics.pairwise.paired_distances(x, y, metric="cosine")',
        "a vector of zeros costs 0.5, and two of them cost 0",
        kernel=kernels.cosine,
    ),
    "dice": Dialect(
        "1 - sklearn.metrics.f1_score(target, mask)",
        "of masks of 0 and 1; two empty ones cost 1",
        kernel=kernels.overlap("dice"),
    ),
    "epsilon-insensitive": Dialect("EpsilonInsensitive(epsilon).py_loss(prediction, target)"),
    "euclidean": Dialect('sklearn.metrics.pairwise.paired_distances(x, y, metric="euclidean")'),
    "exponential": Dialect("ExponentialLoss().loss((label + 1)/2, score, sample_weight)"),
    "gamma-deviance": Dialect(
        "HalfGammaLoss().loss(target, log_rate, sample_weight); of rates"
        " sklearn.metrics.mean_gamma_deviance(target, rate, sample_weight=sample_weight)",
        _RAW,
        folds={"log-rate": kernels.raw},
        kernel=kernels.gamma_deviance,
    ),
    "generalized-kl": Dialect(
        'sklearn.decomposition._nmf._beta_divergence(p, q, identity, "kullback-leibler"), as in NMF, a sum',
        "entries of p up to 2^-23 count as 0, and those of q are divided by as 2^-23 at least",
        kernel=kernels.generalized_kl,
    ),
    "half-mse": Dialect("HalfSquaredError().loss(target, prediction, sample_weight)"),
    "hamming": Dialect(_distance("hamming")),
    "hinge": Dialect(
        "sklearn.metrics.hinge_loss(label, score, sample_weight=sample_weight); slopes of Hinge(1.0)",
        "the slope at m = 1 is that below it",
        kernel=kernels.hinge,
    ),
    "huber": Dialect(
        "HuberLoss(delta=delta).loss(target, prediction, sample_weight)",
        "delta is 0.5 unless said otherwise; the Hessian at |r| = delta is 1",
        params={"delta": 0.5},
        kernel=kernels.huber,
    ),
    "jaccard": Dialect(
        "1 - sklearn.metrics.jaccard_score(target, mask)",
        "of masks of 0 and 1; two empty ones cost 1",
        kernel=kernels.overlap("jaccard"),
    ),
    "l2-penalty": Dialect(
        "LinearModelLoss.l2_penalty(w, l2_reg_strength=1.0), as in LogisticRegression and PoissonRegressor",
        "half of it; Ridge has no half",
        factor=0.5,
    ),
    "log-loss": Dialect(
        "sklearn.metrics.log_loss(labels, p, labels=range(C), sample_weight=sample_weight)",
        _CLIP,
        clip={"probs": (kernels.EPS, 1.0 - kernels.EPS)},
    ),
    "logistic": Dialect("HalfBinomialLoss().loss((label + 1)/2, score, sample_weight)"),
    "mae": Dialect(
        "sklearn.metrics.mean_absolute_error(target, prediction, sample_weight=sample_weight); slopes of"
        " AbsoluteError()",
        f"the slope at prediction = target is -1; {_FLAT}",
        kernel=kernels.mae,
        hessian=one,
    ),
    "mahalanobis": Dialect(_distance("mahalanobis", ", VI=precision")),
    "manhattan": Dialect('sklearn.metrics.pairwise.paired_distances(x, y, metric="manhattan")'),
    "mape": Dialect(
        "sklearn.metrics.mean_absolute_percentage_error(target, prediction, sample_weight=sample_weight)",
        "a target counts for at least 2^-52 unless said otherwise",
        params={"least": kernels.EPS},
    ),
    "minkowski": Dialect(_distance("minkowski", ", p=p"), "p is 2 unless said otherwise", params={"p": 2.0}),
    "modified-huber": Dialect("ModifiedHuber().py_loss(score, label)"),
    "mse": Dialect("sklearn.metrics.mean_squared_error(target, prediction, sample_weight=sample_weight)"),
    "msle": Dialect("sklearn.metrics.mean_squared_log_error(target, prediction, sample_weight=sample_weight)"),
    "multiclass-hinge": Dialect(
        "sklearn.metrics.hinge_loss(labels, logits, labels=range(C), sample_weight=sample_weight)",
        "of three and more classes",
    ),
    "perceptron": Dialect(
        "Hinge(0.0).py_loss(score, label)", "the slope at m = 0 is that below it", kernel=kernels.perceptron
    ),
    "poisson": Dialect("HalfPoissonLoss().loss(target, log_rate, sample_weight)"),
    "quantile": Dialect(
        "sklearn.metrics.mean_pinball_loss(target, prediction, alpha=tau, sample_weight=sample_weight); slopes of"
        " PinballLoss(quantile=tau)",
        f"the slope at prediction = target is -tau; {_FLAT}",
        kernel=kernels.quantile,
        hessian=one,
    ),
    "sqeuclidean": Dialect(
        "sklearn.metrics.pairwise.euclidean_distances(x, y, squared=True).diagonal()",
        "as x² - 2xy + y², of which close vectors lose digits",
    ),
    "squared-epsilon-insensitive": Dialect("SquaredEpsilonInsensitive(epsilon).py_loss(prediction, target)"),
    "squared-hinge": Dialect("SquaredHinge(1.0).py_loss(score, label)"),
    "standardized-euclidean": Dialect(_distance("seuclidean", ", V=variance")),
    "tweedie": Dialect(
        "HalfTweedieLoss(power=power).loss(target, log_rate, sample_weight); of rates"
        " sklearn.metrics.mean_tweedie_deviance(target, rate, power=power, sample_weight=sample_weight)",
        f"{_RAW}; no power above 0 and below 1",
        folds={"log-rate": kernels.raw},
        kernel=kernels.tweedie,
    ),
    "zero-one": Dialect(
        "sklearn.metrics.zero_one_loss(labels, logits.argmax(axis=1), sample_weight=sample_weight)",
        "of classes that tie the first is the answer",
        kernel=first_wins,
    ),
}
