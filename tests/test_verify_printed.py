"""Claims that were printed and read again: what printing takes is allowed for where it shows, and nothing else."""

import numpy as np
import pytest

import losscli
from losscli.precision import Printed
from losscli.results import Wants
from losscli.verifier.dumps.claim_report import content, headline
from losscli.verifier.dumps.claims import Claims, Verified, verify

RNG = np.random.default_rng(11)
CE = losscli.get("ce").bind()
DATA = {"logits": RNG.normal(size=(60, 5)) * 2.0, "labels": RNG.integers(0, 5, 60)}
EXACT = losscli.evaluate(CE, DATA, reduction="sum", wants=Wants(grad="logits")).gradient
FORMS = pytest.mark.parametrize("form", [".3f", ".6f", ".8f", ".2e", ".5e"])


def printed(x, form: str):
    return np.array([float(format(one, form)) for one in x.reshape(-1).tolist()]).reshape(x.shape)


def judged(claim, data=DATA, **more) -> Verified:
    return verify(CE, data, Claims(grad=claim, **more), reduction="sum")


@FORMS
def test_what_was_printed_passes_and_says_so(form: str) -> None:
    found = judged(printed(EXACT, form))
    name = f"{int(form[1]) + (form[-1] == 'e')} {'decimals' if form[-1] == 'f' else 'digits'}"
    assert (found.verdict, content(found)["claims"][0]["printed"]) == ("pass", name)
    assert f"cannot be told from rounding to {name}" in headline(found)


@FORMS
@pytest.mark.parametrize("factor", [1.05, -1.0, 0.0])
def test_what_was_printed_wrong_fails(form: str, factor: float) -> None:
    assert judged(printed(factor * EXACT, form)).verdict == "fail"


@FORMS
def test_one_entry_off_by_three_units_fails(form: str) -> None:
    claim = printed(EXACT, form)
    at = np.unravel_index(int(np.argmax(np.abs(EXACT))), EXACT.shape)
    short = Printed(int(form[1]) + (form[-1] == "e"), form[-1] == "f")
    claim[at] = printed(claim[at] + 6.0 * short.half(EXACT[at]), form)
    assert judged(claim).counts["fail"] == 1


def test_single_precision_is_rounded_before_it_is_printed() -> None:
    data = {**DATA, "logits": DATA["logits"].astype(np.float32)}
    exact = losscli.evaluate(CE, data, reduction="sum", wants=Wants(grad="logits")).gradient
    claim = printed(exact * (1.0 + 2e-7), ".8f")
    assert judged(claim, data).verdict == "pass"
    assert judged(claim, data, precision="float64").verdict == "fail"


def test_short_decimals_that_the_exact_slopes_are_too_are_no_evidence() -> None:
    """2 (prediction - target) of two decimals has two: a claim of two is as exact as it can be."""
    target = np.arange(40) / 100.0
    bound, data = losscli.get("mse").bind(), {"prediction": np.zeros(40), "target": target}
    right = printed(-2.0 * target, ".2f")
    wrong = right.copy()
    wrong[20] += 0.005
    for claim, verdict in ((right, "pass"), (wrong, "fail")):
        found = verify(bound, data, Claims(grad=claim), reduction="sum")
        assert (found.verdict, found.slopes[0].printed) == (verdict, None)


def test_a_few_numbers_are_no_evidence() -> None:
    few = {name: array[:3] for name, array in DATA.items()}
    assert judged(printed(EXACT[:3], ".6f"), few).verdict == "fail"


def test_a_claim_in_single_precision_is_read_as_it_is() -> None:
    assert judged(EXACT.astype(np.float32)).slopes[0].printed is None
    assert judged(EXACT).slopes[0].printed is None


@pytest.mark.parametrize(("precision", "said"), [("float32", "value agrees"), ("bfloat16", "value agrees within the")])
def test_a_value_says_how_well_it_is_known_where_that_is_coarse(precision: str, said: str) -> None:
    value = losscli.evaluate(CE, DATA, reduction="mean").value
    line = headline(verify(CE, DATA, Claims(value=value, precision=precision)))
    assert said in line
    assert ("within" in line) == (precision == "bfloat16")
