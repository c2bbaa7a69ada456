"""Binary losses, written in the surprises of the two outcomes or in their probabilities.

``yes`` = -log p and ``no`` = -log(1 - p), both in nats; t in [0, 1] is the weight of the first. A kernel's last slope
is that by t, the difference of the losses of the two outcomes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np

from losscli.families.binary import BINARY, expected
from losscli.families.outcomes import OUTCOMES, Outcomes
from losscli.inputs import Bools
from losscli.loss import Kinks, Mixture, Param, Rows, Seldom, loss
from losscli.losses.focal import focus
from losscli.stable import Array, over, surplus, times


def _lead(a: float, yes: Array, b: float, no: Array, apart: Callable[[], Array]) -> Array:
    """a yes - b no, by ``apart``, which is yes - no with all of its digits, where the two nearly cancel."""
    plain: Array = np.asarray(a * yes if a else 0.0) - np.asarray(b * no if b else 0.0)
    if not 0.5 * b <= a <= 2.0 * b:
        return plain
    return np.where((yes < 4.0 * no) & (no < 4.0 * yes), b * apart() + (a - b) * yes, plain)


def _sure(odds: Array, yes: Array, no: Array) -> tuple[Array, Array]:
    """The losses of both outcomes, also of one that cannot be where it has no weight."""
    return np.where(np.isneginf(odds), np.inf, yes), np.where(np.isposinf(odds), np.inf, no)


def _discounted(odds: Array, yes: Array, no: Array, gamma: float, other: float) -> Array:
    """q^γ yes - p^η no as p^η ((e^x - 1) yes + (yes - no)) with x = log(q^γ/p^η) = (η - γ) no - η (no - yes)."""
    return np.exp(-other * yes) * (np.expm1((other - gamma) * no - other * odds) * yes - odds)


@loss(
    aliases=("binary-cross-entropy", "log-loss-binary"),
    reads=BINARY,
    formula="-pos_weight*t*log(p) - (1 - t)*log(1 - p)",
    slope="p - t by the logit and minus the logit itself by the target; with a weight (1 - t) p - pos_weight t (1 -"
    " p), and log(1 - p) - pos_weight log(p)",
    convex=True,
    sources=("Good (1952), Rational decisions, JRSS B 14(1)",),
    peers=("torch.nn.BCEWithLogitsLoss", "torch.nn.BCELoss", "optax.sigmoid_binary_cross_entropy", "sklearn log_loss"),
)
def bce(
    yes: Array,
    no: Array,
    t: Array,
    odds: Callable[[], Array],
    *,
    pos_weight: Annotated[float, Param("weight of the positive outcome", above=0)] = 1.0,
) -> Rows:
    """Binary cross-entropy in nats, the negative log-probability of the outcome."""

    def flat() -> tuple[Array, Array]:
        return np.zeros_like(t), np.zeros_like(t)

    if pos_weight == 1.0:
        return Rows(expected(t, yes, no), grad=lambda: Mixture.of(t, lambda: -odds()), hess=flat)
    positive, negative = pos_weight * t, 1.0 - t

    def by_target() -> Array:
        z = odds()
        first, second = _sure(z, yes, no)
        return _lead(pos_weight, first, 1.0, second, lambda: -z)

    return Rows(positive * yes + negative * no, grad=lambda: Seldom((positive, negative, by_target)), hess=flat)


@loss(
    aliases=("sigmoid-focal",),
    reads=BINARY,
    formula="-(1 if alpha == None else alpha)*t*(1 - p)**gamma*log(p)"
    " - (1 if alpha == None else 1 - alpha)*(1 - t)*p**gamma*log(1 - p)",
    slope="(1 - t) p^gamma (p - gamma (1 - p) log(1 - p)) - t (1 - p)^gamma (1 - p - gamma p log(p)) by the logit,"
    " with alpha each outcome times its weight; by the target the loss at t = 1 less that at t = 0",
    sources=("Lin et al. (2017), Focal loss for dense object detection, arXiv:1708.02002, eq. 5",),
    peers=("torchvision sigmoid_focal_loss", "optax.sigmoid_focal_loss", "keras BinaryFocalCrossentropy"),
)
def focal(
    yes: Array,
    no: Array,
    t: Array,
    odds: Callable[[], Array],
    *,
    gamma: Annotated[float, Param("how much well-classified samples are discounted", at_least=0)] = 2.0,
    alpha: Annotated[
        float | None, Param("weight of the positive outcome, 1 - alpha the other's", at_least=0, at_most=1)
    ] = None,
) -> Rows:
    """Binary cross-entropy with each outcome discounted by its own probability of being right, to the power gamma.

    A soft target t mixes the two outcomes' losses, t and 1 - t.
    """
    positive = t if alpha is None else alpha * t
    negative = 1.0 - t if alpha is None else (1.0 - alpha) * (1.0 - t)
    right, wrong = focus(yes, gamma), focus(no, gamma)

    def by_target() -> Array:
        a, b = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
        z = odds()
        first, second = _sure(z, right.value, wrong.value)
        return _lead(a, first, b, second, lambda: _discounted(z, yes, no, gamma, gamma))

    return Rows(
        positive * right.value + negative * wrong.value,
        grad=lambda: Seldom((lambda: positive * right.slope(), lambda: negative * wrong.slope(), by_target)),
        hess=lambda: (times(positive, right.curve()), times(negative, wrong.curve())),
    )


@loss(
    reads=OUTCOMES,
    formula="-t*(log(p) - epsilon*(1 - p)) - (1 - t)*(log(q) - epsilon*(1 - q))",
    slope="(1 - t) p (1 + epsilon q) - t q (1 + epsilon p) by the logit; log(q/p) + epsilon (q - p) by the target",
    sources=("Leng et al. (2022), PolyLoss, arXiv:2204.12511",),
    peers=("optax.poly_loss_cross_entropy of the logits (z, 0)", "rax.poly1_softmax_loss (epsilon = 1 unless said)"),
)
def poly1_bce(
    view: Outcomes,
    t: Array,
    *,
    epsilon: Annotated[float, Param("weight of the probability of the other outcome", at_least=-1)] = 2.0,
) -> Rows:
    """Binary cross-entropy plus epsilon times the probability of the wrong outcome.

    A soft target t mixes the two outcomes' losses, t and 1 - t.
    """
    p, q, u = view.p, view.q, 1.0 - t

    def loss(surprise: Array, doubt: Array) -> Array:
        if epsilon >= 0.0:
            return surprise + epsilon * doubt
        # A surprise starts as the doubt does: what epsilon takes away is taken away from their difference.
        left = 1.0 + epsilon
        return (left * surprise if left else 0.0) - epsilon * surplus(surprise)

    def tilt(p: Array, q: Array) -> Array:
        """1 + ε p."""
        return 1.0 + epsilon * p if epsilon >= 0.0 else (1.0 + epsilon) - epsilon * q

    def bend(side: float) -> Array:
        """1 + ε (p - q) for side 1, 1 - ε (p - q) for side -1: from what is small of p, q and p - 1/2."""
        slant = side * epsilon
        middle = 1.0 + 2.0 * slant * view.lean()
        return np.where(
            p < 0.25, (1.0 - slant) + 2.0 * slant * p, np.where(q < 0.25, (1.0 + slant) - 2.0 * slant * q, middle)
        )

    def slope() -> Array:
        yes, no = t * tilt(p, q), u * tilt(q, p)
        return no * p - yes * q if view.logit else over(no, q) - over(yes, p)

    def by_target() -> Array:
        return -view.odds() - 2.0 * epsilon * view.lean()

    def hess() -> Array:
        return p * q * (t * bend(1.0) + u * bend(-1.0)) if view.logit else over(t, p * p) + over(u, q * q)

    return Rows(t * loss(view.yes, q) + u * loss(view.no, p), lambda: Seldom((slope, by_target)), hess)


def _shifted(view: Outcomes, clip: float) -> Array:
    """max(0, p - clip)."""
    x = view.p - clip
    if view.logit:
        # What is nearly 1/2 or 1 says more by its distance from there.
        x = np.where(view.p < 0.25, x, view.lean() + (0.5 - clip))
        x = np.where(view.q < 0.25, (1.0 - clip) - view.q, x)
    return np.maximum(x, 0.0)


def _flat(view: Outcomes, _: Array, *, gamma_pos: float, gamma_neg: float, clip: float) -> Bools:  # noqa: ARG001
    kinked = gamma_neg == 0.0 and clip > 0.0
    return _shifted(view, clip) == 0.0 if kinked else np.zeros(view.p.shape, dtype=np.bool_)


@loss(
    aliases=("asl",),
    reads=OUTCOMES,
    formula="-t*(1 - p)**gamma_pos*log(p) - (1 - t)*max(0, p - clip)**gamma_neg*log(1 - max(0, p - clip))",
    slope="(1 - t) p q x^gamma_neg (1/(1 - x) - gamma_neg log(1 - x)/x) - t q^gamma_pos (q - gamma_pos p log(p)) by"
    " the logit, x = max(0, p - clip), the first term 0 at x = 0; by the target the loss at t = 1 less that at t = 0",
    kinks=Kinks("gamma_neg = 0 and p = clip", piece=_flat),
    sources=("Ridnik et al. (2021), Asymmetric loss for multi-label classification, arXiv:2009.14119",),
    peers=(
        "Alibaba-MIIL ASL AsymmetricLoss (a sum; logarithms cut off at 1e-8; its gradient may hold the factors still)",
        "timm AsymmetricLossMultiLabel",
    ),
)
def asymmetric(
    view: Outcomes,
    t: Array,
    *,
    gamma_pos: Annotated[float, Param("how much well-classified positives are discounted", at_least=0)] = 1.0,
    gamma_neg: Annotated[float, Param("how much well-classified negatives are discounted", at_least=0)] = 4.0,
    clip: Annotated[float, Param("probability up to which a negative costs nothing", at_least=0, below=1)] = 0.05,
) -> Rows:
    """Binary focal loss with a focus of its own for negatives, which cost nothing up to a probability of clip.

    A soft target t mixes the two outcomes' losses, t and 1 - t. The slope at p = clip is taken as 0.
    """
    p, q, u = view.p, view.q, 1.0 - t
    hit = focus(view.yes, gamma_pos)
    # For negatives p is replaced by x; rest = 1 - x.
    x, rest = _shifted(view, clip), q + clip
    surprise = np.where(x < 0.5, -np.log1p(-x), -np.log(rest)) if clip else view.no
    ratio = np.where(x == 0.0, 1.0, surprise / x)
    share, lost = (q / rest, clip / rest) if clip else (np.ones_like(q), np.zeros_like(q))
    live = x > 0.0 if clip else np.ones(x.shape, dtype=np.bool_)
    factor = np.where(live, x**gamma_neg, 0.0)

    def slope() -> Array:
        if view.logit:
            return u * (factor * p * (gamma_neg * ratio * q + share)) - t * (q * hit.slope())
        return times(u, factor * (gamma_neg * times(rest, ratio) + 1.0) / rest) - times(t, hit.slope() / p)

    def by_target() -> Array:
        z, yes, no = view.odds(), hit.value, factor * surprise
        yes, sure = _sure(z, yes, no)
        if clip:
            return yes - no
        return _lead(1.0, yes, 1.0, sure, lambda: _discounted(z, view.yes, view.no, gamma_pos, gamma_neg))

    def hess() -> Array:
        # As for focal, the curvature of 0 < gamma < 1 is truly infinite where x is 0.
        steep = gamma_neg * np.where(live, x ** (gamma_neg - 1.0), 0.0) if gamma_neg else np.zeros_like(x)
        if view.logit:
            turn = p * q * ((gamma_neg - 1.0) * ratio * q + 2.0 * share) - 2.0 * view.lean() * q * x * ratio
            miss = times(p, factor * share * (q - p * lost) + steep * turn)
            return u * miss + t * (times(q * q, hit.curve()) + p * q * hit.slope())
        miss = (factor / rest + steep * ((gamma_neg - 1.0) * times(rest, ratio) + 2.0)) / rest
        return times(u, miss) + times(t, (hit.slope() + hit.curve()) / (p * p))

    return Rows(times(t, hit.value) + times(u, factor * surprise), lambda: Seldom((slope, by_target)), hess)


@loss(
    aliases=("binary-error",),
    reads=OUTCOMES,
    formula="t if p <= 1/2 else 1 - t",
    slope="0 by the logit, the value being flat on both sides of its jump at p = 1/2; by the target 1 where p <= 1/2,"
    " else -1",
    kinks=Kinks("p = 1/2", piece=lambda view, _: view.lean() > 0.0, jump=True),
    sources=("Wald (1939), doi:10.1214/aoms/1177732144",),
    peers=("sklearn zero_one_loss", "keras BinaryAccuracy (1 - it)", "LightGBM binary_error", "XGBoost error"),
)
def binary_zero_one(view: Outcomes, t: Array) -> Rows:
    """One where the more probable outcome is not the target, else zero; a probability of 1/2 says no.

    A soft target t mixes the two outcomes' losses, t and 1 - t.
    """
    yes = view.lean() > 0.0
    return Rows(
        np.where(yes, 1.0 - t, t),
        grad=lambda: Seldom((np.zeros_like(t), lambda: np.where(yes, -1.0, 1.0))),
        hess=lambda: np.zeros_like(t),
    )
