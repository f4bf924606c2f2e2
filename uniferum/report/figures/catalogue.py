"""The named figures. A new figure is one line here."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from uniferum.errors import UniferumError, near_miss
from uniferum.report.figures import curves, forest
from uniferum.report.figures.heatmap import heatmap
from uniferum.report.figures.style import FORMATS, look, mark_phantoms, save
from uniferum.report.records import CellRecord

Draw = Callable[[Sequence[CellRecord]], Figure]

#: Largest number of cells in one panel, because more curves cannot be distinguished; the first in the table are drawn.
CURVES = 8


def figures(records: Sequence[CellRecord]) -> dict[str, Draw]:
    """Functions that draw the figures, by name: those of the paper, then one of each kind for every cohort."""
    cohorts = dict.fromkeys(["CTRATE", "INSPECT", "RADCHEST"])
    cohorts |= dict.fromkeys(score.cohort for record in records for score in record.groups)
    named: dict[str, Draw] = {"figure1": forest.figure1, "figure3": forest.figure3, "figure4": forest.figure4}
    named["learning"] = curves.learning
    for cohort in cohorts:
        slug = cohort.lower().replace(" [", "-").removesuffix("]")
        named[f"heatmap-{slug}"] = partial(heatmap, cohort=cohort)
        named[f"roc-{slug}"] = partial(_few, curves.roc, cohort)
        named[f"pr-{slug}"] = partial(_few, curves.precision_recall, cohort)
        named[f"calibration-{slug}"] = partial(_few, curves.reliability, cohort)
    marked = any(record.phantoms for record in records)
    return {name: partial(_of_phantoms, draw) for name, draw in named.items()} if marked else named


def _of_phantoms(draw: Draw, records: Sequence[CellRecord]) -> Figure:
    return mark_phantoms(draw(records))


def draw_all(
    records: Sequence[CellRecord], folder: Path, *, names: Sequence[str] = (), kinds: Sequence[str] = FORMATS
) -> list[Path]:
    """Draw the named figures, or all of them, into a folder.

    Raises:
        UniferumError: a name or a format is unknown.
    """
    known = figures(records)
    for name in names:
        if name not in known:
            raise UniferumError("--figure", name, must="be a known figure", cure=near_miss(name, known))
    for kind in kinds:
        if kind not in FORMATS:
            raise UniferumError("--figure-format", kind, must="be a known format", cure=near_miss(kind, FORMATS))
    with look():
        return [path for name in names or known for path in save(known[name](records), folder, name, kinds)]


def _few(draw: Callable[[Sequence[CellRecord], str], Figure], cohort: str, records: Sequence[CellRecord]) -> Figure:
    return draw(list(records)[:CURVES], cohort)
