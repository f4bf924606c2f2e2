"""Where a report's cells come from: folders of cells, or MLflow; and what a grid file expects beside them."""

from collections.abc import Sequence
from pathlib import Path

from cli import output
from uniferum.errors import UniferumError
from uniferum.report.records import CellRecord, Pending, from_folders, newest, unfinished


def gather(grid: Path | None, folder: Path | None, mlflow: str | None = None) -> tuple[list[CellRecord], list[Pending]]:
    """Finished cells, and those that a grid file expects or that a folder has begun.

    Args:
        grid: the grid file, which says what is expected, and where MLflow is.
        folder: read cells from here instead of from MLflow.
        mlflow: address of the tracking server, instead of the grid's own or ``MLFLOW_TRACKING_URI``.

    Raises:
        UniferumError: there is no cell at all to report on, or a record is unreadable.
    """
    found = from_folders(folder) if folder else _from_mlflow(grid, mlflow)
    if grid is not None:
        records, pending = _expected(grid, found)
    else:
        records, hidden = newest(found)
        _say_hidden(hidden)
        pending = unfinished(folder) if folder else []
    if not records and not pending:
        where = str(folder) if folder else "MLflow"
        raise UniferumError(
            where, must="hold at least one cell", cure="run one: uniferum grid run configs/demo_grid.yaml"
        )
    return records, pending


def _from_mlflow(grid: Path | None, address: str | None) -> list[CellRecord]:
    from orchestration.tracking import read_records

    return read_records(grid, address)


def _expected(path: Path, found: Sequence[CellRecord]) -> tuple[list[CellRecord], list[Pending]]:
    """Match what was found to the grid's cells by fingerprint; what is left over is named, never shown."""
    from orchestration.grid import expand, load_grid
    from orchestration.plan import DONE, RESCORE, make_plan

    grid = load_grid(path)
    records: list[CellRecord] = []
    pending: list[Pending] = []
    hidden: list[CellRecord] = []
    for planned in make_plan(grid, expand(grid, source=str(path))):
        cell, identity = planned.cell, planned.training_fingerprint
        named, older = newest([record for record in found if record.name == cell.name])
        same = [r for r in (*older, *named) if identity in (None, r.result.get("training_fingerprint"))]
        records.extend(same[-1:])
        hidden.extend(record for record in (*older, *named) if record not in same[-1:])
        if not same:
            state = "pending" if planned.state in (DONE, RESCORE) else planned.state
            reason = planned.why if planned.state == "no data" else f"{state}: {planned.why}"
            command = f"uniferum grid run {path} --only {cell.name}"
            pending.append(
                Pending(cell.name, cell.model, cell.text_encoder or "", cell.mix, cell.seed, reason, command)
            )
    _say_hidden(hidden)
    return records, pending


def _say_hidden(hidden: Sequence[CellRecord]) -> None:
    if hidden:
        names = ", ".join(sorted({record.name for record in hidden})[:5])
        output.say(f"{len(hidden)} older results of cells with other settings are not shown: {names}")
