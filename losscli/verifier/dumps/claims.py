"""Whether claimed numbers, dumped by any program, are the value and the slopes of a loss over the data they came from.

The exact loss is evaluated on the rounded inputs as they were dumped, so that only the claim's own error counts, and
it is given the allowance that its precision needs (allowance.py). The value comes first, then the gradient, and the
Hessian once the gradient has passed. A difference is a failure where numeric slopes agree that it is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from losscli.blocks import Outputs, Work
from losscli.engines import Engine, serial
from losscli.errors import UsageError
from losscli.evaluate import as_source, check_wants, evaluate, moved_by_labels, plan_of
from losscli.loss import Bound, Pooled
from losscli.plan import How, Plan
from losscli.precision import FORMATS, Precision, Printed
from losscli.results import Reduction, Wants
from losscli.sums import Part
from losscli.verifier.diagnosis.diagnose import Explanation
from losscli.verifier.diagnosis.explain import claim_explained
from losscli.verifier.dumps.audit import Audit, Beside, Suspect, Tally, judged
from losscli.verifier.dumps.formats import of_files
from losscli.verifier.dumps.opinion import Opinion, opinion_of
from losscli.verifier.dumps.printed import formatted
from losscli.verifier.dumps.shapes import shaped
from losscli.verifier.dumps.together import Together, common_roundings
from losscli.verifier.dumps.valued import Valued, judge_value
from losscli.verifier.mutants import MUTANTS
from losscli.verifier.numeric.verdict import FAIL, INCONCLUSIVE, KINK_FAIL, NONFINITE, PASS, VERDICTS, Overall, overall

# Whoever does not see one of these sees nothing.
_BOLD = ("sign", "zero", "doubled", "halved")
_WORST = 5
# The notice, twice a bar in its slope, at which a claim of zero is within the bar.
_ALL = 2.0


@dataclass(frozen=True)
class Claims:
    """What is claimed: the value, or each row's, and files of the gradient and of the diagonal Hessian.

    ``digit`` is half a unit of the value's last digit, where it was printed; ``precision`` the format that the numbers
    were computed in, where their files do not tell.
    """

    value: Any = None
    grad: Any = None
    hess: Any = None
    digit: float = 0.0
    precision: str = ""


@dataclass(frozen=True)
class Judged:
    """The answer about one file of slopes.

    ``printed`` is how short the file's decimals are; ``unseen`` names the planted faults, of ``planted`` ones, that are
    below the resolution; ``withdrawn`` counts differences from the exact slope that numeric slopes did not confirm, or
    were not asked about after that; ``together`` is what all entries say as one.
    """

    kind: str
    wrt: str
    verdict: Overall
    counts: Mapping[str, int]
    tally: Tally
    worst: tuple[Suspect, ...]
    opinion: Opinion
    precision: Precision
    printed: Printed | None
    planted: int
    unseen: tuple[str, ...]
    withdrawn: int
    together: Together

    @property
    def wrong(self) -> int:
        """How many entries are wrong by themselves."""
        return self.counts.get("fail", 0) + self.counts.get("kink_fail", 0)

    @property
    def caught(self) -> int:
        """How many planted faults were judged to be failures."""
        return self.planted - len(self.unseen)

    @property
    def blind(self) -> tuple[str, ...]:
        """The planted faults in every entry at once that are below the resolution: then nothing has been checked."""
        blind = tuple(name for name in self.unseen if name in _BOLD)
        # Where all slopes are rounded to zero none is planted; no entry would have shown it.
        hidden = self.tally.largest > 0.0 and self.tally.notice >= _ALL
        return tuple(dict.fromkeys([*blind, "zero"])) if hidden else blind

    @property
    def resolution(self) -> tuple[float, float]:
        """The smallest error that would have been noticed in every entry, and that relative to the largest slope."""
        absolute, largest = 2.0 * self.tally.bar, self.tally.largest
        return absolute, absolute / largest if largest > 0.0 else 0.0


@dataclass(frozen=True)
class Verified:
    """The answer of a verify. ``plan`` has the data, for whoever looks for an explanation of a failure."""

    bound: Bound
    plan: Plan
    reduction: Reduction
    scale: float
    verdict: Overall
    value: Valued | None
    slopes: tuple[Judged, ...]
    seed: int
    reproduce: str
    diagnosis: tuple[Explanation, ...] = ()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many entries got each verdict; the value counts as one for each number of it.

        A file whose entries are wrong together, and none of them alone, counts as one failure more.
        """
        total = Counter({str(word): 0 for word in VERDICTS})
        for part in self.slopes:
            total.update(part.counts)
            total["fail"] += part.verdict == "fail" and not part.wrong
        if self.value is not None:
            total.update(self.value.counts)
        return dict(total)

    @property
    def checked(self) -> int:
        """How many numbers were looked at."""
        return sum(self.counts.values())


