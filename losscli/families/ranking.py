"""Ranking: scores and relevance of the documents of each query, their order, their pairs and what a place is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from losscli.families.plain import plain
from losscli.inputs import IDENTITY, REAL, Array, Bools, Domain, Fold, Groups, Input, Ints, Link, Signature
from losscli.stable import FEW, row_sums

# Rows of an array, or one row that broadcasts.
Picked = Ints | slice
# Of 2^1000 a thousand million documents can be added up.
GRADE = Domain("a grade from 0 to 1000", 0.0, 1000.0)
# Pairs of documents that are looked at together: their temporaries stay in a core's cache.
_PAIRS = 1 << 15
# A row of so many pairs is looked at on its own, where nothing need be gathered.
_MANY = 512


def spread(per_group: Any, groups: Groups) -> Any:
    """Each group's number, of any kind, given to all its rows."""
    return np.repeat(per_group, groups.sizes)


@dataclass(frozen=True)
class Ragged:
    """Some groups of a block, one after the other, (M,): what is summed, compared and spread within each.

    ``which`` are they, and ``rows`` theirs.
    """

    which: Any
    rows: Ints | slice
    groups: Groups

    @property
    def sizes(self) -> Ints:
        """How many rows each group has."""
        return self.groups.sizes

    def take(self, x: Any) -> Any:
        """The groups' entries of what has one for each row of the block."""
        return x[self.rows]

    def put(self, made: Any, x: Any) -> None:
        """Put such entries where they stand in the block."""
        made[self.rows] = x

    def sum(self, x: Any) -> Any:
        """The sum of each group, (G,)."""
        return self.groups.sum(x)

    def max(self, x: Any) -> Any:
        """The largest entry of each group, (G,)."""
        return self.groups.max(x)

    def spread(self, per_group: Any) -> Any:
        """Each group's number for all its rows."""
        return spread(per_group, self.groups)

    def pick(self, chosen: Bools) -> tuple[Any, Ragged]:
        """The entries of some of the groups, and these groups on their own."""
        sizes = self.sizes[chosen]
        rows = np.flatnonzero(self.spread(chosen))
        return rows, Ragged(slice(None), slice(None), Groups(np.cumsum(sizes) - sizes, sizes))


@dataclass(frozen=True)
class Table:
    """The same of groups of fewer than FEW rows side by side, (G, K), column after column: no sum takes rows singly.

    A group of fewer than K rows has its last one again, which sums leave out: ``live`` is 0 there, and 1 elsewhere
    (None: all have K). Sums add up one column after the other, so that no digit depends on how wide the table is.
    ``rows`` None: all rows of the block, in their order.
    """

    which: Any
    rows: Ints | None
    sizes: Ints
    live: Array | None

    @classmethod
    def of(cls, which: Any, starts: Ints, sizes: Ints) -> Table:
        """The table of groups that start where they do."""
        place = np.arange(sizes.max())[:, None]
        if len(place) == sizes.min() and isinstance(which, slice):
            return cls(which, None, sizes, None)
        return cls(which, (starts + np.minimum(place, sizes - 1)).T, sizes, (place < sizes).T.astype(np.float64))

    def take(self, x: Any) -> Any:
        """The groups' entries of what has one for each row of the block."""
        return np.asfortranarray(x.reshape(len(self.sizes), -1)) if self.rows is None else x[self.rows]

    def put(self, made: Any, x: Any) -> None:
        """Put such entries where they stand in the block."""
        if self.rows is None:
            made.reshape(x.shape)[...] = x
        else:
            made[self.rows] = x

    def sum(self, x: Any) -> Any:
        """The sum of each group, (G,)."""
        return row_sums(x if self.live is None else x * self.live)

    def max(self, x: Any) -> Any:
        """The largest entry of each group, (G,)."""
        return x.max(axis=1)

    def spread(self, per_group: Any) -> Any:
        """Each group's number for all its rows."""
        return per_group[:, None]

    def pick(self, chosen: Bools) -> tuple[Any, Table]:
        """The entries of some of the groups, and these groups on their own."""
        live = None if self.live is None else self.live[chosen]
        return chosen, Table(slice(None), None, self.sizes[chosen], live)


def layouts(groups: Groups) -> list[Ragged | Table]:
    """The groups of a block, those of few rows as a table: how one is laid out depends on its own size alone."""
    small = groups.sizes < FEW
    if small.all():
        return [Table.of(slice(None), groups.starts, groups.sizes)]
    if not small.any():
        return [Ragged(slice(None), slice(None), groups)]
    large, sizes = np.flatnonzero(spread(~small, groups)), groups.sizes[~small]
    return [
        Table.of(small, groups.starts[small], groups.sizes[small]),
        Ragged(~small, large, Groups(np.cumsum(sizes) - sizes, sizes)),
    ]


