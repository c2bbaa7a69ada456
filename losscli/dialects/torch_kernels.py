"""PyTorch's own arithmetic, where it is not that of the exact form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from losscli.families.binary import binary_probs
from losscli.families.embedding import Turn
from losscli.families.sequence import Frames
from losscli.inputs import Array, Fold, Ints, Partials
from losscli.loss import Rows, get
from losscli.losses.rates import negative_binomial as exact
from losscli.stable import norm, others, over, row_sums, times

# What is added to the coordinates of differences, and what small divisors and squared lengths are kept from 0 by: the
# second stands in single precision there.
_EPS, _TERM = 1e-6, float(np.float32(1e-12))


def rate(x: Array, target: Array) -> Fold:
    """A rate x, its logarithm with 1e-8 added, and the target."""
    above = x + 1e-8
    return Fold(
        (x, np.log(above), target),
        gradient=lambda a, _: a[0] + a[1] / above,
        hessian=lambda a, b, _: b[0] + (b[1] - a[1]) / above / above,
    )


def poisson(rate: Array, log_rate: Array, t: Array, *, full: bool) -> Rows:
    """Stirling's approximation of log(t!) for counts above 1, and 0 for others."""
    most = np.maximum(t, 1.0)
    stirling = np.where(t > 1.0, t * np.log(most) - t + np.log(2.0 * math.pi * most) / 2.0, 0.0)
    return Rows(
        rate - t * log_rate + (stirling if full else 0.0),
        grad=lambda: (np.ones_like(rate), -t),
        hess=lambda: (np.zeros_like(rate), np.zeros_like(t)),
    )


def negative_binomial(rate: Any, t: Array, *, dispersion: float) -> Rows:
    """With the terms of the count alone: log(t!) + log Γ(r) - log Γ(t + r) + t log r, where r is 1/dispersion."""
    plain, r = exact(rate, t, dispersion=dispersion), 1.0 / dispersion
    assert isinstance(plain, Rows)
    table = {count: math.lgamma(count + 1.0) + math.lgamma(r) - math.lgamma(count + r) for count in set(t.tolist())}
    return replace(plain, value=plain.value + np.array([table[count] for count in t.tolist()]) + t * math.log(r))


def gaussian_nll(r: Array, v: Array, *, full: bool, eps: float) -> Rows:
    """The slope by a variance below eps is that at eps."""
    size = np.maximum(v, eps)
    miss = r / size
    value = (np.log(size) + r * miss) / 2.0
    return Rows(
        value + math.log(2.0 * math.pi) / 2.0 if full else value,
        grad=lambda: (miss, (1.0 - r * miss) / size / 2.0),
        hess=lambda: (1.0 / size, (r * miss - 0.5) / size / size),
    )


def probs(p: Array, target: Array) -> Fold:
    """Surprises of 100 at most; the slope divides by p (1 - p), 1e-12 at least."""
    plain = binary_probs(p, target)
    yes, no, *others = plain.variables

    def gradient(a: Partials, _: str) -> Array:
        return np.asarray((a[1] * p - a[0] * (1.0 - p)) / np.maximum(p * (1.0 - p), _TERM))

    return Fold((np.minimum(yes, 100.0), np.minimum(no, 100.0), *others), gradient, plain.hessian)


def focal(yes: Array, no: Array, t: Array, _: Any, *, gamma: float, alpha: float | None) -> Rows:
    """Cross-entropy with a soft target, times one factor: the probability of the target's opposite to the gamma."""
    p, q = np.exp(-yes), np.exp(-no)
    surprise, wrong = t * yes + (1.0 - t) * no, p * (1.0 - t) + q * t
    share = np.ones_like(t) if alpha is None else alpha * t + (1.0 - alpha) * (1.0 - t)
    factor = share * wrong**gamma

    def grad() -> tuple[Array, Array]:
        steep = share * gamma * wrong ** (gamma - 1.0) * surprise
        return factor * t - steep * p * (1.0 - t), factor * (1.0 - t) - steep * q * t

    def hess() -> tuple[Array, Array]:
        steep = share * gamma * wrong ** (gamma - 1.0)
        bend = share * gamma * (gamma - 1.0) * wrong ** (gamma - 2.0) * surprise
        by_yes, by_no = -p * (1.0 - t), -q * t
        own = (
            bend * by_yes * by_yes + 2.0 * steep * t * by_yes - steep * surprise * by_yes,
            bend * by_no * by_no + 2.0 * steep * (1.0 - t) * by_no - steep * surprise * by_no,
        )
        # Both surprises move with one logit: what they have in common is given to the one and to the other.
        mixed = bend * by_yes * by_no + steep * (t * by_no + (1.0 - t) * by_yes)
        return own[0] - mixed * p / q, own[1] - mixed * q / p

    return Rows(factor * surprise, grad, hess)


def logistic(m: Array, *, bits: bool) -> Rows:
    """log(1 + e^-m) as it is written."""
    unit, odds = math.log(2.0) if bits else 1.0, np.exp(-m)
    return Rows(
        np.log1p(odds) / unit,
        grad=lambda: -odds / (odds + 1.0) / unit,
        hess=lambda: odds / (odds + 1.0) / (odds + 1.0) / unit,
    )


