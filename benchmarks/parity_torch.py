"""PyTorch, and torchvision by its formulas, beside losscli's dialect of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.draws import Draws
from benchmarks.parity import Comparison, Numbers
from losscli.loss import get

FN = torch.nn.functional
Arrays = Mapping[str, np.ndarray[Any, Any]]
Call = Callable[..., torch.Tensor]
REDUCTIONS = ("mean", "sum", "none")
TIMES, RECORDED = 30, 3
# That the mean of kl_div is by entries is what is compared.
warnings.filterwarnings("ignore", "reduction: 'mean' divides")


@dataclass(frozen=True)
class Case:
    """Data, parameters and options of one call: ``run`` gets tensors by the inputs' names and the reduction."""

    call: str
    data: Arrays
    run: Call
    params: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    hess: bool = True


def reduced(rows: torch.Tensor, reduction: str) -> torch.Tensor:
    """Losses that a library returns row by row, as a caller reduces them."""
    return rows if reduction == "none" else getattr(rows, reduction)()


def numbers(loss: str, case: Case, reduction: str) -> Numbers:
    """What the call returns, and its slopes by reverse mode, once and twice."""
    tensors = {name: torch.tensor(array) for name, array in case.data.items()}
    names = [name for name in get(loss).reads.differentiable if name in tensors]
    for name in names:
        tensors[name].requires_grad_()
    value = case.run(**tensors, reduction=reduction)
    total = value.sum()
    slopes = torch.autograd.grad(total, [tensors[name] for name in names], create_graph=case.hess)
    gradient = {name: slope.detach().numpy() for name, slope in zip(names, slopes, strict=True)}
    hessian = {}
    if case.hess:
        hessian = {name: diagonal(slope, tensors[name]) for name, slope in zip(names, slopes, strict=True)}
    return Numbers(value.detach().numpy() if value.ndim else value.item(), gradient, hessian)


def diagonal(slope: torch.Tensor, x: torch.Tensor) -> Any:
    """The derivative of each slope by its own entry."""
    made = torch.zeros(x.numel(), dtype=x.dtype)
    for at, one in enumerate(slope.reshape(-1)):
        if one.requires_grad:
            again = torch.autograd.grad(one, x, retain_graph=True, allow_unused=True)[0]
            made[at] = 0.0 if again is None else again.reshape(-1)[at]
    return made.reshape(x.shape).numpy()


def comparisons(seed: int) -> Iterator[Comparison]:
    """Random calls of every function with a dialect."""
    for at, (loss, make) in enumerate(pair for pair in CASES):
        for time in range(TIMES):
            draws = Draws(np.random.default_rng([seed, at, time]), rows=(2, 6), width=(2, 5))
            case = make(draws)
            reduction = REDUCTIONS[time % 3]
            yield Comparison(
                loss,
                case.call,
                case.data,
                partial(numbers, loss, case, reduction),
                case.params,
                {"reduction": reduction, **case.options},
                record=time < RECORDED,
            )


def elements(function: Any, name: str, *, weight: bool = False, **params: tuple[float, float]) -> Any:
    """A loss of predictions and targets, entry by entry."""

    def make(d: Draws) -> Case:
        shape = d.shape()
        data = {"prediction": d.real(*shape), "target": d.real(*shape)}
        given = {key: d.number(*bounds) for key, bounds in params.items()}
        by = d.positive(*shape) if weight and d.coin() else None
        more = {} if by is None else {"weight": torch.tensor(by)}
        return Case(
            name,
            data,
            lambda prediction, target, reduction: function(prediction, target, reduction=reduction, **given, **more),
            given,
            {} if by is None else {"sample_weight": by},
        )

    return make


