"""Bring README.md up to date: run its examples and write down what they print, and make its tables again.

`python tools/readme.py` rewrites the file; with `--check` it only tells, by exit code 1 and a difference, that the
file is out of date. `python tools/readme.py docs/functions.md` does the same for another page; what its examples import
must be installed. Three things are made:

- the output below each `$ command` of a ```console block, of one bash that starts in a folder with the samples in it,
  and with the files that stand on the page: blocks of code whose first line is a comment with a name and no more;
- the output below each `>>>` of a ```python block, which share one namespace;
- what stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`, for the names in PARTS, in README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import doctest
import importlib
import inspect
import io
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from losscli.loss import catalogue

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
# The last bits of a number depend on the processor's exponential; a wrong digit that anyone would see does not.
SAME = 1e-9
# What gradcheck is able to see is made of rounding errors alone.
NOISE = re.compile(r"(?<=an error above )[0-9.e+-]+")
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*\w)")

_CONSOLE = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"^```\w+\n(?:#|//) ([\w.]+\.\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PYTHON = re.compile(r"(?<=^```python\n)>>>.*?(?=^```$)", re.DOTALL | re.MULTILINE)


def losses() -> str:
    """The catalogue as a table."""
    rows = [("loss", "also", "reads", "definition"), ("---",) * 4]
    rows += [
        (f"`{loss.name}`", ", ".join(f"`{alias}`" for alias in loss.aliases), loss.reads.name, loss.summary)
        for loss in catalogue().values()
    ]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def block() -> str:
    """One loss as it stands in its module."""
    module = importlib.import_module("losscli.losses.regression")
    return f"```python\n{inspect.getsource(module.huber).rstrip()}\n```"


PARTS: Mapping[str, Callable[[], str]] = {"losses": losses, "block": block}


@contextlib.contextmanager
def workplace() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder to run examples in, and an environment whose losscli and python are those of this interpreter."""
    with tempfile.TemporaryDirectory() as name:
        folder, programs = Path(name) / "work", Path(name) / "bin"
        folder.mkdir()
        programs.mkdir()
        (folder / "samples").symlink_to(ROOT / "samples")
        for program, words in {"python": "", "losscli": "-m losscli "}.items():
            path = programs / program
            path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words}"$@"\n', encoding="utf-8")
            path.chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR", "PYTHONHOME")}
        inherited = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        made = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(inherited),
            "PYTHONUTF8": "1",
            "NO_COLOR": "1",
        }
        yield folder, kept | made


def console(text: str, folder: Path, environment: Mapping[str, str]) -> str:
    """A console block with the output of its commands, both streams as a terminal shows them."""
    lines: list[str] = []
    status = 0
    for line in text.splitlines():
        if not line.startswith("$ "):
            continue
        # 'echo $?' is to see how the command before it ended.
        done = subprocess.run(
            ["bash", "-c", f"(exit {status})\n{line[2:]}"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        status = done.returncode
        lines += [line, *(row.rstrip() for row in done.stdout.decode().splitlines())]
    return "".join(f"{line}\n" for line in lines)


def python(text: str, names: dict[str, Any]) -> str:
    """A block of Python examples with what they print."""
    lines: list[str] = []
    for example in doctest.DocTestParser().get_examples(text):
        first, *rest = example.source.rstrip("\n").split("\n")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(example.source, "README.md", "single"), names)
        lines += [f">>> {first}", *(f"... {line}" for line in rest), *printed.getvalue().splitlines()]
    return "".join(f"{line}\n" for line in lines)


def put_files(text: str, folder: Path) -> None:
    """The files that stand on a page, put into a folder."""
    for name, code in _FILE.findall(text):
        (folder / name).write_text(code, encoding="utf-8")


def renewed(text: str) -> str:
    """A page's text with the output of its examples made again."""
    with workplace() as (folder, environment):
        put_files(text, folder)
        text = _CONSOLE.sub(lambda found: console(found[0], folder, environment), text)
        names: dict[str, Any] = {}
        with contextlib.chdir(folder):
            text = _PYTHON.sub(lambda found: python(found[0], names), text)
    return text


def parts(text: str) -> str:
    """README.md's text with its parts made again."""
    for name, make in PARTS.items():
        begin, end = (f"<!-- {name}:{word} -->" for word in ("begin", "end"))
        if text.count(begin) != 1 or text.count(end) != 1:
            raise SystemExit(f"README.md must have one {begin} and one {end}")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{make()}\n{end}{rest.partition(end)[2]}"
    return text


def alike(mine: str, theirs: str) -> bool:
    """Whether two lines say the same: the same words, numbers that agree to SAME."""
    mine, theirs = (NOISE.sub("…", line) for line in (mine, theirs))
    if [part.split() for part in NUMBER.split(mine)] != [part.split() for part in NUMBER.split(theirs)]:
        return False
    pairs = zip(NUMBER.findall(mine), NUMBER.findall(theirs), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=SAME, abs_tol=0.0) for a, b in pairs)


def differences(old: str, new: str) -> list[str]:
    """The lines that differ by more than rounding, as a unified diff; none when there are none."""
    before, after = old.splitlines(), new.splitlines()
    if len(before) == len(after) and all(map(alike, before, after)):
        return []
    return list(difflib.unified_diff(before, after, "README.md", "made again", lineterm="", n=1))


def main() -> int:
    """Rewrite a page, or check it."""
    parser = argparse.ArgumentParser(description="Bring README.md, or another page, up to date.")
    parser.add_argument("page", nargs="?", type=Path, default=README, help="README.md unless said otherwise")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when it is out of date")
    args = parser.parse_args()
    page: Path = args.page.resolve()
    old = page.read_text(encoding="utf-8")
    new = renewed(parts(old) if page == README else old)
    found = differences(old, new)
    if args.check:
        print("\n".join(found), end="\n" if found else "")
        return int(bool(found))
    if found:
        page.write_text(new, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
