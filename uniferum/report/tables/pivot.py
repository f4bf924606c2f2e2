"""Tables of the user's own and tables of labels: any facts of a cell as rows and columns, any stored metric.

A fact is a word of :data:`FACTS`, an axis of the grid, or a dotted key of a recorded config.

A number may average over facts that are neither rows nor columns. A mean over seeds and folds has a standard deviation
and an interval. A mean over any other fact has neither, and a note names the fact.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.evaluation.mask_words import METRICS as MASK_METRICS
from uniferum.report.axes import GridAxes, axis_names, check_known, order_of, value_of
from uniferum.report.published import Published, find, slug
from uniferum.report.recompute import with_intervals
from uniferum.report.records import CENTRED, MIXES, TEXT_ENCODERS, CellRecord, PendingCell, Score, centred
from uniferum.report.tables import segmentation
from uniferum.report.tables.entries import (
    HEADINGS,
    Entry,
    Key,
    ReportTable,
    intervals_said,
    marked_best,
    without_interval,
)
from uniferum.report.tables.folding import ShownLine
from uniferum.report.tables.naming import not_the_papers, of_phantoms, phantom_title, unpublished_notes, why_apart
from uniferum.report.tables.paper import COLUMNS, absent, averaged, mean, progress_notes
from uniferum.report.tables.protocol import protocol_lines
from uniferum.report.tables.seed_spread import with_seed_spread
from uniferum.systems import paper_systems

FACTS = tuple(name for name in HEADINGS if name != "wording")
CELL_FACTS = ("model", "text_encoder", "train_on", "seed", "name")
SCORE_FACTS = ("cohort", "group", "label")
GROUP_METRICS = ("auroc", "aupr")
#: Metrics of labels and of masks, with their titles.
METRICS = {
    "auroc": "Area under the ROC curve (AUROC)",
    "aupr": "Average precision (AUPR)",
    "sensitivity": "Sensitivity at a specificity of 90 %, threshold chosen on test",
    "brier": "Brier score",
    "ece": "Expected calibration error",
    **MASK_METRICS,
}
SMALLER_IS_BETTER = ("brier", "ece", "volume_error")
Measured = tuple[CellRecord, Score]


@dataclass(frozen=True)
class Layout:
    """Definition of a table: facts of its rows and columns, the metric, and limits such as one cohort."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    metric: str = "auroc"
    where: Mapping[str, str] | None = None
    title: str = ""
    axes: GridAxes = field(default_factory=dict)
    """Axes of the grid file, whose values are sorted as the file lists them."""

    def check(self, cells: Sequence[CellRecord | PendingCell] = ()) -> None:
        """Check that all facts and the metric exist.

        Raises:
            UniferumError: a fact or the metric is unknown, or a fact is in rows and columns.
        """
        for option, names in (("--rows", self.rows), ("--columns", self.columns), ("--where", self.where or {})):
            for name in names:
                check_known(name, cells, option=option, words=FACTS, axes=self.axes)
        if not self.rows or not self.columns:
            raise UniferumError("--rows, --columns", must="name at least one fact each", cure=", ".join(FACTS))
        twice = set(self.rows) & set(self.columns)
        if twice:
            raise UniferumError("--columns", ", ".join(sorted(twice)), must="not be among the rows too")
        if self.metric not in METRICS:
            raise UniferumError("--metric", self.metric, must="be a known metric", cure=near_miss(self.metric, METRICS))

    @property
    def other_facts(self) -> tuple[str, ...]:
        """Axes and config keys among its facts."""
        return tuple(name for name in (*self.rows, *self.columns) if name not in FACTS)

    @property
    def by_label(self) -> bool:
        """Whether each number is of one label."""
        return "label" in (*self.rows, *self.columns, *(self.where or {}))


