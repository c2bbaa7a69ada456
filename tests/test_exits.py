"""How the program ends: pipes, full disks, closed streams, signals, and what it loads on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LOSSCLI = [sys.executable, "-m", "losscli"]
DATA = "compute ce z.csv y.csv"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes, signals and /dev/full are POSIX's")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    Path("z.csv").write_text("1,2,0.5\n3,4,-1\n" * 2000)
    Path("y.csv").write_text("0\n2\n" * 2000)
    return tmp_path


def shell(line):
    """Run under bash with losscli as a function; the exit code, standard output and standard error."""
    program = f'losscli() {{ "{sys.executable}" -m losscli "$@"; }}; {line}'
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


# --version and --help leave by other ways than results; a long result fills the pipe, a short one fits in it.
COMMANDS = ("--version", "--help", "list", f"{DATA} --json --grad")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_nobody_reads(command, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    # The reader has gone before the writer begins.
    code, out, err = shell(f"{{ sleep 0.05; losscli {command}; echo $? >code; }} | true")
    assert (code, out, err) == (0, "", "")
    assert Path("code").read_text() == "141\n"


def test_a_reader_that_has_read_enough():
    code, out, err = shell(f"{{ losscli {DATA} --grad; echo $? >code; }} | head -1")
    assert (code, out, err) == (0, "ce\n", "")
    assert Path("code").read_text() == "141\n"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("where", "message"), [(">/dev/full", "No space left"), (">&-", "standard output is closed")])
def test_an_output_that_cannot_be_written(command, where, message):
    code, _, err = shell(f"losscli {command} {where}")
    assert code == 74
    if "--json" in command:
        assert message in json.loads(err)["message"]
    else:
        assert message in err
        assert err.startswith("losscli: error: ")
        assert len(err.splitlines()) == 2


def test_outputs_elsewhere():
    code, out, err = shell(f"losscli {DATA} -o /dev/full")
    assert (code, out) == (74, "")
    assert err.startswith("losscli: error: /dev/full: cannot write")
    Path("log").write_text("before\n")
    assert shell(f"losscli {DATA} -q -o /dev/stdout >>log")[0] == 0
    assert Path("log").read_text().startswith("before\n")
    assert shell(f"losscli {DATA} -q -o -")[1] == shell(f"losscli {DATA} -q")[1]
    assert shell(f"losscli {DATA} -q -o value.txt >&-")[0] == 0


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_an_error_that_cannot_be_told(where):
    assert shell(f"losscli show nothing {where}")[:2] == (2, "")


def test_standard_input_that_is_closed():
    code, out, err = shell("losscli compute ce - y.csv <&-")
    assert (code, out) == (2, "")
    assert "standard input is closed" in err


def waiting(*words):
    """A run that waits for a pipe which nobody writes, its signals as in a terminal."""
    os.mkfifo("pipe.csv")
    run = subprocess.Popen(
        [*LOSSCLI, "compute", "ce", "pipe.csv", "y.csv", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    # Opening succeeds once the reader has opened its end: then everything is loaded.
    return run, os.open("pipe.csv", os.O_WRONLY)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(number, code, folder):
    Path("old.json").write_text("old")
    run, pipe = waiting("--json", "-o", "old.json", "--grad", "g.npy")
    os.write(pipe, b"1,2,0.5\n")
    time.sleep(0.1)
    run.send_signal(number)
    out, err = run.communicate(timeout=20)
    os.close(pipe)
    assert (run.returncode, out, err.strip()) == (code, "", "")
    assert Path("old.json").read_text() == "old"
    assert not [path.name for path in folder.iterdir() if path.suffix in (".npy", ".tmp")]


def test_a_failing_run_leaves_the_old_output(folder):
    Path("old.json").write_text("old")
    assert shell("losscli compute ce z.csv z.csv --json -o old.json")[0] == 3
    assert Path("old.json").read_text() == "old"
    assert {path.name for path in folder.iterdir()} == {"z.csv", "y.csv", "old.json"}


def test_pipelines_of_people():
    assert (
        shell(f"losscli {DATA} --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"rows\"])'")[1]
        == "4000\n"
    )
    values = {shell(line)[1] for line in (f"losscli {DATA} -q", "cat z.csv | losscli compute ce - y.csv -q")}
    values.add(shell("gzip -c z.csv | losscli compute ce - y.csv -q")[1])
    values.add(shell("losscli compute ce <(cat z.csv) y.csv -q")[1])
    assert len(values) == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_of_standard_output(encoding, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    monkeypatch.setenv("LC_ALL", "C")
    Path("y.csv").rename("été.csv")
    done = subprocess.run(
        [*LOSSCLI, *["compute", "log-cosh", "été.csv", "été.csv", "--top", "1"]], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "log-cosh" in done.stdout.decode(encoding)


UNWANTED = {"yaml", "mpmath", "pydantic", "losscli.verifier.gradcheck", "losscli.losses.sequence"}


def loaded(*words):
    program = "import sys; from losscli.cli import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("command", "absent", "present"),
    [
        ("--version", {"typer", "numpy", "rich", "yaml"}, set()),
        ("--help", {"numpy", "rich", "yaml", "losscli.loss"}, {"typer"}),
        (f"{DATA} --json", {"rich"} | UNWANTED, {"numpy"}),
        (f"{DATA} -q", {"rich"} | UNWANTED, {"numpy"}),
        (DATA, UNWANTED, {"rich"}),
    ],
)
def test_a_run_loads_what_it_needs(command, absent, present):
    modules = loaded(*command.split())
    assert not absent & modules
    assert present <= modules
