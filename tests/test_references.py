"""Values and slopes agree with those of other libraries, as recorded by benchmarks/references.py and parity.py."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import asked, slopes

import losscli
from losscli.dialects import PEERS
from losscli.loss import catalogue

HERE = Path(__file__).parent
# Both sides round: the largest difference today is 1.4e-14, in slopes whose terms nearly cancel.
RELATIVE = 1e-12
# What a library says with a parameter and losscli with --from.
LINKS = {("log_input", True): "log-rate", ("log_input", False): "rate"}

Row = Mapping[str, Any]


def rows(name: str = "references*.csv") -> list[Row]:
    """The tables, their JSON cells decoded."""
    found = []
    for path in sorted(HERE.glob(name)):
        with path.open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        for line, row in enumerate(table, start=2):
            cells = {key: json.loads(row.get(key) or "{}") for key in ("params", "options", "inputs", "gradient")}
            more = {"hessian": json.loads(row.get("hessian") or "{}"), "value": json.loads(row["value"] or "null")}
            found.append({**row, **cells, **more, "at": f"{path.stem}:{line}"})
    return found


def compared() -> Iterator[Any]:
    """Every row, under the name of its call."""
    for row in rows():
        yield pytest.param(row, id=f"{row['at']}: {row['loss']} {row['library']} {row['version']}: {row['call']}")


@pytest.mark.parametrize("row", list(compared()))
def test_the_numbers_are_the_librarys(row: Row) -> None:
    params, options = dict(row["params"]), dict(row["options"])
    for name, value in row["params"].items():
        if (name, value) in LINKS:
            options["from"] = LINKS[name, params.pop(name)]
    bound, arguments = asked(row["loss"], params, options)
    data = {name: np.array(entries) for name, entries in row["inputs"].items()}
    if row["value"] is not None:
        close(losscli.evaluate(bound, data, **arguments).value, row["value"], row)
    gradient, hessian = slopes(bound, data, arguments, row["gradient"], row["hessian"])
    for ours, theirs in ((gradient, row["gradient"]), (hessian, row["hessian"])):
        for name in theirs:
            close(ours[name], theirs[name], row)


def close(ours: Any, theirs: Any, row: Row) -> None:
    """Within the row's own bar of the largest entry; without one, every entry within rounding."""
    bar = float(row.get("bar") or 0.0)
    finite = np.asarray(theirs)[np.isfinite(theirs)]
    size = float(np.abs(finite).max(initial=0.0))
    np.testing.assert_allclose(ours, theirs, rtol=0 if bar else RELATIVE, atol=bar * size, err_msg=row["call"])


def test_no_row_is_left_out() -> None:
    table = rows()
    assert {row["loss"] for row in table} <= set(catalogue())
    assert len(rows("references.csv")) == 68
    assert all(row["value"] is not None or row["gradient"] for row in table)


def test_every_library_gives_rows() -> None:
    table = rows("references.csv")
    assert {row["library"] for row in table} == {"torch", "optax", "scikit-learn", "scipy"}
    assert all(row["gradient"] for row in table if row["library"] in ("torch", "optax"))


def test_recorded_dialects_are_those_of_their_file() -> None:
    for peer in PEERS:
        assert all(row["options"]["like"] == peer for row in rows(f"references_{peer}.csv"))
