"""A grid on a Ray of several raylets while workers, nodes, the driver and the MLflow server are killed at random.

The moments are drawn from a seed (``UNIFERUM_CHAOS_SEED``), so that a failure can be had again. After every storm the
same command is given again, until the grid is done; the table must be that of an undisturbed run, to the last digit.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.grid import GridConfig, expand, load_grid
from orchestration.mlflow_server import CARD
from orchestration.records import CellRecord, read_json
from orchestration.tracking import read_mlflow, reading_uri
from tests.integration.conftest import *  # noqa: F403 - the fixtures of the small grid
from tests.integration.conftest import edit
from tests.integration.test_survive import same_as_undisturbed, worker_pids

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]


class Raylets:
    """A head without CPUs and two nodes of one CPU; a node can be killed and comes back."""

    def __init__(self) -> None:
        from orchestration import cluster
        from orchestration.grid import Resources

        cluster.environment(Resources())
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": True}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        self.cluster.wait_for_nodes()

    def lose_one(self, draw: random.Random) -> None:
        """Kill a node without warning, and add another one."""
        node = self.nodes.pop(draw.randrange(len(self.nodes)))
        self.cluster.remove_node(node, allow_graceful=False)
        time.sleep(2)
        self.nodes.append(self.cluster.add_node(num_cpus=1))


@pytest.fixture
def raylets(home: Path) -> Iterator[Raylets]:
    made = Raylets()
    yield made
    made.cluster.shutdown()


def _drive(grid_file: Path, address: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cli.main", "grid", "run", str(grid_file), "--yes", "--address", address]
    log = (grid_file.parent / "driver.log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log)


def _kill_worker(grid: GridConfig, draw: random.Random) -> None:
    pids = worker_pids(grid)
    if pids:
        _kill(draw.choice(pids))


def _kill_mlflow(grid: GridConfig) -> None:
    card = read_json(grid.root / CARD)
    if card:
        _kill(int(card["pid"]))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _wait_for_steps(grid: GridConfig, driver: subprocess.Popen[bytes], before: int) -> None:
    """Until some cell has gone on, so that every blow falls into work."""
    until = time.monotonic() + 240
    while _steps(grid) <= before and driver.poll() is None and time.monotonic() < until:
        time.sleep(0.2)


def _steps(grid: GridConfig) -> int:
    found = [CellRecord(folder).progress() for folder in grid.root.glob("cells/*")]
    return sum(progress.step for progress in found if progress)


def test_a_grid_under_random_kills_ends_with_the_undisturbed_table(
    grid_file: Path, raylets: Raylets, tmp_path: Path
) -> None:
    seed = int(os.environ.get("UNIFERUM_CHAOS_SEED", "0"))
    draw = random.Random(seed)
    edit(
        grid_file,
        defaults={"training": {"steps": 40, "validate_every": 20}},
        policy={"retries": 20, "breaker": 0},
    )
    grid = load_grid(grid_file)
    driver = _drive(grid_file, raylets.cluster.address)
    blows: dict[str, Callable[[], None]] = {
        "worker": lambda: _kill_worker(grid, draw),
        "node": lambda: raylets.lose_one(draw),
        "mlflow": lambda: _kill_mlflow(grid),
        "driver": driver.kill,
    }
    order = list(blows)
    draw.shuffle(order)
    for name in order:
        _wait_for_steps(grid, driver, _steps(grid))
        time.sleep(draw.uniform(0, 2))
        blows[name]()
        if driver.poll() is not None or name == "driver":
            driver.wait()
            driver = _drive(grid_file, raylets.cluster.address)
            blows["driver"] = driver.kill

    code = driver.wait(timeout=900)
    assert code == 0, f"seed {seed}, order {order}: {(grid_file.parent / 'driver.log').read_text()[-3000:]}"
    cells = expand(grid)
    for cell in cells:
        same_as_undisturbed(grid, cell, tmp_path / "undisturbed" / cell.name)
    mirrored = read_mlflow(reading_uri(grid.root), grid.name)
    assert {record.name for record in mirrored} == {cell.name for cell in cells}
