"""What a loss reads: the domain of each number, the inputs of each family, and how they fold into variables.

Conventions. M rows (samples, pixels, elements), C classes, D features. A *fold* turns a family's inputs into the
few variables its kernels are written in and carries derivatives back by the chain rule, once for the family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from losscli.precision import FORMATS

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]
Layout = Literal["elements", "rows", "classes", "groups"]
Partials = Sequence[Array]

# Probabilities printed with four decimals miss 1 by up to C · 5e-5: what is refused must be a mistake.
_SUM_TOLERANCE = 1e-3
# The formats whose rounding may be more than that, the coarser one first.
_COARSE = (FORMATS["bfloat16"], FORMATS["float16"])


@dataclass(frozen=True)
class Domain:
    """A set of numbers that an input may hold.

    ``low`` and ``high`` are included; ``infinite`` says that an infinite bound itself is allowed; ``members``
    lists a finite set; ``index`` demands whole numbers, less than a row has entries; ``sums`` demands that each row
    adds up to one, or that its exponentials do; ``breaks`` tells which rows break a rule of their own, the one that
    ``text`` gives; ``draw`` makes random data of a shape and scale that keep it.
    """

    text: str
    low: float = -np.inf
    high: float = np.inf
    infinite: bool = False
    members: tuple[float, ...] = ()
    index: bool = False
    sums: Literal["", "one", "exp"] = ""
    breaks: Callable[[Array], Bools] | None = None
    draw: Callable[[np.random.Generator, tuple[int, ...], float], npt.NDArray[Any]] | None = None

    def outside(self, x: Array) -> Bools:
        """The entries of x that are not in the set; same shape."""
        if self.members:
            return ~np.isin(x, self.members)
        inside = (x >= self.low) & (x <= self.high)
        if not self.infinite:
            inside &= np.isfinite(x)
        if self.index:
            inside &= (x == np.floor(x)) & (x < x.shape[-1])
        return ~inside

    def admits(self, x: Array) -> bool:
        """Whether every entry is in the set and every row adds up: passes without temporaries when all is well."""
        if not x.size:
            return True
        if self.members:
            return sum(int(np.count_nonzero(x == member)) for member in self.members) == x.size
        # NaN comes through min and max, and fails both comparisons.
        lowest, highest = float(x.min()), float(x.max())
        if not (self.low <= lowest and highest <= self.high):
            return False
        if self.index:
            whole = x.dtype.kind in "iu" or bool((x == np.floor(x)).all())
            return whole and highest < x.shape[-1]
        finite = math.isfinite(lowest) and math.isfinite(highest)
        if finite and not self.sums and self.breaks is None:
            return True
        return (finite or self.infinite) and not self.bad_rows(x).any()

    def row_sums(self, x: Array) -> Array:
        """What each row adds up to, where the domain demands one."""
        # A third of the time that sum takes for rows of some dozens.
        return np.einsum("...j->...", np.exp(x) if self.sums == "exp" else x)

    def _rounded(self, x: Array) -> Array:
        """How far the sum of each row of x may be off 1 because its numbers were rounded to a format of two bytes.

        Files of other formats hold such numbers as well: only where all of them are.
        """
        coarse = next((one for one in _COARSE if one.holds(x)), None)
        if coarse is None:
            return np.zeros(x.shape[:-1])
        # Half a step, and a little for what was computed in single precision before.
        half = coarse.step(x) * (0.5 + 2.0**-8)
        if self.sums == "exp":
            with np.errstate(all="ignore"):
                half = np.where(np.isneginf(x), 0.0, np.exp(x) * np.expm1(half))
        return np.asarray(half.sum(axis=-1))

    def bad_rows(self, x: Array) -> Bools:
        """The rows of x (M, C) that should add up to one or keep a rule and do not, or have nothing to normalise."""
        if self.breaks is not None:
            return self.breaks(x)
        if self.sums:
            rounding = (x.shape[-1] + 4) * np.finfo(x.dtype).eps
            off = np.abs(self.row_sums(x) - 1.0)
            bad = np.asarray(off > _SUM_TOLERANCE - rounding)
            return bad & (off > self._rounded(x) - rounding) if bad.any() else bad
        if self.infinite and x.ndim > 1 and np.isneginf(x.min(initial=0.0)):
            return np.asarray(np.isneginf(x).all(axis=-1))
        return np.zeros(len(x), dtype=np.bool_)


REAL = Domain("a finite number")
LOGIT = Domain("a finite number or -inf for a class that cannot be", high=np.finfo(float).max, infinite=True)
PROBABILITY = Domain("in [0, 1]", 0.0, 1.0)
LOG_PROBABILITY = Domain("a log-probability, at most 0", high=0.0, infinite=True, sums="exp")
SIMPLEX = Domain("probabilities that sum to 1", 0.0, 1.0, sums="one")
NON_NEGATIVE = Domain("at least 0", low=0.0)
SIGN = Domain("-1 or 1", members=(-1.0, 1.0))
LABEL = Domain("a class index, a class name, or one-hot or soft labels")
IDENTITY = Domain("a number or a word that names a group")


@dataclass(frozen=True)
class Input:
    """One input of a loss: its name, what numbers it holds, and whether a gradient is taken with respect to it.

    ``axes`` names its axes, a letter each: N first where it has an entry per row, no N where all rows share it; the
    same letter means the same length throughout a signature, 1 a length of one. None: as the signature's layout says.
    ``curved`` says that second derivatives are offered where a loss has them. ``draw`` makes random data of a shape and
    scale where the domain does not say enough.
    """

    name: str
    domain: Domain
    differentiable: bool = False
    help: str = ""
    axes: str | None = None
    optional: bool = False
    curved: bool = True
    draw: Callable[[np.random.Generator, tuple[int, ...], float], npt.NDArray[Any]] | None = None

    @property
    def shared(self) -> bool:
        """Whether all rows read the whole of it."""
        return self.axes is not None and "N" not in self.axes


@dataclass(frozen=True)
class Target:
    """Class labels as a kernel reads them: an index per row, or a mass per row and class.

    Exactly one of ``index`` (M,) and ``mass`` (M, C) is set; the mass holds soft labels, smoothing and class weights.
    """

    index: Ints | None = None
    mass: Array | None = None

    def take(self, rows: Any) -> Target:
        """The labels of some rows."""
        return Target(
            None if self.index is None else self.index[rows],
            None if self.mass is None else self.mass[rows],
        )

    def dense(self, classes: int) -> Array:
        """The labels as a mass per row and class, (M, C)."""
        if self.mass is not None:
            return self.mass
        assert self.index is not None
        mass = np.zeros((len(self.index), classes))
        mass[np.arange(len(self.index)), self.index] = 1.0
        return mass


@dataclass(frozen=True)
class Groups:
    """Rows bound together, such as the documents of a query: each group a run of consecutive rows.

    ``first`` is how many groups of the data come before them.
    """

    starts: Ints
    sizes: Ints
    first: int = 0

    def sum(self, x: Array) -> Array:
        """The sum of each group, (M,) → (G,)."""
        return np.asarray(np.add.reduceat(x, self.starts))

    def max(self, x: Array) -> Array:
        """The largest entry of each group, (M,) → (G,)."""
        return np.asarray(np.maximum.reduceat(x, self.starts))

    def spread(self, per_group: Array) -> Array:
        """Each group's number given to all its rows, (G,) → (M,)."""
        return np.repeat(per_group, self.sizes)