def pivot_table(
    name: str,
    records: Sequence[CellRecord],
    pending: Sequence[PendingCell],
    layout: Layout,
    *,
    printed: Sequence[Published] = (),
    published_rows: bool = False,
    phantoms: bool = False,
) -> ReportTable:
    """Make the table of a layout.

    Args:
        name: the name of the table in ``uniferum why``.
        records: finished cells.
        pending: expected cells without a result.
        layout: its rows, columns and metric.
        printed: the paper's numbers of single labels, which are shown even if we have no number.
        published_rows: say which rows have no published value, and why.
        phantoms: the numbers are of phantoms, also if the table has no cell.

    Raises:
        UniferumError: see :meth:`Layout.check`; or the metrics file of a cell is missing.
    """
    cells = (*records, *pending)
    layout.check(cells)
    title = layout.title or METRICS[layout.metric]
    numbers = measured(records, layout)
    if not numbers:
        check_limits(records, layout)
    by_entry: dict[tuple[Key, Key], list[Measured]] = {}
    for one in numbers:
        key = tuple(fact(one, f) for f in layout.rows), tuple(fact(one, f) for f in layout.columns)
        by_entry.setdefault(key, []).append(one)
    phantoms, others = phantoms or of_phantoms(cells), not_the_papers(cells)
    wanted = [one for one in printed if not phantoms and one.row not in others]
    paper = {key: one for one in wanted if (key := _entry_key(one, layout))}
    rows = {row for row, _ in (*by_entry, *paper)} | _waiting_rows(pending, layout)
    rows = _ordered(rows, layout.rows, cells, layout.axes)
    columns = _ordered({column for _, column in (*by_entry, *paper)}, layout.columns, cells, layout.axes)
    entries: dict[tuple[Key, Key], Entry] = {
        (row, column): _beside(
            _entry(by_entry.get((row, column), []), (*row, *column), layout, records, pending), paper.get((row, column))
        )
        for row in rows
        for column in columns
    }
    entries = with_seed_spread(entries, (*layout.rows, *layout.columns))
    across = any(map(_of_cell, layout.columns)) and not any(map(_of_cell, layout.rows))
    best = marked_best(
        entries, rows if across else columns, axis=0 if across else 1, smallest=layout.metric in SMALLER_IS_BETTER
    )
    groups = list(dict.fromkeys((score.cohort, score.group) for _, score in numbers))
    return ReportTable(
        name,
        phantom_title(title) if phantoms else title,
        layout.metric,
        tuple(rows),
        tuple(columns),
        best,
        (
            *protocol_lines(
                records, sorted(groups), layout.metric, layout.other_facts, intervals_said(entries.values())
            ),
            *_collapsed(by_entry, layout),
        ),
        (*(unpublished_notes(cells, phantoms=phantoms) if published_rows else ()), *progress_notes(records, pending)),
        layout.rows,
        layout.columns,
        best_of="row" if across else "column",
        phantoms=phantoms,
        unit=next((one.unit for one in records), "volume"),
    )


def fact(one: Measured, name: str) -> str:
    """Return one fact of a number as text."""
    record, score = one
    return str(getattr(score, name)) if name in SCORE_FACTS else _cell_fact(record, name)


def _cell_fact(cell: CellRecord | PendingCell, name: str) -> str:
    if name == "train_on":
        return cell.mix
    return str(getattr(cell, name)) if name in CELL_FACTS else value_of(cell, name)


def _of_cell(name: str) -> bool:
    return name not in SCORE_FACTS


def label_scores(record: CellRecord, metric: str) -> Iterator[Score]:
    """Yield the score of each label or mask structure, with the interval of its metric and how that was made."""
    if metric in MASK_METRICS:
        yield from segmentation.structure_scores(record, metric)
        return
    table = with_intervals(record) if metric == "auroc" else record.labels
    if metric not in table.columns:
        raise UniferumError(f"{record.files.metrics}: column", metric, must="be there", cure="evaluate the cell again")
    for row in table.to_dict("records"):
        value = float(row[metric])
        yield Score(
            cell=record.name,
            cohort=str(row["cohort"]),
            group=str(row["group"]),
            label=str(row["label"]),
            metric=metric,
            value=value,
            **label_interval(row, metric, value),
            n_labels=int(math.isfinite(value)),
            n_labels_total=1,
            n_cases=int(row["n"]),
            n_patients=int(row.get("n_patients", 0)),
            prevalence=float(row["prevalence"]),
            folds=record.folds_on(str(row["cohort"])),
        )


