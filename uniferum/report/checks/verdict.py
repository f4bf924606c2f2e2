"""Compare each number with the paper's: difference, interval and a verdict.

``reproduced``: two one-sided tests at 5 % (the 90 % interval of the difference lies inside the margin). ``differs``:
the 95 % interval lies outside it. ``inconclusive``: neither; what would decide is printed. ``missing``: no number.
``not comparable``: phantoms, another split or another label list (:mod:`uniferum.report.checks.comparability`).

The margin is the grid file's; a margin of the whole metric is widened, by column, to what the scans, positives and
seeds can decide (:mod:`uniferum.report.checks.attainable`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from uniferum.report.checks.attainable import TestCounts, can_decide, counts_of_record, decided, planned_error, widened
from uniferum.report.checks.comparability import Comparison, JudgedColumn, compare
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.readings import margin_side
from uniferum.report.checks.uncertainty import (
    Z95,
    Uncertainty,
    column_spreads,
    published_error,
)
from uniferum.report.published import find
from uniferum.report.records import CellRecord, Score
from uniferum.report.settings import settings_said
from uniferum.report.tables.entries import Entry, Key, ReportTable
from uniferum.report.tables.pivot import label_scores
from uniferum.report.tables.seed_spread import UNKNOWN, SeedSpread, centre
from uniferum.systems import trained_by_paper

WORDS = ("reproduced", "differs", "inconclusive", "missing", "not comparable")


JUDGED = ("reproduced", "differs", "inconclusive")


@dataclass(frozen=True)
class Verdict:
    """The verdict on one number; ``lo`` and ``hi`` are the 95 % interval of our number with every known error."""

    row: Key
    column: Key
    published: float
    value: float
    lo: float
    hi: float
    margin: float | None
    word: str
    because: str
    declared: float | None = None
    """The margin of the grid file, if another was used."""
    error: Uncertainty | None = None

    @property
    def difference(self) -> float:
        """Ours minus the paper's."""
        return self.value - self.published


@dataclass
class _Sources:
    """What the verdicts of a table rest on."""

    table: ReportTable
    agreement: Margins
    cells: Mapping[str, CellRecord]
    spreads: Mapping[Key, SeedSpread]
    counts: dict[str, dict[tuple[str, str], TestCounts]] = field(default_factory=dict)

    def counts_of(self, entry: Entry, cohort: str, group: str, label: str) -> TestCounts | None:
        """Test cases of the first cell of an entry; None if its record has no table of labels."""
        record = next((self.cells[name] for name in entry.cells if name in self.cells), None)
        if record is None:
            return None
        if record.name not in self.counts:
            self.counts[record.name] = counts_of_record(record)
        if not label:
            return self.counts[record.name].get((cohort, group))
        positives = round(entry.prevalence * entry.n_cases) if math.isfinite(entry.prevalence) else 0
        if not positives:
            return None
        return TestCounts(cohort, label, entry.n_cases, entry.n_patients, ((positives, entry.n_cases - positives),))


def judge(table: ReportTable, agreement: Margins, records: Sequence[CellRecord] = ()) -> list[Verdict]:
    """Judge every number of a table for which the paper has a number of the same model.

    The margin of a label (``COHORT label``) is used if there is one, otherwise that of the metric. The records give the
    test split of each number; without its record a number is of an unknown split.
    """
    verdicts, sources = [], _Sources(table, agreement, {one.name: one for one in records}, column_spreads(table))
    for key in ((row, column) for row in table.rows for column in table.columns):
        entry = table.entries[key]
        facts = dict(zip((*table.row_facts, *table.column_facts), (*key[0], *key[1]), strict=True))
        if (math.isfinite(entry.published) or entry.apart) and trained_by_paper(facts.get("model", "")):
            verdicts.append(_judged(facts, entry, sources))
    return verdicts


def judged_column(facts: Mapping[str, str], entry: Entry) -> JudgedColumn:
    """What a number of a table measures."""
    counts = entry.n_cases, entry.n_labels, entry.n_labels_total
    return JudgedColumn(facts["cohort"], facts.get("group", ""), facts.get("label", ""), *counts)


def _judged(facts: Mapping[str, str], entry: Entry, sources: _Sources) -> Verdict:
    row = tuple(facts.get(name, "") for name in ("model", "text_encoder", "train_on"))
    column = (facts["cohort"], facts.get("label") or facts["group"])
    shown = [sources.cells[name] for name in entry.cells if name in sources.cells]
    compared = compare(judged_column(facts, entry), shown, sources.agreement)
    declared = sources.agreement.margin(sources.table.metric, *column)
    refused = _refused(entry, declared, compared)
    if refused is not None:
        word, because = refused
        if word == "inconclusive":
            because = "; ".join((because, *compared.said))
        return Verdict(row, column, entry.published, entry.value, entry.lo, entry.hi, declared, word, because)
    counts = sources.counts_of(entry, column[0], facts.get("group", ""), facts.get("label", ""))
    error, said = uncertainty(entry, facts, sources.table.metric, sources.spreads[column], shown)
    plan = None if counts is None or sources.table.metric != "auroc" else _planned(counts, entry, error)
    margin = widened(sources.agreement, sources.table.metric, column, plan)
    assert margin is not None, "a number without a margin was refused"
    word, because = decide(entry.value - entry.published, error, margin) or (
        "inconclusive",
        _what_decides(entry, error, margin, plan, counts),
    )
    lo, hi = (entry.published + edge for edge in error.interval(entry.value - entry.published))
    note = f"±{declared:g} cannot be decided with {counts.said}" if counts and declared and margin > declared else ""
    because = "; ".join(part for part in (because, note, said, *compared.said, *settings_said(shown)) if part)
    return Verdict(row, column, entry.published, entry.value, lo, hi, margin, word, because, declared, error)


