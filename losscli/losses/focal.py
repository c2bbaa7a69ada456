"""The focal factor, which binary and multi-class losses share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from losscli.stable import Array, times


@dataclass(frozen=True)
class Focus:
    """The focal factor on a surprise s: (1 - p)^γ s with p = exp(-s), and its derivatives in s."""

    value: Array
    slope: Callable[[], Array]
    curve: Callable[[], Array]


def focus(s: Array, gamma: float) -> Focus:
    """The focal loss of one outcome of surprise s.

    The powers of 1 - p stay at γ: what the slope divides by 1 - p is cancelled against s first, since
    s/(e^s - 1) → 1, so nothing blows up for 0 < γ < 1 at saturation.
    """
    doubt = -np.expm1(-s)
    factor = np.ones_like(s) if gamma == 0 else doubt**gamma

    def odds() -> Array:
        """p/(1 - p)·s = s/(e^s - 1)."""
        odds = times(np.exp(-s), s) / doubt
        return np.where(s == 0.0, 1.0, odds) if not s.all() else odds

    def curve() -> Array:
        if gamma == 0:
            return np.zeros_like(s)
        # Only here the power is γ - 1: at saturation the curvature of 0 < γ < 1 is truly infinite.
        return gamma * doubt ** (gamma - 1.0) * times(np.exp(-s), 2.0 + (gamma - 1.0) * odds() - s)

    return Focus(factor * s, lambda: factor * (1.0 + gamma * odds()), curve)
