"""scikit-learn's metrics and its estimators' losses beside losscli's dialect of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from sklearn import metrics
from sklearn._loss import loss as half
from sklearn.decomposition._nmf import _beta_divergence
from sklearn.linear_model import _sgd_fast as sgd
from sklearn.linear_model._linear_loss import LinearModelLoss
from sklearn.metrics import pairwise

from benchmarks.draws import Draws
from benchmarks.parity import Comparison, Numbers
from losscli.loss import get

Array = np.ndarray[Any, Any]
REDUCTIONS = ("mean", "sum", "none")
TIMES, RECORDED = 30, 2
EPS = 2.0**-52


@dataclass(frozen=True)
class Case:
    """Data, parameters and options of one call, and what it returns row by row: losses, slopes, curvatures.

    ``mean`` is the call of a metric, which has no rows: it is compared in the place of the losses.
    """

    call: str
    data: Mapping[str, Array]
    rows: Callable[[], tuple[Any, ...]] | None = None
    mean: Callable[[Array | None], float] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    weighted: bool = True


def numbers(case: Case, wrt: str, reduction: str, weight: Array | None) -> Numbers:
    """The library's numbers, reduced as its estimators and metrics do."""
    if case.mean is not None:
        return Numbers(case.mean(weight))
    assert case.rows is not None
    losses, *slopes = case.rows()
    by = np.ones(len(losses)) if weight is None else weight
    scale = 1.0 / by.sum() if reduction == "mean" else 1.0
    rows = losses * by
    value = rows if reduction == "none" else rows.sum() * scale
    made = [{wrt: (by * scale).reshape(-1, *[1] * (slope.ndim - 1)) * slope} for slope in slopes]
    return Numbers(value, *made)


def comparisons(seed: int) -> Iterator[Comparison]:
    """Random calls of every function with a dialect."""
    for at, (loss, make) in enumerate(CASES):
        for time in range(TIMES):
            draws = Draws(np.random.default_rng([seed, at, time]), rows=(3, 7), width=(3, 6))
            case = make(draws)
            reduction = "mean" if case.mean is not None else REDUCTIONS[time % 3]
            weight = draws.positive(draws.rows) if case.weighted and draws.coin() else None
            options = {"reduction": reduction, **case.options}
            if weight is not None:
                options["sample_weight"] = weight
            wrt = get(loss).reads.differentiable[0]
            theirs = partial(numbers, case, wrt, reduction, weight)
            yield Comparison(loss, case.call, case.data, theirs, case.params, options, record=time < RECORDED)


def objective(made: half.BaseLoss, target: Array, raw: Array) -> Callable[[], tuple[Any, ...]]:
    """The losses, slopes and curvatures of an estimator's loss."""

    def rows() -> tuple[Any, ...]:
        y, z = np.ascontiguousarray(target, dtype=float), np.ascontiguousarray(raw)
        return (made.loss(y, z), *made.gradient_hessian(y, z))

    return rows


def stochastic(made: Any, target: Array, raw: Array) -> Callable[[], tuple[Any, ...]]:
    """The losses and slopes of one of SGD's losses, row by row."""
    pairs = list(zip(raw.tolist(), target.tolist(), strict=True))
    return lambda: tuple(np.array([each(*pair) for pair in pairs]) for each in (made.py_loss, made.py_dloss))


def residual(d: Draws) -> dict[str, Array]:
    """Predictions and targets, one of them met."""
    target = d.real(d.rows)
    prediction = d.real(d.rows)
    prediction[0] = target[0]
    return {"prediction": prediction, "target": target}


def by_objective(name: str, make: Callable[..., half.BaseLoss], **params: tuple[float, float]) -> Any:
    def case(d: Draws) -> Case:
        data, given = residual(d), {key: d.number(*bounds) for key, bounds in params.items()}
        return Case(name, data, objective(make(*given.values()), data["target"], data["prediction"]), None, given)

    return case


def by_metric(name: str, metric: Callable[..., Any], draw: Callable[[Draws], Mapping[str, Array]], **names: str) -> Any:
    """A metric of targets and predictions; ``names`` are its parameters by ours."""

    def case(d: Draws) -> Case:
        data = draw(d)
        given = {ours: d.number(0.05, 0.95) for ours in names}
        theirs = {names[ours]: value for ours, value in given.items()}
        return Case(
            f"metrics.{name}",
            data,
            None,
            lambda weight: float(metric(data["target"], data["prediction"], sample_weight=weight, **theirs)),
            given,
        )

    return case


