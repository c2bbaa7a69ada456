"""Many files as one: a folder of them, or those that a pattern matches, one after the other in sorted order."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from losscli.errors import DataError, Place
from losscli.files.blob import open_blob, unreadable
from losscli.files.formats import reader_of
from losscli.files.source import Array, Container, Source, Tabular
from losscli.files.spool import SMALL, on_disk
from losscli.files.views import Shards, View


def files_of(path: str) -> list[str] | None:
    """Return the files of a folder, or those that a pattern matches; None where the path is neither."""
    if os.path.isdir(path):  # noqa: PTH112 - a name that is no path is no folder, and no error
        return _in_folder(path)
    if os.path.lexists(path) or not glob.has_magic(path):
        return None
    found = sorted(name for name in glob.glob(path, recursive=True) if not Path(name).is_dir())  # noqa: PTH207
    if not found:
        raise DataError("file-missing", f"no file matches {path!r}", place=Place(path))
    return found


def _in_folder(path: str) -> list[str]:
    try:
        entries = sorted(Path(path).iterdir())
    except OSError as error:
        raise unreadable(path, error) from None
    # Such names are notes that tools leave beside the data: .DS_Store, _SUCCESS.
    found = [str(entry) for entry in entries if not entry.name.startswith((".", "_")) and not entry.is_dir()]
    if not found:
        raise DataError("file-directory", f"{path!r} is a folder without files", place=Place(path))
    return found


@dataclass(frozen=True)
class ShardSet:
    """Files of one format: what the first names, all of them have."""

    name: str
    parts: tuple[Container, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The names that can be selected."""
        return self.parts[0].keys

    def find(self, name: str) -> str | None:
        """Return the selector of the input called ``name``."""
        return self.parts[0].find(name)

    def whole(self, *, text: bool) -> Source:
        """Return the files as one array."""
        return self._joined(self.name, [partial(part.whole, text=text) for part in self.parts])

    def select(self, selector: str, *, text: bool) -> Source:
        """Return the same part of every file as one array."""
        opened = [partial(part.select, selector, text=text) for part in self.parts]
        return self._joined(f"{self.name}::{selector}", opened)

    def _joined(self, name: str, opened: Sequence[Callable[[], Source]]) -> Source:
        sources: list[Source] = []
        arrays: list[Array | View] = []
        held = 0
        first: Source | None = None
        for shard in opened:
            source = shard()
            first = first or source
            _check(source, first)
            # Small files stay in memory one by one; a million of them would not fit.
            held += source.array.nbytes if type(source.array) is np.ndarray else 0
            arrays.append(on_disk(source.name, source.array) if held > SMALL else source.array)
            # For places alone: the arrays are pickled as the way to open them.
            sources.append(replace(source, array=np.empty(0)))
        array = Shards(arrays)
        return Source(name, array, sources[0].columns, ShardPlaces(tuple(sources), tuple(array.starts.tolist())))


def _check(source: Source, first: Source) -> None:
    """Refuse a shard that does not continue the first one."""
    if not source.shape:
        raise DataError("shards", "a single number is no shard", place=Place(source.name))
    words = source.dtype.kind == "U" and first.dtype.kind == "U"
    for what, mine, its in (
        ("rows of shape", source.shape[1:], first.shape[1:]),
        ("dtype", "text" if words else source.dtype, "text" if words else first.dtype),
        ("columns", ", ".join(source.columns), ", ".join(first.columns)),
    ):
        if mine != its:
            message = f"{what} {mine}, where {first.name} has {its}"
            raise DataError("shards", message, place=Place(source.name))


@dataclass(frozen=True)
class ShardPlaces:
    """Where the numbers of joined files stand: in the file, at the row, that is theirs."""

    sources: tuple[Source, ...]
    starts: tuple[int, ...]

    def __call__(self, index: tuple[int, ...]) -> Place:
        """Return the place of the number at ``index``."""
        shard = min(int(np.searchsorted(self.starts, index[0], side="right")), len(self.sources)) - 1
        return self.sources[shard].place((index[0] - self.starts[shard], *index[1:]))


@dataclass(frozen=True)
class TableShards(ShardSet):
    """Files that are tables with the same columns."""

    parts: tuple[Tabular, ...]

    def rest(self, name: str, *, text: bool) -> Source:
        """Return all columns but one."""
        return self._joined(self.name, [partial(part.rest, name, text=text) for part in self.parts])

    def words(self, name: str) -> Source:
        """Return a column as it is written, be it of numbers."""
        return self._joined(f"{self.name}::{name}", [partial(part.words, name) for part in self.parts])


def open_shards(path: str, files: Sequence[str], dtype: str) -> ShardSet:
    """Return the container of several files."""
    parts: list[Container] = []
    reader = None
    for name in files:
        blob = open_blob(name, dtype=dtype)
        mine = reader_of(blob)
        if mine is not (reader := reader or mine):
            raise _mixed(path, files[0], name)
        parts.append(mine(blob))
    tables = tuple(part for part in parts if isinstance(part, Tabular))
    return TableShards(path, tables) if len(tables) == len(parts) else ShardSet(path, tuple(parts))


def _mixed(path: str, first: str, other: str) -> DataError:
    hint = "choose files of one format: 'folder/*.npy'"
    if Path(path).is_dir():
        # Most who name such a folder do not mean shards.
        message = f"{path!r} is a folder of files of more than one format: {first}, {other}"
        return DataError("file-directory", message, place=Place(path), hint=hint)
    return DataError("shards", f"it is of another format than {first}", place=Place(other), hint=hint)
