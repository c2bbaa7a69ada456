"""The oracle: runs a printed formula in as many digits as it takes.

The language and its conventions are those of grammar.py.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from losscli.grammar import FUNCTIONS, compiled, mp_context

if TYPE_CHECKING:
    from mpmath import mpf

T = TypeVar("T")
Index = tuple[int, ...]
Env = Mapping[str, Any]

# Working digits grow by these factors. 1 + exp(-3600) is 1 in fewer than 1560 digits: only from 1600 on are an exact 0,
# an inf or a nan believed, and noise taken for 0.
_LADDER, _BELIEVED = (1, 2, 8, 32, 128), 1600
# Exponents beyond this one cost more digits than a look at them is worth.
_STEEPEST = 3700.0
# Slopes from one side, to O(h²), times 2: they see one smooth piece only, and at a kink the two sides differ.
_STENCILS = {1: (-3, 4, -1), 2: (4, -10, 8, -2)}
# Mpmath keeps its precision in one global context: two threads would run in each other's digits.
_LOCK = threading.RLock()


@dataclass(frozen=True)
class Program:
    """A printed formula with the definitions of its variables, executed in order.

    Raises ValueError where a text leaves the whitelist. Needs mpmath only to run.
    """

    formula: str
    where: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name, _ in self.where:
            if compiled(name)[1] != {name}:
                raise ValueError(f"{name!r} cannot name a variable of the formula {self.formula!r}")
        _ = self.names

    @property
    def names(self) -> frozenset[str]:
        """The free names: inputs and parameters."""
        free, defined = set[str](), set[str]()
        for name, text in (*self.where, ("", self.formula)):
            free |= compiled(text)[1] - defined
            defined.add(name)
        return frozenset(free)

    def value(self, env: Env, *, digits: int = 50) -> mpf:
        """Value of the formula to `digits` relative digits.

        `env`: floats, ints, bools, strings, None, numpy scalars and arrays, (nested) lists; floats are taken exactly.
        Raises ValueError where `env` lacks a name and ArithmeticError where the digits never settle (see `settle`).
        """
        scope = self._scope(env)
        return settle(lambda: self._run(scope), digits, self._hidden(scope))

    def slope(
        self, env: Env, name: str, index: Index | None = None, *, order: int = 1, side: int = 0, digits: int = 40
    ) -> mpf:
        """Slope, or second derivative (`order` 2), with respect to one entry of one input.

        `side` -1 or +1: from below or above. With 0 both must exist and agree; at a kink (for order 2: at a seam of two
        pieces) and at an edge of the domain they do not, and where a slope is infinite none settles: ArithmeticError.
        """
        if order not in _STENCILS or side not in (-1, 0, 1):
            raise ValueError(f"order must be 1 or 2 and side -1, 0 or 1, not {order} and {side}")
        scope, sides = self._scope(env), (side,) if side else (-1, 1)
        slopes = settle(lambda: self._slopes(scope, name, index, order, sides), digits, self._hidden(scope))
        # Each side is known to `digits`; two of them may differ by a little more.
        if not _same(slopes[0], slopes[-1], digits - 2):
            raise ArithmeticError(f"no derivative of order {order} by {name}: from below and above {_shown(slopes)}")
        return slopes[-1]

    def condition(self, env: Env, names: Sequence[str], quantity: Callable[[Env], mpf] | None = None) -> mpf:
        """Condition number κ = Σ |x_i ∂q/∂x_i| / |q| over all entries of the named inputs, to a few digits.

        q is the formula's value, or `quantity(env)`, good to 25 digits. Relative errors ε of the inputs move q by at
        most κ ε |q|. κ is inf where q is 0 but moves with an input, where it is infinite, and at an isolated point.
        """
        scope = self._scope(env)
        return settle(lambda: _kappa(quantity or self._run, scope, names), 2, self._hidden(scope))

    def slope_condition(
        self, env: Env, names: Sequence[str], name: str, index: Index | None = None, *, order: int = 1, side: int = 0
    ) -> mpf:
        """Condition number of `slope` (with side 0, of the slope from above); see `condition`."""
        return self.condition(env, names, lambda scope: self._slopes(scope, name, index, order, (side or 1,))[0])

    def _scope(self, env: Env) -> dict[str, Any]:
        if missing := self.names - env.keys():
            raise ValueError(f"the formula {self.formula!r} needs {', '.join(sorted(missing))}")
        return {name: _exact(value) for name, value in env.items()}

    def _hidden(self, scope: Env) -> int:
        """Digits behind which a term may hide that counts once all before it has cancelled.

        Beside 1 stand e^-2x of the largest input and the smallest input itself: p log p of the softmax of (300, 0) is
        1e-128, of which 1 - p has a 300th, and fewer digits agree on what is left without it.
        """
        mp = mp_context()
        inputs = [abs(x) for value in scope.values() for _, x in _entries(value) if mp.isnormal(x)]
        if not inputs:
            return 0
        steep = min(2.0 * float(min(max(inputs), 1e6)), _STEEPEST) if self._exponential else 0.0
        return int(0.4343 * steep + max(0.0, -0.302 * int(mp.mag(min(inputs)))))

    @functools.cached_property
    def _exponential(self) -> bool:
        return any("exp(" in text or "cosh(" in text for text in (self.formula, *(text for _, text in self.where)))

    def _run(self, scope: Env, frozen: Callable[[Any], Any] | None = None) -> mpf:
        room = FUNCTIONS | {"pi": mp_context().pi} | {name: scope[name] for name in self.names}
        if frozen is not None:
            room["frozen"] = frozen
        for name, text in self.where:
            room[name] = eval(compiled(text)[0], room)
        # The plus rounds pi, which would otherwise stay lazy.
        return +mp_context().convert(eval(compiled(self.formula)[0], room))

    def _slopes(self, scope: Env, name: str, index: Index | None, order: int, sides: Sequence[int]) -> tuple[mpf, ...]:
        """Slopes from the given sides with an error of about 10**-dps, as h = 10**(-dps/2) costs O(h²)."""
        mp = mp_context()
        sizes = [0, *(int(mp.mag(x)) for value in scope.values() for _, x in _entries(value) if mp.isnormal(x))]
        # A step beyond the smallest number may cross a kink; smaller steps need more digits.
        h = mp.ldexp(1, min(sizes) - mp.prec // 2)
        lost = (max(sizes) - min(sizes)) * 0.302
        with _working(int(mp.dps * (1 + order / 2) + order * lost) + 1):
            held = _Held()
            self._run(scope, held)
            at = functools.cache(
                lambda k: self._run({**scope, name: _changed(scope[name], index or (), (k * h).__add__)}, held.again())
            )
            sums = (sum(c * at(side * k) for k, c in enumerate(_STENCILS[order])) for side in sides)
            return tuple(total / (2 * (side * h) ** order) for side, total in zip(sides, sums, strict=True))


class _Held:
    """The word ``frozen`` of a formula: it keeps what it is given in a first run, and gives that back in later ones."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def __call__(self, x: Any) -> Any:
        self.kept.append(x)
        return x

    def again(self) -> Callable[[Any], Any]:
        """The word for another run, which comes upon it in the same order."""
        kept = iter(self.kept)
        return lambda _: next(kept)


