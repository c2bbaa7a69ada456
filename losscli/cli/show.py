"""losscli show LOSS: everything known of one loss."""

from __future__ import annotations

from typing import Any

import typer

from losscli.cli.common import as_json, output_options, write
from losscli.cli.options import Usage, argument, page, signed
from losscli.loss import get


def add(app: typer.Typer, words: list[str]) -> list[str]:
    """Register the verb."""
    text = page(
        "One loss: formula, gradient, domain, kinks, parameters, sources, the peers' names.",
        ["losscli show ce", "losscli show huber --json"],
    )
    app.command("show", help=text, cls=Usage)(
        signed(_show, output_options(), argument("loss", "The name of a loss, or an alias."))
    )
    return words


def _show(loss: str, **options: Any) -> None:
    found = get(loss)
    if as_json(options):
        from losscli.documents import document, loss_content

        write(document("show", loss_content(found)), options)
    else:
        from losscli import render

        write(render.text_of(*render.show_tables(found), color=options["color"]), options)
