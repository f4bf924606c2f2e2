"""A killed worker and interrupted drivers: the same command goes on, and the table is that of an undisturbed run.

A driver that is killed is a part of ``make chaos``.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig, load_grid
from orchestration.grid.records import CellFolder, named_folders, read_json
from tests.integration.conftest import edit
from uniferum.run import train_run

pytestmark = [pytest.mark.integration, pytest.mark.ray]


def start_driver(grid_file: Path, address: str, *options: str) -> subprocess.Popen[bytes]:
    """``uniferum grid run`` as a process of its own."""
    command = [sys.executable, "-m", "cli.main", "grid", "run", str(grid_file), "--yes", "--no-mlflow"]
    log = (grid_file.parent / "driver.log").open("ab")
    return subprocess.Popen([*command, "--address", address, *options], stdout=log, stderr=log, env=os.environ.copy())


def until(condition: Callable[[], object], seconds: float = 180.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def step_of(grid: GridConfig, name: str) -> int:
    """How far a cell is."""
    folders = named_folders(grid.cells_folder, name)
    progress = CellFolder(folders[-1]).progress() if folders else None
    return progress.step if progress else 0


def worker_pids(grid: GridConfig) -> list[int]:
    """The processes that train."""
    cards = [read_json(path) for path in sorted(grid.root.glob("lanes/*/worker.json"))]
    return [int(card["pid"]) for card in cards if card]


def same_as_undisturbed(grid: GridConfig, cell: Cell, folder: Path) -> None:
    """Compare predictions, metrics and losses with a run in this process that nobody disturbed."""
    stores = {name: Path(path) for name, path in grid.stores.items()}
    train_run(cell.config, stores, folder)
    (recorded,) = named_folders(grid.cells_folder, cell.name)
    for name in ("predictions.parquet", "metrics.parquet"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(recorded / name), pd.read_parquet(folder / name), check_exact=True
        )
    losses = [pd.read_json(path / "steps.jsonl", lines=True)["loss"].dropna() for path in (recorded, folder)]
    assert losses[0].tolist() == losses[1].tolist()


@pytest.mark.slow
def test_ctrl_c_writes_a_checkpoint_and_the_next_run_goes_on_from_it(grid_file: Path, ray_address: str) -> None:
    edit(
        grid_file,
        defaults={"training": {"steps": 200, "validate_every": 100, "checkpoint_every": 100}},
        cells=[{"text_encoder": "small", "train_on": ["CTRATE"]}],
    )
    grid = load_grid(grid_file)
    (cell,) = expand(grid)
    driver = start_driver(grid_file, ray_address)
    until(lambda: step_of(grid, cell.name) >= 2)
    driver.send_signal(signal.SIGINT)

    assert driver.wait(timeout=120) == 130
    (folder,) = named_folders(grid.cells_folder, cell.name)
    record = CellFolder(folder)
    assert 2 <= (record.resumable_step() or 0) < 200
    assert not record.done


@pytest.mark.slow
def test_a_killed_worker_and_a_second_ctrl_c_cost_no_digit_and_a_second_driver_takes_over(
    grid_file: Path, ray_address: str, tmp_path: Path
) -> None:
    edit(
        grid_file,
        defaults={"training": {"steps": 30, "validate_every": 15}},
        cells=[{"text_encoder": "small", "train_on": ["CTRATE"]}],
    )
    grid = load_grid(grid_file)
    (cell,) = expand(grid)
    driver = start_driver(grid_file, ray_address)
    until(lambda: step_of(grid, cell.name) >= 3)
    os.kill(worker_pids(grid)[0], signal.SIGKILL)
    second = start_driver(grid_file, ray_address)
    killed_at = step_of(grid, cell.name)
    until(lambda: len(worker_pids(grid)) == 2)  # the driver tries again in a new worker group
    until(lambda: step_of(grid, cell.name) > killed_at)
    log = grid_file.parent / "driver.log"
    until(lambda: "waiting for it to end" in log.read_text())
    driver.send_signal(signal.SIGINT)
    until(lambda: "press again to exit at once" in log.read_text())
    driver.send_signal(signal.SIGINT)

    assert driver.wait(timeout=60) == 130
    assert second.wait(timeout=180) == 0, log.read_text()
    same_as_undisturbed(grid, cell, tmp_path / "undisturbed")
