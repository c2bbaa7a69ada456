"""How far numbers are from the printed formula, in units of the rounding that no method can avoid.

One unit is 2^-52 · (|q| + Σ |x_i ∂q/∂x_i|) for a quantity q of inputs x: what q moves by when it and every input are
rounded, which is 2^-52 · |q| · (1 + κ) with the condition number κ. Written as a sum it also holds where q is 0: a zero
that no input moves must be met exactly. Two floors below: where float64 has subnormals only, one spacing of them;
where it overflows, everything beyond counts as 2^1024.

What is exact is not an input that could be rounded: parameters, signs, whole counts, and targets of 0 or 1. So 'p - 1'
earns no allowance from a target that is 1.
"""

from __future__ import annotations

import inspect
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
from plain import PLAIN

from losscli.errors import UsageError
from losscli.evaluate import as_source, evaluate
from losscli.formula import Program
from losscli.grammar import FUNCTIONS, compiled
from losscli.inputs import LABEL, PROBABILITY, Domain
from losscli.loss import Bound, Loss, Parameter, Pooled
from losscli.plan import How, plan
from losscli.results import Wants
from losscli.targets import arrange
from losscli.verifier.oracle import Oracle
from losscli.verifier.points import CLASSES, ROWS, Data, draw

SCALES = (1e-8, 1e-3, 1.0, 30.0, 300.0)
# The promise: values and gradients within this many units, for every loss on all of these scales.
BOUND = 4.0
# A second derivative is a sum of products of first ones: as many roundings again, and a few for the chain rule.
HESSIAN_BOUND = 8.0
KINDS = ("value", "gradient", "hessian")


@dataclass(frozen=True)
class Plain(Program):
    """A loss without a printed formula as a program: the plain function of tests/plain.py, in mpmath's arithmetic."""

    function: Callable[..., Any] = lambda: None

    @cached_property
    def asked(self) -> frozenset[str]:
        """What the function reads: inputs, parameters, and variables that the link defines."""
        return frozenset(inspect.signature(self.function).parameters)

    @cached_property
    def defined(self) -> frozenset[str]:
        return self.asked & {name for name, _ in self.where}

    @cached_property
    def names(self) -> frozenset[str]:
        return (self.asked - self.defined) | (super().names if self.defined else frozenset())

    def _run(self, scope: Mapping[str, Any], frozen: Callable[[Any], Any] | None = None) -> Any:
        room = {**FUNCTIONS, **scope}
        for name, text in self.where if self.defined else ():
            room[name] = eval(compiled(text)[0], room)
        given = {name: room[name] for name in self.asked - {"frozen"}}
        held = {"frozen": frozen or (lambda x: x)} if "frozen" in self.names else {}
        return +mpmath.mpf(self.function(**given, **held))


_EPS, _TINY, _SPACING = (mpmath.mpf(2) ** power for power in (-52, -1022, -1074))
_HUGE = mpmath.mpf(2) ** 1024


def rng_of(name: str, seed: int = 0) -> np.random.Generator:
    """A generator of a loss's own, the same in every run."""
    return np.random.default_rng([zlib.crc32(name.encode()), seed])


def parameters(loss: Loss, seed: int) -> dict[str, Any]:
    """Parameters of a loss within their bounds: the defaults for seed 0, else drawn, now and then on a bound."""
    rng = rng_of(loss.name, seed)
    return {} if seed == 0 else {entry.name: _parameter(entry, rng) for entry in loss.params}


def _parameter(entry: Parameter, rng: np.random.Generator) -> Any:
    if entry.param.draw:
        return rng.choice(entry.param.draw).item()
    if entry.type is bool:
        return bool(rng.integers(2))
    if entry.type is str:
        return str(rng.choice(entry.param.choices))
    low = entry.param.at_least if entry.param.above is None else entry.param.above
    high = entry.param.at_most if entry.param.below is None else entry.param.below
    closed = [edge for edge in (entry.param.at_least, entry.param.at_most) if edge is not None]
    if entry.type is int:
        return int(rng.integers(0 if low is None else int(low), 10 if high is None else int(high) + 1))
    if closed and rng.random() < 0.25:
        return float(rng.choice(closed))
    if low is None or high is None:
        # Both below and above 1, whose powers and products hide mistakes.
        return float((low or 0.0) + rng.lognormal(sigma=0.7))
    return float(rng.uniform(low, high))


def curved(loss: Loss, link: str = "") -> tuple[str, ...]:
    """The inputs by which a loss has a diagonal Hessian, given by a link; by the others it is refused."""
    data, found = draw(loss.reads, rng_of(loss.name), link), []
    for name in loss.reads.differentiable:
        try:
            evaluate(loss.bind(), data, how=How(link=link), wants=Wants(hess=name))
            found.append(name)
        except UsageError as error:
            if error.code != "hessian-none":
                raise
    return tuple(found)


