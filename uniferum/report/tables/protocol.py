"""Protocol lines of a table: cases, unit, labels, split, selection rule, seeds and folds of its numbers."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from uniferum.evaluation.mask_words import METRICS as MASK_METRICS
from uniferum.evaluation.units import POOLING
from uniferum.report.axes import axis_names, value_of
from uniferum.report.records import CellRecord, RowKey, Score
from uniferum.report.tables.flagged import data_lines, flagged_cases
from uniferum.report.tables.folding import ShownLine
from uniferum.report.tables.inputs import input_lines
from uniferum.report.tables.row_counts import row_lines
from uniferum.report.tables.scoring import label_set_lines, pass_lines
from uniferum.report.tables.segmentation import mask_lines
from uniferum.report.tables.splits import split_lines, tests_fold

Column = tuple[str, str]

ESTIMAND = (
    "Intervals of AUPR are of the population's average precision at the prevalence of the test set, around the value "
    "corrected for few positives; gain: AUPR minus prevalence."
)
VALUES = {
    "auroc": "AUROC",
    "aupr": "average precision",
    "sensitivity": "sensitivity at the most lenient threshold, chosen on the test cases, that keeps 90 % specificity",
    "brier": "Brier scores of the logistic of the logit",
    "ece": "calibration errors in 15 equal bins of probability",
}


def protocol_lines(
    records: Sequence[CellRecord],
    columns: Sequence[Column],
    metric: str,
    shown: Sequence[str] = (),
    intervals: Sequence[str] = (),
) -> tuple[str, ...]:
    """Make one line for each column, then the lines for the whole table; empty for a table without a cell.

    Args:
        records: finished cells.
        columns: cohorts and groups of the table.
        metric: of the table.
        shown: axes and config keys that the table shows, so that cells with other values are apart.
        intervals: how the intervals of the table were made.
    """
    if metric in MASK_METRICS:
        return tuple(map(ShownLine, mask_lines(records, metric)))
    if not records:
        return ()
    lines = [line for column in columns for line in _column_lines(records, column, metric)]
    trained = [record for record in records if not record.members]
    splits = split_lines(records, (cohort for cohort, _ in columns))
    return (
        *lines,
        *splits,
        *map(ShownLine, label_set_lines(trained, (cohort for cohort, _ in columns))),
        *map(ShownLine, pass_lines(trained)),
        *data_lines(trained),
        *row_lines(trained),
        *(ShownLine(line) if "COARSER" in line else line for line in input_lines(trained)),
        *([_selection_line(trained), ShownLine(_seeds_line(trained, shown))] if trained else []),
        *map(ShownLine, folds_lines(trained)),
        *map(ShownLine, ensemble_lines(records)),
        ShownLine(_value_line(metric, intervals)),
        *([ShownLine(ESTIMAND)] if metric == "aupr" and any("corrected for" in one for one in intervals) else []),
    )


def ensemble_lines(records: Sequence[CellRecord]) -> list[str]:
    """One sentence for each ensemble: its members."""
    return [
        f"{one.name}: the mean of the logits of {len(one.members)} cells, case by case: {_names(one.members)}."
        for one in records
        if one.members
    ]


def folds_lines(records: Sequence[CellRecord]) -> list[str]:
    """One sentence for each division into folds: its folds that are done, by row where they are not complete."""
    divisions: dict[tuple[int, int, bool], dict[RowKey, set[int]]] = {}
    for record in records:
        if record.folds is not None:
            rows = divisions.setdefault(record.folds.division, {})
            rows.setdefault(record.row, set()).add(record.folds.index)
    return [_folds_line(*division, rows) for division, rows in divisions.items()]


def _folds_line(count: int, seed: int, nested: bool, rows: Mapping[RowKey, Collection[int]]) -> str:
    kind = "nested folds" if nested else "folds of training and validation"
    whose = (
        "each patient tested once, intervals are Student's over the folds" if nested else "all tested on the same cases"
    )
    line = f"Mean over {count} {kind}, by patient, seed {seed}; {whose}. The seeds of a fold are averaged first."
    partial = [
        f"{' '.join(filter(None, row))} {len(done)} of {count}" for row, done in rows.items() if len(done) < count
    ]
    return line + (f" Not all folds are done: {'; '.join(partial)}." if partial else "")


def left_out(record: CellRecord, column: Column) -> tuple[list[str], list[str]]:
    """List the scored labels of a column, and the other labels with the reason, sorted by name."""
    reasons = record.label_reasons.get(column, {})
    scored = [label for label, reason in reasons.items() if not reason]
    return sorted(scored), sorted(f"{label} ({reason})" for label, reason in reasons.items() if reason)


def _column_lines(records: Sequence[CellRecord], column: Column, metric: str) -> list[str]:
    """What the numbers of a column are scored on, and a line to be read if their cases differ."""
    stored = metric if metric in ("auroc", "aupr") else "auroc"
    measured = [
        (record, score)
        for record in records
        for score in record.groups
        if (score.cohort, score.group, score.metric) == (*column, stored)
    ]
    scored: dict[str, list[tuple[CellRecord, Score]]] = {}
    for record, score in measured:
        if not tests_fold(record, column[0]):
            scored.setdefault(_column_facts(record, score, metric), []).append((record, score))
    # Flags are ignored when cells are grouped, because records of older versions have none.
    facts = {
        _column_facts(*cells[0], metric, flagged=flagged_cases(score for _, score in cells)): [
            record.name for record, _ in cells
        ]
        for cells in scored.values()
    }
    nested: dict[object, list[tuple[CellRecord, Score]]] = {}
    for record, score in measured:
        if tests_fold(record, column[0]) and record.folds is not None:
            nested.setdefault((record.row, record.folds.division), []).append((record, score))
    for cells in nested.values():
        facts.setdefault(_nested_facts(cells, column), []).extend(record.name for record, _ in cells)
    name = " ".join(column)
    facts = _alike(facts, scored)
    if len(facts) <= 1:
        return [f"{name}: {fact}." for fact in facts]
    said = "; ".join(f"{fact} ({len(names)} cells, e.g. {names[0]})" for fact, names in facts.items())
    differing = _cases([one for cells in scored.values() for one in cells])
    if len(differing) + len(nested) < 2:
        return [f"{name}: the same cases, other labels: {said}."]
    counted = "; ".join(f"{count} ({len(names)} cells, e.g. {names[0]})" for count, names in differing.items())
    counted = f"{counted}; folds" if differing and nested else counted or said
    return [
        ShownLine(f"{name}: cells were scored on DIFFERENT cases, so their numbers do not compare: {counted}."),
        f"{name}: {said}.",
    ]


def _alike(
    facts: dict[str, list[str]], scored: Mapping[str, Sequence[tuple[CellRecord, Score]]]
) -> dict[str, list[str]]:
    """Join facts of the same cases and the same scored labels: they differ in why other labels were left out."""
    seen: dict[object, str] = {}
    joined: dict[str, list[str]] = {}
    cells = {record.name: (record, score) for of_fact in scored.values() for record, score in of_fact}
    for fact, names in facts.items():
        key: object = fact
        if names[0] in cells:
            record, score = cells[names[0]]
            key = (score.n_cases, score.n_patients, tuple(left_out(record, (score.cohort, score.group))[0]))
            key = key if key[2] else (*key, score.n_labels, score.n_labels_total)
        joined.setdefault(seen.setdefault(key, fact), []).extend(names)
    return joined


def _cases(measured: Sequence[tuple[CellRecord, Score]]) -> dict[str, list[str]]:
    """The cases of a column with the cells that were scored on them; cells that have no number there are left out."""
    counts: dict[str, list[str]] = {}
    for record, score in measured:
        if score.n_labels:
            counts.setdefault(_counted(record, score.n_cases, score.n_patients), []).append(record.name)
    return _by_digest(measured, counts) if len(counts) == 1 else counts


def _by_digest(measured: Sequence[tuple[CellRecord, Score]], counts: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Tell test splits of the same size apart by their digest."""
    (count,) = counts
    digests: dict[str, list[str]] = {}
    for record, score in measured:
        digest = (record.result.get("data") or {}).get(f"{score.cohort} test")
        if digest and score.n_labels:
            digests.setdefault(f"{count}, test data {str(digest)[:8]}", []).append(record.name)
    return digests if len(digests) > 1 else dict(counts)


