"""Every loss beside its printed formula at 50 digits: values, slopes, second derivatives, kinks; and planted faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import mpmath
import numpy as np
import pytest
from accuracy import BOUND, SCALES, Draw, Entry, Witness, check, curved, draws, parameters

from losscli.evaluate import evaluate
from losscli.families.pairs import Pair
from losscli.inputs import Array, Fold, Partials, Signature, Target
from losscli.loss import Batch, Loss, Pooled, Rows, get
from losscli.plan import How
from losscli.results import Wants
from losscli.verifier.points import Case, cases, draw

scales = pytest.mark.parametrize("scale", SCALES, ids="scale {:g}".format)


def sampled(loss: Loss, scale: float, *, rows: int) -> Iterator[Draw]:
    """Plain data under every link, and one of the other kinds of data, so that five scales see them all."""
    turn = SCALES.index(scale)
    made = list(draws(loss, scale, seed=turn % 3, rows=rows))
    for number, link in enumerate(loss.reads.links):
        plain, *others = [one for one in made if one.how.link == link]
        yield plain
        if others:
            yield others[(turn + number) % len(others)]


def check_slopes(loss: Loss, scale: float) -> int:
    """The check of the catalogue, and of the planted faults below."""
    # Where softmax saturates, a slope of 1e-260 takes the formula 1600 digits: one row instead of two.
    rows = range(1 if scale == 300 else 2) if loss.reads.layout != "groups" else (0, 3, 5)
    width = 2 if len(loss.reads.differentiable) == 1 else 1
    return sum(check(made, rows=rows, width=width) for made in sampled(loss, scale, rows=6))


@scales
def test_the_value_is_the_formula_and_the_gradient_its_derivative(entry: Loss, scale: float) -> None:
    assert check_slopes(entry, scale) >= 2


@pytest.mark.parametrize("scale", [1e-8, 1.0, 30.0], ids="scale {:g}".format)
def test_the_hessian_is_the_second_derivative(entry: Loss, scale: float) -> None:
    made = list(sampled(entry, scale, rows=6))
    rows = [SCALES.index(scale)]
    least = 2 if curved(entry) else 0
    assert sum(check(one, ["hessian"], rows=rows, width=1) for one in (made[0], made[-1])) >= least


@dataclass(frozen=True)
class Beside:
    """An entry of a gradient on or beside a kink, or where one could be."""

    made: Draw
    name: str
    index: tuple[int, ...]
    got: float

    def slopes(self) -> list[Any]:
        """The formula's slopes at the entry, from below and from above."""
        return [Witness(self.made).oracle.slope(self.name, self.index, side=side) for side in (-1, 1)]

    def around(self, rng: np.random.Generator) -> list[Any]:
        """Slopes at both ends of a move of the entry's row by a few of its roundings, which may cross a kink."""
        row, data, bound = self.index[0], self.made.data, self.made.bound
        sizes = [np.abs(array[row]).max() for array in data.values() if array.dtype.kind == "f"]
        sizes += [abs(value) for value in bound.params.values() if isinstance(value, float)]
        step = 16.0 * float(np.spacing(max(*sizes, 1e-300)))
        way = {name: rng.choice([-step, step], np.shape(data[name][row])) for name in bound.loss.reads.differentiable}
        found = []
        for sign in (-1, 1):
            moved = {name: array.astype(np.float64) if name in way else array for name, array in data.items()}
            for name, by in way.items():
                moved[name][row] += sign * by
            found.append(Witness(replace(self.made, data=moved)).oracle.slope(self.name, self.index, side=sign))
        return found

    def within(self, slopes: list[Any]) -> bool:
        """Whether the gradient lies between the lowest and the highest of these slopes, or its bound away."""
        low, high = min(slopes), max(slopes)
        if low <= self.got <= high:
            return True
        witness, truth = Witness(self.made), low if self.got < low else high
        unit = witness.oracle.locate(self.index)[0]
        near = Entry(
            "gradient",
            self.name,
            self.index,
            self.got,
            truth,
            lambda: witness.spread(truth, unit, (self.name, self.index)),
        )
        return near.units(enough=BOUND) <= BOUND


