"""Collect the cells of a report from MLflow or from folders, and match them to the cells of a grid file."""

import os
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from uniferum.errors import UniferumError
from uniferum.report.axes import GridAxis
from uniferum.report.checks.margins import Margins
from uniferum.report.cited_systems import row_model
from uniferum.report.ensembles import ensemble, incomplete
from uniferum.report.read_records import from_folders
from uniferum.report.records import CellRecord, PendingCell, newest
from uniferum.report.settings import GridPosition, with_settings
from uniferum.report.systems import encoder_word, other_system, recorded_folds
from uniferum.report.tables.naming import distinguish_encoders, of_phantoms
from uniferum.report.unfinished import unfinished

if TYPE_CHECKING:
    from orchestration.grid.cells import Cell
    from orchestration.grid.config import GridConfig
    from orchestration.grid.planned import PlannedCell

ALIVE_S = 120
"""A cell whose progress file is younger than this counts as running."""
RUN_ONE = "run one first: uniferum grid run configs/demo_grid.yaml; or read folders with --from"


@dataclass(frozen=True)
class Gathered:
    """Finished cells, cells without a result, and the margins within which a number reproduces the paper's."""

    records: list[CellRecord]
    pending: list[PendingCell]
    agreement: Margins
    cells: Path | None = None
    """Folder of the grid's cells, with their checkpoints; None without a grid file."""
    stores: Mapping[str, Path] = field(default_factory=dict)
    """Prepared stores of the grid that are on this machine."""
    axes: Mapping[str, GridAxis] = field(default_factory=dict)
    """Axes of the grid file."""
    name: str = ""
    """Name of the grid; empty without a grid file."""

    @property
    def phantoms(self) -> bool:
        """Whether any cell was trained or tested on phantoms."""
        return of_phantoms([*self.records, *self.pending])


def gather(
    grid: Path | None, folder: Path | None, mlflow: str | None = None, *, say: Callable[[str], object] = lambda _: None
) -> Gathered:
    """Collect the cells of a report.

    Args:
        grid: the grid file, which lists the expected cells and the MLflow server. Without it and without ``folder``,
            the grid file in ``configs`` with the newest MLflow database is taken.
        folder: read cells from this folder instead of MLflow.
        mlflow: address of the tracking server, instead of the grid's own or ``MLFLOW_TRACKING_URI``.
        say: gets notes on the choice of cells, one sentence each, as soon as they are known: also if an error follows.

    Raises:
        UniferumError: there are no cells, or a record is unreadable.
    """
    config: GridConfig | None = None
    if grid is None and folder is None:
        grid, config = last_recorded(Path("configs"))
        say(f"The grid is {grid}, the last one recorded here; --grid names another.")
    if grid is None:
        assert folder is not None
        records, hidden = newest(from_folders(folder))
        _say_hidden(hidden, say)
        pending = unfinished(folder)
        _check_any(records, pending, folder)
        records, pending = distinguish_encoders(*with_settings(records, pending))
        return Gathered(_of_phantoms(records), pending, Margins())
    from orchestration.grid.cells import expand
    from orchestration.grid.config import load_grid
    from orchestration.grid.stores import on_disk

    config = config or load_grid(grid)
    recorded = from_folders(folder) if folder else _from_mlflow(config, mlflow)
    cells = expand(config, source=str(grid))
    records, pending, stale = _match(config, grid, cells, recorded, say, folder)
    _check_any(records, pending, folder or grid)
    records, pending = distinguish_encoders(*with_settings(records, pending, _grid_positions(config, cells)))
    if config.synthetic:
        records = [replace(one, phantoms=True) for one in records]
        pending = [replace(one, phantoms=True) for one in pending]
    agreement = Margins(config.margins, config.synthetic, config.comparable)
    stores = {n: s for n, s in config.stores.items() if isinstance(s, Path) and on_disk(s)}
    records = _of_phantoms(_with_splits(records, stores))
    records, pending = _with_ensembles(config, grid, cells, records, pending, stale)
    axes = {name: GridAxis(axis.labels, axis.key, axis.keys) for name, axis in config.axes.items()}
    return Gathered(records, pending, agreement, config.cells_folder, stores, axes, config.name)


def _check_any(records: list[CellRecord], pending: list[PendingCell], where: Path) -> None:
    if not records and not pending:
        raise UniferumError(str(where), must="hold at least one cell", cure=RUN_ONE)


def _of_phantoms(records: list[CellRecord]) -> list[CellRecord]:
    """Mark the records whose own test splits are phantoms, also without a grid file."""
    return [
        replace(one, phantoms=True) if any(word.phantoms for word in one.test_splits.values()) else one
        for one in records
    ]


