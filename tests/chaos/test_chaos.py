"""A grid on several raylets while its processes are killed or interrupted, or its disk fills up, at random times.

The times are drawn from a seed (``UNIFERUM_CHAOS_SEED``), so that a failure can be reproduced. After each fault the
same command is given again, until the grid is done; the table must be that of an undisturbed run, to the last digit.
"""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from orchestration.grid.records import read_json
from orchestration.tracking import server
from orchestration.tracking.reader import read_mlflow, reading_uri
from tests.chaos.conftest import SEED, Ground
from tests.integration.conftest import edit
from tests.integration.test_survive import until
from tests.support.small_disk import Disk, small_disk

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

BLOWS = ("worker", "node", "mlflow", "driver", "head", "ctrl-c", "ctrl-c twice")


def test_a_grid_under_random_blows_ends_with_the_undisturbed_table(ground: Ground, tmp_path: Path) -> None:
    draw = random.Random(SEED)
    order = draw.sample(BLOWS, len(BLOWS))
    driver = ground.drive()
    for blow in order:
        ground.work_goes_on(driver)
        assert driver.poll() is None, f"seed {SEED}: nothing was left for '{blow}'; {ground.log[-3000:]}"
        time.sleep(draw.uniform(0, 2))
        driver = _strike(ground, driver, blow, draw)

    code = driver.wait(timeout=900)
    assert code == 0, f"seed {SEED}, order {order}: {ground.log[-3000:]}"
    assert "Traceback" not in ground.log
    assert max(ground.went_on()) > 1, "after the last blow a cell went on from its checkpoint, not from its start"
    ground.is_undisturbed(tmp_path / "undisturbed")
    mirrored = read_mlflow(reading_uri(ground.grid.root), ground.grid.name)
    assert {record.name for record in mirrored} == {cell.name for cell in ground.cells}


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


def _strike(ground: Ground, driver: subprocess.Popen[bytes], blow: str, draw: random.Random) -> subprocess.Popen[bytes]:
    """Cause one fault; return the driver that runs after it, the same one or a new one."""
    if blow == "worker":
        ground.kill_worker(draw)
    elif blow == "node":
        ground.raylets.lose_one(draw)
    elif blow == "mlflow":
        ground.kill_mlflow()
    elif blow == "driver":
        driver.kill()
        driver.wait()
    elif blow == "head":
        ground.raylets.lose_head()
        assert driver.wait(timeout=180) in (0, 1), ground.log[-3000:]
        ground.raylets.end()
        ground.raylets.start()
    else:
        _interrupt(ground, driver, twice=blow == "ctrl-c twice", pause_s=draw.uniform(0, 1))
    return ground.drive() if driver.poll() is not None else driver


def _interrupt(ground: Ground, driver: subprocess.Popen[bytes], *, twice: bool, pause_s: float) -> None:
    driver.send_signal(signal.SIGINT)
    if twice:
        time.sleep(pause_s)
        driver.send_signal(signal.SIGINT)
    assert driver.wait(timeout=180) in (0, 130), ground.log[-3000:]


@pytest.fixture
def disk(tmp_path: Path) -> object:
    """A separate file system, small enough to be filled."""
    with small_disk(tmp_path / "disk", megabytes=900) as made:
        yield made


def test_a_disk_that_fills_up_pauses_the_grid_and_costs_no_digit(ground: Ground, disk: Disk, tmp_path: Path) -> None:
    draw = random.Random(SEED)
    edit(ground.file, root=str(disk.folder / "runs"), policy={"free_gib": 0.02})
    driver = ground.drive()
    for _ in range(2):
        ground.work_goes_on(driver)
        time.sleep(draw.uniform(0, 2))
        with disk.full():
            until(lambda: "disk is full" in ground.log or driver.poll() is not None)
            time.sleep(draw.uniform(3, 8))
            assert driver.poll() is None, f"seed {SEED}: {ground.log[-3000:]}"

    assert driver.wait(timeout=600) == 0, f"seed {SEED}: {ground.log[-3000:]}"
    assert "the disk has free space again" in ground.log
    assert "Traceback" not in ground.log
    ground.is_undisturbed(tmp_path / "undisturbed")


def test_a_second_driver_waits_doubles_nothing_and_takes_over(ground: Ground, tmp_path: Path) -> None:
    draw = random.Random(SEED)
    first = ground.drive()
    ground.work_goes_on(first)
    time.sleep(draw.uniform(0, 2))
    second = ground.drive()
    until(lambda: "waiting for it to end" in ground.log)
    time.sleep(draw.uniform(0, 4))
    assert _drivers(ground) == {"1"}, "every cell is the first driver's, while it lives"
    first.kill()
    first.wait()

    assert second.wait(timeout=600) == 0, f"seed {SEED}: {ground.log[-3000:]}"
    assert _drivers(ground) <= {"1", "2"}
    ground.is_undisturbed(tmp_path / "undisturbed")


def test_without_a_dashboard_killed_callers_and_a_killed_driver_leave_no_cpu_reserved(
    ground: Ground, tmp_path: Path
) -> None:
    draw = random.Random(SEED)
    ground.raylets.end()
    ground.raylets.start(dashboard=False)
    driver = ground.drive()
    ground.work_goes_on(driver)
    time.sleep(draw.uniform(0, 1))
    ground.kill_callers()
    until(lambda: "waiting after" in ground.log)
    ground.work_goes_on(driver)
    driver.kill()
    driver.wait()

    assert ground.drive().wait(timeout=600) == 0, f"seed {SEED}: {ground.log[-3000:]}"
    ground.is_undisturbed(tmp_path / "undisturbed")


def _drivers(ground: Ground) -> set[str]:
    """The leases under which the cells were last begun."""
    cards = [read_json(path) for path in ground.grid.root.glob("cells/*/attempt.json")]
    return {card["token"].partition("-")[0] for card in cards if card}
