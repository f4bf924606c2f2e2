"""A grid on real Ray and real MLflow: it runs, is recorded, is read back from both sources, and is not run again.

While it runs, Ray exports its gauges for Prometheus.
"""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from orchestration import gauges
from orchestration.driver.run import Options, run_grid
from orchestration.grid import metrics
from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig, load_grid
from orchestration.tracking.reader import read_mlflow, reading_uri
from tests.integration.conftest import Quiet, edit
from tests.support.ray_gauges import GaugeScraper
from uniferum.report.read_records import from_folders
from uniferum.report.records import CellRecord
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.rendering import render

pytestmark = [pytest.mark.integration, pytest.mark.ray]

STEPS = 24


def test_a_grid_runs_is_mirrored_to_mlflow_and_to_gauges_and_is_not_run_again(
    grid_file: Path, ray_address: str
) -> None:
    # Steps enough for Ray, which exports once a second, to show each gauge while the worker lives.
    edit(grid_file, defaults={"training": {"steps": STEPS, "validate_every": STEPS // 2, "checkpoint_every": STEPS}})
    grid = load_grid(grid_file)
    cells = expand(grid)
    view = Quiet()

    with GaugeScraper() as scraper:
        summary = run_grid(grid, cells, view, Options())

    assert summary.exit_code == 0, view.lines
    for cell in cells:
        _ray_exported_every_gauge_and_state(scraper, cell.name)
    folders = from_folders(grid.root)
    mirrored = read_mlflow(reading_uri(grid.root), grid.name)
    assert {record.name for record in folders} == {cell.name for cell in cells}
    by_name = {record.name: record for record in mirrored}
    for record in folders:
        twin = by_name[record.name]
        assert twin.result == record.result
        assert twin.groups == record.groups
        assert twin.test_splits == record.test_splits
        pd.testing.assert_frame_equal(twin.labels, record.labels)
        pd.testing.assert_frame_equal(twin.predictions(), record.predictions())
    _both_sources_give_one_table_of_masks(folders, mirrored)

    results = {path: path.stat().st_mtime_ns for path in grid.root.glob("cells/*/result.json")}
    again = Quiet()
    assert run_grid(grid, cells, again, Options()).exit_code == 0
    assert not [line for line in again.lines if "running" in line]
    assert results == {path: path.stat().st_mtime_ns for path in grid.root.glob("cells/*/result.json")}

    _mlflow_has_every_step_once(grid.root, grid.name)
    _another_test_set_scores_again_without_training(grid, cells)


def _ray_exported_every_gauge_and_state(scraper: GaugeScraper, name: str) -> None:
    values = scraper.of_cell(name)
    assert {gauge for gauge, _ in values} == {*gauges.PROGRESS, gauges.STATE}
    assert all(value > 0 for (gauge, _), value in values.items() if gauge != gauges.STATE)
    states = [re.search(r'state="(\w+)"', labels) for gauge, labels in values if gauge == gauges.STATE]
    assert {matches[1] for matches in states if matches} == set(metrics.STATES)


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
        assert [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")] == list(
            range(1, STEPS + 1)
        )
        assert run.data.params["training.steps"] == str(STEPS)
        assert run.data.tags["mlflow.source.git.commit"]
        assert any(key.startswith("test/CTRATE/all/auroc/") for key in run.data.metrics)
        masks = run.data.tags["uniferum.train_on"] == "CTRATE+SEG"
        assert ("test/dice/CTRATE/heart" in run.data.metrics) == masks
        assert ("validation/dice/CTRATE" in run.data.metrics) == masks
