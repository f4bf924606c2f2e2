"""What a grid has to do: each cell done, to be re-scored, resumable, failed, changed, due, or without data; and why.

Identity is content. A cell is done when its folder's ``result.json`` carries its own two fingerprints; a different
evaluation fingerprint alone means re-scoring, a different training fingerprint means another folder. A finished cell
that the grid calls otherwise now stays finished: its folder is found by its fingerprint.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from orchestration.grid import Cell, GridConfig, expand
from orchestration.records import CellRecord, cell_folder, changes, folders_by_name, mark_of, read_json
from uniferum.config import load_yaml
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from uniferum.run.identity import Reading

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


def make_plan(grid: GridConfig, cells: Sequence[Cell], identity: Identify | None = None) -> list[Planned]:
    """Look at every cell's folder and say what is to be done, and how long it takes.

    Args:
        grid: where stores and records are.
        cells: what :func:`orchestration.grid.expand` gave.
        identity: gives both fingerprints of a config; replaced in tests of the planner.

    Raises:
        UniferumError: a store is unreadable.
    """
    return _with_hours(grid, look(grid, cells, identity))


def look(grid: GridConfig, cells: Sequence[Cell], identity: Identify | None = None) -> list[Planned]:
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

    def at(self, cell: Cell) -> Planned:
        absent = self.absent.intersection(_read_by(cell)) if self.absent else ()
        if absent:
            return Planned(cell, NO_DATA, f"data absent: {', '.join(sorted(absent))}", None, None, None, None)
        training, evaluation = self.identity(cell.config, self.grid.stores)
        folder = self._folder(cell.name, training)
        state, why = self._judged(CellRecord(folder), cell, training, evaluation)
        return Planned(cell, state, why, folder, training, evaluation, None)

    def _folder(self, name: str, training: str) -> Path:
        """A cell's folder: under its name, else the finished one of the same content that bears an earlier name."""
        own = cell_folder(self.grid.cells_folder, name, training)
        if own.exists():
            return own
        for folder in (one for found in self.folders.values() for one in found if one.name.endswith(mark_of(training))):
            result = CellRecord(folder).result() or {}
            if result.get("training_fingerprint") == training and result.get("name") not in self.names:
                return folder
        return own

    def _identify(self, config: Any, stores: Mapping[str, Path | str]) -> tuple[str, str]:
        found = self.reading.fingerprints(config)
        return found.training, found.evaluation

    def _judged(self, record: CellRecord, cell: Cell, training: str, evaluation: str) -> tuple[str, str]:
        """The state of one cell and its reason, from its folder."""
        result = record.result()
        if result and result.get("training_fingerprint") == training:
            if result.get("evaluation_fingerprint") == evaluation:
                renamed = "" if result.get("name") in (None, cell.name) else f", as {result['name']}"
                return DONE, f"finished at step {result.get('steps')}{renamed}"
            return RESCORE, "the test splits changed since it was scored"
        failure = record.failure()
        step = record.resumable_step()
        if failure:
            return FAILED, f"{failure.reason}" + (f"; goes on from step {step}" if step else "")
        if step is not None:
            return RESUMABLE, f"at step {step} of {cell.config.training.steps}"
        return self._changed(record, cell)

    def _changed(self, record: CellRecord, cell: Cell) -> tuple[str, str]:
        others = [folder for folder in self.folders.get(cell.name, ()) if folder != record.folder]
        if not others:
            return DUE, "never ran"
        old = CellRecord(others[-1])
        content = read_json(old.files.identity)
        if content is not None:
            differing = changes(content, self.reading.training_content(cell.config))
            return CHANGED, "; ".join(key.removeprefix("config.") for key in differing)
        try:
            differing = changes(load_yaml(old.files.config), cell.config.model_dump(mode="json"))
        except UniferumError:
            return CHANGED, f"{others[-1].name} ran with other settings, which are unreadable now"
        return CHANGED, "; ".join(differing) or f"the training data or the code changed since {others[-1].name}"


def _with_hours(grid: GridConfig, planned: list[Planned]) -> list[Planned]:
    """What each finished cell took, and what is left of each other: as finished cells like it, else as declared."""
    results = {p.cell.name: p.record.result() or {} for p in planned if p.state in (DONE, RESCORE)}
    finished = [p for p in planned if p.cell.name in results]
    steps = Likeness((p.cell, _seconds_a_step(results[p.cell.name])) for p in finished)
    scored = ((p.cell, _scoring_seconds(p.record, results[p.cell.name])) for p in finished)
    scores = Likeness((cell, seconds) for cell, seconds in scored if seconds is not None)
    declared = 3600 / grid.resources.steps_per_hour if grid.resources.steps_per_hour else None
    return [_estimated(p, results.get(p.cell.name, {}), steps, scores, declared) for p in planned]


class Likeness:
    """Numbers measured on cells; a cell is expected to have the median of those most like it."""

    def __init__(self, measured: Iterable[tuple[Cell, float]]) -> None:
        found: dict[tuple[str | None, ...], list[float]] = {}
        for cell, number in measured:
            for group in self._groups(cell):
                found.setdefault(group, []).append(number)
        self.medians = {group: median(numbers) for group, numbers in found.items()}

    def of(self, cell: Cell) -> float | None:
        """The same model, text encoder and training mix, else the same model and text encoder, else all."""
        return next((self.medians[group] for group in self._groups(cell) if group in self.medians), None)

    @staticmethod
    def _groups(cell: Cell) -> tuple[tuple[str | None, ...], ...]:
        return (cell.model, cell.text_encoder, cell.mix), (cell.model, cell.text_encoder), ()


def _seconds_a_step(result: Mapping[str, Any]) -> float:
    return float(result.get("seconds", 0.0)) / max(1, int(result.get("steps", 1)))


def _scoring_seconds(record: CellRecord, result: Mapping[str, Any]) -> float | None:
    """How long scoring alone took, where that was the cell's last attempt and it led to the result."""
    progress = record.progress()
    if progress is None or progress.phase != "scoring" or progress.step or result.get("finished", 0) < progress.started:
        return None
    return progress.updated - progress.started


def _estimated(
    planned: Planned, result: Mapping[str, Any], steps: Likeness, scores: Likeness, declared: float | None
) -> Planned:
    if planned.state == DONE:
        return replace(planned, hours=float(result.get("seconds", 0.0)) / 3600, measured=True)
    if planned.state == RESCORE:
        return replace(planned, hours=(scores.of(planned.cell) or 0.0) / 3600, measured=True)
    measured = steps.of(planned.cell)
    a_step = measured or declared
    if a_step is None:
        return planned
    reached = (planned.record.resumable_step() or 0) if planned.folder else 0
    left = max(0, planned.cell.config.training.steps - reached)
    return replace(planned, hours=left * a_step / 3600, measured=bool(measured))