def bce(d: Draws) -> Case:
    shape = d.shape()
    target = d.unit(*shape) if d.coin() else d.rng.integers(0, 2, shape).astype(float)
    by = d.positive(*shape) if d.coin() else None
    weight = None if by is None else torch.tensor(by)
    options = {} if by is None else {"sample_weight": by}
    if d.coin():
        return Case(
            "F.binary_cross_entropy(logits, target, weight)",
            # Beyond 1 - 1e-12 the slope is no longer that of the value.
            {"logits": np.where(d.unit(*shape) < 0.3, 1e-14, d.unit(*shape)), "target": target},
            lambda logits, target, reduction: FN.binary_cross_entropy(logits, target, weight, reduction=reduction),
            {},
            {"from": "probs", **options},
            # Its second derivative is that of other clamps.
            hess=False,
        )
    share = d.number(0.2, 4)
    return Case(
        "F.binary_cross_entropy_with_logits(logits, target, weight, pos_weight=pos_weight)",
        {"logits": d.real(*shape, scale=6.0), "target": target},
        lambda logits, target, reduction: FN.binary_cross_entropy_with_logits(
            logits, target, weight, pos_weight=torch.tensor(share, dtype=torch.float64), reduction=reduction
        ),
        {"pos_weight": share},
        options,
    )


def sure(_: Draws) -> Case:
    """Probabilities of 0 and 1, right and wrong."""
    return Case(
        "F.binary_cross_entropy(logits, target)",
        {"logits": np.array([0.0, 0.0, 1.0, 1.0, 0.25]), "target": np.array([0.0, 1.0, 0.0, 1.0, 1.0])},
        lambda logits, target, reduction: FN.binary_cross_entropy(logits, target, reduction=reduction),
        {},
        {"from": "probs"},
        hess=False,
    )


def classes(d: Draws, data: Arrays, function: Any, call: str, *, soft: bool = False, smooth: bool = False) -> Case:
    options: dict[str, Any] = {}
    more: dict[str, Any] = {}
    if d.coin():
        options["class_weight"] = d.positive(d.width)
        more["weight"] = torch.tensor(options["class_weight"])
    if not soft and d.coin():
        # The last row stays: all ignored is a test of its own.
        data = {**data, "labels": np.where(np.arange(d.rows) < d.rng.integers(0, d.rows), -100, data["labels"])}
    if not soft and d.coin():
        options["ignore_index"] = more["ignore_index"] = int(data["labels"][0])
        data = {
            **data,
            "labels": np.where(data["labels"] == -100, (int(data["labels"][0]) + 1) % d.width, data["labels"]),
        }
    if smooth and d.coin():
        options["label_smoothing"] = more["label_smoothing"] = d.number(0.05, 0.4)

    def run(reduction: str, **tensors: Any) -> torch.Tensor:
        return function(*tensors.values(), reduction=reduction, **more)

    return Case(call, data, run, {}, options)


def ce(d: Draws) -> Case:
    soft = d.coin()
    labels = d.simplex() if soft else d.labels()
    call = "F.cross_entropy(logits, labels, weight, ignore_index, label_smoothing)"
    data = {"logits": d.real(d.rows, d.width), "labels": labels}
    return classes(d, data, FN.cross_entropy, call, soft=soft, smooth=True)


def pixels(d: Draws) -> Case:
    shape = (d.rows, d.width, 2, 3)
    data = {"logits": d.real(*shape), "labels": d.rng.integers(0, d.width, (d.rows, 2, 3))}
    data["labels"][0, 0, 0] = -100
    weight = d.positive(d.width)
    return Case(
        "F.cross_entropy(logits, labels, weight)",
        data,
        lambda logits, labels, reduction: FN.cross_entropy(logits, labels, torch.tensor(weight), reduction=reduction),
        {},
        {"class_weight": weight},
        hess=False,
    )


def nothing(d: Draws) -> Case:
    data = {"logits": d.real(d.rows, d.width), "labels": np.full(d.rows, -100)}
    return Case(
        "F.cross_entropy(logits, labels)",
        data,
        lambda logits, labels, reduction: FN.cross_entropy(logits, labels, reduction=reduction),
        hess=False,
    )


