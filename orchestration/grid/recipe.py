"""Describe the training recipe of a grid's cells, and the hours of the same cells with other recipes."""

from collections.abc import Sequence
from pathlib import Path

from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig, load_grid
from orchestration.grid.plan import make_plan
from orchestration.grid.plan_table import plan_totals


def recipe_lines(grid: GridConfig, cells: Sequence[Cell]) -> list[str]:
    """Describe the recipe of each group of cells, then each grid file of ``other_recipes`` with its hours.

    Raises:
        UniferumError: a file of ``other_recipes`` is missing or wrong.
    """
    return [*_recipes(grid, cells), *(line for path in grid.other_recipes for line in _other(path, grid, cells))]


def recipe_of(cell: Cell) -> str:
    """Describe batch size, rows per volume, number format and gradient clipping of a cell."""
    config, training = cell.config, cell.config.training
    unit = "volumes" if training.by_volumes else "rows"
    rows, per_row = config.data.tasks_per_volume, config.augmentation.unit == "row"
    shared = "1 row a volume" if rows == 1 else f"up to {rows} rows a volume"
    augmented = ", each with its own augmentation" if per_row and rows > 1 else ""
    clip = config.optim.clip_norm
    return (
        f"{training.batch} {unit} a step, {training.micro} a micro-batch; {shared}{augmented}; {training.precision} "
        f"(TF32: {training.tf32}); "
        + (f"gradients clipped at {clip:g}" if clip is not None else "gradients not clipped")
    )


def _recipes(grid: GridConfig, cells: Sequence[Cell]) -> list[str]:
    names_of: dict[str, list[str]] = {}
    for cell in cells:
        names_of.setdefault(recipe_of(cell), []).append(cell.name)
    if len(names_of) == 1:
        return [f"recipe of {grid.name}: {recipe}" for recipe in names_of]
    return [f"recipe of {len(names)} cells ({names[0]}, ...): {recipe}" for recipe, names in names_of.items()]


def _other(path: Path, grid: GridConfig, cells: Sequence[Cell]) -> list[str]:
    other = load_grid(path).replace(stores=grid.stores)
    names = {cell.name for cell in cells}
    same = [cell for cell in expand(other, source=str(path)) if cell.name in names]
    totals = plan_totals(other, make_plan(other, same))
    return [*_recipes(other, same), f"{other.name} ({path}): {totals}"]
