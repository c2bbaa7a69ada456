"""The elementary functions: no entry's digits depend on its neighbours or its memory, and all of them are right."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest

from losscli import stable

# None of these is rare enough to be left out: overflow, subnormal numbers, zeros of both signs, what is no number.
ODD = [np.nan, np.inf, -np.inf, 1e308, 1e160, 1e-160, 5e-324, 0.0, -0.0, 745.2, -745.2, 709.8, -708.5, 720.0, -720.0]
EXACT: dict[str, tuple[Callable[[Any], Any], Callable[[Decimal], Decimal]]] = {
    "softplus": (stable.softplus, lambda z: (1 + z.exp()).ln()),
    "sigmoid": (stable.sigmoid, lambda z: 1 / (1 + (-z).exp())),
    "odds, p": (lambda z: stable.odds(z)[0], lambda z: 1 / (1 + (-z).exp())),
    "odds, q": (lambda z: stable.odds(z)[1], lambda z: 1 / (1 + z.exp())),
    "hypotenuse": (lambda r: stable.hypotenuse(r, 3.0), lambda r: (r * r + 9).sqrt()),
    "positive part": (stable.positive_part, lambda x: max(Decimal(0), x)),
    "falling": (lambda x: stable.falling(x, 0.5), lambda x: Decimal(-1 if x < Decimal("0.5") else 0)),
}


@pytest.mark.parametrize("name", EXACT)
def test_every_entry_has_the_digits_that_it_has_on_its_own(name: str) -> None:
    function, _ = EXACT[name]
    x = np.array([*np.random.default_rng(0).normal(scale=40.0, size=40), *ODD])
    with np.errstate(all="ignore"):
        alone = np.concatenate([function(x[at : at + 1]) for at in range(len(x))])
        assert function(x).tobytes() == alone.tobytes()
        assert function(np.stack([x, x]).T[:, 1]).tobytes() == alone.tobytes()
    assert function(x[:0]).shape == (0,)


@pytest.mark.parametrize("name", EXACT)
def test_every_entry_has_all_its_digits(name: str) -> None:
    function, exact = EXACT[name]
    rng = np.random.default_rng(1)
    x = np.concatenate([*(rng.normal(scale=scale, size=20) for scale in (1e-8, 1.0, 30.0, 300.0)), ODD[7:]])
    with localcontext() as context, np.errstate(all="ignore"):
        context.prec = 400
        for at, made in zip(x.tolist(), function(x).tolist(), strict=True):
            truth = exact(Decimal(at))
            assert abs(Decimal(made) - truth) <= Decimal("4e-16") * abs(truth) + Decimal("5e-324"), (at, made)


def test_either_is_the_one_or_the_other_to_the_bit() -> None:
    rng = np.random.default_rng(2)
    a, b, where = rng.normal(size=50) * 1e300, rng.normal(size=50) * 1e-300, rng.random(50) < 0.5
    np.testing.assert_array_equal(stable.either(where, a, b), np.where(where, a, b))


@pytest.mark.parametrize("classes", [1, 5, stable.FEW - 1, stable.FEW, 100, 128, 129, 1000])
def test_a_row_adds_up_to_the_same_bits_wherever_it_is_stored(classes: int) -> None:
    x = np.random.default_rng(classes).normal(size=(30, classes))
    sums = stable.row_sums(x)
    spaced = np.zeros((30, 2 * classes))
    spaced[:, ::2] = x
    for other in (np.asfortranarray(x), spaced[:, ::2], x[:, ::-1].copy()[:, ::-1]):
        assert stable.row_sums(other).tobytes() == sums.tobytes()
        alone = [stable.row_sums(other[at : at + 1]) for at in range(len(x))]
        assert np.concatenate(alone).tobytes() == sums.tobytes()
    np.testing.assert_allclose(sums, x.sum(axis=1), rtol=0.0, atol=classes * 4.0 * sys.float_info.epsilon)


def test_sizes_take_the_signs_of_others_to_the_bit() -> None:
    signs = np.array(ODD)
    sizes = np.abs(np.random.default_rng(4).normal(size=(len(ODD), 3)))
    sizes[0], sizes[1] = 0.0, np.inf
    for laid in (np.ascontiguousarray, np.asfortranarray):
        x = laid(np.tile(signs[:, None], 3))
        assert stable.signed(laid(sizes), x).tobytes() == np.copysign(sizes, x).tobytes()
