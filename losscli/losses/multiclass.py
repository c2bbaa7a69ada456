"""Multi-class losses.

The likelihood losses are written in the surprise of a class, s = -log p_y in nats: the fold gives the chain rule to
logits, log-probabilities or probabilities, and to soft labels as the mean over the classes. Those that are linear or
a power in p_y itself read it beside s, and give partial derivatives by s and by log p_y.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from losscli.families.classes import CHANCE, DEVIATION, LIKELIHOOD, LIKELIHOOD_OF_PROBS, LOG_LIKELIHOOD, SCORES
from losscli.inputs import Ints
from losscli.loss import Kinks, Param, Rows, loss
from losscli.losses.focal import focus
from losscli.stable import Array, positive_part, row_sums, surplus


@loss(
    aliases=("cross-entropy", "softmax"),
    reads=LIKELIHOOD,
    formula="-log(p)",
    slope="the softmax of the logits less the one-hot or soft label: of a hard one p - 1 for the true class, its"
    " probability for any other",
    convex=True,
    lipschitz=2.0,
    sources=("Good (1952), Rational decisions, JRSS B 14(1)", "Bridle (1990), doi:10.1007/978-3-642-76153-9_28"),
    peers=(
        "torch.nn.CrossEntropyLoss",
        "optax.softmax_cross_entropy",
        "keras CategoricalCrossentropy",
        "sklearn log_loss",
    ),
)
def ce(s: Array) -> Rows:
    """Cross-entropy in nats, the negative log-probability of the true class."""
    return Rows(s, grad=lambda: np.ones_like(s), hess=lambda: np.zeros_like(s))


@loss(
    aliases=("negative-log-likelihood",),
    reads=LOG_LIKELIHOOD,
    formula="-log(p)",
    slope="-1 by the true class's log-probability and 0 by all others, each a free variable; minus a soft label",
    sources=("Fisher (1922), doi:10.1098/rsta.1922.0009",),
    peers=("torch.nn.NLLLoss",),
)
def nll(s: Array) -> Rows:
    """Negative log-likelihood in nats, from log-probabilities taken as free variables."""
    return Rows(s, grad=lambda: np.ones_like(s), hess=lambda: np.zeros_like(s))


@loss(
    reads=LIKELIHOOD_OF_PROBS,
    formula="-log(p)",
    slope="-1/p by the true class's probability and 0 by all others, each a free variable; of soft labels -vj/pj",
    sources=("Good (1952), Rational decisions, JRSS B 14(1)",),
    peers=(
        "sklearn log_loss (clips at the machine epsilon: a true class of probability 0 costs 36, not infinity)",
        "keras CategoricalCrossentropy(from_logits=False) (divides by the sum, clips to [1e-7, 1 - 1e-7])",
    ),
)
def log_loss(s: Array) -> Rows:
    """Negative log-probability of the true class in nats, from probabilities taken as free variables.

    Nothing is clipped: a true class of probability 0 costs infinity. With `ce` the same numbers come from scores.
    """
    return Rows(s, grad=lambda: np.ones_like(s), hess=lambda: np.zeros_like(s))


@loss(
    reads=LIKELIHOOD,
    formula="-alpha*(1 - p)**gamma*log(p)",
    slope="the softmax of the logits less the one-hot label, times alpha (1 - p)^gamma (1 - gamma p log(p)/(1 - p))",
    sources=("Lin et al. (2017), Focal loss for dense object detection, arXiv:1708.02002, eq. 4 and 5",),
    peers=(
        "keras CategoricalFocalCrossentropy (alpha = 0.25 unless said; one per class is --class-weight here)",
        "MONAI FocalLoss(use_softmax=True)",
    ),
)
def softmax_focal(
    s: Array,
    *,
    gamma: Annotated[float, Param("how much well-classified samples are discounted", at_least=0)] = 2.0,
    alpha: Annotated[float, Param("factor of the whole loss", above=0)] = 1.0,
) -> Rows:
    """Cross-entropy discounted by (1 - p)^gamma, p the softmax probability of the true class."""
    view = focus(s, gamma)
    return Rows(alpha * view.value, grad=lambda: alpha * view.slope(), hess=lambda: alpha * view.curve())


@loss(
    reads=CHANCE,
    formula="-log(p) + epsilon*(1 - p)",
    slope="the softmax of the logits less the one-hot label, times 1 + epsilon p: furthest from that of ce where p is"
    " near 1",
    sources=("Leng et al. (2022), PolyLoss, arXiv:2204.12511",),
    peers=("optax.losses.poly_loss_cross_entropy", "rax poly1_softmax_loss (epsilon = 1 unless said)"),
)
def poly1(
    s: Array,
    p: Array,
    *,
    epsilon: Annotated[float, Param("what is added to the series' first coefficient", at_least=-1)] = 2.0,
) -> Rows:
    """Cross-entropy with epsilon added to the coefficient of 1 - p, the first of its series in powers of 1 - p."""
    doubt = -np.expm1(-s)
    if epsilon < 0.0:
        # -log p starts as 1 - p too: what a negative epsilon takes away is taken away from the series itself.
        left = 1.0 + epsilon
        return Rows(
            (left * s if left else 0.0) - epsilon * surplus(s),
            grad=lambda: (left - epsilon * doubt, np.zeros_like(p)),
            hess=lambda: (-epsilon * p, np.zeros_like(p)),
        )
    return Rows(
        s + epsilon * doubt,
        grad=lambda: (np.ones_like(s), -epsilon * p),
        hess=lambda: (np.zeros_like(s), -epsilon * p),
    )


@loss(
    aliases=("generalized-cross-entropy",),
    reads=CHANCE,
    formula="(1 - p**q)/q",
    slope="the softmax of the logits less the one-hot label, times p^q: that of ce, the weaker, the less the label is"
    " believed",
    sources=("Zhang & Sabuncu (2018), Generalized cross entropy loss, arXiv:1805.07836",),
    peers=("keras CategoricalGeneralizedCrossEntropy (q = 0.5 unless said; its slope is NaN at p = 0)",),
)
def gce(
    s: Array,
    p: Array,
    *,
    q: Annotated[float, Param("how robust: 1 gives 1 - p, towards 0 cross-entropy", above=0, at_most=1)] = 0.7,
) -> Rows:
    """Generalized cross-entropy (1 - p^q)/q, between the absolute error and the cross-entropy."""

    def power() -> Array:
        """p^q, also where p itself has left the normal numbers."""
        lost = (p < np.finfo(np.float64).tiny) & np.isfinite(s)
        return np.where(lost, np.exp(-q * s), p**q) if lost.any() else p**q

    return Rows(
        -np.expm1(-q * s) / q,
        grad=lambda: (np.zeros_like(s), -power()),
        hess=lambda: (np.zeros_like(s), -q * power()),
    )


@loss(
    aliases=("sce", "symmetric-cross-entropy"),
    reads=CHANCE,
    formula="-alpha*log(p) + beta*ceiling*(1 - p)",
    slope="the softmax of the logits less the one-hot label, times alpha + beta ceiling p",
    sources=("Wang et al. (2019), Symmetric cross entropy for robust learning with noisy labels, arXiv:1908.06112",),
    peers=("the authors' SCELoss (clips p at 1e-7; its log 0 is log(1e-4) = -9.21)",),
)
def symmetric_ce(
    s: Array,
    p: Array,
    *,
    alpha: Annotated[float, Param("weight of the cross-entropy of the labels", at_least=0)] = 0.1,
    beta: Annotated[float, Param("weight of the reverse cross-entropy", at_least=0)] = 1.0,
    ceiling: Annotated[float, Param("what -log 0 of a label is taken for: the paper's -A", above=0)] = 4.0,
) -> Rows:
    """Cross-entropy plus the reverse one, from prediction to label, where log 0 of a label is a constant.

    The reverse one of a hard label is ceiling·(1 - p); soft labels mix the losses of hard ones.
    """
    slant = beta * ceiling
    return Rows(
        (alpha * s if alpha else 0.0) - slant * np.expm1(-s),
        grad=lambda: (np.full_like(s, alpha), -slant * p),
        hess=lambda: (np.zeros_like(s), -slant * p),
    )


@loss(
    reads=DEVIATION,
    formula="sum((pj - vj)**2 for pj, vj in zip(p, v))",
    slope="2 pj (dj - sum of pk dk) by the logit of class j, d = p - v being what the softmax exceeds the label by",
    sources=("Brier (1950), doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2",),
    peers=("sklearn brier_score_loss(scale_by_half=False)",),
)
def brier(d: Array) -> Rows:
    """Squared distance between the class probabilities and the labels, summed over the classes."""
    return Rows(row_sums(d * d), grad=lambda: 2.0 * d, hess=lambda: np.full_like(d, 2.0))


@loss(
    aliases=("error-rate",),
    reads=SCORES,
    formula="0 if z[y] >= max(z) else 1",
    slope="0 by all logits: the value is flat on both sides of its jump, where the true class ties with a rival",
    kinks=Kinks(
        "the true class ties with the strongest rival", piece=lambda z, y: _own(z, y) >= z.max(axis=1), jump=True
    ),
    sources=("Wald (1939), doi:10.1214/aoms/1177732144",),
    peers=("sklearn zero_one_loss",),
)
def zero_one(z: Array, y: Ints) -> Rows:
    """One where a rival scores above the true class, else zero; a tie counts as right."""
    value = (_own(z, y) < z.max(axis=1)).astype(np.float64)
    return Rows(value, grad=lambda: np.zeros_like(z), hess=lambda: np.zeros_like(z))


@loss(
    aliases=("crammer-singer",),
    reads=SCORES,
    formula="max(0, 1 + max(zj for j, zj in enumerate(z) if j != y) - z[y])",
    slope="1 by the strongest rival's logit and -1 by the true class's while the lead is below 1, else 0; of rivals"
    " that tie the first",
    kinks=Kinks(
        "the strongest rival trails the true class by exactly 1, or several rivals tie",
        piece=lambda z, y: _front(z, y, 1.0),
    ),
    convex=True,
    lipschitz=2.0,
    sources=("Crammer & Singer (2001), Multiclass kernel-based vector machines, JMLR 2:265-292",),
    peers=(
        "optax.losses.multiclass_hinge_loss",
        "sklearn hinge_loss (three and more classes)",
        "keras CategoricalHinge (lets a 0 compete for the strongest rival)",
    ),
)
def multiclass_hinge(z: Array, y: Ints) -> Rows:
    """Shortfall below 1 of the true class's lead over its strongest rival.

    Its slope is taken as 0 where the lead is 1, and is the first rival's where several tie.
    """
    return _lead_over_strongest(z, y, 1.0)


@loss(
    reads=SCORES,
    formula="max(z) - z[y]",
    slope="1 by the highest logit and -1 by the true class's where that is lower, else 0; of rivals that tie the first",
    kinks=Kinks("the true class ties with its strongest rival, or rivals tie", piece=lambda z, y: _front(z, y, 0.0)),
    convex=True,
    lipschitz=2.0,
    sources=("Collins (2002), Discriminative training methods for hidden Markov models, doi:10.3115/1118693.1118694",),
    peers=("optax.losses.multiclass_perceptron_loss",),
)
def multiclass_perceptron(z: Array, y: Ints) -> Rows:
    """How far the true class's score lies below the highest one.

    Its slope is taken as 0 where the true class ties for the lead, and is the first rival's where several tie.
    """
    return _lead_over_strongest(z, y, 0.0)


@loss(
    reads=SCORES,
    formula="sum(max(0, margin - z[y] + zj)**p for j, zj in enumerate(z) if j != y)/len(z)",
    slope="by a rival's logit 1, for p = 2 twice its shortfall, where it has one, and by the true class's minus the"
    " sum of these; over len(z), and 0 on a kink",
    kinks=Kinks(
        "p = 1 and a rival trails the true class by exactly the margin",
        piece=lambda z, y, *, p, margin: _shortfall(z, y, margin) > 0 if p == 1 else np.zeros(len(z)),
    ),
    convex=True,
    sources=("Weston & Watkins (1999), Support vector machines for multi-class pattern recognition, ESANN",),
    peers=("torch.nn.MultiMarginLoss",),
)
def multi_margin(
    z: Array,
    y: Ints,
    *,
    p: Annotated[int, Param("power of each shortfall", at_least=1, at_most=2)] = 1,
    margin: Annotated[float, Param("lead that the true class should have")] = 1.0,
) -> Rows:
    """Shortfalls of the true class's lead over each rival, to the power p, summed and divided by the classes."""
    rows, classes = np.arange(len(z)), z.shape[1]
    short = positive_part(_shortfall(z, y, margin))

    def spread(per_rival: Array, sign: float) -> Array:
        per_rival[rows, y] = sign * row_sums(per_rival)
        return per_rival / classes

    return Rows(
        row_sums(short if p == 1 else short * short) / classes,
        grad=lambda: spread((short > 0).astype(np.float64) if p == 1 else 2.0 * short, -1.0),
        hess=lambda: spread(2.0 * (p - 1) * (short > 0).astype(np.float64), 1.0),
    )


def _own(z: Array, y: Ints) -> Array:
    return np.asarray(z[np.arange(len(z)), y])


def _shortfall(z: Array, y: Ints, margin: float) -> Array:
    short = z - _own(z, y)[:, None]
    short += margin
    # The true class is no rival of its own: far below any kink.
    short[np.arange(len(z)), y] = -np.inf
    return short


def _lead_over_strongest(z: Array, y: Ints, margin: float) -> Rows:
    """What the true class's lead over its strongest rival lacks of a margin."""
    rows = np.arange(len(z))
    short = _shortfall(z, y, margin)
    strongest = short.argmax(axis=1)
    worst = short[rows, strongest]

    def grad() -> Array:
        slope, active = np.zeros_like(z), (worst > 0.0).astype(np.float64)
        slope[rows, strongest] = active
        slope[rows, y] = -active
        return slope

    return Rows(positive_part(worst), grad=grad, hess=lambda: np.zeros_like(z))


def _front(z: Array, y: Ints, margin: float) -> Ints:
    """The strongest rival's index while the true class's lead over it falls short of a margin, else -1."""
    short = _shortfall(z, y, margin)
    return np.where(short.max(axis=1) > 0.0, short.argmax(axis=1), -1)
