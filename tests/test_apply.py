"""Functions: values and Jacobians beside their formulas at 50 digits, worked examples, and the verb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

from losscli.cli import run
from losscli.errors import DataError, UsageError
from losscli.files.source import Source
from losscli.formula import Program
from losscli.functions import Function, functions, get_function
from losscli.verifier.numeric.differences import slopes
from losscli.verifier.numeric.verdict import VERDICTS, Verdict, judge

BOUND = 4.0
SCALES = (1e-8, 1e-3, 1.0, 30.0, 700.0)
every = pytest.mark.parametrize("function", functions().values(), ids=lambda function: function.name)
_EPS = mpmath.mpf(2) ** -52


def data(function: Function, scale: float, seed: int = 0) -> np.ndarray[Any, Any]:
    """Rows of three entries; a formula is run for every one of their outputs."""
    rng = np.random.default_rng(seed)
    if function.domain.sums:
        p = rng.gamma(np.clip(1.0 / scale, 0.1, 50.0), size=(4, 3)) + 1e-12
        return p / p.sum(axis=1, keepdims=True)
    return rng.normal(size=(4, 3)) * scale


def units(got: float, truth: Any, spread: Any) -> float:
    """Differences in units of what rounding the number and its inputs moves it by."""
    size = (abs(truth) + spread) * _EPS
    gap = abs(mpmath.mpf(got) - truth)
    return 0.0 if gap <= mpmath.mpf(2) ** -1074 else float(gap / size)


@every
@pytest.mark.parametrize("scale", SCALES, ids="scale {:g}".format)
def test_value_and_jacobian_are_the_formula_and_its_derivative(function: Function, scale: float) -> None:
    x = data(function, scale)
    with np.errstate(all="ignore"):
        made = function(Source("x", x))
        value, jacobian = made.value, made.jacobian()
    program = Program(function.formula)
    for row in range(2):
        for k in range(3):
            env = {"x": float(x[row, k])} if function.reads == "entries" else {"x": x[row].tolist(), "k": k}
            if value.ndim == 1 and k:
                continue
            at = (row, k) if value.ndim > 1 else (row,)
            truth = program.value(env)
            assert units(float(value[at]), truth, program.condition(env, ["x"]) * abs(truth)) <= BOUND
            for j in range(3) if function.reads == "rows" else [None]:
                where = ("x", None if j is None else (j,))
                place = at if j is None else (*at, j)
                slope = program.slope(env, *where, side=1)
                kappa = program.slope_condition(env, ["x"], *where, side=1) if slope else 0
                assert units(float(jacobian[place]), slope, kappa * abs(slope)) <= BOUND, (env, j)


@every
def test_the_numeric_engine_agrees_with_the_jacobian_and_refuses_a_wrong_one(function: Function) -> None:
    x = data(function, 1.0, seed=3)
    if function.reads == "entries":
        flat = x.reshape(-1)
        found = slopes(lambda t: function.kernel(t).value, flat)
        claim = function.kernel(flat).jacobian()
    else:
        output = 0

        def moved(t: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            made = x.copy()
            made[:, 1] = t
            value = function.kernel(made).value
            return value if value.ndim == 1 else value[:, output]

        found = slopes(moved, x[:, 1])
        jacobian = function.kernel(x).jacobian()
        claim = jacobian[:, 1] if jacobian.ndim == 2 else jacobian[:, output, 1]
    assert {VERDICTS[code] for code in judge(claim, found)} == {Verdict.PASS}
    for wrong in (1.0001 * claim, -claim, claim + 1e-3):
        codes = judge(wrong, found)[claim != wrong]
        assert not codes.size or {VERDICTS[code] for code in codes} == {Verdict.FAIL}


def test_a_class_that_cannot_be_has_probability_zero() -> None:
    made = get_function("softmax")(Source("x", np.array([[0.0, -np.inf, 0.0]])))
    assert made.value.tolist() == [[0.5, 0.0, 0.5]]
    assert made.jacobian().tolist() == [[[0.25, 0.0, -0.25], [0.0, 0.0, 0.0], [-0.25, 0.0, 0.25]]]
    assert get_function("logsumexp")(Source("x", np.array([0.0, -np.inf]))).value.tolist() == 0.0


def test_the_worked_examples() -> None:
    logits = Source("x", np.array([[1.4746, 0.7613, -0.5468], [1.1310, 0.2323, 0.5530]]))
    assert np.round(get_function("softmax")(logits).value, 4).tolist() == [
        [0.6163, 0.3020, 0.0816],
        [0.5081, 0.2068, 0.2851],
    ]
    assert np.round(get_function("log-softmax")(logits).value, 4).tolist() == [
        [-0.4840, -1.1973, -2.5054],
        [-0.6771, -1.5758, -1.2551],
    ]
    assert np.round(get_function("sigmoid")(Source("x", np.array([3.0, 1.0, -3.0]))).value, 4).tolist() == [
        0.9526,
        0.7311,
        0.0474,
    ]


def test_rows_lie_along_any_axis() -> None:
    x = np.random.default_rng(1).normal(size=(2, 5, 3))
    made = get_function("softmax")(Source("x", x), axis=1)
    assert made.value.shape == (2, 3, 5)
    assert made.jacobian().shape == (2, 3, 5, 5)
    assert np.allclose(made.value.sum(axis=-1), 1.0, rtol=1e-15)
    with pytest.raises(UsageError, match="--axis 3"):
        get_function("softmax")(Source("x", x), axis=3)


def test_numbers_outside_the_domain_are_refused() -> None:
    for name, bad in (("sigmoid", np.nan), ("softmax", np.inf), ("entropy", 2.0)):
        x = np.full((2, 2), 0.5)
        x[1, 0] = bad
        with pytest.raises(DataError, match="must be"):
            get_function(name)(Source("x", x))
    with pytest.raises(DataError, match="row 1 must be probabilities"):
        get_function("entropy")(Source("x", np.array([[0.5, 0.5], [0.5, 0.25]])))


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(2).normal(size=(6, 4))
    path, out, slope = (str(tmp_path / name) for name in ("x.npy", "p.npy", "j.npy"))
    np.save(path, x)
    assert run(["apply", "softmax", path, "-o", out, "--jacobian", slope]) == 0
    assert capsys.readouterr().out == ""
    assert np.load(slope).shape == (6, 4, 4)
    assert run(["apply", "softmax", path, "--json", "--jacobian"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == "losscli.apply/1"
    assert np.array_equal(said["values"], np.load(out))
    assert np.array_equal(said["jacobian"]["values"], np.load(slope))
    assert run(["apply", "logsumexp", path, "-q"]) == 0
    assert len(capsys.readouterr().out.split()) == 6
    assert run(["apply", "softmax", path]) == 0
    assert "6 x 4" in capsys.readouterr().out


def test_one_hot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("label\n2\n0\n")
    assert run(["apply", "one-hot", str(path), "--num-classes", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["values"] == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert run(["apply", "one-hot", str(path), "--num-classes", "2"]) == 3
    assert f"{path}:2:1: label 2 is not in 0..1" in capsys.readouterr().err
    assert run(["apply", "one-hot", str(path), "--jacobian"]) == 2
    assert run(["apply", "sigmoid", str(path), "--num-classes", "2"]) == 2
    assert run(["apply", "sofmax", str(path)]) == 2
    assert "did you mean 'softmax'" in capsys.readouterr().err
