"""What is said of things that are no function to check, and of what a function returns and prints."""

import json
import sys

import pytest

from losscli.cli import run

FILE = """
    import functools
    import numpy as np
    print("printed at import")

    def lean(x):
        print("printed in a call")
        return (x**2).sum(), 2 * x

    def three(x):
        return (x**2).sum(), 2 * x, "why"

    def nothing(x):
        pass

    def alone(x):
        return (x**2).sum()

    def imaginary(x):
        return 1j * (x**2).sum(), 2 * x

    def truth(x):
        return (x > 0).any(), 2 * x

    def single(x):
        return np.float32((x**2).sum()), 2 * x

    def listed(x):
        return [float((x**2).sum()), 2 * x]

    def rows(x):
        return list((x**2).sum(axis=1)), 2 * x

    def array(x):
        return np.array((x**2).sum()), 2 * x

    async def waiting(x):
        return (x**2).sum(), 2 * x

    def yielding(x):
        yield (x**2).sum()

    def unnamed(*arrays):
        return (arrays[0] ** 2).sum(), 2 * arrays[0]

    def failing(x):
        raise ValueError("no way")

    def lost(x):
        return np.nan, 2 * x

    class Ready:
        factor = 2.0
        def __call__(self, x):
            return (x**2).sum(), self.factor * x
        def method(self, x):
            return self(x)
        @staticmethod
        def static(x):
            return (x**2).sum(), 2 * x

    class Needs:
        def __init__(self, factor):
            self.factor = factor
        def __call__(self, x):
            return (x**2).sum(), self.factor * x
        def method(self, x):
            return self(x)

    class Empty:
        pass

    made = Needs(2.0)
    number = 3.0
    arrow = lambda x: ((x**2).sum(), 2 * x)
    part = functools.partial(lambda factor, x: ((x**2).sum(), factor * x), 2.0)
"""


@pytest.fixture
def said(tmp_path, monkeypatch, capsys, request):
    """The exit code of a check of a word after the file's name, and what it writes to both streams."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / f"words_{abs(hash(request.node.name))}.py"
    file.write_text("\n".join(line[4:] for line in FILE.splitlines()))

    def asked(word):
        code = run(["gradcheck", f"{file}{word}", "--json"])
        told = capsys.readouterr()
        return code, told.out, told.err

    return asked


@pytest.mark.parametrize(
    "name", ["lean", "listed", "rows", "array", "single", "Ready", "Ready.method", "Ready.static", "made"]
)
def test_whatever_can_be_called_and_returns_numbers_is_checked(said, name) -> None:
    code, out, _ = said(f":{name}")
    assert (code, json.loads(out)["verdict"]) == (0, "pass")


@pytest.mark.parametrize("name", ["made.method", "arrow", "part"])
def test_methods_of_instances_lambdas_and_partials_are_functions(said, name) -> None:
    assert said(f":{name}")[0] == 0


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (":three", "returns (float64, ndarray (5, 3), str), where (value, gradient) or a value alone belongs"),
        (":nothing", "returns NoneType, where"),
        (":alone", "returns float64 alone and claims no gradient"),
        (":imaginary", "returns a complex number, where a real value belongs"),
        (":truth", "returns a truth value, where a real value belongs"),
        (":waiting", "is an async function"),
        (":yielding", "is a generator"),
        (":unnamed", "names no parameter"),
        (":Needs", "Needs cannot be made without arguments: TypeError"),
        (":Needs.method", "Needs cannot be made without arguments: TypeError"),
        (":Empty", "is an Empty, not a function"),
        (":number", "is a float, not a function"),
        (":failing", "of x: normal numbers (5, 3): "),
        (":lost", "of x: normal numbers (5, 3): its value is not finite"),
        ("", "no function of "),
        (":", "no function of "),
    ],
)
def test_what_is_no_function_with_a_value_is_told_what_was_expected(said, word, message) -> None:
    code, out, err = said(word)
    last = json.loads(err.splitlines()[-1])
    assert (code, out) == (2, "")
    assert message in last["message"]
    assert last["hint"]


def test_a_file_alone_is_told_what_functions_it_has(said) -> None:
    hint = json.loads(said("")[2].splitlines()[-1])["hint"]
    assert "lean" in hint
    assert "Ready" in hint


def test_what_a_file_prints_stays_out_of_the_report(said) -> None:
    _, out, err = said(":lean")
    assert json.loads(out)["loss"].endswith(":lean")
    assert {"printed at import", "printed in a call"} <= set(err.splitlines())


WEIGHTED = """
    import numpy as np

    def value(logits, labels, weight):
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        rows = np.arange(len(p))
        grad = weight[:, None] * (p - np.eye(p.shape[1])[labels])
        return -(weight * np.log(p[rows, labels])).sum() / weight.sum(), grad / weight.sum()

    def by_row(logits, labels, sample_weight):
        return value(logits, labels, sample_weight)

    def unnamed(logits, labels, w):
        assert w.shape == (5,)
        return value(logits, labels, w)

    def by_class(logits, labels, class_weights):
        return value(logits, labels, class_weights[labels])

    def weight(logits, labels, weight):
        assert weight.shape == (3,)
        return value(logits, labels, weight[labels])

    def entries(y_pred, y_true, weights):
        return (weights * (y_pred - y_true) ** 2).sum(), {"y_pred": 2 * weights * (y_pred - y_true)}

    def chances(probs, target):
        assert set(np.unique(target)) <= {0.0, 1.0}
        rows = -(target * np.log(probs) + (1 - target) * np.log(1 - probs))
        return rows.sum(), {"probs": (probs - target) / (probs * (1 - probs))}
"""


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("by_row", "sample_weight: positive numbers (5,)"),
        ("unnamed", "w: positive numbers (5,)"),
        ("by_class", "class_weights: positive numbers (3,)"),
        ("weight", "weight: positive numbers (3,)"),
        ("entries", "weights: positive numbers (5, 3)"),
        ("chances", "target: 0 or 1 (5, 3)"),
    ],
)
def test_weights_are_drawn_per_class_per_row_or_per_entry(tmp_path, monkeypatch, capsys, name, drawn) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / f"weights_{name}.py"
    file.write_text("\n".join(line[4:] for line in WEIGHTED.splitlines()))
    assert run(["gradcheck", f"{file}:{name}", "--json"]) == 0
    assert any(drawn in note for note in json.loads(capsys.readouterr().out)["notes"])


def test_ties_that_a_function_has_no_value_at_are_not_what_is_wrong_with_it(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "untied.py"
    file.write_text(
        "import numpy as np\n\n\ndef loss(a, b):\n    c = a.std(axis=1)\n"
        "    return (b.mean(axis=1) / c).sum(), (np.sin(a), np.ones_like(b) / c[:, None] / 3)\n"
    )
    assert run(["gradcheck", f"{file}:loss", "-q"]) == 1
    told = capsys.readouterr().out
    assert "slopes agree" in told
    assert "not looked at" not in told
