"""Sources of any size: flat memory, the same numbers by every way of reading, nothing left behind."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from losscli.errors import DataError, LosscliError, OutputError
from losscli.files import create_array, open_source
from losscli.files.views import View

QUICK = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def spooling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every array of more than 64 bytes counts as large; the folder for temporary files."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    for module in ("spool", "blob", "npz", "columns"):
        monkeypatch.setattr(f"losscli.files.{module}.SMALL", 64)
    return folder


def is_mapped(array: object) -> bool:
    return isinstance(array, np.memmap) or isinstance(getattr(array, "base", None), np.memmap)


# --- delimited text of any size ---------------------------------------------------------------------------------------


def test_a_large_table_is_mapped_and_leaves_no_file(spooling: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("losscli.files.dialect.BLOCK", 100)
    table = np.random.default_rng(0).normal(size=(200, 3))
    lines = ["a,b,c", *(",".join(map(repr, row)) for row in table.tolist())]
    lines.insert(150, "")
    for text in ("\n".join(lines), "\r\n".join(lines) + "\r\n", "\r".join(lines)):
        source = open_source("-", stdin=io.BytesIO(text.encode()))
        assert is_mapped(source.array)
        assert not source.array.flags.writeable
        np.testing.assert_array_equal(source.array, table)
        assert [str(source.place((row, 2))) for row in (0, 148, 149, 199)] == [
            f"<stdin>:{line}:3" for line in (2, 150, 152, 202)
        ]
    assert list(spooling.iterdir()) == []


@pytest.mark.usefixtures("spooling")
def test_a_large_column_of_words_is_read_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("losscli.files.dialect.BLOCK", 100)
    words = [f"class {i % 7}" for i in range(500)]
    source = open_source("-::label", text=True, stdin=io.BytesIO(("id,label\n" + "\n".join(
        f"{i},{word}" for i, word in enumerate(words))).encode()))  # fmt: skip
    assert isinstance(source.array, View)
    assert source.shape == (500,)
    assert source.array[10:20].tolist() == words[10:20]
    assert source.array[np.array([499, 3, -1])].tolist() == [words[499], words[3], words[499]]
    assert np.asarray(source.array).tolist() == words


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".csv.gz"])
def test_large_data_on_a_pipe_are_kept_in_a_file_without_a_name(spooling: Path, suffix: str) -> None:
    array = np.random.default_rng(1).normal(size=(40, 2))
    stream = io.BytesIO()
    if suffix == ".npy":
        np.save(stream, array)
    elif suffix == ".npz":
        np.savez(stream, x=array)
    else:
        text = "\n".join(",".join(map(repr, row)) for row in array.tolist()).encode()
        stream.write(gzip.compress(text) if suffix == ".csv.gz" else text)
    source = open_source("-", stdin=io.BytesIO(stream.getvalue()))
    assert is_mapped(source.array)
    np.testing.assert_array_equal(source.array, array)
    assert list(spooling.iterdir()) == []


@pytest.mark.usefixtures("spooling")
def test_a_damaged_archive_of_large_arrays_is_refused() -> None:
    stream = io.BytesIO()
    np.savez(stream, x=np.ones(1000))
    data = bytearray(stream.getvalue())
    data[4000] ^= 1
    with pytest.raises(DataError) as caught:
        open_source("-", stdin=io.BytesIO(bytes(data)))
    assert caught.value.code == "npz-damaged"


def test_a_full_disk_is_told(spooling: Path) -> None:
    spooling.rmdir()
    with pytest.raises(DataError) as caught:
        open_source("-", stdin=io.BytesIO(b"1,2\n" * 100))
    assert caught.value.code == "spool-write"
    assert str(spooling) in caught.value.message


PEAK = """
import resource, sys
from losscli.files import create_array, open_source
if sys.argv[2] == "base":
    import losscli.files.arrow_csv as arrow
    arrow.installed = lambda: False
else:
    import pyarrow.csv
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = open_source(sys.argv[1])
assert source.shape == (8_000_000, 2)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
@pytest.mark.parametrize("way", ["base", "arrow"])
def test_memory_is_flat(tmp_path: Path, way: str) -> None:
    path = tmp_path / "x.csv"
    with path.open("w") as stream:
        for _ in range(80):
            stream.write("1,2\n" * 100_000)
    peak = subprocess.run([sys.executable, "-c", PEAK, path, way], check=True, capture_output=True, text=True).stdout
    assert int(peak) < 80  # MiB; the array takes 122


# --- two parsers, one language ----------------------------------------------------------------------------------------

