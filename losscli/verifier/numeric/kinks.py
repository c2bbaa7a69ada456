"""Neville triangles over many entries at once, and the marches that fill them.

A triangle is filled level by level, from large steps to small ones, and only its last row is kept, so a million entries
fit in memory. Source of the extrapolation: Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", 1982.
"""

from __future__ import annotations

import numpy as np

from losscli.verifier.numeric.pieces import LEVELS, Array, BoolArray, IntArray

UNIT = 2.0**-52

# Points of the noise window in units of s·2^-30, uneven on purpose (see spread), up to the tenth of a micro-scale.
OFFSETS = (3, 14, 41, 59, 65, 90, 97, 131, 150)
_RESIDUAL = np.linalg.qr(np.vander(np.array(OFFSETS) / OFFSETS[-1], 4), mode="complete")[0][:, 4:].T

CENTRAL = tuple(4.0**j for j in range(1, 7))  # error of a central difference: h², h⁴, ...
ONE_SIDED = tuple(2.0**j for j in range(1, 7))  # of a one-sided one: h, h², ...
GAP = (2.0, 8.0, 32.0)  # of the gap between the one-sided slopes: h, h³, h⁵
SLOW = 0.6  # least share of the change of the quotient that is left when h is halved where no extrapolation holds
FADING = 8.0  # how fast a quotient that met a kink is forgotten; a column of the triangle forgets by 3, 15, 63, ...
STREAK = 6  # levels in a row that must misbehave: four can happen by chance where a smooth function bends
GROWTH = 1.2  # per halving of h; a jump doubles the quotient, √|x| gives 1.41, |x|^(2/3) gives 1.26


class Triangle:
    """The running Neville triangle of M entries: the best value so far, its error, and how often it was refuted."""

    def __init__(self, ratios: tuple[float, ...], size: int) -> None:
        self.ratios = ratios
        self.row: list[Array] = [np.full(size, np.nan) for _ in range(len(ratios) + 1)]
        self.noise: list[Array] = [np.zeros(size) for _ in range(len(ratios) + 1)]
        self.value = np.full(size, np.nan)
        self.total = np.full(size, np.inf)
        self.turns = np.zeros(size, np.int8)
        self.blur = np.zeros(size)
        self.strayed = np.zeros(size)
        self.change = np.zeros(size)
        self.young = np.ones(size, np.bool_)

    @property
    def error(self) -> Array:
        """The error of the best value, as far as smaller steps show it too."""
        return np.maximum(self.total, self.strayed)

    def forget(self, where: BoolArray) -> None:
        """Drop all that larger steps said: they crossed a kink, a jump or an edge."""
        if where.any():
            for column in self.row:
                column[where] = np.nan
            self.value[where] = np.nan
            self.total[where] = np.inf
            self.strayed[where] = 0.0
            self.young[where] = True

    def add(self, d: Array, noise: Array, live: BoolArray, wary: BoolArray | None = None) -> None:
        """Append the difference quotients of one level (NaN where the level is void) with their rounding error.

        Where wary is set no extrapolation is believed to be better than the last changes of the quotients themselves:
        some of them have met a kink, and numbers near one can agree by chance.
        """
        self.change = np.fmax(np.abs(d - self.row[0]), self.change / FADING)
        young = np.isnan(self.row[1])
        value, total, blur = self._extrapolate(d, noise, young)
        if wary is not None:
            total = np.where(wary, np.fmax(total, self.change), total)
        # Both intervals claim to hold the slope. Where they do not meet, the smaller step is right: large steps may
        # have crossed something, small ones can only be noisy, and their noise is in their own total.
        gap = np.abs(value - self.value)
        refuted = gap > 2.0 * (total + self.total)
        take = live & ((total < self.total) | refuted | (self.young & ~young))
        self.turns += live & refuted
        np.copyto(self.young, young, where=take)
        np.copyto(self.value, value, where=take)
        np.copyto(self.total, total, where=take)
        np.copyto(self.blur, blur, where=take)
        # Members may agree by chance: what smaller steps change by more than rounding, the best one is wrong by.
        np.copyto(self.strayed, 0.0, where=take)
        if wary is not None:
            strayed = live & ~take & ~wary & (gap > self.total + blur)
            np.copyto(self.strayed, np.maximum(self.strayed, gap), where=strayed)

    def _extrapolate(self, d: Array, noise: Array, young: BoolArray) -> tuple[Array, Array, Array]:
        """Fill the next row; return its most trustworthy member, that member's error, and what of it is rounding.

        Of two quotients alone nothing shows whether they have begun to converge: what is flat far away and close by
        bends in between. So a member counts once it has an elder in its column; the first one of all, where the table
        is ``young``, until there is another.
        """
        old, row = self.row, [d]
        before, now = self.noise, [noise]
        value, total, blur = np.full(d.shape, np.nan), np.full(d.shape, np.inf), np.zeros(d.shape)
        for j, ratio in enumerate(self.ratios, 1):
            weight = 1.0 / (ratio - 1.0)
            new = row[-1] + (row[-1] - old[j - 1]) * weight
            # Carried along, not taken from this level alone: a function that grows is noisier at larger steps.
            now.append(now[-1] * (ratio * weight) + before[j - 1] * weight)
            error = np.maximum(np.abs(new - row[-1]), np.abs(new - old[j - 1]))
            # fmax: the first member of a column has no elder to be compared with.
            elder = np.where(young, new, old[j]) if j == 1 else old[j]
            error = np.maximum(error, np.abs(new - elder))
            rounding = now[-1] + 4.0 * UNIT * np.abs(new)
            error += rounding
            better = error < total
            np.copyto(value, new, where=better)
            np.copyto(total, error, where=better)
            np.copyto(blur, rounding, where=better)
            row.append(new)
        self.noise = now
        self.row = row
        return value, total, blur


