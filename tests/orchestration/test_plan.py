"""The plan says of every cell what is to be done and why, from its folder alone."""

import json
from pathlib import Path

import pytest
import yaml

from orchestration import plan
from orchestration.plan import Planned, make_plan
from orchestration.records import CellRecord, Failure, cell_folder
from tests.orchestration.worlds import cell, finish, grid
from uniferum.run import identity

TRAINING, EVALUATION = "aaaaaaaa11111111", "bbbbbbbb22222222"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return cell_folder(grid(tmp_path).cells_folder, cell().name, TRAINING)


def _plan(root: Path, evaluation: str = EVALUATION, **changes: object) -> Planned:
    (planned,) = make_plan(grid(root, **changes), [cell()], lambda config, stores: (TRAINING, evaluation))
    return planned


def _checkpoint(folder: Path, step: int) -> None:
    (folder / "checkpoints" / "last").mkdir(parents=True)
    (folder / "checkpoints" / "last" / "checkpoint.json").write_text(json.dumps({"progress": {"step": step}}))


def test_a_cell_that_never_ran_is_due(tmp_path: Path) -> None:
    assert _plan(tmp_path).state == plan.DUE


def test_a_cell_with_both_fingerprints_is_done(tmp_path: Path, folder: Path) -> None:
    finish(folder, TRAINING, EVALUATION)
    assert _plan(tmp_path).state == plan.DONE


def test_a_changed_test_set_means_scoring_again_never_training(tmp_path: Path, folder: Path) -> None:
    finish(folder, TRAINING, EVALUATION)
    assert _plan(tmp_path, evaluation="cccccccc33333333").state == plan.RESCORE


def test_a_checkpoint_is_gone_on_from(tmp_path: Path, folder: Path) -> None:
    _checkpoint(folder, 2)
    planned = _plan(tmp_path, resources={"steps_per_hour": 1})
    assert (planned.state, planned.why) == (plan.RESUMABLE, "at step 2 of 4")
    assert planned.hours == 2.0


def test_a_failed_cell_says_why_and_where_it_goes_on(tmp_path: Path, folder: Path) -> None:
    _checkpoint(folder, 3)
    CellRecord(folder).write_failure(Failure("storage", "the disk is full", 4, 0.0))
    planned = _plan(tmp_path)
    assert (planned.state, planned.why) == (plan.FAILED, "the disk is full; goes on from step 3")


def test_a_changed_cell_names_each_key_that_changed(tmp_path: Path) -> None:
    old = cell_folder(grid(tmp_path).cells_folder, cell().name, "0000000000000000")
    old.mkdir(parents=True)
    before = cell(training={"steps": 9, "validate_every": 2}).config
    (old / "config.yaml").write_text(yaml.safe_dump(before.model_dump(mode="json")))
    planned = _plan(tmp_path)
    assert (planned.state, planned.why) == (plan.CHANGED, "training.steps: 9 -> 4")


def test_changed_data_is_told_apart_from_changed_keys(tmp_path: Path) -> None:
    old = cell_folder(grid(tmp_path).cells_folder, cell().name, "0000000000000000")
    old.mkdir(parents=True)
    (old / "config.yaml").write_text(yaml.safe_dump(cell().config.model_dump(mode="json")))
    assert "the training data or the code changed" in _plan(tmp_path).why


def test_a_changed_cell_names_data_and_the_codes_version_by_what_it_was_identified_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = cell_folder(grid(tmp_path).cells_folder, cell().name, "0000000000000000")
    old.mkdir(parents=True)
    before = {"results": 1, "config": {"seed": 0}, "train": {"CTRATE": {"digest": "a"}}}
    (old / "identity.json").write_text(json.dumps(before))
    now = {"results": 2, "config": {"seed": 0}, "train": {"CTRATE": {"digest": "b"}}}
    monkeypatch.setattr(identity, "training_content", lambda config, stores: now)
    assert _plan(tmp_path).why == "results: 1 -> 2; train.CTRATE.digest: a -> b"


def test_a_cell_without_its_store_has_no_data(tmp_path: Path) -> None:
    (planned,) = make_plan(grid(tmp_path, stores={"CTRATE": tmp_path / "nowhere"}), [cell()])
    assert (planned.state, planned.why) == (plan.NO_DATA, "data absent: CTRATE")


@pytest.mark.parametrize("cut", ["", "{", "[]", '{"format": 1, "training_'])
def test_a_result_cut_short_is_no_result(tmp_path: Path, folder: Path, cut: str) -> None:
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(cut)
    assert _plan(tmp_path).state != plan.DONE


def test_hours_come_from_finished_cells_before_declared_speed(tmp_path: Path) -> None:
    config = grid(tmp_path, resources={"steps_per_hour": 1})
    second = cell("uniferum-small-CTRATE-seed1")
    finish(cell_folder(config.cells_folder, cell().name, TRAINING), TRAINING, EVALUATION)  # 36 s for 4 steps
    done, due = make_plan(config, [cell(), second], lambda c, stores: (TRAINING, EVALUATION))
    assert (done.hours, done.measured) == (0.01, True)
    assert due.hours == pytest.approx(0.01)
    assert due.measured


def test_a_cell_name_that_starts_with_anothers_is_not_its_record(tmp_path: Path) -> None:
    config = grid(tmp_path)
    longer = cell_folder(config.cells_folder, f"{cell().name}-seed1", "0000000000000000")
    longer.mkdir(parents=True)
    assert _plan(tmp_path).state == plan.DUE
