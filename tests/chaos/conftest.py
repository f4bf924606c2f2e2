"""A Ray of several raylets on this machine, drivers as processes of their own, and what can be done to them."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig, load_grid
from orchestration.grid.records import CellFolder
from orchestration.tracking.server import answers, find
from tests.integration.conftest import *  # noqa: F403 - the fixtures of the small grid
from tests.integration.conftest import edit
from tests.integration.test_survive import same_as_undisturbed, until, worker_pids

SEED = int(os.environ.get("UNIFERUM_CHAOS_SEED", "0"))


class Raylets:
    """A head without CPUs and two nodes of one CPU; a node can be killed and comes back, and so can the whole."""

    def __init__(self) -> None:
        from orchestration.cluster import connect
        from orchestration.grid.resources import Resources

        connect.environment(Resources())
        self.start()

    def start(self, *, dashboard: bool = True) -> None:
        """A new cluster, at another address."""
        from ray.cluster_utils import Cluster

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

    def lose_head(self) -> None:
        """Kill GCS and raylet of the head with SIGKILL; the nodes are left to notice."""
        head = self.cluster.head_node
        assert head is not None, "a cluster that runs has a head"
        for kind in ("gcs_server", "raylet"):
            for process in head.all_processes[kind]:
                kill(process.process.pid)

    def end(self) -> None:
        """Stop what is left."""
        self.cluster.shutdown()


@pytest.fixture
def raylets(home: Path) -> Iterator[Raylets]:
    made = Raylets()
    yield made
    made.end()


@dataclass
class Ground:
    """A grid under attack, its drivers, and their common log."""

    file: Path
    raylets: Raylets

    @property
    def grid(self) -> GridConfig:
        """As its file says."""
        return load_grid(self.file)

    @property
    def cells(self) -> list[Cell]:
        """All of them."""
        return expand(self.grid)

    @property
    def log(self) -> str:
        """What the drivers said."""
        path = self.file.parent / "driver.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def drive(self) -> subprocess.Popen[bytes]:
        """Give the command, always the same one but for the address of a cluster that was started anew."""
        command = [sys.executable, "-m", "cli.main", "grid", "run", str(self.file), "--yes"]
        with (self.file.parent / "driver.log").open("ab") as log:
            return subprocess.Popen([*command, "--address", self.raylets.address], stdout=log, stderr=log)

    def steps(self) -> int:
        """Of all cells together."""
        progresses = [CellFolder(folder).progress() for folder in self.grid.root.glob("cells/*")]
        return sum(progress.step for progress in progresses if progress)

    def work_goes_on(self, driver: subprocess.Popen[bytes], seconds: float = 240.0) -> None:
        """Until some cell has gone on, so that every blow falls into work."""
        until, before = time.monotonic() + seconds, self.steps()
        while self.steps() <= before and driver.poll() is None and time.monotonic() < until:
            time.sleep(0.2)

    def kill_worker(self, draw: random.Random) -> None:
        """One that trains now; Ray titles its processes, so no number that came round again is hit."""
        pids: list[int] = []
        until(lambda: pids.extend(pid for pid in worker_pids(self.grid) if _title(pid).startswith("ray::")) or pids)
        victim = draw.choice(pids)
        kill(victim)
        until(lambda: not _title(victim), seconds=10)

    def kill_callers(self) -> None:
        """Kill the process that runs each worker group's ``fit()``; Ray gives it the group's name."""
        groups = {path.name for path in self.grid.root.glob("lanes/*-lane-*")}
        for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
            if _title(pid).removeprefix("ray::") in groups:
                kill(pid)

    def kill_mlflow(self) -> None:
        """The grid's own server: all of its processes, for the first of them only watches over the others."""
        until(lambda: find(self.grid.root))
        server = find(self.grid.root)
        assert server is not None
        os.killpg(server.pid, signal.SIGKILL)
        until(lambda: not answers(server.uri, seconds=0.5), seconds=10)

    def went_on(self) -> list[int]:
        """The first step of each cell's last attempt that trained."""
        progresses = [CellFolder(folder).progress() for folder in self.grid.root.glob("cells/*")]
        return [progress.base_step for progress in progresses if progress and progress.base_step is not None]

    def is_undisturbed(self, folder: Path) -> None:
        """Every cell's table is that of a run in this process that nobody disturbed."""
        for cell in self.cells:
            same_as_undisturbed(self.grid, cell, folder / cell.name)


@pytest.fixture
def ground(grid_file: Path, raylets: Raylets) -> Ground:
    """Two cells long enough for every blow to fall into work, with more retries than blows."""
    training = {"steps": 300, "validate_every": 100, "checkpoint_every": 2}
    edit(grid_file, defaults={"training": training}, policy={"retries": 20, "breaker": 0})
    return Ground(grid_file, raylets)


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace").strip()
    except OSError:
        return ""  # it has just ended


def free_port() -> int:
    """A port for the dashboard: another Ray on this machine may have the usual one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kill(pid: int) -> None:
    """With SIGKILL, whether or not it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
