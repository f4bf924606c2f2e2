"""Which margin can be decided with the scans, positives and seeds at hand, before a GPU-hour is spent.

The attainable margin is the smallest one at which a cell whose true value is the paper's is called ``reproduced`` with
a probability of 85 % (two one-sided tests at 5 %). It rests on counts and on the paper's values alone, never on our
scores. The error of a mean over labels is Hanley and McNeil's for each label, put together with an assumed correlation
between labels; volumes of one patient count as one case, which is an upper limit.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.vocabulary import Vocabulary
from uniferum.evaluation.delong import quantile
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.uncertainty import Uncertainty, hanley_mcneil, papers_spread
from uniferum.report.published import published
from uniferum.report.records import CellRecord
from uniferum.report.tables.paper import column_order
from uniferum.report.tables.seed_spread import SeedSpread
from uniferum.report.tables.sheet import Sheet

POWER = 0.85
"""Probability with which a true cell is called reproduced at the attainable margin: 80 % and some reserve."""
STEP = 0.005
"""Margins are rounded up to a multiple of this."""
LABEL_CORRELATION = 0.03
"""Assumed correlation between the errors of two labels; ``benchmarks/verdict_power.py`` finds 0.02 to 0.04."""
MORE_SEEDS = 4
TEST = "test"


@dataclass(frozen=True)
class TestCounts:
    """Test cases of one group: scans, patients, and known (positives, negatives) of each label."""

    __test__ = False  # pytest: not a test class

    cohort: str
    group: str
    scans: int
    patients: int
    labels: tuple[tuple[int, int], ...]

    @property
    def scored(self) -> list[tuple[int, int]]:
        """Labels with both classes."""
        return [one for one in self.labels if min(one) > 0]

    @property
    def said(self) -> str:
        """``360 scans, 7 to 150 positives a label``."""
        positives = [n for n, _ in self.scored]
        spread = f"{min(positives)}" if min(positives) == max(positives) else f"{min(positives)} to {max(positives)}"
        return f"{self.scans} scans, {spread} positives{' a label' if len(positives) > 1 else ''}"


def smallest_margin(error: Uncertainty) -> float:
    """The attainable margin for an error, rounded up."""
    exact = error.half(0.90) + quantile(POWER) * error.standard
    return round(math.ceil(exact / STEP - 1e-9) * STEP, 6)


def can_decide(error: Uncertainty, margin: float) -> bool:
    """Whether a margin is at least the attainable one."""
    return smallest_margin(error) <= margin + 1e-9


def planned_error(counts: TestCounts, area: float, spread: SeedSpread, seeds: int = 1) -> Uncertainty | None:
    """Error of a mean AUROC that is expected from counts alone; None if no label has both classes."""
    if not counts.scored:
        return None
    errors = [hanley_mcneil(area, positives, negatives) for positives, negatives in counts.scored]
    own, both = sum(error**2 for error in errors), sum(errors) ** 2
    variance = ((1 - LABEL_CORRELATION) * own + LABEL_CORRELATION * both) / len(errors) ** 2
    variance *= counts.scans / counts.patients if counts.patients else 1.0
    return Uncertainty(math.sqrt(variance), math.sqrt(variance), spread, seeds)


def typical_area(cohort: str, group: str) -> float | None:
    """Mean of the paper's AUROCs in a column; None if it has none."""
    values = [one.value for one in published() if (one.metric, one.cohort, one.group) == ("auroc", cohort, group)]
    return fmean(values) if values else None


def counts_of_record(record: CellRecord) -> dict[tuple[str, str], TestCounts]:
    """Count the test cases of a finished cell by cohort and group; empty without its table of labels."""
    if not record.files.metrics.exists():
        return {}
    table = record.labels
    patients = {(s.cohort, s.group): (s.n_cases, s.n_patients) for s in record.groups if s.metric == "auroc"}
    made = {}
    for key, part in table.groupby(["cohort", "group"], observed=True):
        column = str(key[0]), str(key[1])  # pyright: ignore[reportIndexIssue]
        known, positives = (part[name].astype(int).tolist() for name in ("n", "n_pos"))
        scans, owners = patients.get(column, (max(known), 0))
        labels = tuple((of, n - of) for n, of in zip(known, positives, strict=True))
        made[column] = TestCounts(*column, scans, owners, labels)
    return made


