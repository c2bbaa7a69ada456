"""Allowances behind a linear head: those of the scores, carried through the head's own sums.

A score is a sum of D products, an error of k·u of whose sizes it brings along; a slope by weights is one of N products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from losscli.dialects import like
from losscli.inputs import Array
from losscli.loss import get
from losscli.precision import Precision
from losscli.verifier.allowance import ExactSlopes, allowance, value_allowance

_NAMES = ("features", "weights", "bias")


def allowed(slopes: ExactSlopes, precision: Precision) -> Array:
    """The allowance of every slope of a block, be it behind a linear head or not."""
    head = Head.of(slopes, precision)
    return allowance(slopes, precision) if head is None else head.slopes()


def values_allowed(slopes: ExactSlopes, precision: Precision) -> Array:
    """The allowance of every loss of a block, be it behind a linear head or not."""
    head = Head.of(slopes, precision)
    return value_allowance(slopes, precision) if head is None else head.values()


@dataclass(frozen=True)
class Head:
    """A linear head x · w + b and the slopes by the scores that it makes."""

    name: str
    x: Array
    w: Array
    bias: Array | None
    scores: ExactSlopes
    precision: Precision

    @classmethod
    def of(cls, slopes: ExactSlopes, precision: Precision) -> Head | None:
        """The head that a loss is behind; None: it reads scores."""
        plan, bound = slopes.plan, slopes.bound
        if "l1" not in plan.signature.options:
            return None
        x, w, bias, *others = slopes.table.arrays
        plain, dialect = get(bound.loss.name), bound.loss.dialect
        reads = (like(plain, dialect.peer) if dialect is not None else plain).reads
        score = x @ w.T if bias is None else x @ w.T + bias
        name = reads.names[0] if slopes.name in _NAMES else slopes.name
        table = replace(slopes.table, arrays=(score, *others))
        made = replace(slopes, plan=replace(plan, signature=reads), table=table, name=name)
        return cls(slopes.name, x, w, bias, made, precision)

    def _units(self, count: int) -> float:
        return 4.0 * (1.0 + math.log2(max(1, count))) * self.precision.unit

    def _moved(self) -> Array:
        """How far the scores may be off."""
        size = np.abs(self.x) @ np.abs(self.w.T)
        return np.asarray(self._units(self.x.shape[1]) * (size if self.bias is None else size + np.abs(self.bias)))

    def slopes(self) -> Array:
        """The allowance of every slope by the head's input, or by another one."""
        with np.errstate(all="ignore"):
            by_score = allowance(self.scores, self.precision) + self._shifted()
            exact = np.abs(self.scores.value)
            power = 2 if self.scores.order == 2 else 1
            x, w = np.abs(self.x) ** power, np.abs(self.w) ** power
            rows = by_score + self._units(len(x)) * exact
            if self.name == "weights":
                return np.asarray(rows.T @ x)
            if self.name == "bias":
                return np.atleast_1d(rows.sum(axis=0))
            if self.name == "features":
                wide = by_score + self._units(self.w.shape[0]) * exact if exact.ndim > 1 else rows
                return np.asarray(wide @ w if exact.ndim > 1 else wide[:, None] * w)
        return by_score

    def _shifted(self) -> Array:
        """What the slopes by the scores move by when the scores are off, each way of a few."""
        signs = np.random.default_rng(0)
        first, *others = self.scores.table.arrays
        total: Any = 0.0
        for _ in range(2):
            fold = self.scores.fold_of([first + self._moved() * signs.choice((-1.0, 1.0), first.shape), *others])
            total = total + np.abs(self.scores.of(fold, fold.variables) - self.scores.value)
        return np.asarray(np.where(np.isnan(total), np.inf, total))

    def values(self) -> Array:
        """The allowance of every loss: that of a loss of scores, and what the scores' errors come to."""
        by_score = replace(self.scores, name=self.scores.plan.signature.names[0], order=1, scale=1.0)
        with np.errstate(all="ignore"):
            moved = np.abs(by_score.value) * self._moved()
            return np.asarray(value_allowance(by_score, self.precision) + moved.reshape(len(moved), -1).sum(axis=1))
