"""Divergences between distributions, each row one distribution; in nats. 0 · log 0 = 0."""

from __future__ import annotations

import numpy as np

from losscli.families.distributions import DISTRIBUTION, DISTRIBUTIONS
from losscli.loss import Rows, loss
from losscli.stable import Array, log_ratio, over, row_sums, times, xlogy


@loss(
    aliases=("shannon",),
    reads=DISTRIBUTION,
    formula="-sum(pj*log(pj) for pj in p)",
    sources=("Shannon (1948), doi:10.1002/j.1538-7305.1948.tb01338.x",),
    peers=("scipy.stats.entropy(pk)", "torch.distributions.Categorical.entropy"),
)
def entropy(p: Array) -> Rows:
    """Shannon entropy in nats, the mean surprise of a distribution."""
    return Rows(
        -row_sums(xlogy(p, p)),
        grad=lambda: (-(np.log(p) + 1.0),),
        hess=lambda: (-1.0 / p,),
    )


@loss(
    aliases=("kullback-leibler", "relative-entropy"),
    reads=DISTRIBUTIONS,
    formula="sum(pj*log(pj/qj) for pj, qj in zip(p, q))",
    sources=("Kullback & Leibler (1951), doi:10.1214/aoms/1177729694",),
    peers=("torch.nn.KLDivLoss", "optax.kl_divergence", "keras KLDivergence", "scipy.stats.entropy(pk, qk)"),
)
def kl(p: Array, q: Array) -> Rows:
    """Kullback-Leibler divergence of p from q in nats, the surprise that believing q adds when p is true."""
    ratio = log_ratio(p, q)
    return Rows(
        row_sums(times(p, ratio)),
        grad=lambda: (ratio + 1.0, -over(p, q)),
        hess=lambda: (1.0 / p, over(p, q * q)),
    )


@loss(
    aliases=("jensen-shannon",),
    reads=DISTRIBUTIONS,
    formula="sum(pj*log(2*pj/(pj + qj)) + qj*log(2*qj/(pj + qj)) for pj, qj in zip(p, q))/2",
    sources=("Lin (1991), doi:10.1109/18.61115, eq. 4.1",),
    peers=("scipy.spatial.distance.jensenshannon (its square)",),
)
def js(p: Array, q: Array) -> Rows:
    """Jensen-Shannon divergence in nats: the mean divergence of p and q from their midpoint."""
    total = p + q
    lean = over(p - q, total)
    # p = m(1+l), q = m(1-l): each term is even in l and starts at l², which only this form keeps.
    near = 2.0 * lean * np.arctanh(lean) + np.log1p(-lean * lean)
    far = times(1.0 + lean, np.log1p(lean)) + times(1.0 - lean, np.log1p(-lean))
    terms = total * np.where(np.abs(lean) < 0.5, near, far) / 4.0
    return Rows(
        row_sums(terms),
        grad=lambda: (log_ratio(2.0 * p, total) / 2.0, log_ratio(2.0 * q, total) / 2.0),
        hess=lambda: (over(q, p * total) / 2.0, over(p, q * total) / 2.0),
    )