def table(d: Draws) -> dict[str, Array]:
    """Predictions and targets, a target of 0 among them."""
    data = residual(d)
    data["target"][-1] = 0.0
    return data


def growth(d: Draws) -> dict[str, Array]:
    """Numbers at least 0."""
    return {"prediction": d.positive(d.rows), "target": d.positive(d.rows)}


def by_sgd(name: str, make: Callable[..., Any], *, margin: bool = False) -> Any:
    def case(d: Draws) -> Case:
        if margin:
            label = d.both_signs()
            score = d.real(d.rows)
            # One just meets the margin, another is at 0.
            score[0], score[1] = label[0], 0.0
            return Case(name, {"score": score, "label": label}, stochastic(make(), label, score))
        data, epsilon = residual(d), d.number(0.1, 2)
        data["prediction"][1] = data["target"][1] + 3.0
        made = make(epsilon)
        return Case(name, data, stochastic(made, data["target"], data["prediction"]), None, {"epsilon": epsilon})

    return case


def binary(d: Draws) -> Case:
    hard = d.coin()
    target = (d.both_signs() + 1) / 2 if hard else d.unit(d.rows)
    if hard and d.coin():
        p = np.where(d.unit(d.rows) < 0.4, d.rng.choice([0.0, 1.0, 1e-17], d.rows), d.unit(d.rows))

        def loss(weight: Array | None) -> float:
            return float(metrics.log_loss(target, p, sample_weight=weight, labels=[0.0, 1.0]))

        return Case("metrics.log_loss", {"logits": p, "target": target}, None, loss, {}, {"from": "probs"})
    z = d.real(d.rows, scale=6.0)
    return Case("HalfBinomialLoss", {"logits": z, "target": target}, objective(half.HalfBinomialLoss(), target, z))


def signed(make: Callable[[], half.BaseLoss]) -> Any:
    """A loss of labels 0 and 1, in terms of -1 and 1."""

    def case(d: Draws) -> Case:
        label, score = d.both_signs(), d.real(d.rows)
        data = {"score": score, "label": label}
        return Case(type(make()).__name__, data, objective(make(), (label + 1) / 2, score))

    return case


def hinge(d: Draws) -> Case:
    if d.coin():
        return by_sgd("Hinge(1.0)", sgd.Hinge, margin=True)(d)
    label, score = d.both_signs(), d.real(d.rows)
    data = {"score": score, "label": label}
    return Case("metrics.hinge_loss", data, None, lambda w: float(metrics.hinge_loss(label, score, sample_weight=w)))


def ce(d: Draws) -> Case:
    labels = d.labels(d.width)
    if d.coin():
        return replaced(log_loss(d), "probs", "logits")
    z = d.real(d.rows, d.width, scale=4.0)
    made = half.HalfMultinomialLoss(n_classes=d.width)
    return Case("HalfMultinomialLoss", {"logits": z, "labels": labels}, objective(made, labels, z))


def replaced(case: Case, name: str, by: str) -> Case:
    """A case whose first input has another name, and is probabilities there."""
    data = {by if key == name else key: array for key, array in case.data.items()}
    return Case(case.call, data, case.rows, case.mean, case.params, {"from": "probs"})


def log_loss(d: Draws) -> Case:
    p, labels = d.holes(d.width), d.labels(d.width)
    each = list(range(d.width))
    return Case(
        "metrics.log_loss",
        {"probs": p, "labels": labels},
        None,
        lambda weight: float(metrics.log_loss(labels, p, labels=each, sample_weight=weight)),
    )


def brier(d: Draws) -> Case:
    width = int(d.rng.integers(2, 5))
    p, labels = d.holes(width), d.labels(width)
    each = list(range(width))
    return Case(
        "metrics.brier_score_loss",
        {"logits": p, "labels": labels},
        None,
        lambda weight: float(metrics.brier_score_loss(labels, p, labels=each, sample_weight=weight)),
    )


def binary_zero_one(d: Draws) -> Case:
    p, target = d.unit(d.rows), (d.both_signs() + 1) / 2
    p[0] = 0.5
    return Case(
        "metrics.zero_one_loss",
        {"logits": p, "target": target},
        None,
        lambda weight: float(metrics.zero_one_loss(target, (p > 0.5).astype(float), sample_weight=weight)),
        {},
        {"from": "probs"},
    )


def zero_one(d: Draws) -> Case:
    z, labels = d.real(d.rows, d.width), d.labels(d.width)
    # Ties, won and lost.
    z[0], z[1] = 1.0, 1.0
    return Case(
        "metrics.zero_one_loss",
        {"logits": z, "labels": labels},
        None,
        lambda weight: float(metrics.zero_one_loss(labels, z.argmax(axis=1), sample_weight=weight)),
    )


