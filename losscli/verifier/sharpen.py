"""Slopes that differences leave vague, as the printed formula has them.

A slope of 1e-10 beside a value of 1 is known to 1e-15 by differences, and no error of 1e-6 of it shows. Where the value
is that of the formula, and the slope of the formula lies within the numeric bar, both mechanisms say the same, and the
formula says it in more digits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from losscli.inputs import Ints
from losscli.verifier.jury import Jury, Witness
from losscli.verifier.ledger import Found
from losscli.verifier.witness.witnesses import Witnessed

SHARP = 1e-7  # the bar that is wanted, in slopes: claims in double are nearer, and a mistake of 1e-6 is not
ASKED = 16  # entries that are put to a witness in one check: a derivative in 40 digits takes milliseconds


@dataclass
class Sharpening:
    """What takes slopes of columns from a witness where it knows them better, of at most ``left`` more entries."""

    jury: Jury
    left: int = ASKED

    def __call__(self, witness: Witness, shape: tuple[int, ...], found: Found) -> Found:
        """The column with sharper bars; ``shape`` is that of the input. What the witness thinks is noted."""
        rows = _vague(found)[: self.left]
        if not rows.size:
            return found
        value, bar = found.slopes.value.copy(), found.slopes.bar.copy()
        asked, agree, index = 0, True, found.column.index(shape)
        for at in rows:
            known = witness.slope(index[at], float(value[at]))
            if known is None:
                continue
            asked += 1
            own, gap = max(SHARP * abs(known), witness.spare(index[at])), abs(known - value[at])
            agree &= gap <= bar[at] + own
            if gap <= bar[at] and own < bar[at]:
                value[at], bar[at] = known, own
        self.left -= len(rows)
        self.jury.hear(Witnessed(witness.name, agree if asked else None, asked, ""))
        return replace(found, slopes=replace(found.slopes, value=value, bar=bar))


def _vague(found: Found) -> Ints:
    """Entries with a smooth slope whose bar hides an error of a part in a million."""
    s = found.slopes
    vague = np.isfinite(s.bar) & ~s.kink & (s.value != 0.0) & (s.bar > SHARP * np.abs(s.value))
    return np.flatnonzero(vague & ~found.seam) if vague.any() else np.empty(0, np.intp)
