"""Calls of libraries that run on JAX: what they return in double precision, and their slopes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.draws import Draws
from benchmarks.parity import Comparison, Numbers
from losscli.loss import get

jax.config.update("jax_enable_x64", True)
Arrays = Mapping[str, np.ndarray[Any, Any]]
REDUCTIONS = ("mean", "sum", "none")
TIMES, RECORDED = 9, 2


@dataclass(frozen=True)
class Case:
    """Data, parameters and options of one call: ``run`` gets arrays by the inputs' names and the reduction.

    ``hess``: whether the library's second derivatives are compared; ``reductions``: those that it has.
    """

    call: str
    data: Arrays
    run: Callable[..., Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    hess: bool = True
    reductions: tuple[str, ...] = REDUCTIONS


Make = Callable[[Draws], Case]


def numbers(loss: str, case: Case, reduction: str) -> Numbers:
    """What the call returns, and its slopes: those of the sum where it returns a loss per row."""
    given = {name: jnp.asarray(array) for name, array in case.data.items()}
    names = [name for name in get(loss).reads.differentiable if name in given and given[name].dtype.kind == "f"]

    def value(chosen: Mapping[str, Any]) -> Any:
        return case.run(**{**given, **chosen}, reduction=reduction)

    def total(name: str, x: Any) -> Any:
        return jnp.sum(value({name: x}))

    gradient, hessian = {}, {}
    for name in names:
        slope = jax.grad(partial(total, name))
        gradient[name] = np.asarray(slope(given[name]))
        if case.hess:
            size = given[name].size
            full = jax.jacfwd(slope)(given[name]).reshape(size, size)
            hessian[name] = np.asarray(jnp.diagonal(full)).reshape(given[name].shape)
    found = np.asarray(value({}))
    return Numbers(found if found.ndim else float(found), gradient, hessian)


def reduced(rows: Any, reduction: str) -> Any:
    """Losses that a library returns row by row, as a caller reduces them."""
    return rows if reduction == "none" else getattr(jnp, reduction)(rows)


def compared(cases: Iterable[tuple[str, Make]], seed: int) -> Iterator[Comparison]:
    """Random calls of every case."""
    for at, (loss, make) in enumerate(cases):
        for time in range(TIMES):
            case = make(Draws(np.random.default_rng([seed, at, time])))
            reduction = case.reductions[time % len(case.reductions)]
            yield Comparison(
                loss,
                case.call,
                case.data,
                partial(numbers, loss, case, reduction),
                case.params,
                {"reduction": reduction, **case.options},
                record=time < RECORDED,
            )
