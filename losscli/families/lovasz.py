"""Lovász losses: by how much each pixel of an image misses, in the order in which that matters to the Jaccard index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from losscli.families.plain import WEIGHTED
from losscli.inputs import (
    IDENTITY,
    LABEL,
    REAL,
    SIGN,
    SIMPLEX,
    Array,
    Bools,
    Fold,
    Groups,
    Input,
    Link,
    Signature,
    Target,
)


@dataclass(frozen=True)
class Errors:
    """By how much the pixels miss each class, class after class (C, N), and which are that class's own.

    ``size`` is the error, ``lost`` what its rounding has lost: of two errors so close that they are one float it tells
    which is the larger. Pixels of one image lie side by side.
    """

    size: Array
    lost: Array
    own: Bools
    groups: Groups


def margins(scores: Array, label: Array) -> Fold:
    """m = score · label, and which pixels are foreground."""
    return Fold(
        (scores * label, label > 0.0),
        gradient=lambda a, _: a[0] * label,
        hessian=lambda a, b, _: b[0],  # noqa: ARG005  (label² = 1)
    )


def probabilities(p: Array, target: Target, groups: Groups) -> Fold:
    """The errors of probabilities; partials are taken with respect to the errors."""
    assert target.index is not None
    own = target.index == np.arange(p.shape[1])[:, None]
    size = np.where(own, 1.0 - p.T, p.T)
    made = Errors(size, np.where(own, (1.0 - size) - p.T, 0.0), own, groups)
    sign = np.where(own, -1.0, 1.0).T
    return Fold(
        (made,),
        gradient=lambda a, _: a[0] * sign,
        hessian=lambda a, b, _: b[0],  # noqa: ARG005  (sign² = 1)
    )


# The Jaccard losses of the first k pixels, by their order: with what is left of the foreground as the intersection.
_JACCARD = (
    "[0] + [1 - sum(t for m, t in {0}[k:])/(sum(t for m, t in {0}) + sum(1 - t for m, t in {0}[:k]))"
    " for k in range(1, len({0}) + 1)]"
)
_ERRORS = (
    "[sorted([(1 - q[c], 1) if k == c else (q[c], 0) for q, k in zip(p, y)], reverse=True)"
    ' for c in range(len(p[0])) if classes == "all" or c in y]'
)
_BY_CLASS = (("e", _ERRORS), ("j", f"[{_JACCARD.format('d')} for d in e]"))

FOREGROUND = Signature(
    "foreground",
    (
        Input("scores", REAL, differentiable=True, help="one score per pixel, an image per row (N, P)"),
        Input("label", SIGN, help="1: the pixel is foreground, -1: it is not (N, P)"),
    ),
    "rows",
    {
        "scores": Link(
            margins,
            (
                ("e", "sorted([(1 - z*s, (1 + s)/2) for z, s in zip(scores, label)], reverse=True)"),
                ("j", _JACCARD.format("e")),
            ),
        )
    },
    options=WEIGHTED | {"labels"},
)
SEGMENTATION = Signature(
    "segmentation",
    (
        Input(
            "probs",
            SIMPLEX,
            differentiable=True,
            help="probabilities, a pixel per row (N, C)",
            axes="NC",
        ),
        Input("labels", LABEL, help="the class of each pixel (N)", axes="N"),
        Input(
            "image",
            IDENTITY,
            help="which image each pixel belongs to (N); without it all are one's",
            axes="N",
            optional=True,
        ),
    ),
    "groups",
    {"probs": Link(probabilities, (("p", "probs"), *_BY_CLASS))},
)
