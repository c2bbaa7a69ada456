"""Multi-label: a score for each class, and which classes are true, as a target per class or as a list of classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from losscli.families.binary import BINARY
from losscli.families.plain import WEIGHTED
from losscli.inputs import PROBABILITY, REAL, Array, Domain, Fold, Input, Link, Signature


def lists(z: Array, labels: Array) -> Fold:
    """The scores, and the lists of true classes, as wide as the longest one, -1 from where each ends."""
    columns, going = [labels[:, :0]], np.ones(len(labels), dtype=np.bool_)
    for column in labels.T:
        going = going & (column >= 0.0)
        if not going.any():
            break
        columns.append(np.where(going, column, -1.0)[:, None])
    return Fold(
        (z, np.concatenate(columns, axis=1).astype(np.intp)),
        gradient=lambda a, _: a[0],
        hessian=lambda a, b, _: b[0],  # noqa: ARG005
    )


def _some(rng: np.random.Generator, shape: tuple[int, ...], _: float) -> npt.NDArray[Any]:
    """One class or more in each list, and one fewer than all; now and then a class stands twice."""
    rows, classes = shape
    drawn = rng.permuted(np.tile(np.arange(classes), (rows, 1)), axis=1)
    drawn[:, 1:2] = np.where(rng.random((rows, 1)) < 0.2, drawn[:, :1], drawn[:, 1:2])
    return np.where(np.arange(classes) < rng.integers(1, max(2, classes), (rows, 1)), drawn, -1)


MULTILABEL = Signature(
    "multilabel",
    (
        Input("logits", REAL, differentiable=True, help="one score per class (N, C)"),
        Input("target", PROBABILITY, differentiable=True, help="0, 1 or a probability between, per class (N, C)"),
    ),
    "rows",
    {
        "logits": replace(BINARY.links["logits"], where=(("p", "[1/(1 + exp(-z)) for z in logits]"), ("t", "target"))),
        "probs": BINARY.links["probs"],
    },
    options=WEIGHTED | {"label-smoothing"},
    head=True,
)
LISTED = Domain("a class index, or -1 from where the row's list ends", low=-1.0, index=True)
LABEL_LISTS = Signature(
    "label-lists",
    (
        Input("logits", REAL, differentiable=True, help="one score per class (N, C)"),
        Input("labels", LISTED, help="the true classes of each row, -1 after the last of them (N, C)", draw=_some),
    ),
    "rows",
    {
        "logits": Link(
            lists,
            (
                ("z", "logits"),
                ("listed", "[y for k, y in enumerate(labels) if min(labels[:k + 1]) >= 0]"),
            ),
        ),
    },
    options=WEIGHTED,
    head=True,
)
