"""losscli sample LOSS: a small input that the loss accepts, in any format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import typer

from losscli.cli.exits import emit
from losscli.cli.options import Option, Usage, argument, choice, page, signed
from losscli.files import write_array
from losscli.files.bundle import text_of_arrays, write_arrays
from losscli.loss import get
from losscli.verifier.points import draw


def add(app: typer.Typer, words: list[str]) -> list[str]:
    """Register the verb."""
    text = page(
        "A small sample input of a loss, in any format.",
        ["losscli sample ce | losscli compute ce -", "losscli sample kl --rows 3 -o kl.npz"],
    )
    options = [
        Option("rows", int, 5, "How many rows.", least=1),
        Option("seed", int, 0, "The seed of the random numbers.", least=0),
        Option("link", str, None, "What the first input holds, as for compute.", words=("--from",)),
        Option("linear", bool, False, "Features, weights and a bias in the place of scores."),
        Option("format", str, "yaml", "The form on standard output.", choices=("yaml", "json", "csv")),
        Option("output", str, None, "A file; its suffix names the format.", metavar="FILE", words=("-o", "--output")),
    ]
    app.command("sample", help=text, cls=Usage)(
        signed(_sample, options, argument("loss", "The name of a loss, or an alias."))
    )
    return words


def _sample(
    loss: str,
    rows: int,
    seed: int,
    link: str | None,
    linear: bool,
    format: str,  # noqa: A002
    output: str | None,
) -> None:
    reads = (get(loss).linear if linear else get(loss)).reads
    link = choice("--from", link or reads.default_link, reads.links)
    data = draw(reads, np.random.default_rng(seed), link, rows=rows)
    # Short numbers: a sample is there to be read.
    short = {name: _short(reads.domain(name, link).sums, array) for name, array in data.items()}
    if output and len(short) == 1 and Path(output).suffix == ".npy":
        write_array(output, next(iter(short.values())))
    elif output:
        write_arrays(Path(output), short)
    else:
        emit(text_of_arrays(short, f".{format}"))


def _short(sums: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind != "f":
        return array
    rounded = np.round(array, 4)
    if sums == "one":
        # Four decimals that still add up to one.
        rounded[:, -1] = np.round(1.0 - rounded[:, :-1].sum(axis=1), 4)
    return rounded + 0.0
