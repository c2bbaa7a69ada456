"""Start-up: whole processes, from the bare interpreter to a loss, beside what it takes to import PyTorch."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import timing
from benchmarks.timing import Times

_QUICK = 50
# The shortest script for files as they lie on the disk; mapped, as losscli maps them.
_TORCH = """
import sys, numpy as np, torch
torch.set_num_threads(int(sys.argv[1]))
logits, labels = (torch.from_numpy(np.load(path, mmap_mode="c")) for path in sys.argv[2:])
print(torch.nn.functional.cross_entropy(logits, labels).item())
"""


@dataclass(frozen=True)
class Target:
    """What is to be reached, in milliseconds: at most ``most`` of the name's least time beyond that of ``over``."""

    name: str
    most: float
    over: str = ""

    def row(self, times: Mapping[str, Times]) -> list[str]:
        """The target beside what was reached."""
        spent = (times[self.name].least - (times[self.over].least if self.over else 0.0)) * 1e3
        beyond = f" over {self.over}" if self.over else ""
        return [self.name, f"{self.most:g} ms{beyond}", f"{spent:.1f} ms", "yes" if spent <= self.most else "no"]


@dataclass(frozen=True)
class Faster:
    """What is to be reached beside the PyTorch script on the same files: so many times as fast, by medians."""

    name: str
    least: float
    than: str

    def row(self, times: Mapping[str, Times]) -> list[str]:
        """The target beside what was reached."""
        reached = times[self.than].median / times[self.name].median
        said = "yes" if reached >= self.least else "no"
        return [self.name, f"{self.least:g} times as fast as {self.than}", f"{reached:.1f}", said]


_SMALL: list[Target | Faster] = [
    Target("losscli --version", 15, "python"),
    Target("losscli --help", 150),
    Target("compute ce, small", 130, "import numpy"),
    Faster("compute ce, small", 6, "torch, small"),
]
_LARGE = [Faster("compute ce, large", 4, "torch, large")]


def _files(folder: Path, name: str, rows: int, classes: int) -> list[str]:
    """Logits in float32 and labels, as NPY files."""
    rng = np.random.default_rng(0)
    paths = [str(folder / f"{name}-{part}.npy") for part in ("logits", "labels")]
    np.save(paths[0], 3 * rng.standard_normal((rows, classes), np.float32))
    np.save(paths[1], rng.integers(0, classes, rows))
    return paths


def small(paths: list[str]) -> dict[str, list[str]]:
    """What a shell waits for."""
    python = [sys.executable, "-c"]
    return {
        "python": [*python, "pass"],
        "import numpy": [*python, "import numpy"],
        "losscli --version": timing.losscli("--version"),
        "losscli --help": timing.losscli("--help"),
        **pair("small", paths),
    }


def pair(size: str, paths: list[str]) -> dict[str, list[str]]:
    """The loss of the same files by losscli and by PyTorch, where that is installed."""
    threads = str(timing.THREADS)
    made = {f"compute ce, {size}": timing.losscli("compute", "ce", *paths, "--json", "--threads", threads)}
    theirs = {f"torch, {size}": [sys.executable, "-c", _TORCH, threads, *paths]}
    return made | theirs if timing.versions("torch") else made


def _tables(times: Mapping[str, Times], targets: Sequence[Target | Faster], tell: Callable[[Times], str]) -> str:
    rows = [[name, f"{took.least * 1e3:.1f}", f"{took.median * 1e3:.1f}", tell(took)] for name, took in times.items()]
    reached = [target.row(times) for target in targets if isinstance(target, Target) or target.than in times]
    return "\n\n".join(
        [
            timing.markdown(["process", "least, ms", "median, ms", "beyond python, ms"], rows),
            timing.markdown(["process", "to reach", "reached", "holds"], reached),
        ]
    )


def main(argv: list[str]) -> None:
    args = timing.arguments("startup", __doc__, runs=15).parse_args(argv)
    timing.pin()
    print(f"{args.runs} runs in turn. {timing.machine('numpy', 'torch')}.\n")
    with tempfile.TemporaryDirectory() as name:
        times = timing.in_turn(small(_files(Path(name), "small", 1000, 10)), args.runs)
        bare = times["python"].least
        print(_tables(times, _SMALL, lambda took: f"{(took.least - bare) * 1e3:.1f}"))
        paths = _files(Path(name), "large", 200_000 // (_QUICK if args.quick else 1), 1000)
        print(f"\nLarge: {Path(paths[0]).stat().st_size / timing.MB:.0f} MB of NPY, in the page cache.\n")
        large = timing.in_turn(pair("large", paths), args.runs)
        print(_tables(large, _LARGE, lambda took: f"{(took.least - bare) * 1e3:.1f}"))
