"""One loss = one block: what describes a kernel, and how it is found. What a block needs is imported from here."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn

from losscli.errors import DataError, UsageError, did_you_mean
from losscli.families.linear import linear
from losscli.inputs import Array, Fold, Signature
from losscli.kernels import Batch as Batch
from losscli.kernels import Kernel as Kernel
from losscli.kernels import Mixture as Mixture
from losscli.kernels import Pooled as Pooled
from losscli.kernels import Rows as Rows
from losscli.kernels import Seldom as Seldom
from losscli.kernels import Slope as Slope

Denominator = Literal["weights", "kept", "rows", "batch", "entries"]


@dataclass(frozen=True)
class Param:
    """What a keyword argument of a kernel means, and the numbers it may be.

    ``draw`` lists numbers to try, where those within the bounds do not go with any data.
    """

    help: str
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()
    draw: tuple[Any, ...] = ()

    @property
    def bounds(self) -> str:
        """The bounds in words: '> 0, <= 1'."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        pairs = ((">", self.above), (">=", self.at_least), ("<", self.below), ("<=", self.at_most))
        return ", ".join(f"{sign} {bound:g}" for sign, bound in pairs if bound is not None)

    def admits(self, value: float) -> bool:
        """Whether a number is finite and within the bounds."""
        return (
            math.isfinite(value)
            and (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
        )


@dataclass(frozen=True)
class Parameter:
    """One parameter of one loss: its name, type, default and meaning."""

    name: str
    type: type
    default: Any
    param: Param

    @property
    def option(self) -> str:
        """The name as an option on the command line."""
        return "--" + self.name.replace("_", "-")

    def check(self, value: Any) -> Any:
        """The value, converted to the parameter's type; UsageError when it is out of bounds."""
        if value is None or self.type is bool:
            return value
        if self.type is str:
            if value not in self.param.choices:
                raise UsageError("parameter-range", f"{self.option} must be {self.param.bounds}, not {value!r}")
            return value
        if isinstance(value, bool) or not self.param.admits(value) or self.type(value) != value:
            bounds = self.param.bounds or "finite"
            kind = "a whole number" if self.type is int else "a number"
            raise UsageError("parameter-range", f"{self.option} must be {kind} {bounds}, not {value!r}")
        return self.type(value)


@dataclass(frozen=True)
class Kinks:
    """Where a loss has no derivative: in words, and as a label of the smooth piece that each row is on.

    ``piece(*variables, **params)`` returns labels (M,) or (M, K); a difference straddles a kink iff the labels of
    its ends differ. ``jump`` says that the value itself jumps there.
    """

    where: str
    piece: Callable[..., Any]
    jump: bool = False


@dataclass(frozen=True)
class Frozen:
    """What is held constant while the gradient is taken: in words, and what a kernel takes as ``held`` in its place.

    ``hold(*variables, **params)`` returns it. In a printed formula it stands within ``frozen(...)``.
    """

    what: str
    hold: Callable[..., Any]


@dataclass(frozen=True)
class Fault:
    """What does not go together in a row: the input it shows in, the entry there, and what is wrong, in words."""

    row: int
    name: str
    entry: tuple[int, ...]
    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Dialect:
    """How another library computes a loss, where that differs from the exact form.

    ``call`` is how it is called there, ``why`` what differs, in words. ``link`` is what it reads unless told otherwise,
    ``params`` its defaults, ``factor`` what it multiplies the loss by, ``clip`` the bounds that it clips inputs to,
    with no slope outside, ``kernel`` arithmetic of its own in the same variables, ``folds`` its own ways to these, by
    link, ``other_variables`` whether the kernel is written in variables that neither kinks nor what is frozen are told
    by, ``hessian(curve, slope)`` what it puts in the place of a row's diagonal Hessian. ``mean`` is what its mean
    divides by: the weights in force, the rows that count, all rows, the first axis, or the entries of the rows that
    count; ``soft_mean`` the same for soft labels; ``averaged(*variables)`` what each row is multiplied by before a mean
    is taken, and before no sum. ``empty`` is its mean of no rows, ``ignore_index`` the label that it ignores unless
    told otherwise. ``peer`` is filled in where the loss is taken.
    """

    call: str
    why: str = ""
    link: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    factor: float = 1.0
    clip: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    kernel: Kernel | None = None
    folds: Mapping[str, Callable[..., Fold]] = field(default_factory=dict)
    other_variables: bool = False
    hessian: Callable[[Array, Array], Array] | None = None
    mean: Denominator = "weights"
    soft_mean: Denominator | None = None
    averaged: Callable[..., Array] | None = None
    empty: Literal["error", "nan", "zero"] = "error"
    ignore_index: int | None = None
    peer: str = ""


@dataclass(frozen=True)
class Loss:
    """An entry of the catalogue: everything that the program knows of one loss.

    ``formula`` is executable, or, where no line of arithmetic says it, empty: then ``prose`` says it in words.
    ``convex`` and ``lipschitz`` are of its first input, as it is given by default: ``lipschitz``, a number or a
    function of the parameters, is what the sizes of a row's slopes add up to at most. ``slope`` is the gradient in
    words. ``costly`` says that a value takes hundreds of times what others take.
    """

    name: str
    aliases: tuple[str, ...]
    kernel: Kernel
    reads: Signature
    formula: str
    prose: str
    sources: tuple[str, ...]
    peers: tuple[str, ...]
    kinks: Kinks | None
    frozen: Frozen | None
    params: tuple[Parameter, ...]
    summary: str
    notes: str
    dialect: Dialect | None = None
    check: Callable[..., Fault | None] | None = None
    convex: bool = False
    lipschitz: float | Callable[..., float] | None = None
    costly: bool = False
    slope: str = ""

    @property
    def linear(self) -> Loss:
        """The loss behind a linear head: it reads features, weights and a bias; UsageError where it reads no scores."""
        if not self.reads.head:
            raise UsageError("linear", f"{self.name} reads no scores that a linear head could make")
        return replace(self, reads=linear(self.reads))

    def bind(self, **given: Any) -> Bound:
        """The loss with its parameters set; UsageError for an unknown or out-of-range parameter."""
        known = {entry.name: entry for entry in self.params}
        for name in given:
            if name not in known:
                hint = did_you_mean(name, known) or f"{self.name} has {', '.join(known) or 'no parameters'}"
                raise UsageError("parameter-unknown", f"{self.name} has no parameter {name!r}", hint=hint)
        values = {name: entry.check(given.get(name, entry.default)) for name, entry in known.items()}
        return Bound(self, values)


@dataclass(frozen=True)
class Bound:
    """A loss with its parameters set: what everything downstream handles."""

    loss: Loss
    params: Mapping[str, Any]

    def __call__(self, *variables: Any, held: Any = None) -> Rows | Pooled | Batch:
        """The kernel's result on the variables of a fold; ``held`` is what is frozen, taken elsewhere."""
        fault = self.fault(*variables)
        if fault is not None:
            raise DataError(fault.code, fault.message, hint=fault.hint)
        frozen = {} if held is None else {"held": held}
        return self.loss.kernel(*variables, **self.params, **frozen)

    def fault(self, *variables: Any) -> Fault | None:
        """The first row whose inputs and the parameters do not go together; None: all do."""
        return None if self.loss.check is None else self.loss.check(*variables, **self.params)

    def hold(self, *variables: Any) -> Any:
        """What the loss holds constant while its gradient is taken, at these variables; None: nothing."""
        return None if self.loss.frozen is None else self.loss.frozen.hold(*variables, **self.params)

    @property
    def lipschitz(self) -> float | None:
        """What the sizes of a row's slopes by the first input add up to at most; None where nothing is declared."""
        bound = self.loss.lipschitz
        return bound(**self.params) if callable(bound) else bound

    def pieces(self, *variables: Any) -> Any:
        """The label of the smooth piece that each row is on, or None for a smooth loss."""
        return None if self.loss.kinks is None else self.loss.kinks.piece(*variables, **self.params)


_CATALOGUE: dict[str, Loss] = {}


def loss(
    *,
    reads: Signature,
    sources: Sequence[str],
    formula: str = "",
    prose: str = "",
    slope: str = "",
    peers: Sequence[str] = (),
    aliases: Sequence[str] = (),
    kinks: Kinks | None = None,
    frozen: Frozen | None = None,
    check: Callable[..., Fault | None] | None = None,
    convex: bool = False,
    lipschitz: float | Callable[..., float] | None = None,
    costly: bool = False,
) -> Callable[[Kernel], Kernel]:
    """Enter a kernel into the catalogue under its own name; the first docstring line is its definition.

    A loss that no executable formula fits in a line gives ``prose`` in its place, and a plain reference function in
    tests/plain.py. ``slope`` says what a row's gradient is by each input that has one, as given by default, in words
    and in the formula's symbols: every loss of the catalogue has it, a user's own may go without. ``check``, which
    reads what the kernel reads, finds rows whose inputs do not go together.
    """
    if bool(formula) == bool(prose):
        raise ValueError("a loss has either a formula or prose")

    def enter(kernel: Kernel) -> Kernel:
        summary, _, notes = (inspect.getdoc(kernel) or "").partition("\n")
        entry = Loss(
            name=kernel.__name__.replace("_", "-"),
            aliases=tuple(aliases),
            kernel=kernel,
            reads=reads,
            formula=formula,
            prose=prose,
            sources=tuple(sources),
            peers=tuple(peers),
            kinks=kinks,
            frozen=frozen,
            params=_parameters(kernel),
            summary=summary,
            notes=notes.strip(),
            check=check,
            convex=convex,
            lipschitz=lipschitz,
            costly=costly,
            slope=slope,
        )
        if entry.name in _CATALOGUE:
            places = _CATALOGUE[entry.name].kernel.__module__, kernel.__module__
            raise UsageError("loss-twice", f"two losses are named {entry.name}: in {' and in '.join(places)}")
        _CATALOGUE[entry.name] = entry
        return kernel

    return enter


def _parameters(kernel: Kernel) -> tuple[Parameter, ...]:
    signature = inspect.signature(kernel, eval_str=True)
    keywords = (
        entry for entry in signature.parameters.values() if entry.kind is entry.KEYWORD_ONLY and entry.name != "held"
    )
    return tuple(_parameter(entry) for entry in keywords)


def _parameter(entry: inspect.Parameter) -> Parameter:
    annotated, param = typing.get_args(entry.annotation)
    kinds = [kind for kind in typing.get_args(annotated) or (annotated,) if kind is not type(None)]
    return Parameter(entry.name, kinds[0], entry.default, param)


def entered(kernel: Any) -> Loss | None:
    """The entry of a kernel that was entered, in whatever file; None for any other function."""
    return next((entry for entry in _CATALOGUE.values() if entry.kernel is kernel), None)


def catalogue() -> Mapping[str, Loss]:
    """Every loss by its canonical name, in alphabetical order."""
    for module in _modules():
        importlib.import_module(module)
    return dict(sorted(_CATALOGUE.items()))


def get(name: str) -> Loss:
    """The loss of a name or an alias; UsageError with the nearest names when there is none."""
    wanted = name.strip().lower().replace("_", "-")
    found = _named(wanted, _CATALOGUE)
    if found is None:
        # Who asks for one loss does not wait for all: the modules that mention its name come first, and mostly suffice.
        for module in _mentioning(wanted):
            importlib.import_module(module)
        found = _named(wanted, _CATALOGUE) or _named(wanted, catalogue())
    return found or _unknown(name, wanted)


def _modules() -> list[str]:
    package = importlib.import_module("losscli.losses")
    return [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]


def _mentioning(wanted: str) -> Iterator[str]:
    """The modules in whose source a loss is defined under a name, or the name is quoted, as an alias is."""
    # Bytes of the command line that are no text come as surrogates, which no strict encoding takes.
    marks = [mark.encode(errors="surrogatepass") for mark in (f"\ndef {wanted.replace('-', '_')}(", f'"{wanted}"')]
    for module in _modules():
        if any(mark in _source(module) for mark in marks):
            yield module


def _source(module: str) -> bytes:
    package, _, name = module.rpartition(".")
    try:
        return pkgutil.get_data(package, f"{name}.py") or b""
    except OSError:  # where only compiled modules are installed, all of them are loaded
        return b""


def _named(wanted: str, losses: Mapping[str, Loss]) -> Loss | None:
    found = losses.get(wanted)
    return found or next((entry for entry in losses.values() if wanted in entry.aliases), None)


def _unknown(name: str, wanted: str) -> NoReturn:
    losses = catalogue()
    known = [*losses, *(alias for entry in losses.values() for alias in entry.aliases)]
    hint = did_you_mean(wanted, known) or "'losscli list' shows all losses"
    raise UsageError("loss-unknown", f"no loss named {name!r}", hint=hint)
