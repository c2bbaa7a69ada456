"""Lovász extensions of the Jaccard loss: piecewise linear in the pixels' errors, convex, tight on the vertices.

The errors of an image are weighed in falling order, each by what the Jaccard loss of the pixels so far grows by when
the next one is missed too.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.lovasz import FOREGROUND, SEGMENTATION, Errors
from losscli.inputs import Bools
from losscli.loss import Batch, Kinks, Param, Rows, loss
from losscli.stable import Array, row_sums
from losscli.twofold import Twofold


def _steps(own: Bools, total: Array, hits: Array, misses: Array) -> tuple[Array, Array]:
    """What the Jaccard loss grows by with each pixel, one whole number over another.

    Given are the foreground's total, and how much of it, and of the background, came before.
    """
    union = np.maximum(total + misses, 1.0)
    rise, base = np.where(own, 1.0, total - hits), np.where(own, union, union * (union + 1.0))
    # Without foreground the first miss loses everything.
    return np.where(total > 0.0, rise, misses == 0.0), np.where(total > 0.0, base, 1.0)


def _hinge_slopes(m: Array, own: Bools) -> Array:
    return lovasz_hinge(m, own).grad()  # type: ignore[return-value]


@loss(
    reads=FOREGROUND,
    formula="sum(max(m, 0)*(b - a) for (m, t), a, b in zip(e, j[:-1], j[1:]))",
    slope="-label times what the Jaccard loss grows by with that pixel, b - a, in the order of falling errors, where 1"
    " - label score > 0; else 0",
    kinks=Kinks("two pixels have one and the same error, or a margin is exactly 1", piece=_hinge_slopes),
    sources=("Berman, Triki & Blaschko (2018), The Lovász-Softmax loss, arXiv:1705.08790, eq. 13",),
    peers=(
        "bermanmaxim/LovaszSoftmax lovasz_hinge (per_image=True)",
        "segmentation_models_pytorch LovaszLoss (mode='binary', per_image=True)",
    ),
)
def lovasz_hinge(m: Array, own: Bools) -> Rows:
    """Lovász extension of an image's Jaccard loss at the hinge losses of its pixels.

    Without foreground only the worst pixel counts. Where errors tie, the first pixel is taken for the largest; a
    margin of exactly 1 has no slope.
    """
    order = np.argsort(m, axis=1, kind="stable")
    hinge = np.maximum(1.0 - np.take_along_axis(m, order, axis=1), 0.0)
    hit = np.take_along_axis(own, order, axis=1)
    hits = np.cumsum(hit, axis=1, dtype=np.float64)
    misses = np.arange(1.0, m.shape[1] + 1.0) - hits
    rise, base = _steps(hit, hits[:, -1:], hits - hit, misses - ~hit)
    step = rise / base

    def grad() -> Array:
        slope = np.empty_like(m)
        np.put_along_axis(slope, order, -step * (hinge > 0.0), axis=1)
        return slope

    return Rows(row_sums(hinge * step), grad, hess=lambda: np.zeros_like(m))


def _softmax_slopes(errors: Errors, *, classes: str) -> Array:
    """The slopes of each image's pixels, in a row."""
    slopes, groups = np.asarray(lovasz_softmax(errors, classes=classes).grad()[0]), errors.groups
    made = np.zeros((len(groups.sizes), int(groups.sizes.max()), slopes.shape[1]))
    image = np.repeat(np.arange(len(groups.sizes)), groups.sizes)
    made[image, np.arange(len(slopes)) - groups.starts[image]] = slopes
    return made.reshape(len(made), -1)


@loss(
    reads=SEGMENTATION,
    formula="sum(m*(b - a) for d, js in zip(e, j) for (m, t), a, b in zip(d, js[:-1], js[1:]))/len(e)",
    slope="by a pixel's probabilities what the class's Jaccard loss grows by with it, b - a, in the order of falling"
    " errors, over len(e); minus that for its own class",
    kinks=Kinks("two pixels have one and the same error for a class", piece=_softmax_slopes),
    sources=("Berman, Triki & Blaschko (2018), The Lovász-Softmax loss, arXiv:1705.08790, eq. 11",),
    peers=(
        "bermanmaxim/LovaszSoftmax lovasz_softmax (reads probabilities)",
        "segmentation_models_pytorch LovaszLoss (mode='multiclass'; takes the softmax of what it reads)",
    ),
)
def lovasz_softmax(
    errors: Errors,
    *,
    classes: Annotated[str, Param("which are averaged over", choices=("present", "all"))] = "present",
) -> Batch:
    """Lovász extension of the Jaccard loss at the errors of the probabilities, mean over an image's classes.

    Classes without a pixel are left out, or, with all, lose their worst pixel's probability. Where errors tie, the
    first pixel is taken for the largest.
    """
    groups, image = errors.groups, np.repeat(np.arange(len(errors.groups.sizes)), errors.groups.sizes)
    order = np.lexsort((-errors.lost, -errors.size, np.broadcast_to(image, errors.size.shape)))
    hit = np.take_along_axis(errors.own, order, axis=1)
    hits = np.cumsum(hit, axis=1, dtype=np.float64)
    before = hits - hit
    hits -= before[:, groups.starts][:, image]
    misses = np.arange(1.0, len(image) + 1.0) - groups.starts[image] - hits
    total = np.add.reduceat(hit, groups.starts, axis=1, dtype=np.float64)
    rise, base = _steps(hit, total[:, image], hits - hit, misses - ~hit)
    step = rise / base
    counted = np.logical_or(total > 0.0, classes == "all").astype(np.float64)
    share = counted / counted.sum(axis=0)
    by_class = np.add.reduceat(np.take_along_axis(errors.size, order, axis=1) * step, groups.starts, axis=1)

    def grad() -> tuple[Array, Array]:
        """The slopes by the errors, and what their rounding has lost."""
        slope = Twofold.of(rise * counted[:, image]) / (base * counted.sum(axis=0)[image])
        high, low = np.empty_like(step), np.empty_like(step)
        np.put_along_axis(high, order, slope.high, axis=1)
        np.put_along_axis(low, order, slope.low, axis=1)
        return high.T, low.T

    return Batch(row_sums(np.ascontiguousarray((by_class * share).T)), grad, hess=lambda: np.zeros_like(step).T)
