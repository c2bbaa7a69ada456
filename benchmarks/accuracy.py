"""The accuracy table: worst errors of every loss over scales, parameters, links and labels, and those of its peers.

Error is counted in the units of tests/accuracy.py: 1 is what rounding the inputs and the result moves it by.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
# The measure is the tests' own: what the table says and what the tests hold cannot differ.
sys.path.insert(0, str(ROOT / "tests"))

import accuracy as measure  # noqa: E402

from losscli.loss import catalogue, get  # noqa: E402
from losscli.verifier.points import cases  # noqa: E402

MARKS = ("<!-- accuracy:begin -->", "<!-- accuracy:end -->")
Data = Mapping[str, np.ndarray[Any, Any]]
Values = Callable[[Any, Data, Mapping[str, Any]], Any]


def _torch(call: Callable[..., Any]) -> Values:
    def values(torch: Any, data: Data, params: Mapping[str, Any]) -> Any:
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in data.items()}
        return call(torch, torch.nn.functional, **tensors, **params).numpy()

    return values


def _optax(call: Callable[..., Any]) -> Values:
    def values(optax: Any, data: Data, params: Mapping[str, Any]) -> Any:
        import jax

        jax.config.update("jax_enable_x64", True)
        return call(optax, **{name: jax.numpy.asarray(array) for name, array in data.items()}, **params)

    return values


def _by_row(call: Callable[..., Any]) -> Values:
    def values(_: Any, data: Data, params: Mapping[str, Any]) -> Any:
        return [call(*row, **params) for row in zip(*data.values(), strict=True)]

    return values


def _scipy_distance(name: str) -> Values:
    def call(*vectors: Any, **_: Any) -> float:
        from scipy.spatial import distance

        found = getattr(distance, name)(*vectors)
        return float(found**2 if name == "jensenshannon" else found)

    return _by_row(call)


def _scipy_entropy(_: Any, data: Data, params: Mapping[str, Any]) -> Any:
    from scipy.stats import entropy

    return entropy(*data.values(), axis=1, **params)


def _sklearn(name: str, *, classes: bool = False, **fixed: Any) -> Values:
    def values(_: Any, data: Data, params: Mapping[str, Any]) -> Any:
        from sklearn import metrics

        metric, (guess, truth) = getattr(metrics, name), data.values()
        labels = {"labels": list(range(guess.shape[1]))} if classes else {}
        given = {"alpha" if key == "tau" else key: value for key, value in params.items()}
        return [metric(truth[i : i + 1], guess[i : i + 1], **labels, **given, **fixed) for i in range(len(guess))]

    return values


# What each library offers, under the loss and the link it is offered for; all in float64, one value per row.
PEERS: dict[str, dict[tuple[str, str], Values]] = {
    "torch": {
        ("ce", "logits"): _torch(lambda _, f, logits, labels: f.cross_entropy(logits, labels, reduction="none")),
        ("nll", "log-probs"): _torch(lambda _, f, log_probs, labels: f.nll_loss(log_probs, labels, reduction="none")),
        ("bce", "logits"): _torch(
            lambda torch, f, logits, target, pos_weight: f.binary_cross_entropy_with_logits(
                logits, target, pos_weight=torch.tensor(pos_weight, dtype=torch.float64), reduction="none"
            )
        ),
        ("mse", "values"): _torch(lambda _, f, prediction, target: f.mse_loss(prediction, target, reduction="none")),
        ("mae", "values"): _torch(lambda _, f, prediction, target: f.l1_loss(prediction, target, reduction="none")),
        ("huber", "values"): _torch(
            lambda _, f, prediction, target, delta: f.huber_loss(prediction, target, delta=delta, reduction="none")
        ),
        ("smooth-l1", "values"): _torch(
            lambda _, f, prediction, target, beta: f.smooth_l1_loss(prediction, target, beta=beta, reduction="none")
        ),
        ("kl", "probs"): _torch(lambda _, f, p, q: f.kl_div(q.log(), p, reduction="none").sum(1)),
        ("poisson", "log-rate"): _torch(
            lambda _, f, prediction, target, full: f.poisson_nll_loss(prediction, target, full=full, reduction="none")
        ),
        ("cosine", "values"): _torch(lambda _, f, x, y: 1 - f.cosine_similarity(x, y, eps=0.0)),
        ("logistic", "values"): _torch(lambda _, f, score, label: f.soft_margin_loss(score, label, reduction="none")),
        ("triplet", "values"): _torch(
            lambda _, f, anchor, positive, negative, **params: f.triplet_margin_loss(
                anchor, positive, negative, eps=0.0, reduction="none", **params
            )
        ),
        ("multi-margin", "logits"): _torch(
            lambda _, f, logits, labels, p, margin: f.multi_margin_loss(
                logits, labels, p=p, margin=margin, reduction="none"
            )
        ),
    },
    "optax": {
        ("ce", "logits"): _optax(
            lambda optax, logits, labels: optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
        ),
        ("bce", "logits"): _optax(
            lambda optax, logits, target, **_: optax.losses.sigmoid_binary_cross_entropy(logits, target)
        ),
        ("log-cosh", "values"): _optax(lambda optax, prediction, target: optax.losses.log_cosh(prediction, target)),
        ("focal", "logits"): _optax(
            lambda optax, logits, target, gamma, alpha: optax.losses.sigmoid_focal_loss(
                logits, target, gamma=gamma, alpha=alpha
            )
        ),
        ("cosine", "values"): _optax(lambda optax, x, y: optax.losses.cosine_distance(x, y)),
    },
    "scipy": {
        ("entropy", "probs"): _scipy_entropy,
        ("kl", "probs"): _scipy_entropy,
        ("js", "probs"): _scipy_distance("jensenshannon"),
        ("euclidean", "values"): _scipy_distance("euclidean"),
        ("cosine", "values"): _scipy_distance("cosine"),
    },
    "sklearn": {
        ("quantile", "values"): _sklearn("mean_pinball_loss"),
        ("ce", "probs"): _sklearn("log_loss", classes=True),
        ("brier", "probs"): _sklearn("brier_score_loss", classes=True, scale_by_half=False),
    },
}
_PACKAGES = {"sklearn": "scikit-learn"}
# Same formula, other parameters: only the defaults are comparable.
_DEFAULTS_ONLY = {("optax", "bce"), ("torch", "poisson"), ("scipy", "js")}
# What a soft target means differs.
_HARD_ONLY = {("optax", "focal")}


# Why a loss is not within the bounds everywhere.
EXCEPTIONS: Mapping[str, str] = {
    "hellinger": "slopes of the root of an underflowed distance: log-probabilities below -900 that nearly coincide",
    "js": "the value, up to 7 units where p and q hardly overlap; slopes below the least normal number are 0",
    "poly1": "results below the least normal number come in steps of 5e-324",
    "poly1-bce": "results below the least normal number come in steps of 5e-324",
    "renyi": "slopes where scores are 745 apart, up to 50 units: shares of classes that are all improbable under q",
    "total-variation": "by log-probabilities at p = q = 1 the slope is taken as 0; the formula there has one side only",
}


def installed() -> dict[str, str]:
    """The libraries that are here, with their versions."""
    return {
        name: importlib.metadata.version(_PACKAGES.get(name, name))
        for name in PEERS
        if importlib.util.find_spec(name) is not None
    }


def ours(name: str, seeds: int) -> dict[str, float]:
    """The worst error of each kind of number of a loss."""
    found = dict.fromkeys(measure.KINDS, 0.0)
    loss = get(name)
    kinds = [kind for kind in measure.KINDS if kind != "hessian" or measure.curved(loss)]
    for seed in range(seeds):
        for scale in measure.SCALES:
            # Saturated softmax costs the formula thousands of digits for every slope: fewer entries there.
            rows, width = (4, 2) if scale < 30 else (2, 1)
            for made in measure.draws(loss, scale, seed, rows=rows):
                measure.worst(made, kinds, found, width=width)
        bound = loss.bind(**measure.parameters(loss, seed))
        for link in loss.reads.links:
            for case in cases(bound, link, seed, ["saturation"]):
                count = len(next(iter(case.data.values())))
                some = [int(row) for row in np.unique(np.linspace(0, count - 1, 6).astype(int))]
                measure.worst(
                    measure.Draw(bound, case.data, case.how), ["value", "gradient"], found, rows=some, width=1
                )
    return found


def row_of(name: str, seeds: int) -> tuple[dict[str, float], dict[str, float | None]]:
    """A loss's own worst errors, and those of the libraries that are here."""
    return ours(name, seeds), {library: theirs(name, library, seeds) for library in installed()}


