"""Functions of PyTorch and JAX, and objectives that LightGBM trains with: right ones pass, mistakes are named.

``python -m benchmarks functions_check``, where all three are installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TORCH = """
import torch
import torch.nn.functional as F

def cross_entropy(logits, labels):
    return F.cross_entropy(logits, labels, label_smoothing=0.1)

def huber_rows(x, y):
    return F.huber_loss(x, y, reduction="none")

def nan_of_where(x):
    return torch.where(x > 0, torch.sqrt(x), torch.zeros_like(x)).sum()

def detached(x, y):
    return ((x - y).detach() * (x - y)).sum()

def dropout(x):
    return F.dropout(x, 0.5).sum()

def inplace(x):
    return x.mul_(2).sum()

def single(x, y):
    return F.mse_loss(x.float(), y.float())

class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x ** 3).sum()

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream * 2 * x ** 2

class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x ** 2).sum()

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return 2 * x
"""
JAX = """
import jax
import jax.numpy as jnp

def cross_entropy(logits, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

def stopped(x):
    return (jax.lax.stop_gradient(x) * x).sum()

@jax.custom_vjp
def square(x):
    return (x ** 2).sum()

square.defvjp(lambda x: (square(x), x), lambda x, upstream: (upstream * x,))
"""
LIGHTGBM = """
import numpy as np

GAMMA = 2.0

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def parts(preds, dataset):
    y = dataset.get_label()
    p = sigmoid(preds)
    q = np.where(y == 1, p, 1 - p)
    return 2 * y - 1, q, 1 - q

def right(preds, dataset):
    s, q, r = parts(preds, dataset)
    slope = GAMMA * q * np.log(q) - r
    grad = s * r ** GAMMA * slope
    hess = q * r * (r ** GAMMA * (GAMMA * np.log(q) + GAMMA + 1) - GAMMA * r ** (GAMMA - 1) * slope)
    return grad, hess

def sign(preds, dataset):
    grad, hess = right(preds, dataset)
    return -grad, hess

def factor_constant(preds, dataset):
    s, q, r = parts(preds, dataset)
    return -s * r ** (GAMMA + 1), r ** (GAMMA + 1) * q

def by_probability(preds, dataset):
    s, q, r = parts(preds, dataset)
    grad, hess = right(preds, dataset)
    return grad / (q * r), hess

def hessian_of_bce(preds, dataset):
    s, q, r = parts(preds, dataset)
    return right(preds, dataset)[0], q * r
"""
FILES = {"t.py": TORCH, "j.py": JAX, "focal.py": LIGHTGBM}
EXPECTED = {
    "t.py:cross_entropy": "PASS",
    "t.py:huber_rows": "PASS",
    "t.py:nan_of_where": "FAIL",
    "t.py:detached": "FAIL",
    "t.py:dropout": "INCONCLUSIVE",
    "t.py:inplace": "FAIL",
    "t.py:single": "PASS",
    "t.py:Cube": "FAIL",
    # Right but for the upstream gradient, which it forgets.
    "t.py:Square": "FAIL",
    "j.py:cross_entropy": "PASS",
    "j.py:stopped": "FAIL",
    "j.py:square": "FAIL",
    "focal.py:right --against focal": "PASS",
    "focal.py:sign --against focal": "FAIL",
    "focal.py:factor_constant --against focal": "FAIL",
    "focal.py:by_probability --against focal": "FAIL",
    "focal.py:hessian_of_bce --against focal": "FAIL",
}


def main(_: list[str]) -> int:
    """Every function, what is said of it, and whether that is as it should be; LightGBM itself calls the objectives."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, text in FILES.items():
            Path(folder, name).write_text(text)
        trained(folder)
        for words, expected in EXPECTED.items():
            command = [sys.executable, "-m", "losscli", "gradcheck", *words.split(), "-q"]
            place = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
            done = subprocess.run(command, cwd=folder, env=place, capture_output=True, text=True, check=False)
            said = (done.stdout or done.stderr).strip()
            wrong += not said.startswith(f"{expected} ")
            print(said if said.startswith(f"{expected} ") else f"NOT {expected}: {said}")
    print(f"{len(EXPECTED) - wrong} of {len(EXPECTED)} as they should be")
    return int(wrong > 0)


def trained(folder: str) -> None:
    """What training with each of the objectives comes to: the mistakes are not noticed there."""
    import lightgbm

    sys.path.insert(0, folder)
    import focal  # type: ignore[import-not-found]

    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 5))
    y = (x[:, 0] + 0.5 * x[:, 1] ** 2 + rng.normal(size=2000) > 0).astype(float)
    for name in ("right", "sign", "factor_constant", "by_probability", "hessian_of_bce"):
        options = {"objective": getattr(focal, name), "verbose": -1, "num_threads": 1, "seed": 0}
        model = lightgbm.train(options, lightgbm.Dataset(x[:1500], y[:1500]), num_boost_round=30)
        right = np.mean((model.predict(x[1500:]) > 0) == (y[1500:] == 1))
        print(f"LightGBM trained with {name}: {right:.1%} of unseen rows right")