def counts_of_store(cohort: PreparedCohort, name: str) -> dict[tuple[str, str], TestCounts]:
    """Count the test cases of a prepared store by group of labels."""
    known, patients = cohort.label_counts(TEST), cohort.patients(TEST)
    made = {}
    for (of, group), labels in Vocabulary.load().groups.items():
        pairs = tuple((known[label][1], known[label][0]) for label in labels if label in known)
        if of == name and pairs:
            made[of, group] = TestCounts(of, group, len(patients), len(set(patients.values())), pairs)
    return made


def attainable_sheet(counts: Iterable[TestCounts], agreement: Margins, seeds: int) -> Sheet:
    """Make the table of attainable margins by column; below it, a sentence for each."""
    headings = ["Column", "Test data", "Labels", "Seeds", "Error over cases", "Spread over seeds", "Declared"]
    headings += ["Attainable", f"With {MORE_SEEDS} seeds"]
    rows, lines = [], []
    for one in sorted(counts, key=_rank):
        area = typical_area(one.cohort, one.group)
        error = None if area is None else planned_error(one, area, papers_spread("auroc", one.cohort, one.group), seeds)
        if error is None:
            continue
        declared = agreement.margin("auroc", one.cohort, one.group)
        shown = f"{error.spread.value:.4f}" if error.spread.known else "unknown"
        margins = [f"±{smallest_margin(of):.3f}" for of in (error, replace(error, seeds=max(seeds, MORE_SEEDS)))]
        said = "-" if declared is None else f"±{declared:g}"
        name = f"{one.cohort} {one.group}"
        facts = [one.said, f"{len(one.scored)}", str(seeds), f"{error.below:.4f}", shown, said]
        rows.append([name, *facts, *margins])
        lines.append(f"{name}: {decided(one.said, error, declared)}.")
    if rows and agreement.synthetic:
        lines.append("These are phantoms, so that no number will be compared with the paper's.")
    return Sheet("Margins that can be decided, AUROC", headings, rows, [*lines, *_HOW] if rows else [_NONE], words=2)


def undecided(counts: Iterable[TestCounts], agreement: Margins, seeds: int) -> list[str]:
    """A sentence for each column whose declared margin cannot be decided."""
    lines = []
    for one in sorted(counts, key=_rank):
        area, declared = typical_area(one.cohort, one.group), agreement.margin("auroc", one.cohort, one.group)
        spread = papers_spread("auroc", one.cohort, one.group)
        error = None if area is None or declared is None else planned_error(one, area, spread, seeds)
        if error is not None and declared is not None and not can_decide(error, declared):
            lines.append(f"{one.cohort} {one.group}: {decided(one.said, error, declared)}.")
    return lines


def decided(said: str, error: Uncertainty, declared: float | None) -> str:
    """Say whether a declared margin can be decided, and what can or what would help."""
    least, seeds = smallest_margin(error), _seeds(error.seeds)
    if declared is None:
        return f"±{least:g} can be decided with {said} and {seeds}"
    if can_decide(error, declared):
        return f"±{declared:g} can be decided with {said} and {seeds}"
    others = [n for n in range(error.seeds + 1, 21) if can_decide(replace(error, seeds=n), declared)]
    more = replace(error, seeds=max(MORE_SEEDS, error.seeds))
    if others:
        help_ = f", or ±{declared:g} with {others[0]} seeds"
    elif smallest_margin(more) < least:
        help_ = f", ±{smallest_margin(more):g} with {more.seeds} seeds; no number of seeds decides ±{declared:g}"
    else:
        help_ = "; more seeds do not help"
    return f"±{declared:g} cannot be decided with {said} and {seeds}; ±{least:g} can{help_}"


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _rank(one: TestCounts) -> tuple[object, ...]:
    return column_order((one.cohort, one.group))


def widened(agreement: Margins, metric: str, column: Sequence[str], error: Uncertainty | None) -> float | None:
    """The margin of a verdict: the declared one of the column, or that of the metric, widened to the attainable one."""
    declared = agreement.margin(metric, column[0], column[1])
    own: Mapping[str, float] = {key: value for key, value in agreement.margins.items() if " " in key}
    of_column = {f"{metric} {column[0]} {column[1]}", f"{column[0]} {column[1]}"} & own.keys()
    if declared is None or of_column or error is None:
        return declared
    return max(declared, smallest_margin(error))


_NONE = "No margin can be planned: no test split with labels of the paper was found (prepare the stores first)."
_HOW = (
    f"Attainable: a cell whose true value is the paper's is called reproduced with a probability of {POWER:.0%}.",
    "Error over cases: Hanley and McNeil's by label at the mean of the paper's values, volumes of a patient as one.",
    "Spread over seeds: from pairs of text encoders in the paper, an upper estimate. The own errors of the paper's "
    "means are unknown and not counted.",
)
