"""How columns of a table are chosen: by name, glob, 0-based index or range, or a comma list of these."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from losscli.errors import DataError, Place, did_you_mean
from losscli.files.blob import listed

_RANGE = re.compile(r"(\d*):(\d*)")


def chosen(selector: str, header: Sequence[str], width: int, file: str) -> list[int]:
    """Return the 0-based columns that a selector chooses of a table with these names, if it has any."""
    parts = [selector] if selector in header else [part.strip() for part in selector.split(",")]
    return list(dict.fromkeys(field for part in parts for field in _fields(part, header, width, file)))


def find_columns(name: str, header: Sequence[str]) -> str | None:
    """Return the selector of the column ``name``, or of the columns ``name_*`` or ``name.*``."""
    if name in header:
        return name
    for mark in "_.":
        if any(key.startswith(name + mark) for key in header):
            return f"{name}{mark}*"
    return None


def _fields(part: str, header: Sequence[str], width: int, file: str) -> Sequence[int]:
    named = [i for i, key in enumerate(header) if key == part]
    if len(named) > 1:
        raise _no_part(file, f"two columns are called {part!r}", "choose one by its 0-based index")
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
        message = f"no column {part!r}: the file has {width} columns and no header"
        raise _no_part(file, message, "choose by 0-based index or range")
    raise _no_part(file, f"no column {part!r}; there are: {listed(header)}", did_you_mean(part, header))


def _no_part(file: str, message: str, hint: str) -> DataError:
    return DataError("selector", message, place=Place(file), hint=hint)
