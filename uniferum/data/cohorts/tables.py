"""Reading a dataset's tables by streaming: row by row, with joins through a temporary index on disk.

A table is read strictly: every row is as long as its header, every quote is closed, and an error names the line. No
table is ever held whole: 50,000 rows cost the memory of one row and of SQLite's page cache.
"""

import bisect
import csv
import hashlib
import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

from uniferum.data.cohorts.dialect import BLANKS, WIDEST_FIELD, Dialect, dialect_of, lines
from uniferum.data.cohorts.known_tables import named_after
from uniferum.errors import UniferumError, near_miss

V = TypeVar("V")

INDEX_COLUMN = re.compile(r"Unnamed: \d+|")
"""What pandas calls, or leaves as, the column of its row numbers; skipped where it stands first and is not needed."""


class Row(dict[str, str]):
    """A row's needed cells by column; it knows where it stands and what it is about, for errors."""

    def __init__(self, cells: Iterable[tuple[str, str]], path: Path, line: int, about: str) -> None:
        super().__init__(cells)
        self.path, self.line, self.about = path, line, about

    def where(self, column: str | None = None) -> str:
        """File, line, column and scan, as an error names them."""
        parts = [f"{self.path}: line {self.line}"]
        parts += [f"column {column}"] if column else []
        parts += [self.about] if self.about else []
        return ", ".join(parts)


def rows(
    path: Path, needed: Sequence[str], *, delimiter: str = ",", unit: str = "scan", free_text: Sequence[str] = ()
) -> Iterator[Row]:
    """The rows of a table as mappings of column to text, one at a time; a cell's blanks are trimmed.

    Lines without a filled cell are skipped. A column without a name is skipped where all its cells are empty.

    Args:
        path: a text table with a header line; see :mod:`uniferum.data.cohorts.dialect`.
        needed: columns that must be there, the one that identifies a row first; only these are kept.
        delimiter: the dataset's own, ``,`` or a tab; others are recognised by the header.
        unit: what a row is about, for errors.
        free_text: needed columns of reports, whose cells may run over several lines.

    Raises:
        UniferumError: the file is missing, no text, lacks a needed column, has a row of another length, or one that
            runs into the next because a quote is not closed.
    """
    table = _open(path, delimiter, needed)
    places = [table.place(column) for column in needed]
    for number, last, cells in table.body():
        row = Row(_kept(needed, places, cells), path, number, "")
        if not any(row.values()) and not any(cell.strip(BLANKS) for cell in cells):
            continue
        key = row.get(needed[0], "") if needed else ""
        row.about = f"{unit} {key}" if key else ""
        if len(cells) != len(table.names):
            raise _other_length(table, row, len(cells))
        for place in table.unnamed:
            if cells[place].strip(BLANKS):
                raise UniferumError(f"{row.where()}, column {place + 1}", must="have a name in the header")
        if last > number:
            _refuse_run_on(table, row, cells, free_text)
        yield row


def header(path: Path, *, delimiter: str = ",", needed: Sequence[str] = ()) -> list[str]:
    """The named columns of a table, those of ``needed`` as they are written there.

    Raises:
        UniferumError: the file is missing, no text, empty, or names a column twice.
    """
    table = _open(path, delimiter, needed)
    written = {table.names[place]: name for name in needed if (place := table.find(name)) is not None}
    return [written.get(name, name) for place, name in enumerate(table.names) if name and place != table.index]


@dataclass(frozen=True)
class _Table:
    """An opened table: how it is written, and its columns.

    Attributes:
        names: of all columns, trimmed.
        index: place of pandas' column of row numbers; ``None`` without one.
        unnamed: places of the other columns without a name.
    """

    path: Path
    dialect: Dialect
    names: list[str]
    index: int | None
    unnamed: tuple[int, ...]

    def find(self, column: str) -> int | None:
        """Place of a column: of its very name, or of the only one that differs in case and blanks alone."""
        if column in self.names:
            return self.names.index(column)
        alike = [place for place, name in enumerate(self.names) if _bare(name) == _bare(column)]
        return alike[0] if len(alike) == 1 else None

    def place(self, column: str) -> int:
        """Place of a column that must be there."""
        found = self.find(column)
        if found is None:
            names = [name for name in self.names if name]
            listed = f"its columns are {', '.join(names)}" if len(names) <= 30 else f"it has {len(names)} columns"
            close = near_miss(column, names)
            cure = close if close.startswith("did you mean") else listed
            raise UniferumError(f"{self.path}: column {column}", must="be there", cure=cure + named_after(names))
        return found

    def body(self) -> Iterator[tuple[int, int, list[str]]]:
        """The first and the last line of each row, and its cells; empty lines are left out."""
        body = _parsed(self.path, self.dialect)
        next(body)
        yield from body


def _open(path: Path, delimiter: str, needed: Sequence[str]) -> _Table:
    dialect = dialect_of(path, delimiter, needed)
    for _, _, cells in _parsed(path, dialect):
        names = [name.strip(BLANKS) for name in cells]
        given = [name for name in names if name]
        twice = sorted({name for name in given if given.count(name) > 1}) if len(set(given)) < len(given) else []
        if twice:
            raise UniferumError(f"{path}: column", twice[0], must="be named once")
        first = names[0] if len(names) > 1 else None
        index = 0 if first is not None and first not in needed and INDEX_COLUMN.fullmatch(first) else None
        unnamed = tuple(place for place, name in enumerate(names) if not name and place != index)
        return _Table(path, dialect, names, index, unnamed)
    raise UniferumError(str(path), must="hold a header line", cure="the file is empty")


