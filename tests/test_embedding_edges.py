"""Edges of the losses of embeddings: pairs at a margin, zero vectors, and batches that are hard to tell apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from accuracy import Draw, check

from losscli.errors import DataError, UsageError
from losscli.evaluate import evaluate
from losscli.families import embedding
from losscli.inputs import Array
from losscli.loss import get
from losscli.plan import How
from losscli.results import Wants

LABELLED = ("nt-xent", "supcon", "circle")
IN_BATCH = (*LABELLED, "info-nce", "n-pairs")
TWO_VIEWS = np.array([0, 0, 1, 1, 2, 2])
THREE = np.repeat(np.eye(3), 2, axis=0)


def both(name: str, data: dict[str, Any], wrt: str = "", **params: Any) -> tuple[float, Array]:
    """The value, and the gradient by the first input or the one named."""
    result = evaluate(get(name).bind(**params), data, wants=Wants(grad=wrt or get(name).reads.names[0]))
    assert result.gradient is not None
    return float(result.value), result.gradient


def in_batch(name: str, x: Array, labels: Any = TWO_VIEWS, **params: Any) -> tuple[float, Array]:
    """A loss of a batch by its labels, or of queries and keys that are the same."""
    names = get(name).reads.names
    return both(name, {names[0]: x, names[1]: labels if name in LABELLED else x}, **params)


@pytest.mark.parametrize(("distance", "slope"), [(0.5, -1.0), (1.0, 0.0), (1.5, 0.0)])
def test_the_slope_at_the_margin_is_zero(distance: float, slope: float) -> None:
    # torch says -1 at the margin itself: its clamp passes the whole slope there.
    made = both("hinge-embedding", {"distance": np.array([distance]), "label": np.array([-1])})
    assert made == (max(0.0, 1.0 - distance), slope)
    ranked = {"x1": np.array([distance]), "x2": np.array([0.0]), "label": np.array([1])}
    assert both("margin-ranking", ranked, margin=1.0) == made
    assert both("margin-ranking", {**ranked, "label": np.array([-1])}, margin=1.0) == (1.0 + distance, 1.0)


def test_a_label_of_neither_sign_is_refused() -> None:
    # torch adds both terms of the hinge embedding, 1.0 for a distance of 0.3, and says 0 for the cosine embedding.
    with pytest.raises(DataError, match="-1 or 1"):
        both("hinge-embedding", {"distance": np.array([0.3]), "label": np.array([0])})
    zero_one = How(zero_one_labels=True)
    data = {"distance": np.array([0.3]), "label": np.array([0])}
    assert evaluate(get("hinge-embedding").bind(), data, how=zero_one).value == 0.7


def test_a_pair_that_coincides_has_no_slope() -> None:
    x = np.array([[1.0, 2.0], [1.0, 2.0]])
    data = {"x": x, "y": x, "label": np.array([1, 0])}
    result = evaluate(get("contrastive").bind(margin=2.0), data, reduction="none", wants=Wants(grad="x", hess="x"))
    np.testing.assert_array_equal(result.value, [0.0, 2.0])
    np.testing.assert_array_equal(result.gradient, np.zeros((2, 2)))
    np.testing.assert_array_equal(result.hessian, [[1.0, 1.0], [0.0, 0.0]])


def test_a_pair_is_pushed_no_further_than_the_margin() -> None:
    data = {"x": np.array([[3.0, 4.0], [0.3, 0.4]]), "y": np.zeros((2, 2)), "label": np.zeros(2)}
    result = evaluate(get("contrastive").bind(), data, reduction="none", wants=Wants(grad="x"))
    np.testing.assert_allclose(result.value, [0.0, 0.125], rtol=1e-15)
    np.testing.assert_allclose(result.gradient, [[0.0, 0.0], [-0.3, -0.4]], rtol=1e-15)


@pytest.mark.parametrize("label", [-1, 1])
def test_a_zero_vector_has_the_cosine_zero_and_no_slope(label: int) -> None:
    data = {"x": np.array([[0.0, 0.0]]), "y": np.array([[1.0, 0.0]]), "label": np.array([label])}
    # torch's slope is -1e6: it adds 1e-12 under the root.
    for wrt in ("x", "y"):
        value, slope = both("cosine-embedding", data, wrt, margin=-0.5)
        assert value == (1.0 if label == 1 else 0.5)
        assert not slope.any()


@pytest.mark.parametrize(
    ("margin", "y"),
    [
        (1.0 - 2.0**-40, [1.0, 1e-7]),
        (1e-13, [1e-13 + 1e-20, 1.0]),
        (0.0, [1e-17, 1.0]),
        (-1.0, [-1.0, 1e-7]),
    ],
)
def test_a_cosine_just_beyond_the_margin_keeps_its_digits(margin: float, y: list[float]) -> None:
    data = {"x": np.array([[1.0, 0.0]]), "y": np.array([y]), "label": np.array([-1])}
    made = Draw(get("cosine-embedding").bind(margin=margin), data, How(link="values"))
    assert check(made, ["value", "gradient"]) == 5
    assert both("cosine-embedding", data, margin=margin)[0] > 0.0


@pytest.mark.parametrize("name", LABELLED)
def test_a_batch_without_a_positive_pair_is_zero(name: str) -> None:
    # optax's ntxent says NaN, pytorch-metric-learning 0.
    value, slope = in_batch(name, np.random.default_rng(0).normal(size=(5, 3)), np.arange(5))
    assert value == 0.0
    assert not slope.any()


def test_an_anchor_without_a_positive_does_not_count_and_is_a_negative() -> None:
    x = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    for name in ("nt-xent", "supcon"):
        value, _ = in_batch(name, x, [7, 7, -1], temperature=1.0)
        assert value == pytest.approx(math.log1p(math.exp(-1.0)), rel=1e-15)


def test_a_batch_of_one_class_has_nothing_to_tell_it_from() -> None:
    x = np.repeat([[3.0, 4.0]], 4, axis=0)
    for name in ("nt-xent", "circle"):
        value, slope = in_batch(name, x, np.zeros(4))
        assert value == 0.0
        assert not slope.any()
    # Its positives are each other's rivals.
    value, slope = in_batch("supcon", x, np.zeros(4))
    assert value == pytest.approx(math.log(3.0), rel=1e-15)
    assert not slope.any()


@pytest.mark.parametrize("temperature", [0.5, 0.07, 0.02, 0.01])
def test_a_batch_that_is_told_apart_keeps_its_digits(temperature: float) -> None:
    # optax says -0 at 0.02, torch's cross-entropy of the cosines 0.
    truth = math.log1p(4.0 * math.exp(-1.0 / temperature))
    for name in ("nt-xent", "supcon"):
        value, slope = in_batch(name, THREE, temperature=temperature)
        # The exponential of Python itself has an exponent with a rounding of its own.
        assert value == pytest.approx(truth, rel=1e-16 / temperature + 1e-15)
        np.testing.assert_allclose(slope[0, 1:], slope[0, 1], rtol=1e-15)
        assert slope[0, 1] > 0.0
    value, _ = in_batch("info-nce", np.eye(3), temperature=temperature)
    assert value == pytest.approx(math.log1p(2.0 * math.exp(-1.0 / temperature)), rel=1e-16 / temperature + 1e-15)


@pytest.mark.parametrize("temperature", [1e-4, 1e-8, 1e-300])
def test_no_temperature_is_too_low(temperature: float) -> None:
    # Each row's positive is across and a negative coincides: pytorch-metric-learning's value is stuck at 708.4.
    x, labels = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), [0, 0, 1, 1]
    for name in ("nt-xent", "supcon"):
        value, slope = in_batch(name, x, labels, temperature=temperature)
        assert value == 1.0 / temperature
        # Pulled to its positive by itself and by it, and pushed nowhere by what it coincides with.
        np.testing.assert_allclose(slope[0], [0.0, -0.5 / temperature], rtol=1e-15)
    value, slope = in_batch("info-nce", x, temperature=temperature)
    assert value == pytest.approx(math.log(2.0), rel=1e-15)
    assert not slope.any()


def test_two_views_of_each_sample_make_supcon_and_nt_xent_the_same() -> None:
    x = np.random.default_rng(1).normal(size=(6, 4))
    one, other = (in_batch(name, x, temperature=0.1) for name in ("nt-xent", "supcon"))
    assert one[0] == pytest.approx(other[0], rel=1e-14)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-12)
    # With more positives than one they differ: an anchor's others are rivals in the one, left out in the other.
    one, other = (in_batch(name, x, [0, 0, 0, 1, 1, 1], temperature=0.1) for name in ("nt-xent", "supcon"))
    assert one[0] < other[0]


def test_circle_is_softplus_of_its_margins_at_the_optimum() -> None:
    # At cosines of 1 and 0 both weights are the margin: 4 negatives, 1 positive, each exp(-gamma margin²).
    value, _ = in_batch("circle", THREE, gamma=80.0, margin=0.25)
    assert value == pytest.approx(math.log1p(4.0 * math.exp(-10.0)), rel=1e-15)
    value, _ = in_batch("circle", THREE, gamma=2000.0, margin=0.5)
    assert value == pytest.approx(4.0 * math.exp(-1000.0), rel=1e-15)
    # Without logsumexp over differences it is infinite, and its slope NaN.
    value, slope = in_batch("circle", np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]), [0, 0, 1], gamma=1e4)
    # Of the two anchors with a positive one has its negative beside it, the other across from it, without weight.
    assert value == pytest.approx(1e4 * (4.0 - 0.16 + (1.0 - 0.16) / 2.0), rel=1e-15)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("name", [*LABELLED, "info-nce"])
@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e200, 1e300])
def test_the_length_of_an_embedding_changes_its_slope_alone(name: str, size: float) -> None:
    x = np.random.default_rng(2).normal(size=(6, 3))
    value, slope = in_batch(name, x)
    other, steeper = in_batch(name, size * x)
    assert other == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(steeper * size, slope, rtol=1e-11, atol=1e-11 * np.abs(slope).max())


@pytest.mark.parametrize("name", [*LABELLED, "info-nce"])
def test_a_zero_embedding_takes_part_without_a_slope(name: str) -> None:
    x = np.random.default_rng(3).normal(size=(6, 3))
    x[2] = 0.0
    value, slope = in_batch(name, x)
    assert math.isfinite(value)
    assert np.isfinite(slope).all()
    assert not slope[2].any()
    assert slope[3].any()


@pytest.mark.parametrize("name", IN_BATCH)
def test_no_diagonal_hessian_is_offered(name: str) -> None:
    names = get(name).reads.names
    data = {names[0]: THREE, names[1]: TWO_VIEWS if name in LABELLED else THREE}
    with pytest.raises(UsageError, match="no diagonal Hessian"):
        evaluate(get(name).bind(), data, wants=Wants(hess=names[0]))


def test_labels_are_whole_numbers_of_any_sign() -> None:
    x = np.random.default_rng(4).normal(size=(4, 3))
    assert in_batch("supcon", x, [-5, 10**6, -5, 10**6])[0] == in_batch("supcon", x, [0, 1, 0, 1])[0]
    with pytest.raises(DataError, match="a whole number that names a class"):
        in_batch("supcon", x, [0.0, 0.5, 0.5, 0.0])


def test_many_steep_pairs_are_looked_at_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.abs(np.random.default_rng(5).normal(size=(30, 3)))
    labels = np.arange(30) % 7
    whole = in_batch("supcon", x, labels)
    monkeypatch.setattr(embedding, "_AT_ONCE", 3 * 8)
    few = in_batch("supcon", x, labels)
    assert few[0] == whole[0]
    np.testing.assert_allclose(few[1], whole[1], rtol=1e-13, atol=1e-14)


def hard(kind: str) -> Array:
    """Embeddings of three classes, two of each, on which cosines or their differences cancel."""
    rng = np.random.default_rng(6)
    base, noise = np.repeat(rng.normal(size=(3, 3)), 2, axis=0), rng.normal(size=(6, 3))
    signs = np.array([[1.0], [1.0], [-1.0], [-1.0], [1.0], [-1.0]])
    made: dict[str, Array] = {
        "positives nearly coincide": base + 1e-7 * noise,
        "all nearly coincide": base[:1] + 1e-6 * noise,
        "nearly opposite": base[:1] * signs + 1e-7 * noise,
        "all but on the axes": THREE + 1e-9 * noise,
        "on the axes": THREE * np.array([[1.0], [3.0], [7.0], [0.1], [5.0], [0.3]]),
        "of all sizes": noise * 10.0 ** rng.integers(-12, 12, (6, 3)),
    }
    return made[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "positives nearly coincide",
        "all nearly coincide",
        "nearly opposite",
        "all but on the axes",
        "on the axes",
        "of all sizes",
    ],
)
@pytest.mark.parametrize("name", [*LABELLED, "info-nce"])
def test_value_and_gradient_keep_their_digits_where_cosines_cancel(name: str, kind: str) -> None:
    x = hard(kind)
    names = get(name).reads.names
    labels = np.array([0, 0, 1, 1, 0, 1])
    data = {names[0]: x, names[1]: labels if name in LABELLED else x[[0, 1, 3, 2, 5, 4]]}
    params = {"gamma": 30.0} if name == "circle" else {"temperature": 0.05}
    made = Draw(get(name).bind(**params), data, How(link="values"))
    assert check(made, rows=[0 if name == "circle" else 3], width=1) >= 2


def test_an_anchor_that_its_only_neighbour_overlooks_keeps_the_digits_of_its_slope() -> None:
    # Of its two positives the fourth row sees the last alone, which sees the other: 1 - 1/2 and -1/2 meet.
    x = np.array([[0.4, 0.0], [0.876, 0.884], [-1.87, 2.26], [0.0, 1.866], [0.246, 0.309], [0.148, 0.28]])
    data = {"embeddings": x, "labels": np.array([0, 0, 1, 1, 0, 1])}
    made = Draw(get("supcon").bind(temperature=0.01), data, How(link="values"))
    assert abs(in_batch("supcon", x, data["labels"], temperature=0.01)[1][3, 0]) < 1e-3
    assert check(made, ["gradient"], rows=[3]) == 2
