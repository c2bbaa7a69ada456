"""Options: a loss's parameters and the shared options of its family, turned into Typer's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from losscli.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from losscli.inputs import Signature
    from losscli.loss import Loss, Parameter

# What an option holds whose value was left out: then the numbers go into the output.
INTO_OUTPUT = "-"
SETTINGS = {"help_option_names": ["-h", "--help"]}

_METAVARS = {int: "INTEGER", float: "NUMBER", str: "TEXT"}
# Python reads more as a number than anyone means: 1_000, digits of other scripts.
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|nan)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Option:
    """One option of a command.

    ``kind`` is the type of its value, bool for a flag; ``words`` what is typed, --name unless said otherwise;
    ``choices`` a closed list of values, ``hint`` the way out for those who miss a word in it; ``least`` the smallest
    number; ``blank`` says that the value may be left out.
    """

    name: str
    kind: type
    default: Any
    help: str
    metavar: str = ""
    words: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    hint: str = ""
    least: int | None = None
    blank: bool = False

    @property
    def typed(self) -> tuple[str, ...]:
        """The words that are typed for it."""
        return self.words or ("--" + self.name.replace("_", "-"),)

    def parameter(self) -> inspect.Parameter:
        """The option as a parameter of a function, which is what Typer looks at."""
        more: dict[str, Any] = {}
        if self.kind is not bool:
            if self.choices:
                more["autocompletion"] = _among(self.choices)
            more["metavar"] = self.metavar or "|".join(self.choices) or _METAVARS[self.kind]
        kind = self.kind if self.default is not None else self.kind | None
        annotation = Annotated[kind, typer.Option(*self.typed, help=self.help, **more)]  # type: ignore[valid-type]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=self.default, annotation=annotation)

    def read(self, value: Any) -> Any:
        """The value of what was typed; UsageError. A default, and what a flag says, come as they are."""
        if not isinstance(value, str):
            return value
        word = self.typed[-1]
        if self.choices:
            return choice(word, value, self.choices, self.hint)
        if self.kind is str:
            return value
        if not (_WHOLE if self.kind is int else _NUMBER).fullmatch(value.strip()):
            what = "a whole number" if self.kind is int else "a number"
            raise UsageError("parameter-number", f"{word} must be {what}, not {value!r}")
        number = self.kind(value)
        if self.least is not None and number < self.least:
            raise UsageError("parameter-range", f"{word} must be at least {self.least}, not {number}")
        return number


def _among(words: Sequence[str]) -> Callable[[str], list[str]]:
    """What a shell is offered: those of the words that begin like what is typed."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def choice(name: str, value: str, known: Iterable[str], hint: str = "") -> str:
    """A word out of a closed list; UsageError with the list, and the word that was meant or another way out."""
    words = list(known)
    if value not in words:
        message = f"{name} must be {'one of ' if len(words) > 1 else ''}{', '.join(words)}, not {value!r}"
        raise UsageError("choice", message, hint=did_you_mean(value, words) or hint)
    return value


class _AsTyped:
    """A command whose values come as they are typed: Option.read knows what they should be.

    Typer would have pydantic turn each word into a word, and that takes as long to load as all the rest.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, --help among them."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            param.process_value = partial(_as_typed, param)
        return params


def _as_typed(param: Any, ctx: Any, value: Any) -> Any:
    missing = value is None or value == ()
    if param.required if missing else isinstance(value, bool) or param.callback:
        return type(param).process_value(param, ctx, value)
    return list(value) if isinstance(value, tuple) else value


class Group(_AsTyped, TyperGroup):
    """A command with subcommands, whose values come as they are typed."""


class Usage(_AsTyped, TyperCommand):
    """A command whose usage line shows arguments as every other program does: DATA..., not {DATA}...."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The pieces of the usage line."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]


def page(text: str, examples: Sequence[str], *notes: str) -> str:
    """A help text: what it is, examples as they are to be typed, and more."""
    # Typer's mark for lines that are not to be filled.
    return "\n\n".join([text, "\b\n" + "\n".join(f"  {line}" for line in examples), *filter(None, notes)])


