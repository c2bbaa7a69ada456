"""Losses of counts and scales: a rate, or its logarithm, against what was counted."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.counts import COUNT
from losscli.loss import Param, Rows, loss
from losscli.stable import Array, log_factorial, xlogy


@loss(
    reads=COUNT,
    formula="rate - t*log(rate) + (lgamma(t + 1) if full else 0)",
    slope="rate - t by the prediction, the logarithm of the rate: what is expected less what was counted",
    convex=True,
    sources=("Nelder & Wedderburn (1972), doi:10.2307/2344614",),
    peers=("torch.nn.PoissonNLLLoss", "keras Poisson", "sklearn HalfPoissonLoss", "LightGBM poisson"),
)
def poisson(
    rate: Array,
    log_rate: Array,
    t: Array,
    *,
    full: Annotated[bool, Param("add log(t!), which makes it the negative log-likelihood")] = False,
) -> Rows:
    """Negative Poisson log-likelihood of a count, without the constant log(t!) unless full.

    torch's ``full`` adds Stirling's approximation; here log(t!) is exact.
    """
    value = rate - (xlogy(t, rate) if np.isneginf(log_rate).any() else t * log_rate)
    return Rows(
        value + log_factorial(t) if full else value,
        grad=lambda: (np.ones_like(rate), -t),
        hess=lambda: (np.zeros_like(rate), np.zeros_like(t)),
    )
