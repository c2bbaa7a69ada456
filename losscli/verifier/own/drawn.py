"""Inputs for a function that came without data: drawn from the names and annotations of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from losscli.errors import UsageError
from losscli.verifier.own.functions import Claimant, RaisedError, Values

Data = dict[str, Values]

# What parameters are usually called: class labels, distributions, shares, and what must be positive.
LABELS = {"label", "labels", "class_index", "classes", "index", "indices", "idx", "y_idx", "target_ids", "label_ids"}
DISTRIBUTIONS = {"p", "q", "prob", "probs", "probability", "probabilities", "distribution", "softmax_out"}
SCORES = {
    "logits",
    "logit",
    "scores",
    "z",
    "outputs",
    "output",
    "predictions",
    "prediction",
    "input",
    "preds",
    "y_pred",
}
TRUTHS = {"y", "t", "target", "targets", "y_true", "truth"}
POSITIVE = {"scale", "sigma", "std", "var", "variance", "rate", "lam", "weight", "weights", "sample_weight", "w"}
ROWS, CLASSES = 5, 3
_TRUTHS = ("labels", "numbers", "outcomes")
TIES, FAR = "ties", "far"
FARTHEST = (50.0, 1000.0)  # beyond the largest numbers otherwise, and beyond what exponentials survive
_REAL = ("numbers", "positive", "distribution")
IGNORED = -100  # the label that PyTorch leaves out unless told otherwise


@dataclass(frozen=True)
class Drawing:
    """One way of filling the inputs of a function: a kind of numbers and a shape for each, in words and as arrays."""

    said: str
    shapes: dict[str, tuple[str, tuple[int, ...]]]

    def draw(self, seed: int, scale: float = 1.0) -> Data:
        """The inputs, real numbers of about a scale."""
        rng = np.random.default_rng(seed)
        classes = max((shape[1] for _, shape in self.shapes.values() if len(shape) > 1), default=2)
        return {name: _fill(rng, kind, shape, scale, classes) for name, (kind, shape) in self.shapes.items()}

    def edges(self, seed: int) -> Iterator[tuple[str, Data]]:
        """Inputs that not every function is made for, by what they try: ties, a single row, ignored labels, far out."""
        data = self.draw(seed)
        if any(kind == "numbers" and shape for kind, shape in self.shapes.values()):
            yield TIES, {name: self._level(name, array) for name, array in data.items()}
            yield TIES, {name: self._rounded(name, array) for name, array in data.items()}
        shared = self._shared(data)
        if shared:
            yield TIES, {**data, **shared}
        if any(len(shape) > 0 and shape[0] > 1 for _, shape in self.shapes.values()):
            alone = {name: (kind, (1, *shape[1:]) if shape else ()) for name, (kind, shape) in self.shapes.items()}
            yield "single row", Drawing(self.said, alone).draw(seed)
        labels = [name for name, (kind, shape) in self.shapes.items() if kind == "labels" and shape]
        if labels:
            dropped = {name: np.where(np.arange(len(data[name])) % 3 == 1, IGNORED, data[name]) for name in labels}
            yield "ignored labels", {**data, **dropped}
        if any(kind == "numbers" for kind, _ in self.shapes.values()):
            for at, scale in enumerate(FARTHEST):
                yield FAR, self.draw(seed + at, scale)

    def _shared(self, data: Data) -> Data:
        """Inputs of one kind and shape, every other row of which is the same in all of them."""
        first: dict[tuple[str, tuple[int, ...]], str] = {}
        made: Data = {}
        for name, like in self.shapes.items():
            if like[0] in _REAL and first.setdefault(like, name) != name:
                rows = np.arange(len(np.atleast_1d(data[name]))).reshape(-1, *[1] * (len(like[1]) - 1)) % 2 == 0
                made[name] = np.where(rows, data[first[like]], data[name]).reshape(like[1])
        return made

    def _level(self, name: str, array: Values) -> Values:
        """One number throughout each row, the same in all inputs: entries that tie, inputs that coincide."""
        kind, shape = self.shapes[name]
        if kind == "distribution":
            return np.full(shape, 1.0 / shape[-1] if len(shape) > 1 else 0.5)
        if kind != "numbers" or not shape:
            return array
        return np.broadcast_to(np.linspace(-1.0, 1.0, shape[0]).reshape(-1, *[1] * (len(shape) - 1)), shape).copy()

    def _rounded(self, name: str, array: Values) -> Values:
        """Numbers on a coarse grid: some of a row tie, some are zero, some coincide with another input's."""
        return np.round(2.0 * array) / 2.0 if self.shapes[name][0] == "numbers" else array

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """The bounds of the inputs that have any."""
        known = {"distribution": (0.0, 1.0), "positive": (0.0, np.inf)}
        return {name: known[kind] for name, (kind, _) in self.shapes.items() if kind in known}


