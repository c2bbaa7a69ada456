"""The path integral as a witness of single entries of a function's claimed gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from losscli.inputs import Array
from losscli.verifier.numeric.kinks import OFFSETS, spread
from losscli.verifier.own.entries import Entries
from losscli.verifier.witness.witnesses import path_integral

_LENGTHS = (2.0**-3, 2.0**-8, 2.0**-13)  # of the paths, in sizes of the entry
_BESIDE = 2.0**-23  # the same
_SHOWN = 1e-9  # the same: between values that show how they are rounded, as steps of a power of two may not
_COARSE = 2.0**-8  # the same: where a rounding is as large as the logarithm of a few units in the last place


@dataclass(frozen=True)
class Integral:
    """What a function gains while one entry moves, against the integral of the gradient that it claims.

    ``noise`` is the error of a value, ``allowance`` that of each claim. Nothing is divided by a small step: the errors
    are not those of a difference. ``far`` says that values may be rounded to steps that only large moves show: whatever
    is not plainly wrong counts as the claim.
    """

    entries: Entries
    claim: Array
    noise: float
    allowance: Array
    far: bool = False
    name: str = "path integral"

    def slope(self, index: tuple[int, ...], other: float | None = None) -> float | None:
        """The claim itself where the integral takes its side, NaN where it does not, None where it cannot tell.

        It takes a side only if it does not take that of the ``other`` slope as well.
        """
        claim, whole = float(self.claim[index]), _LENGTHS[0]
        said = self._said(index, 0.0, whole)
        if self.far:
            return float("nan") if said is False else claim
        if said and other is not None:
            # A claim that is wrong close by is hardly missed by an integral over much more.
            if any(self._said(index, 0.0, part) is False for part in _LENGTHS[1:]):
                return float("nan")
            if self._alone(index) or self._said(index, other - claim, whole) is not False:
                return None
        return None if said is None else claim if said else float("nan")

    def spare(self, index: tuple[int, ...]) -> float:  # noqa: ARG002
        """Nothing: what it says is of the value as it is computed."""
        return 0.0

    def _said(self, index: tuple[int, ...], shift: float, far: float) -> bool | None:
        """Whether the integral agrees with the claim, shifted."""
        x = float(self.entries.x[index])
        low, high = self.entries.bounds
        # Far out values are more often finite on the way back.
        up = high - x >= x - low if not self.far or x == 0.0 else x < 0.0
        length = min(far * max(1.0, abs(x)), 0.5 * (high - x if up else x - low))
        v = np.zeros(self.claim.shape)
        v[index] = length if up else -length

        def gradient(x: Array) -> Array:
            # Its other entries may not even be numbers, and do not move.
            made = np.zeros(x.shape)
            made[index] = self.entries.claims(x)[index] + shift
            return made

        noise = max(self.noise, float(self.allowance[index]) * length)
        noise = max(noise, *(self._rounding(index, v, size) for size in ((_SHOWN, _COARSE) if self.far else (_SHOWN,))))
        return path_integral(self._value, self.entries.x, gradient, v=v, noise=noise).agree

    def _rounding(self, index: tuple[int, ...], v: Array, size: float) -> float:
        """The rounding errors of values beside the point, which may be those of larger numbers that cancel."""
        step = np.sign(v) * size * max(1.0, abs(float(self.entries.x[index])))
        values = [self._value(np.clip(self.entries.x + at * step, *self.entries.bounds)) for at in OFFSETS]
        return float(np.nan_to_num(spread(np.array(values)[:, None])[0], posinf=0.0))

    def _alone(self, index: tuple[int, ...]) -> bool:
        """Whether the claim at the point is not between those beside it: an integral does not see a single point."""
        step = np.zeros(self.claim.shape)
        step[index] = _BESIDE * max(1.0, abs(float(self.entries.x[index])))
        sides = (np.clip(self.entries.x + sign * step, *self.entries.bounds) for sign in (-1.0, 1.0))
        one, two = (float(self.entries.claims(side)[index]) for side in sides)
        return abs(float(self.claim[index]) - 0.5 * (one + two)) > 0.5 * abs(two - one)

    def _value(self, x: Array) -> float:
        # Of all rows, though they seem to be independent: the slopes rely on that already.
        return float(self.entries.values([x])[0].sum())
