"""The language of printed formulas: what it allows, and its arithmetic in mpmath.

Conventions: 0 times anything is 0 (so entropies hold at 0), log(0) = -inf, x/0 = ±inf with the sign of x, x**0 = 1;
0/0, inf - inf and results off the real line are nan; the max of nothing is -inf. Literals are exact decimals.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from types import CodeType
from typing import Any

from losscli.errors import UsageError


@functools.cache
def mp_context() -> Any:
    """Mpmath's global context; UsageError where it is not installed."""
    try:
        import mpmath
    except ImportError:
        needs = "the exact oracle needs mpmath, which is missing"
        raise UsageError("extra-missing", needs, hint="pip install 'losscli[exact]'") from None
    return mpmath.mp


class _Checker(ast.NodeTransformer):
    """The whitelist: refuses what is no arithmetic, and puts exact numbers and real arithmetic in."""

    allowed = (
        *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Store, ast.Call, ast.IfExp, ast.Tuple, ast.List),
        *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.UnaryOp, ast.USub, ast.Not, ast.BoolOp, ast.And),
        *(ast.Or, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In),
        *(ast.NotIn, ast.ListComp, ast.GeneratorExp, ast.comprehension, ast.Subscript, ast.Slice),
    )

    def __init__(self, text: str) -> None:
        self.text, self.bound, self.free, self.compared = text, frozenset[str](), set[str](), set[ast.expr]()

    def visit(self, node: ast.AST) -> Any:
        self.check(isinstance(node, self.allowed), node)
        return super().visit(node)

    def check(self, allowed: bool, node: ast.AST) -> None:
        if not allowed:
            raise ValueError(f"{type(node).__name__} {ast.unparse(node)!r} is not allowed in the formula {self.text!r}")

    def visit_Name(self, node: ast.Name) -> ast.Name:
        readable = node.id == "pi" and isinstance(node.ctx, ast.Load)
        self.check(readable or not (node.id.startswith("_") or node.id in WORDS), node)
        if node.id not in self.bound | {"pi"}:
            self.free.add(node.id)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, float):
            exact = Fraction(ast.get_source_segment(self.text, node) or node.value)
            return _call("_over", ast.Constant(exact.numerator), ast.Constant(exact.denominator))
        self.check(node in self.compared or node.value is None or isinstance(node.value, int), node)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.compared |= {s for s in (node.left, *node.comparators) if isinstance(getattr(s, "value", None), str)}
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        word = {"Mult": "_times", "Div": "_over", "Pow": "_power"}.get(type(node.op).__name__)
        self.generic_visit(node)
        return _call(word, node.left, node.right) if word else node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        word = node.func.id if isinstance(node.func, ast.Name) else ""
        self.check(word in WORDS - {"pi"} and all(_reversal(word, one) for one in node.keywords), node)
        return ast.Call(node.func, [self.visit(arg) for arg in node.args], node.keywords)

    def visit_ListComp(self, node: ast.ListComp | ast.GeneratorExp) -> ast.ListComp:
        outer = self.bound
        parts = [self.visit(part) for part in node.generators]
        # A list even where a generator is written: a definition may be read twice.
        made = ast.ListComp(self.visit(node.elt), parts)
        self.bound = outer
        return made

    visit_GeneratorExp = visit_ListComp  # noqa: N815

    def visit_comprehension(self, node: ast.comprehension) -> ast.comprehension:
        names = list(ast.walk(node.target))
        self.check(not node.is_async and all(isinstance(n, (ast.Name, ast.Tuple, ast.Store)) for n in names), node)
        source = self.visit(node.iter)
        self.bound |= {n.id for n in names if isinstance(n, ast.Name)}
        return ast.comprehension(self.visit(node.target), source, [self.visit(test) for test in node.ifs], 0)


def _reversal(word: str, given: ast.keyword) -> bool:
    """Whether a keyword is the one that there is: sorted(..., reverse=True)."""
    known = word == "sorted" and given.arg == "reverse"
    return known and isinstance(given.value, ast.Constant) and isinstance(given.value.value, bool)


