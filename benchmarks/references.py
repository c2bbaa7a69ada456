"""Make tests/references.csv: values and gradients of named libraries at named versions, to hold the tests against.

`python benchmarks/references.py [--out FILE]` needs torch, jax, optax, scikit-learn and scipy. A row's `call` is what
was run; its names are the row's inputs, parameters and options. Arithmetic is in float64, reductions are means.
"""

import argparse
import csv
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import torch
from scipy import special
from scipy.spatial import distance
from sklearn import metrics

jax.config.update("jax_enable_x64", True)
torch.set_default_dtype(torch.float64)

Arrays = dict[str, np.ndarray]
Settings = Mapping[str, Any]
COLUMNS = ("loss", "params", "options", "inputs", "value", "gradient", "library", "version", "call")
# What a run of the program is told for any loss; every other setting is a parameter of the loss itself.
OPTIONS = ("from", "class_weight", "sample_weight", "ignore_index", "label_smoothing")
# Inputs that are given, not predicted: no gradient is asked for them.
TRUTHS = ("target", "label", "labels")
ROWS, CLASSES = 5, 4


class Draws:
    """Random inputs, in few digits to keep the table readable, under the names by which the losses read them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def real(self, *shape: int) -> np.ndarray:
        """Numbers of either sign, most of them below 4 in size."""
        return np.round(2 * self.rng.standard_normal(shape), 3)

    def unit(self, *shape: int) -> np.ndarray:
        """Numbers between 0.05 and 0.95."""
        return np.round(self.rng.uniform(0.05, 0.95, shape), 3)

    def simplex(self) -> np.ndarray:
        """(ROWS, CLASSES) positive probabilities, in 64ths so that rows sum to one exactly."""
        return (1 + self.rng.multinomial(64 - CLASSES, np.full(CLASSES, 1 / CLASSES), ROWS)) / 64

    def label(self) -> np.ndarray:
        """(ROWS,) class indices, 0 and 2 among them."""
        return self.rng.permutation([0, 2, *self.rng.integers(0, CLASSES, ROWS - 2)])

    def holes(self) -> np.ndarray:
        """(ROWS,) class indices, two of them replaced by -100."""
        return np.where(self.rng.permutation(ROWS) < 2, -100, self.label())


DRAWS: Mapping[str, Callable[[Draws], Arrays]] = {
    "residual": lambda d: {"prediction": d.real(7), "target": d.real(7)},
    "table": lambda d: {"prediction": d.real(4, 3), "target": d.real(4, 3)},
    "counts": lambda d: {"prediction": d.real(6), "target": d.rng.poisson(3.0, 6).astype(float)},
    "score": lambda d: {"score": d.real(8), "label": d.rng.choice([-1.0, 1.0], 8)},
    "binary": lambda d: {"logits": d.real(8), "target": d.rng.integers(0, 2, 8).astype(float)},
    "soft binary": lambda d: {"logits": d.real(4, 3), "target": d.unit(4, 3)},
    "binary probs": lambda d: {"logits": d.unit(6), "target": d.unit(6)},
    "classes": lambda d: {"logits": d.real(ROWS, CLASSES), "labels": d.label()},
    "classes, holes": lambda d: {"logits": d.real(ROWS, CLASSES), "labels": d.holes()},
    "soft classes": lambda d: {"logits": d.real(ROWS, CLASSES), "labels": d.simplex()},
    "class probs": lambda d: {"logits": d.simplex(), "labels": d.label()},
    "log probs": lambda d: {"log_probs": np.log(d.simplex()), "labels": d.label()},
    "masses": lambda d: {"p": d.simplex()},
    "two masses": lambda d: {"p": d.simplex(), "q": d.simplex()},
    "pair": lambda d: {"x": d.real(ROWS, 3), "y": d.real(ROWS, 3)},
    "triplet": lambda d: {name: d.real(ROWS, 3) for name in ("anchor", "positive", "negative")},
}


def run_torch(call: str, names: Settings, wrt: Sequence[str]) -> tuple[float, Arrays]:
    """Run a call on tensors; gradients by reverse mode."""
    tensors = {name: torch.tensor(x) if isinstance(x, list | np.ndarray) else x for name, x in names.items()}
    leaves = [tensors[name].requires_grad_() for name in wrt]
    value = eval(call, {"torch": torch, "F": torch.nn.functional}, tensors)
    slopes = torch.autograd.grad(value, leaves)
    return value.item(), {name: slope.numpy() for name, slope in zip(wrt, slopes, strict=True)}


def run_optax(call: str, names: Settings, wrt: Sequence[str]) -> tuple[float, Arrays]:
    """Run a call on JAX arrays; gradients by reverse mode."""

    def loss(leaves: Mapping[str, jax.Array]) -> jax.Array:
        return eval(call, {"losses": optax.losses}, {**names, **leaves})

    value, slopes = jax.value_and_grad(loss)({name: jax.numpy.asarray(names[name]) for name in wrt})
    return value.item(), {name: np.asarray(slope) for name, slope in slopes.items()}


def run_numpy(call: str, names: Settings, _wrt: Sequence[str]) -> tuple[float, Arrays]:
    """Run a call on NumPy arrays; these libraries give no gradients."""
    modules = {"np": np, "metrics": metrics, "special": special, "distance": distance}
    # One dictionary of globals: a comprehension inside the call does not see locals.
    return float(eval(call, {**modules, **names})), {}


RUNNERS = {"torch": run_torch, "optax": run_optax, "scikit-learn": run_numpy, "scipy": run_numpy}


@dataclass(frozen=True)
class Case:
    """One call to one library: a row of the table for each of its settings."""

    loss: str
    draw: str
    call: str
    settings: Sequence[Settings] = ({},)

    def rows(self, library: str) -> Iterator[dict[str, str]]:
        """Yield the table's cells by column."""
        for number, setting in enumerate(self.settings):
            # Seeded by the row's own name, so that a new case leaves the others as they are.
            inputs = DRAWS[self.draw](Draws(zlib.crc32(f"{self.loss} {self.draw} {self.call} {number}".encode())))
            wrt = [name for name in inputs if name not in TRUTHS]
            value, slopes = RUNNERS[library](self.call, {**setting, **inputs}, wrt)
            yield {
                "loss": self.loss,
                "params": to_json({name: x for name, x in setting.items() if name not in OPTIONS}),
                "options": to_json({"reduction": "mean"} | {name: x for name, x in setting.items() if name in OPTIONS}),
                "inputs": to_json(inputs),
                "value": repr(value),
                "gradient": to_json(slopes) if slopes else "",
                "library": library,
                # Without the suffix of the build, such as +cpu.
                "version": version(library).split("+")[0],
                "call": self.call,
            }


