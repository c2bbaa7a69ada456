"""What goes wrong in one family of losses: labels, softmax, sigmoid, margins, residuals, second derivatives, clamps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from losscli import stable
from losscli.files.source import Source
from losscli.inputs import SIGN, Array, Target
from losscli.plan import Plan
from losscli.verifier.differences import BoolArray
from losscli.verifier.scene import Hypothesis, Scene, softmax, told

Found = Iterator[tuple[str, Hypothesis]]

_LABELS = "labels of more classes"
_SMOOTHING = "another smoothing"
# Where programs clip probabilities.
_CLIPS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12, 1e-15, 2.0**-23, 2.0**-52)


def of_labels(scene: Scene) -> Found:
    """Other classes than the labels name, and other masses than smoothing gives them."""
    target, classes = scene.target, scene.plan.classes
    if target is None:
        if scene.plan.how.label_smoothing:
            yield from _smoothings(scene)
        return
    labels = _labels(scene)
    if labels is not None:
        for word, moved in {
            "labels one too high": (labels + 1) % classes,
            "labels one too low": (labels - 1) % classes,
            "labels one too high, the last kept": np.minimum(labels + 1, classes - 1),
            "labels one too low, the first kept": np.maximum(labels - 1, 0),
            "labels counted from the last": classes - 1 - labels,
            "the first class for every label": np.zeros_like(labels),
        }.items():
            yield (
                word,
                told(_with_labels, scene, moved, apart=_LABELS),
            )
        if not scene.sample:
            for word, shift in (("late", 1), ("early", -1)):
                rolled = np.roll(labels, shift)
                make = told(_with_labels, scene, rolled)
                yield f"labels one row too {word}", make
    if scene.plan.signature.layout == "classes":
        top = scene.slopes.table.arrays[0].argmax(axis=1)
        yield "the predicted class for the label", told(_with_target, scene, Target(index=top))
    if target.mass is not None:
        hard = target.mass.argmax(axis=1)
        yield "the likeliest class for soft labels", told(_with_target, scene, Target(index=hard))
    if scene.plan.how.label_smoothing:
        yield from _smoothings(scene)


def _labels(scene: Scene) -> Any:
    """The labels of all rows looked at, as class indices; None: they are names, masses, or mark rows to ignore."""
    column = scene.plan.columns[scene.plan.signature.labels]
    labels = scene.plan.read(column, 0, scene.plan.rows)
    plain = labels.ndim == len(scene.plan.lead) and labels.dtype.kind in "iuf"
    if not plain or (labels < 0).any() or (labels >= scene.plan.classes).any():
        return None
    ignored = scene.plan.how.ignore_index
    return None if ignored is not None and (labels == ignored).any() else labels.astype(np.intp)


def _relabelled(plan: Plan, labels: Any) -> Plan:
    """A plan with other labels for its rows; those of the whole stay."""
    name = plan.signature.labels
    column = plan.columns[name]
    if plan.order is None:
        given = labels
    else:
        given = np.zeros(column.shape, dtype=np.intp)
        given[plan.order] = labels
    source = Source(name, given.reshape(column.source.shape))
    return replace(plan, columns={**plan.columns, name: replace(column, source=source)})


def _with_labels(scene: Scene, labels: Any) -> Array:
    return scene.summed(partial(_relabelled, labels=labels))


def _with_target(scene: Scene, target: Target) -> Array:
    """The slopes with other labels, weighted as the right ones are."""
    at = scene.plan.signature.names.index(scene.plan.signature.labels)
    given, own = scene.slopes.table.arrays[at], scene.slopes.table.weighing.target
    by_class = scene.plan.how.class_weight
    weighs_masses = own is not None and own.mass is not None and scene.plan.signature.expected
    if by_class is not None and weighs_masses and isinstance(given, Target):
        target = Target(mass=target.dense(scene.plan.classes) * by_class)
    return scene.with_input(at, target)


def _smoothings(scene: Scene) -> Found:
    how, classes = scene.plan.how, scene.plan.classes
    by, soft = how.label_smoothing, scene.target is not None
    others = {
        "label smoothing ignored": 0.0,
        "label smoothing applied twice": 1.0 - (1.0 - by) ** 2,
        "label smoothing at 1 - epsilon": 1.0 - by,
        "label smoothing at half its size": by / 2.0,
        "label smoothing at twice its size": min(1.0, 2.0 * by),
    }
    if soft and classes > 1:
        others["label smoothing spread over C - 1 classes"] = by * classes / (classes - 1.0)
    for word, other in others.items():
        if 0.0 <= other <= 1.0:
            yield word, told(scene.changed, partial(_smoothed, by=other), apart=_SMOOTHING)
    if soft:
        raw = _unsmoothed(scene)
        yield (
            "labels lowered by smoothing, the other classes not raised",
            told(_with_target, scene, Target(mass=(1.0 - by) * raw), apart=_SMOOTHING),
        )


def _smoothed(plan: Plan, by: float) -> Plan:
    return replace(plan, how=replace(plan.how, label_smoothing=by))


def _unsmoothed(scene: Scene) -> Array:
    from losscli.targets import weigh

    plain = replace(scene.plan, how=replace(scene.plan.how, label_smoothing=0.0, class_weight=None))
    target = weigh(plain, 0, plain.rows).target
    assert target is not None
    return target.dense(scene.plan.classes)


def of_classes(scene: Scene) -> Found:
    """Softmax and one-hot labels: left out, applied twice, along the wrong axis, with a slope left out."""
    reads = scene.plan.signature
    if reads.layout != "classes" or scene.order != 1:
        return
    z, target = scene.slopes.table.arrays[0], scene.target
    assert target is not None
    mass = target.dense(scene.plan.classes)
    total = mass.sum(axis=1, keepdims=True)
    if scene.plan.link != "logits" or scene.first != "logits":
        if scene.plan.link != "logits" and scene.first != "logits":
            yield from _behind(scene)
        return
    p = softmax(z)
    plain = {
        "softmax without the one-hot labels": total * p,
        "the one-hot labels without softmax": -mass,
        "scores minus the one-hot labels, no softmax": total * z - mass,
        "probabilities and labels added": total * p + mass,
        "sigmoid in place of softmax": total * stable.sigmoid(z) - mass,
        "softmax minus one-hot, with the slope of softmax again": _chain(p, total * p - mass),
        "softmax minus one-hot over p(1 - p)": (total * p - mass) / (p * (1.0 - p)),
    }
    for word, rows in plain.items():
        yield word, told(scene.reduced, rows)
    yield from _wrong_axis(scene, z, mass)
    yield "softmax applied twice", told(_twice, scene, p)
    yield "softmax applied twice, not chained", told(scene.with_input, 0, p)
    yield from _focal_classes(scene, p, mass)


def _wrong_axis(scene: Scene, z: Array, mass: Array) -> Found:
    if scene.sample:
        return
    across = softmax(z, axis=0)
    apart = "data of more rows"
    yield "softmax over the rows, not the classes", told(scene.reduced, across - mass, apart=apart)
    if "probs" in scene.plan.signature.links:

        def chained() -> Array:
            arrays = [across, *scene.slopes.table.arrays[1:]]
            slope = _slopes(scene, arrays, "probs")
            return scene.laid_out(across * (slope - (across * slope).sum(axis=0)))

        yield "softmax over the rows, not the classes, and its slope", told(chained, apart=apart)


def _behind(scene: Scene) -> Found:
    """Slopes by the logits that probabilities or log-probabilities came from."""
    x = scene.slopes.table.arrays[0]
    p = np.exp(x) if "log" in scene.plan.link else x

    def chained() -> Array:
        slope = scene.slopes.value
        rows = slope - p * slope.sum(axis=1, keepdims=True) if "log" in scene.plan.link else _chain(p, slope)
        return scene.laid_out(rows)

    yield "the slope by the logits that they came from", told(chained)


def _slopes(scene: Scene, arrays: Any, link: str = "") -> Array:
    fold = scene.slopes.fold_of(arrays, link)
    return scene.slopes.of(fold, fold.variables)


def _kept_rows(scene: Scene, at: int, array: Array) -> Array:
    arrays = list(scene.slopes.table.arrays)
    arrays[at] = array
    return _slopes(scene, arrays)


def _twice(scene: Scene, p: Array) -> Array:
    return scene.laid_out(_chain(p, _kept_rows(scene, 0, p)))


def _chain(p: Array, slope: Array) -> Array:
    """From slopes by probabilities to slopes by logits."""
    return np.asarray(p * (slope - (p * slope).sum(axis=1, keepdims=True)))


def _focal_classes(scene: Scene, p: Array, mass: Array) -> Found:
    params = scene.bound.params
    if "gamma" not in params or "focal" not in scene.bound.loss.name:
        return
    factor = mass * (1.0 - p) ** params["gamma"] * (params.get("alpha") or 1.0)
    rows = factor.sum(axis=1, keepdims=True) * p - factor
    yield "the focal factor taken for a constant", told(scene.reduced, rows, apart="another gamma")


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
    return scene.laid_out(_slopes(scene, arrays) * share)


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
        found |= {f"where a probability is 0{word}": q == 0.0, f"where a probability is 1{word}": q == 1.0}
        found[f"where a probability is 0 or 1{word}"] = (q == 0.0) | (q == 1.0)
        if simplex and scene.target is not None:
            own = (q * (scene.target.dense(x.shape[1]) > 0.0)).max(axis=1, keepdims=True)
            found[f"in rows whose label has probability 0{word}"] = np.broadcast_to(own == 0.0, x.shape)
            found[f"in rows whose label has probability 1{word}"] = np.broadcast_to(own == 1.0, x.shape)
    for clip in _CLIPS:
        found[f"where a probability is below {clip:.3g}"] = p < clip
        found[f"where a probability is beyond {clip:.3g} or 1 - {clip:.3g}"] = (p < clip) | (p > 1.0 - clip)
        if simplex and scene.target is not None:
            own = np.where(scene.target.dense(x.shape[1]) > 0.0, p, 1.0).min(axis=1, keepdims=True)
            found[f"in rows whose label has a probability below {clip:.3g}"] = np.broadcast_to(own < clip, x.shape)
    yield from _masks(scene, found)


def _masks(scene: Scene, found: dict[str, BoolArray]) -> Iterator[tuple[str, BoolArray]]:
    for word, mask in found.items():
        if mask.any() and not mask.all():
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
    for word, mask in (*found.items(), *saturated(scene)):
        laid = mask if mask.shape == shape and word not in found else scene.laid_out(mask.astype(np.float64)) != 0.0
        if laid.any() and not laid.all():
            yield word, laid