def nll(d: Draws) -> Case:
    data = {"log_probs": np.log(d.simplex()), "labels": d.labels()}
    return classes(d, data, FN.nll_loss, "F.nll_loss(log_probs, labels, weight, ignore_index)")


def multi_margin(d: Draws) -> Case:
    data = {"logits": d.real(d.rows, d.width), "labels": d.labels()}
    params = {"p": int(d.rng.integers(1, 3)), "margin": d.number(0.2, 2.5)}
    weight = d.positive(d.width) if d.coin() else None
    return Case(
        "F.multi_margin_loss(logits, labels, p=p, margin=margin, weight=weight)",
        data,
        lambda logits, labels, reduction: FN.multi_margin_loss(
            logits, labels, **params, weight=None if weight is None else torch.tensor(weight), reduction=reduction
        ),
        params,
        {} if weight is None else {"class_weight": weight},
        # "derivative for aten::multi_margin_loss_backward is not implemented"
        hess=False,
    )


def multilabel_margin(d: Draws) -> Case:
    lists = d.rng.permuted(np.tile(np.arange(d.width), (d.rows, 1)), axis=1)
    lists = np.where(np.arange(d.width) < d.rng.integers(0, d.width, (d.rows, 1)), lists, -1)
    return Case(
        "F.multilabel_margin_loss(logits, labels)",
        {"logits": d.real(d.rows, d.width), "labels": lists},
        lambda logits, labels, reduction: FN.multilabel_margin_loss(logits, labels, reduction=reduction),
        hess=False,
    )


def multilabel_soft_margin(d: Draws) -> Case:
    return Case(
        "F.multilabel_soft_margin_loss(logits, target)",
        {"logits": d.real(d.rows, d.width), "target": d.unit(d.rows, d.width)},
        lambda logits, target, reduction: FN.multilabel_soft_margin_loss(logits, target, reduction=reduction),
    )


def kl(d: Draws) -> Case:
    p, q = d.simplex(), d.simplex()
    by_log = d.coin()

    def run(p: torch.Tensor, q: torch.Tensor, reduction: str) -> torch.Tensor:
        # Entry by entry for no reduction: losscli has a loss per row.
        each = {"reduction": reduction, "log_target": by_log}
        found = FN.kl_div(q if by_log else q.log(), p, **each)
        return found.sum(1) if reduction == "none" else found

    options = {"from": "log-probs" if by_log else "probs"}
    data = {"p": np.log(p), "q": np.log(q)} if by_log else {"p": p, "q": q}
    call = "F.kl_div(q, p, log_target=True)" if by_log else "F.kl_div(q.log(), p)"
    return Case(call, data, run, {}, options)


def entropy(d: Draws) -> Case:
    return Case(
        "torch.special.entr(p).sum(-1)",
        {"p": d.simplex()},
        lambda p, reduction: reduced(torch.special.entr(p).sum(-1), reduction),
        {},
        {"from": "probs"},
    )


def poisson(d: Draws) -> Case:
    shape, log_input = d.shape(), d.coin()
    params = {"full": d.coin()}
    data = {
        "prediction": d.real(*shape) if log_input else np.where(d.unit(*shape) < 0.2, 1e-9, d.positive(*shape)),
        "target": d.rng.poisson(3.0, shape).astype(float),
    }
    return Case(
        f"F.poisson_nll_loss(prediction, target, log_input={log_input}, full=full)",
        data,
        lambda prediction, target, reduction: FN.poisson_nll_loss(
            prediction, target, log_input=log_input, **params, reduction=reduction
        ),
        params,
        {"from": "log-rate" if log_input else "rate"},
    )


def negative_binomial(d: Draws) -> Case:
    shape, dispersion = d.shape(), d.number(0.1, 3)

    def run(prediction: torch.Tensor, target: torch.Tensor, reduction: str) -> torch.Tensor:
        made = torch.distributions.NegativeBinomial(1 / dispersion, logits=prediction + math.log(dispersion))
        return reduced(-made.log_prob(target), reduction)

    data = {"prediction": d.real(*shape), "target": d.rng.poisson(3.0, shape).astype(float)}
    call = "-torch.distributions.NegativeBinomial(1/dispersion, logits=prediction + log(dispersion)).log_prob(target)"
    return Case(call, data, run, {"dispersion": dispersion}, {"from": "log-rate"})


