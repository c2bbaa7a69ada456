"""Files behind URLs, through fsspec."""

from __future__ import annotations

from importlib.util import find_spec

from losscli.errors import DataError, LosscliError, Place
from losscli.files.blob import Blob, blob_of


def fetch(url: str) -> Blob:
    """Return the bytes behind a URL, fetched once: in memory where they are few, else in a temporary file."""
    if find_spec("fsspec") is None:
        message = "reading a URL takes fsspec, which is not installed"
        raise DataError("extra-missing", message, place=Place(url), hint="pip install 'losscli[remote]'")
    import fsspec

    try:
        with fsspec.open(url, "rb") as stream:
            return blob_of(url, stream)
    except LosscliError:
        raise
    except FileNotFoundError:
        raise DataError("file-missing", f"nothing is at {url!r}", place=Place(url)) from None
    except ImportError as error:
        # Each file system has a package of its own, which fsspec names.
        raise DataError("extra-missing", str(error), place=Place(url)) from None
    except Exception as error:  # noqa: BLE001 - every file system has failures of its own
        reason = str(error) or type(error).__name__
        raise DataError("file-unreadable", f"cannot read: {reason[:200]}", place=Place(url)) from None
