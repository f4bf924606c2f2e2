"""Missing masks: training refuses or warns, and the record counts every kind of row."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_runs import COUNTS, LABELS, make_config, write_store
from uniferum.errors import UniferumError
from uniferum.run import RunConfig, evaluate_run, train_run, training_fingerprint
from uniferum.run.identity import Reading
from uniferum.run.identity_keys import identity_of
from uniferum.run.rows import planned_lines, refuse_run, rows_of_run
from uniferum.run_files import RunFiles

Stores = dict[str, Path]
TRAIN = [f"train_{number:02d}" for number in range(COUNTS["train"])]


@pytest.fixture(scope="module")
def bare(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """The small stores with only one training mask of RADCHEST."""
    root = tmp_path_factory.mktemp("bare")
    few = write_store(root / "R", "RADCHEST", LABELS["RADCHEST"], COUNTS, maskless=TRAIN[1:])
    none = write_store(root / "L", "LUNA16", (), {"train": 2}, maskless=TRAIN)
    return {**stores, "RADCHEST": few, "no nodules": none}


def config(**changes: Any) -> RunConfig:
    """The small run over both cohorts and masks, one small step of it."""
    training = {"steps": 1, "validate_every": 1, "batch": 4, "micro_batch": 4}
    keys = {"train_on": ["CTRATE", "RADCHEST", "SEG"], "evaluate_on": ["CTRATE"], "training": training}
    return make_config(**{**keys, **changes})


def test_a_training_that_lacks_masks_is_refused_before_its_first_step(bare: Stores, tmp_path: Path) -> None:
    with pytest.raises(UniferumError) as caught:
        train_run(config(), bare, tmp_path / "run")
    said = "organ rows of RADCHEST (2 wanted, 1 found; 11 of 12 training scans have no organ mask) must not lack masks"
    assert str(caught.value).startswith(said)
    assert "uniferum data segment configs/cohorts/rad_chest.yaml ; uniferum data prepare" in str(caught.value)
    assert not RunFiles(tmp_path / "run").steps.exists()
    with pytest.raises(UniferumError, match="organ rows of RADCHEST"):
        refuse_run(Reading(bare), config())
    refuse_run(Reading(bare), config(), only_scores=True)


def test_a_cohort_of_nodules_without_one_is_refused(bare: Stores, tmp_path: Path) -> None:
    stores = {**bare, "LUNA16": bare["no nodules"]}
    with pytest.raises(UniferumError, match=r"nodule rows of LUNA16 \(20 wanted, 0 found; 2 of 2 training scans have"):
        train_run(config(train_on=["CTRATE", "SEG"]), stores, tmp_path)
    refuse_run(Reading(stores), config(train_on=["CTRATE", "SEG"], sampling={"luna_factor": 0}))


def test_folds_that_do_not_fit_a_cohort_are_refused_by_a_plan_and_by_a_run(stores: Stores, tmp_path: Path) -> None:
    run = config(train_on=["CTRATE"], data={"folds": 17})
    for refuse in (lambda: refuse_run(Reading(stores), run), lambda: train_run(run, stores, tmp_path / "run")):
        with pytest.raises(
            UniferumError, match=r"patients to divide \(16\) must be at least the number of folds \(17\)"
        ):
            refuse()


def test_warn_trains_says_so_and_its_record_counts_every_row(
    bare: Stores, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = config(sampling={"missing_masks": "warn"})
    with caplog.at_level(logging.WARNING):
        record = train_run(run, bare, tmp_path).record
    said = "organ rows of RADCHEST: 2 wanted, 1 found; 11 of 12 training scans have no organ mask"
    assert said in caplog.messages
    assert not any("organ rows of CTRATE" in line for line in caplog.messages), "nothing is said where nothing lacks"
    six = {"positive": 6, "negative": 6}
    assert record["rows"]["missing_masks"] == "warn"
    assert record["rows"]["labels"] == {
        "CTRATE": {"classification": dict.fromkeys(LABELS["CTRATE"], six), "organ": {"heart": 2}},
        "RADCHEST": {"classification": dict.fromkeys(LABELS["RADCHEST"], six), "organ": {"heart": 1}},
        "LUNA16": {"nodule": {"nodule": 20}},
    }
    assert record["rows"]["masks"][1] == {
        "cohort": "RADCHEST", "kind": "organ", "wanted": 2, "found": 1, "scans": 12, "without_masks": 11
    }  # fmt: skip
    again = evaluate_run(run, bare, tmp_path).record
    assert again["rows"] == record["rows"]
    files = RunFiles(tmp_path)
    del record["rows"]
    files.result.write_text(json.dumps(record))
    refusing = config()  # the policy of a cell that was trained before there was one
    assert evaluate_run(refusing, bare, tmp_path).record["rows"] == {**again["rows"], "missing_masks": "refuse"}


def test_the_plan_of_a_run_says_what_its_record_will(stores: Stores) -> None:
    reading = Reading(stores)
    assert [(rows.cohort, rows.positive, rows.negative) for rows in rows_of_run(reading, config())] == [
        ("CTRATE", 12, 12),
        ("RADCHEST", 12, 12),
        ("LUNA16", 0, 0),
    ]
    lines = planned_lines(reading, config())
    assert lines[:2] == [
        "rows of CTRATE: 12 positive and 12 negative rows of 12 scans",
        "organ rows of CTRATE: 2 wanted, 2 found; 0 of 12 training scans have no organ mask",
    ]


def test_the_policy_on_masks_is_in_no_fingerprint(stores: Stores) -> None:
    assert training_fingerprint(config(), stores) == training_fingerprint(
        config(sampling={"missing_masks": "warn"}), stores
    )
    assert "missing_masks" not in identity_of(config())["sampling"]
