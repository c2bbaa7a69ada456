"""Optax's own arithmetic, where it is not that of the exact form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from losscli.families.embedding import Cosines, batch
from losscli.inputs import Array, Fold, Groups, Ints, Partials
from losscli.loss import Batch, Pooled, Rows
from losscli.losses.contrastive import nt_xent as exact_nt_xent
from losscli.losses.direction import cosine as exact_cosine
from losscli.losses.overlap import dice as exact_dice
from losscli.stable import norm, row_sums

# The least squared length of an embedding.
_SQUARE = float(np.finfo(np.float64).eps)


def hinge(m: Array) -> Rows:
    """The slope at the margin is half of that within it."""
    return Rows(np.maximum(0.0, 1.0 - m), lambda: -np.heaviside(1.0 - m, 0.5), lambda: np.zeros_like(m))


def perceptron(m: Array) -> Rows:
    """The slope at zero is half of that below it."""
    return Rows(np.maximum(0.0, -m), lambda: -np.heaviside(-m, 0.5), lambda: np.zeros_like(m))


def _foremost(z: Array, y: Ints, margin: float) -> Rows:
    """How far the true class's score is behind the highest, others raised by a margin; those that tie share."""
    rows = np.arange(len(z))
    raised = z + margin
    raised[rows, y] = z[rows, y]
    best = raised.max(axis=1, keepdims=True)

    def grad() -> Array:
        share = (raised == best) / (raised == best).sum(axis=1, keepdims=True)
        share[rows, y] -= 1.0
        return np.asarray(share)

    return Rows(best[:, 0] - z[rows, y], grad, hess=lambda: np.zeros_like(z))


def multiclass_hinge(z: Array, y: Ints) -> Rows:
    """Where the margin is just met, or rivals tie, all of them and the true class share the slope."""
    return _foremost(z, y, 1.0)


def multiclass_perceptron(z: Array, y: Ints) -> Rows:
    """All classes that tie for the lead share the slope."""
    return _foremost(z, y, 0.0)


def focal(yes: Array, no: Array, t: Array, _: Any, *, gamma: float, alpha: float | None) -> Rows:
    """Cross-entropy with a soft target, times one factor: the probability of the target's opposite to the gamma."""
    surprise = t * yes + (1.0 - t) * no
    # In logarithms: what is smaller than any float still has a power.
    log_wrong = np.logaddexp(np.log(1.0 - t) - yes, np.log(t) - no)
    share = np.ones_like(t) if alpha is None else alpha * t + (1.0 - alpha) * (1.0 - t)
    factor = share * np.exp(gamma * log_wrong)
    # The shares of the two terms in the probability of the opposite; their slopes by yes and no are minus themselves.
    a, b = (1.0 - t) * np.exp(-yes - log_wrong), t * np.exp(-no - log_wrong)

    def grad() -> tuple[Array, Array]:
        steep = gamma * surprise
        return factor * (t - steep * a), factor * ((1.0 - t) - steep * b)

    def hess() -> tuple[Array, Array]:
        def own(part: Array, mass: Array) -> Array:
            return (gamma - 1.0) * gamma * surprise * part * part + gamma * part * (surprise - 2.0 * mass)

        # Both surprises move with one logit: what they have in common is given to the one and to the other.
        mixed = gamma * ((gamma - 1.0) * surprise * a * b - t * b - (1.0 - t) * a)
        ratio = np.exp(no - yes)
        return factor * (own(a, t) - mixed * ratio), factor * (own(b, 1.0 - t) - mixed / ratio)

    return Rows(factor * surprise, grad, hess)


def cosine(x: Array, y: Array) -> Rows:
    """Of a zero vector it is NaN."""
    plain = exact_cosine(x, y)
    assert isinstance(plain, Rows)
    void = np.where((norm(x) == 0.0) | (norm(y) == 0.0), np.nan, 0.0)
    grad, hess = plain.grad, plain.hess
    return Rows(
        plain.value + void[:, 0],
        grad=lambda: tuple(slope + void for slope in grad()),
        hess=None if hess is None else lambda: tuple(curve + void for curve in hess()),
    )


