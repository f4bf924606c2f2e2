"""Figures of an axis or a config key: its effects with intervals, and learning curves by value."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from uniferum.report.axes import Setting, Varied
from uniferum.report.checks.effects import SHORT, Column, Effect, Wanted
from uniferum.report.figures.curves import VALIDATION
from uniferum.report.figures.style import footnote, new_figure, say_missing, series
from uniferum.report.records import CellRecord
from uniferum.report.tables.pivot import METRICS

ACROSS = 3
PANELS = 9
"""Largest number of panels of a figure, because smaller ones cannot be read; the first are drawn."""


def effects_figure(varied: Varied, computed: Sequence[Effect], wanted: Wanted) -> Figure:
    """Draw the difference of each value to the base with its interval, one panel for each cohort and group."""
    columns = list(dict.fromkeys(one.column for one in computed))[:PANELS]
    lines = list(dict.fromkeys((one.setting, one.value) for one in computed if not one.is_base))
    name, base = SHORT.get(wanted.metric, METRICS[wanted.metric]), varied.base(wanted.base)
    across = min(ACROSS, len(columns))
    rows = math.ceil(len(columns) / ACROSS)
    figure = new_figure(3.2 + 2.3 * across, 1.3 + rows * (0.8 + 0.22 * len(lines)))
    figure.suptitle(f"Effect of {varied.name} on {name}")
    panels = figure.subplots(rows, across, sharey=True, squeeze=False).ravel()
    for axes, column in zip(panels, columns, strict=False):
        _draw_effects(axes, column, lines, varied, [one for one in computed if one.column == column])
        axes.set_xlabel(f"{name} minus that of {varied.name}={base}", fontsize=6)
    for axes in panels[len(columns) :]:
        axes.set_axis_off()
    left_out = len(dict.fromkeys(one.column for one in computed)) - len(columns)
    footnote(figure, [*captions(wanted), f"{left_out} more cohorts and groups are not drawn." if left_out else ""])
    return figure


def captions(wanted: Wanted) -> list[str]:
    """Explain the figure of effects."""
    if wanted.metric != "auroc":
        return ["Each mark is the difference of the means over seeds. Right of the grey line the value is larger."]
    return [
        "Each mark is the mean over seeds minus that of the base, with the 95 % interval over the test cases, "
        "and over seeds where their spread is known. "
        "Right of the grey line the value is better than the base. An interval that crosses the line is compatible "
        "with no difference. Small crosses: the difference of each seed."
    ]


def _draw_effects(
    axes: Axes, column: Column, lines: Sequence[tuple[str, str]], varied: Varied, computed: Sequence[Effect]
) -> None:
    axes.set_title(" ".join(part for part in column if part), fontsize=7)
    axes.axvline(0, color="#999999", linewidth=0.8)
    for one in computed:
        if one.is_base:
            continue
        y = len(lines) - 1 - lines.index((one.setting, one.value))
        if not math.isfinite(one.difference):
            text = f"missing: {one.note}"
            axes.text(
                0.02, y, text[:42], transform=axes.get_yaxis_transform(), fontsize=5, va="center", color="#666666"
            )
            continue
        look = series(varied.values.index(one.value))
        ends = [[one.difference - one.lo], [one.hi - one.difference]] if math.isfinite(one.lo) else None
        axes.errorbar(
            one.difference, y, xerr=ends, fmt=look.marker, color=look.colour, markersize=4, elinewidth=1, zorder=3
        )
        axes.plot(one.by_seed, [y] * len(one.by_seed), "x", color=look.colour, markersize=2.5, alpha=0.7)
    names = [f"{setting}: {varied.name}={value}" for setting, value in reversed(lines)]
    axes.set_yticks(range(len(lines)), names, fontsize=6)
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="x", labelsize=6)


def learning_curves(varied: Varied) -> Figure:
    """Draw the validation AUROC of each value as training goes on, one panel for each setting."""
    settings = varied.settings[:PANELS]
    across = min(ACROSS, len(settings))
    rows = math.ceil(len(settings) / across)
    figure = new_figure(1.6 + 2.9 * across, 1.2 + 2.2 * rows)
    figure.suptitle(f"Learning curves by {varied.name}")
    panels = figure.subplots(rows, across, sharex=True, sharey=True, squeeze=False).ravel()
    in_rows = all(_batch(one) for s in settings for value in varied.values for one in s.records(value).values())
    drawn = [_draw_setting(axes, one, varied, in_rows) for axes, one in zip(panels, settings, strict=False)]
    for axes in panels[len(settings) :]:
        axes.set_axis_off()
    named: dict[str, Artist] = {}
    for axes in panels[: len(settings)]:
        handles, texts = axes.get_legend_handles_labels()
        named |= dict(zip(texts, handles, strict=True))
    if any(drawn):
        texts = [text for value in varied.values if (text := f"{varied.name}={value}") in named]
        figure.legend([named[text] for text in texts], texts, fontsize=6, loc="outside right upper", frameon=False)
    figure.supylabel("mean validation AUROC", fontsize=7)
    left_out = len(varied.settings) - len(settings)
    unit = "rows seen (training steps times the batch)" if in_rows else "training steps"
    said = (
        f"Horizontal: {unit}. Each line is the mean over the seeds of one value, its band the range from the lowest "
        "to the highest seed. A line ends where one of its seeds ends."
    )
    absent = [
        f"{one.title}: {varied.name}={value}" for one in settings for value in varied.values if not one.records(value)
    ]
    lines = [f"missing: no finished cell of {'; '.join(absent)}" if absent else ""]
    footnote(figure, [said, *lines, f"{left_out} more settings are not drawn." if left_out else ""])
    return figure


def _draw_setting(axes: Axes, setting: Setting, varied: Varied, in_rows: bool) -> bool:
    axes.set_title(setting.title, fontsize=6)
    drawn = False
    for at, value in enumerate(varied.values):
        curves = _curves(list(setting.records(value).values()), in_rows)
        if curves.empty:
            continue
        look = series(at)
        middle = curves.mean(axis=1)
        axes.plot(
            middle.index, middle, marker=look.marker, color=look.colour, linestyle=look.line, markersize=3,
            linewidth=1, label=f"{varied.name}={value}",
        )  # fmt: skip
        axes.fill_between(
            curves.index, curves.min(axis=1), curves.max(axis=1), color=look.colour, alpha=0.15, linewidth=0
        )
        drawn = True
    if not drawn:
        say_missing(axes, "no finished cell recorded a validation AUROC by step", width=28)
    return drawn


def _curves(records: Sequence[CellRecord], in_rows: bool) -> pd.DataFrame:
    """Validation AUROC by step or rows seen, one column for each seed and fold; only where all have one."""
    curves: dict[tuple[int, int], pd.Series] = {}
    for record in records:
        steps = record.steps()
        name = next((column for column in VALIDATION if column in steps.columns), None)
        if name is not None:
            known = steps.loc[steps[name].notna()].drop_duplicates("step", keep="last")
            scale = _batch(record) if in_rows else 1
            curves[record.repeat] = pd.Series(known[name].to_numpy(float), index=known["step"].to_numpy() * scale)
    return pd.DataFrame(curves).dropna().sort_index()


def _batch(record: CellRecord) -> int:
    """Rows of a training step; 0 if the config does not say."""
    training = record.config.get("training")
    return int(training.get("batch") or 0) if isinstance(training, dict) else 0
