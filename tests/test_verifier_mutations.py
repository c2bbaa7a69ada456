"""The verifier's own rules, each switched off in turn: a check of a small battery must then come out wrong.

The battery is made of functions whose derivatives are known by heart, and shares no code with the catalogue. A rule is
switched off by other words in the source of the function that has it, or by another number for a constant.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

from losscli.verifier import jury, sharpen
from losscli.verifier.checks import Check
from losscli.verifier.ledger import Ledger
from losscli.verifier.numeric import differences, kinks, locate, pieces, probes, tied, verdict
from losscli.verifier.numeric.differences import slopes
from losscli.verifier.numeric.lines import Lines
from losscli.verifier.numeric.probes import probe
from losscli.verifier.numeric.verdict import VERDICTS, judge
from losscli.verifier.objective import Column
from losscli.verifier.own import along, answer, entries, examine, functions
from losscli.verifier.own.answer import Answer
from losscli.verifier.own.examine import Examination, Given
from losscli.verifier.own.functions import NUMPY, claimant_of
from losscli.verifier.own.target import Target
from losscli.verifier.witness import complex_step, witnesses

Array = np.ndarray
INF = np.inf

# The battery --------------------------------------------------------------------------------------------------------


def words(f: Any, x: Any, claim: Any, **more: Any) -> list[str]:
    """The verdict of every claim."""
    at = np.atleast_1d(np.asarray(x, float))
    found = slopes(f, at, **more)
    return [str(VERDICTS[code]) for code in judge(np.broadcast_to(np.asarray(claim, float), at.shape), found)]


def looked(f: Any, x: Any, claim: Any, *, column: dict[str, Any] | None = None, **more: Any) -> Check:
    """One column of claims through a ledger."""
    at = np.atleast_1d(np.asarray(x, float))
    made = Ledger()
    made.look("point", "x", np.asarray(claim, float), [Column((slice(None),), at, f, None, **(column or {}))], **more)
    return made.check("f", {}, 0, "")


def own(f: Any, *, shape: tuple[int, ...] = (4,), **inputs: Any) -> Answer:
    """A function that returns (value, gradient), as a user's is looked at."""
    target = Target(getattr(f, "__name__", "f"), f, sys.modules[__name__], Path(__file__))
    x = np.random.default_rng(1).normal(size=shape)
    examination = Examination()
    given = {"x": x, **inputs}
    examination.look(claimant_of(target, [NUMPY], given), Given("data", given))
    return examination.answer(target.label, "")


@dataclass(frozen=True)
class Says:
    """A witness that knows the slope, or has none to give."""

    truth: float | None
    name: str = "oracle"

    def slope(self, *_: Any) -> float | None:
        return self.truth

    def spare(self, _: Any) -> float:
        return 0.0


def sharpened(f: Any, x: Any, claim: Any, witness: Says) -> Check:
    """One column of claims through a ledger that takes vague slopes from a witness."""
    at, made = np.asarray(x, float), Ledger()
    seen = partial(sharpen.Sharpening(made.jury), witness, at.shape)
    column = Column((slice(None),), at, f, None)
    made.look("point", "x", np.broadcast_to(claim, at.shape), [column], witness=witness, seen=seen)
    return made.check("f", {}, 0, "")


def bars_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-3.0, 3.0, 20_000)
    assert set(words(np.exp, x, np.exp(x))) == {"pass"}
    assert set(words(lambda t: np.sin(5.0 * t), x, 5.0 * np.cos(5.0 * x))) == {"pass"}
    y = 10.0 ** rng.uniform(-6.0, 0.0, 20_000)
    assert "fail" not in words(lambda t: t * np.sqrt(t), y, 1.5 * np.sqrt(y), low=0.0)


def rounding_is_no_slope() -> None:
    x = np.linspace(-3.0, 3.0, 501)
    assert set(words(lambda t: np.sqrt(1.0 + t**2) - 1.0, x, x / np.sqrt(1.0 + x**2))) == {"pass"}


def rounding_hides_what_a_small_term_shows_all_digits_of() -> None:
    # All around 40 the logarithm is exactly 0, and its slope is not.
    assert words(lambda t: np.log(1.0 + np.exp(-t)), 40.0, -np.exp(-40.0)) == ["pass"]
    # The first term is known to 1e-16 near 30 and not at all near 40; the second one to 1e-24.
    x = np.linspace(30.0, 45.0, 601)
    assert set(words(lambda t: np.log(1.0 + np.exp(-t)) + 1e-9 * t, x, 1e-9 - np.exp(-x))) == {"pass"}


