"""losscli gradcheck LOSS [DATA...]: verify the gradient of a loss."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from losscli.cli.common import as_json, color_of, how_of, named_loss, output_options, read_inputs, write
from losscli.cli.exits import code_of
from losscli.cli.options import Option, choice, command, option
from losscli.loss import Loss, catalogue
from losscli.plan import How
from losscli.verifier.gradcheck import gradcheck
from losscli.verifier.points import KINDS
from losscli.verifier.report import content, headline


def add(app: typer.Typer, words: list[str]) -> None:
    """Register the verb with the one loss that is named, or with all of them for its help."""
    named = named_loss(words)
    group = typer.Typer(
        help="Verify the gradient of a loss at built-in adversarial points, or at the data given.\n\n"
        "losscli gradcheck focal --gamma 0.5\n\n"
        "losscli gradcheck ce samples/digits/logits.csv samples/digits/labels.csv --json",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
    )
    group.callback()(lambda: None)
    for name, loss in ({words[0]: named} if named else dict(catalogue())).items():
        text = f"Is the gradient of {loss.name} the slope of its value?\n\nlosscli gradcheck {loss.name}"
        group.command(name, help=text)(
            command(_gradcheck, loss, _options(loss), "Data to look at; without any, built-in points.", False)
        )
    app.add_typer(group, name="gradcheck")


def _options(loss: Loss) -> list[Option]:
    return [
        option("points", str, ",".join(KINDS), f"Kinds of built-in points, of {', '.join(KINDS)}."),
        option("wrt", str | None, None, f"One input only: {', '.join(loss.reads.differentiable)}."),
        option("seed", int, 0, "The seed of the random points."),
        option("strict", bool, False, "Exit 1, not 4, when nothing can be said.", words=("--strict",)),
        *output_options(),
    ]


def _gradcheck(loss: Loss, data: Sequence[str], params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    bound = loss.bind(**params)
    kinds = [choice("--points", kind.strip(), KINDS) for kind in options["points"].split(",")]
    wrt = choice("--wrt", options["wrt"], loss.reads.differentiable) if options["wrt"] else ""
    how: How = how_of(loss.reads, options)
    check = gradcheck(
        bound,
        data=read_inputs(loss.reads, data) if data else None,
        how=how,
        kinds=kinds,
        wrt=wrt,
        seed=options["seed"],
        command="losscli " + shlex.join(_bare(sys.argv[1:])),
    )
    if options["quiet"]:
        write(headline(check), options)
    else:
        from losscli import render

        if as_json(options):
            write(render.document("gradcheck", content(check)), options)
        else:
            write(
                render.text_of(*render.check_tables(headline(check), content(check)), color=color_of(options)), options
            )
    raise typer.Exit(code_of(check.verdict, strict=options["strict"]))


def _bare(argv: Sequence[str]) -> list[str]:
    """The arguments without those about the form of the output."""
    return [word for word in argv if word not in ("--json", "-q", "--quiet", "--debug")]
