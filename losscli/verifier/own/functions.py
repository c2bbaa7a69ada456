"""A user's own function as a value and a claimed gradient: calling it, and naming what is wrong with it.

Inputs are float64 or integer arrays by the names of the function's parameters, whatever framework it is written in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscli.errors import LosscliError, TerminatedError, UsageError
from losscli.verifier.own.patience import limited
from losscli.verifier.own.target import Target, where

Values = np.ndarray[Any, Any]
Inputs = Mapping[str, Values]
Claims = Mapping[str, Any]

# Of a tuple so many parts are told.
_PARTS = 4


class RaisedError(Exception):
    """What the user's code raised: the error, and the last line of it that is in the user's folder."""


@dataclass(frozen=True)
class Framework:
    """What arrays are in a framework: ``lift`` makes one of NumPy's, ``lower`` undoes it, ``owns`` tells its own.

    ``slopes(call, inputs, names)`` is its autodiff: the gradient of the sum of what ``call`` returns by the inputs of
    these names; None: it has none.
    """

    name: str
    lift: Callable[[Values], Any]
    lower: Callable[[Any], Values]
    owns: Callable[[Any], bool]
    slopes: Callable[[Callable[[Mapping[str, Any]], Any], Inputs, Sequence[str]], Claims] | None = None


def _lowered(value: Any) -> Values:
    return np.asarray(value)


def _numeric(value: Any) -> bool:
    try:
        return np.asarray(value).dtype.kind in "fiubc" and not type(value).__module__.startswith(("torch", "jax"))
    except (TypeError, ValueError):
        return False


NUMPY = Framework("NumPy", np.copy, _lowered, _numeric)


@dataclass(frozen=True)
class Call:
    """A target called in a framework with NumPy inputs; what it raises becomes RaisedError."""

    target: Target
    framework: Framework

    def __call__(self, inputs: Inputs) -> Any:
        """What the function returns, as it is."""
        return self.lifted({name: self.framework.lift(array) for name, array in inputs.items()})

    def changed(self, inputs: Inputs) -> list[str]:
        """The inputs that the function writes to; nothing where it raises."""
        lifted = {name: self.framework.lift(array) for name, array in inputs.items()}
        before = {name: np.array(self.framework.lower(array)) for name, array in lifted.items()}
        try:
            self.lifted(lifted)
        except RaisedError:
            return []
        after = {name: self.framework.lower(array) for name, array in lifted.items()}
        return [name for name in inputs if not np.array_equal(before[name], after[name], equal_nan=True)]

    def lifted(self, inputs: Mapping[str, Any]) -> Any:
        """What the function returns for inputs of its own framework."""
        entries = {entry.name: entry for entry in self.target.parameters}
        # autograd.Function.apply takes no keywords; what has a default may be left out, and is called by its name.
        plain = [
            name for name in entries if name in inputs and entries[name].kind is not inspect.Parameter.KEYWORD_ONLY
        ]
        first = [name for at, name in enumerate(plain) if list(entries).index(name) == at]
        rest = {name: value for name, value in inputs.items() if name not in first}
        with limited(self.target.label, self.target.patience):
            try:
                with np.errstate(all="ignore"):
                    return self._body(*(inputs[name] for name in first), **rest)
            except TerminatedError:
                raise
            except (Exception, SystemExit) as error:
                raise RaisedError(where(error, self.target.file)) from error

    @property
    def _body(self) -> Callable[..., Any]:
        found = self.target.found
        return found.apply if isinstance(found, type) and hasattr(found, "apply") else found

    def lower(self, value: Any) -> Values:
        """A returned number or array as NumPy's."""
        return self.framework.lower(value)


@dataclass(frozen=True)
class Claimant:
    """A function that claims a gradient.

    ``required`` and ``optional`` name its inputs; ``values`` gives, for each of many inputs, a number or an array of
    one per row; ``claims`` the gradient of that number, or of the sum of the rows', by the names of some inputs;
    ``changed`` the inputs that it writes to.
    """

    label: str
    kind: str
    values: Callable[[Sequence[Inputs]], list[Values]]
    claims: Callable[[Inputs], Claims]
    changed: Callable[[Inputs], list[str]] = lambda _: []

    def value(self, inputs: Inputs) -> Values:
        """The value for one set of inputs."""
        return self.values([inputs])[0]

    def refusal(self, inputs: Inputs) -> str:
        """Why there is no finite value for some inputs; nothing where there is one."""
        try:
            finite = np.isfinite(np.asarray(self.value(inputs), np.float64))
        except RaisedError as error:
            return str(error)
        return "" if finite.all() else "its value is not finite"