def round_points_hide_the_rounding() -> None:
    c = 17.0 / (1.0 + 3e-4 * np.random.default_rng(0).normal(size=4000))
    u = (17.0 / c - 1.0) * 50.0
    assert set(words(lambda t: np.tanh((t / c - 1.0) * 50.0), np.full(4000, 17.0), 50.0 / c / np.cosh(u) ** 2)) == {
        "pass"
    }


def two_quotients_show_no_convergence() -> None:
    # Those of a loss of angles: flat at large steps, flat at small ones, and steep in between.
    table, steps = kinks.Triangle(kinks.CENTRAL, 1), (23.29246, 23.29225, 23.29135, 23.29108, 23.291016, 23.291016)
    for level, quotient in enumerate(steps):
        table.add(np.array([quotient]), np.array([3.5e-5 * 2.0**level]), np.array([True]))
    assert abs(table.value[0] - 23.29096) <= 2.0 * table.total[0]


def agreement_by_chance_is_no_convergence() -> None:
    # Quotients of a loss with bends at all lengths: three members of the seventh level agree to 2e-9, 4e-8 off.
    gaps = (
        *(-9.807519759204439, -2.554440838364968, -0.6453672428253014, -0.16176847498729785, -0.04046832073814244),
        *(-0.010118582191495307, -0.002529769575772889, -0.0006324801580888106, -0.0001581203179341628),
    )
    table, none = kinks.Triangle(kinks.CENTRAL, 1), np.array([False])
    for level, gap in enumerate(gaps):
        table.add(np.array([gap]), np.array([4.53e-11 * 2.0**level]), np.array([True]), none)
    assert abs(table.value[0]) <= 2.0 * table.error[0]


def a_kink_within_rounding_has_its_sides() -> None:
    x = np.nextafter(-37.3, [-INF, INF])
    assert set(words(lambda t: np.maximum(t + 37.3, 0.0), x, 0.5, piece=lambda t: t > -37.3)) == {"kink_ok"}


def slow_powers_have_wide_bars() -> None:
    x = 10.0 ** np.linspace(-8.0, -6.0, 200)
    assert "fail" not in words(lambda t: 1.0 + np.abs(t) ** 2.25, x, 2.25 * x**1.25)


def a_tie_that_floats_are_too_fine_to_break_is_a_kink() -> None:
    # 1000 - t is 1000 for every t below 1e-13, and the larger of the two numbers that tie another one on either side.
    f, tie = (lambda t: np.maximum(np.abs(t - 1000.0), 1000.0)), (lambda t: np.sign(np.abs(t - 1000.0) - 1000.0))
    said = [words(f, 0.0, claim, piece=tie, noise_floor=1000.0 * kinks.UNIT) for claim in (-1.0, -0.5, 0.1)]
    assert said == [["kink_ok"], ["kink_ok"], ["kink_fail"]]


def a_kink_takes_what_lies_between() -> None:
    f = lambda t: np.abs(t) + 0.3 * t**2  # noqa: E731
    assert words(f, 0.0, -1.0) == words(f, 0.0, 0.25) == words(f, 0.0, 1.0) == ["kink_ok"]
    assert words(f, 0.0, 1.01) == words(f, 0.0, -1.01) == ["kink_fail"]


def a_declared_kink_nearby_is_not_stepped_over() -> None:
    x = 3e-9
    assert words(np.abs, x, 1.0, piece=np.sign) == ["pass"]
    assert words(np.abs, x, 0.5, piece=np.sign) == ["fail"]


def a_jump_has_no_slope() -> None:
    assert words(np.cbrt, [0.0, 1e-9], 1e6) == ["inconclusive", "inconclusive"]
    assert words(lambda t: t * np.log(np.abs(t) + 1e-300), 0.0, -690.0) == ["inconclusive"]
    assert words(lambda t: np.where(t > 0.0, 1.0, 0.0) + t, 0.0, 1.0) == ["inconclusive"]


