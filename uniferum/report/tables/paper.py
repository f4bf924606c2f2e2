"""Tables of group means, as in the paper: rows are models with their training data, columns are groups of labels.

Invariant: a table that mixes protocols says so in its protocol lines. An entry without a number gives the reason and
the command that computes it.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from uniferum.evaluation.delong import quantile
from uniferum.report.published import find, rows
from uniferum.report.records import CellRecord, PendingCell, RowKey, Score, row_order
from uniferum.report.settings import has_settings, row_with_setting
from uniferum.report.tables.entries import (
    Entry,
    Key,
    ReportTable,
    intervals_said,
    marked_best,
)
from uniferum.report.tables.naming import not_the_papers, of_phantoms, phantom_title, unpublished_notes
from uniferum.report.tables.protocol import protocol_lines
from uniferum.report.tables.repeats import Repeats, by_fold
from uniferum.report.tables.seed_spread import OF_FOLDS, centre, with_seed_spread

#: The columns of the paper's Table 2; those of other cohorts follow.
COLUMNS: tuple[tuple[str, str], ...] = (
    ("CTRATE", "all"),
    ("INSPECT", "shared"),
    ("INSPECT", "unique"),
    ("RADCHEST", "shared"),
    ("RADCHEST", "unique"),
)


def column_order(column: Sequence[str]) -> tuple[object, ...]:
    """Sort key of a cohort, a group and what follows: columns in the order of the paper, others behind."""
    named = (column[0], column[1])
    return (COLUMNS.index(named) if named in COLUMNS else len(COLUMNS), *column)


MODEL_FACTS = ("model", "text_encoder", "train_on")
METRIC_TITLES = {
    "auroc": "Average area under the ROC curve (AUROC)",
    "aupr": "Average precision (AUPR), to be read against the prevalence",
}


def group_table(
    name: str,
    records: Sequence[CellRecord],
    pending: Sequence[PendingCell] = (),
    *,
    metric: str,
    title: str = "",
    columns: Sequence[tuple[str, str]] | None = None,
    published_rows: bool = False,
    shows: Callable[[RowKey], bool] = lambda row: True,
    phantoms: bool = False,
) -> ReportTable:
    """Make a table of group means, averaged over seeds and folds.

    Args:
        name: the name of the table in ``uniferum why``.
        records: finished cells.
        pending: expected cells without a result.
        metric: ``auroc`` or ``aupr``.
        title: of the table; by default the metric's.
        columns: (cohort, group) pairs; by default the paper's, then those of other cohorts that were evaluated.
        published_rows: include rows that only the paper has, and say why a row has no published value.
        shows: whether such a row is included.
        phantoms: the numbers are of phantoms, also if the table has no cell.
    """
    wanted = tuple(columns) if columns is not None else _columns(records)
    cells = (*records, *pending)
    phantoms = phantoms or of_phantoms(cells)
    title = title or METRIC_TITLES.get(metric, metric)
    printed = [row for row in rows(metric) if published_rows and not phantoms and shows(row)]
    ordered, facts = _rows(cells, printed), row_facts(cells)
    scores, others = _scores(records, metric), not_the_papers(cells)
    entries: dict[tuple[Key, Key], Entry] = {
        (shown, column): _entry(row, column, metric, scores, records, pending, others)
        for shown, row in ordered.items()
        for column in wanted
    }
    entries = with_seed_spread(entries, (*facts, "cohort", "group"))
    return ReportTable(
        name,
        phantom_title(title) if phantoms else title,
        metric,
        tuple(ordered),
        wanted,
        marked_best(entries, wanted),
        protocol_lines(records, wanted, metric, intervals=intervals_said(entries.values())),
        (*(unpublished_notes(cells, phantoms=phantoms) if published_rows else ()), *progress_notes(records, pending)),
        row_facts=facts,
        column_names={("CTRATE", "all"): "CTRATE"},
        phantoms=phantoms,
        unit=next((one.unit for one in records), "volume"),
    )


def averaged(scores: Sequence[Score], paper: float = math.nan) -> Entry:
    """Average the scores of several seeds and folds: mean, interval over cases, and standard deviation.

    A table widens the interval by the spread over seeds (:mod:`uniferum.report.tables.seed_spread`).

    Args:
        scores: one for each seed and fold, of cells that differ in nothing else.
        paper: the published value of the entry.
    """
    repeats = by_fold(scores)
    known = [score.value for score in repeats.scores if math.isfinite(score.value)]
    measured = [score for score in scores if math.isfinite(score.value)] or scores
    total = max(score.n_labels_total for score in measured)
    lo, hi = folds_interval(repeats) if repeats.nested else seeds_interval(repeats.scores)
    alike, one = not repeats.mixed, len(repeats.scores) == 1
    first = repeats.scores[0]
    return Entry(
        value=mean(known),
        lo=lo if alike else math.nan,
        hi=hi if alike else math.nan,
        spread=stdev(known) if len(known) > 1 and alike else math.nan,
        seeds=repeats.seeds,
        folds=repeats.folds,
        folds_total=repeats.total,
        n_labels=min(score.n_labels for score in measured),
        n_labels_total=total,
        n_cases=repeats.counted(score.n_cases for score in repeats.scores),
        n_patients=repeats.counted(score.n_patients for score in repeats.scores),
        prevalence=mean([score.prevalence for score in scores]),
        published=paper,
        missing="" if known else f"n/a (0 of {total} labels have both classes)",
        cells=tuple(score.cell for score in scores),
        method=_method(repeats) if alike and math.isfinite(lo) else "",
        reason=next((score.reason for score in scores if score.reason), "") if not math.isfinite(lo) else "",
        corrected=mean([score.corrected for score in repeats.scores]) if alike else math.nan,
        delong_lo=first.delong_lo if one else math.nan,
        delong_hi=first.delong_hi if one else math.nan,
    )


def _method(repeats: Repeats) -> str:
    """How the interval of a mean over seeds or folds was made."""
    known = [score for score in repeats.scores if math.isfinite(score.value)]
    if repeats.nested and len(known) > 1:
        return OF_FOLDS
    return " / ".join(dict.fromkeys(score.method for score in known if score.method))


def seeds_interval(scores: Sequence[Score]) -> tuple[float, float]:
    """Compute the 95 % interval over test cases of a mean over seeds or folds; NaN if one of them has none.

    All seeds are scored on the same cases, so averaging does not reduce the error due to the cases: the interval
    reaches as far as those of the seeds do on average.
    """
    measured = [score for score in scores if math.isfinite(score.value)]
    if not measured or not all(math.isfinite(score.lo) and math.isfinite(score.hi) for score in measured):
        return math.nan, math.nan
    return fmean(score.lo for score in measured), fmean(score.hi for score in measured)


def folds_interval(repeats: Repeats) -> tuple[float, float]:
    """Compute the 95 % interval of a mean over nested folds: Student's, from the folds' means.

    Each fold is tested on other patients, so that the standard deviation s of the k folds contains the variation over
    cases: the half-width is t s / sqrt(k). One fold keeps its own interval. The folds share training scans, so that the
    interval is rather too narrow (Bengio and Grandvalet 2004).
    """
    values = [centre(score) for score in repeats.scores if math.isfinite(score.value)]
    if len(values) < 2:
        return seeds_interval(repeats.scores)
    half = quantile(0.95, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return max(0.0, fmean(values) - half), min(1.0, fmean(values) + half)


def mean(values: Sequence[float]) -> float:
    """Mean of the finite values; NaN if there are none."""
    known = [value for value in values if math.isfinite(value)]
    return fmean(known) if known else math.nan


def absent(
    row: RowKey,
    records: Sequence[CellRecord],
    pending: Sequence[PendingCell],
    paper: float = math.nan,
    *,
    cohort: str = "",
) -> Entry:
    """Make an entry without a number: the reason, and the command that computes it.

    Args:
        row: the row of the table.
        records: finished cells.
        pending: expected cells without a result.
        paper: the published value of the entry.
        cohort: the test cohort of the entry; empty if unknown.
    """
    waiting = next((one for one in pending if one.row == row), None)
    if waiting:
        return Entry(published=paper, missing=waiting.reason, command=waiting.command)
    known = [record for record in records if record.row == row]
    command = next((record.untested[cohort] for record in known if cohort in record.untested), None)
    if command is not None:
        return Entry(published=paper, missing=f"data absent: {cohort}", command=command)
    return Entry(published=paper, missing="not evaluated" if known else "not run")


def progress_notes(records: Sequence[CellRecord], pending: Sequence[PendingCell]) -> tuple[str, ...]:
    """Say how many cells are done, and for each other cell the reason and the command that runs it."""
    done, waiting = (sum(not one.members for one in cells) for cells in (records, pending))
    lines = [f"{done} of {done + waiting} cells are done."] if waiting else []
    for one in pending:
        how = f"; run: {one.command}" if one.command else ""
        lines.append(f"{one.name}: {one.reason}{how}")
    untested = {cohort: command for record in records for cohort, command in record.untested.items()}
    lines += [
        f"data absent: {cohort} has no store, so no cell was tested on it; make it with: {command}"
        for cohort, command in untested.items()
    ]
    return tuple(lines)


def _columns(records: Sequence[CellRecord]) -> tuple[tuple[str, str], ...]:
    scored = {(score.cohort, score.group) for record in records for score in record.groups}
    if not scored:
        return COLUMNS
    tested = {cohort for cohort, _ in scored}
    untested = {cohort for record in records for cohort in record.untested} - tested
    known = [column for column in COLUMNS if column in scored or column[0] in untested]
    others = {(cohort, "all") for cohort in untested - {cohort for cohort, _ in COLUMNS}}
    return (*known, *sorted((scored | others) - set(COLUMNS)))


def row_facts(cells: Iterable[CellRecord | PendingCell]) -> tuple[str, ...]:
    """The facts of a row; with the setting, if any cell has one."""
    return (*MODEL_FACTS, "setting") if has_settings(cells) else MODEL_FACTS


def _rows(cells: Sequence[CellRecord | PendingCell], more: Iterable[RowKey]) -> dict[Key, RowKey]:
    """The rows of a table as they are shown, each with that of its cells."""
    known = {one.row: row_with_setting(one) for one in cells}
    wide = has_settings(cells)
    shown = {known.get(row, (*row, "")) if wide else row: row for row in (*known, *more)}
    return {row: shown[row] for row in sorted(shown, key=row_order)}


def _scores(records: Sequence[CellRecord], metric: str) -> dict[tuple[RowKey, tuple[str, str]], list[Score]]:
    """The stored means of one metric by row and column, one for each seed and fold."""
    by_entry: dict[tuple[RowKey, tuple[str, str]], list[Score]] = {}
    for record in records:
        for score in record.groups:
            if score.metric == metric:
                by_entry.setdefault((record.row, (score.cohort, score.group)), []).append(score)
    return by_entry


def _entry(
    row: RowKey,
    column: tuple[str, str],
    metric: str,
    scores: dict[tuple[RowKey, tuple[str, str]], list[Score]],
    records: Sequence[CellRecord],
    pending: Sequence[PendingCell],
    others: Mapping[RowKey, str],
) -> Entry:
    printed, apart = find(metric, row, *column), others.get(row, "")
    paper = printed.value if printed and not apart else math.nan
    of_seeds = scores.get((row, column))
    entry = averaged(of_seeds, paper) if of_seeds else absent(row, records, pending, paper, cohort=column[0])
    return replace(entry, apart=apart) if printed and apart else entry
