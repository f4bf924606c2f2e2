"""ROC, precision-recall and decision curves, learning curves and reliability diagrams."""

import math
import textwrap
from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uniferum.evaluation import calibration
from uniferum.evaluation.curves import curve
from uniferum.evaluation.net_benefit import benefit_curve
from uniferum.report.figures.style import footnote, label_words, new_figure, say_missing, series
from uniferum.report.records import CellRecord
from uniferum.report.tables.naming import cell_labels, encoder_notes

ACROSS = 6
Draw = Callable[[Axes, pd.DataFrame, int, str], None]


def roc(records: Sequence[CellRecord], cohort: str, said: Sequence[str] = ()) -> Figure:
    """Draw ROC curves of every cell, one small panel for each label."""
    return _panels(records, cohort, "ROC", ("1 - specificity", "sensitivity"), _draw_roc, said)


def decision(records: Sequence[CellRecord], cohort: str, said: Sequence[str] = ()) -> Figure:
    """Draw decision curves, one small panel for each label; grey lines are treating all and treating none."""
    note = "Grey: treating all, and treating none (0). The table `decision` has intervals."
    names = ("threshold probability", "net benefit")
    return _panels(records, cohort, "Decision curves", names, _draw_decision, [note, *said])


def precision_recall(records: Sequence[CellRecord], cohort: str, said: Sequence[str] = ()) -> Figure:
    """Draw precision-recall curves, one small panel for each label; a line shows the prevalence."""
    return _panels(records, cohort, "Precision and recall", ("recall", "precision"), _draw_pr, said)


