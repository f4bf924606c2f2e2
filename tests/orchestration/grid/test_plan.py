"""The plan gives each cell a state and a reason, from its folder alone."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from orchestration.attempt.spool import ProgressReporter
from orchestration.grid import records
from orchestration.grid.cells import Cell, expand
from orchestration.grid.config import GridConfig
from orchestration.grid.plan import make_plan
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import CellFolder, Failure, cell_folder
from orchestration.grid.states import Phase, PlanState
from tests.support.small_grids import cell, finish, grid
from tests.support.small_runs import write_store
from uniferum.run import RunConfig, identity

TRAINING, EVALUATION = "aaaaaaaa11111111", "bbbbbbbb22222222"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return cell_folder(grid(tmp_path).cells_folder, cell().name, TRAINING)


def _plan(root: Path, evaluation: str = EVALUATION, **changes: object) -> PlannedCell:
    (planned,) = make_plan(grid(root, **changes), [cell()], lambda config, stores: (TRAINING, evaluation))
    return planned


def _checkpoint(folder: Path, step: int) -> None:
    (folder / "checkpoints" / "last").mkdir(parents=True)
    (folder / "checkpoints" / "last" / "checkpoint.json").write_text(json.dumps({"progress": {"step": step}}))


def test_a_cell_that_never_ran_is_due(tmp_path: Path) -> None:
    assert _plan(tmp_path).state == PlanState.DUE


def test_a_cell_with_both_fingerprints_is_done(tmp_path: Path, folder: Path) -> None:
    finish(folder, TRAINING, EVALUATION)
    assert _plan(tmp_path).state == PlanState.DONE


def test_a_finished_cell_with_a_new_name_is_done(tmp_path: Path) -> None:
    old = cell_folder(grid(tmp_path).cells_folder, "uniferum-pubmedbert-CTRATE", TRAINING)
    finish(old, TRAINING, EVALUATION, name="uniferum-pubmedbert-CTRATE")
    planned = _plan(tmp_path)
    assert (planned.state, planned.folder) == (PlanState.DONE, old)
    assert planned.why == "finished at step 4, as uniferum-pubmedbert-CTRATE"
    assert _plan(tmp_path, evaluation="cccccccc33333333").state == PlanState.RESCORE


@pytest.mark.parametrize(
    ("name", "training"),
    [
        ("uniferum-small-CTRATE-seed1", TRAINING),  # another cell of this grid
        ("uniferum-pubmedbert-CTRATE", f"{TRAINING[:8]}99999999"),  # another content behind the same eight digits
    ],
)
def test_the_folder_of_another_cell_is_not_used(tmp_path: Path, name: str, training: str) -> None:
    finish(cell_folder(grid(tmp_path).cells_folder, name, training), training, EVALUATION, name=name)
    assert _plan(tmp_path, seeds=(0, 1)).state == PlanState.DUE


def _named(root: Path, *names: str) -> GridConfig:
    """A grid of cells with names of their own, which differ in their warm-up."""
    cells = [
        {"name": name, "text_encoder": "small", "train_on": "CTRATE", "set": {"optim": {"warmup_steps": steps}}}
        for steps, name in enumerate(names)
    ]
    return grid(root, cells=cells)


def _by_warmup(config: RunConfig, stores: object) -> tuple[str, str]:
    return f"{config.optim.warmup_steps}" * 16, EVALUATION


def test_cells_that_swap_their_names_stay_done(tmp_path: Path) -> None:
    before = _named(tmp_path, "a", "b", "c")
    for planned in make_plan(before, expand(before), _by_warmup):
        assert planned.training_fingerprint is not None
        finish(planned.record.folder, planned.training_fingerprint, EVALUATION, name=planned.cell.name)
    after = _named(tmp_path, "b", "a", "d")
    planned = make_plan(after, expand(after), _by_warmup)
    assert [p.state for p in planned] == [PlanState.DONE] * 3
    assert [p.why for p in planned] == [f"finished at step 4, as {name}" for name in "abc"]


def test_a_cell_that_was_scored_again_under_a_new_name_stays_done(tmp_path: Path) -> None:
    old = cell_folder(grid(tmp_path).cells_folder, "old", TRAINING)
    finish(old, TRAINING, "an older test set", name="old")
    planned = _plan(tmp_path)
    assert planned.why == "the test splits changed since it was scored (trained, as old)"
    finish(old, TRAINING, EVALUATION, name=cell().name)  # as scoring writes it
    assert (_plan(tmp_path).state, _plan(tmp_path).folder) == (PlanState.DONE, old)


def test_a_finished_record_goes_before_an_unfinished_folder_of_the_cells_own_name(tmp_path: Path, folder: Path) -> None:
    _checkpoint(folder, 2)
    old = cell_folder(grid(tmp_path).cells_folder, "old", TRAINING)
    finish(old, TRAINING, EVALUATION, name="old")
    assert (_plan(tmp_path).state, _plan(tmp_path).folder) == (PlanState.DONE, old)


def test_no_two_cells_take_one_folder(tmp_path: Path) -> None:
    config = _named(tmp_path, "a", "b")
    old = cell_folder(config.cells_folder, "old", TRAINING)
    finish(old, TRAINING, EVALUATION, name="old")
    planned = make_plan(config, expand(config), lambda config, stores: (TRAINING, EVALUATION))
    assert [p.state for p in planned] == [PlanState.DONE, PlanState.DUE]


def test_a_record_of_the_time_when_keys_without_effect_counted_stays_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, before = ("1" * 16, "2" * 16), ("3" * 16, "4" * 16)
    monkeypatch.setattr(identity.Reading, "fingerprints", lambda reading, config: identity.Fingerprints(*now))
    monkeypatch.setattr(identity.Reading, "former", lambda reading, config: identity.Fingerprints(*before))
    folder = cell_folder(grid(tmp_path).cells_folder, cell().name, before[0])
    _checkpoint(folder, 2)
    (planned,) = make_plan(grid(tmp_path), [cell()])
    assert (planned.state, planned.folder) == (PlanState.RESUMABLE, folder)
    finish(folder, *before)
    (planned,) = make_plan(grid(tmp_path), [cell()])
    assert (planned.state, planned.training_fingerprint) == (PlanState.DONE, before[0])
    finish(folder, before[0], "an older test set")
    assert make_plan(grid(tmp_path), [cell()])[0].state == PlanState.RESCORE


def test_a_changed_test_set_means_scoring_again_not_training(tmp_path: Path, folder: Path) -> None:
    finish(folder, TRAINING, EVALUATION)
    assert _plan(tmp_path, evaluation="cccccccc33333333").state == PlanState.RESCORE


def test_another_label_file_augmentation_or_prompt_means_scoring_again_not_training(tmp_path: Path) -> None:
    counts = {"train": 2, "validation": 1, "test": 2}
    stores = {"CTRATE": write_store(tmp_path / "CTRATE", "CTRATE", ("cardiomegaly",), counts)}
    labels = tmp_path / "refined.csv"
    labels.write_text("scan,cardiomegaly\ntest_00,1\ntest_01,0\n")

    def plan(**evaluation: object) -> PlannedCell:
        config = grid(tmp_path, stores=stores, defaults={"evaluation": evaluation})
        (planned,) = make_plan(config, expand(config))
        return planned

    plain = plan()
    assert plain.folder is not None
    finish(plain.folder, str(plain.training_fingerprint), str(plain.evaluation_fingerprint), evaluate_on=["CTRATE"])
    assert plan().state == PlanState.DONE
    assert plan(strength="training").state == PlanState.DONE
    again = plan(augmentations=2)
    assert (again.state, again.folder) == (PlanState.RESCORE, plain.folder)
    assert again.why == "evaluation.augmentations: 0 -> 2; evaluation.strength: None -> small"
    assert plan(prompts=["Is there {name}?"]).state == PlanState.RESCORE
    refined = {"labels": {"CTRATE": {"refined": str(labels)}}}
    first = plan(**refined)
    assert first.state == PlanState.RESCORE
    digest = hashlib.sha256(labels.read_bytes()).hexdigest()
    assert first.why == f"evaluation.labels.CTRATE.refined: None -> {digest[:8]}"
    finish(plain.folder, str(first.training_fingerprint), str(first.evaluation_fingerprint))
    record = json.loads((plain.folder / "result.json").read_text())
    record["evaluation"] = {"labels": {"CTRATE": {"refined": digest}}}
    (plain.folder / "result.json").write_text(json.dumps(record))
    assert plan(**refined).state == PlanState.DONE
    labels.write_text("scan,cardiomegaly\ntest_00,0\ntest_01,1\n")
    changed = plan(**refined)
    assert (changed.state, changed.training_fingerprint) == (PlanState.RESCORE, plain.training_fingerprint)
    assert changed.why.startswith(f"evaluation.labels.CTRATE.refined: {digest[:8]} -> ")


def test_a_cell_with_a_checkpoint_is_resumable(tmp_path: Path, folder: Path) -> None:
    _checkpoint(folder, 2)
    planned = _plan(tmp_path, resources={"steps_per_hour": 1})
    assert (planned.state, planned.why) == (PlanState.RESUMABLE, "at step 2 of 4")
    assert planned.hours == 2.0


def test_a_failed_cell_has_its_reason_and_the_step_it_continues_from(tmp_path: Path, folder: Path) -> None:
    _checkpoint(folder, 3)
    CellFolder(folder).write_failure(Failure("storage", "the disk is full", 4, 0.0))
    planned = _plan(tmp_path)
    assert (planned.state, planned.why) == (PlanState.FAILED, "the disk is full; continues from step 3")


def test_a_changed_cell_names_each_key_that_changed(tmp_path: Path) -> None:
    old = cell_folder(grid(tmp_path).cells_folder, cell().name, "0000000000000000")
    old.mkdir(parents=True)
    before = cell(training={"steps": 9, "validate_every": 2}).config
    (old / "config.yaml").write_text(yaml.safe_dump(before.model_dump(mode="json")))
    planned = _plan(tmp_path)
    assert (planned.state, planned.why) == (PlanState.CHANGED, "training.steps: 9 -> 4")


def test_changed_data_is_distinguished_from_changed_keys(tmp_path: Path) -> None:
    old = cell_folder(grid(tmp_path).cells_folder, cell().name, "0000000000000000")
    old.mkdir(parents=True)
    (old / "config.yaml").write_text(yaml.safe_dump(cell().config.model_dump(mode="json")))
    assert "the training data or the code changed" in _plan(tmp_path).why


def test_a_changed_cell_names_data_and_code_version_from_its_identity_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = cell_folder(grid(tmp_path).cells_folder, cell().name, "0000000000000000")
    old.mkdir(parents=True)
    before = {"results": 1, "config": {"seed": 0}, "train": {"CTRATE": {"digest": "a"}}}
    (old / "identity.json").write_text(json.dumps(before))
    now = {"results": 2, "config": {"seed": 0}, "train": {"CTRATE": {"digest": "b"}}}
    monkeypatch.setattr(identity.Reading, "training_content", lambda reading, config: now)
    assert _plan(tmp_path).why == "results: 1 -> 2; train.CTRATE.digest: a -> b"


def test_a_cell_with_the_former_recipe_names_the_changed_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        identity.Reading, "training_content", lambda reading, config: {"config": identity.identity_of(config)}
    )
    old = cell_folder(grid(tmp_path).cells_folder, cell().name, "0000000000000000")
    old.mkdir(parents=True)
    before = identity.identity_of(cell(training={"steps": 4, "validate_every": 2}).config)
    (old / "identity.json").write_text(json.dumps({"config": before}))
    recipe = {
        "data": {"tasks_per_volume": 1},
        "optim": {"clip_norm": 1.0},
        "training": {"steps": 4, "validate_every": 2, "precision": "fp32", "tf32": "convolutions"},
    }
    (planned,) = make_plan(grid(tmp_path), [cell(**recipe)], lambda config, stores: (TRAINING, EVALUATION))
    assert (
        planned.why == "data.tasks_per_volume: 4 -> 1; optim.clip_norm: None -> 1.0; training.precision: auto -> fp32"
    )


def test_a_cell_without_its_store_has_no_data(tmp_path: Path) -> None:
    (planned,) = make_plan(grid(tmp_path, stores={"CTRATE": tmp_path / "nowhere"}), [cell()])
    assert (planned.state, planned.why) == (PlanState.NO_DATA, "data absent: CTRATE")


def _tested_on_two(root: Path, **changes: object) -> PlannedCell:
    """The plan of a cell that is tested on CTRATE and INSPECT; its evaluation fingerprint names the tested cohorts."""
    config = grid(root, stores={"CTRATE": root / "store", "INSPECT": root / "inspect"}, **changes)
    (planned,) = make_plan(config, [cell(evaluate_on=["CTRATE", "INSPECT"])], _by_tests)
    return planned


def _by_tests(config: RunConfig, stores: object) -> tuple[str, str]:
    return TRAINING, "+".join(config.evaluate_on)


def _prepare_inspect(root: Path) -> None:
    (root / "inspect").mkdir()
    (root / "inspect" / "store.json").write_text("{}")


def test_a_cell_does_not_wait_for_a_test_cohort(tmp_path: Path) -> None:
    planned = _tested_on_two(tmp_path)
    assert (planned.state, planned.why) == (PlanState.DUE, "never ran; test data absent: INSPECT")
    assert planned.untested == ("INSPECT",)
    assert planned.cell.config.evaluate_on == ("CTRATE",)


def test_a_cell_is_scored_again_when_the_store_of_a_test_cohort_appears(tmp_path: Path, folder: Path) -> None:
    finish(folder, TRAINING, "CTRATE", evaluate_on=["CTRATE"])
    before = _tested_on_two(tmp_path)
    assert (before.state, before.why) == (PlanState.DONE, "finished at step 4; test data absent: INSPECT")
    _prepare_inspect(tmp_path)
    after = _tested_on_two(tmp_path)
    assert (after.state, after.why) == (PlanState.RESCORE, "it is not scored on INSPECT yet")
    assert (after.untested, after.cell.config.evaluate_on) == ((), ("CTRATE", "INSPECT"))


@pytest.mark.parametrize(
    ("digest", "state", "why"),
    [
        ("same", PlanState.DONE, "finished at step 4; test data absent now: INSPECT; the earlier scores stay"),
        (
            "other",
            PlanState.NO_DATA,
            "data absent: the test split of CTRATE changed, but scoring again needs INSPECT too",
        ),
    ],
)
def test_scores_on_a_store_that_has_gone_are_kept(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, digest: str, state: PlanState, why: str
) -> None:
    store = SimpleNamespace(digest=lambda split: "same")
    monkeypatch.setattr(identity.Reading, "as_run", lambda reading, name, config: store)
    tested = {"evaluate_on": ["CTRATE", "INSPECT"], "data": {"CTRATE test": digest, "INSPECT test": "x"}}
    finish(folder, TRAINING, "CTRATE+INSPECT", **tested)
    planned = _tested_on_two(tmp_path)
    assert (planned.state, planned.why) == (state, why)


@pytest.mark.parametrize("cut", ["", "{", "[]", '{"format": 1, "training_'])
def test_a_result_cut_short_is_no_result(tmp_path: Path, folder: Path, cut: str) -> None:
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(cut)
    assert _plan(tmp_path).state != PlanState.DONE


def test_hours_come_from_finished_cells_before_declared_speed(tmp_path: Path) -> None:
    config = grid(tmp_path, resources={"steps_per_hour": 1})
    second = cell("uniferum-small-CTRATE-seed1")
    finish(cell_folder(config.cells_folder, cell().name, TRAINING), TRAINING, EVALUATION)  # 36 s for 4 steps
    done, due = make_plan(config, [cell(), second], lambda c, stores: (TRAINING, EVALUATION))
    assert (done.hours, done.measured) == (0.01, True)
    assert due.hours == pytest.approx(0.01)
    assert due.measured


def _like(name: str, text_encoder: str = "small", mix: str = "CTRATE") -> Cell:
    return replace(cell(name), text_encoder=text_encoder, mix=mix)


@pytest.mark.parametrize(
    ("due", "expected_s", "measured"),
    [
        (_like("seed2"), 4 * 10, True),
        (_like("other-mix", mix="CTRATE+SEG"), 4 * 20, True),
        (_like("other-encoder", text_encoder="large"), 4 * 30, True),
    ],
)
def test_hours_come_from_the_finished_cells_most_like_it(
    tmp_path: Path, due: Cell, expected_s: float, measured: bool
) -> None:
    config = grid(tmp_path, resources={"steps_per_hour": 1})
    finished = {
        _like("seed0"): 40.0,  # 10 s a step
        _like("seed1"): 40.0,
        _like("inspect", mix="INSPECT"): 120.0,  # 30
        _like("inspect1", mix="INSPECT"): 120.0,
        _like("tiny", text_encoder="tiny"): 800.0,  # 200
    }
    for done, seconds in finished.items():
        finish(cell_folder(config.cells_folder, done.name, TRAINING), TRAINING, EVALUATION, seconds=seconds)
    planned = make_plan(config, [*finished, due], lambda c, stores: (TRAINING, EVALUATION))
    assert (planned[-1].hours, planned[-1].measured) == (pytest.approx(expected_s / 3600), measured)


def test_hours_are_as_declared_if_no_cell_has_finished(tmp_path: Path) -> None:
    due = _plan(tmp_path, resources={"steps_per_hour": 2})
    assert (due.hours, due.measured) == (2.0, False)


def test_scoring_again_costs_no_hours_of_training(tmp_path: Path, folder: Path) -> None:
    finish(folder, TRAINING, "an older test set", seconds=360_000.0)
    again = _plan(tmp_path, resources={"steps_per_hour": 1})
    assert (again.state, again.hours) == (PlanState.RESCORE, 0.0)


def test_scoring_again_is_estimated_from_the_last_scoring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, second = grid(tmp_path), cell("uniferum-small-CTRATE-seed1")
    folders = [cell_folder(config.cells_folder, c.name, TRAINING) for c in (cell(), second)]
    for folder in folders:
        finish(folder, TRAINING, "an older test set", finished=200.0)
    now = iter([100.0, 100.0, 100.0, 190.0, 190.0, 190.0])
    monkeypatch.setattr("orchestration.attempt.spool.time.time", lambda: next(now, 190.0))
    reporter = ProgressReporter(folders[0], steps=4)
    reporter.phase(Phase.SCORING)
    reporter.artifact(folders[0] / "predictions.parquet")
    planned = make_plan(config, [cell(), second], lambda c, stores: (TRAINING, EVALUATION))
    assert [p.hours for p in planned] == pytest.approx([90 / 3600, 90 / 3600])


def test_a_cell_name_that_starts_with_anothers_name_is_another_cell(tmp_path: Path) -> None:
    config = grid(tmp_path)
    longer = cell_folder(config.cells_folder, f"{cell().name}-seed1", "0000000000000000")
    longer.mkdir(parents=True)
    assert _plan(tmp_path).state == PlanState.DUE


def test_folders_are_grouped_by_cell_name_newest_last(tmp_path: Path) -> None:
    for age, name in enumerate(("a-00000002", "a-00000001", "a-b-00000003", "a-0001", "-00000004")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (age, age))
    names = {name: [f.name for f in folders] for name, folders in records.folders_by_name(tmp_path).items()}
    assert names == {"a": ["a-00000002", "a-00000001"], "a-b": ["a-b-00000003"]}
    assert records.named_folders(tmp_path, "c") == records.named_folders(tmp_path / "none", "a") == []
