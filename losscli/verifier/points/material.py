"""What points are made of: random data for any signature, and which of its rows have a loss to speak of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from losscli import inputs
from losscli.errors import LosscliError
from losscli.files.source import Source
from losscli.inputs import Array, Bools, Domain, Fold, Signature
from losscli.loss import Bound, Pooled
from losscli.plan import How, plan
from losscli.targets import arrange

Data = dict[str, np.ndarray[Any, Any]]

ROWS, CLASSES = 7, 4
# Random real numbers are of about these sizes.
SCALES = (1.0, 0.03, 8.0)
# How long a named axis is in the data drawn here; any other is one of classes.
_LENGTHS = {"C": CLASSES, "D": 3, "M": 4, "T": 6, "L": 2, "1": 1}


@dataclass(frozen=True)
class Case:
    """Data to look at a gradient on, under the name of what it tries.

    ``bound`` is the loss with other parameters than it was given, ``label`` how such a case is told from others of
    its kind; ``sample_weight`` and ``mask`` are those of ``plan_of``.
    """

    kind: str
    data: Data
    how: How = field(default_factory=How)
    bound: Bound | None = None
    label: str = ""
    sample_weight: Array | None = None
    mask: Array | None = None


def draw(
    signature: Signature,
    rng: np.random.Generator,
    link: str = "",
    *,
    scale: float = 1.0,
    rows: int = ROWS,
    classes: int = CLASSES,
) -> Data:
    """Random data that a signature accepts: ``rows`` rows of real numbers of about the given scale."""
    link = link or signature.default_link
    plain = (rows,) if signature.layout in ("elements", "groups") else (rows, classes)
    lengths = {**_LENGTHS, "N": rows, "C": classes}
    made: Data = {}
    for entry in signature.inputs:
        shape = plain if entry.axes is None else tuple(lengths.get(axis, classes) for axis in entry.axes)
        domain = signature.domain(entry.name, link)
        maker = domain.draw or entry.draw
        if maker is not None:
            made[entry.name] = maker(rng, shape, scale)
        else:
            made[entry.name] = np.asarray(_draw(domain, rng, shape, scale, classes, binary=entry.name == "target"))
    return made


def _draw(
    domain: Domain, rng: np.random.Generator, shape: tuple[int, ...], scale: float, classes: int, *, binary: bool
) -> np.ndarray[Any, Any]:
    if domain is inputs.LABEL:
        return rng.integers(0, classes, shape[:1])
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


def rows_of(reads: Signature, data: Data, keep: Any) -> Data:
    """Some rows of data; what all rows share stays whole."""
    return {name: array if reads.entry(name).shared else array[keep] for name, array in data.items()}


def together(reads: Signature, several: Sequence[Data]) -> Data:
    """Data one below the other; what all rows share is that of the first."""
    first = several[0]
    return {
        name: first[name] if reads.entry(name).shared else np.concatenate([data[name] for data in several])
        for name in first
    }


def is_free(reads: Signature, name: str, link: str) -> bool:
    """Whether an input is differentiable and may be any number."""
    domain, entry = reads.domain(name, link), reads.entry(name)
    whole = not domain.sums and domain.breaks is None
    unbounded = np.isinf(domain.low) and domain.high > 0.0
    return entry.differentiable and not entry.shared and whole and bool(unbounded)


def folded(bound: Bound, link: str, data: Data) -> Fold:
    """Data through checks and fold, as a kernel reads them."""
    reads = bound.loss.reads
    made = plan(reads, {name: Source(name, array) for name, array in data.items()}, How(link=link))
    with np.errstate(all="ignore"):
        table = arrange(made, 0, made.rows)
        return reads.links[link].fold(*table.arrays)


def finite(bound: Bound, link: str, data: Data) -> Bools:
    """The rows whose loss is a finite number, or the groups: where it overflows there is no slope to speak of."""
    fold = folded(bound, link, data)
    with np.errstate(all="ignore"):
        kernel = bound(*fold.variables)
        if isinstance(kernel, Pooled):
            return np.isfinite(np.atleast_1d(kernel.value(*kernel.totals(None))))
        return np.isfinite(fold.combine(kernel.value) if fold.combine else kernel.value)


def meet(bound: Bound, link: str, data: Data) -> bool:
    """Whether rows of data meet in one loss."""
    with np.errstate(all="ignore"):
        return bound.loss.reads.layout == "groups" or isinstance(bound(*folded(bound, link, data).variables), Pooled)


def apart(bound: Bound, link: str, data: Data) -> bool:
    """Whether data that are put together would meet in one loss, or would have to share an input."""
    return any(entry.shared for entry in bound.loss.reads.inputs) or meet(bound, link, data)


def sound(bound: Bound, link: str, several: Sequence[Data]) -> Iterator[Data]:
    """Data as a loss admits them, rows of infinite loss left out; those that need not stay apart as one."""
    reads, admitted = bound.loss.reads, []
    for data in several:
        try:
            keep = finite(bound, link, data)
        except LosscliError:
            # Such data do not go with the loss, or with its parameters.
            continue
        rows = len(data[reads.names[0]])
        if len(keep) == rows and reads.layout != "groups":
            admitted += [rows_of(reads, data, keep)] if keep.any() else []
        elif keep.all():
            admitted.append(data)
    if admitted and not apart(bound, link, admitted[0]):
        shapes = {tuple(array.shape[1:] for array in data.values()) for data in admitted}
        for shape in sorted(shapes, key=repr):
            alike = [data for data in admitted if tuple(array.shape[1:] for array in data.values()) == shape]
            yield together(reads, alike)
    else:
        yield from admitted
