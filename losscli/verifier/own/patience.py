"""A limit to how long a user's code may take for an answer."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from losscli.errors import DataError


class _LateError(BaseException):
    """Time is up: no Exception, which the user's code might well catch."""


@contextmanager
def limited(label: str, seconds: float) -> Iterator[None]:
    """Let what is run within take so long and no longer; DataError when it does.

    There is no limit within another one, outside the main thread, and where there are no alarms (Windows).
    """
    alarms = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not alarms or math.isinf(seconds) or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _LateError:
        raise DataError("function-timeout", f"{label} gave no answer in {seconds:g} seconds") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _ring(*_: object) -> None:
    raise _LateError
