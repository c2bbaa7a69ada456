"""What goes wrong with outcomes, margins, residuals, second derivatives and clamps, and places that have a name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from losscli import stable
from losscli.inputs import SIGN, Array
from losscli.verifier.diagnosis.scene import Found, Scene, softmax, told
from losscli.verifier.numeric.differences import BoolArray

# Where programs clip probabilities.
_CLIPS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12, 1e-15, 2.0**-23, 2.0**-52)


def of_outcomes(scene: Scene) -> Found:
    """Sigmoid and targets of two outcomes: left out, applied twice, read as signs."""
    names = scene.plan.signature.names
    if names[1:] != ("target",) or scene.first != "logits":
        return
    x, t = scene.slopes.table.arrays[:2]
    for word, other in {
        "the target read as -1 or 1": 2.0 * t - 1.0,
        "the target read from -1 and 1": (t + 1.0) / 2.0,
        "the target turned round": 1.0 - t,
        "the target rounded to 0 or 1": np.round(t),
    }.items():
        yield word, told(scene.with_input, 1, other, apart="other targets")
    for word, only, share in (("0", np.ones_like(t), t), ("1", np.zeros_like(t), 1.0 - t)):
        rows = told(_share, scene, only, share, apart="more targets")
        yield f"the term of target {word} missing", rows
    if scene.order != 1:
        return
    if scene.plan.link == "logits":
        yield from _sigmoids(scene, x, t)
    elif scene.plan.link == "probs":
        rows = x * (1.0 - x)
        yield "the slope of sigmoid applied too", told(scene.laid_out, scene.slopes.value * rows)


def _share(scene: Scene, target: Array, share: Array, scores: Array | None = None) -> Array:
    """The slopes with another target, or other scores, times a share of each row."""
    arrays = list(scene.slopes.table.arrays)
    arrays[:2] = arrays[0] if scores is None else scores, target
    return scene.laid_out(scene.slopes_by(arrays) * share)


def _sigmoids(scene: Scene, z: Array, t: Array) -> Found:
    p = stable.sigmoid(z)
    bend = p * (1.0 - p)
    for word, rows in {
        "sigmoid without the target": p,
        "the target without sigmoid": -t,
        "logits minus target, no sigmoid": z - t,
        "sigmoid and target added": p + t,
        "sigmoid minus target, with the slope of sigmoid again": (p - t) * bend,
    }.items():
        yield word, told(scene.reduced, rows)
    yield "the slope of sigmoid applied twice", told(scene.laid_out, scene.slopes.value * bend)
    yield "sigmoid applied twice", told(_share, scene, t, bend, p)
    yield "sigmoid applied twice, not chained", told(scene.with_input, 0, p)
    params = scene.bound.params
    if scene.bound.loss.name == "focal":
        gamma, alpha = params["gamma"], params["alpha"]
        yes, no = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
        rows = no * (1.0 - t) * p ** (gamma + 1.0) - yes * t * (1.0 - p) ** (gamma + 1.0)
        yield "the focal factor taken for a constant", told(scene.reduced, rows, apart="another gamma")
        swapped = scene.bound.loss.bind(gamma=gamma, alpha=None if alpha is None else 1.0 - alpha)
        yield "alpha on the wrong outcome", told(scene.other, swapped, apart="another alpha")


def of_margins(scene: Scene) -> Found:
    """Labels of -1 and 1 that are read as 0 and 1, or not multiplied back."""
    reads = scene.plan.signature
    at = next((k for k, entry in enumerate(reads.inputs) if entry.domain is SIGN), -1)
    if at < 0 or reads.layout != "elements":
        return
    label = scene.slopes.table.arrays[at]
    for word, other in {
        "the label read as 0 or 1": (label + 1.0) / 2.0,
        "the label turned round": -label,
        "the label left out": np.ones_like(label),
    }.items():
        yield word, told(scene.with_input, at, other, apart="other labels")
    yield (
        "the label not multiplied back",
        told(scene.laid_out, scene.slopes.value * label, apart="other labels"),
    )


def of_residuals(scene: Scene) -> Found:
    """Residuals turned round, and slopes that are nothing but a residual or its sign."""
    reads = scene.plan.signature
    if reads.layout != "elements" or len(reads.inputs) < 2 or reads.names[1] != "target":
        return
    arrays = scene.slopes.table.arrays
    swapped = [arrays[1], arrays[0], *arrays[2:]]
    yield "prediction and target exchanged", told(scene.through, swapped, apart="other residuals")
    if scene.order != 1 or scene.first not in ("prediction", "mean"):
        return
    x, t = arrays[:2]
    sign = 1.0 if scene.name != "target" else -1.0
    for word, rows in {
        "the residual itself": x - t,
        "the sign of the residual": np.sign(x - t),
        "the prediction without the target": x,
        "the residual over the target": (x - t) / t,
        "the residual over the prediction": (x - t) / x,
    }.items():
        yield word, told(scene.reduced, sign * rows, apart="other residuals")


def _of_order(scene: Scene, order: int) -> Array:
    return scene.filled(replace(scene.slopes, order=order))


def of_curvature(scene: Scene) -> Found:
    """Second derivatives that are something else, and first ones that are second."""
    if scene.order == 1:
        if scene.curved:
            yield "the diagonal of the Hessian", told(_of_order, scene, 2)
        return
    first = replace(scene.slopes, order=1)

    def squared() -> Array:
        factor = scene.factor.reshape(-1, *([1] * (first.value.ndim - 1)))
        return scene.laid_out(np.where(factor == 0.0, 0.0, first.value**2 / factor))

    yield "the gradient in the place of the Hessian", told(_of_order, scene, 1)
    if not scene.together:
        yield "the squares of each row's gradient", told(squared)
    yield "the squares of the gradient", told(scene.laid_out, first.value**2)
    if scene.together or scene.behind_head:
        return
    shape = first.value.shape
    yield "a constant 1 for each row", told(scene.reduced, np.ones(shape))
    if scene.plan.link == "logits" and scene.first == "logits":
        z = scene.slopes.table.arrays[0]
        p = softmax(z) if scene.plan.signature.layout == "classes" else stable.sigmoid(z)
        for word, rows in {"p(1 - p)": p * (1.0 - p), "p": p, "p²": p * p, "1 - p": 1.0 - p}.items():
            yield f"{word} in the place of the Hessian", told(scene.reduced, rows)
            plain = told(scene.laid_out, rows * scene.slopes.scale)
            yield f"{word} in the place of the Hessian, without weights", plain


def of_saturation(scene: Scene) -> Found:
    """Slopes that are lost, or are no number, where a probability is 0 or 1 or is clipped."""
    for word, mask in saturated(scene):
        yield f"0 {word}", told(np.where, mask, 0.0, scene.truth, apart="milder scores")
        yield f"not a number {word}", told(np.where, mask, np.nan, scene.truth, apart="milder scores")


def saturated(scene: Scene) -> Iterator[tuple[str, BoolArray]]:
    """Entries at which a probability has no digits left in a narrower format, or is below what programs clip at."""
    if scene.first not in ("logits", "probs", "log_probs", "p") or scene.together or scene.behind_head:
        return
    x = scene.slopes.table.arrays[0]
    simplex = scene.plan.signature.layout == "classes"
    if scene.plan.link == "logits":
        with np.errstate(all="ignore"):
            p = softmax(x) if simplex else stable.sigmoid(x)
            narrow = softmax(x.astype(np.float32)) if simplex else 1 / (1 + np.exp(-x.astype(np.float32)))
            shifted = np.exp(x - x.max()).sum(axis=-1, keepdims=True) if simplex else np.ones(1)
        if simplex:
            lost = np.broadcast_to(shifted == 0.0, x.shape)
            yield from _masks(scene, {"in rows far below the largest score of all": lost})
    else:
        p = np.exp(x) if "log" in scene.plan.link else x
        narrow = p.astype(np.float32)
    found: dict[str, BoolArray] = {}
    for word, q in (("", p), (" in float32", narrow)):
        if simplex and scene.target is not None:
            own = (q * (scene.target.dense(x.shape[1]) > 0.0)).max(axis=1, keepdims=True)
            found[f"in rows whose label has probability 0{word}"] = np.broadcast_to(own == 0.0, x.shape)
            found[f"in rows whose label has probability 1{word}"] = np.broadcast_to(own == 1.0, x.shape)
        found |= {f"where a probability is 0{word}": q == 0.0, f"where a probability is 1{word}": q == 1.0}
        found[f"where a probability is 0 or 1{word}"] = (q == 0.0) | (q == 1.0)
    for clip in _CLIPS:
        found[f"where a probability is below {clip:.3g}"] = p < clip
        found[f"where a probability is beyond {clip:.3g} or 1 - {clip:.3g}"] = (p < clip) | (p > 1.0 - clip)
        if simplex and scene.target is not None:
            own = np.where(scene.target.dense(x.shape[1]) > 0.0, p, 1.0).min(axis=1, keepdims=True)
            found[f"in rows whose label has a probability below {clip:.3g}"] = np.broadcast_to(own < clip, x.shape)
    yield from _masks(scene, found)


def _masks(scene: Scene, found: dict[str, BoolArray]) -> Iterator[tuple[str, BoolArray]]:
    """The places that are some of the entries but not all, those with the same entries once."""
    seen: list[BoolArray] = []
    for word, mask in found.items():
        if mask.any() and not mask.all() and not any(np.array_equal(mask, other) for other in seen):
            seen.append(mask)
            yield word, scene.laid_out(mask.astype(np.float64)) != 0.0


def places(scene: Scene) -> Iterator[tuple[str, BoolArray]]:
    """Sets of entries that have a name, as sentences end: 'where the target is 1'."""
    if scene.plan.signature.entry(scene.name).shared:
        return
    shape = scene.truth.shape
    keep = scene.slopes.table.weighing.keep
    if keep is not None:
        counts = scene.laid_out(np.ones((len(keep), *scene.slopes.value.shape[1:])))
        yield "in rows that do not count", counts == 0.0
    found: dict[str, BoolArray] = {}
    target, own = scene.target, scene.slopes.value.shape
    if target is not None and len(own) == 2 and own[1] == scene.plan.classes:
        mass = target.dense(scene.plan.classes)
        found["in the entries of the true class"] = mass > 0.0
        found["in the entries of the other classes"] = mass <= 0.0
    if target is not None and target.index is not None and scene.plan.classes <= 256:
        for label in np.unique(target.index).tolist():
            here = (target.index == label).reshape(-1, *([1] * (len(own) - 1)))
            found[f"in the rows of label {label}"] = np.broadcast_to(here, own)
    names, arrays = scene.plan.signature.names, scene.slopes.table.arrays
    if names[1:2] == ("target",) and arrays[0].shape == own == arrays[1].shape:
        x, t = arrays[:2]
        found |= {"where the target is 1": t == 1.0, "where the target is 0": t == 0.0}
        found |= {"where the first input is above the target": x > t, "where it is below the target": x < t}
        found["where it is the target"] = x == t
        if "delta" in scene.bound.params:
            far = np.abs(x - t) > scene.bound.params["delta"]
            found |= {"where the residual is beyond delta": far, "where the residual is within delta": ~far}
    for word, mask in (*found.items(), *saturated(scene)):
        laid = mask if mask.shape == shape and word not in found else scene.laid_out(mask.astype(np.float64)) != 0.0
        if laid.any() and not laid.all():
            yield word, laid
