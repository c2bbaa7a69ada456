"""What a gradient that failed a gradcheck looks like: the diagnosis of a Check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from losscli.inputs import Array
from losscli.loss import Bound
from losscli.plan import Plan
from losscli.verifier.diagnose import diagnose
from losscli.verifier.hypotheses import generic, hypotheses_of, other_losses, scales_by_shape, scales_of
from losscli.verifier.ledger import Check, Wrong
from losscli.verifier.scene import Scene


def explained(check: Check, bound: Bound | None = None, *, foreign: bool = False) -> Check:
    """The check with a diagnosis of the first claim that failed; as it is where none did.

    The references are numeric slopes. For a loss of the catalogue its own gradient is the suspect: it is compared with
    those of other losses; ``foreign`` says that the claim is somebody else's, who may have made any mistake.
    """
    wrong = check.wrong
    if wrong is None:
        return check
    if bound is None or not isinstance(wrong.case, Plan):
        scales = scales_by_shape(wrong.claim.shape)
        found = diagnose(wrong.claim, wrong.reference, generic(wrong.reference), scales, wrong.bar)
        return replace(check, diagnosis=found)
    order = 2 if wrong.kind.startswith("hessian") else 1
    scene = Scene(bound, wrong.case, wrong.case, wrong.name, "sum", order)
    with np.errstate(all="ignore"):
        claim, reference, bar = (_laid_out(scene, wrong, x) for x in (wrong.claim, wrong.reference, wrong.bar))
    hypotheses: Mapping[str, Callable[[], Array]] = {**generic(reference), **dict(other_losses(scene))}
    if foreign:
        hypotheses = hypotheses_of(bound, wrong.case, wrong.name, "sum", order)
    found = diagnose(claim, reference, hypotheses, scales_of(wrong.case, "sum", bound.params), bar)
    return replace(check, diagnosis=found)


def _laid_out(scene: Scene, wrong: Wrong, rows: Array) -> Array:
    # Nobody has looked for the slopes of rows that do not count.
    return scene.laid_out(rows, fill=np.nan if rows is wrong.reference else 0.0)
