"""Inputs joined by the ids of their rows, whatever the order of the files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from losscli.errors import DataError, Place
from losscli.files.source import Array, Source
from losscli.files.views import View

_ROWS = 1 << 16


class Taken(View):
    """The rows of a source in another order; a view of it, so that only the order is held."""

    def __init__(self, source: Source, order: Array) -> None:
        self.source = source
        self.order = order
        self.shape = source.shape
        self.dtype = source.dtype

    def rows(self, at: Any) -> Array:
        """Some rows of the new order."""
        return np.asarray(self.source.array[self.order[at]])


@dataclass(frozen=True, eq=False)
class TakenPlaces:
    """Where the rows of the new order stand."""

    source: Source
    order: Array

    def __call__(self, index: tuple[int, ...]) -> Place:
        """Return the place of the number at ``index``."""
        return self.source.place((int(self.order[index[0]]), *index[1:]))


def joined(sources: Mapping[str, Source], ids: Mapping[str, Source]) -> dict[str, Source]:
    """Return the sources with their rows in the order of the first one's ids.

    DataError where an id stands twice in a file, or is missing in one.
    """
    first, *others = sources
    order = _rows_of(sources[first], ids[first])
    made = {first: sources[first]}
    for name in others:
        rows = _rows_of(sources[name], ids[name])
        _same(order, rows, ids[first], ids[name])
        made[name] = _taken(sources[name], np.fromiter((rows[key] for key in order), np.intp, len(order)))
    return made


def _rows_of(source: Source, ids: Source) -> dict[str, int]:
    """The row of each id, in the order of the rows."""
    if source.shape[:1] != ids.shape[:1]:
        message = f"{ids.shape[0] if ids.shape else 1} ids, but {source.shape[0] if source.shape else 1} rows"
        raise DataError("length", message, place=Place(source.name))
    rows: dict[str, int] = {}
    for row, key in enumerate(_words(ids)):
        if rows.setdefault(key, row) != row:
            message = f"the id {key[:40]!r} stands twice, first at {ids.place((rows[key],))}"
            raise DataError("id-twice", message, place=ids.place((row,)))
    return rows


def _words(ids: Source) -> Iterator[str]:
    for start in range(0, ids.shape[0], _ROWS):
        yield from map(_word, ids.read(start, start + _ROWS).tolist())


def _word(value: Any) -> str:
    # A typed column may hold as 17.0 what a table has as 17.
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _same(order: Mapping[str, int], rows: Mapping[str, int], first: Source, other: Source) -> None:
    for mine, theirs, here, there in ((order, rows, first, other), (rows, order, other, first)):
        missing = next((key for key in mine if key not in theirs), None)
        if missing is not None:
            message = f"the id {missing[:40]!r} is missing in {there.name}"
            raise DataError("id-missing", message, place=here.place((mine[missing],)))


def _taken(source: Source, order: Array) -> Source:
    if (order == np.arange(len(order))).all():
        return source
    # For places alone: the numbers are Taken's.
    places = TakenPlaces(replace(source, array=np.empty(0), origin=None), order)
    return Source(source.name, Taken(source, order), source.columns, places)
