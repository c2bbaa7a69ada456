"""What a wrong gradient looks like: the gradient with one thing wrong, times a factor that has a name.

A claim G is fitted by αH for every hypothesis H of a dictionary (hypotheses.py), α = <G, H>/<H, H>. It is explained
where what is left is no larger than rounding. The simplest explanations come first: one thing wrong before two, a
factor with a name before a number. Where no hypothesis fits but most entries are right, the place of the others is
said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscli.inputs import Array, Ints
from losscli.verifier.numeric.differences import BoolArray

Hypotheses = Mapping[str, Callable[[], Array]]

# Entries that differ in fewer digits than this are the same: claims of float64 carry their own rounding.
EXACT = 1e-9
# However vague the references: what leaves more of a claim than this explains nothing.
_MOST = 0.1
_TOP = 3
# An explanation that leaves so many times more unexplained than another is none.
_WORSE = 4.0
# What an explanation costs: a thing that is wrong, a factor with a name, one without, places that are wrong.
_THING, _NAMED, _UNNAMED, _PLACES = 1, 1, 3, 2
_RIGHT, _EXCEPT, _LOST = "", "right except", "; not a number"
_OTHER_DATA = "other data"
_OTHER_SHAPE = "another number of rows or classes"


@dataclass(frozen=True)
class Explanation:
    """One explanation of a claim: what it looks like, the factor, and what is left, as a share of the claim.

    ``coincides`` names explanations as simple that say the same of these data, ``apart`` what would tell them apart;
    ``pure`` says that the claim is the true gradient times the factor.
    """

    hypothesis: str
    scale: float
    residual: float
    coincides: tuple[str, ...] = ()
    apart: str = ""
    pure: bool = False

    @property
    def content(self) -> dict[str, Any]:
        """The explanation under the keys that scripts rely on."""
        return {
            "hypothesis": self.hypothesis,
            "scale": self.scale,
            "residual": self.residual,
            "coincides": list(self.coincides),
            "apart": self.apart,
        }


@dataclass(frozen=True)
class _Fit:
    """A hypothesis fitted to a claim: its name, what it predicts, and what that costs."""

    name: str
    scale: float
    residual: float
    cost: int
    predicted: Array
    pure: bool = False
    apart: str = ""


@dataclass(frozen=True)
class _Claim:
    """The entries of a claim that can be looked at, beside the truth and what rounding may do to them."""

    claim: Array
    truth: Array
    bar: Array
    looked: BoolArray
    partial: bool
    rows: Ints

    @classmethod
    def of(cls, claim: Array, reference: Array, allowance: Array | float, rows: Ints | None = None) -> _Claim:
        """The claim where there is a reference and a finite allowance."""
        unknown = np.isnan(reference)
        bar = np.broadcast_to(np.asarray(allowance, dtype=np.float64), claim.shape)
        looked = np.isfinite(reference) & np.isfinite(bar)
        known = np.arange(len(claim) if claim.ndim else 1) if rows is None else rows
        return cls(claim, reference, bar, looked, bool(unknown.any()), known)

    @property
    def fits(self) -> BoolArray:
        """The entries that are fitted: those of them that are numbers."""
        return np.asarray(self.looked & np.isfinite(self.claim))

    @property
    def lost(self) -> BoolArray:
        """The entries that are no numbers, where the truth is one."""
        return np.asarray(self.looked & ~np.isfinite(self.claim))

    @property
    def limit(self) -> float:
        """What may be left of the claim when all is explained: the share of it that rounding may be."""
        size = _norm(self.truth[self.looked])
        return min(_MOST, max(EXACT, _norm(self.bar[self.looked]) / size)) if size > 0.0 else EXACT

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


def diagnose(
    claim: Array,
    reference: Array,
    hypotheses: Hypotheses,
    scales: Mapping[str, float],
    allowance: Array | float = 0.0,
    places: Mapping[str, BoolArray] | None = None,
    rows: Ints | None = None,
) -> tuple[Explanation, ...]:
    """What a wrong claim looks like, the simplest explanations first; empty when nothing fits.

    All arrays have one shape; the reference is NaN where nobody has looked, and those entries are left out.
    ``hypotheses`` make wrong gradients, on demand; ``scales`` are factors with a name; ``allowance`` is what rounding
    may do to an entry; ``places`` are sets of entries with a name; ``rows`` the numbers of the rows where they are a
    sample, none of them where it does not hold all that is wrong.
    """
    seen = _Claim.of(claim, reference, allowance, rows)
    if not seen.looked.any():
        return ()
    fits = seen.fits
    if not fits.any():
        return (Explanation("no entry is a number", math.nan, math.nan),)
    if not claim[fits].any() and reference[fits].any():
        return (Explanation("all zero" + _unread(seen), 0.0, 0.0),)
    with np.errstate(all="ignore"):
        found = [fit for fit in _fitted(seen, hypotheses, scales) if not _is_right(fit)]
        local = None if found else _local(seen, scales, places or {})
    return _said([*found, *filter(None, [local])])


def sentence(explanations: tuple[Explanation, ...], entries: int, size: int = 0) -> str:
    """The first explanation in words, found of so many entries out of ``size``; empty where there is none."""
    if not explanations:
        return ""
    first = explanations[0]
    same = "".join(f", or {one}" for one in first.coincides[:2])
    same += f" ({first.apart} may tell)" if same else ""
    if first.pure:
        named = f": looks like {first.hypothesis}{same}" if first.hypothesis else ""
        told = f"all {entries} entries" if entries >= size else f"the {entries} entries compared"
        return f"claimed = {_number(first.scale)} × true in {told}{named}"
    return first.hypothesis if _EXCEPT in first.hypothesis else f"looks like {first.hypothesis}{same}"


def _number(x: float) -> str:
    return repr(float(f"{x:.7g}"))


def _norm(x: Array) -> float:
    """The Euclidean length, without overflow."""
    top = float(np.abs(x).max(initial=0.0))
    return top * float(np.sqrt(((x / top) ** 2).sum())) if 0.0 < top < np.inf else top


def _fitted(seen: _Claim, hypotheses: Hypotheses, scales: Mapping[str, float]) -> Iterator[_Fit]:
    """The fits that leave nothing but rounding, the true gradient's first."""
    yield from _fits(seen, _RIGHT, seen.truth, scales, _OTHER_SHAPE)
    for name, make in hypotheses.items():
        h = np.asarray(make(), dtype=np.float64)
        if h.shape != seen.claim.shape:
            continue
        factor = _multiple(h, seen)
        if factor != 1.0:
            # A multiple of the truth is an explanation as it is: with a factor, the factor alone would be.
            yield from _fits(seen, name, h, {} if factor else scales, getattr(make, "apart", _OTHER_DATA), not factor)