def theirs(name: str, library: str, seeds: int) -> float | None:
    """The worst error of a library's values on the same plain draws; None where it does not offer the loss."""
    found = None
    module = importlib.import_module(library)
    for (loss, link), values in PEERS[library].items():
        for made in _plain(name, seeds) if loss == name else ():
            if made.how.link != link or ((library, loss) in _DEFAULTS_ONLY and made.bound != get(name).bind()):
                continue
            if (library, loss) in _HARD_ONLY:
                made = replace(made, data={**made.data, "target": np.round(made.data["target"])})
            got = _called(values, module, made)
            if got is None:
                continue
            for entry in measure.entries(made, ["value"]):
                error = measure.replaced(entry, float(got[entry.index])).units(enough=found or 0.0)
                found = max(found or 0.0, error)
    return found


def _called(values: Values, module: Any, made: measure.Draw) -> Any:
    """A library's values on a draw; None where it has not these parameters, or refuses them, as a margin of 0."""
    with np.errstate(all="ignore"):
        try:
            return np.asarray(values(module, made.data, made.bound.params), dtype=np.float64)
        except ValueError:
            return None
        except TypeError:
            if made.bound != get(made.bound.loss.name).bind():
                return None
            return np.asarray(values(module, made.data, {}), dtype=np.float64)