def multiclass_hinge(d: Draws) -> Case:
    z, labels = d.real(d.rows, d.width), d.labels(d.width)
    each = list(range(d.width))
    return Case(
        "metrics.hinge_loss",
        {"logits": z, "labels": labels},
        None,
        lambda weight: float(metrics.hinge_loss(labels, z, labels=each, sample_weight=weight)),
    )


def rates(
    make: Callable[..., half.BaseLoss], metric: Callable[..., float] | None, powers: tuple[float, ...] = ()
) -> Any:
    """A deviance: half of it by the logarithm of a rate, all of it by the rate."""

    def case(d: Draws) -> Case:
        power = [float(d.rng.choice(powers))] if powers else []
        params = {"power": power[0]} if power else {}
        counts = metric is None or (power and power[0] < 2)
        target = d.rng.poisson(3.0, d.rows).astype(float) if counts else d.positive(d.rows)
        if metric is not None and d.coin():
            rate = d.positive(d.rows)
            data = {"prediction": rate, "target": target}

            def whole(weight: Array | None) -> float:
                return float(metric(target, rate, sample_weight=weight, **params))

            return Case(f"metrics.{metric.__name__}", data, None, whole, params, {"from": "rate"})
        raw = d.real(d.rows, scale=1.0)
        made = make(**params)
        data = {"prediction": raw, "target": target}
        return Case(type(made).__name__, data, objective(made, target, raw), None, params, {"from": "log-rate"})

    return case


def vectors(d: Draws) -> dict[str, Array]:
    """Two vectors per row, with coordinates in common."""
    x, y = d.real(d.rows, d.width), d.real(d.rows, d.width)
    y[0, 0] = x[0, 0]
    return {"x": x, "y": y}


def distance(name: str, options: Callable[[Draws], dict[str, Any]] = lambda _: {}) -> Any:
    """A distance metric of rows; ``options`` are parameters under the same name, or inputs of ours in capitals."""

    def case(d: Draws) -> Case:
        data, given = vectors(d), options(d)
        inputs = {"V": "variance", "VI": "precision"}
        more = {inputs[key]: array for key, array in given.items() if key in inputs}
        metric = metrics.DistanceMetric.get_metric(name, **given)
        params = {key: value for key, value in given.items() if key not in inputs}
        call = f'DistanceMetric.get_metric("{name}")'
        rows = lambda: (metric.pairwise(data["x"], data["y"]).diagonal(),)  # noqa: E731
        return Case(call, {**data, **more}, rows, None, params)

    return case


def paired(name: str, call: str, run: Callable[[Array, Array], Array], *, zeros: bool = False) -> Any:
    """A function of two arrays of rows; ``zeros``: a vector of them, and two, among the rows."""
    _ = name

    def case(d: Draws) -> Case:
        data = vectors(d)
        if zeros:
            data["x"][1], data["x"][2], data["y"][2] = 0.0, 0.0, 0.0
        return Case(call, data, lambda: (run(data["x"], data["y"]),))

    return case


def masks(name: str, metric: Callable[..., float]) -> Any:
    """An overlap of masks of 0 and 1."""

    def case(d: Draws) -> Case:
        p, target = (d.rng.integers(0, 2, 12).astype(float) for _ in range(2))
        if d.rng.random() < 0.2:
            p, target = np.zeros(12), np.zeros(12)
        data = {"probs": p, "target": target}

        def loss(_: Array | None) -> float:
            return 1.0 - float(metric(target, p, zero_division=0.0))

        return Case(f"1 - metrics.{name}", data, None, loss, weighted=False)

    return case


def penalty(d: Draws) -> Case:
    w = d.real(5)

    def value(_: Array | None) -> float:
        return float(LinearModelLoss(half.HalfSquaredError(), fit_intercept=False).l2_penalty(w, 1.0))

    return Case("LinearModelLoss.l2_penalty", {"weights": w}, None, value, {}, {"reduction": "sum"}, weighted=False)


def masses(d: Draws) -> Case:
    p, q = d.positive(d.rows, d.width), d.positive(d.rows, d.width)
    p[0, 0], q[1, 1] = d.rng.choice([0.0, 1e-9]), d.rng.choice([0.0, 1e-9])
    each, divergence = np.eye(d.width), "kullback-leibler"
    rows = lambda: (np.array([_beta_divergence(p[i : i + 1], q[i : i + 1], each, divergence) for i in range(d.rows)]),)  # noqa: E731
    return Case(f'_beta_divergence(p, q, identity, "{divergence}")', {"p": p, "q": q}, rows)


