"""Fingerprints depend on what affects weights and scores, and on nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_runs import COUNTS, LABELS, make_config, write_store
from uniferum.config import fingerprint, parse
from uniferum.data.content import SPLITS, Content
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.errors import UniferumError
from uniferum.preprocessing.store import store as store_module
from uniferum.run import RunConfig, evaluation_fingerprint, identity, training_fingerprint

Stores = dict[str, Path]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "another"},
        {"evaluate_on": ["CTRATE"]},
        {"select_on": ["CTRATE"]},
        {"data": {"loader_workers": 3, "prefetch": 5, "cache_gib": 0.1}},
        {"training": {"threads": 2, "checkpoint_every": 7, "log_every": 3, "mask_scans": 5}},
        {"model": {"mask_prior": 0.1}},  # no mask is learnt
        {"model": {"compile": True, "gradient_checkpointing": True, "encoder": {"fast_depthwise": "off"}}},
    ],
)
def test_where_and_how_a_run_is_computed_is_no_part_of_what_is_trained(stores: Stores, changes: dict[str, Any]) -> None:
    assert training_fingerprint(make_config(**changes), stores) == training_fingerprint(make_config(), stores)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"train_on": ["CTRATE", "SEG"]},
        {"train_on": ["CTRATE", "RADCHEST"]},
        {"training": {"micro_batch": 4}},
        {"training": {"precision": "auto"}},
        {"data": {"tasks_per_volume": 1}},
        {"optim": {"lr": 1e-3}},
        {"sampling": {"label_count": 3}},
        {"augmentation": {"zoom": 0.2}},
        {"model": {"encoder": {"stride": 8}}},
    ],
)
def test_whatever_changes_the_weights_changes_the_training_fingerprint(stores: Stores, changes: dict[str, Any]) -> None:
    assert training_fingerprint(make_config(**changes), stores) != training_fingerprint(make_config(), stores)


def test_one_rate_for_all_weights_is_the_fingerprint_from_before_the_encoder_had_its_own() -> None:
    optim = identity.identity_of(make_config())["optim"]
    assert "encoder_lr" not in optim
    assert optim["clip_norm"] is None
    assert identity.identity_of(make_config(optim={"encoder_lr": 1e-4}))["optim"]["encoder_lr"] == 1e-4


def test_the_mask_heads_first_answer_is_part_of_a_run_with_masks_and_its_absence_of_none(stores: Stores) -> None:
    before, after = (
        identity.identity_of(make_config(train_on=["CTRATE", "SEG"], model={"mask_prior": prior}))["model"]
        for prior in (None, 0.1)
    )
    assert "mask_prior" not in before
    assert after["mask_prior"] == 0.1


def test_own_transforms_are_part_of_a_run_and_their_absence_of_none() -> None:
    own = [{"name": "RandAdjustContrast", "arguments": {"prob": 0.3}}]
    before, after = (identity.identity_of(make_config(data={"transforms": some}))["data"] for some in ([], own))
    assert "transforms" not in before
    assert list(after["transforms"]) == own


def test_another_version_of_the_codes_results_is_another_training(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = training_fingerprint(make_config(), stores)
    monkeypatch.setattr(identity, "RESULTS", identity.RESULTS + 1)
    assert training_fingerprint(make_config(), stores) != before


def test_a_changed_test_split_changes_the_evaluation_fingerprint_only(stores: Stores, tmp_path: Path) -> None:
    moved = {**stores, "CTRATE": write_store(tmp_path / "again", "CTRATE", LABELS["CTRATE"], COUNTS, shift=1)}
    config = make_config()
    assert training_fingerprint(config, moved) == training_fingerprint(config, stores)
    assert evaluation_fingerprint(config, moved) != evaluation_fingerprint(config, stores)


def test_changed_training_voxels_change_both(stores: Stores, tmp_path: Path) -> None:
    other = {**stores, "CTRATE": write_store(tmp_path / "other", "CTRATE", LABELS["CTRATE"], COUNTS, scale=2)}
    config = make_config()
    assert training_fingerprint(config, other) != training_fingerprint(config, stores)
    assert evaluation_fingerprint(config, other) != evaluation_fingerprint(config, stores)


def test_a_store_may_move(stores: Stores, tmp_path: Path) -> None:
    moved = {name: Path(shutil.copytree(path, tmp_path / f"x{name}")) for name, path in stores.items()}
    assert evaluation_fingerprint(make_config(), moved) == evaluation_fingerprint(make_config(), stores)


def test_a_missing_store_is_named_with_those_that_are_given(stores: Stores) -> None:
    with pytest.raises(UniferumError, match=r"stores \(RADCHEST\) must have a path; .*CTRATE"):
        evaluation_fingerprint(make_config(), {"CTRATE": stores["CTRATE"]})


def test_nodules_need_their_store_unless_they_are_switched_off(stores: Stores) -> None:
    without = {name: path for name, path in stores.items() if name != "LUNA16"}
    with pytest.raises(UniferumError, match=r"LUNA16.*luna_factor=0"):
        training_fingerprint(make_config(train_on=["CTRATE", "SEG"]), without)
    assert training_fingerprint(make_config(train_on=["CTRATE", "SEG"], sampling={"luna_factor": 0}), without)


def test_a_store_of_another_cohort_is_refused(stores: Stores) -> None:
    with pytest.raises(UniferumError, match=r"RADCHEST.*must be that of cohort CTRATE"):
        training_fingerprint(make_config(), {**stores, "CTRATE": stores["RADCHEST"]})


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"training": {"stpes": 5}}, "did you mean 'steps'"),
        ({"training": {"batch": 10, "micro_batch": 4}}, "multiple of micro_batch"),
        ({"select_on": ["RADCHEST"]}, "zero-shot"),
        ({"train_on": ["SEG"]}, "at least one cohort"),
    ],
)
def test_a_bad_config_is_refused_in_one_line(keys: dict[str, Any], fault: str) -> None:
    with pytest.raises(UniferumError, match=fault) as caught:
        parse(RunConfig, {"name": "x", "train_on": ["CTRATE"], **keys}, source="run.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("train_on", [["CTRATE"], ["RADCHEST", "CTRATE"], ["CTRATE", "SEG"]])
def test_texts_worded_once_for_many_runs_give_the_fingerprints_of_the_whole_content(
    stores: Stores, train_on: list[str]
) -> None:
    reading = identity.Reading(stores)
    reading.fingerprints(make_config(train_on=["CTRATE", "SEG"]))
    config = make_config(train_on=train_on)
    trained = {name: PreparedCohort.open(stores[name]) for name in config.trained_stores}
    tested = {name: identity._content(PreparedCohort.open(stores[name]), "test") for name in config.evaluate_on}
    content = {
        "results": identity.RESULTS,
        "config": identity.identity_of(config),
        "train": {name: identity._content(cohort, "train") for name, cohort in trained.items()},
        "select": {name: identity._content(trained[name], "validation") for name in config.selection_cohorts},
        "organs": identity._organ_prompts(trained.values()) if config.segmentation else {},
    }
    assert identity.training_content(config, stores) == content
    prints = reading.fingerprints(config)
    assert prints.training == training_fingerprint(config, stores) == fingerprint(content)
    assert prints.evaluation == fingerprint({"training": content, "tests": tested})


@pytest.mark.parametrize("name", ["CTRATE", "RADCHEST", "LUNA16"])
def test_content_read_without_pandas_is_that_of_the_opened_store(stores: Stores, name: str) -> None:
    content, opened = Content.read(stores[name]), PreparedCohort.open(stores[name])
    assert content is not None
    assert (content.name, content.vocabulary) == (opened.name, opened.vocabulary)
    assert {split: content.digest(split) for split in SPLITS} == {split: opened.digest(split) for split in SPLITS}


def test_what_content_does_not_take_is_refused_as_opening_refuses_it(stores: Stores, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(stores["CTRATE"], tmp_path / "broken"))
    (broken / store_module.MANIFEST).unlink()
    assert Content.read(broken) is None
    with pytest.raises(UniferumError, match=r"manifest\.parquet must exist"):
        training_fingerprint(make_config(), {**stores, "CTRATE": broken})
    assert store_module.FORMAT == 1, "Content.read takes this format"
    assert (broken / store_module.LABELS).name == "labels.parquet"


def test_a_store_that_changes_is_read_again(stores: Stores, tmp_path: Path) -> None:
    moving = {**stores, "CTRATE": Path(shutil.copytree(stores["CTRATE"], tmp_path / "moving"))}
    before = training_fingerprint(make_config(), moving)
    other = write_store(tmp_path / "other", "CTRATE", LABELS["CTRATE"], COUNTS, scale=2)
    shutil.copy(other / store_module.MANIFEST, moving["CTRATE"] / store_module.MANIFEST)
    assert training_fingerprint(make_config(), moving) != before


def test_a_plan_loads_nothing_that_decodes_scans_or_trains(stores: Stores) -> None:
    heavy = [
        "torch",
        "pandas",
        "jaxtyping",
        "sklearn",
        "scipy",
        "numba",
        "nibabel",
        "pydicom",
        "ray",
        "mlflow",
        "uniferum.preprocessing.store.store",
    ]
    code = (
        "import sys; from orchestration.grid import cells, config, plan; from orchestration.ledger import status;"
        "from uniferum.run.stores import read_content;"
        f"from uniferum.run import RunConfig; read_content({ {'CTRATE': str(stores['CTRATE'])}!r}, 'CTRATE');"
        f"print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"
