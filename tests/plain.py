"""Losses that no line of arithmetic says, as plain functions in mpmath's arithmetic: slow, and easy to read.

Each takes the inputs of one loss (a row's, or a group's) and the parameters by name, as numbers and lists of numbers,
and returns the value. ``y`` is the index of a hard label, ``v`` the labels as a mass per class; ``frozen`` marks what
a slope holds constant. This list is kept short: a loss that has a printed formula is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath


def entmax(logits: Any, v: Any, alpha: Any) -> Any:
    """Newton's method for tau from below, which never passes it but by rounding."""
    a = alpha - 1
    scores = [a * z for z in logits]
    tau, step = max(scores) - 1, mpmath.inf
    while step > mpmath.eps * (1 + abs(tau)):
        inside = [z - tau for z in scores if z > tau]
        step = a * (sum(x ** (1 / a) for x in inside) - 1) / sum(x ** (1 / a - 1) for x in inside)
        tau += step
    p = [max(0, z - tau) ** (1 / a) for z in scores]
    linear = sum((pj - vj) * z for pj, vj, z in zip(p, v, logits, strict=True) if pj != vj)
    return linear + sum(vj**alpha - pj**alpha for pj, vj in zip(p, v, strict=True)) / (alpha * a)


def ctc(p: Any, labels: Any, lengths: Any, blank: Any) -> Any:
    """Frame by frame, what is told so far and the last class; a label is told anew when another class came between."""
    wanted = [k for k in labels if k >= 0]
    alive = {(0, blank): mpmath.mpf(1)}
    for frame in p if lengths is None else p[: int(lengths)]:
        after: dict[tuple[int, Any], Any] = {}
        for (told, last), mass in alive.items():
            for k, share in enumerate(frame):
                now = told if k in (blank, last) else told + 1
                if now == told or (told < len(wanted) and k == wanted[told]):
                    after[now, k] = after.get((now, k), 0) + mass * share
        alive = after
    return -mpmath.log(sum(mass for (told, _), mass in alive.items() if told == len(wanted)))


_HEIGHTS: dict[Any, Any] = {}


def sinkhorn(x: Any, y: Any, x_mass: Any, y_mass: Any, epsilon: Any, p: Any, debiased: Any) -> Any:
    """The dual's value at its maximum; where a search ended another one starts, as its sums at the end tell it all."""
    masses = [m or [1] * len(one) for one, m in ((x, x_mass), (y, y_mass))]
    samples = [
        [[mpmath.mpf(c) for c in point] for point, m in zip(one, mass, strict=True) if m]
        for one, mass in zip((x, y), masses, strict=True)
    ]
    shares = [[mpmath.mpf(m) / sum(map(mpmath.mpf, mass)) for m in mass if m] for mass in masses]

    def of(a: int, b: int) -> Any:
        gaps = [[sum((c - d) ** 2 for c, d in zip(r, s, strict=True)) for s in samples[b]] for r in samples[a]]
        costs = [[(s if p == 2 else mpmath.sqrt(s)) / epsilon for s in row] for row in gaps]
        key = (a, b, len(costs), len(costs[0]), str(epsilon), p, str(masses))
        found = _dual(costs, shares[a], shares[b], _HEIGHTS[key]) if key in _HEIGHTS else None
        value, _HEIGHTS[key] = found or _from_afar(costs, shares[a], shares[b])
        return value

    return epsilon * (of(0, 1) - (of(0, 0) + of(1, 1)) / 2 if debiased else of(0, 1))


def _from_afar(costs: Any, rows: Any, columns: Any) -> Any:
    """First costs that are divided by a large number, and few digits."""
    level, v = max(1, max(map(max, costs))), [mpmath.mpf(0)] * len(costs[0])
    digits = mpmath.mp.dps
    while level > 1:
        with mpmath.workdps(25):
            near = [[c / level for c in row] for row in costs]
            _, v = _dual(near, rows, columns, [s / level for s in v], mpmath.mpf("1e-3"), 500)
        v, level = [s * level for s in v], level / 2
    with mpmath.workdps(25):
        _, v = _dual(costs, rows, columns, v, mpmath.mpf("1e-12"), 500)
    with mpmath.workdps(digits):
        return _dual(costs, rows, columns, v, steps=500)


def _dual(costs: Any, rows: Any, columns: Any, v: Any, enough: Any = None, steps: int = 12) -> Any:
    """Newton's method for the columns' sums, each row having its own; None where it takes long."""
    m = len(v)
    enough = enough or mpmath.mpf(10) ** (12 - mpmath.mp.dps)
    plan, value, lack = _columns(costs, rows, columns, v)
    for _ in range(steps):
        if sum(map(abs, lack)) <= enough:
            return value, v
        links = [
            [sum(row[j] * row[k] / a for row, a in zip(plan, rows, strict=True)) for k in range(m)] for j in range(m)
        ]
        ridge = enough * enough
        while True:
            to = [a + b for a, b in zip(v, _heights(links, lack, ridge), strict=True)]
            if max(abs(a - b) for a, b in zip(to, v, strict=True)) < 20:
                made = _columns(costs, rows, columns, to)
                if sum(map(abs, made[2])) < sum(map(abs, lack)) or made[1] > value + sum(map(abs, lack)) / 1000:
                    break
            ridge = max(ridge * 1000, sum(map(abs, lack)) / 10**9)
        v, (plan, value, lack) = to, made
    return None


def _columns(costs: Any, rows: Any, columns: Any, v: Any) -> Any:
    """The plan whose rows have their masses, the dual's value, and what the columns lack."""
    plan, value = [], sum(b * s for b, s in zip(columns, v, strict=True))
    for row, a in zip(costs, rows, strict=True):
        top = max(s - c for s, c in zip(v, row, strict=True))
        powers = [b * mpmath.exp(s - c - top) for b, s, c in zip(columns, v, row, strict=True)]
        total = sum(powers)
        plan.append([a * one / total for one in powers])
        value -= a * (top + mpmath.log(total))
    return plan, value, [b - sum(row[j] for row in plan) for j, b in enumerate(columns)]


def _heights(links: Any, lack: Any, ridge: Any) -> Any:
    """The network's heights for what flows in: one node after the other is replaced by links between its neighbours."""
    w, r, m = [row[:] for row in links], lack[:], len(lack)
    for k in range(m - 1, 0, -1):
        degree = sum(w[k][:k]) + ridge
        for i in range(k):
            r[i] += r[k] * w[k][i] / degree
            for j in range(k):
                w[i][j] += w[i][k] * w[k][j] / degree
        w[k][k] = degree
    out = [mpmath.mpf(0)]
    for k in range(1, m):
        out.append((r[k] + sum(w[k][j] * out[j] for j in range(k))) / w[k][k])
    return out


PLAIN: Mapping[str, Callable[..., Any]] = {"ctc": ctc, "entmax": entmax, "sinkhorn": sinkhorn}
