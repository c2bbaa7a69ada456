"""A user's own function, checked as a user does it: files of a few lines, faults of every kind, and what is said."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from losscli.cli import run
from losscli.loss import catalogue
from losscli.verifier.ledger import Ledger
from losscli.verifier.numeric.probes import probe
from losscli.verifier.objective import Column
from losscli.verifier.own import examine
from losscli.verifier.own.answer import Remarks
from losscli.verifier.own.entries import bits_of
from losscli.verifier.own.functions import Claimant
from losscli.verifier.witness.witnesses import Witnessed

COSH = """
    import numpy as np

    def right(x, y):
        d = x - y
        return np.log(np.cosh(d)).mean(), (np.tanh(d) / d.size, -np.tanh(d) / d.size)
"""
CE = """
    import numpy as np

    def softmax(z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def value(logits, labels):
        return -np.log(softmax(logits)[np.arange(len(logits)), labels]).mean()

    def value_grad(logits, labels):
        return (softmax(logits) - np.eye(logits.shape[1])[labels]) / len(logits)
"""
BOOST = """
    import numpy as np

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def right(y_true, y_pred):
        p = sigmoid(y_pred)
        return p - y_true, p * (1 - p)

    def right_loss(y_true, y_pred):
        return np.logaddexp(0, y_pred) - y_true * y_pred

    def total(preds, dataset):
        y = dataset.get_label()
        return "total", (np.logaddexp(0, preds) - y * preds).sum(), False

    def lightgbm(preds, dataset):
        p = sigmoid(preds)
        return p - dataset.get_label(), p * (1 - p)

    def sign(y_true, y_pred):
        p = sigmoid(y_pred)
        return y_true - p, p * (1 - p)

    def hessian(y_true, y_pred):
        p = sigmoid(y_pred)
        return p - y_true, p
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    # What a test enters into the catalogue is gone after it.
    monkeypatch.setattr("losscli.loss._CATALOGUE", dict(catalogue()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def check(capsys, request):
    """Write a file, check one of its functions, and return the exit code and the JSON of the answer."""

    def checked(text, name, *options):
        file = Path(f"{request.node.name.partition('[')[0]}.py")
        file.write_text(dedent(text))
        code = run(["gradcheck", f"{file}:{name}", "--json", *options])
        out, err = capsys.readouterr()
        return code, json.loads(out or err)

    return checked


def notes(about):
    return "; ".join(about["notes"])


# Right and wrong ---------------------------------------------------------------------------------------------------


def test_a_right_gradient_passes_and_says_how_small_an_error_it_would_have_seen(check):
    code, about = check(COSH, "right")
    assert (code, about["verdict"], about["counts"]["pass"]) == (0, "pass", about["checked"])
    assert {point["kind"]: point["checked"] for point in about["points"]} == {
        "random": 2 * 3 * 15,
        "ties": 2 * 3 * 15,
        "single row": 2 * 3,
        # At a thousand cosh is infinite.
        "far": 2 * 15,
    }
    assert about["selftest"] == {"planted": 12, "caught": 12}
    assert 0.0 < about["resolution"]["rel"] < 1e-9
    assert {method["name"] for method in about["methods"]} >= {"ridders", "path integral"}
    assert "inputs drawn: x: normal numbers (5, 3)" in notes(about)


@pytest.mark.parametrize(
    "fault",
    [
        "g * 1.0001",
        "-g",
        "g * 0",
        "g * d.size",
        "np.roll(g, 1, axis=0)",
        "g + 1e-6",
        "g * np.nan",
        "np.tanh(x) / 15",
    ],
)
def test_a_wrong_gradient_fails_and_a_second_method_agrees_that_it_does(check, fault):
    text = f"""
        import numpy as np

        def wrong(x, y):
            d = x - y
            g = np.tanh(d) / d.size
            return np.log(np.cosh(d)).mean(), {fault}
    """
    code, about = check(text, "wrong")
    assert (code, about["verdict"]) == (1, "fail")
    assert about["counts"]["fail"] >= 1
    if "nan" not in fault:
        others = [method for method in about["methods"] if method["name"] != "ridders"]
        assert any(not method["agree"] for method in others)
    assert "y: no gradient by it is claimed" in notes(about)


def test_a_wrong_factor_is_named(check):
    text = CE.replace("/ len(logits)", "")
    code, about = check(text, "value")
    assert code == 1
    assert about["diagnosis"][0]["scale"] == 5.0
    assert "N = 5" in about["diagnosis"][0]["hypothesis"]


@pytest.mark.parametrize("claimed", ["g", "(g,)", "[g.tolist(), None][0]", "{'x': g, 'y': -g}", "(g, -g)"])
def test_a_gradient_is_an_array_a_tuple_or_by_name(check, claimed):
    text = f"""
        def half(x, y):
            g = x - y
            return (g * g).sum() / 2, {claimed}
    """
    code, about = check(text, "half", "--shape", "4")
    assert (code, about["verdict"]) == (0, "pass")
    assert {entry["wrt"] for entry in about["worst"]} <= {"x", "y"}


def test_a_companion_claims_the_gradient_and_another_may_be_named(check):
    text = CE + "\n    def off(logits, labels):\n        return value_grad(logits, labels) * 1.001\n"
    assert check(text, "value")[0] == 0
    code, about = check(text, "value", "--grad-name", "off")
    assert (code, about["verdict"]) == (1, "fail")
    assert about["counts"]["fail"] > 40
    assert "labels: integers, not looked at" in notes(about)


def test_rows_that_need_each_other_are_not_moved_together(check):
    text = """
        import numpy as np

        def centred(x):
            c = x - x.mean(axis=0)
            return (c ** 2).sum(axis=1) + x[:, 0] ** 3, 2 * c + 3 * x ** 2 * (np.arange(x.shape[1]) == 0)

        def apart(x):
            return (x ** 2).sum(axis=1), 2 * x
    """
    code, together = check(text, "centred")
    assert (code, together["verdict"]) == (0, "pass")
    assert check(text, "apart")[0] == 0


def test_the_complex_step_is_heard_where_a_function_goes_on_in_complex_numbers(check):
    text = """
        import numpy as np

        def smooth(x, y):
            return (np.exp(0.3 * x) * y).sum(axis=1), FACTOR * 0.3 * np.exp(0.3 * x) * y

        def edged(x):
            return (np.abs(x) * x).sum(), 2 * np.abs(x)

        def single(x):
            return (x ** 4).sum(), (4 * x ** 3).astype(np.float32)

        def refuses(x):
            if np.iscomplexobj(x):
                raise TypeError("real numbers only")
            return (x ** 2).sum(), 2 * x
    """
    for name, factor, agree in (
        ("smooth", "1", [True]),
        ("smooth", "1.001", [False]),
        ("edged", "1", []),
        ("single", "1", [True]),
        ("refuses", "1", []),
    ):
        code, about = check(text.replace("FACTOR", factor), name)
        assert code == int(factor != "1")
        assert [method["agree"] for method in about["methods"] if method["name"] == "complex step"] == agree


@pytest.mark.parametrize("largest", range(7))
def test_rows_that_meet_in_a_maximum_are_not_moved_together(check, largest):
    text = """
        import numpy as np

        def scaled(x):
            g = np.full_like(x, x.max())
            g[x.argmax()] += x.sum()
            return x * x.max(), g

        def apart(x):
            return x * x.max(), np.full_like(x, x.max()) + x * (x == x.max())

        def middle(x):
            g = np.full_like(x, np.median(x))
            g[np.argsort(x)[3]] += x.sum()
            return x * np.median(x), g
    """
    x = np.linspace(0.5, 1.5, 7)
    x[[largest, 6]] = x[[6, largest]]
    np.save("x.npy", x)
    code, about = check(text, "scaled", "x.npy")
    assert (code, about["verdict"], about["counts"]["pass"]) == (0, "pass", 7)
    assert check(text, "apart", "x.npy")[0] == 1
    assert check(text, "middle", "x.npy")[0] == 0


def test_rows_of_a_bounded_function_are_still_moved_together(check):
    text = """
        import numpy as np

        def entropy(p):
            if (p <= 0).any():
                raise ValueError("not positive")
            return (p * np.log(p)).sum(axis=1), np.log(p) + 1
    """
    np.save("p.npy", np.random.default_rng(0).uniform(0.1, 0.9, (400, 3)))
    code, about = check(text, "entropy", "p.npy")
    assert (code, about["checked"]) == (0, 1200)


def test_a_kink_takes_any_slope_between_its_sides(check):
    text = """
        import numpy as np

        def absolute(x):
            return np.abs(x).sum(), np.sign(x)

        def beyond(x):
            return np.abs(x).sum(), np.where(x == 0, 1.5, np.sign(x))
    """
    np.save("x.npy", np.array([0.0, 1.0, -2.0]))
    code, about = check(text, "absolute", "x.npy")
    assert (code, about["counts"]["kink_ok"], about["counts"]["pass"]) == (0, 1, 2)
    code, about = check(text, "beyond", "x.npy")
    assert (code, about["counts"]["kink_fail"]) == (1, 1)


# What functions do that no gradient can mend -----------------------------------------------------------------------


def test_a_function_that_writes_to_its_input_fails(check):
    text = """
        def shifts(x):
            x -= x.max()
            return (x ** 2).sum(), 2 * x
    """
    code, about = check(text, "shifts")
    assert (code, about["verdict"]) == (1, "fail")
    assert "changes its input 'x' in place" in notes(about)


def test_random_numbers_leave_it_undecided(check):
    text = """
        import numpy as np

        RNG = np.random.default_rng(0)

        def drops(x):
            keep = RNG.random(x.shape) < 0.5
            return (keep * x ** 2).sum(), 2 * keep * x
    """
    code, about = check(text, "drops")
    assert (code, about["verdict"]) == (4, "inconclusive")
    assert "nondeterministic" in notes(about)
    assert check(text, "drops", "--strict")[0] == 1


def test_random_numbers_in_the_gradient_alone_forbid_a_pass(check):
    text = """
        import numpy as np

        RNG = np.random.default_rng(0)

        def noisy(x):
            return (x ** 2).sum(), 2 * x * (1 + 0.01 * RNG.normal(size=x.shape))

        def boosts(y_true, y_pred):
            p = 1 / (1 + np.exp(-y_pred))
            return (p - y_true) * (1 + 0.01 * RNG.normal(size=p.shape)), p * (1 - p)
    """
    for name, options in (("noisy", ()), ("boosts", ("--against", "bce"))):
        code, about = check(text, name, *options)
        assert code in (1, 4)
        assert "nondeterministic gradient by" in notes(about)


@pytest.mark.parametrize(
    ("claimed", "said"),
    [
        ("x.sum(axis=0)", "the gradient by x has shape (3,), and x has (5, 3)"),
        ("None", "the gradient by x is None"),
        ("'oops'", "the gradient by x is no array of numbers"),
        ("x @ x", "the gradient raised test_a_gradient_that_is_none_is_named.py:2: ValueError"),
    ],
)
def test_a_gradient_that_is_none_is_named(check, claimed, said):
    text = f"def value_grad(x):\n    return {claimed}\n\ndef value(x):\n    return (x ** 2).sum()\n"
    code, about = check(text, "value")
    assert (code, about["verdict"], about["checked"]) == (1, "fail", 0)
    assert said in notes(about)


def test_what_a_function_raises_is_told_with_its_line(check, capsys):
    text = """
        import helper

        def value(x):
            return helper.deep(x), x
    """
    Path("helper.py").write_text("def deep(x):\n    raise ValueError('too deep')\n")
    code, error = check(text, "value")
    assert (code, error["code"]) == (2, "function-data")
    assert "helper.py:2: ValueError: too deep" in error["message"]
    np.save("x.npy", np.ones((2, 2)))
    code, about = check(text, "value", "x.npy")
    assert (code, about["verdict"], about["checked"]) == (4, "not_checked", 0)
    assert "raised helper.py:2: ValueError: too deep" in notes(about)


def test_what_it_raises_beside_a_point_is_told_too(check):
    text = """
        import numpy as np

        def value(x):
            if (x > 1.0).any():
                raise ValueError("beyond 1")
            return (x ** 2).sum(), 2 * x
    """
    np.save("x.npy", np.array([0.9, 0.1]))
    code, about = check(text, "value", "x.npy")
    assert (code, about["verdict"]) == (0, "pass")
    assert "raised near this point" in notes(about)


def test_an_input_that_does_not_matter_is_told(check):
    code, about = check("def value(x, y):\n    return (x ** 2).sum(), (2 * x, 0 * y)\n", "value")
    assert (code, about["verdict"]) == (0, "pass")
    assert "the value does not depend on y" in notes(about)


FEW = """
    import numpy as np

    def right(x, y):
        d = (x - y).astype(np.DTYPE)
        return (d * d).sum(), 2 * d

    def wrong(x, y):
        d = (x - y).astype(np.DTYPE)
        return (d * d).sum(), np.DTYPE(2.1) * d

    def turned(x, y):
        d = (x - y).astype(np.DTYPE)
        return float((d * d).sum()), -2.0 * d.astype(np.float64)
"""


def test_a_function_in_single_precision_passes_as_far_as_its_digits_go(check):
    text = FEW.replace("DTYPE", "float32")
    code, about = check(text, "right", "--shape", "4,2")
    assert (code, about["verdict"], about["counts"]["fail"]) == (0, "pass", 0)
    assert "computes in single precision: the resolution is that of its rounding" in notes(about)
    assert 1e-7 < about["resolution"]["rel"] < 0.1
    assert check(text, "wrong", "--shape", "4,2")[0] == 1


def test_half_precision_shows_what_is_grossly_wrong(check):
    text = FEW.replace("DTYPE", "float16")
    code, about = check(text, "right", "--shape", "4,2")
    assert (code, about["verdict"], about["counts"]["fail"]) == (4, "inconclusive", 0)
    assert "half precision" in notes(about)
    assert check(text, "turned", "--shape", "4,2")[0] == 1


def test_a_round_value_that_does_not_vary_tells_of_no_format(check):
    text = """
        import numpy as np

        def clipped(x):
            return np.clip(x, -1, 1).sum(), (np.abs(x) < 1) * 1.0
    """
    np.save("x.npy", np.array([3.0, -4.0, 2.5, 7.0]))
    code, about = check(text, "clipped", "x.npy")
    assert (code, about["verdict"]) == (0, "pass")
    assert "precision" not in notes(about)


def test_a_coarse_format_shows_in_large_changes():
    def values(many):
        return [x["x"].astype(np.float16).sum() for x in many]

    coarse = Claimant("coarse", "NumPy", values, lambda _: {})
    assert {bits_of(coarse, {"x": np.array([x])}, ["x"], 0) for x in (0.3, 1.7, 900.0)} == {11}


@pytest.mark.parametrize("slope", [0.18, 1e-9], ids=["by the first steps", "by none"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_single_precision_that_no_small_step_moves_is_known(slope, dtype):
    def values(many):
        return [dtype(213926.8693 + slope * x["x"].sum()) for x in many]

    flat = Claimant("flat", "NumPy", values, lambda _: {})
    used = {bits_of(flat, {"x": np.array([x])}, ["x"], seed) for x in (-0.003, 0.74, 2.2) for seed in range(5)}
    assert used == {24 if dtype is np.float32 else 53}


def test_what_a_function_prints_stays_out_of_the_report(check):
    code, about = check("def value(x):\n    print('hello')\n    return (x ** 2).sum(), 2 * x\n", "value")
    assert (code, about["verdict"]) == (0, "pass")


@pytest.mark.parametrize("fault", ["certificate", "witness"])
def test_a_fault_below_the_resolution_excuses_no_other(fault):
    x, made = np.array([1.5, 0.5]), Ledger()
    made.look("random", "x", 2.0 * x, [Column((slice(None),), x, lambda t: t**2, None)])
    if fault == "certificate":
        made.certify("random", "x", 2.0 * x, probe(lambda z: (z**2).sum(), x, 3.0 * x, seed=0), None)
    else:
        made.jury.hear(Witnessed("path integral", False, 1, ""))
    check = replace(made.check("f", {}, 0, ""), verdict="inconclusive", missed=("constant added (gradient)",))
    assert check.counts["fail"] == 0
    assert Remarks().answer(check).check.verdict == {"certificate": "fail", "witness": "inconclusive"}[fault]
    fine = replace(check, besides="pass")
    assert Remarks().answer(fine).check.verdict == "pass"


# Large inputs ------------------------------------------------------------------------------------------------------


def test_of_a_large_gradient_all_entries_are_certified_together(check):
    text = """
        import numpy as np

        def right(x):
            return np.exp(0.1 * x).sum() ** 2, 0.2 * np.exp(0.1 * x) * np.exp(0.1 * x).sum()

        def wrong(x):
            value, g = right(x)
            g.reshape(-1)[-7:] *= 1.5
            return value, g
    """
    code, about = check(text, "right", "--shape", "50,20")
    assert (code, about["verdict"]) == (0, "pass")
    assert about["certificate"]["verdict"] == "pass"
    assert "x: 256 of 1000 entries looked at" in notes(about)
    assert check(text, "wrong", "--shape", "50,20", "--seed", "3")[0] == 1


def test_a_few_wrong_entries_that_nobody_looked_at_are_found(check):
    text = """
        import numpy as np

        def wrong(x):
            g = 0.2 * np.exp(0.1 * x) * np.exp(0.1 * x).sum()
            g.reshape(-1)[[123, 321]] *= -1
            return np.exp(0.1 * x).sum() ** 2, g

        def column(x):
            g = 3 * x ** 2
            g[:, 70] = 0
            return (x ** 3).sum(axis=1), g
    """
    code, about = check(text, "wrong", "--shape", "50,20", "--entries", "16")
    assert (code, about["certificate"]["verdict"]) == (1, "fail")
    assert sorted({20 * i + j for i, j in (entry["index"] for entry in about["worst"][:2])}) == [123, 321]
    assert check(text, "column", "--shape", "5,90")[0] == 1


def test_objectives_take_data(check):
    z, y = np.array([0.5, -1.0, 3.0, 0.1]), np.array([1.0, 0.0, 0.0, 1.0])
    np.savez("lgb.npz", preds=z, label=y)
    np.savez("sk.npz", y_true=y, y_pred=z)
    for data, name in (("lgb.npz", "lightgbm"), ("sk.npz", "right"), ("sk.npz", "hessian")):
        for against in (("--against", "bce"), ("--loss-name", "right_loss")):
            code, about = check(BOOST, name, data, *against)
            assert (code, about["checked"]) == (int(name == "hessian"), 8)


# Objectives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "against"),
    [
        ("right", ()),
        ("right", ("--against", "bce")),
        ("right", ("--against", "logistic")),
        ("lightgbm", ("--against", "bce")),
        ("lightgbm", ("--loss-name", "total")),
        ("right", ("--loss-name", "total")),
    ],
)
def test_a_right_objective_passes(check, name, against):
    code, about = check(BOOST, name, *against)
    assert (code, about["verdict"]) == (0, "pass")
    assert {point["kind"] for point in about["points"]} == {"random", "hessian random"}


@pytest.mark.parametrize("against", [("--against", "bce"), ("--loss-name", "right_loss")])
@pytest.mark.parametrize(("name", "kind"), [("sign", "random"), ("hessian", "hessian random")])
def test_a_wrong_objective_fails_where_it_is_wrong(check, name, kind, against):
    code, about = check(BOOST, name, *against)
    assert (code, about["verdict"]) == (1, "fail")
    wrong = {point["kind"] for point in about["points"] if point["verdict"] == "fail"}
    assert wrong == {kind}


def test_an_objective_of_several_classes(check):
    text = CE + (
        "\n    def softprob(y_true, y_pred):"
        "\n        p = softmax(y_pred)"
        "\n        return p - np.eye(p.shape[1])[y_true.astype(int)], FACTOR * p * (1 - p)\n"
    )
    assert check(text.replace("FACTOR", "1"), "softprob", "--against", "ce")[0] == 0
    code, about = check(text.replace("FACTOR", "2"), "softprob", "--against", "ce")
    assert code == 1
    assert about["diagnosis"][0]["scale"] == 2.0


def test_an_objective_is_held_against_something(check):
    code, error = check(BOOST, "sign")
    assert (code, error["code"]) == (2, "function-kind")
    assert "--against" in error["hint"]
    assert check(BOOST, "lightgbm")[1]["code"] == "function-kind"
    assert check(BOOST, "sigmoid", "--against", "bce")[1]["code"] == "function-kind"


def test_an_objective_takes_the_parameters_of_the_loss(check):
    text = """
        import numpy as np

        def huber(y_true, y_pred):
            return np.clip(y_pred - y_true, -2, 2), (np.abs(y_pred - y_true) <= 2) * 1.0
    """
    assert check(text, "huber", "--against", "huber", "--delta", "2")[0] == 0
    code, about = check(text, "huber", "--against", "huber", "--delta", "1.5")
    assert (code, about["params"]) == (1, {"delta": 1.5})


# A loss of its own -------------------------------------------------------------------------------------------------

BLOCK = """
    from typing import Annotated
    import numpy as np
    from losscli.families.regression import RESIDUAL
    from losscli.loss import Param, Rows, loss

    @loss(reads=RESIDUAL, formula="delta**2*(sqrt(1 + (r/delta)**2) - 1)", sources=("nobody",))
    def NAME(r, *, delta: Annotated[float, Param("where it turns straight", above=0)] = 1.0):
        \"\"\"A smooth absolute error.\"\"\"
        root = np.sqrt(1 + (r / delta) ** 2)
        return Rows(delta ** 2 * (root - 1), grad=lambda: FACTOR * r / root)
"""


def test_a_loss_block_is_checked_like_the_catalogue(check):
    code, about = check(BLOCK.replace("NAME", "smooth").replace("FACTOR", "1"), "smooth", "--delta", "2")
    assert (code, about["loss"], about["params"]) == (0, "smooth", {"delta": 2.0})
    assert {point["kind"] for point in about["points"]} >= {"random", "saturation"}
    assert check(BLOCK.replace("NAME", "smoother").replace("FACTOR", "2"), "smoother")[0] == 1


def test_a_loss_block_has_a_name_of_its_own(check):
    code, error = check(BLOCK.replace("NAME", "mse").replace("FACTOR", "1"), "mse")
    assert (code, error["code"]) == (2, "loss-twice")
    # A run of its own reads the file before the catalogue.
    command = [sys.executable, "-m", "losscli", "gradcheck", "test_a_loss_block_has_a_name_of_its_own.py:mse"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (made.returncode, "two losses are named mse" in made.stderr) == (2, True)


# Commands ----------------------------------------------------------------------------------------------------------

ECHO = """
    import json, sys
    for line in sys.stdin:
        x = json.loads(line)["inputs"]["x"]
        flat = [v for row in x for v in row] if isinstance(x[0], list) else x
        print(json.dumps({"value": sum(v ** 4 for v in flat), "gradient": {"x": GRADIENT}}), flush=True)
"""
FOURFOLD = "[[4 * v ** 3 for v in row] for row in x]"


def ask(capsys, text, *options):
    Path("tool.py").write_text(dedent(text))
    code = run(["gradcheck", "--command", f"{sys.executable} tool.py", "--json", *options])
    out, err = capsys.readouterr()
    return code, json.loads(out or err)


def test_a_command_answers_lines_of_json(capsys):
    assert ask(capsys, ECHO.replace("GRADIENT", FOURFOLD), "--inputs", "x")[1]["verdict"] == "pass"
    code, about = ask(capsys, ECHO.replace("GRADIENT", FOURFOLD.replace("4 *", "3 *")), "--inputs", "x")
    assert (code, about["verdict"]) == (1, "fail")
    Path("x.json").write_text('{"x": [[1.0, 2.0], [0.5, -1.0]]}')
    assert ask(capsys, ECHO.replace("GRADIENT", FOURFOLD), "x.json")[1]["counts"]["pass"] == 4


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("raise SystemExit('no such model')", "command-died"),
        ("import sys\nfor line in sys.stdin:\n    print('value = 3', flush=True)", "command-answer"),
        ("import sys\nfor line in sys.stdin:\n    print('{\"value\": 3}', flush=True)", "command-answer"),
        ("import sys\nfor line in sys.stdin:\n    print('{\"value\": [1, [2]]}', flush=True)", "command-answer"),
        ("import time\ntime.sleep(60)", "command-timeout"),
    ],
)
def test_a_command_that_does_not_answer(capsys, text, code):
    assert ask(capsys, text, "--inputs", "x", "--timeout", "2")[1]["code"] == code


def test_a_command_that_cannot_be_started(capsys):
    assert run(["gradcheck", "--command", "no-such-program", "--inputs", "x", "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["code"] == "command-start"


# Files and names ---------------------------------------------------------------------------------------------------


def test_data_come_by_the_names_of_parameters_or_in_their_order(check):
    z, y = np.array([[0.5, 1.0], [1.5, -2.0], [0.1, 0.2]]), np.array([0, 1, 1])
    np.savez("data.npz", logits=z, labels=y)
    np.save("z.npy", z)
    Path("y.csv").write_text("label\n0\n1\n1\n")
    Path("data.csv").write_text("logits_0,logits_1,labels\n0.5,1,0\n1.5,-2,1\n0.1,0.2,1\n")
    found = [check(CE, "value", *data) for data in (["data.npz"], ["z.npy", "y.csv"], ["data.csv"])]
    assert [code for code, _ in found] == [0, 0, 0]
    assert all(about["worst"] == found[0][1]["worst"] for _, about in found)
    assert {point["kind"] for point in found[0][1]["points"]} == {"data"}


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("none.py:value", "file-missing"),
        ("given.py:valeu", "function-unknown"),
        ("given.py:NUMBER", "function-kind"),
        ("given.py:alone", "function-kind"),
        ("given.py:words", "function-kind"),
        ("broken.py:value", "function-import"),
        ("given.py:labels", "function-data"),
    ],
)
def test_a_name_that_is_no_function(capsys, word, code):
    Path("given.py").write_text(
        "NUMBER = 3\ndef value(x): return (x * x).sum(), 2 * x\ndef alone(x): return (x * x).sum()\n"
        "def words(x): return 'x'\ndef labels(labels): return labels.sum() * 1.0, labels\n"
    )
    Path("broken.py").write_text("import numpy\n\nvalue = numpy.nothing\n")
    run(["gradcheck", word, "--json"])
    error = json.loads(capsys.readouterr().err)
    assert error["code"] == code
    if code == "function-import":
        assert "broken.py:3: AttributeError" in error["message"]
    if code == "function-unknown":
        assert "value" in error["hint"]


def test_single_numbers_are_inputs_too(check):
    text = "import numpy as np\ndef value(x: float, n: int):\n    return np.sin(x) * n, np.cos(x) * n\n"
    code, about = check(text, "value")
    assert (code, about["checked"]) == (0, 3)
    Path("data.yaml").write_text("x: 1.5\nn: 2\n")
    code, about = check(text.replace("cos(x)", "sin(x)"), "value", "data.yaml")
    assert (code, about["checked"]) == (1, 1)


def test_options_of_the_check(check):
    assert check(COSH, "right", "--wrt", "y", "--shape", "4")[1]["checked"] == (3 + 3 + 1) * 4 + 1
    assert check(COSH, "right", "--wrt", "z")[1]["code"] == "wrt-unknown"
    assert check(COSH, "right", "--shape", "4,x")[1]["code"] == "parameter-number"
    one, two = (check(COSH, "right", "--seed", seed)[1]["worst"] for seed in ("1", "2"))
    assert one != two
    assert check(COSH, "right", "--seed", "1")[1]["worst"] == one


def test_the_table_tells_what_was_noticed(capsys):
    Path("table.py").write_text(dedent(COSH))
    assert run(["gradcheck", "table.py:right"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("PASS table.py:right")
    assert "inputs drawn" in out
    assert run(["gradcheck", "table.py:right", "-q"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_the_gradient_of_the_last_call_is_no_gradient(check):
    stale = """
        kept = {}

        def stale(prediction, target):
            r = prediction - target
            last = kept.get("r", r)
            kept["r"] = r.copy()
            return (r * r).sum(), 2 * (last if last.shape == r.shape else r)
    """
    code, about = check(stale, "stale")
    assert (code, about["verdict"]) == (4, "inconclusive")
    assert "nondeterministic gradient" in notes(about)


TIED = """
    import numpy as np

    def margin(logits, labels):
        rows = np.arange(len(logits))
        others = logits.copy()
        others[rows, labels] = -np.inf
        return rows, others, np.maximum(0.0, 1.0 + others.max(axis=1) - logits[rows, labels])

    def first(logits, labels):
        rows, others, value = margin(logits, labels)
        gradient = np.zeros(logits.shape)
        gradient[rows, others.argmax(axis=1)] = value > 0.0
        gradient[rows, labels] -= value > 0.0
        return value, gradient

    def shared(logits, labels):
        rows, others, value = margin(logits, labels)
        tied = others == others.max(axis=1, keepdims=True)
        gradient = tied / tied.sum(axis=1, keepdims=True) * (value > 0.0)[:, None]
        gradient[rows, labels] -= value > 0.0
        return value.mean(), gradient / len(rows)

    def every(logits, labels):
        rows, others, value = margin(logits, labels)
        gradient = 1.0 * (others == others.max(axis=1, keepdims=True)) * (value > 0.0)[:, None]
        gradient[rows, labels] -= value > 0.0
        return value, gradient

    def every_mean(logits, labels):
        value, gradient = every(logits, labels)
        return value.mean(), gradient / len(value)

    def far(x, y):
        return np.abs(x) - np.abs(y), (np.where(x < 0.0, -1.0, 1.0), np.where(y < 0.0, 1.0, -1.0))
"""


@pytest.mark.parametrize("name", ["first", "shared", "far"])
def test_any_subgradient_passes_at_ties(check, name):
    code, about = check(TIED, name)
    assert (code, about["counts"]["kink_fail"], about["counts"]["inconclusive"]) == (0, 0, 0)
    assert about["counts"]["kink_ok"] > 0


@pytest.mark.parametrize("name", ["every", "every_mean"])
def test_claims_within_their_own_intervals_that_are_no_subgradient_together_fail(check, name):
    code, about = check(TIED, name)
    assert code == 1
    assert {entry["kind"] for entry in about["worst"] if entry["verdict"] == "fail"} == {"ties"}
    assert "claims of tied entries of logits are no subgradient together" in about["notes"]


MASKED = """
    import numpy as np

    def value(logits, labels, dropped):
        logits = logits - logits.max(axis=1, keepdims=True)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        keep = labels != -100
        hot = np.eye(logits.shape[1])[np.where(keep, labels, 0)]
        rows = np.where(keep, -np.log((p * hot).sum(axis=1)), 0.0)
        return rows.sum() / keep.sum(), (p - hot) * (keep[:, None] if dropped else 1.0) / keep.sum()

    def right(logits, labels):
        return value(logits, labels, True)

    def kept(logits, labels):
        return value(logits, labels, False)

    def fixed(logits, labels):
        v, g = value(logits, labels, True)
        return v, g * (labels != -100).sum() / 5
"""


def test_ignored_labels_are_drawn_and_a_gradient_that_keeps_their_rows_fails(check):
    code, about = check(MASKED, "right")
    assert (code, about["verdict"]) == (0, "pass")
    assert "ignored labels" in {point["kind"] for point in about["points"]}
    code, about = check(MASKED, "kept")
    assert (code, {e["kind"] for e in about["worst"] if e["verdict"] == "fail"}) == (1, {"ignored labels"})


def test_a_batch_size_that_is_written_down_fails_at_a_single_row(check):
    code, about = check(MASKED, "fixed")
    failed = {point["kind"] for point in about["points"] if point["verdict"] == "fail"}
    assert (code, failed) == (1, {"single row", "ignored labels"})


def test_what_a_function_does_not_accept_is_said_and_is_no_fault(check):
    code, about = check(TIED, "first")
    assert code == 0
    assert any(note.startswith("ignored labels: not looked at: ") and "IndexError" in note for note in about["notes"])


def test_fewer_entries_of_large_inputs_are_looked_at_one_by_one():
    assert [examine._affordable(size) for size in (15, 10_000, 100_000, 10_000_000)] == [256, 256, 100, 16]
