"""One run from stores to its record, with stops, resumes and errors."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from tests.support.small_runs import CONFIG, COUNTS, LABELS, make_config, write_store
from uniferum.config import load, merge
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.provenance import read_words
from uniferum.errors import UniferumError
from uniferum.evaluation.prediction_file import read_test_splits
from uniferum.run import RunConfig, evaluate_run, evaluation_fingerprint, train_run
from uniferum.run.identity import fingerprints
from uniferum.run.result import read_result
from uniferum.run_files import RunFiles
from uniferum.training.errors import Interrupted
from uniferum.training.reporter import Reporter, read_steps

Stores = dict[str, Path]


class Listener(Reporter):
    """Keep what is reported."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def params(self, values: Mapping[str, Any]) -> None:
        self.heard.append(f"params {values['name']}")

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.heard.append(f"{step} {'loss' if 'loss' in values else 'validation'}")

    def artifact(self, path: Path) -> None:
        assert path.exists()
        self.heard.append(path.name)

    def checkpoint(self, path: Path, step: int) -> None:
        self.heard.append(f"checkpoint {step}")


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_steps(RunFiles(folder).steps) if "loss" in line]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(RunFiles(folder).last / "model.safetensors")


@pytest.fixture(scope="module")
def finished(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Listener]:
    """A finished run, and what its reporter received."""
    folder, listener = tmp_path_factory.mktemp("runs") / "small", Listener()
    train_run(make_config(), stores, folder, listener)
    return folder, listener


def test_a_run_leaves_every_file_and_tells_its_listener_in_order(finished: tuple[Path, Listener]) -> None:
    folder, listener = finished
    files = RunFiles(folder)
    assert files.done
    assert load(RunConfig, files.config) == make_config()
    steps = ["1 loss", "2 loss", "3 loss", "checkpoint 3", "3 validation", "checkpoint 3"]
    steps += ["4 loss", "5 loss", "6 loss", "checkpoint 6", "6 validation", "checkpoint 6"]
    made = ["config.yaml", "predictions.parquet", "validation_predictions.parquet", "metrics.parquet"]
    made += ["environment.json", "result.json"]
    assert listener.heard == ["params small", *steps, *made]


