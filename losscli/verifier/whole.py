"""All entries of a loss's gradient at once, where there are too many to look at each: probes over the whole data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from losscli.inputs import Array
from losscli.loss import Pooled
from losscli.targets import arrange
from losscli.verifier.numeric.differences import BoolArray
from losscli.verifier.numeric.lines import Lines
from losscli.verifier.numeric.locate import Located, locate
from losscli.verifier.numeric.probes import Certificate, probe
from losscli.verifier.objective import Labels, Objective

LARGEST = 10_000_000  # entries; more would take minutes
# Rows this close to a kink, in units of a direction, are not moved: their neighbours need steps to be moved by.
CLOSE = 2.0**-17


def certify(objective: Objective, claim: Array, seed: int) -> tuple[Certificate, Located | None]:
    """Judge the gradient of the summed loss over all rows that count; where it is wrong, find out where.

    ``claim`` has the shape of the objective's input. Rows on a kink and entries on a bound of the domain stay where
    they are. Source: probes.py.
    """
    lines = _Whole(objective).lines(seed)
    certificate = probe(lines, lines.x, claim, seed=seed)
    if certificate.verdict != "fail":
        return certificate, None
    return certificate, locate(lines, lines.x, claim, seed=seed)


@dataclass(frozen=True)
class _Whole:
    """The losses of all rows, evaluated block by block: a block's arithmetic stays in the cache."""

    objective: Objective

    def lines(self, seed: int) -> Lines:
        """The summed loss along lines, term by term where it has terms, inside its domain."""
        objective = self.objective
        domain = objective.plan.signature.domain(objective.name, objective.plan.link)
        f = self._pooled if objective.pooled else lambda x: self._each(x, Objective.values)
        lines = Lines(f, objective.x, domain.low, domain.high)
        if objective.bound.loss.kinks is None or objective.pooled:
            return lines
        return replace(lines, piece=self._labels, held=self._held(lines, seed))

    @cached_property
    def _blocks(self) -> list[Objective]:
        o = self.objective
        tables = [arrange(o.plan, start, stop) for start, stop in o.plan.spans()]
        return [replace(o, table=table) for table in tables if table.weighing.kept]

    def _each(self, x: Array, look: Callable[[Objective, Array], Any]) -> Any:
        if self.objective.shared:
            return np.concatenate([look(block, x) for block in self._blocks])
        ends = np.cumsum([len(block.x) for block in self._blocks])
        parts = np.split(x, ends[:-1])
        return np.concatenate([look(block, part) for block, part in zip(self._blocks, parts, strict=True)])

    def _labels(self, x: Array) -> Labels:
        labels: Labels = self._each(x, Objective.pieces)
        return labels

    def _pooled(self, x: Array) -> Any:
        weight = self.objective.table.weighing.weight
        kernel = self.objective.bound(*self.objective.fold(x).variables)
        assert isinstance(kernel, Pooled)
        return kernel.value(*kernel.totals(weight))

    def _held(self, lines: Lines, seed: int) -> BoolArray | None:
        """The rows near a kink, told by directions that no probe uses: who is left out says nothing of probes."""
        here = self._labels(lines.x)
        if len(here) != len(lines.x) or self.objective.shared:
            return None
        rng = np.random.default_rng([seed, 1])
        near = np.zeros(len(here), np.bool_)
        for _ in range(2):
            v = rng.standard_normal(lines.x.shape) * lines.weights
            for step in (CLOSE, -CLOSE):
                moved = self._labels(lines.x + step * v) != here
                near |= moved.reshape(len(here), -1).any(axis=1)
        return np.broadcast_to(near.reshape(-1, *([1] * (lines.x.ndim - 1))), lines.x.shape)
