"""Published values beside the cells that can be compared with them, and why the other values cannot.

A value can be compared with a cell if both use the same metric and the same labels, the value was measured on the
paper's test set, and the cell is comparable (:mod:`uniferum.report.checks.comparability`). A value with unknown labels
or an unknown test set is compared with no cell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from uniferum.errors import UniferumError, near_miss
from uniferum.report.checks.comparability import Comparison, compare
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.verdict import judged_column
from uniferum.report.records import CellRecord, RowKey
from uniferum.report.registry import PublishedValue, read_on, registry
from uniferum.report.tables.entries import Entry, ReportTable
from uniferum.report.tables.pivot import METRICS
from uniferum.report.tables.rendering import row_names
from uniferum.report.tables.sheet import Sheet
from uniferum.systems import trained_by_paper

SCOPES = ("paper", "all")
"""``paper``: values that the paper prints, its own and cited ones; ``all``: also values published elsewhere."""

NEEDED = {"model", "text_encoder", "train_on", "cohort"}
HEADINGS = ["Model", "Text encoder", "Training data", "Column", "Ours", "Published system", "Trained on", "Published"]
HEADINGS += ["Difference", "Its 95 %", "Scored on", "Remarks", "Source", "Date"]


@dataclass(frozen=True)
class Number:
    """One of our numbers: its row and column, and whether it can be compared with the paper's."""

    at: int
    """Its position in the order of the table."""
    row: RowKey
    column: tuple[str, str, str]
    """Cohort, group and label; the label is empty for a mean."""
    entry: Entry
    compared: Comparison


@dataclass
class Refused:
    """Values that cannot be compared, with reasons: the paper's own counted by column, the others one by one."""

    own: dict[tuple[str, str], int] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)

    def add(self, value: PublishedValue, reason: str) -> None:
        """Record why a value cannot be compared, once for each reason."""
        if _is_own(value):
            key = " ".join(part for part in (value.test_set.cohort, value.label or value.group) if part), reason
            self.own[key] = self.own.get(key, 0) + 1
            return
        reasons = self.others.setdefault(_described(value), [])
        if reason not in reasons:
            reasons.append(reason)

    def lines(self) -> list[str]:
        """Format one line for each value, the paper's own first."""
        own = [f"The paper's {n} on {at}: not comparable: {reason}." for (at, reason), n in self.own.items()]
        reasons = {name: "; with other cells: ".join(whys) for name, whys in self.others.items()}
        return [*own, *(f"{name}: not comparable: {reason}." for name, reason in reasons.items())]


def against_sheet(
    table: ReportTable,
    records: Sequence[CellRecord],
    agreement: Margins,
    scope: str,
    *,
    values: Sequence[PublishedValue] | None = None,
) -> Sheet:
    """Make the table of published values beside our numbers; below it, why the other values cannot be compared.

    Args:
        table: our numbers; only those of one model with its training data are compared.
        records: the cells of the table.
        agreement: margins and comparability from the grid file.
        scope: one of ``SCOPES``.
        values: the published values; by default the registry.

    Raises:
        UniferumError: the scope is unknown, or the registry or a record is damaged.
    """
    if scope not in SCOPES:
        raise UniferumError("--against", scope, must="be a known set of values", cure=near_miss(scope, SCOPES))
    published = [one for one in (registry() if values is None else values) if scope == "all" or one.row is not None]
    title = f"Published values beside {table.title}"
    if all(value.metric != table.metric for value in published):
        none = f"There are no published values to compare with: the registry has none of this metric ({table.metric})."
        return Sheet(title, HEADINGS, [], [none], words=4)
    numbers, refused = list(_numbers(table, records, agreement)), Refused()
    cohorts = {one.column[0] for one in numbers}
    rows: list[tuple[int, list[str]]] = []
    elsewhere = 0
    for value in published:
        matched = list(_matched(value, numbers, table.metric)) if value.test_set.cohort in cohorts else []
        elsewhere += not matched and value.metric == table.metric
        for one, reason in matched:
            if one is None or reason:
                refused.add(value, reason)
            else:
                rows.append((one.at, _line(one, value)))
    lines = [line for _, line in sorted(rows, key=lambda placed: placed[0])]
    said = f"Published values: {scope}. Difference: ours minus the published. Sources were read on {read_on()}."
    other = [] if numbers else ["No number of this table is of one model with its training data."]
    more = [f"{elsewhere} more are of rows, columns or cohorts that this table does not have."] if elsewhere else []
    below = [said, *other, *refused.lines(), *more]
    return Sheet(title, HEADINGS, lines, below, words=4)


