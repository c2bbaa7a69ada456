"""losscli verify: right dumps of limited precision pass, wrong ones fail, and what cannot be told is said so."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import losscli
from losscli.cli import run
from losscli.errors import DataError, UsageError
from losscli.loss import Loss
from losscli.plan import How
from losscli.precision import FORMATS
from losscli.results import Wants
from losscli.verifier.dumps.claims import Claims, verify
from losscli.verifier.points import cases, draw

NARROW = ("float64", "float32", "bfloat16", "float16")
RNG = np.random.default_rng(7)
LOGITS = (RNG.normal(size=(24, 5)) * 3).astype(np.float32)
LABELS = RNG.integers(0, 5, 24)
CE = losscli.get("ce").bind()
DATA = {"logits": LOGITS, "labels": LABELS}


def truth(bound, data, *, wrt=None, hess=False, **options):
    """The exact slopes."""
    wrt = wrt or bound.loss.reads.differentiable[0]
    wants = Wants(hess=wrt) if hess else Wants(grad=wrt)
    result = losscli.evaluate(bound, data, wants=wants, **options)
    return result.hessian if hess else result.gradient


def naive(z, labels, dtype):
    """Softmax minus one-hot, as a first program writes it, in the arithmetic of a dtype."""
    z = z.astype(dtype)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(len(z)), labels] -= dtype(1)
    return p / dtype(len(z))


def drawn(entry: Loss, seed: int = 3):
    """Data of a loss, and its exact gradient."""
    bound = entry.bind()
    data = cases(bound, entry.reads.default_link, seed, ["random"])[0].data
    return bound, data, truth(bound, data)


def test_the_truth_rounded_never_fails(entry: Loss) -> None:
    bound, data, exact = drawn(entry)
    for name in NARROW:
        claim = FORMATS[name].rounded(exact)
        found = verify(bound, data, Claims(grad=claim, precision=name))
        assert found.counts["fail"] + found.counts["kink_fail"] == 0
        # Another format may leave nothing to tell; here everything can be.
        assert name != "float64" or found.verdict == "pass"


def test_a_gradient_off_by_a_millionth_fails(entry: Loss) -> None:
    bound, data, exact = drawn(entry)
    if not exact.any():
        assert verify(bound, data, Claims(grad=exact + 1e-6)).verdict == "fail"
        return
    for factor in (1.0 + 1e-6, 2.0, -1.0):
        found = verify(bound, data, Claims(grad=factor * exact))
        assert found.verdict == "fail"
        assert found.slopes[0].opinion.confirmed


def test_slopes_and_curvatures_by_every_input_however_it_is_given(entry: Loss) -> None:
    bound, told = entry.bind(), 0
    for link in entry.reads.links:
        how, data = How(link=link), draw(entry.reads, np.random.default_rng(2), link, rows=6)
        for wrt, hess in product(entry.reads.differentiable, (False, True)):
            try:
                exact = truth(bound, data, wrt=wrt, hess=hess, how=how)
            except UsageError as error:
                # Class indices have no slope, and not every loss has second derivatives.
                if error.code not in ("wrt-labels", "hessian-none"):
                    raise
                continue
            for factor in (1.0, 1.01):
                claims = Claims(hess=factor * exact) if hess else Claims(grad=factor * exact)
                verdict = "fail" if factor != 1.0 and exact.any() else "pass"
                assert verify(bound, data, claims, wrt=wrt, how=how).verdict == verdict, (link, wrt, hess, factor)
                told += 1
    assert told


def test_values_are_told_from_values_off_by_a_millionth(entry: Loss) -> None:
    bound, data, _ = drawn(entry)
    value = losscli.evaluate(bound, data).value
    assert verify(bound, data, Claims(value=value)).verdict == "pass"
    assert verify(bound, data, Claims(value=value * (1 + 1e-6))).verdict == "fail"
    assert verify(bound, data, Claims(value=np.nan)).verdict == "fail"


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_a_plain_softmax_passes(dtype: type) -> None:
    found = verify(CE, DATA, Claims(grad=naive(LOGITS, LABELS, dtype)))
    assert found.slopes[0].precision.name == np.dtype(dtype).name
    assert found.counts["fail"] == 0
    assert found.verdict == "pass" or dtype is np.float16


def test_half_precision_says_what_it_cannot_tell() -> None:
    precision = FORMATS["bfloat16"]
    data = {**DATA, "logits": precision.rounded(LOGITS)}
    exact = truth(CE, data)
    right = verify(CE, data, Claims(grad=precision.rounded(exact).astype(np.float32)))
    assert right.slopes[0].precision is precision
    assert right.counts["fail"] == 0
    off = verify(CE, data, Claims(grad=precision.rounded(1.01 * exact).astype(np.float32)))
    assert off.verdict != "fail"
    assert off.slopes[0].tally.notice > 0.01
    assert verify(CE, data, Claims(grad=precision.rounded(3 * exact).astype(np.float32))).verdict == "fail"


def scaled(g):
    return g * len(g)


def flipped(g):
    return -g


def one_entry(g):
    g[3, 2] *= g.dtype.type(1.01)
    return g


def one_row_of_nan(g):
    g[5] = np.nan
    return g


def infinite(g):
    g[0, 0] = np.inf
    return g


def zeros(g):
    return np.zeros_like(g)


def rolled(g):
    return np.roll(g, 1, axis=0)


def last_row_missing(g):
    g[-1] = 0
    return g


def rounded_to_half(g):
    # Few enough digits to be seen; one number that a half cannot hold keeps the format.
    made = g.astype(np.float16).astype(np.float32)
    made[0, 0] = g[0, 0]
    return made


FAULTS = (scaled, flipped, one_entry, one_row_of_nan, infinite, zeros, rolled, last_row_missing, rounded_to_half)


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_fail(fault) -> None:
    right = naive(LOGITS, LABELS, np.float32)
    assert verify(CE, DATA, Claims(grad=right.copy())).verdict == "pass"
    found = verify(CE, DATA, Claims(grad=fault(right.copy())))
    assert found.verdict == "fail"
    assert found.slopes[0].opinion.confirmed


OPTIONS = {
    "sum": ({}, {"reduction": "sum"}),
    "none": ({}, {"reduction": "none"}),
    "weights": ({}, {"sample_weight": np.linspace(0.0, 2.0, 24)}),
    "mask": ({}, {"mask": np.arange(24) % 3}),
    "classes": ({}, {"how": How(class_weight=np.array([0.5, 2.0, 1.0, 0.0, 3.0]))}),
    "smoothing": ({}, {"how": How(label_smoothing=0.1)}),
    "ignored": ({}, {"how": How(ignore_index=2)}),
    "soft": ({"labels": np.full((24, 5), 0.2)}, {}),
    "probs": ({"logits": np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)}, {"how": How(link="probs")}),
    "axis": ({"logits": np.ascontiguousarray(LOGITS.T)}, {"how": How(class_axis=0)}),
    "pixels": ({"logits": LOGITS.reshape(2, 3, 4, 5).transpose(0, 3, 1, 2), "labels": LABELS.reshape(2, 3, 4)}, {}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_part_of_the_claim(name: str) -> None:
    changed, options = OPTIONS[name]
    data = {**DATA, **changed}
    exact, value = truth(CE, data, **options), losscli.evaluate(CE, data, **options).value
    assert verify(CE, data, Claims(value=value, grad=exact), **options).verdict == "pass"
    off = exact.copy()
    at = np.unravel_index(np.argmax(np.abs(exact)), exact.shape)
    off[at] *= 1 + 1e-9
    found = verify(CE, data, Claims(grad=off), **options)
    assert found.verdict == "fail"
    assert found.counts["fail"] == 1
    assert found.slopes[0].worst[0].index == at
    if name not in ("soft", "probs", "axis", "pixels", "none"):
        plain = truth(CE, DATA)
        assert verify(CE, data, Claims(grad=plain), **options).verdict == "fail"


def test_a_row_that_does_not_count_has_no_slope() -> None:
    options = {"how": How(ignore_index=2)}
    off = truth(CE, DATA, **options)
    row = int(np.argmax(LABELS == 2))
    off[row, 1] = 1e-300
    found = verify(CE, DATA, Claims(grad=off), **options)
    assert found.verdict == "fail"
    assert found.slopes[0].worst[0].index == (row, 1)


def test_nothing_checked_is_no_pass() -> None:
    options = {"how": How(ignore_index=-100)}
    data = {**DATA, "labels": np.full(24, -100)}
    assert verify(CE, data, Claims(grad=np.zeros_like(LOGITS)), **options).verdict == "not_checked"
    assert verify(CE, data, Claims(grad=LOGITS), **options).verdict == "fail"
    assert verify(CE, data, Claims(value=0.0), **options).verdict != "pass"


def test_any_slope_between_is_right_at_a_kink() -> None:
    mae = losscli.get("mae").bind()
    data = {"prediction": np.array([0.0, 1.0, 2.0]), "target": np.array([0.0, 3.0, 0.0])}
    for slope, verdict in ((-1.0, "pass"), (0.3, "pass"), (1.0, "pass"), (1.1, "fail"), (-2.0, "fail")):
        found = verify(mae, data, Claims(grad=np.array([slope, -1.0, 1.0])), reduction="sum")
        assert found.verdict == verdict
        assert found.counts["kink_ok"] + found.counts["kink_fail"] == 1


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_claims_of_tied_rivals_are_a_subgradient_together(reduction) -> None:
    hinge = losscli.get("multiclass-hinge").bind()
    data = {"logits": np.array([[0.0, 2.0, 2.0, 2.0], [1.0, 0.5, 0.5, -3.0]]), "labels": np.array([0, 0])}
    share = 1.0 if reduction == "sum" else 0.5
    rivals = [
        ([1.0, 0.0, 0.0], "pass"),
        ([0.2, 0.3, 0.5], "pass"),
        ([1.0, 1.0, 1.0], "fail"),
        ([0.3, 0.3, 0.3], "fail"),
    ]
    for first, verdict in rivals:
        claim = share * np.array([[-1.0, *first], [-1.0, 0.25, 0.75, 0.0]])
        found = verify(hinge, data, Claims(grad=claim), reduction=reduction)
        assert found.verdict == verdict, first
        assert (found.counts["kink_fail"] > 0) == (verdict == "fail")


def test_a_hessian_waits_for_the_gradient() -> None:
    exact, bent = truth(CE, DATA), truth(CE, DATA, hess=True)
    assert [part.verdict for part in verify(CE, DATA, Claims(grad=exact, hess=bent)).slopes] == ["pass", "pass"]
    assert [part.kind for part in verify(CE, DATA, Claims(grad=2 * exact, hess=bent)).slopes] == ["gradient"]
    assert verify(CE, DATA, Claims(hess=bent * (1 + 1e-6))).verdict == "fail"


def test_blocks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    right = naive(LOGITS, LABELS, np.float32)
    right[20] *= np.float32(1.5)
    whole = verify(CE, DATA, Claims(grad=right))
    monkeypatch.setattr("losscli.plan._BLOCK_BYTES", 200)
    parts = verify(CE, DATA, Claims(grad=right))
    assert parts.plan.block_rows < 5
    assert parts.counts == whole.counts
    assert parts.slopes[0].worst == whole.slopes[0].worst


def test_shapes_are_named() -> None:
    exact = truth(CE, DATA)
    for claim, hint in ((exact.T, "transposed"), (exact.reshape(-1), "reshape"), (exact[:3], "--wrt")):
        with pytest.raises(DataError) as refused:
            verify(CE, DATA, Claims(grad=claim))
        assert refused.value.code == "claim-shape"
        assert hint in refused.value.hint
    with pytest.raises(UsageError, match="nothing is claimed"):
        verify(CE, DATA, Claims())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("z.npy", LOGITS)
    np.save("y.npy", LABELS)
    right = naive(LOGITS, LABELS, np.float32)
    np.save("right.npy", right)
    np.save("wrong.npy", 24 * right)
    np.savez("claims.npz", right=right)
    np.savetxt("right.csv", right.astype(np.float64), delimiter=",", fmt="%.17g")
    Path("right.json").write_text(json.dumps(right.astype(float).tolist()))
    halves = FORMATS["bfloat16"].rounded(right).astype(np.float32)
    np.save("half.npy", (halves.view(np.uint32) >> 16).astype("<u2").view("V2"))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["verify", "ce", "z.npy", "y.npy", *words])
    return code, *capsys.readouterr()


@pytest.mark.parametrize("claim", ["right.npy", "claims.npz::right", "right.csv", "right.json"])
def test_formats(folder: Path, capsys: pytest.CaptureFixture[str], claim: str) -> None:
    code, out, _ = told(capsys, "--grad", claim, "--json")
    said = json.loads(out)
    assert (code, said["schema"], said["verdict"]) == (0, "losscli.verify/1", "pass")
    assert (said["checked"], said["counts"]["pass"]) == (120, 120)
    assert said["claims"][0]["precision"] == "float32"
    assert said["selftest"]["planted"] == said["selftest"]["caught"] == 12


def test_two_bytes_without_a_type(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "--grad", "half.npy")[0] == 3
    said = json.loads(told(capsys, "--grad", "half.npy", "--dtype", "bf16", "--json")[1])
    assert said["claims"][0]["precision"] == "bfloat16"
    assert said["counts"]["fail"] == 0


def test_the_exit_codes_and_the_headline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = losscli.evaluate(CE, DATA).value
    code, out, _ = told(capsys, "--grad", "right.npy", "--value", f"{value:.6f}", "-q")
    assert code == 0
    assert out.startswith("PASS ce: value agrees; gradient: 120 of 120 entries agree")
    code, out, _ = told(capsys, "--grad", "wrong.npy")
    assert code == 1
    assert out.startswith("FAIL ce: claimed = 24.0 × true in all 120 entries: looks like sum instead of mean (N = 24)")
    assert told(capsys, "--value", f"{value + 0.01:.4f}")[0] == 1
    assert told(capsys, "--value", "0e1")[0] == 4
    assert told(capsys, "--value", "0e1", "--strict")[0] == 1
    assert told(capsys)[0] == 2
    code, out, err = told(capsys, "--grad", "y.npy")
    assert (code, out) == (3, "")
    assert "--grad has shape (24,), and logits has (24, 5)" in err


HEADS = {"ce": ("labels", RNG.integers(0, 3, 40)), "mse": ("target", RNG.normal(size=40).astype(np.float32))}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("wrt", ["features", "weights", "bias"])
def test_a_linear_head_in_single_precision(name: str, wrt: str) -> None:
    bound, (label, target) = losscli.get(name).linear.bind(), HEADS[name]
    x = RNG.normal(size=(40, 9)).astype(np.float32)
    w = RNG.normal(size=(3, 9) if name == "ce" else 9).astype(np.float32)
    z = x @ w.T
    by_score = naive(z, target, np.float32) if name == "ce" else 2 * (z - target) / np.float32(40)
    slopes = {
        "weights": by_score.T @ x,
        "bias": np.atleast_1d(by_score.sum(axis=0)),
        "features": by_score @ w if name == "ce" else by_score[:, None] * w,
    }
    data = {"features": x, "weights": w, "bias": np.zeros(3 if name == "ce" else 1, np.float32), label: target}
    claim = slopes[wrt]
    assert verify(bound, data, Claims(grad=claim, precision="float32"), wrt=wrt).verdict == "pass"
    off = verify(bound, data, Claims(grad=claim * np.float32(1.01), precision="float32"), wrt=wrt)
    assert off.verdict == "fail"


def test_what_is_lost_in_one_minus_p_is_allowed_where_it_is_needed() -> None:
    """Focal loss as it is often written takes p from 1 - (1 - p); cross-entropy never does."""
    z = np.float32(-9.0)
    p = 1 / (1 + np.exp(-z))
    lost = float(np.float32(1) - (np.float32(1) - np.float32(p))) / float(p)
    assert abs(lost - 1) > 1e-5
    for name, params, verdict in (
        ("focal", {}, "pass"),
        ("bce", {}, "fail"),
        ("bce", {"pos_weight": 3.0}, "fail"),
        ("multilabel-soft-margin", {}, "fail"),
    ):
        bound = losscli.get(name).bind(**params)
        shape = (1, 1) if bound.loss.reads.layout == "rows" else (1,)
        data = {"logits": np.full(shape, z), "target": np.zeros(shape)}
        claim = (truth(bound, data) * lost).astype(np.float32)
        assert verify(bound, data, Claims(grad=claim)).verdict == verdict


def test_all_together_show_a_factor_that_no_entry_can() -> None:
    precision = FORMATS["bfloat16"]
    data = {**DATA, "logits": precision.rounded(LOGITS)}
    off = precision.rounded(1.02 * truth(CE, data))
    assert verify(CE, data, Claims(grad=off)).slopes[0].tally.factor == pytest.approx(1.02, abs=2e-3)