def _fill(rng: np.random.Generator, kind: str, shape: tuple[int, ...], scale: float, classes: int) -> Values:
    if kind == "labels":
        return rng.integers(0, classes, shape)
    if kind == "distribution":
        made = rng.gamma(np.clip(1.0 / scale, 0.8, 50.0), size=shape) + 1e-3
        return np.asarray(made / made.sum(axis=-1, keepdims=True) if len(shape) > 1 else rng.uniform(0.02, 0.98, shape))
    if kind == "outcomes":
        return rng.integers(0, 2, shape).astype(np.float64)
    if kind == "positive":
        return np.asarray(rng.gamma(2.0, size=shape) + 0.1)
    return np.asarray(rng.normal(size=shape) * scale)


def drawings(
    parameters: Sequence[inspect.Parameter], shape: tuple[int, ...] | None, *, outcomes: bool = False
) -> Iterator[Drawing]:
    """Ways of filling required parameters, the likeliest first: the first one that the function accepts is taken.

    ``shape`` is that of every input that is not one of labels or a single number; ``outcomes`` says that truths are 0
    or 1.
    """
    needed = [entry for entry in parameters if entry.default is entry.empty]
    # What belongs to a logit or a probability of its own is an outcome, hardly any number.
    logits = any(entry.name.lower() in {"logit", "logits", *DISTRIBUTIONS} for entry in needed)
    truths = ("outcomes",) if outcomes else ("labels", "outcomes", "numbers") if logits else _TRUTHS
    weighings = range(max([1, *(len(_weight_shapes(entry.name, ())) for entry in needed)]))
    for size in [shape] if shape is not None else [(ROWS, CLASSES), (ROWS,), ()]:
        seen = set()
        for truth, weighing in product(truths, weighings):
            shapes = {entry.name: _one(entry, size, truth, needed) for entry in needed}
            for name in shapes:
                ways = _weight_shapes(name, size)
                if ways and shapes[name][1]:
                    shapes[name] = "positive", ways[min(weighing, len(ways) - 1)]
            said = ", ".join(f"{name}: {_said(kind, made)}" for name, (kind, made) in shapes.items())
            if said not in seen:
                seen.add(said)
                yield Drawing(said, shapes)


def accepted(
    label: str, make: Callable[[Data], Claimant], ways: Iterable[Drawing], seed: int
) -> tuple[Claimant, Drawing]:
    """The claimant that ``make`` finds for the first of several drawings that it has a finite value for.

    Raises UsageError where there is none.
    """
    tried = []
    for drawing in ways:
        inputs = drawing.draw(seed)
        try:
            claimant = make(inputs)
            refused = claimant.refusal(inputs)
        except RaisedError as error:
            refused = str(error)
        if not refused:
            return claimant, drawing
        tried.append((drawing, refused))
    # Drawings come in the order of their likelihood: what the first one met is what the function's author would see.
    drawing, refused = tried[0]
    message = f"{label} accepts none of {len(tried)} drawings of its inputs; of {drawing.said}: {refused}"
    raise UsageError("function-data", message)


def _weight_shapes(name: str, size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes that what is called a weight may have beside an input of a size, the likeliest first."""
    word = name.lower()
    named = "weight" in word and ("class" in word or "sample" in word)
    if not named and word not in ("weight", "weights", "w"):
        return []
    entries, classes, rows = size, size[-1:], size[:1]
    if "class" in word:
        return [classes]
    return [rows, entries] if "sample" in word else [entries, classes, rows]


def _one(
    entry: inspect.Parameter, size: tuple[int, ...], truth: str, needed: Sequence[inspect.Parameter]
) -> tuple[str, tuple[int, ...]]:
    name, annotated = entry.name.lower(), _annotation(entry)
    scored = any(other.name.lower() in SCORES for other in needed)
    if annotated in ("float", "int", "bool"):
        return ("positive" if annotated == "float" else "labels"), ()
    if name in LABELS:
        return "labels", size[:1]
    if name in TRUTHS and len(needed) > 1:
        # Beside logits a truth is usually a class; it never is one beside a single score per row.
        labelled = truth == "labels" and scored and len(size) > 1
        return ("labels", size[:1]) if labelled else ("numbers" if truth == "labels" else truth, size)
    if name in DISTRIBUTIONS:
        return "distribution", size
    return ("positive" if name in POSITIVE else "numbers"), size


def labelled(data: Mapping[str, Values]) -> Data:
    """Data with class labels as whole numbers, where a text file gave them as real ones.

    Labels are what is called so, and a truth of one axis beside scores of two.
    """
    wide = any(np.ndim(array) > 1 for name, array in data.items() if name.lower() in SCORES)
    made = dict(data)
    for name, array in data.items():
        named = name.lower() in LABELS or (wide and np.ndim(array) == 1 and name.lower() in TRUTHS)
        if named and array.dtype.kind == "f" and np.array_equal(array, np.round(array)):
            made[name] = array.astype(np.int64)
    return made


def _annotation(entry: inspect.Parameter) -> str:
    annotated: Any = entry.annotation
    return annotated if isinstance(annotated, str) else getattr(annotated, "__name__", "")


def _said(kind: str, shape: tuple[int, ...]) -> str:
    words = {"numbers": "normal numbers", "labels": "class labels", "positive": "positive numbers"}
    words |= {"distribution": "probabilities", "outcomes": "0 or 1"}
    return f"{words[kind]} {shape}"
