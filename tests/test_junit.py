"""Test cases of a check: read back they tell the same as the exit code, and the file is there whole or not at all."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from losscli.cli import run
from losscli.verifier.junit import junit

RIGHT = """
import numpy as np

def right(x):
    return (x ** 2).sum(), 2 * x

def doubled(x):
    return (x ** 2).sum(), 4 * x

RNG = np.random.default_rng(0)

def drawn(x):
    return (x ** 2).sum() + 1e-3 * RNG.normal(), 2 * x

def spoils(x):
    value, grad = (x ** 2).sum(), 2 * x
    x *= 2
    return value, grad
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 1])
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.savez("data.npz", logits=z, labels=labels)
    np.savez("ignored.npz", logits=z, labels=np.full(6, -100))
    np.save("right.npy", (p - np.eye(3)[labels]) / 6)
    np.save("sum.npy", p - np.eye(3)[labels])
    np.save("zero.npy", np.zeros((6, 3)))
    (tmp_path / "own_junit.py").write_text(RIGHT)
    return tmp_path


@pytest.fixture
def checked(capsys, folder):
    """Run a command with --junit; the exit code, the JSON, and the suite of the file, None where there is none."""

    def check(*words):
        code = run([*words, "--json", "--junit", "cases.xml"])
        out, err = capsys.readouterr()
        path = folder / "cases.xml"
        suite = ElementTree.parse(path).getroot().find("testsuite") if path.exists() else None
        path.unlink(missing_ok=True)
        return code, json.loads(out or err), suite

    return check


def named(suite):
    return [case.get("name") for case in suite.findall("testcase")]


def test_every_kind_of_point_is_a_case(checked):
    code, about, suite = checked("gradcheck", "huber", "--points", "random,kinks", "--delta", "2")
    assert code == 0
    assert suite.attrib == {"name": "losscli gradcheck huber"} | {
        "tests": "2",
        "failures": "0",
        "skipped": "0",
        "errors": "0",
    }
    assert named(suite) == [point["kind"] for point in about["points"]]
    assert {case.get("classname") for case in suite.findall("testcase")} == {"losscli.gradcheck.huber"}
    told = {entry.get("name"): entry.get("value") for entry in suite.find("properties")}
    assert told["parameter delta"] == "2.0"
    assert told["reproduce"] == about["reproduce"]
    assert float(told["resolution abs"]) == about["resolution"]["abs"]


def test_a_wrong_claim_is_a_failure_with_the_headline_and_the_worst_entries(checked):
    code, about, suite = checked("verify", "ce", "data.npz", "--grad", "sum.npy")
    assert (code, suite.get("failures"), named(suite)) == (1, "1", ["gradient by logits"])
    failure = suite.find("testcase/failure")
    assert failure.get("type") == "fail"
    assert failure.get("message").startswith("FAIL ce: claimed = 6.0 × true")
    worst = about["worst"][0]
    assert f"logits{worst['index']}: claimed {worst['claimed']!r}, reference {worst['reference']!r}" in failure.text
    assert len([line for line in failure.text.splitlines() if line.startswith("logits[")]) == len(about["worst"])


def test_value_and_gradient_are_cases_of_their_own(checked):
    code, _, suite = checked("verify", "ce", "data.npz", "--grad", "right.npy", "--value", "7")
    assert (code, named(suite)) == (1, ["gradient by logits", "value"])
    assert [case.find("failure") is not None for case in suite.findall("testcase")] == [False, True]


@pytest.mark.parametrize(
    ("words", "code", "failures", "skipped"),
    [
        (["gradcheck", "own_junit.py:right"], 0, "0", "0"),
        # Random numbers, ties, a single row and numbers far out are a case each.
        (["gradcheck", "own_junit.py:doubled"], 1, "4", "0"),
        (["gradcheck", "own_junit.py:drawn"], 4, "0", "3"),
        (["gradcheck", "own_junit.py:drawn", "--strict"], 1, "3", "0"),
        (["verify", "ce", "ignored.npz", "--grad", "zero.npy", "--ignore-index", "-100"], 4, "0", "1"),
        (["verify", "ce", "ignored.npz", "--grad", "zero.npy", "--ignore-index", "-100", "--strict"], 1, "1", "0"),
    ],
)
def test_some_case_fails_exactly_where_the_exit_code_is_one(checked, words, code, failures, skipped):
    found, _, suite = checked(*words)
    assert (found, suite.get("failures"), suite.get("skipped")) == (code, failures, skipped)
    assert suite.get("tests") == str(len(named(suite)))


