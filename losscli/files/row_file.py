"""Rows of an NPY file that is already there, written from any thread, process or machine that sees it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from losscli.errors import OutputError, Place

Array = npt.NDArray[Any]


class RowFile:
    """The float64 numbers in a file from byte ``offset``, as something that rows are assigned to.

    It pickles as its path. Rows are written, not stored through a map: two machines that share a file system would
    each send whole pages, and the one at the border of their rows would keep the numbers of the last alone.
    """

    def __init__(self, path: str | Path, offset: int, shape: tuple[int, ...]) -> None:
        self.path = Path(path).absolute()
        self.offset = offset
        self.shape = shape
        self._handle = -1

    @classmethod
    def of(cls, mapped: np.memmap[Any, Any]) -> RowFile:
        """The file behind an array that is mapped from it."""
        return cls(str(mapped.filename), mapped.offset, mapped.shape)

    @property
    def handle(self) -> int:
        """The file, opened where it is first written to."""
        if self._handle < 0:
            self._handle = os.open(self.path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        return self._handle

    def __reduce__(self) -> Any:
        return RowFile, (self.path, self.offset, self.shape)

    def __setitem__(self, at: Any, rows: Array) -> None:
        block = np.ascontiguousarray(rows, "<f8")
        size = 8 * math.prod(self.shape[1:])
        try:
            if isinstance(at, slice):
                self._write(at.indices(self.shape[0])[0] * size, block)
                return
            # Rows one by one: each run of neighbours at once.
            ends = np.flatnonzero(np.diff(at) != 1) + 1
            for start, stop in zip([0, *ends], [*ends, len(at)], strict=True):
                self._write(int(at[start]) * size, block[start:stop])
        except OSError as error:
            raise self._failure(error) from None

    def _write(self, start: int, block: Array) -> None:
        view, position = block.reshape(-1).view(np.uint8).data, self.offset + start
        while view:
            done = os.pwrite(self.handle, view, position)
            view, position = view[done:], position + done

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        mapped: Array = np.memmap(self.path, "<f8", "r+", self.offset, self.shape)
        return np.array(mapped, dtype) if copy or dtype not in (None, mapped.dtype) else mapped

    def flush(self) -> None:
        """Have what any process has written put on the disk, where other machines see it."""
        try:
            os.fsync(self.handle)
        except OSError as error:
            raise self._failure(error) from None

    def _failure(self, error: OSError) -> OutputError:
        return OutputError("output-write", f"cannot write: {error.strerror or error}", place=Place(str(self.path)))

    def __del__(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)


class RowFiles:
    """Rows of several files, one after the other."""

    def __init__(self, files: Sequence[RowFile]) -> None:
        self.files = tuple(files)
        self.starts = np.cumsum([0, *(file.shape[0] for file in files)])
        self.shape = (int(self.starts[-1]), *files[0].shape[1:])

    def __setitem__(self, at: Any, rows: Array) -> None:
        index = np.arange(*at.indices(self.shape[0])) if isinstance(at, slice) else np.asarray(at)
        shard = np.searchsorted(self.starts, index, side="right") - 1
        for number in np.unique(shard):
            here = shard == number
            self.files[number][index[here] - self.starts[number]] = rows[here]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("several files are no array without a copy")
        return np.concatenate([np.asarray(file, dtype) for file in self.files])

    def flush(self) -> None:
        """Have what was written put on the disk."""
        for file in self.files:
            file.flush()
