"""Random data for the objectives of gradient boosting: a gradient and a Hessian per row, which no caller gets to see.

They are worked out from trees with a leaf for every row: see the modules of the libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.parity import Comparison, Numbers
from losscli.loss import get

Array = np.ndarray[Any, Any]
TIMES, RECORDED = 20, 2


class Draws:
    """Random inputs in 64ths, which single precision holds."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.rows = int(rng.integers(4, 9))

    def real(self, *shape: int, scale: float = 2.0) -> Array:
        """Numbers of either sign."""
        return np.asarray(np.round(64 * scale * self.rng.standard_normal(shape or self.rows)) / 64)

    def positive(self) -> Array:
        """Numbers above 0."""
        return np.asarray(np.round(64 * self.rng.lognormal(size=self.rows) + 1) / 64)

    def counts(self) -> Array:
        """Counts, not all of them 0."""
        return self.rng.poisson(2.0, self.rows) + np.eye(self.rows)[0]

    def hard(self) -> Array:
        """0 and 1, both of them."""
        return self.rng.permutation((np.arange(self.rows) % 2).astype(float))

    def apart(self) -> dict[str, Array]:
        """Predictions and targets, none of them met: there is no telling a Hessian without a gradient."""
        gap = self.rng.choice([-1.0, 1.0], self.rows) * self.positive()
        target = self.real()
        return {"prediction": target + gap, "target": target}

    def query(self) -> dict[str, Array]:
        """Scores and grades of two or three queries, one after the other."""
        sizes = self.rng.integers(1, 8, int(self.rng.integers(2, 4)))
        self.rows = int(sizes.sum())
        query = np.repeat(np.arange(len(sizes)), sizes)
        return {"scores": self.real(), "relevance": self.rng.integers(0, 4, self.rows).astype(float), "query": query}

    def coin(self) -> bool:
        """One way or the other."""
        return bool(self.rng.integers(2))

    def number(self, low: float, high: float) -> float:
        """One number in 64ths between two others."""
        return float(np.round(64 * self.rng.uniform(low, high)) / 64)


@dataclass(frozen=True)
class Case:
    """An objective or a metric and its parameters, and the same data for both sides.

    ``score`` and ``label`` are what the library reads, ``query`` the sizes of its queries. ``metric``: the value of
    this metric is compared, else slopes. ``bar`` is what single precision leaves.
    """

    options: Mapping[str, Any]
    data: Mapping[str, Array]
    score: Array
    label: Array
    params: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    query: Array | None = None
    metric: str = ""
    bar: float = 2e-6
    weighted: bool = True

    @property
    def call(self) -> str:
        """The library's parameters."""
        return f"train({dict(self.options)})"


Slopes = Callable[[Case, Array | None], tuple[Array, Array]]
Metric = Callable[[Case, Array | None], float]
Made = Sequence[tuple[str, Callable[[Draws], Case]]]


def comparisons(seed: int, cases: Made, slopes: Slopes, metric: Metric) -> Iterator[Comparison]:
    """Random calls of every objective with a dialect."""
    for at, (loss, make) in enumerate(cases):
        for time in range(TIMES):
            draws = Draws(np.random.default_rng([seed, at, time]))
            case = make(draws)
            weight = draws.positive() if case.weighted and draws.coin() else None
            wrt = get(loss).reads.differentiable[0]
            options = {"reduction": "mean" if case.metric else "sum", **case.more}
            if weight is not None:
                options["sample_weight"] = weight

            def theirs(case: Case = case, weight: Array | None = weight, wrt: str = wrt) -> Numbers:
                if case.metric:
                    return Numbers(metric(case, weight))
                first, second = slopes(case, weight)
                return Numbers(None, {wrt: first}, {wrt: second})

            record = time < RECORDED
            yield Comparison(loss, case.call, case.data, theirs, case.params, options, case.bar, record)


def regression(
    options: Mapping[str, Any], metric: str = "", bar: float = 2e-6, **params: tuple[str, float, float]
) -> Callable[[Draws], Case]:
    """Predictions and targets; of each parameter, by our name, theirs and its bounds."""

    def case(d: Draws) -> Case:
        data = d.apart()
        given = {ours: d.number(*bounds) for ours, (_, *bounds) in params.items()}
        theirs = {name: given[ours] for ours, (name, *_) in params.items()}
        score, label = data["prediction"], data["target"]
        return Case({**options, **theirs}, data, score, label, given, metric=metric, bar=bar)

    return case


def rates(
    options: Mapping[str, Any],
    draw: Callable[[Draws], Array],
    metric: str = "",
    bar: float = 2e-6,
    **params: tuple[str, float, float],
) -> Callable[[Draws], Case]:
    """Logarithms of rates, and what came of them."""

    def case(d: Draws) -> Case:
        raw = d.real(scale=1.0)
        # At a rate of 1 a count of 1 has no gradient.
        data = {"prediction": np.where(raw == 0.0, 0.5, raw), "target": draw(d)}
        given = {ours: d.number(*bounds) for ours, (_, *bounds) in params.items()}
        theirs = {name: given[ours] for ours, (name, *_) in params.items()}
        made = {"from": "log-rate"}
        score, label = data["prediction"], data["target"]
        return Case({**options, **theirs}, data, score, label, given, made, metric=metric, bar=bar)

    return case


def margin(options: Mapping[str, Any], metric: str = "", bar: float = 2e-6) -> Callable[[Draws], Case]:
    """Scores and labels of -1 and 1, there 0 and 1."""

    def case(d: Draws) -> Case:
        data = {"score": d.real(), "label": 2.0 * d.hard() - 1.0}
        return Case(options, data, data["score"], (data["label"] + 1.0) / 2.0, metric=metric, bar=bar)

    return case


def binary(
    options: Mapping[str, Any], weight: str = "", *, soft: bool = False, metric: str = "", bar: float = 2e-6
) -> Callable[[Draws], Case]:
    """Logits and targets; ``weight`` is their name of the weight of positives."""

    def case(d: Draws) -> Case:
        target = np.round(64 * d.rng.uniform(0, 1, d.rows)) / 64 if soft else d.hard()
        data = {"logits": d.real(scale=3.0), "target": target}
        # Soft targets hold 1 too.
        target[0] = 1.0
        share = d.number(0.2, 4)
        theirs = {weight: share} if weight else {}
        given = {"pos_weight": share} if weight else {}
        return Case({**options, **theirs}, data, data["logits"], target, given, metric=metric, bar=bar)

    return case


def classes(options: Mapping[str, Any], metric: str = "", bar: float = 2e-6, *, ties: bool = False) -> Any:
    """Logits of three or four classes, and labels."""

    def case(d: Draws) -> Case:
        width = int(d.rng.integers(3, 5))
        z, labels = d.real(d.rows, width), d.rng.permutation(np.arange(d.rows) % width)
        if ties:
            z[0], z[1] = 1.0, 1.0
        data = {"logits": z, "labels": labels}
        return Case({**options, "num_class": width}, data, z, labels.astype(float), metric=metric, bar=bar)

    return case
