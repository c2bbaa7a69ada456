"""Losses of overlap between a predicted and a true mask: functions of sums over all pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from losscli.families.overlap import OVERLAP
from losscli.loss import Param, Pooled, loss
from losscli.stable import Array, log_cosh, sech2, times

_Smooth = Annotated[float, Param("added above and below the fraction", at_least=0)]
_Squared = Annotated[bool, Param("square the masks below the fraction")]
_Alpha = Annotated[float, Param("the weight of false positives", at_least=0)]
_Beta = Annotated[float, Param("the weight of false negatives", at_least=0)]

_DICE = (
    "1 - (2*sum(pj*tj for pj, tj in zip(p, t)) + smooth)"
    "/(sum((pj**2 + tj**2 if squared else pj + tj) for pj, tj in zip(p, t)) + smooth)"
)
_TVERSKY = (
    "1 - (sum(pj*tj for pj, tj in zip(p, t)) + smooth)"
    "/(sum(pj*tj + alpha*pj*(1 - tj) + beta*(1 - pj)*tj for pj, tj in zip(p, t)) + smooth)"
)


@dataclass(frozen=True)
class _Mismatch:
    """A mismatch over the total of itself, the overlap and the smoothing: what dice and its kin are.

    The mismatch is formed directly, never as what the overlap leaves of one, so a nearly perfect mask keeps its
    digits. ``terms`` are each pixel's parts of overlap and mismatch; ``slope(a, b)`` is a times the mismatch's slope
    by p less b times the overlap's, ``by_total`` the slope of the sum of the two, ``bend`` the second derivative of the
    mismatch.
    """

    terms: Callable[[], tuple[Array, Array]]
    slope: Callable[[Array, Array], Array]
    by_total: Callable[[], Array]
    smooth: float
    bend: float = 0.0

    @classmethod
    def dice(cls, p: Array, q: Array, t: Array, smooth: float, squared: bool) -> _Mismatch:
        """One with half the symmetric difference, or half the squared distance of the masks."""
        if not squared:
            return cls.tversky(p, q, t, 0.5, 0.5, smooth / 2.0)
        return cls(
            lambda: (p * t, (p - t) ** 2 / 2.0), lambda a, b: a * (p - t) - b * t, lambda: p, smooth / 2.0, bend=1.0
        )

    @classmethod
    def tversky(cls, p: Array, q: Array, t: Array, alpha: float, beta: float, smooth: float) -> _Mismatch:
        """One with weighted false positives and false negatives of a predicted mask p = 1 - q and a true mask t."""
        r = 1.0 - t

        def missed() -> Array:
            # Halves of both, as dice has them, are halves of the sum.
            return alpha * (p * r + q * t) if alpha == beta else alpha * (p * r) + beta * (q * t)

        return cls(
            lambda: (p * t, missed()),
            lambda a, b: (a * alpha) * r - (a * beta + b) * t,
            lambda: alpha * r + (1.0 - beta) * t,
            smooth,
        )

    def value(self, shared: Array, missed: Array) -> Array:
        """The loss, given the totals of overlap and mismatch."""
        return np.divide(missed, (shared + self.smooth) + missed)

    def grad(self, shared: Array, missed: Array) -> Array:
        """Its slopes by p."""
        kept = shared + self.smooth
        total = kept + missed
        slope = self.slope(np.divide(kept, total), np.divide(missed, total))
        # Not the shares themselves: of a total below all normal numbers they would be infinite.
        slope /= total
        return slope

    def hess(self, shared: Array, missed: Array) -> Array:
        """Its second derivatives by p."""
        kept = shared + self.smooth
        total = kept + missed
        return (self.bend * np.divide(kept, total) - 2.0 * self.grad(shared, missed) * self.by_total()) / total

    def power(self, shared: Array, missed: Array, exponent: float) -> Array:
        """The loss to a power, by what is left of one where the loss is close to it."""
        kept = shared + self.smooth
        left = np.divide(kept, kept + missed)
        near_one = np.exp(exponent * np.log1p(-np.minimum(left, 0.5)))
        return np.where(left < 0.5, near_one, self.value(shared, missed) ** exponent)

    def pooled(self) -> Pooled:
        """The loss itself."""
        return Pooled(self.terms, self.value, self.grad, self.hess)


@loss(
    aliases=("sorensen-dice",),
    reads=OVERLAP,
    formula=_DICE,
    slope="(1 - L - 2 tj)/D by pj, squared (2 pj (1 - L) - 2 tj)/D: L is the loss itself, D what its fraction is"
    " divided by",
    sources=("Dice (1945), doi:10.2307/1932409", "Milletari et al. (2016), V-Net, arXiv:1606.04797 (squared)"),
    peers=("keras Dice", "optax.losses.dice_loss", "MONAI DiceLoss", "segmentation_models DiceLoss"),
)
def dice(p: Array, q: Array, t: Array, *, smooth: _Smooth = 0.0, squared: _Squared = False) -> Pooled:
    """One minus twice the overlap of two masks over the sum of their sizes, pooled over all pixels.

    The value is the mismatch over the size, so a nearly perfect mask keeps its digits. Two empty masks without
    smoothing have no overlap to speak of: the value is not a number.
    """
    return _Mismatch.dice(p, q, t, smooth, squared).pooled()


@loss(
    reads=OVERLAP,
    formula="1 - (sum(pj*tj for pj, tj in zip(p, t)) + smooth)/(sum(pj + tj - pj*tj for pj, tj in zip(p, t)) + smooth)",
    slope="-1/D by pj for a true pixel, (1 - L)/D for a false one, a mean by tj in between: L is the loss itself, D"
    " what its fraction is divided by",
    sources=("Jaccard (1912), doi:10.1111/j.1469-8137.1912.tb05611.x",),
    peers=(
        "optax.losses.dice_loss(alpha=1, beta=1)",
        "MONAI DiceLoss(jaccard=True)",
        "segmentation_models JaccardLoss",
        "sklearn.metrics.jaccard_score (one minus it; hard masks)",
    ),
)
def jaccard(p: Array, q: Array, t: Array, *, smooth: _Smooth = 0.0) -> Pooled:
    """One minus the overlap of two masks over their union, pooled over all pixels.

    Two empty masks without smoothing have no union: the value is not a number.
    """
    return _Mismatch.tversky(p, q, t, 1.0, 1.0, smooth).pooled()


@loss(
    reads=OVERLAP,
    formula=_TVERSKY,
    slope="((1 - L) (alpha (1 - tj) + (1 - beta) tj) - tj)/D by pj: L is the loss itself, D what its fraction is"
    " divided by",
    sources=("Tversky (1977), doi:10.1037/0033-295X.84.4.327", "Salehi et al. (2017), arXiv:1706.05721"),
    peers=(
        "keras Tversky (up to 3.15.1 its alpha and beta change places)",
        "optax.losses.dice_loss(alpha, beta)",
        "MONAI TverskyLoss",
        "segmentation_models TverskyLoss",
    ),
)
def tversky(p: Array, q: Array, t: Array, *, alpha: _Alpha = 0.5, beta: _Beta = 0.5, smooth: _Smooth = 0.0) -> Pooled:
    """One minus the overlap of two masks over itself and the weighted false positives and negatives.

    Dice at alpha = beta = 1/2 (with half its smoothing), Jaccard at 1. As in the paper alpha weighs the false
    positives; some libraries have it the other way round. Where nothing is predicted, true or smoothed the value is
    not a number.
    """
    return _Mismatch.tversky(p, q, t, alpha, beta, smooth).pooled()


@loss(
    reads=OVERLAP,
    formula=f"({_TVERSKY})**gamma",
    slope="gamma L^(gamma - 1) times the slope of tversky, L that loss: for gamma below 1 the steeper, the nearer the"
    " masks",
    sources=("Abraham & Khan (2019), doi:10.1109/ISBI.2019.8759329 (1/gamma there, with gamma = 4/3)",),
    peers=(
        "segmentation_models TverskyLoss(gamma)",
        "MONAI AsymmetricFocalTverskyLoss (two classes; the exponent is 1 - gamma)",
    ),
)
def focal_tversky(
    p: Array,
    q: Array,
    t: Array,
    *,
    gamma: Annotated[float, Param("the exponent: below 1 it dwells on small mismatches", above=0)] = 0.75,
    alpha: _Alpha = 0.5,
    beta: _Beta = 0.5,
    smooth: _Smooth = 0.0,
) -> Pooled:
    """Tversky loss of two masks to the power of gamma, pooled over all pixels.

    With gamma below 1 the slope grows without limit towards a perfect mask, and there it is infinite: it is given as
    such, and as 0 for a pixel that moves nothing. The paper weighs false positives 0.3 and false negatives 0.7.
    """
    inner = _Mismatch.tversky(p, q, t, alpha, beta, smooth)

    def value(shared: Array, missed: Array) -> Array:
        return inner.power(shared, missed, gamma)

    def grad(shared: Array, missed: Array) -> Array:
        return times(inner.grad(shared, missed), gamma * inner.power(shared, missed, gamma - 1.0))

    def hess(shared: Array, missed: Array) -> Array:
        slope, curve = inner.grad(shared, missed), inner.hess(shared, missed)
        bend = (gamma - 1.0) * slope**2 + inner.value(shared, missed) * curve
        return times(bend, gamma * inner.power(shared, missed, gamma - 2.0))

    return Pooled(inner.terms, value, grad, hess)


@loss(
    reads=OVERLAP,
    formula=f"log(cosh({_DICE}))",
    slope="tanh(L) times the slope of dice, L that loss: towards 0 as the masks come to agree",
    sources=("Jadon (2020), arXiv:2006.14822",),
    peers=("none of torch, keras, optax, MONAI and segmentation_models; SemSegLoss log_cosh_dice_loss (smooth = 1)",),
)
def log_cosh_dice(p: Array, q: Array, t: Array, *, smooth: _Smooth = 0.0, squared: _Squared = False) -> Pooled:
    """Logarithm of the hyperbolic cosine of the Dice loss of two masks, pooled over all pixels.

    Half the square of the Dice loss where that is small, so flat at a perfect mask; log(cosh(1)) = 0.4338 where the
    masks have nothing in common.
    """
    inner = _Mismatch.dice(p, q, t, smooth, squared)

    def value(shared: Array, missed: Array) -> Array:
        return log_cosh(inner.value(shared, missed))

    def grad(shared: Array, missed: Array) -> Array:
        return np.tanh(inner.value(shared, missed)) * inner.grad(shared, missed)

    def hess(shared: Array, missed: Array) -> Array:
        miss, slope = inner.value(shared, missed), inner.grad(shared, missed)
        return sech2(miss) * slope**2 + np.tanh(miss) * inner.hess(shared, missed)

    return Pooled(inner.terms, value, grad, hess)
