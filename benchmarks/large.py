"""Large gradients: wrong and right ones of binary cross-entropy over very many elements, by probes and by fast_mode.

The function is plain NumPy, of which nothing is known; torch.autograd.gradcheck(fast_mode=True) judges the same claims
in the same run, where PyTorch is installed. Seconds are those of the clock and, in brackets, of the processors.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import timing
from losscli.verifier.diagnosis.diagnose import diagnose, sentence
from losscli.verifier.diagnosis.hypotheses import generic
from losscli.verifier.numeric.locate import Located, locate
from losscli.verifier.numeric.probes import probe

_SEED = 20260101
_MANY, _MORE = 200_000, 1_000_000


@dataclass(frozen=True)
class Case:
    """A claimed gradient of the mean over n elements, and whether it is right."""

    name: str
    n: int
    wrong: bool
    change: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Problem:
    """Binary cross-entropy of n logits: its terms, and its gradient."""

    x: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, n: int) -> Problem:
        """Logits of deviation 2 and three targets in ten of 1."""
        rng = np.random.default_rng(_SEED)
        return cls(2.0 * rng.normal(size=n), np.where(rng.random(n) < 0.3, 1.0, 0.0))

    def terms(self, z: np.ndarray) -> np.ndarray:
        """One loss per element."""
        return np.maximum(z, 0.0) - z * self.target + np.log1p(np.exp(-np.abs(z)))

    def mean(self, z: np.ndarray) -> float:
        """Their mean."""
        return float(self.terms(z).mean())

    def gradient(self) -> np.ndarray:
        """That of the mean."""
        return (1.0 / (1.0 + np.exp(-self.x)) - self.target) / self.x.size


def _one(g: np.ndarray) -> np.ndarray:
    made = g.copy()
    made[made.size // 3] += 1e-3 * np.sqrt(np.mean(g * g))
    return made


def _three(g: np.ndarray) -> np.ndarray:
    made = g.copy()
    made[[11, made.size // 3, made.size - 5]] += np.array([1.0, -1.0, 2.0]) * np.sqrt(np.mean(g * g))
    return made


def _tail(g: np.ndarray) -> np.ndarray:
    made = g.copy()
    made[-1000:] = 0.0
    return made


def cases(quick: bool) -> list[Case]:
    """All of them, or the same on a twentieth of the elements."""
    many, more = (_MANY // 20, _MORE // 20) if quick else (_MANY, _MORE)
    return [
        Case("right", many, False, lambda g: g),
        Case("zero", many, True, np.zeros_like),
        Case("doubled", many, True, lambda g: 2.0 * g),
        Case("negated", many, True, lambda g: -g),
        Case("rolled", many, True, lambda g: np.roll(g, 1)),
        Case("last 1,000 elements left out", many, True, _tail),
        Case("right", more, False, lambda g: g),
        Case("one entry off by 1e-3 of the rms", more, True, _one),
        Case("three entries off by the rms", more, True, _three),
        Case("doubled", more, True, lambda g: 2.0 * g),
    ]


@contextmanager
def _timed() -> Iterator[list[str]]:
    """How long what is done within takes."""
    told: list[str] = []
    start = time.perf_counter(), time.process_time()
    yield told
    told.append(f"{time.perf_counter() - start[0]:.1f} s ({time.process_time() - start[1]:.1f})")


def _ours(problem: Problem, claim: np.ndarray) -> tuple[str, str]:
    """Verdict, and what is said."""
    certificate = probe(problem.mean, problem.x, claim, seed=_SEED)
    if certificate.verdict == "fail":
        return certificate.verdict, _said(claim, locate(problem.mean, problem.x, claim, seed=_SEED))
    bound = certificate.norm_bound / certificate.norm
    return certificate.verdict, f"error ≤ {bound:.1e} ‖g‖ at {certificate.confidence:.1%}"


def _said(claim: np.ndarray, found: Located) -> str:
    reference, bar = np.full(claim.shape, np.nan), np.zeros(claim.shape)
    for hit in found.entries:
        reference[hit.index], bar[hit.index] = hit.reference, hit.bar
    words = sentence(diagnose(claim, reference, generic(reference), {}, bar), len(found.entries))
    where = ", ".join(str(hit.index[0]) for hit in found.entries) if len(found.entries) <= 3 else found.pattern
    return "; ".join(filter(None, [where, words]))


def _theirs(problem: Problem, claim: np.ndarray) -> str:
    """The verdict of fast_mode on the same claim."""
    import torch

    class Claimed(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, z: Any, target: Any) -> Any:
            return torch.nn.functional.binary_cross_entropy_with_logits(z, target)

        @staticmethod
        def backward(_: Any, upstream: Any) -> Any:
            return upstream * torch.from_numpy(claim), None

    z = torch.from_numpy(problem.x.copy()).requires_grad_()
    target = torch.from_numpy(problem.target)
    torch.manual_seed(0)
    good = torch.autograd.gradcheck(Claimed.apply, (z, target), fast_mode=True, raise_exception=False)
    return "pass" if good else "fail"


def _rows(quick: bool) -> Iterator[tuple[bool, list[str]]]:
    torch = importlib.util.find_spec("torch") is not None
    for case in cases(quick):
        problem = Problem.of(case.n)
        claim = case.change(problem.gradient())
        with _timed() as taken:
            verdict, said = _ours(problem, claim)
        theirs = "not run"
        if torch:
            with _timed() as others:
                answer = _theirs(problem, claim)
            theirs = f"{answer}, {others[0]}"
        row = [case.name, f"{case.n:,}", f"{verdict}, {taken[0]}", theirs, said]
        yield (verdict == "fail") == case.wrong and verdict != "inconclusive", row


def main(argv: list[str]) -> int:
    """Print the table; 1 where a verdict is wrong."""
    options = timing.arguments("large", __doc__).parse_args(argv)
    if importlib.util.find_spec("torch"):
        import torch  # noqa: F401  # not while the clock runs
    rows = list(_rows(options.quick))
    print(timing.machine("numpy", "torch"))
    heads = ("gradient of the mean BCE", "elements", "losscli", "torch fast_mode", "what losscli says")
    print(timing.markdown(heads, [row for _, row in rows], left=len(heads)))
    return int(not all(good for good, _ in rows))
