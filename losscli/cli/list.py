"""losscli list: the catalogue."""

from __future__ import annotations

import typer

from losscli.cli.common import as_json, output_options
from losscli.cli.exits import emit
from losscli.cli.options import choice, plain
from losscli.loss import catalogue


def add(app: typer.Typer, words: list[str]) -> None:  # noqa: ARG001
    """Register the verb."""
    app.command("list", help="The catalogue: every loss with its definition.\n\nlosscli list\n\nlosscli list --json")(
        plain(_list, output_options())
    )


def _list(options: dict[str, object]) -> None:
    from losscli import render

    losses = catalogue().values()
    if as_json(options):
        emit(render.document("list", {"losses": [render.loss_content(loss) for loss in losses]}))
    elif options["quiet"]:
        emit("\n".join(loss.name for loss in losses))
    else:
        color = choice("--color", str(options["color"]), ("auto", "always", "never"))
        emit(render.text_of(*render.list_tables(losses), color=color))
