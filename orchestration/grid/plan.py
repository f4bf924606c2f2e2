"""Plan a grid: find out from each cell's folder what is left to do, and why.

A cell is done when the ``result.json`` of its folder carries its two fingerprints. If only the evaluation fingerprint
differs, the cell is scored again; another training fingerprint means another folder. A finished cell that has a new
name in the grid file stays finished: its folder is found by its fingerprint.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig
from orchestration.grid.estimates import with_hours
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import CellFolder, cell_folder, changes, folder_suffix, folders_by_name, read_json
from orchestration.grid.states import PlanState
from uniferum.config import load_yaml
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from uniferum.run.identity import Reading

Identify = Callable[[Any, Mapping[str, Path | str]], tuple[str, str]]


def missing_stores(cell: Cell, stores: Mapping[str, Path | str]) -> list[str]:
    """Cohorts of a cell that have no prepared store on disk."""
    return [name for name in _cohorts_of(cell) if name in stores and not _exists(stores[name])]


def _cohorts_of(cell: Cell) -> list[str]:
    """Cohorts that a cell trains on or is tested on."""
    return list(dict.fromkeys([*cell.config.trained_stores, *cell.config.evaluate_on]))


def _exists(store: Path | str) -> bool:
    """Whether a store is on disk; a store at a URL is not checked here, reading it raises if it does not exist."""
    return "://" in str(store) or (Path(store) / "store.json").exists()


def absent_stores(grid: GridConfig) -> list[str]:
    """Stores of the grid file that are not on disk, each as ``NAME (path)``."""
    return [f"{name} ({path})" for name, path in grid.stores.items() if not _exists(path)]


def make_plan(grid: GridConfig, cells: Sequence[Cell], identity: Identify | None = None) -> list[PlannedCell]:
    """Plan every cell: its state, the reason, and the estimated hours.

    Args:
        grid: the grid, for its stores and its root.
        cells: cells of :func:`orchestration.grid.cells.expand`.
        identity: computes both fingerprints of a config; tests of the planner replace it.

    Raises:
        UniferumError: a store is unreadable.
    """
    return with_hours(grid, plan_states(grid, cells, identity))


def plan_states(grid: GridConfig, cells: Sequence[Cell], identity: Identify | None = None) -> list[PlannedCell]:
    """Plan every cell without estimating hours; arguments and errors as in :func:`make_plan`."""
    planner = _Planner(grid, identity)
    return [planner.plan(cell) for cell in cells]


class _Planner:
    """Plans cell after cell; the stores and the list of folders are read once."""

    def __init__(self, grid: GridConfig, identity: Identify | None) -> None:
        self.grid = grid
        self.identity = identity or self._identify
        self.absent = {name for name, path in grid.stores.items() if not _exists(path)}

    @cached_property
    def reading(self) -> "Reading":
        from uniferum.run.identity import Reading

        return Reading(self.grid.stores)

    @cached_property
    def folders(self) -> dict[str, list[Path]]:
        return folders_by_name(self.grid.cells_folder)

    @cached_property
    def names(self) -> set[str]:
        """Names of all cells of the grid."""
        return {cell.name for cell in expand(self.grid)}

    def plan(self, cell: Cell) -> PlannedCell:
        absent = self.absent.intersection(_cohorts_of(cell)) if self.absent else ()
        if absent:
            return PlannedCell(
                cell, PlanState.NO_DATA, f"data absent: {', '.join(sorted(absent))}", None, None, None, None
            )
        training, evaluation = self.identity(cell.config, self.grid.stores)
        folder = self._folder(cell.name, training)
        state, why = self._state(CellFolder(folder), cell, training, evaluation)
        return PlannedCell(cell, state, why, folder, training, evaluation, None)

    def _folder(self, name: str, training: str) -> Path:
        """Folder of a cell: under its name, else a finished one with its fingerprint whose name no cell has now."""
        own = cell_folder(self.grid.cells_folder, name, training)
        if own.exists():
            return own
        suffix = folder_suffix(training)
        for folder in (one for folders in self.folders.values() for one in folders if one.name.endswith(suffix)):
            result = CellFolder(folder).result() or {}
            if result.get("training_fingerprint") == training and result.get("name") not in self.names:
                return folder
        return own

    def _identify(self, config: Any, stores: Mapping[str, Path | str]) -> tuple[str, str]:
        fingerprints = self.reading.fingerprints(config)
        return fingerprints.training, fingerprints.evaluation

    def _state(self, record: CellFolder, cell: Cell, training: str, evaluation: str) -> tuple[PlanState, str]:
        """State of a cell and its reason, from its folder."""
        result = record.result()
        if result and result.get("training_fingerprint") == training:
            if result.get("evaluation_fingerprint") == evaluation:
                old_name = "" if result.get("name") in (None, cell.name) else f", as {result['name']}"
                return PlanState.DONE, f"finished at step {result.get('steps')}{old_name}"
            return PlanState.RESCORE, "the test splits changed since it was scored"
        failure = record.failure()
        step = record.resumable_step()
        if failure:
            return PlanState.FAILED, f"{failure.reason}" + (f"; continues from step {step}" if step else "")
        if step is not None:
            return PlanState.RESUMABLE, f"at step {step} of {cell.config.training.steps}"
        return self._changed(record, cell)

    def _changed(self, record: CellFolder, cell: Cell) -> tuple[PlanState, str]:
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
            return PlanState.CHANGED, f"{others[-1].name} ran with other settings; its config file is unreadable"
        why = "; ".join(differing) or f"the training data or the code changed since {others[-1].name}"
        return PlanState.CHANGED, why
