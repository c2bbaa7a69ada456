"""The path integral as a witness of single entries of a function's claimed gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from losscli.inputs import Array
from losscli.verifier.entries import Entries
from losscli.verifier.functions import RaisedError
from losscli.verifier.witnesses import path_integral

_HALF_WAY = 2.0**-3  # length of the path, in sizes of the entry
_STEPS = (3e-3, 2e-3)  # of the difference that decides where the integral cannot


@dataclass(frozen=True)
class Integral:
    """What a function gains while one entry moves, against the integral of the gradient that it claims.

    ``noise`` is the error of a value. Nothing is divided by a small step: the errors are not those of a difference.
    """

    entries: Entries
    claim: Array
    noise: float
    name: str = "path integral"

    def slope(self, index: tuple[int, ...]) -> float | None:
        """The claim itself where the integral takes its side, the slope by a long difference where it does not."""
        claimed, x = float(self.claim[index]), float(self.entries.x[index])
        size = max(1.0, abs(x))
        low, high = self.entries.bounds
        room = max(high - x, x - low)
        length = min(_HALF_WAY * size, 0.5 * room) * (1.0 if room == high - x else -1.0)
        v = np.zeros(self.claim.shape)
        v[index] = length
        said = path_integral(lambda t: self._value(t, index), self.entries.x, self._claims, v=v, noise=self.noise)
        if said.agree:
            return claimed
        truth, error = self._difference(index, x, size)
        if said.agree is None and (np.isnan(truth) or abs(truth - claimed) <= error):
            # Blind is no witness against anyone.
            return claimed
        return truth

    def _value(self, x: Array, index: tuple[int, ...]) -> float:
        value = self.entries.values([x])[0]
        return float((value[index[0]] if self.entries.separable else value).sum())

    def _claims(self, x: Array) -> Array:
        entries = self.entries
        try:
            claimed = entries.claimant.claims({**entries.inputs, entries.name: x})[entries.name]
            return np.asarray(claimed, np.float64).reshape(x.shape)
        except (RaisedError, KeyError, TypeError, ValueError):
            return np.full(x.shape, np.nan)

    def _difference(self, index: tuple[int, ...], x: float, size: float) -> tuple[float, float]:
        """A central difference of fourth order, and the change at a shorter step for its error."""

        def value(t: float) -> float:
            moved = self.entries.x.copy()
            moved[index] = t
            return self._value(moved, index)

        found = []
        for h in (size * step for step in _STEPS):
            f = [value(x + times * h) for times in (-2, -1, 1, 2)]
            found.append((f[0] - 8.0 * f[1] + 8.0 * f[2] - f[3]) / (12.0 * h))
        return found[1], 4.0 * abs(found[0] - found[1]) + 12.0 * self.noise / (_STEPS[1] * size)
