"""What a run is asked for, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from losscli.errors import LosscliError
from losscli.inputs import Array
from losscli.loss import Bound
from losscli.plan import Plan

Reduction = Literal["mean", "sum", "none"]


@dataclass(frozen=True)
class Wants:
    """What a run is asked for besides the value."""

    grad: str = ""
    hess: str = ""
    per_sample: bool = False
    top: int = 0
    by_class: bool = False
    accuracy: bool = False


@dataclass(frozen=True)
class Penalty:
    """What a structural risk adds to the reduced loss of a linear head: l1 · Σ|w| + l2 · Σ w², the bias left out."""

    l1: float = 0.0
    l2: float = 0.0

    @property
    def terms(self) -> dict[str, float]:
        """The factor of each penalty that is in force, under the penalty's name in the catalogue."""
        return {name: by for name, by in (("l1-penalty", self.l1), ("l2-penalty", self.l2)) if by}


@dataclass(frozen=True)
class ByClass:
    """The rows of one true class: how many, their mean loss and how many of them are right."""

    index: int
    name: str
    rows: int
    mean: float
    right: int


@dataclass(frozen=True)
class Result:
    """A loss over data: value in nats unless the loss says otherwise, and whatever else was asked for.

    ``rows`` counts the losses (rows, elements or groups), ``kept`` those that count, ``weight`` the mean's
    denominator, ``accuracy`` the share of rows whose label has the top score, where there are labels.
    """

    bound: Bound
    plan: Plan
    reduction: Reduction
    value: float | Array
    rows: int
    kept: int
    weight: float
    nonfinite: int
    accuracy: float | None = None
    gradient: Array | None = None
    hessian: Array | None = None
    per_sample: Array | None = None
    top: tuple[tuple[int, float], ...] = ()
    by_class: tuple[ByClass, ...] = ()
    wants: Wants = field(default_factory=Wants)
    penalty: Penalty = field(default_factory=Penalty)


@dataclass(frozen=True)
class Spoken:
    """What a library would return: its value, or what keeps it from one; how it is called, and what differs."""

    peer: str
    call: str
    why: str
    value: float | None = None
    error: LosscliError | None = None

    def beside(self, exact: float | None) -> tuple[float, float] | None:
        """Its difference from the exact value, and that relative to it; None where there is none."""
        if self.value is None or exact is None:
            return None
        apart = 0.0 if self.value == exact else self.value - exact
        return apart, 0.0 if apart == 0.0 else apart / abs(exact) if exact else math.copysign(math.inf, apart)
