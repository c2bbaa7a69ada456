"""Published numbers, and the identities that tie losses to each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from losscli import stable
from losscli.evaluate import evaluate
from losscli.loss import get
from losscli.plan import How
from losscli.results import Result, Wants

EPS = 2.0**-52
Floats = np.ndarray[Any, np.dtype[np.float64]]

finite = st.floats(-30.0, 30.0)
scores = arrays(np.float64, (5, 3), elements=finite)
labels = arrays(np.int64, (5,), elements=st.integers(0, 2))
masses = arrays(np.float64, (5, 3), elements=st.floats(0.01, 1.0)).map(lambda x: x / x.sum(axis=1, keepdims=True))


def compute(name: str, data: dict[str, Any], grad: str = "", reduction: Any = "none", **params: Any) -> Result:
    how = How(link=params.pop("link", ""))
    return evaluate(get(name).bind(**params), data, how=how, reduction=reduction, wants=Wants(grad=grad))


def value(name: str, data: dict[str, Any], **more: Any) -> Any:
    return compute(name, data, **more).value


def gradient(name: str, data: dict[str, Any], wrt: str, **more: Any) -> Floats:
    slopes = compute(name, data, wrt, **more).gradient
    assert slopes is not None
    return slopes


LOGITS = [[1.4746, 0.7613, -0.5468], [1.1310, 0.2323, 0.5530]]
PUBLISHED: dict[str, tuple[str, dict[str, Any], float]] = {
    "ce": ("ce", {"logits": LOGITS, "labels": [0, 1]}, 1.0299),
    "bce from logits": ("bce", {"logits": [-0.4477, 1.1807, 0.9555], "target": [0, 0, 1]}, 0.7560),
    "mae": (
        "mae",
        {
            "prediction": [[0.7813, 2.5570, 0.2680], [1.8305, 1.4230, 0.6720]],
            "target": [[-0.6951, -0.0510, 0.8427], [-1.0945, -1.2718, -0.8232]],
        },
        1.9624,
    ),
    "mse": (
        "mse",
        {
            "prediction": [[0.3067, -0.0677, -1.5623], [-0.3898, -0.1272, -1.0483]],
            "target": [[-0.7882, 1.1236, -1.2984], [0.0710, -2.2593, 1.3296]],
        },
        2.1834,
    ),
    "entropy": ("entropy", {"p": [[0.7, 0.2, 0.1]]}, 0.8018),
}


@pytest.mark.parametrize("case", PUBLISHED)
def test_a_mean_is_the_published_number_to_its_digits(case: str) -> None:
    name, data, published = PUBLISHED[case]
    # Two of the inputs' own digits are rounded: half a unit of the last digit, and a little for them.
    assert value(name, data, reduction="mean") == pytest.approx(published, abs=0.51e-4)


def test_softmax_rows_are_the_published_ones() -> None:
    view = stable.softmax(np.array(LOGITS))
    npt.assert_allclose(view.p, [[0.6163, 0.3020, 0.0816], [0.5081, 0.2068, 0.2851]], atol=0.51e-4, rtol=0)
    # Published from logits of more digits than are printed: one unit of the last digit.
    npt.assert_allclose(-view.surprise, [[-0.4840, -1.1972, -2.5053], [-0.6771, -1.5758, -1.2551]], atol=1e-4, rtol=0)


def test_entropy_from_rounded_terms_is_the_other_published_number() -> None:
    assert abs(0.7 * 0.36 + 0.2 * 1.61 + 0.1 * 2.30 - 0.804) < 1e-12


@given(arrays(np.float64, 20, elements=st.floats(-700, 700)))
def test_the_sigmoids_of_opposite_scores_add_up_to_one(z: Floats) -> None:
    npt.assert_allclose(stable.sigmoid(z) + stable.sigmoid(-z), 1.0, rtol=EPS)


@given(arrays(np.float64, 20, elements=st.floats(-700, 700)))
def test_the_slope_of_the_sigmoid_is_the_product_of_both_outcomes(z: Floats) -> None:
    # The second derivative of the logistic loss is the slope of the sigmoid.
    result = evaluate(
        get("logistic").bind(), {"score": z, "label": np.ones(20)}, reduction="none", wants=Wants(hess="score")
    )
    npt.assert_allclose(result.hessian, stable.sigmoid(z) * (1.0 - stable.sigmoid(z)), rtol=4 * EPS, atol=EPS)


@given(scores)
def test_the_jacobian_of_softmax(z: Floats) -> None:
    p = stable.softmax(z).p
    # Column i of the Jacobian is the gradient of p_i = -exp(-s)'s, taken from ce's by the chain rule: dp = -p ds.
    for i in range(3):
        slope = -p[:, i, None] * gradient("ce", {"logits": z, "labels": np.full(5, i)}, "logits")
        expected = np.where(np.arange(3) == i, p * (1.0 - p), -p * p[:, i, None])
        npt.assert_allclose(slope, expected, rtol=0, atol=4 * EPS)


@given(arrays(np.float64, (20, 2), elements=st.floats(-300, 300)))
def test_two_classes_are_the_sigmoid_of_the_difference(z: Floats) -> None:
    difference = {"logits": z[:, 1] - z[:, 0], "target": np.ones(20)}
    pair = {"logits": z, "labels": np.ones(20, int)}
    # The difference is rounded, which moves an exponential of it by as many units as it is large.
    allowed = (4.0 + np.abs(z).sum(axis=1)) * EPS
    expected = value("bce", difference)
    assert (np.abs(value("ce", pair) - expected) <= allowed * expected).all()
    slope = gradient("bce", difference, "logits")
    assert (np.abs(gradient("ce", pair, "logits")[:, 1] - slope) <= allowed * np.abs(slope)).all()


@given(masses, masses)
def test_divergence_is_cross_entropy_less_entropy(p: Floats, q: Floats) -> None:
    crossed = value("ce", {"logits": q, "labels": p}, link="probs")
    kl = value("kl", {"p": p, "q": q})
    npt.assert_allclose(kl, crossed - value("entropy", {"p": p}), rtol=0, atol=64 * EPS)
    apart = np.abs(p - q).max(axis=1)
    # Pinsker: at least half the squared distance, so it is zero only where p = q.
    assert (kl + 4 * EPS >= apart**2 / 2).all()
    assert (value("kl", {"p": p, "q": p}) == 0.0).all()


def test_divergence_is_not_symmetric() -> None:
    p, q = [[0.7, 0.2, 0.1]], [[0.1, 0.3, 0.6]]
    assert value("kl", {"p": p, "q": q})[0] > value("kl", {"p": q, "q": p})[0] + 0.09


@given(masses, masses)
def test_jensen_shannon_is_the_mean_divergence_from_the_midpoint(p: Floats, q: Floats) -> None:
    m = (p + q) / 2.0
    halves = (value("kl", {"p": p, "q": m}) + value("kl", {"p": q, "q": m})) / 2.0
    npt.assert_allclose(value("js", {"p": p, "q": q}), halves, rtol=0, atol=16 * EPS)


@given(scores, masses)
def test_the_gradient_of_cross_entropy_is_p_minus_y(z: Floats, y: Floats) -> None:
    p = stable.softmax(z).p
    npt.assert_allclose(gradient("ce", {"logits": z, "labels": y}, "logits"), p - y, rtol=0, atol=8 * EPS)


@settings(max_examples=30)
@given(
    arrays(np.float64, (5, 4), elements=st.floats(-3, 3)), arrays(np.float64, (4, 3), elements=st.floats(-3, 3)), labels
)
def test_the_gradient_through_a_linear_layer(x: Floats, weights: Floats, y: Any) -> None:
    bias, step = np.array([0.3, -0.2, 0.1]), 1e-5

    def loss(weights: Floats, bias: Floats, x: Floats) -> float:
        return float(value("ce", {"logits": x @ weights + bias, "labels": y}, reduction="sum"))

    slope = gradient("ce", {"logits": x @ weights + bias, "labels": y}, "logits")
    for at in np.ndindex(weights.shape):
        one = np.zeros_like(weights)
        one[at] = step
        found = (loss(weights + one, bias, x) - loss(weights - one, bias, x)) / (2 * step)
        assert found == pytest.approx((x.T @ slope)[at], abs=1e-7)
    for j in range(3):
        found = (loss(weights, bias + step * np.eye(3)[j], x) - loss(weights, bias - step * np.eye(3)[j], x)) / 2e-5
        assert found == pytest.approx(slope.sum(axis=0)[j], abs=1e-7)
    one = np.zeros_like(x)
    one[2, 1] = step
    found = (loss(weights, bias, x + one) - loss(weights, bias, x - one)) / (2 * step)
    assert found == pytest.approx((slope @ weights.T)[2, 1], abs=1e-7)


@given(arrays(np.float64, (6, 2), elements=st.floats(-5, 5)), arrays(np.float64, 2, elements=st.floats(-3, 3)))
def test_the_gradient_of_logistic_regression(x: Floats, theta: Floats) -> None:
    y = np.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    slope = x.T @ gradient("bce", {"logits": x @ theta, "target": y}, "logits")
    npt.assert_allclose(slope, ((stable.sigmoid(x @ theta) - y)[:, None] * x).sum(axis=0), rtol=0, atol=256 * EPS)
    signed = x.T @ (gradient("logistic", {"score": x @ theta, "label": 2 * y - 1}, "score"))
    npt.assert_allclose(slope, signed, rtol=0, atol=256 * EPS)


@pytest.mark.parametrize("z", [-20.0, -40.0, -300.0])
def test_squared_error_stalls_where_the_sigmoid_saturates_and_cross_entropy_does_not(z: float) -> None:
    # Confidently wrong: the target is 1.
    a = stable.sigmoid(np.array([z]))
    squared = (
        gradient("half-mse", {"prediction": a, "target": [1.0]}, "prediction") * a * stable.sigmoid(np.array([-z]))
    )
    assert abs(squared[0]) < 1e-8
    assert gradient("bce", {"logits": [z], "target": [1.0]}, "logits")[0] == pytest.approx(-1.0, abs=1e-8)


residuals = arrays(np.float64, 20, elements=st.floats(-1e3, 1e3))


@given(residuals, st.floats(0.01, 100.0))
def test_smooth_l1_is_huber_divided_by_its_delta(r: Floats, delta: float) -> None:
    data = {"prediction": r, "target": np.zeros(20)}
    one, other = value("smooth-l1", data, beta=1.0), value("huber", data, delta=1.0)
    assert np.array_equal(one, other)
    npt.assert_allclose(
        value("smooth-l1", data, beta=delta) * delta, value("huber", data, delta=delta), rtol=8 * EPS, atol=1e-300
    )


@given(residuals, st.floats(0.01, 0.99))
def test_the_quantile_losses_of_opposite_quantiles_add_up_to_the_absolute_error(r: Floats, tau: float) -> None:
    data = {"prediction": r, "target": np.zeros(20)}
    total = value("quantile", data, tau=tau) + value("quantile", data, tau=1.0 - tau)
    npt.assert_allclose(total, value("mae", data), rtol=4 * EPS, atol=1e-300)


@given(scores, labels)
def test_focal_without_a_focus_is_cross_entropy(z: Floats, y: Any) -> None:
    data = {"logits": z, "labels": y}
    assert np.array_equal(value("softmax-focal", data, gamma=0.0), value("ce", data))
    half = {"logits": z[:, 0], "target": (y > 0).astype(float)}
    npt.assert_allclose(value("focal", half, gamma=0.0), value("bce", half), rtol=2 * EPS)
