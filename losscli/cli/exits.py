"""Exit codes, and the one way out of the program: output, errors, signals."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from enum import IntEnum
from types import FrameType

import typer

from losscli.errors import DataError, LosscliError, OutputError, UsageError

# Typer vendors its click; the base class of its usage errors is reached through a public one.
_ClickError: type[Exception] = next(base for base in typer.BadParameter.__mro__[::-1] if hasattr(base, "exit_code"))


class Exit(IntEnum):
    """What the exit code of losscli means."""

    OK = 0
    NO = 1
    USAGE = 2
    DATA = 3
    UNDECIDED = 4
    BUG = 70
    OUTPUT = 74
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


_CODES: tuple[tuple[type[LosscliError], Exit], ...] = (
    (UsageError, Exit.USAGE),
    (DataError, Exit.DATA),
    (OutputError, Exit.OUTPUT),
)


def code_of(verdict: str, *, strict: bool = False) -> Exit:
    """The exit code of a verdict: pass, fail, inconclusive or not_checked."""
    if verdict == "pass":
        return Exit.OK
    return Exit.NO if verdict == "fail" or strict else Exit.UNDECIDED


def emit(text: str) -> None:
    """Write a result to standard output, whole, and make sure that it has left."""
    if not text:
        return
    if sys.stdout is None:
        raise OutputError("stdout-closed", "standard output is closed")
    try:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
        raise SystemExit(Exit.BROKEN_PIPE) from None
    except OSError as error:
        _drop_stdout()
        raise OutputError("stdout-write", f"standard output: {error.strerror}") from None


def _drop_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter's own flush at exit stays silent."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def guarded(command: Callable[[], object], argv: list[str]) -> int:
    """Run a command; turn whatever ends it into an exit code and at most one message on standard error."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = command()
        return code if isinstance(code, int) else Exit.OK
    except LosscliError as error:
        _report(error, argv)
        return next(code for kind, code in _CODES if isinstance(error, kind))
    except _ClickError as error:
        message = error.format_message()  # type: ignore[attr-defined]
        _report(UsageError("usage", message, hint="add --help to see what the command takes"), argv)
        return Exit.USAGE
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else Exit.OK
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except MemoryError:
        _report(DataError("memory", "not enough memory for this data"), argv)
        return Exit.DATA
    except Exception as error:
        if "--debug" in argv:
            raise
        sys.stderr.write(
            f"losscli: bug: {type(error).__name__}: {error}\n"
            "hint: please report it with the command you ran; --debug prints the traceback\n"
        )
        return Exit.BUG


def _terminate(_: int, __: FrameType | None) -> None:
    # Raised, not fatal: temporary files are removed on the way out.
    raise SystemExit(Exit.TERMINATED)


def _report(error: LosscliError, argv: list[str]) -> None:
    """One message on standard error: text, or one JSON object when JSON was asked for."""
    if sys.stderr is None:
        return
    if "--json" in argv or "json" in argv or "--format=json" in argv:
        from losscli.render import error_document

        sys.stderr.write(error_document(error) + "\n")
        return
    where = f"{error.place}: " if error.place else ""
    hint = f"hint: {error.hint}\n" if error.hint else ""
    sys.stderr.write(f"losscli: error: {where}{error.message}\n{hint}")
