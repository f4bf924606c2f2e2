"""The tables by name: those of the paper, and the two that hold every row. A new table is one line here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from uniferum.errors import UniferumError, near_miss
from uniferum.report.records import CellRecord, Pending, RowKey
from uniferum.report.tables import METRIC_TITLES, ReportTable, group_table


@dataclass(frozen=True)
class Listed:
    """How a named table is made: its metric, title and the rows that it shows."""

    metric: str
    title: str
    shows: Callable[[RowKey], bool]


def _every(row: RowKey) -> bool:
    return True


def _gatortron(row: RowKey) -> bool:
    return row[1] == "gatortron"


def _not_gatortron(row: RowKey) -> bool:
    return row[1] != "gatortron"


def _pubmedbert(row: RowKey) -> bool:
    return row[0] == "uniferum" and row[1] != "gatortron"


TABLES: dict[str, Listed] = {
    "auroc": Listed("auroc", METRIC_TITLES["auroc"], _every),
    "aupr": Listed("aupr", METRIC_TITLES["aupr"], _every),
    "table2": Listed("auroc", "Table 2. Average area under the ROC curve (AUROC)", _not_gatortron),
    "appendix4": Listed("auroc", "Appendix Table 4. Average AUROC of Uniferum initialised by GatorTron", _gatortron),
    "appendix5": Listed("aupr", "Appendix Table 5. Area under the precision-recall curve (AUPR)", _pubmedbert),
}


def make_table(
    name: str, records: Sequence[CellRecord], pending: Sequence[Pending], *, published_rows: bool = False
) -> ReportTable:
    """The named table of these cells.

    Raises:
        UniferumError: no table has this name.
    """
    listed = TABLES.get(name)
    if listed is None:
        raise UniferumError("--table", name, must="be a known table", cure=near_miss(name, TABLES))
    return group_table(
        name,
        [record for record in records if listed.shows(record.row)],
        [one for one in pending if listed.shows(one.row)],
        metric=listed.metric,
        title=listed.title,
        published_rows=published_rows,
        shows=listed.shows,
    )
