"""The command line: one module per verb, loaded when its verb is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Protocol

import typer

from losscli.cli.exits import guarded
from losscli.errors import UsageError

_VERBS = {
    "compute": "The value of a loss over data; its gradient, Hessian and per-sample values on request.",
    "gradcheck": "Verify the gradient of a loss at built-in adversarial points, or at the data given.",
    "list": "The catalogue: every loss with its definition.",
    "show": "One loss: formula, domain, kinks, parameters, sources, the peers' names.",
    "sample": "A small sample input of a loss, in any format.",
}

_HELP = """Losses, gradients and Hessians from files, exact to the last bits, and a verifier of gradients.

losscli compute ce samples/digits/logits.csv samples/digits/labels.csv

losscli gradcheck focal
"""

SETTINGS = {"help_option_names": ["-h", "--help"]}


class Verb(Protocol):
    """A module of this package that adds its verb to the program."""

    def add(self, app: typer.Typer, words: list[str]) -> None:
        """Register the verb; ``words`` is what follows it on the command line."""
        ...


def run(argv: list[str]) -> int:
    """Run the command line on its arguments and return the exit code."""
    return guarded(lambda: _program(argv)(args=_arguments(argv), prog_name="losscli", standalone_mode=False), argv)


def _arguments(argv: list[str]) -> list[str]:
    if argv[:1] in (["compute"], ["gradcheck"]):
        from losscli.cli.options import with_values

        return with_values(argv)
    return argv or ["--help"]


def _program(argv: list[str]) -> typer.Typer:
    app = typer.Typer(
        help=_HELP,
        context_settings=SETTINGS,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        add_completion=False,
    )
    app.callback()(_root)
    verb = argv[0] if argv else ""
    if verb and not verb.startswith("-") and verb not in _VERBS:
        from losscli.loss import did_you_mean

        raise UsageError(
            "verb-unknown",
            f"no command named {verb!r}",
            hint=did_you_mean(verb, _VERBS) or f"the commands are {', '.join(_VERBS)}",
        )
    for name, summary in _VERBS.items():
        if name == verb:
            module: Verb = importlib.import_module(f"losscli.cli.{name}")
            module.add(app, argv[1:])
        else:
            app.command(name, help=summary)(_placeholder())
    return app


def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    if version:
        from losscli import __version__
        from losscli.cli.exits import emit

        emit(f"losscli {__version__}")
        raise typer.Exit


def _placeholder() -> Callable[[], None]:
    """A verb that is only named in the help of the whole program: its module is not loaded."""

    def verb() -> None:
        raise AssertionError("loaded by its own module when it is called")

    return verb
