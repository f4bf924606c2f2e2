"""The multi-node part of the chaos in its short form; ``make chaos`` has all of it.

A Ray of several raylets loses a node, the MLflow server and its driver, and the table is that of an undisturbed run.
"""

import random
from pathlib import Path

import pytest

from orchestration.tracking import server
from orchestration.tracking.reader import read_mlflow, reading_uri
from tests.chaos.conftest import SEED, Ground
from tests.chaos.conftest import ground as ground
from tests.chaos.conftest import raylets as raylets
from tests.integration.conftest import edit

pytestmark = [pytest.mark.integration, pytest.mark.ray, pytest.mark.slow]


def test_a_lost_node_a_killed_mlflow_server_and_a_killed_driver_cost_no_digit(ground: Ground, tmp_path: Path) -> None:
    draw = random.Random(SEED)
    edit(ground.file, defaults={"training": {"steps": 60, "validate_every": 30}})
    server.start(ground.grid.root)  # its start takes longer than the cells; the driver takes over the running one
    driver = ground.drive()
    ground.work_goes_on(driver)
    ground.kill_mlflow()
    ground.raylets.lose_one(draw)
    ground.work_goes_on(driver)
    driver.kill()
    driver.wait()

    assert ground.drive().wait(timeout=400) == 0, f"seed {SEED}: {ground.log[-3000:]}"
    assert "Traceback" not in ground.log
    assert max(ground.went_on()) > 1, "a cell went on from its checkpoint"
    ground.is_undisturbed(tmp_path / "undisturbed")
    mirrored = read_mlflow(reading_uri(ground.grid.root), ground.grid.name)
    assert {record.name for record in mirrored} == {cell.name for cell in ground.cells}
