"""Entropic transport between two samples: potentials by ε-scaling and Newton's method, refined to two floats.

Conventions. Samples x (N, D) and y (M, D) of points with shares a (N,) and b (M,) of their masses, potentials u (N,)
and v (M,): the plan is a_i b_j exp((u_i + v_j - cost_ij)/ε). Costs are of about 1, and at most some 2^40 ε.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from losscli.families.transport import Apart
from losscli.inputs import Array
from losscli.twofold import Twofold, exp_less_one

# By what epsilon is lowered at a time, and the marginal error at which it is.
_LOWER, _NEAR = 0.25, 1e-3
# What is added to weights that connect nothing, with one float and with two.
_RIDGES, _FINE_RIDGES = tuple(10.0**k for k in range(-14, 2)), tuple(1e3**k for k in range(-10, 0))
# The least rise of the dual that is worth a step, of what the columns lack.
_RISE = 1e-2
# The most steps with one float, and with two.
_STEPS, _FINE_STEPS = 200, 60
# Errors of this size, times the largest cost in epsilons, may be noise.
_FLOOR = 2.0**-84
# The longest step of two floats, in epsilons: a plan's entries are not to vanish on the way.
_REACH = 10.0


def _less_one(t: Twofold) -> Twofold:
    """e^t - 1 with all its digits."""
    less, whole = exp_less_one(Twofold(np.abs(t.high), np.where(t.high < 0.0, -t.low, t.low)))
    rises = t.high > 0.0
    # Where it falls, dividing by 1 changes nothing.
    inverse = Twofold(np.where(rises, -whole.high, 1.0), np.where(rises, -whole.low, 0.0))
    return less / inverse


def _settle(weight: Array, excess: Array, ridge: float) -> Array:
    """Heights v with Σ_k weight_jk (v_j - v_k) = excess_j: nodes go one by one, and nothing is subtracted."""
    w, r, out, degree = weight.copy(), excess.copy(), np.zeros(len(excess)), np.zeros(len(excess))
    for k in range(len(r) - 1, 0, -1):
        degree[k] = w[k, :k].sum() + ridge
        share = w[k, :k] / degree[k]
        w[:k, :k] += np.outer(w[:k, k], share)
        r[:k] += r[k] * share
    for k in range(1, len(r)):
        out[k] = (r[k] + w[k, :k] @ out[:k]) / degree[k]
    return out


@dataclass(frozen=True)
class Masses:
    """The masses of a sample's points, none of them 0, and their sum: shares of it are what counts.

    Masses of 1 change no bit of anything.
    """

    mass: Array
    total: Twofold | float

    @classmethod
    def of_points(cls, count: int, mass: Array | None) -> Masses:
        """Masses of 1 for so many points, or those that are given, in units of a power of two near the largest."""
        if mass is None:
            return cls(np.ones(count), float(count))
        mass = mass[mass > 0.0]
        whole = np.ldexp(mass, -int(np.frexp(mass.max())[1]))
        return cls(whole, Twofold.of(whole).sum(axis=0))

    @property
    def sum(self) -> float:
        """Their sum as one float."""
        return float(self.total.value) if isinstance(self.total, Twofold) else self.total

    def mean(self, per_point: Array) -> Array:
        """The weighted mean along the last axis."""
        return np.asarray((per_point * self.mass).sum(axis=-1) / self.sum)

    def average(self, per_point: Twofold) -> Twofold:
        """The same of sums of two floats."""
        return (per_point * self.mass).sum(axis=-1) / self.total


def _links(plan: Array, rows: Masses) -> Array:
    """How tightly the rows of a plan bind its columns to one another."""
    root = plan / np.sqrt(rows.mass)[:, None]
    made = rows.sum * (root.T @ root)
    np.fill_diagonal(made, 0.0)
    return made


@dataclass(frozen=True)
class _Floats:
    """The dual problem with one float: v alone, since the best u for it is known."""

    cost: Array
    epsilon: float
    first: Masses
    second: Masses

    def rows(self, v: Array) -> Array:
        """The u at which every row of the plan has its mass."""
        z = (v - self.cost) / self.epsilon
        top = z.max(axis=1, keepdims=True)
        return np.asarray(-self.epsilon * (np.log(self.second.mean(np.exp(z - top))) + top[:, 0]))

    def plan(self, v: Array) -> Array:
        """The plan of v, all of whose rows have their mass."""
        each = np.exp((self.rows(v)[:, None] + v - self.cost) / self.epsilon)
        return np.asarray(each * self.first.mass[:, None] * self.second.mass / (self.first.sum * self.second.sum))

    def excess(self, plan: Array) -> Array:
        """The mass that each column lacks."""
        return np.asarray(self.second.mass / self.second.sum - plan.sum(axis=0))

    def solve(self, v: Array, enough: float) -> Array:
        """The v at which the columns have theirs, or at which no step brings them closer."""
        for _ in range(_STEPS):
            plan = self.plan(v)
            lack = self.excess(plan)
            if np.abs(lack).sum() <= enough:
                break
            v = self._step(v, plan, lack)
        return v

    def _step(self, v: Array, plan: Array, lack: Array) -> Array:
        """Newton's step, held back until the dual rises or the columns come closer to their masses."""
        links = _links(plan, self.first)
        size, height = np.abs(lack).sum(), self.height(v)
        for ridge in _RIDGES:
            to = v + self.epsilon * np.linalg.solve(np.diag(links.sum(axis=1) + ridge) - links, lack)
            closer = np.abs(self.excess(self.plan(to))).sum() < 0.5 * size
            if closer or self.height(to) > height + _RISE * self.epsilon * size:
                return np.asarray(to)
        # Half of Sinkhorn's own step.
        full = np.maximum(plan.sum(axis=0) * self.second.sum / self.second.mass, np.finfo(float).tiny)
        return np.asarray(v - 0.5 * self.epsilon * np.log(full))

    def height(self, v: Array) -> float:
        """The dual's value at v."""
        return float(self.first.mean(self.rows(v)) + self.second.mean(v))


