"""Flow diagram of the test scans, from found to scored, one column of boxes for each cohort."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uniferum.report.figures.style import footnote, new_figure, say_missing

WIDTH, LINE = 40, 0.15
"""Letters in a line of a box, and inches of a line."""


@dataclass(frozen=True)
class Step:
    """One row of the flow table: cohort, split, what happened, to how many scans of how many patients, and why."""

    cohort: str
    split: str
    step: str
    scans: str
    patients: str
    note: str

    @property
    def text(self) -> str:
        """What stands in the box."""
        of = f" of {self.patients} patients" if self.patients else ""
        note = f"\n{textwrap.fill(self.note, WIDTH)}" if self.note else ""
        return f"{self.step}: {self.scans}{'' if self.step == 'missing labels' else ' scans'}{of}{note}"


def flow_diagram(rows: Sequence[Sequence[str]]) -> Figure:
    """Draw the rows of the flow table (:func:`~uniferum.report.guidelines.flow.flow_sheet`) on test scans."""
    steps = [Step(*row) for row in rows]
    columns: dict[str, list[Step]] = {}
    for one in steps:
        if one.split in ("test", "all"):
            columns.setdefault(one.cohort, []).append(one)
    lines = max((sum(one.text.count("\n") + 3 for one in of) for of in columns.values()), default=8)
    figure = new_figure(max(3.0 * len(columns), 4.0), lines * LINE + 0.8)
    figure.suptitle("Flow of the test scans")
    grid = figure.subplots(1, max(len(columns), 1), squeeze=False)[0]
    if not columns:
        say_missing(grid[0], "no cell was scored, and no store is known")
        return figure
    for axes, (cohort, of) in zip(grid, columns.items(), strict=True):
        _draw(axes, cohort, of, lines)
    footnote(
        figure, ["Grey: scans that left the flow, and labels without a value. Training and validation: table flow."]
    )
    return figure


def _draw(axes: Axes, cohort: str, steps: Sequence[Step], lines: int) -> None:
    axes.set_title(cohort)
    axes.set(xlim=(0, 1), ylim=(-lines, 0))
    axes.set_axis_off()
    at, before = 0.0, ""
    for one in steps:
        height = one.text.count("\n") + 1
        stays = one.step in ("found", "prepared", "scored")
        box = {"boxstyle": "round", "facecolor": "white" if stays else "#eeeeee", "edgecolor": "#555555"}
        axes.text(0.5, at - 1 - height / 2, one.text, ha="center", va="center", fontsize=7, bbox=box)
        if before and one.step != before:  # several boxes "scored" are beside each other, not one after the other
            axes.annotate("", (0.5, at - 0.7), (0.5, at + 0.8), arrowprops={"arrowstyle": "->", "color": "#555555"})
        before = one.step
        at -= height + 2
