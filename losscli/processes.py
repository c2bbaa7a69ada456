"""Worker processes: forked copies of this one, which read its arrays where they are and have a lock each.

Threads wait for the interpreter's lock after every operation on a block: two of them do 1.2 to 1.6 times the work of
one, two processes 1.9 times. A copy costs some milliseconds, and finds everything as it was: nothing is sent to it.
Its memory is its own, so what it writes goes to files.
"""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
import select
import signal
import struct
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, NoReturn

from losscli.engines import Engine, Item, Made, threads
from losscli.errors import DataError, LosscliError
from losscli.interrupts import deaf
from losscli.pages import keep_pages

# With fewer blocks, of 2 MB each, threads are done before copies have memory of their own.
_LEAST = 1024
# Batches for each worker, so that all end at about the same time, and the largest one, so that progress shows.
_BATCHES, _LARGEST = 32, 64
_TOKEN = struct.Struct("<I")
_HEAD = struct.Struct("<cQ")
_ENDINGS = (signal.SIGINT, signal.SIGTERM)
_MADE, _ERROR, _END = b"M", b"E", b"."


def processes(workers: int) -> Engine:
    """Forked copies of this process for work that is ``forkable`` and large, threads for all other; on Linux.

    Forkable work changes nothing in memory that anybody else looks at. Results come as they are finished, those of many
    blocks added up; an error is that of the first block in order that has one.
    """
    others = threads(workers)

    def run(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        blocks = items if isinstance(items, Sequence) else list(items)
        if workers > 1 and len(blocks) >= _LEAST and getattr(work, "forkable", False):
            return _run(work, blocks, workers, others)
        return others(work, blocks)

    return run


def _run(work: Callable[[Item], Made], blocks: Sequence[Item], workers: int, others: Engine) -> Iterator[Made]:
    keep_pages()
    children: list[_Child] = []
    with ExitStack() as stack:
        # A system that grants no copy, or no further one, is no reason to give up.
        # Interrupts come afterwards: a copy would take them for its own, and the parent would not know of the copy.
        with deaf(*_ENDINGS), suppress(OSError):
            tokens, step = _tokens(len(blocks), workers)
            stack.callback(os.close, tokens)
            for _ in range(workers):
                children.append(_fork(work, lambda at: blocks[at * step : (at + 1) * step], tokens, children))
                stack.callback(children[-1].end)
        yield from _collected(children, tokens) if children else others(work, blocks)


def _tokens(blocks: int, workers: int) -> tuple[int, int]:
    """A pipe that holds the numbers of all batches, and how many blocks make one.

    Whoever is idle takes the next number, and at the end of the pipe goes home.
    """
    reading, writing = os.pipe()
    room = fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ) // _TOKEN.size
    step = max(1, min(_LARGEST, blocks // (_BATCHES * workers)), -(-blocks // room))
    os.write(writing, b"".join(map(_TOKEN.pack, range(-(-blocks // step)))))
    os.close(writing)
    return reading, step


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
        how = "was lost"
        with suppress(ChildProcessError):
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            how = f"was ended by signal {-status}" if status < 0 else f"ended with exit code {status}"
        self.pid = 0
        return DataError("worker-killed", f"a worker process {how} before its rows were done")

    def end(self) -> None:
        """See to it that it is gone."""
        os.close(self.pipe)
        # Where the parent was told to ignore its children they are gone without being asked how.
        with suppress(ProcessLookupError, ChildProcessError):
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
                while os.read(tokens, 1 << 16):
                    pass
            poll.unregister(pipe)
            del at_work[pipe]
    if errors:
        raise min(errors, key=lambda error: error[0])[1]


def _fork(
    work: Callable[[Any], Any], batch: Callable[[int], Iterable[Any]], tokens: int, elders: Sequence[_Child]
) -> _Child:
    reading, writing = os.pipe()
    parent = os.getpid()
    try:
        with warnings.catch_warnings():
            # Libraries with threads warn that a copy has none of them: this one does arithmetic alone.
            warnings.simplefilter("ignore")
            pid = os.fork()
        if not pid:
            # A pipe ends when all who could read it are gone, and its writer with it.
            _live(work, batch, parent, tokens, writing, (reading, *(elder.pipe for elder in elders)))
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return _Child(pid, reading)


def _live(
    work: Callable[[Any], Any],
    batch: Callable[[int], Iterable[Any]],
    parent: int,
    tokens: int,
    pipe: int,
    others: Iterable[int],
) -> NoReturn:
    """A worker's life: batch after batch, until there are none or its parent is gone."""
    code = 1
    try:
        # Whoever interrupts the program interrupts the parent, too, which ends its children.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)
        for other in others:
            os.close(other)
        # Or collections would touch, and so copy, every page of the parent's objects.
        gc.freeze()
        while token := os.read(tokens, _TOKEN.size):
            at = _TOKEN.unpack(token)[0]
            try:
                made = reduce(add, map(work, _while_wanted(batch(at), parent)))
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


def _while_wanted(items: Iterable[Item], parent: int) -> Iterator[Item]:
    """The items, for as long as there is a parent: what it had locked is locked until its last copy is gone."""
    for item in items:
        if os.getppid() != parent:
            os._exit(1)
        yield item


def _say(pipe: int, kind: bytes, told: Any = None) -> None:
    packed = b"" if told is None else pickle.dumps(told, pickle.HIGHEST_PROTOCOL)
    view = memoryview(_HEAD.pack(kind, len(packed)) + packed)
    while view:
        view = view[os.write(pipe, view) :]
