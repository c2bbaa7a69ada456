"""Two distributions per row: how far one is from the other, with all the digits that are left where they are close."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from losscli import stable
from losscli.families.shares import Given, Logits, LogProbs, Probs, Tilted, difference
from losscli.inputs import Array
from losscli.stable import over, row_sums, times

_MANTISSA = (1e-280, 1e280)


def bow(start: Array, x: Array, end: Array) -> Array:
    """start (e^x - 1 - x), where end = start e^x is known: x²/2 near zero, and no overflow that end has not."""
    size = np.abs(x)
    under = stable.surplus(size)
    fall = -np.expm1(-size)
    capped = np.minimum(size, 750.0)
    # 1 - e^-s (1 + s).
    upper = np.where(size < 1.0, size * fall - under, fall - capped * (1.0 - fall))
    return np.where(x > 0.0, times(end, upper), times(start, under))


class Pair(ABC):
    """Two distributions p and q per row.

    ``bound`` says that both sum to one whatever the numbers given, as softmaxes do.
    """

    p: Given
    q: Given
    bound = False

    @property
    @abstractmethod
    def ratio(self) -> Array:
        """log(p/q); 0 where both are 0."""

    @property
    def lead(self) -> Array:
        """log(p/q), but for a number per row where the pair is bound: such a number would hide small differences."""
        return self.ratio

    @property
    @abstractmethod
    def gap(self) -> Array:
        """p - q."""

    @property
    @abstractmethod
    def root_gap(self) -> Array:
        """√p - √q."""

    @cached_property
    def gain(self) -> Array:
        """p log(p/q) - p + q: what each class adds to the divergence."""
        return bow(self.p.p, -self.ratio, self.q.p)

    @abstractmethod
    def square(self) -> Array:
        """(p - q)²/q."""

    @abstractmethod
    def tilt(self, s: float) -> Tilt:
        """The mixture p^s q^(1-s)."""

    @property
    def distance_bends(self) -> Callable[[], tuple[Array, Array]] | None:
        """The second derivatives of |√p - √q|/√2, where those of its square would cancel."""
        return None

    def share_ratio(self, tilt: Tilt, side: Given, power: float, x: Array) -> Array:  # noqa: ARG002
        """log(share/p) of a mixture and one of the two, of which mix/p = (p/q)^power; x is log(mix/p)."""
        return x - tilt.log_mass


@dataclass(frozen=True)
class Tilt:
    """The mixture p^s q^(1-s) of a pair.

    ``mix`` are its terms (M, C), ``log_mass`` the logarithm of their sum (M, 1), ``share`` their shares in it, of which
    ``surprise`` is the negative logarithm.
    """

    pair: Pair
    s: float
    mix: Array
    log_mass: Array
    share: Array
    surprise: Array

    @cached_property
    def rest(self) -> Array:
        """1 - share."""
        return stable.others(self.share)

    @cached_property
    def sides(self) -> tuple[tuple[Given, Tilted], ...]:
        """p and q, each with the mixture as it sees it."""
        p, q, s = self.pair.p, self.pair.q, self.s
        return self._seen(p, q, s, s - 1.0, self.pair.ratio), self._seen(q, p, 1.0 - s, s, self.pair.ratio)

    def _seen(self, side: Given, other: Given, s: float, power: float, ratio: Array) -> tuple[Given, Tilted]:
        x = power * ratio
        share_ratio = self.pair.share_ratio(self, side, power, x)
        return side, Tilted(s, other.p, x, self.mix, self.log_mass, share_ratio, self.share, self.rest)

    def log_slopes(self) -> tuple[Array, ...]:
        """The slopes of log Σ mix by p and by q."""
        return tuple(t.s * side.pull(t.share, t.ratio) for side, t in self.sides)

    def log_bends(self) -> tuple[Array, ...]:
        """Its second derivatives."""
        return tuple(side.tilt_bend(t) for side, t in self.sides)

    def slopes(self) -> tuple[Array, ...]:
        """The slopes of Σ mix - s p - (1 - s) q by p and by q."""
        return tuple(t.s * side.lift(t) for side, t in self.sides)

    def bends(self) -> tuple[Array, ...]:
        """Its second derivatives."""
        return tuple(side.lift_bend(t) for side, t in self.sides)


class ProbsPair(Pair):
    """Two distributions given as probabilities, or masses."""

    def __init__(self, p: Array, q: Array) -> None:
        self.p, self.q = Probs(p), Probs(q)

    @cached_property
    def ratio(self) -> Array:
        """log(p/q); 0 where both are 0."""
        made = stable.log_ratio(self.p.p, self.q.p)
        lost = np.isnan(made)
        return np.where(lost, 0.0, made) if lost.any() else made

    @cached_property
    def gap(self) -> Array:
        """p - q."""
        return self.p.p - self.q.p

    @property
    def root_gap(self) -> Array:
        """√p - √q."""
        return over(self.gap, self.p.root + self.q.root)

    def square(self) -> Array:
        """(p - q)²/q."""
        return self.gap * over(self.gap, self.q.p)

    def tilt(self, s: float) -> Tilt:
        """The mixture p^s q^(1-s)."""
        p, q = self.p.p, self.q.p
        mix = p**s * q ** (1.0 - s) if s < 1.0 else times(p, over(p, q) ** (s - 1.0))
        mass = row_sums(mix)[:, None]
        log_mass, share, surprise = np.log(mass), over(mix, mass), np.log(over(mass, mix))
        wild = np.flatnonzero(~((mass > _MANTISSA[0]) & (mass < _MANTISSA[1])))
        if wild.size:
            made = _by_logarithms(_mixed(self.p.log[wild], self.q.log[wild], s))
            log_mass[wild], share[wild], surprise[wild] = made
        return Tilt(self, s, mix, log_mass, share, surprise)


class LogsPair(Pair):
    """Two distributions given as log-probabilities, logarithms of masses, or logits."""

    def __init__(self, p: LogProbs | Logits, q: LogProbs | Logits, ratio: Array) -> None:
        self.p, self.q = p, q
        self._ratio = ratio

    @property
    def ratio(self) -> Array:
        """log(p/q); 0 where both are 0."""
        return self._ratio

    @cached_property
    def gap(self) -> Array:
        """p - q."""
        return difference(self.p.p, self.q.p, self.ratio)

    @property
    def root_gap(self) -> Array:
        """√p - √q."""
        return difference(self.p.root, self.q.root, self.ratio / 2.0)

    def square(self) -> Array:
        """(p - q)²/q = p²/q - 2p + q."""
        return bow(self.p.p, self.ratio, np.exp(_mixed(self.p.log, self.q.log, 2.0))) + self.gain

    def tilt(self, s: float) -> Tilt:
        """The mixture p^s q^(1-s)."""
        log_mix = _mixed(self.p.log, self.q.log, s)
        mix = np.exp(log_mix)
        log_mass, share, surprise = _by_logarithms(log_mix)
        if self.bound:
            excess = row_sums(self._excess(s, mix))[:, None]
            log_mass = np.where(np.abs(excess) < 0.5, np.log1p(excess), log_mass)
        return Tilt(self, s, mix, log_mass, share, surprise)

    def _excess(self, s: float, mix: Array) -> Array:
        """mix - s p - (1 - s) q: of one sign, and seen from the end where its two parts cancel least."""
        p, q, x = self.p.p, self.q.p, self.ratio
        if s >= 0.5:
            return bow(p, (s - 1.0) * x, mix) + (s - 1.0) * self.gain
        return bow(q, s * x, mix) - s * bow(q, x, p)


class LogitsPair(LogsPair):
    """Two distributions given as logits."""

    bound = True

    def __init__(self, z: Array, w: Array) -> None:
        p, q = self._sides = Logits(z), Logits(w)
        self._apart = z - w
        super().__init__(p, q, _log_ratio(self._apart, p.p, q.p, p.log, q.log))

    @property
    def distance_bends(self) -> Callable[[], tuple[Array, Array]]:
        """The second derivatives of |√p - √q|/√2; 0 where p = q."""
        p, q = self._sides

        def bends() -> tuple[Array, Array]:
            apart = self.root_gap
            length = stable.norm(apart)
            u = stable.along(apart, length)
            scale = np.where(length > 0.0, math.sqrt(0.5), 0.0)
            return times(scale, p.distance_bend(u, length)), times(scale, q.distance_bend(-u, length))

        return bends

    @property
    def lead(self) -> Array:
        """The logits' differences."""
        return self._apart

    def share_ratio(self, tilt: Tilt, side: Given, power: float, x: Array) -> Array:  # noqa: ARG002
        """log(share/p), from the logits' differences."""
        return _log_ratio(power * self._apart, tilt.share, side.p, -tilt.surprise, side.log)


