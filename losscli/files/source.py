"""One array of data and where each of its numbers stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from losscli.errors import Place
from losscli.files.views import View

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Source:
    """One array of data and where each of its numbers stands.

    ``name`` is what the user wrote (``<stdin>`` for ``-``), ``array`` is numeric, boolean or, where text was allowed,
    of a unicode dtype; it may be memory-mapped and read-only, or a view that is worked out where it is sliced: only a
    slice of it, or rows at indices, is sure to fit in memory. ``columns`` are the header names of the last axis of a
    two-dimensional table. ``origin`` opens the array again, in any process.
    """

    name: str
    array: Array | View
    columns: tuple[str, ...] = ()
    locate: Callable[[tuple[int, ...]], Place] | None = field(default=None, repr=False)
    origin: Callable[[], Array | View] | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # What lies in a file is opened again by who reads it: a map would be pickled as all of its numbers.
        if self.origin is not None and type(self.array) is not np.ndarray:
            return _reopened, (self.name, self.columns, self.locate, self.origin)
        array = self.array if isinstance(self.array, View) else np.asarray(self.array)
        return Source, (self.name, array, self.columns, self.locate, self.origin)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The kind of number the file holds."""
        return self.array.dtype

    def read(self, start: int, stop: int) -> Array:
        """Rows ``[start, stop)`` along axis 0, as a plain array: a view, not to be written to."""
        return np.asarray(self.array[start:stop])

    def place(self, index: tuple[int, ...]) -> Place:
        """Where the number at ``index`` stands: file, line and field for text formats, file and index for arrays."""
        index = tuple(int(i) for i in index)
        return Place(self.name, index=index) if self.locate is None else self.locate(index)


def _reopened(
    name: str,
    columns: tuple[str, ...],
    locate: Callable[[tuple[int, ...]], Place] | None,
    origin: Callable[[], Array | View],
) -> Source:
    return Source(name, origin(), columns, locate, origin)


class Container(Protocol):
    """What a reader returns: one file, as one array or as arrays with names."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The names that can be selected; none when the file is one plain array."""

    def whole(self, *, text: bool) -> Source:
        """Return the file as one array."""

    def select(self, selector: str, *, text: bool) -> Source:
        """Return the part that a selector names."""

    def find(self, name: str) -> str | None:
        """Return the selector of the input called ``name``, if the file has it."""


@runtime_checkable
class Tabular(Container, Protocol):
    """A container whose parts are columns of one table."""

    def rest(self, name: str, *, text: bool) -> Source:
        """Return all columns but one."""

    def words(self, name: str) -> Source:
        """Return a column as it is written, be it of numbers."""
