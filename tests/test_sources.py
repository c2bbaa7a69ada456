"""Sources of any size: flat memory, the same numbers by every way of reading, nothing left behind."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from losscli.cli import run
from losscli.errors import DataError, LosscliError, OutputError, Place
from losscli.files import create_array, gather, open_source, write_array
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
from losscli.files import create_array, gather, open_source, write_array
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


def test_a_blank_line_at_the_end_of_a_block_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("losscli.files.dialect.BLOCK", 8)
    monkeypatch.setattr("losscli.files.columns.BLOCK", 0)
    source = open_source("-", stdin=io.BytesIO(b"1.5,2.5\n\n3.5,4.5\n5.5,6.5"))
    assert [source.place((row,)).line for row in range(3)] == [1, 3, 4]


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


# --- shards ----------------------------------------------------------------------------------------------------------


def sharded(folder: Path, suffix: str, table: np.ndarray, cuts: list[int]) -> None:
    for number, part in enumerate(np.split(table, cuts)):
        path = folder / f"part-{number}{suffix}"
        if suffix == ".npz":
            np.savez(path, x=part)
        elif suffix == ".csv":
            write_array(path, part, columns=["a", "b"])
        else:
            write_array(path, part)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".json"])
@pytest.mark.parametrize("spec", ["{}", "{}/part-*", "{}/part-[0-9]*"])
@pytest.mark.parametrize("small", [64, 1 << 20])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.one_of(st.slices(20), st.lists(st.integers(-20, 19)).map(lambda at: np.array(at, dtype=int))))
def test_shards_are_one_long_array(tmp_path: Path, suffix: str, spec: str, small: int, at: slice | np.ndarray) -> None:
    table = np.random.default_rng(2).normal(size=(20, 2))
    folder = tmp_path / f"{suffix}{small}{len(spec)}"
    if not folder.exists():
        folder.mkdir()
        sharded(folder, suffix, table, [3, 4, 11])
        (folder / "_SUCCESS").touch()
    with pytest.MonkeyPatch.context() as patch:
        for module in ("shards", "spool"):
            patch.setattr(f"losscli.files.{module}.SMALL", small)
        source = open_source(spec.format(folder))
    array = source.array
    assert (array.shape, array.dtype, array.ndim, array.size, len(array)) == ((20, 2), table.dtype, 2, 40, 20)
    np.testing.assert_array_equal(array[at], table[at])
    np.testing.assert_array_equal(np.asarray(array), table)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).array[at], table[at])
    place = source.place((4, 1))
    assert place.file.startswith(str(folder / f"part-2{suffix}"))
    assert place.line == 2 if suffix == ".csv" else place.index == (0, 1)


def test_a_selector_holds_for_every_shard(tmp_path: Path) -> None:
    sharded(tmp_path, ".csv", np.arange(8.0).reshape(4, 2), [1])
    source = open_source(f"{tmp_path}/*.csv::b")
    assert source.array[:].tolist() == [1, 3, 5, 7]
    assert str(source.place((2,))) == f"{tmp_path}/part-1.csv:3:2"
    found = gather([str(tmp_path)], ["a", "b"])
    assert found["a"].array[np.array([3, 0])].tolist() == [6, 0]


def test_class_names_may_be_longer_in_later_shards(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("label\ncat\ndog\n")
    (tmp_path / "b.csv").write_text("label\nelephant\ncat\n")
    source = open_source(str(tmp_path), text=True)
    assert source.array[1:3].tolist() == ["dog", "elephant"]
    assert source.dtype == np.dtype("U8")


@pytest.mark.parametrize(
    ("name", "save", "word"),
    [
        ("b.npy", lambda path: np.save(path, np.ones((2, 3))), "(3,)"),
        ("b.npy", lambda path: np.save(path, np.ones((2, 2), "f4")), "float32"),
        ("b.npy", lambda path: np.save(path, 1.0), "single number"),
        ("c.csv", lambda path: path.write_text("1,2\n3,4\n"), "another format"),
    ],
)
def test_a_shard_that_does_not_fit_is_named(
    tmp_path: Path, name: str, save: Callable[[Path], object], word: str
) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 2)))
    save(tmp_path / name)
    with pytest.raises(DataError) as caught:
        open_source(f"{tmp_path}/*")
    assert caught.value.code == "shards"
    assert caught.value.place.file == str(tmp_path / name)
    assert word in caught.value.message


def test_a_folder_of_this_and_that_is_no_source(tmp_path: Path) -> None:
    for name in ("a.csv", "b.npy"):
        write_array(tmp_path / name, np.ones(2))
    with pytest.raises(DataError, match="is a folder of files of more than one format") as caught:
        open_source(str(tmp_path))
    assert caught.value.code == "file-directory"


def test_shards_with_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("y,x\n1,2\n")
    with pytest.raises(DataError, match="columns y, x"):
        open_source(str(tmp_path))


def test_a_pattern_that_matches_nothing_and_a_file_called_like_one(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_source(f"{tmp_path}/x-*.npy")
    assert caught.value.code == "file-missing"
    np.save(tmp_path / "a[1].npy", np.ones(2))
    assert open_source(f"{tmp_path}/a[1].npy").shape == (2,)


# --- sources in other processes ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("spooling")
def test_a_source_is_pickled_as_the_way_to_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = np.random.default_rng(3).normal(size=(5000, 3))
    np.save("x.npy", table)
    np.savez("x.npz", x=table)
    write_array("x.csv", table, columns=["a", "b", "c"])
    for name in ("x.npy", "x.npz::x", "x.csv", "x.csv::a,b,c"):
        source = open_source(name)
        data = pickle.dumps(source)
        assert len(data) < 2000
        monkeypatch.chdir("/")  # as a worker may have been started anywhere
        again = pickle.loads(data)
        monkeypatch.chdir(tmp_path)
        np.testing.assert_array_equal(again.array, table)
        assert again.array is pickle.loads(data).array  # opened once
        assert (again.name, again.columns, again.place((7, 1))) == (source.name, source.columns, source.place((7, 1)))


def test_data_from_a_pipe_and_small_arrays_are_pickled_by_value() -> None:
    source = pickle.loads(pickle.dumps(open_source("-", stdin=io.BytesIO(b"a,b\n1,2\n\n3,4\n"))))
    assert source.array.tolist() == [[1, 2], [3, 4]]
    assert str(source.place((1, 0))) == "<stdin>:4:1"


def test_an_error_survives_its_way_home() -> None:
    for kind in (DataError, OutputError):
        error = pickle.loads(pickle.dumps(kind("a-code", "what", place=Place("x.csv", 3, 2), hint="do")))
        assert type(error) is kind
        assert (error.code, error.message, error.place, error.hint) == ("a-code", "what", Place("x.csv", 3, 2), "do")
        assert str(error) == "what"


# --- bfloat16 --------------------------------------------------------------------------------------------------------


def halves_of(table: np.ndarray) -> np.ndarray:
    return (table.astype("f4").view("u4") >> 16).astype("u2")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_bfloat16_is_read_when_it_is_said_to_be(tmp_path: Path, suffix: str) -> None:
    table = np.array([[1.5, -2.0, 0.15625], [np.inf, 3e38, 1e-40]], "f4")
    table = (table.view("u4") & 0xFFFF0000).view("f4")
    (np.save if suffix == ".npy" else np.savez)(tmp_path / "x", halves_of(table).view("V2"))
    path = str(tmp_path / f"x{suffix}")
    with pytest.raises(DataError, match="bfloat16") as caught:
        open_source(path)
    assert "--dtype bf16" in caught.value.hint
    source = open_source(path, dtype="bf16")
    assert isinstance(source.array, View)
    assert source.dtype == np.float32
    np.testing.assert_array_equal(source.array[1:], table[1:])
    np.testing.assert_array_equal(source.array[np.array([1, 0])], table[::-1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).array[:], table)


# --- safetensors ------------------------------------------------------------------------------------------------------


def tensors(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


@pytest.mark.parametrize("kind", ["?", "u1", "i1", "i2", "i4", "i8", "u8", "f2", "f4", "f8"])
def test_what_safetensors_writes_is_mapped(tmp_path: Path, kind: str) -> None:
    written = pytest.importorskip("safetensors.numpy")
    table = np.arange(12).reshape(4, 3).astype(kind)
    written.save_file({"logits": table, "label": np.arange(4)}, tmp_path / "x.safetensors", {"made": "by hand"})
    found = gather([str(tmp_path / "x.safetensors")], ["logits", "label"])
    assert is_mapped(found["logits"].array)
    assert found["logits"].dtype == table.dtype
    np.testing.assert_array_equal(found["logits"].array, table)
    piped = open_source("-::label", stdin=io.BytesIO((tmp_path / "x.safetensors").read_bytes()))
    assert piped.array.tolist() == [0, 1, 2, 3]
    with pytest.raises(DataError, match="no tensor 'lable'"):
        open_source(f"{tmp_path}/x.safetensors::lable")


def test_bfloat16_tensors_are_widened_slice_by_slice(tmp_path: Path) -> None:
    table = np.array([[1.5, -2.0], [0.0, -0.0], [np.nan, 1e-39]], "f4")
    table = (table.view("u4") & 0xFFFF0000).view("f4")
    header = {"x": {"dtype": "BF16", "shape": [3, 2], "data_offsets": [0, 12]}}
    (tmp_path / "x.safetensors").write_bytes(tensors(header, halves_of(table).tobytes()))
    source = open_source(str(tmp_path / "x.safetensors"))
    assert isinstance(source.array, View)
    np.testing.assert_array_equal(source.array[1:3].view("u4"), table[1:3].view("u4"))


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (tensors({"a": ENTRY}, bytes(7)), "7 for them"),
        (tensors({"a": ENTRY}, bytes(9)), "9 for them"),
        (tensors({"a": ENTRY, "b": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)), "starts at byte 4"),
        (tensors({"a": ENTRY, "b": {**ENTRY, "data_offsets": [9, 17]}}, bytes(17)), "starts at byte 9"),
        (tensors({"a": {**ENTRY, "shape": [3]}}, bytes(8)), "8 bytes for shape"),
        (tensors({"a": {**ENTRY, "shape": [-2]}}, bytes(8)), "damaged"),
        (tensors({"a": {**ENTRY, "shape": [1.5]}}, bytes(8)), "damaged"),
        (tensors({"a": {"dtype": "F32"}}, bytes(8)), "damaged"),
        (tensors({"a": 3}), "damaged"),
        (tensors([1]), "no JSON object"),
        (tensors(b"{" * 100_000), "no JSON"),
        (tensors(b'{"a": 1, "a": 1}'), "twice"),
        (tensors({}, length=1 << 60), "claims"),
        (tensors({}, length=100), "claims"),
        (b"abc", "claims"),
    ],
)
def test_damaged_tensors_are_refused(tmp_path: Path, data: bytes, word: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(DataError, match=word) as caught:
        open_source(f"{tmp_path}/x.safetensors::a")
    assert caught.value.code == "safetensors-header"


def test_numbers_that_numpy_does_not_have_are_refused_by_name(tmp_path: Path) -> None:
    header = {"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    (tmp_path / "x.safetensors").write_bytes(tensors(header, bytes(2)))
    with pytest.raises(DataError, match="F8_E4M3"):
        open_source(str(tmp_path / "x.safetensors"))


def test_bfloat16_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "p.npy", halves_of(np.array([1.0, 3.0])).view("V2"))
    np.save(tmp_path / "t.npy", np.array([0.0, 1.0]))
    assert run(["compute", "mse", str(tmp_path / "p.npy"), str(tmp_path / "t.npy"), "--dtype", "bf16", "-q"]) == 0
    assert capsys.readouterr().out.split() == ["2.5"]


@pytest.mark.parametrize(("option", "value"), [("--sample-weight", "1.75"), ("--mask", "2.5")])
def test_bfloat16_of_weights_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    np.save(tmp_path / "p.npy", np.array([1.0, 3.0]))
    np.save(tmp_path / "t.npy", np.array([0.0, 1.0]))
    np.save(tmp_path / "w.npy", halves_of(np.array([3.0, 1.0])).view("V2"))
    files = [str(tmp_path / f"{name}.npy") for name in "ptw"]
    assert run(["compute", "mse", *files[:2], option, files[2], "--dtype", "bf16", "-q"]) == 0
    assert capsys.readouterr().out.split() == [value]


# --- Parquet, Arrow, JSON lines ---------------------------------------------------------------------------------------


def columnar(folder: Path, suffix: str, columns: dict[str, object]) -> str:
    import pyarrow as pa
    from pyarrow import feather, parquet

    table = pa.table(columns)
    path = folder / f"x{suffix}"
    if suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=7)
    elif suffix == ".feather":
        feather.write_feather(table, path, chunksize=7)
    else:
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table, max_chunksize=7)
    return str(path)


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
@pytest.mark.parametrize("fixed", [True, False])
def test_columnar_files_are_containers(tmp_path: Path, spooling: Path, suffix: str, fixed: bool) -> None:
    pa = pytest.importorskip("pyarrow")
    table = np.random.default_rng(5).normal(size=(20, 3)).astype("f4")
    lists = pa.array(table.tolist(), pa.list_(pa.float32(), 3) if fixed else pa.list_(pa.float32()))
    columns = {"logits": lists, "p_0": np.arange(20.0), "p_1": np.ones(20), "label": ["cat", "dog"] * 10}
    path = columnar(tmp_path, suffix, {**columns, "coded": pa.array(columns["label"]).dictionary_encode()})
    found = gather([path], ["logits", "p", "label", "coded"], text=["label", "coded"])
    np.testing.assert_array_equal(found["logits"].array, table)
    assert found["logits"].dtype == np.float32
    assert is_mapped(found["logits"].array)
    assert found["p"].array[:2].tolist() == [[0, 1], [1, 1]]
    assert found["p"].columns == ("p_0", "p_1")
    assert found["label"].array[:3].tolist() == found["coded"].array[:3].tolist() == ["cat", "dog", "cat"]
    assert str(found["p"].place((3, 1))) == f"{path}::p_*[3, 1]"
    piped = open_source("-::p_0", stdin=io.BytesIO(Path(path).read_bytes()))
    np.testing.assert_array_equal(piped.array, np.arange(20.0))
    assert list(spooling.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "code", "row"),
    [
        ([*[1.0] * 9, None], "arrow-null", 9),
        ([*[[1.0, 2.0]] * 9, [1.0]], "arrow-dtype", 9),
        ([*[[1.0, 2.0]] * 9, [1.0, None]], "arrow-null", 9),
        (["cat"] * 3, "arrow-dtype", None),
        ([{"a": 1}], "arrow-dtype", None),
    ],
)
def test_columns_that_are_no_arrays_are_refused(
    tmp_path: Path, values: list[object], code: str, row: int | None
) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError) as caught:
        open_source(columnar(tmp_path, ".parquet", {"x": values}))
    assert caught.value.code == code
    assert caught.value.place.index == (None if row is None else (row,))


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
def test_damaged_columnar_files_are_refused(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("pyarrow")
    data = Path(columnar(tmp_path, suffix, {"x": np.arange(1000.0)})).read_bytes()
    for cut in (9, 100, len(data) // 2):
        (tmp_path / f"y{suffix}").write_bytes(data[:cut])
        with pytest.raises(DataError) as caught:
            open_source(f"{tmp_path}/y{suffix}")
        assert caught.value.code == "arrow-damaged"


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("losscli.files.columnar.find_spec", lambda _: None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path / "x.parquet"))
    assert (caught.value.code, caught.value.hint) == ("extra-missing", "pip install 'losscli[arrow]'")


LINES = """{"logits": [0.5, 1], "label": "cat"}