def gaussian(d: Draws) -> Case:
    shape, params = d.shape(), {"full": d.coin()}
    if d.coin():
        params["eps"] = d.number(0.5, 2)
    return Case(
        "F.gaussian_nll_loss(mean, target, variance, full=full, eps=eps)",
        {"mean": d.real(*shape), "target": d.real(*shape), "variance": d.positive(*shape)},
        lambda mean, target, variance, reduction: FN.gaussian_nll_loss(
            mean, target, variance, **params, reduction=reduction
        ),
        params,
    )


def laplace(d: Draws) -> Case:
    shape = d.shape()
    return Case(
        "-torch.distributions.Laplace(mean, scale).log_prob(target)",
        {"mean": d.real(*shape), "target": d.real(*shape), "scale": d.positive(*shape)},
        lambda mean, target, scale, reduction: reduced(
            -torch.distributions.Laplace(mean, scale).log_prob(target), reduction
        ),
    )


def logistic(d: Draws) -> Case:
    shape = d.shape()
    return Case(
        "F.soft_margin_loss(score, label)",
        {"score": d.real(*shape, scale=4.0), "label": d.signs(*shape)},
        lambda score, label, reduction: FN.soft_margin_loss(score, label, reduction=reduction),
    )


def far(_: Draws) -> Case:
    """A score whose exponential is infinite."""
    data = {"score": np.array([-800.0, 2.0, -1.0]), "label": np.array([1.0, -1.0, 1.0])}
    return replace(logistic(Draws(np.random.default_rng(0), rows=(2, 6), width=(2, 5))), data=data, hess=False)


def hinge_embedding(d: Draws) -> Case:
    shape, margin = d.shape(), d.number(0.5, 3)
    distance = d.positive(*shape)
    distance.flat[0] = margin
    return Case(
        "F.hinge_embedding_loss(distance, label, margin=margin)",
        {"distance": distance, "label": d.signs(*shape)},
        lambda distance, label, reduction: FN.hinge_embedding_loss(distance, label, margin=margin, reduction=reduction),
        {"margin": margin},
    )


def margin_ranking(d: Draws) -> Case:
    margin, label = d.number(0, 2), d.signs(d.rows)
    x1, x2 = d.real(d.rows), d.real(d.rows)
    # One of them just meets the margin.
    margin, x1[0], x2[0] = 0.5, 0.5 * label[0] + 1.0, 1.0
    return Case(
        "F.margin_ranking_loss(x1, x2, label, margin=margin)",
        {"x1": x1, "x2": x2, "label": label},
        lambda x1, x2, label, reduction: FN.margin_ranking_loss(x1, x2, label, margin=margin, reduction=reduction),
        {"margin": margin},
    )


def cosine_embedding(d: Draws) -> Case:
    margin = d.number(-0.5, 0.5)
    scale = 1e-5 if d.coin() else 1.0
    return Case(
        "F.cosine_embedding_loss(x, y, label, margin=margin)",
        {"x": d.real(d.rows, 3) * scale, "y": d.real(d.rows, 3), "label": d.signs(d.rows)},
        lambda x, y, label, reduction: FN.cosine_embedding_loss(x, y, label, margin=margin, reduction=reduction),
        {"margin": margin},
    )


def cosine(d: Draws) -> Case:
    scale = 1e-9 if d.coin() else 1.0
    return Case(
        "1 - F.cosine_similarity(x, y)",
        {"x": d.real(d.rows, 3) * scale, "y": d.real(d.rows, 3)},
        lambda x, y, reduction: reduced(1 - FN.cosine_similarity(x, y), reduction),
    )


