"""What an option of a verb may be: the closed lists of words, read from the source, which is not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent.parent


def values(verb: str, loss: str, option: str) -> list[str]:
    """The words that an option, as it is typed, may be for a verb and a loss; none: they are not known from here."""
    if not option.startswith("--"):
        return []
    if option == "--like":
        return _peers(loss)
    kernel = _kernel(loss)
    if kernel is None:
        return []
    if option == "--from":
        return _links(kernel)
    return _of_parameter(kernel, option) or _of_verb(verb, option)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _trees(folder: str) -> Iterator[ast.Module]:
    return map(_tree, sorted((_PACKAGE / folder).glob("*.py")))


def _kernel(loss: str) -> ast.FunctionDef | None:
    """The function that a loss is entered with."""
    for tree in _trees("losses"):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and loss in (node.name.replace("_", "-"), *_aliases(node)):
                return node
    return None


def _keyword(call: ast.Call, name: str) -> Any:
    return next((word.value for word in call.keywords if word.arg == name), None)


def _entry(kernel: ast.FunctionDef) -> ast.Call | None:
    """The ``@loss(...)`` of a function."""
    calls = (one for one in kernel.decorator_list if isinstance(one, ast.Call))
    return next((one for one in calls if isinstance(one.func, ast.Name) and one.func.id == "loss"), None)


def _aliases(kernel: ast.FunctionDef) -> tuple[str, ...]:
    entry = _entry(kernel)
    found = None if entry is None else _keyword(entry, "aliases")
    return () if found is None else tuple(ast.literal_eval(found))


def _assigned(trees: Iterator[ast.Module], name: str) -> ast.expr | None:
    """What a name is assigned in the first of some modules that has it."""
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign) and any(
                isinstance(one, ast.Name) and one.id == name for one in node.targets
            ):
                return node.value
    return None


def _links(kernel: ast.FunctionDef) -> list[str]:
    """The ways of giving a loss its inputs: those of its signature, or of the one that that is made of."""
    entry = _entry(kernel)
    reads = None if entry is None else _keyword(entry, "reads")
    while isinstance(reads, ast.Name):
        made = _assigned(_trees("families"), reads.id)
        if not isinstance(made, ast.Call):
            break
        whole = made.args[3] if len(made.args) > 3 else _keyword(made, "links")
        if isinstance(whole, ast.Dict):
            # What is given in one way alone has no option for it.
            return [str(ast.literal_eval(key)) for key in whole.keys if key is not None] if len(whole.keys) > 1 else []
        reads = made.args[0] if made.args else None
    return []


def _peers(loss: str) -> list[str]:
    """The libraries that have a dialect of a loss."""
    kernel = _kernel(loss)
    peers = _assigned(iter([_tree(_PACKAGE / "dialects" / "core.py")]), "PEERS")
    if kernel is None or peers is None:
        return []
    name, found = kernel.name.replace("_", "-"), []
    for peer in ast.literal_eval(peers):
        for node in _tree(_PACKAGE / "dialects" / f"{peer}.py").body:
            table = node.value if isinstance(node, ast.AnnAssign) else None
            if isinstance(table, ast.Dict) and name in (getattr(key, "value", None) for key in table.keys):
                found.append(peer)
    return found


def _of_parameter(kernel: ast.FunctionDef, option: str) -> list[str]:
    """The choices of a parameter of a loss."""
    for one in kernel.args.kwonlyargs:
        if "--" + one.arg.replace("_", "-") == option and one.annotation is not None:
            for call in ast.walk(one.annotation):
                choices = _keyword(call, "choices") if isinstance(call, ast.Call) else None
                if choices is not None:
                    return _words(choices)
    return []


def _of_verb(verb: str, option: str) -> list[str]:
    """The choices of an ``Option(...)`` of a verb's module, or of one that all verbs share."""
    for module in (verb, "common", "options"):
        for call in ast.walk(_tree(_PACKAGE / "cli" / f"{module}.py")):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Option":
                name = getattr(call.args[0], "value", None) if call.args else None
                choices = _keyword(call, "choices")
                if isinstance(name, str) and "--" + name.replace("_", "-") == option and choices is not None:
                    return _words(choices)
    return []


def _words(choices: ast.expr) -> list[str]:
    """A tuple of words, written out or as ``get_args`` of a ``Literal``; none where it is anything else."""
    if isinstance(choices, ast.Call) and isinstance(choices.func, ast.Name) and choices.func.id == "get_args":
        name = getattr(choices.args[0], "id", "")
        literal = _assigned(iter([_tree(_PACKAGE / "results.py")]), name)
        choices = literal.slice if isinstance(literal, ast.Subscript) else choices
    try:
        return list(ast.literal_eval(choices))
    except ValueError:
        return []
