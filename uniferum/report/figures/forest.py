"""Figures 1, 3 and 4 of the paper: AUROC by label of two models, with intervals by patient and significance.

Significance is the paired test by patient on the same cases, adjusted by Holm over the labels of the figure. Of several
seeds and folds the mean is drawn; the test compares the means over the seeds that both models have.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uniferum.evaluation.comparison import align, label_difference
from uniferum.evaluation.multiple_testing import holm
from uniferum.report.checks.compare import NEEDED
from uniferum.report.figures.style import footnote, label_words, new_figure, say_missing, series
from uniferum.report.records import CellRecord, RowKey, Score
from uniferum.report.tables.entries import Entry, intervals_said
from uniferum.report.tables.naming import encoder_notes, not_the_papers, parts, row_label
from uniferum.report.tables.paper import averaged
from uniferum.report.tables.pivot import label_scores
from uniferum.systems import SYSTEMS, UNIFERUM

Scores = dict[RowKey, dict[str, Entry]]
"""By row and label."""


@dataclass(frozen=True)
class Panel:
    """Definition of a forest plot: column, rows and order of labels."""

    title: str
    column: tuple[str, str]
    rows: tuple[RowKey, ...]


def forest(records: Sequence[CellRecord], panel: Panel) -> Figure:
    """Draw a line for each label, a mark with interval for each row, and a star if the first two rows differ.

    Cells of a row that differ in seed or fold are averaged.
    """
    cells = _by_row(records)
    drawn = [(row, cells[row]) for row in panel.rows if row in cells]
    scores = {row: _scores(own, panel.column) for row, own in drawn}
    labels = _labels(scores)
    figure = new_figure(6.5, 1.6 + 0.24 * max(len(labels), 4))
    axes = figure.add_subplot()
    axes.set_title(panel.title)
    if not labels:
        say_missing(axes, _why_missing(panel, drawn))
        return figure
    stars = _significant([own for _, own in drawn], panel.column) if len(drawn) == 2 else {}
    for at, (row, _) in enumerate(drawn):
        _draw_row(axes, at, len(drawn), row, scores[row], labels)
    _finish(axes, labels, scores, stars)
    absent = [row_label(row) for row in panel.rows if row not in cells]
    notes = [*_notes(scores, drawn), "Grey line: chance."]
    notes += [f"* paired test by patient, p adjusted by Holm over {len(stars)} labels < 0.05"] if stars else []
    shown = [cell for _, own in drawn for cell in own]
    footnote(figure, [*notes, *encoder_notes(shown), *(f"missing: no cell {name}" for name in absent)])
    return figure


def figure1(records: Sequence[CellRecord]) -> Figure:
    """Draw Figure 1: CT-RATE by label. CT-CLIP's values by label are in no table, so they are missing."""
    row: RowKey = (UNIFERUM, parts(records)[0], "CTRATE")
    cells = _by_row(records)
    scores: Scores = {row: _scores(cells[row], ("CTRATE", "all"))} if row in cells else {}
    labels = _labels(scores)
    figure = new_figure(9, 1.6 + 0.24 * max(len(labels), 6))
    left, right = figure.subplots(1, 2, width_ratios=[2, 1])
    figure.suptitle("Figure 1. Performance on CT-RATE by label")
    left.set_title(f"{SYSTEMS[UNIFERUM].title} {row[1]} trained on CTRATE")
    right.set_title("CT-CLIP, ClassFine")
    say_missing(right, "CT-CLIP's values by label are drawn in the paper, and no table publishes them", width=22)
    if not labels:
        say_missing(left, f"no cell {row_label(row)} evaluated on CTRATE")
        return figure
    _draw_row(left, 0, 1, row, scores[row], labels)
    _finish(left, labels, scores, {})
    said = [] if not_the_papers(cells[row]) else ["CT-CLIP's mean, as the paper prints it: 0.7561."]
    footnote(figure, [*_notes(scores, [(row, cells[row])]), *said, *encoder_notes(cells[row])])
    return figure


def figure3(records: Sequence[CellRecord]) -> Figure:
    """Draw Figure 3: zero-shot on INSPECT, without and with segmentation."""
    return forest(records, Panel("Figure 3. Zero-shot on INSPECT", ("INSPECT", "unique"), _zero_shot(records)))


def figure4(records: Sequence[CellRecord]) -> Figure:
    """Draw Figure 4: zero-shot on RADCHEST, without and with segmentation."""
    return forest(records, Panel("Figure 4. Zero-shot on RADCHEST", ("RADCHEST", "unique"), _zero_shot(records)))


def _zero_shot(records: Sequence[CellRecord]) -> tuple[RowKey, ...]:
    encoder = parts(records)[0]
    return (UNIFERUM, encoder, "CTRATE"), (UNIFERUM, encoder, "CTRATE+SEG")


