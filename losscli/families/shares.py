"""One distribution per row, by what it was given as: its probabilities, and the chain rule from them.

Probabilities and log-probabilities are free variables. Logits are not: adding a constant to the slope by the
probabilities changes nothing, and it would swallow what is small. So what is constant comes apart, as ``plus``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from losscli import stable
from losscli.inputs import Array, Ints
from losscli.stable import over, times

# Below this |log(a/b)| a - b is taken from it.
_NEAR = 1.0
# Some way above the smallest float that has all its digits.
SMALL = 1e-300


def difference(a: Array, b: Array, ratio: Array) -> Array:
    """a - b, with all its digits, for a, b ≥ 0 of which log(a/b) is known."""
    made = np.where(np.abs(ratio) < _NEAR, b * np.expm1(ratio), a - b)
    lost = np.isnan(made)
    return np.where(lost, np.copysign(np.inf, ratio), made) if lost.any() else made


@dataclass(frozen=True)
class Tilted:
    """The terms mix = p^s q^(1-s) of a sum, as one of the two, p, sees them; q is the ``other``.

    ``x`` is log(mix/p), ``log_mass`` (M, 1) the logarithm of Σ mix, ``share`` mix/Σ mix, ``ratio`` log(share/p) and
    ``rest`` 1 - share.
    """

    s: float
    other: Array
    x: Array
    mix: Array
    log_mass: Array
    ratio: Array
    share: Array
    rest: Array


def _weighed(p: Array, log: Array, a: Array) -> Array:
    """p a, where p may be too small for all of its digits; 0 times anything is 0."""
    made = times(p, a)
    small = p < SMALL
    if not small.any():
        return made
    whole = np.copysign(np.exp(log + np.log(np.abs(a))), a)
    return np.where(small & np.isfinite(log), whole, made)


class Given(ABC):
    """A distribution per row: p (M, C), log p, and -log p = above + offset, where offset is one number per row.

    Slopes are by what was given. Of a sum of terms that read a probability each, a is the slope by it, with ``plus``
    a constant, and h is p times the second derivative. m is another distribution and ratio is log(m/p).
    """

    p: Array
    log: Array
    above: Array
    offset: Array | float = 0.0

    @property
    def surprise(self) -> Array:
        """-log p in nats."""
        return -self.log

    @property
    def root(self) -> Array:
        """√p, also where p is smaller than any float."""
        return np.exp(self.log / 2.0)

    @abstractmethod
    def along(self, a: Array, plus: Array | float = 0.0) -> Array:
        """The slope of a sum of terms whose slopes by the probabilities are a + plus."""

    @abstractmethod
    def bend(self, a: Array, plus: Array | float, h: Array | float) -> Array:
        """Its second derivative, where the terms' second derivatives by the probabilities are h/p."""

    @abstractmethod
    def pull(self, m: Array, ratio: Array) -> Array:
        """The slope of Σ m log p, m held still."""

    @abstractmethod
    def pull_bend(self, m: Array) -> Array:
        """The second derivative of Σ m log p, m held still."""

    @abstractmethod
    def rise(self, m: Array, x: Array) -> Array:
        """The slope of Σ (m log p - p), m held still; x is log(m/p)."""

    @abstractmethod
    def tilt_bend(self, t: Tilted) -> Array:
        """The second derivative of log Σ mix."""

    @abstractmethod
    def lift(self, t: Tilted) -> Array:
        """The slope of Σ mix - s p, over s."""

    @abstractmethod
    def lift_bend(self, t: Tilted) -> Array:
        """The second derivative of Σ mix - s p."""


# Squares of smaller numbers lose digits.
_ROOT = 2.0**-500


