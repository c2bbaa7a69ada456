"""Multi-class losses where others lose digits: confident rows, impossible classes, probabilities at 0, ties, seams."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from accuracy import BOUND, HESSIAN_BOUND, Draw, entries

from losscli.errors import DataError, UsageError
from losscli.evaluate import evaluate
from losscli.inputs import Array
from losscli.loss import get
from losscli.plan import How
from losscli.precision import FORMATS, Precision
from losscli.results import Wants

LIKELIHOODS = ("ce", "poly1", "gce", "symmetric-ce", "softmax-focal")
SURE = [[40.0, 0.0, 0.0]]
# 2 exp(-40): one minus the probability of the class that is sure.
DOUBT = 8.496708342550639e-18


def rows(name: str, scores: Any, labels: Any, *, link: str = "", **params: Any) -> tuple[Array, Array, Array]:
    """Value, gradient and Hessian of each row."""
    loss = get(name)
    first = loss.reads.names[0]
    data = {first: np.array(scores, dtype=np.float64), "labels": np.array(labels)}
    wants = Wants(grad=first, hess=first)
    result = evaluate(loss.bind(**params), data, how=How(link=link), reduction="none", wants=wants)
    assert result.gradient is not None
    assert result.hessian is not None
    return np.asarray(result.value), result.gradient, result.hessian


def exact(
    name: str, scores: Any, labels: Any, *, link: str = "logits", kinds: Any = ("value", "gradient"), **params: Any
) -> None:
    """Every number of these rows is within its bound of the formula."""
    data = {get(name).reads.names[0]: np.array(scores, dtype=np.float64), "labels": np.array(labels)}
    made = Draw(get(name).bind(**params), data, How(link=link))
    for entry in entries(made, kinds, width=data["labels"].size):
        bound = HESSIAN_BOUND if entry.kind == "hessian" else BOUND
        assert entry.units(enough=1.0) <= bound, str(entry)


@pytest.mark.parametrize(
    ("name", "params", "value", "slope"),
    [
        # torch, optax and keras say 0 for each of these values, as logsumexp - z_y cancels.
        ("ce", {}, DOUBT, -DOUBT),
        ("poly1", {}, 3 * DOUBT, -3 * DOUBT),
        ("poly1", {"epsilon": -0.5}, DOUBT / 2, -DOUBT / 2),
        ("poly1", {"epsilon": -1.0}, DOUBT**2 / 2, -(DOUBT**2)),
        ("gce", {}, DOUBT, -DOUBT),
        ("gce", {"q": 1.0}, DOUBT, -DOUBT),
        ("symmetric-ce", {}, 4.1 * DOUBT, -4.1 * DOUBT),
        ("softmax-focal", {"alpha": 0.25}, DOUBT**3 / 4, -3 * DOUBT**3 / 4),
    ],
)
def test_a_confident_row_keeps_its_digits(name: str, params: dict[str, float], value: float, slope: float) -> None:
    got, gradient, _ = rows(name, SURE, [0], **params)
    assert got[0] == pytest.approx(value, rel=1e-14)
    assert gradient[0].tolist() == pytest.approx([slope, -slope / 2, -slope / 2], rel=1e-14)


@pytest.mark.parametrize("low", [-300.0, -340.0, -370.0, -700.0])
def test_scores_far_apart_on_both_sides_of_zero(low: float) -> None:
    # Both exponentials are floats, and their quotient is none.
    result = evaluate(get("ce").bind(), {"logits": [[388.0, low]], "labels": [1]}, wants=Wants(grad="logits"))
    assert result.value == 388.0 - low
    assert result.gradient is not None
    assert result.gradient.tolist() == [[1.0, -1.0]]


def test_a_confident_probability_keeps_its_digits() -> None:
    assert rows("log-loss", [[1 - 2.0**-53, 2.0**-53]], [0])[0][0] == 2.0**-53
    assert rows("poly1", [[1 - 2.0**-53, 2.0**-53]], [0], link="probs", epsilon=-1.0)[0][0] == 2.0**-107


@pytest.mark.parametrize("epsilon", [-1.0, -1 + 1e-9, -0.7])
@pytest.mark.parametrize("lead", [1.0, 3.0, 20.0])
def test_a_negative_epsilon_cancels_nothing(epsilon: float, lead: float) -> None:
    exact("poly1", [[lead, 0.0, 0.1]], [0], epsilon=epsilon, kinds=("value", "gradient", "hessian"))


@pytest.mark.parametrize("p", [1e-300, 1e-160, 1e-16, 1e-3, 0.5, 1 - 1e-9])
@pytest.mark.parametrize(
    ("name", "params"),
    [("gce", {}), ("gce", {"q": 1.0}), ("symmetric-ce", {"alpha": 0.0}), ("symmetric-ce", {"alpha": 1e-3})],
)
def test_slopes_by_a_probability_are_exact_at_both_ends(name: str, params: dict[str, float], p: float) -> None:
    """exp(q log p) has lost nine bits at p = 1e-300; that of the linear ones is a constant, and they have no curve."""
    scores = [[p, 1 - p]]
    exact(name, scores, [0], link="probs", **params)
    if params.get("q") == 1.0 or params.get("alpha") == 0.0:
        _, gradient, hessian = rows(name, scores, [0], link="probs", **params)
        assert gradient[0].tolist() == pytest.approx([-1.0 if name == "gce" else -4.0, 0.0], rel=4e-16)
        assert hessian.tolist() == [[0.0, 0.0]]
    elif p > 1e-100:
        exact(name, scores, [0], link="probs", kinds=("hessian",), **params)


def test_a_probability_of_zero() -> None:
    """Keras answers the second with NaN in both entries of the slope."""
    assert rows("log-loss", [[0.0, 1.0]], [0])[0][0] == math.inf
    value, gradient, _ = rows("gce", [[0.0, 1.0]], [0], link="probs", q=0.5)
    assert value[0] == 2.0
    assert gradient[0, 0] < -1e161
    assert gradient[0, 1] == 0.0
    value, gradient, hessian = rows("gce", [[0.0, 1.0]], [0], link="probs", q=1.0)
    assert (value[0], *gradient[0], *hessian[0]) == (1.0, -1.0, 0.0, 0.0, 0.0)
    value, gradient, _ = rows("symmetric-ce", [[0.0, 1.0]], [0], link="probs", alpha=0.0)
    assert (value[0], *gradient[0]) == (4.0, -4.0, 0.0)


def test_log_loss_is_not_clipped() -> None:
    """Of two rows, one of which gives its class 0: sklearn's log_loss is 18.02, half of -log(2^-52)."""
    value = rows("log-loss", [[0.0, 1.0], [0.0, 1.0]], [0, 1])[0]
    assert value.tolist() == [math.inf, 0.0]
    with pytest.raises(DataError, match=r"sum to 0\.5"):
        rows("log-loss", [[0.2, 0.3]], [0])


