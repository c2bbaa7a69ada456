"""How often a planted fault is named: plain NumPy gradients with one thing wrong, on unseen draws.

A claim is named where its fault is the first explanation, or one that says the same of these data. Claims come in
double, and as float32 and bfloat16 programs write them: then there may be too little to tell a fault by, and such
claims, which no verdict calls wrong, are counted apart. Right gradients and noise must have no explanation.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
# The faults are those of the tests, on other draws.
sys.path.insert(0, str(ROOT / "tests"))

import planted  # noqa: E402

import losscli  # noqa: E402
from losscli.precision import FORMATS  # noqa: E402
from losscli.results import Wants  # noqa: E402
from losscli.verifier.dumps.claims import verify  # noqa: E402

WANTED = 0.95


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks diagnosis", description=__doc__)
    parser.add_argument("--draws", type=int, default=2, help="draws of every fault, of some 270 each")
    parser.add_argument("--formats", default="float64,float32,bfloat16", help="formats of the claims")
    parser.add_argument("--every", type=int, default=1, help="look at one fault of so many")
    parser.add_argument("--seed", type=int, default=1000)
    given = parser.parse_args(argv)
    worst = 1.0
    for name in given.formats.split(","):
        faults = [fault for draw in range(given.draws) for fault in planted.planted(given.seed + draw)]
        worst = min(worst, _look(name, faults[:: given.every]))
    strange = sum(_silent(given.seed + draw) for draw in range(20))
    print(f"right gradients and noise with an explanation: {strange} of 60")
    return 0 if worst >= WANTED and not strange else 1


def _look(name: str, faults: list[planted.Planted]) -> float:
    """Print how many of the faults are named in claims of a format; the share of those that are seen."""
    seen: Counter[str] = Counter()
    named: Counter[str] = Counter()
    hidden = 0
    for fault in faults:
        claim = FORMATS[name].rounded(np.asarray(fault.claim))
        made = replace(fault, claim=claim)
        found = verify(fault.bound, fault.data, replace(made.claims, precision=name), **fault.options)
        if found.verdict != "fail":
            hidden += 1
            continue
        seen[fault.kind] += 1
        named[fault.kind] += made.named_by(found.diagnosis)
    print(f"{name}: {len(faults)} faults, {seen.total()} of them seen, {named.total()} named, {hidden} within rounding")
    for kind in sorted(seen):
        if named[kind] < seen[kind]:
            print(f"  {kind}: {named[kind]} of {seen[kind]}")
    return named.total() / max(1, seen.total())


def _silent(seed: int) -> int:
    """How many claims have an explanation that should have none."""
    return sum(bool(found) for found in _unexplained(np.random.default_rng(seed)))


def _unexplained(rng: np.random.Generator) -> Iterator[tuple[object, ...]]:
    z, y = rng.normal(size=(24, 5)), rng.integers(0, 5, 24)
    bound, data = losscli.get("ce").bind(), {"logits": z, "labels": y}
    right = losscli.evaluate(bound, data, wants=Wants(grad="logits")).gradient
    for claim in (right, right.astype(np.float32), rng.normal(size=z.shape)):
        yield verify(bound, data, losscli.Claims(grad=claim)).diagnosis


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
