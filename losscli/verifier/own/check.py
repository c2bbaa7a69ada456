"""Whether the gradient of a user's own function is the slope of its value."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from losscli.errors import UsageError
from losscli.loss import Bound
from losscli.verifier.own.answer import Answer
from losscli.verifier.own.boosting import Booster, check_against, check_beside
from losscli.verifier.own.drawn import FAR, TIES, accepted, drawings
from losscli.verifier.own.examine import Examination, Given
from losscli.verifier.own.foreign import PROGRAM, Program, frameworks_of
from losscli.verifier.own.functions import Claimant, Inputs, RaisedError, claimant_of
from losscli.verifier.own.target import Target
from losscli.verifier.points.material import SCALES

Make = Callable[[Inputs], Claimant]


@dataclass(frozen=True)
class Asked:
    """What a user asks for: who claims the gradient, what it is held against, and how inputs are drawn."""

    grad_name: str = ""
    loss_name: str = ""
    against: Bound | None = None
    wrt: str = ""
    shape: tuple[int, ...] | None = None
    entries: int = 0
    seed: int = 0
    command: str = ""


def inputs_of(target: Target) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the inputs that a function must be given, and of those that it may be."""
    booster = Booster.of(target)
    return (booster.inputs if booster else target.required), target.optional


def check_target(target: Target, data: Inputs | None, asked: Asked) -> Answer:
    """Verify the gradient of a function of a file at data, or at inputs drawn from the names of its parameters.

    Raises UsageError where no inputs can be drawn that it accepts, and where it claims nothing.
    """
    if not target.parameters:
        message = f"{target.label} names no parameter that an input could be given for"
        raise UsageError("function-kind", message, hint="wrap it in a function whose parameters have names")
    booster = _objective(target, data, asked)
    if booster is not None and asked.against is not None:
        return check_against(booster, asked.against, data, asked.seed, asked.command)
    if booster is not None:
        loss = target.other(asked.loss_name or f"{target.name}_loss")
        return check_beside(booster, loss, data, asked.seed, asked.command)
    frameworks = frameworks_of(target)
    return _check(
        target.label,
        lambda inputs: claimant_of(target, frameworks, inputs, asked.grad_name),
        target.parameters,
        data,
        asked,
    )


def _objective(target: Target, data: Inputs | None, asked: Asked) -> Booster | None:
    """The objective that a function is; None where it is none. UsageError where it is held against nothing."""
    named = bool(asked.loss_name) or asked.against is not None
    booster = Booster.of(target, forced=named)
    if named and booster is None:
        raise UsageError("function-kind", f"{target.label} is no objective: it takes {', '.join(target.required)}")
    if booster is None or named or hasattr(target.module, f"{target.name}_loss"):
        return booster
    if not booster.dataset and not booster.paired(data):
        return None
    message = f"{target.label} returns (grad, hess), and nothing says what they are the slopes of"
    hint = f"add --against LOSS, --loss-name NAME, or a function {target.name}_loss"
    raise UsageError("function-kind", message, hint=hint)


def check_program(program: Program, names: Sequence[str], data: Inputs | None, asked: Asked) -> Answer:
    """Verify the gradient that a program answers with, at data or at inputs drawn from their names."""
    claimant = program.claimant()
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    return _check(claimant.label, lambda _: claimant, parameters, data, asked)


def _check(
    label: str, make: Make, parameters: Sequence[inspect.Parameter], data: Inputs | None, asked: Asked
) -> Answer:
    """The claimant that ``make`` finds for some inputs, looked at."""
    defaults = {entry.name: entry.default for entry in parameters if entry.default is not entry.empty}
    examination = Examination(asked.seed, asked.entries, defaults)
    if data is None:
        claimant, drawing = accepted(label, make, drawings(parameters, asked.shape), asked.seed)
        examination.remarks.note(f"inputs drawn: {drawing.said}")
        for at, scale in enumerate(SCALES):
            examination.look(claimant, Given("random", drawing.draw(asked.seed + at, scale), drawing.bounds), asked.wrt)
        for kind, inputs in drawing.edges(asked.seed):
            refused = _refused(claimant, kind, inputs)
            if refused:
                examination.remarks.note(f"{kind}: not looked at: {refused}")
            else:
                examination.look(claimant, Given(kind, inputs, drawing.bounds), asked.wrt)
    else:
        try:
            examination.look(make(data), Given("data", data), asked.wrt)
        except RaisedError as error:
            examination.remarks.doubt(f"raised {error}")
    return examination.answer(label, asked.command)


def _refused(claimant: Claimant, kind: str, inputs: Inputs) -> str:
    """Why a function is not looked at at some inputs; nothing where it is."""
    # A program that is given what it is not made for may die.
    if claimant.kind == PROGRAM and kind != TIES:
        return "not asked"
    # Far out some rows may have a value where others have none.
    return "" if kind == FAR else claimant.refusal(inputs)
