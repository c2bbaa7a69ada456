"""README.md is true: every example prints what it shows, every table is the program's own."""

from __future__ import annotations

import doctest
import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import losscli
from losscli.cli.exits import Exit
from losscli.loss import catalogue

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
CONSOLE = re.findall(r"^```console\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^```sh\n(.*?)\n```$", TEXT, re.DOTALL | re.MULTILINE)


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "tools" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load()


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Path, Mapping[str, str]]]:
    with tool.workplace() as (folder, environment):
        tool.put_files(TEXT, folder)
        yield folder, environment


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: block.splitlines()[0][2:])
def test_a_console_block_prints_what_it_shows(block: str, place: tuple[Path, Mapping[str, str]]) -> None:
    assert "\n".join(tool.differences(block, tool.console(block, *place))) == ""


def test_there_are_console_blocks_and_each_shows_output() -> None:
    assert len(CONSOLE) >= 10
    for block in CONSOLE:
        assert block.startswith("$ ")
        assert any(not line.startswith("$ ") for line in block.splitlines())
    verbs = set(re.findall(r"\blosscli (compute|gradcheck|sample)\b", "".join(CONSOLE)))
    assert verbs == {"compute", "gradcheck", "sample"}


def test_python_blocks_print_what_they_show(
    place: tuple[Path, Mapping[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place[0])
    blocks = re.findall(r"^```python\n(>>>.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    assert blocks
    names: dict[str, Any] = {}
    for block in blocks:
        assert "\n".join(tool.differences(block, tool.python(block, names))) == ""


@pytest.mark.parametrize("name", tool.PARTS)
def test_a_table_is_the_programs_own(name: str) -> None:
    shown = TEXT.partition(f"<!-- {name}:begin -->\n")[2].partition(f"\n<!-- {name}:end -->")[0]
    assert shown == tool.PARTS[name](), "python tools/readme.py makes it again"


def test_every_loss_has_a_row() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", TEXT.partition("<!-- losses:begin -->")[2], re.MULTILINE)
    assert rows == list(catalogue())


def test_every_exit_code_has_a_row() -> None:
    table = TEXT.partition("| code | meaning |")[2].partition("\n\n")[0]
    codes = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in row.split(",")}
    assert codes == {int(code) for code in Exit}


def test_set_up_and_tests_are_one_command_each_and_those_of_ci() -> None:
    set_up, test = COMMANDS
    assert "\n" not in set_up + test
    steps = [step.strip() for step in set_up.split("&&")]
    assert steps[0] == "python3 -m venv .venv"
    assert steps[1] == ".venv/bin/pip install -e '.[test]'"
    assert steps[2].startswith(".venv/bin/losscli compute ")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    # In its own environment, whose programs come first on the path.
    assert f"\n{test.removeprefix('.venv/bin/')}\n" in script
    assert """environment "$work/test" -e '.[test]'""" in script


def test_the_first_command_computes(place: tuple[Path, Mapping[str, str]]) -> None:
    compute = COMMANDS[0].rpartition("&& .venv/bin/")[2]
    assert compute.startswith("losscli compute ")
    assert "\nmean " in tool.console(f"$ {compute}\n", *place)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []


def test_no_path_of_a_machine_is_shown() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.findall(r"(?<![\w.])/(?:home|opt|root|tmp|usr|work|Users)\b\S*", text) == []


def test_the_packages_own_example_prints_what_it_shows() -> None:
    assert doctest.testmod(losscli, verbose=False) == doctest.TestResults(0, 3)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mean  0.1916540", "mean  0.1916541"),
        ("rows  899", "rows  898"),
        ("mean  0.19", "mean  -0.19"),
        ("value 0.5", "value 0.5\nmore"),
        ("PASS ce", "FAIL ce"),
        ("640 of 640", "640 of 641"),
        ("losscli 0.1.0", "losscli 0.1.1"),
        ("value 0.0", "value 1e-300"),
    ],
)
def test_a_difference_is_seen(old: str, new: str) -> None:
    assert tool.differences(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mean        0.19165408693586633", "mean  0.1916540869358666"),
        ("an error above 4.1e-13 of the largest", "an error above 6e-14 of the largest"),
        ("[0.1, 2]", "[0.10000000000000002, 2]"),
    ],
)
def test_the_last_bits_of_another_processor_are_no_difference(old: str, new: str) -> None:
    assert tool.differences(old, new) == []


def test_the_tool_writes_what_is_missing_and_then_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "README.md"
    parts = "".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in tool.PARTS)
    page.write_text(f"```console\n$ losscli --version\n$ false\n$ echo $?\n```\n\n{parts}", encoding="utf-8")
    monkeypatch.setattr(tool, "README", page)
    monkeypatch.setattr("sys.argv", ["readme.py", "--check"])
    assert tool.main() == 1
    assert f"+losscli {losscli.__version__}" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["readme.py"])
    assert tool.main() == 0
    assert f"$ losscli --version\nlosscli {losscli.__version__}\n$ false\n$ echo $?\n1\n" in page.read_text("utf-8")
    monkeypatch.setattr("sys.argv", ["readme.py", "--check"])
    assert tool.main() == 0