def distance(p: float | None) -> Any:
    def make(d: Draws) -> Case:
        power = d.number(1.5, 4) if p is None else p
        shown = "p" if p is None else f"{p:g}"
        x, y = d.real(d.rows, 3), d.real(d.rows, 3)
        if power >= 2 and math.isfinite(power):
            # Coincident up to what is added.
            y[0] = x[0]
        return Case(
            f"F.pairwise_distance(x, y, p={shown})",
            {"x": x, "y": y},
            lambda x, y, reduction: reduced(FN.pairwise_distance(x, y, p=power), reduction),
            {"p": power} if p is None else {},
        )

    return make


def triplet(d: Draws) -> Case:
    params = {"margin": d.number(0.5, 3), "p": float(d.rng.choice([1.5, 2.0, 3.0])), "swap": d.coin()}
    data = {name: d.real(d.rows, 3) for name in ("anchor", "positive", "negative")}
    if params["p"] >= 2:
        data["positive"][0] = data["anchor"][0]
    return Case(
        "F.triplet_margin_loss(anchor, positive, negative, margin=margin, p=p, swap=swap)",
        data,
        lambda anchor, positive, negative, reduction: FN.triplet_margin_loss(
            anchor, positive, negative, **params, reduction=reduction
        ),
        params,
    )


def focal(d: Draws) -> Case:
    shape = d.shape()
    target = d.unit(*shape) if d.coin() else d.rng.integers(0, 2, shape).astype(float)
    params = {"gamma": float(d.rng.choice([0.0, 0.5, 1.0, 2.0, 3.5]))}
    if d.coin():
        params["alpha"] = d.number(0.1, 0.9)
    return Case(
        "torchvision.ops.sigmoid_focal_loss(logits, target, alpha=alpha, gamma=gamma)",
        {"logits": d.real(*shape), "target": target},
        lambda logits, target, reduction: sigmoid_focal_loss(logits, target, **params, reduction=reduction),
        params,
        hess=params["gamma"] not in (0.0, 1.0),
    )


