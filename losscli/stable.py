"""Elementary functions that keep their relative accuracy close to zero and far from it.

All take and return float64 arrays and broadcast. None validates. They may pass through 0/0 and overflow on
purpose, so callers silence floating-point warnings once, around the whole block of work.

Where a case is rare, it is looked for first: choosing between two arrays entry by entry (np.where) costs as much as
six exponentials, as the processor cannot foresee the choice. What looks for it finds it beside a NaN, too, so that the
digits of an entry never depend on its neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Blocks of fewer classes than this are stored class after class, those of more row after row.
FEW = 32

# Up to so many numbers sum adds up in no finer pairs than einsum's lanes, which take a third of its time.
_LANES = 128
# The bit of a float64 that holds its sign.
_SIGN = np.int64(-(2**63))
# Beyond this |z| e^-z leaves the normal numbers, and 1 + e^-|z| is 1.
_TAME = 700.0
# Squared lengths between these neither overflow nor lose digits.
_SQUARES = (1e-280, 1e280)
# Beyond this |r| the sum r + log1p(e^-2r) - ln 2 no longer cancels; below it sinh is safe from overflow.
_LOG_COSH_SEAM = 2.0
# e^-s - 1 + s = s² Σ (-s)^k/(k + 2)!: from 1 on the difference loses a bit or two, and up to there 18 terms suffice.
_SURPLUS_SEAM = 1.0
_SURPLUS = [(-1.0) ** k / math.factorial(k + 2) for k in reversed(range(18))]


def positive_part(x: Array) -> Array:
    """max(0, x), in a third of np.maximum's time."""
    return np.clip(x, 0.0, np.inf)


def either(where: npt.NDArray[np.bool_], a: Array | float, b: Array | float) -> Array:
    """A where true, else b, both finite: a third of np.where's time where nothing tells which it will be."""
    return np.asarray(where * a + ~where * b)


def falling(x: Array, end: float) -> Array:
    """The slope of max(0, end - x): -1 where x is below the end, 0 elsewhere."""
    return np.asarray(np.subtract(0.0, x < end))


def softplus(z: Array) -> Array:
    """log(1 + e^z)."""
    made = np.asarray(np.exp(z))
    np.log1p(made, out=made)
    # Where e^z is no float, the 1 beside it has long been none of the sum's digits.
    return np.where(np.isposinf(made), z, made) if made.size and not made.max() < np.inf else made


def sigmoid(z: Array) -> Array:
    """1 / (1 + e^-z), with all its digits also where it is tiny."""
    p = np.negative(z)
    np.exp(p, out=p)
    p += 1.0
    np.divide(1.0, p, out=p)
    return np.where(z < -_TAME, np.exp(z), p) if z.size and not z.min() >= -_TAME else p


def signed(size: Array, x: Array) -> Array:
    """Sizes with the signs of x: half of np.copysign's time, which takes one number after the other."""
    bits = np.bitwise_and(x.view(np.int64), _SIGN)
    np.bitwise_or(bits, size.view(np.int64), out=bits)
    return bits.view(np.float64)


def odds(z: Array) -> tuple[Array, Array]:
    """The probabilities σ(z) and σ(-z) = 1 - σ(z), each with all its digits."""
    e = np.negative(z)
    np.exp(e, out=e)
    p = 1.0 + e
    np.divide(1.0, p, out=p)
    q = np.multiply(e, p, out=e)
    if z.size and not z.min() >= -_TAME:
        low = z < -_TAME
        p, q = np.where(low, np.exp(z), p), np.where(low, 1.0, q)
    return p, q


def hypotenuse(r: Array, other: float) -> Array:
    """√(r² + other²), a tenth of np.hypot's time."""
    made = r * r
    made += other * other
    if made.size and not _SQUARES[0] < made.min() <= made.max() < _SQUARES[1]:
        return np.where((made > _SQUARES[0]) & (made < _SQUARES[1]), np.sqrt(made), np.hypot(r, other))
    return np.sqrt(made, out=made)


def log_cosh(r: Array) -> Array:
    """log(cosh(r)): r²/2 near zero, |r| - ln 2 far out."""
    size = np.abs(r)
    near = np.log1p(2.0 * np.sinh(np.minimum(size, _LOG_COSH_SEAM) / 2.0) ** 2)
    far = size + np.log1p(np.exp(-2.0 * size)) - math.log(2.0)
    return np.where(size <= _LOG_COSH_SEAM, near, far)


def sech2(r: Array) -> Array:
    """1 / cosh(r)², the slope of tanh, without the overflow of cosh."""
    e = np.exp(-np.abs(r))
    return (2.0 * e / (1.0 + e * e)) ** 2


def surplus(s: Array) -> Array:
    """s - (1 - e^-s) for s ≥ 0: s²/2 near zero, where the difference has no digits left."""
    far = s + np.expm1(-s)
    near = np.minimum(s, _SURPLUS_SEAM)
    return np.where(s <= _SURPLUS_SEAM, near * near * np.polyval(_SURPLUS, near), far)


