"""losscli dialects LOSS DATA...: what each library would return on the same data, and why they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import typer

from losscli.cli.common import (
    as_json,
    aside_of,
    distinct_files,
    group_of,
    how_of,
    losses_of,
    output_options,
    read_inputs,
    source_of,
    write,
)
from losscli.cli.options import Option, Usage, argument, command, page, shared
from losscli.dialects import dialects_of, like
from losscli.documents import dialects_document
from losscli.engines import engine
from losscli.errors import DataError, UsageError
from losscli.evaluate import evaluate
from losscli.files.source import Source
from losscli.loss import Loss, get
from losscli.results import Spoken

_EXACT = "exact"


def add(app: typer.Typer, words: list[str]) -> list[str]:
    """Register the verb with the one loss that is named, or with all of them for its help."""
    text = page(
        "What each library would return on this data, and why they differ.",
        ["losscli sample ce | losscli dialects ce -", "losscli sample huber | losscli dialects huber - --json"],
    )
    group = group_of("dialects", text)
    for name, loss in losses_of(words).items():
        about = f"The {loss.name} of each library on the same data, beside the exact form."
        examples = [f"losscli sample {loss.name} | losscli dialects {loss.name} -"]
        notes = "Where an option is left out, each library has its own default."
        data = argument("data", "Data, as for compute.", many=True)
        # What is not said is left to each library.
        silent = replace(loss, params=tuple(replace(entry, default=None) for entry in loss.params))
        group.command(name, help=page(about, examples, notes), short_help=about, cls=Usage)(
            command(_dialects, silent, _options(loss), data)
        )
    app.add_typer(group)
    return words or ["--help"]


def _options(loss: Loss) -> list[Option]:
    return [
        *shared(loss.reads),
        Option("reduction", str, loss.reads.reduction, "What becomes of the rows' losses.", choices=("mean", "sum")),
        Option("threads", int, None, "Worker threads; one per processor unless said otherwise.", least=1),
        *output_options("Print a library and its value in each line."),
    ]


def _dialects(loss: Loss, data: Sequence[str], params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    aside = aside_of(options)
    distinct_files([*data, *aside], [*filter(None, [options["output"]])])
    sources = read_inputs(loss.reads, data, options, *aside)
    given = {name: value for name, value in params.items() if value is not None}
    plain = get(loss.name)
    weights = {name: source_of(options, name) for name in ("sample_weight", "mask")}

    def spoken(peer: str) -> Spoken:
        found = plain if peer == _EXACT else like(plain, peer)
        told = found.dialect
        call, why = (told.call, told.why) if told else ("", "")
        if told and told.link and found.reads.default_link != plain.reads.default_link:
            why = "; ".join(filter(None, [f"reads {told.link} unless told otherwise", why]))
        try:
            value = _value(found.linear if options.get("linear") else found, sources, given, options, weights)
        except (DataError, UsageError) as error:
            return Spoken(peer, call, why, error=error)
        return Spoken(peer, call, why, value)

    found = [spoken(peer) for peer in (_EXACT, *dialects_of(plain))]
    fault = found[0].error
    if fault is not None and all(one.value is None for one in found):
        raise fault
    write(_text(loss, given, sources, found, options), options)


def _value(
    loss: Loss,
    sources: Mapping[str, Source],
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    weights: Mapping[str, Source | None],
) -> float:
    value = evaluate(
        loss.bind(**params),
        sources,
        how=how_of(loss, options),
        sample_weight=weights["sample_weight"],
        mask=weights["mask"],
        reduction=options["reduction"],
        engine=engine("threads", options["threads"]),
    ).value
    assert isinstance(value, float)
    return value


def _text(
    loss: Loss,
    params: Mapping[str, Any],
    sources: Mapping[str, Source],
    found: Sequence[Spoken],
    options: Mapping[str, Any],
) -> str:
    if as_json(options):
        return dialects_document(loss, params, sources, options["reduction"], found)
    if options["quiet"]:
        return "\n".join(f"{one.peer} {_word(one)}" for one in found)
    from losscli import render

    return render.text_of(*render.dialects_tables(loss, options["reduction"], found), color=options["color"])


def _word(one: Spoken) -> str:
    return repr(one.value) if one.error is None else one.error.code