{"label": "dog", "logits": [2, 3.5], "more": null}
"""


@pytest.mark.parametrize("block", [10, 1 << 20])
@pytest.mark.parametrize("name", ["x.jsonl", "x.data"])
def test_json_lines_are_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, name: str) -> None:
    monkeypatch.setattr("losscli.files.dialect.BLOCK", block)
    (tmp_path / name).write_text(LINES)
    found = gather([str(tmp_path / name)], ["logits", "label"], text=["label"])
    assert found["logits"].array.tolist() == [[0.5, 1], [2, 3.5]]
    assert found["label"].array[:].tolist() == ["cat", "dog"]
    assert str(found["logits"].place((1, 1))) == f"{tmp_path}/{name}:3"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"x": [1]}', "json-ragged"),
        ('{"x": 1}', "json-ragged"),
        ('{"x": [1, [2]]}', "json-ragged"),
        ('{"x": [1, null]}', "json-number"),
        ('{"x": [1, 1e999]}', "json-value"),
        ('{"y": [1, 2]}', "json-value"),
        ("[1, 2]", "json-value"),
        ('{"x": [1, 2]', "json-parse"),
        ('{"x": [1, 2], "x": 1}', "json-value"),
    ],
)
def test_the_line_of_a_fault_is_named(tmp_path: Path, line: str, code: str) -> None:
    (tmp_path / "x.jsonl").write_text('{"x": [1, 2]}\n' * 2000 + "\n" + line + "\n")
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path / "x.jsonl"))
    assert (caught.value.code, caught.value.place) == (code, Place(str(tmp_path / "x.jsonl"), 2002))


# --- URLs -------------------------------------------------------------------------------------------------------------


def test_urls_are_fetched_once(tmp_path: Path, spooling: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    table = np.random.default_rng(6).normal(size=(50, 2))
    stream = io.BytesIO()
    np.save(stream, table)
    memory = fsspec.filesystem("memory")
    memory.pipe("/data/x.npy", stream.getvalue())
    memory.pipe("/data/x.csv", b"a,b\n" + b"1,2\n" * 40)
    source = open_source("memory://data/x.npy")
    assert is_mapped(source.array)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).array, table)
    assert open_source("memory://data/x.csv::b").array.tolist() == [2] * 40
    np.save(tmp_path / "y.npy", table)
    np.testing.assert_array_equal(open_source(f"file://{tmp_path}/y.npy").array, table)
    assert list(spooling.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "code"), [("memory://no/such.csv", "file-missing"), ("nosuchthing://x/y.csv", "file-unreadable")]
)
def test_urls_that_lead_nowhere(url: str, code: str) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(DataError) as caught:
        open_source(url)
    assert (caught.value.code, caught.value.place) == (code, Place(url))


def test_urls_without_fsspec_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("losscli.files.remote.find_spec", lambda _: None)
    with pytest.raises(DataError) as caught:
        open_source("https://example.org/x.csv")
    assert (caught.value.code, caught.value.hint) == ("extra-missing", "pip install 'losscli[remote]'")


# --- rows joined by their ids -----------------------------------------------------------------------------------------


@pytest.fixture
def tables_of_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("p.csv").write_text("id,p_a,p_b\n007,1,2\n7,3,4\n9007199254740993,5,6\n")
    Path("t.csv").write_text("label,id\n2,9007199254740993\n\n0,007\n1,7\n")
    return tmp_path


@pytest.mark.usefixtures("tables_of_ids")
@pytest.mark.parametrize("specs", [["p.csv", "t.csv"], ["p.csv::p_*", "t.csv::label"]])
def test_rows_are_joined_by_their_ids_as_written(specs: list[str]) -> None:
    found = gather(specs, ["logits", "label"], id_col="id")
    assert found["logits"].array.tolist() == [[1, 2], [3, 4], [5, 6]]
    label = found["label"]
    assert isinstance(label.array, View)
    assert label.array[:].reshape(-1).tolist() == [0, 1, 2]
    assert label.array[np.array([2, 0])].reshape(-1).tolist() == [2, 0]
    assert [str(label.place((row,))) for row in range(3)] == ["t.csv:4:1", "t.csv:5:1", "t.csv:2:1"]
    assert pickle.loads(pickle.dumps(label)).array[1:].reshape(-1).tolist() == [1, 2]


@pytest.mark.usefixtures("tables_of_ids")
def test_formats_are_joined_with_each_other() -> None:
    np.savez("t.npz", id=np.array([3, 1, 2]), y=np.array([30, 10, 20]))
    Path("p.jsonl").write_text("".join(f'{{"id": {i}, "z": {i}.5}}\n' for i in (1, 2, 3)))
    Path("q").mkdir()
    Path("q/a.csv").write_text("id,z\n2,2.5\n")
    Path("q/b.csv").write_text("id,z\n3,3.5\n1,1.5\n")
    found = gather(["p.jsonl", "t.npz", "q"], ["a", "b", "c"], id_col="id")
    assert found["b"].array[:].tolist() == [10, 20, 30]
    assert found["c"].array[:].reshape(-1).tolist() == [1.5, 2.5, 3.5]
    assert str(found["c"].place((0,))) == "q/b.csv:3:2"


@pytest.mark.usefixtures("tables_of_ids")
@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("id,label\n7,1\n007,0\n7,2\n9007199254740993,0\n", "id-twice", "t.csv:4:1"),
        ("id,label\n7,1\n007,0\n9007199254740992,0\n", "id-missing", "p.csv:4:1"),
        ("id,label\n7,1\n007,0\n9007199254740993,0\nnew,1\n", "id-missing", "t.csv:5:1"),
        ("key,label\n7,1\n007,0\n9007199254740993,0\n", "id-column", "t.csv"),
    ],
)
def test_ids_that_do_not_pair_are_named(text: str, code: str, place: str) -> None:
    Path("t.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        gather(["p.csv", "t.csv"], ["logits", "label"], id_col="id")
    assert (caught.value.code, str(caught.value.place)) == (code, place)


def test_ids_on_the_command_line(tables_of_ids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("q.csv").write_text("id,p_a,p_b\n1,1,2\n2,3,4\n")
    Path("t.csv").write_text("id,label\n2,1\n1,0\n")
    assert run(["compute", "ce", "q.csv", "t.csv", "--id-col", "id", "-q"]) == 0
    joined = capsys.readouterr().out
    Path("t.csv").write_text("label\n0\n1\n")
    assert run(["compute", "ce", "q.csv::p_*", "t.csv", "-q"]) == 0
    assert capsys.readouterr().out == joined
