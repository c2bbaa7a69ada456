"""Engines: ordered, lazy, bounded maps of a function over blocks of work."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from itertools import chain, islice
from operator import add
from typing import TYPE_CHECKING, Protocol, TypeVar

from losscli.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Made = TypeVar("Made")

# Few enough that the threads finish together, many enough that the main thread is seldom woken.
_BATCH = 8


class Engine(Protocol):
    """A lazy map with few items in flight at once, whose results are there to be added up.

    Those of serial come one by one, those of threads and of a cluster many of them added up already, the latter as they
    are finished. So whoever maps takes their sum, and they must be of a kind that adds up exactly.
    """

    def __call__(self, work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        """Yield results that add up to those of work(item) for every item."""
        ...


def serial(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """One item after the other, in the calling thread."""
    from losscli.pages import keep_pages

    keep_pages()
    return map(work, items)


def threads(workers: int) -> Engine:
    """Worker threads; two batches of items per worker in flight, where Executor.map would take the whole stream."""

    def run(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        stream = iter(items)
        first = list(islice(stream, 2))
        if len(first) < 2:
            # Small data: not worth a thread, nor what threads import.
            yield from map(work, first)
            return
        from concurrent.futures import ThreadPoolExecutor

        from losscli.pages import keep_pages

        keep_pages()
        with ThreadPoolExecutor(workers) as pool:
            flying: deque[Future[Made]] = deque()
            try:
                for batch in _batches(chain(first, stream)):
                    flying.append(pool.submit(lambda batch: reduce(add, map(work, batch)), batch))
                    if len(flying) >= 2 * workers:
                        yield flying.popleft().result()
                while flying:
                    yield flying.popleft().result()
            finally:
                for future in flying:
                    future.cancel()

    return run


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Runs of consecutive items, longer and longer: handing one over costs as much as a tenth of a block's work."""
    stream = iter(items)
    size = 1
    while batch := list(islice(stream, size)):
        yield batch
        size = min(2 * size, _BATCH)


def engine(name: str = "threads", workers: int | None = None) -> Engine:
    """The engine of a name; ``workers`` defaults to the processors this process may use."""
    count = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or os.cpu_count()
    if count is None or count < 1:
        raise UsageError("parameter-range", f"--threads must be at least 1, not {workers}")
    if name == "serial":
        return serial
    if name == "threads" or (name == "processes" and sys.platform != "linux"):
        # Elsewhere a process cannot be trusted to go on as a copy of itself, if it can be copied at all.
        return threads(count)
    if name == "processes":
        from losscli.processes import processes

        return processes(count)
    raise UsageError(
        "engine-unknown", f"no engine named {name!r}", hint="the engines are serial, threads and processes"
    )
