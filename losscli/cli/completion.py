"""What a shell is offered for the next word: names are read from the source of the losses, which is not run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from losscli.cli.options import SETTINGS, Group, Option, signed
from losscli.cli.program import NAME, program
from losscli.cli.values import values
from losscli.errors import UsageError

_PACKAGE = Path(__file__).parent.parent
_TAKE_A_LOSS = ("compute", "gradcheck", "verify", "dialects", "show", "sample")


class Completing(Group):
    """The program while a shell asks: a verb is loaded once its loss is named."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The name of the verb that was typed, the verb, and the words that follow it."""
        if len(args) == 1 and args[0] in (*_TAKE_A_LOSS, "apply"):
            return args[0], _awaiting(_function if args[0] == "apply" else _loss), []
        # Behind a linear head there are fewer links than the source of a loss shows.
        if len(args) > 2 and args[0] in _TAKE_A_LOSS and "--linear" not in args:
            known = values(args[0], args[1], args[-1])
            if known:
                return args[0], _expecting(args[-1], known), args[-1:]
        try:
            app, words = program(args)
        except UsageError:
            # The middle of a command line is no place for a message: nothing is offered.
            return args[0], TyperCommand(args[0]), []
        loaded: Any = get_command(app)
        return loaded.resolve_command(ctx, words)


def answer() -> object:
    """Print what the shell asks for, and exit."""
    # Typer would load rich to take markup out of help texts; they have none.
    sys.modules["rich"] = None  # type: ignore[assignment]
    app, _ = program([])
    app.info.cls = Completing
    # The words are in the environment.
    return app(args=[], prog_name=NAME, standalone_mode=False)


def _expecting(option: str, words: list[str]) -> Any:
    """A verb of which only the option is known whose value comes next."""
    return _awaiting(signed(lambda **_: None, [Option("value", str, "", "", words=(option,), choices=tuple(words))]))


def _awaiting(body: Any) -> Any:
    """A verb without its loss, function or value."""
    app = typer.Typer(add_completion=False)
    app.command(context_settings=SETTINGS)(body)
    return get_command(app)


def _offered(paths: Iterable[Path], incomplete: str) -> list[tuple[str, str]]:
    """The entries that a word may become, with their definitions; aliases once the word has begun."""
    found = sorted(_entries(paths))
    names = [(name, summary) for name, _, summary in found]
    aliases = [(alias, summary) for _, others, summary in found for alias in others]
    return names + aliases if incomplete else names


def _offered_losses(incomplete: str) -> list[tuple[str, str]]:
    return _offered((_PACKAGE / "losses").glob("*.py"), incomplete)


def _offered_functions(incomplete: str) -> list[tuple[str, str]]:
    return [*_offered([_PACKAGE / "functions.py"], incomplete), ("one-hot", "Indicators of class indices.")]


def _loss(loss: Annotated[str, typer.Argument(autocompletion=_offered_losses)]) -> None:
    """What is known of a verb before its loss is named."""


def _function(function: Annotated[str, typer.Argument(autocompletion=_offered_functions)]) -> None:
    """What is known of a verb before its function is named."""


def _entries(paths: Iterable[Path]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """The name, aliases and definition of every loss, or function, that some modules enter."""
    for path in paths:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for entry in filter(_enters, node.decorator_list):
                    summary = (ast.get_docstring(node) or "").partition("\n")[0]
                    yield node.name.replace("_", "-"), _aliases(entry), summary


def _enters(decorator: ast.expr) -> bool:
    """Whether a decorator is ``@loss(...)`` or ``@function(...)``."""
    named = isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name)
    return named and decorator.func.id in ("loss", "function")  # type: ignore[attr-defined]


def _aliases(entry: Any) -> tuple[str, ...]:
    return next((tuple(ast.literal_eval(word.value)) for word in entry.keywords if word.arg == "aliases"), ())
