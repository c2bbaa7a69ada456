"""What users rely on when they hand a file to losscli: exact bits, located errors, no traceback, no torn output."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import stat
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from losscli.errors import DataError, LosscliError, OutputError, UsageError
from losscli.files import FORMATS, Source, gather, open_source, write_array, write_whole

DOUBLES = st.floats(width=64, allow_nan=True, allow_infinity=True)
TABLES = hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=6), elements=DOUBLES)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def piped(data: str | bytes, selector: str = "", *, text: bool = False) -> Source:
    raw = data.encode() if isinstance(data, str) else data
    return open_source(f"-::{selector}" if selector else "-", text=text, stdin=io.BytesIO(raw))


def refused(data: str | bytes, selector: str = "", *, text: bool = False) -> LosscliError:
    with pytest.raises(LosscliError) as caught:
        piped(data, selector, text=text)
    return caught.value


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    """Equal in every bit, the sign of zero included; one nan is as good as another."""
    nan = np.isnan(left) & np.isnan(right)
    return left.shape == right.shape and bool((nan | (left.view("u8") == right.view("u8"))).all())


# --- numbers survive -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [suffix for row in FORMATS if row.write for suffix in row.suffixes])
@QUICK
@given(array=TABLES)
def test_what_is_written_reads_back_bit_for_bit(tmp_path: Path, suffix: str, array: np.ndarray) -> None:
    path = tmp_path / f"array{suffix}"
    write_array(path, array)
    back = open_source(str(path)).array
    table = suffix not in (".npy", ".json")
    # A table of one column is one axis: the only shape that a table cannot tell.
    expected = array[:, 0] if table and array.ndim == 2 and array.shape[1] == 1 else array
    assert same_bits(np.asarray(back, np.float64), expected)


HARD = [
    *["4.9e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "1.7976931348623158e308", "9007199254740993"],
    *[
        "-0.0",
        "0.1",
        "1e-8",
        "5e-325",
        ".5",
        "5.",
        "+1E5",
        "2.4703282292062327208e-324",
        "012",
        "123456789012345678901",
    ],
]


@pytest.mark.parametrize("form", ["{}\n{}\n", "[[{}],\n[{}]]", "- {}\n- {}\n"], ids=["csv", "json", "yaml"])
@pytest.mark.parametrize("literal", HARD)
def test_decimal_literals_are_read_to_the_nearest_double(form: str, literal: str) -> None:
    if form.startswith("[[") and (literal[0] in "+." or literal.endswith(".") or literal == "012"):
        pytest.skip("JSON has no such literal")
    array = piped(form.format(literal, "0.5")).array.astype(np.float64).reshape(2)
    assert same_bits(array, np.array([float(literal), 0.5]))


def test_non_finite_json_is_strict(tmp_path: Path) -> None:
    write_array(tmp_path / "x.json", np.array([[np.nan, np.inf], [-np.inf, 1.0]]))
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == [["NaN", "Infinity"], ["-Infinity", 1.0]]
    bare = piped("[[NaN, Infinity], [-Infinity, 1.0]]").array
    assert same_bits(bare, open_source(str(tmp_path / "x.json")).array)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "i1", "u8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_keeps_dtype_shape_and_values(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.array(np.arange(24).reshape(2, 3, 4) % 7, dtype=dtype, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "x.npy", array)
    mapped = open_source(str(tmp_path / "x.npy"))
    assert isinstance(mapped.array, np.memmap)
    for source in (mapped, piped(npy(array)), piped(npz(x=array))):
        assert source.dtype == array.dtype
        np.testing.assert_array_equal(source.array, array)
        np.testing.assert_array_equal(source.read(1, 2), array[1:2])


@pytest.mark.parametrize("shape", [(), (0,), (0, 3)])
def test_npy_without_axes_or_rows(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape))
    assert open_source(str(tmp_path / "x.npy")).shape == shape


# --- CSV as people have it -------------------------------------------------------------------------------------------

GRID = np.array([[1.0, 2.5], [-3.0, 4.0]])


@pytest.mark.parametrize("mark", [",", ";", "\t", " ", "   ", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_any_dialect_is_read(mark: str, end: str, header: bool, bom: str) -> None:
    lines = [*(["a" + mark + "b"] if header else []), f"1{mark}2.5", "", f"-3{mark}4"]
    source = piped(bom + end.join(lines) + end)
    np.testing.assert_array_equal(source.array, GRID)
    assert source.columns == (("a", "b") if header else ())
    assert str(source.place((1, 1))) == f"<stdin>:{4 if header else 3}:2"


def test_many_blank_lines_do_not_stall_the_guess_of_a_format() -> None:
    assert piped("\n" * 4000 + "1,2.5\n-3,4\n").place((0, 0)).line == 4001


def test_gzip_and_quotes() -> None:
    np.testing.assert_array_equal(piped(gzip.compress(b'"a","b"\n"1","2.5"\n"-3","4"\n')).array, GRID)


@pytest.mark.parametrize("head", [",0,1", "0,1,label", "id,p_0,p_1", "# x,y,z"])
def test_headers_that_libraries_write(head: str) -> None:
    source = piped(f"{head}\n7,0.25,1\n8,0.5,1\n")
    assert source.shape == (2, 3)
    assert source.columns == tuple(head.removeprefix("# ").split(","))


@pytest.mark.parametrize("cell", ["oops", "", "NA", "tensor(1.)", "1e", "5%", "1_0", "0x1F", "\u22121"])
def test_a_first_row_with_one_bad_cell_is_not_mistaken_for_a_header(cell: str) -> None:
    error = refused(f"0.5,{cell}\n0.1,0.2\n")
    assert (error.code, error.place.line, error.place.field) == ("csv-number", 1, 2)


def test_a_word_beside_a_label_is_a_row_of_data() -> None:
    assert str(refused("oops,1\n2,0\n3,1\n").place) == "<stdin>:1:1"


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        *[
            ("tensor(4.)", "tolist"),
            ("NA", "missing"),
            ("", "empty"),
            ("5%", "0.05"),
            ("1e999", "inf"),
            ("-1e400", "inf"),
        ],
        *[("1_000", "underscores"), ("\u22125", "minus"), ("True", "1 and 0"), ("[1 2]", "cell of its own")],
    ],
)
def test_bad_cells_come_with_a_way_out(cell: str, hint: str) -> None:
    error = refused(f"1,2\n3,{cell}\n")
    assert (error.code, str(error.place)) == ("csv-number", "<stdin>:2:2")
    assert hint in error.hint


def test_decimal_commas_are_told() -> None:
    error = refused("1;2\n3,5;4\n")
    assert (error.code, str(error.place)) == ("csv-number", "<stdin>:2:1")
    assert "point" in error.hint


def test_spelled_non_finite_cells_are_read() -> None:
    array = piped("1\ninf\n-Infinity\nnan\n+INF\n").array
    np.testing.assert_array_equal(array, [1, np.inf, -np.inf, np.nan, np.inf])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_planted_fault_is_found_where_it_is(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(2, 40)), data.draw(st.integers(2, 5))
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    blank_before = data.draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows))
    header, kind = data.draw(st.booleans()), data.draw(st.sampled_from(["number", "short", "long"]))
    cells = [[f"{r}.{c}" for c in range(columns)] for r in range(rows)]
    if kind == "number":
        cells[row][column] = "oops"
    elif kind == "short" and (row > 0 or header):
        cells[row].pop()
    else:
        cells[max(row, 1)].append("9")
        row, kind = max(row, 1), "long"
    lines = [",".join(f"c{i}" for i in range(columns))] if header else []
    for r in range(rows):
        lines += [""] * blank_before[r]
        if r == row:
            expected = len(lines) + 1
        lines.append(",".join(cells[r]))
    error = refused("\n".join(lines))
    assert error.code == ("csv-number" if kind == "number" else "csv-ragged")
    assert (error.place.line, error.place.field) == (expected, column + 1 if kind == "number" else None)


def test_faults_beyond_the_first_block_and_places_of_good_rows(tmp_path: Path) -> None:
    rows = 400_000
    lines = [f"{i}.5,{i}.25,7" for i in range(rows)]
    lines[123_455] += "\n \n"
    path = tmp_path / "big.csv"
    path.write_text("a,b,c\n" + "\n".join(lines))
    assert path.stat().st_size > 6 << 20
    source = open_source(f"{path}::b")
    assert source.shape == (rows,)
    assert float(source.array.sum()) == (rows - 1) * rows / 2 + rows / 4
    assert [source.place((i,)).line for i in (0, 123_455, 123_456, rows - 1)] == [2, 123_457, 123_460, rows + 3]
    assert source.place((0,)).field == 2
    path.write_text(path.read_text().replace("\n399990.5,399990.25,", "\n399990.5,oops,"))
    with pytest.raises(DataError, match="not a number: 'oops'") as caught:
        open_source(str(path))
    assert str(caught.value.place) == f"{path}:399994:2"


def test_ragged_lines_are_seen_when_some_columns_are_read() -> None:
    assert refused("a,b,c\n1,x,3\n4,y\n", "a").code == "csv-ragged"
    assert refused("a,b,c\n1,x,3\n4,5,y,6\n", "a,c").code == "csv-ragged"


@pytest.mark.parametrize(
    ("selector", "expected", "columns"),
    [
        ("p_*", [[0.25, 0.75], [0.5, 0.5]], ("p_a", "p_b")),
        ("label", [1, 0], ()),
        ("p_b,label", [[0.75, 1], [0.5, 0]], ("p_b", "label")),
        ("label,p_b", [[1, 0.75], [0, 0.5]], ("label", "p_b")),
        ("1:3", [[0.25, 0.75], [0.5, 0.5]], ("p_a", "p_b")),
        ("2:", [[0.75, 1], [0.5, 0]], ("p_b", "label")),
        ("3", [1, 0], ()),
    ],
)
def test_columns_are_selected(selector: str, expected: list[object], columns: tuple[str, ...]) -> None:
    source = piped("id,p_a,p_b,label\nx17,0.25,0.75,1\nx18,0.5,0.5,0\n", selector)
    np.testing.assert_array_equal(source.array, expected)
    assert source.columns == columns


def test_places_follow_the_selected_columns() -> None:
    source = piped("id,a,b\nx,1,2\n\ny,3,4\n", "b,a")
    assert str(source.place((1, 0))) == "<stdin>:4:3"
    assert str(source.place((1, 1))) == "<stdin>:4:2"


def test_a_misspelled_column_gets_a_suggestion() -> None:
    assert "'label'" in refused("label,score\n1,2\n", "lable").hint


# --- class names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat\ndog\ncat\n", ["cat", "dog", "cat"]),
        ("label\ndog\ncat\n", ["dog", "cat"]),
        ("fruit\npear\nfig\npear\n", ["pear", "fig", "pear"]),
        ("New York\nParis\nNew York\n", ["New York", "Paris", "New York"]),
        ("1\n0\n2\n", [1, 0, 2]),
        ("label\n1\n0\n", [1, 0]),
    ],
)
def test_class_names_with_and_without_header(text: str, expected: list[object]) -> None:
    source = piped(text, text=True)
    assert source.array.tolist() == expected
    assert source.dtype.kind == ("U" if isinstance(expected[0], str) else "f")


def test_words_are_refused_where_numbers_are_due() -> None:
    assert refused("cat\ndog\ncat\n").code == "csv-number"
    assert refused('["cat", "dog"]').code == "text-where-number"
    assert refused(npy(np.array(["cat"]))).code == "text-where-number"
    assert piped(npy(np.array(["cat"])), text=True).array.tolist() == ["cat"]


def test_a_typing_error_among_numeric_labels_is_still_an_error() -> None:
    lines = ["1"] * 50
    lines[33] = "l"
    assert str(refused("\n".join(lines), text=True).place) == "<stdin>:34:1"


# --- YAML and JSON ---------------------------------------------------------------------------------------------------


def test_yaml_reads_the_core_schema_and_knows_lines() -> None:
    source = piped("logits:\n  - [1e-8, .inf]\n  - [-.INF,\n     012]\nnote: hi\n", "logits")
    np.testing.assert_array_equal(source.array, [[1e-8, np.inf], [-np.inf, 12]])
    assert [source.place(index).line for index in [(0, 1), (1, 0), (1, 1)]] == [2, 3, 4]
    assert piped("a: [yes, no, on]", "a", text=True).array.tolist() == ["yes", "no", "on"]


def test_nested_keys_are_selected_with_dots() -> None:
    assert piped('{"gradient": {"wrt": "x", "values": [1.5, 2]}}', "gradient.values").array.tolist() == [1.5, 2.0]
    source = piped("first: [1, 2]\ngradient:\n  wrt: x\n  values:\n    - 1.5\n    - 2\n", "gradient.values")
    assert source.place((1,)).line == 6


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: &x [1]\nb: *x\n", "yaml-alias"),
        ("a: {<<: 1}\n", "yaml-alias"),
        ("a: !!float 1\n", "yaml-tag"),
        ("a: !!python/object/apply:os.system [ls]\n", "yaml-tag"),
        ("a: 1\na: 2\n", "yaml-key"),
        ("--- " + "[" * 100_000, "yaml-depth"),
        ("a: [1, 2\nb: 3\n", "yaml-parse"),
        ("--- 1\n--- 2\n", "yaml-parse"),
        ("a: 1e999\n", "yaml-number"),
        ("- [1, 2]\n- [3]\n", "yaml-ragged"),
        ("- null\n", "yaml-number"),
        ('{"a": 1, "a": 2}', "json-value"),
        ("[" * 100_000, "json-depth"),
        ("[" * 70 + "]" * 70, "json-depth"),
        ("[1, 1e999]", "json-value"),
        ("[1" + "0" * 400 + "]", "json-number"),
        ("[1" + "0" * 5000 + "]", "json-value"),
        ("[1, 2", "json-parse"),
        ("[null]", "json-number"),
    ],
)
def test_hostile_documents_are_refused_by_name(text: str, code: str) -> None:
    assert refused(text).code == code


def test_ragged_lists_name_their_path() -> None:
    error = refused("[[[1, 2], [3, 4]], [[5, 6], [7]]]")
    assert (error.code, error.place.index) == ("json-ragged", (1, 1))
    assert refused("- [1, 2]\n- [3, 4]\n- 5\n").place.line == 3


# --- NPY and NPZ that are not what they say --------------------------------------------------------------------------


def header(text: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode() + data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (npy(np.array([{}]), allow_pickle=True), "npy-pickle"),
        (npy(np.zeros(3, "V2")), "npy-dtype"),
        (npy(np.zeros(3, complex)), "npy-dtype"),
        (npy(np.zeros(3, [("a", "f8")])), "npy-dtype"),
        (npy(np.zeros(3))[:-1], "npy-truncated"),
        (npy(np.zeros(3))[:40], "npy-header"),
        (header("-" * 9000), "npy-header"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"), "npy-truncated"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"), "npy-header"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 9999999999999999999), }"), "npy-header"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff", "npy-header"),
        (npz(a=np.zeros(3))[:-30], "npz-damaged"),
        (b"\x80\x04\x95", "file-pickle"),
        (b"PAR1....", "arrow-damaged"),
        (b"\x89HDF....", "format-unknown"),
    ],
)
def test_damaged_arrays_are_refused_by_name(tmp_path: Path, data: bytes, code: str) -> None:
    assert refused(data).code == code
    (tmp_path / "x.bin").write_bytes(data)
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path / "x.bin"))
    assert caught.value.code == code
    assert caught.value.place.file.startswith(str(tmp_path / "x.bin"))


def test_a_zip_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("losscli.files.npz.FREE", 1 << 16)
    assert refused(npz(a=np.zeros(1 << 20))).code == "npz-bomb"
    assert piped(npz(a=np.random.default_rng(0).random(1 << 15))).shape == (1 << 15,)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".joblib"])
def test_pickles_are_refused_with_the_conversion(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"x{suffix}").write_bytes(b"PK\3\4")
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path / f"x{suffix}"))
    assert caught.value.code == "file-pickle"
    assert "np.save" in caught.value.hint


# --- files that are not there ----------------------------------------------------------------------------------------


def test_missing_empty_and_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "logits.csv").write_text("")
    (tmp_path / "folder").mkdir()
    for name, code, word in [
        ("logit.csv", "file-missing", "logits.csv"),
        ("logits.csv", "file-empty", ""),
        ("folder", "file-directory", ""),
        ("no/such.csv", "file-missing", ""),
        ("logits.csv/x", "file-missing", ""),
        ("nul\0.csv", "file-missing", ""),
    ]:
        with pytest.raises(DataError) as caught:
            open_source(f"{tmp_path}/{name}")
        assert caught.value.code == code
        assert word in caught.value.hint


@pytest.mark.parametrize("text", ["\n\n \n", "a,b\n", "label\n"])
def test_files_without_rows(text: str) -> None:
    assert refused(text).code == "file-empty"


@pytest.mark.parametrize("data", ["é\n1\n".encode("latin-1"), b"1\n2\xff\n", b"1\n\0\n", "1\n2\n".encode("utf-16-le")])
def test_text_in_another_encoding_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.csv").write_bytes(data)
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path / "x.csv"))
    assert caught.value.code == "text-encoding"


def test_a_pipe_is_read_once_and_a_name_with_colons_is_a_name(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a,b\n1,2\n3,4\n")
    os.close(writing)
    assert open_source(f"/dev/fd/{reading}::b").array.tolist() == [2, 4]
    os.close(reading)
    (tmp_path / "x::y.csv").write_text("1\n2\n")
    assert open_source(str(tmp_path / "x::y.csv")).array.tolist() == [1, 2]


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_not_waited_for() -> None:
    with pytest.raises(UsageError) as caught:
        open_source("-", stdin=Terminal(b"1\n"))
    assert caught.value.code == "stdin-terminal"


# --- many inputs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    logits, label = np.array([[0.5, 1.5], [2.5, 3.5]]), np.array([1, 0])
    np.savez(tmp_path / "batch.npz", label=label, logits=logits, weight=np.ones(2))
    (tmp_path / "batch.json").write_text(json.dumps({"logits": logits.tolist(), "label": label.tolist()}))
    (tmp_path / "batch.yaml").write_text("label: [1, 0]\nlogits:\n- [0.5, 1.5]\n- [2.5, 3.5]\n")
    (tmp_path / "batch.csv").write_text("id,logits_cat,logits_dog,label\na,0.5,1.5,1\nb,2.5,3.5,0\n")
    (tmp_path / "logits.csv").write_text("cat,dog\n0.5,1.5\n2.5,3.5\n")
    (tmp_path / "label.csv").write_text("label\n1\n0\n")
    (tmp_path / "one.npz").write_bytes(npz(whatever=label))
    return tmp_path


@pytest.mark.parametrize("spec", ["batch.npz", "batch.json", "batch.yaml", "batch.csv", "logits.csv label.csv"])
@pytest.mark.usefixtures("folder")
def test_inputs_come_from_one_container_or_one_file_each(spec: str) -> None:
    found = gather(spec.split(), ["logits", "label"])
    assert list(found) == ["logits", "label"]
    np.testing.assert_array_equal(found["logits"].array, [[0.5, 1.5], [2.5, 3.5]])
    np.testing.assert_array_equal(found["label"].array, [1, 0])


@pytest.mark.usefixtures("folder")
def test_optional_inputs() -> None:
    assert list(gather(["batch.npz"], ["logits", "label"], optional=["weight"])) == ["logits", "label", "weight"]
    assert list(gather(["batch.csv"], ["logits", "label"], optional=["weight"])) == ["logits", "label"]
    three = gather(["logits.csv", "label.csv", "label.csv"], ["logits", "label"], optional=["weight"])
    np.testing.assert_array_equal(three["weight"].array, [1, 0])


@pytest.mark.parametrize("spec", ["label.csv", "one.npz", "batch.npz", "batch.yaml::label", "batch.csv"])
@pytest.mark.usefixtures("folder")
def test_a_single_input_needs_no_name(spec: str) -> None:
    np.testing.assert_array_equal(gather([spec], ["label"])["label"].array, [1, 0])


@pytest.mark.usefixtures("folder")
def test_wrong_counts_and_missing_keys() -> None:
    for specs in ([], ["one.npy"], ["batch.npz::logits"], ["label.csv"] * 4):
        np.save("one.npy", np.ones(2))
        with pytest.raises(UsageError, match=r"logits label \[weight\]") as usage:
            gather(specs, ["logits", "label"], optional=["weight"])
        assert usage.value.code == "source-count"
    with pytest.raises(DataError, match="label, logits, weight") as data:
        gather(["batch.npz"], ["logits", "labels"])
    assert data.value.code == "container-key"
    assert "'label'" in data.value.hint
    with pytest.raises(DataError) as several:
        gather(["batch.npz"], ["target"])
    assert several.value.code == "container-key"


def test_standard_input_stands_once() -> None:
    with pytest.raises(UsageError) as caught:
        gather(["-", "-::label"], ["logits", "label"], stdin=io.BytesIO(b"1\n"))
    assert caught.value.code == "stdin-twice"


# --- output is whole or not at all -----------------------------------------------------------------------------------


def test_an_exception_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")
    for failure in (KeyboardInterrupt, ValueError):
        with pytest.raises(failure):
            interrupted_write(path, failure)
        assert path.read_text() == "old"
        assert names(tmp_path) == ["x.csv"]


def interrupted_write(path: Path, failure: type[BaseException]) -> None:
    with write_whole(path) as stream:
        stream.write(b"half of the n")
        stream.flush()
        assert path.read_text() == "old"
        raise failure


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace", "os.open"])
def test_a_failing_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "x.npy"
    path.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(call, full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_array(path, np.ones(3))
    assert caught.value.code == "output-write"
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.npy"]


def test_mode_bits_links_and_special_files_are_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("[]")
    target.chmod(0o640)
    link.symlink_to(target)
    write_array(link, np.array([1.0]))
    assert link.is_symlink()
    assert target.read_text() == "[1.0]\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    with write_whole(os.devnull) as stream:
        stream.write(b"gone")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_array(tmp_path / "x.csv", np.ones(2))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x.csv").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("name", "array", "code"),
    [
        ("no/x.csv", np.ones(2), "output-folder"),
        ("x.xyz", np.ones(2), "format-unknown"),
        ("x.yaml", np.ones(2), "format-unknown"),
        ("x.csv", np.ones((2, 2, 2)), "output-shape"),
        ("x.npy", np.array([{}]), "output-dtype"),
        ("folder.csv", np.ones(2), "output-directory"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str, array: np.ndarray, code: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError) as caught:
        write_array(tmp_path / name, array)
    assert caught.value.code == code
    assert names(tmp_path) == ["folder.csv"]


def test_headers_and_words_round_trip_through_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_array(path, np.array([[1, 2], [3, 4]]), columns=['a "b"', "c,d"])
    assert path.read_text().splitlines()[1:] == ["1,2", "3,4"]
    assert open_source(str(path)).columns == ('a "b"', "c,d")
    assert open_source(f"{path}::c,d").array.tolist() == [2, 4]
    write_array(path, np.array(["cat", "a,b", "cat"]))
    assert open_source(str(path), text=True).array.tolist() == ["cat", "a,b", "cat"]


def test_the_same_numbers_give_the_same_gzip_bytes(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "b.csv.gz"):
        write_array(tmp_path / name, np.ones(3))
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


# --- no bytes whatever give a traceback ------------------------------------------------------------------------------

SEEDS: dict[str, bytes] = {
    ".csv": b'id,p_0,p_1,label\n"a",0.25,7.5e-1,cat\nb,inf,nan,dog\n\nc,-1,1e5,cat\n',
    ".tsv": b"0.25\t7.5e-1\r\n1\t2\r\n3\t4\r\n",
    ".csv.gz": gzip.compress(b"a,b\n1,2\n3,4\n", mtime=0),
    ".npy": npy(np.arange(6.0).reshape(2, 3)),
    ".npz": npz(logits=np.arange(6.0).reshape(2, 3), label=np.array(["a", "b"])),
    ".json": b'{"logits": [[1.5, "NaN"], [-2e3, 4]], "label": ["cat", "dog"], "deep": {"x": [true, null]}}',
    ".yaml": b"# c\nlogits:\n  - [1.5, .nan]\n  - [-2e3, 31]\nlabel: [cat, 'dog', \"\\u00e9\"]\ndeep: {x: ~}\n",
}
TOKENS = [b"[", b"]", b"{", b"}", b'"', b",", b"\n", b"\0", b"\xff", b"-", b"(", b"'"]
TOKENS += [b"&a ", b"*a", b"!!x ", b"<<: ", b"1e999", b"# "]


def mutant(seed: bytes, rng: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 1:
            data[at:at] = rng.choice(TOKENS) * rng.choice([1, 1, 1, 80])
        elif kind == 2:
            del data[at : at + rng.randint(1, 8)]
        elif kind == 3:
            data[at:at] = data[at : at + rng.randint(1, 20)]
        elif data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
    return bytes(data)


def outcome(path: Path, data: bytes, *, named: bool, text: bool) -> str:
    try:
        if named:
            gather([str(path)], ["logits"], optional=["label"], text=["label"])
        else:
            open_source("-", text=text, stdin=io.BytesIO(data)).array.tolist()
    except LosscliError as error:
        well_formed = set(error.code) <= {*string.ascii_lowercase, "-"} and bool(error.code and error.message)
        return "refused" if well_formed and (error.place is None or error.place.file) else f"badly: {error!r}"
    return "read"


@pytest.mark.parametrize("suffix", SEEDS)
def test_mutants_are_read_or_refused(tmp_path: Path, suffix: str) -> None:
    rng = random.Random(suffix)
    path = tmp_path / f"x{suffix}"
    outcomes = set()
    for turn in range(1500):
        data = mutant(SEEDS[suffix], rng)
        path.write_bytes(data)
        named, text = turn % 2 == 0, turn % 3 == 0
        outcomes.add(outcome(path, data, named=named, text=text))
    assert outcomes == {"read", "refused"}
