"""What a shell is offered for the next word, and that names cost it neither numpy nor the catalogue."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from losscli.cli.values import values
from losscli.dialects import PEERS, dialects_of
from losscli.loss import catalogue

VERBS = ["compute", "gradcheck", "verify", "dialects", "apply", "list", "show", "sample"]
NAMES = list(catalogue())
SHELLS = ("bash", "zsh", "fish")
# A module that is kept from being loaded is there as None.
LOADED = """
import atexit, sys
from losscli.__main__ import main
atexit.register(lambda: print(*(name for name, module in sys.modules.items() if module), file=sys.stderr))
main()
"""


def ask(shell, line, *program, **more):
    """Ask as a shell does; the finished process."""
    words = line.split(" ")
    asked = {
        "_LOSSCLI_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    command = [sys.executable, *(program or ("-m", "losscli"))]
    return subprocess.run(command, env=os.environ | asked | more, capture_output=True, text=True, check=False)


def offered(line, shell="bash"):
    """The words that a shell is offered for the last one of a line."""
    done = ask(shell, line)
    assert (done.returncode, done.stderr) == (0, "")
    if shell == "zsh":
        return re.findall(r"""^(?:_arguments '\*: :\(\()?"([^"]*)\"""", done.stdout, re.MULTILINE)
    return [row.split("\t")[0] for row in done.stdout.splitlines() if row]


def beginning(prefix):
    """The names and then the aliases that begin with a prefix."""
    aliases = [alias for loss in catalogue().values() for alias in loss.aliases]
    return [word for word in [*NAMES, *aliases] if word.startswith(prefix)]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("losscli ", VERBS),
        ("losscli s", ["show", "sample"]),
        ("losscli compute ", NAMES),
        ("losscli sample ", NAMES),
        ("losscli gradcheck fo", beginning("fo")),
        ("losscli show h", beginning("h")),
        ("losscli compute cross-", beginning("cross-")),
        ("losscli compute focal --ga", ["--gamma"]),
        ("losscli apply sof", ["softmax", "softplus"]),
    ],
)
def test_words(shell, line, words):
    assert words
    assert offered(line, shell) == words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("losscli compute ce --reduction ", ["mean", "sum", "none"]),
        ("losscli compute ce a.csv b.csv --grad --from log", ["logits", "log-probs"]),
        ("losscli gradcheck cross-entropy --from p", ["probs"]),
        ("losscli compute tweedie --from ", ["log-rate", "rate"]),
        ("losscli compute mse --from ", []),
        ("losscli compute bce --like torch --wrt ", ["logits"]),
        ("losscli compute ce --linear --wrt ", ["features", "weights", "bias", "labels"]),
        ("losscli compute iou --like ", ["torch"]),
        ("losscli compute bce --wrt ", ["logits", "target"]),
        ("losscli compute lovasz-softmax --classes ", ["present", "all"]),
        ("losscli verify ce --claim-dtype b", ["bfloat16"]),
        ("losscli dialects ce --reduction ", ["mean", "sum"]),
        ("losscli sample ce --format ", ["yaml", "json", "csv"]),
        ("losscli apply softmax --format j", ["json"]),
        ("losscli list --color a", ["auto", "always"]),
    ],
)
def test_values_of_options(line, words):
    assert offered(line) == words


@pytest.mark.parametrize("verb", ["compute", "gradcheck", "show", "sample"])
@pytest.mark.parametrize("initial", "ls")
def test_aliases_are_offered_once_the_word_has_begun(verb, initial):
    words = beginning(initial)
    assert set(words) - set(NAMES)
    assert offered(f"losscli {verb} {initial}") == words


def test_definitions_stand_next_to_the_names():
    rows = ask("fish", "losscli compute ").stdout.splitlines()
    assert rows == [f"{loss.name}\t{loss.summary}" for loss in catalogue().values()]


