"""What a gradcheck or a verify has found, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from losscli.render.tables import facts, table


def check_tables(headline: str, about: Mapping[str, Any]) -> list[RenderableType]:
    """The tables of a gradcheck: its headline, what was looked at, and where claim and reference differ most."""
    rows = [
        ("checked", f"{about['checked']}: {_counts(about)}"),
        ("points", ", ".join(f"{point['kind']} {point['checked']}" for point in about["points"])),
        *_certificate(about),
        ("resolution", _resolution(about)),
        ("methods", _methods(about)),
        *_diagnosis(about),
        ("planted faults", f"{about['selftest']['caught']} of {about['selftest']['planted']} caught"),
        ("seed", about["seed"]),
        ("reproduce", about["reproduce"]),
        *(("note", note) for note in about.get("notes", ())),
    ]
    parts = [Text(headline, style=_style(about)), facts(rows)]
    return [*parts, _worst_table(about)] if about["worst"] else parts


def verify_tables(headline: str, about: Mapping[str, Any]) -> list[RenderableType]:
    """The tables of a verify: its headline, what was claimed, and where claim and reference differ most."""
    rows: list[tuple[str, object]] = [("checked", f"{about['checked']}: {_counts(about)}")]
    if "value" in about:
        value = about["value"]
        rows.append(("value", f"{value['claimed']!r}, exactly {value['reference']!r} ± {value['bar']:.1e}"))
    for claim in about["claims"]:
        ulps = ", ".join(f"{name} {size:.2g}" for name, size in claim["ulps"].items())
        rows.append((claim["kind"], f"by {claim['wrt']}, in {claim['precision']}; units in the last place: {ulps}"))
    if about["claims"]:
        rows += [("resolution", _resolution(about)), ("methods", _methods(about))]
        rows.append(("planted faults", f"{about['selftest']['caught']} of {about['selftest']['planted']} caught"))
    rows += _diagnosis(about)
    rows.append(("reproduce", about["reproduce"]))
    parts = [Text(headline, style=_style(about)), facts(rows)]
    return [*parts, _worst_table(about)] if about["worst"] else parts


def _style(about: Mapping[str, Any]) -> str:
    return {"pass": "bold green", "fail": "bold red"}.get(about["verdict"], "bold yellow")


def _counts(about: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} {word.replace('_', ' ')}" for word, n in about["counts"].items() if n)


def _methods(about: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{entry['name']} {entry['evaluations']} evaluations{'' if entry['agree'] else ', disagrees'}"
        for entry in about["methods"]
    )


def _diagnosis(about: Mapping[str, Any]) -> list[tuple[str, object]]:
    """What a wrong claim looks like, one explanation a row."""
    rows: list[tuple[str, object]] = []
    for one in about["diagnosis"]:
        words = " or ".join((one["hypothesis"] or "the true one", *one["coincides"]))
        rows.append(("looks like", f"{words}; times {one['scale']:.6g}, all but {one['residual']:.1e} of it"))
    return rows


def _certificate(about: Mapping[str, Any]) -> list[tuple[str, object]]:
    if "certificate" not in about:
        return []
    found = about["certificate"]
    bound = f"‖error‖ ≤ {found['norm_bound']:.1e}, ‖gradient‖ = {found['norm']:.3g}"
    at = f"with confidence {found['confidence']:.1%}, by {found['probes']} random directions"
    return [("all entries", f"{found['verdict'].replace('_', ' ')}: {found['entries']} together: {bound} {at}")]


def _resolution(about: Mapping[str, Any]) -> str:
    size = about["resolution"]
    return f"{size['abs']:.2g} absolute, {size['rel']:.2g} of the largest slope"


def _worst_table(about: Mapping[str, Any]) -> RenderableType:
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
    return table(("largest differences", "claimed", "reference", "in bars", "verdict"), worst)
