"""Gradient checkers asked about single entries: losscli's own, and those of other libraries with their defaults.

Each is given functions of one variable and claimed slopes of them, and says "pass", "fail" or "open" of every claim.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from losscli.verifier.numeric.differences import Slopes, slopes
from losscli.verifier.numeric.verdict import VERDICTS, judge
from losscli.verifier.own.entries import Entries, bits_of
from losscli.verifier.own.examine import Examination, Given
from losscli.verifier.own.functions import Claimant

Array = np.ndarray[Any, Any]
Verdicts = Mapping[str, list[str]]
# SciPy returns a norm and no verdict; this is what its users compare it with.
_SCIPY = 1e-6
_WORDS = {"pass": "pass", "kink_ok": "pass", "fail": "fail", "kink_fail": "fail"}


@dataclass(frozen=True)
class Problem:
    """Many functions of one variable at points x, with their slopes there: f maps (M,) points to (M,) values.

    ``slope`` gives the right slopes elsewhere, ``rows`` are the entries to ask about, ``single`` tells that values are
    rounded to single precision. ``sharpened`` takes slopes of rows from the printed formula where theirs are vague.
    """

    loss: str
    kind: str
    f: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    x: Array
    truth: Array
    rows: Array
    low: float
    high: float
    sharpened: Callable[[Slopes, Array], Slopes]
    single: bool = False

    def values(self, t: Array) -> Array:
        """The functions at t."""
        with np.errstate(all="ignore"):
            made = np.asarray(self.f(t), np.float64)
            return made.astype(np.float32).astype(np.float64) if self.single else made

    def alone(self, row: int, look: Callable[[Array], Array] | None = None) -> Callable[[Any], float]:
        """One of the functions, of a number."""
        look = look or self.values

        def at(t: Any) -> float:
            x = self.x.copy()
            x[row] = float(np.asarray(t).reshape(()))
            return float(look(x)[row])

        return at

    @cached_property
    def numeric(self) -> Slopes:
        """The slopes that losscli finds, as for a function of which nothing is known but the bounds of its domain."""
        inputs = {"x": self.x}
        claimant = Claimant("", "", lambda many: [self.values(one["x"]) for one in many], lambda _: {})
        bounds = (self.low, self.high)
        entries = Entries(claimant, inputs, "x", bits_of(claimant, inputs, ["x"], 0), bounds=bounds)
        noise, unit = entries._noise(self.values, self.x), 2.0 ** (1 - entries.bits)
        return slopes(self.values, self.x, low=self.low, high=self.high, noise_floor=noise, unit=unit)


@dataclass(frozen=True)
class Checker:
    """A checker: its name, of how many entries it is asked about one, and what it says of claims of factors × truth."""

    name: str
    every: int
    verdicts: Callable[[Problem, Array, Mapping[str, float]], Verdicts]


def _each(say: Callable[[Problem, int, float], str]) -> Callable[[Problem, Array, Mapping[str, float]], Verdicts]:
    """A checker that is asked about one claim of one entry at a time."""

    def verdicts(problem: Problem, rows: Array, factors: Mapping[str, float]) -> Verdicts:
        return {word: [say(problem, int(row), factor) for row in rows] for word, factor in factors.items()}

    return verdicts


def _slopes(problem: Problem, rows: Array, factors: Mapping[str, float]) -> Verdicts:
    return _judged(problem, problem.numeric, rows, factors)


def _formula(problem: Problem, rows: Array, factors: Mapping[str, float]) -> Verdicts:
    """As in gradcheck of a loss, where it asks for all entries that are vague; rounded values have no formula."""
    slopes = problem.numeric if problem.single else problem.sharpened(problem.numeric, rows)
    return _judged(problem, slopes, rows, factors)


def _judged(problem: Problem, slopes: Slopes, rows: Array, factors: Mapping[str, float]) -> Verdicts:
    codes = {word: judge(factor * problem.truth, slopes)[rows] for word, factor in factors.items()}
    return {word: [_WORDS.get(VERDICTS[code], "open") for code in found] for word, found in codes.items()}


def _function(problem: Problem, row: int, factor: float) -> str:
    """All of a gradcheck of a function of one's own: a second mechanism, planted faults, the precision found out."""
    value, slope = problem.alone(row), problem.alone(row, problem.slope)
    claimant = Claimant(
        "f",
        "NumPy",
        lambda many: [np.asarray(value(one["x"])) for one in many],
        lambda inputs: {"x": np.array([factor * slope(inputs["x"])])},
    )
    examination = Examination()
    x = problem.x[row : row + 1].copy()
    examination.look(claimant, Given("data", {"x": x}, {"x": (problem.low, problem.high)}))
    return {"pass": "pass", "fail": "fail"}.get(examination.answer("f", "").check.verdict, "open")


