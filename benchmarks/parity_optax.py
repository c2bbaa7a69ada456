"""Optax beside losscli's dialect of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.draws import Draws
from benchmarks.jax_cases import Case, Make, compared, reduced
from benchmarks.parity import Comparison

LOSSES = optax.losses


def comparisons(seed: int) -> Iterator[Comparison]:
    """Random calls of every function with a dialect."""
    return compared(CASES, seed)


def each(
    call: str,
    function: Callable[..., Any],
    draw: Callable[[Draws], Mapping[str, Any]],
    params: Callable[[Draws], Mapping[str, Any]] = lambda _: {},
    *,
    options: Mapping[str, Any] | None = None,
    hess: bool = True,
) -> Make:
    """A function of the inputs in the order of the data, which returns a loss per row."""

    def make(d: Draws) -> Case:
        given = params(d)

        def run(reduction: str, **arrays: Any) -> Any:
            return reduced(function(*arrays.values(), **given), reduction)

        return Case(call, draw(d), run, given, options or {}, hess)

    return make


def shape(d: Draws) -> tuple[int, ...]:
    """That of a list or of a table."""
    return (d.rows, d.width) if d.coin() else (d.rows,)


def regression(d: Draws) -> Mapping[str, Any]:
    made = shape(d)
    return {"prediction": d.real(*made), "target": d.real(*made)}


def binary(d: Draws) -> Mapping[str, Any]:
    made = shape(d)
    return {"logits": d.real(*made, scale=5.0), "target": d.binary(*made)}


def table(d: Draws) -> Mapping[str, Any]:
    return {"logits": d.real(d.rows, d.width), "target": d.binary(d.rows, d.width)}


def margin(meet: float) -> Callable[[Draws], Mapping[str, Any]]:
    """Scores, one of which is at the kink."""

    def draw(d: Draws) -> Mapping[str, Any]:
        label = d.signs(d.rows)
        score = d.real(d.rows)
        score[0] = meet * label[0]
        return {"score": score, "label": label}

    return draw


def vectors(d: Draws) -> Mapping[str, Any]:
    return {"x": d.real(d.rows, 3), "y": d.real(d.rows, 3)}


def tied(gap: float) -> Callable[[Draws], Mapping[str, Any]]:
    """Scores, in one row two rivals that tie, in another one that trails the true class by just so much."""

    def draw(d: Draws) -> Mapping[str, Any]:
        logits, labels = d.real(d.rows, d.width), d.labels()
        logits[0] = np.where(np.arange(d.width) == labels[0], -0.5, 2.25)
        logits[1] = np.where(np.arange(d.width) == labels[1], 1.5, -3.0)
        logits[1, (labels[1] + 1) % d.width] = 1.5 - gap
        return {"logits": logits, "labels": labels}

    return draw


def classes(d: Draws) -> Mapping[str, Any]:
    return {"logits": d.real(d.rows, d.width), "labels": d.labels()}


def ce(d: Draws) -> Case:
    smoothing = d.number(0.05, 0.4) if d.coin() else 0.0
    weight = d.positive(d.rows) if d.coin() else None
    soft = d.coin() or smoothing > 0.0
    labels = d.simplex() if soft else d.labels()

    def run(logits: Any, labels: Any, reduction: str) -> Any:
        if soft:
            rows = LOSSES.softmax_cross_entropy(logits, LOSSES.smooth_labels(labels, smoothing))
        else:
            rows = LOSSES.softmax_cross_entropy_with_integer_labels(logits, labels)
        if weight is None:
            return reduced(rows, reduction)
        return (
            rows * weight
            if reduction == "none"
            else (rows * weight).sum() / (weight.sum() if reduction == "mean" else 1.0)
        )

    call = (
        "softmax_cross_entropy(logits, smooth_labels(labels, label_smoothing))"
        if soft
        else "softmax_cross_entropy_with_integer_labels(logits, labels)"
    )
    options: dict[str, Any] = {"label_smoothing": smoothing} if smoothing else {}
    if weight is not None:
        options["sample_weight"] = weight
    return Case(f"optax.losses.{call}", {"logits": d.real(d.rows, d.width), "labels": labels}, run, {}, options)


def poly1(d: Draws) -> Case:
    epsilon, soft = d.number(-1, 4), d.coin()

    def run(logits: Any, labels: Any, reduction: str) -> Any:
        mass = labels if soft else jax.nn.one_hot(labels, d.width, dtype=logits.dtype)
        return reduced(LOSSES.poly_loss_cross_entropy(logits, mass, epsilon=epsilon), reduction)

    data = {"logits": d.real(d.rows, d.width), "labels": d.simplex() if soft else d.labels()}
    return Case(
        "optax.losses.poly_loss_cross_entropy(logits, labels, epsilon=epsilon)", data, run, {"epsilon": epsilon}
    )


def focal(d: Draws) -> Mapping[str, Any]:
    params = {"gamma": float(d.rng.choice([0.0, 0.5, 1.0, 2.0, 3.5]))}
    return {**params, "alpha": d.number(0.1, 0.9)} if d.coin() else params


def kl(d: Draws) -> Case:
    by_log = d.coin()
    data = {"p": d.simplex(), "q": d.simplex()}
    if by_log:
        return Case(
            "optax.losses.kl_divergence_with_log_targets(q, p)",
            {name: np.log(array) for name, array in data.items()},
            lambda p, q, reduction: reduced(LOSSES.kl_divergence_with_log_targets(q, p), reduction),
            {},
            {"from": "log-probs"},
        )
    return Case(
        "optax.losses.kl_divergence(jnp.log(q), p)",
        data,
        lambda p, q, reduction: reduced(LOSSES.kl_divergence(jnp.log(q), p), reduction),
    )


def overlap(call: str, function: Callable[..., Any], names: tuple[str, ...] = (), **fixed: float) -> Make:
    """A loss of one mask."""

    def make(d: Draws) -> Case:
        params = {"smooth": d.number(0.1, 3)} if d.coin() else {}
        params |= {name: d.number(0.1, 1.5) for name in names}
        return Case(
            call,
            {"probs": d.real(7), "target": d.binary(7)},
            lambda probs, target, reduction: function(probs, target, **fixed, **params),  # noqa: ARG005
            params,
            reductions=("mean",),
        )

    return make


def one_mask(logits: Any, target: Any, **params: float) -> Any:
    return LOSSES.dice_loss(logits[None, :, None], target[None, :, None], **params)[0]


def ntxent(d: Draws) -> Case:
    params = {"temperature": d.number(0.05, 1)}
    x = d.real(6, 3)
    labels = np.arange(6) if d.rng.random() < 0.2 else d.rng.integers(0, 3, 6)
    if d.coin():
        x[0] *= 1e-9
    return Case(
        "optax.losses.ntxent(embeddings, labels, temperature=temperature)",
        {"embeddings": x, "labels": labels},
        lambda embeddings, labels, reduction: LOSSES.ntxent(embeddings, labels, **params),  # noqa: ARG005
        params,
        hess=False,
        reductions=("mean",),
    )


def triplet(d: Draws) -> Case:
    params = {"margin": d.number(0.5, 3), "p": float(d.rng.choice([2.0, 3.0, 4.0]))}
    data = {name: d.real(d.rows, 3) for name in ("anchor", "positive", "negative")}
    if params["p"] == 2.0:
        data["positive"][0] = data["anchor"][0]

    def run(anchor: Any, positive: Any, negative: Any, reduction: str) -> Any:
        rows = LOSSES.triplet_margin_loss(
            anchor, positive, negative, norm_degree=int(params["p"]), margin=params["margin"]
        )
        return reduced(rows, reduction)

    call = "optax.losses.triplet_margin_loss(anchor, positive, negative, norm_degree=p, margin=margin)"
    return Case(call, data, run, params, hess=params["p"] != 3.0)


def listnet(d: Draws) -> Case:
    def run(scores: Any, relevance: Any, query: Any, reduction: str) -> Any:  # noqa: ARG001
        fn = {"mean": jnp.mean, "sum": jnp.sum, "none": None}[reduction]
        return LOSSES.ranking_softmax_loss(scores.reshape(2, 3), relevance.reshape(2, 3), reduce_fn=fn)

    data = {"scores": d.real(6), "relevance": d.rng.integers(0, 4, 6).astype(float), "query": np.repeat([0, 1], 3)}
    return Case("optax.losses.ranking_softmax_loss(scores, relevance)", data, run)


def ctc(d: Draws) -> Case:
    blank = int(d.rng.integers(0, 2))
    labels = np.full((2, 2), 2)
    labels[:, 0] = 1 - blank if d.coin() else 2
    labels[0, 1] = -1
    given = {"logits": d.real(2, 5, 3), "labels": labels, "lengths": np.array([5, 4])}

    def run(logits: Any, labels: Any, lengths: Any, reduction: str) -> Any:
        paddings = (jnp.arange(5) >= lengths[:, None]).astype(logits.dtype)
        rows = LOSSES.ctc_loss(
            logits, paddings, jnp.maximum(labels, 0), (labels < 0).astype(logits.dtype), blank_id=blank
        )
        return reduced(rows, reduction)

    call = "optax.losses.ctc_loss(logits, logit_paddings, labels, label_paddings, blank_id=blank)"
    return Case(call, given, run, {"blank": blank}, hess=False)


def sigmoid(logits: Any, target: Any) -> Any:
    return LOSSES.sigmoid_binary_cross_entropy(logits, target)


CASES: tuple[tuple[str, Make], ...] = (
    ("mse", each("optax.losses.squared_error(prediction, target)", LOSSES.squared_error, regression)),
    ("half-mse", each("optax.losses.l2_loss(prediction, target)", LOSSES.l2_loss, regression)),
    (
        "huber",
        each(
            "optax.losses.huber_loss(prediction, target, delta=delta)",
            LOSSES.huber_loss,
            regression,
            lambda d: {"delta": d.number(0.3, 3)},
        ),
    ),
    ("log-cosh", each("optax.losses.log_cosh(prediction, target)", LOSSES.log_cosh, regression)),
    ("bce", each("optax.losses.sigmoid_binary_cross_entropy(logits, target)", sigmoid, binary)),
    (
        "multilabel-soft-margin",
        each(
            "optax.losses.sigmoid_binary_cross_entropy(logits, target).mean(-1)",
            lambda logits, target: sigmoid(logits, target).mean(-1),
            table,
        ),
    ),
    (
        "logistic",
        each(
            "optax.losses.sigmoid_binary_cross_entropy(score, (label + 1)/2)",
            lambda score, label: sigmoid(score, (label + 1) / 2),
            margin(0.0),
        ),
    ),
    (
        "focal",
        each(
            "optax.losses.sigmoid_focal_loss(logits, target, alpha=alpha, gamma=gamma)",
            LOSSES.sigmoid_focal_loss,
            binary,
            focal,
        ),
    ),
    (
        "poly1-bce",
        each(
            "optax.losses.poly_loss_cross_entropy(stack([logits, 0*logits]), stack([target, 1 - target]), epsilon)",
            lambda logits, target, epsilon: LOSSES.poly_loss_cross_entropy(
                jnp.stack([logits, jnp.zeros_like(logits)], -1), jnp.stack([target, 1 - target], -1), epsilon=epsilon
            ),
            binary,
            lambda d: {"epsilon": d.number(-1, 4)},
        ),
    ),
    ("hinge", each("optax.losses.hinge_loss(score, label)", LOSSES.hinge_loss, margin(1.0))),
    ("perceptron", each("optax.losses.perceptron_loss(score, label)", LOSSES.perceptron_loss, margin(0.0))),
    ("ce", ce),
    ("poly1", poly1),
    (
        "multiclass-hinge",
        each("optax.losses.multiclass_hinge_loss(logits, labels)", LOSSES.multiclass_hinge_loss, tied(1.0)),
    ),
    (
        "multiclass-perceptron",
        each("optax.losses.multiclass_perceptron_loss(logits, labels)", LOSSES.multiclass_perceptron_loss, tied(0.0)),
    ),
    (
        "sparsemax",
        # Second derivatives of its projection are not those of the loss where the support changes.
        each("optax.losses.multiclass_sparsemax_loss(logits, labels)", LOSSES.multiclass_sparsemax_loss, classes),
    ),
    ("kl", kl),
    (
        "generalized-kl",
        each(
            "optax.losses.generalized_kl_divergence(jnp.log(q), p)",
            lambda p, q: LOSSES.generalized_kl_divergence(jnp.log(q), p),
            lambda d: {"p": d.positive(d.rows, d.width), "q": d.positive(d.rows, d.width)},
        ),
    ),
    (
        "cross-entropy-probs",
        each(
            "optax.losses.softmax_cross_entropy(q, jax.nn.softmax(p))",
            lambda p, q: LOSSES.softmax_cross_entropy(q, jax.nn.softmax(p)),
            lambda d: {"p": d.real(d.rows, d.width), "q": d.real(d.rows, d.width)},
        ),
    ),
    ("cosine", each("optax.losses.cosine_distance(x, y)", LOSSES.cosine_distance, vectors)),
    ("triplet", triplet),
    ("nt-xent", ntxent),
    ("listnet", listnet),
    ("ctc", ctc),
    (
        "dice",
        overlap(
            "optax.losses.binary_dice_loss(probs[None], target[None], smooth=smooth)",
            lambda logits, target, **params: LOSSES.binary_dice_loss(logits[None], target[None], **params)[0],
        ),
    ),
    (
        "jaccard",
        overlap(
            "optax.losses.dice_loss(probs[None, :, None], target[None, :, None], smooth=smooth, alpha=1, beta=1)",
            one_mask,
            alpha=1.0,
            beta=1.0,
        ),
    ),
    (
        "tversky",
        overlap(
            "optax.losses.dice_loss(probs[None, :, None], target[None, :, None], smooth=smooth, alpha=alpha,"
            " beta=beta)",
            one_mask,
            ("alpha", "beta"),
        ),
    ),
)
