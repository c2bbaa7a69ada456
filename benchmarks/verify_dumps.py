"""PyTorch's own gradients in three formats, judged by ``losscli verify``: right ones, and the same off by a hundredth.

Run by hand where PyTorch is installed: ``python -m benchmarks verify_dumps``. A right dump must never fail, and one off
by a hundredth must fail in float32; in two bytes it must fail or be said to be too coarse to tell. The last column is
the least common factor's error that the dump would have shown.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

import losscli
from losscli.verifier.dumps.claims import Claims, verify

ROWS, SCALE = 32, 3.0
CLASSES = (10, 1_000, 32_000)
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def _ce(z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(z, labels)


def _bce(z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(z, functional.one_hot(labels, z.shape[1]).to(z.dtype))


def _focal(z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """As torchvision.ops.sigmoid_focal_loss writes it, alpha left out and gamma 2."""
    target = functional.one_hot(labels, z.shape[1]).to(z.dtype)
    p = torch.sigmoid(z)
    ce = functional.binary_cross_entropy_with_logits(z, target, reduction="none")
    p_t = p * target + (1 - p) * (1 - target)
    return (ce * (1 - p_t) ** 2).mean()


def _softmax_focal(z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    log_p = functional.log_softmax(z, dim=1).gather(1, labels[:, None])[:, 0]
    return (-((1 - log_p.exp()) ** 2) * log_p).mean()


CASES = {"ce": _ce, "bce": _bce, "focal": _focal, "softmax-focal": _softmax_focal}


def _data(name: str, z: torch.Tensor, labels: torch.Tensor) -> dict[str, np.ndarray]:
    scores = z.detach().float().numpy()
    if name in ("bce", "focal"):
        return {"logits": scores, "target": np.eye(z.shape[1], dtype=np.float32)[labels.numpy()]}
    return {"logits": scores, "labels": labels.numpy()}


def main(_: list[str]) -> None:
    """Print a line for each loss, number of classes and format."""
    generator = torch.Generator().manual_seed(0)
    print(f"{'loss':14}{'classes':>8} {'format':9} {'right':13}{'off by 1 %':13}{'needs':>7}{'open':>8}  notices")
    for name, call in CASES.items():
        bound = losscli.get(name).bind()
        for classes in CLASSES:
            logits = torch.randn(ROWS, classes, generator=generator) * SCALE
            labels = torch.randint(classes, (ROWS,), generator=generator)
            for word, dtype in FORMATS.items():
                z = logits.to(dtype).clone().requires_grad_()
                value = call(z, labels)
                value.backward()
                data = _data(name, z, labels)
                grad = z.grad.float().numpy()
                off = (z.grad.float() * 1.01).to(dtype).float().numpy()
                value = np.float32(value.item())
                right = verify(bound, data, Claims(value=value, grad=grad, precision=word))
                wrong = verify(bound, data, Claims(grad=off, precision=word))
                part = right.slopes[0]
                most = max(entry.ratio for entry in part.tally.worst)
                share = part.counts.get("inconclusive", 0) / right.checked
                print(
                    f"{name:14}{classes:8} {word:9} {right.verdict:13}{wrong.verdict:13}{most:7.3f}{share:8.1%}"
                    f"  {part.tally.notice:.2g} {right.value.verdict if right.value else ''}",
                    flush=True,
                )
