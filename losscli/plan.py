"""How a loss's data lie: which array is which input, how their shapes agree, and in what blocks they are read.

Rows come first and, for class scores, classes last, whatever the file's order of axes. Shapes are checked here,
once, before anything is read; values are checked in targets.py, block by block.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from losscli.columns import Column, Raw, Spans
from losscli.errors import DataError, Place, UsageError
from losscli.families.binary import smoothed
from losscli.files.source import Source
from losscli.inputs import IDENTITY, LABEL, Array, Domain, Groups, Input, Ints, Link, Signature

# The inputs of one block as float64: with as many temporaries they stay in a core's cache, and a block's arithmetic
# takes several times as long as finding out what is to be done.
_BLOCK_BYTES = 2 << 20


@dataclass(frozen=True)
class How:
    """The shared options that say how data are to be read."""

    link: str = ""
    class_axis: int = 1
    classes: tuple[str, ...] = ()
    class_weight: Array | None = None
    label_smoothing: float = 0.0
    ignore_index: int | None = None
    zero_one_labels: bool = False


@dataclass(frozen=True)
class Laid:
    """An input of a plan and what every block of it is read by: ``own_axes`` of it lie within a row, 1 for a vector."""

    entry: Input
    column: Column | None
    own_axes: int
    domain: Domain


@dataclass(frozen=True)
class Plan:
    """A loss's data, checked for shape, and the blocks they are read in.

    ``lead`` is the shape of the data without the axis that a row's own entries lie on; ``order`` brings the rows of
    each group together where the file scatters them; ``names`` are the classes' names where they are known.
    """

    signature: Signature
    link: str
    how: How
    columns: Mapping[str, Column]
    lead: tuple[int, ...]
    classes: int = 0
    names: tuple[str, ...] = ()
    sample_weight: Column | None = None
    mask: Column | None = None
    order: Ints | None = None
    groups: Groups | None = None
    block_rows: int = field(default=1)

    @property
    def first(self) -> Column:
        """The first input: its shape is that of the data."""
        return self.columns[self.signature.names[0]]

    @property
    def rows(self) -> int:
        """The length of the data's first axis."""
        return self.lead[0]

    def own_axes(self, name: str) -> int:
        """How many axes of an input lie within a row: 1 for a vector."""
        axes = self.signature.entry(name).axes
        return int(self.signature.layout in ("classes", "rows")) if axes is None else len(axes) - 1

    @cached_property
    def laid(self) -> tuple[Laid, ...]:
        """The inputs, looked up once for all blocks."""
        return tuple(
            Laid(entry, self.columns.get(name), self.own_axes(name), self.signature.domain(name, self.link))
            for name, entry in zip(self.signature.names, self.signature.inputs, strict=True)
        )

    def way(self, link: str = "") -> Link:
        """The link in force, or another one, with what is said of soft targets."""
        made, share = self.signature.links[link or self.link], self.how.label_smoothing
        if not share or "target" not in self.signature.names:
            return made
        at = self.signature.names.index("target")
        return smoothed(made, share, at, "target", listed=self.own_axes("target") > 0)

    @cached_property
    def shared(self) -> Mapping[str, Array]:
        """The inputs that all rows read, as float64: held once, however many blocks there are."""
        entries = [entry.name for entry in self.signature.inputs if entry.shared and entry.name in self.columns]
        columns = {name: self.columns[name] for name in entries}
        return {
            name: np.asarray(column.laid_out(np.asarray(column.source.array)), dtype=np.float64)
            for name, column in columns.items()
        }

    def spans(self) -> Sequence[tuple[int, int]]:
        """The blocks, half-open ranges of rows: they depend on the data's shape alone, so the sums do too."""
        if self.groups is None:
            return Spans(0, self.rows, self.block_rows)
        ends = np.cumsum(self.groups.sizes)
        cuts = np.searchsorted(ends, np.arange(self.block_rows, self.rows, self.block_rows))
        return list(pairwise([0, *np.unique([*ends[cuts], self.rows]).tolist()]))

    def read(self, column: Column, start: int, stop: int) -> Raw:
        """Rows [start, stop) of an input, in the order of the plan."""
        return column.read(self.at(start, stop))

    def at(self, start: int, stop: int) -> Any:
        """Where rows [start, stop) of the plan stand in the data: a slice, or the rows one by one."""
        return slice(start, stop) if self.order is None else self.order[start:stop]

    def place(self, column: Column, start: int, flat: int, entry: Sequence[int] = ()) -> Place:
        """Where the flat-th row of the block from ``start`` stands, or one entry of it."""
        within = self.lead[1:]
        at = [int(i) for i in np.unravel_index(flat % max(1, math.prod(within)), within)] if within else []
        row = start + flat // max(1, math.prod(within))
        first = row if self.order is None else int(self.order[row])
        depth = len(column.shape)
        return column.place([first, *at, *entry][:depth])