def _refused(entry: Entry, declared: float | None, compared: Comparison) -> tuple[str, str] | None:
    """The verdict on a number that cannot be tested; None if it can."""
    if not entry.known:
        return "missing", entry.missing
    if entry.apart:
        return "not comparable", entry.apart
    if compared.incomparable:
        return "not comparable", compared.incomparable
    if declared is None:
        return "inconclusive", "the grid file gives no margin"
    if not math.isfinite(entry.lo):
        return "inconclusive", f"no interval: {entry.reason or 'a mean over an axis, or a cell to evaluate again'}"
    return None


def uncertainty(
    entry: Entry, facts: Mapping[str, str], metric: str, spread: SeedSpread, records: Sequence[CellRecord]
) -> tuple[Uncertainty, str]:
    """The error of the difference of a number to the paper's, and a remark on the published number's own error."""
    row = facts.get("model", ""), facts.get("text_encoder", ""), facts.get("train_on", "")
    where = facts.get("label") or facts["group"]
    positives = round(entry.prevalence * entry.n_cases) if math.isfinite(entry.prevalence) else 0
    error, said = published_error(
        find(metric, row, facts["cohort"], where), positives, max(0, entry.n_cases - positives)
    )
    scores = [score for record in records for score in _scores(record, facts, metric) if math.isfinite(score.lo)]
    if entry.folds_total or (not scores and entry.seeds > 1):
        (below, above), seeds, spread = _distances(entry), entry.seeds, UNKNOWN
    elif scores:
        below, above = (fmean(distances) for distances in zip(*map(_distances, scores), strict=True))
        seeds = len(scores)
    else:
        (below, above), seeds = _distances(entry), 1
    return Uncertainty(below / Z95, above / Z95, spread, max(seeds, 1), error), said


def _distances(score: Score | Entry) -> tuple[float, float]:
    """How far an interval reaches below and above its centre, of AUPR the corrected value."""
    middle = centre(score)
    return middle - score.lo, score.hi - middle


def _scores(record: CellRecord, facts: Mapping[str, str], metric: str) -> list[Score]:
    """The stored score of a cell in one column."""
    label = facts.get("label", "")
    stored = label_scores(record, metric) if label else (one for one in record.groups if one.metric == metric)
    wanted = {name: facts[name] for name in ("cohort", "group", "label") if name in facts}
    if label and not record.files.metrics.exists() and record.recomputed is None:
        return []
    return [one for one in stored if all(getattr(one, name) == value for name, value in wanted.items())]


def _planned(counts: TestCounts, entry: Entry, error: Uncertainty) -> Uncertainty | None:
    """The error that was to be expected before the run, from counts and the published value."""
    plan = planned_error(counts, entry.published, error.spread, error.seeds)
    return plan if plan is None else Uncertainty(plan.below, plan.above, plan.spread, plan.seeds, error.published)


def decide(difference: float, error: Uncertainty, margin: float) -> tuple[str, str] | None:
    """Compare a difference with a margin; None if the data decide neither way."""
    narrow, wide = (error.interval(difference, level) for level in (0.90, 0.95))
    side = margin_side(narrow, wide, margin)
    if side == "undecided":
        return None
    word, level, (lo, hi) = ("reproduced", 90, narrow) if side == "inside" else ("differs", 95, wide)
    return word, f"the {level} % interval of the difference, {lo:+.4f} to {hi:+.4f}, lies {side} ±{margin:.4f}"


def _what_decides(
    entry: Entry, error: Uncertainty, margin: float, plan: Uncertainty | None, counts: TestCounts | None
) -> str:
    """Say what would decide: the plan where the margin is too narrow, otherwise the number of cases or seeds."""
    if plan is not None and counts is not None and not can_decide(plan, margin):
        return decided(counts.said, plan, margin)
    distance = abs(margin - abs(entry.value - entry.published))
    if distance < 1e-4:
        return "the value lies on the edge of the margin: no number of cases decides"
    cases = math.ceil(round(entry.n_cases * (error.half(0.95) / distance) ** 2, 3))
    text = f"about {cases} test volumes would decide (there are {entry.n_cases})"
    if error.seeds < 2 and entry.seeds < 2:
        return f"{text}; one seed: {error.spread.said}"
    spread = error.spread.value if error.spread.known else entry.spread
    seeds = math.ceil((Z95 * spread / distance) ** 2)
    return f"{text}, or, where the spread over seeds dominates, about {max(seeds, 2)} seeds (there are {entry.seeds})"
