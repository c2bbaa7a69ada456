"""Rankings and risk sets at their edges: other libraries' numbers, ties, one query, long lists, what cancels."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from losscli.dialects import like
from losscli.errors import DataError
from losscli.evaluate import evaluate
from losscli.families import ranking
from losscli.loss import Loss, get
from losscli.losses.ranking import draws
from losscli.results import Result, Wants

RANKINGS = ("ranknet", "lambdarank", "xendcg", "listnet", "listmle", "approx-ndcg")

SCORES = np.array([0.5, -1.25, 2.0, 0.75, 0.0, 1.5, -0.5, 0.25, 3.0, -2.0])
GRADES = np.array([3.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 4.0, 1.0])
QUERY = np.repeat([0, 1], [6, 4])

# Gradient and Hessian per document of LightGBM 4.7.0 on these data, from the value -g / (h + lambda_l2) of its own leaf
# at two lambda_l2: of lambdarank four digits are right (its σ is a table), of rank_xendcg seven.
NAN = math.nan
LIGHTGBM_LAMBDARANK: dict[tuple[bool, int, float], list[tuple[float, float]]] = {
    (False, 30, 1.0): [
        *[(-0.40923163, 0.0968892), (NAN, NAN), (0.35353997, 0.0783916), (-0.09768353, 0.04251722)],
        *[(0.03484891, 0.02512712), (0.10130872, 0.03514109), (NAN, NAN), (0.04487997, 0.0238906)],
        *[(-0.03230512, 0.03083893), (NAN, NAN)],
    ],
    (True, 30, 1.0): [
        *[(-0.37012371, 0.10439517), (NAN, NAN), (0.24979587, 0.05298617), (-0.04332784, 0.06132914)],
        *[(0.04497886, 0.03039698), (0.11014121, 0.03492166), (NAN, NAN), (0.04418305, 0.01870299)],
        *[(NAN, NAN), (NAN, NAN)],
    ],
    (True, 2, 2.0): [
        *[(-0.58192122, 0.082523972), (NAN, NAN), (0.523750186, 0.0594208241), (-0.184446052, 0.0388916619)],
        *[(NAN, NAN), (0.240099832, 0.0668606013), (-0.0678137615, 0.0253340341), (0.0834959298, 0.0277624018)],
        *[(NAN, NAN), (NAN, NAN)],
    ],
}
LIGHTGBM_XENDCG = [
    *[(-0.40760177, 0.08793341), (NAN, NAN), (0.25128442, 0.24598409), (-0.07522025, 0.10944717)],
    *[(0.05409717, 0.0555995), (0.16668305, 0.19469447), (NAN, NAN), (0.02158529, 0.05469847)],
    *[(0.19434096, 0.08322734), (NAN, NAN)],
]


def found(name: str, scores: Any, relevance: Any, query: Any = None, **params: Any) -> Result:
    """A ranking loss per query, with slopes."""
    data = {"scores": np.asarray(scores, dtype=float), "relevance": np.asarray(relevance, dtype=float)}
    data |= {} if query is None else {"query": query}
    wants = Wants(grad="scores", hess="scores")
    return evaluate(get(name).bind(**params), data, reduction="none", wants=wants)


def survived(log_risk: Any, time: Any, event: Any, stratum: Any = None) -> Result:
    """Cox's loss per stratum, with slopes."""
    data = {"log_risk": np.asarray(log_risk, dtype=float), "time": np.asarray(time), "event": np.asarray(event)}
    data |= {} if stratum is None else {"stratum": stratum}
    wants = Wants(grad="log_risk", hess="log_risk")
    return evaluate(get("cox").bind(), data, reduction="none", wants=wants)


@pytest.mark.parametrize("config", LIGHTGBM_LAMBDARANK)
def test_lambdarank_gives_lightgbms_lambdas(config: tuple[bool, int, float]) -> None:
    norm, truncation, sigma = config
    result = found("lambdarank", SCORES, GRADES, QUERY, norm=norm, truncation=truncation, sigma=sigma)
    theirs = np.array(LIGHTGBM_LAMBDARANK[config])
    known = ~np.isnan(theirs[:, 0])
    assert result.gradient is not None
    assert result.hessian is not None
    np.testing.assert_allclose(result.gradient[known], theirs[known, 0], rtol=3e-5)
    np.testing.assert_allclose(result.hessian[known], theirs[known, 1], rtol=4e-5)


