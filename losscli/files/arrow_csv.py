"""Delimited text through pyarrow, several times as fast: the same numbers, or none.

Whatever pyarrow refuses, and whatever it might read otherwise than numpy does (quotation marks, nan, infinities, which
may stand for numbers too large), is left to the base parser, so that language and errors are the same.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np

from losscli.files.dialect import Layout, line_count
from losscli.files.source import Array
from losscli.pages import keep_pages


def installed() -> bool:
    """Whether pyarrow is there."""
    return find_spec("pyarrow") is not None


def parsed(blocks: Iterable[bytes], layout: Layout, fields: Sequence[int]) -> Iterator[tuple[bytes, Array | None]]:
    """The blocks, in order, with their numbers: some of them are worked on at the same time, a bounded number."""
    from losscli.files.columns import base

    keep_pages()
    fast = parser(layout, fields)

    def work(data: bytes) -> Array | None:
        block = fast(data)
        return base(layout, fields, data) if block is None else block

    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        under_way: deque[tuple[bytes, Future[Array | None]]] = deque()
        for data in blocks:
            under_way.append((data, pool.submit(work, data)))
            if len(under_way) > workers:
                first, future = under_way.popleft()
                yield first, future.result()
        for first, future in under_way:
            yield first, future.result()


def parser(layout: Layout, fields: Sequence[int]) -> Callable[[bytes], Array | None]:
    """A function from a block of whole lines to its numbers, or to None where the base parser has to look."""
    import pyarrow as pa
    from pyarrow import csv

    names = [str(i) for i in range(layout.width)]
    chosen = [names[field] for field in fields]
    form = csv.ParseOptions(delimiter=layout.delimiter, quote_char=False, double_quote=False, ignore_empty_lines=False)
    kinds = csv.ConvertOptions(
        column_types=dict.fromkeys(chosen, pa.float64()), include_columns=chosen, null_values=[], check_utf8=False
    )

    def parse(data: bytes) -> Array | None:
        # A line end at the very end stands before a blank line, which pyarrow does not see.
        if b'"' in data or data.endswith(b"\n"):
            return None
        reading = csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names)
        try:
            table = csv.read_csv(pa.BufferReader(data), reading, form, kinds)
        except (pa.ArrowException, ValueError, KeyError, TypeError, OSError):
            return None
        # A file of one column has its empty lines skipped whatever the options say.
        if layout.width == 1 and table.num_rows != line_count(data):
            return None
        block = np.empty((table.num_rows, len(fields)))
        start = 0
        for batch in table.to_batches():
            for at, column in enumerate(batch.columns):
                block[start : start + batch.num_rows, at] = column.to_numpy(zero_copy_only=True)
            start += batch.num_rows
        return block if np.isfinite(block).all() else None

    return parse
