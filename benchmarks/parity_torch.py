"""PyTorch beside losscli's dialect of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.parity import Comparison, Numbers


def comparisons(seed: int) -> Iterator[Comparison]:
    """Random calls of torch.nn.functional."""
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(5, 4)), rng.integers(0, 4, 5)

    def theirs() -> Numbers:
        z = torch.tensor(logits, requires_grad=True)
        value = torch.nn.functional.cross_entropy(z, torch.tensor(labels))
        return Numbers(value.item(), {"logits": torch.autograd.grad(value, z)[0].numpy()})

    data = {"logits": logits, "labels": labels}
    yield Comparison("ce", "F.cross_entropy(logits, labels)", data, theirs, record=True)
