"""Which floating point format claimed numbers were computed in: that of their file, or a narrower one.

The format sets the allowance, so a claim must not choose it: a narrower one needs evidence that a right claim was
rounded to it, and numbers that are exact in both formats are none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from losscli.files.source import Source
from losscli.files.views import Bfloat16
from losscli.inputs import Array
from losscli.plan import Plan
from losscli.precision import FORMATS, Precision
from losscli.verifier.dumps.audit import Audit

# So many different numbers, all of them numbers of a narrower format, are no accident.
_MANY = 16
# Of numbers rounded to a format every other one has its last bit set, whatever its size: a quarter of that is enough.
_LAST_BITS = 0.125
_NARROWER = {"float64": ("bfloat16", "float16", "float32"), "float32": ("bfloat16", "float16")}


def declared(source: Source) -> Precision:
    """The format that a file says its numbers have; float64 for whole numbers and for what has no type."""
    if isinstance(source.array, Bfloat16):
        return FORMATS["bfloat16"]
    return FORMATS.get(str(source.dtype), FORMATS["float64"])


def format_of(audit: Audit) -> Precision:
    """The format of an audit's claim: a narrower one than its file's where all of its numbers were rounded to it.

    Programs that have no file for a format write its numbers in a wider one.
    """
    source = audit.claim.source
    own = declared(source)
    fits = [FORMATS[name] for name in _NARROWER.get(own.name, ())]
    for block in pieces(source):
        fits = [one for one in fits if one.holds(block)]
        if not fits:
            return own
    return next((one for one in fits if _was_rounded(audit, one)), own)


def _was_rounded(audit: Audit, to: Precision) -> bool:
    """Whether slopes that a format does not hold were claimed as numbers that need all of its digits."""
    for span in audit.spans:
        claim, exact = audit.facing(span)
        telling = np.isfinite(exact) & np.isfinite(claim) & (claim != 0.0) & (to.rounded(exact) != exact)
        found = np.unique(np.abs(claim[telling]))
        if len(found) >= _MANY:
            # Whole numbers, or multiples of some other step, fill the digits of the larger ones alone.
            small = found[: len(found) // 2]
            return bool(np.mean(to.ulps(small, small) % 2.0 == 1.0) >= _LAST_BITS)
    return False


def of_files(made: Plan) -> list[Precision]:
    """The formats that the files of a plan's data say they have."""
    return [declared(column.source) for column in made.columns.values() if column.source.dtype.kind == "f"]


def pieces(source: Source) -> Iterator[Array]:
    """The numbers of a source, some rows at a time."""
    rows = max(1, (1 << 18) // max(1, math.prod(source.shape[1:])))
    if not source.shape:
        yield np.asarray(source.array, dtype=np.float64)
        return
    for start in range(0, source.shape[0], rows):
        yield np.asarray(source.read(start, start + rows), dtype=np.float64)
