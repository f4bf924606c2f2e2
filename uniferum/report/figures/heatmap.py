"""Appendix heat maps 1 to 3: AUROC of every label of a cohort by training data; missing numbers are hatched."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from uniferum.report.figures.style import HEAT, footnote, label_words, new_figure, say_missing
from uniferum.report.records import CellRecord
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.naming import encoder_notes


def heatmap(records: Sequence[CellRecord], cohort: str) -> Figure:
    """Draw the heat map: labels as rows, cells as columns, the value in each field."""
    scored = [record for record in records if any(score.cohort == cohort for score in record.groups)]
    title = f"AUROC by label on {cohort}"
    if not scored:
        figure = new_figure(6, 2)
        axes = figure.add_subplot()
        axes.set_title(title)
        say_missing(axes, f"no cell was evaluated on {cohort}")
        return figure
    table = make_table("labels", scored, [], where={"cohort": cohort})
    values = np.array([[table.entries[row, column].value for column in table.columns] for row in table.rows])
    figure = new_figure(3 + 0.45 * len(table.columns), 3.4 + 0.2 * len(table.rows))
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.patch.set_facecolor("#eeeeee")
    axes.patch.set_hatch("//")
    axes.patch.set_edgecolor("#bbbbbb")
    image = axes.imshow(np.ma.masked_invalid(values), cmap=HEAT, vmin=0.4, vmax=1.0, aspect="auto")
    axes.set_xticks(
        range(len(table.columns)), [_column_name(column) for column in table.columns], rotation=60, ha="right"
    )
    axes.set_yticks(range(len(table.rows)), [f"{label_words(row[2])} ({row[1]})" for row in table.rows])
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            axes.text(x, y, f"{value:.2f}", ha="center", va="center", color="white" if value < 0.7 else "black", size=6)
    figure.colorbar(image, ax=axes, label="AUROC", shrink=0.6)
    said = "Hatched: the label has one class in the test split, or was not evaluated."
    footnote(figure, [said, *encoder_notes(scored)])
    return figure


def _column_name(column: tuple[str, ...]) -> str:
    return " ".join(part for part in column if part)
