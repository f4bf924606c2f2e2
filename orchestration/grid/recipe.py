"""What a grid's cells share as a recipe, in a sentence, and the hours of the same cells under other recipes."""

from collections.abc import Sequence
from pathlib import Path

from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig, load_grid
from orchestration.grid.plan import make_plan
from orchestration.grid.plan_table import plan_totals


def recipe_lines(grid: GridConfig, cells: Sequence[Cell]) -> list[str]:
    """The recipe of each group of cells that share one, then each other recipe of the same cells with its hours.

    Raises:
        UniferumError: a file of ``other_recipes`` is missing or wrong.
    """
    return [*_recipes(grid, cells), *(line for path in grid.other_recipes for line in _other(path, grid, cells))]


def recipe_of(cell: Cell) -> str:
    """Batches, rows a volume, number format and clipping of a cell."""
    config, training = cell.config, cell.config.training
    unit = "volumes" if training.by_volumes else "rows"
    rows, own = config.data.tasks_per_volume, config.augmentation.unit == "row"
    shared = "1 row a volume" if rows == 1 else f"up to {rows} rows a volume"
    drawn = ", each with an augmentation of its own" if own and rows > 1 else ""
    clip = config.optim.clip_norm
    return (
        f"{training.batch} {unit} a step, {training.micro} a micro-batch; {shared}{drawn}; {training.precision} "
        f"(TF32: {training.tf32}); "
        + (f"gradients clipped at {clip:g}" if clip is not None else "gradients not clipped")
    )


def _recipes(grid: GridConfig, cells: Sequence[Cell]) -> list[str]:
    named: dict[str, list[str]] = {}
    for cell in cells:
        named.setdefault(recipe_of(cell), []).append(cell.name)
    if len(named) == 1:
        return [f"recipe of {grid.name}: {recipe}" for recipe in named]
    return [f"recipe of {len(names)} cells ({names[0]}, ...): {recipe}" for recipe, names in named.items()]


def _other(path: Path, grid: GridConfig, cells: Sequence[Cell]) -> list[str]:
    other = load_grid(path).replace(stores=grid.stores)
    names = {cell.name for cell in cells}
    same = [cell for cell in expand(other, source=str(path)) if cell.name in names]
    totals = plan_totals(other, make_plan(other, same))
    return [*_recipes(other, same), f"{other.name} ({path}): {totals}"]
