"""What a claim that failed looks like: one that a gradcheck looked at, or one that was dumped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from losscli.inputs import Array, Ints
from losscli.loss import Bound
from losscli.plan import Plan
from losscli.results import Reduction
from losscli.verifier.checks import Check, Wrong
from losscli.verifier.diagnosis.diagnose import Explanation, diagnose
from losscli.verifier.diagnosis.hypotheses import generic, hypotheses_of, other_losses, places_of, sampled
from losscli.verifier.diagnosis.scales import scales_by_shape, scales_of
from losscli.verifier.diagnosis.scene import Scene
from losscli.verifier.dumps.audit import Audit, Tally
from losscli.verifier.numeric.verdict import FAIL
from losscli.verifier.own.entries import Entries
from losscli.verifier.own.recognise import Known

# As many entries of rows that need each other as a moment's work.
_FEW = 1 << 18


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
        found = diagnose(
            wrong.claim, wrong.reference, generic(wrong.reference), scales, wrong.bar, inputs=_inputs(wrong)
        )
        return replace(check, diagnosis=found)
    order = 2 if wrong.kind.startswith("hessian") else 1
    scene = Scene(bound, wrong.case, wrong.case, wrong.name, "sum", order)
    with np.errstate(all="ignore"):
        claim, reference, bar = (_laid_out(scene, wrong, x) for x in (wrong.claim, wrong.reference, wrong.bar))
    hypotheses: Mapping[str, Callable[[], Array]] = {**generic(reference), **dict(other_losses(scene))}
    if foreign:
        hypotheses = hypotheses_of(bound, wrong.case, wrong.name, "sum", order)
    found = diagnose(claim, reference, hypotheses, scales_of(bound, wrong.case, "sum"), bar)
    return replace(check, diagnosis=found)


def explained_as(check: Check, known: Known) -> Check:
    """The check of a user's function with a diagnosis by the mistakes that are made with the loss it computes."""
    wrong = check.wrong
    assert wrong is not None
    name = known.names[wrong.name]
    hypotheses = hypotheses_of(known.bound, known.plan, name, known.reduction)
    params = {**known.bound.params, "temperature": known.temperature}
    scales = scales_of(known.bound, known.plan, known.reduction, params)
    places = places_of(Scene(known.bound, known.plan, known.plan, name, known.reduction))
    # What the loss knows are the slopes by the scores that the temperature has divided.
    claim, reference, bar = (known.temperature * x for x in (wrong.claim, wrong.reference, wrong.bar))
    made: Mapping[str, Callable[[], Array]] = {**generic(reference), **hypotheses}
    found = diagnose(claim, reference, made, scales, bar, places, inputs=_inputs(wrong))
    return replace(check, diagnosis=found)


def _inputs(wrong: Wrong) -> Mapping[str, Array]:
    """What the inputs of a user's function are at every entry, the one that a gradient is by first."""
    if not isinstance(wrong.case, Entries):
        return {}
    inputs = {wrong.name: wrong.case.x, **wrong.case.inputs}
    return {name: np.asarray(array) for name, array in inputs.items() if np.asarray(array).dtype.kind in "iuf"}


def _laid_out(scene: Scene, wrong: Wrong, rows: Array) -> Array:
    # Nobody has looked for the slopes of rows that do not count.
    return scene.laid_out(rows, fill=np.nan if rows is wrong.reference else 0.0)


def claim_explained(audit: Audit, tally: Tally, reduction: Reduction) -> tuple[Explanation, ...]:
    """What a dumped claim looks like, on a sample of the rows with the worst of them; of few rows, on all.

    Nothing is said of very many rows that need each other.
    """
    whole = audit.plan
    plan = whole if audit.shared or audit.totals else sampled(whole, tuple(s.row for s in tally.worst))
    if whole.rows * math.prod(audit.claim.shape[1:]) > _FEW and plan is whole:
        return ()
    seen = replace(audit, plan=plan).beside((0, plan.rows))
    scene = Scene(audit.bound, plan, whole, audit.name, reduction, audit.order)
    claim = scene.laid_out(seen.claim, seen.slopes.table)
    if seen.dropped.size:
        stray = np.zeros((seen.slopes.table.weighing.rows, *seen.claim.shape[1:]))
        stray[np.delete(np.arange(len(stray)), seen.keep)] = seen.dropped
        claim = claim + stray.reshape(claim.shape)
    return diagnose(
        claim,
        scene.laid_out(seen.slopes.value, seen.slopes.table),
        hypotheses_of(audit.bound, plan, audit.name, reduction, audit.order, whole),
        scales_of(audit.bound, whole, "sum" if audit.totals else reduction),
        scene.laid_out(seen.bar, seen.slopes.table),
        places_of(scene),
        _numbered(plan, int(np.count_nonzero(seen.codes == FAIL) + np.count_nonzero(seen.dropped)), tally),
    )


def _numbered(plan: Plan, wrong: int, tally: Tally) -> Ints | None:
    """The numbers of a sample's rows, if all that is wrong is among them; None where it is no sample."""
    if plan.order is None or plan.groups is not None:
        return None
    return plan.order if wrong == tally.counts[int(FAIL)] else plan.order[:0]
