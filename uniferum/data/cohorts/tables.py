"""Read a dataset's tables as streams, row by row, with joins through a temporary index on disk.

Tables are read strictly: every row is as long as the header, every quote is closed, and errors name the line. No table
is held in memory: 50,000 rows need the memory of one row and of SQLite's page cache.
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
"""Names that pandas gives its column of row numbers; skipped if it is first and not needed."""


class Row(dict[str, str]):
    """Needed cells of a row by column; it stores its file, line and subject for error messages."""

    def __init__(self, cells: Iterable[tuple[str, str]], path: Path, line: int, about: str) -> None:
        super().__init__(cells)
        self.path, self.line, self.about = path, line, about

    def where(self, column: str | None = None) -> str:
        """File, line, column and scan, for error messages."""
        parts = [f"{self.path}: line {self.line}"]
        parts += [f"column {column}"] if column else []
        parts += [self.about] if self.about else []
        return ", ".join(parts)


def rows(
    path: Path, needed: Sequence[str], *, delimiter: str = ",", unit: str = "scan", free_text: Sequence[str] = ()
) -> Iterator[Row]:
    """Yield the rows of a table as mappings of column to text; white space around a cell is removed.

    Lines without a non-empty cell are skipped. A column without a name is skipped if all its cells are empty.

    Args:
        path: a text table with a header line; see :mod:`uniferum.data.cohorts.dialect`.
        needed: required columns, the row's identifier first; only these are returned.
        delimiter: the dataset's usual delimiter, ``,`` or a tab; others are recognised by the header.
        unit: what a row describes, for error messages.
        free_text: needed columns of reports, whose cells may have several lines.

    Raises:
        UniferumError: the file is missing or not text, lacks a needed column, has a row of another length, or a row
            that runs into the next one because a quote is not closed.
    """
    table = _open(path, delimiter, needed)
    indices = [table.position(column) for column in needed]
    for number, last, cells in table.body():
        row = Row(_cells_by_column(needed, indices, cells), path, number, "")
        if not any(row.values()) and not any(cell.strip(BLANKS) for cell in cells):
            continue
        key = row.get(needed[0], "") if needed else ""
        row.about = f"{unit} {key}" if key else ""
        if len(cells) != len(table.names):
            raise _other_length(table, row, len(cells))
        for position in table.unnamed:
            if cells[position].strip(BLANKS):
                raise UniferumError(f"{row.where()}, column {position + 1}", must="have a name in the header")
        if last > number:
            _refuse_run_on(table, row, cells, free_text)
        yield row


def header(path: Path, *, delimiter: str = ",", needed: Sequence[str] = ()) -> list[str]:
    """Named columns of a table; the spelling of ``needed`` is used for its columns.

    Raises:
        UniferumError: the file is missing, not text, empty, or has two columns of one name.
    """
    table = _open(path, delimiter, needed)
    written = {table.names[at]: name for name in needed if (at := table.find(name)) is not None}
    return [written.get(name, name) for at, name in enumerate(table.names) if name and at != table.index]


@dataclass(frozen=True)
class _Table:
    """An opened table: its dialect and its columns.

    Attributes:
        names: names of all columns, without white space around them.
        index: index of pandas' column of row numbers; ``None`` without one.
        unnamed: indices of the other columns without a name.
    """

    path: Path
    dialect: Dialect
    names: list[str]
    index: int | None
    unnamed: tuple[int, ...]

    def find(self, column: str) -> int | None:
        """Index of the column with this name, or of the only one that differs only in case and white space."""
        if column in self.names:
            return self.names.index(column)
        alike = [at for at, name in enumerate(self.names) if _bare(name) == _bare(column)]
        return alike[0] if len(alike) == 1 else None

    def position(self, column: str) -> int:
        """Index of a required column."""
        position = self.find(column)
        if position is None:
            names = [name for name in self.names if name]
            listed = f"its columns are {', '.join(names)}" if len(names) <= 30 else f"it has {len(names)} columns"
            close = near_miss(column, names)
            cure = close if close.startswith("did you mean") else listed
            raise UniferumError(f"{self.path}: column {column}", must="exist", cure=cure + named_after(names))
        return position

    def body(self) -> Iterator[tuple[int, int, list[str]]]:
        """First and last line of each row, and its cells; empty lines are skipped."""
        body = _parsed(self.path, self.dialect)
        next(body)
        yield from body


def _open(path: Path, delimiter: str, needed: Sequence[str]) -> _Table:
    dialect = dialect_of(path, delimiter, needed)
    for _, _, cells in _parsed(path, dialect):
        names = [name.strip(BLANKS) for name in cells]
        named = [name for name in names if name]
        twice = sorted({name for name in named if named.count(name) > 1}) if len(set(named)) < len(named) else []
        if twice:
            raise UniferumError(f"{path}: column", twice[0], must="be named once")
        first = names[0] if len(names) > 1 else None
        index = 0 if first is not None and first not in needed and INDEX_COLUMN.fullmatch(first) else None
        unnamed = tuple(at for at, name in enumerate(names) if not name and at != index)
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
        location = f"{path}: line {began + dialect.skip}"
        cure = next((cure for words, cure in _CSV_CURES.items() if words in str(error)), str(error))
        raise UniferumError(location, must="be a readable table", cure=cure) from None


_CSV_CURES = {
    "unexpected end of data": "a quote is opened there and never closed",
    "expected after": "something follows a closing quote; write a quote within a quoted cell twice",
}


def _refuse_run_on(table: _Table, row: Row, cells: Sequence[str], free_text: Sequence[str]) -> None:
    """Refuse a row of several lines, unless the line breaks are in free text.

    Two unclosed quotes in different rows make one row of the right length out of all lines between them, with the
    labels of the last one. Its cell then begins with the end of a row and ends with the beginning of one.
    """
    delimiter = table.dialect.delimiter
    needed, texts = ({table.find(column) for column in columns} for columns in (row, free_text))
    for index, cell in enumerate(cells):
        lines_of = cell.splitlines()
        if len(lines_of) < 2 or index in texts:
            continue
        head, tail = lines_of[0].count(delimiter), lines_of[-1].count(delimiter)
        run_on = head >= len(cells) - 1 - index and tail >= index
        if index in needed or (run_on and not free_text):
            cure = "a quote is opened there and closed in a later row, or the cell has a line break"
            raise UniferumError(row.where(table.names[index]), must="be on one line", cure=cure)


def _other_length(table: _Table, row: Row, length: int) -> UniferumError:
    cure = "a cell is missing, or a quote is not closed"
    if length > len(table.names):
        cure = "a comma, semicolon or tab within a cell needs quotes, and decimal numbers need a point"
    return UniferumError(
        row.where(), f"{length} fields", must=f"be a row of {len(table.names)} fields like the header", cure=cure
    )


def _cells_by_column(needed: Sequence[str], indices: Sequence[int], cells: Sequence[str]) -> Iterator[tuple[str, str]]:
    for column, index in zip(needed, indices, strict=True):
        if index < len(cells):
            yield column, cells[index].strip(BLANKS)


def _bare(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def one_file(folder: Path, pattern: str) -> Path:
    """The newest file in ``folder`` that matches ``pattern``, for tables with a date in their name.

    Raises:
        UniferumError: no file matches.
    """
    matches = sorted(folder.glob(pattern))
    if not matches:
        raise UniferumError(str(folder / pattern), must="match a file", cure="check the cohort's root")
    return matches[-1]


class Index(Generic[V]):
    """Rows on disk by key, for joins and to detect repeated keys, in bounded memory; V is the type of a cell."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("")  # the empty name is a temporary database on disk
        self._base.execute("CREATE TABLE kept (key TEXT PRIMARY KEY, row TEXT, seen INTEGER DEFAULT 0) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def close(self) -> None:
        """Delete the temporary database."""
        self._base.close()

    def add(self, key: str, row: Mapping[str, V] | None = None) -> bool:
        """Store a row; ``False`` if the key already exists, whose first row is kept."""
        done = self._base.execute("INSERT OR IGNORE INTO kept (key, row) VALUES (?, ?)", (key, json.dumps(row or {})))
        return done.rowcount == 1

    def merge(self, key: str, row: Mapping[str, V]) -> None:
        """Merge ``row`` into the stored row of the key."""
        whole = {**(self.peek(key) or {}), **row}
        self._base.execute("INSERT OR REPLACE INTO kept (key, row) VALUES (?, ?)", (key, json.dumps(whole)))

    def get(self, key: str) -> dict[str, V] | None:
        """Row of a key, which is marked as seen; ``None`` if there is none."""
        row = self.peek(key)
        if row is not None:
            self._base.execute("UPDATE kept SET seen = 1 WHERE key = ? AND seen = 0", (key,))
        return row

    def peek(self, key: str) -> dict[str, V] | None:
        """Row of a key, without marking it; ``None`` if there is none."""
        stored = self._base.execute("SELECT row FROM kept WHERE key = ?", (key,)).fetchone()
        return None if stored is None else json.loads(stored[0])

    def __contains__(self, key: str) -> bool:
        return self._base.execute("SELECT 1 FROM kept WHERE key = ?", (key,)).fetchone() is not None

    def unseen(self) -> Iterator[str]:
        """Keys that :meth:`get` was never called with, in order."""
        yield from (key for (key,) in self._base.execute("SELECT key FROM kept WHERE seen = 0 ORDER BY key"))


def drawn_first(keys: Iterable[str], count: int, seed: int) -> frozenset[str]:
    """Draw ``count`` distinct keys without replacement; the result does not depend on the order of ``keys``.

    Memory use is ``count`` keys, however many keys there are.
    """
    kept: dict[str, str] = {}
    ranks: list[str] = []  # ranks in the shuffle, in order
    for key in keys:
        rank = draw(key, seed)
        if count <= 0 or rank in kept or (len(kept) == count and rank > ranks[-1]):
            continue
        kept[rank] = key
        bisect.insort(ranks, rank)
        if len(kept) > count:
            del kept[ranks.pop()]
    return frozenset(kept.values())


def draw(key: str, seed: int) -> str:
    """Rank of a key in a seeded shuffle: the SHA-256 of seed and key."""
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()
