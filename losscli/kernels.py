"""What a kernel returns: Rows, Pooled or Batch, a closed list.

A kernel is arithmetic only. It takes the variables of its family's fold (see families) as float64 arrays with
rows first, and its parameters as keyword-only arguments. Slopes are thunks: a run that wants the value alone never
pays for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from losscli.inputs import Array

Slope = Array | tuple[Array, ...]


class Seldom(tuple[Any, ...]):
    """Partials of which some are seldom asked for: those are thunks, called when they are."""

    def __getitem__(self, at: Any) -> Any:
        found: Any = super().__getitem__(at)
        if isinstance(at, slice):
            return Seldom(found)
        return found() if callable(found) else found

    def __iter__(self) -> Iterator[Array]:
        return (self[at] for at in range(len(self)))


class Mixture(Seldom):
    """Partials of scale·(t·first + (1 - t)·second) by first, second and t: a fold may know a shorter way for them."""

    weight: Array
    scale: float

    @classmethod
    def of(cls, weight: Array, by_weight: Callable[[], Array], scale: float = 1.0) -> Mixture:
        """Those of a mixture by the weight of its first part."""
        made = cls((lambda: scale * weight, lambda: scale * (1.0 - weight), by_weight))
        made.weight, made.scale = weight, scale
        return made


@dataclass(frozen=True)
class Rows:
    """Independent rows: a value for each, and partial derivatives with respect to the fold's variables."""

    value: Array
    grad: Callable[[], Slope]
    hess: Callable[[], Slope] | None = None


@dataclass(frozen=True)
class Pooled:
    """A function of sums over rows: the terms of each row, then value and partials given the totals of the terms.

    ``value`` broadcasts over totals, so that many what-ifs are one call. Who wants the partials has the totals already.
    """

    terms: Callable[[], tuple[Array, ...]]
    value: Callable[..., Array]
    grad: Callable[..., Slope]
    hess: Callable[..., Slope] | None = None

    def weighed(self, weight: Array | None) -> tuple[Array, ...]:
        """The terms times the weight of each row."""
        terms = self.terms()
        return terms if weight is None else tuple(term * weight for term in terms)

    def totals(self, weight: Array | None) -> tuple[Any, ...]:
        """The totals of the weighed terms."""
        return tuple(term.sum() for term in self.weighed(weight))


@dataclass(frozen=True)
class Batch:
    """Groups of rows that need each other: a value per group (G,), partials per row."""

    value: Array
    grad: Callable[[], Slope]
    hess: Callable[[], Slope] | None = None


Kernel = Callable[..., Rows | Pooled | Batch]