def degenerate(loss: Loss, link: str, rng: np.random.Generator) -> list[Case]:
    """Inputs that coincide, and inputs of zero: where distances, norms and ties have no slope."""
    reads = loss.reads
    data = draw(reads, rng, link)
    domains = {name: reads.domain(name, link) for name in reads.differentiable}
    free = [name for name, domain in domains.items() if np.isinf(domain.low) and not domain.sums]
    if not free or loss.kinks is None or loss.kinks.jump:
        return []
    first = data[free[0]]
    # Samples of different sizes share points too.
    alike = [name for name in free if data[name].shape[1:] == first.shape[1:]]
    made = [{**data, **{name: np.resize(first, data[name].shape) for name in alike}}]
    # Boxes of one and the same point have no edge that could be moved on its own.
    if all(domains[name].breaks is None for name in free):
        made.append({**data, **{name: np.zeros_like(data[name]) for name in free}})
    return [Case("kinks", one, How(link=link)) for one in made]


def beside(loss: Loss, seed: int) -> Iterator[Beside]:
    """Entries on and beside the declared kinks, and where parameters change a loss's form."""
    bound, reads = loss.bind(**parameters(loss, seed)), loss.reads
    rng = np.random.default_rng(seed)
    for link in reads.links:
        for case in [*degenerate(loss, link, rng), *cases(bound, link, seed, kinds=["kinks"])]:
            for name in reads.differentiable:
                result = evaluate(bound, case.data, how=case.how, reduction="none", wants=Wants(grad=name))
                slopes = result.gradient
                assert slopes is not None
                for row in rng.choice(len(slopes), min(len(slopes), 2 if slopes.ndim > 1 else 8), replace=False):
                    index = (int(row),) if slopes.ndim == 1 else (int(row), int(rng.integers(slopes.shape[1])))
                    yield Beside(Draw(bound, case.data, case.how), name, index, float(slopes[index]))


# Their kinks lie on no float of these draws.
SELDOM = (
    *("multi-margin", "multilabel-margin", "ramp", "hinge-embedding", "js"),
    *("asymmetric", "gaussian-nll", "l-softmax", "lovasz-softmax", "mmd", "sinkhorn"),
)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_on_a_kink_lies_between_the_slopes_of_its_sides(entry: Loss, seed: int) -> None:
    rng = np.random.default_rng(seed)
    jumps = 0
    for one in beside(entry, seed):
        sides = one.slopes()
        if entry.kinks is None:
            assert float(sides[0]) == float(sides[1]), f"{one} is on a kink that is not declared"
        for _ in range(6):
            if one.within(sides):
                break
            sides += one.around(rng)
        assert one.within(sides), f"{one} is not between {[mpmath.nstr(x, 17) for x in sides]}"
        jumps += max(sides) - min(sides) > 1e-6 * max(map(abs, sides))
    # What is declared is a kink: somewhere the two sides differ. Of a jump of the value one sees the sides only.
    assert jumps or entry.kinks is None or entry.kinks.jump or entry.name in SELDOM


# Planted faults: each wraps a right kernel or fold, and the check of the catalogue must go red.


def with_kernel(loss: Loss, change: Callable[..., Any]) -> Loss:
    return replace(loss, kernel=lambda *variables, **params: change(loss.kernel(*variables, **params), *variables))


def with_fold(loss: Loss, fold: Callable[..., Fold]) -> Loss:
    reads, link = loss.reads, loss.reads.default_link
    changed: Signature = replace(reads, links={link: replace(reads.links[link], fold=fold)})
    return replace(loss, reads=changed)


def scaled(kernel: Any, *_: Any) -> Any:
    """The gradient times 1 + 1e-4."""

    def grad(*totals: Any) -> Any:
        slope = kernel.grad(*totals)
        return tuple(a * (1 + 1e-4) for a in slope) if isinstance(slope, tuple) else slope * (1 + 1e-4)

    return replace(kernel, grad=grad)


def second_sign(kernel: Any, *_: Any) -> Any:
    """The derivative with respect to the second input, with its sign turned."""
    return replace(kernel, grad=lambda: (kernel.grad()[0], -kernel.grad()[1]))


