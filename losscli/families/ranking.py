"""Ranking: scores and relevance of the documents of each query."""

from __future__ import annotations

from losscli.families.plain import plain
from losscli.inputs import IDENTITY, REAL, Array, Fold, Groups, Input, Link, Signature


def ranking(scores: Array, relevance: Array, groups: Groups) -> Fold:
    """Scores, relevance and the groups of rows that belong to one query."""
    return plain("scores", "relevance", "query")(scores, relevance, groups)


RANKING = Signature(
    "ranking",
    (
        Input("scores", REAL, differentiable=True, help="one score per document (N)"),
        Input("relevance", REAL, help="graded relevance per document (N)"),
        Input("query", IDENTITY, help="which query each document belongs to (N)"),
    ),
    "groups",
    {"values": Link(ranking)},
)
