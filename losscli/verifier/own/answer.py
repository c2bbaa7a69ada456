"""What a check of a user's own function says: its verdict, and what was noticed about the function on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from losscli.verifier import report
from losscli.verifier.checks import Check

# Planted faults of a thousandth or a hundredth.
_SMALL = ("1.001 times", "one entry off by 1 %", "constant added")


@dataclass(frozen=True)
class Answer:
    """A check of a user's function, and what was noticed on the way.

    ``faults`` make it a failure whatever the slopes say; ``doubts`` keep it from being a pass; ``notes`` only tell.
    """

    check: Check
    faults: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """All that was noticed, the worst first."""
        return (*self.faults, *self.doubts, *self.notes)


@dataclass
class Remarks:
    """What is noticed while a function is looked at, each thing once."""

    faults: dict[str, None] = field(default_factory=dict)
    doubts: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def fault(self, text: str) -> None:
        """Something that makes the function wrong."""
        self.faults[text] = None

    def doubt(self, text: str) -> None:
        """Something that no pass can be given with."""
        self.doubts[text] = None

    def note(self, text: str) -> None:
        """Something to know."""
        self.notes[text] = None

    def answer(self, check: Check) -> Answer:
        """A check with all that was noticed."""
        verdict = check.verdict
        wrong = check.counts["fail"] + check.counts["kink_fail"]
        if check.missed and not wrong:
            # Unlike a loss of the catalogue, a function may be coarse: what was missed is a limit, or a doubt.
            verdict = check.besides
            self._missed([name.partition(" (")[0] for name in check.missed])
        if self.faults:
            verdict = "fail"
        elif self.doubts and verdict == "pass":
            verdict = "inconclusive"
        return Answer(replace(check, verdict=verdict), tuple(self.faults), tuple(self.doubts), tuple(self.notes))

    def _missed(self, names: Sequence[str]) -> None:
        """Planted faults below the resolution are a limit, which the resolution states; larger ones forbid a pass."""
        large = [name for name in names if name not in _SMALL]
        if large and not self.doubts:
            self.doubt(f"too coarse to notice planted faults: {', '.join(large)}")
        elif not large:
            self.note(f"planted faults below the resolution: {', '.join(names)}")


def content(answer: Answer) -> dict[str, Any]:
    """The answer under the keys that scripts rely on."""
    return {**report.content(answer.check), "notes": list(answer.said)}


def headline(answer: Answer) -> str:
    """The verdict in one line: with what was noticed, where that decided it."""
    check = answer.check
    wrong = check.counts["fail"] + check.counts["kink_fail"]
    if not wrong and check.verdict != "pass" and (answer.faults or answer.doubts):
        return f"{check.verdict.upper()} {check.loss}: {answer.said[0]}"
    why = [*answer.faults, *(note for note in answer.notes if "not finite in" in note)]
    if check.verdict == "fail" and why and not check.diagnosis:
        settled = check.counts["pass"] + check.counts["kink_ok"]
        return f"FAIL {check.loss}: {settled} of {check.checked} slopes agree: {why[0]}"
    return report.headline(check)
