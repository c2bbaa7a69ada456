"""More cases of the speed benchmark: the other losses that torch offers, or writes in a line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.cases import Case, Data, _binary, _classes, _normal, _simplexes, _torch

Shape = tuple[int, ...]
_MILLION = 10**6
_FLAT = (10 * _MILLION,)
_ROWS = (200_000, 50)


def _signs(*names: str, lengths: bool = False) -> Any:
    def make(rng: np.random.Generator, shape: Shape) -> Data:
        made = _normal(*names)(rng, shape)
        rows = shape[:1] if lengths else shape
        return {**made, "label": np.where(rng.random(rows) < 0.5, -1.0, 1.0).astype(np.float32)}

    return make


def _counts(rng: np.random.Generator, shape: Shape) -> Data:
    return {
        "prediction": rng.standard_normal(shape, np.float32),
        "target": rng.poisson(3.0, shape).astype(np.float32),
    }


def _spreads(rng: np.random.Generator, shape: Shape) -> Data:
    made = _normal("mean", "target")(rng, shape)
    return {**made, "variance": (0.1 + rng.random(shape, np.float32)).astype(np.float32)}


def _log_probs(rng: np.random.Generator, shape: Shape) -> Data:
    z = rng.standard_normal(shape)
    z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
    return {"log_probs": np.minimum(z, 0.0).astype(np.float32), "labels": rng.integers(0, shape[1], shape[0])}


def _lists(rng: np.random.Generator, shape: Shape) -> Data:
    labels = np.full(shape, -1)
    labels[:, :2] = np.argsort(rng.random(shape), axis=1)[:, :2]
    return {"logits": rng.standard_normal(shape, np.float32), "labels": labels}


def _distance(p: float) -> Any:
    return lambda torch, x, y: torch.nn.functional.pairwise_distance(x, y, p=p, eps=0.0).mean()


def _js(torch: Any, p: Any, q: Any) -> Any:
    m = ((p + q) / 2).log()
    kl = torch.nn.functional.kl_div
    return (kl(m, p, reduction="batchmean") + kl(m, q, reduction="batchmean")) / 2


MORE = [
    Case("mae", _FLAT, _normal("prediction", "target"), _torch("l1_loss")),
    Case("smooth-l1", _FLAT, _normal("prediction", "target"), _torch("smooth_l1_loss")),
    Case("quantile", _FLAT, _normal("prediction", "target"),
         lambda torch, x, y: torch.maximum(0.9 * (y - x), -0.1 * (y - x)).mean(), params={"tau": 0.9}),
    Case("log-cosh", _FLAT, _normal("prediction", "target"),
         lambda torch, x, y: ((x - y) + torch.nn.functional.softplus(-2 * (x - y)) - math.log(2)).mean()),
    Case("pseudo-huber", _FLAT, _normal("prediction", "target"),
         lambda torch, x, y: (torch.sqrt(1 + (x - y) ** 2) - 1).mean()),
    Case("expectile", _FLAT, _normal("prediction", "target"),
         lambda torch, x, y: (torch.where(x < y, 0.8, 0.2) * (x - y) ** 2).mean(), params={"tau": 0.8}),
    Case("poisson", _FLAT, _counts, _torch("poisson_nll_loss")),
    Case("gaussian-nll", _FLAT, _spreads, _torch("gaussian_nll_loss")),
    Case("logistic", _FLAT, _signs("score"), _torch("soft_margin_loss")),
    Case("hinge", _FLAT, _signs("score"), lambda torch, x, y: torch.clamp(1 - x * y, min=0).mean()),
    Case("squared-hinge", _FLAT, _signs("score"), lambda torch, x, y: (torch.clamp(1 - x * y, min=0) ** 2).mean()),
    Case("exponential", _FLAT, _signs("score"), lambda torch, x, y: torch.exp(-x * y).mean()),
    Case("hinge-embedding", _FLAT, _signs("distance"), _torch("hinge_embedding_loss")),
    Case("margin-ranking", _FLAT, _signs("x1", "x2"), _torch("margin_ranking_loss")),
    Case("nll", (200_000, 50), _log_probs, _torch("nll_loss")),
    Case("multi-margin", (_MILLION, 10), _classes, _torch("multi_margin_loss")),
    Case("multilabel-margin", (100_000, 20), _lists, _torch("multilabel_margin_loss")),
    Case("multilabel-soft-margin", (200_000, 20),
         lambda rng, shape: _binary("logits")(rng, shape), _torch("multilabel_soft_margin_loss")),
    Case("js", _ROWS, _simplexes, _js),
    Case("euclidean", _ROWS, _normal("x", "y"), _distance(2.0)),
    Case("manhattan", _ROWS, _normal("x", "y"), _distance(1.0)),
    Case("minkowski", _ROWS, _normal("x", "y"), _distance(3.0), params={"p": 3.0}),
    Case("chebyshev", _ROWS, _normal("x", "y"), _distance(math.inf)),
    Case("cosine-embedding", _ROWS, _signs("x", "y", lengths=True), _torch("cosine_embedding_loss")),
]  # fmt: skip
