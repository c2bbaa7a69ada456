"""losscli apply FUNCTION DATA: a function of entries or of rows, and its Jacobian."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import typer

from losscli.cli.common import as_json, distinct_files, output_options, write
from losscli.cli.options import INTO_OUTPUT, Option, Usage, argument, page, signed, with_values
from losscli.errors import DataError, Place, UsageError
from losscli.files import open_source, write_array
from losscli.files.source import Source
from losscli.functions import Applied, functions, get_function, one_hot
from losscli.inputs import Array

_ONE_HOT = "Indicators of class indices: 1 for the class of the label, 0 for the others."


def add(app: typer.Typer, words: list[str]) -> list[str]:
    """Register the verb."""
    known = [*((entry.name, entry.summary) for entry in functions().values()), ("one-hot", _ONE_HOT)]
    text = page(
        "A function of entries or of rows, such as softmax; its Jacobian on request.",
        [
            "losscli sample ce --format csv | losscli apply softmax '-::logits_*'",
            "losscli apply sigmoid x.npy -o p.npy",
        ],
        "\b\n" + "\n".join(f"{name:12} {summary}" for name, summary in known),
    )
    options = [
        Option("jacobian", str, None, "The Jacobian, in the output or in FILE.", metavar="[FILE]", blank=True),
        Option("axis", int, -1, "The axis that rows lie along."),
        Option("num_classes", int, None, "How many classes one-hot has; as many as the labels name.", least=1),
        Option("dtype", str, None, "What two bytes without a type are in NPY files.", choices=("bf16",)),
        *output_options("Print the numbers alone."),
    ]
    arguments = (argument("function", "The name of a function."), argument("data", "PATH, PATH::SELECTOR or -."))
    app.command("apply", help=text, cls=Usage)(signed(_apply, options, *arguments))
    return with_values(words, options)


def _apply(function: str, data: str, **options: Any) -> None:
    files = {key: options[key] for key in ("jacobian", "output") if options[key] not in (None, INTO_OUTPUT)}
    distinct_files([data], list(files.values()))
    source = open_source(data, dtype=options["dtype"] or "")
    made = _one_hot(source, options) if function.replace("_", "-") == "one-hot" else _applied(function, source, options)
    asked = options["jacobian"] is not None
    with np.errstate(all="ignore"):
        jacobian = made.jacobian() if asked else None
    if "jacobian" in files and jacobian is not None:
        write_array(files["jacobian"], jacobian)
    if _is_array_file(options):
        write_array(files["output"], made.value)
        return
    write(_text(function, source, made.value, jacobian, files.get("jacobian"), options), options)


def _applied(function: str, source: Source, options: Mapping[str, Any]) -> Applied:
    if options["num_classes"] is not None:
        raise UsageError("option-unknown", f"--num-classes means nothing to {function}")
    with np.errstate(all="ignore"):
        return get_function(function)(source, options["axis"])


def _one_hot(source: Source, options: Mapping[str, Any]) -> Applied:
    labels = np.asarray(source.array, dtype=np.float64)
    bad = ~(np.isfinite(labels) & (labels == np.floor(labels)) & (labels >= 0))
    limit = options["num_classes"]
    if limit is not None:
        bad |= labels >= limit
    if bad.any():
        at = np.unravel_index(int(np.argmax(bad)), labels.shape)
        span = f"in 0..{limit - 1}" if limit is not None else "a whole number of at least 0"
        message = f"label {labels[at]:g} is not {span}"
        raise DataError("label-range", message, place=source.place(tuple(int(i) for i in at)))
    if not labels.size:
        raise DataError("data-empty", "no data rows", place=Place(source.name))
    return Applied(one_hot(labels.astype(np.intp), limit or int(labels.max()) + 1), _no_jacobian)


def _no_jacobian() -> Array:
    raise UsageError("jacobian-none", "one-hot reads labels, which have no slope")


def _is_array_file(options: Mapping[str, Any]) -> bool:
    """Whether -o names a file of numbers rather than one of text."""
    path = options["output"]
    return path is not None and not as_json(options) and Path(path).suffix.lower() not in ("", ".txt", ".json")


def _text(
    function: str, source: Source, value: Array, jacobian: Array | None, saved: str | None, options: Mapping[str, Any]
) -> str:
    if as_json(options):
        from losscli.documents import document

        content: dict[str, Any] = {
            "function": function,
            "inputs": [{"source": source.name, "shape": list(source.shape), "dtype": str(source.dtype)}],
            "shape": list(value.shape),
            "values": value,
        }
        if jacobian is not None:
            told = {"file": saved} if saved else {"values": jacobian}
            content["jacobian"] = {"shape": list(jacobian.shape), **told}
        return document("apply", content)
    if options["quiet"]:
        rows = value.reshape(-1, value.shape[-1]) if value.ndim > 1 else value.reshape(-1, 1)
        return "\n".join(" ".join(map(repr, row)) for row in rows.tolist())
    from losscli import render

    shown = None if saved else jacobian
    return render.text_of(*render.apply_tables(function, source, value, shown), color=options["color"])