class Streak:
    """Over how many levels in a row a quantity was at least a factor times its former self, as far as noise shows."""

    def __init__(self, size: int) -> None:
        self.count = np.zeros(size, np.int8)
        self.former = np.zeros(size)

    def add(self, size: Array, factor: float, noise: Array, live: BoolArray) -> None:
        """Append one level."""
        wanted, unsure = factor * self.former, 10.0 * noise
        yes = live & (size > unsure) & (size >= wanted)
        no = live & (size + unsure < wanted)
        # In between noise hides the answer, and the last clear one stands.
        self.count = np.where(yes, self.count + 1, np.where(no, 0, self.count)).astype(np.int8)
        np.copyto(self.former, size, where=yes | no)


class March:
    """One block of entries on its way from large steps to small ones: what counts, and what ends an entry."""

    def __init__(
        self,
        x: Array,
        f0: Array,
        noise: Array,
        size: Array,
        first: IntArray,
        unit: float,
        ratios: tuple[float, ...],
        kinds: int,
    ) -> None:
        self.x, self.f0, self.noise, self.size, self.first, self.unit = x, f0, noise, size, first, unit
        self.table = Triangle(ratios, x.size)
        self.done = (first >= LEVELS) | ~np.isfinite(f0)
        self.lost = np.zeros(x.size, np.bool_)
        self.growth, self.singular, self.dragging = (Streak(x.size) for _ in range(3))
        self.last: tuple[Array, ...] = (np.full(x.size, np.nan),) * kinds
        self.crossed = np.zeros(x.size, np.bool_)

    @property
    def suspected(self) -> BoolArray:
        """Whether x seems to stand on a kink."""
        return np.zeros(self.x.size, np.bool_)

    def _blur(self, factor: float, top: Array, step: Array) -> Array:
        """The rounding error of a quotient, so many times that of a value of f, by values of size ``top`` or less.

        A term of order 1 may be rounded beside a small one that shows all its digits: log(1 + exp(-x)) + x/1e9 around
        30. Its slope is hidden at every step around 40, and is half a unit in the last place of 1.
        """
        hidden = 0.5 * self.unit * np.minimum(self.size, np.maximum(step, 1.0))
        return np.maximum(factor * np.maximum(self.noise, 0.5 * self.unit * top), hidden) / step

    def _watch(self, quotients: tuple[Array, ...], noise: Array, live: BoolArray) -> None:
        """Count the levels in a row over which the quotients, the central one last, behave as no slope's do."""
        self.growth.add(np.max(np.abs(quotients), axis=0), GROWTH, noise, live)
        # A smooth function halves the change of its quotients, x^1.5 divides it by 1.41 only and x·log x by 1.
        changes = np.abs([new - old for new, old in zip(quotients, self.last, strict=True)])
        live = live & np.isfinite(changes[-1])
        self.singular.add(np.max(changes, axis=0), SLOW, noise, live)
        # Beside 0 the central quotient of |x|^2.5 is slow while the one-sided ones, which change faster, hide it.
        self.dragging.add(changes[-1], SLOW, noise, live)
        self.last = tuple(
            np.where(live | np.isnan(old), new, old) for new, old in zip(quotients, self.last, strict=True)
        )

    def _finish(self, k: int, noise: Array, live: BoolArray, keep: BoolArray) -> None:
        """End the entries that smaller steps cannot improve: their rounding error alone is ten times the best total."""
        if k > 4:
            self.done |= live & (noise > 10.0 * self.table.total) & ~keep


