"""losscli sample LOSS: a small input that the loss accepts, in any format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import typer

from losscli.cli.exits import emit
from losscli.cli.options import Option, argument, choice, option, signed
from losscli.files import text_of_arrays, write_array, write_arrays
from losscli.loss import get
from losscli.verifier.points import draw


def add(app: typer.Typer, words: list[str]) -> None:  # noqa: ARG001  (every verb is added alike)
    """Register the verb."""
    text = "A small input of a loss.\n\nlosscli sample ce | losscli compute ce -\n\nlosscli sample kl -o kl.npz"
    parameters = [
        argument("loss", str, Option.empty, "The name of a loss."),
        option("rows", int, 5, "How many rows."),
        option("seed", int, 0, "The seed of the random numbers."),
        option("link", str | None, None, "What the first input holds.", words=("--from",)),
        option("format", str, "yaml", "yaml, json or csv, for standard output."),
        option("output", str | None, None, "A file; its suffix names the format.", words=("-o", "--output")),
    ]
    app.command("sample", help=text)(signed(_sample, parameters))


def _sample(loss: str, rows: int, seed: int, link: str | None, format: str, output: str | None) -> None:  # noqa: A002
    reads = get(loss).reads
    link = choice("--from", link or reads.default_link, reads.links)
    data = draw(reads, np.random.default_rng(seed), link, rows=max(1, rows))
    # Short numbers: a sample is there to be read.
    short = {name: _short(reads.domain(name, link).sums, array) for name, array in data.items()}
    if output and len(short) == 1 and Path(output).suffix == ".npy":
        write_array(output, next(iter(short.values())))
    elif output:
        write_arrays(Path(output), short)
    else:
        emit(text_of_arrays(short, "." + choice("--format", format, ("yaml", "json", "csv"))))


def _short(sums: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind != "f":
        return array
    rounded = np.round(array, 4)
    if sums == "one":
        # Four decimals that still add up to one.
        rounded[:, -1] = np.round(1.0 - rounded[:, :-1].sum(axis=1), 4)
    return rounded + 0.0