@pytest.mark.parametrize("name", ["log-loss", "nll"])
def test_single_precision_does_not_decide_whether_rows_add_up(name: str) -> None:
    loss = get(name)
    rng, verdicts = np.random.default_rng(3), []
    for step in range(-40, 40):
        p = rng.dirichlet(np.ones(50)) * (1.001 + 2e-8 * step)
        given = (np.log(p) if name == "nll" else p).astype(np.float32)[None]
        for kind in (np.float32, np.float64):
            try:
                evaluate(loss.bind(), {loss.reads.names[0]: given.astype(kind), "labels": np.zeros(1, dtype=np.intp)})
                verdicts.append(True)
            except DataError:
                verdicts.append(False)
    assert verdicts[::2] == verdicts[1::2]
    assert set(verdicts) == {True, False}


@pytest.mark.parametrize("classes", [2, 3, 50, 5000])
@pytest.mark.parametrize("format_", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["log-loss", "nll"])
def test_rows_add_up_to_one_before_they_are_rounded_to_two_bytes(name: str, format_: str, classes: int) -> None:
    """Rounding a half moves a sum by 0.4 % at most, and one of exponentials by as much times the row's entropy."""
    precision, scores = FORMATS[format_], get(name).reads.names[0]
    p = np.random.default_rng(classes).dirichlet(np.ones(classes), 40)
    into, back = (np.log, np.exp) if name == "nll" else (np.positive, np.positive)

    def lost(share: float, precision: Precision) -> float:
        given = precision.rounded(into(p * share))
        evaluate(get(name).bind(), {scores: given, "labels": np.zeros(40, dtype=np.intp)})
        return float(np.abs(back(given).sum(axis=1) - 1.0).max())

    assert lost(1.0, precision) > (1e-3 if format_ == "bfloat16" and classes < 5 else 0.0)
    # What rounding does not explain is refused: of two bytes, and of numbers that need more of them.
    for share, to in ((0.95, precision), (0.998, FORMATS["float32"]), (0.998, FORMATS["float64"])):
        with pytest.raises(DataError, match="sum to"):
            lost(share, to)


