"""Where slopes and per-row losses go: arrays in memory, or files that every worker writes its own rows of."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from losscli.errors import UsageError
from losscli.files import create_array, keep_array
from losscli.files.row_file import RowFile, RowFiles
from losscli.files.shards import ShardPlaces
from losscli.files.source import Source
from losscli.files.views import Shards
from losscli.results import Result

if TYPE_CHECKING:
    from losscli.checkpoint import Checkpoint

# The end of the name of each file in a folder.
_ENDS = {"gradient": ".grad.npy", "hessian": ".hess.npy", "per_sample": ".per-sample.npy"}


@dataclass(frozen=True)
class Needs:
    """What an engine asks of outputs: files, because others write them, and files that outlive a failure."""

    files: bool = False
    lasting: bool = False


class Rows:
    """Room for outputs, as evaluate asks for it; a context whose good end gives the files their names.

    ``files`` maps outputs to what the user wrote, ``sources`` to the source whose shape they have.
    """

    def __init__(
        self, files: Mapping[str, str], sources: Mapping[str, Source], needs: Needs, checkpoint: Checkpoint | None
    ) -> None:
        self._files = files
        self._sources = sources
        self._needs = needs
        self._checkpoint = checkpoint
        self._stack = ExitStack()
        self._readable: dict[str, Any] = {}
        self.saved: dict[str, str] = {}

    def __enter__(self) -> Rows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def allocate(self, name: str, shape: tuple[int, ...]) -> Any:
        """Room for one output: see Allocate in evaluate.py."""
        path = self._files.get(name)
        if path is not None and in_folder(path):
            return self._shards(name, path, shape)
        if path is not None and path.lower().endswith(".npy"):
            self.saved[name] = path
            return self._file(name, path, shape)
        if self._needs.lasting:
            word = "--" + {"gradient": "grad", "hessian": "hess"}.get(name, "per-sample")
            message = f"{word} must go to a .npy file: with --scheduler or --resume its rows are written as they come"
            raise UsageError("output-shared", message)
        if not self._needs.files:
            return np.zeros(shape)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="losscli-"))
        return self._file(name, f"{folder}/{name}.npy", shape)

    def readable(self, result: Result) -> Result:
        """The result with arrays that can be read in the place of files that were written."""
        return replace(result, **self._readable)

    def _file(self, name: str, path: str, shape: tuple[int, ...]) -> Any:
        mapped = self._opened(path, shape)
        self._readable[name] = mapped
        return RowFile.of(mapped) if isinstance(mapped, np.memmap) else mapped

    def _shards(self, name: str, folder: str, shape: tuple[int, ...]) -> RowFiles:
        """A file for each file of the source."""
        source = self._sources[name]
        parts = [(source.name, shape[0] if shape else 1)]
        if isinstance(source.array, Shards) and isinstance(source.locate, ShardPlaces):
            lengths = np.diff(source.array.starts).tolist()
            parts = [(each.name, length) for each, length in zip(source.locate.sources, lengths, strict=True)]
        paths = [Path(folder, stem_of(part) + _ENDS[name]) for part, _ in parts]
        if any(Path(part).parent.resolve() == Path(folder).resolve() for part, _ in parts):
            message = f"{folder} holds the data: what is read from it next would be slopes too"
            raise UsageError("output-is-input", message, hint="name another folder")
        if len(set(paths)) < len(paths):
            raise UsageError("output-twice", f"two files of {source.name} have the same name", hint="rename one")
        if not shape or sum(length for _, length in parts) != shape[0]:
            raise UsageError("output-shared", f"{name} has no row for each row of {source.name}")
        Path(folder).mkdir(exist_ok=True)
        mapped = [self._opened(str(path), (length, *shape[1:])) for path, (_, length) in zip(paths, parts, strict=True)]
        self.saved[name] = folder
        self._readable[name] = Shards(mapped)
        return RowFiles([RowFile.of(array) for array in mapped])

    def _opened(self, path: str, shape: tuple[int, ...]) -> Any:
        if self._checkpoint is None:
            return self._stack.enter_context(create_array(path, shape))
        again = self._checkpoint.wrote
        if again and not Path(f"{path}.part").exists():
            message = f"{path}.part is gone, and with it rows that are finished"
            raise UsageError("checkpoint-other", message, hint=f"delete {self._checkpoint.path} to begin again")
        return self._stack.enter_context(keep_array(path, shape, again=again))


def in_folder(path: str) -> bool:
    """Whether what the user named is a folder, there or to be made."""
    return path.endswith("/") or Path(path).is_dir()


def stem_of(path: str) -> str:
    """The name of a file without its folder and its suffixes; that of what was piped in is stdin."""
    return Path(path.partition("::")[0]).name.strip("<>").partition(".")[0]