def _multiple(h: Array, seen: _Claim) -> float:
    """The number that the truth is multiplied by in a hypothesis, exactly 1 where it is the truth; 0: it is none."""
    here = seen.looked & np.isfinite(h)
    if not np.array_equal(here, seen.looked) and not seen.partial:
        return 0.0
    h, truth = h[here], seen.truth[here]
    size = _norm(truth)
    factor = float((h / size * (truth / size)).sum()) if size > 0.0 else 0.0
    if not _norm(h - factor * truth) <= EXACT * _norm(h):
        return 0.0
    return 1.0 if abs(factor - 1.0) <= EXACT else factor


def _fits(
    seen: _Claim, name: str, h: Array, scales: Mapping[str, float], apart: str, free: bool = True
) -> Iterator[_Fit]:
    """The fits of one hypothesis: by every factor that has a name and comes close, or else by the best one."""
    at = seen.beside(h)
    if at is None or not at.any():
        return
    unread = _unread(seen) if np.isfinite(h[seen.lost]).any() else ""
    g, h = seen.claim[at], h[at]
    size, length = _norm(g), _norm(h)
    if not (0.0 < size < np.inf and 0.0 < length < np.inf):
        return
    alpha = float((g / size * (h / length)).sum()) * size / length
    left = _norm(g - alpha * h) / size
    if not left <= seen.limit:
        return
    cost = (_THING if name else 0) + (_THING if unread else 0)
    pure, named = not (name or unread), False
    # An allowance is four roundings or more; numbers that are all alike are all off by the same one.
    for word, scale in {"": 1.0, **scales}.items():
        residual = _norm(g - scale * h) / size
        if residual <= max(2.0 * left, 2.0 * EXACT, seen.limit / 4.0):
            named = True
            words = " and ".join(filter(None, (name, word))) + unread
            yield _Fit(words, scale, residual, cost + (_NAMED if word else 0), scale * h, pure, apart)
    # With one number, or two that add up to zero, some factor always fits.
    if free and not named and (not name or np.count_nonzero(h) > 2):
        words = "" if pure else f"{name or 'true'} times {_number(alpha)}{unread}"
        yield _Fit(words, alpha, left, cost + _UNNAMED, alpha * h, pure, apart)


def _unread(seen: _Claim) -> str:
    """What is said of entries that are no numbers."""
    return f"{_LOST} {_where(seen.lost, seen, {})}" if seen.lost.any() else ""


def _is_right(fit: _Fit) -> bool:
    """Whether a fit says that nothing is wrong: that has been refuted before anyone asked."""
    return fit.cost == 0 or fit.name.startswith(_LOST)


