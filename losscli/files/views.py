"""Array-likes that are not arrays on disk: what they hold is worked out slice by slice."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class View(ABC):
    """Something with a shape and a dtype whose rows are had by a slice or by indices."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @abstractmethod
    def rows(self, at: Any) -> Array:
        """The rows at a slice or at an array of non-negative indices, as a plain array."""

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes that it would take as an array."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: Any) -> Array:
        if isinstance(at, tuple):
            first, *rest = at or (slice(None),)
            block = self[first]
            single = isinstance(first, int | np.integer)
            return block[tuple(rest)] if single else block[(slice(None), *rest)]
        if isinstance(at, slice):
            return self.rows(at)
        index = np.asarray(at)
        if index.dtype.kind == "b":
            index = np.flatnonzero(index)
        index = index.astype(np.intp)
        if index.size and not (-len(self) <= index.min() and index.max() < len(self)):
            raise IndexError(f"index out of range for {len(self)} rows")
        index = np.where(index < 0, index + len(self), index)
        block = self.rows(index.reshape(-1))
        return block.reshape(*index.shape, *self.shape[1:])[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("its numbers are worked out: they cannot be had without a copy")
        return np.asarray(self[:] if self.shape else self.rows(slice(None)), dtype)


class Words(View):
    """Class names, one small number per cell and each name once."""

    def __init__(self, codes: Array, words: Array) -> None:
        self.codes = codes
        self.words = words
        self.shape = codes.shape
        self.dtype = words.dtype

    def rows(self, at: Any) -> Array:
        """The names of some rows."""
        return self.words[self.codes[at]]

    def column(self, index: int) -> Words:
        """One column of a table of names."""
        return Words(self.codes[:, index], self.words)


class Bfloat16(View):
    """Float32 numbers that are stored as their upper halves."""

    dtype = np.dtype(np.float32)

    def __init__(self, halves: Array) -> None:
        self.halves = halves
        self.shape = halves.shape

    def rows(self, at: Any) -> Array:
        """Some rows, exactly: the lower halves of a bfloat16 are zeros."""
        halves = np.asarray(self.halves[at] if self.shape else self.halves)
        return (halves.astype(np.uint32) << 16).view(np.float32)


class Shards(View):
    """Arrays of equal rows, one after the other."""

    def __init__(self, parts: Sequence[Array | View]) -> None:
        self.parts = tuple(parts)
        lengths = [part.shape[0] for part in parts]
        self.starts = np.cumsum([0, *lengths])
        self.shape = (int(self.starts[-1]), *parts[0].shape[1:])
        # Names of classes may be longer in one shard than in another.
        self.dtype = np.result_type(*{part.dtype for part in parts})

    def rows(self, at: Any) -> Array:
        """Some rows, of those shards that hold them."""
        if isinstance(at, slice):
            start, stop, step = at.indices(self.shape[0])
            if step != 1:
                return self._at(np.arange(start, stop, step))
            return self._between(start, max(start, stop))
        return self._at(at)

    def _between(self, start: int, stop: int) -> Array:
        first, last = self.shard(start), self.shard(max(start, stop - 1))
        pieces = [
            np.asarray(part[max(0, start - begin) : max(0, stop - begin)], self.dtype)
            for part, begin in zip(self.parts[first : last + 1], self.starts[first : last + 1].tolist(), strict=True)
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _at(self, index: Array) -> Array:
        found = np.empty((len(index), *self.shape[1:]), self.dtype)
        shard = np.searchsorted(self.starts, index, side="right") - 1
        for number in np.unique(shard):
            here = shard == number
            found[here] = self.parts[number][index[here] - self.starts[number]]
        return found

    def shard(self, row: int) -> int:
        """The number of the shard that a row lies in."""
        return min(int(np.searchsorted(self.starts, row, side="right")), len(self.parts)) - 1