def to_json(entries: Settings) -> str:
    """Write arrays as nested lists, floats as their repr."""
    lists = {name: x.tolist() if isinstance(x, np.ndarray) else x for name, x in entries.items()}
    return json.dumps(lists, allow_nan=False)


def each(name: str, *values: float) -> list[Settings]:
    """Return one setting for each value of one name."""
    return [{name: value} for value in values]


PROBS = {"from": "probs"}
WEIGHTS = {"class_weight": [0.3, 1.7, 2.2, 0.9]}
SHARES = {"sample_weight": [0.5, 1.25, 2.0, 0.7, 1.3]}
HOLES = {"ignore_index": -100}
SMOOTH = {"label_smoothing": 0.15}
TAUS, GAMMAS = each("tau", 0.1, 0.5, 0.85), each("gamma", 0.0, 1.5)
LOG = [{"log_input": True, "full": False}]
FOCAL = [{"gamma": 2.0, "alpha": 0.25}, {"gamma": 0.5, "alpha": 0.7}, {"gamma": 3.5, "alpha": 0.4}]
MARGINS = [{"p": 1, "margin": 0.6}, {"p": 2, "margin": 1.0}, {"p": 2, "margin": 2.5}]
TRIPLETS = [{"margin": 1.0, "p": 2.0, "swap": False}, {"margin": 2.5, "p": 3.0, "swap": True}]

# Shared openings and endings, to keep a case on one line.
BCE, CE = "F.binary_cross_entropy_with_logits(logits, target", "F.cross_entropy(logits, labels"
IGNORE, SMOOTHING = ", ignore_index=ignore_index", ", label_smoothing=label_smoothing"
TRIPLET = "F.triplet_margin_loss(anchor, positive, negative, margin=margin, p=p, swap=swap, eps=0)"
LOG_LOSS = "metrics.log_loss(labels, logits, labels=[0, 1, 2, 3]"
BRIER = "metrics.brier_score_loss(labels, logits, labels=[0, 1, 2, 3], scale_by_half=False"
ZERO_ONE = "metrics.zero_one_loss(labels, logits.argmax(axis=1)"
SHARED = ", sample_weight=sample_weight)"
METRICS = {"manhattan": "cityblock", "bray-curtis": "braycurtis"} | {
    name: name for name in ("euclidean", "sqeuclidean", "chebyshev", "cosine", "correlation", "canberra")
}