def test_gce_where_p_underflows_and_its_power_does_not() -> None:
    _, gradient, _ = rows("gce", [[0.0, 1000.0]], [0], q=0.1)
    assert gradient[0].tolist() == pytest.approx([-math.exp(-100), math.exp(-100)], rel=1e-13)


def test_gce_and_entmax_near_their_limits_are_cross_entropy() -> None:
    scores, labels = [[1.4746, 0.7613, -0.5468], [1.1310, 0.2323, 0.5530]], [0, 1]
    limit = rows("ce", scores, labels)
    for name, params in (("gce", {"q": 1e-12}), ("entmax", {"alpha": 1 + 1e-12})):
        for got, want in zip(rows(name, scores, labels, **params), limit, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-11)


@pytest.mark.parametrize("name", [*LIKELIHOODS, "sparsemax", "entmax"])
def test_a_class_that_cannot_be(name: str) -> None:
    """A logit of -inf on another class: keras gives NaN, torch and optax give it for one-hot labels."""
    value, gradient, hessian = rows(name, [[-math.inf, 0.3, 1.0]], [2])
    plain = rows(name, [[0.3, 1.0]], [1])
    for got, want in zip((gradient, hessian), plain[1:], strict=True):
        assert got[0, 0] == 0.0
        np.testing.assert_allclose(got[0, 1:], want[0], rtol=1e-15)
    assert value[0] == pytest.approx(plain[0][0], rel=1e-15)
    soft = rows(name, [[-math.inf, 0.3, 1.0]], [[0.0, 0.25, 0.75]])
    assert all(np.isfinite(array).all() for array in soft)


@pytest.mark.parametrize(
    ("name", "params", "want"),
    [
        ("ce", {}, math.inf),
        ("poly1", {"epsilon": -1.0}, math.inf),
        ("symmetric-ce", {}, math.inf),
        ("symmetric-ce", {"alpha": 0.0}, 4.0),
        ("gce", {"q": 0.5}, 2.0),
        ("softmax-focal", {}, math.inf),
        ("sparsemax", {}, math.inf),
        ("entmax", {}, math.inf),
    ],
)
def test_a_label_that_cannot_be(name: str, params: dict[str, float], want: float) -> None:
    value, gradient, _ = rows(name, [[-math.inf, 0.3, 1.0]], [0], **params)
    assert value[0] == want
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("scores", "label", "value", "gradient"),
    [
        # A lead of exactly 1: optax gives (-2/3, 1/3, 1/3), the formula's slopes are 0 on one side.
        ([1.0, 0.0, 0.0], 0, 0.0, [0.0, 0.0, 0.0]),
        ([0.0, 1.0, 1.0], 0, 2.0, [-1.0, 1.0, 0.0]),
        # Keras' hinge lets 0 compete: 2 - (-2) + 1 of scores (-2, -5, -4) would be 1 + 0 + 2 = 3.
        ([-2.0, -5.0, -4.0], 0, 0.0, [0.0, 0.0, 0.0]),
        ([-2.0, -5.0, -2.5], 0, 0.5, [-1.0, 0.0, 1.0]),
        ([1e300, 1e300, -1e300], 1, 1.0, [1.0, -1.0, 0.0]),
    ],
)
def test_crammer_singer(scores: list[float], label: int, value: float, gradient: list[float]) -> None:
    got = rows("multiclass-hinge", [scores], [label])
    assert got[0][0] == value
    assert got[1][0].tolist() == gradient


