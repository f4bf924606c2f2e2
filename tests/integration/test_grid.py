"""A grid on real Ray and real MLflow: it runs, is recorded, is read back from both sources, and is not run again."""

import re
import threading
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from orchestration.driver.run import Options, run_grid
from orchestration.grid import metrics
from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig, load_grid
from orchestration.infra import gauges
from orchestration.tracking.reader import read_mlflow, reading_uri
from tests.integration.conftest import Quiet, edit, write_grid
from uniferum.report.records import CellRecord, from_folders
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.rendering import render

pytestmark = pytest.mark.integration

STEPS = 40  # Ray's agents export once a second


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


@dataclass(frozen=True)
class Ran:
    """A grid that ran once, what was said, and what Ray exported meanwhile."""

    grid: GridConfig
    cells: list[Cell]
    said: list[str]
    exit_code: int
    gauges: dict[tuple[str, str], float]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, tiny_stores: dict[str, str], ray_address: str) -> Ran:
    """Two cells on Ray with an MLflow server of their own, long enough for Ray to export every gauge."""
    file = write_grid(tmp_path_factory.mktemp("grid"), tiny_stores)
    edit(file, defaults={"training": {"steps": STEPS, "validate_every": STEPS // 2, "checkpoint_every": STEPS // 2}})
    grid = load_grid(file)
    cells = expand(grid)
    view, scraper = Quiet(), Scraper()
    scraper.start()
    try:
        summary = run_grid(grid, cells, view, Options())
    finally:
        scraper.ended.set()
        scraper.join()
    return Ran(grid, cells, view.lines, summary.exit_code, scraper.found)


def test_a_grid_runs_and_is_mirrored_to_mlflow(ran: Ran) -> None:
    assert ran.exit_code == 0, ran.said
    folders = from_folders(ran.grid.root)
    mirrored = read_mlflow(reading_uri(ran.grid.root), ran.grid.name)
    assert {record.name for record in folders} == {cell.name for cell in ran.cells}
    by_name = {record.name: record for record in mirrored}
    for record in folders:
        twin = by_name[record.name]
        assert twin.result == record.result
        assert twin.groups == record.groups
        assert twin.test_splits == record.test_splits
        pd.testing.assert_frame_equal(twin.labels, record.labels)
        pd.testing.assert_frame_equal(twin.predictions(), record.predictions())
    _both_sources_give_one_table_of_masks(folders, mirrored)
    _mlflow_has_every_step_once(ran.grid.root, ran.grid.name)


@pytest.mark.slow
def test_ray_exports_step_loss_speed_and_state_of_every_cell(ran: Ran) -> None:
    for cell in ran.cells:
        ours = {key: value for key, value in ran.gauges.items() if f'cell="{cell.name}"' in key[1]}
        assert {name for name, _ in ours} == {*gauges.PROGRESS, gauges.STATE}
        assert all(value > 0 for (name, _), value in ours.items() if name != gauges.STATE)
        states = {re.search(r'state="(\w+)"', labels)[1] for name, labels in ours if name == gauges.STATE}  # type: ignore[index]
        assert states == set(metrics.STATES)


def test_a_finished_grid_is_not_run_again_and_another_test_set_scores_again_without_training(ran: Ran) -> None:
    results = {path: path.stat().st_mtime_ns for path in ran.grid.root.glob("cells/*/result.json")}
    assert len(results) == len(ran.cells)
    again = Quiet()
    assert run_grid(ran.grid, ran.cells, again, Options()).exit_code == 0
    assert not [line for line in again.lines if "running" in line]
    assert results == {path: path.stat().st_mtime_ns for path in ran.grid.root.glob("cells/*/result.json")}
    _mlflow_has_every_step_once(ran.grid.root, ran.grid.name)
    _another_test_set_scores_again_without_training(ran.grid, ran.cells)


def _both_sources_give_one_table_of_masks(folders: list[CellRecord], mirrored: list[CellRecord]) -> None:
    table = render(make_table("segmentation", folders, []), "csv")
    assert "heart" in table
    assert table == render(make_table("segmentation", mirrored, []), "csv")


def _another_test_set_scores_again_without_training(grid: GridConfig, cells: list[Cell]) -> None:
    fewer = [replace(cell, config=cell.config.replace(evaluate_on=("CTRATE",))) for cell in cells[:1]]
    shared = grid.replace(resources={"cpus": 2, "workers": 2, "checkpoint_gib": 0.01}, tracking={"enabled": False})
    (folder,) = [path for path in grid.cells_folder.iterdir() if path.name.startswith(f"{cells[0].name}-")]
    weights = (folder / "checkpoints" / "last").resolve().stat().st_mtime_ns
    before = from_folders(folder)[0]

    view = Quiet()
    assert run_grid(shared, fewer, view, Options(only_scores=True)).exit_code == 0, view.lines

    after = from_folders(folder)[0]
    assert after.result["training_fingerprint"] == before.result["training_fingerprint"]
    assert after.result["evaluation_fingerprint"] != before.result["evaluation_fingerprint"]
    assert {group.cohort for group in after.groups} == {"CTRATE"}
    assert (folder / "checkpoints" / "last").resolve().stat().st_mtime_ns == weights


def _mlflow_has_every_step_once(root: Path, name: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=reading_uri(root))
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`uniferum.kind` = 'cell'")
    assert len(runs) == 2
    for run in runs:
        assert [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")] == [*range(1, STEPS + 1)]
        assert run.data.params["training.steps"] == str(STEPS)
        assert run.data.tags["mlflow.source.git.commit"]
        assert any(key.startswith("test/CTRATE/all/auroc/") for key in run.data.metrics)
        masks = run.data.tags["uniferum.train_on"] == "CTRATE+SEG"
        assert ("test/dice/CTRATE/heart" in run.data.metrics) == masks
        assert ("validation/dice/CTRATE" in run.data.metrics) == masks
