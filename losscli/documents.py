"""Results as strict JSON, under the keys that scripts rely on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from losscli import __version__
from losscli.errors import LosscliError

if TYPE_CHECKING:
    import numpy as np

    from losscli.files.source import Source
    from losscli.loss import Loss
    from losscli.results import Result, Spoken


def strict(value: Any) -> Any:
    """A value as strict JSON can hold it: arrays as lists, non-finite numbers as strings."""
    if hasattr(value, "tolist"):
        return strict(value.tolist())
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


def error_document(error: LosscliError, hint: str) -> str:
    """A failure as one JSON object."""
    place = error.place
    content = {
        "code": error.code,
        "message": error.message,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "field": place.field if place else None,
        "index": list(place.index) if place and place.index is not None else None,
        "hint": hint,
    }
    return document("error", content)


def compute_document(result: Result, saved: Mapping[str, str], extra: Mapping[str, Any]) -> str:
    """The JSON of losscli compute; ``saved`` maps what was written to a file to the file's name."""
    bound, plan, wants = result.bound, result.plan, result.wants
    content: dict[str, Any] = {
        "loss": bound.loss.name,
        "params": dict(bound.params),
        "inputs": _inputs({name: column.source for name, column in plan.columns.items()}),
        "reduction": result.reduction,
        "value": result.value,
        "rows": result.rows,
        "kept": result.kept,
        "weight": result.weight,
        "precision": "double",
        "nonfinite": result.nonfinite,
    }
    if bound.loss.dialect is not None:
        content["like"] = bound.loss.dialect.peer
    if result.penalty.terms:
        content["penalty"] = vars(result.penalty)
    if result.accuracy is not None:
        content["accuracy"] = result.accuracy
    if result.gradient is not None:
        content["gradient"] = _slope("gradient", wants.grad, result.gradient, saved)
    if result.hessian is not None:
        content["hessian"] = _slope("hessian", wants.hess, result.hessian, saved)
    if wants.per_sample and result.per_sample is not None:
        content["per_sample"] = {"file": saved["per_sample"]} if "per_sample" in saved else result.per_sample
    if wants.top:
        content["top"] = _top(result)
    if wants.by_class:
        content["by_class"] = [
            {"class": entry.index, "name": entry.name, "rows": entry.rows, "mean": entry.mean, "right": entry.right}
            for entry in result.by_class
        ]
    return document("compute", {**content, **extra})


def _inputs(sources: Mapping[str, Source]) -> list[dict[str, Any]]:
    return [
        {"name": name, "source": source.name, "shape": list(source.shape), "dtype": str(source.dtype)}
        for name, source in sources.items()
    ]


def dialects_document(
    loss: Loss, params: Mapping[str, Any], sources: Mapping[str, Source], reduction: str, found: Sequence[Spoken]
) -> str:
    """The JSON of losscli dialects; ``params`` are those given, and the first of ``found`` is the exact form."""
    made = []
    for one in found:
        apart = one.beside(found[0].value)
        error = None if one.error is None else {"code": one.error.code, "message": one.error.message}
        entry: dict[str, Any] = {"peer": one.peer, "call": one.call, "value": one.value}
        entry |= {"difference": apart and apart[0], "relative": apart and apart[1], "why": one.why, "error": error}
        made.append(entry)
    content = {"loss": loss.name, "params": dict(params), "inputs": _inputs(sources), "reduction": reduction}
    return document("dialects", {**content, "dialects": made})


def _slope(kind: str, wrt: str, values: np.ndarray[Any, Any], saved: Mapping[str, str]) -> dict[str, Any]:
    size = {"wrt": wrt, "shape": list(values.shape), "norm": norm_of(values)}
    return {**size, "file": saved[kind]} if kind in saved else {**size, "values": values}


def norm_of(values: Any) -> float:
    """Euclidean norm of all entries, safe from overflow."""
    largest = largest_of(values)
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(math.fsum(float(((piece / largest) ** 2).sum()) for piece in _pieces(values)))


def largest_of(values: Any) -> float:
    """The largest size of an entry; NaN if one is."""
    sizes = [float(abs(piece).max(initial=0.0)) for piece in _pieces(values)]
    return math.nan if any(map(math.isnan, sizes)) else max(sizes, default=0.0)


def _pieces(values: Any) -> Iterator[Any]:
    """Some rows at a time: slopes may be files longer than memory."""
    if not values.shape:
        yield values
        return
    step = max(1, (1 << 20) // max(1, math.prod(values.shape[1:])))
    for start in range(0, values.shape[0], step):
        yield values[start : start + step]


def place_of(result: Result, row: int) -> tuple[int, ...]:
    """The index of a row in data of more than one axis of rows, such as pixels of images."""
    at = []
    for length in reversed(result.plan.lead[1:]):
        row, position = divmod(row, length)
        at.append(position)
    return (row, *reversed(at))


def columns_of(result: Result, name: str) -> tuple[str, ...]:
    """The names of the last axis of an input, where it is the axis of the classes."""
    column = result.plan.columns[name]
    last = column.axis is not None and column.axis == len(column.source.shape) - 1
    return result.plan.names if last and column is result.plan.first else ()


def label_of(result: Result, row: int) -> str | int | None:
    """The label of a row, where labels are one per row."""
    plan = result.plan
    if not plan.signature.labels:
        return None
    column = plan.columns[plan.signature.labels]
    if len(column.shape) != len(plan.lead):
        return None
    first, *within = place_of(result, row)
    label = column.read(slice(first, first + 1))[(0, *within)]
    if column.source.dtype.kind == "U":
        return str(label)
    return plan.names[int(label)] if plan.names else int(label)


def _top(result: Result) -> list[dict[str, Any]]:
    made = []
    for row, value in result.top:
        entry: dict[str, Any] = {"row": row, "value": value}
        if len(result.plan.lead) > 1:
            entry["index"] = list(place_of(result, row))
        label = label_of(result, row)
        made.append(entry if label is None else {**entry, "label": label})
    return made


def loss_content(loss: Loss) -> dict[str, Any]:
    """One loss as JSON content."""
    from losscli.dialects import dialects_of
    from losscli.families.linear import linear
    from losscli.grammar import needed

    reads = loss.reads
    return {
        "name": loss.name,
        "aliases": list(loss.aliases),
        "definition": loss.summary,
        "notes": loss.notes,
        "formula": loss.formula or loss.prose,
        "gradient": loss.slope,
        "where": {link: dict(needed(loss.formula or loss.prose, entry.where)) for link, entry in reads.links.items()},
        "reads": reads.name,
        "inputs": [
            {
                "name": entry.name,
                "domain": entry.domain.text,
                "differentiable": entry.differentiable,
                "axes": entry.axes,
                "optional": entry.optional,
                "help": entry.help,
            }
            for entry in reads.inputs
        ],
        "from": list(reads.links),
        "linear": list(linear(reads).names) if reads.head else None,
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
        "convex": loss.convex,
        "frozen": loss.frozen.what if loss.frozen else None,
        "sources": list(loss.sources),
        "peers": list(loss.peers),
        "dialects": [
            {"peer": peer, "call": dialect.call, "why": dialect.why} for peer, dialect in dialects_of(loss).items()
        ],
    }