def test_one_class_has_no_rival() -> None:
    for name in (*LIKELIHOODS, "multiclass-hinge", "multiclass-perceptron", "sparsemax", "entmax"):
        value, gradient, hessian = rows(name, [[3.7]], [0])
        assert (value[0], gradient[0, 0], hessian[0, 0]) == (0.0, 0.0, 0.0), name


def test_the_perceptron_is_content_with_a_tie() -> None:
    """Where optax says (-1/2, 1/2, 0)."""
    value, gradient, _ = rows("multiclass-perceptron", [[1.0, 1.0, 0.0], [0.0, 2.0, 2.0]], [0, 0])
    assert value.tolist() == [0.0, 2.0]
    assert gradient.tolist() == [[0.0, 0.0, 0.0], [-1.0, 1.0, 0.0]]


def test_sparsemax_beside_its_margin() -> None:
    """The square of a quarter of a billionth: optax's difference of squares gives 5.6e-17."""
    lead = 1 - 1e-9
    rest = (1 - lead) / 2
    value, gradient, _ = rows("sparsemax", [[lead, 0.0, -5.0]], [0])
    assert value[0] == pytest.approx(rest**2, rel=1e-15)
    assert gradient[0].tolist() == pytest.approx([-rest, rest, 0.0], rel=1e-15)


def test_sparsemax_of_one_that_leads_a_thousand_ties() -> None:
    """Taken from the top, as -1/2 + 0.5005, the others would have lost ten bits."""
    scores = np.zeros((1, 1000))
    scores[0, 0] = 0.5
    _, gradient, hessian = rows("sparsemax", scores, [0])
    np.testing.assert_allclose(gradient[0, 1:], 0.5 / 1000, rtol=4e-16)
    assert gradient[0, 0] == pytest.approx(-0.5 * 999 / 1000, rel=4e-16)
    np.testing.assert_allclose(hessian, 0.999, rtol=1e-15)


FAR = [
    [300.0, 299.5, 299.2, -300.0],
    [1e6, 1e6 - 0.3, 1e6 - 0.7, 0.0],
    [-1e5, -1e5 + 0.2, -1e5 - 0.4, -2e5],
    [1e-8, -2e-8, 3e-8, 0.0],
    [5e-324, 0.0, 0.0, 0.0],
    [-1.5, -1.5, -1.500001, -1.4999],
    [2 - 1e-15, 1.0, -3.0, 0.9999999],
    [2.0, 1 + 1e-12, 1.0, 0.0],
    [0.0, 800.0, 1.0, 2.0],
]


@pytest.mark.parametrize("row", FAR, ids=str)
@pytest.mark.parametrize(("name", "params"), [("sparsemax", {}), ("entmax", {"alpha": 1.5}), ("entmax", {"alpha": 2})])
def test_the_sparse_losses_keep_their_digits(name: str, params: dict[str, float], row: list[float]) -> None:
    exact(name, [row], [0], **params)
    soft = np.random.default_rng(len(str(row))).dirichlet(np.ones(4), 1)
    exact(name, [row], soft, **params)


