"""Exit codes, and the one way out of the program: output, errors, signals."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from enum import IntEnum
from itertools import pairwise
from types import FrameType
from typing import TextIO

from losscli.errors import ClusterError, DataError, LosscliError, OutputError, TerminatedError, UsageError, did_you_mean


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
    # As with a disk that is full, the same command succeeds once its surroundings are mended.
    (ClusterError, Exit.OUTPUT),
)


def code_of(verdict: str, *, strict: bool = False) -> Exit:
    """The exit code of a verdict: pass, fail, inconclusive or not_checked."""
    if verdict == "pass":
        return Exit.OK
    return Exit.NO if verdict == "fail" or strict else Exit.UNDECIDED


def emit(text: str) -> None:
    """Write a result to standard output, whole, and make sure that it has left."""
    require_stdout()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def require_stdout() -> None:
    """Refuse to go on without a standard output; Typer would print its help nowhere and call that a success."""
    if sys.stdout is None:
        raise OutputError("stdout-closed", "standard output is closed")


def guarded(command: Callable[[], object], argv: list[str]) -> int:
    """Run a command; turn whatever ends it into an exit code and at most one message on standard error."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        code = command()
        return code if isinstance(code, int) else Exit.OK
    except SystemExit as stop:
        # Typer ends with 1 where the reader of its help has gone.
        return _broken() if isinstance(stop.__context__, BrokenPipeError) else _code(stop)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:
        if "--debug" in argv and not isinstance(error, OSError) and _known(error) is None:
            raise
        return _failed(error, argv)
    finally:
        signal.signal(signal.SIGTERM, before)


def _code(stop: SystemExit) -> int:
    return stop.code if isinstance(stop.code, int) else Exit.OK


def _failed(error: Exception, argv: list[str]) -> int:
    """The exit code of what a command raised, once it is reported."""
    import typer

    if isinstance(error, typer.Abort):
        return Exit.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return _broken()
    known = _known(error)
    if known is None:
        _report(LosscliError("bug", f"{type(error).__name__}: {error}"), argv)
        return Exit.BUG
    _report(known, argv)
    return next(code for kind, code in _CODES if isinstance(known, kind))


def _known(error: Exception) -> LosscliError | None:
    """The failure as one that a user can mend; None for a bug."""
    if isinstance(error, LosscliError):
        return error
    if isinstance(error, MemoryError):
        return DataError("memory", "not enough memory for this data")
    if isinstance(error, OSError):
        # Readers and writers of files report theirs themselves: what is left is standard output.
        _drop(sys.stdout)
        return OutputError("stdout-write", f"standard output: {error.strerror or error}")
    if hasattr(error, "format_message"):
        # Typer ships its own click, whose base class of usage errors has no public name.
        path = getattr(getattr(error, "ctx", None), "command_path", "losscli")
        message, hint = str(error.format_message()), f"'{path} --help' shows what it takes"
        option = getattr(error, "option_name", None)
        if isinstance(option, str) and hasattr(error, "possibilities"):
            message = f"no such option: {option}"
            hint = f"{did_you_mean(option, error.possibilities or ())} {hint}".lstrip()
        return UsageError("usage", message[:1].lower() + message[1:].rstrip("."), hint=hint)
    return None


def _broken() -> int:
    _drop(sys.stdout)
    return Exit.BROKEN_PIPE


def _drop(stream: TextIO | None) -> None:
    """Send what is still buffered nowhere, so that the interpreter's own flush at exit stays silent."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _terminate(_: int, __: FrameType | None) -> None:
    # Raised, not fatal: temporary files are removed on the way out.
    raise TerminatedError(Exit.TERMINATED)


def _report(error: LosscliError, argv: list[str]) -> None:
    """One message on standard error: text, or one JSON object when JSON was asked for."""
    from losscli.cli.hints import way_out

    if sys.stderr is None:
        return
    hint = error.hint or way_out(error.code)
    if _wants_json(argv):
        from losscli.documents import error_document

        text = error_document(error, hint)
    else:
        where = f"{error.place}: " if error.place else ""
        text = f"losscli: error: {where}{error.message}\nhint: {hint}"
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        # Nobody can be told; the exit code still tells.
        _drop(sys.stderr)


def _wants_json(argv: list[str]) -> bool:
    pairs = pairwise(argv)
    return "--json" in argv or "--format=json" in argv or ("--format", "json") in pairs
