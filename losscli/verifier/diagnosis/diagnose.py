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
from losscli.verifier.diagnosis import local
from losscli.verifier.diagnosis.claim import EXACT, Claim, norm, number
from losscli.verifier.diagnosis.scales import apart_of
from losscli.verifier.numeric.differences import BoolArray

Hypotheses = Mapping[str, Callable[[], Array]]

_TOP = 3
# An explanation that leaves so many times more unexplained than another is none.
_WORSE = 4.0
# What an explanation costs: a thing that is wrong, a factor with a name, one without, places that are wrong.
_THING, _NAMED, _UNNAMED, _PLACES = 1, 1, 3, 2
_RIGHT, _LOST = "", "; not a number"
_OTHER_DATA = "other data"


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


def diagnose(
    claim: Array,
    reference: Array,
    hypotheses: Hypotheses,
    scales: Mapping[str, float],
    allowance: Array | float = 0.0,
    places: Mapping[str, BoolArray] | None = None,
    rows: Ints | None = None,
    inputs: Mapping[str, Array] | None = None,
) -> tuple[Explanation, ...]:
    """What a wrong claim looks like, the simplest explanations first; empty when nothing fits.

    All arrays have one shape; the reference is NaN where nobody has looked, and those entries are left out.
    ``hypotheses`` make wrong gradients, on demand; ``scales`` are factors with a name; ``allowance`` is what rounding
    may do to an entry; ``places`` are sets of entries with a name; ``rows`` the numbers of the rows where they are a
    sample, none of them where it does not hold all that is wrong; ``inputs`` have what else is known of the entries, by
    name.
    """
    seen = Claim.of(claim, reference, allowance, rows, inputs)
    if not seen.looked.any():
        return ()
    fits = seen.fits
    if not fits.any():
        return (Explanation("no entry is a number", math.nan, math.nan),)
    if not claim[fits].any() and reference[fits].any():
        return (Explanation("all zero" + _unread(seen), 0.0, 0.0),)
    with np.errstate(all="ignore"):
        found = [fit for fit in _fitted(seen, hypotheses, scales) if not _is_right(fit)]
        place = None if found else _local(seen, scales, places or {})
    return _said([*found, *filter(None, [place])])


def sentence(explanations: tuple[Explanation, ...], entries: int, size: int = 0) -> str:
    """The first explanation in words, found of so many entries out of ``size``; empty where there is none."""
    if not explanations:
        return ""
    first = explanations[0]
    same = "".join(f", or {one}" for one in first.coincides[:2])
    same += f" (the same on these inputs; {first.apart} would tell)" if same and first.apart else ""
    if first.pure:
        named = f": looks like {first.hypothesis}{same}" if first.hypothesis else ""
        told = f"all {entries} entries" if entries >= size else f"the {entries} entries compared"
        return f"claimed = {number(first.scale)} × true in {told}{named}"
    placed = local.EXCEPT in first.hypothesis or local.ONLY in first.hypothesis
    return first.hypothesis if placed else f"looks like {first.hypothesis}{same}"


def _fitted(seen: Claim, hypotheses: Hypotheses, scales: Mapping[str, float]) -> Iterator[_Fit]:
    """The fits that leave nothing but rounding, the true gradient's first."""
    yield from _fits(seen, _RIGHT, seen.truth, scales, "")
    for name, make in hypotheses.items():
        h = np.asarray(make(), dtype=np.float64)
        if h.shape != seen.claim.shape:
            continue
        factor = _multiple(h, seen)
        if factor != 1.0:
            # A multiple of the truth is an explanation as it is: with a factor, the factor alone would be.
            apart = getattr(make, "apart", _OTHER_DATA)
            # Nobody has seen other data tell a multiple of the truth from it.
            apart = "" if factor and apart == _OTHER_DATA else apart
            yield from _fits(seen, name, h, {} if factor else scales, apart, not factor)


