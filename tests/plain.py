"""Losses that no line of arithmetic says, as plain functions in mpmath's arithmetic: slow, and easy to read.

Each takes the inputs of one loss (a row's, or a group's) and the parameters by name, as numbers and lists of numbers,
and returns the value. ``y`` is the index of a hard label, ``v`` the labels as a mass per class; ``frozen`` marks what
a slope holds constant. This list is kept short: a loss that has a printed formula is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

PLAIN: Mapping[str, Callable[..., Any]] = {}
