"""Points where something other than the data is varied: parameters, what a loss is multiplied by, a row of NaN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from losscli.loss import Bound, Parameter
from losscli.plan import How
from losscli.verifier.points.material import ROWS, Case, apart, draw, meet, sound

# Exponents and margins where powers lose their curvature, their slope or their value at 0.
_VALUES = (0.0, 0.5, 1.0, 2.0, 5.0)
_STEEP = 37.0


def parameters(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """Every parameter at its bounds, at each of its choices, and where powers change their nature; the others stay."""
    reads = bound.loss.reads
    plain = draw(reads, rng, link, rows=4)
    meets = apart(bound, link, plain)
    # Logits and residuals large enough for p → {0, 1}.
    several = [plain] if meets else [plain, draw(reads, rng, link, rows=4, scale=_STEEP)]
    made = []
    for entry in bound.loss.params:
        values = [value for value in _settings(entry) if value != bound.params[entry.name]]
        # Losses in which all rows meet take their time.
        for value in values[:: max(1, len(values) - 1)] if meets else values:
            other = bound.loss.bind(**{**bound.params, entry.name: value})
            label = f"{entry.name}={value}"
            made += [Case("parameters", data, How(link=link), other, label) for data in sound(other, link, several)]
    return made


def _settings(entry: Parameter) -> Iterator[Any]:
    """Values of a parameter to try."""
    param = entry.param
    if param.draw:
        yield from param.draw
    elif entry.type is bool:
        yield from (False, True)
    elif entry.type is str:
        yield from param.choices
    else:
        values = {*_VALUES, *(bound for bound in (param.at_least, param.at_most) if bound is not None)}
        if param.above is not None and param.below is not None:
            # Of open bounds what is near them.
            values |= {param.above + (param.below - param.above) * share for share in (1.0 / 64.0, 63.0 / 64.0)}
        yield from (entry.type(v) for v in sorted(values) if param.admits(v) and entry.type(v) == v)


def upstreams(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """Weights on the losses of ones, of a single row, and of any size from zero up."""
    reads = bound.loss.reads
    data = draw(reads, rng, link)
    weights: list[Any] = [None]
    if "sample-weight" in reads.options:
        weights = [np.r_[0.0, 1.0, rng.gamma(1.0, size=ROWS - 2)], np.eye(ROWS)[ROWS // 2]]
    return [Case("upstreams", data, How(link=link), sample_weight=weight) for weight in weights]


def containment(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """Rows of which one will be NaN, for losses that have a row each."""
    data = draw(bound.loss.reads, rng, link)
    return [] if meet(bound, link, data) else [Case("containment", data, How(link=link))]
