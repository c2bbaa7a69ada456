"""Numbers that nobody looks for before there is a loss are refused all the same, by the entry that is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from accuracy import rng_of

from losscli.errors import DataError
from losscli.evaluate import evaluate, plan_of
from losscli.loss import Loss, get
from losscli.plan import How
from losscli.reveals import revealing
from losscli.verifier.points import draw

ROWS = 40


def test_what_is_outside_its_domain_is_named_whether_or_not_it_reveals_itself(entry: Loss) -> None:
    rng = rng_of(entry.name)
    for link in entry.reads.links:
        data = draw(entry.reads, rng, link, rows=ROWS)
        for name in entry.reads.differentiable:
            for bad in (np.nan, np.inf, -np.inf):
                if data.get(name) is None or not entry.reads.domain(name, link).outside(np.full((1, 2), bad)).all():
                    continue
                array = np.array(data[name], dtype=np.float64)
                at = tuple(int(rng.integers(n)) for n in array.shape)
                array[at] = bad
                with pytest.raises(DataError) as caught:
                    evaluate(entry.bind(), {**data, name: array}, how=How(link=link))
                assert caught.value.code == "domain"
                assert caught.value.place is not None
                assert (caught.value.place.file, caught.value.place.index) == (name, at)


@pytest.mark.parametrize(
    ("name", "params", "found"),
    [
        ("mse", {}, ("prediction", "target")),
        ("tukey", {}, ()),
        ("zero-one-tolerance", {}, ()),
        ("bce", {}, ("logits",)),
        ("asymmetric", {}, ()),
        ("cosine", {}, ()),
        ("euclidean", {}, ("x", "y")),
        ("ce", {}, ("logits",)),
        ("hinge", {}, ()),
        ("gce", {"q": 1.0}, ("logits",)),
    ],
)
def test_a_loss_that_is_bounded_reveals_nothing(name: str, params: dict[str, float], found: tuple[str, ...]) -> None:
    loss = get(name)
    data = draw(loss.reads, rng_of(name), loss.reads.default_link, rows=3)
    assert revealing(loss.bind(**params), plan_of(loss.bind(**params), data)) == found


def test_smoothed_targets_reveal_no_less() -> None:
    """The loss of a target between 0 and 1 mixes both outcomes: one of them is infinite."""
    bound, data = get("bce").bind(), {"logits": np.array([0.5, np.inf]), "target": np.array([1.0, 1.0])}
    with pytest.raises(DataError, match="logits must be a finite number, not inf"):
        evaluate(bound, data, how=How(label_smoothing=0.1))
