from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.small_stores import SMALL, organs, write_store
from uniferum.data.content import Content
from uniferum.data.organ_counts import OrganCounts
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.row_counts import planned_rows
from uniferum.data.sampling import SamplingConfig, balanced, shuffled, training_table
from uniferum.data.tasks import classification_tasks, selection_tasks, table_of, trainable_labels
from uniferum.errors import UniferumError

COUNT = 40


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreparedCohort]:
    root = tmp_path_factory.mktemp("stores")
    splits = ["train"] * 30 + ["validation"] * 5 + ["test"] * 5
    rare = [1 if number % 5 == 0 else 0 for number in range(COUNT)]
    often = [0 if number % 5 == 0 else 1 for number in range(COUNT)]
    masks = {"totalsegmentator": {number: organs(number) for number in range(0, COUNT, 2)}}
    nodule = np.zeros(SMALL.level_shape, np.uint8)
    nodule[10:12, 10:12, 10:12] = 1
    nodules = {"nodule": {0: nodule, 1: nodule, 2: np.zeros_like(nodule), 30: nodule}}
    ctrate = {"pleural_effusion": rare, "emphysema": often, "atelectasis": [0] * COUNT}
    inspect = {"pleural_effusion": rare, "pulmonary_embolism": rare}
    return {
        "CTRATE": write_store(root / "ctrate", "CTRATE", splits, ctrate, masks=masks),
        "INSPECT": write_store(root / "inspect", "INSPECT", splits, inspect),
        "LUNA16": write_store(root / "luna", "LUNA16", splits, {}, masks=nodules),
    }


@given(positives=st.integers(0, 12), negatives=st.integers(0, 12), unknown=st.integers(0, 3), seed=st.integers(0, 1000))
@settings(deadline=None)
def test_negatives_match_positives_without_repetition(positives: int, negatives: int, unknown: int, seed: int) -> None:
    targets = [1.0] * positives + [0.0] * negatives
    scans = [f"s{number}" for number in np.random.default_rng(seed).permutation(len(targets) + unknown)]
    rows = table_of(
        {
            name: values
            for name, values in {
                "task_id": scans[: len(targets)],
                "scan_id": scans[: len(targets)],
                "target": targets,
            }.items()
        }
        | {name: ["x"] * len(targets) for name in ("cohort", "volume_id", "patient_id", "split", "label", "kind")}
        | {name: ["x"] * len(targets) for name in ("group", "prompt", "layer")}
        | {"ids": [()] * len(targets), "copy": [0] * len(targets)}
    )
    kept = balanced(rows, seed)
    count = min(positives, negatives)
    assert (kept["target"] == 1).sum() == (positives if count else 0)
    assert (kept["target"] == 0).sum() == count
    assert kept["task_id"].is_unique
    assert set(kept["task_id"]) <= set(rows["task_id"])
    assert list(kept.columns) == list(rows.columns)
    assert kept.index.tolist() == list(range(len(kept)))


def test_draws_do_not_depend_on_the_order_of_rows_and_do_on_the_seed(cohorts: dict[str, PreparedCohort]) -> None:
    rows = classification_tasks(cohorts["CTRATE"], "train")
    mixed = rows.sample(frac=1.0, random_state=1)
    one, other = balanced(rows, 7), balanced(mixed.reset_index(drop=True), 7)
    assert set(one["task_id"]) == set(other["task_id"])
    assert set(one["task_id"]) != set(balanced(rows, 8)["task_id"])


def test_every_positive_is_kept_and_a_label_of_one_class_makes_no_row(cohorts: dict[str, PreparedCohort]) -> None:
    table = training_table(cohorts, ["CTRATE"], SamplingConfig(), seed=0)
    counts = {(label, target): len(part) for (label, target), part in table.groupby(["label", "target"])}
    # 30 training scans: 6 positive effusions; 24 positive emphysemas with all 6 negatives; atelectasis never.
    assert counts == {
        ("pleural_effusion", 1.0): 6,
        ("pleural_effusion", 0.0): 6,
        ("emphysema", 1.0): 24,
        ("emphysema", 0.0): 6,
    }
    assert set(table["split"]) == {"train"}


def test_without_balance_every_known_row_is_trained_on(cohorts: dict[str, PreparedCohort]) -> None:
    assert len(training_table(cohorts, ["CTRATE"], SamplingConfig(balance=False), seed=0)) == 90


