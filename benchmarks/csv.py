"""CSV: megabytes a second of losscli's reader, of the parsers it stands on, and of a whole process, on one file.

A million rows of ten float64 in their shortest exact form; every reader must return the very bits that were written.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks import timing
from losscli.files import arrow_csv
from losscli.files.choose import open_source

_COLUMNS = 10
_QUICK = 50
# A losscli to which pyarrow is not installed.
_HIDDEN = "import sys; sys.modules['pyarrow'] = None; from losscli.__main__ import main; main()"


def generate(folder: Path, rows: int) -> tuple[Path, np.ndarray[Any, Any]]:
    """Write the file, with labels in an NPY file beside it; its path and its numbers."""
    rng = np.random.default_rng(0)
    table, path = rng.standard_normal((rows, _COLUMNS)), folder / "logits.csv"
    with path.open("w", encoding="ascii") as stream:
        for start in range(0, rows, 10_000):
            stream.writelines(",".join(map(repr, row)) + "\n" for row in table[start : start + 10_000].tolist())
    np.save(folder / "labels.npy", rng.integers(0, _COLUMNS, rows))
    return path, table


def _ours(path: Path, *, arrow: bool) -> Any:
    with patch.object(arrow_csv, "installed", lambda: arrow):
        return np.asarray(open_source(str(path)).array)


def _arrow(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    pa.set_cpu_count(timing.THREADS)
    names = [str(at) for at in range(_COLUMNS)]
    kinds = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float64()))
    return csv.read_csv(path, csv.ReadOptions(column_names=names), convert_options=kinds)


def readers(path: Path) -> dict[str, Callable[[], Any]]:
    """Whoever reads the file here, by name, losscli with and without pyarrow first."""
    made: dict[str, Callable[[], Any]] = {"losscli, base install": lambda: _ours(path, arrow=False)}
    if timing.versions("pyarrow"):
        made["losscli[arrow]"] = lambda: _ours(path, arrow=True)
        made["pyarrow.csv, declared types"] = lambda: _arrow(path)
    made["numpy.loadtxt"] = lambda: np.loadtxt(path, delimiter=",")
    return made


def commands(path: Path) -> dict[str, list[str]]:
    """Whole processes that compute a cross-entropy of the file."""
    words = ["compute", "ce", str(path), str(path.with_name("labels.npy")), "--json"]
    words += ["--threads", str(timing.THREADS)]
    made = {"whole process, base install": [sys.executable, "-c", _HIDDEN, *words]}
    return {**made, "whole process, losscli[arrow]": timing.losscli(*words)} if timing.versions("pyarrow") else made


def _exact(got: Any, wanted: np.ndarray[Any, Any]) -> str:
    columns = [column.to_numpy() for column in got.columns] if hasattr(got, "columns") else got.T
    same = all(np.array_equal(a.view(np.uint64), b.view(np.uint64)) for a, b in zip(columns, wanted.T, strict=True))
    return "yes" if same else "no"


def main(argv: list[str]) -> None:
    args = timing.arguments("csv", __doc__, runs=5).parse_args(argv)
    timing.pin()
    with tempfile.TemporaryDirectory() as name:
        path, wanted = generate(Path(name), 10**6 // (_QUICK if args.quick else 1))
        made = readers(path)
        exact = {reader: _exact(call(), wanted) for reader, call in made.items()}
        times = timing.interleaved(made, args.runs) | timing.in_turn(commands(path), args.runs)
        size = path.stat().st_size / timing.MB
    rows = [
        [reader, timing.digits(size / took.median), f"{took.shown()}", exact.get(reader, "")]
        for reader, took in times.items()
    ]
    print(f"{size:.0f} MB of CSV, {args.runs} runs in turn. {timing.machine('numpy', 'pyarrow')}.\n")
    print(timing.markdown(["reader", "MB/s", "ms", "same bits"], rows))
