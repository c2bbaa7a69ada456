"""Growth: time over rows of ten classes in a mapped NPY file of float32, by one worker and by two.

Two workers are what the command line has by default: threads, and processes for large data.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import timing
from losscli import evaluate, get
from losscli.engines import engine
from losscli.results import Wants

_CLASSES = 10
_BLOCK = 100_000


def generate(folder: Path, rows: int) -> dict[str, np.ndarray[Any, Any]]:
    """Logits and labels as maps of NPY files, written block by block; the numbers of one block, repeated."""
    rng = np.random.default_rng(0)
    logits = np.lib.format.open_memmap(folder / "logits.npy", "w+", np.float32, (rows, _CLASSES))
    labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.int64, (rows,))
    block, index = 3 * rng.standard_normal((_BLOCK, _CLASSES), np.float32), rng.integers(0, _CLASSES, _BLOCK)
    for start in range(0, rows, _BLOCK):
        logits[start : start + _BLOCK], labels[start : start + _BLOCK] = block[: rows - start], index[: rows - start]
    del logits, labels
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("logits", "labels")}


def measure(data: dict[str, np.ndarray[Any, Any]], runs: int, wants: Wants) -> list[str]:
    """A row of the table: the data by each number of workers, in turn."""
    bound = get("ce").bind()
    engines = {workers: engine("processes", workers) for workers in range(1, timing.THREADS + 1)}
    calls = {str(n): lambda e=e: evaluate(bound, data, engine=e, wants=wants).value for n, e in engines.items()}
    values = {call() for call in calls.values()}
    if len(values) > 1:
        raise RuntimeError(f"the value depends on the workers: {values}")
    times = list(timing.interleaved(calls, runs).values())
    each = [f"{took.median:.4f}" for took in times]
    entries = data["logits"].size
    each += [timing.digits(took.median / entries * 1e9) for took in times]
    return [f"{len(data['labels']):,}", f"{entries:,}", *each, f"{times[0].median / times[-1].median:.2f}"]


def main(argv: list[str]) -> None:
    parser = timing.arguments("scale", __doc__, runs=5)
    parser.add_argument("--full", action="store_true", help="up to 100,000,000 rows: 10⁹ entries, 5 GB of files")
    args = parser.parse_args(argv)
    timing.pin()
    most = 10**8 if args.full else 10**6 if args.quick else 10**7
    sizes = [rows for rows in (10**power for power in range(4, 9)) if rows <= most]
    need, free = most * (4 * _CLASSES + 8) / timing.MB, shutil.disk_usage(tempfile.gettempdir()).free / timing.MB
    if need * 1.1 > free:
        raise SystemExit(f"needs {need:.0f} MB of disk, {free:.0f} are free")
    with tempfile.TemporaryDirectory() as name:
        data = generate(Path(name), most)
        rows = [measure({key: array[:n] for key, array in data.items()}, args.runs, Wants()) for n in sizes]
    heads = ["rows", "entries", "1 worker, s", "2 workers, s", "1 worker, ns/entry", "2 workers, ns/entry", "ratio"]
    print(f"ce, the value; medians of {args.runs} runs in turn. {timing.machine('numpy')}.\n")
    print(timing.markdown(heads, rows, 0))
