"""The pages of memory that temporaries live in."""

from __future__ import annotations

import ctypes
from functools import cache


@cache
def keep_pages() -> None:
    """Have the C library keep the memory of freed temporaries for the next block, where it is glibc.

    By default it gives pages of a megabyte back to the system and asks for them again, block after block: six
    times the time of the arithmetic. A thread keeps what a block needs, a dozen temporaries of a megabyte or two.
    """
    trim_threshold, mmap_threshold = -1, -3
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(trim_threshold, 64 << 20)
    mallopt(mmap_threshold, 32 << 20)
