"""Every dialect beside the library that it speaks like: values, gradients and Hessians on random data and options.

Each library has a module ``benchmarks.parity_<peer>`` with a function ``comparisons(seed)`` that yields Comparisons. A
library that is not installed is left out. ``--record`` keeps some of them in tests/references_<peer>.csv, so that the
tests hold them without the library; ``--write`` makes docs/dialects.md.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.metadata
import importlib.util
import json
import math
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
# Options are read as the tests read them: what is recorded is what was compared.
sys.path.insert(0, str(ROOT / "tests"))

import recorded  # noqa: E402

import losscli  # noqa: E402
from losscli.dialects import PEERS, dialects_of  # noqa: E402
from losscli.loss import Bound, catalogue  # noqa: E402

# SciPy offers losses in their exact form.
LIBRARIES = (*PEERS, "scipy")
PACKAGES = {"sklearn": "scikit-learn"}
BAR = 1e-10
KINDS = ("value", "gradient", "hessian")
COLUMNS = ("loss", "params", "options", "inputs", "value", "gradient", "hessian", "bar", "library", "version", "call")
PAGE = ROOT / "docs" / "dialects.md"


@dataclass(frozen=True)
class Numbers:
    """What a library returns: what it does not offer is None, or is not among the names of inputs."""

    value: Any = None
    gradient: Mapping[str, Any] = field(default_factory=dict)
    hessian: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """One call of a library, beside the same loss in its dialect.

    ``call`` is what is run there; ``theirs`` runs it. ``params`` are those of the loss, ``options`` those that
    tests/recorded.py knows. ``bar`` is the largest relative difference that passes: more than rounding only where the
    library itself computes in fewer digits. ``record``: keep it for the tests.
    """

    loss: str
    call: str
    data: Mapping[str, Any]
    theirs: Callable[[], Numbers]
    params: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    bar: float = BAR
    record: bool = False


@dataclass
class Tally:
    """The comparisons of a loss: how many, the worst difference of each kind of number, and what went wrong."""

    count: int = 0
    worst: dict[str, float] = field(default_factory=dict)
    bar: float = 0.0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A library's comparisons by loss, and the rows to record; no version where it is not installed."""

    peer: str
    version: str = ""
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    rows: tuple[Mapping[str, str], ...] = ()


def difference(ours: Any, theirs: Any) -> float:
    """The largest difference of two arrays, relative to the largest entry; entries that are not finite must match."""
    mine, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if mine.shape != other.shape:
        return math.inf
    finite = np.isfinite(other)
    # NaN in ours alone would be lost in a maximum.
    if not (np.array_equal(mine[~finite], other[~finite], equal_nan=True) and np.isfinite(mine[finite]).all()):
        return math.inf
    mine, other = mine[finite], other[finite]
    gap, size = np.abs(mine - other).max(initial=0.0), np.abs(other).max(initial=0.0)
    return 0.0 if gap == 0.0 else float(gap / size) if size else math.inf


def compare(peer: str, one: Comparison) -> tuple[dict[str, float], Numbers]:
    """The difference of each kind of number, and the library's own."""
    bound, arguments = recorded.asked(one.loss, one.params, options_of(peer, one))
    theirs = _offered(one.theirs(), bound)
    gradient, hessian = recorded.slopes(bound, one.data, arguments, theirs.gradient, theirs.hessian)
    found = {}
    if theirs.value is not None:
        found["value"] = difference(losscli.evaluate(bound, one.data, **arguments).value, theirs.value)
    for kind, mine, other in (("gradient", gradient, theirs.gradient), ("hessian", hessian, theirs.hessian)):
        if other:
            found[kind] = max(difference(mine[name], other[name]) for name in other)
    return found, theirs


def _offered(theirs: Numbers, bound: Bound) -> Numbers:
    """What a library returns, without the slopes that its dialect does not offer."""
    known = bound.loss.reads.differentiable
    gradient, hessian = ({name: by[name] for name in by if name in known} for by in (theirs.gradient, theirs.hessian))
    return replace(theirs, gradient=gradient, hessian=hessian)


def options_of(peer: str, one: Comparison) -> dict[str, Any]:
    """The options of a comparison, with the dialect among them where there is one."""
    return {**({"like": peer} if peer in PEERS else {}), **one.options}


def run(peer: str, seed: int) -> Run:
    """All comparisons of a library."""
    package = PACKAGES.get(peer, peer)
    if importlib.util.find_spec(f"benchmarks.parity_{peer}") is None or importlib.util.find_spec(peer) is None:
        return Run(peer)
    module = importlib.import_module(f"benchmarks.parity_{peer}")
    # Without the suffix of the build, such as +cpu.
    version = str(importlib.import_module(peer).__version__).split("+")[0]
    tallies: dict[str, Tally] = {}
    rows = []
    for one in module.comparisons(seed):
        tally = tallies.setdefault(one.loss, Tally())
        tally.count += 1
        tally.bar = max(tally.bar, one.bar)
        about = f"{one.call} with {dict(one.params)} {dict(one.options)}"
        try:
            found, theirs = compare(peer, one)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong on either side is a row that fails
            tally.faults.append(f"{about}: {type(error).__name__}: {error}")
            continue
        for kind, gap in found.items():
            tally.worst[kind] = max(tally.worst.get(kind, 0.0), gap)
            if not gap <= one.bar:
                tally.faults.append(f"{about}: {kind} differs by {gap:.1e}")
        if one.record:
            rows.append(row(peer, one, theirs, package, version))
    return Run(peer, version, tallies, tuple(rows))


