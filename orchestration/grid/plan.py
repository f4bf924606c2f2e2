"""What a grid has to do: each cell done, to be re-scored, resumable, failed, changed, due, or without data; and why.

Identity is content. A cell is done when its folder's ``result.json`` carries its own two fingerprints; a different
evaluation fingerprint alone means re-scoring, a different training fingerprint means another folder. A finished cell
that the grid calls otherwise now stays finished: its folder is found by its fingerprint.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig
from orchestration.grid.estimates import with_hours
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import CellFolder, cell_folder, changes, folders_by_name, mark_of, read_json
from orchestration.grid.states import PlanState
from uniferum.config import load_yaml
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from uniferum.run.identity import Reading

Identify = Callable[[Any, Mapping[str, Path | str]], tuple[str, str]]


def missing_stores(cell: Cell, stores: Mapping[str, Path | str]) -> list[str]:
    """Cohorts that the cell reads and that have no prepared store on disk."""
    return [name for name in _read_by(cell) if name in stores and not _there(stores[name])]


def _read_by(cell: Cell) -> list[str]:
    """The cohorts that a cell reads."""
    return list(dict.fromkeys([*cell.config.trained_stores, *cell.config.evaluate_on]))


def _there(store: Path | str) -> bool:
    """Whether a store is on disk; one behind a URL is taken to be there, and says so itself where it is not."""
    return "://" in str(store) or (Path(store) / "store.json").exists()


def absent_stores(grid: GridConfig) -> list[str]:
    """Stores of the grid file that are not on disk, with their places."""
    return [f"{name} ({path})" for name, path in grid.stores.items() if not _there(path)]


def make_plan(grid: GridConfig, cells: Sequence[Cell], identity: Identify | None = None) -> list[PlannedCell]:
    """Look at every cell's folder and say what is to be done, and how long it takes.

    Args:
        grid: where stores and records are.
        cells: what :func:`orchestration.grid.config.expand` gave.
        identity: gives both fingerprints of a config; replaced in tests of the planner.

    Raises:
        UniferumError: a store is unreadable.
    """
    return with_hours(grid, look(grid, cells, identity))


def look(grid: GridConfig, cells: Sequence[Cell], identity: Identify | None = None) -> list[PlannedCell]:
    """The plan without its hours: what a status needs, each folder looked at once; raises as :func:`make_plan`."""
    once = _Look(grid, identity)
    return [once.at(cell) for cell in cells]


class _Look:
    """One pass over the cells; whatever they share (stores, the list of folders) is read once."""

    def __init__(self, grid: GridConfig, identity: Identify | None) -> None:
        self.grid = grid
        self.identity = identity or self._identify
        self.absent = {name for name, path in grid.stores.items() if not _there(path)}

    @cached_property
    def reading(self) -> "Reading":
        from uniferum.run.identity import Reading

        return Reading(self.grid.stores)

    @cached_property
    def folders(self) -> dict[str, list[Path]]:
        return folders_by_name(self.grid.cells_folder)

    @cached_property
    def names(self) -> set[str]:
        """Of all cells of the grid: what bears one of them is that cell's own."""
        return {cell.name for cell in expand(self.grid)}

    def at(self, cell: Cell) -> PlannedCell:
        absent = self.absent.intersection(_read_by(cell)) if self.absent else ()
        if absent:
            return PlannedCell(
                cell, PlanState.NO_DATA, f"data absent: {', '.join(sorted(absent))}", None, None, None, None
            )
        training, evaluation = self.identity(cell.config, self.grid.stores)
        folder = self._folder(cell.name, training)
        state, why = self._judged(CellFolder(folder), cell, training, evaluation)
        return PlannedCell(cell, state, why, folder, training, evaluation, None)

    def _folder(self, name: str, training: str) -> Path:
        """A cell's folder: under its name, else the finished one of the same content that bears an earlier name."""
        own = cell_folder(self.grid.cells_folder, name, training)
        if own.exists():
            return own
        for folder in (one for found in self.folders.values() for one in found if one.name.endswith(mark_of(training))):
            result = CellFolder(folder).result() or {}
            if result.get("training_fingerprint") == training and result.get("name") not in self.names:
                return folder
        return own

    def _identify(self, config: Any, stores: Mapping[str, Path | str]) -> tuple[str, str]:
        found = self.reading.fingerprints(config)
        return found.training, found.evaluation

    def _judged(self, record: CellFolder, cell: Cell, training: str, evaluation: str) -> tuple[str, str]:
        """The state of one cell and its reason, from its folder."""
        result = record.result()
        if result and result.get("training_fingerprint") == training:
            if result.get("evaluation_fingerprint") == evaluation:
                renamed = "" if result.get("name") in (None, cell.name) else f", as {result['name']}"
                return PlanState.DONE, f"finished at step {result.get('steps')}{renamed}"
            return PlanState.RESCORE, "the test splits changed since it was scored"
        failure = record.failure()
        step = record.resumable_step()
        if failure:
            return PlanState.FAILED, f"{failure.reason}" + (f"; goes on from step {step}" if step else "")
        if step is not None:
            return PlanState.RESUMABLE, f"at step {step} of {cell.config.training.steps}"
        return self._changed(record, cell)

    def _changed(self, record: CellFolder, cell: Cell) -> tuple[str, str]:
        others = [folder for folder in self.folders.get(cell.name, ()) if folder != record.folder]
        if not others:
            return PlanState.DUE, "never ran"
        old = CellFolder(others[-1])
        content = read_json(old.files.identity)
        if content is not None:
            differing = changes(content, self.reading.training_content(cell.config))
            return PlanState.CHANGED, "; ".join(key.removeprefix("config.") for key in differing)
        try:
            differing = changes(load_yaml(old.files.config), cell.config.model_dump(mode="json"))
        except UniferumError:
            return PlanState.CHANGED, f"{others[-1].name} ran with other settings, which are unreadable now"
        why = "; ".join(differing) or f"the training data or the code changed since {others[-1].name}"
        return PlanState.CHANGED, why
