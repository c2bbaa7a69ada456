"""The command line as CONTRACT.md has it: exit codes, messages, JSON, and the same number from every format."""

import dataclasses
import importlib
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from accuracy import curved

from losscli.cli import run
from losscli.cli.hints import WAYS_OUT
from losscli.loss import Loss

ROOT = Path(__file__).parents[1]
VERBS = ("compute", "gradcheck", "verify", "dialects", "apply", "list", "show", "sample")

LOGITS = np.array(
    [[2.5, -0.1, 0.3], [0.1, 0.7, 1e-3], [-7.25, 3.0, 2.0], [1 / 3, 2 / 3, -1.0], [0.0, 0.0, 9.5], [1.0, -2.0, 0.125]]
)
LABELS = np.array([0, 1, 2, 1, 0, 2])
NAMES = ("cat", "dog", "eel")
WEIGHTS = np.array([1.0, 2.0, 0.0, 0.5, 1.0, 3.0])


def log_softmax(z, axis=-1):
    z = z - z.max(axis=axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))


def table(path, rows, header=""):
    lines = [",".join(map(str, np.atleast_1d(row).tolist())) for row in rows]
    Path(path).write_text("\n".join([*filter(None, [header]), *lines]) + "\n")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with the same data in every format and every form of labels."""
    monkeypatch.chdir(tmp_path)
    table("z.csv", LOGITS, ",".join(NAMES))
    table("plain.csv", LOGITS)
    table("y.csv", LABELS, "label")
    table("floats.csv", LABELS.astype(float), "label")
    table("names.csv", [NAMES[label] for label in LABELS], "label")
    table("onehot.csv", np.eye(3)[LABELS])
    table("w.csv", WEIGHTS)
    table("m.csv", [1, 1, 0, 1, 1, 0])
    np.save("z.npy", LOGITS)
    np.save("z32.npy", LOGITS.astype("f4"))
    np.save("z16.npy", LOGITS.astype("f2"))
    np.save("y.npy", LABELS)
    np.save("onehot.npy", np.eye(3)[LABELS])
    np.save("p.npy", np.exp(log_softmax(LOGITS)))
    np.savez("b.npz", logits=LOGITS, labels=LABELS)
    named = {"logits": LOGITS.tolist(), "labels": LABELS.tolist()}
    Path("b.yaml").write_text(yaml.safe_dump(named))
    Path("b.json").write_text(json.dumps(named))
    together = [[*row, label] for row, label in zip(LOGITS.tolist(), LABELS.tolist(), strict=True)]
    table("b.csv", together, "logits_0,logits_1,logits_2,labels")
    return tmp_path


@pytest.fixture
def losscli(capfd):
    """Run in this process; the exit code, standard output and standard error."""

    def call(line, *more):
        capfd.readouterr()
        code = int(run([*line.split(), *more]))
        return (code, *capfd.readouterr())

    return call


def strict_json(text):
    def refuse(word):
        raise ValueError(f"{word} is no JSON")

    assert text.count("\n") == 1
    return json.loads(text, parse_constant=refuse)


def value_of(losscli, line):
    code, out, err = losscli(f"compute {line} -q")
    assert (code, err) == (0, "")
    return float(out)


# Values ------------------------------------------------------------------------------------------------------------

SOURCES = (
    "z.csv y.csv", "z.npy y.npy", "plain.csv floats.csv", "z.csv names.csv", "z.npy names.csv --classes cat,dog,eel",
    "z.csv onehot.csv", "z.npy onehot.npy", "b.npz", "b.yaml", "b.json", "b.csv", "b.npz::logits b.yaml::labels",
    "b.csv::logits_* b.csv::labels", "b.csv::0:3 b.csv::3", "z.csv y.csv --engine serial", "z.csv y.csv --threads 1",
)  # fmt: skip


@pytest.mark.parametrize("sources", SOURCES)
def test_every_source_gives_the_same_bits(losscli, sources):
    expected = float(-log_softmax(LOGITS)[np.arange(6), LABELS].mean())
    value = value_of(losscli, f"ce {sources}")
    assert value == value_of(losscli, "ce z.npy y.npy")
    assert value == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("stem", ["b.npz", "b.yaml", "b.json", "b.csv", "z.npy", "z.csv"])
def test_standard_input_gives_the_same_bits(losscli, monkeypatch, stem):
    with Path(stem).open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", open(stream.fileno(), closefd=False))  # noqa: SIM115
        assert value_of(losscli, "ce -" + (" y.csv" if stem[0] == "z" else "")) == value_of(losscli, "ce z.npy y.npy")


OPTIONS = (
    ("", lambda s: s[np.arange(6), LABELS].mean()),
    ("--reduction sum", lambda s: s[np.arange(6), LABELS].sum()),
    ("--ignore-index 1", lambda s: s[np.arange(6), LABELS][LABELS != 1].mean()),
    ("--label-smoothing 0.1", lambda s: (0.9 * s[np.arange(6), LABELS] + 0.1 * s.mean(axis=1)).mean()),
    ("--sample-weight w.csv", lambda s: np.average(s[np.arange(6), LABELS], weights=WEIGHTS)),
    ("--mask m.csv", lambda s: s[np.arange(6), LABELS][[0, 1, 3, 4]].mean()),
    ("--class-weight 1,2,3", lambda s: np.average(s[np.arange(6), LABELS], weights=LABELS + 1.0)),
)


@pytest.mark.parametrize(("options", "expected"), OPTIONS)
def test_options_against_numpy(losscli, options, expected):
    assert value_of(losscli, f"ce z.csv y.csv {options}") == pytest.approx(expected(-log_softmax(LOGITS)), rel=1e-13)
    assert value_of(losscli, f"ce p.npy y.csv --from probs {options}") == pytest.approx(
        expected(-log_softmax(LOGITS)), rel=1e-12
    )


@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_narrow_floats_are_exact_inputs(losscli, dtype):
    wide = LOGITS.astype(dtype).astype(float)
    expected = -log_softmax(wide)[np.arange(6), LABELS].mean()
    assert value_of(losscli, f"ce z{8 * int(dtype[1])}.npy y.npy") == pytest.approx(expected, rel=1e-14)


def test_images_of_scores(losscli):
    rng = np.random.default_rng(3)
    scores, labels = rng.normal(size=(2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    np.save("im.npy", scores)
    np.save("last.npy", np.moveaxis(scores, 1, -1))
    np.save("iml.npy", labels)
    losses = -np.take_along_axis(log_softmax(scores, axis=1), labels[:, None], axis=1)[:, 0]
    code, out, _ = losscli("compute ce im.npy iml.npy --json --grad --per-sample --top 2")
    content = strict_json(out)
    assert (code, content["rows"]) == (0, 40)
    assert content["value"] == pytest.approx(losses.mean(), rel=1e-13)
    np.testing.assert_allclose(content["per_sample"], losses, rtol=1e-13)
    gradient = (np.exp(log_softmax(scores, axis=1)) - np.moveaxis(np.eye(3)[labels], -1, 1)) / 40
    np.testing.assert_allclose(content["gradient"]["values"], gradient, atol=1e-16)
    assert content["top"][0]["row"] == losses.argmax()
    assert content["top"][0]["index"] == [int(i) for i in np.unravel_index(losses.argmax(), losses.shape)]
    assert content["top"][0]["label"] == labels.flat[losses.argmax()]
    for axis in ("-1", "3"):
        assert value_of(losscli, f"ce last.npy iml.npy --class-axis {axis}") == content["value"]


def test_per_row_values_and_slopes(losscli):
    losses = -log_softmax(LOGITS)[np.arange(6), LABELS]
    content = strict_json(losscli("compute ce z.csv y.csv --json --reduction none --grad --hess --top 2 --by-class")[1])
    np.testing.assert_allclose(content["value"], losses, rtol=1e-13)
    p = np.exp(log_softmax(LOGITS))
    np.testing.assert_allclose(content["gradient"]["values"], p - np.eye(3)[LABELS], atol=1e-15)
    np.testing.assert_allclose(content["hessian"]["values"], p * (1 - p), atol=1e-15)
    assert [entry["label"] for entry in content["top"]] == ["cat", "eel"]
    assert [(entry["name"], entry["rows"]) for entry in content["by_class"]] == [("cat", 2), ("dog", 2), ("eel", 2)]


def test_wrt_turns_the_slope_of_a_residual(losscli):
    slopes = [
        strict_json(losscli(f"compute mse w.csv m.csv --json --grad --wrt {name}")[1])["gradient"]["values"]
        for name in ("prediction", "target")
    ]
    assert slopes[0] == [-x for x in slopes[1]]
    assert any(slopes[0])


READ = {
    "g.npy": np.load,
    "g.csv": lambda path: np.loadtxt(path, delimiter=",", skiprows=1),
    "g.csv.gz": lambda path: np.loadtxt(path, delimiter=",", skiprows=1),
    "g.tsv": lambda path: np.loadtxt(path, skiprows=1),
    "g.json": lambda path: np.array(json.loads(Path(path).read_text())),
}


@pytest.mark.parametrize("name", READ)
def test_slopes_into_files_of_every_format(losscli, name):
    inside = strict_json(losscli("compute ce z.csv y.csv --json --grad")[1])["gradient"]
    for words in (f"--grad {name}", f"--grad={name}"):
        code, out, _ = losscli(f"compute ce z.csv y.csv --json {words}")
        assert code == 0
        about = strict_json(out)["gradient"]
        assert about == {**{key: inside[key] for key in ("wrt", "shape", "norm")}, "file": name}
        np.testing.assert_array_equal(READ[name](name), np.array(inside["values"]))
        Path(name).unlink()


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("compute ce --grad z.csv y.csv", None),
        ("compute ce --grad b.npz", None),
        ("compute ce --top 3 --grad b.npz", None),
        ("compute ce -o out.json --json --grad b.npz", None),
        ("compute ce b.npz --grad --top 3", None),
        ("compute ce b.npz --grad g.npy --top 3", "g.npy"),
        ("compute ce --top 3 b.npz --per-sample --grad g.npy", "g.npy"),
        ("compute ce --grad=g.npy b.npz", "g.npy"),
        ("compute ce --grad -- b.npz", None),
    ],
)
def test_the_value_of_grad_may_be_left_out(losscli, line, file):
    assert losscli(line)[0] == 0
    assert Path("g.npy").exists() == (file is not None)
    assert np.load("z.npy").shape == (6, 3)


def test_a_flag_and_its_opposite(losscli):
    np.savez("counts.npz", prediction=[0.5, 1.0], target=[4.0, 2.0])
    plain, without, full = (value_of(losscli, f"poisson counts.npz {flag}") for flag in ("", "--no-full", "--full"))
    assert plain == without
    assert full - plain == pytest.approx((math.log(24) + math.log(2)) / 2)


# JSON --------------------------------------------------------------------------------------------------------------

COMPUTE = "schema losscli loss params inputs reduction value rows kept weight precision nonfinite".split()  # noqa: SIM905
GRADCHECK = (
    "schema losscli loss params verdict checked counts resolution points methods worst selftest seed reproduce".split()  # noqa: SIM905
)
COUNTS = {"pass", "fail", "kink_ok", "kink_fail", "inconclusive", "nonfinite"}


def test_the_keys_of_compute(losscli):
    content = strict_json(losscli("compute cross-entropy z.csv y.csv --format json")[1])
    assert list(content) == [*COMPUTE, "accuracy"]
    assert (content["schema"], content["loss"], content["precision"]) == ("losscli.compute/1", "ce", "double")
    assert [set(entry) for entry in content["inputs"]] == [{"name", "source", "shape", "dtype"}] * 2
    assert (content["rows"], content["kept"], content["weight"], content["nonfinite"]) == (6, 6, 6, 0)
    line = "compute ce z.csv y.csv --json --grad --hess h.npy --per-sample --top 1 --by-class --gradcheck"
    asked = strict_json(losscli(line)[1])
    assert set(asked) - set(content) == {"gradient", "hessian", "per_sample", "top", "by_class", "gradcheck"}
    assert set(asked["gradient"]) == {"wrt", "shape", "norm", "values"}
    assert set(asked["hessian"]) == {"wrt", "shape", "norm", "file"}
    assert set(asked["top"][0]) == {"row", "value", "label"}
    assert asked["gradcheck"]["verdict"] == "pass"
    assert asked["gradcheck"]["reproduce"] == "losscli " + line


def test_the_keys_of_gradcheck(losscli):
    code, out, err = losscli("gradcheck focal --gamma 0.5 --points random --json")
    content = strict_json(out)
    assert (code, err, content["schema"], content["verdict"]) == (0, "", "losscli.gradcheck/1", "pass")
    assert set(GRADCHECK) <= set(content)
    assert list(content)[:2] == GRADCHECK[:2]
    assert set(content["counts"]) == COUNTS
    assert set(content["resolution"]) == {"abs", "rel"}
    assert set(content["points"][0]) == {"kind", "checked", "verdict"}
    assert set(content["methods"][0]) == {"name", "agree", "evaluations"}
    assert {"index", "claimed", "reference", "bar", "ratio", "verdict", "reason"} <= set(content["worst"][0])
    assert content["selftest"]["planted"] == content["selftest"]["caught"] > 0
    assert content["params"] == {"gamma": 0.5, "alpha": None}
    assert content["reproduce"] == "losscli gradcheck focal --gamma 0.5 --points random"


def test_numbers_that_json_has_not_are_strings(losscli):
    Path("z.csv").write_text("0,-inf\n0,1\n")
    Path("y.csv").write_text("1\n0\n")
    content = strict_json(losscli("compute ce z.csv y.csv --json --per-sample")[1])
    assert (content["value"], content["nonfinite"], content["per_sample"][0]) == ("Infinity", 1, "Infinity")


@pytest.mark.parametrize(("empty", "value"), [("nan", "NaN"), ("zero", 0.0)])
def test_data_of_which_nothing_counts(losscli, empty, value):
    table("none.csv", [0] * 6)
    code, out, _ = losscli(f"compute ce z.csv y.csv --mask none.csv --empty {empty} --json --grad --per-sample")
    content = strict_json(out)
    assert (code, content["value"], content["kept"]) == (0, value, 0)
    assert not np.any(content["gradient"]["values"])
    assert not np.any(content["per_sample"])


def test_list_and_show_name_the_same_losses(losscli):
    names = losscli("list -q")[1].split()
    losses = strict_json(losscli("list --json")[1])["losses"]
    assert [entry["name"] for entry in losses] == names == sorted(names)
    assert strict_json(losscli("show huber --json")[1])["params"][0]["bounds"] == "> 0"
    assert losscli("show l1")[1].startswith("mae / l1 / absolute\n")


def test_every_loss_samples_computes_and_shows(losscli, entry: Loss):
    for link in entry.reads.links:
        given = ["--from", link] if len(entry.reads.links) > 1 else []
        # A row of a pooled loss has no loss of its own: asking for it is refused.
        rows = "" if entry.reads.name == "overlap" else "--per-sample --top 1"
        values = []
        # Inputs of several lengths stand in no table, and some losses have no diagonal Hessian.
        hess = "--hess" if entry.reads.differentiable[0] in curved(entry, link) else ""
        for suffix in ("csv", "npz", "json", "yaml") if entry.reads.tabular else ("npz", "json", "yaml"):
            assert losscli(f"sample {entry.name} -o s.{suffix}", *given)[0] == 0
            code, out, err = losscli(f"compute {entry.name} s.{suffix} --json --grad {hess} {rows}", *given)
            assert (code, err) == (0, "")
            values.append(strict_json(out)["value"])
        assert len(set(values)) == 1
        if not rows:
            code, out, err = losscli(f"compute {entry.name} s.npz --per-sample", *given)
            assert (code, out) == (2, "")
            assert "no loss of its own" in err
    code, out, _ = losscli(f"compute {entry.name} --help")
    assert code == 0
    # Examples are not broken: they are there to be copied.
    assert max(len(line) for line in out.splitlines() if not line.startswith("    losscli")) <= 80
    assert losscli(f"show {entry.name}")[0] == 0
    if "mask" in entry.reads.options:
        table("none.csv", [0] * 5)
        code, out, err = losscli(f"compute {entry.name} s.npz --mask none.csv", *given)
        assert (code, out) == (3, "")
        assert "no row counts" in err


# Errors ------------------------------------------------------------------------------------------------------------

FAULTS = {
    "label-high.csv": "label\n0\n1\n3\n0\n0\n1\n",
    "label-minus.csv": "label\n0\n1\n-1\n0\n0\n1\n",
    "label-half.csv": "0.5\n1\n",
    "label-word.csv": "label\ncat\ndgo\n",
    "short.csv": "label\n0\n1\n",
    "oops.csv": "a,b,c\n1,2,3\n1,oops,3\n1,2,3\n",
    "empty.csv": "",
    "header.csv": "a,b,c\n",
    "nan.csv": "a,b\n1,2\n\n1,nan\n",
    "ragged.csv": "a,b\n1,2\n1\n",
    "two.csv": "cat,dog\n1,2\n3,4\n",
    "sum.csv": ".5,.5\n.5,.4\n",
    "above.csv": "0\n1.5\n",
    "minus.csv": "1\n-1\n",
    "zero.csv": "0\n0\n",
    "soft.csv": ".5,.5\n.9,.9\n",
    "x.pkl": "\x80\x04]",
    "word.yaml": "logits:\n- [1, 2]\n- [3, x]\nlabels: [0, 1]\n",
    "key.yaml": "logits: [[1, 2]]\nlabel: [0]\n",
}

# The command, its exit code, its code word, how the message begins, and a piece of the hint.
REFUSED = (
    ("compute ce z.csv label-high.csv", 3, "label-range", "label-high.csv:4:1: label 3 is not", "--ignore-index 3"),
    ("compute ce z.csv label-minus.csv", 3, "label-range", "label-minus.csv:4:1: label -1", "--ignore-index -1"),
    ("compute ce two.csv label-half.csv", 3, "label-fraction", "label-half.csv:1:1: label 0.5", "names"),
    ("compute ce two.csv label-word.csv", 3, "label-name", "label-word.csv:3:1: no class is named 'dgo'", "dog"),
    ("compute ce plain.csv names.csv", 3, "label-name", "names.csv:2:1: labels are names", "--classes"),
    ("compute ce z.csv short.csv", 3, "length", "short.csv: 2 rows of labels, but 6 of logits in z.csv", "same rows"),
    ("compute ce oops.csv y.csv", 3, "csv-number", "oops.csv:3:2: not a number: 'oops'", "::"),
    ("compute ce empty.csv y.csv", 3, "file-empty", "empty.csv: the file is empty", "row"),
    ("compute ce header.csv y.csv", 3, "file-empty", "header.csv: ", "row"),
    ("compute ce nan.csv short.csv", 3, "domain", "nan.csv:4:2: logits must be a finite number", "losscli show"),
    ("compute mse ragged.csv ragged.csv", 3, "csv-ragged", "ragged.csv:3: 1 field", "same number"),
    ("compute ce sum.csv short.csv --from probs", 3, "domain", "sum.csv:2: logits must be probabilities", "--from"),
    ("compute bce minus.csv above.csv", 3, "domain", "above.csv:2:1: target must be in [0, 1]", "losscli show"),
    ("compute hinge minus.csv zero.csv", 3, "domain", "zero.csv:1:1: label must be -1 or 1, not 0", "--labels 01"),
    ("compute hinge minus.csv minus.csv --labels 01", 3, "domain", "minus.csv:2:1: label must be 0 or 1, not -1", ""),
    ("compute ce two.csv soft.csv", 3, "label-simplex", "soft.csv:2: soft labels must be", "divide"),
    ("compute zero-one two.csv soft.csv", 3, "label-soft", "soft.csv:1: ", "index"),
    ("compute ce bad.npy y.npy", 3, "domain", "bad.npy[1, 2]: logits must be a finite number", "losscli show"),
    ("compute ce bad.npz", 3, "domain", "bad.npz::logits[1, 2]: logits must be a finite number", "losscli show"),
    ("compute ce two.csv short.csv --mask zero.csv", 3, "nothing-kept", "two.csv: no row counts", "--empty"),
    ("compute ce two.csv short.csv --ignore-index 0 --class-weight 1,0", 3, "nothing-kept", "two.csv: ", "--empty"),
    ("compute ce two.csv short.csv --sample-weight zero.csv", 3, "nothing-kept", "two.csv: no row counts", "--empty"),
    ("compute ce two.csv short.csv --sample-weight minus.csv", 3, "weight", "minus.csv:2:1: a weight", "at least 0"),
    ("compute ce two.csv short.csv --sample-weight w.csv", 3, "length", "w.csv: --sample-weight of shape (6,)", "rows"),
    ("compute ce x.pkl y.csv", 3, "file-pickle", "x.pkl: a pickle", "np.save"),
    ("compute ce word.yaml", 3, "text-where-number", "word.yaml:3: not a number: 'x'", "numbers"),
    ("compute ce key.yaml", 3, "container-key", "key.yaml: no 'labels'", "did you mean 'label'"),
    ("compute ce missing.csv y.csv", 3, "file-missing", "missing.csv: no such file", ""),
    ("compute ce z.cvs y.csv", 3, "file-missing", "z.cvs: no such file", "'z.csv'"),
    ("compute ce . y.csv", 3, "file-directory", ".: '.' is a folder", "file"),
    ("compute ce b.npz::logitz y.csv", 3, "selector", "b.npz: no array 'logitz'", "'logits'"),
    ("compute ce - -", 2, "stdin-twice", "'-' stands twice", "file"),
    ("compute ce - y.csv --sample-weight -", 2, "stdin-twice", "'-' stands twice", "file"),
    ("compute ce z.csv y.csv z.csv", 2, "source-count", "3 sources", "one container"),
    ("compute ce", 2, "usage", "missing argument", "losscli compute ce --help"),
    ("compte ce z.csv", 2, "verb-unknown", "no command named 'compte'", "'compute'"),
    ("frobnicate", 2, "verb-unknown", "no command named", "compute, gradcheck"),
    ("compute crossentropy z.csv y.csv", 2, "loss-unknown", "no loss named 'crossentropy'", "cross-entropy"),
    ("compute focl --help", 2, "loss-unknown", "no loss named 'focl'", "did you mean 'focal'?"),
    ("show focl", 2, "loss-unknown", "no loss named 'focl'", "focal"),
    ("sample focl", 2, "loss-unknown", "no loss named 'focl'", "focal"),
    ("show \udcff\ud800", 2, "loss-unknown", "no loss named '\\udcff\\ud800'", "losscli list"),
    ("compute ce z.csv y.csv --labels-smoothing 1", 2, "usage", "no such option: --labels-smoothing", "--help"),
    ("compute mse w.csv w.csv --ignore-index 1", 2, "usage", "no such option: --ignore-index", "--help"),
    ("compute ce z.csv y.csv --labels-smoothing 1", 2, "usage", "no such option", "did you mean '--label-smoothing'?"),
    ("compute ce z.csv y.csv --debug --xyzzy", 2, "usage", "no such option: --xyzzy", "--help"),
    ("compute ce z.csv y.csv --xyzzy 1", 2, "usage", "no such option: --xyzzy", "'losscli compute ce --help'"),
    ("compute hinge z.csv y.csv --wrt label", 2, "choice", "--wrt must be score, not 'label'", "words"),
    ("compute bce z.csv y.csv --like torch --wrt target", 2, "choice", "--wrt must be logits", "without --like torch"),
    ("verify bce z.csv y.csv --like torch --wrt target", 2, "choice", "--wrt must be logits", "slopes by target, too"),
    ("compute huber w.csv w.csv --delta 0", 2, "parameter-range", "--delta must be a number > 0, not 0", "bounds"),
    ("compute huber w.csv w.csv --delta nan", 2, "parameter-range", "--delta must be a number > 0, not nan", "bounds"),
    ("compute huber w.csv w.csv --delta 1e999", 2, "parameter-range", "--delta must be a number > 0", "bounds"),
    ("compute huber w.csv w.csv --delta 1_000", 2, "parameter-number", "--delta must be a number, not", "plain"),
    ("compute huber w.csv w.csv --delta \uff12", 2, "parameter-number", "--delta must be a number", "plain"),
    ("compute ce z.csv y.csv --label-smoothing 2", 2, "parameter-range", "--label-smoothing must be in [0, 1]", ""),
    ("compute ce z.csv y.csv --threads 0", 2, "parameter-range", "--threads must be at least 1, not 0", "bounds"),
    ("compute ce z.csv y.csv --top -1", 2, "parameter-range", "--top must be at least 0, not -1", "bounds"),
    ("compute ce z.csv y.csv --top 1.5", 2, "parameter-number", "--top must be a whole number, not '1.5'", ""),
    ("compute ce z.csv y.csv --reduction men", 2, "choice", "--reduction must be one of mean, sum, none", "mean"),
    ("compute ce z.csv y.csv --from prob", 2, "choice", "--from must be one of logits", "'probs'"),
    ("compute mse w.csv w.csv --wrt foo", 2, "choice", "--wrt must be one of prediction, target", "words"),
    ("compute ce z.csv y.csv --class-weight 1,2", 2, "class-weight", "--class-weight needs 3 numbers", "a,b,c"),
    ("compute ce z.csv y.csv --class-weight 1,2,x", 2, "class-weight", "--class-weight must be numbers", "a,b,c"),
    ("compute ce z.csv y.csv --classes a,b", 2, "classes", "--classes names 2 classes, the data have 3", "a,b,c"),
    ("compute ce z.csv y.csv --class-axis 5", 2, "class-axis", "--class-axis 5 is not an axis", "-1"),
    ("compute ce z.csv:: y.csv", 2, "selector", "nothing follows '::'", "PATH::SELECTOR"),
    ("gradcheck ce --seed -1", 2, "parameter-range", "--seed must be at least 0, not -1", "bounds"),
    ("gradcheck ce --points kink", 2, "choice", "--points must be one of random", "'kinks'"),
    ("sample ce --rows 0", 2, "parameter-range", "--rows must be at least 1, not 0", "bounds"),
    ("compute ce z.csv y.csv -o z.csv", 2, "output-is-input", "z.csv is both data and output", "another"),
    ("compute ce z.csv y.csv --grad ./z.csv", 2, "output-is-input", "./z.csv is both data and output", "another"),
    ("compute ce z.csv y.csv --sample-weight w.csv --hess w.csv", 2, "output-is-input", "w.csv is both", "another"),
    ("compute ce b.npz::logits y.csv --grad link.npz", 2, "output-is-input", "link.npz is both", "another"),
    ("compute ce z.csv y.csv --grad g.npy --hess g.npy", 2, "output-twice", "g.npy is named for two outputs", "own"),
    ("compute ce z.csv y.csv -o no/where.txt", 74, "output-folder", "no/where.txt: no such folder", "folder"),
    ("compute ce z.csv y.csv --grad g.xyz", 74, "format-unknown", "g.xyz: no writer for '.xyz'", ".npy"),
    ("compute ce z.csv y.csv -o .", 74, "output-directory", ".: '.' is a folder", "file"),
    ("sample ce -o x.foo", 74, "format-unknown", "x.foo: ", ".npz"),
)  # fmt: skip


@pytest.mark.parametrize(("line", "code", "word", "start", "hint"), REFUSED, ids=[case[0] for case in REFUSED])
def test_refusals(losscli, folder, line, code, word, start, hint):
    for name, text in FAULTS.items():
        Path(name).write_text(text, encoding="latin-1")
    bad = np.ones((6, 3))
    bad[1, 2] = np.nan
    np.save("bad.npy", bad)
    np.savez("bad.npz", logits=bad, labels=LABELS)
    Path("link.npz").symlink_to("b.npz")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    got, out, err = losscli(line)
    assert (got, out) == (code, "")
    first, second, rest = err.split("\n")
    assert first.startswith(f"losscli: error: {start}")
    assert second.startswith("hint: ")
    assert hint in second
    assert rest == ""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    if line.startswith("sample"):
        return
    got, out, err = losscli(line, "--json")
    assert (got, out) == (code, "")
    content = strict_json(err)
    assert list(content) == ["schema", "losscli", "code", "message", "file", "line", "field", "index", "hint"]
    assert (content["schema"], content["code"]) == ("losscli.error/1", word)
    place = re.match(r"([\w.-]+):(\d+)(?::(\d+))?: ", start)
    if place:
        assert (content["file"], content["line"]) == (place[1], int(place[2]))
        assert content["field"] == (int(place[3]) if place[3] else None)


def test_only_a_request_for_json_gives_json(losscli):
    Path("json").write_text("nothing here\n")
    assert losscli("compute ce json y.csv")[2].startswith("losscli: error: ")
    assert losscli("compute ce nothing y.csv --format=json")[2].startswith("{")
    assert losscli("compute ce nothing y.csv --format json")[2].startswith("{")


def test_a_bug_is_one_message(losscli, monkeypatch):
    monkeypatch.setattr(importlib.import_module("losscli.cli.compute"), "evaluate", None)
    code, out, err = losscli("compute ce z.csv y.csv")
    assert (code, out, err.count("\n")) == (70, "", 2)
    assert "--debug" in err
    with pytest.raises(TypeError):
        run(["compute", "ce", "z.csv", "y.csv", "--debug"])


def test_odd_file_names_are_shown_as_they_are(losscli):
    name = "a [red] :smile: b.csv"
    shutil.copy("z.csv", name)
    code, out, _ = losscli("compute ce", name, "y.csv")
    assert code == 0
    assert f"logits      {name}  6 x 3\n" in out
    Path(name).write_text("1,2,3\n1,x,2\n")
    assert losscli("compute ce", name, "y.csv")[2].startswith(f"losscli: error: {name}:2:2: ")


def test_gradcheck_exit_codes(losscli):
    assert losscli("gradcheck mse --points random -q")[1].startswith("PASS mse")
    assert losscli("gradcheck ce z.csv y.csv")[0] == 0


def test_a_verdict_is_an_exit_code(losscli, monkeypatch):
    module = importlib.import_module("losscli.cli.gradcheck")
    verify = module.gradcheck
    for verdict, code, strict in (("fail", 1, 1), ("inconclusive", 4, 1), ("not_checked", 4, 1), ("pass", 0, 0)):
        monkeypatch.setattr(
            module, "gradcheck", lambda *a, v=verdict, **k: dataclasses.replace(verify(*a, **k), verdict=v)
        )
        assert losscli("gradcheck mse --points random --json")[0] == code
        assert losscli("gradcheck mse --points random --strict")[0] == strict


# What people read --------------------------------------------------------------------------------------------------


def test_tables(losscli):
    out = losscli("compute ce z.csv y.csv --by-class --top 1 --per-sample --grad --color never")[1]
    lines = out.splitlines()
    assert lines[0] == "ce"
    assert ["class", "rows", "mean", "loss", "accuracy"] in [line.split() for line in lines]
    assert ["row", *NAMES] in [line.split() for line in lines]
    assert not any(line.endswith(" ") for line in lines)
    assert "\x1b" not in out
    assert "…" not in out


def test_class_names_head_only_columns_of_classes(losscli):
    np.save("square.npy", np.zeros((2, 3, 3)))
    np.save("labels.npy", np.zeros((2, 3), dtype=int))
    out = losscli("compute ce square.npy labels.npy --classes a,b,c --per-sample --grad")[1]
    heads = [line.split() for line in out.splitlines() if line.startswith("row ")]
    assert heads == [["row", "0", "1", "2"]] * 2


def test_colour_only_on_request(losscli, monkeypatch):
    for name in ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS"):
        monkeypatch.setenv(name, "1")
    assert "\x1b" not in losscli("compute ce z.csv y.csv")[1]
    assert "\x1b" not in losscli("compute ce --help")[1]
    assert "\x1b" in losscli("compute ce z.csv y.csv --color always")[1]


def test_numbers_are_whole_in_a_narrow_pipe(losscli, monkeypatch):
    wide = losscli("compute ce z.csv y.csv --grad")[1]
    monkeypatch.setenv("COLUMNS", "40")
    assert losscli("compute ce z.csv y.csv --grad")[1] == wide


def test_help(losscli):
    page = losscli("--help")
    assert page == losscli("")
    assert page[0] == 0
    words = " ".join(page[1].split())
    for verb in VERBS:
        assert f" {verb} " in words
        assert losscli(f"{verb} -h") == losscli(f"{verb} --help")
    assert "..." not in words.split("Commands:")[1]
    for verb in ("compute", "gradcheck"):
        assert losscli(verb) == losscli(f"{verb} --help")
        assert "..." not in losscli(verb)[1].split("Commands:")[1]
    assert "[OPTIONS] DATA...\n" in losscli("compute cross-entropy --help")[1]
    assert "over both outcomes" in " ".join(losscli("compute bce --help")[1].split())
    assert "over all classes" in " ".join(losscli("compute ce --help")[1].split())


def test_option_helps_are_sentences(losscli, entry: Loss):
    lines = losscli(f"compute {entry.name} --help")[1].split("Options:\n")[1]
    for text in re.findall(r"^  -.*?(?:  +|\n +)(\S.*?)(?=\n  -|\Z)", lines, flags=re.MULTILINE | re.DOTALL):
        words = " ".join(text.split())
        assert words[0].isupper() or words.startswith("|r|"), words
        assert re.search(r"\.(\s*\[default: .*\])?$", words), words


EXAMPLE_PAGES = ("", "compute", "gradcheck", "list", "show", "sample", "compute focal", "gradcheck huber")


@pytest.mark.parametrize("page", EXAMPLE_PAGES)
def test_the_examples_of_help_run(losscli, page):
    examples = re.findall(r"^    (losscli .*)$", losscli(f"{page} --help")[1], flags=re.MULTILINE)
    assert len(examples) >= 2
    program = f'losscli() {{ "{sys.executable}" -m losscli "$@"; }}; '
    shell = ["bash", "-eo", "pipefail", "-c", program + "; ".join(examples)]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


# The documents -----------------------------------------------------------------------------------------------------


CODE_WORD = re.compile(r'(?:Data|Usage|Output|Cluster|Losscli|_Refused)Error\(\s*(f?)"([a-z{][\w{}.-]*)"[,)]')


def code_words():
    """Every code word in the source, with those of nested.py spelled out for its two formats."""
    words = set()
    for path in (ROOT / "losscli").rglob("*.py"):
        for _, word in CODE_WORD.findall(path.read_text()):
            words |= {re.sub(r"\{.*?\}", kind, word) for kind in ("json", "yaml")}
    return words


def test_every_code_word_is_documented_with_its_way_out():
    rows = re.findall(
        r"^\| `([a-z-]+)` \| [\d, ]+ \| .+ \| (.+) \|$", (ROOT / "docs/errors.md").read_text(), re.MULTILINE
    )
    assert {word: text.replace("\\|", "|") for word, text in rows} == WAYS_OUT
    assert len(rows) == len(WAYS_OUT)
    assert code_words() == set(WAYS_OUT)


def test_every_exit_code_is_documented():
    exits = importlib.import_module("losscli.cli.exits")
    table = (ROOT / "docs/errors.md").read_text().split("## Exit codes")[1].split("## Code words")[0]
    listed = {int(code) for codes in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in codes.split(",")}
    assert listed == set(map(int, exits.Exit))


def test_a_hint_names_no_option_that_is_not_there(losscli):
    table("high.csv", [*LABELS[:-1], 3])
    for loss, skipped in (("ce", True), ("lovasz-softmax --from logits", False)):
        _, _, err = losscli(f"compute {loss} z.csv high.csv")
        assert "counted from 0" in err
        assert ("--ignore-index" in err) == skipped


def test_a_loss_is_shown_with_what_its_formula_speaks_of(losscli):
    about = strict_json(losscli("show iou --json")[1])
    assert set(about["where"]["corners"]) == {"p", "t", "inter", "union", "iou"}
    shown = losscli("show multilabel-soft-margin")[1]
    assert "features (N, D), weights (C, D), [bias (C)]" in shown
