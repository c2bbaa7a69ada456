"""Information and divergences of distributions, each row one distribution; in nats, or by ``base``. 0 · log 0 = 0.

A kernel's slopes are by what was given, probabilities, log-probabilities or logits: see families/shares.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import numpy as np

from losscli.families.distributions import DISTRIBUTION, DISTRIBUTIONS, EVENTS, MASSES
from losscli.families.pairs import Pair
from losscli.families.shares import SMALL, Given
from losscli.inputs import Bools
from losscli.loss import Kinks, Param, Rows, loss
from losscli.stable import Array, norm, over, row_sums, sigmoid, softplus, times

Base = Annotated[float | None, Param("base of the logarithm: 2 for bits; natural without", above=1)]
_IN_BASE = "/(1 if base == None else log(base))"
_COVER = "Cover & Thomas (2006), Elements of information theory, 2nd ed., doi:10.1002/047174882X"


# Up to here the sum of the two terms of a lean loses a bit or two.
_FAR = 0.9


def _in_base(base: float | None, rows: Rows) -> Rows:
    if base is None:
        return rows
    unit, hess = math.log(base), rows.hess
    return Rows(rows.value / unit, _over_unit(rows.grad, unit), hess and _over_unit(hess, unit))


def _over_unit(slopes: Callable[[], Array | tuple[Array, ...]], unit: float) -> Callable[[], tuple[Array, ...]]:
    return lambda: tuple(slope / unit for slope in slopes())


@loss(
    aliases=("surprisal", "shannon-information"),
    reads=EVENTS,
    formula="-log(p)" + _IN_BASE,
    slope="-1/p by the probability, over log(base) where one is given: the rarer, the steeper",
    sources=("Shannon (1948), doi:10.1002/j.1538-7305.1948.tb01338.x", _COVER),
    peers=("torch.distributions log_prob (its negative)", "scipy.stats logpmf (its negative)"),
)
def self_information(s: Array, *, base: Base = None) -> Rows:
    """Surprise of an event, the negative logarithm of its probability."""
    return _in_base(base, Rows(s, grad=lambda: (np.ones_like(s),), hess=lambda: (np.zeros_like(s),)))


@loss(
    aliases=("shannon",),
    reads=DISTRIBUTION,
    formula=f"-sum(pj*log(pj) for pj in p){_IN_BASE}",
    slope="-log(pj) - 1 by each probability as a free variable, over log(base) where one is given",
    sources=("Shannon (1948), doi:10.1002/j.1538-7305.1948.tb01338.x",),
    peers=("scipy.stats.entropy(pk, base=)", "scipy.special.entr (its sum)", "torch.distributions.Categorical.entropy"),
)
def entropy(p: Given, *, base: Base = None) -> Rows:
    """Shannon entropy, the mean surprise of a distribution."""
    plus = p.offset - 1.0
    rows = Rows(
        row_sums(times(p.p, p.surprise)),
        grad=lambda: (p.along(p.above, plus),),
        hess=lambda: (p.bend(p.above, plus, -1.0),),
    )
    return _in_base(base, rows)


@loss(
    reads=DISTRIBUTIONS,
    formula=f"-sum(pj*log(qj) for pj, qj in zip(p, q)){_IN_BASE}",
    slope="-log(qj) by pj and -pj/qj by qj, each a free variable, over log(base) where one is given",
    sources=("Good (1952), Rational decisions, JRSS B 14(1)", _COVER),
    peers=("keras CategoricalCrossentropy (clips q to [1e-7, 1 - 1e-7])", "optax.softmax_cross_entropy (q's logits)"),
)
def cross_entropy_probs(pair: Pair, *, base: Base = None) -> Rows:
    """Mean surprise of who believes q when p is true: the entropy of p and the divergence from q."""
    p, q = pair.p, pair.q
    rows = Rows(
        row_sums(times(p.p, q.surprise)),
        grad=lambda: (p.along(q.above, q.offset), -q.pull(p.p, pair.ratio)),
        hess=lambda: (p.bend(q.above, q.offset, 0.0), -q.pull_bend(p.p)),
    )
    return _in_base(base, rows)


@loss(
    aliases=("kullback-leibler", "relative-entropy"),
    reads=DISTRIBUTIONS,
    formula=f"sum(pj*log(pj/qj) for pj, qj in zip(p, q)){_IN_BASE}",
    slope="log(pj/qj) + 1 by pj and -pj/qj by qj, each a free variable, over log(base) where one is given",
    sources=("Kullback & Leibler (1951), doi:10.1214/aoms/1177729694",),
    peers=(
        "torch.nn.KLDivLoss (q as log-probabilities, by class unless batchmean)",
        "optax.kl_divergence (q as log-probabilities)",
        "keras KLDivergence (clips both to [1e-7, 1])",
        "scipy.stats.entropy(pk, qk, base=) (divides both by their sums)",
        "scipy.special.rel_entr (its sum)",
    ),
)
def kl(pair: Pair, *, base: Base = None) -> Rows:
    """Kullback-Leibler divergence of p from q, the surprise that believing q adds when p is true."""
    return _in_base(base, _relative(pair))


def _relative(pair: Pair) -> Rows:
    p, q = pair.p, pair.q
    return Rows(
        row_sums(pair.gain if pair.bound else times(p.p, pair.ratio)),
        grad=lambda: (p.along(pair.lead, 1.0), -q.pull(p.p, pair.ratio)),
        hess=lambda: (p.bend(pair.lead, 1.0, 1.0), -q.pull_bend(p.p)),
    )


@loss(
    aliases=("i-divergence",),
    reads=MASSES,
    formula="sum(pj*log(pj/qj) - pj + qj for pj, qj in zip(p, q))",
    slope="log(pj/qj) by pj and 1 - pj/qj by qj: 0 where the masses agree",
    sources=("Csiszár (1991), doi:10.1214/aos/1176348385",),
    peers=(
        "scipy.special.kl_div (its sum)",
        "optax.convex_kl_divergence (q as log-masses)",
        "sklearn NMF kullback-leibler",
    ),
)
def generalized_kl(pair: Pair) -> Rows:
    """Kullback-Leibler divergence in nats between masses that need not sum to one."""
    p, q, ratio = pair.p, pair.q, pair.ratio
    return Rows(
        row_sums(pair.gain),
        grad=lambda: (p.along(ratio), -q.rise(p.p, ratio)),
        hess=lambda: (p.bend(ratio, 0.0, 1.0), q.bend(np.ones_like(ratio), 0.0, 0.0) - q.pull_bend(p.p)),
    )


def _root(size: Array, rows: Rows) -> Rows:
    """The square root of a loss, which is known; its slope at 0 is taken as 0."""
    length = size[:, None]

    def grad() -> tuple[Array, ...]:
        return tuple(over(slope, 2.0 * length) for slope in rows.grad())

    def hess() -> tuple[Array, ...]:
        assert rows.hess is not None
        curves = (
            over(curve, 2.0 * length) - over(slope**2, length) for curve, slope in zip(rows.hess(), grad(), strict=True)
        )
        return tuple(np.where(length > 0.0, curve, 0.0) for curve in curves)

    return Rows(size, grad, hess)


def _coincide(pair: Pair) -> Bools:
    return np.asarray((pair.gap == 0.0).all(axis=1))


def _lean(pair: Pair, part: Given, sign: float) -> Array:
    """log(2 part/(p + q)), but for a number per row where the pair is bound; the sign is 1 for p and -1 for q."""
    if not pair.bound:
        gap = sign * pair.gap
        # From the smaller of the two the quotient grows, so that the sign is all that depends on which it is.
        made = np.copysign(np.log1p(over(np.abs(gap), np.minimum(pair.p.p + pair.q.p, 2.0 * part.p))), gap)
        tiny = part.p < SMALL
        if not tiny.any():
            return made
        ratio = sign * pair.ratio
        return np.where(tiny & (ratio < -1.0), ratio + (math.log(2.0) - np.log1p(np.exp(ratio))), made)
    ratio = sign * pair.ratio
    # -log(1 + q/p) less that of the most probable class, which the others may be close to.
    rows, top = np.arange(len(ratio)), part.p.argmax(axis=1)
    ahead = sign * (pair.lead[rows, top][:, None] - pair.lead)
    fall = softplus(-ratio)
    close = np.log1p(sigmoid(-ratio[rows, top])[:, None] * np.expm1(ahead))
    return -np.where(np.abs(ahead) < 1.0, close, fall - fall[rows, top][:, None])


@loss(
    aliases=("jensen-shannon",),
    reads=DISTRIBUTIONS,
    formula="(sum(pj*log(2*pj/(pj + qj)) + qj*log(2*qj/(pj + qj)) for pj, qj in zip(p, q))/2"
    f"{_IN_BASE})**(1/2 if root else 1)",
    slope="log(2 pj/(pj + qj))/2 by pj and log(2 qj/(pj + qj))/2 by qj, over log(base); under a root over twice that"
    " root, 0 at p = q",
    kinks=Kinks("p = q, under a root", piece=lambda pair, *, root, base: _coincide(pair) & root),  # noqa: ARG005
    sources=("Lin (1991), doi:10.1109/18.61115, eq. 4.1", "Endres & Schindelin (2003), doi:10.1109/TIT.2003.813506"),
    peers=("scipy.spatial.distance.jensenshannon(base=) (always the root; divides both by their sums)",),
)
def js(
    pair: Pair,
    *,
    root: Annotated[bool, Param("take the square root, which is a metric")] = False,
    base: Base = None,
) -> Rows:
    """Jensen-Shannon divergence: the mean divergence of p and q from their midpoint.

    Its root has the slope 0 at p = q. Beside it, where two classes hold nearly all of p and q, the root's second
    derivative by logits is what is left of terms far larger, and has fewer digits.
    """
    p, q, gap = pair.p, pair.q, pair.gap
    total = p.p + q.p
    lean = over(gap, total)
    # p = m(1+l), q = m(1-l): each term is even in l and starts at l², which only this form keeps.
    terms = 2.0 * lean * np.arctanh(lean) + np.log1p(-lean * lean)
    # Few classes lean so far that it would cancel: they are picked out, as choosing costs more than the arithmetic.
    flat = lean.ravel("K")
    far = np.flatnonzero(np.abs(flat) > _FAR)
    steep = flat[far]
    terms.ravel("K")[far] = times(1.0 + steep, np.log1p(steep)) + times(1.0 - steep, np.log1p(-steep))

    def slopes() -> tuple[Array, Array]:
        return _lean(pair, p, 1.0) / 2.0, _lean(pair, q, -1.0) / 2.0

    def grad() -> tuple[Array, Array]:
        by_p, by_q = slopes()
        return p.along(by_p), q.along(by_q)

    def hess() -> tuple[Array, Array]:
        by_p, by_q = slopes()
        return p.bend(by_p, 0.0, over(q.p, total) / 2.0), q.bend(by_q, 0.0, over(p.p, total) / 2.0)

    rows = Rows(row_sums(total * terms) / 4.0, grad, hess)
    if not root:
        return _in_base(base, rows)
    # Where l² has no digits left, or vanishes, its root is |l|.
    size = norm(np.sqrt(total) * np.where(np.abs(lean) < 1e-8, np.abs(lean), np.sqrt(terms)))[:, 0] / 2.0
    return _root(size if base is None else size / math.sqrt(math.log(base)), _in_base(base, rows))


@loss(
    reads=DISTRIBUTIONS,
    formula="sqrt(sum((sqrt(pj) - sqrt(qj))**2 for pj, qj in zip(p, q))/2)",
    slope="(1 - √(qj/pj))/(4L) by pj and (1 - √(pj/qj))/(4L) by qj, L the distance itself; 0 at p = q",
    kinks=Kinks("p = q", piece=_coincide),
    sources=("Hellinger (1909), doi:10.1515/crll.1909.136.210",),
    peers=("gensim.matutils.hellinger", "OpenCV HISTCMP_BHATTACHARYYA", "scipy euclidean (of the roots, over √2)"),
)
def hellinger(pair: Pair) -> Rows:
    """Hellinger distance: half the squared distance of the probabilities' roots, under a root; from 0 to 1."""
    apart = pair.root_gap
    length = norm(apart)
    half = pair.tilt(0.5)
    rows = Rows(
        length[:, 0] ** 2 / 2.0,
        grad=lambda: tuple(-slope for slope in half.slopes()),
        hess=lambda: tuple(-curve for curve in half.bends()),
    )
    rooted = _root(length[:, 0] / math.sqrt(2.0), rows)
    return Rows(rooted.value, rooted.grad, pair.distance_bends or rooted.hess)


