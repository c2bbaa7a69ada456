"""Speed: value, value and gradient, and Hessian of losses beside PyTorch eager and JAX jit, on the same arrays.

All in one process and in turn; every side on the same two cores; JAX compiled beforehand. The others compute in
float32, losscli in float64. Before the clock starts, values and gradients are compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import timing
from benchmarks.cases import CASES, SMALL, Case, Data
from benchmarks.more_cases import MORE
from losscli import evaluate, get
from losscli.engines import engine
from losscli.plan import How
from losscli.results import Wants

Calls = dict[str, Callable[[], Any]]


def calls(case: Case, data: Data) -> Iterator[tuple[str, Calls]]:
    """Each kind of work with those who do it; a call returns the value, or the value and the gradient."""
    bound, wrt = get(case.loss).bind(**case.params), case.wrt or next(iter(data))
    threads, kept = engine("threads", timing.THREADS), np.zeros(data[wrt].shape)

    def own(wants: Wants, room: Callable[[tuple[int, ...]], Any] = np.zeros) -> Any:
        made = evaluate(bound, data, wants=wants, engine=threads, allocate=lambda _, shape: room(shape))
        return made.value if made.gradient is None else (made.value, made.gradient)

    at = list(data).index(wrt)
    value, both = _peers(case, list(data.values()), at)
    gradient = Wants(grad=wrt)
    yield "value", {"losscli": lambda: own(Wants()), **value}
    single: Calls = {"losscli": lambda: own(gradient, lambda shape: np.zeros(shape, np.float32))}
    yield "gradient", single | {"float64": lambda: own(gradient)} | both
    yield "hessian", {"losscli": lambda: own(Wants(hess=wrt), lambda _: kept)}


def _peers(case: Case, arrays: list[Any], at: int) -> tuple[Calls, ...]:
    value: Calls = {}
    both: Calls = {}
    here = timing.versions("torch", "jax")
    if "torch" in here:
        import torch

        torch.set_num_threads(timing.THREADS)
        tensors = [torch.from_numpy(array) for array in arrays]
        leaf = tensors[at].detach().requires_grad_()
        inputs = [*tensors[:at], leaf, *tensors[at + 1 :]]

        def slope() -> Any:
            loss = case.torch(torch, *inputs)
            return loss.detach(), torch.autograd.grad(loss, leaf)[0]

        value["torch"], both["torch"] = lambda: case.torch(torch, *tensors), slope
    if "jax" in here and (formula := case.jax) is not None:
        import jax

        given = [jax.numpy.asarray(array) for array in arrays]
        plain = jax.jit(lambda *x: formula(jax, *x)).lower(*given).compile()
        slopes = jax.jit(jax.value_and_grad(lambda *x: formula(jax, *x), at)).lower(*given).compile()
        value["jax"], both["jax"] = (lambda f=f: jax.block_until_ready(f(*given)) for f in (plain, slopes))
    return value, both


def _agree(case: Case, made: Calls) -> None:
    """Refuse to time calls that compute different things: values and norms of gradients, as far as float32 goes."""
    seen = {}
    for name, call in made.items():
        parts = got if isinstance(got := call(), tuple) else (got,)
        seen[name] = [float(np.linalg.norm(np.asarray(part, np.float64).reshape(-1))) for part in parts]
    for name, numbers in seen.items():
        if not np.allclose(numbers, seen["losscli"], rtol=5e-3):
            raise RuntimeError(f"{case.name}: {name} computes {numbers}, losscli {seen['losscli']}")


def measure(case: Case, quick: bool, runs: int) -> dict[str, list[str]]:
    """The case's row of each table."""
    shape, rows = case.sized(quick), {}
    data = case.data(np.random.default_rng(0), shape)
    for work, made in calls(case, data):
        _agree(case, made)
        times = timing.interleaved(made, runs)
        cells = [times["losscli"].shown(), timing.digits(times["losscli"].median / math.prod(shape) * 1e9)]
        if work != "hessian":
            cells += [timing.ratio(times, name) for name in ("torch", "jax")]
        if work == "gradient":
            cells += [timing.digits(times["float64"].median * 1e3), timing.ratio(times, "torch", "float64")]
        rows[work] = [case.name, " × ".join(f"{n:,}" for n in shape), *cells]
    return rows


def small(runs: int) -> list[list[str]]:
    """What a call costs where the data cost next to nothing: a row per loss and function of another library."""
    rows = []
    for loss, others, data, how, params in SMALL:
        bound, arrays = get(loss).bind(**params), data(np.random.default_rng(0), (1000, 10))
        made: Calls = {"losscli": lambda b=bound, a=arrays, h=how: float(evaluate(b, a, how=How(link=h)).value)}
        for name, (library, formula) in others.items():
            if timing.versions(library):
                made[name] = lambda f=formula, a=arrays: f(*a.values())
        times = timing.interleaved(made, 20 * runs)
        took = (f"{name} {timing.ratio(times, name)}" for name in others if name in times)
        rows.append([loss, f"{times['losscli'].median * 1e3:.2f}", ", ".join(took)])
    return rows


_OWN = ["loss", "entries", "losscli, ms", "ns/entry"]
TABLES = {
    "value": ("Value.", [*_OWN, "PyTorch takes", "JAX takes"]),
    "gradient": (
        "Value and gradient, which goes into new memory on every side: losscli's rounded to float32 as the others' "
        "are, and in float64.",
        [*_OWN, "PyTorch takes", "JAX takes", "float64, ms", "PyTorch takes"],
    ),
    "hessian": ("Value and diagonal Hessian, which has no peer, into an array used again.", _OWN),
}


def main(argv: list[str]) -> None:
    parser = timing.arguments("speed", __doc__, runs=9)
    parser.add_argument("--write", action="store_true", help="replace the tables in README.md")
    parser.add_argument("--more", action="store_true", help="the other losses that PyTorch offers; docs/speed.md")
    parser.add_argument("--only", default="", metavar="LOSS,...", help="these losses alone")
    args = parser.parse_args(argv)
    timing.pin()
    chosen = [case for case in (MORE if args.more else CASES) if not args.only or case.loss in args.only.split(",")]
    rows = [measure(case, args.quick, args.runs) for case in chosen]
    about = (
        f"Medians (shortest–longest) of {args.runs} runs in turn on the same float32 arrays, on "
        f"{timing.THREADS} threads each: losscli in float64, PyTorch eager and JAX compiled beforehand in float32. "
        f"Ratios above 1 are in favour of losscli. {timing.machine('numpy', 'torch', 'jax', 'scipy', 'sklearn')}."
    )
    parts = [f"{text}\n\n{timing.markdown(heads, [row[work] for row in rows], 2)}" for work, (text, heads) in
             TABLES.items()]  # fmt: skip
    if not (args.only or args.more):
        heads = ["loss", "losscli, ms", "others take"]
        parts.append(f"1,000 × 10 float64.\n\n{timing.markdown(heads, small(args.runs))}")
    text = "\n\n".join([about, *parts])
    print(text)
    if args.write:
        timing.write("speed", text, after="accuracy", page="docs/speed.md" if args.more else "README.md")
