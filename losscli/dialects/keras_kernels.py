"""Keras's own arithmetic, where it is not that of the exact form."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from losscli import stable
from losscli.families.binary import binary_probs
from losscli.families.classes import likelihood_logits
from losscli.families.distributions import given
from losscli.families.overlap import mask_logits, mask_probs
from losscli.families.pairs import Pair, ProbsPair
from losscli.families.shares import Logits
from losscli.inputs import Array, Bools, Fold, Ints, Partials, Target, no_curve
from losscli.loss import Batch, Pooled, Rows
from losscli.stable import norm, over, row_sums

# keras.backend.epsilon(), whatever the precision.
EPS = 1e-7


def inside(p: Array) -> Bools:
    """Where a probability is not clipped."""
    return (p >= EPS) & (p <= 1.0 - EPS)


def probs(p: Array, target: Array) -> Fold:
    """The surprises of the two outcomes of a probability that is clipped, with no slope where it is."""
    plain, kept = binary_probs(np.clip(p, EPS, 1.0 - EPS), target), inside(p)
    return replace(
        plain,
        gradient=lambda a, name: np.where(kept, plain.gradient(a, name), 0.0),
        hessian=lambda a, b, name: np.where(kept, plain.hessian(a, b, name), 0.0),
    )


def chance_logits(z: Array, target: Array) -> Fold:
    """σ(z) and the target."""
    fold = mask_logits(z, target)
    return replace(fold, variables=(fold.variables[0], target))


def chance_probs(p: Array, target: Array) -> Fold:
    """p and the target."""
    return replace(mask_probs(p, target), variables=(p, target))


def focal(p: Array, t: Array, *, gamma: float, alpha: float | None) -> Rows:
    """Cross-entropy of a clipped p, times one factor: the probability of the target's opposite, p itself, to the gamma.

    Slopes are by p.
    """
    c, kept = np.clip(p, EPS, 1.0 - EPS), inside(p)
    surprise = -t * np.log(c) - (1.0 - t) * np.log(1.0 - c)
    steep = np.where(kept, (1.0 - t) / (1.0 - c) - t / c, 0.0)
    turn = np.where(kept, (1.0 - t) / (1.0 - c) ** 2 + t / (c * c), 0.0)
    share = np.ones_like(t) if alpha is None else alpha * t + (1.0 - alpha) * (1.0 - t)
    wrong, lean = p * (1.0 - t) + (1.0 - p) * t, 1.0 - 2.0 * t

    def power(k: float) -> Array:
        """The k-th derivative of the factor by p."""
        # A power of 0 by a constant 0: 0, also where a power is infinite.
        scale = math.prod(gamma - i for i in range(int(k)))
        return share * scale * wrong ** (gamma - k) * lean**k if scale else np.zeros_like(p)

    return Rows(
        share * wrong**gamma * surprise,
        grad=lambda: power(1) * surprise + power(0) * steep,
        hess=lambda: power(2) * surprise + 2.0 * power(1) * steep + power(0) * turn,
    )


def likelihood_probs(p: Array, y: Target) -> Fold:
    """Surprises of probabilities that are divided by their sum first, and then clipped."""
    total = row_sums(p)[:, None]
    u = p / total
    c, mass = np.clip(u, EPS, 1.0 - EPS), y.dense(p.shape[1])
    surprise, live = -np.log(c), np.where(inside(u), mass, 0.0)

    def each(a: Partials) -> Array:
        """A partial per class."""
        return np.asarray(a[0] if y.index is None else a[0][:, None])

    def gradient(a: Partials, _: str) -> Array:
        slope = -over(live * each(a), c)
        return (slope - row_sums(slope * u)[:, None]) / total

    def hessian(a: Partials, b: Partials, _: str) -> Array:
        slope, curve = -over(live * each(a), c), over(live * (each(a) + each(b)), c * c)
        bend = curve * (1.0 - 2.0 * u) + row_sums(curve * u * u)[:, None]
        return (bend - 2.0 * (slope - row_sums(slope * u)[:, None])) / total / total

    if y.index is None:
        return Fold((surprise,), gradient, hessian, combine=lambda value: row_sums(stable.times(mass, value)))
    own = surprise[np.arange(len(p)), y.index]
    return Fold((own,), gradient, hessian, right=lambda: own == surprise.min(axis=1))


def likelihood_softmax(z: Array, y: Target) -> Fold:
    """Surprises of a softmax that is clipped, with no slope where it is."""
    plain = likelihood_logits(z, y)
    least, most = -math.log1p(-EPS), -math.log(EPS)
    surprise = np.clip(plain.variables[0], least, most)
    kept = surprise == plain.variables[0]

    def cut(a: Partials) -> Partials:
        return (np.where(kept, a[0], 0.0),)

    return replace(
        plain,
        variables=(surprise,),
        gradient=lambda a, name: plain.gradient(cut(a), name),
        hessian=lambda a, b, name: plain.hessian(cut(a), cut(b), name),
    )


def clipped_pair(p: Array, q: Array) -> Fold:
    """Two distributions that are clipped to 1e-7 at least, with no slope where they are."""
    plain = given(ProbsPair, "p", "q")(np.maximum(p, EPS), np.maximum(q, EPS))
    kept = {"p": p >= EPS, "q": q >= EPS}
    return replace(
        plain,
        gradient=lambda a, name: np.where(kept[name], plain.gradient(a, name), 0.0),
        hessian=lambda a, b, name: np.where(kept[name], plain.hessian(a, b, name), 0.0),
    )


def cross_entropy(pair: Pair, *, base: float | None) -> Rows:
    """The second distribution is divided by its sum first, and then clipped."""
    p, q, unit = pair.p.p, pair.q.p, 1.0 if base is None else math.log(base)
    total = np.ones((len(q), 1)) if isinstance(pair.q, Logits) else row_sums(q)[:, None]
    u = q / total
    c = np.clip(u, EPS, 1.0 - EPS)
    live = np.where(inside(u), p, 0.0) / unit
    slope, curve, surprise = -live / c, live / (c * c), -np.log(c) / unit

    def along() -> Array:
        return (slope if isinstance(pair.q, Logits) else slope - row_sums(slope * u)[:, None]) / total

    def bent() -> Array:
        if isinstance(pair.q, Logits):
            return curve
        return (curve * (1.0 - 2.0 * u) + row_sums(curve * u * u)[:, None] - 2.0 * along() * total) / total / total

    return Rows(
        row_sums(p * surprise),
        grad=lambda: (pair.p.along(surprise), pair.q.along(along())),
        hess=lambda: (pair.p.bend(surprise, 0.0, 0.0), pair.q.bend(along(), 0.0, q * bent())),
    )


def rate(x: Array, target: Array) -> Fold:
    """A rate x, its logarithm with 1e-7 added, and the target."""
    above = x + EPS
    return Fold(
        (x, np.log(above), target),
        gradient=lambda a, _: a[0] + a[1] / above,
        hessian=lambda a, b, _: b[0] + (b[1] - a[1]) / above / above,
    )


def hinge(m: Array) -> Rows:
    """The slope at the margin is half of that within it."""
    return Rows(np.maximum(0.0, 1.0 - m), lambda: -np.heaviside(1.0 - m, 0.5), lambda: np.zeros_like(m))


def squared_hinge(m: Array) -> Rows:
    """The curvature at the margin is a quarter of that within it."""
    short, half = np.maximum(0.0, 1.0 - m), np.heaviside(1.0 - m, 0.5)
    return Rows(short * short, lambda: -2.0 * short, lambda: 2.0 * half * half)


def multiclass_hinge(z: Array, y: Ints) -> Rows:
    """In the contest of rivals the true class takes part with a score of 0; those that tie share the slope."""
    rows = np.arange(len(z))
    rivals = z.copy()
    rivals[rows, y] = 0.0
    best = rivals.max(axis=1, keepdims=True)
    short = 1.0 + best[:, 0] - z[rows, y]

    def grad() -> Array:
        active = np.heaviside(short, 0.5)
        share = (rivals == best) / (rivals == best).sum(axis=1, keepdims=True) * active[:, None]
        share[rows, y] = -active
        return np.asarray(share)

    return Rows(np.maximum(0.0, short), grad, hess=lambda: np.zeros_like(z))


def zero_one(z: Array, y: Ints) -> Rows:
    """Of classes that tie for the lead the first is predicted."""
    return Rows((z.argmax(axis=1) != y).astype(np.float64), lambda: np.zeros_like(z), lambda: np.zeros_like(z))


def cosine(x: Array, y: Array) -> Rows:
    """The negative cosine; a vector shorter than 1e-7 counts as that long, and a zero vector has slopes of NaN."""
    length, breadth = norm(x), norm(y)
    u, v = x / np.maximum(length, EPS), y / np.maximum(breadth, EPS)
    turn = row_sums(u * v)[:, None]

    def slope(own: Array, other: Array, size: Array) -> Array:
        made = np.where(size >= EPS, turn * own - other, -other) / np.maximum(size, EPS)
        return np.where(size > 0.0, made, np.nan)

    def curve(own: Array, other: Array, size: Array) -> Array:
        made = (2.0 * own * other + turn * (1.0 - 3.0 * own * own)) / size / size
        return np.where(size >= EPS, made, np.where(size > 0.0, 0.0, np.nan))

    sides = (u, v, length), (v, u, breadth)
    return Rows(
        -turn[:, 0],
        grad=lambda: tuple(slope(*side) for side in sides),
        hess=lambda: tuple(curve(*side) for side in sides),
    )


def overlap(alpha: float, beta: float, smooth: float, p: Array, t: Array) -> Pooled:
    """One minus overlap over itself and weighted misses, with 1e-7 added to the latter."""
    u = 1.0 - t
    by_total = t + alpha * u - beta * t

    def value(shared: Array, total: Array) -> Array:
        return 1.0 - (shared + smooth) / (total + smooth + EPS)

    def grad(shared: Array, total: Array) -> Array:
        size = total + smooth + EPS
        return ((shared + smooth) / size * by_total - t) / size

    def hess(shared: Array, total: Array) -> Array:
        return -2.0 * grad(shared, total) * by_total / (total + smooth + EPS)

    return Pooled(lambda: (p * t, p * t + alpha * p * u + beta * (1.0 - p) * t), value, grad, hess)


def dice(p: Array, q: Array, t: Array, *, smooth: float, squared: bool) -> Pooled:  # noqa: ARG001
    """1e-7 is added to the sum of the masks' sizes."""
    power = 2.0 if squared else 1.0
    by_total = power * p ** (power - 1.0)

    def value(shared: Array, total: Array) -> Array:
        return 1.0 - (2.0 * shared + smooth) / (total + smooth + EPS)

    def grad(shared: Array, total: Array) -> Array:
        size = total + smooth + EPS
        return ((2.0 * shared + smooth) / size * by_total - 2.0 * t) / size

    def hess(shared: Array, total: Array) -> Array:
        size = total + smooth + EPS
        bend = (2.0 * shared + smooth) / size * (power * (power - 1.0))
        return (bend - 2.0 * grad(shared, total) * by_total) / size

    return Pooled(lambda: (p * t, p**power + t**power), value, grad, hess)


