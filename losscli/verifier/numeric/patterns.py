"""What a set of entries of an array looks like: rows, columns, a block, or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Flat = NDArray[np.intp]


def pattern_of(shape: tuple[int, ...], flat: Flat) -> str:
    """Name the pattern of the entries at flat indices of an array of a shape; empty for no entries."""
    flat = _distinct(flat)
    size, width = int(np.prod(shape)), int(np.prod(shape[1:]))
    if flat.size == 0:
        return ""
    if flat.size == 1:
        return "one entry"
    if flat.size == size:
        return "everything"
    rows = _distinct(flat // width)
    if width > 1 and flat.size == rows.size * width:
        return _run("row", rows, shape[0])
    last = shape[-1]
    columns = _distinct(flat % last)
    if len(shape) > 1 and last > 1 and columns.size < last and columns.size < flat.size:
        part = "" if flat.size == columns.size * (size // last) else ", in part"
        if not part or columns.size == 1:
            return _run("column", columns, last) + part
    if width > 1 and rows.size == 1:
        return f"row {rows[0]}, in part"
    return _run("entry", flat, size) if flat[-1] - flat[0] + 1 == flat.size else f"scattered over {flat.size} entries"


def _distinct(at: Flat) -> Flat:
    """The indices that occur, in order; np.unique takes a second for a million."""
    return np.flatnonzero(np.bincount(at))


def _run(word: str, at: NDArray[Any], length: int) -> str:
    """Consecutive rows, columns or entries, or a list of a few, in words."""
    many = "entries" if word == "entry" else f"{word}s"
    if at.size == 1:
        return f"{word} {at[0]}"
    if at[-1] - at[0] + 1 != at.size:
        return f"{many} {', '.join(map(str, at))}" if at.size <= 5 else f"{at.size} whole {many}"
    if at[-1] == length - 1:
        return f"the last {at.size} {many}"
    return f"the first {at.size} {many}" if at[0] == 0 else f"{many} {at[0]} to {at[-1]}"
