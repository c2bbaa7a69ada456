"""Readers and writers of data files: one module per format, one table that names them."""

from losscli.files.bundle import BUNDLES, text_of_arrays, write_arrays
from losscli.files.choose import gather, open_source
from losscli.files.formats import FORMATS, Format, write_array
from losscli.files.source import Source
from losscli.files.whole import create_array, keep_array, write_whole

__all__ = [
    "BUNDLES",
    "FORMATS",
    "Format",
    "Source",
    "create_array",
    "gather",
    "keep_array",
    "open_source",
    "text_of_arrays",
    "write_array",
    "write_arrays",
    "write_whole",
]
