"""Plan a grid: find out from each cell's folder what is left to do, and why.

A cell is done when the ``result.json`` of its folder carries its two fingerprints. If only the evaluation fingerprint
differs, the cell is scored again; another training fingerprint means another folder. A finished cell that has a new
name in the grid file stays finished: its folder is found by its fingerprint, whatever names cells had when it ran. A
cell waits for the stores that it trains on, their reports if it reads them, and the checkpoint that it starts from. It
does not wait for its test cohorts: it is tested on those that have a store, and scored again when another store
appears.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig
from orchestration.grid.estimates import with_hours
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import (
    PREFIX,
    CellFolder,
    cell_folder,
    changes,
    folder_suffix,
    folders_by_name,
    folders_by_suffix,
    read_json,
)
from orchestration.grid.starts import WAITS, named_start, started, starts_from
from orchestration.grid.states import PlanState
from orchestration.grid.stores import has_reports, on_disk, reports_command
from uniferum.config import load_yaml
from uniferum.errors import UniferumError
from uniferum.model.needs import starting_checkpoint
from uniferum.model.pretrained import digest_of_weights

if TYPE_CHECKING:
    from uniferum.run.identity import Reading

Prints = tuple[str, str]
"""Fingerprints of training and evaluation."""
Identify = Callable[[Any, Mapping[str, Path | str]], Prints]


def missing_stores(cell: Cell, stores: Mapping[str, Path | str]) -> list[str]:
    """Cohorts that a cell trains on and that have no prepared store on disk."""
    return [name for name in cell.config.trained_stores if name in stores and not on_disk(stores[name])]


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


def startable(grid: GridConfig, planned: Sequence[PlannedCell], identity: Identify | None = None) -> list[PlannedCell]:
    """Plan again the cells that waited for another cell, and list those that wait no more."""
    waited = [p.cell for p in planned if p.state == PlanState.NO_DATA and named_start(p.cell.config) is not None]
    again = plan_states(grid, waited, identity) if waited else []
    return [p for p in again if p.state != PlanState.NO_DATA]


class _Planner:
    """Plans cell after cell; the stores and the list of folders are read once."""

    def __init__(self, grid: GridConfig, identity: Identify | None) -> None:
        self.grid = grid
        self.identity = identity or self._identify
        self.absent = {name for name, path in grid.stores.items() if not on_disk(path)}
        self.taken: set[Path] = set()
        self.planned: dict[str, PlannedCell] = {}

    @cached_property
    def reading(self) -> "Reading":
        from uniferum.run.identity import Reading

        return Reading(self.grid.stores)

    @cached_property
    def folders(self) -> dict[str, list[Path]]:
        return folders_by_name(self.grid.cells_folder)

    @cached_property
    def by_suffix(self) -> dict[str, list[Path]]:
        return folders_by_suffix(self.folders)

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """All cells of the grid by name."""
        return {cell.name: cell for cell in expand(self.grid)}

    def plan(self, cell: Cell) -> PlannedCell:
        if cell.name not in self.planned:
            self.planned[cell.name] = self._plan(cell)
        return self.planned[cell.name]

    def _plan(self, cell: Cell) -> PlannedCell:
        first = None if named_start(cell.config) is None else starts_from(cell.config, self.cells)
        if first is not None:
            start = self.plan(self.cells[first])
            if start.folder is None or start.state not in (PlanState.DONE, PlanState.RESCORE):
                return PlannedCell(cell, PlanState.NO_DATA, f"{WAITS} {first}", None, None, None, None)
            cell = replace(cell, config=started(cell.config, start.folder))
        absent = self._absent(cell)
        if absent:
            return PlannedCell(cell, PlanState.NO_DATA, f"data absent: {', '.join(absent)}", None, None, None, None)
        cell, untested = self._narrowed(cell)
        folder, (training, evaluation) = self._folder(cell)
        self.taken.add(folder)
        state, why = self._state(CellFolder(folder), cell, training, evaluation, untested)
        return PlannedCell(cell, state, why, folder, training, evaluation, None, untested=untested)

    def _absent(self, cell: Cell) -> list[str]:
        """What a cell waits for: stores that it trains on, their reports, or the checkpoint that it starts from."""
        config = cell.config
        absent = sorted(self.absent.intersection(config.trained_stores))
        if config.reads_reports:
            stores = {name: self.grid.stores[name] for name in config.training_cohorts if name not in absent}
            absent += [
                f"reports of {name} ({reports_command(name, path)})"
                for name, path in stores.items()
                if not has_reports(path)
            ]
        start = starting_checkpoint(config.model)
        return absent if start is None or digest_of_weights(start) else [*absent, f"checkpoint {start}"]

    def _narrowed(self, cell: Cell) -> tuple[Cell, tuple[str, ...]]:
        """The cell tested on the cohorts that have a store, and the names of the others."""
        wanted = cell.config.evaluate_on
        untested = tuple(name for name in wanted if name in self.absent)
        if not untested:
            return cell, ()
        tested = tuple(name for name in wanted if name not in self.absent)
        return replace(cell, config=cell.config.replace(evaluate_on=tested)), untested

    def _folder(self, cell: Cell) -> tuple[Path, Prints]:
        """Folder of a cell, and its fingerprints there.

        A finished folder under the cell's name is taken first, then a finished one that no other cell has, then any
        under its name.
        """
        today = self.identity(cell.config, self.grid.stores)
        own = cell_folder(self.grid.cells_folder, cell.name, today[0])
        if self.by_suffix.get(folder_suffix(today[0])) == [own]:
            return own, today
        every = self._fingerprints(cell, today)
        folders = [cell_folder(self.grid.cells_folder, cell.name, prints[0]) for prints in every]
        for prints, folder in zip(every, folders, strict=True):
            others = [
                one for one in self.by_suffix.get(folder_suffix(prints[0]), ()) if one not in (*folders, *self.taken)
            ]
            for one in (folder, *others):
                result = CellFolder(one).result() or {}
                if result.get("training_fingerprint") == prints[0] and not self._of_another(result, cell, prints[0]):
                    return one, prints
        known = [at for at, folder in enumerate(folders) if folder.exists()]
        return (folders[known[0]], every[known[0]]) if known else (own, today)

    def _of_another(self, result: Mapping[str, Any], cell: Cell, training: str) -> bool:
        """Whether a record is that of another cell of the grid, which has its name and its fingerprint."""
        other = self.cells.get(str(result.get("name")))
        if other is None or other.name == cell.name:
            return False
        if self.absent.intersection(other.config.trained_stores):
            return True
        other, _ = self._narrowed(other)
        today = self.identity(other.config, self.grid.stores)
        return training in [prints[0] for prints in self._fingerprints(other, today)]

    def _fingerprints(self, cell: Cell, today: Prints) -> list[Prints]:
        """Fingerprints of a cell: those of today, and those that a record of before has."""
        former = self.reading.former(cell.config) if self.identity == self._identify else None
        return [today] if former is None else [today, (former.training, former.evaluation)]

    def _identify(self, config: Any, stores: Mapping[str, Path | str]) -> tuple[str, str]:
        fingerprints = self.reading.fingerprints(config)
        return fingerprints.training, fingerprints.evaluation

    def _state(
        self, record: CellFolder, cell: Cell, training: str, evaluation: str, untested: tuple[str, ...]
    ) -> tuple[PlanState, str]:
        """State of a cell and its reason, from its folder."""
        result = record.result()
        if result and result.get("training_fingerprint") == training:
            return self._scored(result, cell, evaluation, untested)
        state, why = self._unfinished(record, cell)
        return state, f"{why}; test data absent: {', '.join(untested)}" if untested else why

    def _scored(
        self, result: Mapping[str, Any], cell: Cell, evaluation: str, untested: tuple[str, ...]
    ) -> tuple[PlanState, str]:
        """State of a finished cell and its reason."""
        old_name = "" if result.get("name") in (None, cell.name) else f", as {result['name']}"
        lost = [name for name in untested if name in (result.get("evaluate_on") or ())]
        if lost:
            return self._scored_on_absent(result, cell, lost, old_name)
        if result.get("evaluation_fingerprint") == evaluation:
            absent = f"; test data absent: {', '.join(untested)}" if untested else ""
            return PlanState.DONE, f"finished at step {result.get('steps')}{old_name}{absent}"
        added = [name for name in cell.config.evaluate_on if name not in (result.get("evaluate_on") or ())]
        if result.get("evaluate_on") is not None and added:
            return PlanState.RESCORE, f"it is not scored on {', '.join(added)} yet"
        trained = f" (trained{old_name})" if old_name else ""
        return PlanState.RESCORE, f"{self._rescored(result, cell)}{trained}"

    def _rescored(self, result: Mapping[str, Any], cell: Cell) -> str:
        """Why a cell is scored again: the keys of ``evaluation`` that differ, else the test splits."""
        scoring = self.reading.scoring(cell.config) if self.identity == self._identify else {}
        differing = changes(_flat(result.get("evaluation") or {}), _flat(scoring), "evaluation.")
        return "; ".join(differing) or "the test splits changed since it was scored"

    def _scored_on_absent(
        self, result: Mapping[str, Any], cell: Cell, lost: Sequence[str], old_name: str
    ) -> tuple[PlanState, str]:
        """State of a finished cell that was scored on cohorts whose stores are absent now; its scores are kept."""
        digests = result.get("data") or {}
        changed = [
            name
            for name in cell.config.evaluate_on
            if self.reading.as_run(name, cell.config).digest("test") != digests.get(f"{name} test")
        ]
        if not changed:
            kept = f"test data absent now: {', '.join(lost)}; the earlier scores stay"
            return PlanState.DONE, f"finished at step {result.get('steps')}{old_name}; {kept}"
        why = f"the test split of {', '.join(changed)} changed, but scoring again needs {', '.join(lost)} too"
        return PlanState.NO_DATA, f"data absent: {why}"

    def _unfinished(self, record: CellFolder, cell: Cell) -> tuple[PlanState, str]:
        """State of a cell without a result, and its reason."""
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


def _flat(scoring: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of the section ``evaluation`` of a run with short digests of its label files."""
    files = {
        f"labels.{cohort}.{name}": digest[:PREFIX]
        for cohort, digests in (scoring.get("labels") or {}).items()
        for name, digest in digests.items()
    }
    own = {key: scoring[key] for key in ("augmentations", "strength", "prompts") if key in scoring}
    return {"augmentations": 0, "prompts": [], **own, **files}
