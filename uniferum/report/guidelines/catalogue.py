"""The tables that reporting guidelines ask for, by name, and their options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.errors import UniferumError
from uniferum.evaluation.operating_points import ThresholdRule
from uniferum.report.guidelines.calibration import calibration_sheet
from uniferum.report.guidelines.decision import THRESHOLDS, decision_sheet
from uniferum.report.guidelines.facts import read_facts, slice_facts
from uniferum.report.guidelines.flow import flow_sheet
from uniferum.report.guidelines.operating_points import average_sheet, label_sheet
from uniferum.report.guidelines.printing import Printing
from uniferum.report.guidelines.subgroups import SMALLEST, subgroup_sheet
from uniferum.report.records import CellRecord
from uniferum.report.tables.sheet import Sheet

NAMES = ("operating-points", "operating-points-labels", "calibration-slope", "decision", "subgroups", "flow")
MACHINE = ("csv", "json")
"""Formats in which numbers have all digits and bounds have columns of their own."""


@dataclass(frozen=True)
class GuidelineOptions:
    """Options of these tables, as they are given on the command line.

    Attributes:
        threshold: ``youden``, ``sensitivity=VALUE`` or ``specificity=VALUE``.
        by: facts of subgroups, separated by commas; empty: all that are known.
        metadata: ``COHORT=FILE``: tables of the scans of a cohort.
        smallest: number of patients below which a subgroup is suppressed.
        probabilities: threshold probabilities of decision curves, separated by commas; empty: the usual ones.
    """

    threshold: str = "youden"
    by: str = ""
    metadata: Sequence[str] = ()
    smallest: int = SMALLEST
    probabilities: str = ""


def guideline_sheet(
    name: str,
    records: Sequence[CellRecord],
    stores: Mapping[str, Path],
    only: Mapping[str, str],
    options: GuidelineOptions,
    *,
    intervals: bool = False,
    kind: str = "terminal",
) -> Sheet:
    """Make one of these tables.

    Args:
        name: one of ``NAMES``.
        records: finished cells.
        stores: prepared stores by cohort.
        only: limits to a cohort, group or label.
        options: options of these tables.
        intervals: print 95 % intervals beside the numbers.
        kind: the format in which it will be printed.

    Raises:
        UniferumError: an option is wrong, or a prediction file is missing or unreadable.
    """
    printing = Printing(intervals, kind in MACHINE)
    if name in ("operating-points", "operating-points-labels"):
        make = average_sheet if name == "operating-points" else label_sheet
        return make(records, ThresholdRule.parse(options.threshold), only, printing)
    if name == "calibration-slope":
        return calibration_sheet(records, only, printing)
    if name == "decision":
        return decision_sheet(records, only, printing, _probabilities(options.probabilities))
    opened = {cohort: PreparedCohort.open(path) for cohort, path in stores.items()}
    if name == "flow":
        return flow_sheet(records, opened, only)
    facts = _facts(opened, options.metadata)
    by = [fact.strip() for fact in options.by.split(",") if fact.strip()]
    return subgroup_sheet(records, facts, only, printing, by=by, smallest=options.smallest)


def _facts(stores: Mapping[str, PreparedCohort], tables: Sequence[str]) -> dict[str, dict[str, dict[str, str]]]:
    """What is known of the scans: from the manifests of stores, and from tables that are given."""
    facts = {cohort: slice_facts(store.scans) for cohort, store in stores.items()}
    for text in tables:
        cohort, sign, path = text.partition("=")
        if not sign or not path:
            raise UniferumError("--metadata", text, must="be COHORT=FILE, e.g. CTRATE=validation_metadata.csv")
        facts.setdefault(cohort, {}).update(read_facts(Path(path)))
    return facts


def _probabilities(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(",")) if text else THRESHOLDS
    except ValueError:
        values = ()
    if not values or not all(0 < value < 1 for value in values):
        raise UniferumError("--probabilities", text, must="be numbers between 0 and 1, separated by commas")
    return values
