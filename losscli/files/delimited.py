"""CSV and TSV: tables of numbers, read block by block, every bit and every line number kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from losscli.errors import OutputError, Place
from losscli.files.blob import Blob
from losscli.files.cells import is_number
from losscli.files.columns import read_columns
from losscli.files.dialect import Layout, sniff
from losscli.files.selectors import chosen, find_columns
from losscli.files.source import Array, Source
from losscli.files.views import Words


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
        return find_columns(name, self.keys)

    def whole(self, *, text: bool) -> Source:
        """All columns."""
        return self._source(self.blob.name, range(self.layout.width), text=text)

    def select(self, selector: str, *, text: bool) -> Source:
        """Return the columns that a name, a glob, a 0-based index or range, or a comma list of these chooses."""
        name = f"{self.blob.name}::{selector}"
        fields = chosen(selector, self.layout.header, self.layout.width, self.blob.name)
        return self._source(name, fields, text=text)

    def rest(self, name: str, *, text: bool) -> Source:
        """Return all columns but one."""
        fields = [i for i, key in enumerate(self.keys) if key != name]
        return self._source(self.blob.name, fields or range(self.layout.width), text=text)

    def words(self, name: str) -> Source:
        """Return a column as it is written, be it of numbers."""
        fields = chosen(name, self.keys, self.layout.width, self.blob.name)
        return self._columns(f"{self.blob.name}::{name}", fields, words=True)

    def _source(self, name: str, fields: Sequence[int], *, text: bool) -> Source:
        return self._columns(name, fields, words=text and any(self._has_words(field) for field in fields))

    def _columns(self, name: str, fields: Sequence[int], *, words: bool) -> Source:
        array, gaps = read_columns(self.blob, self.layout, fields, words=words)
        lines = Lines(self.blob.name, self.layout.first, gaps, fields)
        if len(fields) == 1:
            return Source(name, array.column(0) if isinstance(array, Words) else array[:, 0], (), lines)
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
