"""What a cell of a dataset's label table means: 0, 1, or unknown. Unknown is never negative."""

from collections.abc import Iterable, Mapping

from uniferum.errors import UniferumError

POSITIVE = frozenset({"1", "1.0", "true"})
NEGATIVE = frozenset({"0", "0.0", "false"})
UNKNOWN = frozenset({"", "censored", "censor", "nan"})
"""INSPECT writes ``Censored``; its authors' own loader also drops ``Censor``. Empty and NaN are what tables are left
with after a join."""


def known(text: str, where: str) -> int | None:
    """The value of a label cell: 1, 0, or ``None`` where unknown.

    Args:
        text: the cell.
        where: file and column, for the error.

    Raises:
        UniferumError: the cell holds something else, e.g. a probability.
    """
    word = text.strip().lower()
    if word in UNKNOWN:
        return None
    if word in POSITIVE:
        return 1
    if word in NEGATIVE:
        return 0
    raise UniferumError(where, text, must="be 0, 1, True, False, Censored or empty")


def known_labels(row: Mapping[str, str], columns: Mapping[str, str], where: str) -> dict[str, int]:
    """The known labels of a row.

    Args:
        row: column -> cell.
        columns: label id -> column.
        where: the file, for the error.
    """
    values = ((label, known(row[column], f"{where}: {column}")) for label, column in columns.items())
    return {label: value for label, value in values if value is not None}


def refuse_unknown(found: Iterable[str], allowed: Iterable[str], where: str, *, cure: str) -> None:
    """Refuse a table that has label columns nobody asked for: a misspelt label must not vanish.

    Raises:
        UniferumError: a found column is not allowed.
    """
    extra = sorted(set(found) - set(allowed))
    if extra:
        more = f" (and {len(extra) - 1} more)" if len(extra) > 1 else ""
        raise UniferumError(f"{where}: column {extra[0]}{more}", must="be known", cure=cure)
