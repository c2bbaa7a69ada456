"""Formats of numbers: how finely each of them rounds, and from where on it has fewer digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Precision:
    """A floating point format: half the distance from 1 to the next number, and the least normal number."""

    name: str
    unit: float
    tiny: float

    def holds(self, x: Array) -> bool:
        """Whether every number is one of this format."""
        if self.name == "bfloat16":
            return FORMATS["float32"].holds(x) and not (x.astype(np.float32).view(np.uint32) & 0xFFFF).any()
        with np.errstate(over="ignore"):
            return bool(np.array_equal(x.astype(self.name), x, equal_nan=True))

    def rounded(self, x: Array) -> Array:
        """The nearest numbers of this format, as float64."""
        with np.errstate(over="ignore"):
            if self.name != "bfloat16":
                return x.astype(self.name).astype(np.float64)
            bits = x.astype(np.float32).view(np.uint32)
            halves = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
            return np.where(np.isnan(x), np.nan, halves.astype(np.uint32).view(np.float32)).astype(np.float64)

    def step(self, at: Array) -> Array:
        """The distance between neighbouring numbers of this format at some numbers."""
        _, exponent = np.frexp(np.maximum(np.abs(at), self.tiny))
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(np.ldexp(self.unit, exponent))

    def ulps(self, gap: Array, at: Array) -> Array:
        """Gaps in distances between neighbouring numbers of this format."""
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(gap / self.step(at))


FORMATS = {
    "float64": Precision("float64", 2.0**-53, 2.0**-1022),
    "float32": Precision("float32", 2.0**-24, 2.0**-126),
    "bfloat16": Precision("bfloat16", 2.0**-8, 2.0**-126),
    "float16": Precision("float16", 2.0**-11, 2.0**-14),
}


@dataclass(frozen=True)
class Printed:
    """A decimal format: so many ``digits`` after the point where they are ``fixed``, else so many in all."""

    digits: int
    fixed: bool

    @property
    def name(self) -> str:
        """Its name in a sentence."""
        return f"{self.digits} {'decimal' if self.fixed else 'digit'}{'s' * (self.digits > 1)}"

    def holds(self, x: Array) -> bool:
        """Whether every number is one of this format."""
        return bool(np.array_equal(self.rounded(x), x))

    def rounded(self, x: Array) -> Array:
        """The nearest numbers of this format; a slow way for a few."""
        form = f".{self.digits}f" if self.fixed else f".{self.digits - 1}e"
        return np.array([float(format(one, form)) for one in x.tolist()])

    def half(self, x: Array) -> Array:
        """What printing moves each number by at most."""
        if self.fixed:
            return np.full(x.shape, 0.5 * 10.0**-self.digits)
        with np.errstate(divide="ignore", invalid="ignore"):
            half = 0.5 * 10.0 ** (np.floor(np.log10(np.abs(x))) + 1.0 - self.digits)
        return np.asarray(np.where(np.isfinite(x), half, 0.0))
