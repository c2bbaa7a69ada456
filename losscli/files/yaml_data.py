"""YAML: read event by event, so that nothing hostile is ever built and every scalar keeps its line."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator
from typing import Any

from losscli.errors import DataError, Place
from losscli.files.blob import Blob
from losscli.files.nested import MAX_DEPTH, Document, text_of

_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


class _RefusedError(Exception):
    """A piece of YAML that is not read: a code and a message."""


def open_yaml(blob: Blob) -> Document:
    """Return the container of a YAML file: the YAML 1.2 core schema, without aliases, merge keys and tags."""
    import yaml

    text = text_of(blob)
    builder = _Builder()
    try:
        for event in _events(text):
            builder.take(event)
    except _RefusedError as error:
        code, message = error.args
        raise DataError(code, message, place=Place(blob.name, builder.line)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not valid YAML"
        raise DataError("yaml-parse", str(problem), place=Place(blob.name, mark.line + 1 if mark else None)) from None
    # PyYAML's scanner leaks these on short hostile inputs (its issues 843 and 895, and others).
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError):
        raise DataError("yaml-parse", "not valid YAML", place=Place(blob.name, builder.line)) from None
    return Document(blob.name, "yaml", builder.root, builder.lines, builder.starts)


def _events(text: str) -> Iterator[Any]:
    import yaml

    # The C parser is five times faster; some builds of PyYAML come without it.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return iter(yaml.parse(text, Loader=loader))


class _Builder:
    """Nested lists and dicts, grown from events; the line and number of every scalar are kept beside them."""

    def __init__(self) -> None:
        self.root: Any = None
        self.lines = array("q")
        self.starts: dict[str, int] = {}
        self.line = 1
        self._open: list[list[Any] | dict[str, Any]] = []
        self._keys: list[str | None] = []
        self._documents = 0

    def take(self, event: Any) -> None:
        """Add one event."""
        if event.start_mark is not None:
            self.line = event.start_mark.line + 1
        step = getattr(self, "_" + type(event).__name__, None)
        if step is not None:
            step(event)

    def _DocumentStartEvent(self, _: Any) -> None:  # noqa: N802 - named after PyYAML's class
        self._documents += 1
        if self._documents > 1:
            raise _RefusedError("yaml-parse", "a second document; one is read")

    def _AliasEvent(self, event: Any) -> None:  # noqa: N802
        raise _RefusedError("yaml-alias", f"aliases are not read: *{event.anchor}")

    def _SequenceStartEvent(self, event: Any) -> None:  # noqa: N802
        self._enter(event, [])

    def _MappingStartEvent(self, event: Any) -> None:  # noqa: N802
        self._enter(event, {})

    def _SequenceEndEvent(self, _: Any) -> None:  # noqa: N802
        self._leave()

    def _MappingEndEvent(self, _: Any) -> None:  # noqa: N802
        self._leave()

    def _ScalarEvent(self, event: Any) -> None:  # noqa: N802
        _refuse_tag(event)
        if self._open and isinstance(self._open[-1], dict) and self._keys[-1] is None:
            self._key(event.value)
            return
        value = event.value if event.style else _scalar(event.value)
        self._attach(value)
        self.lines.append(self.line)

    def _key(self, key: str) -> None:
        if key == "<<":
            raise _RefusedError("yaml-alias", "merge keys ('<<') are not read")
        mapping = self._open[-1]
        if key in mapping:
            raise _RefusedError("yaml-key", f"the key {key[:40]!r} stands twice")
        self._keys[-1] = key
        if all(isinstance(outer, dict) for outer in self._open):
            self.starts[".".join(str(word) for word in self._keys)] = len(self.lines)

    def _enter(self, event: Any, container: list[Any] | dict[str, Any]) -> None:
        _refuse_tag(event)
        if len(self._open) >= MAX_DEPTH:
            raise _RefusedError("yaml-depth", f"nested deeper than {MAX_DEPTH} levels")
        if self._open and isinstance(self._open[-1], dict) and self._keys[-1] is None:
            raise _RefusedError("yaml-key", "a key has to be a word")
        self._attach(container)
        self._open.append(container)
        self._keys.append(None)

    def _leave(self) -> None:
        self._open.pop()
        self._keys.pop()
        if self._open and isinstance(self._open[-1], dict):
            self._keys[-1] = None

    def _attach(self, value: Any) -> None:
        if not self._open:
            self.root = value
            return
        outer = self._open[-1]
        if isinstance(outer, list):
            outer.append(value)
            return
        outer[str(self._keys[-1])] = value
        # The key of a nested container is dropped when the container ends: the dotted keys within it need it.
        if not isinstance(value, list | dict):
            self._keys[-1] = None


def _refuse_tag(event: Any) -> None:
    if event.tag is not None:
        raise _RefusedError("yaml-tag", f"tags are not read: {event.tag[:40]}")


def _scalar(word: str) -> Any:
    if word in _WORDS:
        return _WORDS[word]
    if _INTEGER.fullmatch(word):
        # Python refuses to read integers of more than 4300 digits; no double needs so many.
        if len(word) > 400:
            raise _RefusedError("yaml-number", f"too large for a double: {word[:20]}...")
        return int(word)
    if _FLOAT.fullmatch(word):
        number = float(word)
        if math.isinf(number):
            raise _RefusedError("yaml-number", f"too large for a double: {word[:40]}")
        return number
    return word
