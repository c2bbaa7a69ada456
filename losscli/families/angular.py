"""Angles between features and the weight vectors of classes: what margins are taken on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from losscli.families.plain import CLASSIFIED, LABELS
from losscli.inputs import REAL, Array, Bools, Fold, Input, Ints, Link, Partials, Signature, Target, no_curve
from losscli.stable import along, norm, others, over, row_sums, unit

# Between 45° and 135° a cosine has digits of its own; beyond, what it lacks to 1 or -1 has.
_STEEP = np.sqrt(0.5)
# Matrix products are of so many rows each: a row's digits do not depend on how many others there are.
_TILE = 64
# How many numbers the vectors of as many pairs as are looked at together may have.
_AT_ONCE = 1 << 18
_QUARTER = np.pi / 2.0


def product(a: Array, b: Array) -> Array:
    """The matrix product of a (M, K) and b (K, N), in which every row has the same bits whatever rows are beside it."""
    tiles = -(-len(a) // _TILE)
    padded = np.zeros((tiles * _TILE, a.shape[1]))
    padded[: len(a)] = a
    made = padded.reshape(tiles, _TILE, padded.shape[1]) @ b
    return np.asarray(made.reshape(-1, b.shape[1])[: len(a)])


def across(x: Array, u: Array) -> Array:
    """What the rows of x have across unit vectors u, x - (x·u) u; nothing where u is zero.

    Along each axis by the other coordinates, 1 - u² and x·u without its own, as what the own ones add up to cancels.
    """
    rows, squares = np.arange(len(u)), u * u
    top = squares.argmax(axis=1)
    rest = (squares[rows, top] > 0.0)[:, None] - squares
    squares[rows, top] = 0.0
    rest[rows, top] = row_sums(squares)
    return np.asarray(x * rest - u * others(x * u))


@dataclass(frozen=True)
class Bent:
    """A function of an angle, falling from 1: ``whole`` + ``part``, and its derivative by the cosine.

    The whole number is the function's value at the nearest multiple of a quarter turn, so the part keeps its digits.
    """

    whole: Array
    part: Array
    slope: Array


@dataclass(frozen=True)
class Angle:
    """Angles θ of pairs of unit vectors, (M,): ``quarters`` (0, 1 or 2) quarter turns and the ``turn`` beyond them.

    A zero vector is at a right angle to all others.
    """

    quarters: Array
    turn: Array

    @classmethod
    def of(cls, u: Array, v: Array) -> Angle:
        """The angles between the rows of u and those of v."""
        cosine = row_sums(u * v)
        side = np.sign(cosine) * (np.abs(cosine) > _STEEP)
        chord = norm(u - side[:, None] * v)[:, 0]
        turn = np.where(side == 0.0, -np.arcsin(np.clip(cosine, -1.0, 1.0)), side * 2.0 * np.arcsin(chord / 2.0))
        return cls(1.0 - side, turn)

    @property
    def sine(self) -> Array:
        """The sine of θ."""
        return np.where(self.quarters == 1.0, np.cos(self.turn), np.abs(np.sin(self.turn)))

    def bent(self, m: int) -> Bent:
        """ψ(θ) = (-1)^k cos(mθ) - 2k, k = ⌊mθ/π⌋: the cosine for m = 1, and ever falling for any other m.

        Of mθ = q·π/2 + ε, |ε| ≤ π/4, it is 1 - q - sin ε for odd q; for even q half of the angle is left over twice.
        """
        angle = m * self.turn
        steps = np.rint(angle / _QUARTER)
        rest, at = angle - steps * _QUARTER, m * self.quarters + steps
        odd, half = at % 2.0 == 1.0, np.sin(rest / 2.0)
        sine = np.where(odd, np.cos(rest), np.abs(np.sin(rest)))
        slope = np.where(self.sine == 0.0, float(m), sine / self.sine) * m
        return Bent(1.0 - at, np.where(odd, -np.sin(rest), -2.0 * half * np.abs(half)), slope)


@dataclass(frozen=True)
class Heads:
    """Features x (M, D), weights w (C, D) of the classes and the class of each row, by their lengths and directions."""

    x: Array
    w: Array
    index: Ints

    @classmethod
    def of(cls, x: Array, w: Array, y: Target) -> Heads:
        """The heads of a fold's inputs."""
        assert y.index is not None
        return cls(np.ascontiguousarray(x), np.ascontiguousarray(w), y.index)

    @cached_property
    def length(self) -> Array:
        """The lengths of the features, (M, 1)."""
        return norm(self.x)

    @cached_property
    def breadth(self) -> Array:
        """The lengths of the weights, (C, 1)."""
        return norm(self.w)

    @cached_property
    def u(self) -> Array:
        """The features' directions."""
        return along(self.x, self.length)

    @cached_property
    def v(self) -> Array:
        """The weights' directions."""
        return along(self.w, self.breadth)

    @cached_property
    def own(self) -> Array:
        """The direction of each row's own class, (M, D)."""
        return np.asarray(self.v[self.index])

    @cached_property
    def angle(self) -> Angle:
        """The angle of each row's features with its own class."""
        return Angle.of(self.u, self.own)

    def tilt(self, name: str) -> Array:
        """What the own class's direction has across the features', or the other way round, (M, D).

        Of what lies between the two: roundings along either are not taken for a part of it.
        """
        u, v = (self.u, self.own) if name == "features" else (self.own, self.u)
        return across(v - (1.0 - self.angle.quarters)[:, None] * u, u)

    @cached_property
    def scores(self) -> Array:
        """The products of features and weights, (M, C)."""
        return product(self.x, self.w.T)

    @cached_property
    def cosines(self) -> tuple[Array, Array]:
        """The cosines with all classes as a whole number, -1, 0 or 1, and a part that keeps its digits, (M, C) each."""
        part = product(self.u, self.v.T)
        whole = np.sign(part) * (np.abs(part) > _STEEP)
        rows, classes = np.nonzero(whole)
        step = max(1, _AT_ONCE // self.u.shape[1])
        for start in range(0, len(rows), step):
            i, j = rows[start : start + step], classes[start : start + step]
            side = whole[i, j]
            apart = self.u[i] - side[:, None] * self.v[j]
            part[i, j] = side * row_sums(apart * apart) / -2.0
        return whole, part

    def right(self, scores: Array) -> Bools:
        """The rows whose own class has the highest score."""
        return np.asarray(scores[np.arange(len(scores)), self.index] == scores.max(axis=1))


def products(x: Array, w: Array, y: Target) -> Fold:
    """Products of features and weights, and the own one bent: partials by them, by |x||w|, and by cos θ over |x||w|.

    That quotient stays where the product of two short lengths is lost.
    """
    heads = Heads.of(x, w, y)

    def gradient(a: Partials, name: str) -> Array:
        pull, along_it, around = a[0], a[1][:, None], a[2][:, None]
        if name == "features":
            bend = along_it * heads.u + around * heads.tilt(name)
            return product(pull, heads.w) + heads.breadth[heads.index] * bend
        bend = heads.length * (along_it * heads.own + around * heads.tilt(name))
        made = pull.T @ heads.x
        np.add.at(made, heads.index, bend)
        return np.asarray(made)

    return Fold((heads,), gradient, no_curve, right=lambda: heads.right(heads.scores))


def projections(x: Array, w: Array, y: Target) -> Fold:
    """Features along each weight vector's direction: partials by |x| cos θ at constant |x|, and by |x| itself."""
    heads = Heads.of(x, w, y)

    def gradient(a: Partials, name: str) -> Array:
        if name == "weights":
            return over(across(a[0].T @ heads.x, heads.v), heads.breadth)
        pull = product(a[0], heads.v)
        # Without a direction of their own, features go where they are pulled.
        return np.where(heads.length > 0.0, across(pull, heads.u) + a[1][:, None] * heads.u, pull)

    return Fold((heads,), gradient, no_curve, right=lambda: heads.right(np.add(*heads.cosines)))


def directions(x: Array, w: Array, y: Target) -> Fold:
    """The cosines alone: partials by them, nothing by lengths."""
    return _directions(Heads.of(x, w, y), lambda made, a, name: made)  # noqa: ARG005


def arcs(x: Array, w: Array, y: Target) -> Fold:
    """The cosines, and the angle with the own class: partials by the one and by the other.

    Of a small angle, by whose sine no slope is divided here, the way in which it grows is all that counts.
    """
    heads = Heads.of(x, w, y)

    def with_angle(made: Array, a: Partials, name: str) -> Array:
        turned = a[1][:, None] * unit(heads.tilt(name))
        if name == "features":
            return made - turned
        np.subtract.at(made, heads.index, turned)
        return made

    return _directions(heads, with_angle)


def _directions(heads: Heads, more: Callable[[Array, Partials, str], Array]) -> Fold:
    """The fold of the cosines; ``more`` adds to what is divided by the lengths."""

    def gradient(a: Partials, name: str) -> Array:
        if name == "weights":
            return over(more(across(a[0].T @ heads.u, heads.v), a, name), heads.breadth)
        return over(more(across(product(a[0], heads.v), heads.u), a, name), heads.length)

    return Fold((heads,), gradient, no_curve, right=lambda: heads.right(np.add(*heads.cosines)))


_INPUTS = (
    Input("features", REAL, differentiable=True, help="one vector per row (N, D)", axes="ND", curved=False),
    Input("weights", REAL, differentiable=True, help="one vector per class (C, D)", axes="CD", curved=False),
    Input("labels", LABELS.domain, help="class indices or names (N)", axes="N"),
)
_PRODUCT = "sum(xi*wi for xi, wi in zip(features, w))"
_LENGTHS = (
    ("length", "sqrt(sum(xi**2 for xi in features))"),
    ("lengths", "[sqrt(sum(wi**2 for wi in w)) for w in weights]"),
)
_COSINES = ("cosines", f"[{_PRODUCT}/(length*size) if length*size > 0 else 0 for w, size in zip(weights, lengths)]")
_ANGLE = ("angle", "acos(max(-1, min(1, cosines[y])))")


def _signature(name: str, fold: Callable[..., Fold], *where: tuple[str, str]) -> Signature:
    return Signature(name, _INPUTS, "rows", {"values": Link(fold, where)}, options=CLASSIFIED - {"class-axis"})


ANGULAR_PRODUCTS = _signature(
    "angular-products", products, ("scores", f"[{_PRODUCT} for w in weights]"), *_LENGTHS, _COSINES, _ANGLE
)
ANGULAR_PROJECTIONS = _signature("angular-projections", projections, *_LENGTHS, _COSINES, _ANGLE)
ANGULAR_ARCS = _signature("angular-arcs", arcs, *_LENGTHS, _COSINES, _ANGLE)
ANGULAR = _signature("angular", directions, *_LENGTHS, _COSINES, _ANGLE)