def sigmoid_focal_loss(
    logits: torch.Tensor, target: torch.Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> torch.Tensor:
    """torchvision.ops.sigmoid_focal_loss of 0.28, by its formula."""
    p = torch.sigmoid(logits)
    surprise = FN.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p_t = p * target + (1 - p) * (1 - target)
    return reduced((alpha * target + (1 - alpha) * (1 - target)) * surprise * (1 - p_t) ** gamma, reduction)


def boxes(name: str) -> Any:
    def make(d: Draws) -> Case:
        scale = float(d.rng.choice([1e-2, 1.0, 100.0]))
        corners = {key: d.real(d.rows, 2, scale=0.7) for key in ("prediction", "target")}
        data = {key: np.concatenate([low, low + d.positive(d.rows, 2)], axis=1) * scale for key, low in corners.items()}
        return Case(
            name,
            data,
            lambda prediction, target, reduction: reduced(BOXES[name](prediction, target), reduction),
            hess=False,
        )

    return make


def overlap(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The shared area and the union, as torchvision.ops._utils has them."""
    start, end = torch.max(a[:, :2], b[:, :2]), torch.min(a[:, 2:], b[:, 2:])
    shared = torch.zeros(len(a), dtype=a.dtype)
    meet = (end > start).all(1)
    shared[meet] = (end - start)[meet].prod(1)
    return shared, (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared


def hull(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The lengths of the box around both."""
    return torch.max(a[:, 2:], b[:, 2:]) - torch.min(a[:, :2], b[:, :2])


def iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    shared, union = overlap(a, b)
    return 1 - shared / union


def giou(a: torch.Tensor, b: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    shared, union = overlap(a, b)
    whole = hull(a, b).prod(1)
    return 1 - (shared / (union + eps) - (whole - union) / (whole + eps))


def diou(a: torch.Tensor, b: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    shared, union = overlap(a, b)
    apart = (a[:, :2] + a[:, 2:]) / 2 - (b[:, :2] + b[:, 2:]) / 2
    return 1 - shared / (union + eps) + (apart**2).sum(1) / ((hull(a, b) ** 2).sum(1) + eps)


def ciou(a: torch.Tensor, b: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    shared, union = overlap(a, b)
    own, other = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
    v = 4 / math.pi**2 * (torch.atan(other[:, 0] / other[:, 1]) - torch.atan(own[:, 0] / own[:, 1])) ** 2
    with torch.no_grad():
        alpha = v / (1 - shared / (union + eps) + v + eps)
    return diou(a, b, eps) + alpha * v


BOXES = {
    "1 - torchvision.ops.box_iou(prediction, target).diagonal()": iou,
    "torchvision.ops.generalized_box_iou_loss(prediction, target)": giou,
    "torchvision.ops.distance_box_iou_loss(prediction, target)": diou,
    "torchvision.ops.complete_box_iou_loss(prediction, target)": ciou,
}


def ctc(d: Draws) -> Case:
    """Rows of two to five frames more than they have labels; 0 is the blank."""
    count = d.rng.integers(0, 4, d.rows)
    frames = 2 * int(count.max()) + int(d.rng.integers(1, 4))
    labels = np.where(
        np.arange(max(1, count.max())) < count[:, None], d.rng.integers(1, 5, (d.rows, max(1, count.max()))), -1
    )
    lengths = np.minimum(frames, 2 * count + d.rng.integers(1, 4, d.rows))

    def run(logits: torch.Tensor, reduction: str, **_: Any) -> torch.Tensor:
        scores = FN.log_softmax(logits, dim=-1).transpose(0, 1)
        given = torch.tensor(np.maximum(labels, 1)), torch.tensor(lengths), torch.tensor(count)
        return FN.ctc_loss(scores, *given, blank=0, reduction=reduction)

    return Case(
        "F.ctc_loss(log_softmax(logits, -1).transpose(0, 1), labels, lengths, label_lengths, blank=0)",
        {"logits": d.real(d.rows, frames, 5), "labels": labels, "lengths": lengths},
        run,
        {"blank": 0},
        hess=False,
    )


CASES: tuple[tuple[str, Callable[[Draws], Case]], ...] = (
    ("mse", elements(FN.mse_loss, "F.mse_loss(prediction, target, weight=weight)", weight=True)),
    ("mae", elements(FN.l1_loss, "F.l1_loss(prediction, target, weight=weight)", weight=True)),
    (
        "huber",
        elements(
            FN.huber_loss, "F.huber_loss(prediction, target, delta=delta, weight=weight)", weight=True, delta=(0.3, 3)
        ),
    ),
    ("smooth-l1", elements(FN.smooth_l1_loss, "F.smooth_l1_loss(prediction, target, beta=beta)", beta=(0.3, 3))),
    ("bce", bce),
    ("bce", sure),
    ("ce", ce),
    ("ce", pixels),
    ("ce", nothing),
    ("nll", nll),
    ("multi-margin", multi_margin),
    ("multilabel-margin", multilabel_margin),
    ("multilabel-soft-margin", multilabel_soft_margin),
    ("kl", kl),
    ("entropy", entropy),
    ("poisson", poisson),
    ("negative-binomial", negative_binomial),
    ("gaussian-nll", gaussian),
    ("laplace-nll", laplace),
    ("logistic", logistic),
    ("logistic", far),
    ("hinge-embedding", hinge_embedding),
    ("margin-ranking", margin_ranking),
    ("cosine-embedding", cosine_embedding),
    ("cosine", cosine),
    ("euclidean", distance(2.0)),
    ("manhattan", distance(1.0)),
    ("chebyshev", distance(math.inf)),
    ("minkowski", distance(None)),
    ("triplet", triplet),
    ("focal", focal),
    *zip(("iou", "giou", "diou", "ciou"), map(boxes, BOXES), strict=True),
    ("ctc", ctc),
)
