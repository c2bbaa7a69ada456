"""Entropic transport between two samples, and the divergence that is made of it."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from losscli.families.entropic import Masses, Transport
from losscli.families.transport import WEIGHED, massless, meetings
from losscli.loss import Batch, Fault, Kinks, Param, loss
from losscli.stable import Array

# Costs of more than so many epsilons leave a plan's exponents without digits.
_RATIO = 2.0**40
# An epsilon of so many costs is as good as any larger one: the plan is the product of the masses.
_LOOSE = 2.0**200
# What two floats may leave of three transports that cancel, relative to their potentials.
_NOISE = 2.0**-84


def _brought(x: Array, y: Array, epsilon: float, p: int) -> tuple[Array, Array, float, int]:
    """Coordinates of at most 1, epsilon in units of such costs, and the power of two that coordinates have lost."""
    exponent = int(np.frexp(max(np.abs(x).max(), np.abs(y).max()))[1])
    with np.errstate(over="ignore", under="ignore"):
        unit = float(np.ldexp(epsilon, -p * exponent))
    return np.ldexp(x, -exponent), np.ldexp(y, -exponent), min(unit, _LOOSE), exponent


def _meetings(x: Array, y: Array, _: Array | None, __: Array | None, *, p: int, debiased: bool, **___: Any) -> Array:
    """Nothing for squared distances, which are smooth."""
    if p == 2:
        return np.zeros((1, 1))
    found = meetings(x, y)
    return found if debiased else found[:, -len(x) * len(y) :]


def _unfit(
    x: Array, y: Array, x_mass: Array | None, y_mass: Array | None, *, epsilon: float, p: int, **_: Any
) -> Fault | None:
    """A sample without any mass, and an epsilon so small beside the costs that floats hold no exponents."""
    name = massless(x_mass, y_mass)
    if name:
        return Fault(0, name, (), "domain", f"the masses of {name} are all 0")
    x, y = x[_heavy(x_mass)], y[_heavy(y_mass)]
    a, b, unit, _exponent = _brought(x, y, epsilon, p)
    span = np.maximum(a.max(axis=0), b.max(axis=0)) - np.minimum(a.min(axis=0), b.min(axis=0))
    if np.sqrt((span * span).sum()) ** p <= _RATIO * unit:
        return None
    return Fault(0, "x", (), "domain", f"the points lie apart by costs of more than 2^40 epsilon, which is {epsilon:g}")


def _heavy(mass: Array | None) -> Any:
    """Which points of a sample have a mass."""
    return slice(None) if mass is None else np.flatnonzero(mass)


@loss(
    aliases=("entropic-transport", "sinkhorn-divergence"),
    reads=WEIGHED,
    prose="the least sum_ij P_ij |x_i - y_j|^p + epsilon sum_ij P_ij log(P_ij/(a_i b_j)) over P >= 0 with rows of a_i"
    " and columns of b_j, the shares of the masses: 1/N and 1/M without any; debiased: less half of the same of x with"
    " itself and of y with itself",
    slope="by x_i the sum over j of P_ij times the slope of |x_i - y_j|^p, P the best plan; by y_j likewise; debiased:"
    " less that of the sample's plan with itself",
    check=_unfit,
    kinks=Kinks("two points coincide, for p = 1", piece=_meetings),
    costly=True,
    sources=(
        "Cuturi (2013), Sinkhorn distances, arXiv:1306.0895",
        "Feydy et al. (2019), Interpolating between optimal transport and MMD, arXiv:1810.08278, eqs. 1 to 3",
    ),
    peers=(
        "geomloss SamplesLoss('sinkhorn', p=1 or 2, blur=epsilon**(1/p), debias=debiased)(a, x, b, y) (for p = 2 its"
        " cost is |x - y|²/2: half of this one at twice the epsilon; stops early)",
        "POT sinkhorn2(reg=epsilon) (the cost alone, without the entropy; 0 with a NaN slope at reg 1e-3)",
    ),
)
def sinkhorn(
    x: Array,
    y: Array,
    x_mass: Array | None,
    y_mass: Array | None,
    *,
    epsilon: Annotated[
        float, Param("the price of the plan's divergence from the product of the masses", above=0)
    ] = 1.0,
    p: Annotated[int, Param("the power of the distance that is paid", at_least=1, at_most=2)] = 2,
    debiased: Annotated[bool, Param("less half of what each sample costs with itself: 0 for equal samples")] = False,
) -> Batch:
    """Entropic transport of one sample to the other: the least cost of a plan and of its divergence.

    Potentials are solved for until the plan has the masses of both samples to rounding; the slope is the cost's at
    that plan. Masses are shares of their sample's sum. For p = 1 points that coincide have no slope; 0 is taken.
    """
    places = _heavy(x_mass), _heavy(y_mass)
    a, b, unit, exponent = _brought(x[places[0]], y[places[1]], epsilon, p)
    first, second = Masses.of_points(len(x), x_mass), Masses.of_points(len(y), y_mass)
    across = Transport(a, b, unit, p, first, second)
    own = [Transport(one, one, unit, p, mass, mass) for one, mass in ((a, first), (b, second))] if debiased else []
    total = across.value
    for one in own:
        total = total - one.value.times(0.5)
    noise = _NOISE * sum(one.size for one in (across, *own))
    value = float(total.value) if not own or abs(total.high) > noise else 0.0

    def grad() -> tuple[Array, ...]:
        # Both slopes of a sample's transport to itself are one.
        made = (
            [slope - one.slopes()[0] for slope, one in zip(across.slopes(), own, strict=True)]
            if own
            else [*across.slopes()]
        )
        slopes = np.zeros_like(x), np.zeros_like(y)
        for slope, place, one in zip(slopes, places, made, strict=True):
            slope[place] = np.ldexp(one.value, (p - 1) * exponent)
        return slopes

    return Batch(np.ldexp([value], p * exponent), grad=grad)
