"""Functions for ``apply``: what losses are built of, with their Jacobians.

One function = one block, as for a loss. It reads rows (M, C), or entries of any shape, as float64, and returns its
values and a thunk for the Jacobian: of a function of entries the derivative of each, of a function of rows the
derivative of every output by every entry of its row.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from losscli import stable
from losscli.errors import DataError, Place, UsageError, did_you_mean
from losscli.files.source import Source
from losscli.inputs import LOGIT, REAL, SIMPLEX, Array, Domain, Ints


@dataclass(frozen=True)
class Applied:
    """The values of a function and, on request, its Jacobian."""

    value: Array
    jacobian: Callable[[], Array]


Kernel = Callable[[Array], Applied]


@dataclass(frozen=True)
class Function:
    """An entry of the list of functions.

    ``formula`` is the output k of a row x (M, C), or that of an entry x; ``reads`` tells which.
    """

    name: str
    aliases: tuple[str, ...]
    kernel: Kernel
    reads: Literal["entries", "rows"]
    domain: Domain
    formula: str
    sources: tuple[str, ...]
    peers: tuple[str, ...]
    summary: str

    def __call__(self, source: Source, axis: int = -1) -> Applied:
        """Values and Jacobian of an array whose rows lie along an axis; DataError where it is outside the domain.

        Values have the array's shape, without the axis where a row gives one number; the Jacobian has the shape of
        the values, followed by C for a function of rows.
        """
        x = np.asarray(source.array, dtype=np.float64)
        if not x.size:
            raise DataError("data-empty", "no data rows", place=Place(source.name))
        if self.reads == "entries":
            self._check(source, x, x)
            return self._shaped(self.kernel(x.reshape(-1)), x.shape)
        if not -max(x.ndim, 1) <= axis < max(x.ndim, 1):
            raise UsageError("class-axis", f"--axis {axis} is not an axis of shape {x.shape}")
        laid = np.moveaxis(np.atleast_1d(x), axis, -1)
        self._check(source, x, laid)
        return self._shaped(self.kernel(laid.reshape(-1, laid.shape[-1])), laid.shape[:-1])

    def _check(self, source: Source, x: Array, laid: Array) -> None:
        outside = self.domain.outside(x)
        if outside.any():
            at = np.unravel_index(int(np.argmax(outside)), x.shape)
            message = f"the input must be {self.domain.text}, not {float(x[at]):g}"
            raise DataError("domain", message, place=source.place(tuple(int(i) for i in at)))
        bad = self.domain.bad_rows(laid.reshape(-1, laid.shape[-1])) if laid.ndim else np.zeros(1, dtype=np.bool_)
        if self.reads == "rows" and bad.any():
            row = int(np.argmax(bad))
            raise DataError("domain", f"row {row} must be {self.domain.text}", place=Place(source.name))

    def _shaped(self, made: Applied, lead: tuple[int, ...]) -> Applied:
        return Applied(
            made.value.reshape(lead + made.value.shape[1:]),
            lambda: (jacobian := made.jacobian()).reshape(lead + jacobian.shape[1:]),
        )


_FUNCTIONS: dict[str, Function] = {}


def function(
    *,
    reads: Literal["entries", "rows"],
    formula: str,
    sources: Sequence[str],
    peers: Sequence[str],
    domain: Domain = REAL,
    aliases: Sequence[str] = (),
) -> Callable[[Kernel], Kernel]:
    """Enter a kernel into the list of functions under its own name; the first docstring line is its definition."""

    def enter(kernel: Kernel) -> Kernel:
        name = kernel.__name__.replace("_", "-")
        summary = (inspect.getdoc(kernel) or "").partition("\n")[0]
        _FUNCTIONS[name] = Function(
            name, tuple(aliases), kernel, reads, domain, formula, tuple(sources), tuple(peers), summary
        )
        return kernel

    return enter


def functions() -> Mapping[str, Function]:
    """Every function by its canonical name, in alphabetical order."""
    return dict(sorted(_FUNCTIONS.items()))


def get_function(name: str) -> Function:
    """The function of a name or an alias; UsageError with the nearest names when there is none."""
    known = functions()
    aliases = {alias: entry for entry in known.values() for alias in entry.aliases}
    wanted = name.strip().lower().replace("_", "-")
    found = known.get(wanted) or aliases.get(wanted)
    if found is None:
        hint = did_you_mean(wanted, [*known, *aliases]) or f"the functions are {', '.join([*known, 'one-hot'])}"
        raise UsageError("function-unknown", f"no function named {name!r}", hint=hint)
    return found


def one_hot(labels: Ints, classes: int) -> Array:
    """Indicators of class indices, (...,) → (..., C): 1 for the class of the label, 0 for the others."""
    return np.eye(classes)[labels]


def _diagonal(x: Array) -> Array:
    """Square matrices (M, C, C) with the rows of x (M, C) on their diagonals."""
    return x[:, :, None] * np.eye(x.shape[1])


@function(
    reads="entries",
    formula="1/(1 + exp(-x))",
    sources=("Verhulst (1838), Notice sur la loi que la population poursuit dans son accroissement",),
    peers=("torch.sigmoid", "jax.nn.sigmoid", "scipy.special.expit"),
    aliases=("logistic-function", "expit"),
)
def sigmoid(x: Array) -> Applied:
    """The probability σ(x) whose log-odds are x; slope σ(x) σ(-x)."""
    p, q = stable.odds(x)
    return Applied(p, lambda: p * q)


@function(
    reads="entries",
    formula="log(1 + exp(x))",
    sources=("Dugas et al. (2001), Incorporating second-order functional knowledge for better option pricing",),
    peers=("torch.nn.functional.softplus(threshold=inf)", "jax.nn.softplus", "numpy.logaddexp(0, x)"),
)
def softplus(x: Array) -> Applied:
    """The logarithm of 1 + e^x, a smooth ramp; slope σ(x)."""
    return Applied(stable.softplus(x), lambda: stable.sigmoid(x))


@function(
    reads="rows",
    formula="exp(x[k])/sum(exp(z) for z in x)",
    sources=("Bridle (1990), doi:10.1007/978-3-642-76153-9_28",),
    peers=("torch.softmax", "jax.nn.softmax", "scipy.special.softmax"),
    domain=LOGIT,
)
def softmax(x: Array) -> Applied:
    """The distribution proportional to e^x; Jacobian p_i (1 - p_i) on the diagonal, -p_i p_j off it."""
    view = stable.softmax(x)
    p = view.p
    off = 1.0 - np.eye(x.shape[1])
    return Applied(p, lambda: _diagonal(p * view.rest) - (p[:, :, None] * p[:, None, :]) * off)


@function(
    reads="rows",
    formula="log(exp(x[k])/sum(exp(z) for z in x))",
    sources=("Bridle (1990), doi:10.1007/978-3-642-76153-9_28",),
    peers=("torch.log_softmax", "jax.nn.log_softmax", "scipy.special.log_softmax"),
    domain=LOGIT,
)
def log_softmax(x: Array) -> Applied:
    """The logarithm of the softmax, in nats; Jacobian 1 - p_i on the diagonal, -p_j off it."""
    view = stable.softmax(x)
    off = 1.0 - np.eye(x.shape[1])
    return Applied(0.0 - view.surprise, lambda: _diagonal(view.rest) - view.p[:, None, :] * off)


@function(
    reads="rows",
    formula="log(sum(exp(z) for z in x))",
    sources=("Blanchard, Higham & Higham (2021), doi:10.1093/imanum/draa038",),
    peers=("torch.logsumexp", "jax.nn.logsumexp", "scipy.special.logsumexp"),
    domain=LOGIT,
    aliases=("lse",),
)
def logsumexp(x: Array) -> Applied:
    """The logarithm of the sum of e^x, a smooth maximum; slope the softmax."""
    view = stable.softmax(x)
    at = (np.arange(len(x)), x.argmax(axis=1))
    return Applied(x[at] + view.surprise[at], lambda: view.p)


@function(
    reads="rows",
    formula="-sum(z*log(z) for z in x)",
    sources=("Shannon (1948), doi:10.1002/j.1538-7305.1948.tb01338.x",),
    peers=("scipy.stats.entropy", "scipy.special.entr"),
    domain=SIMPLEX,
)
def entropy(x: Array) -> Applied:
    """The entropy of a distribution in nats; slope -(1 + log p)."""
    return Applied(0.0 - stable.row_sums(stable.xlogy(x, x)), lambda: -(1.0 + np.log(x)))


@function(
    reads="rows",
    formula="max(x[k] - max((sum(sorted(x, reverse=True)[:n]) - 1)/n for n in range(1, len(x) + 1)), 0)",
    sources=("Martins & Astudillo (2016), From softmax to sparsemax, arXiv:1602.02068",),
    peers=("entmax.sparsemax", "optax.projections.projection_simplex"),
)
def sparsemax(x: Array) -> Applied:
    """The distribution nearest to x; Jacobian 1 - 1/s within the support of s classes, -1/s between them."""
    from losscli.losses.fenchel_young import predicted

    p = predicted(x)

    def jacobian() -> Array:
        inside = (p > 0.0).astype(np.float64)
        size = stable.row_sums(inside)[:, None, None]
        return _diagonal(inside) - inside[:, :, None] * inside[:, None, :] / size

    return Applied(p, jacobian)
