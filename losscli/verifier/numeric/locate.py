"""Where a large gradient is wrong: bisection by random directions that move a part of the entries only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from losscli.verifier.numeric.differences import Array
from losscli.verifier.numeric.lines import SUM, Directional, Lines, Quick
from losscli.verifier.numeric.patterns import pattern_of
from losscli.verifier.numeric.probes import excluded

Order = NDArray[np.intp]
Kind = Literal["entries", "whole", "many"]

MANY = 16  # wrong parts from which on it is asked whether all of their entries are wrong
TOO_MANY = 512
ASKED = 16  # entries looked at to answer that; one of them may be right by chance
REPORTED = 8  # entries that stand for very many
WORK = 1 << 31  # entries moved, by all calls of f together
CALLS = 20_000
ROUNDS = 4  # searches, each without the errors found before, along a direction of its own: none hides twice
RUNS = 16  # stretches whose ends are looked for
FEW = 4  # entries looked for where there are too many


@dataclass(frozen=True)
class Hit:
    """A wrong entry: what was claimed, and what the Ridders engine found, ``|truth - reference| <= bar``."""

    index: tuple[int, ...]
    claimed: float
    reference: float
    bar: float


@dataclass(frozen=True)
class Located:
    """The wrong entries, worst first, each confirmed by the engine, and the pattern that they make.

    Where too many are wrong ``entries`` are a few of them. ``complete`` says that no more are known of: with these
    entries put right, random directions found nothing left.
    """

    entries: tuple[Hit, ...]
    pattern: str
    evaluations: int
    complete: bool


def locate(
    f: Callable[[Array], Any] | Lines,
    x: Array,
    gradient: Array,
    *,
    seed: int,
) -> Located:
    """Find the wrong entries of a gradient of f at x that ``probe`` refused.

    That takes about 2,000 calls of f for a million entries, in inverse proportion to them, and at most 20,000.
    Entries go together by halves, along rows or along columns, and the halves that show an error are halved again.
    """
    lines = f if isinstance(f, Lines) else Lines(f, np.asarray(x, np.float64))
    claim = np.asarray(gradient, np.float64).reshape(lines.x.shape).copy()
    calls = min(CALLS, WORK // max(1, claim.size))
    search = _Search(lines, claim, np.random.default_rng(seed), lines.evaluations + calls)
    if not np.isfinite(claim).all():
        bad = np.flatnonzero(~np.isfinite(claim))
        return search.answer(search.confirmed(bad[:REPORTED]), pattern_of(claim.shape, bad), complete=False)
    hits: list[Hit] = []
    left = True
    for _ in range(ROUNDS):
        flat, kind = search.parts()
        if kind == "whole":
            return search.answer(search.confirmed(search.some(flat)), pattern_of(claim.shape, flat), complete=False)
        found = search.confirmed(flat)
        hits += found
        if kind == "many":
            return search.answer(hits, "scattered", complete=False)
        left = search.still_wrong() or not hits
        if not left or search.spent:
            break
    flat = np.array([np.ravel_multi_index(hit.index, claim.shape) for hit in hits], np.intp)
    return search.answer(hits, pattern_of(claim.shape, flat), complete=not left)


@dataclass(frozen=True)
class _Part:
    """Entries [start, stop) of an order, and their share in the residual along the direction of a search."""

    start: int
    stop: int
    residual: Directional

    @property
    def wrong(self) -> bool:
        return excluded(self.residual)

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass
class _Search:
    """One claim under bisection; entries that were found wrong are put right on the way."""

    lines: Lines
    claim: Array
    rng: np.random.Generator
    budget: int
    quick: Quick = field(init=False)
    v: Array = field(init=False)

    def __post_init__(self) -> None:
        self._draw()
        self.quick = self.lines.ladder(self.v)

    @property
    def spent(self) -> bool:
        return self.lines.evaluations >= self.budget

    def still_wrong(self) -> bool:
        """Whether a fresh direction finds the claim, as far as it was put right, still wrong."""
        self._draw()
        return self._part(np.arange(self.claim.size), 0, self.claim.size).wrong

    def answer(self, hits: Sequence[Hit], pattern: str, *, complete: bool) -> Located:
        worst = sorted(hits, key=lambda hit: -np.nan_to_num(abs(hit.claimed - hit.reference), nan=np.inf))
        return Located(tuple(worst), pattern if hits else "", self.lines.evaluations, complete)

    def some(self, flat: Order) -> Order:
        """A few of many entries, drawn as small blocks: what was rolled or shifted shows among neighbours."""
        width = int(np.prod(self.claim.shape[1:]))
        near = (0, 1, width, width + 1) if width > 1 else (0, 1, 2, 3)
        drawn = (self.rng.choice(flat, REPORTED // len(near))[:, None] + near).reshape(-1)
        return np.unique(drawn[np.isin(drawn, flat)])

    def confirmed(self, flat: Order) -> list[Hit]:
        """Those entries that the engine finds wrong too; they are put right."""
        hits = []
        for one in flat:
            at = tuple(int(i) for i in np.unravel_index(int(one), self.claim.shape))
            s, claimed = self.lines.entry(at), float(self.claim[at])
            if not abs(claimed - s.value) <= s.bar and np.isfinite(s.bar):
                hits.append(Hit(at, claimed, s.value, s.bar))
                self.claim[at] = s.value
        return hits

    def parts(self) -> tuple[Order, Kind]:
        """The wrong entries; or parts that are wrong as a whole; or a few of too many entries."""
        grid: Order = np.arange(self.claim.size).reshape(self.claim.shape)
        orders = [grid.reshape(-1)]
        if grid.ndim > 1 and grid.shape[-1] > 1:
            orders.append(np.moveaxis(grid, -1, 0).reshape(-1))
        opened: list[tuple[Order, list[_Part]]] = []
        everything = False
        for order in orders:
            parts, whole = self._descend(order, [self._part(order, 0, order.size)], MANY)
            if all(part.size == 1 for part in parts):
                return _joined(order, parts), "entries"
            if whole and sum(part.size for part in parts) < order.size:
                return self._runs(order, parts), "whole"
            everything |= whole
            opened.append((order, parts))
        if everything:
            return orders[0], "whole"
        order, parts = min(opened, key=lambda pair: len(pair[1]))
        parts, whole = self._descend(order, parts, TOO_MANY)
        if whole:
            return self._runs(order, parts), "whole"
        if all(part.size == 1 for part in parts):
            return _joined(order, parts), "entries"
        return _joined(order, [self._followed(order, part) for part in parts[:FEW]]), "many"

    def _descend(self, order: Order, parts: list[_Part], most: int) -> tuple[list[_Part], bool]:
        """Halve wrong parts down to single entries, or until they are too many, or wrong in all their entries."""
        parts = [part for part in parts if part.wrong]
        while any(part.size > 1 for part in parts) and not self.spent:
            if len(parts) >= MANY and self._everywhere(order, parts):
                return parts, True
            if len(parts) >= most:
                break
            parts = [half for part in parts for half in self._halves(order, part)]
        return parts, False

    def _followed(self, order: Order, part: _Part) -> _Part:
        """One wrong entry of a part: in the half with more of the residual each time."""
        while part.size > 1 and (halves := self._halves(order, part)):
            part = max(halves, key=lambda half: abs(half.residual.value))
        return part

    def _halves(self, order: Order, part: _Part) -> list[_Part]:
        """The wrong halves of a part; what one of them leaves of the residual belongs to the other."""
        if part.size == 1:
            return [part]
        middle = (part.start + part.stop) // 2
        left = self._part(order, part.start, middle)
        whole, one = part.residual, left.residual
        right = _Part(middle, part.stop, Directional(whole.value - one.value, whole.bar + one.bar))
        if not left.wrong and not right.wrong:
            # The bars have added up to more than the error.
            right = self._part(order, middle, part.stop)
        return [half for half in (left, right) if half.wrong]

    def _everywhere(self, order: Order, parts: Sequence[_Part]) -> bool:
        """Whether nearly all of a few entries drawn from the parts are wrong."""
        flat = _joined(order, parts)
        if flat.size < ASKED * len(parts):
            return False
        drawn, right = self.rng.choice(flat, ASKED, replace=False), 0
        for i in range(ASKED):
            right += not self._part(drawn, i, i + 1).wrong
            if right > 1:
                return False
        return True

    def _runs(self, order: Order, parts: Sequence[_Part]) -> Order:
        """Neighbouring parts together, with their ends found to the entry."""
        runs: list[list[_Part]] = []
        for part in parts:
            if runs and runs[-1][-1].stop == part.start:
                runs[-1].append(part)
            else:
                runs.append([part])
        if len(runs) > RUNS:
            return _joined(order, parts)
        ends = [(self._end(order, run[0], first=True), self._end(order, run[-1], first=False)) for run in runs]
        return np.concatenate([order[start:stop] for start, stop in ends])

    def _end(self, order: Order, part: _Part, *, first: bool) -> int:
        """Where the wrong entries of a part begin, or where they stop."""
        while part.size > 1 and not self.spent:
            halves = self._halves(order, part)
            if not halves:
                break
            part = halves[0] if first else halves[-1]
        return part.start if first else part.stop

    def _part(self, order: Order, start: int, stop: int) -> _Part:
        at = order[start:stop]
        moved = self.v.reshape(-1)[at]
        v = np.zeros(self.claim.size)
        v[at] = moved
        s, parts = self.quick.slope(v.reshape(self.claim.shape)), self.claim.reshape(-1)[at] * moved
        bar = s.bar + SUM * float(np.abs(parts).sum())
        return _Part(start, stop, Directional(float(parts.sum()) - s.value, bar))

    def _draw(self) -> None:
        """A direction of random signs and sizes between a half and one and a half."""
        shape = self.claim.shape
        self.v = self.rng.choice([-1.0, 1.0], shape) * self.rng.uniform(0.5, 1.5, shape) * self.lines.weights


def _joined(order: Order, parts: Sequence[_Part]) -> Order:
    return np.concatenate([order[part.start : part.stop] for part in parts] or [order[:0]])