def _call(word: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(word, ast.Load()), list(args), [])


@functools.cache
def compiled(text: str) -> tuple[CodeType, frozenset[str]]:
    """Code of one expression, and its free names."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is not a formula: {error}") from None
    checker = _Checker(text.strip())
    return compile(ast.fix_missing_locations(checker.visit(tree)), "<formula>", "eval"), frozenset(checker.free)


def _times(a: Any, b: Any) -> Any:
    if isinstance(a, list) or isinstance(b, list):
        raise TypeError("a product of lists: write it entry by entry")
    return a * b if a and b else 0


def _over(a: Any, b: Any) -> Any:
    mp = mp_context()
    return mp.convert(a) / b if b else mp.nan if mp.isnan(a) else mp.sign(a) * mp.inf


def _power(a: Any, b: Any) -> Any:
    mp = mp_context()
    a, b = mp.convert(a), mp.convert(b)
    if not b or mp.isnan(a) or mp.isnan(b):
        return a + b if b else 1
    if not a:
        return 0 if b > 0 else mp.inf
    if mp.isinf(b):
        return mp.exp(_times(b, mp.log(abs(a))))
    return mp.nan if a < 0 and not mp.isint(b) else a**b


def _real(word: str, x: Any) -> Any:
    """One of mpmath's functions on the real line; outside, nan."""
    mp = mp_context()
    return _function(word, mp.convert(x), mp.prec)


# Formulas repeat themselves: the sum below a softmax stands in each of its terms, and a slope moves one entry of many.
@functools.lru_cache(maxsize=1 << 13)
def _function(word: str, x: Any, prec: int) -> Any:  # noqa: ARG001
    mp = mp_context()
    # Of more than 2**65536, exp would need as many digits of log 2, and an exponent that fills the memory.
    if word in ("exp", "cosh") and x and mp.mag(x) > 65536:
        x = mp.sign(x) * mp.inf
    y = getattr(mp, word)(x)
    return y if isinstance(y, mp.mpf) else mp.nan


def _lgamma(x: Any) -> Any:
    mp = mp_context()
    # The real part of the complex log Γ is log |Γ|.
    return mp.inf if x <= 0 and mp.isint(x) else mp.re(mp.loggamma(x))


def _extreme(pick: Callable[..., Any], empty: str, *items: Any) -> Any:
    several = items[0] if len(items) == 1 else items
    return next((x for x in several if x != x), pick(several, default=mp_context().mpf(empty)))


_REAL = ("exp", "log", "sqrt", "tanh", "cosh", "sin", "cos", "acos", "atan", "erf", "floor")
FUNCTIONS: dict[str, Any] = {word: functools.partial(_real, word) for word in _REAL} | {
    "max": functools.partial(_extreme, max, "-inf"),
    "min": functools.partial(_extreme, min, "inf"),
    "lgamma": _lgamma,
    # A slope is taken as if what stands within were a constant; formula.py sees to it.
    "frozen": lambda x: x,
    "argmax": lambda items: max(range(len(items)), key=items.__getitem__),
    "zip": lambda *columns: list(zip(*columns, strict=True)),
    "enumerate": lambda items: list(enumerate(items)),
    **{word.__name__: word for word in (abs, sum, len, range, sorted)},
}
WORDS = frozenset(FUNCTIONS) | {"pi"}
_WORD = re.compile(r"[A-Za-z_]\w*")
FUNCTIONS |= {"__builtins__": {}, "_times": _times, "_over": _over, "_power": _power}


def needed(text: str, where: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the definitions, each a name and its text, that a formula or prose speaks of, or one that it needs."""
    words, kept = set(_WORD.findall(text)), list[tuple[str, str]]()
    for name, meaning in reversed(list(where)):
        if name in words:
            kept.append((name, meaning))
            words |= set(_WORD.findall(meaning))
    return kept[::-1]