class Probs(Given):
    """Probabilities, or masses, as free variables."""

    def __init__(self, p: Array) -> None:
        self.p = p

    @cached_property
    def log(self) -> Array:  # type: ignore[override]
        """Log p."""
        return np.log(self.p)

    @property
    def above(self) -> Array:  # type: ignore[override]
        """-log p."""
        return -self.log

    @property
    def root(self) -> Array:
        """√p."""
        return np.sqrt(self.p)

    def along(self, a: Array, plus: Array | float = 0.0) -> Array:
        """a + plus."""
        return a + plus

    def bend(self, a: Array, plus: Array | float, h: Array | float) -> Array:  # noqa: ARG002
        """h/p."""
        return over(h + np.zeros_like(a), self.p)

    def pull(self, m: Array, ratio: Array) -> Array:
        """m/p."""
        return np.where(np.isposinf(ratio), np.inf, over(m, self.p))

    def pull_bend(self, m: Array) -> Array:
        """-m/p²."""
        return -over(over(m, self.p), self.p)

    def rise(self, m: Array, x: Array) -> Array:
        """m/p - 1."""
        far = np.where(np.isposinf(x), np.inf, over(m, self.p) - 1.0)
        return np.where((np.abs(x) < _NEAR) & (m > 0.0), np.expm1(x), far)

    def tilt_bend(self, t: Tilted) -> Array:
        """s m (s (1 - m) - 1)/p²."""
        made = over(t.s * over(t.share, self.p) * (t.s * t.rest - 1.0), self.p)
        # Of p²/q that is 2/q less its share twice, also where p² is lost; of lesser powers no number at p = 0.
        lost = (self.p < _ROOT if t.s == 2.0 else (self.p == 0.0) & (0.0 < t.s < 2.0)) & (t.other > 0.0)
        if not lost.any():
            return made
        bend = 2.0 * np.exp(-t.log_mass) / t.other * (2.0 * t.rest - 1.0) if t.s == 2.0 else np.inf * (t.s - 1.0)
        return np.where(lost, bend, made)

    def lift(self, t: Tilted) -> Array:
        """mix/p - 1."""
        return self.rise(t.mix, t.x)

    def lift_bend(self, t: Tilted) -> Array:
        """s (s - 1) mix/p²."""
        # Of p²/q that is 2/q, also at p = 0.
        curve = 1.0 / t.other if t.s == 2.0 else over(over(t.mix, self.p), self.p)
        return t.s * (t.s - 1.0) * curve


class LogProbs(Given):
    """Log-probabilities, or logarithms of masses, as free variables."""

    def __init__(self, log: Array) -> None:
        self.log = log
        self.above = -log
        self.p = np.exp(log)

    def along(self, a: Array, plus: Array | float = 0.0) -> Array:
        """p (a + plus)."""
        return _weighed(self.p, self.log, a + plus)

    def bend(self, a: Array, plus: Array | float, h: Array | float) -> Array:
        """p (a + plus + h)."""
        return _weighed(self.p, self.log, a + plus + h)

    def pull(self, m: Array, ratio: Array) -> Array:  # noqa: ARG002
        """m."""
        return m

    def pull_bend(self, m: Array) -> Array:
        """0."""
        return np.zeros_like(m)

    def rise(self, m: Array, x: Array) -> Array:
        """m - p."""
        return difference(m, self.p, x)

    def tilt_bend(self, t: Tilted) -> Array:
        """s² m (1 - m)."""
        return t.s * t.s * t.share * t.rest

    def lift(self, t: Tilted) -> Array:
        """mix - p."""
        return self.rise(t.mix, t.x)

    def lift_bend(self, t: Tilted) -> Array:
        """s (s mix - p)."""
        return t.s * ((t.s - 1.0) * t.mix + self.lift(t))


