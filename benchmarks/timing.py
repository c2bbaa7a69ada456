"""What the speed benchmarks share: interleaved timing, measured child processes, the machine's line and tables.

`python -m benchmarks.timing COMMAND ...` measures one command from a process that is small itself: the kernel counts
the memory of who starts a child as the child's own until the child has replaced it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
# Both sides of every comparison run on as many threads.
THREADS = 2
MB = 1e6
PACKAGES = {"sklearn": "scikit-learn"}


@dataclass(frozen=True)
class Times:
    """Seconds of repeated runs."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        """The shortest one."""
        return min(self.seconds)

    def shown(self) -> str:
        """Milliseconds: median (shortest–longest)."""
        return f"{digits(self.median * 1e3)} ({digits(self.least * 1e3)}–{digits(max(self.seconds) * 1e3)})"


_REST = 0.25  # seconds


def interleaved(calls: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, Times]:
    """Time calls in turn, A B A B, after one of each to warm up; what they return is dropped outside the clock.

    Each begins after a while in which the threads of whoever ran before give up spinning for work; this one keeps
    its processor awake meanwhile.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(runs + 1):
        for name, call in calls.items():
            until = time.perf_counter() + _REST
            while time.perf_counter() < until:
                pass
            start = time.perf_counter()
            made = call()
            seconds = time.perf_counter() - start
            del made
            if turn:
                found[name].append(seconds)
    return {name: Times(tuple(seconds)) for name, seconds in found.items()}


@dataclass(frozen=True)
class Run:
    """A finished process: wall seconds, peak resident memory and peak of its unmapped part in MB, and its output."""

    seconds: float
    peak: float
    private: float
    code: int
    output: str
    errors: str


def process(command: Sequence[str], sample: float = 0.0) -> Run:
    """Run a command to its end; every ``sample`` seconds, if any, look at how much memory no file stands behind."""
    start = time.perf_counter()
    # As installed: with byte code written at the first run.
    given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=given) as child:
        seen, ended = [0], threading.Event()
        watch = threading.Thread(target=_watch, args=(child.pid, sample, seen, ended))
        if sample:
            watch.start()
        output, errors = (stream.read().decode() for stream in (child.stdout, child.stderr) if stream)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        if sample:
            watch.join()
    return Run(seconds, usage.ru_maxrss * 1024 / MB, seen[0] * 1024 / MB, child.returncode, output, errors)


def _watch(pid: int, pause: float, seen: list[int], ended: threading.Event) -> None:
    while not ended.wait(pause):
        seen[0] = max(seen[0], sum(map(_private, [pid, *_children(pid)])))


def _children(pid: int) -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _parent(path) == pid]


def _parent(process: Path) -> int:
    with suppress(OSError):
        # Behind the name, which may hold anything, come the state and the parent.
        return int((process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    return 0


def _private(pid: int) -> int:
    """The kB of a process that no file stands behind; what it shares with others is shared out among them."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon"))
    return 0


def measured(command: Sequence[str], most: int = 0) -> Run:
    """The same from a small process, with memory sampled; ``most`` bounds, in MB, what no file stands behind."""
    words = [sys.executable, "-m", "benchmarks.timing", str(most), *command]
    return Run(**json.loads(process(words).output))


def in_turn(commands: Mapping[str, Sequence[str]], runs: int) -> dict[str, Times]:
    """Whole processes, interleaved."""
    return interleaved({name: partial(_finished, words) for name, words in commands.items()}, runs)


def _finished(words: Sequence[str]) -> Run:
    run = process(words)
    if run.code:
        raise RuntimeError(f"{' '.join(words)}: exit code {run.code}: {run.errors[-800:] or run.output[-800:]}")
    return run


def losscli(*words: str) -> list[str]:
    """The command line of losscli, as installed beside this interpreter or else as a module."""
    script = Path(sys.executable).with_name("losscli")
    return [str(script), *words] if script.exists() else [sys.executable, "-m", "losscli", *words]


def versions(*names: str) -> dict[str, str]:
    """Those of some libraries that are installed, with their versions."""
    here = [name for name in names if importlib.util.find_spec(name) is not None]
    return {name: importlib.metadata.version(PACKAGES.get(name, name)) for name in here}


def machine(*libraries: str) -> str:
    """One line on where this was measured and with what; libraries that are not installed are named as such."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    found = versions(*libraries)
    missing = [name for name in libraries if name not in found]
    said = [
        f"{model or platform.machine()}, {len(os.sched_getaffinity(0))} cores in use",
        f"Python {platform.python_version()}",
        *(f"{name} {version}" for name, version in found.items()),
    ]
    return ", ".join(said) + (f"; not installed: {', '.join(missing)}" if missing else "")


def pin() -> None:
    """Keep this process, and whatever pools of threads libraries make in it, to as many cores as THREADS."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def digits(number: float, count: int = 3) -> str:
    """A number with some significant digits and no exponent."""
    return f"{number:.{max(0, count - len(str(int(abs(number)))))}f}" if abs(number) >= 1 else f"{number:.{count - 1}g}"


def ratio(times: Mapping[str, Times], name: str, base: str = "losscli") -> str:
    """How many times as long another one took; nothing where it was not run."""
    return f"{digits(times[name].median / times[base].median, 2)}×" if name in times else ""


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table whose first columns are words and whose others are numbers."""
    rules = ["---"] * left + ["---:"] * (len(heads) - left)
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, rules, *rows])


def write(name: str, text: str, *, after: str, page: str = "README.md") -> None:
    """Put text between the marks of a name in a page; in a new section behind another one's marks if need be."""
    path = ROOT / page
    if not path.exists():
        path.write_text(f"# {name.capitalize()}\n\n<!-- {name}:begin -->\n<!-- {name}:end -->\n", encoding="utf-8")
    page = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if begin not in page:
        behind = f"<!-- {after}:end -->"
        page = page.replace(behind, f"{behind}\n\n## {name.capitalize()}\n\n{begin}\n{end}")
    before, _, rest = page.partition(begin)
    path.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def arguments(word: str, text: str | None, *, runs: int = 0) -> argparse.ArgumentParser:
    """The options that these benchmarks share; ``runs`` is how many there are unless said otherwise."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {word}", description=text)
    parser.add_argument("--quick", action="store_true", help="much smaller data, to see that it works")
    if runs:
        parser.add_argument("--runs", type=int, default=runs, help=f"timed runs of each call; default {runs}")
    return parser


if __name__ == "__main__":
    bound = int(sys.argv[1]) * 10**6
    if bound:
        # A program that would hold what it should stream fails, instead of taking the machine's memory.
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    print(json.dumps(asdict(process(sys.argv[2:], sample=0.01))))