def _torch(*, fast: bool) -> Callable[[Problem, int, float], str]:
    def say(problem: Problem, row: int, factor: float) -> str:
        import torch

        value, claim = problem.alone(row), factor * float(problem.truth[row])

        class Claimed(torch.autograd.Function):
            @staticmethod
            def forward(_: Any, x: Any) -> Any:
                return torch.tensor([value(x.detach().double().numpy())], dtype=x.dtype)

            @staticmethod
            def backward(_: Any, upstream: Any) -> Any:
                return upstream * claim

        dtype = torch.float32 if problem.single else torch.float64
        x = torch.tensor([problem.x[row]], dtype=dtype, requires_grad=True)
        good = torch.autograd.gradcheck(Claimed.apply, (x,), fast_mode=fast, raise_exception=False)
        return "pass" if good else "fail"

    return say


class _Jax:
    """check_grads of one function, whose value and slope are asked for outside JAX: it is traced once."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.value: Callable[[Any], float] = float
        self.claim = 0.0
        self.made: Any = None

    def __call__(self, problem: Problem, row: int, factor: float) -> str:
        import jax
        from jax.test_util import check_grads

        jax.config.update("jax_enable_x64", True)
        self.made = self.made or self._function()
        self.value, self.claim = problem.alone(row), factor * float(problem.truth[row])
        x = jax.numpy.asarray(problem.x[row], dtype="float32" if problem.single else "float64")
        with suppress(AssertionError):
            check_grads(self.made, (x,), 1, modes=(self.mode,))
            return "pass"
        return "fail"

    def _function(self) -> Any:
        import jax

        # Made once: what JAX calls back is part of what it compiles and keeps.
        def asks(look: Callable[[Any], float]) -> Callable[[Any], Any]:
            def host(t: Any) -> Any:
                return np.asarray(look(np.asarray(t, np.float64))).astype(t.dtype)

            return lambda x: jax.pure_callback(host, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

        value, claim = asks(lambda t: self.value(t)), asks(lambda _: self.claim)
        f = jax.custom_jvp(value)
        f.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * claim(primals[0])))
        return f


def _scipy(problem: Problem, row: int, factor: float) -> str:
    from scipy.optimize import check_grad

    value, claim = problem.alone(row), factor * float(problem.truth[row])
    error = check_grad(lambda x: value(x[0]), lambda _: np.array([claim]), problem.x[row : row + 1])
    return "pass" if error <= _SCIPY else "fail"


def _numdifftools(problem: Problem, rows: Array, factors: Mapping[str, float]) -> Verdicts:
    """Twice its own estimate of the error is allowed; the slope does not depend on what is claimed."""
    import numdifftools

    made: dict[str, list[str]] = {word: [] for word in factors}
    for row in rows:
        found = numdifftools.Derivative(problem.alone(int(row)), full_output=True)(float(problem.x[row]))
        for word, factor in factors.items():
            near = abs(factor * problem.truth[row] - found.estimate) <= 2.0 * found.error_estimate
            made[word].append("pass" if near else "fail")
    return made


def quiet(checker: Checker, problem: Problem, rows: Array, factors: Mapping[str, float]) -> Verdicts:
    """What a checker says, without its warnings that a function may be no good for it."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return checker.verdicts(problem, rows, factors)


def checkers(slow: int) -> Sequence[Checker]:
    """All that are installed; the slow ones are asked about one entry in ``slow``, or in several times as many."""
    others = {
        "torch": [
            Checker("torch.autograd.gradcheck", slow, _each(_torch(fast=False))),
            Checker("torch.autograd.gradcheck, fast_mode", slow, _each(_torch(fast=True))),
        ],
        "jax": [
            Checker("jax.test_util.check_grads, fwd", 5 * slow, _each(_Jax("fwd"))),
            Checker("jax.test_util.check_grads, rev", 5 * slow, _each(_Jax("rev"))),
        ],
        "scipy": [Checker(f"scipy.optimize.check_grad ≤ {_SCIPY:g}", 1, _each(_scipy))],
        "numdifftools": [Checker("numdifftools, twice its error", 1, _numdifftools)],
    }
    ours = [
        Checker("losscli, slopes and formula", 1, _formula),
        Checker("losscli, slopes", 1, _slopes),
        Checker("losscli, the whole check", 5 * slow, _each(_function)),
    ]
    installed = [name for name in others if importlib.util.find_spec(name) is not None]
    return [*ours, *(checker for name in installed for checker in others[name])]
