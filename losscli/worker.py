"""What a worker does with a batch of blocks, and the form in which work travels to it."""

from __future__ import annotations

import io
import pickle
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from operator import add, eq
from typing import Any

import numpy as np

from losscli import __version__
from losscli.columns import Spans
from losscli.errors import ClusterError, DataError, LosscliError
from losscli.files.choose import forget
from losscli.inputs import Signature
from losscli.loss import Loss, catalogue, get
from losscli.pages import keep_pages


def versions() -> dict[str, str]:
    """What must be the same on every machine for the bits to be: releases, and how numpy's functions round here."""
    x = np.linspace(-30.0, 30.0, 1001)
    rounded = zlib.crc32(b"".join(f(x).tobytes() for f in (np.exp, np.expm1, np.tanh)))
    rounded = zlib.crc32(np.log1p(x[500:]).tobytes() + np.log(x[501:]).tobytes(), rounded)
    return {"losscli": __version__, "numpy": np.__version__, "rounding": f"{rounded:08x}"}


def short(batch: tuple[Any, ...]) -> Sequence[Any]:
    """A batch in fewer bytes, where its blocks follow each other: thousands of them wait in the scheduler at once."""
    start, stop = batch[0][0], batch[-1][1]
    run = Spans(start, stop, max(1, batch[0][1] - start))
    return run if len(run) == len(batch) and all(map(eq, run, batch)) else batch


def add_up(items: Iterable[Any], packed: bytes, job: str) -> Any:
    """On a worker: the sum of the batch, or the error that its data make, which another try would not mend."""
    try:
        work = _unpacked(packed, job)
        made = reduce(add, map(work, items))
        if hasattr(work, "flush"):
            work.flush()
    except LosscliError as error:
        return error
    except OSError as error:
        # Raised, not returned: another try may well succeed.
        raise DataError("file-unreadable", f"a worker cannot read: {error.strerror or error}") from None
    return made


@lru_cache(maxsize=2)
def _unpacked(packed: bytes, job: str) -> Any:
    _begin(job)
    try:
        return pickle.loads(packed)
    except (OSError, DataError) as error:
        raise ClusterError("cluster-file", f"a worker cannot open what this machine can: {error}") from None


@lru_cache(maxsize=1)
def _begin(_: str) -> None:
    """Once for each job: a worker lives on, and its maps would still show files that were replaced since."""
    forget()
    keep_pages()


def pack(work: Any) -> bytes:
    """The work as bytes: what has a name goes by its name, and a file by its path."""
    import cloudpickle

    families = {entry.reads.name: entry.reads for entry in catalogue().values()}

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, Loss) and catalogue().get(obj.name) is obj:
                return get, (obj.name,)
            if isinstance(obj, Signature) and families.get(obj.name) is obj:
                return _family, (obj.name,)
            return super().reducer_override(obj)

    stream = io.BytesIO()
    Pickler(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(work)
    return stream.getvalue()


def _family(name: str) -> Signature:
    return next(entry.reads for entry in catalogue().values() if entry.reads.name == name)
