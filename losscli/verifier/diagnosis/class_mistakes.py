"""What goes wrong with class labels, softmax and one-hot targets."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from losscli import stable
from losscli.files.source import Source
from losscli.inputs import Array, Target
from losscli.plan import Plan
from losscli.targets import weigh
from losscli.verifier.diagnosis.scene import Found, Scene, softmax, told

_LABELS = "labels of more classes"
_SMOOTHING = "another smoothing"


def of_labels(scene: Scene) -> Found:
    """Other classes than the labels name, and other masses than smoothing gives them."""
    target, classes = scene.target, scene.plan.classes
    if target is None:
        if scene.plan.how.label_smoothing:
            yield from _smoothings(scene)
        return
    labels, counted = _labels(scene)
    if labels is not None:
        moved = {
            "labels one too high": (labels + 1) % classes,
            "labels one too low": (labels - 1) % classes,
            "labels one too high, the last kept": np.minimum(labels + 1, classes - 1),
            "labels one too low, the first kept": np.maximum(labels - 1, 0),
            "labels counted from the last": classes - 1 - labels,
            "the first class for every label": np.zeros_like(labels),
        }
        if scene.plan.signature.layout == "classes":
            moved["the predicted class for the label"] = _scores(scene).argmax(axis=-1).reshape(labels.shape)
        if not scene.sample:
            moved |= {
                "labels one row too late": np.roll(labels, 1, 0),
                "labels one row too early": np.roll(labels, -1, 0),
            }
        for word, other in moved.items():
            yield word, told(_with_labels, scene, np.where(counted, other, labels), apart=_LABELS)
    if target.mass is not None and labels is None:
        hard = target.mass.argmax(axis=1)
        yield "the likeliest class for soft labels", told(_with_target, scene, Target(index=hard))
    if scene.plan.how.label_smoothing:
        yield from _smoothings(scene)


def _labels(scene: Scene) -> tuple[Any, Any]:
    """The labels of all rows looked at, as class indices, and which of them count; None: they are names or masses."""
    column = scene.plan.columns[scene.plan.signature.labels]
    labels = scene.plan.read(column, 0, scene.plan.rows)
    if labels.ndim != len(scene.plan.lead) or labels.dtype.kind not in "iuf":
        return None, None
    return labels.astype(np.intp), labels != scene.plan.how.ignore_index


def _scores(scene: Scene) -> Array:
    """The scores of all rows looked at, be they counted or not."""
    return np.asarray(scene.plan.read(scene.plan.first, 0, scene.plan.rows), dtype=np.float64)


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
    change = partial(_relabelled, labels=labels)
    # Of a sample's labels nobody knows what they do to the denominator.
    return scene.summed(change) if scene.sample else scene.changed(change)


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
            yield word, told(scene.changed, partial(smoothed, by=other), apart=_SMOOTHING)
    if soft:
        raw = _unsmoothed(scene)
        yield (
            "labels lowered by smoothing, the other classes not raised",
            told(_with_target, scene, Target(mass=(1.0 - by) * raw), apart=_SMOOTHING),
        )


def smoothed(plan: Plan, by: float) -> Plan:
    """A plan with another label smoothing."""
    return replace(plan, how=replace(plan.how, label_smoothing=by))


def _unsmoothed(scene: Scene) -> Array:
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
    yield from _wrong_axis(scene, mass)
    yield "softmax applied twice", told(_twice, scene, p)
    yield "softmax applied twice, not chained", told(scene.with_input, 0, p)
    yield from _focal_classes(scene, p, mass)


def _wrong_axis(scene: Scene, mass: Array) -> Found:
    if scene.sample:
        return
    keep = scene.slopes.table.weighing.keep
    across = softmax(_scores(scene).reshape(-1, scene.plan.classes), axis=0)
    across = across if keep is None else across[keep]
    apart = "data of more rows"
    yield "softmax over the rows, not the classes", told(scene.reduced, across - mass, apart=apart)
    if "probs" in scene.plan.signature.links:

        def chained() -> Array:
            arrays = [across, *scene.slopes.table.arrays[1:]]
            slope = scene.slopes_by(arrays, "probs")
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


def _twice(scene: Scene, p: Array) -> Array:
    return scene.laid_out(_chain(p, scene.slopes_with(0, p)))


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
