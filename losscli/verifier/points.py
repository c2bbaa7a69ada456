"""Where a gradient is looked at: named, deterministic data for any signature, drawn from its inputs' domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

import numpy as np

from losscli import inputs
from losscli.files.source import Source
from losscli.inputs import Array, Bools, Domain, Fold, Signature
from losscli.loss import Bound, Pooled
from losscli.plan import How, plan
from losscli.targets import arrange

Data = dict[str, np.ndarray[Any, Any]]

# Where exp of a double, of a single and of a half loses its last bit, underflows or overflows.
SATURATION = (17.0, 37.0, 88.7, 104.0, 709.0, 745.0)
# Beside a kink: one float, then from closer than any difference can resolve to far away.
BESIDE = (1e-12, 1e-9, 1e-6, 1e-3, 1e-1)
ROWS, CLASSES = 7, 4
# How long a named axis is in the data drawn here; any other is one of classes.
_LENGTHS = {"C": CLASSES, "D": 3, "M": 4, "T": 6, "L": 2, "1": 1}

KINDS = ("random", "kinks", "saturation", "labels")


@dataclass(frozen=True)
class Case:
    """Data to look at a gradient on, under the name of what it tries."""

    kind: str
    data: Data
    how: How = field(default_factory=How)


def draw(
    signature: Signature, rng: np.random.Generator, link: str = "", *, scale: float = 1.0, rows: int = ROWS
) -> Data:
    """Random data that a signature accepts: ``rows`` rows, real numbers of about the given scale."""
    link = link or signature.default_link
    plain = (rows,) if signature.layout in ("elements", "groups") else (rows, CLASSES)
    lengths = {**_LENGTHS, "N": rows}
    made: Data = {}
    for entry in signature.inputs:
        shape = plain if entry.axes is None else tuple(lengths.get(axis, CLASSES) for axis in entry.axes)
        domain = signature.domain(entry.name, link)
        if entry.draw is not None:
            made[entry.name] = entry.draw(rng, shape, scale)
        else:
            made[entry.name] = np.asarray(_draw(domain, rng, shape, scale, binary=entry.name == "target"))
    return made


def _draw(
    domain: Domain, rng: np.random.Generator, shape: tuple[int, ...], scale: float, *, binary: bool
) -> np.ndarray[Any, Any]:
    if domain is inputs.LABEL:
        return rng.integers(0, CLASSES, shape[:1])
    if domain is inputs.IDENTITY:
        return np.sort(rng.integers(0, max(2, shape[0] // 3), shape[0]))
    if domain.members:
        return rng.choice(np.array(domain.members), shape)
    if domain.sums == "exp":
        z = rng.normal(size=shape) * max(scale, 1e-3)
        z = z - z.max(axis=-1, keepdims=True)
        return np.minimum(z - np.log(np.exp(z).sum(axis=-1, keepdims=True)), 0.0)
    if domain.sums == "one":
        p = rng.gamma(np.clip(1.0 / scale, 0.8, 50.0), size=shape) + 1e-3
        return p / p.sum(axis=-1, keepdims=True)
    if domain is inputs.PROBABILITY:
        # Targets of 0, of 1 and between; predictions between.
        p = rng.uniform(0.02, 0.98, shape)
        return np.where(rng.random(shape) < 0.7, np.round(p), p) if binary else p
    if domain is inputs.NON_NEGATIVE:
        return rng.poisson(3.0, shape).astype(np.float64) if binary else rng.gamma(2.0, size=shape) * scale
    made = rng.normal(size=shape) * scale
    return -np.abs(made) if domain.high == 0.0 else made


def cases(bound: Bound, link: str, seed: int, kinds: Sequence[str] = KINDS) -> list[Case]:
    """The built-in cases of a loss."""
    rng = np.random.default_rng(seed)
    made: list[Case] = []
    for kind in kinds:
        made.extend(_MAKERS[kind](bound, link, rng))
    return made


def _random(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    reads = bound.loss.reads
    return [Case("random", draw(reads, rng, link, scale=scale), How(link=link)) for scale in (1.0, 0.03, 8.0)]


def _saturation(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """Logits and residuals where exponentials saturate; probabilities beside 0 and 1."""
    reads = bound.loss.reads
    data = draw(reads, rng, link, rows=2 * len(SATURATION))
    for number, name in enumerate(reads.differentiable):
        domain = reads.domain(name, link)
        array = data[name]
        if reads.entry(name).shared or domain.breaks is not None:
            continue
        if domain.sums:
            # Two distributions are not the same one.
            data[name] = np.roll(_saturated_rows(domain, array), number, axis=0)
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
    turned = {name: -array if _free(reads, name, link) else array for name, array in data.items()}
    if any(_free(reads, name, link) for name in reads.names) and reads.layout != "groups":
        data = _together(reads, [data, turned])
    finite = _finite(bound, link, data)
    if reads.layout == "groups":
        return [Case("saturation", data, How(link=link))] if finite.all() else []
    return [Case("saturation", _rows(reads, data, finite), How(link=link))] if finite.any() else []


def _rows(reads: Signature, data: Data, keep: Any) -> Data:
    """Some rows of data; what all rows share stays whole."""
    return {name: array if reads.entry(name).shared else array[keep] for name, array in data.items()}


def _together(reads: Signature, several: Sequence[Data]) -> Data:
    """Data one below the other; what all rows share is that of the first."""
    first = several[0]
    return {
        name: first[name] if reads.entry(name).shared else np.concatenate([data[name] for data in several])
        for name in first
    }


def _free(reads: Signature, name: str, link: str) -> bool:
    """Whether an input is differentiable and may be any number."""
    domain, entry = reads.domain(name, link), reads.entry(name)
    whole = not domain.sums and domain.breaks is None
    unbounded = np.isinf(domain.low) and domain.high > 0.0
    return entry.differentiable and not entry.shared and whole and bool(unbounded)


def _finite(bound: Bound, link: str, data: Data) -> Bools:
    """The rows whose loss is a finite number: where it overflows there is no slope to speak of."""
    fold = _folded(bound, link, data)
    with np.errstate(all="ignore"):
        kernel = bound(*fold.variables)
        if isinstance(kernel, Pooled):
            return np.ones(len(next(iter(data.values()))), dtype=np.bool_)
        return np.isfinite(fold.combine(kernel.value) if fold.combine else kernel.value)


def _folded(bound: Bound, link: str, data: Data) -> Fold:
    """Data through checks and fold, as a kernel reads them."""
    reads = bound.loss.reads
    made = plan(reads, {name: Source(name, array) for name, array in data.items()}, How(link=link))
    with np.errstate(all="ignore"):
        table = arrange(made, 0, made.rows)
        return reads.links[link].fold(*table.arrays)


def _saturated_rows(domain: Domain, array: Array) -> Array:
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


def _kinks(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """Data on declared kinks, one float beside them and at growing distances; and on the values of parameters.

    A kink is found from the loss's own labels of its pieces: between two draws on different pieces lies one, and
    bisection closes in on it until no float is left between.
    """
    reads = bound.loss.reads
    made = [Case("kinks", data, How(link=link)) for data in _at_parameters(bound, link, rng)]
    if bound.loss.kinks is None:
        return made
    if not bound.loss.kinks.jump:
        made.extend(Case("kinks", data, How(link=link)) for data in _degenerate(bound, link, rng))
    found = [draw(reads, rng, link, rows=4) for _ in range(4)]
    for name in reads.differentiable:
        if reads.entry(name).shared:
            continue
        on = [_bisect(bound, link, name, *pair) for pair in pairwise(found)]
        # Rows are independent: those that share everything else make one case.
        apart = reads.layout == "groups" or any(entry.shared for entry in reads.inputs)
        cases = list(chain(*on)) if apart else [_together(reads, list(chain(*on)))] if any(on) else []
        made.extend(Case("kinks", data, How(link=link)) for data in cases)
    return made


def _at_parameters(bound: Bound, link: str, rng: np.random.Generator) -> list[Data]:
    """Residuals and margins of exactly ± each parameter, where losses often change their form, and a float beside."""
    reads = bound.loss.reads
    values = [float(value) for value in bound.params.values() if isinstance(value, float)] + [1.0]
    seams = np.array([sign * value for value in values for sign in (1.0, -1.0)])
    if reads.layout != "elements" or len(reads.inputs) < 2 or not np.isinf(reads.domain(reads.names[0], link).low):
        return []
    beside = [np.nextafter(seams, np.inf), np.nextafter(seams, -np.inf)]
    # On a jump there is no slope to look at, only beside it.
    jumps = bound.loss.kinks is not None and bound.loss.kinks.jump
    points = np.concatenate(beside if jumps else [seams, *beside])
    data = draw(reads, rng, link, rows=len(points))
    data[reads.names[0]] = points
    if reads.names[1] in reads.differentiable:
        data[reads.names[1]] = np.zeros(len(points))
    return [data]


def _degenerate(bound: Bound, link: str, rng: np.random.Generator) -> list[Data]:
    """Inputs that coincide, and inputs of zero: where distances, norms and ties have no slope."""
    reads = bound.loss.reads
    data = draw(reads, rng, link)
    domains = {name: reads.domain(name, link) for name in reads.differentiable}
    free = [name for name, domain in domains.items() if np.isinf(domain.low) and not domain.sums]
    if not free:
        return []
    first = data[free[0]]
    # Samples of different sizes share points too.
    alike = [name for name in free if data[name].shape[1:] == first.shape[1:]]
    coincident = {**data, **{name: np.resize(first, data[name].shape) for name in alike}}
    if any(reads.domain(name, link).breaks is not None for name in free):
        # Boxes of one and the same point, with no edge that could be moved on its own.
        return [coincident]
    return [coincident, {**data, **{name: np.zeros_like(data[name]) for name in free}}]


def _bisect(bound: Bound, link: str, name: str, start: Data, end: Data) -> list[Data]:
    """Data on the kink between two draws that differ in one input, on both of its sides, and beside it."""
    low, high = start[name].astype(np.float64), end[name].astype(np.float64)
    at_low = _pieces(bound, link, {**start, name: low})
    crossed = _differ(at_low, _pieces(bound, link, {**start, name: high}))
    if not crossed.any():
        return []
    first, last, domain = low.copy(), high.copy(), bound.loss.reads.domain(name, link)
    for _ in range(80):
        middle = _within(domain, low + (high - low) / 2.0)
        other = _differ(at_low, _pieces(bound, link, {**start, name: middle}))
        # Rows of a group move together.
        by_row = other.reshape(-1, *([1] * (low.ndim - 1))) if len(other) == len(low) else other.any()
        low, high = np.where(by_row, low, middle), np.where(by_row, middle, high)
    keep = np.flatnonzero(crossed) if len(crossed) == len(low) else np.arange(len(low))
    beside = [_within(domain, high + gap * (last - first) / np.abs(last - first).max()) for gap in BESIDE]
    # On a jump there is no slope to look at, only beside it.
    jumps = bound.loss.kinks is not None and bound.loss.kinks.jump
    sides = beside if jumps else [high, low, *beside]
    reads = bound.loss.reads
    return [{**_rows(reads, start, keep), name: side[keep]} for side in sides]


def _within(domain: Domain, x: Array) -> Array:
    """Rows that add up again, where the domain demands it."""
    if domain.sums == "one":
        x = np.maximum(x, 0.0)
        return np.asarray(x / x.sum(axis=-1, keepdims=True))
    if domain.sums == "exp":
        return np.asarray(np.minimum(x - np.log(np.exp(x).sum(axis=-1, keepdims=True)), 0.0))
    return x


def _pieces(bound: Bound, link: str, data: Data) -> np.ndarray[Any, Any]:
    """The label of the smooth piece of every row, (M, K)."""
    fold = _folded(bound, link, data)
    with np.errstate(all="ignore"):
        labels = np.asarray(bound.pieces(*fold.variables))
    return labels.reshape(len(labels), -1)


def _differ(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> Bools:
    return np.asarray((a != b).any(axis=1))


_MAKERS: Mapping[str, Any] = {"random": _random, "kinks": _kinks, "saturation": _saturation, "labels": _labels}
