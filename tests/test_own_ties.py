"""Users' functions where no axis tells all that there is to a kink: ties of three, inputs that meet, coarse formats."""

import json
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from losscli.cli import run
from losscli.verifier.own.along import Integral
from losscli.verifier.own.entries import Entries, bits_of
from losscli.verifier.own.functions import Claimant

RIGHT = """
    import numpy as np

    def first(x, place):
        gradient = np.zeros_like(x)
        gradient[np.arange(len(x)), np.argsort(x, axis=1, kind="stable")[:, place]] = 1.0
        return gradient

    def middle(x):
        return np.median(x, axis=1), first(x, 1)

    def middle_mean(x):
        return np.median(x, axis=1).mean(), first(x, 1) / len(x)

    def ordered(x):
        weights = np.array([1.0, 3.0, 2.0])
        return (np.sort(x, axis=1) * weights).sum(axis=1), sum(w * first(x, at) for at, w in enumerate(weights))

    def apart(x):
        gradient = np.zeros_like(x)
        rows = np.arange(len(x))
        gradient[rows, x[:, :2].argmax(axis=1)] += 1.0
        gradient[rows, 1 + x[:, 1:].argmax(axis=1)] -= 1.0
        return x[:, :2].max(axis=1) - x[:, 1:].max(axis=1), gradient

    def shared(x, y):
        low = np.minimum(x, y)
        share = (low >= 0.0) * ((x < y) + 0.5 * (x == y))
        return np.maximum(low, 0.0).sum(), (share, (low >= 0.0) - share)

    def clipped(x):
        return np.clip(x, -1.0, 1.0).sum(axis=1), 1.0 * (np.abs(x) < 1.0)

    def clipped_open(x):
        return np.clip(x, -1.0, 1.0).sum(), 1.0 * ((x >= -1.0) & (x < 1.0))
"""
WRONG = {
    "middle": "np.ones_like(x)",
    "ordered": "2.0 * np.ones_like(x) + np.eye(3)[x.argmin(axis=1)]",
    "apart": "np.where(np.ptp(x, axis=1, keepdims=True) == 0.0, 2.0, 1.0) * apart(x)[1]",
}


