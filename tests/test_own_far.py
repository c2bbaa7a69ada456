"""Users' functions far out, at numbers that they need not survive: what is wrong there, and what is only told."""

import json
import re
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from losscli.cli import run

RIGHT = """
    import numpy as np

    def sigmoid(x):
        return np.exp(-np.logaddexp(0.0, -x))

    def bent(x):
        return np.logaddexp(0.0, x).sum(), sigmoid(x)

    def square(x):
        return 0.5 * (x**2).sum(axis=1), x

    def saturated(x):
        return sigmoid(x).sum(), sigmoid(x) * sigmoid(-x)

    def bell(x):
        return np.exp(-0.5 * x**2).sum(), -x * np.exp(-0.5 * x**2)

    def entropy(logits, labels):
        z = logits - logits.max(axis=1, keepdims=True)
        total, one = np.exp(z).sum(axis=1, keepdims=True), np.eye(z.shape[1])[labels]
        return (np.log(total) - (one * z).sum(axis=1, keepdims=True)).mean(), (np.exp(z) / total - one) / len(z)

    def naive(x):
        return np.log1p(np.exp(x)).sum(), 1.0 / (1.0 + np.exp(-x))

    def naive_rows(x):
        return np.log1p(np.exp(x)).sum(axis=1), 1.0 / (1.0 + np.exp(-x))

    def coarse(logits, y):
        p = 1.0 / (1.0 + np.exp(-logits))
        return -(y * np.log(p) + (1.0 - y) * np.log(1.0 - p)).sum(axis=1), {"logits": p - y}

    def grown(x):
        return np.exp(x).sum(), np.exp(x)

    def guarded(x):
        if np.abs(x).max() > 500.0:
            raise OverflowError("too far")
        return (x**2).sum(), 2.0 * x

    def single(x):
        return np.logaddexp(np.float32(0.0), x.astype(np.float32)).sum(), sigmoid(x).astype(np.float32)

    def mixed(logits, y):
        p = 1.0 / (1.0 + np.exp(-logits.astype(np.float32)))
        return -(y * np.log(p) + (1.0 - y) * np.log(1.0 - p)).mean(), {"logits": (p - y) / y.size}
"""
WRONG = {
    "bent": "np.where(x > 40.0, 0.0, right)",
    "square": "np.clip(right, -30.0, 30.0)",
    "saturated": "np.exp(-x) / (1.0 + np.exp(-x)) ** 2",
    "bell": "np.where(np.abs(x) > 30.0, 1.0, right)",
    "naive": "np.where(np.abs(x) > 30.0, 0.0, right)",
}
TOLD = {
    "naive": "far: its value is not finite",
    "naive_rows": r"far: in \d of 5 rows its value is not finite",
    "coarse": r"far: logits: \d+ entries not looked at: the value is rounded too coarsely there, or is none",
    "guarded": r"far: raised \w+.py:\d+: OverflowError: too far",
}


@pytest.fixture
def check(capsys, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def checked(text, name):
        file = Path(f"{request.node.name.partition('[')[0]}.py")
        file.write_text(dedent(text))
        code = run(["gradcheck", f"{file}:{name}", "--json"])
        return code, json.loads(capsys.readouterr().out)

    return checked


def far(about):
    return [entry for entry in about["worst"] if entry["kind"] == "far" and entry["verdict"] == "fail"]


@pytest.mark.parametrize("name", ["bent", "square", "saturated", "bell", "entropy", "grown", "single"])
def test_right_functions_pass_however_flat_or_steep_they_are_far_out(check, name):
    code, about = check(RIGHT, name)
    assert (code, about["verdict"], about["counts"]["inconclusive"]) == (0, "pass", 0)
    assert about["resolution"]["rel"] < 1e-3


def test_one_input_in_single_precision_beside_another_in_double_passes(check):
    code, about = check(RIGHT, "mixed")
    assert (code, about["verdict"], about["counts"]["inconclusive"]) == (0, "pass", 0)
    assert "computes in single precision: the resolution is that of its rounding" in about["notes"]


@pytest.mark.parametrize("name", list(WRONG))
def test_a_gradient_that_is_wrong_far_out_alone_fails(check, name):
    text = f"\n    def wrong(x):\n        value, right = {name}(x)\n        return value, {WRONG[name]}\n"
    code, about = check(RIGHT + text, "wrong")
    assert (code, about["verdict"]) == (1, "fail")
    assert far(about)
    assert all(point["verdict"] == ("fail" if point["kind"] == "far" else "pass") for point in about["points"])


@pytest.mark.parametrize("name", list(TOLD))
def test_what_a_function_does_not_survive_is_told(check, name):
    code, about = check(RIGHT, name)
    assert (code, about["verdict"], about["counts"]["nonfinite"]) == (0, "pass", 0)
    assert any(re.fullmatch(TOLD[name], note) for note in about["notes"])


def test_notes_name_the_points_at_which_a_gradient_is_none(check):
    text = """
        import numpy as np

        def root(x):
            return np.sqrt(np.maximum(x, 0.0)).sum(), 0.5 / np.sqrt(x)
    """
    code, about = check(text, "root")
    assert code == 1
    kinds = {note.partition(":")[0] for note in about["notes"] if "the gradient by x is not finite in" in note}
    assert kinds == {"random", "ties", "single row", "far"}
