"""The failures a user can mend: what is wrong, where it stands, and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a datum stands: a file and, for text, its 1-based line and field; for arrays, its index."""

    file: str
    line: int | None = None
    field: int | None = None
    index: tuple[int, ...] | None = None

    def __str__(self) -> str:
        if self.index is not None:
            return f"{self.file}[{', '.join(map(str, self.index))}]"
        return ":".join(str(part) for part in (self.file, self.line, self.field) if part is not None)


class LosscliError(Exception):
    """A failure with a documented code word, a place and a hint.

    ``code`` is one of the words listed in docs/errors.md; scripts match on it.
    """

    def __init__(self, code: str, message: str, *, place: Place | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.hint = hint

    def __reduce__(self) -> Any:
        # Keyword arguments are lost to the way in which exceptions pickle.
        return partial(type(self), place=self.place, hint=self.hint), (self.code, self.message)


class UsageError(LosscliError):
    """The command itself is wrong: an unknown loss or option, a parameter out of range."""


class DataError(LosscliError):
    """The data are wrong: unreadable, malformed, of the wrong shape, a label out of range."""


class OutputError(LosscliError):
    """A result could not be written."""


class ClusterError(LosscliError):
    """A cluster cannot be reached, was lost, or is not fit for the job: neither the command nor the data are wrong."""


class TerminatedError(SystemExit):
    """The process was asked to end: nobody's own exit, and not to be taken for one."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the known words that are closest to a misspelled one; empty when none is close."""
    import difflib

    # Dashes in front make any two options look alike.
    bare = {one.lstrip("-"): one for one in known}
    close = [bare[one] for one in difflib.get_close_matches(word.lstrip("-"), bare, n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""