def _with_splits(records: list[CellRecord], stores: Mapping[str, Path]) -> list[CellRecord]:
    """Add descriptions of the test splits to older records, from stores with the same content."""
    from uniferum.data.prepared_cohort import PreparedCohort
    from uniferum.preprocessing.store.store import MANIFEST, SPLITS
    from uniferum.report.tables.splits import completed

    missing = {
        name for record in records for name in record.result.get("evaluate_on") or () if name not in record.test_splits
    }
    cohorts = missing & set(stores)
    complete = [name for name in cohorts if all((stores[name] / file).exists() for file in (MANIFEST, SPLITS))]
    return completed(records, {name: PreparedCohort.open(stores[name]) for name in complete})


def last_recorded(configs: Path) -> "tuple[Path, GridConfig]":
    """Load the grid file in ``configs`` whose root has the newest MLflow database.

    Raises:
        UniferumError: no grid of ``configs`` has a database.
    """
    from orchestration.grid.config import load_grid
    from orchestration.tracking.server import DATABASE

    databases: list[tuple[float, Path, GridConfig]] = []
    for path in sorted(configs.glob("*grid*.yaml")):
        grid = load_grid(path)
        database = grid.root / DATABASE
        if database.exists():
            databases.append((database.stat().st_mtime, path, grid))
    if not databases:
        raise UniferumError("--grid", must="be given, because no grid of configs/ has run here", cure=RUN_ONE)
    return max(databases, key=lambda one: one[:2])[1:]


