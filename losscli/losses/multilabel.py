"""Multi-label losses of a row: each of its classes is true or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from losscli.families.binary import expected
from losscli.families.multilabel import LABEL_LISTS, MULTILABEL
from losscli.inputs import Bools, Ints
from losscli.loss import Kinks, Mixture, Rows, loss
from losscli.stable import Array, row_sums


@loss(
    aliases=("multi-label-soft-margin",),
    reads=MULTILABEL,
    formula="-sum(tj*log(pj) + (1 - tj)*log(1 - pj) for pj, tj in zip(p, t))/len(p)",
    slope="pj - tj by each class's logit and minus that logit by its target, both over the number of classes",
    convex=True,
    sources=("Good (1952), Rational decisions, JRSS B 14(1); once per class",),
    peers=("torch.nn.MultiLabelSoftMarginLoss", "optax.sigmoid_binary_cross_entropy, the mean over the classes"),
)
def multilabel_soft_margin(yes: Array, no: Array, t: Array, odds: Callable[[], Array]) -> Rows:
    """Mean over the classes of their binary cross-entropies in nats."""
    classes = t.shape[1]
    return Rows(
        row_sums(expected(t, yes, no)) / classes,
        grad=lambda: Mixture.of(t, lambda: -odds() / classes, 1.0 / classes),
        hess=lambda: (np.zeros_like(t), np.zeros_like(t)),
    )


def _shortfalls(z: Array, lists: Ints) -> Iterator[tuple[Ints, Array]]:
    """For each place in the lists the class that stands there, and what it lacks to lead each false class by 1."""
    rows, false = np.arange(len(z)), np.array(z)
    for own in lists.T:
        # A true class is far below any that others should lead.
        false[rows[own >= 0], own[own >= 0]] = -np.inf
    for own in lists.T:
        lead = np.where(own >= 0, z[rows, own], np.inf)
        short = false - lead[:, None]
        short += 1.0
        yield own, np.clip(short, 0.0, np.inf, out=short)


def _pieces(z: Array, lists: Ints) -> Bools:
    return np.concatenate([short > 0.0 for _, short in _shortfalls(z, lists)], axis=1)


@loss(
    aliases=("multi-label-margin",),
    reads=LABEL_LISTS,
    formula="sum(max(0, 1 - zj + zi) for y in listed for j, zj in enumerate(z) if j == y"
    " for i, zi in enumerate(z) if i not in listed)/len(z)",
    slope="by a false class's logit how many listed classes lead it by less than 1, by a listed one's minus how many"
    " false ones it leads by less than 1; over len(z), and 0 on a kink",
    kinks=Kinks("a true class leads a false one by exactly 1", piece=_pieces),
    sources=("Crammer & Singer (2003), A family of additive online algorithms for category ranking, JMLR 3",),
    peers=("torch.nn.MultiLabelMarginLoss",),
)
def multilabel_margin(z: Array, lists: Ints) -> Rows:
    """Shortfalls below 1 of each true class's lead over each false one, summed and divided by the classes.

    A list ends at its first -1; a class that stands in it twice counts twice. Slopes on a kink are taken as 0.
    """
    rows, classes = np.arange(len(z)), z.shape[1]

    def grad() -> Array:
        slope = np.zeros_like(z)
        for own, short in _shortfalls(z, lists):
            lifted = (short > 0.0).astype(np.float64)
            slope += lifted
            slope[rows, own] -= row_sums(lifted)
        return slope / classes

    value = sum((row_sums(short) for _, short in _shortfalls(z, lists)), np.zeros(len(z)))
    return Rows(value / classes, grad, hess=lambda: np.zeros_like(z))
