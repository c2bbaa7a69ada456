"""SciPy's distances, divergences and likelihoods beside the exact form: it has no dialect, and no gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from scipy import special, stats
from scipy.spatial import distance

from benchmarks.draws import Draws
from benchmarks.parity import Comparison, Numbers

Array = np.ndarray[Any, Any]
REDUCTIONS = ("mean", "sum", "none")
TIMES, RECORDED = 30, 1


@dataclass(frozen=True)
class Case:
    """Data and parameters of one call, and the loss of every row that it returns; ``whole``: one loss for all rows."""

    call: str
    data: Mapping[str, Array]
    rows: Callable[[], Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False


def numbers(case: Case, reduction: str, weight: Array | None) -> Numbers:
    """The losses, weighed and reduced."""
    rows = case.rows()
    if case.whole:
        return Numbers(rows)
    if reduction == "mean":
        return Numbers(float(np.average(rows, weights=weight)))
    weighed = rows if weight is None else rows * weight
    return Numbers(float(weighed.sum()) if reduction == "sum" else weighed)


def comparisons(seed: int) -> Iterator[Comparison]:
    """Random calls of every function that is in the catalogue too."""
    for at, (loss, make) in enumerate(CASES):
        for time in range(TIMES):
            draws = Draws(np.random.default_rng([seed, at, time]), rows=(2, 7), width=(2, 6))
            case = make(draws)
            reduction = "mean" if case.whole else REDUCTIONS[time % 3]
            weight = draws.positive(draws.rows) if not case.whole and draws.coin() else None
            options = {"reduction": reduction, **case.options}
            if weight is not None:
                options["sample_weight"] = weight
            theirs = partial(numbers, case, reduction, weight)
            yield Comparison(loss, case.call, case.data, theirs, case.params, options, record=time < RECORDED)


def each(function: Callable[..., float], x: Array, y: Array, **more: Any) -> Array:
    """A function of two vectors, for every pair of rows."""
    return np.array([function(*pair, **more) for pair in zip(x, y, strict=True)])


def between(name: str, more: Callable[[Draws], dict[str, Any]] = lambda _: {}) -> Any:
    """A distance of two vectors; what it takes besides is a parameter, or an input of ours in capitals."""
    inputs = {"V": "variance", "VI": "precision"}

    def case(d: Draws) -> Case:
        d.width = max(d.width, 3)
        x, y, given = d.real(d.rows, d.width), d.real(d.rows, d.width), more(d)
        y[0, 0] = x[0, 0]
        data = {"x": x, "y": y, **{inputs[key]: value for key, value in given.items() if key in inputs}}
        params = {key: value for key, value in given.items() if key not in inputs}
        call = f"distance.{name}({', '.join(['x', 'y', *given])})"
        return Case(call, data, partial(each, getattr(distance, name), x, y, **given), params)

    return case


def definite(d: Draws) -> Array:
    """A positive definite matrix."""
    root = d.real(d.width, d.width, scale=1.0)
    return np.asarray(root @ root.T + 0.5 * np.eye(d.width))


def base(d: Draws) -> dict[str, float]:
    """A base of the logarithm, or none."""
    return {"base": d.number(1.5, 10)} if d.coin() else {}


def entropy(d: Draws) -> Case:
    p, more = d.holes(), base(d)
    run = partial(stats.entropy, p, axis=1, **more)
    return Case("stats.entropy(p, axis=1, base=base)", {"p": p}, run, more, {"from": "probs"})


def entr(d: Draws) -> Case:
    p = d.holes()
    return Case("special.entr(p).sum(1)", {"p": p}, lambda: special.entr(p).sum(1), {}, {"from": "probs"})


def kl(d: Draws) -> Case:
    p, q, more = d.holes(), d.simplex(), base(d)
    run = partial(stats.entropy, p, q, axis=1, **more)
    return Case("stats.entropy(p, q, axis=1, base=base)", {"p": p, "q": q}, run, more, {"from": "probs"})


def rel_entr(d: Draws) -> Case:
    p, q = d.holes(), d.simplex()
    data = {"p": p, "q": q}
    return Case("special.rel_entr(p, q).sum(1)", data, lambda: special.rel_entr(p, q).sum(1), {}, {"from": "probs"})


def kl_div(d: Draws) -> Case:
    p, q = d.positive(d.rows, d.width), d.positive(d.rows, d.width)
    p[0, 0] = 0.0
    return Case("special.kl_div(p, q).sum(1)", {"p": p, "q": q}, lambda: special.kl_div(p, q).sum(1))


def js(d: Draws) -> Case:
    p, q, more = d.holes(), d.holes(), base(d)
    params, call = {**more, "root": d.coin()}, "distance.jensenshannon(p, q, axis=1, base=base)"

    def run() -> Array:
        root = np.asarray(distance.jensenshannon(p, q, axis=1, **more))
        return root if params["root"] else root**2

    return Case(call if params["root"] else f"{call}**2", {"p": p, "q": q}, run, params, {"from": "probs"})


def wasserstein(d: Draws) -> Case:
    x, y = d.real(d.rows), d.real(d.width)
    return Case(
        "stats.wasserstein_distance(x, y)", {"x": x, "y": y}, lambda: stats.wasserstein_distance(x, y), whole=True
    )


def energy(d: Draws) -> Case:
    x, y = d.real(d.rows, 1), d.real(d.width, 1)
    call, run = "stats.energy_distance(x, y)**2", lambda: stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    return Case(call, {"x": x, "y": y}, run, whole=True)


def residual(name: str) -> Any:
    """A function of delta and a residual."""

    def case(d: Draws) -> Case:
        x, t, delta = d.real(d.rows), d.real(d.rows), d.number(0.2, 3)
        run = partial(getattr(special, name), delta, x - t)
        return Case(
            f"special.{name}(delta, prediction - target)", {"prediction": x, "target": t}, run, {"delta": delta}
        )

    return case


def gaussian(d: Draws) -> Case:
    mean, target, variance = d.real(d.rows), d.real(d.rows), d.positive(d.rows)
    data = {"mean": mean, "target": target, "variance": variance}
    run = lambda: -stats.norm.logpdf(target, mean, np.sqrt(variance))  # noqa: E731
    return Case("-stats.norm.logpdf(target, mean, sqrt(variance))", data, run, {"full": True})


def laplace(d: Draws) -> Case:
    mean, target, scale = d.real(d.rows), d.real(d.rows), d.positive(d.rows)
    data = {"mean": mean, "target": target, "scale": scale}
    return Case("-stats.laplace.logpdf(target, mean, scale)", data, lambda: -stats.laplace.logpdf(target, mean, scale))


def poisson(d: Draws) -> Case:
    rate, target = d.positive(d.rows), d.rng.poisson(3.0, d.rows).astype(float)
    run = lambda: -stats.poisson.logpmf(target, rate)  # noqa: E731
    data = {"prediction": rate, "target": target}
    return Case("-stats.poisson.logpmf(target, rate)", data, run, {"full": True}, {"from": "rate"})


def negative_binomial(d: Draws) -> Case:
    rate, target, dispersion = d.positive(d.rows), d.rng.poisson(3.0, d.rows).astype(float), d.number(0.2, 3)
    size = 1.0 / dispersion

    def run() -> Array:
        made = -stats.nbinom.logpmf(target, size, size / (size + rate))
        # Less the terms of the count alone.
        constant = special.gammaln(target + 1) + math.lgamma(size) - special.gammaln(target + size)
        return np.asarray(made - constant - target * math.log(size))

    data = {"prediction": rate, "target": target}
    call = "-stats.nbinom.logpmf(target, 1/dispersion, 1/(1 + dispersion rate)), less the terms of the count alone"
    return Case(call, data, run, {"dispersion": dispersion}, {"from": "rate"})


def log_expit(d: Draws) -> Case:
    label, score = d.rng.choice([-1.0, 1.0], d.rows), d.real(d.rows, scale=10.0)
    data = {"score": score, "label": label}
    return Case("-special.log_expit(label*score)", data, lambda: -special.log_expit(label * score))


def log_softmax(d: Draws) -> Case:
    z, labels = d.real(d.rows, d.width), d.rng.integers(0, d.width, d.rows)
    run = lambda: -special.log_softmax(z, axis=1)[np.arange(d.rows), labels]  # noqa: E731
    return Case("-special.log_softmax(logits, axis=1)[rows, labels]", {"logits": z, "labels": labels}, run)


CASES: tuple[tuple[str, Callable[[Draws], Case]], ...] = (
    ("euclidean", between("euclidean")),
    ("sqeuclidean", between("sqeuclidean")),
    ("manhattan", between("cityblock")),
    ("chebyshev", between("chebyshev")),
    ("minkowski", between("minkowski", lambda d: {"p": d.number(1, 5)})),
    ("standardized-euclidean", between("seuclidean", lambda d: {"V": d.positive(d.width)})),
    ("mahalanobis", between("mahalanobis", lambda d: {"VI": definite(d)})),
    ("cosine", between("cosine")),
    ("correlation", between("correlation")),
    ("hamming", between("hamming")),
    ("canberra", between("canberra")),
    ("bray-curtis", between("braycurtis")),
    ("entropy", entropy),
    ("entropy", entr),
    ("kl", kl),
    ("kl", rel_entr),
    ("generalized-kl", kl_div),
    ("js", js),
    ("wasserstein-1d", wasserstein),
    ("energy", energy),
    ("huber", residual("huber")),
    ("pseudo-huber", residual("pseudo_huber")),
    ("gaussian-nll", gaussian),
    ("laplace-nll", laplace),
    ("poisson", poisson),
    ("negative-binomial", negative_binomial),
    ("logistic", log_expit),
    ("ce", log_softmax),
)
