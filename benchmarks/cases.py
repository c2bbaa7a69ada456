"""The cases of the speed benchmark: each loss with its data, and the usual expression for it in other libraries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Data = dict[str, Any]
Formula = Callable[..., Any]
_QUICK = 50


@dataclass(frozen=True)
class Case:
    """A loss on data of one shape, and the same in other libraries: formulas of the namespace and the arrays."""

    loss: str
    shape: tuple[int, ...]
    data: Callable[..., Data]
    torch: Formula
    jax: Formula | None = None
    wrt: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.label or self.loss

    def sized(self, quick: bool) -> tuple[int, ...]:
        """The shape, of fewer rows when there is no time."""
        return (max(1, self.shape[0] // _QUICK), *self.shape[1:]) if quick else self.shape


def _normal(*names: str) -> Callable[..., Data]:
    return lambda rng, shape: {name: rng.standard_normal(shape, np.float32) for name in names}


def _classes(rng: np.random.Generator, shape: tuple[int, ...]) -> Data:
    return {"logits": 3 * rng.standard_normal(shape, np.float32), "labels": rng.integers(0, shape[1], shape[0])}


def _binary(first: str) -> Callable[..., Data]:
    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> Data:
        scores = rng.random(shape, np.float32) if first == "probs" else 3 * rng.standard_normal(shape, np.float32)
        return {first: scores, "target": (rng.random(shape, np.float32) < 0.3).astype(np.float32)}

    return make


def _simplexes(rng: np.random.Generator, shape: tuple[int, ...]) -> Data:
    made = (rng.standard_exponential(shape, np.float32) + np.float32(1e-6) for _ in "pq")
    return {name: x / x.sum(axis=1, keepdims=True) for name, x in zip("pq", made, strict=True)}


def _queries(low: int, high: int) -> Callable[..., Data]:
    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> Data:
        sizes = rng.integers(low, high + 1, shape[0] // low)
        query = np.repeat(np.arange(len(sizes)), sizes)[: shape[0]]
        relevance = rng.integers(0, 5, shape).astype(np.float32)
        return {"scores": rng.standard_normal(shape, np.float32), "relevance": relevance, "query": query}

    return make


def _torch_focal(torch: Any, logits: Any, target: Any) -> Any:
    # As torchvision.ops.sigmoid_focal_loss has it.
    p = torch.sigmoid(logits)
    ce = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    right = p * target + (1 - p) * (1 - target)
    return ((0.25 * target + 0.75 * (1 - target)) * ce * (1 - right) ** 2).mean()


def _torch_padded(torch: Any, scores: Any, relevance: Any, query: Any) -> Any:  # noqa: ARG001
    # Queries of one length: the ids need not be looked at.
    truth = torch.softmax(relevance.view(-1, 20), 1)
    return -(truth * torch.log_softmax(scores.view(-1, 20), 1)).sum(1).mean()


def _torch_segments(torch: Any, scores: Any, relevance: Any, query: Any) -> Any:
    count = int(query[-1]) + 1

    def log_softmax(x: Any) -> Any:
        top = torch.full((count,), -math.inf).scatter_reduce(0, query, x.detach(), "amax")
        gap = x - top[query]
        return gap - torch.zeros(count).index_add(0, query, gap.exp()).log()[query]

    return -(log_softmax(relevance).exp() * log_softmax(scores)).sum() / count


def _jax_ce(jax: Any, logits: Any, labels: Any) -> Any:
    own = jax.numpy.take_along_axis(logits, labels[:, None], 1)[:, 0]
    return (jax.nn.logsumexp(logits, axis=1) - own).mean()


def _jax_bce(jax: Any, logits: Any, target: Any) -> Any:
    no, yes = jax.nn.softplus(logits), jax.nn.softplus(-logits)
    return (target * yes + (1 - target) * no).mean()


def _torch_dice(_: Any, probs: Any, target: Any) -> Any:
    return 1 - 2 * (probs * target).sum() / (probs.sum() + target.sum())


def _torch(name: str, **options: Any) -> Formula:
    return lambda torch, *arrays: getattr(torch.nn.functional, name)(*arrays, **options)


_MILLION = 10**6
_CE = [(25 * _MILLION, 2), (5 * _MILLION, 10), (500_000, 100), (100_000, 1000), (1000, 50_000)]
CASES = [
    *(Case("ce", shape, _classes, _torch("cross_entropy"), _jax_ce) for shape in _CE),
    Case("bce", (50 * _MILLION,), _binary("logits"), _torch("binary_cross_entropy_with_logits"), _jax_bce),
    Case("focal", (50 * _MILLION,), _binary("logits"), _torch_focal, params={"alpha": 0.25, "gamma": 2.0}),
    Case("mse", (50 * _MILLION,), _normal("prediction", "target"), _torch("mse_loss"),
         lambda _, x, y: ((x - y) ** 2).mean()),
    Case("huber", (50 * _MILLION,), _normal("prediction", "target"), _torch("huber_loss")),
    Case("dice", (50 * _MILLION,), _binary("probs"), _torch_dice),
    Case("kl", (500_000, 100), _simplexes,
         lambda torch, p, q: torch.nn.functional.kl_div(q.log(), p, reduction="batchmean"), wrt="q"),
    Case("cosine", (500_000, 100), _normal("x", "y"),
         lambda torch, x, y: (1 - torch.nn.functional.cosine_similarity(x, y)).mean()),
    Case("triplet", (500_000, 100), _normal("anchor", "positive", "negative"), _torch("triplet_margin_loss")),
    Case("listnet", (_MILLION,), _queries(20, 20), _torch_padded, label="listnet, queries of 20"),
    Case("listnet", (_MILLION,), _queries(10, 30), _torch_segments, label="listnet, queries of 10 to 30"),
]  # fmt: skip


def _double(make: Callable[..., Data]) -> Callable[..., Data]:
    """The same data in float64: distributions that add up, to those who look closely."""

    def made(rng: np.random.Generator, shape: tuple[int, ...]) -> Data:
        data = {name: array.astype(np.float64) for name, array in make(rng, shape).items()}
        return {name: x / x.sum(axis=1, keepdims=True) for name, x in data.items()} if make is _simplexes else data

    return made


def _predicted(rng: np.random.Generator, shape: tuple[int, ...]) -> Data:
    return {"logits": _double(_simplexes)(rng, shape)["p"], "labels": rng.integers(0, shape[1], shape[0])}


def _sklearn(name: str, *, turned: bool = False) -> Formula:
    def call(*arrays: Any) -> float:
        from sklearn import metrics

        return float(getattr(metrics, name)(*(reversed(arrays) if turned else arrays)))

    return call


def _entropy(p: Any, q: Any) -> float:
    from scipy.stats import entropy

    return float(entropy(p, q, axis=1).mean())


# Small data: a loss, what computes it elsewhere with its library, the data, the link and the parameters.
SMALL: list[tuple[str, dict[str, tuple[str, Formula]], Callable[..., Data], str, dict[str, Any]]] = [
    ("ce", {"sklearn log_loss": ("sklearn", _sklearn("log_loss", turned=True))}, _predicted, "probs", {}),
    ("kl", {"scipy entropy": ("scipy", _entropy)}, _double(_simplexes), "", {}),
    ("mse", {"sklearn mean_squared_error": ("sklearn", _sklearn("mean_squared_error"))},
     _double(_normal("prediction", "target")), "", {}),
    ("quantile", {"sklearn mean_pinball_loss": ("sklearn", _sklearn("mean_pinball_loss", turned=True))},
     _double(_normal("prediction", "target")), "", {}),
]  # fmt: skip