@dataclass(frozen=True)
class Draw:
    """A loss with drawn parameters, and data for it: one thing to measure."""

    bound: Bound
    data: Data
    how: How = field(default_factory=How)
    sample_weight: Any = None

    @property
    def plain(self) -> bool:
        """Whether labels are hard and nothing is weighed or smoothed: what every library understands alike."""
        hard = all(array.ndim == 1 for name, array in self.data.items() if name == "labels")
        weighed = self.sample_weight is not None or self.how.class_weight is not None
        return hard and not weighed and self.how.label_smoothing == 0.0

    def __str__(self) -> str:
        plain = vars(How())
        how = ", ".join(f"{key}={value}" for key, value in vars(self.how).items() if value is not plain[key])
        return f"{self.bound.loss.name} {dict(self.bound.params)} with {how}"


def draws(loss: Loss, scale: float, seed: int, *, rows: int = ROWS) -> Iterator[Draw]:
    """Data of one scale under every link, with hard and soft labels, smoothing, class weights and sample weights."""
    reads = loss.reads
    for number, link in enumerate(reads.links):
        rng = rng_of(f"{loss.name} {link} {scale:g}", seed)
        bound = loss.bind(**parameters(loss, seed))
        data = draw(reads, rng, link, scale=scale, rows=rows)
        if reads.layout == "classes":
            # One row that is right, however many there are: it is the one that loses its digits.
            data[reads.names[1]][0] = data[reads.names[0]][0].argmax()
        yield Draw(bound, data, How(link=link))
        if reads.layout == "classes":
            weight = rng.uniform(0.2, 3.0, CLASSES)
            yield Draw(bound, data, How(link=link, class_weight=weight))
            if reads.soft:
                soft = {**data, reads.names[1]: rng.dirichlet(np.ones(CLASSES), rows)}
                yield Draw(bound, soft, How(link=link, class_weight=weight if number % 2 else None))
                yield Draw(bound, data, How(link=link, class_weight=weight, label_smoothing=0.1))
        elif "label-smoothing" in reads.options:
            yield Draw(bound, data, How(link=link, label_smoothing=0.1))
        # The formula of a pooled loss knows no weights; that they repeat its rows is a test of its own.
        if "sample-weight" in reads.options and not Witness(Draw(bound, data, How(link=link))).oracle.pooled:
            yield Draw(bound, data, How(link=link), rng.uniform(0.2, 3.0, rows))
        if len(reads.differentiable) > 1 and reads.entry(reads.differentiable[1]).domain is not PROBABILITY:
            # The second may be of another length now, and what goes with it is not.
            data = {
                name: x for name, x in data.items() if not (reads.entry(name).optional and reads.entry(name).shared)
            }
            yield Draw(
                bound,
                _close(data, reads.differentiable, rng, reads.domain(reads.names[0], link).sums),
                How(link=link),
            )


def _close(data: Data, names: Sequence[str], rng: np.random.Generator, sums: str) -> Data:
    """Inputs that nearly coincide: where differences, angles and divergences lose their digits."""
    first = data[names[0]]
    second = first * (1.0 + 1e-6 * rng.normal(size=first.shape))
    if sums == "one":
        second = second / second.sum(axis=1, keepdims=True)
    if sums == "exp":
        second = np.minimum(second - np.log(np.exp(second).sum(axis=1, keepdims=True)), 0.0)
    if len(second) < len(data[names[1]]):
        # Fewer rows than there are classes, whose vectors they are to coincide with.
        second = np.concatenate([second, data[names[1]][len(second) :]])
    # Of three vectors, one pair is close and its distance to the third is not.
    return {**data, names[1]: second}