def reliability(records: Sequence[CellRecord], cohort: str, said: Sequence[str] = ()) -> Figure:
    """Draw a reliability diagram: observed share of positives by predicted probability, over all labels of a cohort."""
    figure, axes = _square(f"Calibration on {cohort}")
    drawn = 0
    for record, label in zip(records, cell_labels(records), strict=True):
        table = _cases(record, cohort)
        if len(table):
            look = series(drawn)
            bins = calibration.reliability(table["target"], table["score"], bins=10)
            axes.plot(
                bins.predicted, bins.observed, marker=look.marker, color=look.colour, linestyle=look.line,
                markersize=4, label=label,
            )  # fmt: skip
            drawn += 1
    if not drawn:
        say_missing(axes, f"no cell was evaluated on {cohort}")
        return figure
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
    axes.set(xlabel="predicted probability", ylabel="observed share of positives", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    bins_said = "Ten bins of probability. Training balances negatives, so over-confidence is expected."
    footnote(figure, [bins_said, *said, *encoder_notes(records)])
    return figure


def learning(records: Sequence[CellRecord], _: str = "", said: Sequence[str] = ()) -> Figure:
    """Draw the validation metric by step, one line for each cell; a ring marks the chosen checkpoint."""
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    axes.set_title("Learning curves")
    drawn = sum(_draw_learning(axes, *one) for one in enumerate(zip(records, cell_labels(records), strict=True)))
    if not drawn:
        say_missing(axes, "no cell recorded a validation metric by step")
        return figure
    axes.set(xlabel="step", ylabel="mean validation AUROC")
    axes.legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    footnote(figure, ["Ringed: the checkpoint that was evaluated.", *said, *encoder_notes(records)])
    return figure


def _draw_learning(axes: Axes, at: int, labelled: tuple[CellRecord, str]) -> bool:
    record, label = labelled
    steps = record.steps()
    name = next((c for c in steps.columns if c in VALIDATION), None)
    if name is None:
        return False
    known = steps.loc[steps[name].notna()]
    look = series(at)
    axes.plot(
        known["step"], known[name], marker=look.marker, color=look.colour, linestyle=look.line, markersize=3,
        label=label,
    )  # fmt: skip
    best = known.loc[known["step"] == record.result.get("best_step")]
    axes.plot(best["step"], best[name], "o", markersize=9, markerfacecolor="none", color=look.colour)
    return True


VALIDATION = ("selection", "validation/auroc", "validation/mean_auroc", "selection/auroc")


def _panels(
    records: Sequence[CellRecord], cohort: str, title: str, names: tuple[str, str], draw: Draw, said: Sequence[str]
) -> Figure:
    tables = {label: _cases(one, cohort) for one, label in zip(records, cell_labels(records), strict=True)}
    labels = _drawable(tables)
    if not labels:
        figure, axes = _square(f"{title} on {cohort}")
        say_missing(axes, f"no cell has a label of {cohort} with both classes")
        return figure
    across = min(ACROSS, max(len(labels), 2))
    rows, below = math.ceil(len(labels) / across), math.ceil(len(tables) / 2)
    figure = new_figure(max(1.5 * across, 6.0), 1.5 * rows + 1.1 + 0.16 * below)
    figure.suptitle(f"{title} on {cohort}")
    # Without sharex and sharey, with which Matplotlib takes the square of the time.
    grid = figure.subplots(rows, across, squeeze=False).ravel()
    for panel, (axes, label) in enumerate(zip(grid, labels, strict=False)):
        axes.set_title("\n".join(textwrap.wrap(label_words(label), 24)), fontsize=6)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.tick_params(labelsize=6, labelleft=panel % across == 0, labelbottom=panel + across >= len(labels))
        for at, (name, table) in enumerate(tables.items()):
            cases = table.loc[table["label"] == label]
            if _both_classes(cases):
                draw(axes, cases, at, name)
    for axes in grid[len(labels) :]:
        axes.set_axis_off()
    figure.supylabel(names[1], fontsize=7)
    absent = [
        f"{name}: {len(labels) - drawn} of {len(labels)} labels not drawn, they have no score or one class"
        for name, table in tables.items()
        if (drawn := len(set(labels) & set(_drawable({name: table})))) < len(labels)
    ]
    lines = [f"Horizontal: {names[0]}.", *said, *absent, *encoder_notes(records)]
    below_axes = "\n".join(textwrap.fill(line, int(figure.get_figwidth() * 20)) for line in lines)
    named = {text: handle for axes in grid for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(
        named.values(), named.keys(), title=below_axes, title_fontsize=6, fontsize=6, loc="outside lower center",
        ncols=2, frameon=False,
    )  # fmt: skip
    return figure


def _draw_roc(axes: Axes, cases: pd.DataFrame, at: int, name: str) -> None:
    points, look = curve(cases["target"], cases["score"]), series(at)
    x, y = [0.0, *points.false_positive_rate], [0.0, *points.sensitivity]
    axes.plot(x, y, color=look.colour, linestyle=look.line, linewidth=0.9, label=name)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.5)


def _draw_pr(axes: Axes, cases: pd.DataFrame, at: int, name: str) -> None:
    points, look = curve(cases["target"], cases["score"]), series(at)
    axes.step(
        points.sensitivity, points.precision, where="pre", color=look.colour, linestyle=look.line, linewidth=0.9,
        label=name,
    )  # fmt: skip
    axes.axhline(points.positives / (points.positives + points.negatives), color="#999999", linewidth=0.5)


def _draw_decision(axes: Axes, cases: pd.DataFrame, at: int, name: str) -> None:
    thresholds, model, treat_all = benefit_curve(cases["target"], cases["score"])
    look = series(at)
    axes.plot(thresholds, model, color=look.colour, linestyle=look.line, linewidth=0.9, label=name)
    axes.plot(thresholds, treat_all, color="#999999", linewidth=0.5)
    axes.axhline(0, color="#999999", linewidth=0.5)
    # All panels have one scale; a net benefit is at most the prevalence, and below 0 without interest.
    axes.set(xlim=(0, thresholds[-1]), ylim=(-0.1, 0.6))


def _cases(record: CellRecord, cohort: str) -> pd.DataFrame:
    if not record.files.predictions.exists():
        return pd.DataFrame({"label": [], "target": [], "score": []})
    table = record.predictions(["cohort", "label", "target", "score"])
    return table.loc[table["cohort"] == cohort]


def _drawable(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Labels with both classes in any table, in order of appearance."""
    both: set[str] = set()
    for table in tables.values():
        positive = set(table.loc[table["target"] > 0.5, "label"])
        both |= positive & set(table.loc[table["target"] < 0.5, "label"])
    order = dict.fromkeys(str(label) for table in tables.values() for label in table["label"].unique())
    return [label for label in order if label in both]


def _both_classes(cases: pd.DataFrame) -> bool:
    return bool((cases["target"] > 0.5).any() and (cases["target"] < 0.5).any())


def _square(title: str) -> tuple[Figure, Axes]:
    figure = new_figure(6, 4)
    axes = figure.add_subplot()
    axes.set_title(title)
    return figure, axes
