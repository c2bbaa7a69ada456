"""Nested lists and mappings, as JSON and YAML hold them, turned into arrays."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from losscli.errors import DataError, Place, did_you_mean
from losscli.files.blob import Blob, listed
from losscli.files.cells import encoding_error
from losscli.files.source import Array, Source

MAX_DEPTH = 64
MAX_AXES = 32
# Such formats are for what people write by hand; a gigabyte of them would take ten in memory.
MAX_BYTES = 1 << 30
NONFINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def text_of(blob: Blob) -> str:
    """Return a whole file as text; DataError where it is not UTF-8."""
    try:
        return blob.read(MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise encoding_error(Place(blob.name)) from None


@dataclass(frozen=True)
class Leaves:
    """Where the scalars of one value stand: the line of each in the order of the text, or nothing but their index."""

    file: str
    name: str
    kind: str
    lines: Sequence[int] = ()
    start: int = 0
    shape: tuple[int, ...] = ()

    def __call__(self, index: tuple[int, ...]) -> Place:
        """Return the place of the scalar at ``index``."""
        if not self.lines or len(index) != len(self.shape):
            return Place(self.name, index=index)
        flat = 0
        for i, length in zip(index, self.shape, strict=True):
            flat = flat * length + i
        return Place(self.file, line=self.lines[self.start + flat])

    def leaf(self, count: int, path: tuple[int, ...]) -> Place:
        """Return the place of the scalar that has ``count`` others before it."""
        if not self.lines:
            return Place(self.name, index=path)
        # An empty list at the end has no scalar of its own: the last one of the text is the nearest.
        return Place(self.file, line=self.lines[min(self.start + count, len(self.lines) - 1)])


@dataclass(frozen=True)
class Document:
    """A parsed JSON or YAML file.

    ``kind`` is ``json`` or ``yaml`` and begins the error codes. ``lines`` holds the 1-based line of
    every scalar, in the order of the text, where the reader knows it; ``starts`` tells how many scalars stand before
    the value of each dotted key.
    """

    file: str
    kind: str
    root: Any
    lines: Sequence[int] = ()
    starts: Mapping[str, int] = field(default_factory=dict)

    @property
    def entries(self) -> dict[str, Any]:
        """The values by key; the keys of a mapping within a mapping are joined by dots."""
        return dict(_flat(self.root)) if isinstance(self.root, dict) else {}

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that can be selected."""
        return tuple(self.entries)

    def find(self, name: str) -> str | None:
        """Return the name itself, if it is a key."""
        return name if name in self.entries else None

    def whole(self, *, text: bool) -> Source:
        """Return the file as one array: the root, or the only list of a mapping."""
        if not isinstance(self.root, dict):
            return self._source(self.file, self.root, 0, text=text)
        entries = self.entries
        lists = [key for key, value in entries.items() if isinstance(value, list)] or list(entries)
        if len(lists) == 1:
            return self.select(lists[0], text=text)
        raise DataError(
            "container-key",
            f"the file holds {len(lists)} arrays: {listed(lists)}",
            place=Place(self.file),
            hint=f"choose one: {self.file}::{lists[0]}" if lists else "",
        )

    def select(self, selector: str, *, text: bool) -> Source:
        """Return the array under the key ``selector``."""
        entries = self.entries
        if selector not in entries:
            raise DataError(
                "selector",
                f"no key {selector!r}; there are: {listed(entries) or 'none'}",
                place=Place(self.file),
                hint=did_you_mean(selector, entries),
            )
        return self._source(f"{self.file}::{selector}", entries[selector], self.starts.get(selector, 0), text=text)

    def _source(self, name: str, value: Any, start: int, *, text: bool) -> Source:
        leaves = Leaves(self.file, name, self.kind, self.lines, start)
        array = to_array(value, leaves, text=text)
        return Source(name, array, (), Leaves(self.file, name, self.kind, self.lines, start, array.shape))


