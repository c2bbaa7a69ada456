"""What all entries of a claim say together: a common factor in a coarse format, truncation, and claims of nothing."""

import numpy as np
import pytest

import losscli
from losscli.errors import DataError
from losscli.loss import get
from losscli.precision import FORMATS
from losscli.results import Wants
from losscli.verifier.dumps.claim_report import headline
from losscli.verifier.dumps.claims import Claims, verify

FORMAT = pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])


def made(loss: str, rows: int, columns: int, seed: int = 3):
    """A loss, its data in bfloat16 and so in all formats, and the exact gradient of its mean."""
    rng = np.random.default_rng(seed)
    first, second = get(loss).reads.required
    scores = FORMATS["bfloat16"].rounded(2.0 * rng.normal(size=(rows, columns)))
    truths = {
        "ce": rng.integers(0, columns, rows),
        "bce": rng.integers(0, 2, (rows, columns)).astype(float),
        "mse": FORMATS["bfloat16"].rounded(rng.normal(size=(rows, columns))),
    }
    bound, data = get(loss).bind(), {first: scores, second: truths[loss]}
    return bound, data, losscli.evaluate(bound, data, wants=Wants(grad=first), reduction="sum").gradient


def told(loss: str, rows: int, columns: int, change, name: str, seed: int = 3):
    bound, data, exact = made(loss, rows, columns, seed)
    return verify(bound, data, Claims(grad=change(exact), precision=name), reduction="sum")


def truncated(name: str):
    """Numbers without the digits that a format does not hold."""

    def cut(x):
        unit = np.ldexp(FORMATS[name].unit, np.frexp(x)[1])
        return np.trunc(x / unit) * unit

    return cut


@FORMAT
@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("seed", range(4))
def test_rounding_to_the_nearest_number_is_no_common_factor(name, loss, seed) -> None:
    rounded = FORMATS[name].rounded
    found = told(loss, 300, 4, rounded, name, seed)
    assert (found.verdict, found.slopes[0].together.said) == ("pass", "")
    # A factor that every entry is multiplied by in that format, such as 1/N, is rounded once more.
    factor = float(rounded(np.array(1.0 / 3.0)))
    assert told(loss, 300, 4, lambda x: rounded(3.0 * factor * x), name, seed).verdict == "pass"


@pytest.mark.parametrize(
    ("loss", "columns", "verdict"), [("ce", 10, "inconclusive"), ("bce", 1, "fail"), ("mse", 1, "fail")]
)
def test_two_per_cent_of_bfloat16_are_no_pass(loss, columns, verdict) -> None:
    found = told(loss, 20_000, columns, lambda x: FORMATS["bfloat16"].rounded(1.02 * x), "bfloat16")
    assert found.verdict == verdict
    assert "1.02" in headline(found)


def test_a_factor_is_in_doubt_only_beyond_what_the_scatter_of_rows_leaves() -> None:
    found = told("ce", 2000, 10, lambda x: FORMATS["bfloat16"].rounded(1.02 * x), "bfloat16")
    together = found.slopes[0].together
    assert together.doubtful
    assert not together.wrong
    assert 0.0156 < together.explained < 0.02 < together.most


@FORMAT
def test_truncated_numbers_are_named(name) -> None:
    found = told("ce", 300, 4, truncated(name), name)
    assert found.verdict == "fail"
    # No entry is wrong alone: the file is, and a job that counts failures must see one.
    assert (found.slopes[0].wrong, found.counts["fail"]) == (0, 1)
    assert [one.hypothesis for one in found.diagnosis] == ["truncated, not rounded"]
    assert headline(found).endswith("truncated, not rounded")
    assert told("ce", 2, 4, truncated(name), name).diagnosis == ()


def test_zeros_within_their_bars_are_no_pass() -> None:
    prediction = np.ones((400, 5))
    prediction[3, 2] += 1e-9
    claim = Claims(grad=np.zeros((400, 5)), precision="float16")
    data = {"prediction": prediction, "target": np.ones((400, 5))}
    for delta, verdict in ((1e-9, "inconclusive"), (0.0, "pass")):
        prediction[3, 2] = 1.0 + delta
        found = verify(get("mse").bind(), data, claim)
        assert found.verdict == verdict
        assert ("(zero)" in headline(found)) == (verdict == "inconclusive")


def test_values_of_zero_within_their_bars_are_no_pass() -> None:
    prediction = np.ones((400, 5))
    data = {"prediction": prediction, "target": np.ones((400, 5))}
    for delta, verdict in ((1e-9, "inconclusive"), (0.0, "pass")):
        prediction[3, 2] = 1.0 + delta
        found = verify(get("mse").bind(), data, Claims(value=np.zeros((400, 5)), precision="float16"), reduction="none")
        assert found.verdict == verdict


@pytest.mark.parametrize(
    ("order", "back"), [((0, 2, 3, 1), "transpose(0, 3, 1, 2)"), ((3, 2, 1, 0), "transpose(3, 2, 1, 0)")]
)
def test_a_transposed_claim_is_told_how_to_turn_it(order, back) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    claim = np.zeros(x.shape).transpose(order)
    with pytest.raises(DataError) as raised:
        verify(get("mse").bind(), {"prediction": x, "target": 0.0 * x}, Claims(grad=claim))
    assert back in str(raised.value.hint)