@dataclass(frozen=True)
class Fold:
    """The variables a kernel reads, and the chain rule back to the inputs.

    ``gradient`` takes the partial derivatives with respect to the variables and the name of an input, and returns
    the derivative with respect to that input, rows first. ``hessian`` takes first and second partials and returns
    the diagonal of each row's Hessian. ``combine`` adds a kernel's values up to one per row, where a row has several.
    ``right`` tells, for classification, which rows have their label on top.
    """

    variables: tuple[Any, ...]
    gradient: Callable[[Partials, str], Array]
    hessian: Callable[[Partials, Partials, str], Array]
    combine: Callable[[Array], Array] | None = None
    right: Callable[[], Bools] | None = None


def unscaled(a: Partials) -> tuple[Partials, Array | None]:
    """Partials as the kernel gave them, and what weight and reduction multiply them by."""
    return getattr(a, "partials", a), getattr(a, "factor", None)


def no_curve(a: Partials, b: Partials, name: str) -> Array:
    """The ``hessian`` of a fold that has none: kernels without second partials are its only ones, so nobody asks."""
    raise NotImplementedError


@dataclass(frozen=True)
class Link:
    """One way of giving a family its inputs: as logits, as probabilities, ...

    ``where`` defines the variables of the printed formulas in terms of the inputs; formula.py runs it. ``reveals``
    names inputs of which an entry that is outside its domain comes through the fold, so that it makes its row's loss
    infinite or NaN unless the loss is bounded there: see reveals.py.
    """

    fold: Callable[..., Fold]
    where: tuple[tuple[str, str], ...] = ()
    domains: Mapping[str, Domain] = field(default_factory=dict)
    reveals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signature:
    """What a family of losses reads, and how it folds.

    ``layout``: *elements*, every entry of arrays of one shape is a row of its own; *rows*, vectors (M, D), or what
    the inputs' axes say; *classes*, scores (M, C) and labels (M,) or (M, C); *groups*, rows bound together by an
    identity, or all of them where none is given.
    ``links``: the ways of giving the first input, the default first. ``options``: the shared options that apply.
    ``soft``: whether labels may be soft; ``expected``: whether a soft label's loss is the mean over its classes;
    ``head``: whether the first input may come out of a linear head.
    """

    name: str
    inputs: tuple[Input, ...]
    layout: Layout
    links: Mapping[str, Link]
    options: frozenset[str] = frozenset()
    soft: bool = False
    expected: bool = False
    reduction: Literal["mean", "sum"] = "mean"
    head: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs, in the order of the command line."""
        return tuple(entry.name for entry in self.inputs)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the inputs that cannot be left out."""
        return tuple(entry.name for entry in self.inputs if not entry.optional)

    @property
    def tabular(self) -> bool:
        """Whether the inputs can stand side by side as columns of one table: as many rows each, two axes at most."""
        return all(not entry.shared and len(entry.axes or "") <= 2 for entry in self.inputs)

    @cached_property
    def labels(self) -> str:
        """The name of the input that holds class labels; empty: none does."""
        return next((entry.name for entry in self.inputs if entry.domain is LABEL), "")

    def entry(self, name: str) -> Input:
        """The input of a name."""
        return self.inputs[self.names.index(name)]

    @cached_property
    def differentiable(self) -> tuple[str, ...]:
        """The inputs that a gradient is taken with respect to; the first is the default."""
        return tuple(entry.name for entry in self.inputs if entry.differentiable)

    @property
    def default_link(self) -> str:
        """The way of giving the inputs when nothing is said."""
        return next(iter(self.links))

    def domain(self, name: str, link: str) -> Domain:
        """The domain of an input under a link."""
        return self.links[link].domains.get(name, self.entry(name).domain)
