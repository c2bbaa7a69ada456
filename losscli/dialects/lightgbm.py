"""LightGBM's dialects."""

from __future__ import annotations

from collections.abc import Mapping

from losscli.loss import Dialect

DIALECTS: Mapping[str, Dialect] = {}