@loss(
    reads=DISTRIBUTIONS,
    formula=f"-log(sum(sqrt(pj*qj) for pj, qj in zip(p, q))){_IN_BASE}",
    slope="-√(qj/pj)/(2S) by pj and -√(pj/qj)/(2S) by qj, S being the sum of √(pq); over log(base) where one is given",
    sources=("Bhattacharyya (1943), Bulletin of the Calcutta Mathematical Society 35:99-109",),
    peers=("OpenCV HISTCMP_BHATTACHARYYA (in spite of its name, hellinger)", "dit bhattacharyya_coefficient (in it)"),
)
def bhattacharyya(pair: Pair, *, base: Base = None) -> Rows:
    """Bhattacharyya distance: the negative logarithm of the sum of √(pq); half of renyi with alpha = 1/2."""
    half = pair.tilt(0.5)
    rows = Rows(
        0.0 - half.log_mass[:, 0],
        grad=lambda: tuple(-slope for slope in half.log_slopes()),
        hess=lambda: tuple(-curve for curve in half.log_bends()),
    )
    return _in_base(base, rows)


@loss(
    aliases=("variational-distance",),
    reads=DISTRIBUTIONS,
    formula="sum(abs(pj - qj) for pj, qj in zip(p, q))/2",
    slope="half the sign of pj - qj by pj, the opposite by qj; 0 where they agree",
    kinks=Kinks("p and q agree on a class", piece=lambda pair: np.sign(pair.gap)),
    sources=("Levin, Peres & Wilmer (2009), Markov chains and mixing times, section 4.1",),
    peers=("scipy.spatial.distance.cityblock (twice it)", "dit variational_distance"),
)
def total_variation(pair: Pair) -> Rows:
    """Largest difference between the probabilities of p and q for any event: half the sum of the differences' sizes.

    Where p and q agree on a class, the sign of their difference is taken as 0.
    """
    p, q, gap = pair.p, pair.q, pair.gap
    side = np.sign(gap) / 2.0
    return Rows(
        row_sums(np.abs(gap)) / 2.0,
        grad=lambda: (p.along(side), q.along(-side)),
        hess=lambda: (p.bend(side, 0.0, 0.0), q.bend(-side, 0.0, 0.0)),
    )


