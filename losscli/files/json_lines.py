"""JSON lines: one object on each line, whose keys are arrays with a row for each line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscli.errors import DataError, Place, did_you_mean
from losscli.files.blob import Blob, listed
from losscli.files.columns import Gaps, named
from losscli.files.dialect import text_blocks
from losscli.files.json_data import RefusedError, parsed
from losscli.files.nested import Leaves, to_array
from losscli.files.source import Array, Source
from losscli.files.spool import Spool

_ROWS = 1024


@dataclass(frozen=True, eq=False)
class LineOf:
    """The line of each row: ``gaps`` are the rows before which blank lines stand."""

    file: str
    gaps: Array

    def __call__(self, index: tuple[int, ...]) -> Place:
        """Return the place of the number at ``index``."""
        return Place(self.file, index[0] + 1 + int(np.searchsorted(self.gaps, index[0], side="right")))


@dataclass(frozen=True)
class JsonLines:
    """A file of JSON lines: the keys are those of the first."""

    blob: Blob
    keys: tuple[str, ...]

    def find(self, name: str) -> str | None:
        """Return the name itself, if it is a key."""
        return name if name in self.keys else None

    def whole(self, *, text: bool) -> Source:
        """Return the only array; an error where there are several."""
        if len(self.keys) == 1:
            return self.select(self.keys[0], text=text)
        message = f"the file holds {len(self.keys)} arrays: {listed(self.keys)}"
        hint = f"choose one: {self.blob.name}::{self.keys[0]}" if self.keys else ""
        raise DataError("container-key", message, place=Place(self.blob.name), hint=hint)

    def select(self, selector: str, *, text: bool) -> Source:
        """Return the array under the key ``selector``: numbers as float64, or words."""
        file = self.blob.name
        if selector not in self.keys:
            message = f"no key {selector!r}; there are: {listed(self.keys)}"
            hint = did_you_mean(selector, self.keys)
            raise DataError("selector", message, place=Place(file), hint=hint)
        reader = _Rows(file, selector, text)
        gaps = Gaps(1)
        for at, lines in _batches(self.blob):
            gaps.add(at)
            reader.take(at, lines)
        return Source(f"{file}::{selector}", reader.finish(), (), LineOf(file, gaps.all()))


class _Rows:
    """The values of one key, line after line."""

    def __init__(self, file: str, key: str, text: bool) -> None:
        self.file = file
        self.key = key
        self.text = text
        self.known: dict[str, int] = {}
        self.spool: Spool | None = None

    def take(self, at: list[int], lines: list[str]) -> None:
        """Add the rows of some lines."""
        values = [self._value(number, line) for number, line in zip(at, lines, strict=True)]
        if self.text and isinstance(values[0], str):
            self._append(at, np.array([self._code(n, word) for n, word in zip(at, values, strict=True)]))
            return
        leaves = Leaves(self.file, f"{self.file}::{self.key}", "json")
        try:
            block = to_array(values, leaves, text=False)
        except DataError:
            block = np.stack([self._row(number, value, values[0]) for number, value in zip(at, values, strict=True)])
        self._append(at, block.astype(np.float64))

    def _value(self, number: int, line: str) -> Any:
        entry = _object(self.file, number, line)
        if self.key not in entry:
            raise DataError("json-value", f"the key {self.key!r} is missing", place=Place(self.file, number))
        return entry[self.key]

    def _code(self, number: int, word: Any) -> int:
        if not isinstance(word, str):
            raise DataError("json-value", "not a word, as those above are", place=Place(self.file, number))
        return self.known.setdefault(word, len(self.known))

    def _row(self, number: int, value: Any, first: Any) -> Array:
        """One value on its own, so that its line is named."""
        place = Place(self.file, number)
        try:
            row = to_array(value, Leaves(self.file, self.file, "json"), text=False)
            shape = to_array(first, Leaves(self.file, self.file, "json"), text=False).shape
        except DataError as error:
            raise DataError(error.code, error.message, place=place, hint=error.hint) from None
        if row.shape != shape:
            raise self._ragged(row.shape, shape, place)
        return row

    def _append(self, at: list[int], block: Array) -> None:
        if self.spool is None:
            self.spool = Spool(self.file, block.dtype, block.shape[1:])
        if (block.shape[1:], block.dtype) != (self.spool.inner, self.spool.dtype):
            raise self._ragged(block.shape[1:], self.spool.inner, Place(self.file, at[0]))
        self.spool.append(block)

    def _ragged(self, found: tuple[int, ...], due: tuple[int, ...], place: Place) -> DataError:
        message = f"{self.key!r} of shape {found}, where the lines above have {due}"
        return DataError("json-ragged", message, place=place, hint="every line needs the same shape")

    def finish(self) -> Any:
        """All rows."""
        assert self.spool is not None
        array = self.spool.finish()
        return named(array, self.known) if self.known else array


def _object(file: str, number: int, line: str) -> dict[str, Any]:
    place = Place(file, number)
    try:
        entry = parsed(line)
    except json.JSONDecodeError as error:
        raise DataError("json-parse", f"{error.msg} (column {error.colno})", place=place) from None
    except RefusedError as error:
        raise DataError("json-value", str(error), place=place) from None
    except (ValueError, RecursionError):
        raise DataError("json-value", "nested too deep, or an integer of thousands of digits", place=place) from None
    if not isinstance(entry, dict):
        raise DataError("json-value", "a line that is no object", place=place, hint='write {"key": ...} on each line')
    return entry


def _batches(blob: Blob) -> Iterator[tuple[list[int], list[str]]]:
    """The lines that are not blank and their numbers, some at a time."""
    number = 1
    for block in text_blocks(blob):
        full = [(n, line) for n, line in enumerate(block, number) if line and not line.isspace()]
        number += len(block)
        for start in range(0, len(full), _ROWS):
            piece = full[start : start + _ROWS]
            yield [n for n, _ in piece], [line for _, line in piece]


def open_jsonl(blob: Blob) -> JsonLines:
    """Return the container of a file of JSON lines."""
    for at, lines in _batches(blob):
        return JsonLines(blob, tuple(_object(blob.name, at[0], lines[0])))
    raise DataError("file-empty", "the file has no data rows", place=Place(blob.name))
