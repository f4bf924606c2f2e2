"""Scores at thresholds that were chosen on validation: by label, and macro, micro and weighted over labels."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from uniferum.evaluation.metrics import check_predictions
from uniferum.evaluation.operating_points import (
    AVERAGES,
    FN,
    RATIOS,
    TP,
    Estimate,
    Floats,
    ThresholdRule,
    average,
    choose_threshold,
    crg,
    mean_estimate,
    patient_counts,
    share_estimate,
)
from uniferum.evaluation.units import pooled
from uniferum.report.guidelines.printing import LabelKey, Printing, arrays, labels_of, tested_cases
from uniferum.report.records import CellRecord, read_parquet
from uniferum.report.tables.rounded import rounded
from uniferum.report.tables.shared_lines import shared_lines
from uniferum.report.tables.sheet import Sheet

NO_VALIDATION = "no validation predictions: re-score"
SHOWN = {"sensitivity": "Sensitivity", "specificity": "Specificity", "precision": "Precision"}
SHOWN |= {"f1": "F1", "accuracy": "Accuracy"}
METHOD = (
    "Intervals: 95 %, thresholds fixed, patients as the unit (jackknife); Wilson's for a label, normal for an average."
)


@dataclass(frozen=True)
class LabelPoint:
    """One label of a cell: its threshold, and its test counts by patient (patients, 4); ``reason`` if it has none."""

    key: LabelKey
    threshold: float
    counts: Floats
    validation: int = 0
    reason: str = ""

    @property
    def positives(self) -> int:
        """Number of positive test cases."""
        return int(self.counts[:, [TP, FN]].sum())

    @property
    def cases(self) -> int:
        """Number of test cases."""
        return int(self.counts.sum())


def points_of(record: CellRecord, rule: ThresholdRule, only: Mapping[str, str]) -> list[LabelPoint]:
    """The operating points of a cell; without validation predictions every label has a reason and no threshold.

    Raises:
        UniferumError: a prediction file is unreadable, or holds a score that is not finite.
    """
    path = record.files.validation_predictions
    chosen: dict[LabelKey, tuple[float, int]] = {}
    if path.exists():
        table = check_predictions(pooled(read_parquet(path), record.unit), split=None)
        chosen = {key: (choose_threshold(*arrays(part), rule), len(part)) for key, part in labels_of(table, only)}
    absent = "no validation case" if path.exists() else NO_VALIDATION
    tested = tested_cases(record)
    patients = {cohort: pd.Index(part["patient_id"].unique()) for cohort, part in tested.groupby("cohort")}
    return [_point(key, part, patients[key[0]], chosen.get(key), absent) for key, part in labels_of(tested, only)]


def _point(
    key: LabelKey, part: pd.DataFrame, patients: pd.Index, chosen: tuple[float, int] | None, absent: str
) -> LabelPoint:
    target, score = arrays(part)
    threshold, validation = chosen or (math.nan, 0)
    owner = patients.get_indexer(pd.Index(part["patient_id"]))
    counts = patient_counts(target, score >= threshold, owner, len(patients))
    reason = absent if chosen is None else ""
    if chosen and math.isnan(threshold):
        reason = "one class on validation"
    if target.sum() in (0, len(target)):
        reason = reason or "one class on test"
    return LabelPoint(key, threshold, counts, validation, reason)


def label_sheet(
    records: Sequence[CellRecord], rule: ThresholdRule, only: Mapping[str, str], printing: Printing
) -> Sheet:
    """Make the table of operating points, one row for each label of each cell."""
    rows, notes = [], []
    for record in records:
        points = points_of(record, rule, only)
        notes += _notes(record, points)
        for point in points:
            known = not point.reason
            numbers = [share_estimate(point.counts, name) if known else Estimate() for name in RATIOS]
            shown = rounded(point.threshold) if known else point.reason
            rows.append(
                [record.name, *point.key, str(point.cases), str(point.positives), shown, *printing.cells(numbers)]
            )
    headings = ["Cell", "Cohort", "Group", "Label", "Cases", "Positive", "Threshold"]
    headings += printing.headings(list(SHOWN.values()))
    below = [_choice(rule), "Thresholds are logits.", METHOD, *shared_lines(notes, len(records))]
    return Sheet("Operating points by label", headings, rows, below, words=4)


def average_sheet(
    records: Sequence[CellRecord], rule: ThresholdRule, only: Mapping[str, str], printing: Printing
) -> Sheet:
    """Make the table of averages over labels: three rows for each group of each cell, and the CRG score."""
    rows, notes = [], []
    for record in records:
        points = points_of(record, rule, only)
        notes += _notes(record, points)
        rows += list(_average_rows(record, points, printing))
    headings = ["Cell", "Cohort", "Group", "Average", "Labels", *printing.headings([*SHOWN.values(), "CRG"])]
    below = [
        _choice(rule),
        "Macro: mean over labels; micro: of the summed counts; weighted: mean over labels weighted by their positive "
        "cases. A label with nothing called positive has precision 0.",
        "CRG: the VLM3D challenge's score of all decisions (arXiv 2505.17167), in the row of macro; 1/3 if all are "
        "alike, 1 if all are right.",
        METHOD,
        *shared_lines(notes, len(records)),
    ]
    return Sheet("Operating points, averaged over labels", headings, rows, below, words=4)


def _average_rows(record: CellRecord, points: Sequence[LabelPoint], printing: Printing) -> Iterator[list[str]]:
    for column in dict.fromkeys(point.key[:2] for point in points):
        every = [point for point in points if point.key[:2] == column]
        known = [point.counts for point in every if not point.reason]
        for kind in AVERAGES:
            numbers = [Estimate()] * (len(RATIOS) + 1)
            if known:
                counts = np.stack(known, axis=1)
                numbers = [_mean(counts, name, kind) for name in RATIOS]
                numbers.append(mean_estimate(crg, counts) if kind == AVERAGES[0] else Estimate())
            yield [record.name, *column, kind, f"{len(known)}/{len(every)}", *printing.cells(numbers)]


def _mean(counts: Floats, metric: str, kind: str) -> Estimate:
    return mean_estimate(lambda some: average(some, metric, kind), counts, metric=metric)


def _choice(rule: ThresholdRule) -> str:
    return f"Thresholds: for each label {rule.sentence} on the validation split, never on test; --threshold changes it."


def _notes(record: CellRecord, points: Sequence[LabelPoint]) -> list[tuple[str, str]]:
    """Why labels of a cell have no operating point."""
    reasons = dict.fromkeys(point.reason for point in points if point.reason)
    texts = {
        NO_VALIDATION: f"{NO_VALIDATION} with uniferum.evaluate_run; no threshold is chosen on test",
        "no validation case": "some labels have no validation case, so no threshold",
        "one class on validation": "some labels have one class on validation, so no threshold",
        "one class on test": "some labels have one class on test",
    }
    return [(texts[reason][0].upper() + texts[reason][1:], record.name) for reason in reasons]