def _said(found: list[_Fit]) -> tuple[Explanation, ...]:
    """The simplest fits, those that say the same of these data together."""
    best = max(EXACT, min((fit.residual for fit in found), default=0.0))
    rest = sorted((fit for fit in found if fit.residual <= _WORSE * best), key=lambda fit: fit.cost)
    made: list[Explanation] = []
    while rest and len(made) < _TOP:
        first, *others = rest
        twins = [fit for fit in others if fit.cost == first.cost and _alike(fit.predicted, first.predicted)]
        rest = [fit for fit in others if fit not in twins]
        twins = [fit for fit in twins if fit.name != first.name]
        apart = " or ".join(dict.fromkeys(fit.apart for fit in (first, *twins) if fit.apart)) if twins else ""
        names = tuple(dict.fromkeys(fit.name for fit in twins))
        made.append(Explanation(first.name, first.scale, first.residual, names, apart, first.pure))
    return tuple(made)


def _alike(a: Array, b: Array) -> bool:
    return a.shape == b.shape and _norm(a - b) <= EXACT * _norm(a)


def _local(seen: _Claim, scales: Mapping[str, float], places: Mapping[str, BoolArray]) -> _Fit | None:
    """A claim that is right, or right up to a factor with a name, in most entries and wrong in some."""
    telling = seen.looked & ((seen.truth != 0.0) | (seen.claim != 0.0))
    best, word, factor = np.zeros_like(telling), "", 1.0
    for name, scale in {"": 1.0, **scales}.items():
        truth = scale * seen.truth
        right = telling & (np.abs(seen.claim - truth) <= abs(scale) * seen.bar + EXACT * np.abs(truth))
        if np.count_nonzero(right) > np.count_nonzero(best):
            best, word, factor = right, name, scale
    wrong = telling & ~best
    if not wrong.any() or 2 * np.count_nonzero(best) <= np.count_nonzero(telling):
        return None
    truth, fits = factor * seen.truth, seen.fits
    how = _how(seen.claim[wrong], truth[wrong], seen.limit)
    words = f"{_EXCEPT} {_where(wrong, seen, places)}{how}"
    residual = _norm((seen.claim - truth)[fits]) / _norm(seen.claim[fits])
    return _Fit(f"{word}, {words}" if word else words, factor, residual, _PLACES, np.empty(0))


def _how(claim: Array, truth: Array, limit: float) -> str:
    """What wrong entries have in common."""
    number = np.isfinite(claim)
    if not number.any():
        return ", where it is not a number"
    if not number.all():
        return ", where some of it is not a number"
    if not claim.any():
        return ", where it is 0"
    if not truth.any():
        return ", where it is not 0"
    ratio = float((claim * truth).sum() / (truth * truth).sum())
    if _norm(claim - ratio * truth) > limit * _norm(claim):
        return ""
    if abs(ratio + 1.0) <= limit:
        return ", where the sign is wrong"
    return f", where it is {_number(ratio)} times the true one"


def _where(wrong: BoolArray, seen: _Claim, places: Mapping[str, BoolArray]) -> str:
    """Where entries stand: in a place with a name that they fill, a column, some rows, or so many of them."""
    count = np.count_nonzero(wrong)
    telling = seen.looked & ((seen.truth != 0.0) | (seen.claim != 0.0))
    filled = [
        (int(np.count_nonzero(place & telling)), name)
        for name, place in places.items()
        if not (wrong & ~place).any() and 2 * count >= np.count_nonzero(place & telling)
    ]
    if filled and min(filled)[0] < np.count_nonzero(telling):
        return min(filled)[1]
    index = np.argwhere(wrong)
    last = np.unique(index[:, -1])
    if index.shape[1] > 1 and len(last) == 1 and len(np.unique(index[:, 0])) > 1:
        return f"in column {int(last[0])}"
    if not len(seen.rows):
        return "in some of the rows"
    index[:, 0] = seen.rows[index[:, 0]]
    if count == 1:
        return f"in one entry, {tuple(int(i) for i in index[0])}"
    return _in_rows(np.unique(index[:, 0]), int(seen.rows[-1]) + 1, int(count))


def _in_rows(rows: Ints, length: int, count: int) -> str:
    """A set of rows in words, where it is a block or short."""
    first, end = int(rows[0]), int(rows[-1])
    if len(rows) == 1:
        return "in the last row" if first == length - 1 else f"in row {first}"
    if len(rows) <= 4 and end < length - 1:
        return f"in rows {', '.join(str(int(row)) for row in rows)}"
    if len(rows) == end - first + 1 < length:
        return f"from row {first} to {'the last' if end == length - 1 else end}"
    return f"in {count} entries of {len(rows)} rows"
