"""Options: a loss's parameters and the shared options of its family, turned into Typer's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from losscli.errors import UsageError
from losscli.inputs import Signature
from losscli.loss import Loss, Parameter

# Options whose value may be left out: then the numbers go into the output.
_OPTIONAL = ("--grad", "--hess", "--per-sample")
INTO_OUTPUT = "-"

Option = inspect.Parameter


def option(name: str, kind: Any, default: Any, help_text: str, *, panel: str | None = None, **more: Any) -> Option:
    """One option as a keyword parameter of a command; a bool of default None becomes --x/--no-x."""
    word = "--" + name.replace("_", "-")
    words = more.pop("words", (word,))
    annotation = Annotated[kind, typer.Option(*words, help=help_text, rich_help_panel=panel, **more)]
    return Option(name, Option.KEYWORD_ONLY, default=default, annotation=annotation)


def of_parameter(entry: Parameter) -> Option:
    """A parameter of a loss as an option, its bounds in the help."""
    bounds = f" ({entry.param.bounds})" if entry.param.bounds else ""
    kind = entry.type if entry.default is not None else entry.type | None
    words = (entry.option, f"--no-{entry.option[2:]}") if entry.type is bool else (entry.option,)
    return option(entry.name, kind, entry.default, entry.param.help + bounds, words=words)


_SHARED: dict[str, tuple[Any, Any, str]] = {
    "sample_weight": (str | None, None, "Weights of the rows, or of every entry: a source."),
    "mask": (str | None, None, "Which rows or entries count (not 0): a source."),
    "class_weight": (str | None, None, "Weights of the classes: a,b,c or a source."),
    "ignore_index": (int | None, None, "Rows with this label do not count."),
    "label_smoothing": (float, 0.0, "Share of the label's mass spread over all classes."),
    "class_axis": (int, 1, "The axis of the classes in (N, C, ...) arrays."),
    "classes": (str | None, None, "Names of the classes: a,b,c."),
    "labels": (str, "sign", "How labels are written: sign (-1, 1) or 01."),
}


def shared(signature: Signature) -> list[Option]:
    """The shared options that mean something to a family."""
    known = [
        option(name, kind, default, text)
        for name, (kind, default, text) in _SHARED.items()
        if name.replace("_", "-") in signature.options
    ]
    if len(signature.links) > 1:
        links = "|".join(signature.links)
        text = f"What {signature.names[0]} holds: {links}."
        known.append(option("link", str, signature.default_link, text, words=("--from",)))
    return known


def command(body: Callable[..., None], loss: Loss, extra: Iterable[Option], data_help: str, required: bool) -> Any:
    """A Typer command around ``body(loss, data, params, options)``, with the loss's own options."""
    own = [of_parameter(entry) for entry in loss.params]
    fixed = [*shared(loss.reads), *extra]
    data = argument("data", list[str] if required else list[str] | None, Option.empty if required else None, data_help)

    def run(**given: Any) -> None:
        params = {entry.name: given[entry.name] for entry in loss.params}
        body(loss, given["data"] or [], params, {entry.name: given[entry.name] for entry in fixed})

    return signed(run, [data, *own, *fixed])


def argument(name: str, kind: Any, default: Any, help_text: str) -> Option:
    """A positional argument as a parameter of a command."""
    annotation = Annotated[kind, typer.Argument(help=help_text, show_default=False)]
    return Option(name, Option.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def signed(run: Callable[..., None], parameters: list[Option]) -> Any:
    """The function with a signature made of these parameters: that is all that Typer looks at."""
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {entry.name: entry.annotation for entry in parameters}
    return run


def with_values(argv: list[str]) -> list[str]:
    """The arguments with the value of --grad, --hess and --per-sample made explicit.

    A FILE is taken as theirs when it follows them and data come before: in 'ce --grad a.csv b.csv' both are data.
    """
    made: list[str] = []
    seen_data = False
    words = iter(enumerate(argv))
    for at, word in words:
        if word in _OPTIONAL:
            following = argv[at + 1] if at + 1 < len(argv) else "-"
            if seen_data and not following.startswith("-"):
                next(words)
                made.append(f"{word}={following}")
            else:
                made.append(f"{word}={INTO_OUTPUT}")
            continue
        made.append(word)
        # argv is VERB LOSS DATA...: the third bare word on is data.
        seen_data = seen_data or (at >= 2 and (word == "-" or not word.startswith("-")))
    return made


def choice(name: str, value: str, known: Iterable[str]) -> str:
    """A word out of a closed list; UsageError with the list."""
    words = list(known)
    if value not in words:
        raise UsageError("choice", f"{name} must be one of {', '.join(words)}, not {value!r}")
    return value
