"""The cells of a delimited text: what is a number, and what is wrong with one that is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from losscli.errors import DataError, Place

# What numpy.loadtxt reads as a number. Python's float() takes more (1_0, digits of other scripts).
_NUMBER = re.compile(
    r"\s*[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)\s*", re.ASCII | re.IGNORECASE
)
MISSING = frozenset({"na", "n/a", "#n/a", "null", "none", "-", "--", "?", ".", "missing", "nil", "<na>"})

_SHAPES: tuple[tuple[str, str], ...] = (
    (r"[+-]?\d*,\d+", "write decimals with a point, not a comma"),
    (r"[+-]?[\d.]+\s*%", "write a fraction, such as 0.05 for 5%"),
    (r"(tensor|array|np\.\w+|Array|DeviceArray)\(.*", "save the numbers, not the printed object: .tolist() or np.save"),
    (r"[\[(].*", "a list in a cell: give each number a cell of its own, or use JSON or NPY"),
    (r"[+-]?\d+(_\d+)+(\.\d*)?", "write the digits without underscores"),
    ("[\u2212\u2013\u2014].*", "the minus is a typographic one: write '-'"),
    (r"[+-]?[\d.]+[dD][+-]?\d+", "write the exponent with e, as in 1e5"),
    (r"[+-]?0[xX][\da-fA-F.]+(p.*)?", "write decimal numbers"),
    (r"(?i:true|false|yes|no)", "write 1 and 0"),
    (r"[+-]?[\d.]+e[+-]?", "the number was cut short"),
)


class QuoteError(Exception):
    """A line whose quotation marks do not pair."""


def is_number(cell: str) -> bool:
    """Whether a cell is a number, nan and inf included."""
    return _NUMBER.fullmatch(cell) is not None


def is_missing(cell: str) -> bool:
    """Whether a cell is a common word for a missing value."""
    return cell.strip().lower() in MISSING


def is_damaged_number(cell: str) -> bool:
    """Whether a cell is shaped like a number that went wrong, and so is no name of a column."""
    return hint(cell.strip()) != "" and cell.strip() != "" and not re.fullmatch(r"(?i:yes|no|[\[(].*)", cell.strip())


def is_utf8(text: str) -> bool:
    """Whether a text that was decoded with surrogate escapes had no bytes to escape."""
    return text.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in text)


def split(line: str, delimiter: str | None) -> list[str]:
    """Return the cells of a line; ``None`` splits at runs of blanks. Raises QuoteError."""
    if '"' not in line:
        return line.split(delimiter)
    import csv

    try:
        reader = csv.reader([line], delimiter=delimiter or " ", skipinitialspace=True, strict=True)
        return next(reader)
    except (csv.Error, StopIteration):
        raise QuoteError from None


def hint(cell: str) -> str:
    """Return the way out for a cell that is not a number."""
    if cell == "":
        return "the cell is empty: fill it in or drop the row"
    if is_missing(cell):
        return "missing values are not read: drop the row or write nan"
    return next((advice for shape, advice in _SHAPES if re.fullmatch(shape, cell)), "")


def quote_error(place: Place) -> DataError:
    """Return the error for a line whose quotation marks do not pair."""
    return DataError("csv-quote", "a quotation mark is not closed on its line, or stands within a cell", place=place)


def encoding_error(place: Place) -> DataError:
    """Return the error for text that is not UTF-8."""
    return DataError("text-encoding", "not UTF-8 text", place=place, hint="save the file as UTF-8")


def ragged_error(found: int, width: int, place: Place) -> DataError:
    """Return the error for a line with too few or too many fields."""
    fields = "1 field" if found == 1 else f"{found} fields"
    return DataError(
        "csv-ragged",
        f"{fields}, where the lines above have {width}",
        place=place,
        hint="every line needs the same number",
    )


def number_error(cell: str, place: Place, *, named: bool) -> DataError:
    """Return the error for a cell that is not a number."""
    cell = cell.strip()
    if not is_utf8(cell):
        return encoding_error(place)
    if is_number(cell):
        return DataError(
            "csv-number", f"too large for a double: {cell[:40]!r}", place=place, hint="write inf if it is meant"
        )
    advice = hint(cell) or ("to leave a column out, choose the others after '::'" if named else "")
    shown = cell if len(cell) <= 40 else cell[:37] + "..."
    return DataError("csv-number", f"not a number: {shown!r}", place=place, hint=advice)


def first_fault(
    rows: Iterable[tuple[int, str]],
    delimiter: str | None,
    header: Sequence[str],
    width: int,
    fields: Sequence[int],
    file: str,
) -> DataError | None:
    """Return the error of the first line, and in it of the first field, that is not as it should be.

    ``rows`` gives line numbers and lines; ``fields`` are the 0-based columns that are read.
    """
    for number, line in rows:
        place = Place(file, number)
        try:
            cells = split(line, delimiter)
        except QuoteError:
            return quote_error(place)
        if len(cells) != width:
            return ragged_error(len(cells), width, place)
        for column in fields:
            if not is_number(cells[column]) or _overflows(cells[column]):
                return number_error(cells[column], Place(file, number, column + 1), named=bool(header))
    return None


def _overflows(cell: str) -> bool:
    return "n" not in cell and "N" not in cell and abs(float(cell)) == float("inf")
