"""How a delimited text is laid out: its lines, its delimiter, its header."""

from __future__ import annotations

import codecs
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from losscli.errors import DataError, Place
from losscli.files.blob import Blob, unreadable
from losscli.files.cells import (
    QuoteError,
    encoding_error,
    is_damaged_number,
    is_missing,
    is_number,
    is_utf8,
    quote_error,
    split,
)

# Such blocks and what becomes of them stay in a processor's cache, and several fit in little memory.
BLOCK = 1 << 20
MAX_LINE = 16 << 20
MAX_UNPACKED = 16 << 30
SAMPLE = 200
GZIP = b"\x1f\x8b"

# A column of words has no telling header; these names are taken for one.
_NAMES = frozenset(
    "label labels target targets class classes y y_true truth true gt ground_truth category species name id".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Layout:
    """The delimiter (None: runs of blanks), the header, the width, and the 1-based line where the data start."""

    delimiter: str | None
    header: tuple[str, ...]
    width: int
    first: int
    sample: tuple[tuple[str, ...], ...]

    def is_blank(self, line: str) -> bool:
        """Whether a line is blank; a line of tabs is one of empty cells where tabs are the delimiter."""
        return not line.strip(" " if self.delimiter == "\t" else None)


def text_blocks(blob: Blob) -> Iterator[list[str]]:
    """Return the lines of a text, without their ends, some megabytes at a time."""
    return (lines_of(block) for block in line_blocks(blob))


def lines_of(block: bytes) -> list[str]:
    """Return the lines of a block; bytes that are not UTF-8 become surrogates."""
    return block.decode("utf-8", "surrogateescape").split("\n")


def line_blocks(blob: Blob) -> Iterator[bytes]:
    r"""Return a text as blocks of whole lines, some megabytes each, with ``\n`` between lines and none at the end.

    Any line end, a byte order mark and gzip are understood.
    """
    rest, yielded = b"", 0
    for start, data in enumerate(_chunks(blob)):
        piece = data.removeprefix(codecs.BOM_UTF8) if start == 0 else data
        if b"\0" in piece:
            head = _one_end(rest + piece[: piece.index(b"\0")])
            raise encoding_error(Place(blob.name, _lines_of_blocks(blob, yielded) + line_count(head)))
        block, rest = _cut(rest, piece)
        if len(rest) > MAX_LINE:
            line = _lines_of_blocks(blob, yielded) + 1 + (0 if block is None else line_count(block))
            raise DataError("csv-line", f"a line of more than {MAX_LINE >> 20} MiB", place=Place(blob.name, line))
        if block is not None:
            yielded += 1
            yield block
    if rest:
        yield _one_end(rest).removesuffix(b"\n")


def _cut(rest: bytes, piece: bytes) -> tuple[bytes | None, bytes]:
    """The whole lines of what was left and the next piece, None where there is none, and what is left now."""
    if b"\r" in piece or rest.endswith(b"\r"):
        piece = rest + piece
        # A carriage return at the very end may be half of a line end.
        held = piece.endswith(b"\r")
        block, end, rest = _one_end(piece[:-1] if held else piece).rpartition(b"\n")
        return block if end else None, rest + b"\r" * held
    at = piece.rfind(b"\n")
    # One copy of what are megabytes.
    return (None, rest + piece) if at < 0 else (b"".join((rest, memoryview(piece)[:at])), piece[at + 1 :])


def _lines_of_blocks(blob: Blob, blocks: int) -> int:
    """How many lines the first blocks of a text have, read again: an error alone asks for it."""
    return sum(line_count(block) for block in islice(line_blocks(blob), blocks))


def line_count(block: bytes) -> int:
    """Return how many lines a block has."""
    # Five times as fast as bytes.count, which would cost as much as decoding.
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n"))) + 1


def _one_end(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _chunks(blob: Blob) -> Iterator[bytes]:
    with blob.open() as raw:
        stream: Any = raw
        if blob.head.startswith(GZIP):
            import gzip

            stream = gzip.GzipFile(fileobj=raw)
        total = 0
        while data := _read(stream, blob):
            if total == 0 and data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise encoding_error(Place(blob.name, 1))
            total += len(data)
            if total > MAX_UNPACKED and stream is not raw:
                raise DataError(
                    "file-too-large", f"unpacks to more than {MAX_UNPACKED >> 30} GiB", place=Place(blob.name)
                )
            yield data


def _read(stream: Any, blob: Blob) -> bytes:
    try:
        data: bytes = stream.read(BLOCK)
    except (EOFError, zlib.error) as error:
        raise DataError("gzip-damaged", f"the gzip data are damaged: {error}", place=Place(blob.name)) from None
    except OSError as error:
        if error.errno is not None:
            raise unreadable(blob.name, error) from None
        raise DataError("gzip-damaged", f"the gzip data are damaged: {error}", place=Place(blob.name)) from None
    return data


def sniff(blob: Blob) -> Layout:
    """Return the layout of a delimited text, told from its first lines."""
    lines = (line for block in text_blocks(blob) for line in block)
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line and not line.isspace())
    sample = list(islice(numbered, SAMPLE))
    if not sample:
        raise DataError("file-empty", "the file has no data rows", place=Place(blob.name))
    delimiter = _delimiter([line for _, line in sample])
    number, line = sample[0]
    try:
        head = [cell.strip() for cell in split(line, delimiter)]
    except QuoteError:
        raise quote_error(Place(blob.name, number)) from None
    if not is_utf8(line):
        raise encoding_error(Place(blob.name, number))
    rows = _rows([line for _, line in sample[1:]], delimiter, len(head))
    commented = head[0].startswith("#") and not is_missing(head[0])
    if not commented and not _is_header(head, rows):
        return Layout(delimiter, (), len(head), number, (tuple(head), *rows))
    if len(sample) < 2:
        raise DataError("file-empty", "the file has a header and no data rows", place=Place(blob.name))
    if commented:
        head = _uncommented(head, sample[1][1], delimiter, Place(blob.name, number))
    return Layout(delimiter, tuple(head), len(head), sample[1][0], tuple(rows))


def _uncommented(head: list[str], below: str, delimiter: str | None, place: Place) -> list[str]:
    # numpy.savetxt writes its header behind a '#', which whitespace may make a cell of its own.
    if head[0] == "#" and len(head) == len(below.split(delimiter)) + 1:
        return head[1:]
    if len(head) != len(below.split(delimiter)):
        raise DataError(
            "csv-comment", "comments are not read", place=place, hint="delete the lines that start with '#'"
        )
    return [head[0].lstrip("# "), *head[1:]]


def _rows(lines: Sequence[str], delimiter: str | None, width: int) -> list[tuple[str, ...]]:
    rows = []
    for line in lines:
        try:
            cells = split(line, delimiter)
        except QuoteError:
            continue
        if len(cells) == width:
            rows.append(tuple(cell.strip() for cell in cells))
    return rows


def _delimiter(lines: Sequence[str]) -> str | None:
    # A semicolon goes before a comma, which is then a decimal one and will be told so.
    bare = [_unquoted(line) for line in lines]
    for candidate in "\t;,":
        counts = {line.count(candidate) for line in bare}
        if len(counts) == 1 and counts != {0}:
            return candidate
    present = {candidate: sum(candidate in line for line in bare) for candidate in "\t;,"}
    best = max(present, key=lambda candidate: present[candidate])
    if 2 * present[best] >= len(bare) or _blank_width(bare) < 2:
        return best if present[best] else ","
    return None


def _unquoted(line: str) -> str:
    return line if '"' not in line else "".join(line.split('"')[::2])


def _blank_width(lines: Sequence[str]) -> int:
    """Return the usual number of words on a line, if they are mostly numbers; 1 for words such as 'New York'."""
    widths = Counter(len(line.split()) for line in lines)
    words = [word for line in lines[-20:] for word in line.split()]
    return widths.most_common(1)[0][0] if 2 * sum(map(is_number, words)) >= len(words) else 1


def _is_header(head: Sequence[str], rows: Sequence[tuple[str, ...]]) -> bool:
    """Whether the first line names columns.

    A line with a number that no counting of columns explains, or with a damaged number, is a row of data: it must not
    be dropped in silence.
    """
    words = [cell for cell in head if not is_number(cell)]
    numbers = [cell for cell in head if is_number(cell)]
    if (not any(words) and not numbers) or any(is_missing(word) or is_damaged_number(word) for word in words):
        return False
    if not words or (numbers and not _counts_up(numbers, words)):
        return False
    if not rows:
        return len(head) > 1 or head[0].lower() in _NAMES
    columns = [[row[i] for row in rows] for i, cell in enumerate(head) if not is_number(cell)]
    if any(2 * sum(map(is_number, column)) > len(column) for column in columns):
        return True
    if any(word.lower() in _NAMES for word in words):
        return True
    recurs = any(word in column for word, column in zip(words, columns, strict=True))
    return not recurs and any(len(set(column)) < len(column) for column in columns)


def _counts_up(numbers: Sequence[str], words: Sequence[str]) -> bool:
    """Whether numbers in a header are 0, 1, 2 ... or 1, 2, 3 ..., as pandas writes them."""
    if len(numbers) == 1 and any(words):
        return False
    return any(list(numbers) == [str(i) for i in range(start, start + len(numbers))] for start in (0, 1))
