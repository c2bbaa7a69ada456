"""Not one bit depends on how the work is cut up or on how the data lie in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from accuracy import Witness, curved, draws, parameters, rng_of

from losscli import plan as planning
from losscli.engines import Engine, serial, threads
from losscli.evaluate import evaluate
from losscli.inputs import IDENTITY
from losscli.loss import Loss
from losscli.plan import How
from losscli.results import Result, Wants
from losscli.verifier.points import Data, draw

ROWS = 97


def backwards(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """The last item is worked on first, and handed on first."""
    return map(work, reversed(list(items)))


ENGINES: dict[str, Engine] = {**{f"{n} threads": threads(n) for n in (1, 2, 5)}, "backwards": backwards}


def data_of(loss: Loss, link: str, rows: int = ROWS) -> Data:
    return draw(loss.reads, rng_of(loss.name), link, rows=rows)


def results(loss: Loss, data: Data, link: str, engine: Engine = serial, reduction: Any = "mean") -> list[Result]:
    bound, second = loss.bind(**parameters(loss, 1)), curved(loss, link)
    return [
        evaluate(
            bound,
            data,
            how=How(link=link),
            reduction=reduction,
            wants=Wants(grad=name, hess=name if name in second else "", per_sample=not is_pooled(loss)),
            engine=engine,
        )
        for name in loss.reads.differentiable
    ]


def bits(result: Result) -> dict[str, bytes]:
    arrays = {"gradient": result.gradient, "hessian": result.hessian, "per_sample": result.per_sample}
    return {name: np.asarray(array).tobytes() for name, array in {**arrays, "value": result.value}.items()}


def is_pooled(loss: Loss) -> bool:
    return Witness(next(draws(loss, 1.0, 0))).oracle.pooled


def is_one_batch(loss: Loss) -> bool:
    """Whether all rows need each other, so that there is one block of them."""
    return loss.reads.layout == "groups" and all(one.domain is not IDENTITY for one in loss.reads.inputs)


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_threads_and_order_change_no_bit(entry: Loss, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Many blocks of few rows, the last one shorter.
    monkeypatch.setattr(planning, "_BLOCK_BYTES", 8 * 4 * 5)
    for link in entry.reads.links:
        data = data_of(entry, link)
        alone, other = results(entry, data, link), results(entry, data, link, ENGINES[engine])
        assert [bits(one) for one in alone] == [bits(one) for one in other]
        assert len(alone[0].plan.spans()) > 2 or is_one_batch(entry)


@pytest.mark.parametrize(("rows", "classes"), [(1, 4), (2, 4), (7, 4), (32, 4), (1, 12), (7, 12), (1, 40), (5, 40)])
def test_rows_do_not_depend_on_the_block_they_are_in(
    entry: Loss, rows: int, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for link in entry.reads.links:
        data = widened(entry, data_of(entry, link), classes)
        with monkeypatch.context() as patch:
            patch.setattr(planning, "_BLOCK_BYTES", 8 * data[entry.reads.names[0]][:1].size * rows)
            small = results(entry, data, link, reduction="sum")
        for a, b in zip(results(entry, data, link, reduction="sum"), small, strict=True):
            assert len(b.plan.spans()) > len(a.plan.spans()) or is_one_batch(entry)
            if is_pooled(entry):
                # A pooled loss's slopes hold its totals, whose last bit is the blocks' own.
                np.testing.assert_allclose(a.gradient, b.gradient, rtol=0, atol=2**-50 * np.abs(a.gradient).max())
                continue
            mine, theirs = bits(a), bits(b)
            if entry.reads.entry(a.wants.grad).shared:
                # So does a sum over the rows of each block.
                np.testing.assert_allclose(a.gradient, b.gradient, rtol=0, atol=2**-48 * np.abs(a.gradient).max())
                mine["gradient"], mine["hessian"] = theirs["gradient"], theirs["hessian"]
            assert [mine[key] == theirs[key] for key in ("gradient", "hessian", "per_sample")] == [True] * 3


def test_the_sum_is_that_of_the_rows(entry: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_pooled(entry):
        # It has no rows to add up: one value under every reduction, and none for each row.
        data = data_of(entry, entry.reads.default_link)
        found = [results(entry, data, "", reduction=reduction)[0] for reduction in ("mean", "sum", "none")]
        assert len({result.value for result in found}) == 1
        assert [result.per_sample for result in found] == [None] * 3
        return
    for size in (1 << 20, 8 * 4 * 5):
        monkeypatch.setattr(planning, "_BLOCK_BYTES", size)
        for link in entry.reads.links:
            for result in results(entry, data_of(entry, link), link, reduction="sum"):
                rows = np.asarray(result.per_sample)
                exact = math.fsum(rows)
                # A row's loss is rounded a handful of times on its way up: in eight sums side by side, then in theirs.
                assert float(result.value) == pytest.approx(exact, rel=0, abs=2**-51 * math.fsum(np.abs(rows)))
                if entry.reads.layout != "groups":
                    assert float(result.value) == math.fsum(rows[a:b].sum() for a, b in result.plan.spans())


@pytest.mark.parametrize("classes", [4, 40])
def test_order_in_memory_changes_no_bit(entry: Loss, classes: int) -> None:
    for link in entry.reads.links:
        data = widened(entry, data_of(entry, link), classes)
        for flip in (np.asfortranarray, strided, lambda array: array[::-1].copy()[::-1]):
            other = {name: flip(array) for name, array in data.items()}
            assert [bits(one) for one in results(entry, data, link)] == [
                bits(one) for one in results(entry, other, link)
            ]


def widened(loss: Loss, data: Data, classes: int) -> Data:
    """The data with more classes, or entries per row; rows that add up to one still do, and boxes have four."""
    wide = {}
    if any(one.shared and "C" not in (one.axes or "") for one in loss.reads.inputs):
        # A scale per entry, or per pair of them, would have to grow in its own way.
        return data
    for name, array in data.items():
        if array.ndim == 2 and loss.reads.entry(name).domain.breaks is None:
            tiled = np.tile(array, (1, classes // array.shape[1]))
            by_row = np.exp(array).sum(axis=1) if (array <= 0).all() else array.sum(axis=1)
            share = classes // array.shape[1]
            if np.allclose(by_row, 1.0):
                tiled = tiled - math.log(share) if (array <= 0).all() else tiled / share
            array = tiled
        wide[name] = array
    return wide


def strided(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Every second entry of a larger array."""
    large = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    large[..., ::2] = array
    return large[..., ::2]


