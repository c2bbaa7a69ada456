"""Worker processes: forked copies of this one, which read its arrays where they are and have a lock each.

Threads wait for the interpreter's lock after every operation on a block: two of them do 1.2 to 1.6 times the work of
one, two processes 1.9 times. A copy costs some milliseconds, and finds everything as it was: nothing is sent to it.
Its memory is its own, so what it writes goes to files.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import struct
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, NoReturn

from losscli.engines import Engine, Item, Made, threads
from losscli.errors import DataError, LosscliError
from losscli.pages import keep_pages

# With fewer blocks, of 2 MB each, threads are done before copies have memory of their own.
_LEAST = 1024
# Batches for each worker, so that all end at about the same time, and the largest one, so that progress shows.
_BATCHES, _LARGEST = 32, 64
# The numbers of four bytes that a pipe holds: all of them are in it before there is a worker.
_TOKENS = 1 << 14
_TOKEN = struct.Struct("<I")
_HEAD = struct.Struct("<cQ")
_MADE, _ERROR, _END = b"M", b"E", b"."


def processes(workers: int) -> Engine:
    """Forked copies of this process for work that is ``forkable``, large and on Linux; threads for all other.

    Forkable work changes nothing in memory that anybody else looks at. Results come as they are finished, those of many
    blocks added up; an error is that of the first block in order that has one.
    """
    others = threads(workers)

    def run(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        blocks = items if isinstance(items, Sequence) else list(items)
        if workers > 1 and len(blocks) >= _LEAST and sys.platform == "linux" and getattr(work, "forkable", False):
            return _run(work, blocks, workers, others)
        return others(work, blocks)

    return run


def _run(work: Callable[[Item], Made], blocks: Sequence[Item], workers: int, others: Engine) -> Iterator[Made]:
    keep_pages()
    step = max(1, min(_LARGEST, len(blocks) // (_BATCHES * workers)), -(-len(blocks) // _TOKENS))
    batches = range(0, len(blocks), step)
    tokens = _tokens(len(batches))
    children: list[_Child] = []
    try:
        # A system that grants no copy, or no further one, is no reason to give up.
        with suppress(OSError):
            for _ in range(workers):
                children.append(_fork(work, lambda at: blocks[batches[at] : batches[at] + step], tokens, children))
        yield from _collected(children, tokens) if children else others(work, blocks)
    finally:
        os.close(tokens)
        for child in children:
            child.end()


def _tokens(count: int) -> int:
    """A pipe that holds the numbers of all batches: whoever is idle takes the next one, and at its end goes home."""
    reading, writing = os.pipe()
    os.write(writing, b"".join(map(_TOKEN.pack, range(count))))
    os.close(writing)
    return reading


@dataclass
class _Child:
    """A worker as its parent sees it: its number, until it is known to be gone, and the pipe that it speaks through."""

    pid: int
    pipe: int

    def next(self) -> tuple[bytes, Any]:
        """What it says next; EOFError where it has died."""
        kind, size = _HEAD.unpack(self._read(_HEAD.size))
        return kind, pickle.loads(self._read(size)) if size else None

    def _read(self, size: int) -> bytes:
        parts = []
        while size:
            part = os.read(self.pipe, size)
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def died(self) -> DataError:
        """What is to be said when it has not come to its end."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        how = f"was ended by signal {-status}" if status < 0 else f"ended with exit code {status}"
        return DataError("worker-killed", f"a worker process {how} before its rows were done")

    def end(self) -> None:
        """See to it that it is gone."""
        os.close(self.pipe)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _collected(children: Sequence[_Child], tokens: int) -> Iterator[Any]:
    """What the workers make, as they make it; at the end the error of the first batch that has one."""
    at_work = {child.pipe: child for child in children}
    errors: list[tuple[int, BaseException]] = []
    poll = select.poll()
    for pipe in at_work:
        poll.register(pipe, select.POLLIN)
    while at_work:
        for pipe, _ in poll.poll():
            try:
                kind, told = at_work[pipe].next()
            except EOFError:
                raise at_work[pipe].died() from None
            if kind == _MADE:
                yield told
                continue
            if kind == _ERROR:
                errors.append(told)
                # Batches are taken in order: all before this one are under way, and none behind it counts any more.
                while os.read(tokens, _TOKEN.size * _TOKENS):
                    pass
            poll.unregister(pipe)
            del at_work[pipe]
    if errors:
        raise min(errors, key=lambda error: error[0])[1]


def _fork(
    work: Callable[[Any], Any], batch: Callable[[int], Iterable[Any]], tokens: int, elders: Sequence[_Child]
) -> _Child:
    reading, writing = os.pipe()
    try:
        with warnings.catch_warnings():
            # Libraries with threads warn that a copy has none of them: this one does arithmetic alone.
            warnings.simplefilter("ignore")
            pid = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        raise
    if not pid:
        # A pipe ends when all who could read it are gone, and its writer with it.
        for pipe in (reading, *(elder.pipe for elder in elders)):
            os.close(pipe)
        _live(work, batch, tokens, writing)
    os.close(writing)
    return _Child(pid, reading)


def _live(work: Callable[[Any], Any], batch: Callable[[int], Iterable[Any]], tokens: int, pipe: int) -> NoReturn:
    """A worker's life: batch after batch, until there are none or its parent is gone."""
    code = 1
    try:
        # Whoever interrupts the program interrupts the parent, too, which ends its children.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Or collections would touch, and so copy, every page of the parent's objects.
        gc.freeze()
        while token := os.read(tokens, _TOKEN.size):
            at = _TOKEN.unpack(token)[0]
            try:
                made = reduce(add, map(work, batch(at)))
            except Exception as error:  # noqa: BLE001 - raised again by the parent
                if not isinstance(error, LosscliError):
                    error.add_note(traceback.format_exc())
                _say(pipe, _ERROR, (at, error))
                break
            _say(pipe, _MADE, made)
        else:
            _say(pipe, _END)
        code = 0
    finally:
        # Nothing that the parent will do at its end is to be done twice.
        os._exit(code)


def _say(pipe: int, kind: bytes, told: Any = None) -> None:
    packed = b"" if told is None else pickle.dumps(told, pickle.HIGHEST_PROTOCOL)
    view = memoryview(_HEAD.pack(kind, len(packed)) + packed)
    while view:
        view = view[os.write(pipe, view) :]