def nobody_is_called_outside_the_domain() -> None:
    seen = []

    def f(t: Array) -> Array:
        seen.append(t.copy())
        return np.log(t) + np.log1p(-t)

    x = np.array([1e-9, 1e-3, 0.5, 1.0 - 1e-6])
    assert set(words(f, x, 1.0 / x - 1.0 / (1.0 - x), low=0.0, high=1.0)) == {"pass"}
    assert min(map(np.min, seen)) >= 0.0
    assert max(map(np.max, seen)) <= 1.0


def what_is_not_a_number_is_never_right() -> None:
    for claim in (np.nan, INF, -INF):
        assert words(np.sin, 0.3, claim) == ["fail"]
        assert words(np.abs, 0.0, claim) == ["kink_fail"]
        assert looked(np.sin, [0.3], [claim]).verdict == "fail"
    assert words(lambda t: np.log(t - 1.0), 0.5, 1.0) == words(lambda t: t * np.nan, 0.5, np.nan) == ["nonfinite"]


def a_blunt_bar_passes_nobody() -> None:
    # Beside 1e16 the next number is 2 away.
    assert words(lambda t: 1e16 + t, 0.5, 1.0) == words(lambda t: 1e16 + t, 0.5, 0.0) == ["inconclusive"]


def a_slope_of_zero_can_be_right() -> None:
    assert words(lambda t: (t - 0.3) ** 4 + 2.0, 0.3, 0.0) == ["pass"]


def two_mechanisms_must_agree_that_it_is_wrong() -> None:
    square, x = (lambda t: t**2), np.array([0.75])
    assert looked(square, x, [1.5], witness=Says(1.5)).verdict == "pass"
    assert looked(square, x, [2.0], witness=Says(1.5)).verdict == "fail"
    assert looked(square, x, [2.0], witness=Says(2.0)).verdict == "inconclusive"
    # Without slopes of its own a witness leaves it to the Taylor test, which sees a wrong slope as well.
    assert looked(square, x, [2.0], witness=Says(None)).verdict == "fail"


def a_formula_knows_what_differences_leave_vague() -> None:
    # Beside 1 a slope of 1e-10 is known to 1e-15, and an error of a part in a million is 1e-16.
    f, x, truth = (lambda t: 1.0 + 1e-10 * np.sin(t)), [0.3], 1e-10 * np.cos(0.3)
    for factor in (1.0 - 1e-6, 1.0 + 1e-6, 1.0 + 1e-5):
        assert sharpened(f, x, factor * truth, Says(truth)).verdict == "fail"
    for factor in (1.0, 1.0 + 1e-9):
        assert sharpened(f, x, factor * truth, Says(truth)).verdict == "pass"


def a_formula_counts_within_the_numeric_bars_alone() -> None:
    f, truth = (lambda t: 1.0 + 1e-10 * np.sin(t)), 1e-10 * np.cos(0.3)
    # The formula of another function: two mechanisms that disagree fail nobody.
    assert sharpened(f, [0.3], truth, Says(1.01 * truth)).verdict == "inconclusive"


def a_formula_is_asked_of_few_entries() -> None:
    truth = 1e-10 * np.cos(0.3)
    check = sharpened(lambda t: 1.0 + 1e-10 * np.sin(t), np.full(100, 0.3), truth, Says(truth))
    assert [method.evaluations for method in check.methods if method.name == "oracle"] == [sharpen.ASKED + 1]


def a_failure_that_nobody_confirms_is_none() -> None:
    square, column = (lambda t: t**2), {"noise": 0.0}
    # On a bound of the domain the Taylor test has no room, and without a witness there is no second mechanism.
    assert looked(square, [0.75], [2.0], column=column, low=0.75).verdict == "inconclusive"
    assert looked(square, [0.75], [2.0], column=column, low=0.75, witness=Says(1.5)).verdict == "fail"


def witnesses_that_see_nothing_are_silent() -> None:
    for witness in (witnesses.taylor, witnesses.path_integral):
        for v, agree in ((np.zeros(3), None), (np.full(3, 0.5), False)):
            assert witness(np.sum, np.zeros(3), lambda x: 5.0 + 0.0 * x, v=v).agree is agree


def a_witness_that_disagrees_forbids_a_pass() -> None:
    made = Ledger()
    made.look("point", "x", np.array([1.5]), [Column((slice(None),), np.array([0.75]), lambda t: t**2, None)])
    made.jury.hear(witnesses.Witnessed("other", False, 3, ""))
    assert made.check("f", {}, 0, "").verdict == "inconclusive"