CASES: Mapping[str, Sequence[Case]] = {
    "torch": (
        Case("mse", "residual", "F.mse_loss(prediction, target)"),
        Case("mse", "table", "F.mse_loss(prediction, target)"),
        Case("mae", "residual", "F.l1_loss(prediction, target)"),
        Case("mae", "table", "F.l1_loss(prediction, target)"),
        Case("huber", "residual", "F.huber_loss(prediction, target, delta=delta)", each("delta", 0.3, 1.0, 2.5)),
        Case("smooth-l1", "residual", "F.smooth_l1_loss(prediction, target, beta=beta)", each("beta", 0.3, 1.0, 2.5)),
        Case("poisson", "counts", "F.poisson_nll_loss(prediction, target, log_input=log_input, full=full)", LOG),
        Case("bce", "binary", f"{BCE})"),
        Case("bce", "soft binary", f"{BCE}, pos_weight=torch.tensor(pos_weight))", each("pos_weight", 0.4, 2.3)),
        Case("bce", "binary probs", "F.binary_cross_entropy(logits, target)", [PROBS]),
        Case("ce", "classes", f"{CE})"),
        Case("ce", "classes", f"{CE}, class_weight)", [WEIGHTS]),
        Case("ce", "classes", f"{CE}{IGNORE})", each("ignore_index", 0, 2)),
        Case("ce", "classes", f"{CE}{SMOOTHING})", each("label_smoothing", 0.1, 0.35)),
        Case("ce", "classes", f"{CE}, class_weight{SMOOTHING})", [WEIGHTS | SMOOTH]),
        Case("ce", "classes, holes", f"{CE}{IGNORE})", [HOLES]),
        Case("ce", "classes, holes", f"{CE}, class_weight{IGNORE})", [WEIGHTS | HOLES]),
        Case("ce", "classes, holes", f"{CE}{IGNORE}{SMOOTHING})", [HOLES | SMOOTH]),
        Case("ce", "soft classes", f"{CE})"),
        Case("ce", "soft classes", f"{CE}{SMOOTHING})", [SMOOTH]),
        Case("nll", "log probs", "F.nll_loss(log_probs, labels)"),
        Case("nll", "log probs", "F.nll_loss(log_probs, labels, class_weight)", [WEIGHTS]),
        Case("multi-margin", "classes", "F.multi_margin_loss(logits, labels, p=p, margin=margin)", MARGINS),
        Case("kl", "two masses", "F.kl_div(q.log(), p, reduction='batchmean')"),
        Case("cosine", "pair", "(1 - F.cosine_similarity(x, y)).mean()"),
        Case("triplet", "triplet", TRIPLET, TRIPLETS),
    ),
    "optax": (
        Case("log-cosh", "residual", "losses.log_cosh(prediction, target).mean()"),
        Case("log-cosh", "table", "losses.log_cosh(prediction, target).mean()"),
        Case("hinge", "score", "losses.hinge_loss(score, label).mean()"),
        Case("perceptron", "score", "losses.perceptron_loss(score, label).mean()"),
        Case("focal", "binary", "losses.sigmoid_focal_loss(logits, target, gamma=gamma, alpha=alpha).mean()", FOCAL),
        Case("focal", "binary", "losses.sigmoid_focal_loss(logits, target, gamma=gamma).mean()", GAMMAS),
    ),
    "scikit-learn": (
        Case("quantile", "residual", "metrics.mean_pinball_loss(target, prediction, alpha=tau)", TAUS),
        Case("ce", "class probs", f"{LOG_LOSS})", [PROBS]),
        Case("ce", "class probs", f"{LOG_LOSS}{SHARED}", [PROBS | SHARES]),
        Case("brier", "class probs", f"{BRIER})", [PROBS]),
        Case("brier", "class probs", f"{BRIER}{SHARED}", [PROBS | SHARES]),
        Case("zero-one", "classes", f"{ZERO_ONE})"),
        Case("zero-one", "classes", f"{ZERO_ONE}{SHARED}", [SHARES]),
    ),
    "scipy": (
        Case("entropy", "masses", "special.entr(p).sum(axis=1).mean()"),
        Case("kl", "two masses", "special.rel_entr(p, q).sum(axis=1).mean()"),
        Case("generalized-kl", "two masses", "special.kl_div(p, q).sum(axis=1).mean()"),
        Case("js", "two masses", "(distance.jensenshannon(p, q, axis=1) ** 2).mean()"),
        *(Case(loss, "pair", f"np.mean([distance.{name}(*xy) for xy in zip(x, y)])") for loss, name in METRICS.items()),
        Case("minkowski", "pair", "np.mean([distance.minkowski(*xy, p) for xy in zip(x, y)])", each("p", 1.5, 3.0)),
    ),
}


def main() -> None:
    """Write the table."""
    table = Path(__file__).parent.parent / "tests" / "references.csv"
    parser = argparse.ArgumentParser(description="Make the table of outside values.")
    parser.add_argument("--out", type=Path, default=table, help="the file to write")
    out: Path = parser.parse_args().out
    rows = [row for library, cases in CASES.items() for case in cases for row in case.rows(library)]
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
