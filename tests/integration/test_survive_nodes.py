"""The short form of the chaos on several raylets: a node is lost; ``make chaos`` has the other faults and their order.

The cell that ran on the node goes on elsewhere from its checkpoint, and the table is that of an undisturbed run.
"""

from pathlib import Path

import pytest

from tests.chaos.conftest import Ground
from tests.chaos.conftest import ground as ground
from tests.chaos.conftest import raylets as raylets
from tests.integration.conftest import edit

pytestmark = [pytest.mark.integration, pytest.mark.ray, pytest.mark.slow]


def test_a_cell_whose_node_is_lost_goes_on_elsewhere_and_loses_no_digit(ground: Ground, tmp_path: Path) -> None:
    training = {"steps": 40, "validate_every": 20}
    cells = [{"text_encoder": "small", "train_on": ["CTRATE+SEG"]}]
    edit(ground.file, cells=cells, defaults={"training": training}, tracking={"enabled": False})
    driver = ground.drive()
    ground.work_goes_on(driver)
    ground.lose_node_of_a_worker()

    assert driver.wait(timeout=240) == 0, ground.log[-3000:]
    assert "Traceback" not in ground.log
    assert "waiting after" in ground.log, "the loss interrupted the cell"
    assert max(ground.went_on()) > 1, "the cell went on from its checkpoint"
    ground.is_undisturbed(tmp_path / "undisturbed")