def times(a: Array, b: Array) -> Array:
    """a · b with 0 · anything = 0, so that a term of weight zero vanishes also where it is infinite."""
    zero = np.equal(a, 0.0)
    return np.where(zero, 0.0, a * b) if zero.any() else a * b


def over(a: Array, b: Array) -> Array:
    """a / b with 0 / anything = 0: the slope of a term of weight zero."""
    zero = np.equal(a, 0.0)
    return np.where(zero, 0.0, a / b) if zero.any() else a / b


def by_row(factor: Array, x: Array) -> Array:
    """A factor of each row of x, or one of all, in a shape that multiplies x."""
    return factor.reshape(factor.shape + (1,) * (x.ndim - factor.ndim)) if factor.ndim else factor


def xlogy(x: Array, y: Array) -> Array:
    """x · log(y) with 0 · log(0) = 0."""
    return times(x, np.log(y))


def log_ratio(p: Array, q: Array) -> Array:
    """log(p / q), with all its digits where p is close to q."""
    # The excess of the larger over the smaller is exact when the ratio is at most 2 (Sterbenz).
    excess = p - q
    smaller = np.minimum(p, q)
    size = np.log1p(np.abs(excess) / smaller)
    if smaller.size and not smaller.min() >= _SQUARES[0]:
        size = np.where(np.isinf(size) & (smaller > 0.0), np.abs(np.log(p) - np.log(q)), size)
    return np.copysign(size, excess)


def log_factorial(t: Array) -> Array:
    """log(t!) = log Γ(t + 1) for t ≥ 0; once per distinct value, since counts repeat."""
    distinct, index = np.unique(t, return_inverse=True)
    table = np.array([math.lgamma(value + 1.0) for value in distinct])
    return table[index.reshape(t.shape)]


def row_sums(x: Array) -> Array:
    """The sum of each row, (M, C) → (M,): the same bits whatever rows stand beside it, and however they are stored.

    Numpy itself adds up several rows of few classes one class after the other, and a row on its own in pairs.
    """
    if x.shape[1] >= FEW:
        # Of rows that are not stored one after the other both would add up whole columns.
        x = np.ascontiguousarray(x)
        return np.asarray(x.sum(axis=1) if x.shape[1] > _LANES else np.einsum("ij->i", x))
    made = np.zeros(len(x), x.dtype)
    for column in x.T:
        made += column
    return made


def norm(d: Array, p: float = 2.0) -> Array:
    """The p-norm of each row, (M, D) → (M, 1); powers neither overflow nor vanish."""
    if p != 2:
        return _scaled_norm(d, p)
    squares = row_sums(d * d)[:, None]
    size = np.sqrt(squares)
    wild = ~((squares > _SQUARES[0]) & (squares < _SQUARES[1]))[:, 0]
    if wild.any():
        size[wild] = _scaled_norm(d[wild], p)
    return size


def _scaled_norm(d: Array, p: float) -> Array:
    scale = np.abs(d).max(axis=1, keepdims=True, initial=0.0)
    powers = np.abs(over(d, scale)) ** p
    return scale * row_sums(powers)[:, None] ** (1.0 / p)


def unit(d: Array) -> Array:
    """Each row divided by its Euclidean norm; a zero row stays zero."""
    return along(d, norm(d))


def along(d: Array, size: Array) -> Array:
    """Each row divided by its Euclidean norm, which is known; a zero row stays zero."""
    if size.size and size.min() < _SQUARES[0]:
        # Rows so short that their norm has lost digits, or is zero, are made longer first.
        scale = np.abs(d).max(axis=1, keepdims=True, initial=0.0)
        scaled = np.where(size < _SQUARES[0], over(d, scale), d)
        return over(scaled, norm(scaled))
    return d / size


def others(x: Array) -> Array:
    """For every entry of a row the sum of the *other* entries, shape (M, C) → (M, C).

    Subtracting an entry from the total loses digits only for an entry that dominates its row, and only the one
    largest in size can: for that one the others are added up.
    """
    rows = np.arange(len(x))
    top = np.abs(x).argmax(axis=1)
    rest = row_sums(x)[:, None] - x
    without = np.array(x)
    without[rows, top] = 0.0
    rest[rows, top] = row_sums(without)
    return rest


@dataclass(frozen=True)
class Softmax:
    """Softmax probabilities of rows of logits, with what cancellation would destroy.

    ``p`` (M, C) the probabilities, ``rest`` 1 - p, ``surprise`` -log p in nats.
    """

    p: Array
    rest: Array
    surprise: Array


def softmax(z: Array) -> Softmax:
    """Softmax of each row of logits z (M, C); a logit of -inf is a class of probability zero."""
    top = z.max(axis=1, keepdims=True)
    e = np.exp(z - top)
    rest = others(e)
    total = row_sums(e)[:, None]
    at_top = e.argmax(axis=1)
    excess = rest[np.arange(len(z)), at_top][:, None]
    return Softmax(p=e / total, rest=rest / total, surprise=np.log1p(excess) + (top - z))