def _from_mlflow(grid: "GridConfig", address: str | None) -> list[CellRecord]:
    from orchestration.tracking.reader import read_mlflow, reading_uri

    uri = reading_uri(grid.root, address or grid.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI"))
    return read_mlflow(uri, grid.name)


def _match(
    grid: "GridConfig",
    path: Path,
    cells: "Sequence[Cell]",
    recorded: Sequence[CellRecord],
    say: Callable[[str], object],
    folder: Path | None = None,
) -> tuple[list[CellRecord], list[PendingCell], set[str]]:
    """Match records to the grid's cells by fingerprint.

    Args:
        grid: the grid.
        path: its file.
        cells: its cells.
        recorded: what was read.
        say: gets the names of records that match no cell, and of finished cells that MLflow does not have in full.
        folder: where the records were read; None if that is MLflow.

    Returns:
        The matching records, the cells without one, and the names of the cells that are to be scored again.
    """
    from orchestration.grid.cells import values_on_axes
    from orchestration.grid.plan import make_plan
    from orchestration.grid.states import PlanState

    stale: dict[str, list[str]] = {}
    records: list[CellRecord] = []
    pending: list[PendingCell] = []
    hidden: list[CellRecord] = []
    plan = make_plan(grid, cells)
    recorded = _rename(recorded, plan)
    for planned in plan:
        cell, identity = planned.cell, planned.training_fingerprint
        latest, older = newest([record for record in recorded if record.name == cell.name])
        same = [r for r in (*older, *latest) if identity in (None, r.result.get("training_fingerprint"))]
        values = values_on_axes(grid, cell)
        records.extend(replace(one, axes=values, untested=_untested(grid, planned, one)) for one in same[-1:])
        if same and planned.state == PlanState.RESCORE:
            stale.setdefault(planned.why, []).append(cell.name)
        hidden.extend(record for record in (*older, *latest) if record not in same[-1:])
        if not same:
            reason = _running(planned) or (
                planned.why if planned.state == PlanState.NO_DATA else f"{planned.state}: {planned.why}"
            )
            command = f"uniferum grid run {path} --only {cell.name}"
            if planned.state in (PlanState.DONE, PlanState.RESCORE):
                reason, command = _elsewhere(grid, path, folder)
            pending.append(_pending(cell, reason, command, values))
    _say_hidden(hidden, say)
    if folder is None:
        _say_unsent(grid, path, plan, say)
    for why, names in stale.items():
        say(f"To be scored again, because {why} (uniferum grid evaluate {path}): {', '.join(names)}")
    return records, pending, {name for names in stale.values() for name in names}


def _grid_positions(grid: "GridConfig", cells: "Sequence[Cell]") -> dict[str, GridPosition]:
    """Where the cells of a grid stand: its axes, and its defaults."""
    if not grid.axes:
        return {}
    from orchestration.grid.positions import positions

    return positions(grid, cells)


def _elsewhere(grid: "GridConfig", path: Path, folder: Path | None) -> tuple[str, str]:
    """Why a cell that is finished in the grid's folder was not read, and the command that reads it."""
    source = f"below {folder}" if folder else "in MLflow (not sent yet, or another server)"
    return f"finished, but not {source}", f"uniferum report --grid {path} --from {grid.root}"


def _with_ensembles(
    grid: "GridConfig",
    path: Path,
    cells: "Sequence[Cell]",
    records: list[CellRecord],
    pending: list[PendingCell],
    stale: Collection[str],
) -> tuple[list[CellRecord], list[PendingCell]]:
    """Add the ensembles of a grid.

    Args:
        grid: the grid.
        path: its file.
        cells: its cells.
        records: its finished cells.
        pending: its other cells.
        stale: cells that are to be scored again. If only some members of an ensemble are, it waits for them, because
            they were scored on other test data.
    """
    if not grid.ensembles:
        return records, pending
    from orchestration.grid.ensembles import ensemble_members

    made, waiting = list(records), list(pending)
    known = {one.name: one for one in (*records, *pending)}
    for name, of in ensemble_members(grid, cells, source=str(path)).items():
        members = [known[cell.name] for cell in of]
        done = [one for one in members if isinstance(one, CellRecord)]
        ready = done if all(one.name in stale for one in done) else [one for one in done if one.name not in stale]
        if len(ready) == len(members):
            made.append(ensemble(name, ready, _ensemble_folder(grid, name)))
        else:
            waiting.append(_incomplete(name, path, members, ready))
    return made, waiting


def _incomplete(
    name: str, path: Path, members: Sequence[CellRecord | PendingCell], ready: Sequence[CellRecord]
) -> PendingCell:
    """An ensemble that waits for members: to be trained first, else to be scored again."""
    untrained = [one.name for one in members if isinstance(one, PendingCell)]
    rescored = [one.name for one in members if isinstance(one, CellRecord) and one not in ready]
    why = [f"{', '.join(untrained)} not done"] if untrained else []
    why += [f"{', '.join(rescored)} to be scored again"] if rescored else []
    command = "run" if untrained else "evaluate"
    only = " ".join(f"--only {one}" for one in untrained or rescored)
    return incomplete(name, members, ready, "; ".join(why), f"uniferum grid {command} {path} {only}")


def _ensemble_folder(grid: "GridConfig", name: str) -> Path:
    """Where the scores of an ensemble are kept: in the root if it is a folder that can be written, else for this run.

    The root of a grid that ran on another machine may be absent here.
    """
    if grid.root.is_dir() and os.access(grid.root, os.W_OK):
        return grid.root / "ensembles" / name
    return Path(tempfile.mkdtemp(prefix="uniferum-ensemble-"))


def _untested(grid: "GridConfig", planned: "PlannedCell", record: CellRecord) -> dict[str, str]:
    """Test cohorts of a cell that have no store and no score, each with the command that makes the store."""
    from orchestration.grid.stores import store_command

    scored = set(record.result.get("evaluate_on") or ())
    untested = [name for name in planned.untested if name not in scored]
    return {name: store_command(name, grid, [planned.cell.config]) for name in untested}


def _rename(recorded: Sequence[CellRecord], plan: "Sequence[PlannedCell]") -> list[CellRecord]:
    """Give records that were trained under a cell's former name its current name; the fingerprint identifies them."""
    current = {planned.cell.name: planned.training_fingerprint for planned in plan}
    name_of = {str(p.training_fingerprint): p.cell.name for p in plan if p.training_fingerprint}
    records = []
    for record in recorded:
        identity = str(record.result.get("training_fingerprint"))
        own = record.name in current and current[record.name] in (None, identity)
        records.append(record if own else replace(record, name=name_of.get(identity, record.name)))
    return records


def _pending(cell: "Cell", reason: str, command: str, axes: Mapping[str, str]) -> PendingCell:
    config = cell.config.model_dump(mode="json")
    model = config["model"]
    word, other = encoder_word(cell.model, model["text"]), other_system(cell.model, model, config["geometry"])
    return PendingCell(
        cell.name,
        row_model(cell.model, model),
        word,
        cell.mix,
        cell.seed,
        reason,
        command,
        other_system=other,
        text=model["text"],
        axes=axes,
        config=config,
        folds=recorded_folds(cell.config.data.model_dump()),
    )


def _running(planned: "PlannedCell") -> str:
    """Progress of a running cell in per cent; empty for a cell that is not running."""
    progress = planned.record.progress() if planned.folder is not None else None
    if progress is None or time.time() - progress.updated > ALIVE_S:
        return ""
    return f"running {100 * progress.step / max(progress.steps, 1):.0f} %"


def _say_unsent(grid: "GridConfig", path: Path, plan: "Sequence[PlannedCell]", say: Callable[[str], object]) -> None:
    """Name the finished cells of which this machine has records that are not in MLflow yet."""
    from orchestration.grid.states import PlanState
    from orchestration.grid.unsent import waits_for_mlflow

    done = [p for p in plan if p.state in (PlanState.DONE, PlanState.RESCORE) and p.folder is not None]
    names = [p.cell.name for p in done if waits_for_mlflow(p.record.folder)]
    if names:
        say(
            f"Not all records of finished cells are in MLflow, so their results may be absent or old here: "
            f"{', '.join(names)} (uniferum grid run {path} sends them; --from {grid.cells_folder} reads the folders)"
        )


def _say_hidden(hidden: Sequence[CellRecord], say: Callable[[str], object]) -> None:
    if hidden:
        names = ", ".join(sorted({record.name for record in hidden})[:5])
        say(f"{len(hidden)} older results of cells with other settings are not shown: {names}")
