"""Results as tables; the only room that imports rich."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console, RenderableType
from rich.text import Text

from losscli.dialects import dialects_of
from losscli.documents import columns_of, label_of, largest_of, norm_of, place_of
from losscli.files.source import Source
from losscli.grammar import needed
from losscli.loss import Loss
from losscli.render.tables import facts, number, percent, table
from losscli.render.tables import text_of as text_of
from losscli.render.verdicts import check_tables as check_tables
from losscli.render.verdicts import verify_tables as verify_tables
from losscli.results import Result, Spoken

# Larger than this a table of every number helps nobody; a file does.
_SHOWN = 100_000
# As many numbers as a person looks through.
_PAGE = 1_000

Values = np.ndarray[Any, Any]


def compute_tables(result: Result, saved: Mapping[str, str]) -> list[RenderableType]:
    """The tables of losscli compute."""
    parts = [facts(_summary(result, saved), title=_heading(result))]
    if result.by_class:
        rows = [(entry.name, entry.rows, entry.mean, percent(entry.right / entry.rows)) for entry in result.by_class]
        parts.append(table(("class", "rows", "mean loss", "accuracy"), rows, title="by class"))
    if result.top:
        parts.append(_top_table(result))
    if result.per_sample is not None and _is_shown(result.per_sample, "per_sample", saved):
        parts.append(_values_table(result.per_sample, "per sample", _row_word(result)))
    for values, key, title, wrt in (
        (result.gradient, "gradient", f"d/d {result.wants.grad}", result.wants.grad),
        (result.hessian, "hessian", f"d²/d {result.wants.hess}²", result.wants.hess),
    ):
        if values is not None and _is_shown(values, key, saved):
            parts.append(_values_table(values, title, "row", columns_of(result, wrt)))
    return parts


def apply_tables(function: str, source: Source, value: Values, jacobian: Values | None) -> list[RenderableType]:
    """The tables of losscli apply: the first numbers, and how many there are."""
    facts_of = [("input", f"{source.name}  {' x '.join(map(str, source.shape)) or 'one number'}")]
    parts: list[RenderableType] = [facts(facts_of, title=function)]
    for title, values in ((function, value), ("Jacobian", jacobian)):
        if values is not None:
            width = math.prod(values.shape[1:]) if values.ndim > 1 else 1
            some = values if values.ndim < 1 else values[: max(1, _PAGE // max(1, width))]
            left = (
                "" if values.ndim < 1 or len(some) == len(values) else f", the first {len(some)} of {len(values)} rows"
            )
            parts.append(_values_table(some, title + left, "row"))
    return parts


def _is_shown(values: Values, key: str, saved: Mapping[str, str]) -> bool:
    return key not in saved and values.size <= _SHOWN


def _row_word(result: Result) -> str:
    return "row" if result.plan.groups is None else "group"


def _top_table(result: Result) -> RenderableType:
    many = result.plan.groups is None and len(result.plan.lead) > 1
    rows = [
        (_index(place_of(result, row)) if many else str(row), label_of(result, row), value) for row, value in result.top
    ]
    if all(label is None for _, label, _ in rows):
        return table((_row_word(result), "loss"), [(row, value) for row, _, value in rows], title="largest losses")
    named = [(row, str(label), value) for row, label, value in rows]
    return table(("row", "label", "loss"), named, title="largest losses", left=2)


def _values_table(values: Values, title: str, word: str, names: Sequence[str] = ()) -> RenderableType:
    """Numbers as rows of the last axis; what stands before is the index of the axes in front."""
    if values.ndim < 2:
        return table((word, "value"), [(str(at), x) for at, x in enumerate(values.reshape(-1).tolist())], title=title)
    lead, width = values.shape[:-1], values.shape[-1]
    lines = zip(np.ndindex(lead), values.reshape(-1, width).tolist(), strict=True)
    columns = (word, *(names or map(str, range(width))))
    return table(columns, [(_index(at), *line) for at, line in lines], title=title)


def _index(at: Sequence[int]) -> str:
    return ", ".join(map(str, at))


def _heading(result: Result) -> str:
    loss, params = result.bound.loss, result.bound.params
    told = [f"like {loss.dialect.peer}"] if loss.dialect else []
    told += [f"{name} = {number(value)}" for name, value in params.items() if value is not None]
    return loss.name + (f" ({', '.join(told)})" if told else "")


def _summary(result: Result, saved: Mapping[str, str]) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [("loss", result.bound.loss.summary)]
    if isinstance(result.value, float):
        rows.append((result.reduction, repr(result.value)))
        plain = result.bound.loss.name in ("ce", "nll") and not result.penalty.terms
        if plain and result.reduction == "mean" and result.value < 700:
            rows.append(("perplexity", math.exp(result.value)))
    if result.accuracy is not None:
        rows.append(("accuracy", percent(result.accuracy)))
    for name, column in result.plan.columns.items():
        rows.append((name, f"{column.source.name}  {' x '.join(map(str, column.source.shape))}"))
    kept = f"{result.kept} of {result.rows} kept" if result.kept != result.rows else result.rows
    rows.append((_row_word(result) + "s", kept))
    if result.weight != result.kept:
        rows.append(("weight", result.weight))
    if result.nonfinite:
        rows.append(("not finite", result.nonfinite))
    for values, name in ((result.gradient, "gradient"), (result.hessian, "hessian")):
        if values is not None:
            largest = largest_of(values)
            rows.append((name, f"norm {norm_of(values):.6g}, largest {largest:.6g}"))
    rows.extend((key.replace("_", " ") + " in", path) for key, path in saved.items())
    return rows + _too_long(result, saved)


def _too_long(result: Result, saved: Mapping[str, str]) -> list[tuple[str, object]]:
    """What was asked for and is no table that anyone reads."""
    asked = (("per_sample", result.per_sample), ("gradient", result.gradient), ("hessian", result.hessian))
    return [
        (key.replace("_", " "), f"{values.size} numbers, too many to show: name a FILE for them")
        for key, values in asked
        if values is not None and key not in saved and values.size > _SHOWN
    ]


def dialects_tables(loss: Loss, reduction: str, found: Sequence[Spoken]) -> list[RenderableType]:
    """What each library returns, the exact form first, and how it is called there."""
    rows = []
    for one in found:
        apart = one.beside(found[0].value)
        shown = ("", "") if apart is None else tuple("0" if gap == 0.0 else f"{gap:+.3g}" for gap in apart)
        value = repr(one.value) if one.error is None else one.error.code
        rows.append((one.peer, value, *shown, one.why if one.error is None else one.error.message))
    columns = ("like", reduction, "difference", "relative", "why")
    calls = [(one.peer, one.call) for one in found if one.call]
    parts = [Text(loss.name, style="bold"), table(columns, rows, text=(4,))]
    return [*parts, facts(calls, title="\ncalls")] if calls else parts


def list_tables(losses: Iterable[Loss]) -> list[RenderableType]:
    """The catalogue as a table."""
    rows = [(loss.name, ", ".join(loss.aliases), loss.reads.name, loss.summary) for loss in losses]
    return [table(("loss", "also", "reads", "definition"), rows, left=4, text=(1, 3))]


_KINDS = {float: "a number", int: "a whole number", bool: "on or off", str: "a word"}


def _default(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return ("on" if value else "off") if isinstance(value, bool) else number(value)


def _head(loss: Loss) -> str:
    """The inputs that make scores in a linear form, with their shapes."""
    made = []
    for entry in loss.linear.reads.inputs[:3]:
        text = f"{entry.name} ({', '.join(entry.axes or '')})"
        made.append(f"[{text}]" if entry.optional else text)
    return ", ".join(made)


def show_tables(loss: Loss) -> list[RenderableType]:
    """Everything known of one loss."""
    reads = loss.reads
    rows: list[tuple[str, object]] = [("definition", loss.summary), ("formula", loss.formula or loss.prose)]
    where = needed(loss.formula or loss.prose, reads.links[reads.default_link].where)
    rows.extend(("where", f"{name} = {text}") for name, text in where)
    rows.extend(
        (
            f"input {at + 1}" + (", optional" if entry.optional else ""),
            f"{entry.name}: {entry.domain.text}" + (f"; {entry.help}" if entry.help else ""),
        )
        for at, entry in enumerate(reads.inputs)
    )
    if len(reads.links) > 1:
        rows.append(("given as", f"{', '.join(reads.links)} (--from)"))
    if reads.head:
        rows.append(("linear form", f"{_head(loss)} in the place of the scores (--linear, --l1, --l2)"))
    for entry in loss.params:
        bounds = f" {entry.param.bounds}" if entry.param.bounds else ""
        rows.append(
            (entry.option, f"{entry.param.help}; {_KINDS[entry.type]}{bounds}, default {_default(entry.default)}")
        )
    rows.append(("gradient", f"by {', '.join(reads.differentiable)}" + (f": {loss.slope}" if loss.slope else "")))
    rows.append(("kinks", loss.kinks.where if loss.kinks else "none"))
    if loss.convex:
        rows.append(("convex", f"in {reads.names[0]}"))
    if loss.frozen:
        rows.append(("held constant", loss.frozen.what))
    rows.append(("options", ", ".join(f"--{name}" for name in sorted(reads.options)) or "none"))
    rows.extend(("source", text) for text in loss.sources)
    rows.append(("peers", ", ".join(loss.peers)))
    rows.extend(
        (f"like {peer}", dialect.call + (f": {dialect.why}" if dialect.why else ""))
        for peer, dialect in dialects_of(loss).items()
    )
    notes = [Text("\n" + loss.notes)] if loss.notes else []
    return [facts(rows, title=" / ".join((loss.name, *loss.aliases))), *notes]


class Bar:
    """A progress bar on standard error, which leaves nothing behind."""

    def __init__(self, rows: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (MofNCompleteColumn(), TextColumn("rows"), BarColumn(), TextColumn("{task.fields[rate]}"))
        console = Console(stderr=True)
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
        self._task = self._bar.add_task("rows", total=rows, rate="")
        self._bar.start()

    def show(self, done: int) -> None:
        """Move to a number of rows."""
        speed = self._bar.tasks[0].speed
        self._bar.update(self._task, completed=done, rate=f"{speed:,.0f} rows/s" if speed else "")

    def stop(self) -> None:
        """Take the bar away."""
        self._bar.stop()