def _multiple(h: Array, seen: Claim) -> float:
    """The number that the truth is multiplied by in a hypothesis, exactly 1 where it is the truth; 0: it is none."""
    here = seen.looked & np.isfinite(h)
    if not np.array_equal(here, seen.looked) and not seen.partial:
        return 0.0
    h, truth = h[here], seen.truth[here]
    size = norm(truth)
    factor = float((h / size * (truth / size)).sum()) if size > 0.0 else 0.0
    if not norm(h - factor * truth) <= EXACT * norm(h):
        return 0.0
    return 1.0 if abs(factor - 1.0) <= EXACT else factor


def _fits(
    seen: Claim, name: str, h: Array, scales: Mapping[str, float], apart: str, free: bool = True
) -> Iterator[_Fit]:
    """The fits of one hypothesis: by every factor that has a name and comes close, or else by the best one."""
    at = seen.beside(h)
    if at is None or not at.any():
        return
    unread = _unread(seen) if np.isfinite(h[seen.lost]).any() else ""
    g, h = seen.claim[at], h[at]
    size, length = norm(g), norm(h)
    if not (0.0 < size < np.inf and 0.0 < length < np.inf):
        return
    alpha = float((g / size * (h / length)).sum()) * size / length
    left = norm(g - alpha * h) / size
    if not left <= seen.limit:
        return
    cost = (_THING if name else 0) + (_THING if unread else 0)
    pure, named = not (name or unread), False
    # An allowance is four roundings or more; numbers that are all alike are all off by the same one.
    for word, scale in {"": 1.0, **scales}.items():
        residual = norm(g - scale * h) / size
        if residual <= max(2.0 * left, 2.0 * EXACT, seen.limit / 4.0):
            named = True
            words = " and ".join(filter(None, (name, word))) + unread
            yield _Fit(
                words, scale, residual, cost + (_NAMED if word else 0), scale * h, pure, _either(apart, apart_of(word))
            )
    # With one number, or two that add up to zero, some factor always fits.
    if free and not named and (not name or np.count_nonzero(h) > 2):
        words = "" if pure else f"{name or 'true'} times {number(alpha)}{unread}"
        yield _Fit(words, alpha, left, cost + _UNNAMED, alpha * h, pure, apart)


def _unread(seen: Claim) -> str:
    """What is said of entries that are no numbers."""
    return f"{_LOST} {local.where(seen.lost, seen)}" if seen.lost.any() else ""


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
        apart = _either(*(fit.apart for fit in (first, *twins))) if twins else ""
        names = tuple(dict.fromkeys(fit.name for fit in twins))
        made.append(Explanation(first.name, first.scale, first.residual, names, apart, first.pure))
    return tuple(made)


def _either(*words: str) -> str:
    return " or ".join(dict.fromkeys(filter(None, words)))


def _alike(a: Array, b: Array) -> bool:
    return a.shape == b.shape and norm(a - b) <= EXACT * norm(a)


def _local(seen: Claim, scales: Mapping[str, float], places: Mapping[str, BoolArray]) -> _Fit | None:
    """A claim that is right, or right up to a factor with a name, in some entries and wrong in others."""
    known = {"": 1.0, **scales}
    word = max(known, key=lambda name: np.count_nonzero(local.right(seen, known[name])))
    # What is right in most places may well be so up to a factor, what is wrong in most is hardly two things at once.
    if 2 * np.count_nonzero(local.right(seen, known[word])) <= np.count_nonzero(seen.telling):
        word = ""
    words, truth, fits = local.told(seen, known[word], places), known[word] * seen.truth, seen.fits
    gap, size = norm((seen.claim - truth)[fits]), norm(seen.claim[fits])
    # Claims may be zero wherever they are numbers.
    residual = gap / size if size else math.inf if gap else 0.0
    named = ", ".join(filter(None, (word, words)))
    return _Fit(named, known[word], residual, _PLACES, np.empty(0)) if words else None
