"""Whether claimed numbers have the shape of the input that they are about, and what would give it to them."""

from __future__ import annotations

import math
from itertools import permutations

from losscli.errors import DataError, Place
from losscli.files.source import Source
from losscli.plan import Plan

# Of more axes there are too many orders.
_AXES = 6


def shaped(made: Plan, name: str, claim: Source, kind: str) -> Source:
    """The claim without the places of its file; DataError where its shape is not the input's."""
    shape, mine = made.columns[name].source.shape, claim.shape
    if claim.dtype.kind not in "fiub":
        raise DataError("claim-dtype", f"claimed numbers of type {claim.dtype}", place=Place(claim.name))
    if mine == shape:
        return Source(claim.name, claim.array)
    what = f"--{kind} has shape {mine}, and {name} has {shape}"
    hint = "--wrt names the input that it is a derivative by"
    if order := _order(mine, shape):
        hint = f"it is transposed: transpose({', '.join(map(str, order))}) gives it the shape of {name}"
    elif math.prod(mine) == math.prod(shape):
        hint = f"it has as many numbers: reshape it to {shape}"
    elif mine == (*shape, shape[-1] if shape else 0):
        hint = "it is a whole matrix per row: give its diagonal"
    raise DataError("claim-shape", what, place=Place(claim.name), hint=hint)


def _order(mine: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The order of axes that makes one shape another, the rows where they are if they can stay; empty for none."""
    axes = range(len(mine))
    if len(mine) != len(wanted) or len(mine) > _AXES or sorted(mine) != sorted(wanted):
        return ()
    return next(order for order in permutations(axes) if tuple(mine[axis] for axis in order) == wanted)
