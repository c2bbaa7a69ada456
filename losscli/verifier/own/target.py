"""A name in a user's file: what FILE.py:NAME means, and what is told where it means nothing that can be checked."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from losscli.errors import DataError, LosscliError, Place, TerminatedError, UsageError, did_you_mean


@dataclass(frozen=True)
class Target:
    """A name in a user's file: what it is, the module around it, and the file.

    ``patience`` is how many seconds a call may take.
    """

    name: str
    found: Any
    module: ModuleType
    file: Path
    patience: float = math.inf

    def other(self, name: str) -> Target:
        """Another function of the same file; UsageError where there is none of that name."""
        return replace(_named(self.module, self.file, name), patience=self.patience)

    @property
    def label(self) -> str:
        """What reports call it: file.py:name."""
        return f"{self.file.name}:{self.name}"

    @property
    def parameters(self) -> tuple[inspect.Parameter, ...]:
        """The parameters that an input can be given for."""
        try:
            signature = inspect.signature(getattr(self.found, "forward", self.found))
        except (TypeError, ValueError) as error:
            raise UsageError("function-kind", f"{self.label}: its parameters cannot be told: {error}") from error
        kept = [entry for entry in signature.parameters.values() if entry.kind not in _STARRED]
        # An autograd.Function's forward begins with its context.
        return tuple(entry for entry in kept if entry.name not in ("self", "ctx"))

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the parameters without a default."""
        return tuple(entry.name for entry in self.parameters if entry.default is entry.empty)

    @property
    def optional(self) -> tuple[str, ...]:
        """The names of the parameters with a default."""
        return tuple(entry.name for entry in self.parameters if entry.default is not entry.empty)

    def uses(self, package: str) -> bool:
        """Whether the file imports a package, or something out of it."""
        return any(_origin(entry).partition(".")[0] == package for entry in vars(self.module).values())


_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _origin(entry: Any) -> str:
    name = entry.__name__ if isinstance(entry, ModuleType) else getattr(entry, "__module__", "")
    return name if isinstance(name, str) else ""


def is_function(word: str) -> bool:
    """Whether a word names a function of a file, FILE.py:NAME, or forgets to name it."""
    return ".py:" in word or word.endswith(".py")


def load(word: str) -> Target:
    """What FILE.py:NAME names. Raises DataError for the file, UsageError for the name and where importing it fails."""
    path, _, name = (word if ".py:" in word else f"{word}:").rpartition(":")
    file = Path(path)
    if not file.is_file():
        raise DataError("file-missing", "no such file", place=Place(path))
    return _named(_module(file), file, name)


def _named(module: ModuleType, file: Path, name: str) -> Target:
    known = [word for word, entry in vars(module).items() if callable(entry) and _origin(entry) == module.__name__]
    if not name:
        hint = f"name one, {file}:NAME; there are: {', '.join(known) or 'none'}"
        raise UsageError("function-unknown", f"no function of {file} is named", hint=hint)
    found: Any = module
    for part in name.split("."):
        owner, found = found, getattr(found, part, None)
        if isinstance(owner, type) and inspect.isfunction(inspect.getattr_static(owner, part, None)):
            found = getattr(_instance(owner, file), part)
    if found is None:
        hint = did_you_mean(name, known) or f"there are: {', '.join(known) or 'none'}"
        raise UsageError("function-unknown", f"no function {name!r} in {file}", hint=hint)
    # A subclass of autograd.Function is applied as it is.
    if isinstance(found, type) and not any(_origin(base) == "torch.autograd.function" for base in found.__mro__):
        found = _instance(found, file)
    _check_callable(found, f"{file.name}:{name}")
    return Target(name, found, module, file)


def _check_callable(found: Any, label: str) -> None:
    """Refuse what gives no value when it is called; UsageError."""
    kinds: dict[str, Callable[[Any], bool]] = {
        "an async function": inspect.iscoroutinefunction,
        "a generator": inspect.isgeneratorfunction,
        "an async generator": inspect.isasyncgenfunction,
    }
    called = inspect.getattr_static(type(found), "__call__", None)
    for word, is_one in kinds.items():
        if is_one(found) or (called is not None and is_one(called)):
            raise UsageError("function-kind", f"{label} is {word}, not a function that returns a value")
    if not callable(found):
        hint = "name a function, or a method of it" if hasattr(found, "__dict__") else "name a function"
        raise UsageError("function-kind", f"{label} is {_a(type(found).__name__)}, not a function", hint=hint)


def _a(word: str) -> str:
    return f"an {word}" if word[:1].lower() in "aeiou" else f"a {word}"


def _instance(kind: type, file: Path) -> Any:
    """An instance of a class with its defaults."""
    try:
        return kind()
    except Exception as error:
        message = f"{file.name}:{kind.__name__} cannot be made without arguments: {where(error, file)}"
        hint = f"name an instance: loss = {kind.__name__}(...), and then {file}:loss"
        raise UsageError("function-kind", message, hint=hint) from error


def _module(file: Path) -> ModuleType:
    """The file as a module, with its folder to import from."""
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # A file may well be called loss.py or torch.py.
    name = file.stem if file.stem not in sys.modules else f"_user_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # What it prints must not end up within a report.
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (LosscliError, TerminatedError):
        raise
    except (Exception, SystemExit) as error:
        raise UsageError("function-import", f"{file} cannot be imported: {where(error, file)}") from error
    return module


def where(error: BaseException, file: Path) -> str:
    """An error with the last line of the user's folder that it went through: focal.py:12: ValueError: ..."""
    said = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}: {type(error).__name__}: {error.msg}"
    folder = file.resolve().parent
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve().parent == folder]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}: {said}" if own else said
