"""Values and gradients agree with those of other libraries, as recorded by benchmarks/references.py."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import losscli
from losscli.loss import Bound, catalogue
from losscli.plan import How
from losscli.results import Reduction, Wants

REFERENCES = Path(__file__).with_name("references.csv")
# Both sides round: the largest difference today is 1.4e-14, in slopes whose terms nearly cancel.
RELATIVE = 1e-12
# Losses with rows in the table, but no entry in the catalogue. A loss that gets one must be taken off this list.
ABSENT = {
    "generalized-kl",
}
# What a library says with a parameter and losscli with --from.
LINKS = {("log_input", True): "log-rate", ("log_input", False): "rate"}

Row = Mapping[str, Any]


def rows() -> list[Row]:
    """The table, its JSON cells decoded."""
    with REFERENCES.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    cells = ("params", "options", "inputs", "gradient")
    return [{**row, **{name: json.loads(row[name] or "{}") for name in cells}} for row in table]


def compared() -> Iterator[Any]:
    """Every row of a loss in the catalogue, under the name of its call."""
    for line, row in enumerate(rows(), start=2):
        if row["loss"] not in ABSENT:
            yield pytest.param(row, id=f"{line}: {row['loss']} {row['library']} {row['version']}: {row['call']}")


def asked(row: Row) -> tuple[Bound, dict[str, Any], dict[str, Any]]:
    """The row's loss, data and keyword arguments of evaluate."""
    link = row["options"].get("from", "")
    params = dict(row["params"])
    for name, value in row["params"].items():
        if (name, value) in LINKS:
            link = LINKS[name, params.pop(name)]
    known = {"reduction", "from", "class_weight", "ignore_index", "label_smoothing", "sample_weight"}
    assert set(row["options"]) <= known
    by_class = row["options"].get("class_weight")
    how = How(
        link=link,
        class_weight=None if by_class is None else np.array(by_class),
        ignore_index=row["options"].get("ignore_index"),
        label_smoothing=row["options"].get("label_smoothing", 0.0),
    )
    reduction: Reduction = row["options"]["reduction"]
    bound = losscli.get(row["loss"]).bind(**params)
    data = {name: np.array(entries) for name, entries in row["inputs"].items()}
    return bound, data, {"how": how, "reduction": reduction, "sample_weight": row["options"].get("sample_weight")}


@pytest.mark.parametrize("row", list(compared()))
def test_value_and_gradient_are_the_librarys(row: Row) -> None:
    bound, data, options = asked(row)
    result = losscli.evaluate(bound, data, **options)
    assert result.value == pytest.approx(float(row["value"]), rel=RELATIVE, abs=0)
    for name, theirs in row["gradient"].items():
        ours = losscli.evaluate(bound, data, wants=Wants(grad=name), **options).gradient
        assert ours is not None
        np.testing.assert_allclose(ours, theirs, rtol=RELATIVE, atol=0, err_msg=name)


def test_no_row_is_left_out() -> None:
    table = rows()
    missing = {row["loss"] for row in table} - set(catalogue())
    assert missing == ABSENT, "a loss that enters the catalogue must leave ABSENT"
    assert len(list(compared())) + sum(row["loss"] in ABSENT for row in table) == len(table) == 68


def test_every_library_gives_rows() -> None:
    assert {row["library"] for row in rows()} == {"torch", "optax", "scikit-learn", "scipy"}
    graded = [row for row in rows() if row["library"] in ("torch", "optax")]
    assert all(row["gradient"] for row in graded)
