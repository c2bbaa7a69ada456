"""The entry point of the command line."""

from __future__ import annotations

import gc
import sys

# What imports make is no garbage: looking for some among it took a twentieth of a short command.
_GC_THRESHOLD = 200_000


def main() -> None:
    """Run the command line and exit with one of the documented codes."""
    gc.set_threshold(_GC_THRESHOLD)
    if sys.argv[1:] == ["--version"] and _told_version():
        return
    from losscli.cli import run

    sys.exit(run(sys.argv[1:]))


def _told_version() -> bool:
    """Whether the version is out, before anything heavy is imported; what goes wrong is left to the guarded way."""
    from losscli import __version__

    try:
        sys.stdout.write(f"losscli {__version__}\n")
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        return False
    return True


if __name__ == "__main__":
    main()
