"""The columns of a delimited text, parsed block by block: fast where all is well, line by line where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from losscli.errors import DataError, Place
from losscli.files.blob import Blob
from losscli.files.cells import QuoteError, encoding_error, first_fault, is_utf8, quote_error, ragged_error, split
from losscli.files.dialect import BLOCK, Layout, line_blocks, lines_of
from losscli.files.source import Array
from losscli.files.spool import SMALL, Spool
from losscli.files.views import Words

# Longer words are no class names, and a fixed-width array would give every row the room of the longest.
MAX_WORD = 1000

# Reads a block of whole lines; None where anything about it is unusual, blank lines included.
Fast = Callable[[bytes], Array | None]
Block = tuple[bytes, Array | None]


def read_columns(blob: Blob, layout: Layout, fields: Sequence[int], *, words: bool) -> tuple[Array | Words, Array]:
    """Return the chosen columns, (rows, columns) of float64 or text, and the row before which each blank line is."""
    known: dict[str, int] = {}
    spool = Spool(blob.name, np.int64 if words else np.float64, (len(fields),))
    table = _Reader(blob.name, layout, fields)
    gaps = Gaps(layout.first)
    number = layout.first
    for data, block in _parsed(blob, layout, fields, words=words):
        if block is not None:
            gaps.add(range(number, number + len(block)))
            spool.append(block)
            number += len(block)
            continue
        lines = lines_of(data)
        kept, at = _kept(layout, lines, number)
        number += len(lines)
        if kept:
            gaps.add(at)
            spool.append(table.words(kept, at, known) if words else table.numbers(kept, at))
    array = spool.finish()
    return (named(array, known) if words else array), gaps.all()


def _parsed(blob: Blob, layout: Layout, fields: Sequence[int], *, words: bool) -> Iterator[Block]:
    """The blocks of data and, where they could be had the fast way, their numbers."""
    blocks = _data_blocks(blob, layout)
    if words:
        return ((data, None) for data in blocks)
    # Importing pyarrow takes as long as parsing some megabytes.
    if blob.size > BLOCK and layout.delimiter is not None:
        from losscli.files import arrow_csv

        if arrow_csv.installed():
            return arrow_csv.parsed(blocks, layout, fields)
    return ((data, base(layout, fields, data)) for data in blocks)


def _data_blocks(blob: Blob, layout: Layout) -> Iterator[bytes]:
    skip = layout.first - 1
    for block in line_blocks(blob):
        at = 0
        while skip and at >= 0:
            at = block.find(b"\n", at) + 1 or -1
            skip -= 1
        if at >= 0:
            yield block[at:] if at else block


def _kept(layout: Layout, lines: list[str], number: int) -> tuple[list[str], Sequence[int]]:
    """The lines that are not blank, of lines from ``number`` on, and their numbers."""
    kept = [line for line in lines if not layout.is_blank(line)]
    if len(kept) == len(lines):
        return lines, range(number, number + len(lines))
    return kept, [n for n, line in zip(count(number), lines) if not layout.is_blank(line)]


class Gaps:
    """The row before which each blank line stands: one number per blank line and none per row."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._rows = 0
        self._skipped = 0
        self._found: list[Array] = []

    def add(self, at: Sequence[int]) -> None:
        """Take note of the numbers of the lines of the next rows."""
        rows = np.arange(self._rows, self._rows + len(at))
        before = np.asarray([at[0], at[-1]]) - self._first - rows[[0, -1]]
        if before[1] > self._skipped:
            each = np.asarray(at) - self._first - rows
            self._found.append(np.repeat(rows, np.diff(each, prepend=self._skipped)))
            self._skipped = int(before[1])
        self._rows += len(at)

    def all(self) -> Array:
        """All of them, sorted."""
        return np.concatenate(self._found) if self._found else np.empty(0, dtype=np.intp)