def row(peer: str, one: Comparison, theirs: Numbers, package: str, version: str) -> dict[str, str]:
    """A comparison as a row of a table of references."""
    return {
        "loss": one.loss,
        "params": to_json(one.params),
        "options": to_json(options_of(peer, one)),
        "inputs": to_json(one.data),
        "value": "" if theirs.value is None else to_json(theirs.value),
        "gradient": to_json(theirs.gradient) if theirs.gradient else "",
        "hessian": to_json(theirs.hessian) if theirs.hessian else "",
        "bar": f"{one.bar:g}",
        "library": package,
        "version": version,
        "call": one.call,
    }


def to_json(value: Any) -> str:
    """Arrays as nested lists, floats in their shortest form; NaN and Infinity as Python reads them."""
    return json.dumps(value, default=lambda x: x.tolist())


def runs(peers: Iterable[str], seed: int) -> list[Run]:
    """The runs of libraries, each in a process of its own: some do not bear each other."""
    peers, context = list(peers), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        return list(pool.map(run, peers, [seed] * len(peers)))


def table(found: Iterable[Run]) -> str:
    """A line for each loss of each library, what failed, and a total."""
    lines, faults, total = [], [], 0
    heads = ["compared", *(f"worst {kind}" for kind in KINDS)]
    lines.append(f"{'loss':<28} {'like':<10} {heads[0]:>8}" + "".join(f" {head:>15}" for head in heads[1:]))
    for one in found:
        if not one.version:
            lines.append(f"{'-':<28} {one.peer:<10} not installed, or nothing to compare")
        for loss, tally in sorted(one.tallies.items()):
            cells = [shown(tally.worst.get(kind)) for kind in KINDS]
            note = "" if tally.bar <= BAR else f"  (may be {tally.bar:g})"
            lines.append(
                f"{loss:<28} {one.peer:<10} {tally.count:>8}" + "".join(f" {cell:>15}" for cell in cells) + note
            )
            faults += [f"{one.peer} {loss}: {fault}" for fault in tally.faults]
            total += tally.count
    lines.append(f"{total} comparisons, {len(faults)} beyond the bar")
    return "\n".join([*lines, *faults])


def shown(gap: float | None) -> str:
    """A relative difference; nothing where there is none."""
    return "" if gap is None else "0" if gap == 0.0 else f"{gap:.0e}"


def page(found: Iterable[Run]) -> str:
    """docs/dialects.md: what each library does, and how near the dialect is to it."""
    by_peer = {one.peer: one for one in found}
    versions = ", ".join(f"{PACKAGES.get(one.peer, one.peer)} {one.version}" for one in by_peer.values() if one.version)
    lines = [
        "# Dialects",
        "",
        "`--like LIBRARY` computes a loss as that library does. `losscli dialects LOSS DATA...` shows what each would",
        "return on your data.",
        "",
        f"Compared with {versions}, by `python -m benchmarks parity --write`: random data, weights, reductions and",
        "parameters, in double precision. The last column is the largest difference of a value, gradient or Hessian",
        "from the library's own, relative to the largest entry; a dash where nothing was compared.",
        "",
        "| loss | like | call | how its numbers differ from the exact form | compared | worst |",
        "| --- | --- | --- | --- | ---: | ---: |",
    ]
    for name, loss in catalogue().items():
        for peer, dialect in dialects_of(loss).items():
            tally = by_peer[peer].tallies.get(name, Tally()) if peer in by_peer else Tally()
            worst = shown(max(tally.worst.values(), default=None)) or "-"
            cells = (name, peer, f"`{dialect.call}`", dialect.why or "by rounding alone", str(tally.count), worst)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks parity", description=__doc__)
    parser.add_argument("--peer", action="append", choices=LIBRARIES, help="one library only; may be given again")
    parser.add_argument("--seed", type=int, default=0, help="the seed of data and options")
    parser.add_argument("--record", action="store_true", help="replace tests/references_<peer>.csv")
    parser.add_argument("--write", action="store_true", help="replace docs/dialects.md")
    args = parser.parse_args(argv)
    if args.write and args.peer:
        parser.error("--write needs all libraries")
    found = runs(args.peer or LIBRARIES, args.seed)
    print(table(found))
    failed = any(tally.faults for one in found for tally in one.tallies.values())
    for one in found if args.record and not failed else ():
        if one.rows:
            with (ROOT / "tests" / f"references_{one.peer}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(one.rows)
    if args.write:
        PAGE.write_text(page(found), encoding="utf-8")
    return int(failed)
