"""NPZ: a zip of NPY arrays with names."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from losscli.errors import DataError, Place, did_you_mean
from losscli.files.blob import Blob, listed
from losscli.files.npy import Header, numeric, read_header, truncated
from losscli.files.source import Array, Source
from losscli.files.spool import SMALL, Spooled

# An array of zeros deflates about a thousandfold, so a ratio alone convicts nobody: below FREE bytes any ratio passes.
MAX_TOTAL = 64 << 30
MAX_RATIO = 200
FREE = 1 << 30

_DAMAGE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, KeyError, EOFError, ValueError, OSError)


@dataclass(frozen=True)
class Archive:
    """An NPZ file: arrays with names."""

    blob: Blob
    members: dict[str, zipfile.ZipInfo]

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the arrays, in the order of the file."""
        return tuple(self.members)

    def find(self, name: str) -> str | None:
        """Return the name itself, if an array has it."""
        return name if name in self.members else None

    def whole(self, *, text: bool) -> Source:
        """Return the only array; an error where there are several."""
        if len(self.members) == 1:
            return self.select(self.keys[0], text=text)
        raise DataError(
            "container-key",
            f"the file holds {len(self.members)} arrays: {listed(self.keys)}",
            place=Place(self.blob.name),
            hint=f"choose one: {self.blob.name}::{self.keys[0]}",
        )

    def select(self, selector: str, *, text: bool) -> Source:
        """Return the array called ``selector``."""
        name = f"{self.blob.name}::{selector}"
        if selector not in self.members:
            raise DataError(
                "selector",
                f"no array {selector!r}; there are: {listed(self.keys)}",
                place=Place(self.blob.name),
                hint=did_you_mean(selector, self.keys),
            )
        with self.blob.open() as stream:
            try:
                with zipfile.ZipFile(stream) as archive, archive.open(self.members[selector]) as member:
                    header = read_header(member, name, self.blob.dtype)  # type: ignore[arg-type]
                    array = _numbers(member, header, self.members[selector].file_size, name)  # type: ignore[arg-type]
            except _DAMAGE as error:
                raise _damaged(name, error) from None
        return Source(name, header.typed(numeric(array, name, text=text)))


def _numbers(member: BinaryIO, header: Header, size: int, name: str) -> Array:
    if size < header.offset + header.nbytes:
        raise truncated(name, header.nbytes, size - header.offset)
    if header.nbytes > SMALL:
        return _spooled(member, header, name)
    data = member.read(header.nbytes)
    # The zip's checksum is compared only when the last byte has been read.
    if len(data) < header.nbytes or member.read(1):
        raise truncated(name, header.nbytes, len(data))
    return header.array(data)


def _spooled(member: BinaryIO, header: Header, name: str) -> Array:
    # Stored arrays too, though a map could reach them where they are: only reading them compares the checksum.
    spooled = Spooled(name, member.read(SMALL), member)
    if spooled.size != header.nbytes:
        raise truncated(name, header.nbytes, spooled.size)
    return Blob(name, spooled=spooled).array(header.dtype, 0, header.shape, header.order)


def _damaged(name: str, error: Exception) -> DataError:
    reason = str(error) or type(error).__name__
    return DataError("npz-damaged", f"the zip is damaged: {reason[:200]}", place=Place(name))


def open_npz(blob: Blob) -> Archive:
    """Return the container of an NPZ file."""
    with blob.open() as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                infos = archive.infolist()
        except _DAMAGE as error:
            raise _damaged(blob.name, error) from None
    _guard(infos, blob.name)
    arrays = [info for info in infos if info.filename.endswith(".npy")]
    members = {info.filename.removesuffix(".npy"): info for info in arrays}
    if len(members) < len(arrays):
        raise DataError("npz-damaged", "two arrays have the same name", place=Place(blob.name))
    if not members:
        raise _no_arrays(infos, blob.name)
    return Archive(blob, members)


def _guard(infos: list[zipfile.ZipInfo], name: str) -> None:
    total = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    if total > MAX_TOTAL or (total > FREE and total > MAX_RATIO * max(packed, 1)):
        raise DataError(
            "npz-bomb",
            f"the zip declares {total} bytes out of {packed}, which looks like an attack",
            place=Place(name),
            hint="save large arrays as .npy",
        )


def _no_arrays(infos: list[zipfile.ZipInfo], name: str) -> DataError:
    if any(info.filename.endswith(".pkl") for info in infos):
        return DataError(
            "npy-pickle",
            "a torch file (a pickle), which can run code when opened and is not read",
            place=Place(name),
            hint="convert it once: np.save('new.npy', torch.load(path).numpy())",
        )
    return DataError("npz-key", "the zip holds no .npy arrays", place=Place(name))