def _plain(name: str, seeds: int) -> Iterator[measure.Draw]:
    for seed in range(seeds):
        for scale in measure.SCALES:
            for made in measure.draws(get(name), scale, seed):
                if made.plain:
                    yield made


def _shown(error: float) -> str:
    return "∞" if math.isinf(error) else f"{error:.1f}" if error < 100 else f"{error:.0e}"


def rows_of(names: Sequence[str], seeds: int, workers: int, kept: Path | None) -> dict[str, Any]:
    """What is known of each loss; what ``kept`` holds is not measured again, and what is measured goes there."""
    known = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    with ProcessPoolExecutor(workers) as pool:
        todo = {pool.submit(row_of, name, seeds): name for name in names if name not in known}
        for done in as_completed(todo):
            error = done.exception()
            if error is not None:
                # What others found is not lost for it.
                print(f"{todo[done]}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            known[todo[done]] = done.result()
            print(f"{len(known)}/{len(names)} {todo[done]} {known[todo[done]]}", file=sys.stderr, flush=True)
            if kept is not None:
                kept.write_text(json.dumps(known))
    return known


def table(names: Sequence[str], known: Mapping[str, Any]) -> str:
    """A table in Markdown of some losses."""
    heads = ["loss", "value", "gradient", "Hessian", "values of others"]
    lines = [" | ".join(heads), " | ".join(["---", *["---:"] * len(measure.KINDS), "---"])]
    for name in names:
        own, others = known[name]
        said = ", ".join(f"{library} {_shown(error)}" for library, error in others.items() if error is not None)
        hessian = _shown(own["hessian"]) if measure.curved(get(name)) else "–"
        lines.append(" | ".join([name, _shown(own["value"]), _shown(own["gradient"]), hessian, said]))
    return "\n".join(f"| {line} |" for line in lines)


def beyond(names: Sequence[str], known: Mapping[str, Any]) -> dict[str, str]:
    """The losses that are beyond the bounds, and why; empty where nobody has said."""
    bounds = {kind: measure.HESSIAN_BOUND if kind == "hessian" else measure.BOUND for kind in measure.KINDS}
    off = [name for name in names if any(known[name][0][kind] > most for kind, most in bounds.items())]
    return {name: EXCEPTIONS.get(name, "") for name in off}


def _about(libraries: Mapping[str, str], seeds: int) -> list[str]:
    scales = ", ".join(f"{scale:g}" for scale in measure.SCALES)
    missing = [name for name in PEERS if name not in libraries]
    versions = ", ".join(f"{name} {version}" for name, version in libraries.items())
    return [
        f"Worst errors beside the printed formula at 50 digits, on inputs of the scales {scales}, over {seeds} draws",
        "of the parameters, every way of giving the inputs, hard, soft and smoothed labels, weights, and inputs that",
        "nearly coincide. One unit is 2⁻⁵² · |q| · (1 + κ): what rounding the result and every input moves a number q",
        f"by; κ is its condition number. The tests hold values and gradients to {measure.BOUND:g} units, Hessians to",
        f"{measure.HESSIAN_BOUND:g}. Others, on the same plain draws in float64: {versions}"
        + (f"; not installed: {', '.join(missing)}." if missing else "."),
    ]


def write(text: str, page: Path, marks: tuple[str, str] = MARKS) -> None:
    """Put a text between its marks in a file, which is made where there is none."""
    if not page.exists():
        page.write_text(f"# Accuracy\n\n{marks[0]}\n{marks[1]}\n", encoding="utf-8")
    before, _, rest = page.read_text(encoding="utf-8").partition(marks[0])
    after = rest.partition(marks[1])[2]
    page.write_text(f"{before}{marks[0]}\n{text}\n{marks[1]}{after}", encoding="utf-8")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks accuracy", description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the tables in README.md and docs/accuracy.md")
    parser.add_argument(
        "--seeds", type=int, default=2, help="draws of parameters and data per scale; the first: defaults"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--only", help="losses, a,b,c")
    parser.add_argument("--keep", type=Path, help="a JSON file of what is measured, to go on from")
    args = parser.parse_args(argv)
    names = args.only.split(",") if args.only else list(catalogue())
    known = rows_of(names, args.seeds, args.workers, args.keep)
    if any(name not in known for name in names):
        return 1
    about = "\n".join(_about(installed(), args.seeds))
    off = beyond(names, known)
    if off:
        about += "\n\n" + "\n".join(["Beyond the bounds:", *(f"- `{name}`: {why}" for name, why in off.items())])
    print(f"{about}\n\n{table(names, known)}")
    if args.write:
        write(f"{about}\n\n{table(names, known)}", ROOT / "docs" / "accuracy.md")
        compared = [name for name in names if any(error is not None for error in known[name][1].values())]
        write(f"{about}\n\n{table(compared, known)}", ROOT / "README.md")
    return int(not all(off.values()))
