"""Mask scores of a run: the scored scans, the files, and the record."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.support.pooling import max_pool
from tests.support.small_runs import COUNTS, GEOMETRY, LABELS, make_config, write_store
from uniferum.data.loading.targets import TargetGrid
from uniferum.evaluation.mask_scores import mask_table, score_masks
from uniferum.model.base import Model, RowOutput
from uniferum.preprocessing.store.store import Store
from uniferum.run import evaluate_run, train_run
from uniferum.run.build import open_workbench
from uniferum.run.identity import training_content
from uniferum.run.score_masks import ScoredMasks, mask_counter, scored_masks
from uniferum.run_files import RunFiles
from uniferum.training.precision import choose_compute
from uniferum.training.reporter import read_steps

SEG = {"train_on": ["CTRATE", "SEG"], "training": {"steps": 2, "validate_every": 2}}


@pytest.fixture(scope="module")
def finished(stores: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    folder = tmp_path_factory.mktemp("masks") / "seg"
    train_run(make_config(**SEG), stores, folder)
    return RunFiles(folder)


def test_every_test_scan_is_scored_and_the_record_says_so(finished: RunFiles) -> None:
    record = json.loads(finished.result.read_text())
    assert [row["cohort"] for row in record["masks"]] == ["CTRATE", "RADCHEST"]
    for row in record["masks"]:
        assert row["n_scans"] == row["n_with_masks"] == row["n_scored"] == COUNTS["test"]
        assert row["n_structures"] == 1, "the small stores show a heart"
    table = pd.read_parquet(finished.masks)
    assert len(table) == 2 * COUNTS["test"]
    assert set(table["split"]) == {"test"}
    assert set(table["structure"]) == {"heart"}
    means = pd.read_parquet(finished.mask_metrics)
    pd.testing.assert_frame_equal(means, score_masks(table).structures, check_dtype=False)


def test_masks_are_metrics_of_every_validation(finished: RunFiles) -> None:
    (line,) = [line for line in read_steps(finished.steps) if "validation/auroc" in line]
    for name in ("dice", "mask_sensitivity", "volume_error"):
        assert line[f"validation/{name}/CTRATE"] == line[f"validation/{name}/CTRATE/heart"]


def test_a_run_without_seg_keeps_no_masks(stores: dict[str, Path], finished: RunFiles, tmp_path: Path) -> None:
    config = make_config(evaluate_on=["CTRATE"], training={"steps": 1, "validate_every": 1})
    train_run(config, stores, tmp_path)
    files = RunFiles(tmp_path)
    assert "masks" not in json.loads(files.result.read_text())
    assert not files.masks.exists()
    assert not any("dice" in name for line in read_steps(files.steps) for name in line)


def test_masks_of_some_scans_only_are_counted_and_stale_ones_go(
    stores: dict[str, Path], finished: RunFiles, tmp_path: Path
) -> None:
    """A store whose test scans have masks for one scan only, then for none."""
    config = make_config(**SEG, evaluate_on=["RADCHEST"])
    for held, scored in ((1, 1), (0, 0)):
        store = without_masks(tmp_path / f"held{held}", held)
        result = evaluate_run(config, {**stores, "RADCHEST": store}, finished.root)
        (row,) = result.record["masks"]
        assert (row["n_scans"], row["n_with_masks"], row["n_scored"]) == (COUNTS["test"], held, scored)
        assert finished.masks.exists() == bool(held)
    assert row["reason"] == "no scan has masks"
    assert result.record["mask_note"] == "no scan has masks"
    evaluate_run(make_config(**SEG), stores, finished.root)


def without_masks(path: Path, held: int) -> Path:
    """The cohort with masks for its first ``held`` test scans only."""
    write_store(path, "RADCHEST", LABELS["RADCHEST"], COUNTS)
    manifest = path / "manifest.parquet"
    table = pd.read_parquet(manifest)
    test = sorted(table.loc[table["split"] == "test", "scan_id"])
    bare = table["scan_id"].isin(test[held:])
    table["layers"] = [[] if none else list(layers) for none, layers in zip(bare, table["layers"], strict=True)]
    table.to_parquet(manifest)
    return path


class Knowing(Model):
    """Model with the same mask for every prompt, or without masks."""

    tokens_shape, patch = (6, 5, 4), 2

    def __init__(self, mask: np.ndarray | None) -> None:
        super().__init__()
        self.mask = mask

    def encode(self, volume: torch.Tensor) -> torch.Tensor:
        return volume.flatten(1)

    def read(self, visual, row_volume, prompts, labels, mask_rows=None):
        answer = torch.zeros(len(prompts))
        if self.mask is None:
            return RowOutput(answer, None)
        logits = torch.from_numpy(np.where(self.mask, 1.0, -1.0))
        rows = len(prompts) if mask_rows is None else len(mask_rows)
        return RowOutput(answer, logits.expand(rows, *logits.shape))


def scored(stores: dict[str, Path], mask: np.ndarray | None, most: int | None = None):
    bench = open_workbench(make_config(**SEG), stores, choose_compute("fp32", "cpu"))
    model, table = Knowing(mask), bench.test_table()
    counter = mask_counter(bench, model, table, "test", most=most)
    bench.predictions(model, table, [], also=counter)
    assert counter is not None
    return scored_masks(bench, counter, bench.config.evaluate_on)


def heart(stores: dict[str, Path]) -> np.ndarray:
    grid = TargetGrid.of(GEOMETRY.model_shape, (6, 5, 4), 2)
    stored = Store.open(stores["CTRATE"]).read_mask("test_00", "totalsegmentator", "train")
    inside = tuple(slice(m, m + n) for m, n in zip(GEOMETRY.level_margin, GEOMETRY.model_shape, strict=True))
    return grid.to_patches(max_pool(grid, (stored[inside] == 51).astype(np.uint8))) > 0


def test_a_model_that_knows_the_mask_has_dice_1(stores: dict[str, Path]) -> None:
    scores = scored(stores, heart(stores)).scores.structures
    assert scores["dice"].tolist() == [1.0, 1.0]
    assert scores["volume_error"].tolist() == [0.0, 0.0]


def test_at_most_so_many_scans_are_scored(stores: dict[str, Path]) -> None:
    outcome = scored(stores, heart(stores), most=2)
    assert [row["n_scored"] for row in outcome.summary()] == [2, 2]


def test_a_model_without_masks_says_so(stores: dict[str, Path]) -> None:
    (row, _) = scored(stores, None).summary()
    assert row["reason"] == "the model predicts no masks"
    assert (row["n_with_masks"], row["n_scored"]) == (COUNTS["test"], 0)


@pytest.mark.parametrize(
    ("with_masks", "answered", "reason"),
    [
        (0, True, "no scan has masks"),
        (2, True, "none of the scans with masks has both"),
        (2, False, "predicts no masks"),
    ],
)
def test_a_cohort_without_a_scored_mask_says_why(with_masks: int, answered: bool, reason: str) -> None:
    counts = {"CTRATE": {"n_scans": 3, "n_with_masks": with_masks, "n_scored": 0}}
    (row,) = ScoredMasks(mask_table([]), counts, answered).summary()
    assert reason in row["reason"]


def test_how_many_scans_a_validation_scores_is_no_part_of_a_run(stores: dict[str, Path]) -> None:
    few, many = (training_content(make_config(training={"mask_scans": count}), stores) for count in (0, 99))
    assert few == many
    assert "mask_scans" not in few["config"]["training"]
