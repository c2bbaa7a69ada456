"""Edges of the angular losses: seams of ψ, features along or against their weights, zero vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from accuracy import Draw, check

from losscli.evaluate import evaluate
from losscli.families import angular
from losscli.loss import get
from losscli.plan import How
from losscli.results import Result, Wants

NAMES = ("l-softmax", "sphereface", "cosface", "arcface", "normalized-softmax")
names = pytest.mark.parametrize("name", NAMES)
X = np.array([[1.5, -0.25, 0.75], [-0.5, 2.0, 0.125], [0.25, -1.0, -1.75]])
W = np.array([[0.5, 1.0, -0.25], [-1.25, 0.75, 0.5], [0.125, -0.5, 1.5], [1.0, 0.25, 0.25]])
Y = np.array([3, 1, 0])


def data(x: Any = X, w: Any = W, y: Any = Y) -> dict[str, np.ndarray[Any, Any]]:
    return {"features": np.asarray(x, float), "weights": np.asarray(w, float), "labels": np.asarray(y)}


def result(name: str, given: Any, grad: str = "", reduction: Any = "mean", **params: Any) -> Result:
    return evaluate(get(name).bind(**params), given, reduction=reduction, wants=Wants(grad=grad))


def slope(name: str, given: Any, by: str, reduction: Any = "mean", **params: Any) -> np.ndarray[Any, Any]:
    made = result(name, given, by, reduction, **params).gradient
    assert isinstance(made, np.ndarray)
    return made


def at_angle(theta: float, *, turned: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """One row whose angle with its own class is θ, in a plane off all axes, and two other classes."""
    first, second = np.array([2.0, 1.0, -2.0]) / 3.0, np.array([1.0, 2.0, 2.0]) / 3.0
    x = 1.25 * (math.cos(theta) * first + math.sin(theta) * second)
    w = np.array([0.75 * first, [0.5, -1.0, 0.25], [-0.25, 0.5, 1.0]])
    return data(np.roll(x, turned)[None], np.roll(w, turned, axis=1), [0])


# Value, gradient of the first row and of the first class of pytorch-metric-learning 2.9 in float64.
PML = [
    (
        "l-softmax",
        {"m": 2},
        1.9238492424787346,
        [-0.21059582714275427, -0.3068897857318087, 0.2993389160118707],
        [0.15301899268864344, 1.1933134763516748, 0.3443894307937858],
    ),
    (
        "l-softmax",
        {"m": 3},
        3.9213999691027417,
        [-0.28665311059278253, -0.7170921165107755, 0.5582201575414568],
        [0.3537628071088975, 2.572779777514054, 1.2750916906467875],
    ),
    (
        "l-softmax",
        {"m": 4},
        4.968736807738563,
        [-0.30788129587149715, -1.1044107217797365, 0.8136942970757334],
        [0.5526459647948712, 3.062464663557615, 1.3100802791866706],
    ),
    (
        "sphereface",
        {"m": 4},
        4.220085622519478,
        [-0.28871553276431383, -0.9309970684048225, 0.6003345004334905],
        [-0.47183382612135366, 0.6480694080240579, 1.6486099798535245],
    ),
    (
        "cosface",
        {"m": 0.35, "s": 8.0},
        2.202293534337211,
        [-0.37630769366987193, -0.41097631621161623, 0.6156232819358718],
        [-1.647137136596822, 1.4449420914023678, 2.485494092415828],
    ),
    (
        "arcface",
        {"m": 0.5, "s": 8.0},
        2.624991988430517,
        [-0.4049071978686166, -0.5630356309110806, 0.6221358521002065],
        [-1.595066381753336, 1.328045261580194, 2.1220482828141054],
    ),
    (
        "arcface",
        {"m": 1.25, "s": 8.0},
        7.089850270811586,
        [-1.0851574389158962, -1.6224157892425088, 1.6295096147509562],
        [-1.2698637315572676, 0.8452391865293658, 0.8412292830029273],
    ),
    (
        "normalized-softmax",
        {"temperature": 0.125},
        0.5272265855755178,
        [-0.041260816012721885, -0.0450621086255812, 0.06750092915025002],
        [-0.9771737349293323, 0.8176933804861372, 1.316426052085884],
    ),
]


@pytest.mark.parametrize(("name", "params", "value", "by_features", "by_weights"), PML)
def test_pytorch_metric_learning_has_the_same_numbers_where_nothing_is_extreme(
    name: str, params: Any, value: float, by_features: Any, by_weights: Any
) -> None:
    assert result(name, data(), **params).value == pytest.approx(value, rel=1e-14)
    assert slope(name, data(), "features", **params)[0] == pytest.approx(by_features, rel=1e-13)
    assert slope(name, data(), "weights", **params)[0] == pytest.approx(by_weights, rel=1e-13)


def test_without_a_margin_the_losses_are_softmax_of_the_same_scores() -> None:
    head = evaluate(get("ce").linear.bind(), data(), wants=Wants(grad="weights"))
    assert result("l-softmax", data(), m=1).value == pytest.approx(float(head.value), rel=1e-15)
    assert slope("l-softmax", data(), "weights", m=1) == pytest.approx(np.asarray(head.gradient), rel=1e-15)
    plain = result("normalized-softmax", data(), temperature=0.25).value
    assert result("cosface", data(), s=4.0, m=0.0).value == plain
    assert result("arcface", data(), s=4.0, m=0.0).value == plain
    # Features of length s: |x| cos θ is s cos θ.
    long = data(4.0 * X / np.linalg.norm(X, axis=1, keepdims=True))
    assert result("sphereface", long, m=1).value == pytest.approx(float(plain), rel=1e-15)


def test_annealing_goes_from_the_margin_to_none() -> None:
    ends = [float(result("l-softmax", data(), m=m).value) for m in (4, 1)]
    steps = [float(result("l-softmax", data(), annealing=share).value) for share in (0.0, 0.5, 5.0, 1e3, 1e12)]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] == ends[0]
    assert steps[-1] == pytest.approx(ends[1], rel=1e-10)


SEAMS = [(m, k) for m in (2, 3, 4, 7) for k in range(1, m + 1)]


@pytest.mark.parametrize("name", ["l-softmax", "sphereface"])
@pytest.mark.parametrize(("m", "k"), SEAMS)
def test_value_and_slope_go_on_over_a_seam(name: str, m: int, k: int) -> None:
    seam = k * math.pi / m
    on = at_angle(seam)
    value, by = float(result(name, on, m=m).value), slope(name, on, "features", m=m)
    for gap in (np.spacing(seam), 1e-12, 1e-9, 1e-6, 1e-3, 1e-1):
        for side in (-1.0, 1.0):
            beside = at_angle(seam + side * gap)
            near = result(name, beside, m=m)
            # The slope by θ is 0 at a seam and grows by m² per radian; beside it the others' slopes turn.
            assert abs(float(near.value) - value) <= 4.0 * m * m * gap * gap + 3.0 * gap + 1e-14
            assert np.abs(slope(name, beside, "features", m=m) - by).max() <= 4.0 * m * m * gap + 1e-13


@pytest.mark.parametrize("name", ["l-softmax", "sphereface"])
@pytest.mark.parametrize("gap", [0.0, 2e-16, -2e-16, 1e-12, -1e-9, 1e-6, -1e-3, 1e-1])
def test_seams_keep_their_digits(name: str, gap: float) -> None:
    for m, k in ((2, 1), (3, 2), (4, 3)):
        made = Draw(get(name).bind(m=m), at_angle(k * math.pi / m + gap), How())
        assert check(made, ["value"]) + check(made, ["gradient"], rows=[0], width=1) == 3


@names
@pytest.mark.parametrize("gap", [1e-1, 1e-4, 1e-8, 1e-12])
@pytest.mark.parametrize("around", [0.0, math.pi])
def test_features_nearly_along_or_against_their_weights_keep_their_digits(name: str, gap: float, around: float) -> None:
    made = Draw(get(name).bind(), at_angle(around + gap, turned=1), How())
    assert check(made, ["value"]) + check(made, ["gradient"], rows=[0], width=2) == 5


@names
def test_classes_that_are_nearly_one_keep_their_digits(name: str) -> None:
    rng = np.random.default_rng(3)
    near = np.array([0.5, 1.0, -0.75]) * (1.0 + 1e-6 * rng.normal(size=(7, 3)))
    sides = np.array([1.0, -1.0, 1.0, 1.0])[:, None]
    made = Draw(get(name).bind(), data(near[:3] * [[1.0], [2.0], [0.5]], near[3:] * sides, [0, 1, 2]), How())
    assert check(made, ["value"]) + check(made, ["gradient"], rows=[0, 1], width=1) == 7


@names
def test_axes_of_space_keep_their_digits(name: str) -> None:
    # Products with zeros have no rounding of inputs to be excused with.
    made = Draw(get(name).bind(), data([[2.0, 0.0], [1.0, 1e-9]], [[3.0, 0.0], [0.0, 0.5], [-1.0, 0.0]], [0, 0]), How())
    assert check(made, ["value"]) == 2
    if name != "arcface":
        assert check(made, ["gradient"], rows=[1], width=2)


def test_confident_rows_are_not_free() -> None:
    given = data([[1.0, 1e-3]], [[1.0, 0.0], [-1.0, 0.0]], [0])
    # PML: three times 0, and of the slopes that through the other class alone, -8.8e-51 for cosface.
    for name, value, by in (
        ("cosface", 1.3757214407174837e-46, -1.7609208027365148e-50),
        ("arcface", 6.702424116725743e-53, -2.0645713970678882e-54),
        ("normalized-softmax", 4.248439223162653e-18, -1.6993731402047136e-22),
    ):
        assert result(name, given).value == pytest.approx(value, rel=1e-14)
        assert slope(name, given, "features")[0, 0] == pytest.approx(by, rel=1e-13)
        assert check(Draw(get(name).bind(), given, How()), rows=[0], width=2) == 5


def test_arcface_has_a_tip_where_features_lie_along_their_weights() -> None:
    # PML and others: NaN, as the derivative of acos is infinite.
    given = data(W[:2], W, [0, 1])
    by = slope("arcface", given, "features", "sum")
    pulls = slope("cosface", given, "features", "sum", m=1.0 - math.cos(0.5))
    assert by == pytest.approx(pulls, rel=1e-12)
    # Beside it the slope is as steep as it gets, s sin m/|x|, and no steeper.
    steep = 64.0 * math.sin(0.5) / np.linalg.norm(W[0])
    for gap in (1e-2, 1e-7, 1e-15):
        beside = data(W[:1] + gap * np.cross(W[0], [1.0, 2.0, 3.0]), np.array([W[0], W[0]]), [0])
        length = np.linalg.norm(slope("arcface", beside, "features", s=64.0))
        assert np.isfinite(length)
        assert length <= steep * (1.0 + 64.0 * gap + 1e-12)


def test_arcface_falls_all_the_way_and_drops_where_its_angle_would_pass_180_degrees() -> None:
    seam = math.pi - 0.5
    values = [float(result("arcface", at_angle(theta), s=1.0).value) for theta in np.linspace(0.01, math.pi, 40)]
    own = np.array([float(result("arcface", at_angle(seam + gap), s=40.0).value) for gap in (-1e-9, 1e-9)])
    assert np.isfinite(values).all()
    # From cos π to cos(π - m) - m sin m, times s; beyond, the value is that of the published easing, as in PML.
    assert own[1] - own[0] == pytest.approx(40.0 * (math.cos(0.5) + 0.5 * math.sin(0.5) - 1.0), rel=1e-6)


@names
def test_without_a_direction_there_is_a_right_angle(name: str) -> None:
    bound = get(name).bind()
    given = data([[0.0, 0.0, 0.0]], W, [0])
    # The own score of cos 90°: 0 without a margin, less what the margin takes from it; products of nothing are 0.
    own = {"cosface": -0.35 * 64.0, "arcface": 64.0 * math.cos(math.pi / 2 + 0.5)}.get(name, 0.0)
    assert result(name, given).value == pytest.approx(math.log(math.exp(own) + 3.0) - own, rel=1e-15)
    for by in ("features", "weights"):
        assert np.isfinite(slope(name, given, by)).all()
    # With weights of zero too, and with nothing else.
    hollow = data(X, W * [[0.0], [1.0], [1.0], [1.0]])
    assert check(Draw(bound, hollow, How()), ["value"]) == 3
    nothing = data(np.zeros((2, 3)), np.zeros((4, 3)), [0, 3])
    assert result(name, nothing).value == pytest.approx(math.log(math.exp(own) + 3.0) - own, rel=1e-15)
    assert not any(slope(name, nothing, by).any() for by in ("features", "weights"))


@pytest.mark.parametrize("m", [1, 4])
def test_where_features_are_zero_the_slope_is_that_of_the_scores_without_a_margin(m: int) -> None:
    # PML says 0, where for m = 1 the loss is smooth and its slope is this one.
    given = data([[0.0, 0.0, 0.0]], W, [2])
    pulls = np.array([0.25, 0.25, -0.75, 0.25])
    assert slope("l-softmax", given, "features", m=m)[0] == pytest.approx(pulls @ W, rel=1e-15)
    units = W / np.linalg.norm(W, axis=1, keepdims=True)
    assert slope("sphereface", given, "features", m=m)[0] == pytest.approx(pulls @ units, rel=1e-14)
    for name in ("cosface", "arcface", "normalized-softmax"):
        assert not slope(name, given, "features").any()


@pytest.mark.parametrize("name", ["cosface", "arcface", "normalized-softmax"])
@pytest.mark.parametrize("power", [-1020, -500, 3, 900])
def test_lengths_change_nothing(name: str, power: int) -> None:
    plain, size = float(result(name, data()).value), 2.0**power
    assert result(name, data(np.ldexp(X, power))).value == pytest.approx(plain, rel=1e-15)
    assert result(name, data(X, np.ldexp(W, power))).value == pytest.approx(plain, rel=1e-15)
    by = slope(name, data(np.ldexp(X, power)), "features") * size
    assert by == pytest.approx(slope(name, data(), "features"), rel=1e-13)


def test_short_vectors_keep_the_slopes_of_products() -> None:
    by = slope("l-softmax", data(1e-200 * X, 1e-200 * W, Y), "features", m=2)
    # All scores are 0 beside 1: a quarter of the others' weights, and of ψ three quarters.
    longer = slope("l-softmax", data(1e-9 * X, 1e-9 * W, Y), "features", m=2)
    assert by * 1e200 == pytest.approx(longer * 1e9, rel=1e-8)


@names
def test_many_pairs_are_compared_a_few_at_a_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    given = data(1.0 + 0.2 * rng.normal(size=(70, 5)), 1.0 + 0.2 * rng.normal(size=(9, 5)), rng.integers(0, 9, 70))
    whole = slope(name, given, "features", "none")
    monkeypatch.setattr(angular, "_AT_ONCE", 40)
    assert (slope(name, given, "features", "none") == whole).all()


@names
def test_classes_may_be_weighted_ignored_and_named(name: str) -> None:
    bound = get(name).bind()
    rows = np.asarray(evaluate(bound, data(), reduction="none").value)
    weight = np.array([1.0, 2.0, 0.5, 4.0])
    weighed = evaluate(bound, data(), how=How(class_weight=weight)).value
    assert weighed == pytest.approx((rows * weight[Y]).sum() / weight[Y].sum(), rel=1e-15)
    assert evaluate(bound, data(), how=How(ignore_index=1)).value == pytest.approx(rows[[0, 2]].mean(), rel=1e-15)
    named = {**data(), "labels": np.array(list("dba"))}
    assert evaluate(bound, named, how=How(classes=tuple("abcd"))).value == evaluate(bound, data()).value
    accuracy = evaluate(bound, data(), wants=Wants(accuracy=True)).accuracy
    # By the scores without a margin: products for the one, cosines for the others.
    assert accuracy == (1.0 if name == "l-softmax" else pytest.approx(2 / 3))
