"""losscli gradcheck LOSS [DATA...]: verify the gradient of a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import typer

from losscli.cli import own
from losscli.cli.common import (
    aside_of,
    distinct_files,
    group_of,
    how_of,
    losses_of,
    output_options,
    outputs_of,
    read_inputs,
    rerun,
    source_of,
    verdict_text,
    write_judged,
    wrt_option,
)
from losscli.cli.exits import code_of
from losscli.cli.options import Option, Usage, argument, choice, command, page, shared
from losscli.loss import Loss
from losscli.verifier.gradcheck import gradcheck
from losscli.verifier.junit import junit
from losscli.verifier.points import KINDS
from losscli.verifier.report import content, headline


def add(app: typer.Typer, words: list[str]) -> list[str]:
    """Register the verb with the one loss that is named, or with all of them for its help."""
    if own.is_asked(words):
        target = own.target_of(words)
        entry = None if target is None else own.loss_of(target)
        if entry is None:
            return own.add(app, words, target)
        losses = {words[0]: entry}
    else:
        losses = losses_of(words)
    text = page(
        "Verify the gradient of a loss at built-in adversarial points, or at the data given.",
        ["losscli gradcheck focal --gamma 0.5", "losscli sample ce | losscli gradcheck ce - --json"],
        "A function of your own: losscli gradcheck FILE.py:NAME. A program in another language: losscli gradcheck"
        " --command COMMAND. Their options: losscli gradcheck --command COMMAND --help",
    )
    group = group_of("gradcheck", text)
    for name, loss in losses.items():
        about = f"Is the gradient of {loss.name} the slope of its value?"
        examples = [f"losscli gradcheck {loss.name}", f"losscli sample {loss.name} | losscli gradcheck {loss.name} -"]
        data = argument("data", "Data to look at; without any, built-in points.", many=True, required=False)
        body = command(partial(_gradcheck, words), loss, _options(loss), data)
        group.command(name, help=page(about, examples), short_help=about, cls=Usage)(body)
    app.add_typer(group)
    return words or ["--help"]


def _options(loss: Loss) -> list[Option]:
    return [
        *shared(loss.reads),
        Option("points", str, ",".join(KINDS), f"Kinds of built-in points, of {', '.join(KINDS)}.", metavar="KINDS"),
        wrt_option(loss, None, "The slopes with respect to one input only."),
        Option("hess", bool, False, "Once the gradient has passed, check the diagonal Hessian against its slope."),
        Option("seed", int, 0, "The seed of the random points.", least=0),
        Option("strict", bool, False, "Exit 1, not 4, when nothing can be said."),
        *output_options("Print the verdict alone.", judged=True),
    ]


def _gradcheck(
    words: Sequence[str], loss: Loss, data: Sequence[str], params: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    distinct_files([*data, *aside_of(options)], outputs_of(options))
    check = gradcheck(
        loss.bind(**params),
        data=read_inputs(loss.reads, data, options, *aside_of(options)) if data else None,
        how=how_of(loss, options),
        sample_weight=source_of(options, "sample_weight"),
        mask=source_of(options, "mask"),
        kinds=[choice("--points", kind.strip(), KINDS) for kind in options["points"].split(",")],
        wrt=options["wrt"] or "",
        hess=options["hess"],
        seed=options["seed"],
        command=rerun("gradcheck", words),
    )
    write_judged(
        verdict_text("gradcheck", headline(check), content(check), options),
        lambda: junit("gradcheck", headline(check), content(check), strict=options["strict"]),
        options,
    )
    raise typer.Exit(code_of(check.verdict, strict=options["strict"]))
