"""What every loss of the catalogue must have, and that the command line shows, samples and computes it."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accuracy import curved, parameters, rng_of
from plain import PLAIN

from losscli.cli import run
from losscli.errors import UsageError
from losscli.evaluate import evaluate
from losscli.files import gather
from losscli.formula import Program
from losscli.inputs import IDENTITY, LABEL
from losscli.loss import Loss, catalogue, get
from losscli.plan import How
from losscli.render import show_tables, text_of
from losscli.results import Wants
from losscli.verifier.points import draw


def test_the_definition_is_one_short_sentence(entry: Loss) -> None:
    assert 10 <= len(entry.summary) <= 110
    assert entry.summary.endswith(".")
    assert entry.summary[0].isupper()


def test_sources_and_peers_are_named(entry: Loss) -> None:
    assert entry.sources
    assert entry.peers
    assert all(text.strip() == text and text for text in (*entry.sources, *entry.peers, *entry.aliases))


def test_the_gradient_is_told_in_a_sentence_of_its_own(entry: Loss) -> None:
    assert 20 <= len(entry.slope) <= 320
    assert entry.slope == " ".join(entry.slope.split())
    assert entry.slope[-1] not in ".;,:"
    assert entry.slope not in {one.slope for one in catalogue().values() if one is not entry}
    # With several inputs it says which slope is whose.
    assert len(entry.reads.differentiable) == 1 or re.search(r"\bby\b", entry.slope)


def test_show_prints_the_gradient_in_words_behind_its_inputs(entry: Loss, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", entry.name]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f" gradient by {', '.join(entry.reads.differentiable)}: {entry.slope} kinks " in text
    assert run(["show", entry.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gradient"] == entry.slope


def test_a_loss_of_ones_own_may_go_without_words() -> None:
    text = " ".join(text_of(*show_tables(replace(get("mse"), slope=""))).split())
    assert " gradient by prediction, target kinks " in text


def test_names_and_aliases_lead_to_one_loss_each(entry: Loss) -> None:
    for word in (entry.name, *entry.aliases, entry.name.replace("-", "_").upper()):
        assert get(word) is entry
    others = [one for one in catalogue().values() if one is not entry]
    assert not {entry.name, *entry.aliases} & {word for one in others for word in (one.name, *one.aliases)}


def test_the_formula_reads_exactly_the_inputs_and_parameters(entry: Loss) -> None:
    numbers = {one.name for one in entry.reads.inputs if one.domain not in (LABEL, IDENTITY)}
    labels = {"y", "v"} if entry.reads.labels else set()
    params = {one.name for one in entry.params}
    if not entry.formula:
        names = set(inspect.signature(PLAIN[entry.name]).parameters) - {"frozen"}
        defined = [{name for name, _ in link.where} for link in entry.reads.links.values()]
        assert all(names - labels <= numbers | params | one for one in defined)
        return
    assert entry.name not in PLAIN
    for link in entry.reads.links.values():
        names = Program(entry.formula, link.where).names
        assert names - labels == numbers | params
        assert not labels or len(names & labels) == 1


def test_every_differentiable_input_has_a_gradient_and_a_hessian_or_a_refusal(entry: Loss) -> None:
    assert entry.reads.differentiable
    assert set(entry.reads.differentiable) <= set(entry.reads.names)
    for link in entry.reads.links:
        data = draw(entry.reads, rng_of(entry.name), link)
        for name in entry.reads.differentiable:
            second = name if name in curved(entry, link) else ""
            result = evaluate(entry.bind(), data, how=How(link=link), wants=Wants(grad=name, hess=second))
            for slopes in (result.gradient, result.hessian) if second else (result.gradient,):
                assert slopes is not None
                assert slopes.shape == data[name].shape
                assert np.isfinite(slopes).all()


def test_what_is_not_differentiable_is_refused(entry: Loss) -> None:
    data = draw(entry.reads, rng_of(entry.name))
    for name in {*entry.reads.names, "nothing"} - set(entry.reads.differentiable):
        with pytest.raises(UsageError, match=r"no gradient with respect to|only soft labels"):
            evaluate(entry.bind(), data, wants=Wants(grad=name))


def test_parameters_are_described_and_bounded(entry: Loss) -> None:
    for one in entry.params:
        assert one.param.help
        assert one.check(one.default) == one.default
        if one.type is str:
            with pytest.raises(UsageError, match=one.option):
                entry.bind(**{one.name: "nonsense"})
        for edge, step in (
            (one.param.above, 0),
            (one.param.below, 0),
            (one.param.at_least, -1),
            (one.param.at_most, 1),
        ):
            if edge is not None:
                with pytest.raises(UsageError, match=one.option):
                    entry.bind(**{one.name: edge + step})
        if one.type is float:
            with pytest.raises(UsageError, match=one.option):
                entry.bind(**{one.name: float("nan")})
    with pytest.raises(UsageError, match="no parameter 'surprising'"):
        entry.bind(surprising=1.0)


def test_a_change_of_any_parameter_changes_the_value(entry: Loss) -> None:
    data = draw(entry.reads, rng_of(entry.name), rows=40, scale=2.0)
    plain = evaluate(entry.bind(), data).value
    for one in entry.params:
        if one.type is str:
            other: Any = next(word for word in one.param.choices if word != one.default)
        else:
            other = not one.default if one.type is bool else 1 + (one.default != 2) if one.type is int else 0.3
        others = {key: value for key, value in parameters(entry, 0).items() if key != one.name}
        changed = evaluate(entry.bind(**{**others, one.name: _admitted(one, other)}), data).value
        assert changed != plain, f"{one.option} changes nothing"


def _admitted(one: Any, value: Any) -> Any:
    return value if one.type in (bool, str) or one.param.admits(value) else value + 1.5


@pytest.mark.parametrize("verb", ["compute", "show"])
def test_help_and_show_say_what_is_known(entry: Loss, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compute", entry.name, "--help"] if verb == "compute" else ["show", entry.name, "--json"]
    assert run(words) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    text = " ".join(printed.out.split())
    assert entry.summary in text
    assert (
        all(one.option in text for one in entry.params) if verb == "compute" else (entry.formula or entry.prose) in text
    )
    if verb == "show":
        assert json.loads(printed.out)["name"] == entry.name


@pytest.mark.parametrize("suffix", ["yaml", "json", "csv", "npz"])
def test_a_sample_computes_to_what_the_api_says(
    entry: Loss, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / f"sample.{suffix}")
    if suffix == "csv" and not entry.reads.tabular:
        assert run(["sample", entry.name, "-o", path]) == 74
        assert "a table has two axes" in capsys.readouterr().err
        return
    for link in entry.reads.links:
        choice = ["--from", link] if len(entry.reads.links) > 1 else []
        assert run(["sample", entry.name, *choice, "-o", path]) == 0
        capsys.readouterr()
        assert run(["compute", entry.name, path, *choice, "--json", "--grad"]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        said = json.loads(printed.out)
        result = evaluate(
            entry.bind(),
            gather([path], entry.reads.names),
            how=How(link=link),
            wants=Wants(grad=entry.reads.differentiable[0]),
        )
        assert result.gradient is not None
        assert said["value"] == result.value
        assert np.array_equal(said["gradient"]["values"], result.gradient)


def test_the_oracle_is_at_hand() -> None:
    # Without mpmath the tests beside this one would say nothing.
    assert importlib.util.find_spec("mpmath")
