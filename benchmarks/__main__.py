"""python -m benchmarks WORD ...: one module per word, each with a ``main`` that takes the arguments after it."""

from __future__ import annotations

import importlib
import sys

WORDS = {
    word: f"benchmarks.{word}"
    for word in (
        "accuracy",
        "speed",
        "csv",
        "startup",
        "memory",
        "scale",
        "parity",
        "large",
        "diagnosis",
        "verifier",
        "functions_check",
        "verify_dumps",
    )
}


def main(argv: list[str]) -> int:
    if not argv or argv[0] not in WORDS:
        print(f"python -m benchmarks {'|'.join(WORDS)} ...", file=sys.stderr)
        return 2
    return importlib.import_module(WORDS[argv[0]]).main(argv[1:]) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
