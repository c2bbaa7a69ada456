"""A check as JUnit XML, the form in which CI systems read test results: one case for each kind of point."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from losscli import __version__
from losscli.verifier.numeric.verdict import Overall

# What XML 1.0 cannot hold, even escaped; messages quote what programs print.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WHOLE = "whole"


@dataclass(frozen=True)
class _Case:
    """One test case: what was looked at, what is said of it, and the worst of its entries."""

    name: str
    verdict: Overall
    checked: int
    entries: Sequence[Mapping[str, Any]] = ()


def junit(verb: str, headline: str, content: Mapping[str, Any], *, strict: bool = False) -> bytes:
    """A test suite of the JSON content of a gradcheck or a verify: XML in UTF-8.

    A case fails where the claim is wrong. One that is undecided, or of which nothing was checked, is skipped; with
    ``strict`` it fails, unless the whole passes: some case fails exactly where the exit code is 1. Source: the schema
    of Jenkins' xUnit plugin.
    """
    made = list(_cases(content))
    harsh = strict and content["verdict"] != "pass"
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(root, "testsuite", name=_clean(f"losscli {verb} {content['loss']}"))
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(content):
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    for case in made:
        _append(suite, case, f"losscli.{verb}.{content['loss']}", headline, harsh=harsh)
    if content.get("notes"):
        ElementTree.SubElement(suite, "system-out").text = _clean("\n".join(content["notes"]))
    for element in (suite, root):
        for word, path in (("tests", "testcase"), ("failures", "*/failure"), ("skipped", "*/skipped")):
            element.set(word, str(len(suite.findall(path))))
        element.set("errors", "0")
    ElementTree.indent(root)
    made_of: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return made_of + b"\n"


def _cases(content: Mapping[str, Any]) -> Iterator[_Case]:
    """Every kind of point, a claimed value, and the whole where none of them has its verdict."""
    said: set[Overall] = set()
    # A verify tells of each of its parts what it is a slope by.
    by = {claim["kind"]: claim["wrt"] for claim in content.get("claims", ())}
    for point in content["points"]:
        kind = point["kind"]
        entries = [entry for entry in content["worst"] if entry["kind"] == kind]
        name = f"{kind} by {by[kind]}" if kind in by else kind
        said.add(point["verdict"])
        yield _Case(name, point["verdict"], point["checked"], entries)
    if "value" in content:
        said.add(content["value"]["verdict"])
        yield _Case("value", content["value"]["verdict"], 1)
    if content["verdict"] not in said and (content["verdict"] != "pass" or not said):
        yield _Case(_WHOLE, content["verdict"], content["checked"])


def _properties(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "losscli", __version__
    for name, value in content["params"].items():
        yield f"parameter {name}", str(value)
    for name in ("verdict", "checked", "seed", "reproduce"):
        yield name, str(content[name])
    for kind, size in content["resolution"].items():
        yield f"resolution {kind}", repr(size)


def _append(suite: ElementTree.Element, case: _Case, classname: str, headline: str, *, harsh: bool) -> None:
    made = ElementTree.SubElement(suite, "testcase", classname=_clean(classname), name=_clean(case.name))
    if case.verdict == "pass":
        return
    failed = case.verdict == "fail" or harsh
    words = "nothing checked" if case.verdict == "not_checked" else headline
    child = ElementTree.SubElement(made, "failure" if failed else "skipped", message=_clean(words))
    if failed:
        child.set("type", case.verdict)
    child.text = _clean("\n".join(["", f"{case.checked} numbers looked at", *map(_line, case.entries), ""]))


def _line(entry: Mapping[str, Any]) -> str:
    """logits[3, 1]: claimed 0.5, reference 0.25 ± 1e-12: fail."""
    place = f"{entry['wrt']}{entry['index']}"
    why = f" ({entry['reason']})" if entry["reason"] else ""
    numbers = f"claimed {entry['claimed']!r}, reference {entry['reference']!r} ± {entry['bar']:.2g}"
    return f"{place}: {numbers}: {entry['verdict']}{why}"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
