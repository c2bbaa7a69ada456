"""Tables of rows and of facts, and the text that they become."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Sequence

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

# Wide enough for any table of ours: a pipe has no width, and a number must never be cut.
_PIPE_WIDTH = 10_000


def text_of(*parts: RenderableType, color: str = "auto") -> str:
    """Tables as text: coloured for a terminal only, and as wide as they need to be elsewhere."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    coloured = color == "always" or (color == "auto" and terminal and not os.environ.get("NO_COLOR"))
    # Rich draws with what the encoding has; file names may be of bytes that it has not.
    page = io.TextIOWrapper(io.BytesIO(), getattr(sys.stdout, "encoding", "utf-8"), errors="backslashreplace")
    console = Console(
        file=page,
        force_terminal=coloured,
        no_color=not coloured,
        width=None if terminal else _PIPE_WIDTH,
        highlight=False,
        emoji=False,
        markup=False,
    )
    group = Group(*parts)
    if terminal:
        # Text wraps; a table whose numbers need more than the terminal has is wrapped by the terminal, never cut.
        needed = Measurement.get(console, console.options.update(width=_PIPE_WIDTH), group).minimum
        console.width = max(console.width, needed)
    console.print(group)
    page.seek(0)
    return "\n".join(line.rstrip() for line in page.read().splitlines()) + "\n"


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    left: int = 1,
    text: Sequence[int] = (),
) -> RenderableType:
    """A plain table: the first ``left`` columns flush left, numbers flush right and never cut; ``text`` may wrap."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for at, name in enumerate(columns):
        made.add_column(
            name, justify="left" if at < left or at in text else "right", no_wrap=at not in text, overflow="fold"
        )
    for row in rows:
        made.add_row(*(Text(cell if isinstance(cell, str) else number(cell)) for cell in row))
    return Group(Text("\n" + title, style="bold"), made) if title else made


def facts(rows: Iterable[tuple[str, object]], *, title: str = "") -> RenderableType:
    """Names and values, one pair per line; long text wraps on a terminal."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(Text(name), Text(value if isinstance(value, str) else number(value)))
    return Group(Text(title, style="bold"), made) if title else made


def number(value: object) -> str:
    """A number as a table shows it: whole numbers whole, others to ten significant digits."""
    if isinstance(value, bool | int | np.integer):
        return str(value)
    if isinstance(value, float | np.floating):
        return f"{float(value):.10g}"
    return str(value)


def percent(share: float) -> str:
    """A share as a percentage."""
    return f"{100 * share:.2f} %"
