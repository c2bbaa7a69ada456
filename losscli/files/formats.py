"""The table of formats: which suffix, or which first bytes, mean which reader and writer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np

from losscli.errors import DataError, OutputError, Place, did_you_mean
from losscli.files import npy
from losscli.files.blob import Blob, is_url
from losscli.files.delimited import open_table, write_table
from losscli.files.dialect import GZIP
from losscli.files.source import Array, Container
from losscli.files.whole import write_whole

Writer = Callable[[BinaryIO, Array, Sequence[str]], None]


@dataclass(frozen=True)
class Format:
    """One file format: its suffixes, how its first bytes look, its reader and, if it has one, its writer."""

    word: str
    suffixes: tuple[str, ...]
    magic: re.Pattern[bytes]
    read: Callable[[Blob], Container]
    write: Writer | None = None


def _write_csv(stream: BinaryIO, array: Array, columns: Sequence[str]) -> None:
    write_table(stream, array, columns, ",")


def _write_tsv(stream: BinaryIO, array: Array, columns: Sequence[str]) -> None:
    write_table(stream, array, columns, "\t")


def _write_csv_gz(stream: BinaryIO, array: Array, columns: Sequence[str]) -> None:
    import gzip

    # No time and no name in the gzip header: the same numbers give the same bytes.
    with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed:
        write_table(packed, array, columns, ",")  # type: ignore[arg-type]


def _write_tsv_gz(stream: BinaryIO, array: Array, columns: Sequence[str]) -> None:
    import gzip

    with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed:
        write_table(packed, array, columns, "\t")  # type: ignore[arg-type]


def _later(module: str, name: str) -> Callable[..., Any]:
    """A function of a format's own module, which is imported when it is called: most runs read one format."""

    def call(*given: Any) -> Any:
        return getattr(import_module(f"losscli.files.{module}"), name)(*given)

    return call


_NEVER = re.compile(rb"(?!)")

# Where the suffix does not tell, the first row whose magic matches is the format; CSV, which has none, comes last.
FORMATS: tuple[Format, ...] = (
    Format("NPY", (".npy",), re.compile(re.escape(npy.MAGIC)), npy.open_npy, npy.write_npy),
    Format("NPZ", (".npz",), re.compile(rb"PK(\x03\x04|\x05\x06)"), _later("npz", "open_npz")),
    Format("CSV (gzipped)", (".csv.gz",), re.compile(re.escape(GZIP)), open_table, _write_csv_gz),
    Format("TSV (gzipped)", (".tsv.gz",), _NEVER, open_table, _write_tsv_gz),
    # The length of the header, which is far below 2**32, and its JSON.
    Format(
        "safetensors",
        (".safetensors",),
        re.compile(rb"[^\0].{3}\0{4}\{", re.DOTALL),
        _later("safetensors_data", "open_safetensors"),
    ),
    Format(
        "JSONL",
        (".jsonl", ".ndjson"),
        re.compile(rb"(\xef\xbb\xbf)?\s*\{[^\n]*\}\s*\n\s*\{"),
        _later("json_lines", "open_jsonl"),
    ),
    Format("Parquet", (".parquet", ".pq"), re.compile(rb"PAR1"), _later("columnar", "open_parquet")),
    Format(
        "Arrow",
        (".arrow", ".feather", ".ipc", ".arrows"),
        re.compile(rb"ARROW1|\xff{4}.{3}\0", re.S),
        _later("columnar", "open_arrow"),
    ),
    Format(
        "JSON",
        (".json",),
        re.compile(rb"(\xef\xbb\xbf)?\s*[\[{]"),
        _later("json_data", "open_json"),
        _later("json_data", "write_json"),
    ),
    Format(
        "YAML",
        (".yaml", ".yml"),
        re.compile(rb"(\xef\xbb\xbf)?([ \t\r]*(#[^\n]*)?\n)*[ \t]*(---\s|- |[A-Za-z_][\w.-]*:(\s|$))"),
        _later("yaml_data", "open_yaml"),
    ),
    Format("TSV", (".tsv",), _NEVER, open_table, _write_tsv),
    Format("CSV", (".csv",), re.compile(rb"[^\0]*\Z"), open_table, _write_csv),
)

_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".joblib")
_FOREIGN = (
    (b"\x89HDF", "HDF5"),
    (b"MATLAB", "MATLAB"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def reader_of(blob: Blob) -> Callable[[Blob], Container]:
    """Return the reader for a blob: by suffix, and by first bytes where that says nothing."""
    # What follows the path in a URL is no suffix.
    path = re.split(r"[?#]", blob.name)[0] if is_url(blob.name) else blob.name
    lower = PurePath(path).name.lower()
    if lower.endswith(_PICKLES) or re.match(rb"\x80[\x02-\x05]", blob.head):
        raise DataError(
            "file-pickle",
            "a pickle, which can run code when opened and is not read",
            place=Place(blob.name),
            hint="convert it once: np.save('new.npy', torch.load(path).numpy())"
            if lower.endswith((".pt", ".pth"))
            else "convert it once: np.save('new.npy', np.asarray(pickle.load(open(path, 'rb'))))",
        )
    chosen = _by_suffix(lower) if blob.name != "<stdin>" else None
    chosen = chosen or next((row for row in FORMATS if row.magic.match(blob.head)), None)
    foreign = next((word for start, word in _FOREIGN if blob.head.startswith(start)), None)
    if chosen is None or (foreign and _by_suffix(lower) is None):
        known = ", ".join(suffix for row in FORMATS for suffix in row.suffixes)
        what = f"{foreign} files are not read" if foreign else "the format is not known"
        raise DataError("format-unknown", what, place=Place(blob.name), hint=f"formats: {known}")
    return chosen.read


def _by_suffix(name: str) -> Format | None:
    return next((row for row in FORMATS if name.endswith(row.suffixes)), None)


def write_array(path: str | Path, array: Array, *, columns: Sequence[str] = ()) -> None:
    """Write an array, whole or not at all; the suffix names the format (.npy, .csv, .tsv, .json, .csv.gz, .tsv.gz).

    ``columns`` become the header of a table. Floats take the shortest form that reads back to the same bits.
    Raises OutputError.
    """
    chosen = _by_suffix(PurePath(path).name.lower())
    writable = [suffix for row in FORMATS if row.write for suffix in row.suffixes]
    if chosen is None or chosen.write is None:
        suffix = PurePath(path).suffix
        raise OutputError(
            "format-unknown",
            f"no writer for {suffix!r} files" if suffix else "the file name has no suffix to name a format",
            place=Place(str(path)),
            hint=did_you_mean(suffix, writable) or f"formats: {', '.join(writable)}",
        )
    array = np.asarray(array)
    if array.dtype.kind not in "biufU":
        raise OutputError("output-dtype", f"dtype {array.dtype} is not written", place=Place(str(path)))
    with write_whole(path) as stream:
        chosen.write(stream, array, columns)
