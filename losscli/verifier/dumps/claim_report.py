"""A verify as JSON content, and in one line."""

from __future__ import annotations

import math
from typing import Any

from losscli.verifier.diagnosis.diagnose import Explanation, sentence
from losscli.verifier.dumps.audit import Suspect
from losscli.verifier.dumps.claims import Judged, Verified
from losscli.verifier.dumps.together import COARSE
from losscli.verifier.dumps.valued import Valued
from losscli.verifier.numeric.differences import Reason
from losscli.verifier.numeric.verdict import INCONCLUSIVE, VERDICTS


def content(verified: Verified) -> dict[str, Any]:
    """What a verify says, under the keys that scripts rely on."""
    parts, value = verified.slopes, verified.value
    made: dict[str, Any] = {
        "loss": verified.bound.loss.name,
        "params": dict(verified.bound.params),
        "reduction": verified.reduction,
        "verdict": verified.verdict,
        "checked": verified.checked,
        "counts": dict(verified.counts),
        "resolution": {
            "abs": max((part.resolution[0] for part in parts), default=None),
            "rel": max((part.resolution[1] for part in parts), default=None),
        },
        "points": [
            {"kind": part.kind, "checked": sum(part.counts.values()), "verdict": part.verdict} for part in parts
        ],
        "methods": _methods(parts) + _by_formula(value),
        "worst": [_entry(part, suspect) for part in parts for suspect in part.worst],
        "diagnosis": [one.content for one in verified.diagnosis],
        "selftest": {"planted": sum(p.planted for p in parts), "caught": sum(p.caught for p in parts)},
        "seed": verified.seed,
        "reproduce": verified.reproduce,
        "claims": [_claim(part) for part in parts],
    }
    if value is not None:
        made["value"] = {
            "claimed": value.claimed,
            "reference": value.reference,
            "bar": value.bar,
            "verdict": value.verdict,
        }
    return made


def headline(verified: Verified) -> str:
    """The verdict in one line: PASS ce: value agrees; gradient: 320 of 320 entries agree; ..."""
    value, said = verified.value, []
    if value is not None:
        coarse = value.bar / abs(value.reference) if value.reference else 0.0
        agrees = f"agrees within the {100.0 * coarse:.2g} % of rounding" if COARSE < coarse < 1.0 else "agrees"
        words = {"pass": agrees, "fail": f"is {value.claimed!r}, not {value.reference!r}"}
        said.append(f"value {words.get(value.verdict, 'cannot be told')}")
    said += [_told(part, verified.diagnosis) for part in verified.slopes]
    if len(said) == 1 and verified.diagnosis:
        # There is one claim: nobody need be told which.
        said = [said[0].removeprefix(f"{verified.slopes[0].kind}: ")]
    return f"{verified.verdict.upper()} {verified.bound.loss.name}: {'; '.join(said)}"


def _told(part: Judged, diagnosis: tuple[Explanation, ...]) -> str:
    total = sum(part.counts.values())
    wrong = part.counts.get("fail", 0) + part.counts.get("kink_fail", 0)
    agree = part.counts.get("pass", 0) + part.counts.get("kink_ok", 0)
    line = f"{part.kind}: {f'{wrong} of {total} entries are wrong' if wrong else f'{agree} of {total} entries agree'}"
    if part.withdrawn and not wrong:
        line = f"{line}, and {part.withdrawn} differ, which numeric slopes do not confirm"
    elif part.verdict == "inconclusive" and part.counts.get("inconclusive") and not wrong:
        line = f"{line}, and {part.counts['inconclusive']} are too small to be told from rounding"
    if part.blind and not wrong and not part.together.said:
        line = f"{line}, but a wrong claim ({', '.join(part.blind)}) would not have been noticed"
    if part.together.said and not wrong:
        return f"{line} one by one, but not together: {part.together.said}"
    return _explained(part, line, diagnosis) if wrong else f"{line}, {_limit(part)}"


def _explained(part: Judged, line: str, diagnosis: tuple[Explanation, ...]) -> str:
    """The line about a wrong claim with what it looks like, or at least how large it is on the whole."""
    if diagnosis:
        said = sentence(diagnosis, sum(part.counts.values()))
        return f"{part.kind}: {said}" if diagnosis[0].pure else f"{line}: {said}"
    factor = part.tally.factor
    return f"{line}; on the whole they are {factor:.4g} times the exact ones" if math.isfinite(factor) else line


def _limit(part: Judged) -> str:
    share = part.tally.notice
    rounding = f"rounding in {part.precision.name}" if part.printed is None else f"rounding to {part.printed.name}"
    if not share < 1.0:
        return f"and no error can be told from {rounding}"
    line = f"an error of every entry below {100.0 * share:.2g} % cannot be told from {rounding}"
    return f"{line}; on the whole they are {part.tally.factor:.4f} times the exact ones" if share > COARSE else line


def _methods(parts: tuple[Judged, ...]) -> list[dict[str, Any]]:
    """Every method that was asked, and whether it agrees with the claim."""
    made = []
    for part in parts:
        made.append({"name": f"exact {part.kind}", "agree": part.verdict != "fail", "evaluations": 1})
        if part.opinion.evaluations:
            made.append(
                {"name": "ridders", "agree": not part.opinion.confirmed, "evaluations": part.opinion.evaluations}
            )
    return made


def _by_formula(value: Valued | None) -> list[dict[str, Any]]:
    # It is asked about failures alone: where it gives the exact losses, it contradicts the claim.
    asked, confirms = (0, True) if value is None else value.formula
    return [{"name": "formula", "agree": not confirms, "evaluations": asked}] if asked else []


def _entry(part: Judged, suspect: Suspect) -> dict[str, Any]:
    return {
        "kind": part.kind,
        "wrt": part.wrt,
        "index": list(suspect.index),
        "claimed": suspect.claimed,
        "reference": suspect.reference,
        "bar": suspect.bar,
        "ratio": suspect.ratio,
        "verdict": str(VERDICTS[suspect.code]),
        "reason": _reason(suspect),
    }


def _reason(suspect: Suspect) -> str:
    if suspect.code != INCONCLUSIVE:
        return "row does not count" if suspect.bar == 0.0 and suspect.claimed != 0.0 == suspect.reference else ""
    return Reason.NOISE.word if suspect.ratio <= 1.0 else Reason.METHODS_DISAGREE.word


def _claim(part: Judged) -> dict[str, Any]:
    tally = part.tally
    return {
        "kind": part.kind,
        "wrt": part.wrt,
        "verdict": part.verdict,
        "precision": part.precision.name,
        "printed": "" if part.printed is None else part.printed.name,
        "notice": tally.notice,
        "factor": tally.factor,
        "ulps": {"p50": tally.percentile(0.5), "p99": tally.percentile(0.99), "max": tally.percentile(1.0)},
    }