def sentence(text: str) -> str:
    """A text with a capital in front and a full stop behind."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def of_parameter(entry: Parameter) -> Option:
    """A parameter of a loss as an option, its bounds in the help."""
    text = sentence(entry.param.help + (f" ({entry.param.bounds})" if entry.param.bounds else ""))
    words = (f"{entry.option}/--no-{entry.option[2:]}",) if entry.type is bool else ()
    return Option(entry.name, entry.type, entry.default, text, words=words, choices=entry.param.choices)


_SHARED: tuple[Option, ...] = (
    Option("sample_weight", str, None, "Weights of the rows, or of every entry.", metavar="SOURCE"),
    Option("mask", str, None, "Which rows or entries count: those that are not 0.", metavar="SOURCE"),
    Option("class_weight", str, None, "Weights of the classes.", metavar="a,b,c|SOURCE"),
    Option("ignore_index", int, None, "Rows with this label do not count."),
    Option("class_axis", int, 1, "The axis of the classes in (N, C, ...) arrays."),
    Option("classes", str, None, "Names of the classes, in order.", metavar="a,b,c"),
    Option("labels", str, "sign", "How labels are written: as -1 and 1, or as 0 and 1.", choices=("sign", "01")),
)


def shared(signature: Signature) -> list[Option]:
    """The shared options that mean something to a family."""
    known = [entry for entry in _SHARED if entry.typed[0][2:] in signature.options]
    if "label-smoothing" in signature.options:
        over = "all classes" if signature.labels else "both outcomes"
        text = f"Share of the label's mass that is spread evenly over {over} (>= 0, <= 1)."
        known.append(Option("label_smoothing", float, 0.0, text))
    if signature.head or "l1" in signature.options:
        text = "Read features, weights and a bias, which may be left out, in the place of the scores they make."
        known.append(Option("linear", bool, False, text))
    if len(signature.links) > 1:
        text = f"What {'the scores are' if signature.inputs[0].axes else f'{signature.names[0]} holds'}."
        links = tuple(signature.links)
        known.append(Option("link", str, signature.default_link, text, words=("--from",), choices=links))
    known.append(Option("dtype", str, None, "What two bytes without a type are in NPY files.", choices=("bf16",)))
    if sum(not entry.shared for entry in signature.inputs) > 1:
        text = "The column of ids by which files are joined, in the order of the first; without it, by row."
        known.append(Option("id_col", str, None, text, metavar="NAME"))
    return known


def command(body: Callable[..., None], loss: Loss, fixed: Sequence[Option], data: inspect.Parameter) -> Any:
    """A Typer command around ``body(loss, data, params, options)``, with the loss's own options."""
    own = [of_parameter(entry) for entry in loss.params]

    def run(**given: Any) -> None:
        params = {entry.name: given[entry.name] for entry in own}
        body(loss, given["data"] or [], params, {entry.name: given[entry.name] for entry in fixed})

    return signed(run, [*own, *fixed], data)


def argument(name: str, help_text: str, *, many: bool = False, required: bool = True) -> inspect.Parameter:
    """A positional argument as a parameter of a command."""
    kind: Any = list[str] if many else str
    held: Any = kind if required else kind | None
    annotation = Annotated[held, typer.Argument(help=help_text, metavar=name.upper(), show_default=False)]
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def signed(run: Callable[..., None], options: Sequence[Option], *arguments: inspect.Parameter) -> Any:
    """The function of values that were read, with a signature made of these parameters: Typer looks at nothing else."""

    def read(**given: Any) -> None:
        run(**{**given, **{entry.name: entry.read(given[entry.name]) for entry in options}})

    parameters = [*arguments, *(entry.parameter() for entry in options)]
    read.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    read.__annotations__ = {entry.name: entry.annotation for entry in parameters}
    return read


def with_values(words: Sequence[str], options: Iterable[Option]) -> list[str]:
    """LOSS and what follows it, with the value of --grad, --hess and --per-sample made explicit.

    A FILE is taken as theirs when it follows them and data come before: in 'ce --grad a.csv b.csv' both are data.
    """
    known = list(options)
    blank = {word for entry in known if entry.blank for word in entry.typed}
    valued = {word for entry in known if entry.kind is not bool for word in entry.typed} - blank
    made, rest = list(words[:1]), list(words[1:])
    seen_data = False
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*made, word, *rest]
        if word in blank:
            follows = seen_data and rest and not rest[0].startswith("-")
            made.append(f"{word}={rest.pop(0) if follows else INTO_OUTPUT}")
            continue
        made.append(word)
        if word in valued:
            made += [rest.pop(0)] if rest else []
        else:
            seen_data = seen_data or word == "-" or not word.startswith("-")
    return made
