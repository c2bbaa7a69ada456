"""Embeddings: pairs with a label, and batches in which every row is compared with all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from losscli.families.plain import WEIGHTED, plain
from losscli.inputs import REAL, SIGN, Array, Bools, Domain, Fold, Input, Ints, Link, Partials, Signature, no_curve
from losscli.stable import along, norm, others, row_sums

# Beyond this size a cosine is told by its distance from one, which then has digits of its own.
_STEEP = 0.75
# How many numbers the vectors of as many pairs as are looked at together may have.
_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Cosines:
    """The cosines between the rows of x (N, D) and those of y (M, D): ``whole`` -1, 0 or 1, plus ``part``.

    The part beside ±1 is half the squared distance of the unit vectors, so that nearly parallel rows keep their digits.
    A zero row has no direction: its cosines are 0, without a slope.
    """

    u: Array
    v: Array
    length: Array
    breadth: Array
    whole: Array
    part: Array

    @classmethod
    def of(cls, x: Array, y: Array) -> Cosines:
        """The cosines between the rows of two matrices."""
        length, breadth = norm(x), norm(y)
        u, v = np.ascontiguousarray(along(x, length)), np.ascontiguousarray(along(y, breadth))
        turn = u @ v.T
        whole = _whole(turn)
        made = cls(u, v, length, breadth, whole, turn)
        for i, j, apart in made._steep():
            turn[i, j] = whole[i, j] * row_sums(apart * apart) / -2.0
        return made

    def _steep(self) -> Iterator[tuple[Ints, Ints, Array]]:
        """The pairs with a whole cosine, row after row, and what lies between their unit vectors: v ∓ u."""
        i, j = np.nonzero(self.whole)
        step = max(1, _AT_ONCE // self.u.shape[1])
        for start in range(0, len(i), step):
            a, b = i[start : start + step], j[start : start + step]
            yield a, b, self.v[b] - self.whole[a, b][:, None] * self.u[a]

    @property
    def turned(self) -> Cosines:
        """The cosines with the two matrices exchanged."""
        return Cosines(self.v, self.u, self.breadth, self.length, self.whole.T, self.part.T)

    def slope(self, by_cosine: Array) -> Array:
        """The derivative by x, given that by the cosines: what each v has across u, over the length of x."""
        flat = np.where(self.whole == 0.0, by_cosine, 0.0)
        across = flat @ self.v - row_sums(flat * self.part)[:, None] * self.u
        for i, j, apart in self._steep():
            own = by_cosine[i, j][:, None] * (apart - self.part[i, j][:, None] * self.u[i])
            starts = np.flatnonzero(np.diff(i, prepend=-1))
            across[i[starts]] += np.add.reduceat(own, starts, axis=0)
        return _upright(across, self.u) / np.where(self.length > 0.0, self.length, np.inf)


def _whole(turn: Array) -> Array:
    """The part of cosines that is told apart: -1 or 1 of steep ones, 0 of the others."""
    return np.where(np.abs(turn) < _STEEP, 0.0, np.sign(turn))


def _upright(across: Array, u: Array) -> Array:
    """What lies across vectors, with what it has along a coordinate that is most of one taken from the others.

    Where a vector all but lies on an axis, the difference of two numbers close to each other has left nothing there.
    """
    squares = u * u
    # What is more than half of a sum has more than a quarter of its square in squares: few rows are looked at closely.
    rows = np.flatnonzero(row_sums(squares * squares) > 0.2 * row_sums(squares) ** 2)
    own, top = u[rows], squares[rows].argmax(axis=1)
    at = np.arange(len(rows)), top
    tilt = across[rows] * own
    tilt[at] = 0.0
    leads = squares[rows, top] > 0.5 * row_sums(squares[rows])
    made = np.array(across)
    made[rows, top] = np.where(leads, -row_sums(tilt) / own[at], across[rows, top])
    return made


def batch(x: Array, labels: Array) -> Fold:
    """The cosines between all rows, and the labels."""
    cosines = Cosines.of(x, x)

    def gradient(a: Partials, _: str) -> Array:
        by_cosine = a[0]
        return cosines.slope(by_cosine + by_cosine.T)

    return Fold((cosines, labels), gradient, no_curve)


def retrieval(query: Array, key: Array) -> Fold:
    """The cosines between all queries and all keys."""
    cosines = Cosines.of(query, key)

    def gradient(a: Partials, name: str) -> Array:
        return cosines.slope(a[0]) if name == "query" else cosines.turned.slope(a[0].T)

    return Fold((cosines,), gradient, no_curve)


def products(anchor: Array, positive: Array) -> Fold:
    """The inner products of all anchors with all positives."""

    def gradient(a: Partials, name: str) -> Array:
        return np.asarray(a[0] @ positive if name == "anchor" else a[0].T @ anchor)

    return Fold((anchor @ positive.T,), gradient, no_curve)


def difference(x: Array, y: Array, label: Array) -> Fold:
    """d = x - y, and the label."""
    return Fold(
        (x - y, label),
        gradient=lambda a, name: a[0] if name == "x" else -a[0],
        hessian=lambda a, b, name: b[0],  # noqa: ARG005
    )


@dataclass(frozen=True)
class Turn:
    """The cosine of each pair, ``whole`` plus ``part`` as in Cosines, and where there is an angle."""

    whole: Array
    part: Array
    defined: Bools


@dataclass(frozen=True)
class _Units:
    """The cosines of pairs of vectors, and the unit vectors that they are taken from; all but these are (M, 1)."""

    u: Array
    v: Array
    length: Array
    breadth: Array
    whole: Array
    part: Array
    apart: Array

    @classmethod
    def of(cls, x: Array, y: Array) -> _Units:
        length, breadth = norm(x), norm(y)
        u, v = along(x, length), along(y, breadth)
        turn = row_sums(u * v)[:, None]
        whole = _whole(turn)
        apart = v - whole * u
        part = np.where(whole == 0.0, turn, whole * row_sums(apart * apart)[:, None] / -2.0)
        return cls(u, v, length, breadth, whole, part, apart)

    def side(self, name: str) -> tuple[Array, Array, Array]:
        """A unit vector, what the other has across it, and the length."""
        u, v, whole, part = self.u, self.v, self.whole, self.part
        defined = (self.length > 0.0) & (self.breadth > 0.0)
        if name == "x":
            return u, _upright(self.apart - part * u, u), np.where(defined, self.length, np.inf)
        across = np.where(whole == 0.0, u, -whole * self.apart) - part * v
        return v, _upright(across, v), np.where(defined, self.breadth, np.inf)


def angle(x: Array, y: Array, label: Array) -> Fold:
    """The cosine and the label; partials are taken with respect to the cosine."""
    length, breadth = norm(x), norm(y)
    both = length * breadth
    whole, part = np.zeros_like(both), row_sums(x * y)[:, None] / both
    # Elsewhere, and where products may overflow or vanish, the unit vectors are compared.
    plain = (np.abs(part) < _STEEP) & (np.minimum(length, breadth) > 1e-70) & (np.maximum(length, breadth) < 1e70)
    rest = np.flatnonzero(~plain)
    close = _Units.of(x[rest], y[rest])
    whole[rest], part[rest] = close.whole, close.part

    def gradient(a: Partials, name: str) -> Array:
        by_cosine = a[0][:, None]
        own, other, size = (x, y, length) if name == "x" else (y, x, breadth)
        made = _upright(other * (by_cosine / both) - own * (by_cosine * part / (size * size)), own)
        _, across, wide = close.side(name)
        made[rest] = by_cosine[rest] * across / wide
        return made

    def hessian(a: Partials, b: Partials, name: str) -> Array:
        own, across, size = _Units.of(x, y).side(name)
        bend = a[0][:, None] * (2.0 * own * across + (whole + part) * others(own * own))
        return (b[0][:, None] * across * across - bend) / size / size

    defined = (length > 0.0) & (breadth > 0.0)
    return Fold((Turn(whole[:, 0], part[:, 0], defined[:, 0]), label), gradient, hessian)


def lead(x1: Array, x2: Array, label: Array) -> Fold:
    """By how much the one that should be larger is larger: label · (x1 - x2)."""
    return Fold(
        (label * (x1 - x2),),
        gradient=lambda a, name: a[0] * label if name == "x1" else -a[0] * label,
        hessian=lambda a, b, name: b[0],  # noqa: ARG005  (label² = 1)
    )


_SAME = Domain("1 for a pair that belongs together, 0 for one that does not", members=(0.0, 1.0))
_WHOLE = Domain("a whole number that names a class", breaks=lambda labels: labels != np.floor(labels))
_VECTORS = tuple(
    Input(name, REAL, differentiable=True, help="one vector per row (N, D)", axes="ND") for name in ("x", "y")
)


def _in_batch(name: str, says: str) -> Input:
    return Input(name, REAL, differentiable=True, help=says, axes="ND", curved=False)


LABELLED_PAIRS = Signature(
    "labelled-pairs",
    (
        # Drawn close together, lest no pair be within a margin.
        *(replace(entry, draw=lambda rng, shape, scale: rng.normal(size=shape) * scale / 4.0) for entry in _VECTORS),
        Input("label", _SAME, help="1: the two belong together, 0: they do not (N)", axes="N"),
    ),
    "rows",
    {"values": Link(difference)},
    options=WEIGHTED,
)
SIGNED_PAIRS = Signature(
    "signed-pairs",
    (*_VECTORS, Input("label", SIGN, help="1: the two belong together, -1: they do not (N)", axes="N")),
    "rows",
    {
        "values": Link(
            angle,
            (
                (
                    "c",
                    "sum(a*b for a, b in zip(x, y))/sqrt(sum(a**2 for a in x)*sum(b**2 for b in y))"
                    " if sum(abs(a) for a in x)*sum(abs(b) for b in y) > 0 else 0",
                ),
            ),
        )
    },
    options=WEIGHTED | {"labels"},
)
DISTANCES = Signature(
    "distances",
    (
        Input("distance", REAL, differentiable=True, help="how far the two of a pair are apart"),
        Input("label", SIGN, help="1: the two belong together, -1: they do not"),
    ),
    "elements",
    {"values": Link(plain("distance", "label"))},
    options=WEIGHTED | {"labels"},
)
COMPARISONS = Signature(
    "comparisons",
    (
        Input("x1", REAL, differentiable=True, help="the score of one"),
        Input("x2", REAL, differentiable=True, help="the score of another"),
        Input("label", SIGN, help="1: the first should be larger, -1: the second"),
    ),
    "elements",
    {"values": Link(lead)},
    options=WEIGHTED | {"labels"},
)

_UNITS = "[[a/sqrt(sum(b**2 for b in x)) if a != 0 else 0 for a in x] for x in {}]"
_PRODUCTS = "[[sum(a*b for a, b in zip(x, y)) for y in {}] for x in {}]"
BATCH = Signature(
    "embeddings",
    (
        _in_batch("embeddings", "one vector per row (N, D); all rows are one batch"),
        Input(
            "labels",
            _WHOLE,
            help="a whole number per row (N): rows of the same number belong together",
            axes="N",
            draw=lambda rng, shape, _: rng.integers(0, max(2, shape[0] // 3), shape),
        ),
    ),
    "groups",
    {
        "values": Link(
            batch,
            (
                ("u", _UNITS.format("embeddings")),
                ("s", _PRODUCTS.format("u", "u")),
                ("same", "[[j for j, b in enumerate(labels) if b == a and j != i] for i, a in enumerate(labels)]"),
                ("other", "[[j for j, b in enumerate(labels) if b != a] for a in labels]"),
            ),
        )
    },
)
RETRIEVAL = Signature(
    "retrieval",
    (
        _in_batch("query", "one vector per row (N, D); all rows are one batch"),
        _in_batch("key", "one vector per row (N, D): the i-th belongs to the i-th query"),
    ),
    "groups",
    {
        "values": Link(
            retrieval, (("u", _UNITS.format("query")), ("v", _UNITS.format("key")), ("s", _PRODUCTS.format("v", "u")))
        )
    },
)
PRODUCTS = Signature(
    "products",
    (
        _in_batch("anchor", "one vector per row (N, D); all rows are one batch"),
        _in_batch("positive", "one vector per row (N, D): the i-th belongs to the i-th anchor"),
    ),
    "groups",
    {"values": Link(products, (("s", _PRODUCTS.format("positive", "anchor")),))},
)
