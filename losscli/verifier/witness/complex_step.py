"""The complex step as a witness of a claimed gradient: no difference is taken, so nothing cancels.

Squire & Trapp (1998). NumPy's abs, norm, sign, conj and .real make it silently wrong, and a guard looks for that.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from losscli.inputs import Array
from losscli.verifier.numeric.differences import slopes
from losscli.verifier.objective import positions
from losscli.verifier.witness.witnesses import ROUNDINGS, ROUNDOFF, Function, Gradient, Witnessed, witnessed

_TINY_STEP = 2.0**-66  # imaginary: no difference is taken, so it may be as small as one likes


@np.errstate(all="ignore")
def complex_step(
    f: Function,
    x: Array,
    gradient: Gradient | None = None,
    *,
    low: Array | float = -np.inf,
    high: Array | float = np.inf,
    allowance: Array | float = 0.0,
    entries: int = 8,
) -> Witnessed:
    """Im f(x + ih)/h at some entries, spread evenly, behind a guard: f must go on in complex numbers, and be right.

    f(x + 0i) must be complex with its real part unchanged, and every slope must lie within the bar of the numeric one:
    else the witness is dismissed (None), and the detail says why. It agrees where the claim lies within that bar too,
    give or take the ``allowance`` for its own rounding. On a kink it has nothing to tell, nor where that is infinite.
    """
    x = np.asarray(x, dtype=np.float64)
    with warnings.catch_warnings():
        # An imaginary part that is thrown away is what the guard looks for.
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        found, calls, why = _complex_slopes(f, x, entries)
    if found is None:
        return Witnessed("complex step", None, calls, why)
    at, stepped = found

    def moved(t: Array) -> Array:
        return np.array([_total(f, _with(x, place, value)) for place, value in zip(at, t, strict=True)])

    chosen = tuple(np.array(at).T)
    lows, highs, spare = (np.broadcast_to(given, x.shape)[chosen] for given in (low, high, allowance))
    s = slopes(moved, x[chosen], low=lows, high=highs)
    calls += s.evaluations * len(at)
    known = np.isfinite(s.bar + spare) & ~s.kink
    if not known.any() or not (np.abs(stepped - s.value) <= s.bar)[known].all():
        return Witnessed("complex step", None, calls, "does not lie within the bars of the numeric slopes")
    claim = stepped if gradient is None else np.asarray(gradient(x), dtype=np.float64)[chosen]
    said = np.where(known, np.where(np.abs(claim - stepped) <= s.bar + spare, 1, -1), 0).astype(np.int8)
    return witnessed("complex step", said, calls, f"{int(known.sum())} entries by an imaginary step")


def _complex_slopes(f: Function, x: Array, entries: int) -> tuple[tuple[list[tuple[int, ...]], Array] | None, int, str]:
    """Entries and their slopes by an imaginary step; None, and why, where f is not made for complex numbers."""
    at = list(positions(x.shape, entries))
    try:
        plain, same = _total(f, x), np.asarray(f(x.astype(np.complex128))).sum()
        if not at or not np.iscomplexobj(same):
            return None, 2, "f does not return a complex number"
        if not (same.imag == 0.0 and abs(same.real - plain) <= ROUNDINGS * ROUNDOFF * abs(plain)):
            return None, 2, "f(x + 0i) is not f(x)"
        scale = _TINY_STEP
        made = [np.asarray(f(_with(x.astype(np.complex128), place, x[place] + 1j * scale))) for place in at]
    except (TypeError, ValueError, ArithmeticError) as error:
        return None, 2, f"f takes no complex numbers: {error}"
    return (at, np.array([float(np.sum(value).imag) / scale for value in made])), 2 + len(at), ""


def _with(x: Any, at: tuple[int, ...], value: Any) -> Any:
    made = x.copy()
    made[at] = value
    return made


def _total(f: Function, x: Array) -> float:
    return float(np.sum(np.real(f(x))))
