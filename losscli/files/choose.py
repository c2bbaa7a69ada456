"""From what the user wrote to sources: one per input, or one container that names them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from losscli.errors import DataError, Place, UsageError, did_you_mean
from losscli.files.blob import is_url, listed, open_blob
from losscli.files.formats import reader_of
from losscli.files.join import joined
from losscli.files.shards import files_of, open_shards
from losscli.files.source import Array, Container, Source, Tabular
from losscli.files.views import View


def _parse(spec: str) -> tuple[str, str | None]:
    path, mark, selector = spec.rpartition("::")
    if not mark or _exists(spec):
        path, selector = spec, ""
    elif not selector:
        raise UsageError("selector", f"nothing follows '::' in {spec!r}", hint="write PATH::SELECTOR")
    if not path:
        raise UsageError("source-empty", f"no file is named in {spec!r}", hint="write PATH, PATH::SELECTOR or -")
    return path, selector or None


def _exists(spec: str) -> bool:
    try:
        return Path(spec).exists()
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Origin:
    """How a source was opened, so that another process can open it again."""

    folder: str
    path: str
    selector: str | None
    text: bool
    dtype: str
    leave: str

    def __call__(self) -> Array | View:
        """Return the array, opened once per process."""
        return _opened(self)


@lru_cache(maxsize=64)
def _opened(origin: Origin) -> Array | View:
    path = origin.path if is_url(origin.path) else str(Path(origin.folder, origin.path))
    return _Opened(path, origin.dtype).source(origin.selector, text=origin.text, leave=origin.leave).array


def forget() -> None:
    """Have what an Origin opens opened anew: a process that lives on meets files that were replaced meanwhile."""
    _opened.cache_clear()


class _Opened:
    """A file, or several as one: its container, and the sources in it."""

    def __init__(self, path: str, dtype: str, stdin: BinaryIO | None = None) -> None:
        self.path = path
        self.dtype = dtype
        files = None if path == "-" or is_url(path) else files_of(path)
        if files is None:
            blob = open_blob(path, stdin, dtype)
            self.again = blob.path is not None or is_url(path)
            self.container: Container = reader_of(blob)(blob)
        else:
            self.again = True
            self.container = open_shards(path, files, dtype)

    def source(self, selector: str | None, *, text: bool, leave: str = "") -> Source:
        """The whole, less the column to ``leave`` out, or the part that a selector names."""
        if selector is not None:
            source = self.container.select(selector, text=text)
        else:
            source = self._rest(leave, text=text) if leave else self.container.whole(text=text)
        origin = Origin(str(Path.cwd()), self.path, selector, text, self.dtype, leave)
        return replace(source, origin=origin) if self.again else source

    def _rest(self, leave: str, *, text: bool) -> Source:
        container = self.container
        if isinstance(container, Tabular):
            return container.rest(leave, text=text)
        others = [key for key in container.keys if key != leave]
        return container.select(others[0], text=text) if len(others) == 1 else container.whole(text=text)

    def ids(self, column: str) -> Source:
        """The column of ids: as they are written, where the format is text."""
        keys = self.container.keys
        if column not in keys:
            message = f"no column {column!r} of ids; there are: {listed(keys) or 'none'}"
            place = Place("<stdin>" if self.path == "-" else self.path)
            raise DataError("id-column", message, place=place, hint=did_you_mean(column, keys))
        if isinstance(self.container, Tabular):
            return self.container.words(column)
        return self.container.select(column, text=True)


def open_source(spec: str, *, text: bool = False, stdin: BinaryIO | None = None, dtype: str = "") -> Source:
    """Return the source that ``PATH``, ``PATH::SELECTOR``, ``-`` or ``-::SELECTOR`` names.

    PATH may be a folder or a pattern: files of one format, one after the other in sorted order. ``text`` allows class
    names: a column of words is then read as a unicode array. ``dtype`` ``bf16`` tells what values of two bytes
    without a type are. Raises DataError and UsageError.
    """
    path, selector = _parse(spec)
    return _Opened(path, dtype, stdin).source(selector, text=text)


def keys_of(spec: str) -> tuple[str, ...]:
    """The names of what the container PATH holds; none where it is one plain array. Raises DataError."""
    return tuple(_Opened(_parse(spec)[0], "").container.keys)


def gather(
    specs: Sequence[str],
    names: Sequence[str],
    *,
    optional: Sequence[str] = (),
    text: Collection[str] = (),
    stdin: BinaryIO | None = None,
    dtype: str = "",
    id_col: str = "",
) -> dict[str, Source]:
    """Return the sources of the inputs ``names``: one spec for each, in order, or one container that names them.

    Inputs in ``optional`` may be missing: all of them, or the last ones, whose specs then follow those of the others.
    Inputs in ``text`` may hold class
    names. With ``id_col``, sources of their own are joined by that column, in the order of the first. Raises DataError
    and UsageError.
    """
    required = [name for name in names if name not in optional]
    inputs = [*required, *optional]
    if sum(_parse(spec)[0] == "-" for spec in specs) > 1:
        raise UsageError(
            "stdin-twice", "'-' stands twice, and standard input can be read once", hint="put one of them in a file"
        )
    if len(specs) == 1 and required:
        return _from_one(specs[0], required, inputs, text, stdin, dtype, id_col)
    if not len(required) <= len(specs) <= len(inputs):
        raise _count_error(len(specs), required, optional)
    sources, ids = {}, {}
    for name, spec in zip(names if len(specs) == len(names) else inputs, specs, strict=False):
        path, selector = _parse(spec)
        opened = _Opened(path, dtype, stdin)
        if id_col:
            ids[name] = opened.ids(id_col)
        sources[name] = opened.source(selector, text=name in text, leave=id_col)
    return joined(sources, ids) if id_col else sources


def _from_one(
    spec: str,
    required: Sequence[str],
    inputs: Sequence[str],
    text: Collection[str],
    stdin: BinaryIO | None,
    dtype: str,
    id_col: str,
) -> dict[str, Source]:
    path, selector = _parse(spec)
    if selector is not None:
        if len(required) > 1:
            raise _count_error(1, required, inputs[len(required) :])
        return {required[0]: open_source(spec, text=required[0] in text, stdin=stdin, dtype=dtype)}
    opened = _Opened(path, dtype, stdin)
    container = opened.container
    found = {name: selector for name in inputs if (selector := container.find(name)) is not None}
    if len(required) == 1 and required[0] not in found:
        return {required[0]: opened.source(None, text=required[0] in text, leave=id_col)}
    if not container.keys:
        raise _count_error(1, required, inputs[len(required) :])
    for name in required:
        if name not in found:
            raise _key_error(path, name, required, container.keys)
    return {name: opened.source(selector, text=name in text) for name, selector in found.items()}


def _key_error(path: str, name: str, required: Sequence[str], keys: Sequence[str]) -> DataError:
    return DataError(
        "container-key",
        f"no {name!r} in it; there are: {listed(keys)}",
        place=Place("<stdin>" if path == "-" else path),
        hint=did_you_mean(name, keys) or f"give one file for each input: {' '.join(required)}",
    )


def _count_error(count: int, required: Sequence[str], optional: Sequence[str]) -> UsageError:
    order = " ".join([*required, *(f"[{name}]" for name in optional)])
    sources = "1 source" if count == 1 else f"{count} sources"
    return UsageError(
        "source-count",
        f"{sources}, where the inputs are: {order}",
        hint="give one file for each, in this order, or one container that names them",
    )
