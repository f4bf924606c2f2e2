"""What a grid has to do: each cell done, to be re-scored, resumable, failed, changed, due, or without data; and why.

Identity is content. A cell is done when its folder's ``result.json`` carries its own two fingerprints; a different
evaluation fingerprint alone means re-scoring, a different training fingerprint means another folder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestration.grid import Cell, GridConfig
from orchestration.records import CellRecord, cell_folder, changes, named_folders, read_json
from uniferum.config import load_yaml
from uniferum.errors import UniferumError

DONE, RESCORE, RESUMABLE, FAILED, CHANGED, DUE, NO_DATA = (
    "done",
    "re-score",
    "resumable",
    "failed",
    "changed",
    "due",
    "no data",
)
TO_TRAIN = frozenset({RESUMABLE, FAILED, CHANGED, DUE})

Identify = Callable[[Any, Mapping[str, Path | str]], tuple[str, str]]


@dataclass(frozen=True)
class Planned:
    """One cell, what is to be done with it, and why."""

    cell: Cell
    state: str
    why: str
    folder: Path | None
    training_fingerprint: str | None
    evaluation_fingerprint: str | None
    hours: float | None
    measured: bool = False

    @property
    def record(self) -> CellRecord:
        """The cell's record; only for a cell whose data is there."""
        assert self.folder is not None, f"{self.cell.name} has no data, so no identity and no folder"
        return CellRecord(self.folder)


def identify(config: Any, stores: Mapping[str, Path | str]) -> tuple[str, str]:
    """The training and the evaluation fingerprint of a run.

    Raises:
        UniferumError: a store is missing or unreadable.
    """
    from uniferum.run.identity import fingerprints

    found = fingerprints(config, stores)
    return found.training, found.evaluation


def missing_stores(cell: Cell, stores: Mapping[str, Path | str]) -> list[str]:
    """Cohorts that the cell reads and that have no prepared store on disk."""
    wanted = dict.fromkeys([*cell.config.trained_stores, *cell.config.evaluate_on])
    return [name for name in wanted if name in stores and not _there(stores[name])]


def _there(store: Path | str) -> bool:
    """Whether a store is on disk; one behind a URL is taken to be there, and says so itself where it is not."""
    return "://" in str(store) or (Path(store) / "store.json").exists()


def absent_stores(grid: GridConfig) -> list[str]:
    """Stores of the grid file that are not on disk, with their places."""
    return [f"{name} ({path})" for name, path in grid.stores.items() if not _there(path)]


def make_plan(grid: GridConfig, cells: Sequence[Cell], identity: Identify = identify) -> list[Planned]:
    """Look at every cell's folder and say what is to be done.

    Args:
        grid: where stores and records are.
        cells: what :func:`orchestration.grid.expand` gave.
        identity: gives both fingerprints of a config; replaced in benchmarks of the planner.
    """
    planned = [_planned(grid, cell, identity) for cell in cells]
    return _with_hours(grid, planned)


def _planned(grid: GridConfig, cell: Cell, identity: Identify) -> Planned:
    absent = missing_stores(cell, grid.stores)
    if absent:
        return Planned(cell, NO_DATA, f"data absent: {', '.join(sorted(absent))}", None, None, None, None)
    training, evaluation = identity(cell.config, grid.stores)
    folder = cell_folder(grid.cells_folder, cell.name, training)
    state, why = judge(CellRecord(folder), cell, training, evaluation, grid)
    return Planned(cell, state, why, folder, training, evaluation, None)


def judge(record: CellRecord, cell: Cell, training: str, evaluation: str, grid: GridConfig) -> tuple[str, str]:
    """The state of one cell and its reason, from its folder."""
    result = record.result()
    if result and result.get("training_fingerprint") == training:
        if result.get("evaluation_fingerprint") == evaluation:
            return DONE, f"finished at step {result.get('steps')}"
        return RESCORE, "the test splits changed since it was scored"
    failure = record.failure()
    step = record.resumable_step()
    if failure:
        return FAILED, f"{failure.reason}" + (f"; goes on from step {step}" if step else "")
    if step is not None:
        return RESUMABLE, f"at step {step} of {cell.config.training.steps}"
    return _changed(record, cell, grid)


def _changed(record: CellRecord, cell: Cell, grid: GridConfig) -> tuple[str, str]:
    others = [folder for folder in named_folders(grid.cells_folder, cell.name) if folder != record.folder]
    if not others:
        return DUE, "never ran"
    old = CellRecord(others[-1])
    content = read_json(old.files.identity)
    if content is not None:
        from uniferum.run.identity import training_content

        differing = changes(content, training_content(cell.config, grid.stores))
        return CHANGED, "; ".join(key.removeprefix("config.") for key in differing)
    try:
        differing = changes(load_yaml(old.files.config), cell.config.model_dump(mode="json"))
    except UniferumError:
        return CHANGED, f"{others[-1].name} ran with other settings, which are unreadable now"
    return CHANGED, "; ".join(differing) or f"the training data or the code changed since {others[-1].name}"


def _with_hours(grid: GridConfig, planned: list[Planned]) -> list[Planned]:
    """Estimate what is left of each cell: by the measured seconds a step of finished cells, else as declared."""
    rates = sorted(_seconds_a_step(p) for p in planned if p.state in (DONE, RESCORE))
    rate = rates[len(rates) // 2] / 3600 if rates else None
    declared = 1 / grid.resources.steps_per_hour if grid.resources.steps_per_hour else None
    hours_a_step = rate or declared
    return [_estimated(p, hours_a_step, rate is not None) for p in planned]


def _seconds_a_step(planned: Planned) -> float:
    result = planned.record.result() or {}
    return float(result.get("seconds", 0.0)) / max(1, int(result.get("steps", 1)))


def _estimated(planned: Planned, hours_a_step: float | None, measured: bool) -> Planned:
    if planned.state in (DONE, RESCORE):
        seconds = float((planned.record.result() or {}).get("seconds", 0.0))
        return replace(planned, hours=seconds / 3600, measured=True)
    if hours_a_step is None:
        return planned
    reached = (planned.record.resumable_step() or 0) if planned.folder else 0
    left = max(0, planned.cell.config.training.steps - reached)
    return replace(planned, hours=left * hours_a_step, measured=measured)
