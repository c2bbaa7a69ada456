"""Array-likes that are not arrays on disk: what they hold is worked out slice by slice."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
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