def settle(compute: Callable[[], T], digits: int, hidden: int = 0) -> T:
    """Agreed number (or tuple of numbers), on which two runs at rising precision agree to `digits` relative digits.

    `compute` runs in mpmath's global precision, from digits + 10 to 128 times that, and `hidden` digits more. An exact
    0, inf or nan is believed only at 1600 digits, lest 1 - tanh(800) be 0; there, what sinks with the precision (noise,
    a slope at a flat point) is taken for the 0 it is. Raises ArithmeticError with the last two values if they never
    agree.
    """
    runs: list[Any] = []
    for factor in _LADDER:
        work = max(digits + 10, 50) * factor + hidden
        with _working(work):
            runs.append(compute())
        # Rounded, as mpmath cannot print a number of thousands of digits.
        with _working(digits + 10):
            agreed = _agreed(runs[-2], runs[-1], digits, work >= _BELIEVED) if len(runs) > 1 else None
        if agreed is not None:
            return agreed
    last = " and ".join(_shown(run) for run in runs[-2:])
    raise ArithmeticError(f"{digits} digits are not reached at the precision of {work}: {last}")


def _agreed(a: Any, b: Any, digits: int, believed: bool) -> Any:
    if isinstance(b, tuple):
        parts = tuple(_agreed(x, y, digits, believed) for x, y in zip(a, b, strict=True))
        return None if None in parts else parts
    if _same(a, b, digits) and (believed or mp_context().isnormal(b)):
        return +b
    # Noise is 10**-digits, and the digits have grown fourfold; a true 1e-450 that came to light has not fallen so.
    noise = max(abs(a) ** 2, mp_context().mpf(10) ** -_BELIEVED)
    return mp_context().zero if believed and abs(a) < 1e-10 and abs(b) <= noise else None


def _same(a: Any, b: Any, digits: int) -> bool:
    mp = mp_context()
    if not (mp.isfinite(a) and mp.isfinite(b)):
        return bool(a == b or (mp.isnan(a) and mp.isnan(b)))
    return bool(abs(a - b) <= max(abs(a), abs(b)) * mp.mpf(10) ** -digits)


def _shown(run: Any) -> str:
    with _working(20):
        return ", ".join(mp_context().nstr(+x, 20) for x in (run if isinstance(run, tuple) else (run,)))


def _kappa(compute: Callable[[Env], mpf], scope: Env, names: Sequence[str]) -> mpf:
    mp, q = mp_context(), compute(scope)
    # Less than the spacing of floats, lest a step cross the kink at a neighbour.
    eta, total = mp.mpf(10) ** -20, mp.zero
    for name, index in [(read, i) for read in names for i, x in _entries(scope[read]) if x]:
        # Where one direction leaves the domain, the other counts.
        moved = ({**scope, name: _changed(scope[name], index, (1 + e).__mul__)} for e in (eta, -eta))
        total += next((abs(end - q) / eta for end in map(compute, moved) if mp.isfinite(end)), mp.inf)
    return total / abs(q) if q and mp.isfinite(q) else mp.inf if total or q else total


@contextmanager
def _working(digits: int) -> Iterator[None]:
    with _LOCK, mp_context().workdps(digits):
        yield


def _exact(value: Any) -> Any:
    """Equal data in ints, exact mpf, strings, None and lists."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (list, tuple)):
        return [_exact(item) for item in value]
    plain = value.tolist() if hasattr(value, "tolist") else value
    # A long double is its own tolist().
    return mp_context().convert(plain) if isinstance(plain, (float, type(value))) else _exact(plain)


def _entries(value: Any, index: Index = ()) -> Iterator[tuple[Index, Any]]:
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _entries(item, (*index, i))
    elif value is not None and not isinstance(value, str):
        yield index, value


def _changed(value: Any, index: Index, change: Callable[[Any], Any]) -> Any:
    if index:
        at = range(len(value))[index[0]]
        return [*value[:at], _changed(value[at], index[1:], change), *value[at + 1 :]]
    if value is None or isinstance(value, (list, str)):
        raise ValueError(f"a slope needs one number, not {value!r}: give its index")
    return change(mp_context().convert(value))
