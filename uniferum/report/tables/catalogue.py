"""The named tables: those of the paper, those with all rows, and those with one row for each label.

A new table is one line here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from uniferum.errors import UniferumError, near_miss
from uniferum.evaluation.mask_words import METRICS as MASK_METRICS
from uniferum.report.published import of_labels
from uniferum.report.records import CellRecord, PendingCell, RowKey
from uniferum.report.systems import shown_encoder
from uniferum.report.tables.entries import ReportTable
from uniferum.report.tables.naming import cited_notes, of_phantoms, parts
from uniferum.report.tables.paper import METRIC_TITLES, MODEL_FACTS, group_table, row_facts
from uniferum.report.tables.pivot import SMALLER_IS_BETTER, Layout, pivot_table
from uniferum.report.tables.roles import with_roles
from uniferum.report.tables.wording import wording_table
from uniferum.systems import UNIFERUM

LABEL_FACTS = ("cohort", "group", "label")


@dataclass(frozen=True)
class Listed:
    """Definition of a named table: metric, title and rows."""

    metric: str
    title: str
    shows: Callable[[RowKey, str], bool]
    """Whether a row is shown; the second argument is the text encoder that is used in place of GatorTron."""
    layout: Layout | None = None
    """For tables of labels; None for tables of group means."""


def _every(row: RowKey, second: str) -> bool:
    return True


def _gatortron(row: RowKey, second: str) -> bool:
    return row[1] in ("gatortron", second)


def _not_gatortron(row: RowKey, second: str) -> bool:
    return not _gatortron(row, second)


def _masks(row: RowKey, second: str) -> bool:
    return "SEG" in row[2].split("+")


def _pubmedbert(row: RowKey, second: str) -> bool:
    return row[0] == UNIFERUM and not _gatortron(row, second)


TABLES: dict[str, Listed] = {
    "auroc": Listed("auroc", METRIC_TITLES["auroc"], _every),
    "aupr": Listed("aupr", METRIC_TITLES["aupr"], _every),
    "table2": Listed("auroc", "Table 2. Average area under the ROC curve (AUROC)", _not_gatortron),
    "appendix3": Listed(
        "auroc",
        "Appendix Table 3. AUROC of lung nodules on CT-RATE",
        _pubmedbert,
        Layout(MODEL_FACTS, ("cohort", "label"), where={"cohort": "CTRATE", "label": "lung_nodule"}),
    ),
    "appendix4": Listed("auroc", "Appendix Table 4. Average AUROC of Uniferum initialised by GatorTron", _gatortron),
    "appendix5": Listed("aupr", "Appendix Table 5. Area under the precision-recall curve (AUPR)", _pubmedbert),
    "labels": Listed("auroc", "AUROC by label", _every, Layout(LABEL_FACTS, MODEL_FACTS)),
    "labels-aupr": Listed("aupr", "Average precision by label", _every, Layout(LABEL_FACTS, MODEL_FACTS, "aupr")),
    "segmentation": Listed("dice", MASK_METRICS["dice"], _masks, Layout(LABEL_FACTS, MODEL_FACTS, "dice")),
    "segmentation-sensitivity": Listed(
        "mask_sensitivity",
        MASK_METRICS["mask_sensitivity"],
        _masks,
        Layout(LABEL_FACTS, MODEL_FACTS, "mask_sensitivity"),
    ),
    "segmentation-volume": Listed(
        "volume_error", MASK_METRICS["volume_error"], _masks, Layout(LABEL_FACTS, MODEL_FACTS, "volume_error")
    ),
    "wording": Listed("auroc", "AUROC by wording of the prompt", _every),
    "calibration": Listed("ece", "Expected calibration error", _every, Layout(MODEL_FACTS, ("cohort", "group"), "ece")),
}


def make_table(
    name: str,
    records: Sequence[CellRecord],
    pending: Sequence[PendingCell],
    *,
    published_rows: bool = False,
    where: Mapping[str, str] | None = None,
) -> ReportTable:
    """Make a named table.

    Args:
        name: one of ``TABLES``.
        records: finished cells.
        pending: expected cells without a result.
        published_rows: include rows, and in tables of labels columns, that only the paper has.
        where: limits a table of labels, e.g. ``{"cohort": "CTRATE"}``.

    Raises:
        UniferumError: no table has this name.
    """
    listed = TABLES.get(name)
    if listed is None:
        raise UniferumError("--table", name, must="be a known table", cure=near_miss(name, TABLES))
    cells = [*records, *pending]
    second, phantoms = parts(cells)[1], of_phantoms(cells)
    shown = [one for one in records if _in_table(one, listed, second)]
    waiting = [one for one in pending if _in_table(one, listed, second)]
    title = listed.title.replace("GatorTron", shown_encoder(second)) if second != "gatortron" else listed.title
    if listed.layout is not None:
        limits = {**(listed.layout.where or {}), **(where or {})}
        layout = _with_setting(replace(listed.layout, where=limits, title=title), row_facts([*shown, *waiting]))
        printed = [one for one in of_labels(layout.metric) if published_rows and listed.shows(one.row, second)]
        table = pivot_table(
            name, shown, waiting, layout, printed=printed, published_rows=published_rows, phantoms=phantoms
        )
        return with_roles(table, shown, smallest=layout.metric in SMALLER_IS_BETTER)
    if name == "wording":
        return wording_table(name, title, shown, waiting, where=where, phantoms=phantoms)
    columns = _limited(shown, where or {})
    table = group_table(
        name,
        shown,
        waiting,
        metric=listed.metric,
        title=title,
        columns=columns,
        published_rows=published_rows,
        shows=lambda row: listed.shows(row, second),
        phantoms=phantoms,
    )
    table = with_roles(table, shown)
    return replace(table, notes=(*cited_notes(table), *table.notes)) if published_rows and not phantoms else table


def _with_setting(layout: Layout, facts: tuple[str, ...]) -> Layout:
    """The layout with the setting of a cell behind its model, text encoder and mix."""
    rows, columns = (facts if side == MODEL_FACTS else side for side in (layout.rows, layout.columns))
    return replace(layout, rows=rows, columns=columns)


def _in_table(one: CellRecord | PendingCell, listed: Listed, second: str) -> bool:
    """Whether a table shows the row of a cell, or of an ensemble those of all its members; ensembles have no masks."""
    if one.members and listed.metric in MASK_METRICS:
        return False
    return all(listed.shows(row, second) for row in one.member_rows)


def _limited(records: Sequence[CellRecord], where: Mapping[str, str]) -> tuple[tuple[str, str], ...] | None:
    """The columns of one cohort or group; None if there is no such limit."""
    limits = {name: where[name] for name in ("cohort", "group") if name in where}
    if not limits:
        return None
    columns = dict.fromkeys((score.cohort, score.group) for record in records for score in record.groups)
    for name, value in limits.items():
        there = {column[name == "group"] for column in columns}
        if there and value not in there:
            raise UniferumError(f"--{name}", value, must="be among what was scored", cure=near_miss(value, there))
    left = [column for column in columns if all(column[name == "group"] == limits[name] for name in limits)]
    if not left:
        shown = ", ".join(" ".join(column) for column in columns)
        raise UniferumError("--cohort, --group", " ".join(limits.values()), must=f"be among what was scored: {shown}")
    return tuple(left)