CASES: tuple[tuple[str, Callable[[Draws], Case]], ...] = (
    ("mse", by_metric("mean_squared_error", metrics.mean_squared_error, residual)),
    ("half-mse", by_objective("HalfSquaredError", half.HalfSquaredError)),
    ("mae", by_objective("AbsoluteError", half.AbsoluteError)),
    ("mae", by_metric("mean_absolute_error", metrics.mean_absolute_error, residual)),
    ("huber", by_objective("HuberLoss(delta=delta)", lambda delta: half.HuberLoss(delta=delta), delta=(0.2, 3))),
    ("quantile", by_objective("PinballLoss(quantile=tau)", lambda tau: half.PinballLoss(quantile=tau), tau=(0.1, 0.9))),
    ("quantile", by_metric("mean_pinball_loss", metrics.mean_pinball_loss, residual, tau="alpha")),
    ("mape", by_metric("mean_absolute_percentage_error", metrics.mean_absolute_percentage_error, table)),
    ("msle", by_metric("mean_squared_log_error", metrics.mean_squared_log_error, growth)),
    ("epsilon-insensitive", by_sgd("EpsilonInsensitive(epsilon)", sgd.EpsilonInsensitive)),
    ("squared-epsilon-insensitive", by_sgd("SquaredEpsilonInsensitive(epsilon)", sgd.SquaredEpsilonInsensitive)),
    ("poisson", rates(half.HalfPoissonLoss, None)),
    ("gamma-deviance", rates(half.HalfGammaLoss, metrics.mean_gamma_deviance)),
    (
        "tweedie",
        rates(half.HalfTweedieLoss, metrics.mean_tweedie_deviance, (0.0, 1.0, 1.5, 1.9, 2.0, 3.0)),
    ),
    ("hinge", hinge),
    ("perceptron", by_sgd("Hinge(0.0)", lambda: sgd.Hinge(0.0), margin=True)),
    ("squared-hinge", by_sgd("SquaredHinge(1.0)", sgd.SquaredHinge, margin=True)),
    ("modified-huber", by_sgd("ModifiedHuber()", sgd.ModifiedHuber, margin=True)),
    ("logistic", signed(half.HalfBinomialLoss)),
    ("exponential", signed(half.ExponentialLoss)),
    ("bce", binary),
    ("binary-zero-one", binary_zero_one),
    ("ce", ce),
    ("log-loss", log_loss),
    ("brier", brier),
    ("zero-one", zero_one),
    ("multiclass-hinge", multiclass_hinge),
    ("euclidean", paired("euclidean", "pairwise.paired_euclidean_distances", pairwise.paired_euclidean_distances)),
    ("manhattan", paired("manhattan", "pairwise.paired_manhattan_distances", pairwise.paired_manhattan_distances)),
    ("cosine", paired("cosine", "pairwise.paired_cosine_distances", pairwise.paired_cosine_distances, zeros=True)),
    (
        "sqeuclidean",
        paired(
            "sqeuclidean",
            "pairwise.euclidean_distances(x, y, squared=True)",
            lambda x, y: pairwise.euclidean_distances(x, y, squared=True).diagonal(),
        ),
    ),
    (
        "correlation",
        paired(
            "correlation",
            'pairwise_distances(x, y, metric="correlation")',
            lambda x, y: metrics.pairwise_distances(x, y, metric="correlation").diagonal(),
        ),
    ),
    ("chebyshev", distance("chebyshev")),
    ("minkowski", distance("minkowski", lambda d: {"p": d.number(1, 5)})),
    ("standardized-euclidean", distance("seuclidean", lambda d: {"V": d.positive(d.width)})),
    ("mahalanobis", distance("mahalanobis", lambda d: {"VI": definite(d)})),
    ("hamming", distance("hamming")),
    ("canberra", distance("canberra")),
    ("bray-curtis", distance("braycurtis")),
    ("dice", masks("f1_score", metrics.f1_score)),
    ("jaccard", masks("jaccard_score", metrics.jaccard_score)),
    ("l2-penalty", penalty),
    ("generalized-kl", masses),
)


def definite(d: Draws) -> Array:
    """A positive definite matrix."""
    root = d.real(d.width, d.width, scale=1.0)
    return np.asarray(root @ root.T + 0.5 * np.eye(d.width))
