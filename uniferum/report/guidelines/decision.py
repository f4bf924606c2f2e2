"""Decision curves as a table: net benefit by label and threshold probability."""

from collections.abc import Mapping, Sequence

from uniferum.evaluation.net_benefit import net_benefit
from uniferum.evaluation.operating_points import Estimate
from uniferum.report.guidelines.printing import Printing, arrays, labels_of, tested_cases
from uniferum.report.records import CellRecord
from uniferum.report.tables.sheet import Sheet

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5)


def decision_sheet(
    records: Sequence[CellRecord], only: Mapping[str, str], printing: Printing, thresholds: Sequence[float]
) -> Sheet:
    """Make the table of net benefits, one row for each threshold probability of each label of each cell."""
    rows = []
    for record in records:
        for key, part in labels_of(tested_cases(record), only):
            target, score = arrays(part)
            patient = part["patient_id"].to_numpy(str)
            for threshold in thresholds:
                measured = net_benefit(target, score, patient, threshold)
                numbers = printing.cells([measured.model, Estimate(measured.treat_all)])
                rows.append([record.name, *key, f"{threshold:g}", *numbers])
    headings = ["Cell", "Cohort", "Group", "Label", "Threshold", *printing.headings(["Net benefit", "Treat all"])]
    below = [
        "Net benefit: TP/n - FP/n * p/(1 - p) at threshold probability p (Vickers and Elkin 2006), to be compared with "
        "treating all and with treating none, which has 0. Probabilities are those of the model, not recalibrated.",
        "Intervals: 95 %, normal, patients as the unit (jackknife).",
    ]
    return Sheet("Decision curves: net benefit by label", headings, rows, below, words=4)
