"""Boosting objectives, f(y_true, y_pred) -> (grad, hess): both held against a loss of the catalogue or one of the file.

They are functions of raw scores, and their slopes are those of the sum of the rows' losses.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from losscli.errors import UsageError
from losscli.evaluate import plan_of
from losscli.files.source import Source
from losscli.inputs import Array
from losscli.loss import Bound
from losscli.plan import How
from losscli.verifier import points
from losscli.verifier.diagnosis.explain import explained
from losscli.verifier.mutants import largest
from losscli.verifier.objective import Objective
from losscli.verifier.own.answer import Answer
from losscli.verifier.own.drawn import SCORES, TRUTHS, accepted, drawings
from losscli.verifier.own.entries import Entries
from losscli.verifier.own.examine import Examination, Given, allowance, digits
from losscli.verifier.own.functions import NUMPY, Call, Claimant, Inputs, RaisedError, Values
from losscli.verifier.own.target import Target
from losscli.verifier.points.material import SCALES
from losscli.verifier.witness.formula import Formula

_DATASETS = {"dataset", "data", "dtrain", "train_data", "train_set", "dmatrix", "train_dataset"}
_PREDICTIONS = SCORES | {"predt", "pred", "raw", "raw_score", "margin", "score", "approxes", "f"}
_LABELS = TRUTHS | {"label", "labels"}
_ORDERS = ("gradient", "Hessian")


class Dataset:
    """What LightGBM and XGBoost hand to an objective in the place of labels."""

    def __init__(self, label: Values) -> None:
        self.label = label

    def get_label(self) -> Values:
        """The labels."""
        return self.label

    def get_weight(self) -> None:
        """The weights: none are given."""

    def num_data(self) -> int:
        """The number of rows."""
        return len(self.label)


@dataclass(frozen=True)
class Booster:
    """An objective, and which of its two parameters are raw scores and truths; or a data set that holds the truths."""

    target: Target
    scores: str
    truth: str
    dataset: str = ""

    @classmethod
    def of(cls, target: Target, *, forced: bool = False) -> Booster | None:
        """The objective that a function is by the names of its parameters; None: it looks like none."""
        names = target.required
        if len(names) != 2:
            return None
        first, second = (name.lower() for name in names)
        if second in _DATASETS:
            return cls(target, names[0], "label", names[1])
        if first in _PREDICTIONS and second in _LABELS:
            return cls(target, names[0], names[1])
        if forced or (first in _LABELS and second in _PREDICTIONS):
            return cls(target, names[1], names[0])
        return None

    @property
    def inputs(self) -> tuple[str, str]:
        """The names of its inputs in the order of its parameters."""
        in_order = self.dataset or self.target.required[0] == self.scores
        return (self.scores, self.truth) if in_order else (self.truth, self.scores)

    def claimant(self, order: int) -> Claimant:
        """The gradient or the Hessian as a claim; it has no value of its own."""

        def claims(inputs: Inputs) -> Mapping[str, Any]:
            return {self.scores: self.pair(inputs)[order - 1]}

        return Claimant(self.target.label, "objective", lambda _: [], claims, self.changed)

    def gradients(self, inputs: Inputs) -> Array:
        """The gradient alone."""
        return np.asarray(self.pair(inputs)[0], np.float64)

    def changed(self, inputs: Inputs) -> list[str]:
        """The inputs that the objective writes to."""
        copies = {name: np.copy(array) for name, array in inputs.items()}
        try:
            self._call(copies)
        except RaisedError:
            return []
        return [name for name in inputs if not np.array_equal(inputs[name], copies[name], equal_nan=True)]

    def paired(self, data: Inputs | None) -> bool:
        """Whether it returns two arrays, one entry of each for every score, where (value, gradient) might be meant."""
        rows = np.zeros(3)
        try:
            made = self.pair(data if data is not None else {self.scores: rows, self.truth: rows})
            shapes = {np.shape(one) for one in made}
        except (RaisedError, ValueError):
            return False
        return len(shapes) == 1 and shapes != {()}

    def pair(self, inputs: Inputs) -> tuple[Any, Any]:
        """The gradient and the Hessian; RaisedError where it returns something else."""
        made = self.returned(inputs)
        if not isinstance(made, tuple | list) or len(made) != 2:
            raise RaisedError(f"{self.target.label} returns {type(made).__name__}, where (grad, hess) belongs")
        return made[0], made[1]

    def returned(self, inputs: Inputs) -> Any:
        """What the function returns for copies of its inputs."""
        return self._call({name: np.copy(array) for name, array in inputs.items()})

    def _call(self, inputs: dict[str, Values]) -> Any:
        given: dict[str, Any] = dict(inputs)
        if self.dataset:
            given = {self.scores: inputs[self.scores], self.dataset: Dataset(inputs[self.truth])}
        return Call(self.target, NUMPY).lifted(given)


def check_against(booster: Booster, bound: Bound, data: Inputs | None, seed: int, command: str) -> Answer:
    """Verify an objective's gradient and Hessian as those of a loss of the catalogue, at data or at drawn ones.

    References are numeric slopes of the loss and of its gradient; the printed formula is the second witness. Raises
    UsageError for a loss that does not read scores and one truth.
    """
    scores, truth = _read_by(bound)
    examination = Examination(seed)
    how = How(link=bound.loss.reads.default_link, zero_one_labels="labels" in bound.loss.reads.options)
    for kind, given in [("data", data)] if data is not None else _drawn(bound, scores, truth, seed):
        named = {scores: given[booster.scores if data is not None else scores]}
        named[truth] = given[booster.truth if data is not None else truth]
        plan = plan_of(bound, {name: Source(name, array) for name, array in named.items()}, how)
        inputs = {booster.scores: np.asarray(named[scores], np.float64), booster.truth: named[truth]}
        for order in (1, 2):
            _look(examination, booster, Objective.of(bound, plan, scores), kind, inputs, order)
    if data is None:
        examination.remarks.note(f"inputs drawn as {bound.loss.name} reads them: {scores} for {booster.scores}")
    check = examination.ledger.check(booster.target.label, bound.params, seed, command)
    if check.wrong is not None:
        check = replace(check, wrong=replace(check.wrong, name=scores))
    return examination.remarks.answer(explained(check, bound, foreign=True))


def _read_by(bound: Bound) -> tuple[str, str]:
    """The names of the scores and of the truths that a loss reads."""
    reads = bound.loss.reads
    names = [entry.name for entry in reads.inputs if not entry.optional]
    if len(names) != 2 or reads.layout == "groups" or not reads.differentiable:
        raise UsageError("function-kind", f"{bound.loss.name} does not read scores and labels, as an objective does")
    scores = reads.differentiable[0]
    return scores, names[1 - names.index(scores)]


def _drawn(bound: Bound, scores: str, truth: str, seed: int) -> Iterator[tuple[str, Inputs]]:
    """Data as the loss reads them; truths of 0 and 1 alone, as boosting knows them."""
    reads = bound.loss.reads
    rng = np.random.default_rng(seed)
    for scale in SCALES:
        made = points.draw(reads, rng, scale=scale)
        if "labels" in reads.options:
            made[truth] = np.asarray((made[truth] > 0).astype(np.float64))
        elif reads.domain(truth, reads.default_link).high == 1.0:
            made[truth] = np.round(made[truth])
        yield "random", {scores: made[scores], truth: made[truth]}


def _look(
    examination: Examination, booster: Booster, objective: Objective, kind: str, inputs: Inputs, order: int
) -> None:
    """The claims of one order beside the slopes of the loss, or of its gradient."""
    claimant = booster.claimant(order)
    named = kind if order == 1 else f"hessian {kind}"
    what = _ORDERS[order - 1]
    try:
        claims = claimant.claims(inputs)
    except RaisedError as error:
        examination.remarks.fault(f"raised {error}")
        return
    for name in claimant.changed(inputs):
        examination.remarks.fault(f"changes its input {name!r} in place")
    claim = examination.claim(named, claims, booster.scores, inputs[booster.scores].shape, what)
    if claim is None or not claim.size:
        return
    entries = Entries(claimant, inputs, booster.scores)
    examination.ask_again(entries, claim)
    spare = allowance(entries, claim, digits(claims[booster.scores]))
    domain = objective.plan.signature.domain(objective.name, objective.plan.link)
    shape = objective.x.shape
    columns = objective.columns(64, largest(claim.reshape(shape)))
    examination.ledger.look(
        named,
        booster.scores,
        claim.reshape(shape),
        columns if order == 1 else map(objective.curved, columns),
        witness=Formula.of(objective, order),
        low=domain.low,
        high=domain.high,
        plant=True,
        what=what,
        allowance=spare.reshape(shape),
        case=objective.plan,
    )


def check_beside(booster: Booster, loss: Target, data: Inputs | None, asked_seed: int, command: str) -> Answer:
    """Verify an objective's gradient as the slope of a loss of the same file, and its Hessian as that of its gradient.

    The Hessian is looked at once the gradient has passed. The loss takes the same inputs; it may return one number per
    row, one for all, or what LightGBM's metrics return: a name, the value, and whether more is better.
    """
    examination = Examination(asked_seed)
    own = Booster.of(loss, forced=True)
    if own is None:
        raise UsageError("function-kind", f"{loss.label} does not take the inputs of {booster.target.label}")

    def values(many: Sequence[Inputs]) -> list[Values]:
        assert own is not None
        return [_number(own.returned({own.scores: x[booster.scores], own.truth: x[booster.truth]})) for x in many]

    first = booster.claimant(1)
    gradient = replace(first, values=values)
    cases = [Given("data", data)] if data is not None else _drawn_beside(booster, gradient, asked_seed)
    for case in cases:
        examination.look(gradient, case, booster.scores)
    if examination.ledger.failures or examination.remarks.faults:
        examination.remarks.note("the Hessian is not looked at: the gradient comes first")
    else:
        for case in cases:
            for part in _curvatures(booster, case):
                examination.look(*part, booster.scores)
    return examination.answer(booster.target.label, command)


def _number(value: Any) -> Values:
    return np.asarray(value[1] if isinstance(value, tuple) else value)


def _drawn_beside(booster: Booster, gradient: Claimant, seed: int) -> list[Given]:
    """Drawn scores and truths of 0 or 1, of the first shape that the objective and the loss accept."""

    def made(inputs: Inputs) -> Claimant:
        booster.gradients(inputs)
        return gradient

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in booster.inputs]
    _, drawing = accepted(booster.target.label, made, drawings(parameters, None, outcomes=True), seed)
    return [Given("random", drawing.draw(seed + at, scale)) for at, scale in enumerate(SCALES)]


def _curvatures(booster: Booster, case: Given) -> Iterator[tuple[Claimant, Given]]:
    """The Hessian as slopes of the gradient: class by class, where each row has several scores."""
    z = np.asarray(case.inputs[booster.scores], np.float64)
    for k in range(z.shape[1]) if z.ndim > 1 else [None]:
        at = ... if k is None else (slice(None), k)

        def whole(inputs: Inputs, at: Any = at) -> Inputs:
            moved = z.copy()
            moved[at] = inputs[booster.scores]
            return {**inputs, booster.scores: moved}

        def values(many: Sequence[Inputs], at: Any = at, whole: Any = whole) -> list[Values]:
            return [booster.gradients(whole(inputs))[at] for inputs in many]

        def claims(inputs: Inputs, at: Any = at, whole: Any = whole) -> Mapping[str, Any]:
            return {booster.scores: np.asarray(booster.pair(whole(inputs))[1], np.float64)[at]}

        made = Claimant(booster.target.label, "objective", values, claims)
        yield made, Given(f"hessian {case.kind}", {**case.inputs, booster.scores: z[at]})
