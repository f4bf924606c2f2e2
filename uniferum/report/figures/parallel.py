"""Parallel coordinates of a search: each trial as a line over its values, coloured by its validation AUROC."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from uniferum.report.figures.style import HEAT, footnote, new_figure, say_missing
from uniferum.report.tables.trials import OBJECTIVE, Trials
from uniferum.value_labels import label_of, label_order

BEHIND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
"""Box behind the text of a mark, so that it can be read on lines."""


def parallel_coordinates(search: Trials) -> Figure:
    """Draw each trial as a line over one upright axis for each key, coloured by its validation AUROC."""
    keys, trials = search.keys, search.scored
    figure = new_figure(1.8 + 1.25 * (len(keys) + 1), 4)
    axes = figure.add_subplot()
    axes.set_title(f"Parallel coordinates of search {search.name}")
    if not trials:
        say_missing(axes, "no trial has a value")
        return figure
    scales = [_Scale.of([one.params.get(key) for one in trials], log=key in search.log) for key in keys]
    scales.append(_Scale.of([one.value for one in trials]))
    rows = ([*(one.params.get(key) for key in keys), one.value] for one in trials)
    heights = np.array([[scale.height(value) for scale, value in zip(scales, row, strict=True)] for row in rows])
    _draw_lines(figure, axes, heights, [one.value for one in trials])
    for at, scale in enumerate(scales):
        axes.axvline(at, color="#444444", linewidth=0.8, zorder=4)
        for y, text in scale.ticks:
            axes.text(at + 0.03, y, text, fontsize=5, va="center", zorder=5, bbox=BEHIND)
    axes.set_xticks(range(len(scales)), [*keys, OBJECTIVE], rotation=20, ha="right", fontsize=6)
    axes.set_yticks([])
    axes.set(xlim=(-0.1, len(scales) - 0.6), ylim=(-0.05, 1.05))
    axes.spines["left"].set_visible(False)
    gone = len(search.trials) - len(trials)
    said = "Each line is a trial: it crosses every upright axis at its value of that key. Light lines are the better "
    said += "trials, drawn on top. Where light lines meet on an axis, that value goes with a high validation AUROC. "
    said += "A gap: the key did not apply to the trial."
    footnote(figure, [said, f"{gone} trials without a value are not drawn." if gone else ""])
    return figure


def _draw_lines(figure: Figure, axes: Axes, heights: np.ndarray, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    norm = Normalize(low, high if high > low else low + 1e-9)
    lines, owners = [], []
    for row, value in zip(heights, values, strict=True):
        for at in range(len(row) - 1):
            if np.isfinite(row[at : at + 2]).all():
                lines.append([(at, row[at]), (at + 1, row[at + 1])])
                owners.append(value)
    drawn = LineCollection(lines, cmap=colormaps[HEAT], norm=norm, linewidths=0.9)
    drawn.set_array(np.array(owners))
    axes.add_collection(drawn)
    figure.colorbar(drawn, ax=axes, label=OBJECTIVE, shrink=0.7)


@dataclass(frozen=True)
class _Scale:
    """Heights of values on an upright axis from 0 to 1: numbers by size, other values evenly in order."""

    words: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    @classmethod
    def of(cls, values: Sequence[object], *, log: bool = False) -> "_Scale":
        known = [value for value in values if value is not None]
        numbers = [float(value) for value in known if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(numbers) < len(known) or not numbers:
            return cls(tuple(sorted({label_of(value) for value in known}, key=label_order)))
        return cls((), min(numbers), max(numbers), log and min(numbers) > 0)

    def height(self, value: object) -> float:
        """The height of a value; NaN if there is none."""
        if value is None:
            return math.nan
        if self.words:
            return self.words.index(label_of(value)) / max(1, len(self.words) - 1)
        low, high, number = (math.log(x) if self.log else x for x in (self.low, self.high, float(str(value))))
        return (number - low) / (high - low) if high > low else 0.5

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Heights and texts of the marks."""
        if self.words:
            return [(self.height(word), word) for word in self.words]
        between = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return [(self.height(value), f"{value:.3g}") for value in dict.fromkeys((self.low, between, self.high))]