@pytest.mark.parametrize("page", ["compute focal", "compute ce", "gradcheck focal", "show ce", "sample ce", "list"])
def test_options_are_those_of_the_help(page):
    command = [sys.executable, "-m", "losscli", *page.split(), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)
    assert offered(f"losscli {page} --") == listed
    assert "--help" in listed


def test_an_option_without_its_value_hides_no_other():
    assert offered("losscli compute ce a.csv --grad --js") == ["--json"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "line",
    [
        *(
            "losscli ",
            "losscli compute ",
            "losscli show h",
            "losscli compute ce --reduction ",
            "losscli verify bce --from ",
        ),
        *("losscli compute dice --like ", "losscli compute lovasz-softmax --classes ", "losscli compute ce --engine "),
    ],
)
def test_names_are_told_without_the_catalogue(shell, line):
    modules = set(ask(shell, line, "-c", LOADED).stderr.split())
    assert not modules & {"numpy", "rich", "losscli.loss", "losscli.losses", "losscli.cli.compute"}
    assert "typer" in modules


def test_options_of_a_loss_are_told_by_its_verb():
    assert {"numpy", "losscli.cli.compute"} <= set(ask("bash", "losscli compute focal --", "-c", LOADED).stderr.split())


@pytest.mark.parametrize("line", ["losscli compute nosuch ", "losscli nosuch ", "losscli nosuch --x ", 'losscli "a b '])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_mistake_is_no_message_in_the_middle_of_a_line(shell, line):
    done = ask(shell, line)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() in ("", "_files")


@pytest.mark.parametrize("verb", ["compute", "gradcheck", "verify"])
def test_values_read_from_the_source_are_those_of_the_options(verb):
    module = importlib.import_module(f"losscli.cli.{verb}")
    known = 0
    for name, loss in catalogue().items():
        for option in module._options(loss):
            found = values(verb, name, option.typed[-1])
            assert found in ([], list(option.choices or PEERS)) or (option.name == "like" and set(found) < set(PEERS))
            known += bool(found)
        assert values(verb, name, "--like") == list(dialects_of(loss))
    # What is left is what depends on the loss in ways that only its module knows.
    assert known > 3 * len(NAMES)


def test_data_are_left_to_the_shell():
    line = "losscli compute ce "
    assert offered(line) == []
    assert ask("zsh", line).stdout == "_files\n"
    # Fish asks first whether there are words to offer instead of files.
    assert ask("fish", line, _TYPER_COMPLETE_FISH_ACTION="is-args").returncode == 1
    assert ask("fish", "losscli compute ", _TYPER_COMPLETE_FISH_ACTION="is-args").returncode == 0


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_takes_the_script(tmp_path):
    program = tmp_path / "losscli"
    program.write_text(f"#!{sys.executable}\nfrom losscli.__main__ import main\nmain()\n")
    program.chmod(0o755)
    script = """
    eval "$(_LOSSCLI_COMPLETE=source_bash losscli)"
    complete -p losscli
    COMP_WORDS=(losscli compute softmax-) COMP_CWORD=2
    _losscli_completion losscli
    echo "${COMPREPLY[*]}"
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    folder = Path(__file__).parents[1]
    env = os.environ | {"PATH": path, "PYTHONPATH": str(folder)}
    done = subprocess.run(["bash", "-ec", script], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # Where nothing is offered, bash goes on with names of files.
    assert done.stdout == "complete -o default -F _losscli_completion losscli\nsoftmax-focal\n"


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_help_tells_how_to_switch_it_on(option):
    text = subprocess.run([sys.executable, "-m", "losscli", "-h"], capture_output=True, text=True, check=True).stdout
    assert f"  {option} " in text


def test_the_script_names_the_program_however_it_was_started():
    command = [sys.executable, "-m", "losscli", "--show-completion", "bash"]
    # Typer's way to be told the shell: that of the process above may be none.
    env = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "_LOSSCLI_COMPLETE=complete_bash" in done.stdout
    assert done.stdout.endswith(" losscli\n")