def _flat(mapping: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in mapping.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", value))
    return pairs


def to_array(value: Any, leaves: Leaves, *, text: bool) -> Array:
    """Return the array of a rectangular nested list; DataError names the path of what does not fit."""
    shape: list[int] = []
    level = [value]
    while level and any(isinstance(item, list) for item in level):
        length = len(level[0]) if isinstance(level[0], list) else -1
        for position, item in enumerate(level):
            if not isinstance(item, list) or len(item) != length:
                before = sum(map(_count, level[:position]))
                raise _ragged(item, length, leaves.leaf(before, path := _path(position, shape)), path, leaves.kind)
        shape.append(length)
        if len(shape) > MAX_AXES:
            raise DataError(f"{leaves.kind}-depth", f"more than {MAX_AXES} axes", place=Place(leaves.file))
        level = list(itertools.chain.from_iterable(level))
    return _scalars(level, tuple(shape), leaves, text=text).reshape(shape)


def _path(position: int, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(position, shape)) if shape else ()


def _count(value: Any) -> int:
    """Return how many scalars a value holds."""
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(_count, value)) if isinstance(value, list) else 1


def _ragged(item: Any, length: int, place: Place, path: tuple[int, ...], kind: str) -> DataError:
    found = f"a list of {len(item)}" if isinstance(item, list) else "a single value"
    expected = f"a list of {length}" if length >= 0 else "a single value"
    where = f"[{', '.join(map(str, path))}]"
    return DataError(
        f"{kind}-ragged",
        f"{found} at {where}, where its first neighbour is {expected}",
        place=place,
        hint="all rows need the same length",
    )


def _scalars(flat: list[Any], shape: tuple[int, ...], leaves: Leaves, *, text: bool) -> Array:
    kinds = set(map(type, flat))
    if kinds <= {int, float} or kinds == {bool}:
        return _numbers(flat, shape, leaves)
    if text and kinds <= {str, int} and any(type(item) is str and item not in NONFINITE for item in flat):
        return np.array([str(item) for item in flat], dtype=np.str_)
    for position, item in enumerate(flat):
        if type(item) not in (int, float) and not (type(item) is str and item in NONFINITE):
            raise _not_number(item, leaves, position, shape)
    return _numbers([NONFINITE[item] if type(item) is str else item for item in flat], shape, leaves)


def _numbers(flat: list[Any], shape: tuple[int, ...], leaves: Leaves) -> Array:
    kinds = set(map(type, flat))
    try:
        if kinds == {int} and all(-(2**63) <= item < 2**63 for item in flat):
            return np.array(flat, dtype=np.int64)
        return np.array(flat, dtype=np.bool_ if kinds == {bool} else np.float64)
    except OverflowError:
        position = next(i for i, item in enumerate(flat) if type(item) is int and not _fits(item))
        raise DataError(
            f"{leaves.kind}-number",
            "an integer too large for a double",
            place=leaves.leaf(position, _path(position, shape)),
        ) from None


def _fits(number: int) -> bool:
    try:
        float(number)
    except OverflowError:
        return False
    return True


def _not_number(item: Any, leaves: Leaves, position: int, shape: tuple[int, ...]) -> DataError:
    place = leaves.leaf(position, _path(position, shape))
    if isinstance(item, dict):
        return DataError(
            f"{leaves.kind}-number", "a mapping where a number is expected", place=place, hint="select one of its keys"
        )
    if isinstance(item, str):
        return DataError("text-where-number", f"not a number: {item[:40]!r}", place=place, hint=_hint(item))
    shown = "null" if item is None else str(item).lower()
    return DataError(
        f"{leaves.kind}-number",
        f"not a number: {shown}",
        place=place,
        hint="missing values are not read: drop the row or write NaN" if item is None else "write 1 and 0",
    )


def _hint(item: str) -> str:
    try:
        float(item)
    except ValueError:
        return ""
    return "write the number without quotes"
