"""Claimed slopes beside exact ones, block by block: counts, the worst entries, how small an error would be noticed.

Blocks are read as they are for a value, so a dump may be longer than memory. What is kept of a block is small, and two
blocks' are added up to one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from losscli.columns import Column
from losscli.inputs import Array, Ints
from losscli.loss import Bound
from losscli.plan import Plan
from losscli.precision import Precision, Printed
from losscli.sums import Exact
from losscli.targets import Table, arrange
from losscli.verifier.allowance import ExactSlopes, roundings
from losscli.verifier.dumps.together import Ends, RowSums
from losscli.verifier.dumps.unsettled import Size, Unsettled, added, by_size, settled
from losscli.verifier.heads import allowed
from losscli.verifier.numeric.differences import BoolArray, IntArray
from losscli.verifier.numeric.verdict import BLUNT, FAIL, INCONCLUSIVE, NONFINITE, PASS

KEPT = 64
# So many failures are kept besides the worst, wherever they are: the worst may be a kind of their own.
SPREAD = 256
# Eighths of a power of two: a percentile of ulps is told to a tenth.
_FINE = 8
# The kernels keep their slopes within four units in the last place of the terms.
_EXACT = 4.0 * 2.0**-52


@dataclass(frozen=True)
class Suspect:
    """One entry: its row along the data's first axis, its index in the input's layout, and the numbers."""

    row: int
    index: tuple[int, ...]
    claimed: float
    reference: float
    bar: float
    code: int

    @property
    def ratio(self) -> float:
        """How many bars the claim is away from the reference: infinitely many for NaN, none for the same infinity."""
        if self.claimed == self.reference:
            return 0.0
        gap = abs(self.claimed - self.reference)
        return (gap / self.bar if self.bar else float("inf")) if np.isfinite(gap) and gap else gap and float("inf")


@dataclass(frozen=True)
class Tally:
    """What is known of some blocks.

    ``counts`` by code; ``open`` the entries within their bars that are smaller than what the bar can tell, by size;
    ``step`` what the entries of a row may be off by in common, ``mass`` the sum of the slopes' sizes; ``ulps`` by
    eighths of a power of two; ``notice`` the least common factor's error that some entry would show; ``largest`` slope
    and ``bar``; ``products`` the sum of claim times reference and ``squares`` that of the reference's squares,
    ``rows`` how well these are known; ``ends`` how many claims are the references rounded or truncated, where these
    differ; ``spread`` some failures from everywhere.
    """

    counts: Counter[int] = field(default_factory=Counter)
    open: Mapping[Size, Unsettled] = field(default_factory=dict)
    step: float = 0.0
    mass: Exact = field(default_factory=Exact)
    ulps: Counter[int] = field(default_factory=Counter)
    notice: float = float("inf")
    largest: float = 0.0
    bar: float = 0.0
    products: Exact = field(default_factory=Exact)
    squares: Exact = field(default_factory=Exact)
    worst: tuple[Suspect, ...] = ()
    spread: tuple[Suspect, ...] = ()
    rows: RowSums = field(default_factory=RowSums)
    ends: Ends = field(default_factory=Ends)

    def __add__(self, other: Tally) -> Tally:
        worst = sorted((*self.worst, *other.worst), key=lambda s: (s.code != FAIL, -s.ratio, s.index))
        return Tally(
            self.counts + other.counts,
            added(self.open, other.open),
            max(self.step, other.step),
            self.mass + other.mass,
            self.ulps + other.ulps,
            min(self.notice, other.notice),
            max(self.largest, other.largest),
            max(self.bar, other.bar),
            self.products + other.products,
            self.squares + other.squares,
            tuple(worst[:KEPT]),
            # By hash: no place is preferred, and it does not matter which blocks there are.
            tuple(sorted((*self.spread, *other.spread), key=lambda s: (hash(s.index), s.index))[:SPREAD]),
            self.rows + other.rows,
            self.ends + other.ends,
        )

    @property
    def checked(self) -> int:
        """How many entries were looked at."""
        return self.counts.total()

    @property
    def settled(self) -> int:
        """How many entries are too small to be told one by one, but agree together."""
        return settled(self.open, self.largest, self.step, self.mass.value)

    @property
    def factor(self) -> float:
        """The number that the exact slopes are multiplied by to come closest to the claims; NaN where all are zero."""
        return self.products.value / self.squares.value if self.squares.value > 0.0 else float("nan")

    def percentile(self, share: float) -> float:
        """The ulps that a share of the entries with a difference or without one stays below."""
        wanted, seen = share * self.ulps.total(), 0
        for step, count in sorted(self.ulps.items()):
            seen += count
            if seen >= wanted:
                return 0.0 if step == _NONE else float(2.0 ** ((step + 1) / _FINE))
        return 0.0


_NONE = -(1 << 20)


@dataclass(frozen=True)
class Beside:
    """One block's claims beside the exact slopes, as kept rows; ``dropped`` claims of rows that do not count."""

    slopes: ExactSlopes
    claim: Array
    bar: Array
    codes: IntArray
    keep: Ints
    dropped: Array


