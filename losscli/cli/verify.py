"""losscli verify LOSS DATA... --value V --grad FILE --hess FILE: judge claimed numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, get_args

import typer

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
from losscli.cli.options import Option, Usage, argument, command, page, shared
from losscli.dialects import PEERS
from losscli.engines import engine
from losscli.files import open_source
from losscli.files.source import Source
from losscli.loss import Loss
from losscli.precision import FORMATS
from losscli.results import Reduction
from losscli.verifier.dumps.claim_report import content, headline
from losscli.verifier.dumps.claims import Claims, verify
from losscli.verifier.junit import junit

_CLAIMS = ("value", "grad", "hess")


def add(app: typer.Typer, words: list[str]) -> list[str]:
    """Register the verb with the one loss that is named, or with all of them for its help."""
    text = page(
        "Judge numbers that another program claims: a value, a gradient, a Hessian.",
        [
            "losscli verify ce logits.npy labels.npy --value 1.25 --grad claimed.npy",
            "losscli verify huber data.npz --grad data.npz::gradient --reduction sum",
        ],
    )
    group = group_of("verify", text)
    for name, loss in losses_of(words).items():
        about = f"Are claimed numbers the value and slopes of {loss.name}?"
        examples = [f"losscli verify {loss.name} data.npz --grad claimed.npy --json"]
        data = argument("data", "Data, as for compute.", many=True)
        body = command(partial(_verify, words), loss, _options(loss), data)
        group.command(name, help=page(about, examples), short_help=about, cls=Usage)(body)
    app.add_typer(group)
    return words or ["--help"]


def _options(loss: Loss) -> list[Option]:
    reads = loss.reads
    made = [
        Option("value", str, None, "The claimed value, or a source of it or of each row's.", metavar="V|SOURCE"),
        Option("grad", str, None, "The claimed gradient of the reduced loss.", metavar="SOURCE"),
        Option("hess", str, None, "The claimed diagonal of the Hessian.", metavar="SOURCE"),
        Option(
            "claim_dtype",
            str,
            None,
            "The format that the claimed numbers were computed in, where their files do not tell.",
            choices=tuple(FORMATS),
        ),
        *shared(reads),
        Option("reduction", str, reads.reduction, "What the claims are of.", choices=get_args(Reduction)),
        Option("like", str, None, f"Compare with what a library means by it: {', '.join(PEERS)}.", metavar="LIBRARY"),
        Option("threads", int, None, "Worker threads; one per processor unless said otherwise.", least=1),
        Option("strict", bool, False, "Exit 1, not 4, when nothing can be said."),
    ]
    made.append(wrt_option(loss, reads.differentiable[0], "What the slopes are taken with respect to."))
    return [*made, *output_options("Print the verdict alone.", judged=True)]


def _verify(
    words: Sequence[str], loss: Loss, data: Sequence[str], params: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    dtype = options.get("dtype") or ""
    value, digit = _value(options["value"], dtype)
    files = [*aside_of(options), *(options[name] for name in _CLAIMS[1:]), options["value"] if digit is None else None]
    distinct_files([*data, *files], outputs_of(options))
    sources = read_inputs(loss.reads, data, options, *files)
    given = {name: open_source(options[name], dtype=dtype) for name in _CLAIMS[1:] if options[name] is not None}
    verified = verify(
        loss.bind(**params),
        sources,
        Claims(value, given.get("grad"), given.get("hess"), digit or 0.0, options["claim_dtype"] or ""),
        wrt=options["wrt"],
        how=how_of(loss, options),
        sample_weight=source_of(options, "sample_weight"),
        mask=source_of(options, "mask"),
        reduction=options["reduction"],
        engine=engine("threads", options["threads"]),
        command=rerun("verify", words),
    )
    write_judged(
        verdict_text("verify", headline(verified), content(verified), options),
        lambda: junit("verify", headline(verified), content(verified), strict=options["strict"]),
        options,
    )
    raise typer.Exit(code_of(verified.verdict, strict=options["strict"]))


def _value(given: str | None, dtype: str) -> tuple[float | Source | None, float | None]:
    """The claimed value, and half a unit of its last digit where it is written out: it was rounded to that."""
    if given is None:
        return None, 0.0
    try:
        number = Decimal(given)
    except InvalidOperation:
        return open_source(given, dtype=dtype), None
    exponent = number.as_tuple().exponent
    return float(number), 0.5 * 10.0**exponent if isinstance(exponent, int) else 0.0
