"""Scans whose values are not HU: left out of training by default, kept and counted where a run is scored."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.small_runs import COUNTS, LABELS, make_config, write_store
from uniferum.data.content import SPLITS, Content
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.run import RunConfig, identity
from uniferum.run import evaluate as scoring
from uniferum.run.build import Workbench, open_workbench
from uniferum.training.precision import choose_compute

Stores = dict[str, Path]

BAD = ("train_01", "train_02", "train_07", "train_08")
FLAGS = {scan: ("wrong_hu",) for scan in (*BAD, "validation_00", "test_01", "test_03")}
FLAGS |= {"train_03": ("no_lung",), "test_03": ("no_lung", "wrong_hu"), "test_05": ("orientation_doubtful",)}


@pytest.fixture(scope="module")
def flagged(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """The small stores with flags on four training scans of CT-RATE and on some scans of its other splits."""
    root = tmp_path_factory.mktemp("flagged")
    return {**stores, "CTRATE": write_store(root / "CTRATE", "CTRATE", LABELS["CTRATE"], COUNTS, flags=FLAGS)}


def config(policy: str = "exclude", **changes: Any) -> RunConfig:
    return make_config(data={"on_wrong_hu": policy}, **changes)


def bench(stores: Stores, policy: str, **changes: Any) -> Workbench:
    return open_workbench(config(policy, **changes), stores, choose_compute("fp32", "cpu"))


def test_flagged_scans_make_no_row_of_training_neither_of_labels_nor_of_masks(flagged: Stores) -> None:
    seg = {"train_on": ["CTRATE", "SEG"], "sampling": {"organ_share": 2.0, "balance": False}}
    table = bench(flagged, "exclude", **seg).training_table()
    trained = set(table.loc[table["cohort"] == "CTRATE", "scan_id"])
    assert trained == {f"train_{n:02d}" for n in range(COUNTS["train"])} - set(BAD)
    assert set(bench(flagged, "keep", **seg).training_table()["scan_id"]) >= set(BAD)


def test_selection_and_test_keep_every_scan(flagged: Stores) -> None:
    opened = bench(flagged, "exclude")
    assert set(opened.selection_table()["scan_id"]) == {f"validation_{n:02d}" for n in range(COUNTS["validation"])}
    tested = opened.test_table()
    of_cohort = set(tested.loc[tested["cohort"] == "CTRATE", "scan_id"])
    assert of_cohort == {f"test_{n:02d}" for n in range(COUNTS["test"])}


def test_what_is_left_out_is_said_with_its_number(flagged: Stores) -> None:
    said = ["CTRATE: 4 of 12 training scans are left out, flagged wrong_hu (data.on_wrong_hu: exclude)"]
    assert bench(flagged, "exclude").left_out_lines() == said
    assert identity.Reading(flagged).left_out(config()) == said
    assert bench(flagged, "keep").left_out_lines() == []


def test_a_record_counts_the_flags_of_each_cohort_and_split(flagged: Stores) -> None:
    counts = scoring._flags(bench(flagged, "exclude"))
    assert counts["CTRATE"] == {
        "train": {"scans": 12, "flags": {"wrong_hu": 4, "no_lung": 1}, "left_out": 4},
        "validation": {"scans": 4, "flags": {"wrong_hu": 1}, "left_out": 0},
        "test": {"scans": 6, "flags": {"wrong_hu": 2, "orientation_doubtful": 1, "no_lung": 1}, "left_out": 0},
    }
    assert counts["RADCHEST"] == {"test": {"scans": 6, "flags": {}, "left_out": 0}}
    assert scoring._flags(bench(flagged, "keep"))["CTRATE"]["train"]["left_out"] == 0


def test_a_score_counts_its_own_doubtful_cases(flagged: Stores) -> None:
    predictions = pd.DataFrame(
        {
            "cohort": ["CTRATE"] * 4 + ["RADCHEST"],
            "label": ["cardiomegaly", "cardiomegaly", "pleural_effusion", "other", "cardiomegaly"],
            "scan_id": ["test_01", "test_03", "test_03", "test_05", "test_01"],
        }
    )
    groups = {("CTRATE", "all"): ("cardiomegaly", "pleural_effusion")}
    row = {"cohort": "CTRATE", "group": "all"}
    assert scoring._flagged(bench(flagged, "exclude"), predictions, row, groups) == {"wrong_hu": 2}


def test_leaving_scans_out_is_the_training_of_a_store_without_them(flagged: Stores, tmp_path: Path) -> None:
    path = write_store(tmp_path / "CTRATE", "CTRATE", LABELS["CTRATE"], COUNTS, flags=FLAGS, without=BAD)
    cleaned = {**flagged, "CTRATE": path}
    assert identity.fingerprints(config(), flagged) == identity.fingerprints(config("keep"), cleaned)


def test_the_policy_changes_the_training_split_and_nothing_else(flagged: Stores) -> None:
    reading = identity.Reading(flagged)
    exclude, keep = (reading.training_content(config(policy)) for policy in ("exclude", "keep"))
    differing = [key for key in exclude if exclude[key] != keep[key]]
    assert differing == ["train"]
    assert reading.fingerprints(config()).training != reading.fingerprints(config("keep")).training


@pytest.mark.parametrize("policy", ["exclude", "keep", "stop"])
def test_where_no_scan_is_flagged_the_policy_is_in_no_fingerprint(stores: Stores, policy: str) -> None:
    assert identity.fingerprints(config(policy), stores) == identity.fingerprints(make_config(), stores)


def test_content_read_without_pandas_leaves_out_the_same_scans(flagged: Stores) -> None:
    content, opened = Content.read(flagged["CTRATE"]), PreparedCohort.open(flagged["CTRATE"])
    assert content is not None
    for policy in ("exclude", "keep", "stop"):
        one, two = content.for_training(policy), opened.for_training(policy)
        assert {split: one.digest(split) for split in SPLITS} == {split: two.digest(split) for split in SPLITS}
        assert one.left_out == two.left_out
        assert all(set(one.flags_in(split)) == set(two.flags_in(split)) for split in SPLITS)
    bad = {scan: flags for scan, flags in opened.flags_of.items() if "wrong_hu" in flags}
    assert content.flags_of == bad


def test_a_world_without_flags_has_the_fingerprints_that_it_had_before_there_was_a_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The two values were computed by the code of the commit before ``data.on_wrong_hu``."""
    scans = {split: {f"{split}{n}": (f"p{n}", f"{n:064x}") for n in range(4)} for split in SPLITS}
    known = {scan: {"cardiomegaly": n % 2} for part in scans.values() for n, scan in enumerate(part)}
    flags_of: dict[str, tuple[str, ...]] = {scan: () for part in scans.values() for scan in part}
    content = Content("CTRATE", Vocabulary.load(), scans, known, flags_of)
    monkeypatch.setattr(identity, "read_content", lambda stores, cohort: content)
    prints = identity.fingerprints(make_config(evaluate_on=["CTRATE"]), {"CTRATE": "somewhere"})
    assert prints == identity.Fingerprints("10e508f0acfc6f3e", "efae05389a97bc2f")


