"""Keras, on JAX, beside losscli's dialect of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.draws import Draws
from benchmarks.jax_cases import Case, Make, compared
from benchmarks.parity import Comparison

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras.src.backend.common import dtypes

keras.backend.set_floatx("float64")
# Elsewhere than on TensorFlow it would take means in single precision, also of doubles.
dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
LOSSES = keras.losses
REDUCTIONS = {"mean": "sum_over_batch_size", "sum": "sum", "none": "none"}


def comparisons(seed: int) -> Iterator[Comparison]:
    """Random calls of every loss with a dialect."""
    return compared(CASES, seed)


def called(
    name: str, given: str, reduction: str, y_true: Any, y_pred: Any, weight: Any = None, **arguments: Any
) -> Any:
    """The loss of a class of keras; entries stand below each other where they are rows of their own."""
    loss = getattr(LOSSES, name)(reduction=REDUCTIONS[reduction], **arguments)
    if given == "entries" and (y_pred.ndim == 1 or reduction != "mean"):
        shape = y_pred.shape
        found = loss(y_true.reshape(-1, 1), y_pred.reshape(-1, 1), weight)
        return found.reshape(shape) if reduction == "none" else found
    return loss(y_true, y_pred, weight)


def weights(d: Draws) -> Any:
    """A weight per row, now and then one of 0; or none."""
    if d.coin():
        return None
    made = d.positive(d.rows)
    made[0] = 0.0 if d.coin() else made[0]
    return made


def entries(
    name: str,
    draw: Callable[[Draws, tuple[int, ...]], dict[str, Any]],
    params: Callable[[Draws], dict[str, Any]] = lambda _: {},
) -> Make:
    """A loss of predictions (first in the data) and targets, entry by entry."""

    def make(d: Draws) -> Case:
        weight, given = weights(d), params(d)
        # With a weight per row a table is one of rows, without it the entries may be taken one by one.
        shape = (d.rows,) if weight is not None or d.coin() else (d.rows, d.width)

        def run(reduction: str, **arrays: Any) -> Any:
            y_pred, y_true = arrays.values()
            return called(name, "entries", reduction, y_true, y_pred, weight, **given)

        options = {} if weight is None else {"sample_weight": weight}
        data = draw(d, shape)
        return Case(f"keras.losses.{name}()({', '.join([*data][::-1])}, sample_weight)", data, run, given, options)

    return make


def regression(d: Draws, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"prediction": d.real(*shape), "target": d.real(*shape)}


def relative(d: Draws, shape: tuple[int, ...]) -> dict[str, Any]:
    target = d.real(*shape)
    target.flat[0] = 1e-9
    return {"prediction": d.real(*shape), "target": target}


def growth(d: Draws, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"prediction": np.maximum(d.real(*shape), -0.9), "target": np.maximum(d.real(*shape), -0.9)}


def counts(d: Draws, shape: tuple[int, ...]) -> dict[str, Any]:
    rate = d.positive(*shape)
    rate.flat[0] = 1e-8
    return {"prediction": rate, "target": d.rng.poisson(3.0, shape).astype(float)}


def margins(d: Draws, shape: tuple[int, ...]) -> dict[str, Any]:
    score, label = d.real(*shape), d.signs(*shape)
    score.flat[0] = label.flat[0]
    return {"score": score, "label": label}


def some_clipped(d: Draws, p: Any) -> Any:
    """Probabilities, some of them beyond the bounds, and none at them: there slopes are halves."""
    wild = d.rng.choice([0.0, 1e-9, 1.0 - 1e-9, 1.0], p.shape)
    return np.where(d.rng.random(p.shape) < 0.2, wild, p)


def binary(name: str, params: Callable[[Draws], dict[str, Any]] = lambda _: {}, *, hess: bool = True) -> Make:
    """A loss of probabilities or logits, and targets."""

    def make(d: Draws) -> Case:
        weight, logits, smoothing = weights(d), d.coin(), d.number(0.05, 0.4) if d.coin() else 0.0
        shape = (d.rows,) if weight is not None or d.coin() else (d.rows, d.width)
        given = params(d)
        more = {"apply_class_balancing": True} if "alpha" in given else {}

        def run(reduction: str, **arrays: Any) -> Any:
            y_pred, y_true = arrays.values()
            smooth = {"from_logits": logits, "label_smoothing": smoothing}
            return called(name, "entries", reduction, y_true, y_pred, weight, **smooth, **given, **more)

        options: dict[str, Any] = {"from": "logits"} if logits else {}
        options |= {} if weight is None else {"sample_weight": weight}
        options |= {"label_smoothing": smoothing} if smoothing else {}
        x = d.real(*shape, scale=8.0) if logits else some_clipped(d, d.unit(*shape))
        call = (
            f"keras.losses.{name}(from_logits={logits}, label_smoothing=label_smoothing)(target, logits, sample_weight)"
        )
        return Case(call, {"logits": x, "target": d.binary(*shape)}, run, given, options, hess and logits)

    return make


def focal(d: Draws) -> dict[str, Any]:
    params = {"gamma": float(d.rng.choice([1.0, 2.0, 3.5]))}
    return {**params, "alpha": d.number(0.1, 0.9)} if d.coin() else params


def multilabel(d: Draws) -> Case:
    weight, logits, smoothing = weights(d), d.coin(), d.number(0.05, 0.4) if d.coin() else 0.0
    x = d.real(d.rows, d.width, scale=4.0) if logits else some_clipped(d, d.unit(d.rows, d.width))

    def run(reduction: str, **arrays: Any) -> Any:
        y_pred, y_true = arrays.values()
        more = {"from_logits": logits, "label_smoothing": smoothing}
        return called("BinaryCrossentropy", "rows", reduction, y_true, y_pred, weight, **more)

    options: dict[str, Any] = {"from": "logits" if logits else "probs", "label_smoothing": smoothing}
    options |= {} if weight is None else {"sample_weight": weight}
    call = f"keras.losses.BinaryCrossentropy(from_logits={logits}, label_smoothing=label_smoothing)(target, logits)"
    return Case(call, {"logits": x, "target": d.binary(d.rows, d.width)}, run, {}, options, logits)


def distributions(d: Draws) -> Any:
    """Rows of probabilities, one of them with a class that is clipped."""
    made = d.simplex()
    made[0] = [1.0 - 2.0**-30, 2.0**-30, 0.0] if d.coin() else made[0]
    return made


def classes(name: str, params: Callable[[Draws], dict[str, Any]] = lambda _: {}, *, first: str = "logits") -> Make:
    """A loss of probabilities or logits per class, and classes or soft labels."""

    def make(d: Draws) -> Case:
        given, weight = params(d), weights(d)
        logits = first == "logits" and d.coin()
        sparse = name == "CategoricalCrossentropy" and d.coin()
        soft = not sparse and d.coin()
        smoothing = d.number(0.05, 0.4) if not sparse and d.coin() else 0.0
        ignored = int(d.rng.integers(0, d.width)) if sparse and d.coin() else None
        called_name = f"Sparse{name}" if sparse else name
        more: dict[str, Any] = {"from_logits": logits, **given}
        if sparse:
            more["ignore_class"] = ignored
        else:
            more["label_smoothing"] = smoothing

        def run(reduction: str, **arrays: Any) -> Any:
            y_pred, labels = arrays.values()
            y_true = labels if sparse or soft else keras.ops.one_hot(labels, d.width, dtype="float64")
            return called(called_name, "rows", reduction, y_true, y_pred, weight, **more)

        options: dict[str, Any] = {"from": "logits"} if logits else {}
        options |= {} if weight is None else {"sample_weight": weight}
        options |= {"label_smoothing": smoothing} if smoothing else {}
        options |= {} if ignored is None else {"ignore_index": ignored}
        x = d.real(d.rows, d.width, scale=6.0) if logits else distributions(d)
        labels = d.simplex() if soft else d.labels()
        if ignored is not None:
            labels[0] = (ignored + 1) % d.width
        call = f"keras.losses.{called_name}({', '.join(f'{key}={one}' for key, one in more.items())})"
        return Case(f"{call}(labels, {first}, sample_weight)", {first: x, "labels": labels}, run, given, options)

    return make


def nothing(d: Draws) -> Case:
    """All labels are ignored."""
    return Case(
        "keras.losses.SparseCategoricalCrossentropy(ignore_class=1)(labels, logits)",
        {"logits": d.simplex(), "labels": np.ones(d.rows, dtype=int)},
        lambda logits, labels, reduction: called(
            "SparseCategoricalCrossentropy", "rows", reduction, labels, logits, ignore_class=1
        ),
        {},
        {"ignore_index": 1},
    )


def gce(d: Draws) -> Case:
    weight, params = weights(d), {"q": d.number(0.1, 0.9)}
    return Case(
        "keras.losses.CategoricalGeneralizedCrossEntropy(q=q)(labels, logits, sample_weight)",
        {"logits": d.simplex(), "labels": d.labels()},
        lambda logits, labels, reduction: called(
            "CategoricalGeneralizedCrossEntropy", "rows", reduction, labels, logits, weight, **params
        ),
        params,
        {} if weight is None else {"sample_weight": weight},
    )


def categorical_hinge(d: Draws) -> Case:
    weight, logits, labels = weights(d), d.real(d.rows, d.width), d.labels()
    # All rivals below 0, two that tie, and a lead of just the margin.
    logits[0] = np.where(np.arange(d.width) == labels[0], 0.5, -2.0)
    logits[1] = np.where(np.arange(d.width) == labels[1], -0.5, 2.25)
    logits[2] = np.where(np.arange(d.width) == labels[2], 1.5, -3.0)
    logits[2, (labels[2] + 1) % d.width] = 0.5
    return Case(
        "keras.losses.CategoricalHinge()(keras.ops.one_hot(labels, classes), logits, sample_weight)",
        {"logits": logits, "labels": labels},
        lambda logits, labels, reduction: called(
            "CategoricalHinge",
            "rows",
            reduction,
            keras.ops.one_hot(labels, d.width, dtype="float64"),
            logits,
            weight,
        ),
        {},
        {} if weight is None else {"sample_weight": weight},
    )


def pairs(name: str, *, vectors: bool = False) -> Make:
    """A loss of two vectors or distributions per row."""

    def make(d: Draws) -> Case:
        weight = weights(d)
        names = ("x", "y") if vectors else ("p", "q")
        data = {one: d.real(d.rows, 3) if vectors else distributions(d) for one in names}
        if vectors and d.coin():
            data["x"][0] *= 1e-9

        def run(reduction: str, **arrays: Any) -> Any:
            y_true, y_pred = arrays.values()
            return called(name, "rows", reduction, y_true, y_pred, weight)

        options = {} if weight is None else {"sample_weight": weight}
        return Case(f"keras.losses.{name}()({', '.join(names)}, sample_weight)", data, run, {}, options)

    return make


def overlap(name: str, *params: str) -> Make:
    """A loss of one mask."""

    def make(d: Draws) -> Case:
        given = {one: d.number(0.1, 1.5) for one in params}
        empty = d.rng.random() < 0.2
        data = {"probs": np.zeros(7) if empty else d.unit(7), "target": np.zeros(7) if empty else d.binary(7)}
        return Case(
            f"keras.losses.{name}({', '.join(f'{one}={one}' for one in params)})(target, probs)",
            data,
            lambda probs, target, reduction: getattr(LOSSES, name)(**given)(target, probs),  # noqa: ARG005
            given,
            reductions=("mean",),
        )

    return make


def circle(d: Draws) -> Case:
    params = {"gamma": d.number(2, 20), "margin": d.number(0.1, 0.6)}
    x = d.rng.standard_normal((6, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Case(
        "keras.losses.Circle(gamma=gamma, margin=margin)(labels, embeddings)",
        {"embeddings": np.round(x, 3), "labels": d.rng.integers(0, 3, 6)},
        lambda embeddings, labels, reduction: LOSSES.Circle(**params)(labels, embeddings),  # noqa: ARG005
        params,
        hess=False,
        reductions=("mean",),
    )


def ctc(d: Draws) -> Case:
    labels = np.array([[1, -1], [d.rng.integers(1, 3), 2]])

    def run(logits: Any, labels: Any, reduction: str) -> Any:
        return called("CTC", "rows", reduction, jnp.maximum(labels, 0), logits)

    data = {"logits": d.real(2, 5, 3), "labels": labels}
    return Case("keras.losses.CTC()(numpy.maximum(labels, 0), logits)", data, run, hess=False)


def penalty(name: str, **names: str) -> Make:
    """A penalty on weights; ``names`` are its arguments, and the parameters or factors that they get."""

    def make(d: Draws) -> Case:
        params = {one: d.number(0.1, 2) for one in names.values() if one}
        given = {key: params.get(one, 1.0) for key, one in names.items()}
        call = f"keras.regularizers.{name}({', '.join(f'{key}={one or 1.0}' for key, one in names.items())})(weights)"
        return Case(
            call,
            {"weights": d.real(5)},
            lambda weights, reduction: getattr(keras.regularizers, name)(**given)(weights),  # noqa: ARG005
            params,
            reductions=("sum",),
        )

    return make


def wrong(d: Draws) -> Case:
    """The predicted class by the largest score, the first of those that tie."""
    logits = d.rng.integers(-2, 3, (d.rows, d.width)).astype(float)

    def run(logits: Any, labels: Any, reduction: str) -> Any:
        rows = 1.0 - keras.metrics.sparse_categorical_accuracy(labels, logits)
        return rows if reduction == "none" else getattr(jnp, reduction)(rows)

    call = "1 - keras.metrics.sparse_categorical_accuracy(labels, logits)"
    return Case(call, {"logits": logits, "labels": d.labels()}, run, hess=False)


def wrong_outcome(d: Draws) -> Case:
    p = np.where(d.rng.random(d.rows) < 0.3, 0.5, d.unit(d.rows))

    def run(logits: Any, target: Any, reduction: str) -> Any:
        rows = 1.0 - keras.metrics.binary_accuracy(target, logits)
        return rows if reduction == "none" else getattr(jnp, reduction)(rows)

    data = {"logits": p, "target": d.rng.integers(0, 2, d.rows)}
    return Case("1 - keras.metrics.binary_accuracy(target, logits)", data, run, hess=False)


CASES: tuple[tuple[str, Make], ...] = (
    ("mse", entries("MeanSquaredError", regression)),
    ("mae", entries("MeanAbsoluteError", regression)),
    ("huber", entries("Huber", regression, lambda d: {"delta": d.number(0.3, 3)})),
    ("log-cosh", entries("LogCosh", regression)),
    ("mape", entries("MeanAbsolutePercentageError", relative)),
    ("msle", entries("MeanSquaredLogarithmicError", growth)),
    ("poisson", entries("Poisson", counts)),
    ("hinge", entries("Hinge", margins)),
    ("squared-hinge", entries("SquaredHinge", margins)),
    ("bce", binary("BinaryCrossentropy")),
    ("focal", binary("BinaryFocalCrossentropy", focal)),
    ("multilabel-soft-margin", multilabel),
    ("ce", classes("CategoricalCrossentropy")),
    ("ce", nothing),
    ("log-loss", classes("CategoricalCrossentropy", first="probs")),
    (
        "softmax-focal",
        classes("CategoricalFocalCrossentropy", lambda d: {"gamma": d.number(1, 3), "alpha": d.number(0.1, 2)}),
    ),
    ("gce", gce),
    ("multiclass-hinge", categorical_hinge),
    ("kl", pairs("KLDivergence")),
    ("cross-entropy-probs", pairs("CategoricalCrossentropy")),
    ("cosine", pairs("CosineSimilarity", vectors=True)),
    ("dice", overlap("Dice")),
    ("tversky", overlap("Tversky", "alpha", "beta")),
    ("circle", circle),
    ("ctc", ctc),
    ("l1-penalty", penalty("L1", l1="")),
    ("l2-penalty", penalty("L2", l2="")),
    ("elastic-net", penalty("L1L2", l1="l1", l2="l2")),
    ("zero-one", wrong),
    ("binary-zero-one", wrong_outcome),
)