def verify(
    bound: Bound,
    data: Mapping[str, Any],
    claims: Claims,
    *,
    wrt: str = "",
    how: How | None = None,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: Reduction | None = None,
    engine: Engine = serial,
    seed: int = 0,
    command: str = "",
) -> Verified:
    """Judge a claimed value, gradient and Hessian of the reduced loss; arrays or Sources, in the shape of the input.

    Raises UsageError where nothing is claimed, and DataError where a claim has not the shape of what it is about.
    """
    if claims.value is None and claims.grad is None and claims.hess is None:
        raise UsageError("claim-missing", "nothing is claimed")
    made = plan_of(bound, data, how, sample_weight, mask)
    reduction = reduction or bound.loss.reads.reduction
    name = wrt or bound.loss.reads.differentiable[0]
    check_wants(bound, made, Wants(grad=name))
    columns = {
        kind: replace(made.columns[name], source=shaped(made, name, as_source(kind, claim), kind))
        for kind, claim in (("grad", claims.grad), ("hess", claims.hess))
        if claim is not None
    }
    result = evaluate(bound, made, reduction=reduction, engine=engine, empty="nan")
    totals = _totals(result.bound, made, engine)
    # A pooled loss has one value, whatever the reduction.
    mean = reduction == "mean" and result.weight > 0 and not totals
    scale = 1.0 / result.weight if mean else 1.0
    moves = name == bound.loss.reads.labels and moved_by_labels(bound, made, reduction)
    moved = float(result.value) if moves and mean else 0.0
    audits = [
        Audit(result.bound, made, name, columns[kind], FORMATS["float64"], scale, totals, order, moved)
        for order, kind in ((1, "grad"), (2, "hess"))
        if kind in columns
    ]
    parts, diagnosis = _in_turn(audits, claims.precision, reduction, engine)
    value = None
    if claims.value is not None:
        precision = _coarsest(claims, made, [part.precision for part in parts])
        value = judge_value(
            result, claims.value, precision, scale=scale, totals=totals, engine=engine, digit=claims.digit
        )
        value = replace(value, verdict=_unless_empty(value.verdict, result.kept))
    parts = [replace(part, verdict=_unless_empty(part.verdict, result.kept)) for part in parts]
    verdicts = [part.verdict for part in parts] + ([value.verdict] if value is not None else [])
    return Verified(bound, made, reduction, scale, _together(verdicts), value, tuple(parts), seed, command, diagnosis)


def _in_turn(
    audits: Iterable[Audit], precision: str, reduction: Reduction, engine: Engine
) -> tuple[list[Judged], tuple[Explanation, ...]]:
    """What is said of each file of slopes up to the first that fails, and what explains that one."""
    parts: list[Judged] = []
    for audit in audits:
        if audit.order == 2:
            _check_hessian(audit.bound, audit.plan, audit.name)
        one = formatted(audit, precision)
        part = _judged(one, engine, common_roundings(audit.plan, reduction))
        parts.append(part)
        if part.verdict == "fail":
            return parts, claim_explained(one, part.tally, reduction) if part.wrong else part.together.explanations
    return parts, ()


def _unless_empty(verdict: Overall, kept: int) -> Overall:
    # Zeros where no row counts say nothing of the loss.
    return "not_checked" if kept == 0 and verdict == "pass" else verdict


def _together(verdicts: list[Overall]) -> Overall:
    """The worst of some verdicts."""
    worst: tuple[Overall, ...] = ("fail", "inconclusive", "not_checked")
    return next((word for word in worst if word in verdicts), "pass")


def _check_hessian(bound: Bound, made: Plan, name: str) -> None:
    # One row tells whether there is one, with the message that every other verb has.
    evaluate(bound, _first_rows(made), reduction="sum", wants=Wants(hess=name), empty="nan")


def _first_rows(made: Plan) -> Plan:
    if made.groups is not None or made.rows <= 1:
        return made
    return replace(made, order=np.arange(1), lead=(1, *made.lead[1:]))


