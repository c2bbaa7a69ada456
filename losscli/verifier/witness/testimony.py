"""What the witnesses say of the gradient of a catalogue loss, on the data of one plan."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from losscli.inputs import Array
from losscli.verifier.objective import Objective
from losscli.verifier.witness.field import Field
from losscli.verifier.witness.identities import identities, judged
from losscli.verifier.witness.witnesses import ROUNDINGS, Witnessed, path_integral, taylor

# A kink is closed in to a four-thousandth of the path: twice as many would cost a second with some losses.
_ROUNDS = 12


def statements(objective: Objective, claim: Array, seed: int) -> Iterator[Witnessed]:
    """Taylor test, path integral and identities of a claim by kept rows, the gradient of the summed loss.

    Away from the data, where the claim is not known, it is the kernel's gradient plus how far the claim is off it at
    the data: a claim that is not the kernel's is then wrong along the whole path. No path leads through a loss that
    jumps.
    """
    field, kinks = Field(objective), objective.bound.loss.kinks
    v, noise = field.direction(seed), field.blur / ROUNDINGS

    own = objective.gradient(field.x)
    with np.errstate(all="ignore"):
        apart = np.where(claim == own, 0.0, claim - own)

    def claimed(x: Array) -> Array:
        return claim if x is field.x else objective.gradient(x) + apart

    yield taylor(field.losses, field.x, claimed, v=v, noise=noise)
    if kinks is None or not kinks.jump:
        yield path_integral(field.losses, field.x, claimed, v=v, noise=noise, rounds=_ROUNDS)
    yield judged(tuple(identities(field, seed)), claim)
