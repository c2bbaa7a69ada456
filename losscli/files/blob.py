"""The bytes behind a path or standard input, and the ways in which they can be missing."""

from __future__ import annotations

import io
import math
import os
import re
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from losscli.errors import DataError, Place, UsageError, did_you_mean
from losscli.files.spool import SMALL, Array, Spooled

HEAD = 4096
STDIN = "<stdin>"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Blob:
    """Bytes that can be read more than once: a regular file, or what standard input or a pipe gave.

    The latter are ``data`` where they are few, and otherwise ``spooled``. ``dtype`` tells what values without a type
    are: ``bf16``, or nothing.
    """

    name: str
    path: Path | None = None
    data: bytes = field(default=b"", repr=False)
    size: int = 0
    head: bytes = field(default=b"", repr=False)
    spooled: Spooled | None = field(default=None, repr=False)
    dtype: str = ""

    def open(self) -> BinaryIO:
        """Return a fresh stream at byte 0."""
        if self.spooled is not None:
            return self.spooled.open()
        if self.path is None:
            return io.BytesIO(self.data)
        try:
            return self.path.open("rb")
        except OSError as error:
            raise unreadable(self.name, error) from None

    def array(self, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...], order: Any = "C") -> Array:
        """Return the bytes from ``offset`` on as an array, mapped where they are in a file."""
        file = self.path if self.spooled is None else self.spooled.file
        count = math.prod(shape)
        if count == 0:
            return np.empty(shape, dtype)
        if file is None:
            return np.frombuffer(self.data, dtype, count, offset).reshape(shape, order=order)
        try:
            return np.memmap(file, dtype, "r", offset, shape, order)
        except (OSError, ValueError) as error:
            raise DataError("file-unreadable", f"cannot map: {error}", place=Place(self.name)) from None

    def read(self, limit: int) -> bytes:
        """All bytes, where a format needs them at once; ``limit`` keeps such a format to the sizes it is good for."""
        if self.size > limit:
            raise DataError(
                "file-too-large",
                f"{self.size} bytes are more than the {limit} that this format is read with",
                place=Place(self.name),
                hint="save large arrays as .npy",
            )
        if self.path is None and self.spooled is None:
            return self.data
        with self.open() as stream:
            try:
                return stream.read(limit + 1)
            except OSError as error:
                raise unreadable(self.name, error) from None


def unreadable(name: str, error: OSError) -> DataError:
    """Return the error for a file that is there and cannot be read."""
    return DataError("file-unreadable", f"cannot read: {error.strerror or error}", place=Place(name))


def listed(words: Iterable[str], most: int = 12) -> str:
    """Return the first few words, for a message."""
    words = list(words)
    more = f", ... ({len(words)} in all)" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def is_url(path: str) -> bool:
    """Whether a path is one of a network, or of another file system that a URL names."""
    return _URL.match(path) is not None


def open_blob(path: str, stdin: BinaryIO | None = None, dtype: str = "") -> Blob:
    """Return the bytes of a path or URL, or of standard input for ``-``."""
    if is_url(path):
        from losscli.files.remote import fetch

        blob = fetch(path)
    else:
        blob = _from_stdin(stdin) if path == "-" else _from_path(path)
    if blob.size == 0:
        raise DataError("file-empty", "the file is empty", place=Place(blob.name))
    return replace(blob, dtype=dtype)


def blob_of(name: str, stream: BinaryIO) -> Blob:
    """Return the bytes of a stream that can be read once: in memory where they are few, else in a temporary file."""
    data = stream.read(SMALL + 1)
    if len(data) <= SMALL:
        return Blob(name, None, data, len(data), data[:HEAD])
    spooled = Spooled(name, data, stream)
    return Blob(name, None, b"", spooled.size, data[:HEAD], spooled)


def _from_stdin(stdin: BinaryIO | None) -> Blob:
    if stdin is None:
        if sys.stdin is None:
            raise UsageError("stdin-closed", "standard input is closed", hint="name a file instead of '-'")
        stdin = sys.stdin.buffer
    if stdin.isatty():
        raise UsageError(
            "stdin-terminal",
            "'-' reads standard input, and nothing is piped into it",
            hint="pipe a file in, as in: cat data.csv | losscli ... -",
        )
    try:
        return blob_of(STDIN, stdin)
    except OSError as error:
        raise unreadable(STDIN, error) from None


def _from_path(name: str) -> Blob:
    path = Path(name)
    try:
        info = path.stat()
        with path.open("rb") as stream:
            # A pipe, as in <(zcat x.csv.gz), can be read only once and has no size.
            if not stat.S_ISREG(info.st_mode):
                return blob_of(name, stream)
            return Blob(name, path, b"", info.st_size, stream.read(HEAD))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("file-missing", f"no such file: {name!r}", place=Place(name), hint=_neighbour(path)) from None
    except OSError as error:
        raise unreadable(name, error) from None
    except ValueError:
        raise DataError("file-missing", f"not a file name: {name!r}", place=Place(ascii(name))) from None


def _neighbour(path: Path) -> str:
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 - names alone are wanted
    except OSError:
        return f"the folder {str(path.parent)!r} cannot be read" if str(path.parent) != "." else ""
    return did_you_mean(path.name, names[:10_000])
