"""Detect how a table is written: its encoding, its delimiter, and files that are not tables.

UTF-8 and UTF-16 with a byte order mark are read. Other encodings cannot be recognised by their bytes, so they are
refused with a remedy. The delimiter is the one that yields the needed columns.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.content import LFS_POINTER, is_web_page

WIDEST_FIELD = 16 * 2**20
"""Maximum number of characters in a field, such as a report or a list of numbers."""

BLANKS = " \t\r\n\f\v\x85\xa0\u2007\u200b\u202f\u3000\ufeff"
"""Characters stripped from cells: white space, no-break spaces and byte order marks from spreadsheets."""

DELIMITERS = (",", ";", "\t", "|")
NOT_TABLES = {
    b"PK\x03\x04": ("an Excel or OpenDocument workbook", "save it as CSV (UTF-8)"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save it as CSV (UTF-8)"),
    b"\x1f\x8b": ("a gzip file", "unpack it"),
    LFS_POINTER: ("a Git LFS pointer", "download the file itself"),
}
"""First bytes of other files, with their kind and a remedy."""

BOMS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}


@dataclass(frozen=True)
class Dialect:
    """Encoding and delimiter of a table.

    Attributes:
        encoding: encoding for ``open``.
        delimiter: character between two cells.
        skip: number of lines before the header (Excel's ``sep=;``).
    """

    encoding: str
    delimiter: str
    skip: int = 0


def dialect_of(path: Path, delimiter: str, needed: Sequence[str]) -> Dialect:
    """Detect how a table is written.

    Args:
        path: the table.
        delimiter: the dataset's usual delimiter.
        needed: column names; the delimiter is the one whose header has most of them, then most cells, then the
            dataset's usual one.

    Raises:
        UniferumError: the file is missing, is not a text table, or has an encoding that cannot be recognised.
    """
    encoding = _encoding(path)
    first = next(lines(path, encoding), "")
    if first.lower().startswith("sep=") and len(first.rstrip("\r\n")) == 5:
        return Dialect(encoding, first[4], 1)
    keys = {name.casefold() for name in needed}
    candidates = (delimiter, *(d for d in DELIMITERS if d != delimiter))

    def fit(candidate: str) -> tuple[int, int]:
        names = [name.strip(BLANKS).casefold() for name in _split(first, candidate)]
        return len(keys.intersection(names)), len(names)

    return Dialect(encoding, max(candidates, key=fit))


def lines(path: Path, encoding: str) -> Iterator[str]:
    """Yield the lines of a text with their ends, for each of the three kinds of line ends.

    Raises:
        UniferumError: the file cannot be read, or contains bytes that are not text.
    """
    try:
        with path.open(encoding=encoding, newline="") as file:
            for number, line in enumerate(file, start=1):
                if "\0" in line:
                    cure = "it has a NUL byte: the file is damaged or UTF-16 without byte order mark; save it as UTF-8"
                    raise UniferumError(f"{path}: line {number}", must="be text", cure=cure)
                yield line
    except FileNotFoundError:
        cure = "check the cohort's root; docs/datasets.md describes its layout"
        raise UniferumError(str(path), must="exist", cure=cure) from None
    except UnicodeError:
        raise _undecodable(path, encoding) from None
    except OSError as error:
        raise UniferumError(str(path), must="be a readable table", cure=error.strerror or "") from None


def _encoding(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return "utf-8-sig"  # `lines` opens the file too, and reports the error
    for magic, (what, cure) in NOT_TABLES.items():
        if head.startswith(magic):
            raise UniferumError(str(path), what, must="be a text table", cure=cure)
    if is_web_page(head):
        cure = "download the file itself (a login may be needed)"
        raise UniferumError(str(path), "a web page", must="be a text table", cure=cure)
    encoding = next((name for bom, name in BOMS.items() if head.startswith(bom)), "utf-8-sig")
    if encoding == "utf-32":
        raise UniferumError(str(path), "UTF-32", must="be UTF-8 text", cure="save the table as UTF-8")
    return encoding


def _undecodable(path: Path, encoding: str) -> UniferumError:
    if encoding != "utf-8-sig":
        return UniferumError(str(path), must="be valid UTF-16 text", cure="save the table as UTF-8")
    location, byte = str(path), 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as error:
                location, byte = f"{path}: line {number}", raw[error.start]
                break
    cure = f"byte {byte:#04x} is not UTF-8 (Latin-1 or Windows-1252?); save the table as UTF-8"
    return UniferumError(location, must="be UTF-8 text", cure=cure)


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []
