"""A checkpoint: what the finished blocks of a job add up to, on disk, so that a job that was cut off goes on there.

The first line says which job it is; every other line holds the sum of some blocks, its floats in hexadecimal. Sums are
exact, so a job that was cut off anywhere and goes on with any engine gives the bits of one that was not.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from losscli import __version__
from losscli.engines import Engine
from losscli.errors import DataError, OutputError, Place, UsageError
from losscli.files.shards import files_of
from losscli.files.source import Source
from losscli.loss import Bound
from losscli.plan import Plan
from losscli.results import Wants
from losscli.sums import Exact, ExactArray, Part, Tally

_SCHEMA = "losscli.checkpoint/1"
# Seconds between lines: what is lost at most, and few enough lines that no job waits for the disk.
_EVERY = 1.0


@dataclass(frozen=True)
class Done:
    """Blocks that are finished: the rows they cover, as runs in order, and what they add up to."""

    rows: tuple[tuple[int, int], ...]
    made: Any

    def __add__(self, other: Done) -> Done:
        runs: list[tuple[int, int]] = []
        for start, stop in sorted((*self.rows, *other.rows)):
            if runs and runs[-1][1] == start:
                runs[-1] = (runs[-1][0], stop)
            else:
                runs.append((start, stop))
        return Done(tuple(runs), self.made + other.made)

    def holds(self, row: int) -> bool:
        """Whether a row is in one of the runs."""
        at = bisect_right(self.rows, row, key=lambda run: run[0]) - 1
        return at >= 0 and row < self.rows[at][1]


@dataclass(frozen=True)
class Keep:
    """Work that remembers which rows its sums are of."""

    work: Callable[[Any], Any]

    def __call__(self, span: tuple[int, int]) -> Done:
        """The block's part of the sum, under its rows."""
        return Done((span,), self.work(span))

    def __getattr__(self, name: str) -> Any:
        # Places and flushing are the work's own; while it is being unpickled there is none yet.
        if name.startswith("__") or name == "work":
            raise AttributeError(name)
        return getattr(self.work, name)


