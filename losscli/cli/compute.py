"""losscli compute LOSS DATA...: the value of a loss over data, and on request its slopes and breakdowns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

import numpy as np
import typer

from losscli.cli.common import (
    as_json,
    aside,
    color_of,
    distinct_files,
    engine_options,
    how_of,
    named_loss,
    output_options,
    read_inputs,
    write,
)
from losscli.cli.exits import code_of
from losscli.cli.options import INTO_OUTPUT, Option, choice, command, option
from losscli.engines import engine
from losscli.evaluate import evaluate
from losscli.files import write_array
from losscli.loss import Loss, catalogue
from losscli.results import Reduction, Result, Wants

# Larger than this a table of every number helps nobody; a file does.
_SHOWN = 100_000


def add(app: typer.Typer, words: list[str]) -> None:
    """Register the verb with the one loss that is named, or with all of them for its help."""
    named = named_loss(words)
    group = typer.Typer(
        help="The value of a loss over data: losscli compute LOSS DATA...\n\n"
        "losscli compute ce samples/digits/logits.csv samples/digits/labels.csv --by-class\n\n"
        "losscli compute huber samples/diabetes/predictions.csv samples/diabetes/targets.csv --delta 30 --json",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
    )
    losses = {words[0]: named} if named else dict(catalogue())
    group.callback()(lambda: None)
    for name, loss in losses.items():
        group.command(name, help=_help(loss))(command(_compute, loss, _options(loss), _data_help(loss), True))
    app.add_typer(group, name="compute")


def _help(loss: Loss) -> str:
    files = " ".join(f"{name}.csv" for name in loss.reads.names)
    lines = [loss.summary, f"formula: {loss.formula}"]
    lines += [f"losscli compute {loss.name} {files}", f"losscli sample {loss.name} | losscli compute {loss.name} -"]
    return "\n\n".join([*lines, loss.notes] if loss.notes else lines)


def _data_help(loss: Loss) -> str:
    names = ", ".join(loss.reads.names)
    return f"Sources of {names}, in this order, or one file that names them: PATH, PATH::SELECTOR or -."


def _options(loss: Loss) -> list[Option]:
    reads = loss.reads
    made = [
        option("reduction", str, reads.reduction, "mean, sum or none."),
        option("empty", str, "error", "The value when no row counts: error, nan or zero."),
        option("grad", str | None, None, "Gradient of the reduced value, in the output or in FILE (.npy .csv .json)."),
        option("hess", str | None, None, "Diagonal of the Hessian, in the output or in FILE."),
        option("per_sample", str | None, None, "Each row's loss, in the output or in FILE."),
        option("top", int, 0, "The K largest losses."),
        option("gradcheck", bool, False, "Verify the gradient on this data.", words=("--gradcheck",)),
    ]
    if len(reads.differentiable) > 1:
        text = f"What the gradient is taken with respect to: {', '.join(reads.differentiable)}."
        made.append(option("wrt", str, reads.differentiable[0], text))
    if reads.layout == "classes":
        made.append(option("by_class", bool, False, "Break the loss down by true class.", words=("--by-class",)))
    return [*made, *engine_options(), *output_options()]


def _compute(loss: Loss, data: Sequence[str], params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    bound = loss.bind(**params)
    files = {key: options[key] for key in ("grad", "hess", "per_sample") if options[key] not in (None, INTO_OUTPUT)}
    outputs = [*files.values(), options["output"]] if options["output"] else list(files.values())
    distinct_files(data, outputs)
    wrt = options.get("wrt") or loss.reads.differentiable[0]
    wants = Wants(
        grad=wrt if options["grad"] else "",
        hess=wrt if options["hess"] else "",
        per_sample=options["per_sample"] is not None,
        top=max(0, options["top"]),
        by_class=options.get("by_class", False),
        accuracy=not options["quiet"],
    )
    sources = read_inputs(loss.reads, data)
    how = how_of(loss.reads, options)
    result = evaluate(
        bound,
        sources,
        how=how,
        sample_weight=aside(options, "sample_weight"),
        mask=aside(options, "mask"),
        reduction=cast(Reduction, choice("--reduction", options["reduction"], get_args(Reduction))),
        empty=cast(Any, choice("--empty", options["empty"], ("error", "nan", "zero"))),
        wants=wants,
        engine=engine(options["engine"], options["threads"]),
    )
    checked = None
    if options["gradcheck"]:
        from losscli.verifier.gradcheck import gradcheck

        checked = gradcheck(bound, data=sources, how=how, command=f"losscli gradcheck {loss.name} {' '.join(data)}")
    saved = _save(result, files)
    _print(result, saved, options, checked)
    if checked is not None:
        raise typer.Exit(code_of(checked.verdict))


def _save(result: Result, files: Mapping[str, str]) -> dict[str, str]:
    """Write what was asked for into files; the keys are those of the JSON."""
    values = {"grad": result.gradient, "hess": result.hessian, "per_sample": result.per_sample}
    keys = {"grad": "gradient", "hess": "hessian", "per_sample": "per_sample"}
    saved = {}
    for option_name, path in files.items():
        array = values[option_name]
        assert array is not None
        names = result.plan.names
        columns = names if names and array.ndim == 2 and array.shape[1] == len(names) else ()
        write_array(path, array, columns=columns)
        saved[keys[option_name]] = path
    return saved


def _print(result: Result, saved: Mapping[str, str], options: Mapping[str, Any], checked: Any) -> None:
    # rich is loaded for what is printed, not for --help of another verb.
    from losscli import render
    from losscli.verifier import report

    about = None if checked is None else report.content(checked)
    if as_json(options):
        extra = {} if about is None else {"gradcheck": about}
        text = render.compute_document(result, saved, extra)
    elif options["quiet"]:
        text = repr(result.value) if isinstance(result.value, float) else "\n".join(map(repr, _flat(result.value)))
    else:
        parts = render.compute_tables(_shortened(result), saved)
        if about is not None:
            parts += render.check_tables(report.headline(checked), about)
        text = render.text_of(*parts, color=color_of(options))
    write(text, options)


def _flat(values: Any) -> list[float]:
    return [float(value) for value in np.asarray(values).reshape(-1)]


def _shortened(result: Result) -> Result:
    """The result without what is too long for a table."""

    def small(values: Any) -> Any:
        return values if values is None or math.prod(values.shape) <= _SHOWN else None

    return replace(
        result,
        gradient=small(result.gradient),
        hessian=small(result.hessian),
        per_sample=small(result.per_sample),
    )
