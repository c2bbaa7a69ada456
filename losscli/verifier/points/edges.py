"""Points at the edges of what a loss may read: ties, probabilities of nearly 0 and 1, zeros, huge numbers, shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from losscli.inputs import Array, Domain, Signature
from losscli.loss import Bound
from losscli.plan import How
from losscli.verifier.points.material import CLASSES, ROWS, Case, Data, draw, sound

_UNIT = 2.0**-53
# The constants that other libraries clip probabilities to, and add to what they take a logarithm of.
_CLAMPS = (1e-15, 1e-12, 1e-8, 1e-7)
_NEARLY_0 = (0.0, 5e-324, 1e-300, _UNIT, *(clamp * side for clamp in _CLAMPS for side in (0.99, 1.01)))
_NEARLY_1 = (1.0, 1.0 - _UNIT, *(1.0 - clamp * side for clamp in _CLAMPS for side in (0.99, 1.01)))
# Nothing, what is less than the smallest normal number, and what is lost when it is added to anything.
_TINY = (0.0, -0.0, 5e-324, -2e-310, 1e-30, -1e-30)
_HUGE = 1e30


def ties(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """Entries of a row that are all equal, two that are the largest; inputs that coincide; samples all the same."""
    reads = bound.loss.reads
    several = []
    for name in _own(reads):
        data = draw(reads, rng, link)
        domain, x = reads.domain(name, link), data[name]
        tied = [] if domain.breaks is not None else [_level(domain, x), _two_largest(domain, x)]
        tied += [] if x.ndim == 1 else [np.resize(x[:1], x.shape)]
        several += [{**data, name: x} for x in tied]
    several += _coincident(reads, link, draw(reads, rng, link))
    return [Case("ties", data, How(link=link)) for data in sound(bound, link, several)]


def _own(reads: Signature) -> list[str]:
    """The inputs that a gradient is taken by and that every row has its own of."""
    return [name for name in reads.differentiable if not reads.entry(name).shared]


def _level(domain: Domain, x: Array) -> Array:
    """The same number everywhere, the domain's own idea of none being larger."""
    width = x.shape[-1]
    if domain.sums:
        return np.full(x.shape, 1.0 / width if domain.sums == "one" else -np.log(width))
    return np.full(x.shape, 0.5 if domain.low == 0.0 else -0.5 if domain.high == 0.0 else x.flat[0])


def _two_largest(domain: Domain, x: Array) -> Array:
    """The first two entries of each row equal and no less than the others; of single numbers the first two."""
    if x.ndim == 1:
        return np.where(np.arange(len(x)) < 2, x.max(), x)
    made = np.sort(x, axis=-1)[..., ::-1].copy()
    mean = made[..., :2].mean(axis=-1) if domain.sums != "exp" else np.log(np.exp(made[..., :2]).mean(axis=-1))
    made[..., :2] = np.minimum(mean, domain.high)[..., None]
    return made


def _coincident(reads: Signature, link: str, data: Data) -> list[Data]:
    """Every input that is like the first the same as the first: distances of zero, p = q."""
    own = _own(reads)
    first, domain = data[own[0]], reads.domain(own[0], link)
    alike = [name for name in own if reads.domain(name, link) is domain and data[name].shape[1:] == first.shape[1:]]
    if len(alike) < 2:
        return []
    return [{**data, **{name: np.resize(first, data[name].shape) for name in alike}}]


