"""Where each cell of a grid stands for the report: which axes it varies, and whether its values are the defaults."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestration.grid.cells import Cell, cell_with, same_content
from orchestration.grid.folds import FOLD
from uniferum.errors import UniferumError
from uniferum.report.cited_systems import row_model
from uniferum.report.settings import GridPosition
from uniferum.report.systems import encoder_word

if TYPE_CHECKING:
    from orchestration.grid.config import GridConfig


def positions(grid: "GridConfig", cells: Iterable[Cell]) -> dict[str, GridPosition]:
    """The position of each cell, by name."""
    return {cell.name: _position(grid, cell) for cell in cells}


def _position(grid: "GridConfig", cell: Cell) -> GridPosition:
    without = {axis: _without(grid, cell, axis) for axis in cell.axes if axis != FOLD}
    unnamed = {axis: one for axis, one in without.items() if one is None or _row(one) == _row(cell)}
    at_defaults = all(one is not None and same_content(one, cell) for one in unnamed.values())
    entry = grid.cells[cell.entry]
    return GridPosition({axis: cell.axes[axis] for axis in unnamed}, at_defaults, bool(entry.set or entry.name))


def _without(grid: "GridConfig", cell: Cell, axis: str) -> Cell | None:
    """A cell without its value on an axis; None if the configuration refuses it."""
    others = {name: label for name, label in cell.axes.items() if name != axis}
    try:
        return cell_with(grid, cell, others, "grid")
    except UniferumError:
        return None


def _row(cell: Cell) -> tuple[str, str]:
    keys = cell.config.model.model_dump(mode="json")
    return row_model(cell.model, keys), encoder_word(cell.model, keys["text"])