@dataclass(frozen=True)
class Audit:
    """What is asked of every block: the claim, as a column in the layout of the input, against the exact slopes.

    ``mean`` is that of the losses where slopes by labels need it; ``printed`` how short the claim's decimals are.
    """

    bound: Bound
    plan: Plan
    name: str
    claim: Column
    precision: Precision
    scale: float
    totals: tuple[float, ...] = ()
    order: int = 1
    mean: float = 0.0
    printed: Printed | None = None

    @property
    def shared(self) -> bool:
        """Whether all rows read the input, so that no block has an entry for itself."""
        return self.plan.signature.entry(self.name).shared

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The blocks that are looked at one by one."""
        return [(0, self.plan.rows)] if self.shared else list(self.plan.spans())

    def __call__(self, span: tuple[int, int]) -> Tally:
        """The block's part of the answer."""
        return self.tallied(span[0], self.beside(span))

    def beside(self, span: tuple[int, int]) -> Beside:
        """The block's claims and exact slopes, and what is said of each entry."""
        made = self._slopes(span)
        exact = made.value
        claim, dropped, keep = self._claimed(span, made.table, exact)
        bar = allowed(made, self.precision) + _EXACT * np.abs(exact)
        if self.printed is not None:
            bar = bar + self.printed.half(exact)
        return Beside(made, claim, bar, judged(claim, exact, bar), keep, dropped)

    def facing(self, span: tuple[int, int]) -> tuple[Array, Array]:
        """The block's claims and exact slopes alone: what no allowance is needed for."""
        made = self._slopes(span)
        return self._claimed(span, made.table, made.value)[0], made.value

    def _slopes(self, span: tuple[int, int]) -> ExactSlopes:
        made = ExactSlopes(
            self.bound,
            self.plan,
            arrange(self.plan, *span),
            self.name,
            self.scale,
            self.totals,
            self.order,
            self.mean,
        )
        with np.errstate(all="ignore"):
            _ = made.value
        return made

    def _claimed(self, span: tuple[int, int], table: Table, exact: Array) -> tuple[Array, Array, Ints]:
        rows = table.weighing.rows
        if self.shared:
            whole = np.asarray(self.claim.laid_out(np.asarray(self.claim.source.array)), dtype=np.float64)
            return whole, whole[:0], np.arange(len(whole))
        raw = np.asarray(self.plan.read(self.claim, *span), dtype=np.float64).reshape(rows, *exact.shape[1:])
        keep = table.weighing.keep
        if keep is None:
            return raw, raw[:0], np.arange(rows)
        return raw[keep], np.delete(raw, keep, axis=0), np.asarray(keep)

    @np.errstate(all="ignore")
    def tallied(self, start: int, seen: Beside) -> Tally:
        """What a block adds up to."""
        exact, bar = seen.slopes.value, seen.bar
        stray = np.argwhere(seen.dropped != 0.0)
        known = np.isfinite(exact) & np.isfinite(bar)
        both = known & np.isfinite(seen.claim)
        sizes = np.abs(exact[known])
        clear = sizes > 0.0
        counts: Counter[int] = Counter(
            {int(code): int(np.count_nonzero(seen.codes == code)) for code in (PASS, FAIL, INCONCLUSIVE, NONFINITE)}
        )
        counts[int(FAIL)] += len(stray)
        counts[int(PASS)] += seen.dropped.size - len(stray)
        near = both & (seen.codes != FAIL)
        return Tally(
            Counter({int(code): n for code, n in counts.items() if n}),
            by_size(seen.claim[near], exact[near], bar[near], seen.codes[near] == INCONCLUSIVE),
            roundings(seen.slopes) * self.precision.unit,
            Exact().plus(float(sizes.sum())),
            self._ulps(seen.claim, exact, known),
            float((2.0 * bar[known][clear] / sizes[clear]).min(initial=np.inf)),
            float(sizes.max(initial=0.0)),
            float(bar[known].max(initial=0.0)),
            Exact().plus(float((seen.claim[both] * exact[both]).sum())),
            Exact().plus(float((exact[both] ** 2).sum())),
            self._worst(start, seen) + self._stray(start, seen, stray[:KEPT]),
            self._spread(start, seen),
            RowSums.of(seen.claim, exact, bar, both),
            Ends.of(seen.claim[both], exact[both], self.precision),
        )

    def _ulps(self, claim: Array, exact: Array, known: BoolArray) -> Counter[int]:
        here = known & np.isfinite(claim)
        ulps = self.precision.ulps(np.abs(claim - exact)[here], exact[here])
        none = Counter({_NONE: int(np.count_nonzero(ulps == 0.0))})
        return none + _powers(ulps[ulps > 0.0], _FINE)

    def _worst(self, start: int, seen: Beside) -> tuple[Suspect, ...]:
        exact = seen.slopes.value
        with np.errstate(all="ignore"):
            gap = np.abs(seen.claim - exact) / seen.bar
        gap = np.where(np.isfinite(seen.claim), np.where(np.isnan(gap), 0.0, gap), np.inf)
        gap[seen.claim == exact] = 0.0
        order = np.lexsort((-gap.reshape(-1), seen.codes.reshape(-1) != FAIL))[:KEPT]
        return tuple(self._suspect(start, seen, int(flat)) for flat in order)

    def _spread(self, start: int, seen: Beside) -> tuple[Suspect, ...]:
        failed = np.flatnonzero(seen.codes == FAIL)
        some = np.random.default_rng(start).permutation(failed)[:SPREAD]
        return tuple(self._suspect(start, seen, int(flat)) for flat in some)

    def _suspect(self, start: int, seen: Beside, flat: int) -> Suspect:
        exact = seen.slopes.value
        at = tuple(int(i) for i in np.unravel_index(flat, exact.shape))
        place = self._place(start, int(seen.keep[at[0]]), at[1:])
        return Suspect(*place, float(seen.claim[at]), float(exact[at]), float(seen.bar[at]), int(seen.codes[at]))

    def _stray(self, start: int, seen: Beside, stray: Ints) -> tuple[Suspect, ...]:
        if not len(stray):
            return ()
        lost = np.delete(np.arange(seen.slopes.table.weighing.rows), seen.keep)
        return tuple(
            Suspect(
                *self._place(start, int(lost[at[0]]), tuple(map(int, at[1:]))),
                float(seen.dropped[tuple(at)]),
                0.0,
                0.0,
                int(FAIL),
            )
            for at in stray
        )

    def _place(self, start: int, flat: int, entry: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """The row of the plan, and the index in the claim's file."""
        if self.shared:
            return 0, (flat, *entry)
        within = int(np.prod(self.plan.lead[1:], dtype=np.int64))
        return start + flat // max(1, within), self.plan.place(self.claim, start, flat, entry).index or ()


def judged(claim: Array, exact: Array, bar: Array) -> IntArray:
    """The code of every entry: too far from the exact slope, near it, or near it under a bar that hides too much.

    Infinite slopes have nothing to round: the same infinity passes, and nothing else. Beside NaN nothing is known.
    """
    with np.errstate(all="ignore"):
        gap = np.abs(claim - exact)
        near, far = gap <= bar, gap > bar
        sharp = (bar <= BLUNT * np.maximum(np.abs(claim), np.abs(exact))) | ((claim == exact) & (exact == 0.0))
    codes = np.where(far, FAIL, np.where(near & sharp, PASS, INCONCLUSIVE))
    codes[~np.isfinite(claim)] = FAIL
    codes = np.where(np.isinf(exact), np.where(claim == exact, PASS, FAIL), codes)
    codes[np.isnan(exact)] = NONFINITE
    return codes.astype(np.int8)


def _powers(x: Array, parts: int = 1) -> Counter[int]:
    """How many positive numbers lie between one (root of a) power of two and the next."""
    found, counts = np.unique(
        np.floor(parts * np.log2(x[(x > 0.0) & np.isfinite(x)])).astype(np.int64), return_counts=True
    )
    return Counter(dict(zip(found.tolist(), counts.tolist(), strict=True)))