def triplet(a: Array, positive: Array, negative: Array, *, margin: float, p: float, swap: bool) -> Rows:
    """Roots of sums of powers with 1e-6 added, signs and all; the slope at the margin is half of that within it."""

    def size(d: Array) -> Array:
        return np.asarray((row_sums(d**p)[:, None] + 1e-6) ** (1.0 / p))

    pull, push, across = a - positive, a - negative, positive - negative
    near, far, beside = size(pull), size(push), size(across)
    swapped = np.heaviside(far - beside, 0.5) if swap else np.zeros_like(far)
    short = near - (np.minimum(far, beside) if swap else far) + margin
    # A distance that is NaN has slopes of NaN, and leaves the other one without any.
    active = np.where(np.isnan(short), 0.0, np.heaviside(short, 0.5))

    def slope(d: Array, size: Array) -> Array:
        return active * size ** (1.0 - p) * d ** (p - 1.0)

    def curve(d: Array, size: Array) -> Array:
        steep = size ** (1.0 - p) * d ** (p - 1.0)
        return active * (p - 1.0) * (size ** (1.0 - p) * d ** (p - 2.0) - steep * steep / size)

    def grad() -> tuple[Array, Array, Array]:
        toward, own = slope(pull, near), (1.0 - swapped) * slope(push, far)
        other = swapped * slope(across, beside) if swap else np.zeros_like(own)
        return toward - own, -toward - other, own + other

    def hess() -> tuple[Array, Array, Array]:
        toward, own = curve(pull, near), (1.0 - swapped) * curve(push, far)
        other = swapped * curve(across, beside) if swap else np.zeros_like(own)
        return toward - own, toward - other, -own - other

    return Rows(np.maximum(short, 0.0)[:, 0], grad, hess)


def embeddings(x: Array, labels: Array) -> Fold:
    """Cosines, for which a vector shorter than 1.5e-8 counts as that long."""
    plain, length = batch(x, labels), norm(x)
    brief = length * length < _SQUARE
    if not brief.any():
        return plain
    size = np.sqrt(np.maximum(length * length, _SQUARE))
    u = x / size
    turn = u @ u.T
    cosines = Cosines(u, u, length, length, np.zeros_like(turn), turn)

    def gradient(a: Partials, _: str) -> Array:
        pull = (a[0] + a[0].T) @ u
        return (pull - np.where(brief, 0.0, row_sums(pull * u)[:, None] * u)) / size

    return replace(plain, variables=(cosines, labels), gradient=gradient)


def nt_xent(cosines: Cosines, labels: Array, *, temperature: float) -> Batch:
    """A batch without a positive pair is NaN, with slopes of 0."""
    plain = exact_nt_xent(cosines, labels, temperature=temperature)
    assert isinstance(plain, Batch)
    if (np.unique(labels, return_counts=True)[1] > 1).any():
        return plain
    return Batch(np.array([np.nan]), grad=lambda: np.zeros((len(labels), len(labels))))


def dice(p: Array, q: Array, t: Array, *, smooth: float, squared: bool) -> Pooled:
    """The smoothing is added to the overlap itself, not to twice the overlap."""
    made = exact_dice(p, q, t, smooth=2.0 * smooth, squared=squared)
    assert isinstance(made, Pooled)
    return made


def listnet(s: Array, relevance: Array, groups: Groups) -> Batch:
    """The relevance weighs log-probabilities as it is."""
    gap = groups.spread(groups.max(s)) - s
    e = np.exp(-gap)
    total = groups.sum(e)
    p, mass = e / groups.spread(total), groups.spread(groups.sum(relevance))
    return Batch(
        groups.sum(relevance * (gap + groups.spread(np.log(total)))),
        grad=lambda: mass * p - relevance,
        hess=lambda: mass * p * (1.0 - p),
    )
