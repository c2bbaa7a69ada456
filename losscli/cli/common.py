"""What the verbs share: sources and options from the command line to the types of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from losscli.cli.exits import emit
from losscli.cli.options import Option, choice, option
from losscli.errors import UsageError
from losscli.files import gather, open_source, write_whole
from losscli.files.source import Source
from losscli.inputs import LABEL, Signature
from losscli.loss import Loss, get
from losscli.plan import How


def output_options() -> list[Option]:
    """Options about how a result is written."""
    panel = "Output"
    return [
        option("json", bool, False, "Print one JSON object.", panel=panel, words=("--json",)),
        option("format", str, "table", "table or json.", panel=panel),
        option("output", str | None, None, "Write the result to FILE.", panel=panel, words=("-o", "--output")),
        option("quiet", bool, False, "Print the value or verdict alone.", panel=panel, words=("-q", "--quiet")),
        option("color", str, "auto", "auto, always or never.", panel=panel),
        option("debug", bool, False, "Print a traceback when losscli itself fails.", panel=panel, words=("--debug",)),
    ]


def engine_options() -> list[Option]:
    """Options about how the work is done."""
    return [
        option("threads", int | None, None, "Worker threads; default: one per processor.", panel="Work"),
        option("engine", str, "threads", "serial or threads.", panel="Work"),
    ]


def named_loss(words: Sequence[str]) -> Loss | None:
    """The loss named after the verb, None when there is only an option such as --help."""
    return get(words[0]) if words and not words[0].startswith("-") else None


def read_inputs(signature: Signature, data: Sequence[str]) -> dict[str, Source]:
    """The sources of a loss's inputs."""
    text = [entry.name for entry in signature.inputs if _may_be_text(entry.name, signature)]
    return gather(list(data), signature.names, text=text)


def _may_be_text(name: str, signature: Signature) -> bool:
    entry = next(entry for entry in signature.inputs if entry.name == name)
    # Names are turned into numbers through --classes or the header, wherever classes are known.
    return entry.domain is LABEL or name == "query" or ("classes" in signature.options and name == "target")


def how_of(signature: Signature, options: Mapping[str, Any]) -> How:
    """The shared options as the library's type."""
    classes = options.get("classes")
    return How(
        link=options.get("link") or signature.default_link,
        class_axis=options.get("class_axis", 1),
        classes=tuple(name.strip() for name in classes.split(",")) if classes else (),
        class_weight=_class_weight(options.get("class_weight")),
        label_smoothing=options.get("label_smoothing", 0.0),
        ignore_index=options.get("ignore_index"),
        zero_one_labels=choice("--labels", options.get("labels", "sign"), ("sign", "01")) == "01",
    )


def _class_weight(given: str | None) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Weights written out, a,b,c, or a source of them."""
    if given is None:
        return None
    try:
        return np.array([float(word) for word in given.split(",")])
    except ValueError:
        return np.asarray(open_source(given).array, dtype=np.float64).reshape(-1)


def aside(options: Mapping[str, Any], name: str) -> Source | None:
    """The source of a weight or a mask, if one was given."""
    spec = options.get(name)
    return None if spec is None else open_source(spec)


def write(text: str, options: Mapping[str, Any]) -> None:
    """The result to standard output, or whole into the file of -o."""
    if options["output"]:
        with write_whole(options["output"]) as stream:
            stream.write(text.encode())
    else:
        emit(text)


def color_of(options: Mapping[str, Any]) -> str:
    """When a table is coloured."""
    return choice("--color", options["color"], ("auto", "always", "never"))


def as_json(options: Mapping[str, Any]) -> bool:
    """Whether JSON was asked for."""
    return bool(options["json"]) or choice("--format", options["format"], ("table", "json")) == "json"


def distinct_files(data: Sequence[str], outputs: Sequence[str]) -> None:
    """Refuse to write a result over the data it comes from."""
    read = {spec.partition("::")[0] for spec in data}
    for path in outputs:
        if path in read:
            raise UsageError("output-is-input", f"{path} is both data and output", hint="name another file")
