"""losscli show LOSS: everything known of one loss."""

from __future__ import annotations

from typing import Any

import typer

from losscli.cli.common import as_json, color_of, output_options, write
from losscli.cli.options import Option, argument, signed
from losscli.loss import get


def add(app: typer.Typer, words: list[str]) -> None:  # noqa: ARG001  (every verb is added alike)
    """Register the verb."""
    text = (
        "One loss: formula, domain, kinks, parameters, sources, peers.\n\nlosscli show ce\n\nlosscli show huber --json"
    )
    parameters = [argument("loss", str, Option.empty, "The name of a loss."), *output_options()]
    app.command("show", help=text)(signed(_show, parameters))


def _show(loss: str, **options: Any) -> None:
    from losscli import render

    found = get(loss)
    if as_json(options):
        write(render.document("show", render.loss_content(found)), options)
    else:
        write(render.text_of(*render.show_tables(found), color=color_of(options)), options)
