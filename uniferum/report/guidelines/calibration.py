"""Calibration intercept and slope by label."""

from collections.abc import Mapping, Sequence

from uniferum.evaluation.logistic_calibration import logistic_calibration
from uniferum.report.guidelines.printing import Printing, arrays, labels_of, tested_cases
from uniferum.report.records import CellRecord
from uniferum.report.tables.sheet import Sheet


def calibration_sheet(records: Sequence[CellRecord], only: Mapping[str, str], printing: Printing) -> Sheet:
    """Make the table of calibration, one row for each label of each cell."""
    rows = []
    for record in records:
        for key, part in labels_of(tested_cases(record), only):
            target, score = arrays(part)
            measured = logistic_calibration(target, score, part["patient_id"].to_numpy(str))
            counts = [str(len(target)), str(int(target.sum()))]
            rows.append(
                [record.name, *key, *counts, *printing.cells([measured.intercept, measured.slope]), measured.reason]
            )
    headings = ["Cell", "Cohort", "Group", "Label", "Cases", "Positive", *printing.headings(["Intercept", "Slope"])]
    below = [
        "Logistic regression of the test labels on the predicted logits. Intercept: with the slope fixed at 1, 0 is "
        "right, below 0 probabilities are too high. Slope: 1 is right, below 1 predictions are too extreme.",
        "Intervals: 95 %, Wald's with robust standard errors, patients as clusters.",
    ]
    return Sheet("Calibration intercept and slope by label", [*headings, "Note"], rows, below, words=4)