def _parsed(path: Path, dialect: Dialect) -> Iterator[tuple[int, int, list[str]]]:
    csv.field_size_limit(WIDEST_FIELD)
    text = lines(path, dialect.encoding)
    for _ in range(dialect.skip):
        next(text, None)
    reader = csv.reader(text, delimiter=dialect.delimiter, strict=True, skipinitialspace=True)
    began = 1
    try:
        for cells in reader:
            if cells:
                yield began + dialect.skip, reader.line_num + dialect.skip, cells
            began = reader.line_num + 1
    except csv.Error as error:
        where = f"{path}: line {began + dialect.skip}"
        cure = next((cure for words, cure in _CSV_CURES.items() if words in str(error)), str(error))
        raise UniferumError(where, must="be a readable table", cure=cure) from None


_CSV_CURES = {
    "unexpected end of data": "a quote that opens there is never closed",
    "expected after": "something follows a closing quote; a quote within a quoted cell is written twice",
}


def _refuse_run_on(table: _Table, row: Row, cells: Sequence[str], free_text: Sequence[str]) -> None:
    """Refuse a row of several lines, unless the line breaks stand in free text.

    Two quotes that are left open in different rows make one row of the right length out of all lines between them,
    with the labels of the last one. Its cell then begins with the end of a row and ends with the beginning of one.
    """
    delimiter = table.dialect.delimiter
    needed, texts = ({table.find(column) for column in columns} for columns in (row, free_text))
    for place, cell in enumerate(cells):
        lines_of = cell.splitlines()
        if len(lines_of) < 2 or place in texts:
            continue
        head, tail = lines_of[0].count(delimiter), lines_of[-1].count(delimiter)
        run_on = head >= len(cells) - 1 - place and tail >= place
        if place in needed or (run_on and not free_text):
            cure = "a quote that opens there is closed in a later row, or the cell holds a line break"
            raise UniferumError(row.where(table.names[place]), must="be on one line", cure=cure)


def _other_length(table: _Table, row: Row, length: int) -> UniferumError:
    cure = "a cell is missing, or a quote is not closed"
    if length > len(table.names):
        cure = "a comma, semicolon or tab within a cell needs quotes around it, and a decimal number a point"
    return UniferumError(
        row.where(), f"{length} fields", must=f"be a row of {len(table.names)}, as its header", cure=cure
    )


def _kept(needed: Sequence[str], places: Sequence[int], cells: Sequence[str]) -> Iterator[tuple[str, str]]:
    for column, place in zip(needed, places, strict=True):
        if place < len(cells):
            yield column, cells[place].strip(BLANKS)


def _bare(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def one_file(folder: Path, pattern: str) -> Path:
    """The newest file of ``folder`` that matches ``pattern``, for tables with a date in their name.

    Raises:
        UniferumError: no file matches.
    """
    found = sorted(folder.glob(pattern))
    if not found:
        raise UniferumError(str(folder / pattern), must="match a file", cure="check the cohort's root")
    return found[-1]


class Index(Generic[V]):
    """Rows kept on disk by key: for joins and for seeing a key twice, in bounded memory. V is a cell's type."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("")  # the empty name is SQLite's temporary database on disk
        self._base.execute("CREATE TABLE kept (key TEXT PRIMARY KEY, row TEXT, seen INTEGER DEFAULT 0) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def close(self) -> None:
        """Drop everything."""
        self._base.close()

    def add(self, key: str, row: Mapping[str, V] | None = None) -> bool:
        """Keep a row; ``False`` where the key was there already (the first row stays)."""
        done = self._base.execute("INSERT OR IGNORE INTO kept (key, row) VALUES (?, ?)", (key, json.dumps(row or {})))
        return done.rowcount == 1

    def merge(self, key: str, row: Mapping[str, V]) -> None:
        """Lay ``row`` over what is kept for the key."""
        whole = {**(self.peek(key) or {}), **row}
        self._base.execute("INSERT OR REPLACE INTO kept (key, row) VALUES (?, ?)", (key, json.dumps(whole)))

    def get(self, key: str) -> dict[str, V] | None:
        """The row of a key, marked as seen; ``None`` where there is none."""
        row = self.peek(key)
        if row is not None:
            self._base.execute("UPDATE kept SET seen = 1 WHERE key = ? AND seen = 0", (key,))
        return row

    def peek(self, key: str) -> dict[str, V] | None:
        """The row of a key, without marking it; ``None`` where there is none."""
        found = self._base.execute("SELECT row FROM kept WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def __contains__(self, key: str) -> bool:
        return self._base.execute("SELECT 1 FROM kept WHERE key = ?", (key,)).fetchone() is not None

    def unseen(self) -> Iterator[str]:
        """Keys that :meth:`get` never returned, in order."""
        yield from (key for (key,) in self._base.execute("SELECT key FROM kept WHERE seen = 0 ORDER BY key"))


def drawn_first(keys: Iterable[str], count: int, seed: int) -> frozenset[str]:
    """``count`` distinct keys drawn without replacement, the same for a seed whatever the order of ``keys``.

    Holds ``count`` keys, however many there are.
    """
    kept: dict[str, str] = {}
    places: list[str] = []  # places in the shuffle, in order
    for key in keys:
        place = draw(key, seed)
        if count <= 0 or place in kept or (len(kept) == count and place > places[-1]):
            continue
        kept[place] = key
        bisect.insort(places, place)
        if len(kept) > count:
            del kept[places.pop()]
    return frozenset(kept.values())


def draw(key: str, seed: int) -> str:
    """A key's place in a seeded shuffle: the SHA-256 of seed and key."""
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()