def label_interval(row: Mapping[str, Any], metric: str, value: float) -> dict[str, Any]:
    """The interval of a label's score, how it was made, and why there is none."""
    lo, hi = (float(row.get(f"{metric}_{end}", math.nan)) for end in ("lo", "hi"))
    method, reason = (_word(row.get(name)) for name in (f"{metric}_method", "interval_reason"))
    bounds: dict[str, Any] = {"lo": lo, "hi": hi, "method": method}
    if metric not in GROUP_METRICS:
        return bounds
    if metric == "aupr" and math.isfinite(lo) and not method:
        return {**centred(value, lo, hi), "method": CENTRED}
    bounds["reason"] = reason if math.isfinite(value) and not math.isfinite(lo) else ""
    if metric == "aupr":
        return bounds | {"corrected": float(row.get("aupr_corrected", math.nan))}
    return bounds | {f"delong_{end}": float(row.get(f"auroc_delong_{end}", math.nan)) for end in ("lo", "hi")}


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def measured(records: Sequence[CellRecord], layout: Layout) -> list[Measured]:
    """The numbers of a table: each with its cell."""
    return [one for one in _measured(records, layout) if _wanted(one, layout.where or {})]


def _measured(records: Sequence[CellRecord], layout: Layout) -> Iterator[Measured]:
    for record in records:
        if layout.by_label:
            yield from ((record, score) for score in label_scores(record, layout.metric))
            yield from ((record, score) for score in segmentation.cohort_scores(record, layout.metric))
        elif layout.metric in GROUP_METRICS:
            yield from ((record, score) for score in record.groups if score.metric == layout.metric)
        else:
            yield from ((record, score) for score in _means(label_scores(record, layout.metric)))


def check_limits(records: Sequence[CellRecord], layout: Layout) -> None:
    """Check that each limit names something that was scored, if anything was.

    Raises:
        UniferumError: a cohort, group, label or another fact is unknown; the message names the near ones.
    """
    everything = list(_measured(records, layout))
    for name, value in (layout.where or {}).items():
        there = dict.fromkeys(fact(one, name) for one in everything)
        if there and value.lower() not in {one.lower() for one in there}:
            option = f"--{name}" if name in SCORE_FACTS else "--where"
            raise UniferumError(option, value, must="be among what was scored", cure=near_miss(value, there))


def _means(scores: Iterable[Score]) -> Iterator[Score]:
    """Group means of a metric that is stored only by label; they have no interval."""
    groups: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.cohort, score.group), []).append(score)
    for (cohort, group), members in groups.items():
        known = [score for score in members if score.n_labels]
        yield Score(
            cell=members[0].cell,
            cohort=cohort,
            group=group,
            label="",
            metric=members[0].metric,
            value=mean([score.value for score in known]),
            lo=math.nan,
            hi=math.nan,
            n_labels=len(known),
            n_labels_total=len(members),
            n_cases=max(score.n_cases for score in members),
            n_patients=max(score.n_patients for score in members),
            prevalence=mean([score.prevalence for score in known]),
            folds=members[0].folds,
        )


def _wanted(one: Measured, where: Mapping[str, str]) -> bool:
    return all(fact(one, name).lower() == value.lower() for name, value in where.items())


def _entry(
    measured: Sequence[Measured],
    key: Key,
    layout: Layout,
    records: Sequence[CellRecord],
    pending: Sequence[PendingCell],
) -> Entry:
    if measured:
        record, score = measured[0]
        printed, apart = find(layout.metric, record.row, score.cohort, score.label or score.group), why_apart(record)
        entry = averaged([score for _, score in measured], printed.value if printed and not apart else math.nan)
        entry = replace(entry, apart=apart) if printed and apart else entry
        return entry if _differ_in_seed_alone(measured) else _without_error(entry, measured)
    facts = {f: value for f, value in zip((*layout.rows, *layout.columns), key, strict=True) if _of_cell(f)}
    waiting = [one for one in pending if facts and all(_cell_fact(one, f) == facts[f] for f in facts)]
    return absent(waiting[0].row, records, waiting) if waiting else Entry(missing="not evaluated")


