"""CSV and TSV: tables of numbers, read block by block, every bit and every line number kept."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from losscli.errors import DataError, OutputError, Place
from losscli.files.blob import Blob, did_you_mean, listed
from losscli.files.cells import (
    QuoteError,
    encoding_error,
    first_fault,
    is_number,
    is_utf8,
    quote_error,
    ragged_error,
    split,
)
from losscli.files.dialect import Layout, sniff, text_blocks
from losscli.files.source import Array, Source

# Longer words are no class names, and a fixed-width array would give every row the room of the longest.
MAX_WORD = 1000
_RANGE = re.compile(r"(\d*):(\d*)")


@dataclass(frozen=True, eq=False)
class Lines:
    """Which line and field each number of a table stands on.

    ``gaps`` holds, sorted, the row before which each blank line stands: one number per blank line and none per row.
    """

    file: str
    first: int
    gaps: Array
    fields: Sequence[int]

    def __call__(self, index: tuple[int, ...]) -> Place:
        """Return the place of the number at ``index``: (row,) or (row, column)."""
        row = index[0]
        line = self.first + row + int(np.searchsorted(self.gaps, row, side="right"))
        if len(self.fields) == 1:
            return Place(self.file, line, self.fields[0] + 1)
        return Place(self.file, line, self.fields[index[1]] + 1 if len(index) > 1 else None)


@dataclass(frozen=True)
class Table:
    """A CSV or TSV file: columns, perhaps with names."""

    blob: Blob
    layout: Layout

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.layout.header

    def find(self, name: str) -> str | None:
        """Return the column ``name``, or the columns ``name_*`` or ``name.*``."""
        if name in self.keys:
            return name
        for mark in "_.":
            if any(key.startswith(name + mark) for key in self.keys):
                return f"{name}{mark}*"
        return None

    def whole(self, *, text: bool) -> Source:
        """All columns."""
        return self._source(self.blob.name, range(self.layout.width), text=text)

    def select(self, selector: str, *, text: bool) -> Source:
        """Return the columns that a name, a glob, a 0-based index or range, or a comma list of these chooses."""
        name = f"{self.blob.name}::{selector}"
        parts = [selector] if selector in self.keys else [part.strip() for part in selector.split(",")]
        fields = list(dict.fromkeys(field for part in parts for field in self._fields(part)))
        return self._source(name, fields, text=text)

    def _fields(self, part: str) -> Sequence[int]:
        width, header = self.layout.width, self.layout.header
        named = [i for i, key in enumerate(header) if key == part]
        if len(named) > 1:
            raise self._no_part(f"two columns are called {part!r}", "choose one by its 0-based index")
        if named:
            return named
        bounds = _RANGE.fullmatch(part)
        if bounds:
            found: Sequence[int] = range(width)[int(bounds[1] or 0) : int(bounds[2] or width)]
        elif part.isdecimal():
            found = range(width)[int(part) : int(part) + 1]
        else:
            found = [i for i, key in enumerate(header) if fnmatch.fnmatchcase(key, part)]
        if found:
            return found
        if not header:
            raise self._no_part(
                f"no column {part!r}: the file has {width} columns and no header",
                "choose by 0-based index or range",
            )
        raise self._no_part(f"no column {part!r}; there are: {listed(header)}", did_you_mean(part, header))

    def _no_part(self, message: str, hint: str) -> DataError:
        return DataError("selector", message, place=Place(self.blob.name), hint=hint)

    def _source(self, name: str, fields: Sequence[int], *, text: bool) -> Source:
        words = text and any(self._has_words(field) for field in fields)
        array, gaps = read_columns(self.blob, self.layout, fields, words=words)
        lines = Lines(self.blob.name, self.layout.first, gaps, fields)
        if len(fields) == 1:
            return Source(name, array[:, 0], (), lines)
        header = self.layout.header
        return Source(name, array, tuple(header[i] for i in fields) if header else (), lines)

    def _has_words(self, field: int) -> bool:
        """Whether at least a tenth of a column's first cells are words: fewer are typing errors, to be located."""
        cells = [row[field] for row in self.layout.sample]
        words = sum(1 for cell in cells if cell and not is_number(cell))
        return words > 0 and 10 * words >= len(cells)


def open_table(blob: Blob) -> Table:
    """Return the container of a CSV or TSV file, gzipped or not."""
    return Table(blob, sniff(blob))


