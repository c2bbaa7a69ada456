"""losscli list: the catalogue."""

from __future__ import annotations

from typing import Any

import typer

from losscli.cli.common import as_json, color_of, output_options, write
from losscli.cli.options import signed
from losscli.loss import catalogue


def add(app: typer.Typer, words: list[str]) -> None:  # noqa: ARG001  (every verb is added alike)
    """Register the verb."""
    app.command("list", help="The catalogue: every loss with its definition.\n\nlosscli list\n\nlosscli list --json")(
        signed(_list, output_options())
    )


def _list(**options: Any) -> None:
    losses = list(catalogue().values())
    if options["quiet"]:
        write("\n".join(loss.name for loss in losses), options)
        return
    from losscli import render

    if as_json(options):
        write(render.document("list", {"losses": [render.loss_content(loss) for loss in losses]}), options)
    else:
        write(render.text_of(*render.list_tables(losses), color=color_of(options)), options)
