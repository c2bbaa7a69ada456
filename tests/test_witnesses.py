"""Witnesses of a gradient, on functions with known derivatives that share nothing with the catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import losscli
from losscli.loss import Loss, Rows
from losscli.verifier import gradcheck as module
from losscli.verifier.witness.complex_step import complex_step
from losscli.verifier.witness.witnesses import Witnessed, direction, path_integral, taylor

Array = np.ndarray[Any, np.dtype[np.float64]]
Function = Callable[[Array], Any]
SCALES = (1.0, 0.03, 8.0, 30.0)
ROWS, CLASSES = 7, 4
HOT = np.eye(CLASSES)[np.arange(ROWS) % CLASSES]


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(z: Array) -> Array:
    top = z.max(axis=1)
    return top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - (z * HOT).sum(axis=1)


def wavy(z: Array) -> Array:
    return (np.sin(3.0 * z) * np.exp(z / 3.0)).sum(axis=1)


def wavy_slope(z: Array) -> Array:
    return (3.0 * np.cos(3.0 * z) + np.sin(3.0 * z) / 3.0) * np.exp(z / 3.0)


# One loss per row, and its gradient.
SMOOTH: dict[str, tuple[Function, Function]] = {
    "cross-entropy": (cross_entropy, lambda z: softmax(z) - HOT),
    "linear": (lambda z: (z * HOT).sum(axis=1), lambda z: HOT + 0.0 * z),
    "square": (lambda z: (z**2).sum(axis=1), lambda z: 2.0 * z),
    "square above a million": (lambda z: 1e6 + (z**2).sum(axis=1), lambda z: 2.0 * z),
    "fourth power": (lambda z: (z**4).sum(axis=1), lambda z: 4.0 * z**3),
    "softplus": (lambda z: np.logaddexp(0.0, z).sum(axis=1), lambda z: 1.0 / (1.0 + np.exp(-z))),
    "tanh": (lambda z: np.tanh(z).sum(axis=1), lambda z: 1.0 - np.tanh(z) ** 2),
    "norm": (lambda z: np.sqrt((z * z).sum(axis=1)), lambda z: z / np.sqrt((z * z).sum(axis=1, keepdims=True))),
    "cauchy": (lambda z: np.log1p(z * z).sum(axis=1), lambda z: 2.0 * z / (1.0 + z * z)),
    "waves": (wavy, wavy_slope),
    "sum of rows": (lambda z: float(cross_entropy(z).sum()), lambda z: softmax(z) - HOT),
}
KINKED: dict[str, tuple[Function, Function]] = {
    "abs": (lambda z: np.abs(z).sum(axis=1), np.sign),
    "relu": (lambda z: np.maximum(z, 0.0).sum(axis=1), lambda z: (z > 0.0) * 1.0),
    "squared relu": (lambda z: (np.maximum(z, 0.0) ** 2).sum(axis=1), lambda z: 2.0 * np.maximum(z, 0.0)),
    "huber": (
        lambda z: np.where(np.abs(z) < 0.5, z * z / 2.0, 0.5 * (np.abs(z) - 0.25)).sum(axis=1),
        lambda z: np.clip(z, -0.5, 0.5),
    ),
    "maximum": (lambda z: z.max(axis=1), lambda z: np.eye(CLASSES)[z.argmax(axis=1)]),
}
ALL = SMOOTH | KINKED
BOTH = pytest.mark.parametrize("witness", [taylor, path_integral])


def point(seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=(ROWS, CLASSES)) * SCALES[seed % len(SCALES)]


def asked(witness: Callable[..., Witnessed], name: str, change: Function, seeds: range) -> list[Witnessed]:
    f, gradient = ALL[name]
    return [witness(f, point(seed), lambda z: change(gradient(z)), seed=seed) for seed in seeds]


@BOTH
@pytest.mark.parametrize("name", ALL)
def test_a_right_gradient_is_never_called_wrong(witness: Callable[..., Witnessed], name: str) -> None:
    answers = asked(witness, name, lambda g: g, range(40))
    assert [answer.detail for answer in answers if answer.agree is False] == []
    assert {unit for answer in answers for unit in answer.units} <= {True, None}


@BOTH
@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_function_never_leaves_them_speechless(witness: Callable[..., Witnessed], name: str) -> None:
    assert all(answer.agree for answer in asked(witness, name, lambda g: g, range(12)))


FAULTS: dict[str, Function] = {
    "1.0001 times": lambda g: 1.0001 * g,
    "doubled": lambda g: 2.0 * g,
    "sign": lambda g: -g,
    "zero": np.zeros_like,
    "NaN": lambda g: np.full_like(g, np.nan),
    "infinite": lambda g: np.full_like(g, np.inf),
    "rows rolled": lambda g: np.roll(g, 1, axis=0) + 0.01,
}


@BOTH
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ALL)
def test_a_planted_fault_is_caught(witness: Callable[..., Witnessed], name: str, fault: str) -> None:
    for answer in asked(witness, name, FAULTS[fault], range(4)):
        assert answer.agree is False
        assert False in answer.units


@BOTH
def test_only_the_rows_that_are_wrong_are_named(witness: Callable[..., Witnessed]) -> None:
    def claim(z: Array) -> Array:
        made = softmax(z) - HOT
        made[[2, 5]] *= 1.01
        return made

    units = witness(cross_entropy, point(0), claim).units
    assert [at for at, said in enumerate(units) if said is False] == [2, 5]


def test_the_taylor_test_cannot_tell_at_a_kink_that_the_path_integral_crosses() -> None:
    x = np.zeros((3, 2))
    f, gradient = KINKED["relu"]
    assert taylor(f, x, gradient).units == (None, None, None)
    across = path_integral(f, x - 0.3, gradient, v=np.ones_like(x))
    assert across.units == (True, True, True)
    late = path_integral(f, x - 0.3, lambda z: (z > 0.05) * 1.0, v=np.ones_like(x))
    assert late.units == (False, False, False)


@pytest.mark.parametrize("kink", np.linspace(0.001, 0.999, 41))
def test_a_kink_is_found_wherever_it_lies(kink: float) -> None:
    x, v = np.zeros(1), np.ones(1)
    assert path_integral(lambda z: np.abs(z - kink), x, lambda z: np.sign(z - kink), v=v).agree
    assert path_integral(lambda z: np.abs(z - kink), x, lambda z: np.sign(z - kink - 0.001), v=v).agree is False


@BOTH
def test_a_value_that_is_no_number_tells_nothing(witness: Callable[..., Witnessed]) -> None:
    assert witness(lambda z: np.full(len(z), np.nan), point(0), lambda z: z).agree is None


def test_a_jump_is_not_taken_for_a_slope() -> None:
    assert taylor(lambda z: (z > 0.0).sum(axis=1) * 1.0, np.zeros((2, 2)), np.zeros_like).agree is not True


@pytest.mark.parametrize("steepness", [1e2, 1e4, 1e6, 1e8])
def test_a_step_too_steep_to_be_seen_is_no_fault(steepness: float) -> None:
    x, v = np.array([-0.3, 0.2, -0.7]), np.ones(3)

    def step(z: Array) -> Array:
        return np.tanh(steepness * z)

    assert False not in path_integral(step, x, lambda z: steepness * (1.0 - step(z) ** 2), v=v).units
    assert path_integral(np.sign, x, np.zeros_like, v=v).units == (None, True, None)


@BOTH
def test_the_bounds_of_the_domain_are_kept(witness: Callable[..., Witnessed]) -> None:
    x = np.array([1e-3, 0.2, 0.9, 1.0, 0.0])

    def entropy(p: Array) -> Array:
        assert ((p >= 0.0) & (p <= 1.0)).all()
        return -p * np.log(np.maximum(p, 1e-300))

    said = witness(entropy, x, lambda p: -np.log(np.maximum(p, 1e-300)) - 1.0, low=0.0, high=1.0)
    assert said.agree
    assert (direction(x, low=0.0, high=1.0)[3:] == 0.0).all()


@BOTH
def test_edges_of_the_domain_are_no_fault(witness: Callable[..., Witnessed]) -> None:
    x = np.array([[0.0, 1.0 - 1e-12, 1e-12], [1.0, 0.0, 0.5]])

    def claim(p: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.log(p) + 1.0

    def f(p: Array) -> Array:
        return np.where(p > 0.0, p * np.log(np.maximum(p, 1e-300)), 0.0).sum(axis=1)

    assert witness(f, x, claim, low=0.0, high=1.0).units == (True, True)
    assert witness(f, x, lambda p: np.where(p == 0.0, np.nan, claim(p)), low=0.0, high=1.0).agree is False


@pytest.mark.parametrize("name", ["square", "fourth power", "waves", "linear"])
def test_the_complex_step_agrees_and_catches(name: str) -> None:
    f, gradient = SMOOTH[name]
    x = point(0)
    assert complex_step(f, x, gradient).agree
    assert complex_step(f, x).agree
    assert complex_step(f, x, lambda z: 1.0001 * gradient(z)).agree is False


@pytest.mark.parametrize(
    "f",
    [
        lambda z: np.abs(z).sum(),
        lambda z: np.linalg.norm(z),
        lambda z: (np.abs(z) * z).sum(),
        lambda z: (z * z.conj()).sum() + 0j,
        lambda z: (z.real * z).sum(),
        lambda z: (np.sign(z.real) * z.imag).sum() + (z.real**2).sum() + 0j,
        lambda z: np.logaddexp(z, 0.0).sum(),
        lambda z: float((z * z).sum()),
    ],
    ids=["abs", "norm", "abs times", "conj", "real", "imaginary", "logaddexp", "float"],
)
def test_the_complex_step_refuses_what_it_would_get_wrong(f: Function) -> None:
    with np.errstate(all="ignore"):
        said = complex_step(lambda z: f(z), point(0))
    assert said.agree is None
    assert said.detail


def spoiled(loss: Loss, factor: float) -> Loss:
    def kernel(*variables: Any, **params: Any) -> Any:
        result = loss.kernel(*variables, **params)
        assert isinstance(result, Rows)
        slopes = result.grad()
        grads = slopes if isinstance(slopes, tuple) else (slopes,)
        return dataclasses.replace(result, grad=lambda: tuple(factor * slope for slope in grads))

    return dataclasses.replace(loss, kernel=kernel)


@pytest.mark.parametrize("name", ["mse", "softmax-focal", "entmax"])
def test_without_a_formula_the_taylor_test_confirms_a_failure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Formula, "of", classmethod(lambda *_: None))
    check = module.gradcheck(spoiled(losscli.get(name), 1.001).bind(), kinds=("random",))
    assert check.verdict == "fail"
    assert {method.name: method.agree for method in check.methods if method.name != "identities"} == {
        "ridders": False,
        "taylor": False,
        "path integral": False,
    }
    assert module.gradcheck(losscli.get(name).bind(), kinds=("random",)).verdict == "pass"


def test_a_failure_that_nobody_confirms_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from losscli.verifier import jury

    def silent(*_: Any, **__: Any) -> Witnessed:
        return Witnessed("taylor", None, 1, "", (None,) * ROWS)

    monkeypatch.setattr(module.Formula, "of", classmethod(lambda *_: None))
    monkeypatch.setattr(jury, "taylor", silent)
    check = module.gradcheck(spoiled(losscli.get("mse"), 1.001).bind(), kinds=("random",))
    assert check.verdict == "inconclusive"
    assert check.counts["fail"] == 0


def test_a_witness_that_disagrees_keeps_a_check_from_passing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "statements", lambda *_: iter([Witnessed("path integral", False, 1, "made up")]))
    assert module.gradcheck(losscli.get("mse").bind(), kinds=("random",)).verdict == "inconclusive"
