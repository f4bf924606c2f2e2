"""AUROC by subgroup of the test cases; small subgroups are suppressed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from uniferum.evaluation.area_interval import FEWEST
from uniferum.evaluation.comparison import Cases, group_area
from uniferum.evaluation.operating_points import Estimate
from uniferum.report.guidelines.facts import chosen_facts, classes
from uniferum.report.guidelines.printing import Printing, tested_cases
from uniferum.report.records import CellRecord
from uniferum.report.tables.sheet import Sheet
from uniferum.value_labels import natural

SMALLEST = 20
Facts = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Cohort to fact to scan or patient to class."""


def subgroup_sheet(
    records: Sequence[CellRecord],
    facts: Facts,
    only: Mapping[str, str],
    printing: Printing,
    *,
    by: Sequence[str] = (),
    smallest: int = SMALLEST,
) -> Sheet:
    """Make the table of subgroups, one row for each class of each fact.

    Args:
        records: finished cells.
        facts: what is known of the scans of each cohort.
        only: limits to a cohort, group or label.
        printing: how numbers are printed.
        by: facts to divide by; empty: all that are known.
        smallest: number of patients below which a subgroup is suppressed.
    """
    rows: list[list[str]] = []
    for record in records:
        table = _limited(tested_cases(record), only)
        for key, part in table.groupby(["cohort", "group"], sort=False, observed=True):
            cohort, group = map(str, key)  # pyright: ignore[reportArgumentType]
            of_cohort = facts.get(cohort, {})
            for fact in chosen_facts(by, list(of_cohort)):
                where = [record.name, cohort, group, fact]
                rows += _fact_rows(where, part, of_cohort.get(fact), printing, smallest)
    headings = ["Cell", "Cohort", "Group", "By", "Class", "Patients", "Cases", "Labels"]
    below = [
        f"Classes with fewer than {smallest} patients are suppressed (--smallest).",
        f"AUROC: mean over the labels for which {FEWEST} patients have a positive and {FEWEST} a negative case in "
        "every printed class, so that all classes of a fact average the same labels.",
        "Intervals: 95 %, patients as the unit. No test is adjusted for the number of subgroups: differences between "
        "them are descriptive.",
    ]
    if not rows and not any(facts.values()):
        below.insert(0, "Nothing is known of the scans: give a table of them with --metadata COHORT=FILE, or --grid.")
    return Sheet("AUROC by subgroup", [*headings, *printing.headings(["AUROC"])], rows, below, words=5)


def _fact_rows(
    where: list[str], part: pd.DataFrame, values: Mapping[str, str] | None, printing: Printing, smallest: int
) -> Iterator[list[str]]:
    if values is None:
        yield [*where, "not recorded", "-", "-", "-", *printing.cells([Estimate()])]
        return
    divided = part.assign(_class=classes(part, values))
    parts = {str(name): rows for name, rows in divided.groupby("_class")}
    shown = {name: rows for name, rows in parts.items() if len(rows["patient_id"].unique()) >= smallest}
    labels = _common_labels(list(shown.values()))
    for name in sorted(parts, key=natural):
        if name not in shown:
            yield [*where, name, f"<{smallest}", "suppressed", "-", *printing.cells([Estimate()])]
            continue
        rows = parts[name]
        counts = [len(rows["patient_id"].unique()), len(rows["volume_id"].unique()), len(labels)]
        yield [*where, name, *map(str, counts), *printing.cells([mean_area(rows, labels)])]


def _common_labels(parts: Sequence[pd.DataFrame]) -> list[str]:
    """Labels with enough patients of both classes in every part."""
    enough = []
    for part in parts:
        patients = part.drop_duplicates(["label", "target", "patient_id"])
        counts = Counter(zip(patients["label"].astype(str), patients["target"].astype(float), strict=True))
        labels = {label for label, _ in counts}
        enough.append({label for label in labels if min(counts[label, 0.0], counts[label, 1.0]) >= FEWEST})
    return sorted(set.intersection(*enough)) if enough else []


def mean_area(cases: pd.DataFrame, labels: Sequence[str]) -> Estimate:
    """Mean AUROC over labels, with an interval by patient."""
    aligned = {}
    for label in labels:
        part = cases.loc[cases["label"].astype(str) == label]
        scores, target = part["score"].to_numpy(np.float64)[None], part["target"].to_numpy(np.float64)
        aligned["", "", label] = Cases(target, scores, part["patient_id"].to_numpy(object))
    measured = group_area(aligned, ("", ""))
    return Estimate() if measured is None else Estimate(measured.value, measured.low, measured.high)


def _limited(table: pd.DataFrame, only: Mapping[str, str]) -> pd.DataFrame:
    for name, value in only.items():
        table = table.loc[table[name].astype(str).str.lower() == value.lower()]
    return table