def apart(name: str) -> Any:
    """A distance of the two vectors' difference, with 1e-6 added to each coordinate."""

    def kernel(x: Array, y: Array, **params: Any) -> Any:
        return get(name).kernel(x - y + _EPS, np.zeros_like(y), **params)

    return kernel


def triplet(a: Array, positive: Array, negative: Array, *, margin: float, p: float, swap: bool) -> Rows:
    """The norms of differences with 1e-6 added; the slope at the margin is that within it."""
    pull, push, across = a - positive + _EPS, a - negative + _EPS, positive - negative + _EPS
    near, far, beside = norm(pull, p), norm(push, p), norm(across, p)
    # Where both distances to the negative are the same, each moves it by half.
    swapped = np.heaviside(far - beside, 0.5) if swap else np.zeros_like(far)
    short = margin + near - (np.minimum(far, beside) if swap else far)
    active = (short >= 0.0).astype(np.float64)

    def slope(d: Array, size: Array) -> Array:
        return active * np.sign(d) * np.abs(over(d, size)) ** (p - 1.0)

    def curve(d: Array, size: Array) -> Array:
        share = np.abs(over(d, size))
        return active * (p - 1.0) * over(times(others(share**p), share ** (p - 2.0)), size)

    def three(by: Callable[[Array, Array], Array], sign: float) -> tuple[Array, Array, Array]:
        toward, own, other = by(pull, near), (1.0 - swapped) * by(push, far), swapped * by(across, beside)
        return toward - own, sign * toward - other, -sign * (own + other)

    return Rows(np.maximum(short, 0.0)[:, 0], grad=lambda: three(slope, -1.0), hess=lambda: three(curve, 1.0))


def cosine(x: Array, y: Array) -> Rows:
    """Lengths count for 1e-8 at least, and move as they would if they did not."""
    length, breadth = norm(x), norm(y)
    long, broad = np.maximum(length, 1e-8), np.maximum(breadth, 1e-8)
    turn = row_sums(x / long * (y / broad))[:, None]

    def slope(own: Array, other: Array, size: Array, most: Array, rest: Array) -> Array:
        return turn * over(own, size) / most - other / rest / most

    def curve(own: Array, other: Array, size: Array, most: Array, rest: Array) -> Array:
        u = over(own, size)
        first = -slope(own, other, size, most, rest)
        bend = other / rest * u / most + first * u + turn * (over(1.0 - u * u, size) - u * u / most)
        return bend / most

    sides = (x, y, length, long, broad), (y, x, breadth, broad, long)
    return Rows(
        1.0 - turn[:, 0],
        grad=lambda: tuple(slope(*side) for side in sides),
        hess=lambda: tuple(curve(*side) for side in sides),
    )


def angle(x: Array, y: Array, label: Array) -> Fold:
    """The cosine with 1e-12 added to both squared lengths."""
    length, breadth = row_sums(x * x)[:, None] + _TERM, row_sums(y * y)[:, None] + _TERM
    both = np.sqrt(length * breadth)
    turn = row_sums(x * y)[:, None] / both

    def slope(name: str) -> tuple[Array, Array, Array]:
        own, other, size = (x, y, length) if name == "x" else (y, x, breadth)
        return own, size, other / both - turn * own / size

    def hessian(a: Partials, b: Partials, name: str) -> Array:
        own, size, first = slope(name)
        bend = -2.0 * own * first / size - turn / size + turn * own * own / size / size
        return a[0][:, None] * bend + b[0][:, None] * first * first

    made = Turn(np.zeros(len(x)), turn[:, 0], np.ones(len(x), dtype=np.bool_))
    return Fold((made, label), lambda a, name: a[0][:, None] * slope(name)[2], hessian)


def cosine_embedding(turn: Turn, label: Array, *, margin: float) -> Rows:
    """The slope at the margin is that beyond it."""
    beyond = turn.part - margin
    return Rows(
        np.where(label > 0.0, 1.0 - turn.part, np.maximum(0.0, beyond)),
        grad=lambda: np.where(label > 0.0, -1.0, (beyond >= 0.0).astype(np.float64)),
        hess=lambda: np.zeros_like(label),
    )


def hinge_embedding(distance: Array, label: Array, *, margin: float) -> Rows:
    """The slope at the margin is that within it."""
    return Rows(
        np.where(label > 0.0, distance, np.maximum(0.0, margin - distance)),
        grad=lambda: np.where(label > 0.0, 1.0, -(distance <= margin).astype(np.float64)),
        hess=lambda: np.zeros_like(distance),
    )


def margin_ranking(lead: Array, *, margin: float) -> Rows:
    """The slope at the margin is that within it."""
    return Rows(
        np.maximum(0.0, margin - lead),
        grad=lambda: -(lead <= margin).astype(np.float64),
        hess=lambda: np.zeros_like(lead),
    )


def per_label(_: Frames, labels: Ints) -> Array:
    """One over the number of a row's labels, at least 1, (N,)."""
    return 1.0 / np.maximum(1.0, np.count_nonzero(labels >= 0, axis=1))