def nothing_checked_is_no_pass() -> None:
    assert Ledger().check("f", {}, 0, "").verdict == "not_checked"
    assert own(lambda x: ((x**2).sum(), 2.0 * x), shape=(0,)).check.verdict == "not_checked"


def what_stays_open_forbids_a_pass() -> None:
    x = np.linspace(0.1, 0.9, 10)
    f = lambda t: np.where(t < 0.15, t**2, 1e16 + t)  # noqa: E731
    assert looked(f, x, np.where(x < 0.15, 2.0 * x, 1.0)).verdict == "inconclusive"


def a_value_that_is_no_number_forbids_a_pass() -> None:
    x = np.linspace(0.0, 1.0, 100)
    found = looked(lambda t: np.where(t < 0.005, np.nan, t**2), x[1:], 2.0 * x[1:])
    assert found.verdict == "pass"
    assert looked(lambda t: np.where(t < 0.005, np.nan, t**2), x, 2.0 * x).verdict == "inconclusive"


def a_failure_that_nobody_confirms_forbids_a_pass() -> None:
    x = np.linspace(1.0, 2.0, 100)
    x[0] = 0.0
    claim = 2.0 * x + 1.0
    claim[0] = -5.0
    # On a bound the Taylor test, which needs both sides, cannot tell.
    found = looked(lambda t: t * t + t, x, claim, low=0.0)
    assert (found.verdict, found.counts["inconclusive"]) == ("inconclusive", 1)


def an_input_that_is_never_settled_forbids_a_pass() -> None:
    made, x = Ledger(), np.linspace(1.0, 2.0, 100)
    made.look("point", "z", 2.0 * x, [Column((slice(None),), x, np.square, None)])
    made.look("point", "T", np.array([123.0]), [Column((slice(None),), np.array([3.0]), np.ceil, None)])
    assert made.check("f", {}, 0, "").verdict == "inconclusive"


def faults_are_planted_and_seen() -> None:
    x = np.linspace(0.1, 0.9, 7)
    check = looked(np.sin, x, np.cos(x), plant=True)
    assert (check.verdict, check.planted, check.caught) == ("pass", 12, 12)
    # An allowance that swallows small faults is a verifier that does not see them.
    blind = looked(np.sin, x, np.cos(x), plant=True, allowance=np.full(7, 1e-2))
    assert (blind.verdict, blind.caught < blind.planted) == ("inconclusive", True)


def rows_that_do_not_count_have_no_slope() -> None:
    made = Ledger()
    made.look("point", "x", np.array([1.5]), [Column((slice(None),), np.array([0.75]), lambda t: t**2, None)])
    made.stray("point", "x", np.array([[0.0, 1e-300]]))
    assert made.check("f", {}, 0, "").verdict == "fail"


def single_precision_is_allowed_its_rounding() -> None:
    def single(x: Array) -> tuple[Any, Any]:
        return (x**4).sum(), (4.0 * x**3).astype(np.float32)

    assert own(single).check.verdict == "pass"


def a_flat_function_is_not_taken_for_single_precision() -> None:
    answer = own(lambda x: ((1.0 + np.exp(-x)).sum(), -np.exp(-x)), x=np.array([22.0]))
    assert (answer.check.verdict, "single" in " ".join(answer.notes)) == ("pass", False)


def rows_that_need_each_other_are_not_moved_together() -> None:
    def mixed(x: Array) -> tuple[Any, Any]:
        return x * x.sum(), x.sum() + np.full_like(x, x.sum())

    assert own(mixed).check.verdict == "pass"


def a_function_may_not_write_to_its_input() -> None:
    def spoils(x: Array) -> tuple[Any, Any]:
        value, slope = (x**2).sum(), 2.0 * x
        x *= 2.0
        return value, slope

    assert own(spoils).check.verdict == "fail"


def random_numbers_forbid_a_pass() -> None:
    rng = np.random.default_rng(0)
    assert own(lambda x: ((x**2).sum() + 1e-14 * rng.normal(), 2.0 * x)).check.verdict == "inconclusive"


def one_wrong_point_is_enough() -> None:
    def hole(x: Array) -> tuple[Any, Any]:
        return np.sin(x).sum(), np.where(x == 0.25, 0.0, np.cos(x))

    assert own(hole, x=np.array([0.5, 0.25])).check.verdict == "fail"