def without_last_class(kernel: Rows, d: Array) -> Rows:
    return replace(kernel, value=(d[:, :-1] ** 2).sum(axis=1))


def last_class_flat(z: Array, y: Target) -> Fold:
    fold = get("ce").reads.links["logits"].fold(z, y)

    def gradient(a: Partials, name: str) -> Array:
        slope = fold.gradient(a, name)
        slope[:, -1] = 0.0
        return slope

    return replace(fold, gradient=gradient)


def softmax_minus_one(z: Array, y: Target) -> Fold:
    """The textbook's p - 1, which is 0 for a sample that is confidently right."""
    fold = get("ce").reads.links["logits"].fold(z, y)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return replace(fold, gradient=lambda a, _: np.reshape(a[0], (len(z), -1))[:, :1] * (p - y.dense(z.shape[1])))


def logsumexp_minus_score(z: Array, y: Target) -> Fold:
    fold = get("ce").reads.links["logits"].fold(z, y)
    top = z.max(axis=1)
    lse = np.log(np.exp(z - top[:, None]).sum(axis=1)) + top
    return fold if y.index is None else replace(fold, variables=(lse - z[np.arange(len(z)), y.index],))


def one_minus_cosine(kernel: Rows, x: Array, y: Array) -> Rows:
    size = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return replace(kernel, value=1.0 - (x * y).sum(axis=1) / size)


def naive_divergence(kernel: Rows, pair: Pair) -> Rows:
    p, q = pair.p.p, pair.q.p
    m = (p + q) / 2
    return replace(kernel, value=(p * np.log(p / m) + q * np.log(q / m)).sum(axis=1) / 2)


def naive_log_cosh(kernel: Rows, r: Array) -> Rows:
    return replace(kernel, value=np.log(np.cosh(r)))


FAULTS: dict[str, tuple[Loss, float]] = {
    **{f"gradient of {name} × (1 + 1e-4)": (with_kernel(get(name), scaled), 1.0) for name in ("mse", "ce", "focal")},
    "gradient of dice × (1 + 1e-4)": (with_kernel(get("dice"), scaled), 1.0),
    "gradient of listnet × (1 + 1e-4)": (with_kernel(get("listnet"), scaled), 1.0),
    "a sign in kl": (with_kernel(get("kl"), second_sign), 1.0),
    "a sign in triplet": (
        with_kernel(get("triplet"), lambda k, *_: replace(k, grad=lambda: (*k.grad()[:2], -k.grad()[2]))),
        1e-3,
    ),
    "a class dropped from the value of brier": (with_kernel(get("brier"), without_last_class), 1.0),
    "a class dropped from the gradient of ce": (with_fold(get("ce"), last_class_flat), 1.0),
    "ce's gradient as p - 1": (with_fold(get("ce"), softmax_minus_one), 30.0),
    "ce's value as logsumexp - score": (with_fold(get("ce"), logsumexp_minus_score), 30.0),
    "cosine as 1 - cos": (with_kernel(get("cosine"), one_minus_cosine), 30.0),
    "js by its definition": (with_kernel(get("js"), naive_divergence), 1e-3),
    "log-cosh by its definition": (with_kernel(get("log-cosh"), naive_log_cosh), 1e-3),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_turns_the_check_red(fault: str) -> None:
    loss, scale = FAULTS[fault]
    with pytest.raises(AssertionError, match="units off"):
        check_slopes(loss, scale)


def test_a_cubed_parameter_is_red_though_invisible_at_its_default() -> None:
    huber = get("huber")

    def cubed(r: Array, *, delta: float) -> Rows | Pooled | Batch:
        right = huber.kernel(r, delta=delta)
        assert isinstance(right, Rows)
        return replace(right, value=np.where(np.abs(r) <= delta, right.value, delta**3 * (np.abs(r) - delta / 2)))

    fault = replace(huber, kernel=cubed)
    # Seed 0, the defaults, is drawn on this scale; another one on the next.
    assert check_slopes(fault, SCALES[3])
    with pytest.raises(AssertionError, match="units off"):
        check_slopes(fault, SCALES[4])
