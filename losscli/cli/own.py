"""losscli gradcheck FILE.py:NAME [DATA...]: verify the gradient of a user's own function."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import typer

from losscli.cli.common import (
    distinct_files,
    output_options,
    outputs_of,
    rerun,
    value_of,
    verdict_text,
    write_judged,
)
from losscli.cli.exits import code_of
from losscli.cli.options import Option, Usage, argument, of_parameter, page, signed
from losscli.errors import UsageError
from losscli.files import gather, keys_of
from losscli.loss import Loss, catalogue, entered, get
from losscli.verifier.junit import junit
from losscli.verifier.own import check as own
from losscli.verifier.own.answer import content, headline
from losscli.verifier.own.drawn import labelled
from losscli.verifier.own.foreign import Program
from losscli.verifier.own.functions import Values
from losscli.verifier.own.target import Target, is_function, load

_ABOUT = "Is the gradient of a function of your own the slope of its value?"
_EXAMPLES = [
    "losscli gradcheck focal.py:loss",
    "losscli gradcheck focal.py:loss data.npz --wrt logits",
    "losscli gradcheck objective.py:focal --against focal --gamma 2",
    "losscli gradcheck --command 'node loss.js' --inputs logits,labels",
]
_NOTE = (
    "FILE.py:NAME is a NumPy function that returns (value, gradient), or has a companion NAME_grad; a PyTorch or JAX"
    " function, whose autodiff is the claim; or a boosting objective, which returns (grad, hess). A command answers"
    " lines of JSON."
)


def is_asked(words: Sequence[str]) -> bool:
    """Whether the words after the verb name a function of a file, or a command, and no loss of the catalogue."""
    return bool(word_of(words)) or bool(value_of("--command", words))


def word_of(words: Sequence[str]) -> str:
    """The word among those after the verb that names a function of a file; empty where there is none."""
    return next((word for word in words[:1] if is_function(word)), "")


def loss_of(target: Target) -> Loss | None:
    """The loss that a block of the user's file describes; None for a function."""
    found = entered(target.found)
    if found is not None:
        # Two of one name are seen when both are there.
        catalogue()
    return found


def add(app: typer.Typer, words: list[str], target: Target | None) -> list[str]:
    """Register the verb for a function of a file, or for a command."""
    against = value_of("--against", words)
    loss = get(against) if against else None
    params = [] if loss is None else [of_parameter(entry) for entry in loss.params]
    options = [*params, *_options()]

    def run(**given: Any) -> None:
        chosen = {entry.name: given.pop(entry.name) for entry in params}
        _check(words, target, loss, chosen, given)

    function = argument("function", "The function, FILE.py:NAME.")
    data = argument("data", "Data by the names of its inputs; drawn from these without any.", many=True, required=False)
    body = signed(run, options, *([] if target is None else [function]), data)
    app.command("gradcheck", help=page(_ABOUT, _EXAMPLES, _NOTE), cls=Usage)(body)
    return words


def _options() -> list[Option]:
    return [
        Option("command", str, None, "A program that answers a line of JSON with another.", metavar="COMMAND"),
        Option("inputs", str, None, "The names of the inputs of a command, in order.", metavar="a,b"),
        Option(
            "timeout",
            float,
            60.0,
            "Seconds that the function or the command may take for an answer.",
            metavar="SECONDS",
        ),
        Option("grad_name", str, None, "The function of the same file that claims the gradient.", metavar="NAME"),
        Option("against", str, None, "The loss whose slopes an objective must return.", metavar="LOSS"),
        Option("loss_name", str, None, "The function of the same file whose slopes it must return.", metavar="NAME"),
        Option("wrt", str, None, "The slopes with respect to one input only.", metavar="NAME"),
        Option("shape", str, None, "The shape of inputs that are drawn, such as 5,3.", metavar="N,C"),
        Option("entries", int, None, "Entries to look at one by one, where the rows need each other.", least=1),
        Option("dtype", str, None, "What two bytes without a type are in NPY files.", choices=("bf16",)),
        Option("seed", int, 0, "The seed of inputs that are drawn.", least=0),
        Option("strict", bool, False, "Exit 1, not 4, when nothing can be said."),
        *output_options("Print the verdict alone.", judged=True),
    ]


def _check(
    words: Sequence[str], target: Target | None, loss: Loss | None, params: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    distinct_files([*(given["data"] or []), *([] if target is None else [str(target.file)])], outputs_of(given))
    inputs = tuple(name.strip() for name in given["inputs"].split(",")) if given["inputs"] else ()
    asked = own.Asked(
        grad_name=given["grad_name"] or "",
        loss_name=given["loss_name"] or "",
        against=None if loss is None else loss.bind(**params),
        wrt=given["wrt"] or "",
        shape=_shape(given["shape"]),
        entries=given["entries"] or 0,
        seed=given["seed"],
        command=rerun("gradcheck", words),
    )
    # What the function prints must not end up within the report.
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if target is None:
            names = inputs or _keys(given["data"] or [])
            data = _read(given["data"] or [], names, (), given["dtype"] or "")
            with Program(given["command"], given["timeout"]) as program:
                answer = own.check_program(program, names, data, asked)
        else:
            target = replace(target, patience=given["timeout"])
            required, optional = own.inputs_of(target)
            data = _read(given["data"] or [], inputs or required, optional, given["dtype"] or "")
            answer = own.check_target(target, data, asked)
    write_judged(
        verdict_text("gradcheck", headline(answer), content(answer), given),
        lambda: junit("gradcheck", headline(answer), content(answer), strict=given["strict"]),
        given,
    )
    raise typer.Exit(code_of(answer.check.verdict, strict=given["strict"]))


def _keys(specs: Sequence[str]) -> tuple[str, ...]:
    """The names of the inputs of a command: those in the one container that holds them."""
    if len(specs) != 1 or specs[0] == "-" or not (keys := keys_of(specs[0])):
        raise UsageError("function-data", "the inputs of a command need names", hint="name them: --inputs a,b")
    return keys


def _shape(word: str | None) -> tuple[int, ...] | None:
    if word is None:
        return None
    if not all(part.strip().isdecimal() and int(part) > 0 for part in word.split(",")):
        raise UsageError("parameter-number", f"--shape must be whole numbers N,C, not {word!r}")
    return tuple(int(part) for part in word.split(","))


def _read(
    specs: Sequence[str], required: Sequence[str], optional: Sequence[str], dtype: str
) -> dict[str, Values] | None:
    """The inputs as arrays: whole numbers and truth values as they are, all others as float64."""
    if not specs:
        return None
    sources = gather(list(specs), [*required, *optional], optional=optional, dtype=dtype)
    arrays = {
        name: np.asarray(source.read(0, source.shape[0]) if source.shape else source.array)
        for name, source in sources.items()
    }
    return labelled(
        {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in arrays.items()}
    )


def target_of(words: Sequence[str]) -> Target | None:
    """The function of a file that the words name; None for a command."""
    word = word_of(words)
    return load(word) if word else None
