"""Meaning of a cell in a dataset's label table: 0, 1, or unknown, which is never negative."""

from collections.abc import Iterable, Mapping

from uniferum.data.cohorts.tables import Row
from uniferum.errors import UniferumError

MEANING: Mapping[str, int | None] = {
    **dict.fromkeys(("1", "1.0", "1.00", "true"), 1),
    **dict.fromkeys(("0", "0.0", "0.00", "false"), 0),
    **dict.fromkeys(("", "censored", "censor", "nan", "na", "n/a", "<na>", "null"), None),
}
"""INSPECT writes ``Censored``; its authors' loader also drops ``Censor``. Empty cells and the missing values of pandas,
R and SQL remain in tables after a join. ``None`` is not included, because people write it for "no finding"."""

MISSING_ID = frozenset({"na", "n/a", "nan", "<na>", "null", "none", "-", "?", "unknown"})
"""Cells of a patient column for unknown patients, which must not become one patient."""

CURES = {
    **dict.fromkeys(("-1", "-1.0", "u", "uncertain"), "leave the cell of an uncertain label empty"),
    **dict.fromkeys(("1,0", "0,0", "1,00", "0,00"), "use a decimal point"),
}


def known(text: str, where: str | Row, column: str = "") -> int | None:
    """Value of a label cell: 1, 0, or ``None`` if unknown.

    Args:
        text: content of the cell.
        where: the cell's row, or its file and column in words, for the error.
        column: column of the cell, if ``where`` is a row.

    Raises:
        UniferumError: the cell has another value, e.g. a probability, or -1 for an uncertain label.
    """
    word = text.strip().lower()
    if word in MEANING:
        return MEANING[word]
    subject = where.where(column) if isinstance(where, Row) else where
    must = "be 0, 1, True, False, Censored or empty"
    raise UniferumError(subject, text, must=must, cure=CURES.get(word, ""))


def known_labels(row: Row, columns: Mapping[str, str]) -> dict[str, int]:
    """Known labels of a row.

    Args:
        row: row of a table.
        columns: label id to column.
    """
    values = ((label, known(row[column], row, column)) for label, column in columns.items())
    return {label: value for label, value in values if value is not None}


def known_id(text: str) -> str:
    """Patient identifier; empty if the cell only marks a missing one."""
    return "" if text.lower() in MISSING_ID else text


def refuse_unknown(columns: Iterable[str], allowed: Iterable[str], where: str, *, cure: str) -> None:
    """Refuse a table with unexpected label columns: a misspelt label must not be lost.

    Raises:
        UniferumError: a column is not allowed.
    """
    extra = sorted(set(columns) - set(allowed))
    if extra:
        more = f" (and {len(extra) - 1} more)" if len(extra) > 1 else ""
        raise UniferumError(f"{where}: column {extra[0]}{more}", must="be known", cure=cure)
