"""NPY: NumPy's own format, memory-mapped."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np

from losscli.errors import DataError, Place
from losscli.files.blob import Blob
from losscli.files.source import Array, Source
from losscli.files.views import Bfloat16

MAGIC = b"\x93NUMPY"
# numpy's own default for max_header_size; a longer header belongs to a record type, which is not read anyway.
MAX_HEADER = 10_000
MAX_AXES = 32
MAX_BYTES = 2**62

_ENTRY = re.compile(
    r"""\s*(?P<quote>['"])(?P<key>descr|fortran_order|shape)(?P=quote)\s*:\s*
        (?:(?P<word>'[^']*'|"[^"]*"|True|False)|\((?P<shape>[0-9,\sL]*)\))\s*(?:,|$)""",
    re.VERBOSE,
)
_DESCR = re.compile(r"[<>|=]?([A-Za-z])\d*(?:\[[\w/]*\])?")
_PICKLE_HINT = "convert it once: np.save('new.npy', np.array(old.tolist(), dtype=float))"


@dataclass(frozen=True)
class Header:
    """What an NPY header declares, and the byte at which the numbers start.

    ``halves`` says that the numbers, of two bytes without a type, are bfloat16.
    """

    dtype: np.dtype[Any]
    fortran: bool
    shape: tuple[int, ...]
    offset: int
    halves: bool = False

    @property
    def nbytes(self) -> int:
        """The bytes that the numbers take."""
        return math.prod(self.shape) * self.dtype.itemsize

    def array(self, data: bytes | memoryview) -> Array:
        """Return the array over bytes that start with the numbers."""
        flat = np.frombuffer(data[: self.nbytes], self.dtype, math.prod(self.shape))
        return flat.reshape(self.shape, order=self.order)

    @property
    def order(self) -> Literal["F", "C"]:
        """Which axis varies fastest."""
        return "F" if self.fortran else "C"

    def typed(self, array: Array) -> Array | Bfloat16:
        """Return the stored numbers as what they mean."""
        return Bfloat16(array) if self.halves else array


def read_header(stream: BinaryIO, name: str, as_type: str = "") -> Header:
    """Return the header of an NPY stream, read without evaluating it as Python.

    ``as_type`` tells what two bytes without a type are: bf16, or nothing. Raises DataError for anything but plain
    numbers or text.
    """
    start = stream.read(8)
    if start[:6] != MAGIC:
        raise _bad(name, "not an NPY file: it does not start with the bytes \\x93NUMPY")
    if start[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise _bad(name, f"unknown NPY version: {'.'.join(map(str, start[6:]))}")
    prefix = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(prefix), "little")
    if length > MAX_HEADER:
        raise _bad(name, f"the header claims {length} bytes; {MAX_HEADER} is the most that is read")
    raw = stream.read(length)
    if len(raw) < length:
        raise _bad(name, "the file ends within its header")
    fields = _fields(raw.decode("latin-1"), name)
    halves = as_type == "bf16" and re.fullmatch(r"[<|]?V2", fields["descr"]) is not None
    dtype = np.dtype("<u2") if halves else _dtype(fields["descr"], name)
    shape = _shape(fields["shape"], dtype, name)
    return Header(dtype, fields["fortran_order"] == "True", shape, 8 + prefix + length, halves)


def _fields(text: str, name: str) -> dict[str, str]:
    body = text.strip()
    if re.search(r"""['"]descr['"]\s*:\s*\[""", body):
        raise DataError(
            "npy-dtype",
            "an array of records, not of numbers",
            place=Place(name),
            hint="save each field as an array of its own",
        )
    if not (body.startswith("{") and body.endswith("}")):
        raise _bad(name, "the header is no dictionary")
    body = body[1:-1].strip()
    fields: dict[str, str] = {}
    position = 0
    while position < len(body):
        entry = _ENTRY.match(body, position)
        if entry is None or entry["key"] in fields:
            raise _bad(name, "the header is damaged")
        fields[entry["key"]] = (entry["word"] or "").strip("'\"") if entry["shape"] is None else f"({entry['shape']})"
        position = entry.end()
    if set(fields) != {"descr", "fortran_order", "shape"} or fields["fortran_order"] not in ("True", "False"):
        raise _bad(name, "the header is damaged")
    return fields


def _dtype(descr: str, name: str) -> np.dtype[Any]:
    kind = _DESCR.fullmatch(descr)
    try:
        dtype = np.dtype(descr if kind else "")
    except (TypeError, ValueError):
        raise _bad(name, f"unknown dtype: {descr[:40]!r}") from None
    if dtype.hasobject:
        raise DataError(
            "npy-pickle",
            "an array of Python objects (a pickle), which can run code when opened and is not read",
            place=Place(name),
            hint=_PICKLE_HINT,
        )
    if dtype.kind == "V" and dtype.itemsize == 2:
        raise DataError(
            "npy-dtype",
            "two-byte values without a type (V2): bfloat16, as NumPy saves it",
            place=Place(name),
            hint="--dtype bf16 reads them as what they are",
        )
    if dtype.kind == "c":
        raise DataError(
            "npy-dtype", "complex numbers", place=Place(name), hint="save the real part: np.save(path, array.real)"
        )
    if dtype.kind not in "biufSU" or dtype.itemsize == 0:
        raise DataError("npy-dtype", f"dtype {dtype} is not a kind of number", place=Place(name))
    return dtype


def _shape(text: str, dtype: np.dtype[Any], name: str) -> tuple[int, ...]:
    words = [word.strip().rstrip("L") for word in text.strip("()").split(",")]
    if words and words[-1] == "":
        words.pop()
    if len(words) > MAX_AXES or not all(word.isdecimal() and len(word) < 20 for word in words):
        raise _bad(name, "the header's shape is damaged")
    shape = tuple(map(int, words))
    if math.prod(n for n in shape if n) * dtype.itemsize >= MAX_BYTES:
        raise _bad(name, f"the header declares an impossible shape: {shape}")
    return shape


def _bad(name: str, message: str) -> DataError:
    return DataError("npy-header", message, place=Place(name))


def truncated(name: str, declared: int, present: int) -> DataError:
    """Return the error for a file that is shorter than its header says."""
    return DataError(
        "npy-truncated",
        f"the header declares {declared} bytes of numbers, the file has {present}",
        place=Place(name),
        hint="the file was cut short: save or copy it again",
    )


def numeric(array: Array, name: str, *, text: bool) -> Array:
    """Return the array as it is, or as unicode text where text is allowed."""
    if array.dtype.kind not in "SU":
        return array
    if not text:
        raise DataError(
            "text-where-number", f"the array holds text (dtype {array.dtype}), not numbers", place=Place(name)
        )
    try:
        words = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else np.array(array)
        words.tolist()  # damaged code points surface here, and not in the caller
    except (ValueError, SystemError):
        raise DataError("text-encoding", "the array's text is damaged", place=Place(name)) from None
    return words


@dataclass(frozen=True)
class ArrayFile:
    """An NPY file: one array, no names."""

    blob: Blob

    @property
    def keys(self) -> tuple[str, ...]:
        """None: an NPY file is one plain array."""
        return ()

    def find(self, name: str) -> str | None:  # noqa: ARG002 - the protocol's signature
        """None: an NPY file has no names."""
        return None

    def select(self, selector: str, *, text: bool) -> Source:  # noqa: ARG002 - the protocol's signature
        """Refuse: an NPY file has no parts."""
        raise DataError(
            "selector",
            f"an NPY file is one array and has no part {selector!r}",
            place=Place(self.blob.name),
            hint=f"name it without '::{selector}'",
        )

    def whole(self, *, text: bool) -> Source:
        """Return the array, memory-mapped where the bytes are in a file."""
        blob = self.blob
        with blob.open() as stream:
            header = read_header(stream, blob.name, blob.dtype)
        if blob.size < header.offset + header.nbytes:
            raise truncated(blob.name, header.nbytes, blob.size - header.offset)
        array = blob.array(header.dtype, header.offset, header.shape, header.order)
        return Source(blob.name, header.typed(numeric(array, blob.name, text=text)))


def open_npy(blob: Blob) -> ArrayFile:
    """Return the container of an NPY file."""
    return ArrayFile(blob)


def write_npy(stream: BinaryIO, array: Array, columns: Sequence[str]) -> None:  # noqa: ARG001 - the table's signature
    """Write an array as NPY, in C order."""
    # Not numpy's own, which writes real files through C's stdio and so fails on pipes.
    write_header(stream, array.dtype, array.shape)
    stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def write_header(stream: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Write the header of an array in C order."""
    form = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, form)