def _totals(bound: Bound, made: Plan, engine: Engine) -> tuple[float, ...]:
    """The totals of a pooled loss's terms; none for the others."""
    work = Work(bound, made, Wants(), 1.0, Outputs())
    if not isinstance(_kernel_of_one(bound, made), Pooled):
        return ()
    return tuple(total.value for total in sum(engine(work, made.spans()), Part()).total)


def _kernel_of_one(bound: Bound, made: Plan) -> Any:
    from losscli.blocks import folded
    from losscli.targets import arrange

    with np.errstate(all="ignore"):
        return bound(*folded(made, arrange(made, *made.spans()[0])).variables)


def _coarsest(claims: Claims, made: Plan, judged: Iterable[Precision]) -> Precision:
    """The format that a value was computed in: the widest unit among those of the slopes and of the files it is of.

    What numbers the data happen to be is no evidence: whole ones fit every format.
    """
    if claims.precision:
        return FORMATS[claims.precision]
    dtype = str(getattr(claims.value, "dtype", "float64"))
    return max([*judged, *of_files(made), FORMATS.get(dtype, FORMATS["float64"])], key=lambda one: one.unit)


def _judged(audit: Audit, engine: Engine, roundings: float) -> Judged:
    tally = sum(engine(audit, audit.spans), Tally())
    caught = _self_test(audit)
    opinion = opinion_of(audit, tally)
    counts, withdrawn = _counts(tally, opinion)
    worst = tuple(replace(s, code=opinion.codes.get(s.index, s.code)) for s in tally.worst)
    worst = tuple(sorted(worst, key=lambda s: s.code not in (FAIL, KINK_FAIL))[:_WORST])
    made = Judged(
        "gradient" if audit.order == 1 else "hessian",
        audit.name,
        overall(counts, sum(counts.values())),
        counts,
        tally,
        worst,
        opinion,
        audit.precision,
        audit.printed,
        len(caught),
        tuple(name for name, seen in caught.items() if not seen),
        withdrawn,
        Together.of(tally, _in_common(audit, tally, roundings)),
    )
    if made.verdict != "fail" and made.together.wrong:
        return replace(made, verdict="fail")
    doubtful = made.verdict == "pass" and (made.blind or withdrawn or made.together.doubtful)
    return replace(made, verdict="inconclusive") if doubtful else made


def _in_common(audit: Audit, tally: Tally, roundings: float) -> float:
    """What all entries may be off by together: a few roundings, or those of totals that all of them read."""
    if audit.totals or audit.shared:
        return tally.step
    # The reduction's own factor may be below the least normal number.
    return roundings * audit.precision.unit * max(1.0, audit.precision.tiny / audit.scale)


def _counts(tally: Tally, opinion: Opinion) -> tuple[dict[str, int], int]:
    """How many entries got each verdict, once those near zero are settled; how many failures were taken back."""
    codes = Counter(tally.counts)
    codes[int(INCONCLUSIVE)] -= tally.settled
    codes[int(PASS)] += tally.settled
    said = Counter(opinion.codes.values())
    codes[int(FAIL)] -= said.total()
    codes.update(said)
    # Where nobody has confirmed one failure, those that nobody has asked about are none either.
    unasked = 0 if opinion.confirmed else codes[int(FAIL)]
    codes[int(FAIL)] -= unasked
    codes[int(INCONCLUSIVE)] += unasked
    withdrawn = unasked + sum(n for code, n in said.items() if code in (INCONCLUSIVE, NONFINITE))
    return {str(VERDICTS[code]): n for code, n in codes.items() if n > 0}, withdrawn


def _self_test(audit: Audit) -> dict[str, bool]:
    """Plant faults into a right claim, block by block until those of every entry are seen: which are caught."""
    caught: dict[str, bool] = {}
    for span in audit.spans:
        for name, seen in _planted(audit.beside(span), audit.precision).items():
            caught[name] = caught.get(name, False) or seen
        if caught and all(caught.get(name, True) for name in _BOLD):
            break
    return caught


def _planted(seen: Beside, precision: Precision) -> dict[str, bool]:
    finite = np.isfinite(seen.slopes.value)
    if not finite.any():
        return {}
    exact = np.where(finite, seen.slopes.value, 0.0)
    right = precision.rounded(exact)
    wrong = {name: change(right) for name, change in MUTANTS.items()}
    return {
        name: bool((judged(claim, exact, seen.bar)[finite] == FAIL).any())
        for name, claim in wrong.items()
        if (claim != right)[finite].any()
    }
