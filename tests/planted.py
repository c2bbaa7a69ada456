"""Wrong gradients as programs get them wrong: plain NumPy, with one thing changed, and the words they are known by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from losscli.loss import Bound, get
from losscli.plan import How
from losscli.verifier.diagnosis.diagnose import Explanation
from losscli.verifier.dumps.claims import Claims


@dataclass(frozen=True)
class Planted:
    """A wrong claim, what it is about, and words of which the diagnosis must use one."""

    kind: str
    bound: Bound
    data: dict[str, Any]
    claim: Any
    words: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    hess: bool = False

    @property
    def claims(self) -> Claims:
        """The claim as verify takes it."""
        return Claims(hess=self.claim) if self.hess else Claims(grad=self.claim)

    def named_by(self, diagnosis: tuple[Explanation, ...]) -> bool:
        """Whether the first explanation, or one that says the same of these data, names the fault."""
        said = [name for one in diagnosis[:1] for name in (one.hypothesis, *one.coincides)]
        return any(word in name for word in self.words for name in said)


def softmax(z: Any, axis: int = -1) -> Any:
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def sigmoid(z: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-z))


@dataclass(frozen=True)
class Classes:
    """A plain cross-entropy: each field can be wrong."""

    z: Any
    y: Any
    smoothing: float = 0.0
    class_weight: Any = None
    sample_weight: Any = None
    ignored: Any = None
    reduction: str = "mean"

    def gradient(self, **wrong: Any) -> Any:
        z, y = self.z, wrong.get("y", self.y)
        n, c = z.shape
        p = wrong.get("p", softmax(z))
        by = wrong.get("smoothing", self.smoothing)
        spread = wrong.get("spread", by / c)
        mass = np.full((n, c), spread)
        mass[np.arange(n), y] = 1.0 - by + (by / c if "spread" not in wrong else 0.0)
        mass = wrong.get("mass", mass)
        by_class = wrong.get("class_weight", self.class_weight)
        by_class = np.ones(c) if by_class is None else by_class
        by_row = wrong.get("sample_weight", self.sample_weight)
        by_row = np.ones(n) if by_row is None else by_row
        ignored = wrong.get("ignored", self.ignored)
        kept = np.ones(n) if ignored is None else 1.0 - ignored
        mass = mass * by_class
        slope = (mass.sum(axis=1, keepdims=True) * p - mass) * (by_row * kept)[:, None]
        own = np.zeros(n) if self.reduction == "sum" else by_row * by_class[y] * kept
        by = wrong.get("denominator", own.sum() if self.reduction == "mean" else 1.0)
        return slope / by


def _options(made: Classes) -> dict[str, Any]:
    how = How(
        class_weight=made.class_weight,
        label_smoothing=made.smoothing,
        ignore_index=-100 if made.ignored is not None else None,
    )
    return {"how": how, "sample_weight": made.sample_weight, "reduction": made.reduction}


def of_classes(rng: np.random.Generator) -> Iterator[Planted]:
    """Cross-entropy under every option that there is."""
    n, c = int(rng.integers(9, 60)), int(rng.integers(3, 9))
    n += n == c
    z, y = rng.normal(size=(n, c)) * 2.0, rng.integers(0, c, n)
    y[:c] = np.arange(c)
    z[np.arange(c), (y[:c] + 1) % c] += 6.0
    weights = {
        "": {},
        "smoothed": {"smoothing": float(rng.choice([0.05, 0.1, 0.3]))},
        "class weights": {"class_weight": rng.uniform(0.3, 3.0, c)},
        "sample weights": {"sample_weight": rng.uniform(0.3, 3.0, n)},
        "ignored": {"ignored": (np.arange(n) % 4 == 1).astype(float)},
    }
    ce = get("ce").bind()
    for name, given in weights.items():
        for reduction in ("mean", "sum"):
            made = Classes(z, y, reduction=reduction, **given)
            labels = y.copy() if made.ignored is None else np.where(made.ignored > 0, -100, y)
            data, options = {"logits": z, "labels": labels}, _options(made)
            for kind, claim, *words in _wrong_classes(made, name):
                # What is wrong with a row that does not count is not wrong.
                if not np.array_equal(claim, made.gradient()):
                    yield Planted(f"ce: {kind}", ce, data, claim, tuple(words), options)


def _wrong_classes(made: Classes, name: str) -> Iterator[tuple[Any, ...]]:
    z, y = made.z, made.y
    n, c = z.shape
    true = made.gradient()
    eye = np.eye(c)
    if made.reduction == "mean":
        weight = 1.0 / made.gradient(denominator=1.0).flat[0] * true.flat[0]
        yield "sum for mean", true / weight, "sum instead of mean"
        yield "mean over the entries", true / c, "a mean over the classes too"
    else:
        yield "mean for sum", true / n, "mean instead of sum"
    yield "sign", -true, "the sign changed"
    yield "factor 2", 2.0 * true, "twice too large"
    yield "a factor without a name", 0.7371 * true, ""
    yield "zero", 0.0 * true, "all zero"
    yield "one entry", _at(true, (3, 1), 1.01), "in one entry, (3, 1)"
    yield "a column", _column(true, 2), "column 2"
    yield "nan rows", _rows(true, [3, 6], np.nan), "not a number"
    yield "last row", _rows(true, [-1], 0.0), "the last row missing", "in the last row"
    yield "last class", np.hstack([true[:, :-1], np.zeros((n, 1))]), "the last column missing"
    yield "rows rolled", np.roll(true, 1, axis=0), "rows one too late"
    yield "transposed", true.T.reshape(true.shape), "transposed"
    yield "softmax twice", made.gradient(p=softmax(softmax(z))), "softmax applied twice"
    yield "wrong axis", made.gradient(p=softmax(z, axis=0)), "softmax over the rows"
    yield "no softmax", made.gradient(p=z), "no softmax"
    yield "labels one too high", made.gradient(y=(y + 1) % c), "labels one too high"
    yield "labels one too low", made.gradient(y=np.maximum(y - 1, 0)), "labels one too low"
    yield "argmax", made.gradient(y=z.argmax(axis=1)), "the predicted class for the label"
    p = softmax(z)
    yield "no one-hot", made.gradient() + _mass(made), "without the one-hot labels"
    yield "by probabilities", -_mass(made) / p, "the slope by probs"
    if name == "smoothed":
        by = made.smoothing
        yield "smoothing ignored", made.gradient(smoothing=0.0), "label smoothing ignored"
        spread = np.where(eye[y] > 0, 1.0 - by, by / (c - 1))
        yield "smoothing over C - 1", made.gradient(mass=spread), "spread over C - 1"
        yield "smoothing twice", made.gradient(smoothing=1 - (1 - by) ** 2), "smoothing applied twice"
    if name == "class weights":
        yield "class weights ignored", made.gradient(class_weight=None), "class weights ignored"
        yield "class weights squared", made.gradient(class_weight=made.class_weight**2), "class weights squared"
    if name == "sample weights":
        yield "sample weights ignored", made.gradient(sample_weight=None), "sample weights ignored"
    if name in ("class weights", "sample weights") and made.reduction == "mean":
        yield "weights not in the denominator", made.gradient(denominator=n), "a mean over N = "
    if name == "ignored":
        first = np.where(made.ignored > 0, 0, y)
        kept = made.gradient(ignored=None, y=first)
        yield "ignored rows kept", kept, "ignored rows kept"
        if made.reduction == "mean":
            yield "ignored rows counted", made.gradient(denominator=n), "a mean over N = "
            kept_sum = made.gradient(ignored=None, y=first, denominator=n - made.ignored.sum())
            yield "ignored rows kept in the sum", kept_sum, "ignored rows kept"


def _mass(made: Classes) -> Any:
    """What is subtracted from the probabilities, reduced."""
    n, c = made.z.shape
    return -made.gradient(p=np.zeros((n, c)))


def _at(g: Any, index: tuple[int, ...], factor: float) -> Any:
    made = g.copy()
    made[index] = made[index] * factor if made[index] else 0.01
    return made


def _column(g: Any, at: int) -> Any:
    made = g.copy()
    made[:, at] *= -1.0
    return made


def _rows(g: Any, rows: list[int], value: float) -> Any:
    made = g.copy()
    made[rows] = value
    return made


def of_others(rng: np.random.Generator) -> Iterator[Planted]:
    """Focal, binary, regression, margin and rate losses."""
    n = int(rng.integers(20, 60))
    z, t = rng.normal(size=n) * 2.0, rng.integers(0, 2, n).astype(float)
    yield from _focal_classes(rng)
    yield from _binary(z, t, rng)
    yield from _regression(rng.normal(size=n) * 2.0, rng.normal(size=n) * 2.0, rng)
    yield from _margins(z, 2.0 * t - 1.0)
    yield from _hessians(rng)


def _focal_classes(rng: np.random.Generator) -> Iterator[Planted]:
    n, c = int(rng.integers(12, 40)), int(rng.integers(3, 7))
    gamma = float(rng.choice([0.5, 1.5, 3.0]))
    z, y = rng.normal(size=(n, c)), rng.integers(0, c, n)
    data, bound = {"logits": z, "labels": y}, get("softmax-focal").bind(gamma=gamma)
    p, eye = softmax(z), np.eye(c)[y]
    own = p[np.arange(n), y][:, None]

    def slope(gamma: float) -> Any:
        return (p - eye) / n * ((1 - own) ** gamma - gamma * own * np.log(own) * (1 - own) ** (gamma - 1))

    for kind, claim, word in (
        ("the factor's slope left out", (p - eye) / n * (1 - own) ** gamma, "the focal factor taken for a constant"),
        ("gamma ignored", (p - eye) / n, "the gradient of ce"),
        ("gamma at its default", slope(2.0), "gamma at its default"),
        ("sum for mean", slope(gamma) * n, "sum instead of mean"),
    ):
        yield Planted(f"softmax-focal: {kind}", bound, data, claim, (word,))


def _binary(z: Any, t: Any, rng: np.random.Generator) -> Iterator[Planted]:
    n, p = len(z), sigmoid(z)
    heavy = float(rng.choice([0.4, 2.5, 5.0]))
    data = {"logits": z, "target": t}
    for kind, claim, word in (
        ("target as signs", p - (2 * t - 1), "the target read as -1 or 1"),
        ("target turned round", p - (1 - t), "the target turned round"),
        ("no sigmoid", z - t, "no sigmoid"),
        ("no target", p, "sigmoid without the target"),
        ("sigmoid's slope twice", (p - t) * p * (1 - p), "slope of sigmoid"),
        ("by probabilities", (p - t) / (p * (1 - p)), "the slope by probs"),
        ("sigmoid twice", sigmoid(p) - t, "sigmoid applied twice"),
        ("term of 0 missing", -t * (1 - p), "the term of target 0 missing"),
        ("sum for mean", (p - t) * n, "sum instead of mean"),
        ("y - p", t - p, "the sign changed"),
    ):
        yield Planted(f"bce: {kind}", get("bce").bind(), data, claim / n, (word,))
    for kind, claim, word in (
        ("pos-weight ignored", p - t, "pos-weight at its default"),
        ("pos-weight on the other side", (1 - t) * heavy * p - t * (1 - p), "pos-weight on the wrong outcome"),
    ):
        yield Planted(f"bce: {kind}", get("bce").bind(pos_weight=heavy), data, claim / n, (word,))
    gamma, alpha = float(rng.choice([1.0, 3.0])), float(rng.choice([0.25, 0.6]))

    def focal(gamma: float, yes: float, no: float) -> Any:
        hit = (1 - p) ** gamma * (gamma * p * np.log(p) - (1 - p))
        miss = p**gamma * (p - gamma * (1 - p) * np.log(1 - p))
        return yes * t * hit + no * (1 - t) * miss

    bound = get("focal").bind(gamma=gamma, alpha=alpha)
    constant = (1 - alpha) * (1 - t) * p ** (gamma + 1) - alpha * t * (1 - p) ** (gamma + 1)
    for kind, claim, word in (
        ("alpha ignored", focal(gamma, 1.0, 1.0), "alpha at its default"),
        ("alpha on the other side", focal(gamma, 1 - alpha, alpha), "alpha"),
        ("gamma at its default", focal(2.0, alpha, 1 - alpha), "gamma at its default"),
        ("the factor's slope left out", constant, "the focal factor taken for a constant"),
        ("sum for mean", n * focal(gamma, alpha, 1 - alpha), "sum instead of mean"),
    ):
        yield Planted(f"focal: {kind}", bound, data, claim / n, (word,))


def _regression(x: Any, t: Any, rng: np.random.Generator) -> Iterator[Planted]:
    n, r = len(x), x - t
    delta, tau = float(rng.choice([0.5, 1.5, 2.5])), float(rng.choice([0.1, 0.3, 0.8]))
    clipped = np.clip(r, -delta, delta)
    rows: tuple[tuple[str, dict[str, float], str, Any, str], ...] = (
        ("mse", {}, "factor 2 missing", r, "half of what it should be"),
        ("mse", {}, "target minus prediction", -2 * r, "the sign changed"),
        ("mse", {}, "only the sign", np.sign(r), "the sign of the residual"),
        ("mse", {}, "sum for mean", 2 * r * n, "sum instead of mean"),
        ("half-mse", {}, "factor 2 too many", 2 * r, "twice too large"),
        ("huber", {"delta": delta}, "delta ignored", np.clip(r, -1, 1), "delta at its default"),
        ("huber", {"delta": delta}, "as half-mse", r, "the gradient of half-mse"),
        ("huber", {"delta": delta}, "as mae", np.sign(r), "the gradient of mae"),
        ("huber", {"delta": delta}, "divided by delta", clipped / delta, "divided by delta"),
        ("smooth-l1", {"beta": delta}, "not divided by beta", clipped, "times beta"),
        ("quantile", {"tau": tau}, "tau of the other side", tau * (r > 0) - (1 - tau) * (r < 0), "tau at"),
        ("quantile", {"tau": tau}, "exchanged", (1 - tau) * (r < 0) - tau * (r > 0), "prediction and target exchanged"),
        ("log-cosh", {}, "as mse", 2 * r, "the gradient of mse"),
    )
    for name, params, kind, claim, word in rows:
        data = {"prediction": x, "target": t}
        yield Planted(f"{name}: {kind}", get(name).bind(**params), data, claim / n, (word,))
    counts = rng.poisson(2.0, n).astype(float)
    yield Planted(
        "poisson: by the rate",
        get("poisson").bind(),
        {"prediction": x, "target": counts},
        (1.0 - counts * np.exp(-x)) / n,
        ("the slope by rate", "log-rate read as rate"),
    )


def _margins(z: Any, label: Any) -> Iterator[Planted]:
    n = len(z)
    data = {"score": z, "label": label}
    one = (label + 1) / 2
    for name, kind, claim, word in (
        ("hinge", "label as 0 or 1", -one * (1 - one * z > 0), "the label read as 0 or 1"),
        ("hinge", "label not multiplied back", -1.0 * (label * z < 1), "the label not multiplied back"),
        ("logistic", "label as 0 or 1", -one * sigmoid(-one * z), "the label read as 0 or 1"),
        ("logistic", "label left out", -sigmoid(-z), "the label left out"),
        ("logistic", "of hinge", -label * (label * z < 1), "the gradient of hinge"),
        ("squared-hinge", "of hinge", -label * (label * z < 1), "the gradient of hinge"),
    ):
        yield Planted(f"{name}: {kind}", get(name).bind(), data, claim / n, (word,))


def _hessians(rng: np.random.Generator) -> Iterator[Planted]:
    n, c = int(rng.integers(12, 40)), int(rng.integers(3, 7))
    z, y = rng.normal(size=(n, c)), rng.integers(0, c, n)
    p, eye = softmax(z), np.eye(c)[y]
    for kind, claim, word in (
        ("the squares of the gradient", (p - eye) ** 2 / n, "the squares of each row's gradient"),
        ("twice", 2 * p * (1 - p) / n, "twice too large"),
        ("C/(C - 1)", c / (c - 1) * p * (1 - p) / n, "times C/(C - 1)"),
        ("p alone", p / n, "p in the place of the Hessian"),
        ("sum for mean", p * (1 - p), "sum instead of mean"),
        ("the gradient", (p - eye) / n, "the gradient in the place of the Hessian"),
    ):
        yield Planted(f"ce Hessian: {kind}", get("ce").bind(), {"logits": z, "labels": y}, claim, (word,), hess=True)


def planted(seed: int) -> Iterator[Planted]:
    """Every kind of fault on one draw."""
    rng = np.random.default_rng(seed)
    yield from of_classes(rng)
    yield from of_others(rng)