def read_columns(blob: Blob, layout: Layout, fields: Sequence[int], *, words: bool) -> tuple[Array, Array]:
    """Return the chosen columns, (rows, columns) of float64 or text, and the row before which each blank line is."""
    texts: list[Array] = []
    numbers = np.empty((0, len(fields)))
    gaps: list[Array] = []
    rows = skipped = 0
    for lines, at in _data_blocks(blob, layout):
        before = np.asarray(at) - layout.first - np.arange(rows, rows + len(lines))
        gaps.append(np.repeat(np.arange(rows, rows + len(lines)), np.diff(before, prepend=skipped)))
        skipped = int(before[-1])
        if words:
            texts.append(_parse_words(blob.name, layout, fields, lines, at))
        else:
            block = _parse_numbers(blob.name, layout, fields, lines, at)
            # Growing in place keeps one copy in memory, where joining the blocks at the end would take two.
            numbers.resize((rows + len(lines), len(fields)), refcheck=False)
            numbers[rows:] = block
        rows += len(lines)
    return (np.concatenate(texts) if words else numbers), np.concatenate(gaps)


def _data_blocks(blob: Blob, layout: Layout) -> Iterator[tuple[list[str], Sequence[int]]]:
    number = 1
    for block in text_blocks(blob):
        start = min(max(layout.first - number, 0), len(block))
        number += start
        lines = block[start:] if start else block
        at: Sequence[int] = range(number, number + len(lines))
        number += len(lines)
        kept = [line for line in lines if not layout.is_blank(line)]
        if len(kept) < len(lines):
            at = [n for n, line in zip(at, lines, strict=True) if not layout.is_blank(line)]
        if kept:
            yield kept, at


def _parse_numbers(file: str, layout: Layout, fields: Sequence[int], lines: list[str], at: Sequence[int]) -> Array:
    some = len(fields) < layout.width
    if not (some and _uneven(layout, lines)):
        try:
            block = _loadtxt(layout, fields, lines)
        except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError):
            block = np.empty((0, 0))
        if block.shape == (len(lines), len(fields)) and not _overflown(layout, fields, lines, block):
            return block
    fault = first_fault(zip(at, lines, strict=True), layout.delimiter, layout.header, layout.width, fields, file)
    if fault is not None:
        raise fault
    if some and len(lines) == len(block := _loadtxt(layout, fields, lines)):
        return block
    raise DataError("csv-number", "a line cannot be read as numbers", place=Place(file, at[0]))


def _loadtxt(layout: Layout, fields: Sequence[int], lines: list[str]) -> Array:
    order = None if list(fields) == list(range(layout.width)) else list(fields)
    return np.loadtxt(lines, delimiter=layout.delimiter, comments=None, quotechar='"', usecols=order, ndmin=2)


def _uneven(layout: Layout, lines: list[str]) -> bool:
    """Whether lines may differ in width, which loadtxt does not see when it reads some of the columns."""
    if layout.delimiter is None:
        return any(len(line.split()) != layout.width for line in lines)
    mark = layout.delimiter
    return any(line.count(mark) != layout.width - 1 or '"' in line for line in lines)


def _overflown(layout: Layout, fields: Sequence[int], lines: list[str], block: Array) -> bool:
    """Whether an infinity stands for a number too large, such as 1e999: loadtxt does not say."""
    infinite = np.isinf(block)
    for row in np.flatnonzero(infinite.any(axis=1)):
        try:
            cells = split(lines[row], layout.delimiter)
        except QuoteError:
            return True
        if any("n" not in cells[fields[int(column)]].lower() for column in np.flatnonzero(infinite[row])):
            return True
    return False


def _parse_words(file: str, layout: Layout, fields: Sequence[int], lines: list[str], at: Sequence[int]) -> Array:
    rows = []
    for number, line in zip(at, lines, strict=True):
        try:
            cells = split(line, layout.delimiter)
        except QuoteError:
            raise quote_error(Place(file, number)) from None
        if len(cells) != layout.width:
            raise ragged_error(len(cells), layout.width, Place(file, number))
        if not is_utf8(line):
            raise encoding_error(Place(file, number))
        row = [cells[field].strip() for field in fields]
        if max(map(len, row)) > MAX_WORD:
            raise DataError("csv-word", f"a word of more than {MAX_WORD} letters", place=Place(file, number))
        rows.append(row)
    return np.array(rows, dtype=np.str_)


def write_table(stream: BinaryIO, array: Array, columns: Sequence[str], delimiter: str) -> None:
    """Write an array of at most two axes as delimited text: floats in their shortest exact form."""
    import csv
    import io

    if array.ndim > 2:
        raise OutputError(
            "output-shape", f"a table has two axes, the array {array.ndim}", hint="write .npy or .json instead"
        )
    rows = array.reshape(-1, 1) if array.ndim < 2 else array
    if rows.dtype.kind == "b":
        rows = rows.astype(np.int8)  # True and False are no numbers to a reader of tables
    step = max(1, 100_000 // max(1, rows.shape[1]))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    if columns:
        writer.writerow(columns)
    for start in range(0, len(rows), step):
        block: list[list[Any]] = rows[start : start + step].tolist()
        writer.writerows(block)
        stream.write(text.getvalue().encode())
        text.seek(0)
        text.truncate()
