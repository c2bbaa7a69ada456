"""Softmax losses whose margin is an angle: cross-entropy of scores in which the own class's is lowered.

The scores are those of a linear head, or cosines; what differs is the score of a row's own class, a function of the
angle between the features and that class's weights. An exponential is taken of a difference of two scores, never of a
score, and the difference is formed before it is multiplied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Annotated, Any

import numpy as np

from losscli.families.angular import ANGULAR, ANGULAR_ARCS, ANGULAR_PRODUCTS, ANGULAR_PROJECTIONS, Heads
from losscli.families.vectors import BY_COSINE
from losscli.inputs import Bools, Ints
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array, row_sums, times
from losscli.twofold import split, two_product, two_sum

_Multiple = Annotated[int, Param("the angle counts as many times; 1 is no margin", at_least=1)]
_Scale = Annotated[float, Param("what cosines are multiplied by", above=0)]


@dataclass(frozen=True)
class _Surprise:
    """Surprise of the own class, (M,), and its derivatives by all scores, (M, C): ``rest`` is that of all others."""

    value: Array
    pull: Array
    rest: Array

    @classmethod
    def of(cls, gap: Array, lost: Array, index: Ints) -> _Surprise:
        """From what the scores exceed the own one by, and what its rounding has lost; the own column is not read."""
        rows = np.arange(len(gap))
        gap[rows, index] = 0.0
        top = gap.max(axis=1, keepdims=True)
        if top.any():
            gap, more = two_sum(gap, -top)
            lost = lost + more
        # What rounding has lost of scores beyond 2^52 is no small number, and means as little there as their last bit.
        e = np.exp(gap) * np.where(np.abs(lost) < 0.5, 1.0 + lost, 1.0)
        own = np.exp(-top[:, 0])
        e[rows, index] = 0.0
        rest = row_sums(e)
        total = rest + own
        # Where the own class is on top own - 1 is exactly 0 and log1p sees the others alone; elsewhere rest ≥ 1.
        value = np.log1p(rest + (own - 1.0)) + top[:, 0]
        return cls(value, e / total[:, None], rest / total)

    def with_own(self, index: Ints, slope: Array) -> Array:
        """The derivatives by the cosines, the own score being a function of the own one with the given slope."""
        made = self.pull.copy()
        made[np.arange(len(made)), index] = -self.rest * slope
        return made


@dataclass(frozen=True)
class _Own:
    """The score of each row's own class, (M,): ``high`` + ``low`` + ``part``, and its derivative by the cosine."""

    high: Array
    low: Array
    part: Array
    slope: Array


@cache
def _turned(m: float) -> Array:
    """The cosine of m and -sin m, -cos m and m sin m, each as the sum of two floats, from series of 40 terms."""
    angle = Fraction(m)
    terms = [angle**n / math.factorial(n) for n in range(40)]
    cosine = sum((-1) ** k * terms[2 * k] for k in range(20))
    sine = sum((-1) ** k * terms[2 * k + 1] for k in range(20))
    return np.array([split(x) for x in (Fraction(cosine), -Fraction(sine), -Fraction(cosine), angle * sine)])


def _excess(heads: Heads, own: _Own) -> tuple[Array, Array]:
    """By how much the cosines with all classes exceed the own score, (M, C), and what its rounding has lost."""
    whole, part = heads.cosines
    steps, first = two_sum(whole, -own.high[:, None])
    gap, second = two_sum(steps, part - own.part[:, None])
    return gap, first + (second - own.low[:, None])


def _scaled(heads: Heads, own: _Own, scale: Array) -> _Surprise:
    """The surprise of the own class by cosines times a scale, which is a sum of two floats."""
    gap, lost = _excess(heads, own)
    big, more = two_product(np.asarray(scale[0]), gap)
    return _Surprise.of(big, more + (scale[0] * lost + scale[1] * gap), heads.index)


def _by_cosines(heads: Heads, own: _Own, scale: Array) -> Rows:
    """Cross-entropy of cosines times a scale."""
    made = _scaled(heads, own, scale)
    return Rows(made.value, grad=lambda: scale[0] * made.with_own(heads.index, own.slope))


def _nowhere(heads: Heads) -> Bools:
    """The rows of which the features or their class's weights have no direction."""
    return np.asarray((heads.length == 0.0) | (heads.breadth[heads.index] == 0.0))[:, 0]


def _no_direction(heads: Heads, *_: Any, **__: Any) -> Bools:
    return np.concatenate(np.broadcast_arrays(heads.length == 0.0, heads.breadth.T == 0.0), axis=1)


_AT_ZERO = "features or a class's weights are zero"


