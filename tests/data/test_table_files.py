"""Tables in files: what was written is read, what was decided is said, what is unclear is asked."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from pyro_vae.data.files import load
from pyro_vae.data.stored import Fault, errors_name
from pyro_vae.data.table_files import read_frame

rng = np.random.default_rng(0)
BITS = rng.integers(0, 2, (30, 5))
DIGITS = rng.integers(0, 10, (30, 6))
REALS = rng.normal(size=(30, 5))


@pytest.fixture
def read(tmp_path):
    """Write bytes or text under a name, and read the table."""

    def read_(content, name="x.csv", encoding="utf-8", **options):
        path = tmp_path / name
        if isinstance(content, str):
            content = content.encode(encoding)
        path.write_bytes(content)
        return read_frame(path, **options)

    return read_


def refuses(message, read, *arguments, **options):
    with pytest.raises(Fault, match=message):
        read(*arguments, **options)


# Delimiters, decimal marks, encodings


TABLE = pd.DataFrame(
    {"name": ["x y", "z", "w"], "mass": [1.5, -2.0, 1e3], "n": [3, 4, 50]}
)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt", "dat", "data", "amat"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", " "])
def test_delimiters_are_found(read, delimiter, suffix):
    text = TABLE.to_csv(index=False, sep=delimiter)
    frame, _ = read(text, f"x.{suffix}")
    pd.testing.assert_frame_equal(frame, TABLE)
    frame, _ = read(text, f"x.{suffix}", delimiter=delimiter)
    pd.testing.assert_frame_equal(frame, TABLE)


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz", "zip"])
def test_compressed_text(tmp_path, compression):
    path = tmp_path / f"x.csv.{compression}"
    TABLE.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_frame(path).frame, TABLE)
    numbers = TABLE[["mass", "n"]]
    numbers.to_csv(path, index=False)
    np.testing.assert_array_equal(load(path), numbers.to_numpy())


MANY = 60_000


def late(first, last):
    """A column whose last cells are of another kind than those before."""
    return [first] * (MANY - 3) + [last] * 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_large_file_is_read_as_its_compressed_twin(tmp_path, encoding):
    # pandas 3.1 reads more than 5 MB in threads where it is given a path, and not a stream
    table = pd.DataFrame(
        {
            "x": np.random.default_rng(0).normal(size=MANY),
            "text": late("seven", "8"),
            "gap": late("1.5", "NA"),
            "quoted": late("plain words", "two\nlines, in one cell"),
            "é": late("ü" * 40, "ß"),
        }
    )
    plain, packed = tmp_path / "x.csv", tmp_path / "x.csv.gz"
    for path in (plain, packed):
        table.to_csv(path, index=False, encoding=encoding)
    assert plain.stat().st_size > 5 * 2**20
    frame, notes = read_frame(plain)
    again, others = read_frame(packed)
    pd.testing.assert_frame_equal(frame, again)
    assert notes == others
    np.testing.assert_array_equal(frame["x"], table["x"])
    assert frame["text"].tolist()[-4:] == ["seven", "8", "8", "8"]
    assert frame["gap"].isna().sum() == 3


def test_an_archive_has_one_file(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.csv.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("__MACOSX/._a.csv", "\0")
    assert read_frame(tmp_path / "x.csv.zip").frame["a"].tolist() == [1]
    with zipfile.ZipFile(tmp_path / "x.csv.zip", "a") as archive:
        archive.writestr("b.csv", "b\n1\n")
    refuses("archive of one file, got 2", read_frame, tmp_path / "x.csv.zip")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_decimal_comma(read, delimiter):
    frame, notes = read(TABLE.to_csv(index=False, sep=delimiter, decimal=","))
    pd.testing.assert_frame_equal(frame, TABLE)
    assert "decimal comma" in notes


def test_thousands_in_groups(read):
    frame, notes = read('a,b\n"1,234",x\n"12,345,678",y\n950,z\n')
    assert frame["a"].tolist() == [1234, 12345678, 950]
    assert any("groups of thousands" in note for note in notes)
    frame, _ = read("a;b\n1.234,5;x\n12.345.678,25;y\n950,0;z\n")
    assert frame["a"].tolist() == [1234.5, 12345678.25, 950.0]


def test_a_comma_with_two_meanings_is_asked(read):
    text = "a\tb\n1,234\t1\n5,678\t2222\n"
    refuses(r"'1,234', which may be 1.234 or 1234; pass decimal=", read, text)
    assert read(text, decimal=",").frame["a"].tolist() == [1.234, 5.678]
    assert read(text, decimal=".").frame["a"].tolist() == [1234, 5678]
    assert read("a\tb\n0,234\t1\n5,678\t2222\n").frame["a"].tolist() == [0.234, 5.678]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"]
)
def test_encodings(read, encoding):
    frame, notes = read("größe,b\nä,1\nß,2\n", encoding=encoding)
    assert frame["größe"].tolist() == ["ä", "ß"]
    assert any("not UTF-8" in note for note in notes) == (
        encoding in ("cp1252", "latin-1")
    )


def test_a_letter_beyond_the_head_decides_the_encoding(read):
    rows = "a,1\n" * 40_000
    frame, notes = read((f"name,n\n{rows}").encode() + "é,2\n".encode("latin-1"))
    assert frame["name"].iloc[-1] == "é"
    assert any("read as cp1252" in note for note in notes)


def test_binary_files_are_refused(read):
    refuses("expected text, got a binary file", read, b"a,b\n\x00\x01\x02,3\n" * 9)


def test_comments_above_the_table(read):
    assert read("# one\n% two\n\na,b\n1,2\n").frame.columns.tolist() == ["a", "b"]


def test_a_comment_may_have_the_names(tmp_path):
    np.savetxt(tmp_path / "x.txt", REALS, header="made today\na b c d e")
    frame, notes = read_frame(tmp_path / "x.txt")
    assert frame.columns.tolist() == list("abcde")
    np.testing.assert_array_equal(frame.to_numpy(), REALS)
    assert any("comment" in note for note in notes)


def test_aligned_columns(read):
    frame, notes = read("   x      y\n 1.5    20\n10.25    3\n", "x.txt")
    assert frame.to_dict("list") == {"x": [1.5, 10.25], "y": [20, 3]}
    assert "delimiter: white space" in notes


def test_a_delimiter_after_the_last_cell(read):
    for text in ("a,b,\n1,2,\n3,4,\n", "a,b\n1,2,\n3,4,\n"):
        assert read(text).frame.to_dict("list") == {"a": [1, 3], "b": [2, 4]}


def test_spaces_after_commas(read):
    frame, _ = read('"a", b, c\n1, "x, y", u \n2, z, u\n')
    assert frame.to_dict("list") == {"a": [1, 2], "b": ["x, y", "z"], "c": ["u", "u"]}


def test_a_wrong_delimiter(read):
    refuses(
        "divided by ';', got lines that have ','", read, "a,b\n1,2\n", delimiter=";"
    )
    refuses(
        "one character, or ' ' for white space, got '::'", read, "a\n1", delimiter="::"
    )


# Names of columns and rows


def test_savetxt_has_no_header(tmp_path):
    for i, (values, options) in enumerate(
        [
            (BITS, {"fmt": "%d", "delimiter": ","}),
            (DIGITS, {"fmt": "%d"}),
            (REALS, {"delimiter": ","}),
            (REALS, {"fmt": "%g"}),
            (BITS[:, :1], {"fmt": "%d"}),
            (np.arange(12.0).reshape(4, 3), {"fmt": "%g"}),
            (np.arange(12).reshape(6, 2), {"fmt": "%d"}),
            (np.sort(rng.normal(size=(20, 9)), axis=1), {}),
        ]
    ):
        np.savetxt(tmp_path / f"{i}.txt", values, **options)
        frame, notes = read_frame(tmp_path / f"{i}.txt")
        np.testing.assert_allclose(frame.to_numpy(), values, rtol=1e-5)
        assert any("no header" in note for note in notes)
        assert frame.columns.tolist() == [str(j) for j in range(values.shape[1])]


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_numbers_from_zero_are_names_above_decimals(read, width):
    frame, notes = read(pd.DataFrame(REALS[:, :width]).to_csv(index=False))
    np.testing.assert_array_equal(frame.to_numpy(), REALS[:, :width])
    assert any("taken for names" in note for note in notes)


@pytest.mark.parametrize("values", [BITS, DIGITS], ids=["bits", "digits"])
def test_numbers_from_zero_are_names_above_whole_numbers(read, values):
    frame, _ = read(pd.DataFrame(values).to_csv(index=False))
    np.testing.assert_array_equal(frame.to_numpy(), values)
    frame, _ = read(pd.DataFrame(values).to_csv())
    assert frame.columns.tolist() == ["column 0", *map(str, range(values.shape[1]))]
    np.testing.assert_array_equal(frame.to_numpy()[:, 1:], values)


@pytest.mark.parametrize(
    "names",
    [
        range(400, 440),
        np.arange(4000.0, 400.0, -100.5),
        np.geomspace(1.5, 9e3, 12).round(3),
    ],
)
def test_wavelengths_are_names(read, names):
    spectra = rng.normal(size=(6, len(names)))
    for index in (False, True):
        frame, _ = read(pd.DataFrame(spectra, columns=names).to_csv(index=index))
        np.testing.assert_array_equal(frame.to_numpy()[:, int(index) :], spectra)
        assert frame.columns[-1] == str(names[-1])


def test_two_whole_numbers_above_others_are_asked(read):
    for text in ("0,1\n1,0\n0,0\n", "0,1,2\n2,2,1\n0,0,1\n", "1,2,3\n7,2,9\n4,4,1\n"):
        refuses("which may be either; pass header=True if", read, text)
        first = text.split("\n")[0].split(",")
        assert read(text, header=True).frame.columns.tolist() == first
        assert read(text, header=False).frame.iloc[0].tolist() == list(map(int, first))


def test_numbers_beside_a_text_may_be_names(read):
    years = "country,1990,1991,1992\nA,1,7,3\nB,4,5,1\n"
    assert read(years).frame.columns.tolist() == ["country", "1990", "1991", "1992"]
    ids = "id,0,1,2,3\nx,1,2,3,4\ny,0,2,1,2\n"
    refuses("which may be either; pass header=True", read, ids)
    assert read("Braund,22,7.25\nCumings,38,71.28\n").frame.shape == (2, 3)
    assert read(",5,3\n7,4,3\n9,4,1\n").frame.shape == (3, 3)
    refuses("which may be either", read, ",5,3\n1,4,3\n2,4,1\n")
    growing = '"",1940,1945,1950\nFood,22,44,59\nCare,3,5,9\n'
    assert read(growing).frame["1945"].tolist() == [44, 5]


def test_underscores_make_text(read):
    frame, _ = read("1_1,1_2\n10_1,5\n2_000,6\n3_1,7\n")
    assert frame.columns.tolist() == ["1_1", "1_2"]
    assert frame["1_1"].tolist() == ["10_1", "2_000", "3_1"]


def test_text_without_a_header(read):
    frame, _ = read("p,x,s\ne,x,s\np,b,y\ne,x,y\n")
    assert len(frame) == 4
    frame, _ = read("class,cap,skin\ne,x,s\np,b,y\ne,x,y\n")
    assert frame.columns.tolist() == ["class", "cap", "skin"]
    iris = "5.1,3.5,setosa\n4.9,3.0,setosa\n7.0,3.2,versicolor\n"
    assert len(read(iris).frame) == 3


def test_row_names_of_r(read):
    table = '"x" "y"\n"Mazda RX4" 21 6\n"Datsun 710" 22.8 4\n'
    frame, notes = read(table, "x.txt")
    assert frame["row_names"].tolist() == ["Mazda RX4", "Datsun 710"]
    assert frame["y"].tolist() == [6, 4]
    assert any("'row_names'" in note for note in notes)


def test_names_are_made_distinct_and_this_is_said(read):
    frame, notes = read("a,a,,b\n1,2,3,x\n4,5,6,y\n")
    assert frame.columns.tolist() == ["a", "a (2)", "column 2", "b"]
    assert any("2 of 4 columns have no name" in note for note in notes)
    wide = ",".join(["a"] * 2000) + "\n" + ",".join(["1"] * 2000) + "\n"
    assert max(map(len, read(wide).notes)) < 300


def test_labels_of_rows_are_no_feature_of_load(tmp_path):
    for start in (0, 1):
        table = pd.DataFrame(REALS, columns=list("abcde"))
        table.index += start
        table.to_csv(tmp_path / "x.csv")
        np.testing.assert_array_equal(load(tmp_path / "x.csv"), REALS)


# Cells


@pytest.mark.parametrize(
    "mark", ["?", ".", "-", "None", "NA", "", "NaN", "null", "N/A"]
)
def test_missing_among_numbers(read, mark):
    frame, notes = read(f"a,b\n1,x\n{mark},y\n3.5,z\n4,z\n")
    np.testing.assert_array_equal(frame["a"], [1, np.nan, 3.5, 4])
    if mark in "?.-None" and mark:
        assert f"column 'a': missing: 1 cell '{mark}'" in notes


@pytest.mark.parametrize("mark", ["?", "-", "None"])
def test_marks_are_levels_of_text(read, mark):
    assert read(f"a,b\nu,1\n{mark},2\nv,3\n").frame["a"].tolist() == ["u", mark, "v"]


def test_cells_that_the_user_calls_missing(read):
    frame, _ = read("a,b\n1,bad\n-999,2\n3,4\n", missing=[-999, "bad"])
    np.testing.assert_array_equal(frame.to_numpy(), [[1, np.nan], [np.nan, 2], [3, 4]])


def test_the_user_names_types(read):
    text = "zip,country,n\n02139,NA,1\n00501,DE,2\n"
    frame, _ = read(text, dtypes={"zip": "str", "country": "str", "n": "float32"})
    assert frame["zip"].tolist() == ["02139", "00501"]
    assert frame["country"].tolist() == ["NA", "DE"]
    assert frame["n"].dtype == np.float32
    refuses(
        "names of columns, got 'nn'; the names are 'zip'",
        read,
        text,
        dtypes={"nn": "str"},
    )
    refuses(
        r"column 'country' can't be int64: .*NaN.*'Int64'",
        read,
        text,
        dtypes={"country": "int64"},
    )
    times = "t,n\n2020-01-01,1\n2020-01-02,2\n"
    frame, _ = read(times, dtypes={"t": "datetime64[ns]"})
    assert frame["t"].dtype == "datetime64[ns]"
    refuses(
        "column 'n' can't be datetime64", read, times, dtypes={"n": "datetime64[s]"}
    )
    refuses("dtypes: .*'words'", read, times, dtypes={"n": "words"})
    refuses(
        "column 'n' can't be int8: .*300", read, "n\n300\n1\n", dtypes={"n": "int8"}
    )


def test_a_mistake_among_numbers_names_its_line(read):
    rows = [f'"line\nbreak",{i}\n' for i in range(10)]
    text = "# comment\nname,size\n" + "".join(rows) + "z,1O\n" + "w,7\n"
    message = (
        r"column 'size': expected numbers, as 91.67 % of its cells are, got '1O' in line 23; .*"
        r"missing=\['1O'\].*dtypes=\{'size': 'str'\}"
    )
    refuses(message, read, text)
    assert read(text, missing=["1O"]).frame["size"].isna().sum() == 1
    assert read(text, dtypes={"size": "str"}).frame["size"].iloc[10] == "1O"


def test_a_mistake_far_below_the_head_is_found(read):
    text = "a,b\n" + "700,1\n" * 300_000 + "x7,1\n"
    refuses("got 'x7' in line 300002", read, text)


def test_mostly_text_is_text(read):
    frame, _ = read("ticket\n113803\nA/5 21171\n17463\nPC 17599\n")
    assert frame["ticket"].tolist() == ["113803", "A/5 21171", "17463", "PC 17599"]


def test_truth_values(read):
    frame, _ = read("a,b\nTrue,TRUE\nFalse,\nTrue,FALSE\n")
    assert frame["a"].dtype == bool
    assert frame["b"].dtype == "boolean"
    assert frame["b"].isna().tolist() == [False, True, False]


def test_times(read):
    frame, notes = read(
        "day,moment,zone,german\n"
        "2020-01-31,2020-01-31 10:30,2020-01-31T10:30:00+01:00,01/02/2020\n"
        "2021-12-01,2021-12-01 00:00:01.5,2020-01-31T10:30:00Z,03/04/2021\n"
    )
    assert frame["day"].tolist() == [
        pd.Timestamp("2020-01-31"),
        pd.Timestamp("2021-12-01"),
    ]
    assert frame["moment"][1] == pd.Timestamp("2021-12-01 00:00:01.5")
    assert frame["zone"][0] == pd.Timestamp("2020-01-31 09:30", tz="UTC")
    assert frame["german"].tolist() == ["01/02/2020", "03/04/2021"]
    assert "column 'day': times" in notes
    assert any("does not say which number is the month" in note for note in notes)
    assert read("a,b\n2020-02-31,1\n2020-01-01,2\n").frame["a"].iloc[0] == "2020-02-31"


def test_integers_beyond_64_bits(read):
    frame, _ = read("a\n99999999999999999999\n1\n")
    assert frame["a"].tolist() == [1e20, 1.0]
    ids = ["12345678901234567890123", "12345678901234567890124"]
    frame, notes = read("a\n" + "\n".join(ids))
    assert frame["a"].tolist() == ids
    assert any("more digits than a number keeps" in note for note in notes)


def test_numbers_with_zeros_before_them_are_text(read):
    frame, notes = read("zip,n\n02139,1\n10001,20\n")
    assert frame["zip"].tolist() == ["02139", "10001"]
    assert any("dtypes={'zip': 'float'} makes numbers" in note for note in notes)
    assert not read("zip,n\n0,1\n10001,20\n").notes


def test_blank_cells_are_missing(read):
    frame, _ = read("a\tb\nx\t1\n \t \ny \t2.5\n")
    assert (
        frame["a"].isna().tolist() == frame["b"].isna().tolist() == [False, True, False]
    )
    assert frame["a"].iloc[2] == "y"


def test_other_minus_signs_and_groups(read):
    frame, _ = read("a;b;c\n\u22121;1 000;1'000,5\n2;2\u00a0500;20,0\n")
    assert frame.to_numpy().tolist() == [[-1, 1000, 1000.5], [2, 2500, 20]]


# Damaged files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "expected rows below the names, got none"),
        ("\n \n", "expected at least one row, got none"),
        ("a,b,c\n1,2,3\n4,5,6\n7,8\n9,1,2\n", "3 cells as in line 1, got 2 in line 4"),
        ("a,b,c\n1,2,3\n4,5,6\n7,8,9,0\n", "3 cells as in line 1, got 4 in line 4"),
        ('a,b\n"x\ny",2\n\nu,2\nv,2,3\n', "2 cells as in line 1, got 3 in line 6"),
        ('a,b,c\n"1,2",2,3\n4,5,6\n"7,7",8\n', "3 cells as in line 1, got 2 in line 4"),
        ("1 2 3\n4 5 6\n7 8\n", "3 cells as in most lines, got 2 in line 3"),
        ('a,b\n1,"x\n2,y\n3,z\n', "a quote that is closed, .* opens in line 2"),
        ('a,b,c\n1,2,3\n4,"5,6\n7,8,9\n' + "1,2,3\n" * 40_000, "that opens in line 3"),
    ],
)
def test_lines_that_are_no_rows(read, text, message):
    refuses(message, read, text)


def test_blank_cells_at_the_end_are_no_short_lines(read):
    frame, _ = read('a,b,c\n1,"x,y",\n2,z,3\n')
    assert frame["c"].isna().tolist() == [True, False]


def test_line_breaks_in_cells_are_said(read):
    frame, notes = read('a,b\n1,"x\n2,y"\n3,z\n')
    assert frame["b"].tolist() == ["x\n2,y", "z"]
    assert any("text with line breaks" in note for note in notes)


def test_blank_rows_of_a_spreadsheet_are_left_out(read):
    assert len(read("a,b\n1,2\n3,4\n,\n,\n").frame) == 2


def test_a_damaged_archive(tmp_path):
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"a\n1\n")[:-9])
    with pytest.raises(ValueError, match="complete file"), errors_name("x.csv.gz"):
        read_frame(tmp_path / "x.csv.gz")


def test_no_permission(tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text("a\n1\n")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pyro_vae.data.text_files.head_bytes", refuse)
    with pytest.raises(ValueError, match=r"x\.csv: expected a file that you may read"):
        load(tmp_path / "x.csv")


def test_a_description_of_one_row_a_line_is_json(read):
    frame, _ = read('{"a": 1, "b": "x"}\n{"a": 2.5, "b": "y"}\n', "x.jsonl")
    assert frame.to_dict("list") == {"a": [1, 2.5], "b": ["x", "y"]}
    records = [{"a": 1, "date": "x"}, {"a": 2, "date": "y"}]
    assert read(json.dumps(records), "x.json").frame["date"].tolist() == ["x", "y"]
    refuses("list of records", read, json.dumps([{"a": [1, 2]}]), "x.json")
