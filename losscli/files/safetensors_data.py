"""Safetensors: eight bytes of length, a JSON header, and the numbers, mapped where they are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscli.errors import DataError, Place, did_you_mean
from losscli.files.blob import Blob, listed
from losscli.files.source import Source
from losscli.files.views import Bfloat16

# The limit of the format's own reader.
MAX_HEADER = 100_000_000

_DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "BF16": "<u2",
    "F32": "<f4",
    "F64": "<f8",
}
# They can lie beside what is read; their numbers cannot be had.
_OTHERS = {"F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "C64": 8}


@dataclass(frozen=True)
class Tensor:
    """A tensor as the header declares it: from ``start`` to ``stop`` after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Tensors:
    """A safetensors file: arrays with names."""

    blob: Blob
    tensors: Mapping[str, Tensor]
    offset: int

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the tensors, in the order of the header."""
        return tuple(self.tensors)

    def find(self, name: str) -> str | None:
        """Return the name itself, if a tensor has it."""
        return name if name in self.tensors else None

    def whole(self, *, text: bool) -> Source:
        """Return the only tensor; an error where there are several."""
        if len(self.tensors) == 1:
            return self.select(self.keys[0], text=text)
        raise DataError(
            "container-key",
            f"the file holds {len(self.tensors)} arrays: {listed(self.keys)}",
            place=Place(self.blob.name),
            hint=f"choose one: {self.blob.name}::{self.keys[0]}" if self.tensors else "",
        )

    def select(self, selector: str, *, text: bool) -> Source:  # noqa: ARG002 - the protocol's signature
        """Return the tensor called ``selector``."""
        name = f"{self.blob.name}::{selector}"
        if selector not in self.tensors:
            message = f"no tensor {selector!r}; there are: {listed(self.keys)}"
            hint = did_you_mean(selector, self.keys)
            raise DataError("selector", message, place=Place(self.blob.name), hint=hint)
        tensor = self.tensors[selector]
        if tensor.dtype not in _DTYPES:
            raise DataError("safetensors-dtype", f"numbers of type {tensor.dtype} are not read", place=Place(name))
        array = self.blob.array(np.dtype(_DTYPES[tensor.dtype]), self.offset + tensor.start, tensor.shape)
        return Source(name, Bfloat16(array) if tensor.dtype == "BF16" else array)


def open_safetensors(blob: Blob) -> Tensors:
    """Return the container of a safetensors file, once its header has passed the format's own rules."""
    with blob.open() as stream:
        length = int.from_bytes(stream.read(8), "little")
        if blob.size < 8 or length > min(MAX_HEADER, blob.size - 8):
            raise _bad(blob, f"the header claims {length} bytes")
        raw = stream.read(length)
    try:
        header = json.loads(raw, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _bad(blob, f"the header is no JSON: {str(error)[:80]}") from None
    if not raw.startswith(b"{") or not isinstance(header, dict):
        raise _bad(blob, "the header is no JSON object")
    header.pop("__metadata__", None)
    tensors = {name: _tensor(blob, name, entry) for name, entry in header.items()}
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda pair: (pair[1].start, pair[1].stop)):
        if tensor.start != end:
            raise _bad(blob, f"{name!r} starts at byte {tensor.start}, not at {end} where the one before it ends")
        end = tensor.stop
    if blob.size != 8 + length + end:
        raise _bad(blob, f"the tensors take {end} bytes, the file has {blob.size - 8 - length} for them")
    return Tensors(blob, tensors, 8 + length)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _tensor(blob: Blob, name: str, entry: Any) -> Tensor:
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise _bad(blob, f"the entry of {name[:40]!r} is damaged") from None
    numbers = [*shape, start, stop] if isinstance(shape, list) else [None]
    if not (isinstance(dtype, str) and all(type(n) is int and 0 <= n < 2**62 for n in numbers) and len(shape) <= 32):
        raise _bad(blob, f"the entry of {name[:40]!r} is damaged")
    size = _OTHERS.get(dtype) or (np.dtype(_DTYPES[dtype]).itemsize if dtype in _DTYPES else 0)
    if size and stop - start != size * math.prod(shape):
        raise _bad(blob, f"{name[:40]!r} has {stop - start} bytes for shape {tuple(shape)} of {dtype}")
    if stop < start:
        raise _bad(blob, f"{name[:40]!r} ends before it starts")
    return Tensor(dtype[:20], tuple(shape), start, stop)


def _bad(blob: Blob, message: str) -> DataError:
    return DataError("safetensors-header", message, place=Place(blob.name))