@loss(
    aliases=("chi-squared", "pearson-divergence"),
    reads=DISTRIBUTIONS,
    formula="sum((pj - qj)**2/qj for pj, qj in zip(p, q))",
    slope="2 (pj/qj - 1) by pj and 1 - (pj/qj)² by qj, each a free variable",
    sources=("Pearson (1900), doi:10.1080/14786440009463897",),
    peers=(
        "scipy.stats.chisquare(p, q) (its statistic)",
        "OpenCV HISTCMP_CHISQR (over the first, not the second)",
        "sklearn additive_chi2_kernel (over the sum of both, negative)",
    ),
)
def chi2(pair: Pair) -> Rows:
    """Pearson's chi-squared divergence of p from q: the squared relative error of p as a guess of q, on average."""
    both = pair.tilt(2.0)
    return Rows(row_sums(pair.square()), grad=both.slopes, hess=both.bends)


@loss(
    reads=DISTRIBUTIONS,
    formula="(log(sum(pj**alpha*qj**(1 - alpha) for pj, qj in zip(p, q)))/(alpha - 1)"
    f" if alpha != 1 else sum(pj*log(pj/qj) for pj, qj in zip(p, q))){_IN_BASE}",
    slope="alpha/(alpha - 1) wj/pj by pj and -wj/qj by qj, wj the share of pj^alpha qj^(1 - alpha) in its sum; that of"
    " kl at alpha = 1; over log(base)",
    sources=(
        "Rényi (1961), On measures of entropy and information, Proc. 4th Berkeley Symposium 1:547-561",
        "van Erven & Harremoës (2014), doi:10.1109/TIT.2014.2320500",
    ),
    peers=("dit renyi_divergence (in bits)",),
)
def renyi(
    pair: Pair,
    *,
    alpha: Annotated[float, Param("the order: 1 is kl, 1/2 twice bhattacharyya", above=0)] = 2.0,
    base: Base = None,
) -> Rows:
    """Rényi divergence of p from q of order alpha, the larger the order the more the largest ratio p/q counts."""
    if alpha == 1.0:
        return _in_base(base, _relative(pair))
    order = alpha - 1.0
    tilt = pair.tilt(alpha)
    rows = Rows(
        tilt.log_mass[:, 0] / order,
        grad=lambda: tuple(slope / order for slope in tilt.log_slopes()),
        hess=lambda: tuple(curve / order for curve in tilt.log_bends()),
    )
    return _in_base(base, rows)