@dataclass(frozen=True)
class Witness:
    """The printed formula on one draw, and what its inputs' rounding moves."""

    made: Draw

    @cached_property
    def oracle(self) -> Oracle:
        made, bound = self.made, self.made.bound
        weight = None if made.sample_weight is None else as_source("sample-weight", made.sample_weight)
        sources = {name: as_source(name, array) for name, array in made.data.items()}
        laid = plan(bound.loss.reads, sources, made.how, sample_weight=weight)
        with np.errstate(all="ignore"):
            table = arrange(laid, 0, laid.rows)
            pooled = isinstance(bound(*laid.signature.links[laid.link].fold(*table.arrays).variables), Pooled)
        oracle = Oracle(bound, laid, table, pooled)
        if not bound.loss.formula:
            # What no line of arithmetic says, a plain function does; the oracle keeps its program in its cache.
            vars(oracle)["program"] = Plain("0", laid.signature.links[laid.link].where, PLAIN[bound.loss.name])
        return oracle

    @property
    def units(self) -> int:
        """How many losses there are: rows, groups, or one."""
        return self.oracle.units

    def side(self, name: str, entry: Sequence[int]) -> int:
        """The side on which an entry has a slope: at an edge of its domain only one."""
        domain: Domain = self.made.bound.loss.reads.domain(name, self.oracle.plan.link)
        x = self.made.data[name][tuple(entry)]
        return -1 if x == domain.high else 1 if x == domain.low else 0

    def truth(self, unit: int, slope: tuple[Any, ...] = (), order: int = 1) -> Any:
        """The value of a unit, or a slope by (input, entry), at 40 digits and more."""
        if not slope:
            return self.oracle.value(unit)
        return self.oracle.slope(*slope, order=order, side=self.side(*slope))

    def spread(self, truth: Any, unit: int, slope: tuple[Any, ...] = (), order: int = 1) -> Any:
        """Σ |x_i ∂q/∂x_i| of a unit's value, or of a slope by (input, entry)."""
        if not slope:
            return self._spread(truth, unit)
        units, index = self.oracle.touched(*slope)
        where, side = (slope[0], index), self.side(*slope)
        if len(units) == 1:
            return self._spread(truth, units[0], where, order, side)
        # A sum over the units: each is rounded, and so are its own inputs.
        program = self.oracle.program
        total = mpmath.mpf(0)
        for at in units:
            (share, env), *_ = self.oracle.environments(at)
            own = program.slope(env, *where, order=order, side=side or 1, digits=25) * share * self._weight(at)
            total += abs(own) + self._spread(own, at, where, order, side)
        return total

    def _spread(self, truth: Any, unit: int, where: tuple[Any, ...] = (), order: int = 1, side: int = 0) -> Any:
        pairs, program = self.oracle.environments(unit), self.oracle.program
        soft = len(pairs) > 1 or pairs[0][0] != 1.0
        # With soft labels the masses are inputs too.
        env = {**pairs[0][1], "mass": [share for share, _ in pairs]} if soft else pairs[0][1]
        names = [*self._rounded(env), "mass"] if soft else self._rounded(env)

        def one(scope: Any) -> Any:
            # From above where both sides agree: half of the work.
            return (
                program.slope(scope, *where, order=order, side=side or 1, digits=25)
                if where
                else program.value(scope, digits=25)
            )

        def quantity(scope: Any) -> Any:
            if not soft:
                return one(scope)
            return mpmath.fsum(
                share * one({**scope, **({"y": own["y"]} if "y" in own else {})})
                for share, (_, own) in zip(scope["mass"], pairs, strict=True)
            )

        if truth:
            kappa = program.condition(env, names, quantity)
            return kappa * abs(truth)
        return program.condition(env, names, lambda scope: 1 + quantity(scope)) * self._weight(unit)

    def _rounded(self, env: dict[str, Any]) -> list[str]:
        """The inputs that hold rounded numbers; labels, counts and targets of 0 and 1 are exact."""
        reads = self.made.bound.loss.reads
        read = [entry.name for entry in reads.inputs if entry.domain is not LABEL and env.get(entry.name) is not None]
        names = [name for name in read if self._moves(name) or not _whole(env[name])]
        return [*names, "v"] if "v" in env and not _whole(env["v"]) else names

    def _moves(self, name: str) -> bool:
        """Whether an input is never exact: what slopes are taken by, but for soft targets that nothing smooths."""
        reads = self.made.bound.loss.reads
        soft = name == "target" and reads.entry(name).domain is PROBABILITY
        return self.made.how.label_smoothing > 0.0 if soft else name in reads.differentiable

    def _weight(self, unit: int) -> float:
        weight = self.oracle.table.weighing.weight
        return 1.0 if weight is None or self.oracle.pooled else float(weight[unit])


def _whole(value: Any) -> bool:
    return bool((np.asarray(value) == np.round(value)).all())


@dataclass(frozen=True)
class Entry:
    """One number of a result beside its truth."""

    kind: str
    name: str
    index: tuple[int, ...]
    got: float
    truth: Any
    spread: Callable[[], Any]

    def units(self, enough: float = 0.0) -> float:
        """The error in units; once it is at most ``enough``, an upper bound, without asking for κ."""
        if mpmath.isnan(self.truth) or mpmath.isinf(self.truth):
            return (
                0.0
                if mpmath.isnan(self.truth) == math.isnan(self.got) and str(self.truth) == str(mpmath.mpf(self.got))
                else math.inf
            )
        if math.isnan(self.got):
            return math.inf
        truth, got = (max(-_HUGE, min(_HUGE, mpmath.mpf(x))) for x in (self.truth, self.got))
        gap = abs(got - truth)
        if abs(truth) < _TINY:
            gap = max(gap - _SPACING, mpmath.mpf(0))
        if gap == 0:
            return 0.0
        raw = _over(gap, abs(truth))
        if raw <= enough:
            return raw
        try:
            spread = self.spread()
        except ArithmeticError:
            spread = mpmath.inf
        # Where the inputs' rounding moves a number without limit, that excuses nothing.
        return _over(gap, abs(truth) + spread) if mpmath.isfinite(spread) else raw

    def __str__(self) -> str:
        truth = mpmath.nstr(self.truth, 20)
        return f"{self.kind} {self.name}{list(self.index)}: got {self.got!r}, the formula says {truth}"