@pytest.mark.parametrize("ask", [identity.fingerprints, lambda config, stores: bench(stores, "stop")])
def test_stop_refuses_with_the_count_and_three_examples(flagged: Stores, ask: Any) -> None:
    said = r"CTRATE train split \(4 of 12 scans are flagged wrong_hu: train_01, train_02, train_07\) must hold HU"
    with pytest.raises(UniferumError, match=said):
        ask(config("stop"), flagged)


def test_stop_looks_at_every_split_that_is_read(flagged: Stores) -> None:
    with pytest.raises(UniferumError, match=r"CTRATE test split \(2 of 6 scans"):
        identity.fingerprints(config("stop", train_on=["RADCHEST"], evaluate_on=["CTRATE"]), flagged)


def test_a_training_split_of_flagged_scans_alone_is_refused_by_name(stores: Stores, tmp_path: Path) -> None:
    every = {f"train_{n:02d}": ("wrong_hu",) for n in range(COUNTS["train"])}
    path = write_store(tmp_path / "CTRATE", "CTRATE", LABELS["CTRATE"], COUNTS, flags=every)
    with pytest.raises(UniferumError, match=r"all 12 scans are flagged wrong_hu.*on_wrong_hu=keep"):
        bench({**stores, "CTRATE": path}, "exclude")