def test_labels_shared_with_ct_rate_are_never_trained_on_in_inspect(cohorts: dict[str, PreparedCohort]) -> None:
    assert set(training_table(cohorts, ["INSPECT"], SamplingConfig(), seed=0)["label"]) == {"pulmonary_embolism"}


def test_seg_adds_a_tenth_of_the_rows_as_organs_present_in_the_scan(cohorts: dict[str, PreparedCohort]) -> None:
    plain = training_table(cohorts, ["CTRATE"], SamplingConfig(), seed=0)
    table = training_table(cohorts, ["CTRATE", "SEG"], SamplingConfig(luna_factor=0), seed=0)
    organ_rows = table[table["kind"] == "segmentation"]
    assert len(plain) == 42
    assert len(organ_rows) == 4
    assert table[table["kind"] != "segmentation"]["task_id"].tolist() == plain["task_id"].tolist()
    assert organ_rows["target"].isna().all()
    for row in organ_rows.to_dict("records"):
        number = int(row["scan_id"][1:])
        assert number % 2 == 0, "only scans with masks"
        assert set(row["ids"]) & set(np.unique(organs(number)))
        assert row["layer"] == "totalsegmentator"


def _organs(cohort: Content | PreparedCohort, sampling: SamplingConfig) -> OrganCounts:
    organs = planned_rows(cohort, sampling, segmentation=True).organs
    assert organs is not None
    return organs


def test_organ_tasks_are_a_share_of_rows_or_of_scans_and_both_counts_are_reported(
    cohorts: dict[str, PreparedCohort],
) -> None:
    of_scans = SamplingConfig(luna_factor=0, organ_share=0.5, organ_share_of="scans")
    table = training_table(cohorts, ["CTRATE", "SEG"], of_scans, seed=0)
    assert (table["kind"] == "segmentation").sum() == 15, "half of 30 training scans, with or without masks"
    content = Content.read(Path(cohorts["CTRATE"].store.url))
    assert content is not None
    for sampling in (of_scans, SamplingConfig(organ_share=0.5), SamplingConfig(organ_share=0.5, balance=False)):
        rows = training_table(cohorts, ["CTRATE"], sampling, seed=0)
        both = [_organs(cohort, sampling) for cohort in (content, cohorts["CTRATE"])]
        assert both[0] == both[1]
        assert (both[0].rows, both[0].scans) == (len(rows), 30)
        assert both[0].wanted == (15 if sampling.organ_share_of == "scans" else round(len(rows) / 2))
    assert _organs(content, of_scans).sentence() == (
        "CTRATE: 15 organ rows wanted (sampling.organ_share_of: scans): "
        "50% of 42 training rows are 21, of 30 training scans 15"
    )


def test_labels_that_serve_evaluation_only_count_no_training_rows(cohorts: dict[str, PreparedCohort]) -> None:
    assert _organs(cohorts["INSPECT"], SamplingConfig()).rows == 12, "embolism alone: 6 positives, 6 negatives"


def test_more_organ_tasks_than_scans_go_round_and_never_repeat_one(cohorts: dict[str, PreparedCohort]) -> None:
    table = training_table(
        cohorts, ["CTRATE", "SEG"], SamplingConfig(luna_factor=0, organ_share=0.9, missing_masks="warn"), seed=3
    )
    organ_rows = table[table["kind"] == "segmentation"]
    assert len(organ_rows) == round(0.9 * 42)
    assert organ_rows["task_id"].is_unique
    # 15 training scans with masks: each has two or three before any has four.
    assert set(organ_rows.groupby("scan_id").size()) == {2, 3}


def test_a_demand_beyond_all_organs_gives_each_once(cohorts: dict[str, PreparedCohort]) -> None:
    table = training_table(
        cohorts, ["CTRATE", "SEG"], SamplingConfig(luna_factor=0, organ_share=100.0, missing_masks="warn"), seed=3
    )
    organ_rows = table[table["kind"] == "segmentation"]
    assert organ_rows["task_id"].is_unique
    # In each scan: the heart, one rib, the side's ribs, all ribs.
    assert set(organ_rows.groupby("scan_id").size()) == {4}


def test_nodules_come_tenfold_with_seg_only_from_training_scans_that_have_one(
    cohorts: dict[str, PreparedCohort],
) -> None:
    table = training_table(cohorts, ["CTRATE", "SEG"], SamplingConfig(), seed=0)
    nodules = table[table["group"] == "nodule"]
    assert nodules.groupby("scan_id").size().to_dict() == {"s000": 10, "s001": 10}
    assert sorted(set(nodules["copy"])) == list(range(10))
    assert nodules["task_id"].is_unique
    assert set(nodules["prompt"]) == {"Segment pulmonary nodules in the image."}
    assert "LUNA16" not in set(training_table(cohorts, ["CTRATE"], SamplingConfig(), seed=0)["cohort"])


