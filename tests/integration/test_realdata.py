"""The main job on real scans: raw files to a prepared store, tasks, a short training, predictions and the table.

Too few volumes to learn from: what is held here is that everything which scanners really write goes through.
"""

import json
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from cli.main import app
from uniferum.preprocessing.store.store import Store
from uniferum.training.reporter import read_steps

pytestmark = pytest.mark.integration

COHORT = Path(__file__).with_name("realdata.yaml")
GEOMETRY = {"spacing_mm": [4, 4, 4], "model_shape": [48, 40, 32]}
RUN = {
    "name": "realdata",
    "train_on": ["REALDATA", "SEG"],
    "evaluate_on": ["REALDATA"],
    "geometry": GEOMETRY,
    "model": {
        "encoder": {"name": "tf_efficientnet_lite0", "weights": "offline", "stride": 8},
        "text": {"name": "tiny", "layers": 2, "hidden": 64, "heads": 2},
    },
    "sampling": {"luna_factor": 0, "organ_share": 0.5},
    "training": {"steps": 4, "validate_every": 2, "batch": 16, "micro_batch": 8, "precision": "fp32", "threads": 1},
    "optim": {"lr": 0.003, "warmup_steps": 2},
}


def uniferum(*words: object, expect: int = 0) -> Result:
    """Run a command in this process: a process for each would import PyTorch each time."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == expect, (done.stderr[-3000:], done.exception)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def world(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store and the finished run of the real volumes, made by the commands that a person types."""
    root = tmp_path_factory.mktemp("realdata")
    settings = [word for key, value in GEOMETRY.items() for word in ("--set", f"geometry.{key}={value}")]
    uniferum(
        "data", "prepare", COHORT, "--root", realdata, "--out", root / "store", "--local", "--workers", 0, *settings
    )
    (root / "run.yaml").write_text(yaml.safe_dump(RUN))
    stores = f"REALDATA={root / 'store'}"
    uniferum("run", "train", root / "run.yaml", "--stores", stores, "--folder", root / "cells" / "realdata")
    return root


def test_every_real_scan_is_prepared_with_its_masks_and_flags(world: Path) -> None:
    store = Store.open(world / "store")
    manifest = store.manifest().set_index("scan_id")
    assert len(manifest) == 15
    assert store.failures().empty
    flagged = {scan for scan, flags in manifest["flags"].items() if "no_lung" in list(flags)}
    assert {"sts_001", "sts_002", "sts_003", "sts_004", "sts_005"} <= flagged
    assert not flagged & {"thorax_1", "thorax_2", "thorax_3"}
    assert "totalsegmentator" in list(manifest.loc["upper_abdomen", "layers"])


def test_the_loss_falls_on_real_volumes_and_masks(world: Path) -> None:
    steps = [line for line in read_steps(world / "cells" / "realdata" / "steps.jsonl") if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert steps[-1]["loss/segmentation"] < steps[0]["loss/segmentation"]


def test_only_known_labels_of_the_test_split_are_predicted(world: Path, realdata: Path) -> None:
    predictions = pd.read_parquet(world / "cells" / "realdata" / "predictions.parquet")
    truth = pd.read_csv(realdata / "labels.csv").query("split == 'test'").set_index("scan_id")
    known = truth[["lung_in_view", "liver_in_view", "tumour", "contrast_in_heart"]].stack()
    targets = predictions.set_index(["scan_id", "label"])["target"]
    assert targets.sort_index().to_dict() == known.dropna().sort_index().to_dict()
    assert torch.isfinite(torch.tensor(predictions["score"].to_numpy())).all()


def test_the_table_shows_the_real_cohort_and_counts_labels_with_one_class(world: Path) -> None:
    record = json.loads((world / "cells" / "realdata" / "result.json").read_text())
    row = next(row for row in record["groups"] if row["metric"] == "auroc")
    assert (row["cohort"], row["n_labels"], row["n_labels_total"], row["n_cases"]) == ("REALDATA", 2, 4, 3)
    shown = pd.read_csv(StringIO(uniferum("report", "--from", world, "--table", "auroc", "--format", "csv").stdout))
    assert shown[["cohort", "group"]].to_numpy().tolist() == [["REALDATA", "all"]]
    assert shown["value"].item() == pytest.approx(row["value"])


def test_the_trained_model_answers_a_prompt_on_raw_files_and_names_the_one_that_is_missing(
    world: Path, realdata: Path
) -> None:
    done = uniferum(
        "predict",
        world / "cells" / "realdata",
        realdata / "thorax" / "thorax_3.nii.gz",
        realdata / "lung_tumour" / "pat_3",
        realdata / "nothing.nii.gz",
        "--prompt",
        RUN_PROMPT,
        "--format",
        "json",
        expect=1,
    )
    answers = json.loads(done.stdout)
    assert len(answers) == 2
    assert "nothing.nii.gz" in done.stderr
    predictions = pd.read_parquet(world / "cells" / "realdata" / "predictions.parquet")
    stored = predictions[predictions["label"] == "lung_in_view"].set_index("scan_id")["score"]
    # The series without a mask is prepared alike from its raw files: the same answer as through the store.
    assert answers[1]["logit"] == pytest.approx(stored["lung_pat_3"], abs=1e-4)


RUN_PROMPT = yaml.safe_load(COHORT.read_text())["labels"]["lung_in_view"]["prompt"]
