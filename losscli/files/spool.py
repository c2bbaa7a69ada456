"""Arrays and bytes that arrive piece by piece: in memory while small, then in a file that never has a name.

A file without a name leaves nothing behind, whatever becomes of the process; and a mapped file is the system's memory
to manage, not ours. Blocks are written, not stored through a map: pages stored to would count as our own until then.
"""

from __future__ import annotations

import io
import tempfile
import threading
import weakref
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from losscli.errors import DataError, Place

Array = npt.NDArray[Any]

# Below this, a file costs more than it saves.
SMALL = 16 << 20
_PIECE = 1 << 20


def temporary(name: str, owner: object) -> IO[bytes]:
    """Return a file without a name in the temporary folder, for the data of ``name``; it is closed with its owner."""
    try:
        file = tempfile.TemporaryFile(prefix="losscli-")  # noqa: SIM115 - see owner
    except OSError as error:
        raise no_room(name, error) from None
    weakref.finalize(owner, file.close)
    return file


def no_room(name: str, error: OSError) -> DataError:
    """Return the error for a temporary file that cannot be written."""
    return DataError(
        "spool-write",
        f"no room for it in {tempfile.gettempdir()}: {error.strerror or error}",
        place=Place(name),
    )


class Spool:
    """An array that grows along its first axis, of ``dtype``, with rows of shape ``inner``."""

    def __init__(self, name: str, dtype: npt.DTypeLike, inner: tuple[int, ...] = (), small: int | None = None) -> None:
        self.name = name
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.inner = inner
        self.rows = 0
        self._small = SMALL if small is None else small
        self._blocks: list[Array] = []
        self._held = 0
        self._file: IO[bytes] | None = None

    def append(self, block: Array) -> None:
        """Add rows, which must not be changed afterwards."""
        if len(block) == 0:
            return
        self.rows += len(block)
        block = np.ascontiguousarray(block, self.dtype)
        if self._file is not None:
            self._write(block)
            return
        self._blocks.append(block)
        self._held += block.nbytes
        if self._held > self._small:
            self._file = temporary(self.name, self)
            for held in self._blocks:
                self._write(held)
            self._blocks.clear()

    def _write(self, block: Array) -> None:
        assert self._file is not None
        try:
            # A view of bytes: datetimes and the like have no buffer of their own, and axes do not matter.
            self._file.write(block.reshape(-1).view(np.uint8).data)
        except OSError as error:
            raise no_room(self.name, error) from None

    def finish(self) -> Array:
        """Return the array: mapped, read-only, where it is large."""
        shape = (self.rows, *self.inner)
        if self._file is None:
            # One block is the array as it is; several are joined, at most twice SMALL.
            if len(self._blocks) == 1:
                return self._blocks[0]
            return np.concatenate(self._blocks) if self._blocks else np.empty(shape, self.dtype)
        try:
            self._file.flush()
        except OSError as error:
            raise no_room(self.name, error) from None
        return np.memmap(self._file, self.dtype, "r", 0, shape)


class Window(io.RawIOBase):
    """A stream of its own, at its own position, over a file without a name."""

    def __init__(self, spooled: Spooled) -> None:
        super().__init__()
        self._spooled = spooled
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._spooled.size}[whence])
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from the position on."""
        with self._spooled.lock:
            self._spooled.file.seek(self._at)
            count: int = self._spooled.file.readinto(buffer)  # type: ignore[attr-defined]
        self._at += count
        return count


class Spooled:
    """The bytes of a stream that can be read once, kept in a file without a name."""

    def __init__(self, name: str, start: bytes, stream: BinaryIO) -> None:
        self.file = temporary(name, self)
        self.size = 0
        self.lock = threading.Lock()
        piece = start
        while piece:
            try:
                self.file.write(piece)
            except OSError as error:
                raise no_room(name, error) from None
            self.size += len(piece)
            piece = stream.read(_PIECE)
        try:
            self.file.flush()
        except OSError as error:
            raise no_room(name, error) from None

    def open(self) -> BinaryIO:
        """Return a fresh stream at byte 0."""
        return io.BufferedReader(Window(self), _PIECE)


def on_disk(name: str, array: Any) -> Any:
    """Return an array in memory as one that is mapped; anything else is it already."""
    if type(array) is not np.ndarray or array.nbytes == 0:
        return array
    spool = Spool(name, array.dtype, array.shape[1:], small=-1)
    spool.append(array)
    return spool.finish()