@pytest.mark.parametrize(("name", "params"), [("sparsemax", {}), ("entmax", {"alpha": 1.5})])
def test_soft_labels_close_to_the_prediction(name: str, params: dict[str, float]) -> None:
    """The loss is a square: of labels a millionth away about 1e-12, and zero of the prediction itself."""
    scores = np.array([[0.3, 0.1, -0.1, 0.05]])
    own = rows(name, scores, [0], **params)[1] + [1.0, 0.0, 0.0, 0.0]
    assert abs(rows(name, scores, own, **params)[0][0]) < 1e-16
    moved = own + np.array([[1e-6, -1e-6, 2e-6, -2e-6]])
    exact(name, scores, moved, **params)
    assert 1e-12 < rows(name, scores, moved, **params)[0][0] < 1e-10


def test_entmax_in_logarithms_where_its_probabilities_underflow() -> None:
    """With alpha = 1.001 the support is 1000 wide: p = 0.2^1000 is no double, and its surprise is 800 nats deep."""
    value, gradient, _ = rows("entmax", [[0.0, 800.0]], [0], alpha=1.001)
    with mpmath.workdps(40):
        a = mpmath.mpf(1.001) - 1
        p = (1 - 800 * a) ** (1 / a)
        want = 800 + (1 - (1 - p) ** (1 + a) - p ** (1 + a)) / (a * (1 + a)) - p * 800
    assert value[0] == pytest.approx(float(want), rel=1e-14)
    assert gradient[0].tolist() == [-1.0, 1.0]


def test_entmax_agrees_with_sparsemax_and_with_the_closed_form_of_three_halves() -> None:
    rng = np.random.default_rng(5)
    scores, labels = rng.normal(size=(50, 6)), rng.integers(0, 6, 50)
    for got, want in zip(rows("entmax", scores, labels, alpha=2.0), rows("sparsemax", scores, labels), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)
    # The roots of p on the k highest z/2 sum to a mean M and a spread S: tau = M - sqrt((1 - S)/k).
    half = -np.sort(-scores / 2, axis=1)
    k = np.arange(1, 7)
    mean = np.cumsum(half, axis=1) / k
    spread = np.cumsum(half**2, axis=1) - k * mean**2
    tau = mean - np.sqrt(np.maximum((1 - spread) / k, 0))
    last = (tau <= half).sum(axis=1) - 1
    p = np.maximum(scores / 2 - tau[np.arange(50), last][:, None], 0) ** 2
    np.testing.assert_allclose(rows("entmax", scores, labels)[1], p - np.eye(6)[labels], rtol=1e-12, atol=1e-14)


def test_entmax_is_found_whatever_the_neighbours() -> None:
    """Rows of every scale end after passes of their own, and have the bits that they have alone."""
    rng = np.random.default_rng(6)
    scores = rng.normal(size=(400, 40)) * 10.0 ** rng.integers(-8, 12, (400, 1))
    labels = rng.integers(0, 40, 400)
    for alpha in (1.0001, 1.2, 1.5, 1.9999, 2.0):
        together = rows("entmax", scores, labels, alpha=alpha)
        assert np.isfinite(together[0]).all()
        assert (together[0] >= 0).all()
        np.testing.assert_allclose(together[1].sum(axis=1), 0, atol=1e-14)
        for at in (0, 17, 399):
            alone = rows("entmax", scores[at : at + 1], labels[at : at + 1], alpha=alpha)
            assert all(a.tobytes() == b[at : at + 1].tobytes() for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize(("alpha", "fine"), [(1.0, False), (2.0001, False), (2.0, True), (1.0000001, True)])
def test_alpha_is_between_softmax_and_sparsemax(alpha: float, fine: bool) -> None:
    if fine:
        assert get("entmax").bind(alpha=alpha).params["alpha"] == alpha
    else:
        with pytest.raises(UsageError, match="--alpha"):
            get("entmax").bind(alpha=alpha)