class Side(March):
    """One-sided slopes of one block; sign +1 looks to the right, -1 to the left."""

    def __init__(self, x: Array, f0: Array, noise: Array, size: Array, first: IntArray, unit: float) -> None:
        super().__init__(x, f0, noise, size, first, unit, ONE_SIDED, 1)

    def step(self, k: int, t: Array, f: Array) -> None:
        """Take in one level: the values f at t."""
        h = t - self.x
        active = ~self.done & (k >= self.first)
        self.done |= active & (h == 0.0)
        live = active & (h != 0.0)
        d = np.where(live, (f - self.f0) / h, np.nan)
        void = live & ~np.isfinite(d)
        self.lost |= void
        self.table.forget(void)
        # A central difference has 2h below its two values: twice its noise, and half as much again as all share f(x).
        noise = self._blur(6.0, np.abs(f), np.abs(h))
        self.table.add(d, noise, live)
        live &= ~void
        self._watch((d,), noise, live)
        self._finish(k, noise, live, (self.growth.count >= 3) | (self.singular.count >= 3))


class Central(March):
    """Central slopes of one block, and the gap between the one-sided slopes that gives an undeclared kink away."""

    def __init__(self, x: Array, f0: Array, noise: Array, size: Array, first: IntArray, unit: float) -> None:
        super().__init__(x, f0, noise, size, first, unit, CENTRAL, 3)
        self.gap = Triangle(GAP, x.size)

    def step(self, k: int, t: tuple[Array, Array], f: tuple[Array, Array]) -> None:
        """Take in one level: the values f at the two points t, left and right of x."""
        left, right = self.x - t[0], t[1] - self.x
        active = ~self.done & (k >= self.first)
        some = (left > 0.0) & (right > 0.0)
        self.done |= active & ~some
        live = active & some
        d = np.where(live, (f[1] - f[0]) / (t[1] - t[0]), np.nan)
        ahead, behind = (f[1] - self.f0) / right, (self.f0 - f[0]) / left
        void = live & ~(np.isfinite(d) & np.isfinite(ahead) & np.isfinite(behind))
        d[void] = np.nan
        self.lost |= void
        self.table.forget(void)
        self.gap.forget(void)
        top = np.maximum(np.abs(f[0]), np.abs(f[1]))
        noise = self._blur(4.0, top, np.minimum(left, right))
        live &= ~void
        kept = self._gap(np.where(live, ahead - behind, np.nan), 2.5 * noise, live)
        self.table.add(d, noise, live, self.crossed | (self.table.turns > 0))
        self._watch((behind, ahead, d), noise, live)
        self._finish(k, noise, live, kept)

    def _gap(self, gap: Array, noise: Array, live: BoolArray) -> BoolArray:
        """Follow the gap down: one that larger steps promised and this one does not show lay beside x, not at it."""
        size, suspected = np.abs(self.gap.value), self.suspected
        self.gap.add(gap, noise, live)
        # The second column: the first one still holds the curvature, which can hide a kink of the other sign at one h.
        gone = live & suspected & (np.abs(self.gap.row[1]) < 0.5 * size) & (self.gap.noise[1] < 0.2 * size)
        self.crossed |= gone
        self.table.forget(gone)
        self.gap.forget(gone)
        # A suspect goes on to the finest step at which noise still lets the gap be seen, and nobody stops before the
        # gap is known: an even function plus a line, kink or not, satisfies the central table at once.
        visible = self.suspected & (noise < 0.2 * np.abs(self.gap.value))
        return live & (visible | ~(noise > self.gap.total))

    @property
    def suspected(self) -> BoolArray:
        """Whether the gap between the one-sided slopes is above its own bar."""
        return np.abs(self.gap.value) > 2.0 * self.gap.total


def spread(window: Array) -> Array:
    """Estimate the noise of the values at x + OFFSETS·unit, (points, M): what no cubic explains.

    Hamming's difference table (Moré & Wild 2011) asks the same of equidistant points. On those the rounding of a flat
    function such as √(1+x²) - 1 falls into step with the points and vanishes from the table once in a hundred times.
    """
    top = np.max(np.abs(window), axis=0)
    unit = np.where(top > 0.0, top, 1.0)
    rest = _RESIDUAL @ (window / unit - window[0] / unit)
    sigma: Array = np.sqrt(np.mean(rest * rest, axis=0)) * unit
    return sigma
