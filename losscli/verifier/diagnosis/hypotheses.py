"""The dictionary of a diagnosis: gradients with one thing wrong, factors that have a name, places that have one.

All are made of the catalogue itself, after a failure only, on the rows that are looked at. mistakes.py has what goes
wrong in one family of losses; here is what may go wrong in any.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from losscli.columns import Column
from losscli.dialects import PEERS, dialects_of, like
from losscli.errors import UsageError
from losscli.files.source import Source
from losscli.inputs import Array
from losscli.loss import Bound, Loss, Parameter, catalogue
from losscli.plan import Plan
from losscli.results import Reduction
from losscli.verifier.diagnosis import class_mistakes, mistakes
from losscli.verifier.diagnosis.scene import Found, Hypothesis, Scene, is_form, told
from losscli.verifier.numeric.differences import BoolArray

# As many rows as tell one mistake from another, and no more numbers than a moment's work.
_ROWS, _ENTRIES = 1024, 1 << 17
_WEIGHTS = "other weights than one"
# That of Szegedy et al. (2016), which most take, and those that are tried beside it.
_SMOOTHED = (0.1, 0.05, 0.2)


def sampled(plan: Plan, wanted: tuple[int, ...] = ()) -> Plan:
    """The plan of a sample of the rows, spread evenly, with those that are wanted; of all rows bound together."""
    numbers = math.prod(plan.first.shape[1:])
    count = max(8, min(_ROWS, _ENTRIES // max(1, numbers)))
    if plan.groups is not None or plan.rows <= count:
        return plan
    rows = np.unique([*np.linspace(0, plan.rows - 1, count).astype(int).tolist(), *wanted[:count]])
    return replace(plan, order=rows, lead=(len(rows), *plan.lead[1:]))


def hypotheses_of(
    bound: Bound, plan: Plan, name: str, reduction: Reduction, order: int = 1, whole: Plan | None = None
) -> Mapping[str, Callable[[], Array]]:
    """Wrong gradients (or, of order 2, Hessians' diagonals) of a plan's rows by an input, by what is wrong with them.

    Each has the shape of the plan's rows in its layout, with zeros where rows do not count. ``whole`` has all rows
    where the plan is a sample: the mean divides by theirs.
    """
    scene = Scene(bound, plan, whole or plan, name, reduction, order)
    if scene.sample and (scene.together or scene.slopes.totals):
        return {}
    families: tuple[Callable[[Scene], Found], ...] = (
        _options,
        class_mistakes.of_labels,
        class_mistakes.of_classes,
        mistakes.of_outcomes,
        mistakes.of_margins,
        mistakes.of_residuals,
        mistakes.of_curvature,
        mistakes.of_saturation,
        _parameters,
        _smoothings,
        _links,
        _arrangements,
        _dialects,
        other_losses,
    )
    if not scene.slopes.table.weighing.kept:
        families = (_options,)
    if bound.loss.costly:
        families = (_arrangements,)
    made: dict[str, Callable[[], Array]] = {}
    with np.errstate(all="ignore"):
        for family in families:
            for word, hypothesis in family(scene):
                made.setdefault(word, hypothesis)
    return made


_REWEIGHTED: Mapping[str, Callable[[Any], Any]] = {
    "sample weights squared": np.square,
    "the first sample weight for every row": lambda w: np.full_like(w, w.flat[0]),
    "sample weights of the row before": lambda w: np.roll(w, 1, axis=0),
    "sample weights of the row after": lambda w: np.roll(w, -1, axis=0),
}


def _options(scene: Scene) -> Found:
    """Weights, masks and labels to ignore that are not heeded, in the sum and in what the mean divides by."""
    how, dialect = scene.plan.how, scene.bound.loss.dialect
    changes: dict[str, Callable[[Plan], Plan]] = {}
    if scene.plan.sample_weight is not None:
        changes["sample weights ignored"] = lambda p: replace(p, sample_weight=None)
        changes |= {word: partial(_reweighted, change=other) for word, other in _REWEIGHTED.items()}
    if how.class_weight is not None:
        by_class = how.class_weight
        for word, weight in {
            "class weights ignored": None,
            "class weights squared": by_class**2,
            "class weights divided by": 1.0 / np.where(by_class == 0.0, 1.0, by_class),
            "class weights in reverse order": by_class[::-1].copy(),
        }.items():
            changes[word] = partial(_weighted, by_class=weight)
    # A mean over the rows that count knows of no weights.
    divided = set() if dialect is not None and dialect.mean != "weights" else {*changes}
    counted: dict[str, Callable[[Plan], Plan]] = {}
    if scene.plan.mask is not None:
        counted["the mask ignored"] = lambda p: replace(p, mask=None)
        counted["the mask turned round"] = lambda p: replace(p, mask=_mapped(p.mask, np.logical_not))
    if how.ignore_index is not None:
        counted["ignored rows kept"] = _kept
    for word, change in {**changes, **counted}.items():
        yield word, told(scene.changed, change, apart=_WEIGHTS)
        if scene.reduction == "mean" and word in {*divided, *counted}:
            yield f"{word}, but not in the denominator", told(scene.summed, change, apart=_WEIGHTS)
    if how.ignore_index is not None and how.label_smoothing:
        yield "the part of label smoothing over ignored rows, too", told(_smoothed_everywhere, scene, apart=_WEIGHTS)


def _smoothings(scene: Scene) -> Found:
    """Labels that are smoothed where nobody said so."""
    if "label-smoothing" in scene.plan.signature.options and not scene.plan.how.label_smoothing:
        for share in _SMOOTHED:
            yield f"labels smoothed by {share}, where no smoothing is given", told(_smoothed, scene, share)


def _smoothed(scene: Scene, share: float) -> Array:
    return scene.changed(lambda p: replace(p, how=replace(p.how, label_smoothing=share)))


def _smoothed_everywhere(scene: Scene) -> Array:
    """The part of hard labels over the rows that count, that of even ones over all."""
    by = scene.plan.how.label_smoothing
    hard = scene.changed(partial(class_mistakes.smoothed, by=0.0))
    return (1.0 - by) * hard + by * scene.changed(lambda p: _kept(class_mistakes.smoothed(p, by=1.0)))


def _reweighted(plan: Plan, change: Callable[[Any], Any]) -> Plan:
    return replace(plan, sample_weight=_mapped(plan.sample_weight, change))


def _weighted(plan: Plan, by_class: Array | None) -> Plan:
    return replace(plan, how=replace(plan.how, class_weight=by_class))


def _mapped(column: Column | None, change: Callable[[Any], Any]) -> Column:
    assert column is not None
    return replace(column, source=Source(column.source.name, change(np.asarray(column.source.array))))


def _kept(plan: Plan) -> Plan:
    """The plan without labels to ignore: those that name no class are taken for the first."""
    name = plan.signature.labels
    labels = np.asarray(plan.columns[name].source.array)
    labels = np.where((labels < 0) | (labels >= plan.classes), 0, labels)
    column = replace(plan.columns[name], source=Source(name, labels))
    return replace(plan, how=replace(plan.how, ignore_index=None), columns={**plan.columns, name: column})


def _parameters(scene: Scene) -> Found:
    """A parameter at another number than it was given, its default first; two of them exchanged."""
    given = scene.bound.params
    for parameter in scene.bound.loss.params:
        name, own = parameter.name, given[parameter.name]
        for word, other in _others(parameter, own):
            yield word, told(_with, scene, {name: other}, apart=f"another {name}")
        if name == "pos_weight":
            yield "pos-weight on the wrong outcome", told(_with, scene, {name: 1.0 / own}, own)
    for one, two in combinations([p.name for p in scene.bound.loss.params if isinstance(given[p.name], float)], 2):
        yield f"{one} and {two} exchanged", told(_with, scene, {one: given[two], two: given[one]})


def _with(scene: Scene, params: Mapping[str, Any], factor: float = 1.0) -> Array:
    """The slopes with some parameters at other values, times a factor."""
    return factor * scene.other(scene.bound.loss.bind(**{**scene.bound.params, **params}))


def _others(parameter: Parameter, own: Any) -> Iterator[tuple[str, Any]]:
    name, default = parameter.name.replace("_", "-"), parameter.default
    if own != default:
        yield f"{name} at its default, {default}, not at {own}", default
    candidates: list[Any] = list(parameter.param.choices)
    if isinstance(own, bool):
        candidates = [not own]
    elif isinstance(own, int):
        candidates = [0, 1, own - 1, own + 1]
    elif own is None:
        # What Lin et al. and torchvision balance a focal loss by, and its complement.
        candidates = [0.25, 0.75]
    elif isinstance(own, float):
        candidates = [0.0, 1.0, 1.0 - own, 1.0 / own if own else 1.0, 2.0 * own, own / 2.0, own**2]
    for other in dict.fromkeys(candidates):
        if other in (own, default):
            continue
        try:
            instead = "where none is given" if own is None else f"not at {own}"
            yield f"{name} at {other!r:.8}, {instead}", parameter.check(other)
        except UsageError:
            continue


def _links(scene: Scene) -> Found:
    """Inputs taken for what they are not, and slopes by another form of them."""
    given = scene.plan.link
    for link in scene.plan.signature.links:
        if link != given:
            yield f"{given} read as {link}", told(_read_as, scene, link)
            if is_form(given, link):
                yield f"the slope by {link}, not by {given}", told(scene.converted, link)
    columns, reads = scene.plan.columns, scene.plan.signature
    for other in (*reads.differentiable, *([reads.labels] if reads.expected else [])):
        if other != scene.name and other in columns and columns[other].shape == columns[scene.name].shape:
            # That of a residual is the other one's with the sign changed, whatever the data.
            yield f"the slope by {other}", told(_by, scene, other, apart="")


def _read_as(scene: Scene, link: str) -> Array:
    return scene.through(scene.slopes.table.arrays, link)


def _by(scene: Scene, name: str) -> Array:
    return scene.filled(replace(scene.slopes, name=name))


def _arrangements(scene: Scene) -> Found:
    """Rows and entries in other places than their own; of a sample, the rows of the whole."""
    if scene.sample:
        rows = np.arange(scene.whole.rows) if scene.plan.order is None else scene.plan.order
        for word, shift in (("late", -1), ("early", 1)):
            moved = (rows + shift) % scene.whole.rows
            yield f"rows one too {word}", told(scene.rearranged, moved)
        yield "rows in reverse order", told(scene.rearranged, scene.whole.rows - 1 - rows)
        return
    yield from generic(scene.truth).items()


def generic(reference: Array) -> Mapping[str, Hypothesis]:
    """What may be wrong with any array of slopes, whatever it is the gradient of."""
    r = reference
    made: dict[str, Callable[[], Array]] = {
        "the absolute values": lambda: np.abs(r),
        "the signs alone": lambda: np.sign(r),
        "the squares": lambda: r * r,
    }
    if r.ndim:
        made |= _rolled(r, 0, "row" if r.ndim > 1 else "entry")
    if r.ndim > 1:
        made |= _rolled(r, -1, "column")
        made["transposed"] = lambda: np.ascontiguousarray(r.T).reshape(r.shape)
        made["the mean over the rows in every row"] = lambda: np.broadcast_to(r.mean(axis=0), r.shape).copy()
        made["the first row in every row"] = lambda: np.broadcast_to(r[0], r.shape).copy()
        made["each row less its mean"] = lambda: r - r.mean(axis=-1, keepdims=True)
    if r.ndim > 2:
        made["its first axes exchanged"] = lambda: np.ascontiguousarray(r.swapaxes(0, 1)).reshape(r.shape)
        made["its last axes exchanged"] = lambda: np.ascontiguousarray(r.swapaxes(-1, -2)).reshape(r.shape)
    apart = {"the absolute values": "slopes of both signs", "the signs alone": "slopes of several sizes"}
    return {word: told(make, apart=apart.get(word, "rows and columns that differ more")) for word, make in made.items()}


def _rolled(r: Array, axis: int, what: str) -> dict[str, Callable[[], Array]]:
    many = {"row": "rows", "entry": "entries", "column": "columns"}[what]
    at = {"first": 0, "last": -1}
    made: dict[str, Callable[[], Array]] = {
        f"{many} one too late": lambda: np.roll(r, 1, axis=axis),
        f"{many} one too early": lambda: np.roll(r, -1, axis=axis),
        f"{many} in reverse order": lambda: np.flip(r, axis=axis),
    }
    for word, index in at.items():
        made[f"the {word} {what} missing"] = partial(_without, r, axis, index)
    return made


def _without(r: Array, axis: int, index: int) -> Array:
    made = r.copy()
    np.moveaxis(made, axis, 0)[index] = 0.0
    return made


def _dialects(scene: Scene) -> Found:
    """The loss as other libraries compute it; where it is in a dialect, its exact form."""
    loss = catalogue().get(scene.bound.loss.name)
    if loss is None or scene.behind_head:
        return
    dialect = scene.bound.loss.dialect
    if dialect is not None and not dialect.peer:
        # A mean of the user's own is nobody's dialect.
        return
    if dialect is not None:
        yield "the exact form", told(scene.other, loss.bind(**scene.bound.params))
        return
    for peer in PEERS:
        if peer in dialects_of(loss):
            word = f"{loss.name} as {peer} computes it"
            yield word, told(_like, scene, loss, peer)


def _like(scene: Scene, loss: Loss, peer: str) -> Array:
    return scene.other(like(loss, peer).bind(**scene.bound.params))


def _bound(scene: Scene, loss: Loss, params: Mapping[str, Any]) -> Array:
    dialect = scene.bound.loss.dialect
    # A mean of the user's own is taken of any loss.
    own = dialect is not None and not dialect.peer
    return scene.other((replace(loss, dialect=dialect) if own else loss).bind(**params))


def other_losses(scene: Scene) -> Found:
    """Other losses that read the same inputs, with the parameters that they share."""
    mine = scene.bound.loss
    soft = scene.target is not None and scene.target.index is None
    for name, loss in catalogue().items():
        reads = loss.reads
        if soft and not reads.soft:
            continue
        same = reads.layout == mine.reads.layout and reads.names == mine.reads.names and scene.plan.link in reads.links
        if not same or name == mine.name or scene.name not in reads.differentiable or loss.costly:
            continue
        given = {
            entry.name: scene.bound.params[entry.name] for entry in loss.params if entry.name in scene.bound.params
        }
        kind = "Hessian" if scene.order == 2 else "gradient"
        yield f"the {kind} of {name}", told(_bound, scene, loss, given)
        if given:
            word = f"the {kind} of {name} at its defaults"
            yield word, told(_bound, scene, loss, {})


def places_of(scene: Scene) -> Mapping[str, BoolArray]:
    """Sets of entries that have a name, in the shape of the hypotheses."""
    return dict(mistakes.places(scene)) if scene.slopes.table.weighing.kept else {}
