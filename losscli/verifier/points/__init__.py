"""Where a gradient is looked at: named, deterministic data for any signature, drawn from its inputs' domains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from losscli import inputs
from losscli.inputs import Array, Domain
from losscli.loss import Bound
from losscli.plan import How
from losscli.verifier.points.edges import extremes, probabilities, shapes, ties
from losscli.verifier.points.material import CLASSES, ROWS, SCALES, Case, Data, draw, is_free, sound, together
from losscli.verifier.points.seams import kinks
from losscli.verifier.points.settings import containment, parameters, upstreams

__all__ = ["CLASSES", "KINDS", "ROWS", "Case", "Data", "cases", "draw"]

# Where exp of a double, of a single and of a half loses its last bit, underflows or overflows.
SATURATION = (17.0, 37.0, 88.7, 104.0, 709.0, 745.0)


def cases(bound: Bound, link: str, seed: int, kinds: Sequence[str] = ()) -> list[Case]:
    """The built-in cases of a loss, of some kinds or of all; a kind's do not depend on what else is asked for."""
    made: list[Case] = []
    for kind in kinds or KINDS:
        made.extend(_MAKERS[kind](bound, link, np.random.default_rng(seed)))
    return made


def _random(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    reads = bound.loss.reads
    return [Case("random", draw(reads, rng, link, scale=scale), How(link=link)) for scale in SCALES]


def _saturation(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """Logits and residuals where exponentials saturate; probabilities beside 0 and 1."""
    reads = bound.loss.reads
    data = draw(reads, rng, link, rows=2 * len(SATURATION))
    for number, name in enumerate(reads.differentiable):
        domain = reads.domain(name, link)
        array = data[name]
        # Soft targets stay: what saturates beside them is of every kind.
        if reads.entry(name).shared or domain.breaks is not None or (number and domain is inputs.PROBABILITY):
            continue
        if domain.sums:
            # Two distributions are not the same one.
            data[name] = np.roll(_sharp_rows(domain, array), number, axis=0)
        elif np.isinf(domain.low):
            signs = rng.choice([-1.0, 1.0], array.shape) if domain.high > 0.0 else -np.ones(array.shape)
            sizes = np.resize(SATURATION, len(array)).reshape(-1, *([1] * (array.ndim - 1)))
            spread = rng.random(array.shape) < (1.0 if array.ndim == 1 else 0.4)
            data[name] = np.where(spread, signs * sizes, array)
        elif domain.high == 1.0:
            edges = np.array([1e-300, 1e-16, 1e-7, 1 - 2.0**-53, 1 - 1e-7, 0.5])
            data[name] = np.resize(edges, array.shape)
        else:
            data[name] = np.resize([1e-300, 1e-12, 1e-3, 1e3, 1e9], array.shape)
    # Every row also with its signs turned: a margin of 745 tells nothing of one of -745.
    turned = {name: -array if is_free(reads, name, link) else array for name, array in data.items()}
    if any(is_free(reads, name, link) for name in reads.names) and reads.layout != "groups":
        data = together(reads, [data, turned])
    return [Case("saturation", made, How(link=link)) for made in sound(bound, link, [data])]


def _sharp_rows(domain: Domain, array: Array) -> Array:
    """Distributions that nearly put everything on one class."""
    sharp = np.full(array.shape, 1e-9)
    rows, classes = sharp.reshape(-1, array.shape[-1]), array.shape[-1]
    for row, size in enumerate(np.resize([1e-3, 1e-7, 1e-12], len(rows))):
        rows[row] = size
        rows[row, row % classes] = 1.0 - size * (classes - 1)
    return np.log(sharp) if domain.sums == "exp" else sharp


def _labels(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """What is said with the labels: first and last class, smoothing, weights, ignored rows, masks, soft labels."""
    reads = bound.loss.reads
    plain = draw(reads, rng, link)
    hows: list[tuple[How, Data]] = []
    if "label-smoothing" in reads.options:
        hows += [(How(link=link, label_smoothing=share), {}) for share in (0.1, 1.0)]
    if reads.labels:
        name = reads.labels
        index = np.array([0, CLASSES - 1, *plain[name][2:]])
        hows += [(How(link=link), {name: index})]
        if reads.soft:
            hows += [(How(link=link), {name: rng.dirichlet(np.ones(CLASSES), ROWS)})]
        if "ignore-index" in reads.options:
            hows += [(How(link=link, ignore_index=int(index[0])), {name: index})]
        if "class-weight" in reads.options:
            weight = np.array([0.5, 2.0, 0.0, *np.ones(CLASSES - 3)])
            hows += [(How(link=link, class_weight=weight), {})]
            if reads.soft:
                hows += [(How(link=link, class_weight=weight, label_smoothing=0.1), {name: index})]
    if "labels" in reads.options:
        labels = np.asarray(rng.integers(0, 2, plain["label"].shape))
        hows += [(How(link=link, zero_one_labels=True), {"label": labels})]
    if "target" in reads.names and reads.domain("target", link) is inputs.PROBABILITY:
        hows += [(How(link=link), {"target": np.resize([0.0, 1.0, 0.25], plain["target"].shape)})]
    return [Case("labels", {**plain, **change}, how) for how, change in hows]


_MAKERS: Mapping[str, Callable[[Bound, str, np.random.Generator], list[Case]]] = {
    "random": _random,
    "kinks": kinks,
    "saturation": _saturation,
    "labels": _labels,
    "ties": ties,
    "probabilities": probabilities,
    "extremes": extremes,
    "shapes": shapes,
    "parameters": parameters,
    "upstreams": upstreams,
    "containment": containment,
}
KINDS = tuple(_MAKERS)