def test_what_decides_and_is_no_kind_of_point_has_a_case(checked):
    code, about, suite = checked("gradcheck", "own_junit.py:spoils")
    # The slopes agree: what is wrong is what the function does to its input.
    assert (code, about["points"][0]["verdict"]) == (1, "pass")
    assert (named(suite), suite.get("failures")) == (["random", "ties", "single row", "far", "whole"], "1")
    assert "changes its input 'x' in place" in suite.find("testcase/failure").get("message")
    assert "changes its input 'x' in place" in suite.find("system-out").text.splitlines()


def test_whatever_a_message_holds_the_file_can_be_read(folder):
    content = {
        "loss": "a<b>&\x00.py:f",
        "params": {},
        "verdict": "fail",
        "checked": 0,
        "points": [],
        "worst": [],
        "notes": ["raised \x1b[31mred\ud800"],
        "resolution": {"abs": None, "rel": None},
        "seed": 0,
        "reproduce": "losscli gradcheck 'a<b>&'",
    }
    suite = ElementTree.fromstring(junit("gradcheck", 'FAIL: "\x07" ]]>', content)).find("testsuite")
    assert named(suite) == ["whole"]
    assert suite.find("testcase/failure").get("message") == 'FAIL: "\ufffd" ]]>'
    assert suite.get("name") == "losscli gradcheck a<b>&\ufffd.py:f"


def test_a_check_of_nothing_is_a_case_that_is_no_pass(folder):
    content = {"loss": "ce", "params": {}, "verdict": "not_checked", "checked": 0, "points": [], "worst": []}
    content |= {"resolution": {"abs": 0.0, "rel": 0.0}, "seed": 0, "reproduce": ""}
    for strict, word in ((False, "skipped"), (True, "failure")):
        suite = ElementTree.fromstring(junit("gradcheck", "", content, strict=strict)).find("testsuite")
        assert suite.find(f"testcase/{word}").get("message") == "nothing checked"


def test_points_that_stay_open_in_a_run_that_passes_are_no_failures(folder):
    points = [{"kind": kind, "checked": 50, "verdict": word} for kind, word in (("a", "pass"), ("b", "inconclusive"))]
    content = {"loss": "ce", "params": {}, "verdict": "pass", "checked": 100, "points": points, "worst": []}
    content |= {"resolution": {"abs": 0.0, "rel": 0.0}, "seed": 0, "reproduce": ""}
    suite = ElementTree.fromstring(junit("gradcheck", "", content, strict=True)).find("testsuite")
    assert (suite.get("failures"), suite.get("skipped"), named(suite)) == ("0", "1", ["a", "b"])


@pytest.mark.parametrize("words", [["gradcheck", "mse"], ["gradcheck", "own_junit.py:right"]])
def test_a_file_that_cannot_be_written_leaves_no_output(capsys, folder, words):
    assert run([*words, "--junit", "nowhere/cases.xml", "-o", "out.txt"]) == 74
    assert capsys.readouterr().out == ""
    assert not (folder / "out.txt").exists()


def test_an_output_that_cannot_be_written_leaves_no_cases(capsys, folder):
    assert run(["gradcheck", "mse", "--points", "random", "--junit", "cases.xml", "-o", "nowhere/out.txt"]) == 74
    assert not (folder / "cases.xml").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["verify", "ce", "data.npz", "--grad", "right.npy", "--junit", "right.npy"], "output-is-input"),
        (["gradcheck", "ce", "data.npz", "--junit", "data.npz"], "output-is-input"),
        (["gradcheck", "own_junit.py:right", "--junit", "own_junit.py"], "output-is-input"),
        (["gradcheck", "mse", "--junit", "a.xml", "-o", "./a.xml"], "output-twice"),
    ],
)
def test_nothing_is_written_over_what_it_comes_from(capsys, folder, words, code):
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert run([*words, "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["code"] == code
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
