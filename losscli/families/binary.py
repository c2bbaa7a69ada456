"""Binary and multi-label: logits or probabilities and targets in [0, 1], entry by entry.

A soft target t mixes the losses of the two outcomes, t and 1 - t: the slope by it is the difference of the two.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from losscli import stable
from losscli.families.plain import WEIGHTED
from losscli.inputs import PROBABILITY, REAL, Array, Fold, Input, Link, Partials, Signature, unscaled
from losscli.kernels import Mixture


class Bernoulli:
    """An outcome of log-odds z and its opposite: their surprises, -log σ(z) and -log σ(-z), and what these share.

    Both are log(1 + e^-|z|), and that of the unlikely one is |z| more.
    """

    def __init__(self, z: Array) -> None:
        self.z = z
        unlikely = np.abs(z)
        np.negative(unlikely, out=unlikely)
        self.ratio = np.exp(unlikely, out=unlikely)
        self._missing: tuple[Array, Array] | None = None

    @cached_property
    def least(self) -> Array:
        """The surprise of the likely outcome, log(1 + e^-|z|)."""
        return np.asarray(np.log1p(self.ratio))

    def missed(self, target: Array) -> Array:
        """What the target says against the likely outcome, with the sign of z: 1 - t or -t."""
        if self._missing is None or self._missing[0] is not target:
            likely = np.logical_not(np.signbit(self.z)).view(np.int8).astype(np.float64)
            likely -= target
            self._missing = target, likely
        return self._missing[1]

    def expected(self, target: Array) -> Array:
        """t times the one surprise and 1 - t times the other, without forming either: z (1 - t) or -z t is added."""
        made = self.z * self.missed(target)
        made += self.least
        return made

    def slope(self, target: Array) -> Array:
        """The slope of the expected surprise by z, σ(z) - t, whose digits a σ(z) close to 1 would not have."""
        chance = 1.0 + self.ratio
        np.divide(self.ratio, chance, out=chance)
        chance = stable.signed(chance, self.z)
        return np.subtract(self.missed(target), chance, out=chance)


class Surprise(NDArrayOperatorsMixin):
    """The surprise of an outcome or of its opposite, ``side`` 1 or -1: an array to all who compute with it.

    It is formed for them alone: the cross-entropy needs neither, and the four passes are a quarter of its time.
    """

    def __init__(self, variable: Bernoulli, side: float) -> None:
        self.variable = variable
        self._side = side

    @cached_property
    def array(self) -> Array:
        """The surprise, in nats."""
        # np.clip is a third of np.maximum's time.
        made = np.clip(self.variable.z, 0.0, np.inf) if self._side < 0.0 else np.clip(self.variable.z, -np.inf, 0.0)
        return (np.add if self._side < 0.0 else np.subtract)(self.variable.least, made, out=made)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.array, dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(*map(formed, inputs), **options)

    def __getitem__(self, at: Any) -> Any:
        return self.array[at]

    def __getattr__(self, name: str) -> Any:
        # While it is being copied it has no variable yet.
        if name.startswith("__") or name == "variable":
            raise AttributeError(name)
        return getattr(self.array, name)


def formed(x: Any) -> Any:
    """A surprise as an array, anything else as it is."""
    return x.array if isinstance(x, Surprise) else x


def expected(target: Array, yes: Array, no: Array) -> Array:
    """t yes + (1 - t) no, without forming two surprises of the same variable."""
    if isinstance(yes, Surprise) and isinstance(no, Surprise) and yes.variable is no.variable:
        return yes.variable.expected(target)
    return target * yes + (1.0 - target) * no


def binary_logits(z: Array, target: Array) -> Fold:
    """yes = -log σ(z), no = -log σ(-z), the target, and how to come by the log-odds z."""
    variable = Bernoulli(z)

    def gradient(a: Partials, name: str) -> Array:
        return a[2] if name == "target" else _by_logit(variable, a)

    def hessian(a: Partials, b: Partials, name: str) -> Array:
        if name == "target":
            return np.zeros_like(target)
        p, q = stable.odds(z)
        return stable.times(q * q, b[0]) + stable.times(p * p, b[1]) + (a[0] + a[1]) * (p * q)

    return Fold((Surprise(variable, 1.0), Surprise(variable, -1.0), target, lambda: z), gradient, hessian)


def _by_logit(variable: Bernoulli, a: Partials) -> Array:
    """p no' - (1 - p) yes': partials as the kernel gave them have fewer passes, and one more weighs them in the end."""
    own, factor = unscaled(a)
    if isinstance(own, Mixture):
        slope = variable.slope(own.weight)
        factor = np.asarray(own.scale if factor is None else own.scale * factor)
    else:
        slope = _weighed(variable.z, own)
    if factor is not None and not (factor.ndim == 0 and factor == 1.0):
        slope *= stable.by_row(factor, slope)
    return slope


def _weighed(z: Array, own: Partials) -> Array:
    """p no' - (1 - p) yes' as (no' - e^-z yes')/(1 + e^-z)."""
    e = np.negative(z)
    np.exp(e, out=e)
    slope = own[0] * e
    np.subtract(own[1], slope, out=slope)
    e += 1.0
    slope /= e
    if not np.isfinite(slope.sum()):
        p, q = stable.odds(z)
        slope = np.where(np.isfinite(slope), slope, own[1] * p - own[0] * q)
    return slope


def log_odds(p: Array) -> Array:
    """log(p/(1 - p)), with all of its digits also where p is close to 1/2."""
    return np.where(np.abs(p - 0.5) < 0.25, np.log1p((2.0 * p - 1.0) / (1.0 - p)), np.log(p) - np.log1p(-p))


def binary_probs(p: Array, target: Array) -> Fold:
    """yes = -log p, no = -log(1 - p), the target, and how to come by the log-odds; p a free variable."""
    q = 1.0 - p

    def gradient(a: Partials, name: str) -> Array:
        return a[2] if name == "target" else stable.over(a[1], q) - stable.over(a[0], p)

    def hessian(a: Partials, b: Partials, name: str) -> Array:
        if name == "target":
            return np.zeros_like(target)
        return stable.over(a[0] + b[0], p * p) + stable.over(a[1] + b[1], q * q)

    # An outcome that cannot be and has no weight surprises nobody: kernels may multiply.
    yes = np.where((p == 0.0) & (target == 0.0), 0.0, -np.log(p))
    no = np.where((p == 1.0) & (target == 1.0), 0.0, -np.log1p(-p))
    return Fold((yes, no, target, lambda: log_odds(p)), gradient, hessian)


def smoothed(link: Link, share: float, at: int, name: str, *, listed: bool) -> Link:
    """The link with a share of an input, the one ``at`` a place and of that name, spread evenly over both outcomes.

    ``listed`` says that a row has several of them.
    """
    # A formula reads decimals exactly, and these are floats.
    (a, b), (c, d) = (1.0 - share).as_integer_ratio(), (share / 2.0).as_integer_ratio()
    text = f"{a}/{b}*{{}} + {c}/{d}"
    where = (name, f"[{text.format('tj')} for tj in {name}]" if listed else text.format(name))

    def fold(*arrays: Array) -> Fold:
        plain = link.fold(*arrays[:at], (1.0 - share) * arrays[at] + share / 2.0, *arrays[at + 1 :])

        def gradient(a: Partials, by: str) -> Array:
            return plain.gradient(a, by) * (1.0 - share if by == name else 1.0)

        def hessian(a: Partials, b: Partials, by: str) -> Array:
            return plain.hessian(a, b, by) * ((1.0 - share) ** 2 if by == name else 1.0)

        return replace(plain, gradient=gradient, hessian=hessian)

    return replace(link, fold=fold, where=(where, *link.where))


_SIGMOID = "1/(1 + exp(-logits))"
BINARY = Signature(
    "binary",
    (
        Input("logits", REAL, differentiable=True),
        Input("target", PROBABILITY, differentiable=True, help="0, 1 or a probability between"),
    ),
    "elements",
    {
        "logits": Link(binary_logits, (("p", _SIGMOID), ("t", "target")), reveals=("logits",)),
        "probs": Link(binary_probs, (("p", "logits"), ("t", "target")), {"logits": PROBABILITY}),
    },
    options=WEIGHTED | {"label-smoothing", "classes"},
    head=True,
)
