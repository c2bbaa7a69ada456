"""Where a claim is wrong that is right elsewhere, and what the wrong entries have in common.

What is said is true of the entries that were looked at: a place is named as it is where all of its entries are wrong,
with how many of them are where some are right. Between numbers that mean nothing a bound can always be found for a
few entries; one is named only where that would hardly happen by chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from losscli.inputs import Array, Ints
from losscli.verifier.diagnosis.claim import EXACT, Claim, norm, number
from losscli.verifier.numeric.differences import BoolArray

EXCEPT, ONLY = "right except", "wrong only"
# Entries of no common place are worth a word where they are few: at most this share.
_FEW = 0.25
# So many ways to choose the wrong entries among all make a bound between them and the right ones no accident.
_UNLIKELY = 1000
# What all wrong entries are multiplied by is a number only where it is known to so many parts.
_SHARP = 1e-3

Places = Mapping[str, BoolArray]


def right(seen: Claim, factor: float) -> BoolArray:
    """The entries, not zero all round, at which a claim is a factor times the truth."""
    truth = factor * seen.truth
    near = np.abs(seen.claim - truth) <= abs(factor) * seen.bar + EXACT * np.abs(truth)
    return np.asarray(seen.telling & near)


def told(seen: Claim, factor: float, places: Places) -> str:
    """Where a claim is no factor times the truth, and what it is there; empty where nothing can be said of it."""
    telling = seen.telling
    good = right(seen, factor)
    wrong = telling & ~good
    count, size = int(np.count_nonzero(wrong)), int(np.count_nonzero(telling))
    if not wrong.any() or not good.any():
        return ""
    mostly = 2 * count > size
    place = _place(wrong, seen, places) or _bound(wrong, good, seen.inputs)
    if not place and count <= _FEW * size:
        place = _scattered(wrong, seen)
    if not place:
        return ""
    return f"{ONLY if mostly else EXCEPT} {place}{_how(seen.claim[wrong], factor * seen.truth[wrong], seen.limit)}"


def where(wrong: BoolArray, seen: Claim) -> str:
    """Where some entries stand, in words."""
    return _place(wrong, seen, {}) or _scattered(wrong, seen)


def _place(wrong: BoolArray, seen: Claim, places: Places) -> str:
    """The smallest place, of those with a name, columns and rows, that wrong entries fill at least half of."""
    telling = seen.telling
    count = int(np.count_nonzero(wrong))
    found: list[tuple[int, str]] = []
    for name, place in (*places.items(), *_lines(wrong, seen)):
        size = int(np.count_nonzero(place & telling))
        if not (wrong & ~place).any() and count <= size <= 2 * count:
            found.append((size, name))
    size, name = min(found, key=lambda one: one[0], default=(0, ""))
    if not name or size == np.count_nonzero(telling):
        return ""
    return name if size == count else f"{name}, in {count} of {size} entries"


def _bound(wrong: BoolArray, good: BoolArray, inputs: Mapping[str, Array]) -> str:
    """A bound on an input, or on the difference of two, that all wrong entries are beyond and no right one is."""
    if math.comb(int(np.count_nonzero(wrong | good)), int(np.count_nonzero(wrong))) < _UNLIKELY:
        return ""
    for name, x in _measures(inputs):
        low, high = x[wrong], x[good]
        if low.min() > high.max():
            return f"where {name} is above {_between(float(high.max()), float(low.min()))}"
        if low.max() < high.min():
            return f"where {name} is below {_between(float(low.max()), float(high.min()))}"
    return ""


def _measures(inputs: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    for name, x in inputs.items():
        yield name, x
        yield f"|{name}|", np.abs(x)
    for one, other in combinations(inputs, 2):
        yield f"{one} - {other}", inputs[one] - inputs[other]
        yield f"|{one} - {other}|", np.abs(inputs[one] - inputs[other])


def _between(low: float, high: float) -> str:
    """The shortest number between two, zero before all others."""
    if low <= 0.0 <= high:
        return "0"
    middle = low + (high - low) / 2.0
    words = (f"{middle:.{digits}g}" for digits in range(1, 18))
    return next((word for word in words if low <= float(word) <= high), repr(middle))


def _lines(wrong: BoolArray, seen: Claim) -> Iterator[tuple[str, BoolArray]]:
    """The column, and the rows, of wrong entries: the rows in words, where they are one, few or a block."""
    index = np.argwhere(wrong)
    if index.shape[1] > 1:
        columns = np.unique(index[:, -1])
        place = np.zeros_like(wrong)
        place[..., columns[0]] = True
        if len(columns) == 1 and len(np.unique(index[:, 0])) > 1:
            yield f"in column {int(columns[0])}", place
    # Of a sample that lacks some of what is wrong the rows do not tell where it is.
    if index.shape[1] and len(seen.rows):
        place = np.zeros_like(wrong)
        place[np.unique(index[:, 0])] = True
        rows = np.unique(seen.rows[index[:, 0]])
        words = _rows(rows, int(seen.rows[-1]) + 1)
        if words and len(index) > 1:
            yield words, place


def _scattered(wrong: BoolArray, seen: Claim) -> str:
    """A few entries of no common place."""
    index = np.argwhere(wrong)
    if not index.shape[1] or not len(seen.rows):
        return "in some of the rows" if index.shape[1] else "in its only entry"
    index[:, 0] = seen.rows[index[:, 0]]
    if len(index) == 1:
        return f"in one entry, {tuple(int(i) for i in index[0])}"
    rows = len(np.unique(index[:, 0]))
    return f"in {len(index)} entries of {rows} row{'s' if rows > 1 else ''}"


def _rows(rows: Ints, length: int) -> str:
    first, end = int(rows[0]), int(rows[-1])
    if len(rows) == 1:
        return "in the last row" if first == length - 1 else f"in row {first}"
    if len(rows) <= 4 and end < length - 1:
        return f"in rows {', '.join(str(int(row)) for row in rows)}"
    if len(rows) == end - first + 1 < length:
        return f"from row {first} to {'the last' if end == length - 1 else end}"
    return ""


def _how(claim: Array, truth: Array, limit: float) -> str:
    """What wrong entries have in common."""
    finite = np.isfinite(claim)
    if not finite.any():
        return ", where it is not a number"
    if not finite.all():
        return ", where some of it is not a number"
    if not claim.any():
        return ", where it is 0"
    if not truth.any():
        return ", where it should be 0"
    ratio = float((claim * truth).sum() / (truth * truth).sum())
    if limit > _SHARP or norm(claim - ratio * truth) > limit * norm(claim):
        return ""
    if abs(ratio + 1.0) <= limit:
        return ", where the sign is wrong"
    return f", where it is {number(ratio)} times the true one"