def an_integral_across_a_kink_vouches_for_no_factor() -> None:
    # From -1/16 to 1/16 the absolute value gains nothing, and neither does any multiple of its slope.
    assert own(lambda x: (np.abs(x).sum(), 1.0001 * np.sign(x)), x=np.array([-0.0625])).check.verdict == "fail"
    # Nor do shorter ways where they are lost in noise.
    claimant = functions.Claimant("f", NUMPY.name, lambda many: [np.abs(one["x"]).sum() for one in many], lambda _: {})
    given = entries.Entries(claimant, {"x": np.array([-0.0625])}, "x")
    claims = replace(claimant, claims=lambda inputs: {"x": 1.0001 * np.sign(inputs["x"])})
    vouched = along.Integral(replace(given, claimant=claims), np.array([-1.0001]), 2e-7, np.zeros(1))
    assert vouched.slope((0,), -1.0) is None


def a_gradient_has_the_shape_of_its_input() -> None:
    assert own(lambda x: ((x**2).sum(), np.append(2.0 * x, 0.0))).check.verdict == "fail"


SIZE = 48
POINT = np.random.default_rng(3).normal(size=SIZE)


def terms(x: Array) -> Array:
    return np.log(np.cosh(x))


def certificates_hold() -> None:
    # Errors of alternating sign cancel along directions that are all of one.
    error = 1e-3 * (-1.0) ** np.arange(SIZE)
    made = [probe(terms, POINT, np.tanh(POINT) + error, seed=seed, count=24, confidence=0.9) for seed in range(6)]
    assert all(one.verdict == "fail" for one in made)
    right = [probe(terms, POINT, np.tanh(POINT), seed=seed, count=24) for seed in range(2)]
    assert all(one.verdict == "pass" for one in right)
    # Half of 24 probes tell by how much: nine in ten of such bounds hold, and no fewer than all of these six.
    assert all(one.norm_bound >= np.linalg.norm(error) for one in made)


def many_kinks_close_together_are_no_error() -> None:
    for seed in range(3):
        x = 1e-4 * np.random.default_rng(seed).normal(size=5000)
        claim = np.sign(x) / x.size
        assert probe(lambda z: float(np.abs(z).mean()), x, claim, seed=seed).verdict != "fail"


def what_is_located_is_wrong() -> None:
    claim = np.tanh(POINT)
    claim[5] += 0.1
    search = locate._Search(Lines(terms, POINT), claim, np.random.default_rng(0), 10_000)
    assert [hit.index for hit in search.confirmed(np.arange(SIZE))] == [(5,)]


def a_refused_certificate_is_a_failure() -> None:
    made = Ledger()
    made.look("point", "x", np.array([1.5]), [Column((slice(None),), np.array([0.75]), lambda t: t**2, None)])
    made.certify("data", "x", POINT, probe(terms, POINT, 2.0 * np.tanh(POINT), seed=0), None)
    assert made.check("f", {}, 0, "").verdict == "fail"


def complex_numbers_are_not_trusted() -> None:
    # NumPy's abs is not analytic: an imaginary step says |x|, and 2|x| is right.
    said = complex_step.complex_step(lambda x: (np.abs(x) * x).sum(), POINT, lambda x: 2.0 * np.abs(x))
    assert said.agree is None


