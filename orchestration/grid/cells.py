"""Expand a grid file into cells: each is a name and a complete RunConfig."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestration.grid.config import CellGroup, GridConfig
from uniferum.config import fingerprint, merge, parse
from uniferum.errors import UniferumError, near_miss

if TYPE_CHECKING:
    from uniferum.run import RunConfig


@dataclass(frozen=True)
class Cell:
    """One configured run of a grid: its name, its RunConfig, and its values on the axes of the grid."""

    name: str
    config: "RunConfig"
    model: str
    text_encoder: str | None
    mix: str
    seed: int
    priority: int = 0


def expand(grid: GridConfig, *, source: str = "grid") -> list[Cell]:
    """List every cell of the grid, highest priority first, otherwise in the order of the file.

    Raises:
        UniferumError: a cohort, text encoder or RunConfig key is unknown, a value is not allowed, or two cells are
            equal.
    """
    cells: dict[str, Cell] = {}
    contents: dict[str, str] = {}
    for cell in _cells(grid, source):
        content = fingerprint(cell.config.model_dump(mode="json", exclude={"name"}))
        same = cell.name if cell.name in cells else contents.get(content)
        if same is not None:
            raise UniferumError(
                f"{source}: cells", cell.name, must="differ from every other cell", cure=f"it equals {same}"
            )
        cells[cell.name] = cell
        contents[content] = cell.name
    return sorted(cells.values(), key=lambda cell: -cell.priority)


def select(cells: list[Cell], names: Iterable[str]) -> list[Cell]:
    """Select cells by name; all cells if no name is given.

    Raises:
        UniferumError: the grid has no cell of a name.
    """
    selection = list(names)
    cell_names = [cell.name for cell in cells]
    for name in selection:
        if name not in cell_names:
            raise UniferumError("cell", name, must="be a cell of the grid", cure=near_miss(name, cell_names))
    return [cell for cell in cells if not selection or cell.name in selection]


def cell_name(model: str, text_encoder: str | None, mix: str, seed: int) -> str:
    """Name a cell by its axes; seed 0 is left out, so that adding seeds renames no cell."""
    return "-".join(part for part in (model, text_encoder, mix, f"seed{seed}" if seed else "") if part)


def _cells(grid: GridConfig, source: str) -> Iterator[Cell]:
    for seed in grid.seeds:
        for group in grid.cells:
            for mix in group.train_on:
                yield _cell(grid, group, mix, seed, source)


def _cell(grid: GridConfig, group: CellGroup, mix: str, seed: int, source: str) -> Cell:
    from uniferum.run import RunConfig

    name = cell_name(group.model, group.text_encoder, mix, seed)
    train_on = _cohorts(grid, mix.split("+"), f"{source}: cell {name}: train_on", extra=("SEG",))
    evaluate_on = _cohorts(grid, group.evaluate_on or grid.evaluate_on, f"{source}: cell {name}: evaluate_on")
    facts = {"model": group.model, "text_encoder": group.text_encoder, "train_on": mix, "seed": seed}
    keys = merge(grid.defaults, {"model": {"kind": group.model}})
    if group.text_encoder is not None:
        keys = merge(keys, {"model": {"text": _text_encoder(grid, group.text_encoder, source)}})
    for rule in grid.overrides:
        if rule.matches(facts):
            keys = merge(keys, rule.set)
    keys = merge(keys, group.set)
    keys = merge({"data": {"loader_workers": grid.resources.loader_workers}}, keys)  # a value in the grid file stays
    named = {"name": name, "seed": seed, "train_on": train_on, "evaluate_on": evaluate_on}
    config = parse(RunConfig, {**keys, **named}, source=f"{source}: cell {name}")
    if config.model.kind != group.model:
        raise UniferumError(
            f"{source}: cell {name}: model.kind in set",
            config.model.kind,
            must=f"be the system that the cell group names ({group.model})",
            cure=f"write `model: {config.model.kind}` in a cell group instead",
        )
    return Cell(name, config, group.model, group.text_encoder, mix, seed, group.priority)


def _cohorts(grid: GridConfig, names: Iterable[str], where: str, extra: tuple[str, ...] = ()) -> list[str]:
    names = list(names)
    for name in names:
        if name not in grid.stores and name not in extra:
            raise UniferumError(where, name, must="have a store", cure=near_miss(name, [*grid.stores, *extra]))
    if len(set(names)) < len(names):
        raise UniferumError(where, "+".join(names), must="name each cohort once")
    return names


def _text_encoder(grid: GridConfig, name: str, source: str) -> dict[str, Any]:
    if name not in grid.text_encoders:
        raise UniferumError(
            f"{source}: text_encoder", name, must="be declared", cure=near_miss(name, grid.text_encoders)
        )
    return grid.text_encoders[name]