@loss(
    aliases=("large-margin-softmax",),
    reads=ANGULAR_PRODUCTS,
    formula="log(1 + sum(exp(z - scores[y] - length*lengths[y]"
    "*((-1)**floor(m*angle/pi)*cos(m*angle) - 2*floor(m*angle/pi) - cosines[y])/(1 + annealing))"
    " for j, z in enumerate(scores) if j != y))",
    slope="w - the one-hot label by the scores, w their softmax with the own one bent; that one falls by length"
    " lengths[y] (m |sin(m angle)| + annealing sin(angle))/(1 + annealing) with its angle",
    kinks=Kinks(
        f"m > 1 and {_AT_ZERO}",
        piece=lambda heads, *, m, **_: (m > 1) & _nowhere(heads),
    ),
    sources=("Liu et al. (2016), Large-margin softmax loss, arXiv:1612.02295, eq. 4 to 7, and its annealing",),
    peers=("PML LargeMarginSoftmaxLoss(margin) (without annealing)",),
)
def l_softmax(
    heads: Heads,
    *,
    m: _Multiple = 4,
    annealing: Annotated[float, Param("λ, the weight of the own score without a margin", at_least=0)] = 0.0,
) -> Rows:
    """Cross-entropy of linear scores in which the own class's angle counts m times, as |x||w| ψ(θ).

    ψ falls all the way: (-1)^k cos(mθ) - 2k from θ = kπ/m to (k + 1)π/m. Its slope by θ is 0 at the seams, where the
    second derivative jumps. With annealing λ the own score is (λ x·w + |x||w| ψ)/(1 + λ). Where the features or the own
    weights are zero its slope is taken as that of x·w.
    """
    bent, plain = heads.angle.bent(m), heads.angle.bent(1)
    # Of the own score's slope one share is straight, the other bent.
    share, straight = (0.0, 1.0) if m == 1 else (1.0 / (1.0 + annealing), annealing / (1.0 + annealing))
    drop = share * ((bent.whole - plain.whole) + (bent.part - plain.part))
    size = heads.length[:, 0] * heads.breadth[heads.index, 0]
    score = heads.scores[np.arange(len(size)), heads.index]
    gap = (heads.scores - score[:, None]) - times(drop, size)[:, None]
    made = _Surprise.of(gap, np.zeros(1), heads.index)

    def grad() -> tuple[Array, Array, Array]:
        pull = made.rest * -share
        flat = made.with_own(heads.index, np.where(_nowhere(heads), 1.0, straight))
        return flat, pull * (bent.whole + bent.part), pull * bent.slope

    return Rows(made.value, grad)


@loss(
    aliases=("a-softmax", "angular-softmax"),
    reads=ANGULAR_PROJECTIONS,
    formula="log(1 + sum(exp(length*(c - (-1)**floor(m*angle/pi)*cos(m*angle) + 2*floor(m*angle/pi)))"
    " for j, c in enumerate(cosines) if j != y))",
    slope="w - the one-hot label by the scores length c, w their softmax with the own c bent: that times c by the"
    " length, and times the length by c, by the own cosine also times m |sin(m angle)|/sin(angle)" + BY_COSINE,
    kinks=Kinks(f"{_AT_ZERO}; where weights are, the value jumps", piece=_no_direction, jump=True),
    sources=("Liu et al. (2017), SphereFace, arXiv:1704.08063, eq. 7",),
    peers=("PML SphereFaceLoss(margin, scale=1)",),
)
def sphereface(heads: Heads, *, m: _Multiple = 4) -> Rows:
    """Cross-entropy of |x| cos θ, by the directions of the weights alone, the own class's angle counting m times.

    The own score is |x| ψ, with ψ as in `l-softmax`. Weights of zero are at a right angle to all features, without a
    slope; where the features are zero the own score's slope is taken as that of |x| cos θ.
    """
    bent = heads.angle.bent(m)
    own = _Own(bent.whole, np.zeros(1), bent.part, np.where(heads.length[:, 0] > 0.0, bent.slope, 1.0))
    gap, lost = _excess(heads, own)
    big, more = two_product(heads.length, gap)
    made = _Surprise.of(big, more + heads.length * lost, heads.index)
    return Rows(
        made.value,
        grad=lambda: (made.with_own(heads.index, own.slope), row_sums(made.pull * (gap + lost))),
    )


@loss(
    aliases=("am-softmax", "additive-margin-softmax"),
    reads=ANGULAR,
    formula="log(1 + sum(exp(s*(c - cosines[y] + m)) for j, c in enumerate(cosines) if j != y))",
    slope="s (w - the one-hot label) by the cosines c, w the softmax of s c with the own one lowered by m" + BY_COSINE,
    kinks=Kinks(f"{_AT_ZERO}: the value jumps", piece=_no_direction, jump=True),
    sources=(
        "Wang et al. (2018), CosFace, arXiv:1801.09414, eq. 4",
        "Wang et al. (2018), Additive margin softmax, arXiv:1801.05599",
    ),
    peers=("PML CosFaceLoss(margin, scale)",),
)
def cosface(
    heads: Heads,
    *,
    s: _Scale = 64.0,
    m: Annotated[float, Param("what the own class's cosine is lowered by", at_least=0)] = 0.35,
) -> Rows:
    """Cross-entropy of s cos θ, the own class's cosine lowered by m.

    A zero vector is at a right angle to all others, without a slope.
    """
    cosine = heads.angle.bent(1)
    high, low = two_sum(cosine.whole, np.asarray(-m))
    return _by_cosines(heads, _Own(high, low, cosine.part, np.ones(1)), np.array([s, 0.0]))


