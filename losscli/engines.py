"""Engines: ordered, lazy, bounded maps of a function over blocks of work."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from losscli.errors import UsageError

Item = TypeVar("Item")
Made = TypeVar("Made")


class Engine(Protocol):
    """An ordered map: results come in the order of the items, and few are in flight at once."""

    def __call__(self, work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        """Yield work(item) for every item, in order."""
        ...


def serial(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """One item after the other, in the calling thread."""
    return map(work, items)


def threads(workers: int) -> Engine:
    """Worker threads; at most two items per worker in flight, where Executor.map would take the whole stream."""

    def run(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        with ThreadPoolExecutor(workers) as pool:
            flying: deque[Future[Made]] = deque()
            try:
                for item in items:
                    flying.append(pool.submit(work, item))
                    if len(flying) >= 2 * workers:
                        yield flying.popleft().result()
                while flying:
                    yield flying.popleft().result()
            finally:
                for future in flying:
                    future.cancel()

    return run


def engine(name: str = "threads", workers: int | None = None) -> Engine:
    """The engine of a name; ``workers`` defaults to the processors this process may use."""
    count = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or os.cpu_count()
    if count is None or count < 1:
        raise UsageError("parameter-range", f"--threads must be at least 1, not {workers}")
    if name == "serial":
        return serial
    if name == "threads":
        # Even for one: a worker thread's allocator keeps big temporaries, the main thread's gives their pages back.
        return threads(count)
    raise UsageError("engine-unknown", f"no engine named {name!r}", hint="the engines are serial and threads")