def plan(
    signature: Signature,
    sources: Mapping[str, Source],
    how: How,
    *,
    sample_weight: Source | None = None,
    mask: Source | None = None,
) -> Plan:
    """Check options and shapes, and lay the data out as rows; UsageError, DataError."""
    link = how.link or signature.default_link
    if link not in signature.links:
        raise UsageError("link-unknown", f"--from must be one of {', '.join(signature.links)}, not {link!r}")
    _check_options(signature, how, sample_weight is not None, mask is not None)
    if not 0.0 <= how.label_smoothing <= 1.0:
        raise UsageError("parameter-range", f"--label-smoothing must be in [0, 1], not {how.label_smoothing:g}")
    columns = _columns(signature, sources, how)
    first = columns[signature.names[0]]
    shape = first.shape
    if signature.inputs[0].axes is not None:
        lead = shape[:1]
    else:
        lead = shape[:-1] if signature.layout in ("classes", "rows") else shape
    classes = shape[-1] if signature.layout == "classes" else _classes(signature, columns)
    rows = [column for name, column in columns.items() if not signature.entry(name).shared]
    made = Plan(
        signature,
        link,
        how,
        columns,
        lead,
        classes,
        _class_names(how, classes, _header_names(first.source.columns, signature.names[0])),
        _aside("sample-weight", sample_weight, lead),
        _aside("mask", mask, lead),
        block_rows=max(1, _BLOCK_BYTES // sum(8 * math.prod(column.shape[1:]) for column in rows)),
    )
    return _grouped(made) if signature.layout == "groups" else made


def _columns(signature: Signature, sources: Mapping[str, Source], how: How) -> dict[str, Column]:
    """The inputs that are given, in shapes that agree."""
    given = [entry for entry in signature.inputs if entry.name in sources]
    if signature.inputs[0].axes is None:
        first = _first(signature, sources[signature.names[0]], how)
        others = {entry.name: _fit(signature, entry.name, sources[entry.name], first) for entry in given[1:]}
        return {signature.names[0]: first, **others}
    lengths: dict[str, tuple[int, str]] = {"1": (1, "every loss")}
    return {entry.name: _by_axes(signature, entry, sources[entry.name], lengths) for entry in given}


def _by_axes(signature: Signature, entry: Input, source: Source, lengths: dict[str, tuple[int, str]]) -> Column:
    """An input in the shape that its axes' names say; ``lengths`` are those met so far, and where."""
    if 0 in source.shape:
        raise DataError("data-empty", "no data rows", place=Place(source.name))
    axes = entry.axes or ""
    if entry.domain is LABEL and signature.soft and len(source.shape) == len(axes) + 1:
        axes += "C"
    depth = len(source.shape)
    # One row, one class: its axis may be left out.
    column = Column.of(source, lead=depth == len(axes) - 1)
    if len(column.shape) > len(axes):
        column = column.fitted((*column.shape[:1], *(n for n in column.shape[1:] if n != 1))) or column
    if len(column.shape) != len(axes):
        known = ", ".join(str(lengths[axis][0]) if axis in lengths else axis for axis in axes)
        raise _shape_error(column, f"{entry.name} must have shape ({known}{',' * (len(axes) == 1)})")
    for axis, length in zip(axes, column.shape, strict=True):
        known_length, name = lengths.setdefault(axis, (length, entry.name))
        if length != known_length:
            rule = f"{entry.name} must have {known_length} along axis {axis}, as {name} has"
            raise DataError(
                "length" if axis == "N" else "shape", f"{rule}, not shape {source.shape}", place=Place(source.name)
            )
    return column


def _classes(signature: Signature, columns: Mapping[str, Column]) -> int:
    """How many classes the labels of a signature with named axes choose from; 0: it has no labels."""
    for name, column in columns.items():
        axes = signature.entry(name).axes or ""
        if signature.labels and "C" in axes:
            return column.shape[axes.index("C")]
    return 0


def _check_options(signature: Signature, how: How, weighted: bool, masked: bool) -> None:
    """Refuse a shared option that means nothing to the family."""
    given = {
        "class-axis": how.class_axis != 1,
        "classes": bool(how.classes),
        "class-weight": how.class_weight is not None,
        "label-smoothing": how.label_smoothing != 0.0,
        "ignore-index": how.ignore_index is not None,
        "labels": how.zero_one_labels,
        "sample-weight": weighted,
        "mask": masked,
    }
    for option, is_given in given.items():
        if is_given and option not in signature.options:
            raise UsageError("option-unknown", f"--{option} means nothing to losses that read {signature.name} data")


def _first(signature: Signature, source: Source, how: How) -> Column:
    """The first input with its rows in front and its class axis behind."""
    vectors = signature.layout in ("classes", "rows")
    name, depth = signature.names[0], len(source.shape)
    if 0 in source.shape:
        raise DataError("data-empty", "no data rows", place=Place(source.name))
    column = Column.of(source, lead=depth == 0 or (vectors and depth == 1))
    if signature.layout == "rows" and len(column.shape) != 2:
        raise _shape_error(column, f"{name} must have shape (rows, entries)")
    if signature.layout == "groups" and len(column.shape) != 1:
        raise _shape_error(column, f"{name} must have one number per row")
    if signature.layout != "classes":
        return column
    axis = how.class_axis + len(column.shape) if how.class_axis < 0 else how.class_axis
    if not 0 <= axis < len(column.shape):
        raise UsageError("class-axis", f"--class-axis {how.class_axis} is not an axis of shape {source.shape}")
    return column.with_last(axis)


def _fit(signature: Signature, name: str, source: Source, first: Column) -> Column:
    """Another input, in the shape that goes with the first."""
    shape = first.shape
    if signature.layout == "classes":
        if source.shape == first.source.shape and len(first.shape) > 1 and source.dtype.kind != "U":
            return Column.of(source, lead=first.lead).with_last(first.axis or 0)
        shape = first.shape[:-1]
    fitted = Column.of(source, lead=first.lead or not source.shape).fitted(shape)
    if fitted is None:
        raise _length_error(Column.of(source), first, name, signature.names[0])
    return fitted


def _shape_error(column: Column, rule: str) -> DataError:
    return DataError("shape", f"{rule}, not {column.source.shape}", place=Place(column.source.name))


def _length_error(column: Column, first: Column, name: str, first_name: str) -> DataError:
    mine, theirs = column.source.shape, first.source.shape
    if mine[:1] != theirs[:1]:
        rows = f"{mine[0] if mine else 1} rows of {name}"
        message = f"{rows}, but {theirs[0] if theirs else 1} of {first_name} in {first.source.name}"
        return DataError("length", message, place=Place(column.source.name))
    message = f"{name} of shape {mine} does not go with {first_name} of shape {theirs}"
    return DataError("shape", message, place=Place(column.source.name))


def _aside(option: str, source: Source | None, lead: tuple[int, ...]) -> Column | None:
    """A weight or a mask: one number per row, or one per entry."""
    if source is None:
        return None
    column = Column.of(source)
    for shape in (lead, lead[:1]):
        fitted = column.fitted(shape)
        if fitted is not None:
            return fitted
    message = f"--{option} of shape {source.shape} does not go with rows of shape {lead}"
    raise DataError("length", message, place=Place(source.name))


def _class_names(how: How, classes: int, header: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes, from --classes or the header, after checking what is said per class."""
    if how.classes and classes and len(how.classes) != classes:
        raise UsageError("classes", f"--classes names {len(how.classes)} classes, the data have {classes}")
    weight = how.class_weight
    if weight is not None and weight.shape != (classes,):
        raise UsageError("class-weight", f"--class-weight needs {classes} numbers, one per class, not {weight.size}")
    if weight is not None and not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise UsageError("class-weight", "--class-weight must be finite and at least 0")
    names = how.classes or (tuple(header) if len(header) == classes else ())
    if len(set(names)) != len(names):
        raise UsageError("classes", "two classes have the same name", hint="name them with --classes a,b,c")
    return names


def _header_names(header: Sequence[str], name: str) -> tuple[str, ...]:
    """The header's words; in a container, where an input's columns start with its name, what follows it."""
    for prefix in (f"{name}_", f"{name}."):
        if all(word.startswith(prefix) for word in header):
            return tuple(word.removeprefix(prefix) for word in header)
    return tuple(header)


def _grouped(made: Plan) -> Plan:
    """Bring the rows of each group together, in the order in which the groups first appear; without one, all rows."""
    name = next((entry.name for entry in made.signature.inputs if entry.domain is IDENTITY), "")
    if name not in made.columns:
        return replace(made, groups=Groups(np.zeros(1, dtype=np.intp), np.array([made.rows])))
    column = made.columns[name]
    identity = column.read(slice(None))
    if identity.dtype.kind == "f" and not np.isfinite(identity).all():
        at = int(np.argmin(np.isfinite(identity)))
        raise DataError("domain", f"{name} must be finite, not {identity[at]:g}", place=column.place((at,)))
    starts = np.flatnonzero(np.concatenate([[True], identity[1:] != identity[:-1]]))
    names = identity[starts]
    # Names that only ever grow need not be looked for among each other.
    if (names[1:] > names[:-1]).all() or len(np.unique(names)) == len(names):
        return replace(made, groups=Groups(starts, np.diff(starts, append=len(identity))))
    _, first, inverse = np.unique(identity, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    position = rank[inverse.reshape(-1)]
    order = np.argsort(position, kind="stable")
    sizes = np.bincount(position)
    groups = Groups(np.cumsum(sizes) - sizes, sizes)
    return replace(made, order=order, groups=groups)
