"""Large gradients: bounds that hold, no false alarm over seeds, wrong entries found where they are."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath as mp
import numpy as np
import pytest

from losscli.verifier.numeric.lines import Lines
from losscli.verifier.numeric.locate import Located, locate
from losscli.verifier.numeric.patterns import pattern_of
from losscli.verifier.numeric.probes import chi_squared, probe

N = 2048


def draws(n: int = N, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 2.0 * rng.normal(size=n), np.where(rng.random(n) < 0.3, 1.0, 0.0)


X, TARGET = draws()
GRADIENT = (1.0 / (1.0 + np.exp(-X)) - TARGET) / N
RMS = float(np.sqrt(np.mean(GRADIENT**2)))


def terms(z: np.ndarray) -> np.ndarray:
    return (np.maximum(z, 0.0) - z * TARGET + np.log1p(np.exp(-np.abs(z)))) / N


def mean_bce(z: np.ndarray) -> float:
    return float(terms(z.reshape(-1)).sum())


def found(claim: np.ndarray, seed: int = 1) -> Located:
    return locate(mean_bce, X.reshape(claim.shape), claim, seed=seed)


@pytest.mark.parametrize("share", [1e-6, 1e-3, 0.5, 0.99])
@pytest.mark.parametrize("k", [1, 2, 7, 8, 16, 64])
def test_quantiles_of_chi_squared_are_those_of_the_gamma_function(k: int, share: float) -> None:
    at = chi_squared(k, share)
    assert float(mp.gammainc(k / 2, 0, at / 2, regularized=True)) == pytest.approx(share, rel=1e-12)


def test_right_gradients_raise_no_alarm_over_seeds_and_are_known_to_many_digits() -> None:
    for seed in range(40):
        for f, digits in ((mean_bce, 1e-8), (terms, 1e-10)):
            certificate = probe(f, X, GRADIENT, seed=seed)
            assert certificate.verdict == "pass", seed
            assert certificate.norm_bound < digits * certificate.norm
            assert all(abs(r) <= b for r, b in zip(certificate.residuals, certificate.bars, strict=True))


def test_terms_are_known_to_more_digits_than_their_sum() -> None:
    whole, apart = (probe(f, X, GRADIENT, seed=3).norm_bound for f in (mean_bce, terms))
    assert apart < 0.1 * whole


def test_the_bound_holds_the_error_at_the_confidence_stated() -> None:
    # At 0.9 the bound must be exceeded sometimes and not too often: 300 draws, five standard deviations.
    rng = np.random.default_rng(7)
    x, a = rng.normal(size=50), rng.normal(size=50)
    over = 0
    for seed in range(300):
        error = rng.normal(size=50) * rng.choice([0.0, 1.0], 50)
        certificate = probe(lambda z: float(a @ z), x, a + error, seed=seed, confidence=0.9)
        over += certificate.norm_bound < np.linalg.norm(error)
    assert 4 < over < 56


def test_a_bound_at_high_confidence_is_never_exceeded_by_tiny_errors_that_pass() -> None:
    rng = np.random.default_rng(8)
    for seed in range(30):
        error = rng.normal(size=N) * RMS * 10.0 ** rng.uniform(-14, -9)
        certificate = probe(mean_bce, X, GRADIENT + error, seed=seed)
        assert certificate.norm_bound >= np.linalg.norm(error)


FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "zero": np.zeros_like,
    "doubled": lambda g: 2.0 * g,
    "negated": lambda g: -g,
    "1 + 1e-6 times": lambda g: (1.0 + 1e-6) * g,
    "rolled": lambda g: np.roll(g, 1),
    "reversed": lambda g: g[::-1].copy(),
    "one entry": lambda g: g + 1e-4 * RMS * (np.arange(N) == 77),
    "NaN": lambda g: np.where(np.arange(N) == 77, np.nan, g),
    "infinite": lambda g: np.where(np.arange(N) == 77, np.inf, g),
    "opposite errors": lambda g: g + 1e-3 * RMS * ((np.arange(N) == 5) * 1.0 - (np.arange(N) == 1900)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_gradients_fail_whatever_the_seed(fault: str) -> None:
    for seed in range(5):
        assert probe(mean_bce, X, FAULTS[fault](GRADIENT), seed=seed).verdict == "fail"


def test_nothing_is_said_where_the_value_is_too_noisy_or_not_a_number() -> None:
    rng = np.random.default_rng(0)
    noisy = probe(lambda z: mean_bce(z) + rng.normal(), X, 3.0 * GRADIENT, seed=0)
    assert noisy.verdict == "inconclusive"
    assert noisy.reason
    silent = probe(lambda _: np.full(3, np.nan), X, GRADIENT, seed=0)
    assert (silent.verdict, silent.reason) == ("inconclusive", "nonfinite")
    assert math.isinf(silent.norm_bound)


def test_a_gradient_of_zero_passes_where_the_function_does_not_depend_on_its_argument() -> None:
    assert probe(lambda z: 2.0 + 0.0 * z.sum(), X, 0.0 * X, seed=0).verdict == "pass"


def test_nothing_to_move_is_not_a_pass() -> None:
    assert probe(lambda _: 1.0, np.empty(0), np.empty(0), seed=0).verdict == "not_checked"
    held = Lines(mean_bce, X, held=np.ones(N, np.bool_))
    assert probe(held, X, GRADIENT, seed=0).verdict == "not_checked"


def test_bounds_of_the_domain_are_never_crossed() -> None:
    rng = np.random.default_rng(2)
    p = np.concatenate([rng.uniform(size=500), [1e-12, 1.0 - 1e-12, 1e-300]])

    def entropy(z: np.ndarray) -> np.ndarray:
        assert (z > 0.0).all()
        assert (z < 1.0).all()
        return z * np.log(z)

    slope = np.log(p) + 1.0
    assert probe(Lines(entropy, p, low=0.0, high=1.0), p, slope, seed=0).verdict == "pass"
    assert probe(Lines(entropy, p, low=0.0, high=1.0), p, 1.001 * slope, seed=0).verdict == "fail"


def test_kinks_that_are_declared_are_not_crossed() -> None:
    def piece(z: np.ndarray) -> np.ndarray:
        return np.sign(z)

    claim = np.sign(X)
    assert probe(Lines(np.abs, X, piece=piece), X, claim, seed=0).verdict == "pass"
    claim[9] *= 1.001
    assert probe(Lines(np.abs, X, piece=piece), X, claim, seed=0).verdict == "fail"


def test_kinks_closer_together_than_any_step_do_not_make_a_right_gradient_wrong() -> None:
    for seed in range(8):
        x = 1e-4 * np.random.default_rng(seed).normal(size=20_000)
        certificate = probe(lambda z: float(np.abs(z).mean()), x, np.sign(x) / x.size, seed=seed)
        assert certificate.verdict in ("pass", "inconclusive")


def test_a_run_is_the_same_every_time_and_another_with_another_seed() -> None:
    first, again, other = (probe(mean_bce, X, GRADIENT, seed=seed) for seed in (4, 4, 5))
    assert first == again
    assert first.residuals != other.residuals
    wrong = GRADIENT + RMS * (np.arange(N) % 700 == 3)
    assert found(wrong) == found(wrong)


@pytest.mark.parametrize("many", [1, 3, 100])
def test_scattered_errors_are_all_found(many: int) -> None:
    rng = np.random.default_rng(many)
    at = rng.choice(N, many, replace=False)
    claim = GRADIENT.copy()
    claim[at] += 1e-3 * RMS * rng.uniform(0.5, 2.0, many) * rng.choice([-1.0, 1.0], many)
    located = found(claim)
    assert sorted(hit.index[0] for hit in located.entries) == sorted(at)
    assert located.complete
    for hit in located.entries:
        assert hit.claimed == claim[hit.index]
        assert abs(hit.reference - GRADIENT[hit.index]) <= hit.bar


def test_equal_and_opposite_errors_are_found_for_every_seed() -> None:
    claim = GRADIENT + 0.01 * RMS * ((np.arange(N) == 4) * 1.0 - (np.arange(N) == 5))
    for seed in range(20):
        assert {hit.index for hit in found(claim, seed).entries} == {(4,), (5,)}


def test_a_right_gradient_has_no_wrong_entries() -> None:
    for seed in range(10):
        assert found(GRADIENT, seed).entries == ()


def _changed(at: object, factor: float = 0.0) -> np.ndarray:
    claim = GRADIENT.reshape(256, 8).copy()
    claim[at] *= factor  # type: ignore[index]
    return claim


SOME_ROWS = np.random.default_rng(3).random(256) < 0.3

PATTERNS = {
    "everything": _changed(..., 2.0),
    f"{SOME_ROWS.sum()} whole rows": _changed(SOME_ROWS, 1.5),
    "row 17": _changed(17),
    "rows 17, 40, 200": _changed([17, 40, 200]),
    "rows 100 to 199": _changed(slice(100, 200)),
    "the last 3 rows": _changed(slice(-3, None)),
    "the last 90 rows": _changed(slice(-90, None), 1.01),
    "column 3": _changed((slice(None), 3), 1.1),
    "column 7": _changed((slice(None), 7), -1.0),
    "one entry": _changed((200, 5)),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_named(pattern: str) -> None:
    claim = PATTERNS[pattern]
    located = found(claim)
    assert located.pattern == pattern
    assert located.entries
    wrong = claim != GRADIENT.reshape(256, 8)
    assert all(wrong[hit.index] for hit in located.entries)


def test_entries_that_are_no_numbers_are_found_at_once() -> None:
    claim = GRADIENT.copy()
    claim[[7, 1000]] = np.nan
    assert {hit.index for hit in found(claim).entries} == {(7,), (1000,)}


@pytest.mark.parametrize(
    ("shape", "flat", "words"),
    [
        ((4, 3), [], ""),
        ((6,), [4, 5], "the last 2 entries"),
        ((6,), [1, 2], "entries 1 to 2"),
        ((6,), [0, 3], "scattered over 2 entries"),
        ((4, 3), [0, 1, 2, 3, 4, 5], "the first 2 rows"),
        ((4, 3), [1, 7], "column 1, in part"),
        ((4, 3), [3, 5], "row 1, in part"),
        ((4, 2, 3), list(range(6, 12)), "row 1"),
        ((), [0], "one entry"),
    ],
)
def test_words_of_patterns(shape: tuple[int, ...], flat: list[int], words: str) -> None:
    assert pattern_of(shape, np.array(flat, np.intp)) == words
