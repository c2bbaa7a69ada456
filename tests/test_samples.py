"""The sample data sets can be made again, and every format of one holds the same numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

SAMPLES = Path(__file__).parent.parent / "samples"
OUTPUTS = ("digits/logits.csv", "cancer/logits.csv", "diabetes/predictions.csv")
TRUTHS = ("digits/labels.csv", "cancer/targets.csv", "diabetes/targets.csv")
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
