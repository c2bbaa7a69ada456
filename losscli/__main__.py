"""The entry point of the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with one of the documented codes."""
    if sys.argv[1:] == ["--version"]:
        # Answered before anything heavy is imported.
        from losscli import __version__

        print(f"losscli {__version__}")
        return
    from losscli.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
