"""An input laid out as rows, whatever its file's order of axes, and the blocks that rows are read in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from losscli.errors import Place
from losscli.files.source import Source

Raw = np.ndarray[Any, Any]


class Writable(Protocol):
    """What rows can be assigned to: an array, or a file of rows that stands for one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        ...

    def __setitem__(self, at: Any, rows: Any, /) -> None: ...


@dataclass(frozen=True)
class Column:
    """An input laid out as rows, read block by block, and the way back to a place in the file.

    ``shape`` is that of the layout; ``lead`` says that an axis of length one was put in front; ``axis`` is where the
    last axis came from. A source's array is only ever sliced here, so it may be longer than memory.
    """

    source: Source
    shape: tuple[int, ...]
    lead: bool = False
    axis: int | None = None

    @classmethod
    def of(cls, source: Source, *, lead: bool = False) -> Column:
        """The source as it is, or as one row."""
        return cls(source, (1, *source.shape) if lead else source.shape, lead)

    def with_last(self, axis: int) -> Column:
        """The column with an axis moved to the end."""
        shape = list(self.shape)
        shape.append(shape.pop(axis))
        return replace(self, shape=tuple(shape), axis=axis)

    @cached_property
    def as_filed(self) -> bool:
        """Whether the axes stand in the file's own order."""
        return self.axis is None or self.axis == len(self.shape) - 1

    def read(self, at: Any) -> Raw:
        """The rows at a slice or at indices, in the layout."""
        if self.lead or self.axis == 0:
            whole: Raw = self.laid_out(np.asarray(self.source.array))
            return whole[at]
        block: Raw = self.source.array[at]
        block = block if self.as_filed else np.moveaxis(block, self.axis or 0, -1)
        return block if block.shape[1:] == self.shape[1:] else block.reshape(len(block), *self.shape[1:])

    def write(self, target: Writable, at: Any, rows: Raw) -> None:
        """Put rows, laid out, where they stand in something of the source's shape: at a slice or at indices."""
        if self.lead or self.axis == 0:
            # An array of which rows are no runs: what is on disk gives itself as a map here.
            view = self.laid_out(np.asarray(target))
            view[at] = rows.reshape(-1, *view.shape[1:])
            return
        block = rows.reshape(-1, *self.shape[1:])
        block = block if self.as_filed else np.moveaxis(block, -1, self.axis or 0)
        target[at] = block.reshape(len(block), *target.shape[1:])

    def laid_out(self, array: Raw) -> Raw:
        """A view of an array of the source's shape in this column's layout."""
        view = array[None] if self.lead else array
        view = view if self.as_filed else np.moveaxis(view, self.axis or 0, -1)
        return view if view.shape == self.shape else view.reshape(self.shape)

    def place(self, index: Sequence[int]) -> Place:
        """Where an entry, or a row, stands in its file."""
        at = [int(i) for i in index]
        if self.axis is not None and len(at) == len(self.shape):
            at.insert(self.axis, at.pop())
        return self.source.place(tuple(at[int(self.lead) :]))

    def fitted(self, shape: tuple[int, ...]) -> Column | None:
        """The column in another shape that differs by axes of length one after the first; None if it does not fit."""
        mine = self.shape
        same = mine[:1] == shape[:1] and [n for n in mine[1:] if n != 1] == [n for n in shape[1:] if n != 1]
        return replace(self, shape=shape) if same else None


class Spans(Sequence[tuple[int, int]]):
    """Blocks of equal length, the last one shorter, without a list of them: 10¹² rows have 10⁸ blocks."""

    def __init__(self, start: int, stop: int, length: int) -> None:
        self.stop = stop
        self.starts = range(start, stop, length)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        start = self.starts[at]
        return start, min(start + self.starts.step, self.stop)
