"""Paired tests between cells on the same cases, of labels and of group means, with patients as the unit.

The p values of one table are adjusted as two families: the labels and the group means.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import pandas as pd

from uniferum.errors import UniferumError, near_miss
from uniferum.evaluation.comparison import Cases, LabelKey, align, group_difference, pairwise
from uniferum.evaluation.multiple_testing import benjamini_hochberg, holm
from uniferum.report.records import CellRecord
from uniferum.report.tables.naming import cell_label, titled
from uniferum.report.tables.rounded import bounds, rounded, shown_p, signed
from uniferum.report.tables.sheet import Sheet

NEEDED = ["cohort", "group", "label", "volume_id", "patient_id", "target", "score"]
HEADINGS = [
    *("First", "Second", "Cohort", "Group", "Label", "AUROC of first", "AUROC of second", "Difference", "95 %"),
    *("p", "p (Holm)", "p (Benjamini-Hochberg)", "p (DeLong, volumes as cases)", "Patients", "Positive"),
]
MEAN = "mean"


def compare_sheet(records: Sequence[CellRecord], names: Sequence[str], *, common: bool = False) -> Sheet:
    """Test every pair of the named cells, group means first.

    Args:
        records: finished cells.
        names: names of at least two cells.
        common: compare on the cases that both have; otherwise cells that were scored on different cases are an error.

    Raises:
        UniferumError: fewer than two cells, a name that no cell has, or cells that were scored on different cases.
    """
    known = {record.name: record for record in records}
    for name in names:
        if name not in known:
            raise UniferumError("--compare", name, must="be a finished cell", cure=near_miss(name, known))
    if len(set(names)) < 2:
        raise UniferumError("--compare", ", ".join(names), must="be given at least twice, with one cell each")
    tables = {name: known[name].predictions(NEEDED) for name in dict.fromkeys(names)}
    groups, labels = [], []
    for first, second in combinations(tables, 2):
        cases = align({first: tables[first], second: tables[second]}, common=common)
        groups += group_rows(cases, first, second)
        labels += pairwise(cases, [first, second]).to_dict("records")
    rows = [*adjusted(groups), *adjusted(labels)]
    said = [f"{name}: {cell_label(known[name])}." for name in tables]
    below = [*tests_said(len(groups), len(labels), common), *said]
    return titled(Sheet("Paired tests", HEADINGS, rows, below, words=5), [known[name] for name in tables])


def group_rows(cases: Mapping[LabelKey, Cases], first: str, second: str) -> list[dict[str, object]]:
    """Test the mean of each group that both cells have."""
    rows = []
    for cohort, group in dict.fromkeys(key[:2] for key in cases):
        made = group_difference(cases, (cohort, group))
        if made is not None:
            facts = {"cohort": cohort, "group": group, "label": f"{MEAN} of {made.n_labels}"}
            areas = {"auroc_first": made.first, "auroc_second": made.second, "difference": made.test.difference}
            rows.append(
                {"first": first, "second": second, **facts, **areas}
                | {
                    "lo": made.test.lo,
                    "hi": made.test.hi,
                    "p": made.test.p,
                    "p_delong": math.nan,
                    "reason": made.reason,
                }
                | {"patients": made.patients, "positives": made.positives}
            )
    return rows


def adjusted(rows: Sequence[Mapping[str, object]]) -> list[list[str]]:
    """Format the tests of one family as text, with adjusted p values."""
    if not rows:
        return []
    table = pd.DataFrame(rows)
    table["holm"], table["bh"] = holm(table["p"]), benjamini_hochberg(table["p"])
    return [
        [
            *(str(row[name]) for name in ("first", "second", "cohort", "group", "label")),
            *(rounded(row[name]) for name in ("auroc_first", "auroc_second")),
            signed(row["difference"]),
            row["reason"] or bounds(row["lo"], row["hi"], "+.4f"),
            *(shown_p(row[name]) for name in ("p", "holm", "bh", "p_delong")),
            *(str(row[name]) for name in ("patients", "positives")),
        ]
        for row in table.to_dict("records")
    ]


def tests_said(groups: int, labels: int, common: bool) -> list[str]:
    """Describe the tests, with the number of means and labels."""
    return [
        "Difference: AUROC of the second cell minus that of the first, on the same test volumes"
        + (" (those that both have)." if common else "."),
        "Tests are by patient: DeLong's components are summed within each patient (Obuchowski 1997), for a mean over "
        "all labels; Student's t. Positive: patients with a positive volume, of a mean in the label that has fewest. "
        "No test of a label where a class has fewer than 5 patients. DeLong's own test takes volumes as cases.",
        f"Two-sided. Adjusted within {groups} means and within {labels} labels.",
    ]
