"""Results to rich tables and to JSON; the only module that imports rich."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from losscli import __version__
from losscli.errors import LosscliError
from losscli.loss import Loss
from losscli.results import Result

# Wide enough for any table of ours: a pipe has no width, and a number must never be cut.
_PIPE_WIDTH = 1000


def strict(value: Any) -> Any:
    """A value as strict JSON can hold it: arrays as lists, non-finite numbers as strings."""
    if isinstance(value, np.ndarray):
        return strict(value.tolist())
    if isinstance(value, np.generic):
        return strict(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [strict(entry) for entry in value]
    return value


def document(schema: str, content: Mapping[str, Any]) -> str:
    """One JSON object of a schema: RFC 8259, floats in their shortest round-trip form."""
    body = {"schema": f"losscli.{schema}/1", "losscli": __version__, **content}
    return json.dumps(strict(body), allow_nan=False, ensure_ascii=False)


def error_document(error: LosscliError) -> str:
    """A failure as one JSON object."""
    place = error.place
    content = {
        "code": error.code,
        "message": error.message,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "field": place.field if place else None,
        "index": list(place.index) if place and place.index is not None else None,
        "hint": error.hint,
    }
    return document("error", content)


def text_of(*parts: RenderableType, color: str = "auto") -> str:
    """Tables as text: coloured for a terminal only, and as wide as they need to be elsewhere."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    coloured = color == "always" or (color == "auto" and terminal and not os.environ.get("NO_COLOR"))
    console = Console(
        file=io.StringIO(),
        force_terminal=coloured,
        no_color=not coloured,
        width=None if terminal else _PIPE_WIDTH,
        highlight=False,
        emoji=False,
        markup=False,
        safe_box=True,
    )
    group = Group(*parts)
    if terminal:
        # A terminal narrower than the table wraps it; better than cutting a number.
        needed = Measurement.get(console, console.options.update(width=_PIPE_WIDTH), group).maximum
        console.width = max(console.width, min(needed, _PIPE_WIDTH))
    console.print(group)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", left: int = 1) -> Table:
    """A plain table: the first ``left`` columns flush left, numbers flush right and never cut."""
    made = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for at, name in enumerate(columns):
        made.add_column(name, justify="left" if at < left else "right", no_wrap=True, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell if isinstance(cell, str) else number(cell)) for cell in row))
    return made


def facts(rows: Iterable[tuple[str, object]], *, title: str = "") -> Table:
    """Names and values, one pair per line."""
    made = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False
    )
    made.add_column(style="dim", no_wrap=True)
    made.add_column(no_wrap=True, overflow="fold")
    for name, value in rows:
        made.add_row(Text(name), Text(value if isinstance(value, str) else number(value)))
    return made


def number(value: object) -> str:
    """A number as a table shows it: whole numbers whole, others to ten significant digits."""
    if isinstance(value, bool | int | np.integer):
        return str(value)
    if isinstance(value, float | np.floating):
        return f"{float(value):.10g}"
    return str(value)


def percent(share: float) -> str:
    """A share as a percentage."""
    return f"{100 * share:.2f} %"


def compute_document(result: Result, saved: Mapping[str, str], extra: Mapping[str, Any]) -> str:
    """The JSON of losscli compute; ``saved`` maps what was written to a file to the file's name."""
    bound, plan, wants = result.bound, result.plan, result.wants
    content: dict[str, Any] = {
        "loss": bound.loss.name,
        "params": dict(bound.params),
        "inputs": [
            {
                "name": name,
                "source": column.source.name,
                "shape": list(column.source.array.shape),
                "dtype": str(column.source.array.dtype),
            }
            for name, column in plan.columns.items()
        ],
        "reduction": result.reduction,
        "value": result.value,
        "rows": result.rows,
        "kept": result.kept,
        "weight": result.weight,
        "precision": "double",
        "nonfinite": result.nonfinite,
    }
    if result.accuracy is not None:
        content["accuracy"] = result.accuracy
    if result.gradient is not None:
        content["gradient"] = _slope("gradient", wants.grad, result.gradient, saved)
    if result.hessian is not None:
        content["hessian"] = _slope("hessian", wants.hess, result.hessian, saved)
    if wants.per_sample and result.per_sample is not None:
        content["per_sample"] = {"file": saved["per_sample"]} if "per_sample" in saved else result.per_sample
    if wants.top:
        content["top"] = [{"row": row, "value": value, **_label(result, row)} for row, value in result.top]
    if wants.by_class:
        content["by_class"] = [
            {"class": entry.index, "name": entry.name, "rows": entry.rows, "mean": entry.mean, "right": entry.right}
            for entry in result.by_class
        ]
    return document("compute", {**content, **extra})