class Logits(Given):
    """Logits: probabilities are their softmax."""

    def __init__(self, z: Array) -> None:
        view = stable.softmax(z)
        self.p, self.rest, self.log = view.p, view.rest, -view.surprise
        self.above = z.max(axis=1, keepdims=True) - z
        self.offset = view.surprise.min(axis=1, keepdims=True)
        # 1 - 2p: two classes may both be close to 1/2.
        self.lack = np.tanh((z[:, ::-1] - z) / 2.0) if z.shape[1] == 2 else self.rest - self.p

    def along(self, a: Array, plus: Array | float = 0.0) -> Array:  # noqa: ARG002
        """p (a - Σ p a)."""
        return _weighed(self.p, self.log, _centred(self.p, a))

    def bend(self, a: Array, plus: Array | float, h: Array | float) -> Array:  # noqa: ARG002
        """(1 - 2p) p (a - Σ p a) + p ((1 - p)² h + p Σ' p h), Σ' the sum over the others."""
        around = self.rest**2 * h + self.p * stable.others(self.p * h)
        return self.lack * self.along(a) + self.p * around

    def pull(self, m: Array, ratio: Array) -> Array:
        """m - p."""
        return difference(m, self.p, ratio)

    def pull_bend(self, m: Array) -> Array:  # noqa: ARG002
        """-p (1 - p)."""
        return -self.p * self.rest

    def rise(self, m: Array, x: Array) -> Array:
        """m - p, as Σ p is one."""
        return difference(m, self.p, x)

    def tilt_bend(self, t: Tilted) -> Array:
        """s (s m (1 - m) - p (1 - p)), where m is close to p by their difference."""
        s, ratio = t.s, t.ratio
        apart = s * t.share * t.rest - self.p * self.rest
        if s < 0.0:
            return s * apart
        close = (s - 1.0) * t.share * t.rest + self.pull(t.share, ratio) * (t.rest - self.p)
        return s * np.where(np.abs(ratio) < _NEAR / 2.0, close, apart)

    def lift(self, t: Tilted) -> Array:
        """mix - p Σ mix."""
        return difference(t.mix, np.exp(self.log + t.log_mass), t.ratio)

    def lift_bend(self, t: Tilted) -> Array:
        """Σ mix times the second derivative of its logarithm and the square of the first."""
        slope = t.s * self.pull(t.share, t.ratio)
        return np.exp(t.log_mass) * (self.tilt_bend(t) + slope * slope)

    def distance_bend(self, u: Array, length: Array) -> Array:
        """The second derivative of |√p - √q|, of that length and in the direction u, q held still.

        √p moves on a sphere, along r' = r (e - r r)/2 for the class e: what counts is how far e lies outside the plane
        of √p and √q. That is seen from the most probable other class, as two classes may span nearly all of the plane.
        """
        r, rows, half = self.root, np.arange(len(u)), length / 2.0
        flat = np.sqrt(1.0 - half * half)
        w = (u - half * r) / flat
        first = self.p.argmax(axis=1)
        lone = self.p[rows, first] > 0.5
        # w is orthogonal to √p, which is nearly the axis of a class with nearly all of the mass.
        w[rows, first] = np.where(lone, -stable.others(w * r)[rows, first] / r[rows, first], w[rows, first])
        second = np.where(np.arange(u.shape[1]) == first[:, None], -1.0, self.p).argmax(axis=1)
        outside = self._outside(w, r, first)
        outside[rows, first] = self._outside(w, r, second)[rows, first]
        turn = (outside + (half * w) ** 2) / length - half * self.rest
        return (self.p * turn + flat * w * r * self.lack) / 4.0

    def _outside(self, w: Array, r: Array, pivot: Ints) -> Array:
        """1 - r² - w² for two orthogonal unit vectors, by what is left of w beside r once a pivot is taken out."""
        rows = np.arange(len(w))
        left = w - over(w[rows, pivot], r[rows, pivot])[:, None] * r
        left[rows, pivot] = 0.0
        return self.rest * stable.others(left * left) - stable.others(left * r) ** 2


def _centred(p: Array, a: Array) -> Array:
    """a - Σ p a of each row.

    Taken from the most probable class, whose own excess is then a sum of small terms, and for the largest and the
    smallest a as the sum of terms of one sign.
    """
    rows = np.arange(len(p))
    top = p.argmax(axis=1)
    a = np.where(p > 0.0, a - a[rows, top][:, None], 0.0)
    high, low = a.max(axis=1, keepdims=True), a.min(axis=1, keepdims=True)
    made = a - stable.row_sums(p * a)[:, None]
    made = np.where(a == high, stable.row_sums(p * (high - a))[:, None], made)
    return np.where(a == low, -stable.row_sums(p * (a - low))[:, None], made)
