"""Which inputs need no look before there is a loss, as what is wrong with them shows in it.

A pass over a block to find its least and its largest number takes as long as the arithmetic of a simple loss. Where
an infinite or missing number cannot leave a loss finite, the sum of the losses tells for nothing that all is well.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from losscli.inputs import Array
from losscli.loss import Bound, Rows
from losscli.plan import Plan

_BAD = (np.inf, -np.inf, np.nan)
_SOME = (-1.0, 0.0, 0.5, 1.0)


def revealing(bound: Bound, plan: Plan) -> tuple[str, ...]:
    """The inputs of which an entry outside its domain makes its row's loss infinite or NaN, whatever the others hold.

    The link names the candidates. Whether the loss is bounded there, as Tukey's is, is asked of the loss itself, with
    the parameters in force: of scores with labels the fold makes a NaN, which no kernel loses.
    """
    link, signature = plan.way(), plan.signature
    if not link.reveals or signature.layout == "classes":
        return link.reveals
    if bound.loss.check is not None:
        return ()
    domains = [signature.domain(entry.name, plan.link) for entry in signature.inputs]
    good = [[x for x in domain.members or _SOME if domain.low <= x <= domain.high] for domain in domains]
    tried = [[*_BAD, *some] if name in link.reveals else some for name, some in zip(signature.names, good, strict=True)]
    rows = np.array([row for row in product(*tried) if not np.isfinite(row).all()])
    with np.errstate(all="ignore"):
        fold = link.fold(*(_laid(column, signature.layout == "rows") for column in rows.T))
        kernel = bound(*fold.variables)
        if not isinstance(kernel, Rows):
            return ()
        value = fold.combine(kernel.value) if fold.combine else kernel.value
    return () if np.isfinite(value).any() else link.reveals


def _laid(column: Array, vectors: bool) -> Array:
    """One entry per row, or a vector of it and of a number that nothing is wrong with."""
    return np.stack([column, np.full_like(column, 0.5)], axis=1) if vectors else column
