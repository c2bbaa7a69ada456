"""The witnesses of a check besides the numeric slopes: who was asked about a claim, and what came of it.

A failure needs a second mechanism. Asked first is a witness that gives slopes, such as the printed formula; where there
is none, or it has none to give, the Taylor test along the entry's own axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from losscli.inputs import Array, Bools, Ints
from losscli.verifier.numeric.differences import IntArray, Reason, Slopes
from losscli.verifier.numeric.verdict import FAIL, INCONCLUSIVE, KINK_FAIL, PASS
from losscli.verifier.objective import Column
from losscli.verifier.witness.witnesses import Witnessed, direction, taylor

_ENOUGH = 5  # failures confirmed by a second mechanism settle the verdict
_ASKED = 24  # failures of one column that are put to a witness until they are


@dataclass(frozen=True)
class Method:
    """A witness: its name, how often it was called, and whether it agreed with the claim wherever it was asked."""

    name: str
    evaluations: int
    agree: bool


class Witness(Protocol):
    """A second mechanism, asked about a few entries of one claim."""

    @property
    def name(self) -> str:
        """What the reports call it."""
        ...

    def slope(self, index: tuple[int, ...], other: float | None = None) -> float | None:
        """The derivative at one entry; None where there is none to be had, or it cannot tell the claim from another."""
        ...

    def spare(self, index: tuple[int, ...]) -> float:
        """What rounding in the value may move its slope by, which the witness does not know of."""
        ...


@dataclass(frozen=True)
class Heard:
    """One column of a claim as it is judged: its entries, claims, numeric slopes, and verdicts that may change yet.

    ``allowance`` is what the rounding of the claims themselves may be.
    """

    column: Column
    slopes: Slopes
    claimed: Array
    index: Sequence[tuple[int, ...]]
    codes: IntArray
    allowance: Array | float = 0.0

    @property
    def failed(self) -> Ints:
        """The entries that fail, kinks apart: there each side has a slope of its own already."""
        return np.flatnonzero(self.codes == FAIL)

    @property
    def moot(self) -> Bools:
        """Where no answer is missing."""
        return np.zeros(self.codes.shape, np.bool_) if self.column.moot is None else self.column.moot

    def withdraw(self, at: Any) -> None:
        """Take back failures that a witness speaks against, or that none confirms."""
        self.codes[at] = INCONCLUSIVE
        self.slopes.reason[at] = Reason.METHODS_DISAGREE


@dataclass
class _Asked:
    """How often a witness was asked, and whether it agreed."""

    times: int = 0
    agree: bool = True


@dataclass
class Jury:
    """The witnesses that were asked so far, and how many failures they confirmed, or knew nothing of."""

    witnesses: dict[str, _Asked] = field(default_factory=dict)
    confirmed: int = 0
    unconfirmed: int = 0

    @property
    def methods(self) -> list[Method]:
        """The witnesses that had something to say."""
        return [Method(name, asked.times, asked.agree) for name, asked in self.witnesses.items() if asked.times]

    def hear(self, said: Witnessed) -> None:
        """What a witness says of a claim as a whole; nothing, where it cannot tell."""
        if said.agree is not None:
            self._note(said.name, said.evaluations, said.agree)

    def try_failures(self, columns: Sequence[Heard], witness: Witness | None, low: Any, high: Any) -> None:
        """Ask about the failures of a claim until a few are confirmed; take back those that no witness knows of."""
        for one in columns:
            claimed = one.claimed[one.failed]
            # What is not a number is no slope of a function that has one; who knows it may say that it overflows.
            self.confirmed += int(np.count_nonzero(~np.isfinite(claimed) if witness is None else np.isnan(claimed)))
            unheard = self._by_slope(witness, one) if witness is not None else one.failed
            if len(unheard) and self.confirmed < _ENOUGH:
                self._by_taylor(one, unheard, low, high)
        if not self.confirmed:
            for one in columns:
                self.unconfirmed += int(np.count_nonzero(~one.moot[one.failed]))
                one.withdraw(one.failed)

    def sample(self, one: Heard, witness: Witness) -> None:
        """Ask about one smooth entry of the first column: the slope must lie within the numeric one's bar."""
        if any(isinstance(position, int) and position for position in one.column.at[1:]):
            return
        smooth = np.flatnonzero(one.codes == PASS)
        if not len(smooth):
            return
        at = int(smooth[len(smooth) // 2])
        truth = witness.slope(one.index[at])
        if truth is not None:
            gap = abs(truth - float(one.slopes.value[at])) - float((one.slopes.bar + one.allowance)[at])
            self._note(witness.name, 1, gap <= 0.0 or gap <= witness.spare(one.index[at]))

    def _by_slope(self, witness: Witness, one: Heard) -> Ints:
        """Failures put to a witness with slopes: it takes the side of what is nearer. Those that it cannot tell of."""
        for at in np.flatnonzero(one.codes == KINK_FAIL)[:_ASKED]:
            # Where the witness has one slope, and that is the claim's, there was no kink.
            truth = witness.slope(one.index[at], float(one.slopes.value[at]))
            if truth is not None and abs(truth - one.claimed[at]) < abs(truth - one.slopes.value[at]):
                self._verdict(witness.name, 1, one, at, acquits=True)
        unheard = []
        for at in one.failed[:_ASKED]:
            if self.confirmed >= _ENOUGH:
                break
            truth = witness.slope(one.index[at], float(one.slopes.value[at]))
            if truth is None:
                unheard.append(at)
                continue
            with np.errstate(invalid="ignore"):
                nearer = abs(truth - one.claimed[at]) < abs(truth - one.slopes.value[at])
            self._verdict(witness.name, 1, one, at, acquits=nearer or truth == one.claimed[at])
        return np.array(unheard, dtype=np.intp)

    def _by_taylor(self, one: Heard, unheard: Ints, low: Any, high: Any) -> None:
        """Failures put to the Taylor test, all entries of the column at once, each along its own axis."""
        column = one.column
        v = direction(column.x, low=low, high=high)
        said = taylor(column.f, column.x, lambda _: one.claimed, v=v, noise=column.noise)
        told = [int(at) for at in unheard if said.units[at] is not None]
        for number, at in enumerate(told):
            self._verdict(said.name, said.evaluations if number == 0 else 0, one, at, said.units[at] is True)

    def _verdict(self, name: str, evaluations: int, one: Heard, at: int, acquits: bool) -> None:
        self._note(name, evaluations, bool(acquits))
        if acquits:
            one.withdraw(at)
        else:
            self.confirmed += 1

    def _note(self, name: str, evaluations: int, agree: bool) -> None:
        asked = self.witnesses.setdefault(name, _Asked())
        asked.times += evaluations
        asked.agree &= agree
