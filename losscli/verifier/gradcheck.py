"""Whether the gradient of a loss is the slope of its value, at points chosen to be hard."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from losscli.errors import UsageError
from losscli.evaluate import check_wants, evaluate, plan_of
from losscli.loss import Bound
from losscli.plan import How, Plan
from losscli.results import Wants
from losscli.verifier.checks import Check
from losscli.verifier.diagnosis.explain import explained
from losscli.verifier.holding import HOLDING, claimed
from losscli.verifier.labelled import objective_of
from losscli.verifier.ledger import Ledger
from losscli.verifier.mutants import largest
from losscli.verifier.numeric.probes import untried
from losscli.verifier.points import KINDS, Case, cases
from losscli.verifier.sharpen import Sharpening
from losscli.verifier.whole import LARGEST, certify
from losscli.verifier.witness.formula import Formula
from losscli.verifier.witness.testimony import statements

# Data given by the user: this many rows are looked at, in this many columns, both spread evenly.
_ROWS, _COLUMNS = 64, 64
# Kinds of points that are not chosen to be hard: planted faults must show there, and witnesses are heard.
_PLAIN = ("random", "data")
# Kinds of points of which a few stand for all: one column is looked at, and that of the largest slope.
_ALIKE = ("ties", "probabilities", "extremes", "shapes", "parameters", "upstreams")
# Kinds of points that stand on bounds of the domain, the only class of one having a probability of 1.
_BOUNDED = ("saturation", "probabilities", "extremes", "shapes")
# Kinds of points at which second derivatives are beyond all numbers, or say nothing that they have not said.
_SLOPES = ("probabilities", "extremes", "upstreams", "containment")


def gradcheck(
    bound: Bound,
    *,
    data: Mapping[str, Any] | None = None,
    how: How | None = None,
    sample_weight: Any = None,
    mask: Any = None,
    kinds: Sequence[str] = KINDS,
    wrt: str = "",
    hess: bool = False,
    seed: int = 0,
    command: str = "",
) -> Check:
    """Verify the gradient of a loss at built-in points, or at the data given, for every input it has one for.

    The claim is the gradient of the summed loss as ``evaluate`` returns it; the reference is the slope of the value
    by a Ridders table with an error bar, and at a few entries the derivative of the printed formula at 40 digits: where
    the bar hides small errors, and where the claim fails.
    Every run plants wrong gradients and must catch them. Options about labels and weights go with data: the
    built-in points choose their own. ``hess``: once the gradient has passed, the diagonal Hessian is held against the
    slope of the gradient in the same way, for the inputs that have one. Raises UsageError and DataError.
    """
    how = how or How()
    reads = bound.loss.reads
    ledger = Ledger()
    if data is None:
        link = how.link or reads.default_link
        plain = replace(how, link=link, class_weight=None) == How(link=link)
        if not plain or any(given is not None for given in (how.class_weight, sample_weight, mask)):
            message = "the built-in points choose their own labels and weights"
            raise UsageError("option-without-data", message, hint="give data to check a gradient with these options")
        if wrt and wrt == reads.labels:
            message = "the built-in points have class indices for labels"
            raise UsageError("option-without-data", message, hint="give data with soft labels to check slopes by them")
        todo = [_task(bound, case) for case in cases(bound, link, seed, kinds)]
    else:
        whole = plan_of(bound, data, how, sample_weight, mask)
        check_wants(bound, whole, Wants(grad=wrt))
        todo = [_Task("data", bound, _thinned(whole), "data")]
    names = [wrt] if wrt else reads.differentiable
    curved = _curved(bound, todo[0].plan, names) if hess and todo else []
    sharpening = Sharpening(ledger.jury)
    for task in todo:
        for name in names:
            _look(ledger, task, name, sharpening=sharpening)
    _testify(ledger, todo, names, seed)
    if data is not None:
        for name in names:
            _certify(ledger, bound, whole, name, seed)
    if curved and not ledger.failures:
        _curvatures(ledger, todo, curved)
    check = ledger.check(bound.loss.name, bound.params, seed, command)
    suspect = [task.bound for task in todo if check.wrong is not None and task.plan is check.wrong.case]
    return explained(check, suspect[0] if suspect else bound)


def _curvatures(ledger: Ledger, todo: Sequence[_Task], names: Sequence[str]) -> None:
    """The diagonal Hessian by some inputs; that none of the points is one to look at it at is said."""
    tasks = [task for task in todo if task.kind not in _SLOPES]
    for task in tasks:
        for name in names:
            _look(ledger, task, name, order=2)
    if not tasks:
        ledger.by_kind["hessian"] = ledger.by_input["hessian"] = Counter()


@dataclass(frozen=True)
class _Task:
    """Data to look at, under the name that the report gives them."""

    kind: str
    bound: Bound
    plan: Plan
    label: str


def _task(bound: Bound, case: Case) -> _Task:
    made = plan_of(bound, case.data, case.how, case.sample_weight, case.mask)
    return _Task(case.kind, case.bound or bound, made, f"{case.kind} {case.label}".rstrip())


def _thinned(made: Plan) -> Plan:
    """A plan of some of the rows, spread evenly: the numeric engine looks at every column of each."""
    if made.groups is not None or made.rows <= _ROWS:
        return made
    rows = np.unique(np.linspace(0, made.rows - 1, _ROWS).astype(int))
    return replace(made, order=rows, lead=(len(rows), *made.lead[1:]))


def _certify(ledger: Ledger, bound: Bound, made: Plan, name: str, seed: int) -> None:
    """Probes over all of the data, where not every entry was looked at on its own."""
    size = math.prod(made.columns[name].shape)
    if size > LARGEST:
        ledger.certify("data", name, np.empty(0), untried(size, seed), None)
        return
    objective = objective_of(bound, made, name)
    together = made.groups is not None or objective.shared
    width = math.prod(objective.x.shape[0 if together else 1 :])
    rows = 1 if made.groups is not None else made.rows
    if not objective.table.weighing.kept or (rows <= _ROWS and width <= _COLUMNS):
        return
    claim, dropped = claimed(objective)
    if not ledger.failures:
        ledger.stray("data", name, dropped)
    ledger.certify("data", name, claim, *certify(objective, claim, seed), made)


def _curved(bound: Bound, made: Plan, names: Sequence[str]) -> list[str]:
    """The inputs with a diagonal Hessian; UsageError where none has one."""
    found, refused = [], None
    for name in names:
        try:
            evaluate(bound, made, reduction="sum", wants=Wants(hess=name), empty="nan")
            found.append(name)
        except UsageError as error:
            refused = error
    if not found and refused is not None:
        raise refused
    return found


def _look(ledger: Ledger, task: _Task, name: str, order: int = 1, *, sharpening: Sharpening | None = None) -> None:
    """One case with respect to one input: claims, slopes, verdicts, witnesses, planted faults."""
    objective = objective_of(task.bound, task.plan, name)
    label, what = (task.label, "gradient") if order == 1 else (f"hessian {task.label}", "Hessian")
    claim, dropped = claimed(objective, order)
    ledger.stray(label, name, dropped)
    if not objective.table.weighing.kept:
        # Of nothing but ignored rows no slope can be looked at, and this is said.
        ledger.by_kind.setdefault(label, Counter())
        return
    if task.kind in HOLDING:
        for held in HOLDING[task.kind](objective, claim):
            ledger.hold(label, name, held)
    if task.kind in HOLDING and task.plan.sample_weight is None:
        return
    domain = task.plan.signature.domain(name, task.plan.link)
    columns = objective.columns(1 if task.kind in _ALIKE else _COLUMNS, largest(claim))
    witness = Formula.of(objective, order)
    sharpen = None
    if sharpening is not None and witness is not None and task.kind not in (*_ALIKE, "kinks"):
        sharpen = partial(sharpening, witness, claim.shape)
    ledger.look(
        label,
        name,
        claim,
        map(partial(objective.sloped, edges=task.kind in _BOUNDED) if order == 1 else objective.curved, columns),
        witness=witness,
        low=domain.low,
        high=domain.high,
        plant=task.kind in _PLAIN,
        sample=task.kind not in _ALIKE,
        what=what,
        case=task.plan,
        seen=sharpen,
    )


def _testify(ledger: Ledger, todo: Sequence[_Task], names: Sequence[str], seed: int) -> None:
    """Witnesses of a claim as a whole, on the first data drawn at random, or on those given."""
    for task in [task for task in todo if task.kind in _PLAIN][:1]:
        for objective in [objective_of(task.bound, task.plan, name) for name in names]:
            if objective.table.weighing.kept:
                for said in statements(objective, claimed(objective)[0], seed):
                    ledger.jury.hear(said)
