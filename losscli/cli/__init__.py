"""The command line: one module per verb, loaded when its verb is used."""

from __future__ import annotations

from losscli.cli.exits import emit, guarded


def run(argv: list[str]) -> int:
    """Run the command line on its arguments and return the exit code."""
    return guarded(lambda: _answer(argv), argv)


def _answer(argv: list[str]) -> object:
    if argv == ["--version"]:
        # Answered before anything heavy is imported.
        from losscli import __version__

        emit(f"losscli {__version__}")
        return None
    # Imported under guard: Ctrl-C while libraries load is no traceback.
    from losscli.cli.program import call

    return call(argv)