def test_float32_gives_what_the_same_numbers_give_in_float64(entry: Loss) -> None:
    for link in entry.reads.links:
        data = data_of(entry, link)
        single = {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in data.items()}
        double = {
            name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in single.items()
        }
        assert [bits(one) for one in results(entry, single, link)] == [
            bits(one) for one in results(entry, double, link)
        ]


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_whole_weights_repeat_rows(entry: Loss, factor: float) -> None:
    if "sample-weight" not in entry.reads.options:
        assert entry.reads.layout == "groups"
        return
    name = entry.reads.differentiable[0]
    bound = entry.bind(**parameters(entry, 2))
    data, weight = data_of(entry, "", rows=9), np.array([1, 2, 1, 0, 3, 1, 1, 2, 1])
    repeated = {
        key: array if entry.reads.entry(key).shared else np.repeat(array, weight, axis=0) for key, array in data.items()
    }
    weighted = evaluate(bound, data, sample_weight=factor * weight, reduction="mean", wants=Wants(grad=name))
    plain = evaluate(bound, repeated, reduction="mean", wants=Wants(grad=name))
    assert weighted.gradient is not None
    assert plain.gradient is not None
    # Of a pooled loss the smoothing weighs less when all rows weigh more.
    if factor == 1.0 or not is_pooled(entry):
        assert weighted.value == pytest.approx(plain.value, rel=1e-14)
        first = np.cumsum(weight) - weight
        shares = plain.gradient[first[weight > 0]].reshape(8, -1) * weight[weight > 0][:, None]
        np.testing.assert_allclose(weighted.gradient[weight > 0].reshape(8, -1), shares, rtol=1e-13)
    assert not weighted.gradient[weight == 0].any()