def test_the_record_holds_the_scores_of_the_stored_predictions(finished: tuple[Path, Listener]) -> None:
    folder, _ = finished
    predictions = pd.read_parquet(RunFiles(folder).predictions)
    assert set(predictions["split"]) == {"test"}
    assert len(predictions) == 4 * COUNTS["test"]
    result = read_result(folder)
    assert result is not None
    of_ctrate = predictions[predictions["cohort"] == "CTRATE"].groupby("label")
    areas = [roc_auc_score(rows["target"], rows["score"]) for _, rows in of_ctrate]
    assert result.value("CTRATE", "all") == pytest.approx(np.mean(areas))
    json.loads(RunFiles(folder).result.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def test_record_and_prediction_file_say_which_test_splits_were_scored(finished: tuple[Path, Listener]) -> None:
    folder, _ = finished
    result = read_result(folder)
    assert result is not None
    words = read_words(result.record["test_splits"], source="record")
    assert {name: (word.kind, word.seed, word.found) for name, word in words.items()} == {
        "CTRATE": ("own", 3, COUNTS["test"]),
        "RADCHEST": ("own", 3, COUNTS["test"]),
    }
    assert read_test_splits(RunFiles(folder).predictions) == result.record["test_splits"]


def test_what_a_cohort_says_of_its_splits_is_part_of_no_fingerprint(stores: Stores, tmp_path: Path) -> None:
    copied = {name: shutil.copytree(path, tmp_path / name) for name, path in stores.items()}
    before = fingerprints(make_config(), copied)
    for path in copied.values():
        (path / "splits.json").unlink()
    assert fingerprints(make_config(), copied) == before == fingerprints(make_config(), stores)
    assert PreparedCohort.open(copied["CTRATE"]).split_word("test") is None, "a store that is older than the words"


def test_selection_sees_validation_scans_of_training_cohorts_only(finished: tuple[Path, Listener]) -> None:
    folder, _ = finished
    names = {name for line in read_steps(RunFiles(folder).steps) for name in line if name.startswith("validation")}
    assert names == {"validation/auroc", "validation/auroc/CTRATE", "validation/prompt_spread"}


def test_a_finished_run_is_not_run_again(finished: tuple[Path, Listener], stores: Stores) -> None:
    folder, listener = finished
    before = (RunFiles(folder).result.stat().st_mtime_ns, len(listener.heard))
    again = train_run(make_config(), stores, folder, listener)
    assert (RunFiles(folder).result.stat().st_mtime_ns, len(listener.heard)) == before
    assert again.record["name"] == "small"


def test_another_config_in_the_same_folder_is_refused_and_harms_nothing(
    finished: tuple[Path, Listener], stores: Stores
) -> None:
    folder, _ = finished
    before = RunFiles(folder).result.read_text()
    with pytest.raises(UniferumError, match=r"run small, fingerprint \w+.*must hold checkpoints of run other"):
        train_run(make_config(name="other", seed=3), stores, folder)
    assert RunFiles(folder).result.read_text() == before


def test_a_changed_test_set_is_scored_again_without_training(
    finished: tuple[Path, Listener], stores: Stores, tmp_path: Path
) -> None:
    folder, _ = finished
    moved = {**stores, "CTRATE": write_store(tmp_path / "again", "CTRATE", LABELS["CTRATE"], COUNTS, shift=1)}
    old, trained = read_result(folder), RunFiles(folder).steps.read_text()
    assert old is not None
    new = evaluate_run(make_config(), moved, folder)
    assert new.training_fingerprint == old.training_fingerprint
    assert new.evaluation_fingerprint != old.evaluation_fingerprint
    assert new.value("CTRATE", "all") == pytest.approx(1 - old.value("CTRATE", "all"))
    assert RunFiles(folder).steps.read_text() == trained
    evaluate_run(make_config(), stores, folder)
    assert read_result(folder).value("CTRATE", "all") == pytest.approx(old.value("CTRATE", "all"))


def test_segmentation_rows_train_beside_labels(stores: Stores, tmp_path: Path) -> None:
    config = make_config(train_on=["CTRATE", "SEG"], sampling={"organ_share": 0.5}, evaluate_on=["CTRATE"])
    train_run(config, stores, tmp_path)
    losses = [line["loss/segmentation"] for line in read_steps(RunFiles(tmp_path).steps) if "loss/segmentation" in line]
    assert len(losses) >= 4
    assert losses[-1] < losses[0]


def test_the_cnn_baseline_is_scored_on_its_own_labels_and_shows_the_rest_as_undefined(
    stores: Stores, tmp_path: Path
) -> None:
    config = make_config(model={"kind": "cnn"}, optim={"schedule": "plateau"})
    result = train_run(config, stores, tmp_path)
    assert result.record["text_encoder"] is None
    assert 0 <= result.value("RADCHEST", "shared") <= 1
    assert np.isnan(result.value("RADCHEST", "unique"))
    assert set(pd.read_parquet(RunFiles(tmp_path).predictions)["label"]) == set(LABELS["CTRATE"])


def test_a_store_on_another_grid_is_refused_before_training(stores: Stores, tmp_path: Path) -> None:
    config = make_config(geometry={"spacing_mm": [4, 4, 4]})
    with pytest.raises(UniferumError, match="store of CTRATE: geometry"):
        train_run(config, stores, tmp_path)


def start(folder: Path, stores: Stores, config: dict[str, Any], **environment: str) -> "subprocess.Popen[str]":
    """`uniferum run train` in a process of its own."""
    file = folder.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(config))
    given = ",".join(f"{name}={path}" for name, path in stores.items())
    command = [sys.executable, "-m", "cli.main", "run", "train", str(file), "--stores", given, "--folder", str(folder)]
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.integration
def test_a_run_preempted_by_sigterm_and_resumed_is_the_run_never_stopped(
    finished: tuple[Path, Listener], stores: Stores, tmp_path: Path
) -> None:
    whole, stopped = finished[0], tmp_path / "stopped"
    often = {"training": {"checkpoint_every": 1, "threads": 1}}
    process = start(stopped, stores, merge(CONFIG, often))
    while not RunFiles(stopped).last.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.send_signal(
        signal.SIGTERM
    )  # torchrun and the batch system send one each; the checkpoint is written all the same
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 143, said
    assert "run the same command again to continue" in said
    assert not RunFiles(stopped).done
    train_run(make_config(**often), stores, stopped)
    assert losses(stopped) == losses(whole)
    ours, theirs = weights(stopped), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.integration
def test_two_workers_train_select_and_score_the_run_of_one(
    finished: tuple[Path, Listener], stores: Stores, tmp_path: Path
) -> None:
    alone, shared = finished[0], tmp_path / "shared"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    processes = [start(shared, stores, CONFIG, RANK=str(rank), **meeting) for rank in range(2)]
    said = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert np.abs(np.subtract(losses(shared), losses(alone))).max() < 1e-5
    one, two = (read_steps(RunFiles(folder).steps) for folder in (alone, shared))
    assert [line["step"] for line in one] == [line["step"] for line in two]
    ours, theirs = read_result(shared), read_result(alone)
    assert ours is not None
    assert theirs is not None
    assert ours.record["devices"]["workers"] == 2
    assert ours.evaluation_fingerprint == theirs.evaluation_fingerprint
    mine, yours = (pd.read_parquet(RunFiles(folder).predictions) for folder in (shared, alone))
    pd.testing.assert_frame_equal(mine.drop(columns="score"), yours.drop(columns="score"))
    assert np.allclose(mine["score"], yours["score"], atol=1e-3)