class Checkpoint:
    """The file of a checkpoint, opened for one job: a context, within which ``over`` makes an engine skip what is done.

    Raises UsageError when the file is of another job or in use, DataError when it is damaged, OutputError when it
    cannot be written. A last line that was cut short is what a crash leaves behind, and is dropped.
    """

    def __init__(self, path: str | Path, job: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.known: dict[int, Done] = {}
        self._passes = count()
        self._pending: tuple[int, Done] | None = None
        self._flush: Callable[[], None] = lambda: None
        self._last = time.monotonic()
        head = json.dumps({"schema": _SCHEMA, "job": job}, allow_nan=False)
        try:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        except OSError as error:
            raise self._failure(error) from None
        try:
            self._lock()
            self._load(json.loads(head))
            if not os.fstat(self._handle).st_size:
                self._append(head)
        except BaseException:
            os.close(self._handle)
            raise

    @property
    def wrote(self) -> bool:
        """Whether blocks are finished that may have written rows."""
        return any(isinstance(done.made, Part) for done in self.known.values())

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            self._save()
        finally:
            os.close(self._handle)
        if kind is None:
            # The job is done: nothing is left to go on from.
            self.path.unlink(missing_ok=True)

    def over(self, engine: Engine) -> Engine:
        """The engine, on what is not done yet; the maps of a job are told apart by their order."""

        def run(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            number = next(self._passes)
            known = self.known.get(number)
            if known is not None:
                yield known.made
                items = (span for span in items if not known.holds(span[0]))
            self._flush = getattr(work, "flush", lambda: None)
            for done in engine(Keep(work), items):
                self._pending = (number, done if self._pending is None else self._pending[1] + done)
                if time.monotonic() - self._last >= _EVERY:
                    self._save()
                yield done.made
            self._save()

        return run

    def _save(self) -> None:
        if self._pending is None:
            return
        number, done = self._pending
        # What the blocks wrote must be on the disk before a line says that it is.
        self._flush()
        self._append(json.dumps({"pass": number, "rows": done.rows, **_plain(done.made)}, allow_nan=False))
        self._pending, self._last = None, time.monotonic()

    def _append(self, line: str) -> None:
        try:
            view = memoryview(line.encode() + b"\n")
            while view:
                view = view[os.write(self._handle, view) :]
            os.fsync(self._handle)
        except OSError as error:
            raise self._failure(error) from None

    def _lock(self) -> None:
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"the checkpoint {str(self.path)!r} is in use by another run"
                raise UsageError("checkpoint-other", message, hint="wait for it, or name another file") from None
            except OSError:
                # A file system without locks.
                return

    def _load(self, head: Mapping[str, Any]) -> None:
        with os.fdopen(os.dup(self._handle), "rb") as stream:
            content = stream.read()
        *lines, torn = content.split(b"\n")
        os.ftruncate(self._handle, len(content) - len(torn))
        os.lseek(self._handle, 0, os.SEEK_END)
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                if number == 1:
                    self._check(entry, head)
                    continue
                self._remember(entry["pass"], Done(tuple((a, b) for a, b in entry["rows"]), _made(entry)))
            except (ValueError, KeyError, TypeError, AttributeError):
                place = Place(str(self.path), line=number)
                raise DataError("checkpoint-damaged", "no line of a checkpoint", place=place) from None

    def _remember(self, number: int, done: Done) -> None:
        known = self.known.get(number)
        if known is not None and any(known.holds(start) for start, _ in done.rows):
            raise ValueError("rows that are done twice")
        self.known[number] = done if known is None else known + done

    def _check(self, entry: Mapping[str, Any], head: Mapping[str, Any]) -> None:
        if entry["schema"] != head["schema"]:
            raise ValueError("another schema")
        difference = _difference(entry["job"], head["job"])
        if difference:
            message = f"the checkpoint {str(self.path)!r} is of another job: {difference}"
            raise UsageError("checkpoint-other", message, hint="name another file, or delete this one to begin again")

    def _failure(self, error: OSError) -> OutputError:
        return OutputError("output-write", f"cannot write: {error.strerror or error}", place=Place(str(self.path)))


def job_of(bound: Bound, plan: Plan, wants: Wants, reduction: str | None, outputs: Mapping[str, str]) -> dict[str, Any]:
    """Everything that the sums of a job's blocks depend on, as JSON holds it."""
    how = plan.how
    sources = {name: column.source for name, column in plan.columns.items()}
    aside = {"sample_weight": plan.sample_weight, "mask": plan.mask}
    sources |= {name: column.source for name, column in aside.items() if column is not None}
    return {
        "losscli": __version__,
        "numpy": np.__version__,
        "loss": bound.loss.name,
        "reads": bound.loss.reads.name,
        "like": bound.loss.dialect.call if bound.loss.dialect else "",
        "params": dict(bound.params),
        "from": plan.link,
        "how": {**vars(how), "class_weight": None if how.class_weight is None else how.class_weight.tolist()},
        "reduction": reduction or bound.loss.reads.reduction,
        "wants": asdict(wants),
        "rows": plan.rows,
        "block_rows": plan.block_rows,
        "sources": {name: _identity(source) for name, source in sources.items()},
        "outputs": dict(outputs),
    }


def _identity(source: Source) -> dict[str, Any]:
    """What tells a source from another of the same name: its files' sizes and times, or its numbers' digest."""
    about = {"name": source.name, "shape": list(source.shape), "dtype": str(source.dtype)}
    path = source.name.rpartition("::")[0] or source.name
    with contextlib.suppress(OSError, ValueError):
        states = [Path(name).stat() for name in files_of(path) or [path]]
        return {**about, "files": [(state.st_size, state.st_mtime_ns) for state in states]}
    digest = blake2b(digest_size=16)
    array = source.array if source.shape else np.asarray(source.array).reshape(1)
    for start in range(0, len(array), 1 << 16):
        digest.update(np.ascontiguousarray(array[start : start + (1 << 16)]).tobytes())
    return {**about, "digest": digest.hexdigest()}


def _difference(before: Any, now: Any, name: str = "") -> str:
    """The first thing that two jobs differ in, in words; empty when there is none."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = (_difference(before.get(key), now.get(key), f"{name}.{key}") for key in {**before, **now})
        return next(filter(None, found), "")
    return "" if before == now else f"{name[1:]} was {json.dumps(before)} and is {json.dumps(now)}"


def _plain(made: Exact | Part) -> dict[str, Any]:
    """A sum as JSON holds it."""
    if isinstance(made, Exact):
        return {"sum": _floats(made)}
    part = {name: getattr(made, name) for name in ("rows", "kept", "nonfinite", "judged", "right", "keep")}
    part["total"] = [_floats(total) for total in made.total]
    part["top"] = [(value.hex(), row) for value, row in made.top]
    part["classes"] = [(index, each.rows, _floats(each.loss), each.right) for index, each in made.classes.items()]
    for name in ("gradient", "hessian"):
        slopes = getattr(made, name)
        # JSON's floats are shortest round-trip in Python: the same bits come back.
        part[name] = None if slopes is None else [x.tolist() for x in (*slopes.parts, slopes.plain)]
    return {"part": part}


def _made(entry: Mapping[str, Any]) -> Exact | Part:
    """The sum that a line holds."""
    if "sum" in entry:
        return _exact(entry["sum"])
    part = dict(entry["part"])
    part["total"] = tuple(map(_exact, part["total"]))
    part["top"] = tuple((float.fromhex(value), row) for value, row in part["top"])
    part["classes"] = {index: Tally(rows, _exact(loss), right) for index, rows, loss, right in part["classes"]}
    for name in ("gradient", "hessian"):
        arrays = [np.asarray(x) for x in part.get(name) or ()]
        part[name] = ExactArray((arrays[0], arrays[1], arrays[2]), arrays[3]) if arrays else None
    return Part(**part)


def _floats(total: Exact) -> list[str]:
    return [x.hex() for x in (total.special, *total.parts)]


def _exact(floats: list[str]) -> Exact:
    special, *parts = map(float.fromhex, floats)
    return Exact(tuple(parts), special)