def _nested_facts(cells: Sequence[tuple[CellRecord, Score]], column: Column) -> str:
    """What the nested folds of one row are scored on together."""
    first_of = {record.repeat[1]: (record, score) for record, score in reversed(cells)}
    scores = [score for _, score in first_of.values()]
    count = next(record.folds.count for record, _ in cells if record.folds is not None)
    flagged = Counter({flag: 0 for score in scores for flag, _ in score.flagged})
    for score in scores:
        flagged.update(dict(score.flagged))
    pooled = replace(scores[0], flagged=tuple(sorted(flagged.items())))
    done = f"{count} nested folds" if len(scores) == count else f"{len(scores)} of {count} nested folds"
    fewest, total = min(score.n_labels for score in scores), max(score.n_labels_total for score in scores)
    short = sorted({label for record, _ in first_of.values() for label in left_out(record, column)[1]})
    labels = f"at least {fewest} of {total} labels have both classes in a fold"
    labels += f"; left out in some folds: {', '.join(short)}" if short else ""
    sums = (sum(score.n_cases for score in scores), sum(score.n_patients for score in scores))
    cases = f"N = {_counted(cells[0][0], *sums)}{flagged_cases([pooled])}"
    return f"mean over {done}, each patient tested once, {cases}, {labels}"


