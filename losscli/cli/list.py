"""losscli list: the catalogue."""

from __future__ import annotations

from typing import Any

import typer

from losscli.cli.common import as_json, output_options, write
from losscli.cli.options import Usage, page, signed
from losscli.loss import catalogue


def add(app: typer.Typer, words: list[str]) -> list[str]:
    """Register the verb."""
    text = page("The catalogue: every loss with its definition.", ["losscli list", "losscli list --json"])
    app.command("list", help=text, cls=Usage)(signed(_list, output_options("Print the names alone.")))
    return words


def _list(**options: Any) -> None:
    losses = list(catalogue().values())
    if as_json(options):
        from losscli.documents import document, loss_content

        write(document("list", {"losses": [loss_content(loss) for loss in losses]}), options)
    elif options["quiet"]:
        write("\n".join(loss.name for loss in losses), options)
    else:
        from losscli import render

        write(render.text_of(*render.list_tables(losses), color=options["color"]), options)
