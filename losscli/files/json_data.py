"""JSON: nested lists, or a mapping of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from losscli.errors import DataError, Place
from losscli.files.blob import Blob
from losscli.files.nested import MAX_DEPTH, Document, text_of
from losscli.files.source import Array


class RefusedError(Exception):
    """A value that is valid JSON and is not read."""


def open_json(blob: Blob) -> Document:
    """Return the container of a JSON file. ``NaN`` and ``Infinity`` are read bare and as strings."""
    text = text_of(blob)
    try:
        root = parsed(text)
    except json.JSONDecodeError as error:
        place = Place(blob.name, error.lineno)
        raise DataError("json-parse", f"{error.msg} (column {error.colno})", place=place) from None
    except RefusedError as error:
        raise DataError("json-value", str(error), place=Place(blob.name)) from None
    except ValueError:
        raise DataError("json-value", "an integer of thousands of digits", place=Place(blob.name)) from None
    except RecursionError:
        raise _too_deep(blob.name) from None
    _guard_depth(root, blob.name)
    return Document(blob.name, "json", root)


def parsed(text: str) -> Any:
    """Return what a JSON text says; RefusedError where a key stands twice or a number is too large."""
    return json.loads(text, object_pairs_hook=_unique, parse_float=_finite)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RefusedError(f"the key {twice[:40]!r} stands twice")
    return found


def _finite(token: str) -> float:
    number = float(token)
    if math.isinf(number):
        raise RefusedError(f"too large for a double: {token[:40]}")
    return number


def _guard_depth(root: Any, name: str) -> None:
    level = [root]
    for _ in range(MAX_DEPTH + 1):
        inner = [item for item in level if isinstance(item, list | dict)]
        level = [item for group in inner for item in (group.values() if isinstance(group, dict) else group)]
        if not level:
            return
    raise _too_deep(name)


def _too_deep(name: str) -> DataError:
    return DataError("json-depth", f"nested deeper than {MAX_DEPTH} levels", place=Place(name))


def write_json(stream: BinaryIO, array: Array, columns: Sequence[str]) -> None:  # noqa: ARG001 - the table's signature
    """Write an array as nested lists: strict JSON, floats in their shortest exact form, non-finite ones as strings."""
    values = array.tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        values = spelled(values)
    stream.write(json.dumps(values, allow_nan=False, ensure_ascii=True).encode("ascii") + b"\n")


def spelled(value: Any) -> Any:
    """Return nested lists with every number that JSON has no literal for as a string."""
    if isinstance(value, list):
        return [spelled(item) for item in value]
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
