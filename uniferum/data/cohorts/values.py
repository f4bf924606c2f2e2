"""What a cell of a dataset's label table means: 0, 1, or unknown. Unknown is never negative."""

from collections.abc import Iterable, Mapping

from uniferum.data.cohorts.tables import Row
from uniferum.errors import UniferumError

MEANING: Mapping[str, int | None] = {
    **dict.fromkeys(("1", "1.0", "1.00", "true"), 1),
    **dict.fromkeys(("0", "0.0", "0.00", "false"), 0),
    **dict.fromkeys(("", "censored", "censor", "nan", "na", "n/a", "<na>", "null"), None),
}
"""INSPECT writes ``Censored``; its authors' own loader also drops ``Censor``. Empty cells and the marks of pandas, R
and SQL for a missing value are what tables are left with after a join. ``None`` is not among them: people write it for
"no finding"."""

MISSING_ID = frozenset({"na", "n/a", "nan", "<na>", "null", "none", "-", "?", "unknown"})
"""What stands in a column of patients where nobody knows who it is; together they would become one patient."""

CURES = {
    **dict.fromkeys(("-1", "-1.0", "u", "uncertain"), "leave the cell of an uncertain label empty"),
    **dict.fromkeys(("1,0", "0,0", "1,00", "0,00"), "write a decimal number with a point"),
}


def known(text: str, where: str | Row, column: str = "") -> int | None:
    """The value of a label cell: 1, 0, or ``None`` where unknown.

    Args:
        text: the cell.
        where: the cell's row, or file and column in words, for the error.
        column: the cell's column, where its row is given.

    Raises:
        UniferumError: the cell holds something else, e.g. a probability, or -1 for an uncertain label.
    """
    word = text.strip().lower()
    if word in MEANING:
        return MEANING[word]
    subject = where.where(column) if isinstance(where, Row) else where
    must = "be 0, 1, True, False, Censored or empty"
    raise UniferumError(subject, text, must=must, cure=CURES.get(word, ""))


def known_labels(row: Row, columns: Mapping[str, str]) -> dict[str, int]:
    """The known labels of a row.

    Args:
        row: of a table.
        columns: label id -> column.
    """
    values = ((label, known(row[column], row, column)) for label, column in columns.items())
    return {label: value for label, value in values if value is not None}


def known_id(text: str) -> str:
    """An identifier of a patient; empty where the cell only says that there is none."""
    return "" if text.lower() in MISSING_ID else text


def refuse_unknown(found: Iterable[str], allowed: Iterable[str], where: str, *, cure: str) -> None:
    """Refuse a table that has label columns nobody asked for: a misspelt label must not vanish.

    Raises:
        UniferumError: a found column is not allowed.
    """
    extra = sorted(set(found) - set(allowed))
    if extra:
        more = f" (and {len(extra) - 1} more)" if len(extra) > 1 else ""
        raise UniferumError(f"{where}: column {extra[0]}{more}", must="be known", cure=cure)
