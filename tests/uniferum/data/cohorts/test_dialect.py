"""Tables saved by spreadsheets and other programs are read as pandas reads them, or refused in one line."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uniferum.data.cohorts.tables import header, rows
from uniferum.errors import UniferumError

GOOD = "scan_id,path,lab\na,a.nii.gz,1\n"
AS_READ = [{"scan_id": "a", "path": "a.nii.gz", "lab": "1"}]
NEEDED = ("scan_id", "path", "lab")

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z"), exclude_characters="\ufeff\u200b"))


@settings(max_examples=40)
@given(
    table=st.lists(st.tuples(CELLS.filter(bool), CELLS, CELLS), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_pandas_writes_is_read_as_pandas_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[tuple[str, str, str]],
    delimiter: str,
    encoding: str,
    end: str,
    quoting: int,
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([NEEDED, *table])
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    path.write_bytes(text.getvalue().replace("\n", end).encode(encoding))
    peer = pd.read_csv(io.StringIO(text.getvalue()), sep=delimiter, dtype=str, keep_default_na=False)
    assert [dict(row) for row in rows(path, NEEDED)] == peer.to_dict("records")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(("\ufeff" + GOOD).replace("\n", "\r\n").encode(), id="byte order mark and CRLF"),
        pytest.param(GOOD.replace("\n", "\r").encode(), id="old Mac line ends"),
        pytest.param((GOOD + "\n \n\n").encode(), id="blank lines"),
        pytest.param((GOOD + ",,\n,,,,\n").encode(), id="rows of delimiters alone"),
        pytest.param(b"scan_id,path,lab,,\na,a.nii.gz,1,,\n", id="trailing delimiters in every line"),
        pytest.param(b"scan_id,,path,lab\na,,a.nii.gz,1\n", id="an empty column without a name"),
        pytest.param(b",scan_id,path,lab\n0,a,a.nii.gz,1\n", id="pandas' row numbers"),
        pytest.param(b"Unnamed: 0,scan_id,path,lab\n0,a,a.nii.gz,1\n", id="pandas' row numbers, saved twice"),
        pytest.param(GOOD.replace(",", ";").encode(), id="semicolons"),
        pytest.param(b"sep=;\n" + GOOD.replace(",", ";").encode(), id="Excel's line about the delimiter"),
        pytest.param(GOOD.replace(",", "\t").encode("utf-16"), id="Excel's Unicode text"),
        pytest.param(b' Scan_ID , "PATH",Lab\n "a", a.nii.gz , 1 \n', id="other case and blanks in the header"),
        pytest.param("scan_id,path,lab\na\xa0,a.nii.gz,\u200b1\n".encode(), id="no-break and zero-width spaces"),
    ],
)
def test_the_dialects_of_spreadsheets_are_read_right(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    assert [dict(row) for row in rows(path, NEEDED)] == AS_READ
    assert header(path, needed=NEEDED) == list(NEEDED)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"scan_id,path,lab\na,a.nii.gz,63,5\n",
            r"line 2, scan a \(4 fields\) must be a row of 3 fields.* decimal numbers need a po",
        ),
        (b"scan_id,path,lab\na,a.nii.gz,1,\n", r"line 2, scan a \(4 fields\) must be a row of 3 fields"),
        (
            b"scan_id,path,lab\na,a.nii.gz\n",
            r"line 2, scan a \(2 fields\) must be a row of 3 fields.* a cell is missing",
        ),
        (b"scan_id,path,lab\n\na,a.nii.gz\n", "line 3, scan a"),
        (b'scan_id,path,lab\na,"a.nii.gz,1\nb,b,0\n', "line 2 must be a readable table; a quote is opened there"),
        (b'scan_id,path,lab\na,"a"b,1\n', "line 2 must be a readable table; something follows a closing quote"),
        (b'scan_id,path,lab\n"a\nb",a,1\n', "line 2, column scan_id, scan a.*b must be on one line"),
        (b'scan_id,note,path,lab\na,"o,a,1\nb,x,b,1\nc,p",c,0\n', "line 2, column note, scan a must be on one line"),
        (b"scan_id,path,lab,\na,a.nii.gz,1,x\n", "line 2, scan a, column 4 must have a name in the header"),
        (b"scan_id,path,lab\na,a\0,1\n", "line 2 must be text; it has a NUL byte"),
        (GOOD.encode("utf-16-le"), "line 1 must be text; it has a NUL byte"),
        (GOOD.encode("utf-32"), r"\(UTF-32\) must be UTF-8 text"),
        (GOOD.encode("utf-16")[:-1], "must be valid UTF-16 text"),
        ("scan_id,path,lab\na,ü,1\n".encode("latin-1"), "line 2 must be UTF-8 text; byte 0xfc is not UTF-8"),
        (b"scan_id,lab,path,lab\n", r"column \(lab\) must be named once"),
        (b"scan_id,Path,PATH,lab\n", "column path must exist"),
        (b"PK\x03\x04", r"\(an Excel or OpenDocument workbook\) must be a text table"),
        (b"version https://git-lfs.github.com/spec/v1\n", r"\(a Git LFS pointer\) must be a text table"),
        (b"<!DOCTYPE html>", r"\(a web page\) must be a text table"),
        (b"\x1f\x8b\x08", r"\(a gzip file\) must be a text table; unpack it"),
        (b"NoteAcc_DEID,cabg*heart\n", "its columns are .*; it looks like a table of RAD-ChestCT"),
        (b"VolumeName,Findings_EN\n", "it looks like CT-RATE's reports"),
    ],
)
def test_what_could_be_misread_is_refused_by_name(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(UniferumError, match=message):
        list(rows(path, NEEDED))


def test_free_text_may_run_over_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    text = "one, two\nthree, four, five"
    path.write_text(f'id,more,text\n1,"{text}","{text}"\n', encoding="utf-8")
    (row,) = rows(path, ("id", "text"), free_text=("text",))
    assert row["text"] == text


def test_an_error_counts_the_lines_of_free_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,text\n1,"a\nb\nc"\n2\n', encoding="utf-8")
    with pytest.raises(UniferumError, match=r"line 5, study 2 \(1 fields\)"):
        list(rows(path, ("id", "text"), unit="study", free_text=("text",)))