@pytest.fixture
def check(capsys, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)

    def checked(text, name, *options):
        # A module of its own for every test.
        file = Path(f"{request.node.name.partition('[')[0]}.py")
        file.write_text(dedent(text))
        code = run(["gradcheck", f"{file}:{name}", *options, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return checked


@pytest.mark.parametrize("name", ["middle", "middle_mean", "ordered", "apart", "shared"])
def test_a_mean_of_the_slopes_all_around_passes_though_no_axis_shows_it(check, name):
    code, about = check(RIGHT, name)
    assert (code, about["verdict"], about["counts"]["inconclusive"]) == (0, "pass", 0)
    assert about["counts"]["kink_ok"] > 0


@pytest.mark.parametrize("shape", ["7,31", "3,5"])
def test_the_middle_one_of_many_equal_numbers_is_found(check, shape):
    text = RIGHT.replace("first(x, 1)", "first(x, x.shape[1] // 2)")
    code, about = check(text, "middle", "--shape", shape)
    assert (code, about["counts"]["inconclusive"], about["counts"]["fail"]) == (0, 0, 0)


@pytest.mark.parametrize("name", list(WRONG))
def test_what_is_no_mean_of_the_slopes_all_around_fails(check, name):
    tied = "(np.ptp(x, axis=1, keepdims=True) == 0.0)"
    text = f"\n    def wrong(x):\n        value, right = {name}(x)\n"
    text += f"        return value, np.where({tied}, {WRONG[name]}, right)\n"
    code, about = check(RIGHT + text, "wrong")
    assert (code, {e["kind"] for e in about["worst"] if e["verdict"] in ("fail", "kink_fail")}) == (1, {"ties"})


@pytest.mark.parametrize("name", ["clipped", "clipped_open"])
def test_many_kinks_of_entries_of_their_own_are_one_subgradient(check, name):
    # Some on the one bound and some on the other, in a row of twenty: no random point has all of them beyond.
    np.save("x.npy", np.random.default_rng(0).choice([-1.0, 1.0], (3, 20)))
    code, about = check(RIGHT, name, "x.npy")
    assert (code, about["verdict"]) == (0, "pass")


MEETING = """
    import numpy as np

    def ranked(place, *inputs):
        # Every input's share of the numbers at a place among them: all of it, for the first of equal ones.
        order = np.argsort(np.stack(inputs), axis=0, kind="stable")[place]
        return tuple(1.0 * (order == at) for at in range(len(inputs)))

    def largest(x, y, share=0.5):
        level = x == y
        return np.maximum(x, y).sum(), ((x > y) + share * level, (y > x) + (1.0 - share) * level)

    def largest_of_one(x, y):
        return largest(x, y, 1.0)

    def least_by_row(x, y):
        return np.minimum(x, y).sum(axis=1), ranked(0, x, y)

    def distance(x, y):
        side = np.where(x >= y, 1.0, -1.0)
        return np.abs(x - y).sum(), (side, -side)

    def hinge(x, y):
        on = 1.0 * (x - y <= 0.5)
        return np.maximum(0.5 - (x - y), 0.0).sum(), (-on, on)

    def middle_of_three(x, y, z):
        return np.median([x, y, z], axis=0).sum(), ranked(1, x, y, z)

    def both(x, y):
        return np.maximum(x, y) + np.minimum(x, y), (np.ones_like(x), np.ones_like(y))

    def apart(x, y):
        one, other = 1.0 * (x >= y), 1.0 * (x >= -y)
        return (np.maximum(x, y) - np.maximum(x, -y)).sum(), (one - other, (1.0 - one) + (1.0 - other))

    def wider(a, b):
        first = a.max() >= b.max()
        place = np.eye(a.size)[a.argmax() if first else b.argmax()].reshape(a.shape)
        return max(a.max(), b.max()), (first * place, (1 - first) * place)
"""
BEYOND = {
    "largest": ("(1.0 * (x >= y), 1.0 * (y >= x))", "x and y"),
    "largest_of_one": ("largest(x, y, 0.75)[1][0], largest(x, y, 0.25)[1][1]", "x and y"),
    "least_by_row": ("(1.0 * (x < y), 1.0 * (y < x))", "x and y"),
    "distance": ("(np.sign(x - y), np.where(y >= x, 1.0, -1.0))", "x and y"),
    "hinge": ("(-1.0 * (x - y <= 0.5), 1.0 * (x - y < 0.5))", "x and y"),
    "wider": (
        "((a.max() >= b.max()) * np.eye(a.size)[a.argmax()].reshape(a.shape),"
        " (b.max() >= a.max()) * np.eye(b.size)[b.argmax()].reshape(b.shape))",
        "a and b",
    ),
}


@pytest.mark.parametrize(
    "name",
    ["largest", "largest_of_one", "least_by_row", "distance", "hinge", "middle_of_three", "both", "apart", "wider"],
)
def test_any_subgradient_of_inputs_that_meet_passes(check, name):
    code, about = check(MEETING, name)
    assert (code, about["verdict"], about["counts"]["inconclusive"]) == (0, "pass", 0)


@pytest.mark.parametrize("name", list(BEYOND))
def test_claims_of_inputs_that_meet_are_no_subgradient_together(check, name):
    claim, by = BEYOND[name]
    inputs = by.replace(" and", ",")
    text = f"\n    def wrong({inputs}):\n        return {name}({inputs})[0], ({claim})\n"
    code, about = check(MEETING + text, "wrong")
    wrong = [entry for entry in about["worst"] if entry["verdict"] in ("fail", "kink_fail")]
    assert (code, {entry["wrt"] for entry in wrong}, {entry["kind"] for entry in wrong}) == (1, {by}, {"ties"})
    assert f"claims of tied entries of {by} are no subgradient together" in about["notes"]


def test_inputs_that_meet_in_data_are_told_by_the_row(check):
    x = np.random.default_rng(0).normal(size=(4, 3))
    y = x + 1.0
    y[2, 1] = x[2, 1]
    np.savez("data.npz", x=x, y=y)
    text = "\n    def wrong(x, y):\n        return largest(x, y)[0], (1.0 * (x >= y), 1.0 * (y >= x))\n"
    code, about = check(MEETING + text, "wrong", "data.npz")
    assert (code, next(entry["index"] for entry in about["worst"] if entry["verdict"] == "fail")) == (1, [2])


def test_a_claim_on_a_kink_that_jumps_to_either_side_is_no_rounding(check):
    text = """
        import numpy as np

        def largest(x, y):
            level = 2.5 * (x == y)
            return np.maximum(x, y).sum(), ((x > y) + level, (y > x) + level)
    """
    code, about = check(text, "largest")
    assert (code, about["counts"]["kink_ok"]) == (1, 0)


COARSE = """
    import numpy as np

    def rounded(value):
        return (np.asarray(value, np.float32).view(np.uint32) + 0x8000 & 0xFFFF0000).astype(np.uint32).view(np.float32)

    def softplus(x):
        total = rounded(np.logaddexp(0.0, rounded(x)).sum())
        return total, rounded(1.0 / (1.0 + np.exp(-rounded(x))))
"""


def test_a_coarse_function_that_does_not_vary_at_one_point_is_not_taken_for_a_double(check):
    code, about = check(COARSE, "softplus")
    assert (code, about["counts"]["fail"]) == (4, 0)
    assert any("bfloat16" in note for note in about["notes"])


def test_round_values_tell_of_no_format():
    flat = Claimant("flat", "NumPy", lambda many: [np.float64(3.0) for _ in many], lambda _: {})
    assert bits_of(flat, {"x": np.array([0.5])}, ["x"], 0) == 0


def test_the_path_integral_knows_of_roundings_that_cancel():
    def values(many):
        return [np.asarray(1e4 + np.sin(inputs["x"]) - 1e4).sum() for inputs in many]

    def slopes(inputs):
        return {"x": np.cos(inputs["x"])}

    for x in np.random.default_rng(0).normal(size=50) * 1e-3:
        claimant = Claimant("cancels", "NumPy", values, slopes)
        entries = Entries(claimant, {"x": np.array([x])}, "x")
        claim = np.cos(entries.x)
        integral = Integral(entries, claim, 0.0, np.zeros(1))
        assert integral.slope((0,)) in (None, claim[0])


SHEER = """
    import numpy as np

    def root(x):
        return np.sqrt(np.abs(x)).sum(), np.where(x == 0.0, 0.0, np.sign(x) / (2.0 * np.sqrt(np.abs(x))))

    def counted(log_rate, y):
        count = np.round(np.abs(y))
        slope = 1.0 / (1.0 + np.exp(-log_rate)) - count
        return (np.logaddexp(0.0, log_rate) - count * log_rate).sum(), (slope, np.zeros_like(y))

    def wrong(x):
        value, right = root(x)
        return value, np.where(x == 0.5, 0.0, right)

    def steps(x):
        return np.floor(1e3 * np.abs(x)).sum() / 1e3, np.zeros_like(x)
"""


def test_where_a_value_jumps_at_a_drawn_point_no_slope_is_missing_and_it_is_said(check):
    for name, by in [("root", "x"), ("counted", "y")]:
        code, about = check(SHEER, name)
        assert (code, about["counts"]["inconclusive"]) == (0, 0)
        assert any(note.startswith(f"ties: {by}: ") and "not looked at" in note for note in about["notes"])
    assert check(SHEER, "wrong")[0] == 1
    assert check(SHEER, "steps")[0] != 0
    # Whoever asks about this very point is told that there is no answer.
    np.save("x.npy", np.zeros(4))
    assert check(SHEER, "root", "x.npy")[0] == 4


def test_on_kinks_the_resolution_goes_by_the_slopes_of_the_sides(check):
    text = """
        import numpy as np

        def absolute(prediction, target):
            gap = prediction - target
            return np.abs(gap).mean(), (np.sign(gap) / gap.size, -np.sign(gap) / gap.size)
    """
    assert check(text, "absolute")[1]["resolution"]["rel"] < 1e-6


def test_a_claim_that_is_wrong_close_by_alone_is_not_acquitted_by_an_integral_over_much_more():
    claimant = Claimant(
        "cube",
        "NumPy",
        lambda many: [(inputs["x"] ** 3).sum() for inputs in many],
        lambda inputs: {"x": np.where(np.abs(inputs["x"]) < 1e-3, 0.0, 3.0 * inputs["x"] ** 2)},
    )
    entries = Entries(claimant, {"x": np.array([8e-4])}, "x")
    integral = Integral(entries, entries.claims(entries.x), 0.0, np.zeros(1))
    assert integral.slope((0,), 3.0 * 8e-4**2) is not None
    assert np.isnan(integral.slope((0,), 3.0 * 8e-4**2))
