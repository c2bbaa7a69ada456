"""Claims that were printed with so many decimals, or so many digits, and read again.

As with formats (formats.py) it takes evidence that they were: enough different numbers, all of them decimals as short,
most of which need their last digit, where the exact slopes are no such decimals.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from losscli.inputs import Array
from losscli.precision import FORMATS, Printed
from losscli.verifier.dumps.audit import Audit
from losscli.verifier.dumps.formats import format_of, of_files, pieces

_MANY = 16
# Of numbers that were rounded nine of ten need their last digit.
_LAST_DIGITS = 0.5
# Single precision has as many: of more nobody need know.
_MOST = 9
_SAMPLE = 1000


def formatted(audit: Audit, precision: str) -> Audit:
    """An audit with the format of its claim: what is printed does not say in which one it was computed."""
    own = FORMATS[precision] if precision else format_of(audit)
    printed = printed_of(audit) if own.name == "float64" else None
    if printed is not None and not precision:
        own = max(of_files(audit.plan), key=lambda one: one.unit, default=own)
    return replace(audit, precision=own, printed=printed)


def printed_of(audit: Audit) -> Printed | None:
    """How an audit's claim was printed; None where nothing says that it was."""
    found: Printed | None = None
    for piece in pieces(audit.claim.source):
        sample = _different(piece)
        found = found or _shortest(sample)
        if found is None or not found.holds(sample):
            return None
    return found if found is not None and _tells(audit, found) else None


def _different(x: Array) -> Array:
    """Some of the different numbers of an array, spread evenly, without zeros and signs."""
    sizes = np.unique(np.abs(x[np.isfinite(x) & (x != 0.0)]))
    return np.asarray(sizes[np.linspace(0, len(sizes) - 1, min(len(sizes), _SAMPLE)).astype(int)])


def _shortest(x: Array) -> Printed | None:
    """The fewest decimals, or else digits, that hold all of some numbers, which most of them need."""
    if len(x) < _MANY:
        return None
    for fixed in (True, False):
        shorter = (Printed(digits, fixed) for digits in range(1 if fixed else 2, _MOST + 1))
        found = next((one for one in shorter if one.holds(x[:_MANY]) and one.holds(x)), None)
        if found is not None:
            less = Printed(found.digits - 1, fixed)
            if np.mean(less.rounded(x) != x) >= _LAST_DIGITS:
                return found
    return None


def _tells(audit: Audit, printed: Printed) -> bool:
    """Whether slopes that are no such decimals were claimed as decimals of all digits."""
    for span in audit.spans:
        claim, exact = audit.facing(span)
        some = np.isfinite(exact) & np.isfinite(claim) & (claim != 0.0)
        sizes, first = np.unique(np.abs(claim[some]), return_index=True)
        chosen = np.linspace(0, len(sizes) - 1, min(len(sizes), _SAMPLE)).astype(int)
        exact = exact[some][first[chosen]]
        if np.count_nonzero(printed.rounded(exact) != exact) >= _MANY:
            return True
    return False