NUMBERS = r"1.5 +1 .5 5. 1e5 1E+5 4.9e-324 2.4703282292062328e-324 1.7976931348623159e308 12345678901234567890.123e-5"
SPECIAL = r"inf -Infinity nan NaN -nan nan(1) 1e999 -1e999"
WORDS = '1e 1_0 0x1F 1d5 \u22121 \u0661 NA null true 5% # 1;2 1,2 \\1 \'1\' "1" " 1" é'
BLANKS = ["", " ", "1 ", " 1", "\t1", "\x0b1", "1\xa0", "1\r", "\x001"]
LONG = ["0" * 400, "1" * 309, "0." + "0" * 330 + "1"]
CELLS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from([*NUMBERS.split(), *SPECIAL.split(), *WORDS.split(), *BLANKS, *LONG]),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(st.integers(-99, 99).map(lambda n: str(n / 8)), min_size=width, max_size=width),
                         min_size=1, max_size=6))  # fmt: skip
    for _ in range(draw(st.integers(0, 2))):
        row = rows[draw(st.integers(0, len(rows) - 1))]
        if draw(st.integers(0, 5)) == 0:
            row.append("7")
        else:
            row[draw(st.integers(0, len(row) - 1))] = draw(CELLS)
    lines = [draw(st.sampled_from([",", ",", ",", ", "])).join(row) for row in rows]
    if draw(st.integers(0, 5)) == 0:
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(["", " ", "\t", ","])))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    text = end.join(lines) + draw(st.sampled_from(["", end, end + end]))
    chosen = draw(st.lists(st.integers(0, width - 1), max_size=3, unique=True))
    return draw(st.sampled_from([b"", b"a,b,c,d\n"])) + text.encode(), chosen


def outcome(data: bytes, chosen: list[int]) -> object:
    spec = "-::" + ",".join(map(str, chosen)) if chosen else "-"
    try:
        source = open_source(spec, stdin=io.BytesIO(data))
    except LosscliError as error:
        return error.code, error.message, error.place, error.hint
    array = np.asarray(source.array)
    places = [source.place((row,)).line for row in range(len(array))]
    return array.shape, np.where(np.isnan(array), 0x7FF8 << 48, array.view("u8")).tolist(), source.columns, places


@QUICK
@given(table=tables(), block=st.sampled_from([8, 40, 1 << 20]))
def test_both_parsers_read_and_refuse_the_same(table: tuple[bytes, list[int]], block: int) -> None:
    pytest.importorskip("pyarrow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("losscli.files.dialect.BLOCK", block)
        patch.setattr("losscli.files.columns.BLOCK", 0)
        fast = outcome(*table)
        patch.setattr("losscli.files.arrow_csv.installed", lambda: False)
        assert fast == outcome(*table)
        # One line at a time, the way errors are located, is the language that both have to speak.
        patch.setattr("losscli.files.columns.base", lambda *_: None)
        assert fast == outcome(*table)


def test_pyarrow_is_put_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("losscli.files.columns.BLOCK", 0)
    monkeypatch.setattr("losscli.files.columns.base", lambda *_: pytest.fail("the base parser was called"))
    source = open_source("-::c,a", stdin=io.BytesIO(b"a,b,c\n1,x,0.1\n2,y,1e-5\n"))
    assert source.array.tolist() == [[0.1, 1], [1e-5, 2]]


# --- arrays written piece by piece ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (4, 3), (), (0, 3)])
def test_an_array_is_filled_in_on_disk(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "x.npy"
    path.write_text("old")
    path.chmod(0o640)
    values = np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape)
    with create_array(path, shape) as array:
        assert not array.any()
        if values.size:
            np.memmap(array.filename, "f8", "r+", array.offset, shape)[...] = values  # as another process would
        assert path.read_text() == "old"
    np.testing.assert_array_equal(np.load(path), values)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npy"]


def test_an_array_that_is_not_finished_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), create_array(path, (3,)):
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npy"]
    with pytest.raises(OutputError) as caught, create_array(tmp_path / "y.npy", (1 << 58,)):
        pytest.fail("there is no such disk")
    assert caught.value.code == "output-write"
    with pytest.raises(OutputError, match="no such folder"), create_array(tmp_path / "no" / "y.npy", (1,)):
        pytest.fail("there is no such folder")


def test_an_array_goes_through_a_pipe_when_it_is_finished(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        data = pool.submit(pipe.read_bytes)
        with create_array(pipe, (3,)) as array:
            array[:] = [1, 2, 3]
        assert np.load(io.BytesIO(data.result())).tolist() == [1, 2, 3]
