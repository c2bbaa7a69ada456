"""How a loss may read a user's inputs, as these and the function's other parameters suggest.

A spare input, or a default, of one number per class is class weights, one of a number per row or per entry sample
weights; a negative label is one to ignore; numbers go by their names: smoothing, temperature, the loss's parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from losscli.loss import Loss
from losscli.plan import How
from losscli.verifier.own.functions import Inputs, Values

# What numbers that are no parameter of a loss are called.
_SMOOTHING, _IGNORED, _TEMPERATURE, _TINY = "smooth", "ignore", "temp", "eps"


@dataclass(frozen=True)
class Reading:
    """A way in which a loss reads inputs; the scores are divided by ``temperature`` first."""

    how: How = field(default_factory=How)
    params: Mapping[str, Any] = field(default_factory=dict)
    sample_weight: Values | None = None
    temperature: float = 1.0


@dataclass(frozen=True)
class Hints:
    """What a function was given besides the inputs that a loss requires, by name: numbers, and arrays of them."""

    numbers: Mapping[str, Any]
    arrays: Mapping[str, Values]

    @classmethod
    def of(cls, inputs: Inputs, defaults: Mapping[str, Any]) -> Hints:
        """The single numbers among inputs and defaults, and the defaults that are arrays of positive numbers."""
        given = {**defaults, **{name: array.item() for name, array in inputs.items() if np.ndim(array) == 0}}
        made = {name: _array(value) for name, value in defaults.items() if name not in inputs and np.ndim(value)}
        return cls(given, {name: array for name, array in made.items() if array is not None})

    def readings(self, loss: Loss, data: Inputs, spare: Values | None) -> Iterator[Reading]:
        """The ways in which a loss may read data, those that heed most of the hints first.

        ``spare`` is an input that the loss has no name for: it must be weights.
        """
        plain = [Reading(self._how(loss, data, link)) for link in loss.reads.links]
        for way in [self._hinted(loss, reading) for reading in plain] + plain:
            for weighted in self._weighted(loss, data, way, spare):
                yield from _with_labels(loss, weighted)

    def _how(self, loss: Loss, data: Inputs, link: str) -> How:
        labels = np.asarray(data.get(loss.reads.labels, 0))
        if "ignore-index" not in loss.reads.options or labels.dtype.kind not in "iu":
            return How(link=link)
        negative = np.unique(labels[labels < 0])
        known = _named(self.numbers, _IGNORED)
        return How(link=link, ignore_index=int(negative[0]) if len(negative) == 1 else _whole(known))

    def _hinted(self, loss: Loss, plain: Reading) -> Reading:
        params = {entry.name: self.numbers[entry.name] for entry in loss.params if entry.name in self.numbers}
        others = {name: value for name, value in self.numbers.items() if name not in params and _is_number(value)}
        how, smoothing = plain.how, _named(others, _SMOOTHING)
        if smoothing is not None and "label-smoothing" in loss.reads.options and 0.0 < smoothing <= 1.0:
            how = replace(how, label_smoothing=float(smoothing))
        temperature = _named(others, _TEMPERATURE)
        rest = [name for name in others if not any(word in name.lower() for word in (_SMOOTHING, _IGNORED, _TINY))]
        unnamed = [entry.name for entry in loss.params if isinstance(entry.default, float) and entry.name not in params]
        if temperature is not None and temperature > 0.0:
            return Reading(how, params, temperature=float(temperature))
        if len(rest) == len(unnamed) == 1:
            # One number and one parameter belong together, whatever they are called.
            params[unnamed[0]] = float(others[rest[0]])
        return Reading(how, params)

    def _weighted(self, loss: Loss, data: Inputs, reading: Reading, spare: Values | None) -> Iterator[Reading]:
        arrays = list(self.arrays.values()) if spare is None else [spare]
        for array in arrays:
            yield from _weighing(loss, data, reading, array)
        if spare is None:
            yield reading


def _weighing(loss: Loss, data: Inputs, reading: Reading, array: Values) -> Iterator[Reading]:
    """A reading with an array for the weights that its shape allows."""
    shape, options = np.shape(data[loss.reads.required[0]]), loss.reads.options
    if "class-weight" in options and len(shape) > 1 and array.shape == shape[-1:]:
        yield replace(reading, how=replace(reading.how, class_weight=array))
    lead = shape[:-1] if loss.reads.layout in ("classes", "rows") else shape
    per_row = array.reshape(-1) if array.size == len(array) else array
    if "sample-weight" in options and per_row.shape == lead[: per_row.ndim]:
        yield replace(reading, sample_weight=per_row)


def _with_labels(loss: Loss, reading: Reading) -> Iterator[Reading]:
    yield reading
    if "labels" in loss.reads.options:
        yield replace(reading, how=replace(reading.how, zero_one_labels=True))


def _array(value: Any) -> Values | None:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError, RuntimeError):
        return None
    return array if array.size > 1 and np.all(array >= 0.0) else None


def _named(numbers: Mapping[str, Any], word: str) -> Any:
    return next((value for name, value in numbers.items() if word in name.lower() and _is_number(value)), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