@dataclass(frozen=True)
class _Met:
    """Potentials, how much more than its mass each row and column of their plan has, relative to it."""

    u: Twofold
    v: Twofold
    rows: Array
    columns: Array

    @property
    def size(self) -> float:
        """How far the masses are off: all alike, since a small one has slopes of its own."""
        return float(np.abs(self.rows).mean() + np.abs(self.columns).mean())


@dataclass(frozen=True)
class Transport:
    """Entropic transport of x (N, D) to y (M, D), coordinates of at most 1, and its potentials to two floats."""

    x: Array
    y: Array
    epsilon: float
    p: int
    first: Masses
    second: Masses

    @cached_property
    def apart(self) -> Apart:
        """How the points lie apart."""
        return Apart.of(self.x, self.y)

    @cached_property
    def cost(self) -> Twofold:
        """What it costs to move a point's mass to another."""
        d = self.apart.distance
        return d * d if self.p == 2 else d

    @cached_property
    def potentials(self) -> tuple[Twofold, Twofold]:
        """u and v, at which the plan's rows and columns have their masses."""
        v, cost = np.zeros(len(self.y)), self.cost.high
        level = largest = float(cost.max())
        while level * _LOWER > self.epsilon:
            v = _Floats(cost, level, self.first, self.second).solve(v, _NEAR)
            level *= _LOWER
        last = _Floats(cost, self.epsilon, self.first, self.second)
        v = last.solve(v, max(1e-13, 2.0**-50 * largest / self.epsilon))
        return self._refined(Twofold.of(last.rows(v)), Twofold.of(v))

    def less(self, u: Twofold, v: Twofold) -> Twofold:
        """The plan over the product of the masses, less 1."""
        return _less_one((u[:, None] + v[None, :] - self.cost) / self.epsilon)

    def _met(self, u: Twofold, v: Twofold) -> _Met:
        """The potentials with u brought to where the rows have their masses."""
        rest = self.second.average(self.less(u, v))
        u = u - Twofold.of(np.log1p(rest.high)) * self.epsilon
        less = self.less(u, v)
        rows, columns = self.second.average(less).value, self.first.average(less.T).value
        return _Met(u, v, rows, columns)

    def _refined(self, u: Twofold, v: Twofold) -> tuple[Twofold, Twofold]:
        """Newton's steps from potentials of one float to those of two."""
        now = self._scaled(self._met(u, v))
        floor = _FLOOR * float(self.cost.high.max()) / self.epsilon
        for _ in range(_FINE_STEPS):
            # What is left when little is left is noise: one try tells.
            tries = (self._moved(now, ridge) for ridge in _FINE_RIDGES[: None if now.size > floor else 1])
            after = next((one for one in tries if one is not None and one.size < 0.5 * now.size), None)
            if after is None:
                break
            now = after
        return now.u, now.v

    def _scaled(self, now: _Met) -> _Met:
        """Sinkhorn's own steps, for columns whose masses are so small that one float has not looked at them."""
        for _ in range(_FINE_STEPS):
            if np.abs(now.columns).max() <= _NEAR:
                break
            after = self._met(now.u, now.v - Twofold.of(self.epsilon * np.log1p(now.columns)))
            if after.size > 0.9 * now.size:
                break
            now = after
        return now

    def _moved(self, now: _Met, ridge: float) -> _Met | None:
        # Its tiny entries bind columns where no others do: 1 and what is less than it would not hold them.
        first, second = self.first, self.second
        each = np.exp(((now.u[:, None] + now.v[None, :] - self.cost) / self.epsilon).high)
        plan = each * first.mass[:, None] * second.mass / (first.sum * second.sum)
        lack = now.rows @ plan - now.columns * second.mass / second.sum
        way = _settle(_links(plan, first), lack, ridge)
        if np.abs(way).max() > _REACH:
            return None
        back = now.rows + plan @ way * first.sum / first.mass
        return self._met(now.u - Twofold.of(self.epsilon * back), now.v + Twofold.of(self.epsilon * way))

    @cached_property
    def value(self) -> Twofold:
        """The dual there, which is the transport's price."""
        u, v = self.potentials
        return self.first.average(u) + self.second.average(v)

    @property
    def size(self) -> float:
        """How large the potentials are."""
        return float(sum(np.abs(one.high).max() for one in self.potentials))

    def slopes(self) -> tuple[Twofold, Twofold]:
        """By x and by y: the cost's, at the plan."""
        steep = self.apart.unit * self.apart.distance[:, :, None] if self.p == 2 else self.apart.unit
        pairs = steep * (self.less(*self.potentials) + 1.0)[:, :, None]
        first, second = self.first, self.second
        by_x = (pairs * second.mass[None, :, None]).sum(axis=1) * first.mass[:, None]
        by_y = (pairs * first.mass[:, None, None]).sum(axis=0) * second.mass[:, None]
        by = [one.times(float(self.p)) / first.total / second.total for one in (by_x, by_y)]
        return by[0], -by[1]