def tied_claims_are_a_subgradient_together() -> None:
    # The largest of each row, tied: claims must add up to 1; of |x| - |y| at 0 they may be any signs.
    level = np.array([[1.0, 1.0, 1.0], [0.5, -0.25, 2.0], [3.0, 3.0, 3.0], [-1.0, 0.75, 0.25]])

    def shared(x: Array) -> tuple[Array, Array]:
        on = x == x.max(axis=1, keepdims=True)
        return x.max(axis=1), on / on.sum(axis=1, keepdims=True)

    def every(x: Array) -> tuple[Array, Array]:
        return x.max(axis=1), 1.0 * (x == x.max(axis=1, keepdims=True))

    def apart(x: Array) -> tuple[float, Array]:
        up, down = np.where(x < 0.0, -1.0, 1.0), np.where(x <= 0.0, 1.0, -1.0)
        return float(np.abs(x[:, 0]).sum() - np.abs(x[:, 1:]).sum()), np.stack([up[:, 0], *down.T[1:]], axis=1)

    def bent(x: Array) -> tuple[float, Array]:
        # Along both at 0 the slopes are -1 and 1, and where the second is below 0 and the first above they add up to 5.
        d, up, down = x[:, 0] - x[:, 1], np.where(x[:, 0] < 0.0, -1.0, 1.0), np.where(x[:, 1] <= 0.0, 1.0, -1.0)
        across = np.where(d < 0.0, -0.5, 0.5)
        value = 3.0 * np.abs(x[:, 0]) - 2.0 * np.abs(x[:, 1]) + 0.5 * np.abs(d)
        return float(value.sum()), np.stack([3.0 * up + across, 2.0 * down - across], axis=1)

    assert own(shared, x=level).check.verdict == "pass"
    assert own(bent, x=np.where(level == level[:, :1], 0.0, level)[:, :2]).check.verdict == "pass"
    assert own(every, x=level).check.verdict == "fail"
    assert own(apart, x=np.where(level == level[:, :1], 0.0, level)).check.verdict == "pass"


BATTERY = {
    name: check
    for name, check in list(globals().items())
    if isinstance(check, FunctionType)
    and check.__module__ == __name__
    and not inspect.signature(check).parameters
    and check.__annotations__ == {"return": "None"}
}


# Its mutations ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A rule of the verifier: other words in a function's source switch it off, or another value of a constant."""

    where: Any
    old: str
    new: Any
    red: Callable[[], None]

    def switch_off(self, patch: pytest.MonkeyPatch) -> None:
        if isinstance(self.where, ModuleType):
            assert hasattr(self.where, self.old)
            patch.setattr(self.where, self.old, self.new)
            return
        function = inspect.unwrap(getattr(self.where, "fget", None) or getattr(self.where, "func", None) or self.where)
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.old) == 1, f"{function.__qualname__} has no longer: {self.old}"
        made: dict[str, Any] = {}
        lines = [line for line in source.replace(self.old, self.new).splitlines() if not line.startswith("@")]
        exec(
            compile("from __future__ import annotations\n" + "\n".join(lines), "<mutant>", "exec"),
            function.__globals__,
            made,
        )
        patch.setattr(function, "__code__", made[function.__name__].__code__)