def _by_row(records: Sequence[CellRecord]) -> dict[RowKey, list[CellRecord]]:
    """The cells of each row, one for each seed and fold; without ensembles."""
    rows: dict[RowKey, dict[tuple[int, int], CellRecord]] = {}
    for record in (one for one in records if not one.members):
        rows.setdefault(record.row, {}).setdefault(record.repeat, record)
    return {row: [own[repeat] for repeat in sorted(own)] for row, own in rows.items()}


def _scores(cells: Sequence[CellRecord], column: tuple[str, str]) -> dict[str, Entry]:
    """The score of each label, averaged over seeds and folds."""
    by_label: dict[str, list[Score]] = {}
    for cell in cells:
        for score in label_scores(cell, "auroc"):
            if (score.cohort, score.group) == column:
                by_label.setdefault(score.label, []).append(score)
    return {label: averaged(scores) for label, scores in by_label.items()}


def _notes(scores: Scores, drawn: Sequence[tuple[RowKey, Sequence[CellRecord]]]) -> list[str]:
    """How the intervals were made, and over how many cells each row is averaged."""
    said = intervals_said([entry for of_row in scores.values() for entry in of_row.values()])
    lines = [f"AUROC. Intervals are 95 %: {'; '.join(said)}." if said else "AUROC."]
    several = [f"{row_label(row)} {len(own)}" for row, own in drawn if len(own) > 1]
    return [*lines, *([f"Means over seeds and folds, cells: {'; '.join(several)}."] if several else [])]


def _labels(scores: Scores) -> list[str]:
    """Labels with a number in any row, sorted by the first row, best on top."""
    first = next(iter(scores.values()), {})
    known = {label for of_row in scores.values() for label, score in of_row.items() if math.isfinite(score.value)}
    return sorted(known, key=lambda label: (first[label].value if label in first else 0.0, label))


def _draw_row(axes: Axes, at: int, rows: int, row: RowKey, scores: dict[str, Entry], labels: Sequence[str]) -> None:
    look = series(at)
    shift = (at - (rows - 1) / 2) * 0.28
    known = [(y, scores[label]) for y, label in enumerate(labels) if label in scores and scores[label].known]
    values = np.array([score.value for _, score in known])
    errors = np.array([[score.value - score.lo, score.hi - score.value] for _, score in known]).T.clip(min=0)
    axes.errorbar(
        values,
        [y - shift for y, _ in known],
        xerr=errors,
        fmt=look.marker,
        color=look.colour,
        markersize=4,
        elinewidth=1,
        label=row_label(row),
    )


def _finish(axes: Axes, labels: Sequence[str], scores: Scores, stars: dict[str, float]) -> None:
    counts = {label: s for of_row in scores.values() for label, s in of_row.items()}
    named = [
        f"{label_words(label)} ({round(counts[label].prevalence * counts[label].n_cases)}"
        f"/{counts[label].n_cases}){' *' if stars.get(label, 1) < 0.05 else ''}"
        for label in labels
    ]
    axes.set_yticks(range(len(labels)), named)
    axes.axvline(0.5, color="#999999", linewidth=0.8)
    axes.set(xlim=(0, 1.02), ylim=(-0.7, len(labels) - 0.3))
    axes.set_xlabel("AUROC")
    if len(scores) > 1:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=6)
        axes.set_title(axes.get_title(), pad=16)


def _significant(sides: Sequence[Sequence[CellRecord]], column: tuple[str, str]) -> dict[str, float]:
    """Adjusted p value of the difference by label, over the seeds that both sides have and on their common cases."""
    shared = sorted({one.repeat for one in sides[0]} & {one.repeat for one in sides[1]})
    cells = [one for side in sides for one in side if one.repeat in shared]
    if not shared:
        return {}
    tables = {}
    for cell in cells:
        table = cell.predictions(NEEDED)
        tables[cell.name] = table.loc[(table["cohort"] == column[0]) & (table["group"] == column[1])]
    halves = range(len(shared)), range(len(shared), 2 * len(shared))
    tests = {key[2]: label_difference(one, halves) for key, one in align(tables, common=True).items()}
    p = {label: made.test.p for label, made in tests.items() if made is not None and math.isfinite(made.test.p)}
    return dict(zip(p, holm(list(p.values())).tolist(), strict=True))


def _why_missing(panel: Panel, drawn: Sequence[tuple[RowKey, Sequence[CellRecord]]]) -> str:
    if drawn:
        return f"no label of {' '.join(panel.column)} has both classes"
    return "no cell " + " or ".join(row_label(row) for row in panel.rows)