def probabilities(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """Probabilities of 0 and 1, as near to them as numbers go, and on both sides of where others clip them."""
    reads = bound.loss.reads
    links = reads.links if link == reads.default_link else (link,)
    return [case for one in links for case in _probabilities(bound, one, rng)]


def _probabilities(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    reads = bound.loss.reads
    several = []
    for number, name in enumerate(_own(reads)):
        domain = reads.domain(name, link)
        if domain.sums:
            several += [{**data, name: x} for data, x in _sharp(reads, link, rng, name, number)]
        elif (domain.low, domain.high) == (0.0, 1.0):
            edges = np.array(_NEARLY_0 + _NEARLY_1)
            beside = "target" in reads.names and name != "target"
            for target in (0.0, 1.0, 0.3) if beside else (0.0,):
                data = draw(reads, rng, link, rows=len(edges))
                data[name] = np.broadcast_to(edges.reshape(-1, *[1] * (data[name].ndim - 1)), data[name].shape).copy()
                several.append({**data, "target": np.full(data["target"].shape, target)} if beside else data)
    return [Case("probabilities", data, How(link=link)) for data in sound(bound, link, several)]


def _sharp(reads: Signature, link: str, rng: np.random.Generator, name: str, number: int) -> list[tuple[Data, Array]]:
    """Distributions that give all classes but one a small share each, the one being each class in turn."""
    made = []
    exp = reads.domain(name, link).sums == "exp"
    # A log-probability of -inf is no number to move.
    for turn in (0, 1):
        shares = _NEARLY_0[exp:]
        data = draw(reads, rng, link, rows=len(shares))
        shape, rows = data[name].shape, np.arange(len(shares))
        x = np.broadcast_to(np.array(shares).reshape(-1, *[1] * (len(shape) - 1)), shape).copy()
        one = (rows + turn + number) % shape[-1]
        x.reshape(len(x), -1, shape[-1])[rows, :, one] = 1.0 - (shape[-1] - 1) * np.array(shares)[:, None]
        made.append((data, np.log(x) if exp else x))
    return made


def extremes(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """Zeros of either sign, subnormal, tiny and huge numbers, entry by entry; and inputs of nothing but zeros."""
    reads = bound.loss.reads
    several = []
    free = [name for name in _own(reads) if _takes_any(reads.domain(name, link))]
    for name in free:
        domain = reads.domain(name, link)
        # In a group a tiny number is a tie with another one.
        tiny = _TINY[2:3] if reads.layout == "groups" else _TINY
        values = np.array([value for value in tiny if domain.low <= value <= domain.high])
        data, at = draw(reads, rng, link, rows=max(ROWS, len(values))), np.arange(len(values))
        x = data[name].copy()
        x.reshape(len(x), -1)[at, at % x[0].size] = values
        several.append({**data, name: x})
    if free:
        data = draw(reads, rng, link)
        if len(free) > 1:
            several.append({**data, free[0]: np.zeros_like(data[free[0]])})
        several.append({**data, **{name: np.zeros_like(data[name]) for name in free}})
        # All of them at once: beside a huge number no other has a slope that doubles could show.
        every = [name for name in reads.differentiable if _takes_any(reads.domain(name, link))]
        several.append({**data, **{name: data[name] * _HUGE for name in every}})
    return [Case("extremes", data, How(link=link)) for data in sound(bound, link, several)]


def _takes_any(domain: Domain) -> bool:
    """Whether an entry can be moved on its own, far away."""
    return not domain.sums and domain.breaks is None and (np.isinf(domain.low) or np.isinf(domain.high))


def shapes(bound: Bound, link: str, rng: np.random.Generator) -> list[Case]:
    """One row, one class, two classes; rows that do not count, because of their weight, class, label or mask."""
    reads, how = bound.loss.reads, How(link=link)
    several = [draw(reads, rng, link, rows=1)]
    if reads.labels or reads.layout == "rows":
        several += [draw(reads, rng, link, classes=classes) for classes in (1, 2)]
    made = [Case("shapes", data, how) for one in several for data in sound(bound, link, [one])]
    data = draw(reads, rng, link)
    if reads.labels:
        data[reads.labels] = np.arange(ROWS) % CLASSES
    if "ignore-index" in reads.options:
        labels = np.where(np.arange(ROWS) == 2, 1, -1)
        made += [
            Case("shapes", {**data, reads.labels: index}, replace(how, ignore_index=-1))
            for index in (labels, np.full(ROWS, -1))
        ]
    elif "mask" in reads.options:
        made += [Case("shapes", data, how, mask=mask) for mask in (np.arange(ROWS) == 2.0, np.zeros(ROWS))]
    if "class-weight" in reads.options:
        made.append(Case("shapes", data, replace(how, class_weight=np.arange(CLASSES) / 2.0)))
    if "sample-weight" in reads.options:
        made.append(Case("shapes", data, how, sample_weight=np.where(np.arange(ROWS) == 0, 0.0, 1.0)))
    return made
