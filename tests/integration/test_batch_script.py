"""The generated SLURM script, run by bash on this machine: two raylets, a preemption, and the same job queued again.

Only the words of SLURM are stand-ins (``scontrol``, ``srun``); Ray, the driver and the signals are real.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.grid.cells import expand
from orchestration.grid.config import GridConfig, load_grid
from orchestration.grid.records import CellFolder, named_folders
from orchestration.infra.settings import InfraSettings
from tests.integration.conftest import edit
from tests.integration.test_submit import free_port
from tests.integration.test_survive import step_of, until
from tests.support.infra_files import write
from uniferum.config import parse

pytestmark = [pytest.mark.integration, pytest.mark.ray, pytest.mark.slow]

SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then printf '%s\\n' 127.0.0.1 localhost; else echo "$*" >> "$REQUEUED"; fi
"""
SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
exec "$@"
"""


class Batch:
    """What SLURM knows of a job: its script, its environment, whether it was queued again."""

    def __init__(self, folder: Path, grid_file: Path, home: Path) -> None:
        self.project, self.requeued, self.log = folder / "project", folder / "requeued", folder / "batch.log"
        self.jobs: list[subprocess.Popen[bytes]] = []
        self.project.mkdir()
        (self.project / ".venv").symlink_to(sys.prefix)
        (self.project / "grid.yaml").write_text(grid_file.read_text())
        keys = {"project": str(self.project), "storage": str(folder), "grid": "grid.yaml"}
        machine = {"nodes": 2, "cpus": 1, "gpus": 0}
        write(parse(InfraSettings, {**keys, "machine": machine}, source="test"), self.project, folder)
        self.script, words = folder / "uniferum.slurm.sh", folder / "slurm"
        words.mkdir()
        for name, text in (("scontrol", SCONTROL), ("srun", SRUN)):
            (words / name).write_text(text)
            (words / name).chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "PATH": f"{words}:{os.environ['PATH']}",
            "HOME": str(home),
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_JOB_ID": "7",
            "UNIFERUM_RAY_PORT": str(free_port()),
            "UNIFERUM_DASHBOARD_PORT": str(free_port()),
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1",  # 30 s of waiting for a detached actor of Ray Train otherwise
            "RAY_worker_niceness": "0",  # as in a Ray that the driver starts; with 15 another process starves them
            "REQUEUED": str(self.requeued),
        }

    def start(self) -> "subprocess.Popen[bytes]":
        """``sbatch``."""
        log = self.log.open("ab")
        job = subprocess.Popen(
            ["bash", str(self.script)], env=self.environment, stdout=log, stderr=log, start_new_session=True
        )
        self.jobs.append(job)
        return job

    def clear(self) -> None:
        """Leave no Ray behind, whatever became of the test."""
        for job in self.jobs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)

    def processes(self) -> list[str]:
        """Rays of this job that still live."""
        port = self.environment["UNIFERUM_RAY_PORT"]
        listed = subprocess.run(["pgrep", "-af", f"[g]cs.*{port}"], capture_output=True, text=True, check=False)
        return listed.stdout.splitlines()


@pytest.fixture
def batch(grid_file: Path, home: Path, tmp_path: Path) -> Iterator[Batch]:
    """A job of the tiny grid, long enough to be preempted."""
    edit(
        grid_file,
        defaults={"training": {"steps": 60, "validate_every": 60, "checkpoint_every": 60}},
        tracking={"enabled": False},
    )
    made = Batch(tmp_path, grid_file, home)
    yield made
    made.clear()


def test_a_preempted_slurm_job_checkpoints_is_queued_again_and_ends_the_grid(grid_file: Path, batch: Batch) -> None:
    grid = load_grid(grid_file)
    cells = expand(grid)

    job = batch.start()
    until(lambda: job.poll() is not None or min(step_of(grid, cell.name) for cell in cells) >= 2, 240)
    job.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    job.send_signal(signal.SIGTERM)  # while the cells write their checkpoints
    assert job.wait(timeout=180) == 130, batch.log.read_text()
    assert batch.requeued.read_text() == "requeue 7\n"
    assert all(2 <= (_record(grid, cell.name).resumable_step() or 0) < 60 for cell in cells)
    until(lambda: not batch.processes(), 30)

    assert batch.start().wait(timeout=300) == 0, batch.log.read_text()
    assert all(_record(grid, cell.name).done for cell in cells)
    until(lambda: not batch.processes(), 30)


def _record(grid: GridConfig, name: str) -> CellFolder:
    (folder,) = named_folders(grid.cells_folder, name)
    return CellFolder(folder)