def test_a_missing_store_and_an_empty_table_are_named(cohorts: dict[str, PreparedCohort], tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match=r"train_on \(RADCHEST\) must have a prepared store"):
        training_table(cohorts, ["RADCHEST"], SamplingConfig(), seed=0)
    bare = write_store(tmp_path / "s", "CTRATE", ["train"], {"emphysema": [0]})
    with pytest.raises(UniferumError, match="must give at least one training row"):
        training_table({"CTRATE": bare}, ["CTRATE"], SamplingConfig(), seed=0)


def test_a_training_that_lacks_organ_or_nodule_masks_is_refused(
    cohorts: dict[str, PreparedCohort], tmp_path: Path
) -> None:
    with pytest.raises(UniferumError, match=r"organ rows of CTRATE .*must not lack masks"):
        training_table(cohorts, ["CTRATE", "SEG"], SamplingConfig(organ_share=0.9, luna_factor=0), seed=0)
    without = {**cohorts, "LUNA16": write_store(tmp_path / "luna", "LUNA16", ["train"], {})}
    with pytest.raises(UniferumError, match=r"nodule rows of LUNA16 .*must not lack masks"):
        training_table(without, ["CTRATE", "SEG"], SamplingConfig(), seed=0)


def test_shuffled_labels_keep_their_counts_and_depend_on_seed_and_split(cohorts: dict[str, PreparedCohort]) -> None:
    rows = classification_tasks(cohorts["CTRATE"], "train", trainable_labels(cohorts["CTRATE"]))
    mixed = shuffled(rows, 0, "train")
    assert mixed.drop(columns="target").equals(rows.drop(columns="target"))
    assert mixed.groupby("label")["target"].sum().equals(rows.groupby("label")["target"].sum())
    assert not mixed["target"].equals(rows["target"])
    assert shuffled(rows, 0, "train").equals(mixed)
    again = shuffled(rows.sample(frac=1, random_state=1), 0, "train")
    assert again.loc[rows.index].equals(mixed), "the order of rows does not matter"
    assert not shuffled(rows, 1, "train")["target"].equals(mixed["target"])
    assert not shuffled(rows, 0, "validation")["target"].equals(mixed["target"])


def test_a_shuffled_training_table_has_as_many_rows(cohorts: dict[str, PreparedCohort]) -> None:
    plain = training_table(cohorts, ["CTRATE"], SamplingConfig(), seed=0)
    mixed = training_table(cohorts, ["CTRATE"], SamplingConfig(), seed=0, shuffle=True)
    assert mixed.groupby("label")["target"].value_counts().equals(plain.groupby("label")["target"].value_counts())
    assert set(mixed["task_id"]) != set(plain["task_id"])


def test_a_smaller_set_of_labels_is_part_of_a_larger_one(cohorts: dict[str, PreparedCohort]) -> None:
    every = sorted(cohorts["CTRATE"].vocabulary.trainable("CTRATE"))
    sets = [set(cohorts["CTRATE"].vocabulary.trainable("CTRATE", count)) for count in range(1, len(every) + 1)]
    assert [len(one) for one in sets] == list(range(1, len(every) + 1))
    assert all(small < large for small, large in pairwise(sets))
    with pytest.raises(UniferumError, match=f"sampling.label_count .* must be at most {len(every)}, the labels of"):
        cohorts["CTRATE"].vocabulary.trainable("CTRATE", len(every) + 1)


@pytest.mark.parametrize("count", [None, 9, 17])
def test_only_the_chosen_labels_are_trained_and_selected(cohorts: dict[str, PreparedCohort], count: int | None) -> None:
    config = SamplingConfig(label_count=count)
    chosen = set(cohorts["CTRATE"].vocabulary.trainable("CTRATE", count))
    table = training_table(cohorts, ["CTRATE"], config, 0)
    planned = planned_rows(cohorts["CTRATE"], config, segmentation=False)
    assert set(table["label"]) == set(planned.labels) <= chosen
    assert len(table) == planned.negative + planned.positive
    assert set(selection_tasks(cohorts, ["CTRATE"], count)["label"]) <= chosen
    assert training_table(cohorts, ["CTRATE"], SamplingConfig(), 0)["label"].nunique() >= len(planned.labels)
