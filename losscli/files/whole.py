"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from losscli.errors import OutputError, Place
from losscli.files.npy import read_header, write_header, write_npy
from losscli.files.source import Array


@contextmanager
def write_whole(path: str | Path) -> Iterator[BinaryIO]:
    """Return a stream whose bytes become the file at ``path`` when the block ends well, and vanish when it does not.

    The bytes go to a temporary file in the same folder, are flushed to the disk and then take the name in one step, so
    that a reader sees the old file or the new one. An existing file keeps its mode bits, a symbolic link its place. A
    target that is no regular file (a pipe, ``/dev/stdout``) is written straight. Raises OutputError.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = _mode(target)
        if mode is not None and not stat.S_ISREG(mode):
            with target.open("wb") as stream:
                yield stream
            return
        with _replacing(target, mode) as (stream, _):
            yield stream
    except OSError as error:
        raise _failure(str(path), target, error) from error


@contextmanager
def create_array(path: str | Path, shape: tuple[int, ...]) -> Iterator[Array]:
    """Return float64 zeros to be filled in, mapped: the NPY file at ``path`` if the block ends well, and else nothing.

    The array's ``filename`` is, until then, the temporary file that another process can map as well. A target that is
    no regular file gets its bytes at the end. Raises OutputError.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = _mode(target)
        if mode is not None and not stat.S_ISREG(mode):
            array = np.zeros(shape)
            yield array
            with target.open("wb") as stream:
                write_npy(stream, array, ())
            return
        with _replacing(target, mode) as (stream, temporary):
            write_header(stream, np.dtype("<f8"), shape)
            stream.flush()
            mapped = _mapped(stream, temporary, shape)
            yield mapped
            if isinstance(mapped, np.memmap):
                mapped.flush()
    except OSError as error:
        raise _failure(str(path), target, error) from error


@contextmanager
def keep_array(path: str | Path, shape: tuple[int, ...], *, again: bool) -> Iterator[Array]:
    """Return what create_array does, but what was filled in stays beside the target, as PATH.part, until all is well.

    ``again`` goes on with such a file. Raises OutputError.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("r+b" if again else "w+b") as stream:
            if again:
                stream.seek(read_header(stream, str(part)).offset)
            else:
                write_header(stream, np.dtype("<f8"), shape)
                stream.flush()
            mapped = _mapped(stream, part, shape)
        yield mapped
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(target)
    except OSError as error:
        raise _failure(str(path), target, error) from error
    _sync_folder(target.parent)


def _mapped(stream: BinaryIO, temporary: Path, shape: tuple[int, ...]) -> Array:
    start, size = stream.tell(), 8 * math.prod(shape)
    if size == 0:
        return np.zeros(shape)
    # A hole would be cheaper, but a disk that is full when a page of it is stored to kills the process.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(stream.fileno(), 0, start + size)
    else:
        stream.truncate(start + size)
    return np.memmap(temporary, "<f8", "r+", start, shape)


def _mode(target: Path) -> int | None:
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    # A rename would replace a file that its owner made read-only.
    if not os.access(target, os.W_OK):
        raise PermissionError(13, "the file is read-only")
    return mode


@contextmanager
def _replacing(target: Path, mode: int | None) -> Iterator[tuple[BinaryIO, Path]]:
    temporary = target.with_name(f".losscli-{os.urandom(8).hex()}.tmp")
    # os.open, and not tempfile: a new file then gets the mode that the user's umask gives, not 0600.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            if mode is not None:
                temporary.chmod(stat.S_IMODE(mode))
            yield stream, temporary
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    # The data are safe by now; some file systems cannot sync a folder, which is no failure of the write.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _failure(name: str, target: Path, error: OSError) -> OutputError:
    if target.is_dir():
        return OutputError("output-directory", f"{name!r} is a folder", place=Place(name))
    if isinstance(error, FileNotFoundError) and not target.parent.is_dir():
        return OutputError("output-folder", f"no such folder: {str(target.parent)!r}", place=Place(name))
    return OutputError("output-write", f"cannot write: {error.strerror or error}", place=Place(name))