RULES = {
    "kinks are looked for": Rule(kinks.Central.suspected, "> 2.0 *", "> np.inf *", a_kink_takes_what_lies_between),
    "declared kinks bound the steps": Rule(
        differences._problem,
        "declared_reach(piece,",
        "declared_reach(None,",
        a_declared_kink_nearby_is_not_stepped_over,
    ),
    "a claim outside the sides of a kink fails": Rule(
        verdict._kinked, "(claim < low) | (claim > high)", "claim != claim", a_kink_takes_what_lies_between
    ),
    "noise is measured and has a floor": Rule(
        differences._problem,
        "np.maximum(_noise(f, x, f0, near, reach, (left, right), unit), noise_floor)",
        "np.zeros_like(x)",
        rounding_is_no_slope,
    ),
    "no slope is known better than half a unit in the last place of 1": Rule(
        kinks.March._blur,
        "factor * np.maximum(self.noise, 0.5 * self.unit * top), hidden",
        "factor * np.maximum(self.noise, 0.5 * self.unit * top), 0.0",
        rounding_hides_what_a_small_term_shows_all_digits_of,
    ),
    "a value is as noisy as its point as far as it follows it": Rule(
        differences._noise,
        "np.maximum(0.5 * unit * np.abs(f0), follows)",
        "0.5 * unit * np.abs(f0)",
        round_points_hide_the_rounding,
    ),
    "on a kink a value is as noisy as its point": Rule(
        differences._noise, "np.where(reach.on, floor, least)", "least", a_kink_within_rounding_has_its_sides
    ),
    "one extrapolation alone is not believed": Rule(
        kinks.Triangle.add,
        "young = np.isnan(self.row[1])",
        "young = np.ones(d.shape, bool)",
        two_quotients_show_no_convergence,
    ),
    "what smaller steps change by is an error": Rule(
        kinks.Triangle.error,
        "np.maximum(self.total, self.strayed)",
        "self.total",
        agreement_by_chance_is_no_convergence,
    ),
    "what x is compared with is rounded": Rule(
        pieces._on,
        "np.maximum(ulp, blur)",
        "ulp",
        a_tie_that_floats_are_too_fine_to_break_is_a_kink,
    ),
    "what is left of truncation widens the bars": Rule(differences, "SAFETY", 0.0, slow_powers_have_wide_bars),
    "rounding widens the bars": Rule(differences._found, "+ m.table.blur", "", bars_hold_the_truth),
    "slow convergence widens the bars": Rule(differences._safety, "4.0 * SAFETY", "SAFETY", slow_powers_have_wide_bars),
    "quotients that grow are no slope": Rule(
        differences._judged,
        "(found.grown, Reason.DISCONTINUITY),\n        (found.turned, Reason.METHODS_DISAGREE),",
        "",
        a_jump_has_no_slope,
    ),
    "bounds of the domain bound the steps": Rule(
        differences.slopes, "for b in (low, high))", "for b in (-np.inf, np.inf))", nobody_is_called_outside_the_domain
    ),
    "NaN claims fail": Rule(
        verdict.judge,
        "lost = ~np.isfinite(claim)",
        "lost = np.zeros(claim.shape, bool)",
        what_is_not_a_number_is_never_right,
    ),
    "NaN values pass nobody": Rule(
        verdict.judge, "codes[silent] = NONFINITE", "codes[silent] = PASS", what_is_not_a_number_is_never_right
    ),
    "a blunt bar passes nobody": Rule(verdict, "BLUNT", INF, a_blunt_bar_passes_nobody),
    "a fine bar is enough for a slope of zero": Rule(verdict, "RESOLUTION", 0.0, a_slope_of_zero_can_be_right),
    "vague slopes are taken from a formula": Rule(
        sharpen._vague, "s.bar > SHARP", "s.bar > np.inf", a_formula_knows_what_differences_leave_vague
    ),
    "the bars of a formula are its own": Rule(
        sharpen.Sharpening.__call__,
        "max(SHARP * abs(known), witness.spare(index[at]))",
        "SHARP * abs(known) * 1e-6",
        a_formula_knows_what_differences_leave_vague,
    ),
    "a formula may not contradict differences": Rule(
        sharpen.Sharpening.__call__,
        "if gap <= bar[at] and own < bar[at]:",
        "if own < bar[at]:",
        a_formula_counts_within_the_numeric_bars_alone,
    ),
    "a formula has no time for all": Rule(
        sharpen.Sharpening.__call__, "[: self.left]", "", a_formula_is_asked_of_few_entries
    ),
    "a witness can acquit": Rule(
        jury.Jury._verdict, "if acquits:", "if False:", two_mechanisms_must_agree_that_it_is_wrong
    ),
    "a witness can convict": Rule(
        jury.Jury._verdict, "self.confirmed += 1", "pass", two_mechanisms_must_agree_that_it_is_wrong
    ),
    "failures that nobody confirms are taken back": Rule(
        jury.Jury.try_failures, "if not self.confirmed:", "if False:", a_failure_that_nobody_confirms_is_none
    ),
    "a Taylor test that moves nothing is silent": Rule(
        witnesses.taylor, "line.settled(said, middle)", "said", witnesses_that_see_nothing_are_silent
    ),
    "an integral over nothing is silent": Rule(
        witnesses.path_integral, "line.settled(said, values[0])", "said", witnesses_that_see_nothing_are_silent
    ),
    "a witness that disagrees forbids a pass": Rule(
        Ledger._besides,
        "all(method.agree for method in self.jury.methods)",
        "True",
        a_witness_that_disagrees_forbids_a_pass,
    ),
    "nothing checked is no pass": Rule(
        verdict.overall, 'return "not_checked"', 'return "pass"', nothing_checked_is_no_pass
    ),
    "what is no number is not right": Rule(
        verdict.overall, "counts.get(Verdict.NONFINITE, 0) > 0", "False", a_value_that_is_no_number_forbids_a_pass
    ),
    "what nobody confirms is not right": Rule(
        Ledger._besides, "self.jury.unconfirmed or ", "", a_failure_that_nobody_confirms_forbids_a_pass
    ),
    "every input is settled": Rule(
        Ledger._besides, "self.by_input.values()", "()", an_input_that_is_never_settled_forbids_a_pass
    ),
    "few may stay open": Rule(verdict.overall, "unsettled * checked", "checked", what_stays_open_forbids_a_pass),
    "faults are planted": Rule(Ledger.look, "if plant:", "if False:", faults_are_planted_and_seen),
    "a fault that is missed forbids a pass": Rule(
        Ledger.check,
        '"inconclusive" if missed and besides == "pass" else besides',
        "besides",
        faults_are_planted_and_seen,
    ),
    "ignored rows have no slope": Rule(
        Ledger.stray, "dropped != 0.0", "dropped != dropped", rows_that_do_not_count_have_no_slope
    ),
    "single precision has an allowance": Rule(
        examine.Examination._entries,
        "allowance(entries, claim, bits)",
        "np.zeros(claim.shape)",
        single_precision_is_allowed_its_rounding,
    ),
    "the format is told by what would show in double": Rule(
        entries._notices, "> np.spacing(np.abs(base))", "> 0.0", a_flat_function_is_not_taken_for_single_precision
    ),
    "separability is found out": Rule(
        entries.Entries.__dict__["separable"],
        "return all(",
        "return True or all(",
        rows_that_need_each_other_are_not_moved_together,
    ),
    "writing to an input is seen": Rule(
        functions.Call.changed,
        "if not np.array_equal(",
        "if False and not np.array_equal(",
        a_function_may_not_write_to_its_input,
    ),
    "random numbers are seen": Rule(
        examine.Examination._unrest,
        "np.array_equal(value, values[0], equal_nan=True)",
        "True",
        random_numbers_forbid_a_pass,
    ),
    "doubts forbid a pass": Rule(
        answer.Remarks.answer, 'elif self.doubts and verdict == "pass"', "elif False", random_numbers_forbid_a_pass
    ),
    "an integral does not see a point": Rule(
        along.Integral.slope, "self._alone(index) or", "", one_wrong_point_is_enough
    ),
    "an integral tells one slope from the other": Rule(
        along.Integral.slope,
        "or self._said(index, other - claim, whole) is not False",
        "",
        an_integral_across_a_kink_vouches_for_no_factor,
    ),
    "shapes are compared": Rule(
        examine.Examination.claim, "if claim.shape != shape:", "if False:", a_gradient_has_the_shape_of_its_input
    ),
    "directions have both signs": Rule(
        probes._directions,
        "rng.standard_normal(lines.x.shape)",
        "np.abs(rng.standard_normal(lines.x.shape))",
        certificates_hold,
    ),
    "bounds have a confidence": Rule(probes, "chi_squared", lambda *_: 1e9, certificates_hold),
    "a second look is a finer one": Rule(probes, "FINE", 1.0, many_kinks_close_together_are_no_error),
    "what is located is confirmed": Rule(
        locate._Search.confirmed, "not abs(claimed - s.value) <= s.bar", "True", what_is_located_is_wrong
    ),
    "a refused certificate fails": Rule(
        Ledger._besides, '"fail" if on_the_whole == "fail" else ', "", a_refused_certificate_is_a_failure
    ),
    "tied claims are looked at together": Rule(
        tied.Tied.judged,
        "wrong = outside & np.isfinite(claimed)",
        "wrong = outside & False",
        tied_claims_are_a_subgradient_together,
    ),
    "gradients nearby tell what a subgradient may be": Rule(
        tied.Tied.judged,
        "wrong &= (claimed < least - near) | (claimed > most + near)",
        "pass",
        tied_claims_are_a_subgradient_together,
    ),
    "complex numbers are guarded": Rule(
        complex_step.complex_step,
        "not (np.abs(stepped - s.value) <= s.bar)[known].all()",
        "False",
        complex_numbers_are_not_trusted,
    ),
}


@pytest.mark.parametrize("name", BATTERY)
def test_with_all_rules_the_battery_is_green(name: str) -> None:
    BATTERY[name]()


@pytest.mark.parametrize("name", RULES)
def test_without_a_rule_a_check_is_red(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    RULES[name].switch_off(monkeypatch)
    # What no longer fits together may well raise an error of its own.
    with pytest.raises((AssertionError, ValueError)):
        RULES[name].red()


def test_every_check_of_the_battery_is_there_for_a_rule() -> None:
    assert {rule.red.__name__ for rule in RULES.values()} == set(BATTERY)
