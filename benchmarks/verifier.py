"""Gradient checkers side by side, on entries of the gradients of the catalogue, right and with planted faults.

Asked about are smooth entries: those with a slope above 1e-12, no kink within 0.01 of them, and no bound of the domain.
Nobody is told where kinks are; the first checker also asks the printed formula of what its slopes leave vague, as a
gradcheck of a loss does of some entries, and all others know values alone. A planted fault multiplies one slope; missed
is one that does not make a check fail, whether it passes or is left open. The truth is the library's own slope, which
is within four units in the last place of the printed formula, and that formula at 50 digits where it seems to lie
outside of an error bar.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks import diagnosis, timing
from benchmarks.checkers import Array, Checker, Problem, checkers, quiet
from losscli.errors import LosscliError
from losscli.evaluate import plan_of
from losscli.loss import Loss, catalogue
from losscli.verifier.holding import claimed
from losscli.verifier.jury import Jury
from losscli.verifier.ledger import Found
from losscli.verifier.numeric.differences import Slopes
from losscli.verifier.numeric.pieces import declared_reach
from losscli.verifier.objective import Column, Objective
from losscli.verifier.oracle import Oracle
from losscli.verifier.points import cases
from losscli.verifier.sharpen import Sharpening
from losscli.verifier.witness.formula import Formula

KINDS = ("random", "saturation", "parameters")
FAULTS = {"1e-6": 1.0 + 1e-6, "1e-4": 1.0 + 1e-4, "1e-2": 1.01, "sign": -1.0}
RIGHT = {"right": 1.0}
# What is wanted of the first checker: the largest shares, in hundredths, that it may miss.
WANTED = {"1e-6": 1.0, "1e-4": 0.5, "1e-2": 0.5, "sign": 0.5}
_CLEAR, _LEAST = 0.01, 1e-12
_COLUMNS = 4
_EXACT = 4.0 * 2.0**-52


@dataclass(frozen=True)
class Place:
    """Where the entries of a problem come from."""

    objective: Objective
    column: Column


def problems(loss: Loss, most: int, seed: int) -> Iterator[tuple[Problem, Place]]:
    """At most ``most`` smooth entries of a loss, out of columns drawn at random."""
    bound, link = loss.bind(), loss.reads.default_link
    found = [
        (case.kind, objective, column)
        for case in cases(bound, link, seed, KINDS)
        for objective in _objectives(loss, case)
        for column in objective.columns(_COLUMNS)
    ]
    rng = np.random.default_rng(seed)
    for at in rng.permutation(len(found)):
        kind, objective, column = found[at]
        problem = _problem(kind, objective, column)
        rows = rng.permutation(problem.rows)[:most]
        if len(rows):
            yield replace(problem, rows=np.sort(rows)), Place(objective, column)
        most -= len(rows)
        if most <= 0:
            return


def _objectives(loss: Loss, case: Any) -> Iterator[Objective]:
    with contextlib.suppress(LosscliError):
        made = plan_of(case.bound or loss.bind(), case.data, case.how, case.sample_weight, case.mask)
        for name in loss.reads.differentiable:
            yield Objective.of(case.bound or loss.bind(), made, name)


def _problem(kind: str, objective: Objective, column: Column) -> Problem:
    domain = objective.plan.signature.domain(objective.name, objective.plan.link)
    x, truth = np.asarray(column.x, np.float64), np.asarray(claimed(objective)[0][column.at], np.float64)
    low, high = (np.broadcast_to(bound, x.shape) for bound in (domain.low, domain.high))
    reach = declared_reach(column.piece, x, np.ones_like(x), low, high)
    room = np.minimum(np.minimum(reach.left, reach.right), np.minimum(x - domain.low, domain.high - x))
    with np.errstate(all="ignore"):
        smooth = np.isfinite(truth) & (np.abs(truth) > _LEAST) & (room >= _CLEAR) & ~reach.on
        smooth &= np.isfinite(column.f(x))
    slope = objective.curved(column).f
    loss, rows, sharpened = objective.bound.loss.name, np.flatnonzero(smooth), partial(_sharpened, objective, column)
    return Problem(loss, kind, column.f, slope, x, truth, rows, domain.low, domain.high, sharpened)


def _sharpened(objective: Objective, column: Column, slopes: Slopes, rows: Array) -> Slopes:
    witness, asked = Formula.of(objective), np.isin(np.arange(slopes.bar.size), rows)
    if witness is None:
        return slopes
    found = Found(column, replace(slopes, bar=np.where(asked, slopes.bar, np.inf)))
    return Sharpening(Jury(), left=len(rows))(witness, objective.x.shape, found).slopes


@dataclass
class Score:
    """What a checker said, counted by claim and word."""

    right: Counter[str] = field(default_factory=Counter)
    single: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, Counter[str]] = field(default_factory=lambda: {word: Counter() for word in FAULTS})

    @property
    def row(self) -> list[str]:
        """False alarms, what is left open, and what is missed."""
        told = [_share(count["fail"], count) for count in (self.right, self.single)]
        left = [_share(count["open"], count) for count in (self.right, self.single)]
        return [
            f"{self.right.total():,}",
            *told,
            *left,
            *(_share(self.missed(word), self.wrong[word]) for word in FAULTS),
        ]

    def missed(self, word: str) -> int:
        """How many faults of a kind did not fail."""
        return self.wrong[word].total() - self.wrong[word]["fail"]


def _share(count: int, of: Counter[str]) -> str:
    share = 100.0 * count / max(1, of.total())
    return "0" if not count else f"{share:.{0 if share >= 10.0 else 1 if share >= 1.0 else 2}f} %"


@dataclass
class Bars:
    """How many error bars there are, and how many of them do not hold the truth."""

    known: int = 0
    outside: int = 0

    def look(self, problem: Problem, place: Place) -> None:
        """Count the bars of the entries asked about."""
        s = problem.numeric
        for row in problem.rows[np.isfinite(s.bar[problem.rows])]:
            self.known += 1
            gap = abs(problem.truth[row] - s.value[row])
            if gap > s.bar[row] and gap > s.bar[row] + _EXACT * abs(problem.truth[row]):
                truth = _formula(place, int(row))
                outside = not abs(truth - s.value[row]) <= s.bar[row]
                self.outside += outside
                print(
                    f"{'outside' if outside else 'the kernel is'}: {problem.loss} {problem.kind} {row}", file=sys.stderr
                )


def _formula(place: Place, row: int) -> float:
    """The slope of the printed formula at 50 digits; NaN where it does not say."""
    objective = place.objective
    at = place.column.index(objective.x.shape)[row]
    with contextlib.suppress(ArithmeticError):
        return float(Oracle(objective.bound, objective.plan, objective.table).slope(objective.name, at, digits=50))
    return float("nan")


def measure(found: Sequence[Checker], most: int, seed: int) -> tuple[dict[str, Score], dict[bool, Bars], int]:
    """The scores of all checkers, the bars in double and in single precision, and how many losses were looked at."""
    scores = {checker.name: Score() for checker in found}
    bars = {False: Bars(), True: Bars()}
    seen, losses = 0, 0
    for loss in catalogue().values():
        if loss.costly:
            continue
        before = seen
        for problem, place in problems(loss, most, seed):
            # Which entries a checker that is slow gets goes on from one column to the next.
            order = seen + np.arange(len(problem.rows))
            seen += len(problem.rows)
            single = replace(problem, single=True)
            for checker in found:
                rows = problem.rows[order % checker.every == 0]
                if len(rows):
                    _ask(scores[checker.name], checker, problem, single, rows)
            bars[False].look(problem, place)
            bars[True].look(single, place)
        losses += seen > before
    return scores, bars, losses


def _ask(score: Score, checker: Checker, problem: Problem, single: Problem, rows: Array) -> None:
    for word, said in quiet(checker, problem, rows, {**RIGHT, **FAULTS}).items():
        (score.right if word in RIGHT else score.wrong[word]).update(said)
    score.single.update(quiet(checker, single, rows, RIGHT)["right"])


def _bars(bars: dict[bool, Bars]) -> str:
    said = [f"{one.outside} of {one.known:,} in {'single' if single else 'double'}" for single, one in bars.items()]
    return f"Error bars of losscli that do not hold the truth: {', '.join(said)} precision."


def _good(score: Score, bars: dict[bool, Bars]) -> bool:
    right = not score.right["fail"] and not score.single["fail"]
    found = all(100.0 * score.missed(word) <= most * score.wrong[word].total() for word, most in WANTED.items())
    return right and found and not any(one.outside for one in bars.values())


def main(argv: list[str]) -> int:
    """Print the table; 1 where losscli falls short of what is wanted."""
    parser = timing.arguments("verifier", __doc__)
    parser.add_argument("--write", action="store_true", help="replace the table in README.md")
    parser.add_argument("--seed", type=int, default=20260102)
    options = parser.parse_args(argv)
    found = checkers(4)
    scores, bars, losses = measure(found, 8 if options.quick else 140, options.seed)
    heads = ["checker", "entries", "false alarms", "in single", "left open", "in single"]
    heads += [f"missed: {word}" for word in FAULTS]
    table = timing.markdown(heads, [[name, *score.row] for name, score in scores.items()])
    about = f"{losses} losses. {_bars(bars)}"
    machine = timing.machine("numpy", "torch", "jax", "scipy", "numdifftools")
    print(f"{machine}\n\n{table}\n\n{about}\n")
    # Faults with names, on draws that no test has.
    named = diagnosis.main(
        ["--draws", "1", "--formats", "float64", "--seed", "5000", "--every", "8" if options.quick else "1"]
    )
    if options.write:
        timing.write("verifier", f"{machine}\n\n{table}\n\n{about}", after="accuracy")
    return int(named or not _good(scores[found[0].name], bars))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
