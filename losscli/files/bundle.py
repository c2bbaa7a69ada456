"""Several named arrays in one file: what a container holds and the readers find by name."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from losscli.errors import OutputError, Place, did_you_mean
from losscli.files.delimited import write_table
from losscli.files.json_data import spelled
from losscli.files.source import Array
from losscli.files.whole import write_whole

Arrays = Mapping[str, Array]


def _write_npz(stream: BinaryIO, arrays: Arrays) -> None:
    # Numpy types every keyword as its own allow_pickle.
    np.savez(stream, **dict(arrays))  # type: ignore[arg-type]


def _write_json(stream: BinaryIO, arrays: Arrays) -> None:
    import json

    content = {name: spelled(array.tolist()) for name, array in arrays.items()}
    stream.write((json.dumps(content, allow_nan=False) + "\n").encode())


def _write_yaml(stream: BinaryIO, arrays: Arrays) -> None:
    import yaml

    content = {name: array.tolist() for name, array in arrays.items()}
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    stream.write(text.encode())


def _write_csv(stream: BinaryIO, arrays: Arrays) -> None:
    """Columns side by side: ``name``, or ``name_0`` … for an array of two axes. Every array has the same rows."""
    names: list[str] = []
    columns: list[Array] = []
    rows = {len(array) if array.ndim else 1 for array in arrays.values()}
    if len(rows) > 1 or any(array.ndim not in (1, 2) for array in arrays.values()):
        message = "a table has two axes, and as many rows in every column"
        raise OutputError("output-shape", message, hint="write .npz, .json or .yaml instead")
    for name, array in arrays.items():
        names += [name] if array.ndim < 2 else [f"{name}_{at}" for at in range(array.shape[1])]
        columns += [array] if array.ndim < 2 else list(array.T)
    table = np.empty((len(columns[0]), len(columns)), dtype=object)
    for at, column in enumerate(columns):
        table[:, at] = column.tolist()
    write_table(stream, table, names, ",")


BUNDLES: dict[str, Callable[[BinaryIO, Arrays], None]] = {
    ".npz": _write_npz,
    ".json": _write_json,
    ".yaml": _write_yaml,
    ".csv": _write_csv,
}


def write_arrays(path: str | Path, arrays: Arrays) -> None:
    """Write named arrays as one container, whole or not at all; the suffix names the format. Raises OutputError."""
    suffix = Path(path).suffix.lower()
    write = BUNDLES.get(suffix)
    if write is None:
        hint = did_you_mean(suffix, BUNDLES) or f"formats: {', '.join(BUNDLES)}"
        message = f"no writer of several arrays for {suffix!r} files"
        raise OutputError("format-unknown", message, place=Place(str(path)), hint=hint)
    with write_whole(path) as stream:
        write(stream, arrays)


def text_of_arrays(arrays: Arrays, suffix: str) -> str:
    """Named arrays as the text of a container of a format."""
    stream = io.BytesIO()
    BUNDLES[suffix](stream, arrays)
    return stream.getvalue().decode()