def test_a_stop_before_the_end_leaves_no_record(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train_run(make_config(), stores, tmp_path, stop=lambda: True)
    assert not RunFiles(tmp_path).done
    assert len(losses(tmp_path)) == 1


def test_training_again_on_a_changed_test_set_scores_without_a_step(
    finished: tuple[Path, Listener], stores: Stores, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "copy", symlinks=True))
    before, listener = RunFiles(folder).steps.read_text(), Listener()
    moved = {**stores, "RADCHEST": write_store(tmp_path / "again", "RADCHEST", LABELS["RADCHEST"], COUNTS, shift=1)}
    train_run(make_config(), moved, folder, listener)
    assert RunFiles(folder).steps.read_text() == before
    assert not [heard for heard in listener.heard if "loss" in heard]
    result = read_result(folder)
    assert result is not None
    assert result.evaluation_fingerprint == evaluation_fingerprint(make_config(), moved)


@pytest.mark.parametrize(
    ("how", "tolerance"),
    [
        ({"data": {"loader_workers": 2, "prefetch": 1, "cache_gib": 0.0}}, 0.0),
        ({"model": {"gradient_checkpointing": True}}, 1e-5),
        ({"model": {"encoder": {"fast_depthwise": "off"}}}, 1e-4),
        ({"model": {"encoder": {"channels_last": True}}}, 1e-4),
    ],
)
def test_what_is_no_part_of_the_fingerprint_changes_no_loss_and_no_running_statistic(
    finished: tuple[Path, Listener], stores: Stores, tmp_path: Path, how: dict[str, Any], tolerance: float
) -> None:
    train_run(make_config(**how), stores, tmp_path)
    assert np.abs(np.subtract(losses(tmp_path), losses(finished[0]))).max() <= tolerance
    ours, theirs = weights(tmp_path), weights(finished[0])
    for name in (name for name in theirs if "running_mean" in name or "num_batches" in name):
        assert torch.allclose(ours[name].float(), theirs[name].float(), atol=100 * tolerance), name


def test_going_on_and_scoring_again_need_no_pretrained_weights(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrained = {"model": {"encoder": {"weights": "offline", "name": "tf_efficientnet_lite0"}}}
    with pytest.raises(Interrupted):
        train_run(make_config(**pretrained), stores, tmp_path, stop=lambda: len(losses(tmp_path)) == 2)
    monkeypatch.setattr("uniferum.model.pretrained.find_spec", lambda name: None)
    assert train_run(make_config(**pretrained), stores, tmp_path).record["steps"] == 6
    assert evaluate_run(make_config(**pretrained), stores, tmp_path).record["steps"] == 6


def test_a_record_stays_until_what_replaces_it_can_be_made(
    finished: tuple[Path, Listener], stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "copy", symlinks=True))

    def fails(*words: object, **named: object) -> None:
        raise UniferumError("pretrained weights", must="be available")

    monkeypatch.setattr("uniferum.run.build.build_model", fails)
    moved = {**stores, "RADCHEST": write_store(tmp_path / "again", "RADCHEST", LABELS["RADCHEST"], COUNTS, shift=1)}
    before = RunFiles(folder).steps.read_text()
    for resume in (True, False):
        with pytest.raises(UniferumError, match="pretrained weights"):
            train_run(make_config(), moved, folder, resume=resume)
        assert RunFiles(folder).done
        assert RunFiles(folder).steps.read_text() == before


def test_a_stop_during_a_prediction_ends_it_and_the_next_call_gives_the_undisturbed_record(
    finished: tuple[Path, Listener], stores: Stores, tmp_path: Path
) -> None:
    steps = make_config().training.steps
    asked: list[int] = []

    def in_the_second_batch_of_the_scoring() -> bool:
        validated = [line for line in read_steps(RunFiles(tmp_path).steps) if "validation/auroc" in line]
        if len(losses(tmp_path)) == steps and len(validated) == 2:
            asked.append(1)
        return len(asked) >= 2

    with pytest.raises(Interrupted) as caught:
        train_run(make_config(), stores, tmp_path, stop=in_the_second_batch_of_the_scoring)
    assert caught.value.step == steps
    assert not RunFiles(tmp_path).done
    beats: list[int] = []
    train_run(make_config(), stores, tmp_path, alive=lambda: beats.append(1))
    assert len(beats) > 1, "a long prediction gives signs of life"
    assert losses(tmp_path) == losses(finished[0])
    mine, yours = (pd.read_parquet(RunFiles(folder).predictions) for folder in (tmp_path, finished[0]))
    pd.testing.assert_frame_equal(mine, yours)


def test_a_stop_during_scoring_anew_leaves_the_old_record(
    finished: tuple[Path, Listener], stores: Stores, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "copy", symlinks=True))
    before = RunFiles(folder).result.read_text()
    with pytest.raises(Interrupted):
        evaluate_run(make_config(), stores, folder, stop=lambda: True)
    assert RunFiles(folder).result.read_text() == before