def _entry_key(one: Published, layout: Layout) -> tuple[Key, Key] | None:
    """Row and column of the paper's number of a label; None if the table has no such row or column."""
    label, vocabulary = slug(one.group), Vocabulary.load()
    group = vocabulary.group_of(one.cohort, label)
    model, encoder, mix = one.row
    facts = {"model": model, "text_encoder": encoder, "train_on": mix, "cohort": one.cohort, "group": group}
    facts["label"] = label
    shown = (*layout.rows, *layout.columns)
    if not set(shown) <= facts.keys() or "label" not in {*shown, *(layout.where or {})}:
        return None
    if any(facts.get(name, "").lower() != value.lower() for name, value in (layout.where or {}).items()):
        return None
    return tuple(facts[name] for name in layout.rows), tuple(facts[name] for name in layout.columns)


def _beside(entry: Entry, paper: Published | None) -> Entry:
    """Add the paper's number to an entry, even if it has no number of ours."""
    if paper is None:
        return entry
    half = paper.half_width
    return replace(entry, published=paper.value, published_half_width=math.nan if half is None else half)


def _differ_in_seed_alone(measured: Sequence[Measured]) -> bool:
    alike = {(r.row, tuple(r.axes.items()), score.cohort, score.group, score.label) for r, score in measured}
    return len(alike) == 1


def _without_error(entry: Entry, measured: Sequence[Measured]) -> Entry:
    """Remove the interval of a mean over models, cohorts, groups or labels, because these are not repetitions."""
    seeds, counts = len({record.seed for record, _ in measured}), _label_counts(score for _, score in measured)
    n_labels, total = (sum(count) for count in zip(*counts, strict=True))
    blank = without_interval(entry)
    return replace(blank, seeds=seeds, n_labels=n_labels, n_labels_total=total, published=math.nan, apart="")


def _label_counts(scores: Iterable[Score]) -> list[tuple[int, int]]:
    """For each column or label that a number averages: its labels with a number, in the cell with fewest, and all."""
    counts: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for score in scores:
        counts.setdefault((score.cohort, score.group, score.label), []).append((score.n_labels, score.n_labels_total))
    known = [([n for n, _ in own if n], max(total for _, total in own)) for own in counts.values()]
    return [(min(own, default=0), total) for own, total in known]


def _waiting_rows(pending: Sequence[PendingCell], layout: Layout) -> set[Key]:
    """Rows of cells without a result; empty if a row has facts that only results have."""
    if not all(map(_of_cell, layout.rows)):
        return set()
    return {tuple(_cell_fact(one, name) for name in layout.rows) for one in pending}


def _collapsed(by_entry: Mapping[tuple[Key, Key], Sequence[Measured]], layout: Layout) -> list[str]:
    shown = {*layout.rows, *layout.columns}
    axes = axis_names(record for numbers in by_entry.values() for record, _ in numbers)
    axes = [axis for axis in axes if not (axis in layout.axes and layout.axes[axis].key in shown)]
    if "name" in shown:
        shown |= {*CELL_FACTS, *axes}
    lines = []
    for name in (*FACTS, *axes):
        if name in shown or name in ("seed", "name") or (name == "label" and not layout.by_label):
            continue
        values = {f for numbers in by_entry.values() if len(numbers) > 1 for f in _distinct(numbers, name)}
        if values:
            over = f"{HEADINGS.get(name, name).lower()}: {', '.join(sorted(values))}"
            lines.append(ShownLine(f"Numbers are means over {over}."))
    return lines


def _distinct(numbers: Sequence[Measured], name: str) -> set[str]:
    values = {fact(one, name) for one in numbers}
    return values if len(values) > 1 else set()


def _ordered(
    keys: Iterable[Key], facts: Sequence[str], cells: Sequence[CellRecord | PendingCell], axes: GridAxes
) -> list[Key]:
    orders: dict[str, Sequence[str]] = {"model": paper_systems(), "text_encoder": TEXT_ENCODERS, "train_on": MIXES}
    orders |= {"cohort": list(dict.fromkeys(cohort for cohort, _ in COLUMNS)), "group": ("all", "shared", "unique")}
    orders |= {name: order_of(cells, name, axes) for name in facts if name not in FACTS}

    def rank(key: Key) -> list[tuple[int, str]]:
        ranked = []
        for name, value in zip(facts, key, strict=True):
            order = orders.get(name, ())
            ranked.append((order.index(value) if value in order else len(order), value))
        return ranked

    return sorted(keys, key=rank)
