"""Numeric slopes of many independent scalar functions, each with an error bar that is meant to be believed.

A Ridders table (Ridders 1982) whose error estimate has a measured noise floor (Hamming; Moré & Wild, "Estimating
computational noise", 2011). Without that floor a fifth of the true errors lie outside the estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losscli.verifier.numeric.answers import Answer, Reason, better, hull, nothing, pick
from losscli.verifier.numeric.kinks import OFFSETS, STREAK, UNIT, Central, March, Side, spread
from losscli.verifier.numeric.pieces import (
    LEVELS,
    Array,
    BoolArray,
    IntArray,
    Piece,
    Reach,
    declared_reach,
    first_level,
    power_below,
)

__all__ = ["Array", "BoolArray", "IntArray", "Reason", "Slopes", "slopes"]

Function = Callable[[Array], Array]

SAFETY = 2.0  # bar / error estimate; with 1 one point in a thousand escaped
BLOCK = 1 << 14  # entries worked on at once: some forty arrays of this length stay in the cache
TURNS = 3  # a kink nearby refutes larger steps once or twice; x·log x at 0 does at every second level
COARSE = 4  # a table that starts later than at this level has lost its best steps; other tables are tried too
TINIEST = 5e-324
CLEAR = 1e-6  # largest bar, of slopes of order 1, with which a local answer is preferred to a sharper one from afar


@dataclass(frozen=True)
class Slopes:
    """Numeric derivatives of M independent scalar functions, each with an error bar.

    ``|truth - value| <= bar``; bar is inf, and value NaN, where nothing can be said, and reason tells why. Where kink
    is set the one-sided slopes differ, value ± bar spans both, and left and right hold them with their own bars.
    """

    value: Array
    bar: Array
    kink: BoolArray
    left: Array
    left_bar: Array
    right: Array
    right_bar: Array
    reason: IntArray
    evaluations: int


class _Counted:
    """A function that counts its calls and answers in silence, with one float64 per entry."""

    def __init__(self, f: Function, size: int) -> None:
        self.f, self.size, self.calls = f, size, 0

    def __call__(self, t: Array) -> Array:
        self.calls += 1
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(self.f(t), np.float64), (self.size,))


@dataclass(frozen=True)
class _Problem:
    """The functions, where they are looked at, how far one may go to either side, and how noisy they are."""

    f: _Counted
    x: Array
    f0: Array
    scale: Array
    near: Array
    below: Array
    above: Array
    left: Array
    right: Array
    reach: Reach
    noise: Array
    unit: float


@dataclass(frozen=True)
class _Found:
    """What a march found for every entry: a slope, its bar, and the signs that the slope does not exist."""

    value: Array
    bar: Array
    kink: BoolArray
    grown: BoolArray
    turned: BoolArray
    crossed: BoolArray
    lost: BoolArray

    def at(self, rows: NDArray[np.intp]) -> _Found:
        """Select the entries in rows."""
        return _Found(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def slopes(
    f: Function,
    x: Array,
    *,
    low: float | Array = -np.inf,
    high: float | Array = np.inf,
    piece: Piece | None = None,
    noise_floor: Array | float = 0.0,
    unit: float = UNIT,
) -> Slopes:
    """Differentiate each f_i at x_i numerically; f maps (M,) points, one per function, to (M,) values.

    Arguments:
        f: The functions. They are never called outside [low, high], and no difference crosses a declared kink.
        x: One point per function.
        low: Domain bounds below, one or M of them.
        high: Domain bounds above.
        piece: Labels of the smooth piece that every entry is on, (M,) or (M, K) of any type.
        noise_floor: The least absolute error of a value of f, where the caller knows of more than f shows around x.
        unit: The distance from 1 to the next number of the format that f computes in.

    Kinks that no label declares are detected, and then told from their neighbourhood down to steps of 1e-8 only.

    """
    x = np.ascontiguousarray(x, np.float64)
    lows, highs = (np.broadcast_to(np.asarray(b, np.float64), x.shape) for b in (low, high))
    with np.errstate(all="ignore"):
        p = _problem(_Counted(f, x.size), x, lows, highs, piece, noise_floor, unit)
        reach = np.where(p.reach.on, 0.0, np.minimum(p.left, p.right))
        found = _refined(p, _retry(p, _central(p, p.near, reach), reach), reach)
        return _assemble(p, found, reach)


def _problem(
    f: _Counted, x: Array, low: Array, high: Array, piece: Piece | None, noise_floor: Array | float, unit: float
) -> _Problem:
    f0 = f(x)
    # Rounded to the nearest power of two, so that steps are exact; 2^1023 is the last there is.
    size = np.maximum(1.0, np.abs(np.nan_to_num(x)))
    scale = np.exp2(np.minimum(np.rint(np.log2(size)), 1023.0))
    reach = declared_reach(piece, x, scale, low, high, noise_floor)
    below, above = np.maximum(x - low, 0.0), np.maximum(high - x, 0.0)
    left, right = np.minimum(below, reach.left), np.minimum(above, reach.right)
    # Beside a bound everything is smaller, log(p) at p = 1e-12 for one; on the bound itself no central step exists.
    room = np.minimum(below, above)
    near = np.where(room >= 1024.0 * np.spacing(np.abs(x)), np.minimum(scale, 2.0 * power_below(room)), scale)
    noise = np.maximum(_noise(f, x, f0, near, reach, (left, right), unit), noise_floor)
    return _Problem(f, x, f0, scale, near, below, above, left, right, reach, noise, unit)


def _blocks(size: int) -> list[slice]:
    return [slice(i, min(i + BLOCK, size)) for i in range(0, size, BLOCK)]


def _noise(
    f: _Counted, x: Array, f0: Array, scale: Array, reach: Reach, room: tuple[Array, Array], unit: float
) -> Array:
    """Measure the rounding errors of f around x; at least half an ulp of f(x), and of x as far as f follows it.

    Round numbers hide how x/3 is rounded, in all of the window. On a kink all of an ulp of x counts, since f(x) may be
    on its other side, and where there is no room for a window.
    """
    # Not below an ulp of x, where points would coincide and the slope itself would look like noise. What a coarser
    # format rounds takes wider windows to be seen.
    delta = np.maximum(scale * 2.0**-30 * np.sqrt(unit / UNIT), np.spacing(np.abs(x)))
    # Beside a bound steps shrink, and with them the floor: a slope can be no better known there than elsewhere.
    size = np.minimum(np.abs(x), scale)
    floor = np.maximum(0.5 * unit * np.maximum(np.abs(f0), size), TINIEST)
    sides = []
    for step, far in zip((-delta, delta), room, strict=True):
        inside = OFFSETS[-1] * delta <= far
        # Without f(x) itself: at a jump it would spoil both windows.
        window = np.stack([f(np.where(inside, x + i * step, x)) for i in OFFSETS])
        sigma = np.concatenate([spread(window[:, rows]) for rows in _blocks(x.size)] or [x])
        follows = np.abs(window[-1] - window[0]) * (0.5 * unit * size / (delta * (OFFSETS[-1] - OFFSETS[0])))
        least = np.maximum(np.maximum(0.5 * unit * np.abs(f0), follows), TINIEST)
        sides.append(np.where(inside, np.maximum(sigma, np.where(reach.on, floor, least)), np.nan))
    # Noise is much the same on both sides of x: a window that shows ten times the other's holds a kink or a jump.
    most, fewest = np.fmax(*sides), np.fmin(*sides)
    return np.where(np.isnan(most), floor, np.where(most <= 10.0 * fewest, most, fewest))


def _central(p: _Problem, scale: Array, reach: Array) -> _Found:
    first = first_level(scale, reach)
    blocks = _blocks(p.x.size)
    size = np.minimum(np.abs(p.x), p.near)
    marches = [Central(p.x[b], p.f0[b], p.noise[b], size[b], first[b], p.unit) for b in blocks]
    for k in range(LEVELS):
        if all(m.done.all() for m in marches):
            break
        h = np.where(k >= first, scale * 2.0 ** -(2 + k), 0.0)
        t = (p.x - h, p.x + h)
        f = (p.f(t[0]), p.f(t[1]))
        for b, m in zip(blocks, marches, strict=True):
            if not m.done.all():
                m.step(k, (t[0][b], t[1][b]), (f[0][b], f[1][b]))
    return _found(marches)


def _side(p: _Problem, rows: NDArray[np.intp], sign: float, reach: Array) -> _Found:
    """One-sided slopes of the entries in rows.

    Beside a bound a function may bend in proportion to its distance from it, on the far side too: what steps of that
    size say counts, unless it is too vague to be of use and larger steps are not excluded by it.
    """
    far = _marched(p, rows, sign, reach, p.scale)
    if not (p.near[rows] < p.scale[rows]).any():
        return far
    close = _marched(p, rows, sign, reach, p.near)
    clash = np.abs(close.value - far.value) > close.bar + far.bar
    return _where(clash | (close.bar <= CLEAR * np.maximum(1.0, np.abs(close.value))), close, far)


def _marched(p: _Problem, rows: NDArray[np.intp], sign: float, reach: Array, scale: Array) -> _Found:
    """One-sided slopes of the entries in rows by steps from a scale on; the others stay where they are."""
    first = np.full(p.x.size, LEVELS, np.int8)
    scale = np.minimum(scale, 2.0 * power_below(reach))
    first[rows] = first_level(scale, reach)[rows]
    blocks = [rows[b] for b in _blocks(rows.size)]
    size = np.minimum(np.abs(p.x), p.near)
    marches = [Side(p.x[b], p.f0[b], p.noise[b], size[b], first[b], p.unit) for b in blocks]
    for k in range(LEVELS):
        if all(m.done.all() for m in marches):
            break
        t = p.x + sign * np.where(k >= first, scale * 2.0 ** -(2 + k), 0.0)
        f = p.f(t)
        for b, m in zip(blocks, marches, strict=True):
            m.step(k, t[b], f[b])
    return _found(marches)


def _safety(m: March) -> Array:
    """Widen the bars of entries that converged slowly until noise hid how slowly; |x|^1.5 would need 2.4 times."""
    return np.where(np.maximum(m.singular.count, m.dragging.count) >= 2, 4.0 * SAFETY, SAFETY)


def _found(marches: Sequence[March]) -> _Found:
    def join(pick: Callable[[March], NDArray[Any]], dtype: type = np.bool_) -> NDArray[Any]:
        return np.concatenate([np.empty(0, dtype), *(pick(m) for m in marches)])

    return _Found(
        value=join(lambda m: m.table.value, np.float64),
        bar=join(lambda m: _safety(m) * (m.table.error - m.table.blur) + m.table.blur, np.float64),
        kink=join(lambda m: m.suspected),
        grown=join(lambda m: m.growth.count >= STREAK),
        turned=join(lambda m: (m.table.turns >= TURNS) | (m.singular.count >= STREAK)),
        crossed=join(lambda m: m.crossed),
        lost=join(lambda m: m.lost),
    )


def _where(take: BoolArray, new: _Found, old: _Found) -> _Found:
    return _Found(**{f.name: np.where(take, getattr(new, f.name), getattr(old, f.name)) for f in fields(old)})


def _retry(p: _Problem, found: _Found, reach: Array) -> _Found:
    """Try steps in proportion to x where the first ones left an undeclared domain, as for x^1.5 at 1e-9."""
    size = np.abs(p.x)
    again = found.lost & (size < 0.125 * p.near) & (size > 0.0) & ~(found.bar <= 1e-9 * np.abs(found.value))
    if not again.any():
        return found
    scale = 2.0 * power_below(size)
    local = replace(p, near=scale, noise=_noise(p.f, p.x, p.f0, scale, p.reach, (p.left, p.right), p.unit))
    other = _central(local, scale, np.where(again, reach, 0.0))
    return _where(again & (other.bar < found.bar), other, found)


def _refined(p: _Problem, found: _Found, reach: Array) -> _Found:
    """Begin again with smaller steps where what the large ones agree on does not hold at them.

    Around 745 a softmax is flat in all directions but for the last step or two: its table has converged long before.
    """
    # Where rounding and truncation of a central quotient balance: a third of the digits.
    step = p.near * 2.0 ** np.rint(np.log2(p.unit) / 3.0)
    large, small = _quotient(p, 2.0 * step, reach), _quotient(p, step, reach)
    # What truncation is left at the smaller step is a third of what halving it has changed.
    left = small[1] + np.abs(small[0] - large[0])
    missed = np.abs(small[0] - found.value) > found.bar + left
    # A kink beside x is another matter, and known by then.
    missed &= ~(found.kink | found.crossed | found.grown | found.turned | found.lost)
    if not missed.any():
        return found
    return _where(missed, _central(p, 8.0 * step, np.where(missed, reach, 0.0)), found)


def _quotient(p: _Problem, h: Array, reach: Array) -> tuple[Array, Array]:
    """The central difference quotient with a step, and its rounding error; NaN where the step is out of reach."""
    low, high = p.x - h, p.x + h
    f = p.f(low), p.f(high)
    noise = 4.0 * np.maximum(p.noise, 0.5 * p.unit * np.maximum(*np.abs(f))) / h
    return np.where(h <= reach, (f[1] - f[0]) / (high - low), np.nan), noise


def _assemble(p: _Problem, found: _Found, reach: Array) -> Slopes:
    """Add one-sided slopes where central ones do not do, and say what each entry is worth."""
    edge = np.minimum(p.below, p.above) < p.scale * 2.0 ** -(LEVELS + 1)
    narrow = first_level(p.scale, reach) >= COARSE
    poor = ~(found.bar <= 1e-9 * np.abs(found.value))
    rows = np.flatnonzero(np.isfinite(p.f0) & (p.reach.on | found.kink | edge | (narrow & poor)))
    central = _judged(found, edge | found.lost, narrow)
    left, right = nothing(p.x.size), nothing(p.x.size)
    kink = np.zeros(p.x.size, np.bool_)
    if rows.size:
        sides = _side(p, rows, -1.0, p.left), _side(p, rows, 1.0, p.right)
        # A kink d beside x lends one side a quotient of gap·d/h. It grows like a jump's, but the other side dwarfs it.
        tame = found.kink[rows] & ~found.grown[rows]
        l, r = (
            _judged(replace(s, grown=s.grown & ~tame, turned=s.turned & ~tame), edge[rows], narrow[rows]) for s in sides
        )
        at = (p.reach.on | found.kink)[rows]
        kink[rows] = at & (np.abs(r.value - l.value) > l.bar + r.bar)
        one = pick((l.bar < r.bar) | (r.reason == Reason.DOMAIN_EDGE), l, r)
        central.put(rows, pick(at, hull(l, r), better(central.at(rows), one)))
        left.put(rows[kink[rows]], l.at(kink[rows]))
        right.put(rows[kink[rows]], r.at(kink[rows]))
    silent = ~np.isfinite(p.f0)
    central.put(np.flatnonzero(silent), nothing(int(silent.sum()), Reason.NONFINITE))
    c = central
    return Slopes(c.value, c.bar, kink, left.value, left.bar, right.value, right.bar, c.reason, p.f.calls)


def _judged(found: _Found, edge: BoolArray, narrow: BoolArray) -> Answer:
    """Withdraw what the march itself showed not to be a slope."""
    why = [
        (found.grown, Reason.DISCONTINUITY),
        (found.turned, Reason.METHODS_DISAGREE),
        (np.isfinite(found.bar) & np.isfinite(found.value), Reason.OK),
        (edge, Reason.DOMAIN_EDGE),
        (narrow | found.crossed, Reason.NEAR_KINK),
    ]
    reason = np.select([w for w, _ in why], [np.int8(r) for _, r in why], np.int8(Reason.NOISE)).astype(np.int8)
    good = reason == Reason.OK
    return Answer(np.where(good, found.value, np.nan), np.where(good, found.bar, np.inf), reason)