def _over(gap: Any, size: Any) -> float:
    return float(gap / (size * _EPS)) if size else math.inf


def entries(
    made: Draw,
    kinds: Sequence[str] = ("value", "gradient"),
    *,
    rows: Sequence[int] | None = None,
    width: int = CLASSES,
    lost: Callable[[], None] | None = None,
) -> Iterator[Entry]:
    """The numbers of a draw beside their truths: of some units or rows, ``width`` entries in each row.

    ``lost`` is called for a slope that the formula does not have, or that of a loss too large for a float, and the next
    one is looked at; without it the ArithmeticError comes through.
    """
    witness, bound = Witness(made), made.bound
    result = evaluate(bound, made.data, how=made.how, sample_weight=made.sample_weight, reduction="none")
    values = np.atleast_1d(np.asarray(result.value))
    if "value" in kinds:
        for unit in range(witness.units):
            if rows is None or unit in rows or witness.units == 1:
                truth = witness.truth(unit)
                yield Entry("value", "", (unit,), float(values[unit]), truth, _later(witness, truth, unit))
    for name in bound.loss.reads.differentiable:
        shared = bound.loss.reads.entry(name).shared
        for order, kind in ((1, "gradient"), (2, "hessian")):
            if kind in kinds and (order == 1 or name in curved(bound.loss, made.how.link)):
                wants = Wants(grad=name) if order == 1 else Wants(hess=name)
                result = evaluate(
                    bound, made.data, how=made.how, sample_weight=made.sample_weight, reduction="none", wants=wants
                )
                slopes = result.gradient if order == 1 else result.hessian
                assert slopes is not None
                for index in _some(slopes.shape, rows, width):
                    unit = witness.oracle.locate(index)[0]
                    # Of a batch or of shared inputs all losses count.
                    own = values[unit] if len(values) == witness.units and not shared else values
                    truth = _slope(witness, unit, (name, index), order, lost, finite=bool(np.isfinite(own).all()))
                    if truth is not None:
                        later = _later(witness, truth, unit, (name, index), order)
                        yield Entry(kind, name, index, float(slopes[index]), truth, later)


def _slope(
    witness: Witness, unit: int, slope: tuple[Any, ...], order: int, lost: Callable[[], None] | None, *, finite: bool
) -> Any:
    """The truth of a slope; None where it is lost."""
    if lost is None:
        return witness.truth(unit, slope, order)
    try:
        if finite:
            return witness.truth(unit, slope, order)
    except ArithmeticError:
        pass
    lost()
    return None


def _later(witness: Witness, truth: Any, *where: Any) -> Callable[[], Any]:
    return lambda: witness.spread(truth, *where)


def _some(shape: tuple[int, ...], rows: Sequence[int] | None, width: int) -> Iterator[tuple[int, ...]]:
    size = math.prod(shape[1:])
    for row in range(shape[0]) if rows is None else sorted({row % shape[0] for row in rows}):
        # The next row goes on where this one ends, so that few entries see every position.
        for k in range(min(width, size)):
            yield (row, *map(int, np.unravel_index((width * row + k) % size, shape[1:]))) if shape[1:] else (row,)


def check(made: Draw, kinds: Sequence[str] = ("value", "gradient"), **some: Any) -> int:
    """Assert that a draw's numbers are within their bounds; how many were looked at."""
    count = 0
    for entry in entries(made, kinds, **some):
        bound = HESSIAN_BOUND if entry.kind == "hessian" else BOUND
        off = entry.units(enough=bound)
        assert off <= bound, f"{made}: {entry}, {off:.3g} units off, where {bound:g} are allowed"
        count += 1
    return count


def worst(made: Draw, kinds: Sequence[str], so_far: dict[str, float], **some: Any) -> None:
    """Raise the worst error of each kind to that of a draw; ``lost`` counts slopes that the formula does not have."""

    def lost() -> None:
        so_far["lost"] = so_far.get("lost", 0.0) + 1.0

    for entry in entries(made, kinds, lost=lost, **some):
        so_far[entry.kind] = max(so_far[entry.kind], entry.units(enough=so_far[entry.kind]))


def replaced(entry: Entry, got: float) -> Entry:
    """The same truth beside another's number."""
    return replace(entry, got=got)
