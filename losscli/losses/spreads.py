"""Likelihoods of a predicted mean and a predicted spread: what is left of a miss once the spread has paid for it."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np

from losscli.families.spreads import MEAN_SCALE, MEAN_VARIANCE
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array


@loss(
    reads=MEAN_VARIANCE,
    formula="log(max(variance, eps))/2 + r**2/(2*max(variance, eps)) + (log(2*pi)/2 if full else 0)",
    slope="r/v by the mean, the opposite by the target, and (1 - r²/v)/(2v) by the variance, v = max(variance, eps);"
    " up to eps it is 0 by the variance",
    kinks=Kinks("variance = eps", piece=lambda r, v, eps, full: v > eps),  # noqa: ARG005
    sources=("Nix & Weigend (1994), doi:10.1109/ICNN.1994.374138, eq. 6",),
    peers=("torch.nn.GaussianNLLLoss (eps = 1e-6, and a slope by the variance below eps)",),
)
def gaussian_nll(
    r: Array,
    v: Array,
    *,
    full: Annotated[bool, Param("add log(2π)/2, which makes it the negative log-likelihood")] = False,
    eps: Annotated[float, Param("what the variance counts for at least", at_least=0)] = 0.0,
) -> Rows:
    """Negative Gaussian log-likelihood of the target, without the constant log(2π)/2 unless full.

    Up to eps the variance has no say: its slope is 0 there, at eps itself too.
    """
    size, free = np.maximum(v, eps), v > eps
    miss = r / size
    value = (np.log(size) + r * miss) / 2.0
    return Rows(
        value + math.log(2.0 * math.pi) / 2.0 if full else value,
        grad=lambda: (miss, np.where(free, (1.0 - r * miss) / size / 2.0, 0.0)),
        hess=lambda: (1.0 / size, np.where(free, (r * miss - 0.5) / size / size, 0.0)),
    )


@loss(
    reads=MEAN_SCALE,
    formula="log(2*scale) + abs(r)/scale",
    slope="the sign of r over the scale by the mean, 0 at r = 0, and the opposite by the target; (1 - |r|/scale)/scale"
    " by the scale",
    kinks=Kinks("mean = target", piece=lambda r, b: r > 0),  # noqa: ARG005
    sources=("Laplace (1774), doi:10.1214/ss/1177013621 (translated)",),
    peers=("torch.distributions.Laplace (negative log_prob)", "scipy.stats.laplace (negative logpdf)"),
)
def laplace_nll(r: Array, b: Array) -> Rows:
    """Negative log-likelihood of the target under a Laplace distribution; its slope at mean = target is taken as 0."""
    miss = np.abs(r) / b
    return Rows(
        np.log(2.0 * b) + miss,
        grad=lambda: (np.sign(r) / b, (1.0 - miss) / b),
        hess=lambda: (np.zeros_like(r), (2.0 * miss - 1.0) / b / b),
    )
