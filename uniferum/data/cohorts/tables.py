"""Reading a dataset's tables by streaming: row by row, with joins through a temporary index on disk.

No table is ever held whole: 50,000 rows cost the memory of one row and of SQLite's page cache.
"""

import bisect
import csv
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from uniferum.errors import UniferumError, near_miss

WIDEST_FIELD = 16 * 2**20
"""Characters of one field (a report, a list of numbers) that are still read."""


def rows(path: Path, needed: Sequence[str], *, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """The rows of a table as mappings of column to text, one at a time; a row's blanks are trimmed.

    Args:
        path: a UTF-8 text table with a header line.
        needed: columns that must be there; only these are kept.
        delimiter: ``,`` or a tab.

    Raises:
        UniferumError: the file is missing, no UTF-8, lacks a needed column, or has a row of another length.
    """
    for number, cells, places in _cells(path, needed, delimiter):
        if len(cells) <= max(places, default=0):
            raise UniferumError(f"{path}: row {number}", f"{len(cells)} fields", must="have a field for each column")
        yield {column: cells[place].strip() for column, place in zip(needed, places, strict=True)}


def header(path: Path, *, delimiter: str = ",") -> list[str]:
    """The column names of a table.

    Raises:
        UniferumError: the file is missing, no UTF-8, empty, or names a column twice.
    """
    for row in _lines(path, delimiter):
        names = [name.strip() for name in row]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise UniferumError(f"{path}: column", twice[0], must="be named once")
        return names
    raise UniferumError(str(path), must="hold a header line", cure="the file is empty")


def _cells(path: Path, needed: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str], list[int]]]:
    names = header(path, delimiter=delimiter)
    for column in needed:
        if column not in names:
            listed = f"its columns are {', '.join(names)}" if len(names) <= 30 else f"it has {len(names)} columns"
            cure = close if (close := near_miss(column, names)).startswith("did you mean") else listed
            raise UniferumError(f"{path}: column {column}", must="be there", cure=cure)
    places = [names.index(column) for column in needed]
    lines = _lines(path, delimiter)
    next(lines)
    for number, cells in enumerate(lines, start=2):
        if cells:
            yield number, cells, places


def _lines(path: Path, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(WIDEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.reader(file, delimiter=delimiter)
    except FileNotFoundError:
        cure = "check the cohort's root; its layout is in docs/datasets.md"
        raise UniferumError(str(path), must="exist", cure=cure) from None
    except UnicodeDecodeError as error:
        cure = f"byte {error.object[error.start]:#04x} is not UTF-8; save the table as UTF-8"
        raise UniferumError(str(path), must="be UTF-8 text", cure=cure) from None
    except (csv.Error, OSError) as error:
        raise UniferumError(str(path), must="be a readable table", cure=str(error)) from None


def one_file(folder: Path, pattern: str) -> Path:
    """The newest file of ``folder`` that matches ``pattern``, for tables with a date in their name.

    Raises:
        UniferumError: no file matches.
    """
    found = sorted(folder.glob(pattern))
    if not found:
        raise UniferumError(str(folder / pattern), must="match a file", cure="check the cohort's root")
    return found[-1]


class Index:
    """Rows kept on disk by key: for joins and for seeing a key twice, in bounded memory."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("")  # the empty name is SQLite's temporary database on disk
        self._base.execute("CREATE TABLE kept (key TEXT PRIMARY KEY, row TEXT, seen INTEGER DEFAULT 0) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def add(self, key: str, row: Mapping[str, object] | Sequence[object] = ()) -> bool:
        """Keep a row; ``False`` where the key was there already (the first row stays)."""
        done = self._base.execute("INSERT OR IGNORE INTO kept (key, row) VALUES (?, ?)", (key, json.dumps(row)))
        return done.rowcount == 1

    def merge(self, key: str, row: Mapping[str, object]) -> None:
        """Lay ``row`` over what is kept for the key."""
        whole = {**(self.peek(key) or {}), **row}
        self._base.execute("INSERT OR REPLACE INTO kept (key, row) VALUES (?, ?)", (key, json.dumps(whole)))

    def get(self, key: str) -> dict[str, str] | None:
        """The row of a key, marked as seen; ``None`` where there is none."""
        row = self.peek(key)
        if row is not None:
            self._base.execute("UPDATE kept SET seen = 1 WHERE key = ? AND seen = 0", (key,))
        return row

    def peek(self, key: str) -> dict[str, str] | None:
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
