"""Make the samples: predictions of small real models on held-out rows, and `losscli sample` for every kind of input.

`python samples/make.py [--out DIR]` needs scikit-learn, whose installation holds the data: nothing is downloaded.
`--small` makes `small/` alone.
"""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import yaml
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from losscli.cli import run
from losscli.loss import catalogue

# Both fits below agree between machines to about 1e-12, so that six decimals come out the same everywhere.
DECIMALS = 6
SEED = 0
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Every format that holds several inputs; NPY holds one.
SMALL_FORMATS = ("csv", "npz", "yaml", "json")
# Text for people to read: a page of it is enough.
YAML_ROWS = 50

Columns = Mapping[str, np.ndarray]


def rounded(numbers: np.ndarray) -> np.ndarray:
    """Round to DECIMALS; adding zero turns -0.0 into 0.0."""
    return np.round(numbers, DECIMALS) + 0.0


def classifier() -> LogisticRegression:
    """Return an L2-penalised softmax or logistic regression.

    Newton's method ends at the optimum itself; L-BFGS stops about 1e-5 away from it, at a point that varies by machine.
    """
    return LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10, max_iter=100)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, 10) and labels (N,) of handwritten digits."""
    pixels, digit = load_digits(return_X_y=True)
    train, held, train_label, label = train_test_split(
        pixels / 16, digit, test_size=0.5, random_state=SEED, stratify=digit
    )
    model = classifier().fit(train, train_label)
    return rounded(model.decision_function(held)), label.astype(np.int64)


def cancer() -> tuple[np.ndarray, np.ndarray]:
    """Logits (N,) and targets (N,) of tumours; 1 is benign."""
    features, benign = load_breast_cancer(return_X_y=True)
    train, held, train_target, target = train_test_split(
        features, benign, test_size=0.5, random_state=SEED, stratify=benign
    )
    model = make_pipeline(StandardScaler(), classifier()).fit(train, train_target)
    return rounded(model.decision_function(held)), target.astype(np.int64)


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """Predictions (N,) and targets (N,) of disease progression after one year."""
    features, progression = load_diabetes(return_X_y=True)
    train, held, train_target, target = train_test_split(features, progression, test_size=0.5, random_state=SEED)
    model = Ridge(alpha=0.1, solver="cholesky").fit(train, train_target)
    return rounded(model.predict(held)), target.astype(np.float64)


def write_csv(path: Path, columns: Columns) -> None:
    """Write a header and one line per row; the shortest decimal that reads back as the same float."""
    lines: Iterable[tuple[int | float, ...]] = zip(*(column.tolist() for column in columns.values()), strict=True)
    text = "\n".join([",".join(columns), *(",".join(map(repr, line)) for line in lines), ""])
    # The same bytes on every system: no CRLF.
    path.write_text(text, encoding="utf-8", newline="\n")


def write_yaml(path: Path, columns: Columns) -> None:
    """Write lists, each row of a table on its own line."""
    lists = {name: column.tolist() for name, column in columns.items()}
    text = yaml.safe_dump(lists, default_flow_style=None, sort_keys=False, width=120)
    path.write_text(text, encoding="utf-8", newline="\n")


def write_digits(folder: Path) -> None:
    """Write the same logits and labels as CSV, NPY and NPZ, and the first of them as YAML."""
    logits, labels = digits()
    write_csv(folder / "logits.csv", dict(zip(DIGITS, logits.T, strict=True)))
    write_csv(folder / "labels.csv", {"label": labels})
    np.save(folder / "logits.npy", logits)
    np.save(folder / "labels.npy", labels)
    np.savez(folder / "digits.npz", logits=logits, labels=labels)
    write_yaml(folder / "digits.yaml", {"logits": logits[:YAML_ROWS], "labels": labels[:YAML_ROWS]})


def write_cancer(folder: Path) -> None:
    """Write one file per input, and one file with both."""
    logits, target = cancer()
    write_csv(folder / "logits.csv", {"logit": logits})
    write_csv(folder / "targets.csv", {"target": target})
    write_csv(folder / "cancer.csv", {"logits": logits, "target": target})


def write_diabetes(folder: Path) -> None:
    """Write one file per input, and one file with both."""
    prediction, target = diabetes()
    write_csv(folder / "predictions.csv", {"prediction": prediction})
    write_csv(folder / "targets.csv", {"target": target})
    write_csv(folder / "diabetes.csv", {"prediction": prediction, "target": target})


def write_small(folder: Path) -> None:
    """Write what `losscli sample` gives for each signature of the catalogue, in every format that holds it."""
    for signature, loss in {loss.reads.name: loss for loss in catalogue().values()}.items():
        formats = SMALL_FORMATS if loss.reads.tabular else SMALL_FORMATS[1:]
        for suffix in formats if len(loss.reads.inputs) > 1 else (*formats, "npy"):
            code = run(["sample", loss.name, "--output", str(folder / f"{signature}.{suffix}")])
            if code:
                raise SystemExit(code)


def main() -> None:
    """Write every sample into its folder."""
    parser = argparse.ArgumentParser(description="Make the samples.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="the folder to write into")
    parser.add_argument("--small", action="store_true", help="make small/ alone")
    asked = parser.parse_args()
    writers = {"digits": write_digits, "cancer": write_cancer, "diabetes": write_diabetes, "small": write_small}
    for name in ["small"] if asked.small else writers:
        folder: Path = asked.out / name
        folder.mkdir(parents=True, exist_ok=True)
        writers[name](folder)


if __name__ == "__main__":
    main()