def _numbers(table: ReportTable, records: Sequence[CellRecord], agreement: Margins) -> Iterator[Number]:
    names = (*table.row_facts, *table.column_facts)
    if not set(names) >= NEEDED or not {"group", "label"} & set(names):
        return
    cells = {record.name: record for record in records}
    for at, ((row, column), entry) in enumerate(table.entries.items()):
        facts = dict(zip(names, (*row, *column), strict=True))
        judged = judged_column(facts, entry)
        if entry.known:
            shown = [cells[name] for name in entry.cells if name in cells]
            key = next((one.row for one in shown), (facts["model"], facts["text_encoder"], facts["train_on"]))
            yield Number(at, key, (judged.cohort, judged.group, judged.label), entry, compare(judged, shown, agreement))


def _matched(value: PublishedValue, numbers: Sequence[Number], metric: str) -> Iterator[tuple[Number | None, str]]:
    """Find our numbers with the metric and labels of a value, each with the reason why it cannot be compared."""
    if value.metric != metric:
        if value.metric not in METRICS:
            yield None, f"the report has no {value.metric}"
        return
    fault = own_fault(value)
    if not value.labels_known or value.other_labels:
        yield None, fault
        return
    of_row = [one for one in numbers if one.row == value.row] if _is_own(value) else numbers
    same = [one for one in of_row if _same_labels(value, one)]
    if fault:
        yield from [(None, fault)] if same else []
        return
    yield from ((one, (one.entry.apart if _is_own(value) else "") or one.compared.incomparable) for one in same)


def own_fault(value: PublishedValue) -> str:
    """Why a value cannot be compared with any cell; empty if it can."""
    if not value.labels_known:
        return "which labels it is of is not known"
    if value.other_labels:
        return f"other labels: {value.other_labels}"
    if value.test_set.papers:
        return ""
    if value.test_set.split is None:
        return f"not known of its test set: {value.test_set.unknown}"
    return f"another test set: {value.test_set}"


def _same_labels(value: PublishedValue, one: Number) -> bool:
    cohort, group, label = one.column
    same = (cohort, label) == (value.test_set.cohort, value.label)
    return same and (bool(label) or group == value.group)


def _is_own(value: PublishedValue) -> bool:
    """Whether the paper's authors trained the system of a value; it is compared with that system only."""
    return value.row is not None and trained_by_paper(value.row[0])


def _described(value: PublishedValue) -> str:
    labels = " ".join(part for part in (value.test_set.cohort, value.label or value.group) if part)
    metric = value.metric.upper() if value.metric in METRICS else value.metric
    return f"{value.system}, {metric} {value.value:.4f} on {labels}"


def _line(one: Number, value: PublishedValue) -> list[str]:
    cohort, group, label = one.column
    interval = value.interval
    p = "" if value.p is None else f"p {value.p:.2f}"
    return [
        *row_names(one.row),
        f"{cohort} {label or group}",
        f"{one.entry.value:.4f}",
        value.system,
        value.training_data or "not known",
        f"{value.value:.4f}",
        f"{one.entry.value - value.value:+.4f}",
        "-" if interval is None else f"[{interval[0]:.4f}, {interval[1]:.4f}]",
        str(value.test_set),
        "; ".join(part for part in (*one.compared.said, value.note, p) if part) or "-",
        value.source,
        value.date or "not known",
    ]
