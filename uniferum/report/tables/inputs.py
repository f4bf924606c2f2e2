"""Protocol lines on the input of cells: stored level, grid, and the grid of a system's own."""

from collections.abc import Mapping, Sequence
from typing import Any

from uniferum.report.records import CellRecord
from uniferum.report.tables.shared_lines import shared_lines


def input_lines(records: Sequence[CellRecord]) -> list[str]:
    """One sentence for each input that cells were given; none for records of versions before it was recorded."""
    facts = [(_said(record.result["input"]), record.name) for record in records if record.result.get("input")]
    return shared_lines(facts, len(records))


def _said(given: Mapping[str, Any]) -> str:
    level = "training level" if given["level"] == "train" else f"level {given['level']}"
    said = f"Input: {_grid(given)} from the {level}"
    if not given.get("own"):
        return said
    said += f", resampled to the system's own {_grid(given['own'])}"
    if given["coarser"]:
        said += f"; it is COARSER than that along {', '.join(given['coarser'])}"
    if given["smaller"]:
        said += f"; it covers less of the body along {', '.join(given['smaller'])}, the rest is air"
    return said


def _grid(grid: Mapping[str, Any]) -> str:
    return f"{_times(grid['shape'])} voxels of {_times(grid['spacing_mm'])} mm"


def _times(values: Sequence[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)