def base(layout: Layout, fields: Sequence[int], data: bytes) -> Array | None:
    """Numpy's own parser over a block of whole lines; None where it takes exception to any."""
    if len(fields) < layout.width and not is_even(layout, data):
        return None
    lines = lines_of(data)
    if lines[0].isspace() or not lines[0]:
        return None  # loadtxt warns where there is no line of data
    block = _loadtxt(layout, fields, lines)
    # A blank line gives no row, and an infinity may stand for a number too large.
    return None if block is None or len(block) != len(lines) or np.isinf(block).any() else block


def is_even(layout: Layout, data: bytes) -> bool:
    """Whether all lines are as wide as they should be, told without splitting them; no where that cannot be told."""
    if layout.delimiter is None or b'"' in data:
        return False
    letters = np.frombuffer(data, np.uint8)
    ends = letters[(letters == ord(layout.delimiter)) | (letters == ord("\n"))]
    if (len(ends) + 1) % layout.width:
        return False
    ends = np.append(ends, ord("\n")).reshape(-1, layout.width)
    return bool((ends[:, -1] == ord("\n")).all())


def _loadtxt(layout: Layout, fields: Sequence[int], lines: list[str]) -> Array | None:
    order = None if list(fields) == list(range(layout.width)) else list(fields)
    try:
        block = np.loadtxt(lines, delimiter=layout.delimiter, comments=None, quotechar='"', usecols=order, ndmin=2)
    except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError):
        return None
    return block if block.shape[1] == len(fields) else None


@dataclass(frozen=True)
class _Reader:
    """The lines of a table one by one, with the error of the first that is wrong."""

    file: str
    layout: Layout
    fields: Sequence[int]

    def numbers(self, lines: list[str], at: Sequence[int]) -> Array:
        """The numbers on lines that are not blank, whose numbers are ``at``."""
        layout, fields = self.layout, self.fields
        even = len(fields) == layout.width or is_even(layout, "\n".join(lines).encode("utf-8", "surrogateescape"))
        block = _loadtxt(layout, fields, lines) if even else None
        if block is not None and len(block) == len(lines) and not self._overflown(lines, block):
            return block
        fault = first_fault(
            zip(at, lines, strict=True), layout.delimiter, layout.header, layout.width, fields, self.file
        )
        if fault is not None:
            raise fault
        if not even and (block := _loadtxt(layout, fields, lines)) is not None and len(block) == len(lines):
            return block
        raise DataError("csv-number", "a line cannot be read as numbers", place=Place(self.file, at[0]))

    def _overflown(self, lines: list[str], block: Array) -> bool:
        """Whether an infinity stands for a number too large, such as 1e999: loadtxt does not say."""
        infinite = np.isinf(block)
        for row in np.flatnonzero(infinite.any(axis=1)):
            try:
                cells = split(lines[row], self.layout.delimiter)
            except QuoteError:
                return True
            if any("n" not in cells[self.fields[int(i)]].lower() for i in np.flatnonzero(infinite[row])):
                return True
        return False

    def words(self, lines: list[str], at: Sequence[int], known: dict[str, int]) -> Array:
        """The words on lines that are not blank, as numbers of ``known``, which grows."""
        codes = np.empty((len(lines), len(self.fields)), dtype=np.int64)
        for row, (number, line) in enumerate(zip(at, lines, strict=True)):
            codes[row] = [known.setdefault(word, len(known)) for word in self._cells(number, line)]
        return codes

    def _cells(self, number: int, line: str) -> list[str]:
        place = Place(self.file, number)
        try:
            cells = split(line, self.layout.delimiter)
        except QuoteError:
            raise quote_error(place) from None
        if len(cells) != self.layout.width:
            raise ragged_error(len(cells), self.layout.width, place)
        if not is_utf8(line):
            raise encoding_error(place)
        row = [cells[field].strip() for field in self.fields]
        if max(map(len, row)) > MAX_WORD:
            raise DataError("csv-word", f"a word of more than {MAX_WORD} letters", place=place)
        return row


def named(codes: Array, known: dict[str, int]) -> Array | Words:
    """Return the words that numbers stand for, as an array where that is small."""
    words = Words(codes, np.array(list(known), dtype=np.str_))
    return words if words.nbytes > SMALL else np.asarray(words)
