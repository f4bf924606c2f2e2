"""The named figures. A new figure is one line here."""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.errors import UniferumError, near_miss
from uniferum.report.axes import AnyCell, GridAxes, Varied, axis_names, find_varied
from uniferum.report.checks.effects import Wanted, effects
from uniferum.report.figures import curves, forest
from uniferum.report.figures.by_axis import effects_figure, learning_curves
from uniferum.report.figures.flow import flow_diagram
from uniferum.report.figures.heatmap import heatmap
from uniferum.report.figures.style import FORMATS, check_formats, check_style, look, mark_phantoms, save
from uniferum.report.guidelines.flow import flow_sheet
from uniferum.report.records import CellRecord, PendingCell

Draw = Callable[[Sequence[CellRecord]], Figure]
Curves = Callable[[Sequence[CellRecord], str, Sequence[str]], Figure]

#: Largest number of cells in one panel, because more curves cannot be distinguished; others have a figure of their own.
CURVES = 8


@dataclass(frozen=True)
class ByAxis:
    """What figures need beside the finished cells: the unfinished ones, the grid's axes, other keys, its stores."""

    pending: Sequence[PendingCell] = ()
    axes: GridAxes = field(default_factory=dict)
    keys: Sequence[str] = ()
    """Keys of the config that have figures like an axis."""
    stores: Mapping[str, Path] = field(default_factory=dict)
    """Prepared stores by cohort, for the flow diagram."""
    wanted: Wanted = field(default_factory=Wanted)
    """Which numbers are compared; its base value is that of the keys that are asked for."""

    def wanted_of(self, varied: Varied) -> Wanted:
        """Which numbers of an axis are compared: without a base value where the axis was not asked for."""
        asked = {varied.name, self.axes[varied.name].key} if varied.name in self.axes else {varied.name}
        return self.wanted if asked & set(self.keys) else replace(self.wanted, base=None)


def figures(records: Sequence[CellRecord], by_axis: ByAxis | None = None) -> dict[str, Draw]:
    """Functions that draw the figures, by name.

    First those of the paper, then one of each kind for every cohort, then those of each axis that the cells vary.
    """
    cohorts = dict.fromkeys(["CTRATE", "INSPECT", "RADCHEST"])
    cohorts |= dict.fromkeys(score.cohort for record in records for score in record.groups)
    named: dict[str, Draw] = {"figure1": forest.figure1, "figure3": forest.figure3, "figure4": forest.figure4}
    named |= _in_parts("learning", curves.learning, "", len(records))
    for cohort in cohorts:
        slug = cohort.lower().replace(" [", "-").removesuffix("]")
        named[f"heatmap-{slug}"] = partial(heatmap, cohort=cohort)
        for kind, draw in CURVE_FIGURES.items():
            named |= _in_parts(f"{kind}-{slug}", draw, cohort, len(records))
    by_axis = by_axis or ByAxis()
    named["flow"] = partial(_flow, by_axis.stores)
    named |= axis_figures(varied_axes(records, by_axis), by_axis)
    marked = any(record.phantoms for record in records)
    return {name: partial(_of_phantoms, draw) for name, draw in named.items()} if marked else named


def varied_axes(records: Sequence[CellRecord], by_axis: ByAxis) -> list[Varied]:
    """The axes of the grid along which cells can be compared, and the keys that are asked for.

    Raises:
        UniferumError: a key that is asked for is unknown, or no two cells differ in it alone.
    """
    cells: list[AnyCell] = [*records, *by_axis.pending]
    asked = {one.name: one for key in by_axis.keys for one in [find_varied(key, cells, by_axis.axes)]}
    for name in axis_names(cells, by_axis.axes):
        if name not in asked:
            with contextlib.suppress(UniferumError):  # nothing to compare along this axis
                asked[name] = find_varied(name, cells, by_axis.axes)
    return [one for one in asked.values() if any(s.records(value) for s in one.settings for value in one.values)]


def axis_figures(varied: Sequence[Varied], by_axis: ByAxis) -> dict[str, Draw]:
    """Functions that draw the figures of axes."""
    named: dict[str, Draw] = {}
    for one in varied:
        named[f"learning-curves-{one.name}"] = partial(_learning, one)
        named[f"effects-{one.name}"] = partial(_effects, one, by_axis.wanted_of(one))
    return named


def _flow(stores: Mapping[str, Path], records: Sequence[CellRecord]) -> Figure:
    return flow_diagram(
        flow_sheet(records, {name: PreparedCohort.open(path) for name, path in stores.items()}, {}).rows
    )


def _learning(varied: Varied, records: Sequence[CellRecord]) -> Figure:
    return learning_curves(varied)


def _effects(varied: Varied, wanted: Wanted, records: Sequence[CellRecord]) -> Figure:
    return effects_figure(varied, effects(varied, wanted), wanted)


def _of_phantoms(draw: Draw, records: Sequence[CellRecord]) -> Figure:
    return mark_phantoms(draw(records))


def draw_all(
    records: Sequence[CellRecord],
    folder: Path,
    *,
    names: Sequence[str] = (),
    kinds: Sequence[str] = FORMATS,
    by_axis: ByAxis | None = None,
    style: str = "screen",
) -> list[Path]:
    """Draw the named figures, or all of them, into a folder.

    Raises:
        UniferumError: a name or a format is unknown.
    """
    known = figures(records, by_axis)
    for name in names:
        if name not in known:
            raise UniferumError("--figure", name, must="be a known figure", cure=near_miss(name, known))
    check_formats(kinds)
    check_style(style)
    with look():
        return [
            path for name in names or known for path in save(known[name](records), folder, name, kinds, style=style)
        ]


def _in_parts(name: str, draw: Curves, cohort: str, cells: int) -> dict[str, Draw]:
    """Figures of at most ``CURVES`` cells each, by name."""
    parts = range(max(1, math.ceil(cells / CURVES)))
    return {f"{name}-{at + 1}" if at else name: partial(_few, draw, name, at, cohort) for at in parts}


def _few(draw: Curves, name: str, at: int, cohort: str, records: Sequence[CellRecord]) -> Figure:
    """Draw the curves of some cells, and say in which figures the others are."""
    first, last = at * CURVES, min((at + 1) * CURVES, len(records))
    figures = math.ceil(len(records) / CURVES)
    others = [f"{name}-{n + 1}" if n else name for n in range(figures) if n != at]
    said = [f"Cells {first + 1} to {last} of {len(records)}; the others are in {', '.join(others)}."] if others else []
    return draw(list(records)[first:last], cohort, said)


CURVE_FIGURES: dict[str, Curves] = {
    "roc": curves.roc,
    "pr": curves.precision_recall,
    "decision": curves.decision,
    "calibration": curves.reliability,
}
