"""What Ray exports of a running grid for Prometheus: every gauge of a cell, and every cell's state."""

import re
import threading
import urllib.request
from pathlib import Path

import pytest

from orchestration import gauges
from orchestration.driver.run import Options, run_grid
from orchestration.grid import metrics
from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from tests.integration.conftest import Quiet, edit

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def _exported() -> str:
    """What every node's agent says now; it has no authentication and listens on this machine's own address."""
    import ray

    pages = []
    for node in ray.nodes():
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urllib.request.urlopen(address, timeout=10) as answer:
            pages.append(answer.read().decode())
    return "\n".join(pages)


class Scraper(threading.Thread):
    """Keeps the last value of every gauge of ours by name and labels, while a grid runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.found: dict[tuple[str, str], float] = {}
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            for line in _exported().splitlines():
                match = re.match(r"ray_(uniferum_\w+)\{(.*)\} (\S+)$", line)
                if match:
                    self.found[(match[1], match[2])] = float(match[3])


def test_ray_exports_step_loss_speed_and_state_of_every_cell(grid_file: Path, ray_address: str) -> None:
    edit(
        grid_file,
        defaults={"training": {"steps": 40, "validate_every": 20, "checkpoint_every": 20}},
        cells=[{"text_encoder": "small", "train_on": ["CTRATE"]}],
        tracking={"enabled": False},
    )
    grid = load_grid(grid_file)
    (cell,) = expand(grid)
    view, scraper = Quiet(), Scraper()
    scraper.start()
    try:
        assert run_grid(grid, [cell], view, Options()).exit_code == 0, view.lines
    finally:
        scraper.ended.set()
        scraper.join()
    ours = {key: value for key, value in scraper.found.items() if f'cell="{cell.name}"' in key[1]}
    assert {name for name, _ in ours} == {*gauges.PROGRESS, gauges.STATE}
    assert all(value > 0 for (name, _), value in ours.items() if name != gauges.STATE)
    states = {re.search(r'state="(\w+)"', labels)[1] for name, labels in ours if name == gauges.STATE}  # type: ignore[index]
    assert states == set(metrics.STATES)