def _late(heads: Heads, m: float) -> Bools:
    """Where θ + m > π, and where there is no margin to speak of."""
    angle = heads.angle
    return np.asarray((m + angle.turn > (2.0 - angle.quarters) * (np.pi / 2.0)) | (m == 0.0))


def _arc_pieces(heads: Heads, *, m: float, **_: Any) -> Bools:
    aligned = (heads.angle.quarters == 0.0) & (heads.angle.turn == 0.0) & (m > 0.0)
    return np.column_stack([_no_direction(heads), aligned, _late(heads, m)])


@loss(
    aliases=("additive-angular-margin",),
    reads=ANGULAR_ARCS,
    formula="log(1 + sum(exp(s*(c - (cos(angle + m) if angle <= pi - m else cosines[y] - m*sin(m))))"
    " for j, c in enumerate(cosines) if j != y))",
    slope="s (w - the one-hot label) by the cosines c, w the softmax of s c with the own angle raised by m; by the own"
    " one also times sin(angle + m)/sin(angle) up to π - m, 0 at angle = 0" + BY_COSINE,
    kinks=Kinks(f"θ = 0; at θ = π - m, and where {_AT_ZERO}, the value jumps", piece=_arc_pieces, jump=True),
    sources=("Deng et al. (2019), ArcFace, arXiv:1801.07698, eq. 3 (θ ≤ π - m)",),
    peers=(
        "PML ArcFaceLoss(margin in degrees, scale) (where features lie along their own weights: NaN)",
        "insightface ArcFace (the same beyond π - m)",
    ),
)
def arcface(
    heads: Heads,
    *,
    s: _Scale = 64.0,
    m: Annotated[float, Param("what the own class's angle is raised by, in radians", at_least=0, at_most=3)] = 0.5,
) -> Rows:
    """Cross-entropy of s cos θ, the own class's angle raised by m; beyond π - m its cosine is lowered by m sin m.

    Where the features lie along their own class's weights the own score has a tip, and its slope is taken as 0. A zero
    vector is at a right angle to all others, without a slope.
    """
    angle, cosine, late = heads.angle, heads.angle.bent(1), _late(heads, m)
    # A row that is not a number must not keep the others from theirs.
    at, constants = np.nan_to_num(angle.quarters).astype(np.intp), _turned(m)
    # From cos(m + q·π/2), which is exact to twice the digits, to cos(m + θ); sines of m + θ/2 and m + θ likewise.
    middle, end = m + angle.turn / 2.0, m + angle.turn
    middle, end = (np.choose(at, (np.sin(x), np.cos(x), -np.sin(x))) for x in (middle, end))
    first, second = constants[:3].T
    high, low = two_sum(cosine.whole, -constants[3, 0])
    own = _Own(
        np.where(late, high, first[at]),
        np.where(late, low - constants[3, 1], second[at]),
        np.where(late, cosine.part, -2.0 * middle * np.sin(angle.turn / 2.0)),
        np.where(late, 1.0, 0.0),
    )
    made = _scaled(heads, own, np.array([s, 0.0]))
    return Rows(
        made.value,
        grad=lambda: (s * made.with_own(heads.index, own.slope), s * made.rest * np.where(late, 0.0, end)),
    )


@loss(
    aliases=("norm-softmax", "cosine-softmax"),
    reads=ANGULAR,
    formula="log(1 + sum(exp((c - cosines[y])/temperature) for j, c in enumerate(cosines) if j != y))",
    slope="(w - the one-hot label)/temperature by the cosines c, w the softmax of c/temperature" + BY_COSINE,
    kinks=Kinks(f"{_AT_ZERO}: the value jumps", piece=_no_direction, jump=True),
    sources=(
        "Wang et al. (2017), NormFace, arXiv:1704.06369",
        "Zhai & Wu (2019), Classification is a strong baseline for deep metric learning, arXiv:1811.12649",
    ),
    peers=("PML NormalizedSoftmaxLoss(temperature)", "torch.nn.CrossEntropyLoss of cosines over the temperature"),
)
def normalized_softmax(
    heads: Heads,
    *,
    temperature: Annotated[float, Param("what cosines are divided by", above=0)] = 0.05,
) -> Rows:
    """Cross-entropy of cosines over a temperature: features and weights count by their directions alone.

    A zero vector is at a right angle to all others, without a slope.
    """
    cosine = heads.angle.bent(1)
    own = _Own(cosine.whole, np.zeros(1), cosine.part, np.ones(1))
    return _by_cosines(heads, own, np.array(split(1 / Fraction(temperature))))
