"""The entry point of the command line."""

from __future__ import annotations

import sys

from losscli.cli import run


def main() -> None:
    """Run the command line and exit with one of the documented codes."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
