"""losscli compute LOSS DATA...: the value of a loss over data, and on request its slopes and breakdowns."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import typer

from losscli.cli.common import (
    as_json,
    aside_of,
    distinct_files,
    engine_of,
    engine_options,
    group_of,
    how_of,
    losses_of,
    on_cluster,
    output_options,
    read_inputs,
    source_of,
    value_of,
    write,
    wrt_option,
)
from losscli.cli.exits import code_of
from losscli.cli.options import INTO_OUTPUT, Option, Usage, argument, command, page, shared, with_values
from losscli.cli.progress import Progress
from losscli.cli.rows import Needs, Rows
from losscli.dialects import PEERS
from losscli.documents import columns_of, compute_document
from losscli.evaluate import evaluate
from losscli.files import write_array
from losscli.loss import Bound, Loss
from losscli.plan import Plan, plan
from losscli.results import Penalty, Reduction, Result, Wants

if TYPE_CHECKING:
    from losscli.checkpoint import Checkpoint
    from losscli.verifier.checks import Check

# What may go into files, under the options' names, and its key in the JSON.
_ARRAYS = {"grad": "gradient", "hess": "hessian", "per_sample": "per_sample"}


def add(app: typer.Typer, words: list[str]) -> list[str]:
    """Register the verb with the one loss that is named, or with all of them for its help."""
    text = page(
        "The value of a loss over data; its gradient, Hessian and per-sample values on request.",
        [
            "losscli sample ce | losscli compute ce - --by-class",
            "losscli sample huber | losscli compute huber - --json",
        ],
    )
    group = group_of("compute", text)
    options: list[Option] = []
    for name, loss in losses_of(words).items():
        options = _options(loss)
        group.command(name, help=_help(loss), short_help=loss.summary, cls=Usage)(
            command(partial(_compute, words), loss, options, argument("data", _data_help(loss), many=True))
        )
    app.add_typer(group)
    return with_values(words, options) if words else ["--help"]


def _help(loss: Loss) -> str:
    name = loss.name
    linear = " --linear" if "l1" in loss.reads.options else ""
    examples = [
        f"losscli sample {name}{linear} | losscli compute {name}{linear} -",
        f"losscli sample {name}{linear} -o x.npz",
        f"losscli compute {name}{linear} x.npz --grad --json",
    ]
    return page(loss.summary, examples, f"formula: {loss.formula or loss.prose}", loss.notes)


def _data_help(loss: Loss) -> str:
    names = [f"[{entry.name}]" if entry.optional else entry.name for entry in loss.reads.inputs]
    order = f"One source for each of {', '.join(names)}, in this order, or one file that names them"
    return f"{order if len(names) > 1 else f'The source of {names[0]}'}: PATH, PATH::SELECTOR or -."


def _options(loss: Loss) -> list[Option]:
    reads = loss.reads
    empty = loss.dialect.empty if loss.dialect else "error"
    made = [
        *shared(reads),
        Option("reduction", str, reads.reduction, "What becomes of the rows' losses.", choices=get_args(Reduction)),
        Option("empty", str, empty, "The value when no row counts.", choices=("error", "nan", "zero")),
        Option("like", str, None, f"Compute it as a library does: {', '.join(PEERS)}.", metavar="LIBRARY"),
        _array("grad", "Gradient of the reduced value, in the output or in FILE (.npy, .csv, .json, ...)."),
        _array("hess", "Diagonal of the Hessian, in the output or in FILE."),
        _array("per_sample", "Each row's loss, in the output or in FILE."),
        Option("top", int, 0, "Show the K largest losses.", metavar="K", least=0),
        Option("gradcheck", bool, False, "Verify the gradient on this data."),
    ]
    text = "What the gradient is taken with respect to."
    made.append(wrt_option(loss, reads.differentiable[0], text))
    if "l1" in reads.options:
        for name, size in (("l1", "sizes"), ("l2", "squares")):
            text = f"Add this many times the sum of the weights' {size}."
            made.append(Option(name, float, 0.0, text, metavar="LAMBDA", least=0))
    if reads.labels:
        made.append(Option("by_class", bool, False, "Break the loss down by true class."))
    return [
        *made,
        *engine_options(),
        *output_options("Print the value alone."),
    ]


def _array(name: str, text: str) -> Option:
    folder = "FOLDER/ gets a .npy file for each file of the data."
    return Option(name, str, None, f"{text} {folder}", metavar="[FILE]", blank=True)


def _compute(
    words: Sequence[str], loss: Loss, data: Sequence[str], params: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    files = {key: options[key] for key in _ARRAYS if options[key] not in (None, INTO_OUTPUT)}
    aside = aside_of(options)
    distinct_files([*data, *aside], [*files.values(), *filter(None, [options["output"]])])
    bound = loss.bind(**params)
    sources = read_inputs(loss.reads, data, options, *aside)
    given: dict[str, Any] = {
        "how": how_of(loss, options),
        "sample_weight": source_of(options, "sample_weight"),
        "mask": source_of(options, "mask"),
    }
    made, wants = plan(loss.reads, sources, **given), _wants(options)
    checked = None
    with _checkpoint(bound, made, wants, files, options) as checkpoint:
        losses = math.prod(made.lead) if made.groups is None else len(made.groups.sizes)
        progress = Progress(losses, quiet=options["quiet"])
        with _rows(made, wants, files, options, checkpoint) as rows, engine_of(options) as engine, progress:
            result = evaluate(
                bound,
                made,
                reduction=options["reduction"],
                empty=options["empty"],
                wants=wants,
                penalty=Penalty(options.get("l1", 0.0), options.get("l2", 0.0)),
                engine=progress.over(engine if checkpoint is None else checkpoint.over(engine)),
                allocate=rows.allocate,
            )
            result = rows.readable(result)
            if options["gradcheck"]:
                from losscli.verifier.gradcheck import gradcheck

                again = f"losscli compute {shlex.join(words)}"
                checked = gradcheck(bound, data=sources, **given, wrt=value_of("--wrt", words), command=again)
            saved = _save(result, files, rows.saved)
            text = _text(result, saved, options, checked)
        write(text, options)
    if checked is not None:
        raise typer.Exit(code_of(checked.verdict))


def _checkpoint(
    bound: Bound, made: Plan, wants: Wants, files: Mapping[str, str], options: Mapping[str, Any]
) -> AbstractContextManager[Checkpoint | None]:
    if options["resume"] is None:
        return nullcontext()
    from losscli.checkpoint import Checkpoint, job_of

    return Checkpoint(options["resume"], job_of(bound, made, wants, options["reduction"], files))


def _rows(
    made: Plan, wants: Wants, files: Mapping[str, str], options: Mapping[str, Any], checkpoint: Checkpoint | None
) -> Rows:
    shaped = {"gradient": wants.grad, "hessian": wants.hess, "per_sample": made.signature.names[0]}
    sources = {name: made.columns[column].source for name, column in shaped.items() if column}
    needs = Needs(on_cluster(options), checkpoint is not None or options["scheduler"] is not None)
    return Rows({_ARRAYS[key]: path for key, path in files.items()}, sources, needs, checkpoint)


def _wants(options: Mapping[str, Any]) -> Wants:
    return Wants(
        grad="" if options["grad"] is None else options["wrt"],
        hess="" if options["hess"] is None else options["wrt"],
        per_sample=options["per_sample"] is not None,
        top=options["top"],
        by_class=options.get("by_class", False),
        accuracy=not options["quiet"],
    )


def _save(result: Result, files: Mapping[str, str], written: Mapping[str, str]) -> dict[str, str]:
    """Write what was asked for into files, but for what is written already; the keys are those of the JSON."""
    wants = {"grad": result.wants.grad, "hess": result.wants.hess}
    saved = dict(written)
    for option, path in files.items():
        if _ARRAYS[option] in written:
            continue
        array = getattr(result, _ARRAYS[option])
        columns = columns_of(result, wants[option]) if option in wants and array.ndim == 2 else ()
        write_array(path, array, columns=columns)
        saved[_ARRAYS[option]] = path
    return saved


def _text(result: Result, saved: Mapping[str, str], options: Mapping[str, Any], checked: Check | None) -> str:
    """The output in the form that was asked for; each form loads what it needs alone."""
    about, headline = None, ""
    if checked is not None:
        from losscli.verifier import report

        about, headline = report.content(checked), report.headline(checked)
    if as_json(options):
        return compute_document(result, saved, {} if about is None else {"gradcheck": about})
    if options["quiet"]:
        return "\n".join(map(repr, np.asarray(result.value).reshape(-1).tolist()))
    from losscli import render

    parts = render.compute_tables(result, saved)
    if about is not None:
        parts += render.check_tables(headline, about)
    return render.text_of(*parts, color=options["color"])
