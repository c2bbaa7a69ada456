"""The sample data sets can be made again, and every format of one holds the same numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import losscli
from losscli.cli import run
from losscli.files import gather, open_source
from losscli.inputs import LABEL, Signature
from losscli.loss import Loss, catalogue
from losscli.results import Wants

SAMPLES = Path(__file__).parent.parent / "samples"
OUTPUTS = ("digits/logits.csv", "cancer/logits.csv", "diabetes/predictions.csv")
TRUTHS = ("digits/labels.csv", "cancer/targets.csv", "diabetes/targets.csv")
SMALL = SAMPLES / "small"
SIGNATURES = {loss.reads.name: loss.reads for loss in catalogue().values()}
CONTAINERS = ("cancer/cancer.csv", "diabetes/diabetes.csv")


def numbers(path: Path) -> np.ndarray:
    return np.loadtxt(path, delimiter=",", skiprows=1)


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    subprocess.run([sys.executable, SAMPLES / "make.py", "--out", folder], check=True)
    return folder


def test_the_script_makes_every_committed_file(remade: Path) -> None:
    made = {path.relative_to(remade) for path in remade.glob("*/*")}
    kept = {path.relative_to(SAMPLES) for path in SAMPLES.glob("*/*")}
    assert made == kept


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_script_makes_the_same_outputs(remade: Path, name: str) -> None:
    # Another BLAS may move the sixth decimal, no more.
    np.testing.assert_allclose(numbers(remade / name), numbers(SAMPLES / name), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", TRUTHS)
def test_the_script_makes_the_same_truths(remade: Path, name: str) -> None:
    assert (remade / name).read_bytes() == (SAMPLES / name).read_bytes()


@pytest.mark.parametrize("name", ["logits", "labels"])
def test_csv_npy_and_npz_hold_the_same_bits(name: str) -> None:
    folder = SAMPLES / "digits"
    array = np.load(folder / f"{name}.npy")
    with np.load(folder / "digits.npz") as container:
        packed = container[name]
    for other in (packed, numbers(folder / f"{name}.csv").astype(array.dtype)):
        assert (other.dtype, other.shape, other.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("name", ["logits", "labels"])
def test_yaml_holds_the_first_rows(name: str) -> None:
    listed = yaml.safe_load((SAMPLES / "digits" / "digits.yaml").read_text(encoding="utf-8"))[name]
    assert len(listed) == 50
    assert listed == np.load(SAMPLES / "digits" / f"{name}.npy")[:50].tolist()


@pytest.mark.parametrize(("container", "output", "truth"), list(zip(CONTAINERS, OUTPUTS[1:], TRUTHS[1:], strict=True)))
def test_a_container_holds_the_columns_of_the_single_files(container: str, output: str, truth: str) -> None:
    columns = np.column_stack([numbers(SAMPLES / output), numbers(SAMPLES / truth)])
    np.testing.assert_array_equal(numbers(SAMPLES / container), columns)


def test_the_models_learned_something() -> None:
    logits, labels = (np.load(SAMPLES / "digits" / f"{name}.npy") for name in ("logits", "labels"))
    assert logits.shape == (899, 10)
    assert np.mean(logits.argmax(axis=1) == labels) > 0.95
    logit, target = numbers(SAMPLES / "cancer" / "cancer.csv").T
    assert np.mean((logit > 0) == (target == 1)) > 0.95
    prediction, progression = numbers(SAMPLES / "diabetes" / "diabetes.csv").T
    assert np.corrcoef(prediction, progression)[0, 1] > 0.6


def test_there_is_a_small_sample_of_every_signature_in_every_format() -> None:
    held = {path.name for path in SMALL.iterdir()}
    formats = ("csv", "npz", "yaml", "json")
    expected = {
        f"{name}.{suffix}"
        for name, reads in SIGNATURES.items()
        for suffix in formats
        if reads.tabular or suffix != "csv"
    }
    alone = {f"{name}.npy" for name, reads in SIGNATURES.items() if len(reads.inputs) == 1}
    assert held == expected | alone, "python samples/make.py --small makes them"


@pytest.mark.parametrize("path", sorted(SMALL.glob("*.*")), ids=lambda path: path.name)
def test_the_script_makes_the_same_small_samples(remade: Path, path: Path) -> None:
    made = remade / "small" / path.name
    if path.suffix in (".npz", ".npy"):
        # The bytes of a zip archive are numpy's business.
        kept, again = (arrays(file) for file in (path, made))
        assert kept.keys() == again.keys()
        for name, array in kept.items():
            assert (array.dtype, array.tobytes()) == (again[name].dtype, again[name].tobytes())
    else:
        assert made.read_bytes() == path.read_bytes()


def arrays(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npy":
        return {"": np.load(path)}
    with np.load(path) as held:
        return dict(held)


@pytest.mark.parametrize("loss", catalogue().values(), ids=lambda loss: loss.name)
def test_every_format_of_a_small_sample_gives_the_same_bits(loss: Loss) -> None:
    answers = {path.name: answer(loss, path) for path in sorted(SMALL.glob(f"{loss.reads.name}.*"))}
    assert len(answers) >= 4 - (not loss.reads.tabular)
    assert len(set(answers.values())) == 1, answers


def answer(loss: Loss, path: Path) -> tuple[bytes, ...]:
    """The value and every gradient of a loss over a file, as bytes."""
    texts = [entry.name for entry in loss.reads.inputs if entry.domain is LABEL]
    sources = gather([str(path)], loss.reads.names, text=texts)
    assert sources.keys() == set(loss.reads.names)
    results = [losscli.evaluate(loss.bind(), sources, wants=Wants(grad=name)) for name in loss.reads.differentiable]
    assert np.isfinite(results[0].value)
    slopes = [result.gradient for result in results if result.gradient is not None]
    assert len(slopes) == len(results)
    return np.float64(results[0].value).tobytes(), *(slope.tobytes() for slope in slopes)


@pytest.mark.parametrize("path", sorted(SMALL.glob("*.*")), ids=lambda path: path.name)
def test_a_small_sample_is_one_whole_batch_of_its_inputs(path: Path) -> None:
    reads: Signature = SIGNATURES[path.name.partition(".")[0]]
    sources = gather([str(path)], reads.names)
    for name, source in sources.items():
        assert len(source.array) == 5 or reads.entry(name).shared
        if path.suffix != ".npy":
            held = open_source(
                f"{path}::{name}" if path.suffix != ".csv" or source.array.ndim == 1 else f"{path}::{name}_*"
            )
            assert held.array.tobytes() == source.array.tobytes()


@pytest.mark.parametrize("name", ["entropy.npy", "entropy.npz", "entropy.csv"])
def test_a_sample_goes_into_a_file(tmp_path: Path, name: str) -> None:
    assert run(["sample", "entropy", "--rows", "3", "-o", str(tmp_path / name)]) == 0
    sources = gather([str(tmp_path / name)], ["p"])
    assert sources["p"].array.shape == (3, 4)


def test_npy_holds_one_input_and_is_refused_for_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", "kl", "-o", str(tmp_path / "kl.npy")]) == 74
    assert "no writer of several arrays" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
