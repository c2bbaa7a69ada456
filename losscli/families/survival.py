"""Survival: log-risks, times and events of the subjects of each stratum."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from losscli.families.plain import plain
from losscli.inputs import IDENTITY, REAL, Array, Domain, Fold, Groups, Input, Link, Signature

EVENT = Domain("1 for an event, or 0 for a subject that was censored", members=(0.0, 1.0))


def _times(rng: np.random.Generator, shape: tuple[int, ...], _: float) -> npt.NDArray[Any]:
    """Whole days, some of which several subjects share."""
    return rng.integers(1, 5, shape).astype(np.float64)


def survival(log_risk: Array, time: Array, event: Array, groups: Groups) -> Fold:
    """Log-risks, times, events and the groups of rows that belong to one stratum."""
    return plain("log_risk", "time", "event", "stratum")(log_risk, time, event, groups)


SURVIVAL = Signature(
    "survival",
    (
        Input("log_risk", REAL, differentiable=True, help="the logarithm of each subject's relative risk (N)"),
        Input("time", REAL, help="when the event happened, or the subject was last seen (N)", draw=_times),
        Input("event", EVENT, help="1 where the event happened, 0 where the subject was censored (N)"),
        Input("stratum", IDENTITY, help="whose risks are compared (N); without it all of them", optional=True),
    ),
    "groups",
    {"values": Link(survival)},
)
