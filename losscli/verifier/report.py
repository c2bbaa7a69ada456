"""A check as JSON content, and in one line."""

from __future__ import annotations

from typing import Any

import numpy as np

from losscli.verifier.checks import Check
from losscli.verifier.diagnosis.diagnose import sentence
from losscli.verifier.numeric.probes import Certificate


def content(check: Check) -> dict[str, Any]:
    """What a check says, under the keys that scripts rely on."""
    certificate = check.certificate
    return {
        "loss": check.loss,
        "params": dict(check.params),
        "verdict": check.verdict,
        "checked": check.checked,
        "counts": dict(check.counts),
        "resolution": {"abs": check.resolution[0], "rel": check.resolution[1]},
        "points": [{"kind": point.kind, "checked": point.checked, "verdict": point.verdict} for point in check.points],
        "methods": [
            {"name": method.name, "agree": method.agree, "evaluations": method.evaluations} for method in check.methods
        ],
        "worst": [
            {
                "kind": entry.kind,
                "wrt": entry.name,
                "index": list(entry.index),
                "claimed": entry.claimed,
                "reference": entry.reference,
                "bar": entry.bar,
                "ratio": entry.ratio,
                "verdict": str(entry.verdict),
                "reason": entry.reason,
            }
            for entry in check.worst
        ],
        "diagnosis": [one.content for one in check.diagnosis],
        **({} if certificate is None else {"certificate": _certificate(certificate)}),
        "selftest": {"planted": check.planted, "caught": check.caught},
        "seed": check.seed,
        "reproduce": check.reproduce,
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    return {
        "verdict": certificate.verdict,
        "norm_bound": certificate.norm_bound,
        "norm": certificate.norm,
        "confidence": certificate.confidence,
        "probes": certificate.probes,
        "entries": certificate.entries,
    }


def headline(check: Check) -> str:
    """The verdict in one line: PASS focal: 428 of 428 slopes agree; ..."""
    settled = check.counts["pass"] + check.counts["kink_ok"]
    line = f"{check.verdict.upper()} {check.loss}: {settled} of {check.checked} slopes agree"
    undecided = check.counts["inconclusive"] + check.counts["nonfinite"]
    line += f", {undecided} undecided" if undecided else ""
    against = [method.name for method in check.methods if not method.agree]
    if check.verdict == "inconclusive" and against:
        return f"{line}; the {' and the '.join(against)} disagrees with the claim"
    if check.verdict == "inconclusive" and check.missed:
        return f"{line}; too coarse here to see planted faults: {', '.join(check.missed)}"
    if check.verdict == "fail" and check.diagnosis and check.wrong is not None:
        compared = int(np.isfinite(check.wrong.reference).sum())
        return f"{line}: {sentence(check.diagnosis, compared, check.wrong.claim.size)}"
    if check.verdict == "fail" and check.wrong is None and check.certificate is not None:
        return f"{line}, but along random directions the gradient is not the slope of the value"
    if not check.planted:
        return f"{line}; no faults planted"
    absolute, relative = check.resolution
    error = f"{relative:.1e} of the largest slope" if relative > 0 else f"{absolute:.1e}"
    return (
        f"{line}; an error above {error} would have been caught; {check.caught}/{check.planted} planted faults caught"
    )
