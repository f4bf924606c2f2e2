"""A Ray cluster of several raylets on this machine, drivers as processes, and functions that kill them."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig, load_grid
from orchestration.grid.records import CellFolder
from orchestration.tracking.server import answers, find
from tests.integration.conftest import *  # noqa: F403 - the fixtures of the small grid
from tests.integration.conftest import edit
from tests.integration.test_survive import same_as_undisturbed, until, worker_pids
from tests.support.ports import free_port

SEED = int(os.environ.get("UNIFERUM_CHAOS_SEED", "0"))


class Raylets:
    """A head without CPUs and two nodes of one CPU; a node or the whole cluster can be killed and started again."""

    def __init__(self) -> None:
        from orchestration.cluster import connect
        from orchestration.grid.resources import Resources

        connect.environment(Resources())
        self.start()

    def start(self, *, dashboard: bool = True) -> None:
        """Start a new cluster, at another address."""
        from ray.cluster_utils import Cluster

        # Another Ray on this machine may use the default port of the dashboard.
        head = {"num_cpus": 0, "include_dashboard": dashboard, "dashboard_port": free_port()}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        self.cluster.wait_for_nodes()

    @property
    def address(self) -> str:
        """HOST:PORT of the head."""
        return str(self.cluster.address)

    def lose_one(self, draw: random.Random) -> None:
        """Kill a node without warning, and add another one."""
        node = self.nodes.pop(draw.randrange(len(self.nodes)))
        self.cluster.remove_node(node, allow_graceful=False)
        time.sleep(2)
        self.nodes.append(self.cluster.add_node(num_cpus=1))

    def lose_node_of(self, pid: int) -> None:
        """Kill the node that started this worker, without warning; the other nodes stay."""
        (node,) = [one for one in self.nodes if _parent(pid) in _pids(one, "raylet")]
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)

    def lose_head(self) -> None:
        """Kill GCS and raylet of the head with SIGKILL; the nodes are not informed."""
        head = self.cluster.head_node
        assert head is not None, "a cluster that runs has a head"
        for kind in ("gcs_server", "raylet"):
            for pid in _pids(head, kind):
                kill(pid)

    def end(self) -> None:
        """Stop all remaining processes of the cluster."""
        self.cluster.shutdown()


@pytest.fixture
def raylets(home: Path) -> Iterator[Raylets]:
    made = Raylets()
    yield made
    made.end()


@dataclass
class Ground:
    """A grid whose processes are killed, its drivers, and their common log."""

    file: Path
    raylets: Raylets

    @property
    def grid(self) -> GridConfig:
        """The grid as its file declares it."""
        return load_grid(self.file)

    @property
    def cells(self) -> list[Cell]:
        """All cells of the grid."""
        return expand(self.grid)

    @property
    def log(self) -> str:
        """The output of all drivers."""
        path = self.file.parent / "driver.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def drive(self) -> subprocess.Popen[bytes]:
        """Start a driver; its command differs only in the address of the cluster."""
        command = [sys.executable, "-m", "cli.main", "grid", "run", str(self.file), "--yes"]
        with (self.file.parent / "driver.log").open("ab") as log:
            return subprocess.Popen([*command, "--address", self.raylets.address], stdout=log, stderr=log)

    def steps(self) -> int:
        """Return the sum of the steps of all cells' last checkpoints."""
        return sum(CellFolder(folder).resumable_step() or 0 for folder in self.grid.root.glob("cells/*"))

    def work_goes_on(self, driver: subprocess.Popen[bytes], seconds: float = 240.0) -> None:
        """Wait until a cell has written a new checkpoint, so that the next fault interrupts training."""
        until, before = time.monotonic() + seconds, self.steps()
        while self.steps() <= before and driver.poll() is None and time.monotonic() < until:
            time.sleep(0.2)

    def kill_worker(self, draw: random.Random) -> None:
        """Kill a worker that trains now; the process title that Ray sets excludes a reused PID."""
        victim = draw.choice(self._training_pids())
        kill(victim)
        until(lambda: not _title(victim), seconds=10)

    def lose_node_of_a_worker(self) -> None:
        """Kill the node on which a cell trains now."""
        self.raylets.lose_node_of(self._training_pids()[0])

    def _training_pids(self) -> list[int]:
        pids: list[int] = []
        until(lambda: pids.extend(pid for pid in worker_pids(self.grid) if _title(pid).startswith("ray::")) or pids)
        return pids

    def kill_callers(self) -> None:
        """Kill the process that runs each worker group's ``fit()``; Ray gives it the group's name."""
        groups = {path.name for path in self.grid.root.glob("lanes/*-lane-*")}
        for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
            if _title(pid).removeprefix("ray::") in groups:
                kill(pid)

    def kill_mlflow(self) -> None:
        """Kill the grid's MLflow server with its whole process group: the first process only supervises the others."""
        until(lambda: find(self.grid.root))
        server = find(self.grid.root)
        assert server is not None
        os.killpg(server.pid, signal.SIGKILL)
        until(lambda: not answers(server.uri, seconds=0.5), seconds=10)

    def went_on(self) -> list[int]:
        """Return the first step of each cell's last attempt."""
        progresses = [CellFolder(folder).progress() for folder in self.grid.root.glob("cells/*")]
        return [progress.base_step for progress in progresses if progress and progress.base_step is not None]

    def is_undisturbed(self, folder: Path) -> None:
        """Assert that the results of each cell equal those of an uninterrupted run in this process."""
        for cell in self.cells:
            same_as_undisturbed(self.grid, cell, folder / cell.name)


@pytest.fixture
def ground(grid_file: Path, raylets: Raylets) -> Iterator[Ground]:
    """Two cells that train longer than the faults last, with more retries than faults; no MLflow server outlives it."""
    training = {"steps": 300, "validate_every": 100, "checkpoint_every": 2}
    edit(grid_file, defaults={"training": training}, policy={"retries": 20, "breaker": 0})
    made = Ground(grid_file, raylets)
    yield made
    if find(made.grid.root) is not None:
        made.kill_mlflow()


def _pids(node: Any, kind: str) -> list[int]:
    return [process.process.pid for process in node.all_processes[kind]]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace").strip()
    except OSError:
        return ""  # it has just ended


def kill(pid: int) -> None:
    """Send SIGKILL; a process that has already ended is no error."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