def limits(groups: Groups) -> tuple[Ints, Ints]:
    """For each row where its group starts and where it ends."""
    return spread(groups.starts, groups), spread(groups.starts + groups.sizes, groups)


def in_order(key: Array, groups: Groups) -> Ints:
    """The rows of each group by ascending key; of equal ones the first stays first."""
    return np.lexsort((key, spread(groups.starts, groups)))


def in_place(rows: Ints, values: Any) -> Any:
    """Numbers in some order of the rows, put back where the rows stand."""
    back = np.empty_like(values)
    back[rows] = values
    return back


def positions(groups: Groups) -> Ints:
    """How many rows come before each row in its group."""
    rows: Ints = np.arange(groups.sizes.sum()) - spread(groups.starts, groups)
    return rows


def pair_sums(terms: Callable[[Picked, Picked], tuple[Any, ...]], low: Ints, high: Ints) -> tuple[Any, ...]:
    """For every row a, the sums over the rows b from ``low[a]`` to before ``high[a]`` of the terms of (a, b).

    Pairs are made a bounded number at a time, and never those of one row in two parts: no sum depends on the others.
    ``terms`` reads arrays at a and b, be they indices or, for a row of many pairs, slices that broadcast.
    """
    counts = high - low
    sums = tuple(np.zeros(len(low), dtype=term.dtype) for term in terms(low[:0], low[:0]))
    for row in np.flatnonzero(counts >= _MANY).tolist():
        for total, term in zip(sums, terms(slice(row, row + 1), slice(low[row], high[row])), strict=True):
            total[row] = np.broadcast_to(term, counts[row]).sum()
    rows: Ints = np.flatnonzero((counts > 0) & (counts < _MANY))
    ends = np.cumsum(counts[rows])
    start = 0
    while start < len(rows):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS, side="right")))
        own = rows[start:stop]
        begins = ends[start:stop] - counts[own] - done
        a = np.repeat(own, counts[own])
        b = np.arange(len(a)) + np.repeat(low[own] - begins, counts[own])
        for total, term in zip(sums, terms(a, b), strict=True):
            total[own] = np.add.reduceat(term, begins)
        start = stop
    return sums


def gains(relevance: Array, gain: str) -> Array:
    """What a document of a grade is worth: 2^grade - 1, exact for whole grades, or the grade itself."""
    if gain == "linear":
        return relevance
    whole = np.floor(relevance)
    power = np.exp2(whole)
    return np.expm1((relevance - whole) * np.log(2.0)) * power + (power - 1.0)


def ideal(worth: Array, groups: Groups, truncation: float = np.inf) -> Array:
    """The largest DCG of each group up to a place, its best order's; a rank, from 0, is discounted by log(2 + rank)."""
    rank = positions(groups)
    best = worth[in_order(-worth, groups)] / np.log(2.0 + rank)
    return groups.sum(best * (rank < truncation))


def _relevance(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> npt.NDArray[Any]:
    """Grades, many of them equal, or real numbers."""
    grades = rng.integers(0, 5, shape).astype(np.float64)
    return grades if rng.random() < 0.5 else rng.normal(size=shape) * scale


def _grades(rng: np.random.Generator, shape: tuple[int, ...], _: float) -> npt.NDArray[Any]:
    """Grades, many of them equal, or numbers between."""
    grades = rng.integers(0, 5, shape).astype(np.float64)
    return grades if rng.random() < 0.5 else rng.uniform(0.0, 5.0, shape)


def ranking(scores: Array, relevance: Array, groups: Groups) -> Fold:
    """Scores, relevance and the groups of rows that belong to one query."""
    return plain("scores", "relevance", "query")(scores, relevance, groups)


_SCORES = Input("scores", REAL, differentiable=True, help="one score per document (N)")
_QUERY = Input(
    "query", IDENTITY, help="which query each document belongs to (N); without it all are one query's", optional=True
)

RANKING = Signature(
    "ranking",
    (_SCORES, Input("relevance", REAL, help="graded relevance per document (N)", draw=_relevance), _QUERY),
    "groups",
    {"values": Link(ranking)},
)
GRADES = Signature(
    "grades",
    (_SCORES, Input("relevance", GRADE, help="grade of relevance per document (N)", draw=_grades), _QUERY),
    "groups",
    {"values": Link(ranking)},
)
