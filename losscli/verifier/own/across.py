"""Entries of several inputs on kinks together: whether what is claimed by all of them is one subgradient.

Of the larger of two equal numbers 1 by either lies between the slopes of its sides; 1 by both is the slope of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from losscli.inputs import Array, Bools
from losscli.verifier.numeric.tied import Tied
from losscli.verifier.own.entries import Entries
from losscli.verifier.own.functions import Inputs
from losscli.verifier.own.surroundings import Surroundings

_PLACES = 16  # of a row, at which the inputs are moved together
_ALONE = 16  # entries moved one by one, of a function that mixes its rows


@dataclass(frozen=True)
class Looked:
    """One input as it was looked at: what is claimed there, which entries are on kinks, and what rounding may be."""

    around: Surroundings
    kinked: Bools
    allowance: Array

    @property
    def entries(self) -> Entries:
        """The input's entries."""
        return self.around.entries

    @property
    def claim(self) -> Array:
        """What is claimed."""
        return self.around.claim

    @property
    def tied(self) -> Tied:
        """What to move together: the entries of a row that are on kinks."""
        e = self.entries
        return Tied(e.sums, self.around.claims, e.x, self.kinked, e.separable, *e.bounds)


@dataclass(frozen=True)
class Across:
    """Inputs of one shape side by side: arrays of (rows, inputs, places in a row)."""

    parts: Sequence[Looked]

    @property
    def name(self) -> str:
        """The names of the inputs."""
        return " and ".join(part.entries.name for part in self.parts)

    @property
    def claim(self) -> Array:
        """What is claimed by all inputs."""
        return self._beside([part.claim for part in self.parts])

    @property
    def allowance(self) -> Array:
        """What the rounding of the claims may be."""
        return self._beside([part.allowance for part in self.parts])

    def tied(self) -> Iterator[Tied]:
        """What to move together: the entries on kinks at one place of all inputs, and those at all places of a row."""
        kinked = self._beside([part.kinked for part in self.parts]).astype(np.bool_)
        shared = kinked & (kinked.sum(axis=1, keepdims=True) > 1)
        places = np.flatnonzero(shared.any(axis=(0, 1)))
        limit = _PLACES if self.separable else max(1, _ALONE // len(kinked))
        for place in places[np.linspace(0, places.size - 1, min(places.size, limit)).astype(int)]:
            yield self._tied(shared & (np.arange(kinked.shape[2]) == place))
        met = kinked & (kinked.any(axis=2).sum(axis=1) > 1)[:, None, None]
        if kinked.shape[2] > 1 and met.any():
            yield self._tied(met)

    @cached_property
    def separable(self) -> bool:
        """Whether each row's value depends on that row of all these inputs alone."""
        return all(part.entries.separable for part in self.parts)

    def _tied(self, moving: Bools) -> Tied:
        def gradient(x: Array) -> Array:
            # What is not moved together is moved by itself: a subgradient is a mean of slopes all around.
            inputs = self.parts[0].around.moved()
            beside = self._beside([np.atleast_1d(inputs[part.entries.name]) for part in self.parts])
            given = {**inputs, **self._inputs(np.where(moving, x, beside))}
            return self._beside([self._claims(part, given) for part in self.parts])

        x = self._beside([part.entries.x for part in self.parts])
        low, high = (
            self._beside([np.full(part.entries.x.shape, part.entries.bounds[side]) for part in self.parts])
            for side in (0, 1)
        )
        return Tied(self._values, gradient, x, moving, self.separable, low, high)

    def _values(self, x: Array) -> Array:
        first, inputs = self.parts[0].entries, self._inputs(x)
        entries = replace(first, inputs={**first.inputs, **inputs}, apart=self.separable)
        return entries.sums(np.atleast_1d(inputs[first.name]))

    @staticmethod
    def _claims(part: Looked, inputs: Inputs) -> Array:
        entries = replace(part.entries, inputs=inputs)
        return entries.claims(entries.x)

    def _beside(self, arrays: Sequence[Array | Bools]) -> Array:
        """Arrays of the inputs' shape side by side; of one axis, of a function that mixes its entries, one row."""
        rows = 1 if arrays[0].ndim == 1 and not self.separable else len(arrays[0])
        return np.stack([array.reshape(rows, -1) for array in arrays], axis=1)

    def _inputs(self, x: Array) -> Inputs:
        names = [part.entries.name for part in self.parts]
        shape = np.shape(self.parts[0].entries.inputs[names[0]])
        return {name: x[:, at].reshape(shape) for at, name in enumerate(names)}


def across(looked: Sequence[Looked]) -> Iterator[Across]:
    """The inputs that have a shape in common with others, entries of them on kinks."""
    shapes: dict[tuple[int, ...], list[Looked]] = {}
    for one in looked:
        if one.kinked.any():
            shapes.setdefault(np.shape(one.entries.inputs[one.entries.name]), []).append(one)
    yield from (Across(parts) for parts in shapes.values() if len(parts) > 1)