def _column_facts(record: CellRecord, score: Score, metric: str, *, flagged: str = "") -> str:
    scored, not_scored = left_out(record, (score.cohort, score.group))
    names = f": {', '.join(scored)}" if scored else ""
    labels = f"{score.n_labels} of {score.n_labels_total} labels have both classes{names}"
    labels += f"; left out: {', '.join(not_scored)}" if not_scored else ""
    prevalence = ""
    if metric == "aupr" and math.isfinite(score.prevalence):
        prevalence = f", mean prevalence {score.prevalence:.4f}"
    return f"test split, N = {_counted(record, score.n_cases, score.n_patients)}{flagged}{prevalence}, {labels}"


def _counted(record: CellRecord, cases: int, patients: int) -> str:
    """``3000 volumes of 1300 patients``, or the unit that was asked for."""
    of_patients = f" of {patients} patients" if patients and record.unit != "patient" else ""
    return f"{cases} {record.unit}s{of_patients}"


def _selection_line(records: Sequence[CellRecord]) -> str:
    """The unit of the scores and the rule of the checkpoint; printed in any case if the unit is not the volume."""
    rules = sorted({_rule(record) for record in records})
    units = dict.fromkeys(record.unit for record in records)
    said = "; ".join(unit if unit == "volume" else f"{unit} ({POOLING})" for unit in units)
    line = f"Unit: {said}. Checkpoint: {'; '.join(rules)}."
    return line if set(units) <= {"volume"} else ShownLine(line)


def _rule(record: CellRecord) -> str:
    selection = record.result.get("selection") or {}
    metric, split = selection.get("metric") or "metric not recorded", selection.get("split") or "validation"
    return f"best mean {metric} over the {split} tasks of the training cohorts"


def _seeds_line(records: Sequence[CellRecord], shown: Sequence[str]) -> str:
    by_row: dict[object, list[CellRecord]] = {}
    for record in records:
        by_row.setdefault((record.row, *(value_of(record, name) for name in shown)), []).append(record)
    sets = sorted({tuple(sorted({one.seed for one in cells})) for cells in by_row.values()})
    divisions = [{one.folds.division if one.folds else None for one in cells} for cells in by_row.values()]
    shown = "; ".join(", ".join(map(str, seeds)) for seeds in sets)
    line = f"Seeds: {shown}." if len(sets) == 1 else f"Seeds differ by row: {shown}."
    if any(len(seeds) > 1 for seeds in sets):
        line += " Means over seeds are given with their standard deviation."
    mixed = [
        cells
        for cells, of_row in zip(by_row.values(), divisions, strict=True)
        if len({one.repeat for one in cells}) < len(cells) or len(of_row) > 1
    ]
    if not mixed:
        return line
    axes = [axis for axis in axis_names(records) if any(_differ(cells, axis) for cells in mixed)]
    cure = f" Separate them with --rows model,text_encoder,train_on,{','.join(axes)}." if axes else ""
    return f"{line} A row averages DIFFERENT cells of one seed: {'; '.join(map(_names, mixed))}.{cure}"


def _differ(cells: Sequence[CellRecord], axis: str) -> bool:
    return len({one.axes.get(axis) for one in cells}) > 1


def _names(cells: Sequence[CellRecord]) -> str:
    return ", ".join(one.name for one in cells)


def _value_line(metric: str, intervals: Sequence[str]) -> str:
    line = f"Values: {VALUES.get(metric, metric)}; a mean weighs labels alike, and leaves out and counts labels "
    made = f" Intervals are 95 %: {'; '.join(intervals)}." if intervals else ""
    return f"{line}with one class.{made}"
