"""Random inputs and options for comparisons with other libraries, in few digits: what is recorded stays readable."""

from __future__ import annotations

from typing import Any

import numpy as np


class Draws:
    """Draws of one shape, or of one between bounds: a library that compiles for each shape had better see few."""

    def __init__(
        self, rng: np.random.Generator, rows: tuple[int, int] = (4, 5), width: tuple[int, int] = (3, 4)
    ) -> None:
        self.rng = rng
        self.rows, self.width = self._within(rows), self._within(width)

    def _within(self, bounds: tuple[int, int]) -> int:
        low, high = bounds
        return low if high == low + 1 else int(self.rng.integers(low, high))

    def shape(self) -> tuple[int, ...]:
        """That of a list or of a table."""
        return (self.rows, self.width) if self.coin() else (self.rows,)

    def real(self, *shape: int, scale: float = 2.0) -> Any:
        """Numbers of either sign."""
        return np.round(scale * self.rng.standard_normal(shape), 3)

    def unit(self, *shape: int) -> Any:
        """Numbers between 0.02 and 0.98."""
        return np.round(self.rng.uniform(0.02, 0.98, shape), 3)

    def positive(self, *shape: int) -> Any:
        """Numbers above 0."""
        return np.round(self.rng.lognormal(size=shape) + 0.01, 3)

    def simplex(self) -> Any:
        """(rows, width) positive probabilities in 64ths."""
        left = 64 - self.width
        return (1 + self.rng.multinomial(left, np.full(self.width, 1 / self.width), self.rows)) / 64

    def holes(self, width: int = 0) -> Any:
        """(rows, width) probabilities in 64ths, some of them 0."""
        return self.rng.multinomial(64, self.rng.dirichlet(np.ones(width or self.width)), self.rows) / 64

    def labels(self, width: int = 0) -> Any:
        """A class per row."""
        return self.rng.integers(0, width or self.width, self.rows)

    def binary(self, *shape: int) -> Any:
        """0 or 1, or numbers between."""
        return self.unit(*shape) if self.coin() else self.rng.integers(0, 2, shape).astype(float)

    def signs(self, *shape: int) -> Any:
        """-1 or 1."""
        return self.rng.choice([-1.0, 1.0], shape)

    def both_signs(self) -> Any:
        """(rows,) of -1 and 1, both of them."""
        return self.rng.permutation(np.where(np.arange(self.rows) % 2 == 0, -1.0, 1.0))

    def coin(self) -> bool:
        """One way or the other."""
        return bool(self.rng.integers(2))

    def number(self, low: float, high: float) -> float:
        """One number between two others."""
        return float(np.round(self.rng.uniform(low, high), 2))