def claimant_of(target: Target, frameworks: Sequence[Framework], inputs: Inputs, grad_name: str = "") -> Claimant:
    """The claimant that a target is, found by calling it once in one framework after the other.

    A companion NAME_grad, or ``grad_name``, claims the gradient; else the second of two results; else autodiff. Raises
    RaisedError where no framework can call it, UsageError where nothing is claimed.
    """
    failed: RaisedError | None = None
    for framework in frameworks:
        call = Call(target, framework)
        try:
            result = call(inputs)
        except RaisedError as error:
            failed = failed or error
            continue
        made = _claimant(call, result, grad_name, floats(inputs))
        if made is not None:
            return made
    if failed is not None:
        raise failed
    message = f"{target.label} returns {_described(result)}, where (value, gradient) or a value alone belongs"
    raise UsageError("function-kind", message)


def _described(result: Any) -> str:
    """What a function returned, in words: a tuple by its parts."""
    if isinstance(result, tuple | list) and len(result) <= _PARTS:
        return f"({', '.join(_described(part) for part in result)})"
    shape = getattr(result, "shape", ())
    return f"{type(result).__name__} {tuple(shape)}" if shape else type(result).__name__


def _claimant(call: Call, result: Any, grad_name: str, names: Sequence[str]) -> Claimant | None:
    target, framework = call.target, call.framework
    companion = grad_name or (f"{target.name}_grad" if hasattr(target.module, f"{target.name}_grad") else "")
    paired = isinstance(result, tuple | list) and len(result) == 2 and framework.owns(result[0])
    if not paired and not framework.owns(result):
        return None
    kind = framework.lower(result[0] if paired else result).dtype.kind
    if kind not in "iuf":
        what = {"c": "a complex number", "b": "a truth value"}[kind]
        raise UsageError("function-kind", f"{target.label} returns {what}, where a real value belongs")

    def claimed(inputs: Inputs) -> Claims:
        made = Call(target.other(companion), framework)(inputs) if companion else call(inputs)[1]
        return by_name(made, names, framework)

    def own(inputs: Inputs) -> Claims:
        assert framework.slopes is not None
        try:
            with limited(target.label, target.patience):
                return framework.slopes(call.lifted, inputs, floats(inputs))
        except (RaisedError, LosscliError):
            raise
        except Exception as error:
            raise RaisedError(f"autodiff: {where(error, target.file)}") from error

    def values(many: Sequence[Inputs]) -> list[Values]:
        results = (call(inputs) for inputs in many)
        return [call.lower(value[0] if paired else value) for value in results]

    if not companion and not paired and framework.slopes is None:
        lost = ", which its framework cannot differentiate," if target.uses("torch") or target.uses("jax") else ""
        message = f"{target.label} returns {_described(result)} alone{lost} and claims no gradient"
        raise UsageError("function-kind", message)

    def changed(inputs: Inputs) -> list[str]:
        calls = [call, Call(target.other(companion), framework)] if companion else [call]
        return list(dict.fromkeys(name for one in calls for name in one.changed(inputs)))

    claims = claimed if companion or paired else own
    return Claimant(target.label, framework.name, values, claims, changed)


def by_name(gradient: Any, names: Sequence[str], framework: Framework) -> Claims:
    """A gradient by the names of inputs: it may be an array by the first, a tuple in order, or by name already."""
    if isinstance(gradient, Mapping):
        pairs = list(gradient.items())
    elif isinstance(gradient, tuple) or (isinstance(gradient, list) and not framework.owns(gradient)):
        pairs = list(zip(names, gradient, strict=False))
    else:
        pairs = list(zip(names, [gradient], strict=False))
    return {name: None if value is None else framework.lower(value) for name, value in pairs}


def floats(inputs: Inputs) -> list[str]:
    """The inputs that a gradient can be by: those of real numbers."""
    return [name for name, array in inputs.items() if np.asarray(array).dtype.kind == "f"]
