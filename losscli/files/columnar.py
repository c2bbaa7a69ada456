"""Parquet and Arrow: tables with typed columns, read by batches and spooled into arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from losscli.errors import DataError, Place
from losscli.files.blob import Blob
from losscli.files.columns import named
from losscli.files.selectors import chosen, find_columns
from losscli.files.source import Array, Source
from losscli.files.spool import Spool
from losscli.files.views import Words

_BATCH = 1 << 16

# The batches of some columns, by name.
Batches = Callable[[Sequence[str]], Iterator[Any]]


@dataclass(frozen=True)
class Columnar:
    """A Parquet or Arrow file: columns with names, of which a list column is an array of two axes."""

    file: str
    schema: Any
    batches: Batches

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.schema.names)

    def find(self, name: str) -> str | None:
        """Return the column ``name``, or the columns ``name_*`` or ``name.*``."""
        return find_columns(name, self.keys)

    def whole(self, *, text: bool) -> Source:
        """All columns."""
        return self._source(self.file, range(len(self.keys)), text=text)

    def select(self, selector: str, *, text: bool) -> Source:
        """Return the columns that a name, a glob, a 0-based index or range, or a comma list of these chooses."""
        fields = chosen(selector, self.keys, len(self.keys), self.file)
        return self._source(f"{self.file}::{selector}", fields, text=text)

    def rest(self, name: str, *, text: bool) -> Source:
        """Return all columns but one."""
        fields = [i for i, key in enumerate(self.keys) if key != name]
        return self._source(self.file, fields or range(len(self.keys)), text=text)

    def words(self, name: str) -> Source:
        """Return a column as it is: whole numbers and words are exact."""
        return self.select(name, text=True)

    def _source(self, name: str, fields: Sequence[int], *, text: bool) -> Source:
        names = [self.keys[field] for field in fields]
        for column in names:
            if self.keys.count(column) > 1:
                raise DataError("arrow-dtype", f"two columns are called {column!r}", place=Place(self.file))
        text = text and all(_is_words(self.schema.field(column).type) for column in names)
        known: dict[str, int] = {}
        spool: Spool | None = None
        with damage(self.file):
            for batch in self.batches(names):
                rows = spool.rows if spool else 0
                columns = [self._array(batch.column(column), column, rows, known, text=text) for column in names]
                block = columns[0] if len(columns) == 1 else self._side_by_side(columns, names)
                spool = spool or Spool(self.file, block.dtype, block.shape[1:])
                if block.shape[1:] != spool.inner:
                    message = f"lists of {block.shape[1:]} where those above are of {spool.inner}"
                    raise DataError("arrow-dtype", message, place=Place(name, index=(rows,)))
                spool.append(block)
        if spool is None or spool.rows == 0:
            raise DataError("file-empty", "the file has no data rows", place=Place(self.file))
        array: Array | Words = spool.finish()
        if known:
            array = named(spool.finish(), known)
        return Source(name, array, tuple(names) if len(names) > 1 else ())

    def _side_by_side(self, columns: list[Array], names: Sequence[str]) -> Array:
        for column, name in zip(columns, names, strict=True):
            if column.ndim > 1:
                hint = f"choose one: {self.file}::{name}"
                raise DataError("arrow-dtype", f"{name!r} holds lists", place=Place(self.file), hint=hint)
        return np.stack(columns, axis=1)

    def _array(self, column: Any, name: str, rows: int, known: dict[str, int], *, text: bool) -> Array:
        """One column of a batch; words as numbers of ``known``, which grows."""
        import pyarrow as pa

        if column.null_count:
            at = column.is_null().to_pylist().index(True)
            hint = "missing values are not read: drop the row or write nan"
            raise DataError("arrow-null", "a missing value", place=self._place(name, rows + at), hint=hint)
        kind = column.type
        if pa.types.is_dictionary(kind):
            return self._array(column.dictionary_decode(), name, rows, known, text=text)
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return self._lists(column, name, rows)
        if text and _is_words(kind):
            words = column.to_pylist()
            return np.array([known.setdefault(word, len(known)) for word in words], dtype=np.int64)
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise DataError("arrow-dtype", f"values of type {kind} are not read", place=Place(f"{self.file}::{name}"))
        array: Array = column.to_numpy(zero_copy_only=False)
        return array

    def _lists(self, column: Any, name: str, rows: int) -> Array:
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        uneven = np.flatnonzero(lengths != lengths[:1])
        if len(uneven):
            at = int(uneven[0])
            message = f"a list of {lengths[at]} where the first of its batch has {lengths[0]}"
            raise DataError("arrow-dtype", message, place=self._place(name, rows + at))
        flat = column.flatten()
        if flat.null_count:
            at = flat.is_null().to_pylist().index(True) // max(1, int(lengths[0]))
            raise DataError("arrow-null", "a missing value in a list", place=self._place(name, rows + at))
        values = self._array(flat, name, rows, {}, text=False)
        return values.reshape(len(lengths), -1 if len(lengths) == 0 else int(lengths[0]), *values.shape[1:])

    def _place(self, name: str, row: int) -> Place:
        return Place(f"{self.file}::{name}", index=(row,))


def _is_words(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


class damage:  # noqa: N801 - used as a statement
    """What pyarrow raises over damaged files becomes a DataError."""

    def __init__(self, file: str) -> None:
        self._file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        import pyarrow as pa

        if isinstance(error, pa.ArrowException | OSError | ValueError | KeyError | NotImplementedError):
            message = f"the file is damaged: {str(error)[:200]}"
            raise DataError("arrow-damaged", message, place=Place(self._file)) from None


def _need(blob: Blob) -> None:
    if find_spec("pyarrow") is None:
        message = "reading this format takes pyarrow, which is not installed"
        raise DataError("extra-missing", message, place=Place(blob.name), hint="pip install 'losscli[arrow]'")


def open_parquet(blob: Blob) -> Columnar:
    """Return the container of a Parquet file."""
    _need(blob)
    from pyarrow import parquet

    with damage(blob.name), blob.open() as stream:
        schema = parquet.read_schema(stream)

    def batches(names: Sequence[str]) -> Iterator[Any]:
        with blob.open() as stream, parquet.ParquetFile(stream) as file:
            yield from file.iter_batches(_BATCH, columns=list(names))

    return Columnar(blob.name, schema, batches)


def open_arrow(blob: Blob) -> Columnar:
    """Return the container of an Arrow file: the file form, also called Feather, or the stream form."""
    _need(blob)
    from pyarrow import ipc

    framed = blob.head.startswith(b"ARROW1")
    with damage(blob.name), blob.open() as stream:
        schema = (ipc.open_file if framed else ipc.open_stream)(stream).schema

    def batches(names: Sequence[str]) -> Iterator[Any]:
        with blob.open() as stream:
            if not framed:
                yield from (batch.select(list(names)) for batch in ipc.open_stream(stream))
                return
            file = ipc.open_file(stream)
            for number in range(file.num_record_batches):
                yield file.get_batch(number).select(list(names))

    return Columnar(blob.name, schema, batches)
