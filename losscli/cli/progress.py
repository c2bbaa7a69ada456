"""Progress of long work: rows done, rows per second and time left, on standard error, for who is there to see it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from losscli.engines import Engine, Item, Made
from losscli.sums import Part

if TYPE_CHECKING:
    from losscli.render import Bar

# Work that is done by then needs no bar.
_PATIENCE = 1.0


class Progress:
    """A bar for the blocks of an engine, shown after a second and only on a terminal; a context that takes it away."""

    def __init__(self, rows: int, *, quiet: bool = False) -> None:
        self._rows = rows
        self._silent = quiet or sys.stderr is None or not sys.stderr.isatty()
        self._done = 0
        self._start = time.monotonic()
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def over(self, engine: Engine) -> Engine:
        """The engine, telling of every block that it has done."""
        if self._silent:
            return engine

        def run(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
            for made in engine(work, items):
                self._tell(made)
                yield made

        return run

    def _tell(self, made: object) -> None:
        if not isinstance(made, Part):
            return
        self._done += made.rows
        if self._bar is None and time.monotonic() - self._start > _PATIENCE:
            # rich is loaded for those who wait.
            from losscli.render import Bar

            self._bar = Bar(self._rows)
        if self._bar is not None:
            # A loss that needs a second pass over its data begins again.
            self._bar.show((self._done - 1) % self._rows + 1)
