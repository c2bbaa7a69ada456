"""Memory: peaks of whole processes on files of any size, beyond those on a small file.

Resident memory counts pages of mapped files, which the system takes back when it needs them; private memory, sampled
every 10 ms, counts what no file stands behind. A run may hold LIMIT of it: a program that would hold a whole file
fails at once and says so, and the machine lives on.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import timing

LIMIT = 2500.0
_TARGET = 64.0
_CLASSES = {".npy": 1000, ".csv": 10}
# Bytes of a number in the file: float32, and the text of a float64 with its comma.
_WIDTH = {".npy": 4, ".csv": 19.2}


@dataclass(frozen=True)
class Case:
    """A file of so many megabytes, and whether its gradient is written beside it."""

    suffix: str
    size: float
    grad: bool = False

    @property
    def name(self) -> str:
        """What the table calls it."""
        size = f"{self.size / 1e3:g} GB" if self.size >= 1e3 else f"{self.size:g} MB"
        return f"{size} {self.suffix[1:].upper()}{', with --grad' if self.grad else ''}"

    @property
    def rows(self) -> int:
        """How many rows make the size."""
        return max(1, int(self.size * timing.MB / _WIDTH[self.suffix] / _CLASSES[self.suffix]))

    @property
    def disk(self) -> float:
        """The megabytes that the files of the run take: the gradient has 8 bytes for every number."""
        return self.size + self.grad * self.rows * _CLASSES[self.suffix] * 8 / timing.MB


def cases(npy: float, csv: float) -> list[Case]:
    """The small files, then those of the given megabytes."""
    return [Case(suffix, size, grad) for suffix, most in ((".npy", npy), (".csv", csv))
            for grad in (False, True) for size in (0.1, most)]  # fmt: skip


def generate(folder: Path, case: Case) -> list[str]:
    """The case's files, written block by block; numbers of one block, repeated: what they are changes no size."""
    rng = np.random.default_rng(0)
    paths = folder / f"logits{case.suffix}", folder / "labels.npy"
    classes, rows = _CLASSES[case.suffix], case.rows
    block = 3 * rng.standard_normal((min(rows, 10_000), classes))
    if case.suffix == ".npy":
        made = np.lib.format.open_memmap(paths[0], "w+", np.float32, (rows, classes))
        for start in range(0, rows, len(block)):
            made[start : start + len(block)] = block[: rows - start]
        made.flush()
    else:
        lines = [",".join(map(repr, row)) + "\n" for row in block.tolist()]
        with paths[0].open("w", encoding="ascii") as stream:
            for start in range(0, rows, len(block)):
                stream.writelines(lines[: rows - start])
    np.save(paths[1], rng.integers(0, classes, rows))
    return [str(path) for path in paths]


def measure(case: Case) -> timing.Run:
    """Make the files, run losscli on them, remove them."""
    with tempfile.TemporaryDirectory() as name:
        words = ["compute", "ce", *generate(Path(name), case), "--json", "--threads", str(timing.THREADS)]
        if case.grad:
            words += ["--grad", str(Path(name) / "gradient.npy")]
        return timing.measured(timing.losscli(*words), most=int(LIMIT))


def row(case: Case, run: timing.Run, small: timing.Run) -> list[str]:
    """What a run held, and how much more than the run on the small file of its kind."""
    if run.code:
        return [case.name, *[""] * 4, f"no: {(run.errors.strip().splitlines() or ['failed'])[-1][:100]}"]
    beyond = run.private - small.private
    held = "" if run is small else "yes" if beyond <= _TARGET else "no"
    numbers = [run.seconds, run.peak, run.private, beyond]
    return [case.name, *(f"{number:.1f}" for number in numbers), held]


def main(argv: list[str]) -> None:
    parser = timing.arguments("memory", __doc__)
    parser.add_argument("--full", action="store_true", help="10 GB of NPY and 2 GB of CSV")
    args = parser.parse_args(argv)
    timing.pin()
    npy, csv = (10_000, 2_000) if args.full else (100, 20) if args.quick else (2_000, 200)
    rows, small = [], None
    for case in cases(npy, csv):
        free = shutil.disk_usage(tempfile.gettempdir()).free / timing.MB
        if case.disk * 1.1 + 1000 > free:
            rows.append([case.name, *[""] * 4, f"not run: needs {case.disk:.0f} MB of disk, {free:.0f} are free"])
            continue
        run = measure(case)
        small = run if case.size < 1 or small is None else small
        rows.append(row(case, run, small))
    print(f"Two threads, at most {LIMIT:g} MB of private memory. {timing.machine('numpy', 'pyarrow')}.\n")
    heads = ["file", "seconds", "resident, MB", "private, MB", "beyond small, MB", f"≤ {_TARGET:g} MB"]
    print(timing.markdown(heads, rows))
