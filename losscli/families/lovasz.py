"""Lovász losses: by how much each pixel of an image misses, in the order in which that matters to the Jaccard index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from losscli.families.plain import WEIGHTED
from losscli.families.shares import Logits
from losscli.inputs import (
    IDENTITY,
    LABEL,
    LOGIT,
    REAL,
    SIGN,
    SIMPLEX,
    Array,
    Bools,
    Fold,
    Groups,
    Input,
    Link,
    Partials,
    Signature,
    Target,
    unscaled,
)
from losscli.twofold import Twofold, exp_less_one

# How many pixels are looked at together: a few of their temporaries stay in a core's cache.
_AT_ONCE = 1 << 12


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
    own, sign = _owned(p, target)
    size = np.where(own, 1.0 - p.T, p.T)
    return Fold(
        (Errors(size, np.where(own, (1.0 - size) - p.T, 0.0), own, groups),),
        gradient=lambda a, _: a[0] * sign,
        hessian=lambda a, b, _: b[0],  # noqa: ARG005  (sign² = 1)
    )


def logits(z: Array, target: Target, groups: Groups) -> Fold:
    """The errors of the softmax; partials are taken with respect to the errors, as sums of two floats."""
    own, sign = _owned(z, target)
    view = Logits(z)
    size, rest = np.where(own, view.rest.T, view.p.T), np.where(own, view.p.T, view.rest.T)
    # Of an error close to 1 what it lacks says more.
    lost = np.where(size > 0.5, (1.0 - size) - rest, 0.0)

    def gradient(a: Partials, _: str) -> Array:
        steps, factor = unscaled(a)
        slope = view.p * _excess(z, Twofold(steps[0] * sign, steps[1] * sign))
        return slope if factor is None else slope * factor

    # The loss is piecewise linear in the errors: what curves is the softmax.
    return Fold((Errors(size, lost, own, groups),), gradient, lambda a, _, name: view.lack * gradient(a, name))


def _excess(z: Array, slope: Twofold) -> Array:
    """Of each pixel's slopes by its probabilities what they exceed their mean by, both (N, C).

    The steps of a Jaccard loss are quotients of small numbers, the means of which are often another one of them.
    """
    made = np.empty_like(z)
    for start in range(0, len(z), _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        top = z[block].argmax(axis=1)[:, None]
        high, low = (np.take_along_axis(part[block], top, axis=1) for part in (slope.high, slope.low))
        ahead = slope[block] - Twofold(high, low)
        _, e = exp_less_one(Twofold.difference(np.take_along_axis(z[block], top, axis=1), z[block]))
        mean = (e * ahead).sum(axis=1) / e.sum(axis=1)
        made[block] = (ahead - mean[:, None]).value
    return made


def _owned(p: Array, target: Target) -> tuple[Bools, Array]:
    """Which pixels are each class's own (C, N), and which way its probability moves the error of each (N, C)."""
    assert target.index is not None
    own = target.index == np.arange(p.shape[1])[:, None]
    return own, np.where(own, -1.0, 1.0).T


# The Jaccard losses of the first k pixels, by their order: with what is left of the foreground as the intersection.
_JACCARD = (
    "[0] + [1 - sum(t for m, t in {0}[k:])/(sum(t for m, t in {0}) + sum(1 - t for m, t in {0}[:k]))"
    " for k in range(1, len({0}) + 1)]"
)
_ERRORS = (
    "[sorted([(1 - q[c], 1) if k == c else (q[c], 0) for q, k in zip(p, y)], reverse=True)"
    ' for c in range(len(p[0])) if classes == "all" or c in y]'
)
_SOFTMAX = "[[exp(z)/sum(exp(w) for w in row) for z in row] for row in probs]"
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
            help="probabilities, or logits, a pixel per row (N, C)",
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
    {
        "probs": Link(probabilities, (("p", "probs"), *_BY_CLASS)),
        "logits": Link(logits, (("p", _SOFTMAX), *_BY_CLASS), {"probs": LOGIT}),
    },
)