def test_xendcg_gives_lightgbms_numbers_after_its_two_more_terms() -> None:
    theirs = np.array(LIGHTGBM_XENDCG)
    for number, rows in enumerate((slice(0, 6), slice(6, 10))):
        # LightGBM seeds a query with its number added.
        result = found("xendcg", SCORES[rows], GRADES[rows], objective_seed=5 + number)
        assert result.gradient is not None
        assert result.hessian is not None
        p = np.exp(SCORES[rows]) / np.exp(SCORES[rows]).sum()
        total, term = result.gradient, result.gradient
        for _ in range(2):
            scaled = term / (1.0 - p)
            term = p * (scaled.sum() - scaled)
            total = total + term
        known = ~np.isnan(theirs[rows, 0])
        np.testing.assert_allclose(total[known], theirs[rows][known, 0], rtol=1e-6)
        np.testing.assert_allclose(result.hessian[known], theirs[rows][known, 1], rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 5, 2**31 - 1])
def test_the_random_numbers_are_those_of_lightgbms_generator(seed: int) -> None:
    x, expected = seed, []
    for _ in range(500):
        x = (214013 * x + 2531011) % 2**32
        expected.append((x // 2**16 % 2**15) / 2**15)
    assert draws(seed, 500).tolist() == expected


@pytest.mark.parametrize("name", RANKINGS)
def test_without_queries_all_documents_are_one_query(name: str) -> None:
    alone, named = found(name, SCORES, GRADES), found(name, SCORES, GRADES, np.full(10, 7))
    assert np.asarray(alone.value).shape == (1,)
    np.testing.assert_array_equal(alone.value, named.value)
    np.testing.assert_array_equal(alone.gradient, named.gradient)
    np.testing.assert_array_equal(alone.hessian, named.hessian)


@pytest.mark.parametrize("name", RANKINGS)
def test_a_query_of_one_document_has_nothing_to_learn(name: str) -> None:
    result = found(name, [3.0, 1.0, 2.0], [1.0, 2.0, 0.0], [0, 1, 1])
    assert result.gradient is not None
    assert result.hessian is not None
    assert result.gradient[0] == 0.0
    assert result.hessian[0] == 0.0
    assert np.asarray(result.value)[0] == (-1.0 if name == "approx-ndcg" else 0.0)
    assert result.gradient[1] != 0.0


@pytest.mark.parametrize("name", ["ranknet", "lambdarank", "approx-ndcg"])
def test_grades_that_are_all_zero_rank_nothing(name: str) -> None:
    result = found(name, [1.0, -2.0, 0.5], [0.0, 0.0, 0.0])
    assert np.asarray(result.value)[0] == 0.0
    assert result.gradient is not None
    assert not result.gradient.any()
    assert not np.asarray(result.hessian).any()


@pytest.mark.parametrize("name", RANKINGS)
def test_scores_moved_together_change_nothing(name: str) -> None:
    # Multiples of 1/4 stay what they are beside 1024, so that not a bit changes.
    here, there = found(name, SCORES, GRADES, QUERY), found(name, SCORES + 1024.0, GRADES, QUERY)
    np.testing.assert_array_equal(here.value, there.value)
    np.testing.assert_array_equal(here.gradient, there.gradient)
    assert here.gradient is not None
    for query in (0, 1):
        slopes = here.gradient[query == QUERY]
        assert abs(slopes.sum()) <= 2e-16 * np.abs(slopes).sum() * len(slopes)


@pytest.mark.parametrize("name", [*RANKINGS, "cox"])
def test_scores_a_thousand_apart_are_finite(name: str) -> None:
    far = np.array([1000.0, -1000.0, 0.0, 1e6, -1e6])
    for grades in ([0.0, 1.0, 2.0, 3.0, 4.0], [4.0, 0.0, 2.0, 0.0, 1.0]):
        result = survived(far, grades, np.ones(5)) if name == "cox" else found(name, far, grades)
        for array in (result.value, result.gradient, result.hessian):
            assert np.isfinite(np.asarray(array)).all()


def test_listmle_takes_equal_grades_in_the_order_of_their_rows() -> None:
    s = np.array([0.3, -0.2, 0.9, 0.1])
    expected = 0.0
    for place, row in enumerate(order := [2, 0, 3, 1]):
        expected += math.log(sum(math.exp(s[j] - s[row]) for j in order[place:]))
    result = found("listmle", s, [1.0, 0.0, 2.0, 1.0])
    assert np.asarray(result.value)[0] == pytest.approx(expected, rel=1e-15)
    # A shuffle of the ties, as rax and TF-Ranking draw it, is another number.
    other = found("listmle", s[[3, 1, 2, 0]], [1.0, 0.0, 2.0, 1.0])
    assert abs(np.asarray(other.value)[0] - expected) > 0.01


def test_a_confident_ranking_keeps_its_digits() -> None:
    # log-sum-exp minus score is 0 here in all libraries that are asked; the truth is two steps of 40.
    truth = 2.0 * math.exp(-40.0) + math.exp(-80.0)
    result = found("listmle", [40.0, 0.0, -40.0], [2.0, 1.0, 0.0])
    assert np.asarray(result.value)[0] == pytest.approx(truth, rel=1e-14)
    assert result.gradient is not None
    np.testing.assert_allclose(result.gradient, [-math.exp(-40.0), 0.0, math.exp(-40.0)], rtol=1e-14, atol=1e-33)
    pair = found("ranknet", [40.0, 0.0], [1.0, 0.0])
    assert np.asarray(pair.value)[0] == pytest.approx(math.exp(-40.0), rel=1e-14)
    np.testing.assert_allclose(np.asarray(pair.gradient), [-math.exp(-40.0), math.exp(-40.0)], rtol=1e-14)


def test_pushes_that_cancel_leave_their_difference() -> None:
    # One better document far below, one worse far above: each pushes by nearly 1, the other way.
    middle = np.asarray(found("ranknet", [-30.0, 0.0, 31.0], [2.0, 1.0, 0.0]).gradient)[1]
    truth = math.exp(-31.0) / (1.0 + math.exp(-31.0)) - math.exp(-30.0) / (1.0 + math.exp(-30.0))
    assert middle == pytest.approx(truth, rel=1e-14)
    # Nearly equal scores: halves that cancel, and a quarter of what the scores differ by.
    near = np.asarray(found("ranknet", [1e-9, 0.0, 3e-9], [2.0, 1.0, 0.0]).gradient)[1]
    assert near == pytest.approx(-(1e-9 + 3e-9) / 4.0, rel=1e-14)


def test_nearly_equal_log_risks_keep_the_digits_of_their_differences() -> None:
    # Both have the event at once: 2 p - 1 = tanh of half the difference; as a sum of shares it keeps seven digits.
    result = survived([1e-9, -1e-9], [1.0, 1.0], [1, 1])
    np.testing.assert_allclose(np.asarray(result.gradient), [1e-9, -1e-9], rtol=1e-15)


def test_cox_of_equal_risks_counts_who_is_at_risk() -> None:
    # At day 1 five are at risk, at day 2 four, of whom one is censored then; at day 4 two, both with an event.
    result = survived(np.zeros(5), [1, 2, 2, 4, 4], [1, 1, 0, 1, 1])
    assert np.asarray(result.value)[0] == pytest.approx(math.log(5 * 4 * 2 * 2), rel=1e-15)
    shares = np.array([1 / 5, 1 / 5 + 1 / 4, 1 / 5 + 1 / 4, 1 / 5 + 1 / 4 + 2 / 2, 1 / 5 + 1 / 4 + 2 / 2])
    np.testing.assert_allclose(np.asarray(result.gradient), shares - [1, 1, 0, 1, 1], rtol=1e-15)


def test_strata_are_apart_and_one_without_an_event_counts_nothing() -> None:
    log_risk, time = np.array([0.5, -1.0, 2.0, 0.0, 1.0]), np.array([3, 1, 2, 1, 2])
    both = survived(log_risk, time, [1, 1, 0, 0, 0], [0, 0, 0, 1, 1])
    first = survived(log_risk[:3], time[:3], [1, 1, 0])
    np.testing.assert_array_equal(both.value, [np.asarray(first.value)[0], 0.0])
    np.testing.assert_array_equal(both.gradient, [*np.asarray(first.gradient), 0.0, 0.0])


def test_one_who_takes_the_whole_risk_leaves_a_curve() -> None:
    # Its share is 1 - e^-50: p - p² is 0 or noise, p (1 - p) is not.
    result = survived([50.0, 0.0], [1, 2], [1, 0])
    np.testing.assert_allclose(np.asarray(result.hessian), [math.exp(-50.0)] * 2, rtol=1e-14)


def test_soft_ranks_of_equal_grades_differ_by_as_much_as_the_scores() -> None:
    # Four equal grades: all slopes come from differences of 1e-9 between soft ranks of 2.5.
    s = np.array([1e-9, -2e-9, 3e-9, 0.0])
    slopes = np.asarray(found("approx-ndcg", s, [2.0, 2.0, 2.0, 2.0]).gradient)
    ideal = sum(1.0 / math.log(2.0 + place) for place in range(4))
    # q(r) = 1 / ((1 + r) log(1 + r)²) at 2.5, and r moves by a quarter of the differences.
    bend = -(math.log(3.5) + 2.0) / (3.5**2 * math.log(3.5) ** 3) / ideal
    expected = [sum(bend * (sk - si) for si in s) / 4.0 for sk in s]
    np.testing.assert_allclose(slopes, expected, rtol=1e-8)


def test_documents_beyond_the_truncation_make_no_pair() -> None:
    result = found("lambdarank", [3.0, 2.0, 1.0, 0.0], [0.0, 0.0, 1.0, 2.0], truncation=1)
    # The first is of grade 0, as the second is: of the pairs that count each has the first.
    slopes = np.asarray(result.gradient)
    assert slopes[1] == 0.0
    assert slopes[0] > 0.0
    assert (slopes[2:] < 0.0).all()


def test_equal_scores_are_ranked_in_the_order_of_their_rows() -> None:
    first, last = (found("lambdarank", np.zeros(3), grades, norm=False) for grades in ([1, 0, 0], [0, 0, 1]))
    assert np.asarray(first.value)[0] != np.asarray(last.value)[0]
    # NDCG loses 1 - 1/log2(3) and 1 - 1/2 where the best goes to the second and to the third place.
    lost = (1.0 - 1.0 / math.log2(3.0)) + 0.5
    assert np.asarray(first.value)[0] == pytest.approx(lost * math.log(2.0), rel=1e-15)


@pytest.mark.parametrize("name", ["ranknet", "lambdarank", "approx-ndcg"])
def test_pairs_of_a_long_list_are_made_a_few_at_a_time(name: str) -> None:
    count = 1500
    rng = np.random.default_rng(0)
    s, grades = rng.normal(size=count), rng.integers(0, 5, count).astype(float)
    tracemalloc.start()
    result = found(name, s, grades)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.isfinite(np.asarray(result.gradient)).all()
    # All pairs at once take 18 MB an array.
    assert peak < 12e6


def test_a_long_list_is_added_up_in_pairs() -> None:
    # One by one, 10,000 equal shares are off by a dozen roundings and more.
    count = 10_000
    value = np.asarray(found("listmle", np.full(count, 0.25), np.arange(count)).value)[0]
    assert value == pytest.approx(math.lgamma(count + 1.0), rel=1e-15)


@pytest.mark.parametrize(("grade", "name"), [(-1.0, "lambdarank"), (1001.0, "xendcg"), (math.nan, "approx-ndcg")])
def test_what_is_no_grade_is_refused(grade: float, name: str) -> None:
    with pytest.raises(DataError, match="relevance must be a grade from 0 to 1000"):
        found(name, [1.0, 2.0], [1.0, grade])


def test_the_largest_grades_overflow_nowhere() -> None:
    for name in ("lambdarank", "xendcg", "approx-ndcg"):
        result = found(name, [1.0, 2.0, 0.5], [1000.0, 999.0, 1000.0])
        assert np.isfinite(np.asarray(result.value)).all()
        assert np.isfinite(np.asarray(result.gradient)).all()
        assert np.isfinite(np.asarray(result.hessian)).all()


def test_an_event_is_0_or_1() -> None:
    with pytest.raises(DataError, match="event must be 1 for an event"):
        survived([1.0, 2.0], [1, 2], [1, 2])


@pytest.mark.parametrize(
    "loss",
    [
        *map(get, ("ranknet", "lambdarank", "approx-ndcg")),
        *(like(get("lambdarank"), x) for x in ("lightgbm", "xgboost")),
    ],
    ids=lambda loss: loss.name + (f" of {loss.dialect.peer}" if loss.dialect else ""),
)
def test_rows_of_many_pairs_give_what_rows_of_few_give(loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    data = {
        "scores": rng.normal(size=60).round(1),
        "relevance": rng.integers(0, 4, 60).astype(np.float64),
        "query": np.repeat([0, 1, 2], [30, 1, 29]),
    }
    bound = loss.bind()

    def found() -> list[Any]:
        made = [
            evaluate(bound, data, reduction="sum", wants=Wants(**wants))
            for wants in ({"grad": "scores"}, {"hess": "scores"})
        ]
        return [made[0].value, made[0].gradient, made[1].hessian]

    few = found()
    monkeypatch.setattr(ranking, "_MANY", 1)
    for a, b in zip(few, found(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11)
        assert np.any(a)


@pytest.mark.parametrize("sizes", [(5, 5, 5), (2, 31, 1, 7), (40, 3, 32, 31, 1), (33, 64), (4, 40, 4)])
@pytest.mark.parametrize("name", ["listnet", "xendcg"])
def test_a_query_gives_the_same_bits_beside_queries_of_any_length(name: str, sizes: tuple[int, ...]) -> None:
    rng, rows = np.random.default_rng(sum(sizes)), sum(sizes)
    # Scores close to each other as well as far apart.
    spread = np.repeat(rng.choice([0.1, 3.0], len(sizes)), sizes)
    scores, grades = rng.normal(size=rows) * spread, rng.integers(0, 5, rows)
    together, stop = found(name, scores, grades, np.repeat(np.arange(len(sizes)), sizes)), 0
    assert together.gradient is not None
    assert together.hessian is not None
    for at, size in enumerate(sizes):
        own = slice(stop, stop := stop + size)
        alone = found(name, scores[own], grades[own])
        assert np.asarray(together.value)[at] == alone.value
        np.testing.assert_array_equal(together.gradient[own], alone.gradient)
        np.testing.assert_array_equal(together.hessian[own], alone.hessian)
