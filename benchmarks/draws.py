"""Random inputs and options for comparisons with other libraries, in few digits: what is recorded stays readable."""

from __future__ import annotations

from typing import Any

import numpy as np


class Draws:
    """Draws of few shapes: a library that compiles a function for each need not do so often."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.rows, self.width = 4, 3

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

    def labels(self) -> Any:
        """A class per row."""
        return self.rng.integers(0, self.width, self.rows)

    def binary(self, *shape: int) -> Any:
        """0 or 1, or numbers between."""
        return self.unit(*shape) if self.coin() else self.rng.integers(0, 2, shape).astype(float)

    def signs(self, *shape: int) -> Any:
        """-1 or 1."""
        return self.rng.choice([-1.0, 1.0], shape)

    def coin(self) -> bool:
        """One way or the other."""
        return bool(self.rng.integers(2))

    def number(self, low: float, high: float) -> float:
        """One number between two others."""
        return float(np.round(self.rng.uniform(low, high), 2))
