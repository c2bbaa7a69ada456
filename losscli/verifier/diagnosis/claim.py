"""The entries of a claim that a diagnosis looks at, beside the truth and what rounding may do to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from losscli.inputs import Array, Ints
from losscli.verifier.numeric.differences import BoolArray

# Entries that differ in fewer digits than this are the same: claims of float64 carry their own rounding.
EXACT = 1e-9
# However vague the references: what leaves more of a claim than this explains nothing.
_MOST = 0.1


@dataclass(frozen=True)
class Claim:
    """The entries of a claim that can be looked at; all arrays have its shape.

    ``rows`` are the numbers of its rows, ``inputs`` what else is known of every entry, by name.
    """

    claim: Array
    truth: Array
    bar: Array
    looked: BoolArray
    partial: bool
    rows: Ints
    inputs: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        claim: Array,
        reference: Array,
        allowance: Array | float,
        rows: Ints | None = None,
        inputs: Mapping[str, Array] | None = None,
    ) -> Claim:
        """The claim where there is a reference and a finite allowance."""
        unknown = np.isnan(reference)
        bar = np.broadcast_to(np.asarray(allowance, dtype=np.float64), claim.shape)
        looked = np.isfinite(reference) & np.isfinite(bar)
        known = np.arange(len(claim) if claim.ndim else 1) if rows is None else rows
        fitting = {name: array for name, array in (inputs or {}).items() if array.shape == claim.shape}
        return cls(claim, reference, bar, looked, bool(unknown.any()), known, fitting)

    @property
    def fits(self) -> BoolArray:
        """The entries that are fitted: those of them that are numbers."""
        return np.asarray(self.looked & np.isfinite(self.claim))

    @property
    def lost(self) -> BoolArray:
        """The entries that are no numbers, where the truth is one."""
        return np.asarray(self.looked & ~np.isfinite(self.claim))

    @property
    def telling(self) -> BoolArray:
        """The entries that are not zero, as they should be."""
        return np.asarray(self.looked & ((self.truth != 0.0) | (self.claim != 0.0)))

    @property
    def limit(self) -> float:
        """What may be left of the claim when all is explained: the share of it that rounding may be."""
        size = norm(self.truth[self.looked])
        return min(_MOST, max(EXACT, norm(self.bar[self.looked]) / size)) if size > 0.0 else EXACT

    def beside(self, h: Array) -> BoolArray | None:
        """The entries at which a hypothesis is fitted; None: it is no number in other places than the claim."""
        if h.shape != self.claim.shape:
            return None
        fits = self.fits
        number = np.isfinite(h)
        if self.partial:
            both = fits & number
            return both if 2 * np.count_nonzero(both) >= np.count_nonzero(fits) else None
        strange = self.looked & ~number
        if strange.any() and not np.array_equal(strange, self.lost):
            return None
        return np.asarray(fits & number)


def norm(x: Array) -> float:
    """The Euclidean length, without overflow."""
    top = float(np.abs(x).max(initial=0.0))
    return top * float(np.sqrt(((x / top) ** 2).sum())) if 0.0 < top < np.inf else top


def number(x: float) -> str:
    """A factor in as many digits as one reads."""
    return repr(float(f"{x:.7g}"))