class LogProbsPair(LogsPair):
    """Two distributions given as log-probabilities, or logarithms of masses."""

    def __init__(self, x: Array, y: Array) -> None:
        super().__init__(LogProbs(x), LogProbs(y), _without_nan(x - y))


def _log_ratio(d: Array, p: Array, q: Array, log_p: Array, log_q: Array) -> Array:
    """log(p/q) of two softmaxes: from their logits' differences d, or from their logarithms, whichever are smaller.

    The differences are taken from that of a class which both find probable; the logarithm of what is then left of the
    ratio of both sums of exponentials is that of 1 + Σ (p/p_at q_at - q).
    """
    rows = np.arange(len(d))
    at = (log_p + log_q).argmax(axis=1)
    d = d - d[rows, at][:, None]
    scale = np.exp(log_q[rows, at] - log_p[rows, at])[:, None]
    moved = np.where(np.abs(d) < 1.0, q * np.expm1(d), p * scale - q)
    left = np.log1p(row_sums(moved))[:, None]
    # What rounding leaves of the sum, where it nearly cancels the 1.
    blur = row_sums(np.abs(moved))[:, None] * np.exp(-left)
    closer = np.abs(d) + blur < np.abs(log_p) + np.abs(log_q)
    return _without_nan(np.where(closer, d - left, log_p - log_q))


def _without_nan(x: Array) -> Array:
    """-inf less -inf is the ratio of two zeros, which adds to nothing."""
    lost = np.isnan(x)
    return np.where(lost, 0.0, x) if lost.any() else x


def _mixed(log_p: Array, log_q: Array, s: float) -> Array:
    """log(p^s q^(1-s)); -inf where both are 0."""
    made = s * log_p + (1.0 - s) * log_q
    lost = np.isnan(made)
    return np.where(lost, -np.inf, made) if lost.any() else made


def _by_logarithms(log_mix: Array) -> tuple[Array, Array, Array]:
    """The logarithm of the sum of each row's exponentials (M, 1), their shares in it, and -log of these."""
    top = log_mix.max(axis=1, keepdims=True)
    view = stable.softmax(log_mix)
    log_mass = top + view.surprise.min(axis=1, keepdims=True)
    return np.where(np.isinf(top), top, log_mass), view.p, view.surprise