def tversky(p: Array, q: Array, t: Array, *, alpha: float, beta: float, smooth: float) -> Pooled:  # noqa: ARG001
    """Alpha weighs the false negatives and beta the false positives; 1e-7 is added below the fraction."""
    return overlap(beta, alpha, smooth, p, t)


def products(x: Array, labels: Array) -> Fold:
    """The inner products of all rows, and the labels."""
    return Fold((x @ x.T, labels), lambda a, _: (a[0] + a[0].T) @ x, no_curve)


def circle(turn: Array, labels: Array, *, gamma: float, margin: float) -> Batch:
    """The weights move with the products, which are taken for cosines; the mean is over anchors with a loss above 0."""
    alike = labels[:, None] == labels
    far = np.maximum(1.0 - turn, 0.0)
    live = (1.0 - turn > 0.0) + 0.5 * (1.0 - turn == 0.0)
    positive, negative = alike & ~np.eye(len(turn), dtype=np.bool_), ~alike
    near, away = np.maximum(margin + far, 0.0), np.maximum(1.0 + margin - far, 0.0)
    pull, push = -gamma * near * (margin - far), gamma * away * (1.0 - margin - far)
    logs = []
    for score, among in ((pull, positive), (push, negative)):
        top = np.where(among, score, -np.inf).max(axis=1, keepdims=True)
        e = np.where(among, np.exp(np.where(among, score - np.where(np.isfinite(top), top, 0.0), 0.0)), 0.0)
        total = row_sums(e)[:, None]
        logs.append((np.log(total) + np.where(np.isfinite(top), top, 0.0), over(e, total)))
    (p_log, p_share), (n_log, n_share) = logs
    both = p_log + n_log
    value = stable.softplus(both)
    counted = value > 0.0

    def grad() -> Array:
        by_far = p_share * gamma * 2.0 * far
        by_far -= n_share * gamma * ((1.0 - margin - far) * np.heaviside(1.0 + margin - far, 0.5) + away)
        weight = np.where(counted, stable.sigmoid(both), 0.0) / max(1, np.count_nonzero(counted))
        return -weight * by_far * live

    return Batch(np.array([np.where(counted, value, 0.0).sum() / max(1, np.count_nonzero(counted))]), grad)
