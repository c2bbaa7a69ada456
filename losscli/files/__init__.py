"""Readers and writers of data files: one module per format, one table that names them."""

from losscli.files.choose import gather, keys_of, open_source
from losscli.files.formats import FORMATS, Format, write_array
from losscli.files.source import Source
from losscli.files.whole import create_array, keep_array, write_whole

__all__ = [
    "FORMATS",
    "Format",
    "Source",
    "create_array",
    "gather",
    "keep_array",
    "keys_of",
    "open_source",
    "write_array",
    "write_whole",
]
