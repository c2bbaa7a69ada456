"""Distances between two samples, of N points x and of M points y: by kernels, by energy, and by transport on a line."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from losscli.families.transport import LINE, SAMPLES, Coupling, Discrepancy, Profile, massless, meetings
from losscli.loss import Batch, Fault, Kinks, Param, loss
from losscli.stable import Array
from losscli.twofold import Twofold, exp_less_one

# In units of the bandwidth: beyond this both kernels are 0 in any arithmetic, and squares stay far from overflow.
_FAR = 1e5
# Up to this |log of a power| its slopes' whole part and the rest are added up apart.
_CLOSE = 0.5

_Unbiased = Annotated[bool, Param("means over pairs of different points (U-statistic): no bias, and below 0 at times")]

# Of squared distances: the sum within a sample and what it is divided by, and twice the mean between two.
_WITHIN = "sum({1} for row in {0}{0} for s in row)"
_PAIRS = "(len({0})*(len({0}) - unbiased))"
_BETWEEN = "2*sum({} for row in xy for s in row)/(len(x)*len(y))"
_KERNEL = "exp(-s/(2*bandwidth**2) if kernel == 'gaussian' else -sqrt(s)/bandwidth)"


def _inverse(r: Twofold) -> Twofold:
    """1/r, and 0 where r is 0: points that coincide have no slope."""
    apart = r.high > 0.0
    return (Twofold(np.ones_like(r.high), 0.0) / Twofold(np.where(apart, r.high, 1.0), r.low)).where(apart)


def _gauss(r: Twofold) -> tuple[Twofold, Twofold]:
    return exp_less_one((r * r).times(0.5))


_KERNELS = {
    "gaussian": Profile(
        values=(lambda r: _gauss(r)[0], lambda r: _gauss(r)[1]),
        slope=lambda r: -(r * _gauss(r)[1]),
        across=lambda r: -_gauss(r)[1],
        along=lambda r: (r * r - 1.0) * _gauss(r)[1],
    ),
    "laplacian": Profile(
        values=(lambda r: exp_less_one(r)[0], lambda r: exp_less_one(r)[1]),
        slope=lambda r: -exp_less_one(r)[1],
        across=lambda r: -(exp_less_one(r)[1] * _inverse(r)),
        along=lambda r: exp_less_one(r)[1].where(r.high > 0.0),
    ),
}
_NEGATIVE_DISTANCE = Profile(
    values=(lambda r: -r,),
    slope=lambda r: Twofold(-np.ones_like(r.high), np.zeros_like(r.high)),
    across=lambda r: -_inverse(r),
    along=lambda r: r.times(0.0),
)


def _kernel_meetings(x: Array, y: Array, *, kernel: str, **_: Any) -> Array:
    """Nothing for the Gaussian kernel, which is smooth."""
    return meetings(x, y) if kernel == "laplacian" else np.zeros((1, 1))


@loss(
    aliases=("maximum-mean-discrepancy",),
    reads=SAMPLES,
    formula=" + ".join(f"({_WITHIN} + (0 if unbiased else len({{0}})))/{_PAIRS}".format(name, _KERNEL) for name in "xy")
    + " - "
    + _BETWEEN.format(_KERNEL),
    slope="by a point of x 2/len(x) times the mean of the kernel's slopes by it to x's points less that to y's, by one"
    " of y likewise: its own sample repels it, the other attracts it; 0 for points that coincide",
    kinks=Kinks("two points coincide, under the Laplacian kernel", piece=_kernel_meetings),
    costly=True,
    sources=("Gretton et al. (2012), A kernel two-sample test, JMLR 13, eqs. 3 (unbiased) and 5",),
    peers=(
        "geomloss SamplesLoss('gaussian' or 'laplacian', blur=bandwidth) (half of it)",
        "sklearn rbf_kernel(gamma=1/(2 bandwidth²)), averaged (close samples: no digits; its laplacian takes |x - y|₁)",
    ),
)
def mmd(
    x: Array,
    y: Array,
    *,
    kernel: Annotated[
        str, Param("exp(-|x - y|²/(2 bandwidth²)) or exp(-|x - y|/bandwidth)", choices=("gaussian", "laplacian"))
    ] = "gaussian",
    bandwidth: Annotated[float, Param("the distance that the kernel reaches", above=0)] = 1.0,
    unbiased: _Unbiased = False,
) -> Batch:
    """Squared maximum mean discrepancy of two samples: the squared distance of their mean embeddings.

    The Laplacian kernel has no slope where two points coincide; 0 is taken. Unbiased, it needs two points per sample.
    """
    mantissa, power = np.frexp(bandwidth)

    def bring(distance: Twofold, exponent: int) -> Twofold:
        r = distance / float(mantissa)
        high, low = (np.ldexp(part, exponent - int(power)) for part in (r.high, r.low))
        far = high > _FAR
        return Twofold(np.where(far, _FAR, high), np.where(far, 0.0, low))

    made = Discrepancy(x, y, _KERNELS[kernel], bring, unbiased)
    return Batch(
        np.array([made.value()]),
        grad=lambda: tuple(slope / bandwidth for slope in made.grad()),
        hess=lambda: tuple(bend / bandwidth / bandwidth for bend in made.hess()),
    )


@loss(
    aliases=("energy-distance",),
    reads=SAMPLES,
    formula=_BETWEEN.format("sqrt(s)") + "".join(f" - {_WITHIN}/{_PAIRS}".format(name, "sqrt(s)") for name in "xy"),
    slope="by a point of x 2/len(x) times the mean unit vector to it from y's points less that from x's, by one of y"
    " likewise; 0 for points that coincide",
    kinks=Kinks("two points coincide", piece=lambda x, y, **_: meetings(x, y)),
    costly=True,
    sources=("Székely & Rizzo (2013), Energy statistics, doi:10.1016/j.jspi.2013.03.018, eq. 2.4 and section 4",),
    peers=(
        "scipy.stats.energy_distance (its square root; numbers, not vectors)",
        "geomloss SamplesLoss('energy') (half of it)",
    ),
)
def energy(x: Array, y: Array, *, unbiased: _Unbiased = False) -> Batch:
    """Energy distance: twice the mean distance between two samples, less the mean distances within each.

    Points that coincide have no slope; 0 is taken. Unbiased, it needs two points per sample.
    """
    made = Discrepancy(x, y, _NEGATIVE_DISTANCE, lambda distance, _: distance, unbiased)
    return Batch(
        np.ldexp([made.value()], made.exponent),
        grad=made.grad,
        hess=lambda: tuple(np.ldexp(bend, -made.exponent) for bend in made.hess()),
    )


def _power(size: Array, exponent: float) -> tuple[Array, Array]:
    """size^exponent as a whole number, 1 or 0, and the rest: close to 1 that has digits of its own."""
    growth = exponent * np.log(size)
    close = np.abs(growth) < _CLOSE
    return close.astype(np.float64), np.where(close, np.expm1(growth), size**exponent)


def _line_pieces(x: Array, y: Array, x_mass: Array | None, y_mass: Array | None, *, p: float) -> Array:
    """The order of both samples, and for p = 1 on which side of one another two numbers lie that go together."""
    pairs = Coupling.of(x, y, x_mass, y_mass)
    side = np.sign(x[pairs.at] - y[pairs.to]) if p == 1.0 else np.zeros(len(pairs.at))
    return np.concatenate([pairs.at, pairs.to, side])[None]


def _nothing(_: Array, __: Array, x_mass: Array | None, y_mass: Array | None, **___: Any) -> Fault | None:
    """A sample without any mass."""
    name = massless(x_mass, y_mass)
    return Fault(0, name, (), "domain", f"the masses of {name} are all 0") if name else None


@loss(
    aliases=("wasserstein", "earth-mover-1d"),
    reads=LINE,
    formula="sum(max(0, min(x_sums[i + 1]*y_sums[len(y)], y_sums[j + 1]*x_sums[len(x)])"
    " - max(x_sums[i]*y_sums[len(y)], y_sums[j]*x_sums[len(x)]))*abs(a - b)**p"
    " for i, (a, m) in enumerate(xx) for j, (b, n) in enumerate(yy))/(x_sums[len(x)]*y_sums[len(y)])",
    slope="by a number a of x p |a - b|^(p - 1) with the sign of a - b, times the share of mass that goes to b, added"
    " up over its b's; by one of y with that of b - a; 0 where a = b",
    check=_nothing,
    kinks=Kinks("two numbers of a sample are equal, or, for p = 1, two that go together", piece=_line_pieces),
    sources=("Villani (2003), Topics in Optimal Transportation, theorem 2.18 and remark 2.19",),
    peers=(
        "scipy.stats.wasserstein_distance (p = 1; u_weights and v_weights are the masses; no gradient)",
        "POT wasserstein_1d(p) and emd2_1d(p) (the p-th power too)",
    ),
)
def wasserstein_1d(
    x: Array,
    y: Array,
    x_mass: Array | None,
    y_mass: Array | None,
    *,
    p: Annotated[float, Param("the power of the distance that is paid", at_least=1)] = 1.0,
) -> Batch:
    """Least cost of moving one sample of numbers to the other, |x - y|^p per mass: W_p to the power of p.

    Masses are shares of their sample's sum. Equal numbers are taken in the order of their rows, and a number that is
    where it should be has slope 0 for p = 1.
    """
    pairs = Coupling.of(x, y, x_mass, y_mass)
    gap = x[pairs.at] - y[pairs.to]
    size, sign = np.abs(gap), np.sign(gap)

    def by(name: str, count: int) -> Array:
        # What is whole is counted, so that it cancels without a rounding.
        parts = _power(size, p - 1.0)
        whole, rest = (pairs.gather(pairs.mass * sign * part, name, count) for part in parts)
        return p * (whole + rest) / pairs.total

    def bend(name: str, count: int) -> Array:
        powers = size ** (p - 2.0) if p != 1.0 else np.zeros_like(size)
        return p * (p - 1.0) * pairs.gather(pairs.mass * powers, name, count) / pairs.total

    return Batch(
        np.array([(pairs.mass * size**p).sum() / pairs.total]),
        grad=lambda: (by("x", len(x)), -by("y", len(y))),
        hess=lambda: (bend("x", len(x)), bend("y", len(y))),
    )
