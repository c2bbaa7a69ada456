"""What boosting libraries give their trees: conventions that no single row of numbers shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import losscli
from losscli.dialects import like
from losscli.evaluate import plan_of
from losscli.results import Result, Wants

RNG = np.random.default_rng(7)
QUERIES = {
    "scores": RNG.normal(size=60),
    "relevance": RNG.integers(0, 4, 60).astype(float),
    "query": np.repeat(np.arange(10), 6),
}


def hessian(name: str, peer: str, data: dict[str, list[float]], wrt: str, **options: object) -> Result:
    bound = like(losscli.get(name), peer).bind()
    return losscli.evaluate(bound, data, wants=Wants(grad=wrt, hess=wrt), reduction="sum", **options)  # type: ignore[arg-type]


def test_queries_of_lightgbms_xendcg_count_on_from_block_to_block() -> None:
    bound = like(losscli.get("xendcg"), "lightgbm").bind()
    whole = plan_of(bound, QUERIES)
    parts = replace(whole, block_rows=12)
    assert len(list(parts.spans())) > 1
    ours, theirs = (losscli.evaluate(bound, made, wants=Wants(grad="scores")) for made in (whole, parts))
    assert ours.value == theirs.value
    np.testing.assert_array_equal(ours.gradient, theirs.gradient)


def test_a_query_of_one_document_has_no_slope() -> None:
    data = {"scores": [0.3], "relevance": [2.0]}
    for name, peer in (("xendcg", "lightgbm"), ("lambdarank", "lightgbm"), ("ranknet", "xgboost")):
        found = hessian(name, peer, data, "scores")
        assert (found.gradient, found.hessian) == ([0.0], [0.0])


@pytest.mark.parametrize("peer", ["lightgbm", "xgboost"])
def test_a_surrogate_hessian_is_times_the_weight(peer: str) -> None:
    data = {"prediction": [1.0, 2.0, 3.0], "target": [0.0, 2.5, 7.0]}
    found = hessian("mae", peer, data, "prediction", sample_weight=[0.5, 2.0, 3.0])
    assert found.hessian is not None
    assert found.hessian.tolist() == [0.5, 2.0, 3.0]


def test_xgboosts_hinge_has_the_least_normal_float_for_a_hessian_beyond_the_margin() -> None:
    found = hessian("hinge", "xgboost", {"score": [0.5, 1.0, 2.0], "label": [1.0, 1.0, 1.0]}, "score")
    assert found.hessian is not None
    assert found.hessian.tolist() == [1.0, 2.0**-126, 2.0**-126]


def test_the_least_hessian_of_xgboost_is_that_of_a_row_without_its_weight() -> None:
    found = hessian("bce", "xgboost", {"logits": [100.0], "target": [1.0]}, "logits", sample_weight=[3.0])
    assert found.hessian == pytest.approx([3e-16], rel=1e-15)
