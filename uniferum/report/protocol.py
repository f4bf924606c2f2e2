"""What the numbers of a table share: cases, unit, labels, split, selection rule, seeds; and where they differ."""

import math
from collections.abc import Sequence

from uniferum.report.records import CellRecord, GroupScore


def protocol_lines(records: Sequence[CellRecord], columns: Sequence[tuple[str, str]], metric: str) -> tuple[str, ...]:
    """One line a column, then what holds for the whole table; nothing for a table without a number."""
    if not records:
        return ()
    lines = [line for column in columns if (line := _column_line(records, column, metric))]
    return (*lines, _selection_line(records), _seeds_line(records), _interval_line(metric))


def _column_line(records: Sequence[CellRecord], column: tuple[str, str], metric: str) -> str:
    cohort, group = column
    facts: dict[str, list[str]] = {}
    for record in records:
        for score in record.groups:
            if (score.cohort, score.group, score.metric) == (cohort, group, metric):
                facts.setdefault(_column_facts(score), []).append(record.name)
    if not facts:
        return ""
    if len(facts) == 1:
        return f"{cohort} {group}: {next(iter(facts))}."
    said = "; ".join(f"{fact} ({len(names)} cells, e.g. {names[0]})" for fact, names in facts.items())
    return f"{cohort} {group}: cells were scored on DIFFERENT cases or labels: {said}."


def _column_facts(score: GroupScore) -> str:
    of_patients = f" of {score.n_patients} patients" if score.n_patients else ""
    labels = f"{score.n_labels} of {score.n_labels_total} labels have both classes"
    text = f"test split, N = {score.n_cases} volumes{of_patients}, {labels}"
    if score.metric == "aupr" and math.isfinite(score.prevalence):
        text += f", mean prevalence {score.prevalence:.4f}"
    return text


def _selection_line(records: Sequence[CellRecord]) -> str:
    rules = sorted({_rule(record) for record in records})
    return f"Unit: volume. Checkpoint: {'; '.join(rules)}."


def _rule(record: CellRecord) -> str:
    selection = record.result.get("selection") or {}
    metric, split = selection.get("metric") or "not recorded", selection.get("split") or "validation"
    return f"best {metric} on the {split} split of the training cohorts"


def _seeds_line(records: Sequence[CellRecord]) -> str:
    by_row: dict[object, set[int]] = {}
    for record in records:
        by_row.setdefault(record.row, set()).add(record.seed)
    sets = sorted({tuple(sorted(seeds)) for seeds in by_row.values()})
    shown = "; ".join(", ".join(map(str, seeds)) for seeds in sets)
    return f"Seeds: {shown}." if len(sets) == 1 else f"Seeds differ by row: {shown}."


def _interval_line(metric: str) -> str:
    area = "AUROC" if metric == "auroc" else "average precision"
    return (
        f"Values are means of the labels' {area}, labels weighed alike; labels with one class are left out and "
        "counted; intervals are 95 %, patients drawn with replacement."
    )
