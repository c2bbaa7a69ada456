"""The program as Typer sees it: every verb by name, the one that is called with its module."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Protocol

import typer

from losscli.cli.exits import require_stdout
from losscli.cli.options import SETTINGS, Group, page
from losscli.errors import UsageError, did_you_mean

NAME = "losscli"
# What Typer makes of the name: a shell sets it to ask what may follow the words typed so far.
_ASKED = "_LOSSCLI_COMPLETE"

_VERBS = {
    "compute": "The value of a loss over data; its gradient, Hessian and per-sample values on request.",
    "gradcheck": "Verify the gradient of a loss at built-in adversarial points, or at the data given.",
    "verify": "Judge numbers that another program claims: a value, a gradient, a Hessian.",
    "dialects": "What each library would return on this data, and why they differ.",
    "apply": "A function of entries or of rows, such as softmax; its Jacobian on request.",
    "list": "The catalogue: every loss with its definition.",
    "show": "One loss: formula, gradient, domain, kinks, parameters, sources, the peers' names.",
    "sample": "A small sample input of a loss, in any format.",
}

_HELP = page(
    "Losses, gradients and Hessians from files, exact to the last bits, and a verifier of gradients.",
    ["losscli sample ce | losscli compute ce -", "losscli gradcheck focal"],
)


class Verb(Protocol):
    """A module of this package that adds its verb to the program."""

    def add(self, app: typer.Typer, words: list[str]) -> list[str]:
        """Register the verb; ``words`` is what follows it, and what is returned is that as Typer can read it."""
        ...


def call(argv: list[str]) -> object:
    """Parse the arguments and run the verb; what is returned is an exit code if it is an int."""
    if os.environ.get(_ASKED):
        from losscli.cli.completion import answer

        return answer()
    app, words = program(argv)
    if not {"-h", "--help"}.isdisjoint(words):
        require_stdout()
    return app(args=words, prog_name=NAME, standalone_mode=False)


def program(argv: list[str]) -> tuple[typer.Typer, list[str]]:
    """The program with the one verb that is called, and the arguments as Typer can read them."""
    app = typer.Typer(
        cls=Group,
        help=_HELP,
        context_settings=SETTINGS,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_root)
    verb = _verb(argv)
    words = argv or ["--help"]
    for name, summary in _VERBS.items():
        if name == verb:
            module: Verb = importlib.import_module(f"losscli.cli.{name}")
            words = [verb, *module.add(app, argv[1:])]
        else:
            app.command(name, help=summary, short_help=summary)(_placeholder())
    return app, words


def _verb(argv: list[str]) -> str:
    verb = argv[0] if argv else ""
    if verb and not verb.startswith("-") and verb not in _VERBS:
        hint = did_you_mean(verb, _VERBS) or f"the commands are {', '.join(_VERBS)}"
        raise UsageError("verb-unknown", f"no command named {verb!r}", hint=hint)
    return verb


def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    """Options of the program itself; --version alone is answered before Typer is loaded."""


def _placeholder() -> Callable[[], None]:
    """A verb that is only named in the help of the whole program: its module is not loaded."""

    def verb() -> None:
        raise AssertionError("loaded by its own module when it is called")

    return verb