def _slope(kind: str, wrt: str, values: np.ndarray[Any, Any], saved: Mapping[str, str]) -> dict[str, Any]:
    size = {"wrt": wrt, "shape": list(values.shape), "norm": norm_of(values)}
    return {**size, "file": saved[kind]} if kind in saved else {**size, "values": values}


def norm_of(values: np.ndarray[Any, Any]) -> float:
    """Euclidean norm of all entries, safe from overflow."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.square(values / largest).sum()))


def _label(result: Result, row: int) -> dict[str, Any]:
    """The label of a row, where labels are one per row."""
    plan = result.plan
    if plan.signature.layout != "classes" or len(plan.lead) != 1:
        return {}
    column = plan.columns[plan.signature.names[1]]
    if column.array.ndim != 1:
        return {}
    label = column.array[row]
    if column.array.dtype.kind == "U":
        return {"label": str(label)}
    return {"label": plan.names[int(label)] if plan.names else int(label)}


def compute_tables(result: Result, saved: Mapping[str, str]) -> list[RenderableType]:
    """The tables of losscli compute."""
    parts: list[RenderableType] = [facts(_summary(result, saved), title=_heading(result))]
    if result.by_class:
        parts.append(
            table(
                ("class", "rows", "mean loss", "accuracy"),
                [(entry.name, entry.rows, entry.mean, percent(entry.right / entry.rows)) for entry in result.by_class],
                title="by class",
            )
        )
    if result.top:
        rows = [(str(row), str(_label(result, row).get("label", "")), value) for row, value in result.top]
        labelled = any(label for _, label, _ in rows)
        parts.append(
            table(
                ("row", "label", "loss") if labelled else ("row", "loss"),
                rows if labelled else [(row, value) for row, _, value in rows],
                title="largest losses",
                left=2 if labelled else 1,
            )
        )
    shown = ((result.per_sample, "per_sample", "per sample"), (result.gradient, "gradient", f"d/d {result.wants.grad}"))
    for values, key, title in (*shown, (result.hessian, "hessian", f"d²/d {result.wants.hess}²")):
        if values is not None and key not in saved:
            parts.append(_values_table(values, title, result))
    return parts


def _values_table(values: np.ndarray[Any, Any], title: str, result: Result) -> Table:
    flat = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    names = result.plan.names if flat.shape[1] == result.plan.classes else ()
    columns = ("row", *(names or ([str(at) for at in range(flat.shape[1])] if flat.shape[1] > 1 else ["value"])))
    return table(columns, [(str(at), *map(float, row)) for at, row in enumerate(flat)], title=title)


def _heading(result: Result) -> str:
    params = ", ".join(f"{name} = {number(value)}" for name, value in result.bound.params.items() if value is not None)
    return result.bound.loss.name + (f" ({params})" if params else "")


def _summary(result: Result, saved: Mapping[str, str]) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [("loss", result.bound.loss.summary)]
    if isinstance(result.value, float):
        rows.append((result.reduction, repr(result.value)))
        if result.bound.loss.name in ("ce", "nll") and result.reduction == "mean" and result.value < 700:
            rows.append(("perplexity", math.exp(result.value)))
    if result.accuracy is not None:
        rows.append(("accuracy", percent(result.accuracy)))
    shape = " × ".join(map(str, result.plan.first.source.array.shape))
    rows.append(("data", f"{result.plan.first.source.name}  {shape}"))
    rows.append(("rows", f"{result.kept} of {result.rows} kept" if result.kept != result.rows else result.rows))
    if result.weight != result.kept:
        rows.append(("weight", result.weight))
    if result.nonfinite:
        rows.append(("not finite", result.nonfinite))
    for values, name in ((result.gradient, "gradient"), (result.hessian, "hessian")):
        if values is not None:
            largest = float(np.abs(values).max(initial=0.0))
            rows.append((name, f"norm {norm_of(values):.6g}, largest {largest:.6g}"))
    rows.extend((key.replace("_", " ") + " in", path) for key, path in saved.items())
    return rows


def check_tables(headline: str, about: Mapping[str, Any]) -> list[RenderableType]:
    """The tables of a gradcheck: its headline, what was looked at, and where claim and reference differ most."""
    failed = about["verdict"] != "pass"
    counts = ", ".join(f"{n} {word.replace('_', ' ')}" for word, n in about["counts"].items() if n)
    methods = "; ".join(
        f"{entry['name']} {entry['evaluations']} evaluations{'' if entry['agree'] else ', disagrees'}"
        for entry in about["methods"]
    )
    size = about["resolution"]
    rows = [
        ("checked", f"{about['checked']}: {counts}"),
        ("points", ", ".join(f"{point['kind']} {point['checked']}" for point in about["points"])),
        ("resolution", f"{size['abs']:.2g} absolute, {size['rel']:.2g} of the largest slope"),
        ("methods", methods),
        ("planted faults", f"{about['selftest']['caught']} of {about['selftest']['planted']} caught"),
        ("seed", about["seed"]),
        ("reproduce", about["reproduce"]),
    ]
    parts: list[RenderableType] = [Text(headline, style="bold red" if failed else "bold green"), facts(rows)]
    worst = [
        (
            f"{entry['kind']}: d/d {entry['wrt']}{entry['index']}",
            entry["claimed"],
            f"{entry['reference']:.12g} ± {entry['bar']:.1e}",
            entry["ratio"],
            f"{entry['verdict'].replace('_', ' ')} {entry['reason']}".strip(),
        )
        for entry in about["worst"]
    ]
    columns = ("largest differences", "claimed", "reference", "in bars", "verdict")
    return [*parts, table(columns, worst)]


def list_tables(losses: Iterable[Loss]) -> list[RenderableType]:
    """The catalogue as a table."""
    rows = [(loss.name, ", ".join(loss.aliases), loss.reads.name, loss.summary) for loss in losses]
    return [table(("loss", "also", "reads", "definition"), rows, left=4)]


def show_tables(loss: Loss) -> list[RenderableType]:
    """Everything known of one loss."""
    reads = loss.reads
    rows: list[tuple[str, object]] = [("definition", loss.summary), ("formula", loss.formula)]
    rows.extend(("where", f"{name} = {text}") for name, text in reads.links[reads.default_link].where)
    rows.extend(
        (f"input {at + 1}", f"{entry.name}: {entry.domain.text}" + (f"; {entry.help}" if entry.help else ""))
        for at, entry in enumerate(reads.inputs)
    )
    if len(reads.links) > 1:
        rows.append(("given as", f"{', '.join(reads.links)} (--from)"))
    for entry in loss.params:
        bounds = f" {entry.param.bounds}" if entry.param.bounds else ""
        rows.append((entry.option, f"{entry.param.help}; {entry.type.__name__}{bounds}, default {entry.default}"))
    rows.append(("gradient", f"with respect to {', '.join(reads.differentiable)}"))
    rows.append(("kinks", loss.kinks.where if loss.kinks else "none"))
    rows.append(("options", ", ".join(f"--{name}" for name in sorted(reads.options)) or "none"))
    rows.extend(("source", text) for text in loss.sources)
    rows.append(("peers", ", ".join(loss.peers)))
    notes = [Text("\n" + loss.notes)] if loss.notes else []
    return [facts(rows, title=" / ".join((loss.name, *loss.aliases))), *notes]


def loss_content(loss: Loss) -> dict[str, Any]:
    """One loss as JSON content."""
    reads = loss.reads
    return {
        "name": loss.name,
        "aliases": list(loss.aliases),
        "definition": loss.summary,
        "notes": loss.notes,
        "formula": loss.formula,
        "where": {link: dict(entry.where) for link, entry in reads.links.items()},
        "reads": reads.name,
        "inputs": [
            {
                "name": entry.name,
                "domain": entry.domain.text,
                "differentiable": entry.differentiable,
                "help": entry.help,
            }
            for entry in reads.inputs
        ],
        "from": list(reads.links),
        "params": [
            {
                "name": entry.name,
                "option": entry.option,
                "type": entry.type.__name__,
                "default": entry.default,
                "bounds": entry.param.bounds,
                "help": entry.param.help,
            }
            for entry in loss.params
        ],
        "options": sorted(reads.options),
        "reduction": reads.reduction,
        "kinks": loss.kinks.where if loss.kinks else None,
        "sources": list(loss.sources),
        "peers": list(loss.peers),
    }
