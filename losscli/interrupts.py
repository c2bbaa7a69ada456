"""Signals that come at a bad time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def later(*numbers: signal.Signals) -> Iterator[None]:
    """Signals that Python has handlers for are handled at the end of it; in the main thread, which handles them.

    To block them is not enough: older threads, such as those of BLAS, hear them where this one does not, and what an
    exception cuts off midway may forget what it has made.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    heard: list[int] = []
    for number in usual:
        signal.signal(number, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    for each in dict.fromkeys(heard):
        signal.raise_signal(each)


@contextmanager
def deaf(*numbers: signal.Signals) -> Iterator[None]:
    """The same, and what begins within it, threads and processes, hears them no sooner than it wants to; POSIX."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        with later(*numbers):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
