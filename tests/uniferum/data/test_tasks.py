from pathlib import Path

import numpy as np
import pytest

from tests.support.small_stores import organs, write_store
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.tasks import COLUMNS, classification_tasks, evaluation_tasks, joined, selection_tasks, table_of
from uniferum.errors import UniferumError

SPLITS = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
EFFUSION = [1, 0, 0, None, 0, 0, 1, 0, None, 0, 0, 0]
EMPHYSEMA = [None] * 6 + [1, 1, 0, 1, None, None]


@pytest.fixture(scope="module")
def ctrate(tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    labels = {"pleural_effusion": EFFUSION, "emphysema": EMPHYSEMA}
    masks = {"totalsegmentator": {number: organs(number) for number in range(12)}}
    return write_store(tmp_path_factory.mktemp("ctrate") / "store", "CTRATE", SPLITS, labels, masks=masks)


@pytest.fixture(scope="module")
def inspect_ct(tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    labels = {"pleural_effusion": EFFUSION, "pulmonary_embolism": EFFUSION, "1_month_mortality": EMPHYSEMA}
    return write_store(tmp_path_factory.mktemp("inspect") / "store", "INSPECT", SPLITS, labels)


def test_every_known_label_of_the_split_is_a_row_and_no_unknown_one(ctrate: PreparedCohort) -> None:
    for split in ("train", "validation", "test"):
        table = classification_tasks(ctrate, split)
        expected = {
            (f"s{number:03d}", label): float(value)
            for label, values in (("pleural_effusion", EFFUSION), ("emphysema", EMPHYSEMA))
            for number, value in enumerate(values)
            if SPLITS[number] == split and value is not None
        }
        got = dict(zip(zip(table["scan_id"], table["label"], strict=True), table["target"], strict=True))
        assert got == expected
        assert len(table) == len(expected)


def test_a_row_names_its_volume_patient_prompt_and_group(ctrate: PreparedCohort) -> None:
    row = classification_tasks(ctrate, "test", ["pleural_effusion"]).iloc[0]
    assert row["task_id"] == "CTRATE/s009:pleural_effusion"
    assert (row["volume_id"], row["patient_id"], row["split"]) == ("CTRATE/s009", "p009", "test")
    # Paper 3.3 gives this prompt in full.
    assert row["prompt"] == "Diagnose the presence of pleural effusion around the lungs"
    assert (row["kind"], row["group"], row["layer"], row["target"]) == ("diagnosis", "all", "", 0.0)


def test_a_prognosis_is_asked_as_a_risk(inspect_ct: PreparedCohort) -> None:
    table = classification_tasks(inspect_ct, "test", ["1_month_mortality"])
    assert set(table["prompt"]) == {"Predict the risk of mortality in 1 month"}
    assert set(table["kind"]) == {"prognosis"}


def test_labels_that_serve_evaluation_only_are_scored_and_never_selected_on(inspect_ct: PreparedCohort) -> None:
    tested = evaluation_tasks(inspect_ct, "test")
    assert set(tested["label"]) == {"pleural_effusion", "pulmonary_embolism", "1_month_mortality"}
    assert tested.set_index("label")["group"].to_dict()["pleural_effusion"] == "shared"
    selected = selection_tasks({"INSPECT": inspect_ct}, ["INSPECT"])
    assert set(selected["label"]) == {"pulmonary_embolism", "1_month_mortality"}
    assert set(selected["split"]) == {"validation"}


def test_an_unknown_label_is_refused_with_the_nearest_one(ctrate: PreparedCohort) -> None:
    with pytest.raises(UniferumError, match=r"label of CTRATE \(pleural_effusions\).*did you mean 'pleural_effusion'"):
        classification_tasks(ctrate, "test", ["pleural_effusions"])


def test_tables_of_no_rows_have_every_column_and_join() -> None:
    assert list(table_of({})) == list(COLUMNS)
    assert joined([]).empty
    assert list(joined([table_of({}), table_of({})])) == list(COLUMNS)


def test_a_folder_cohorts_own_labels_are_the_group_all(tmp_path: Path) -> None:
    words = {"cohort": "mine", "labels": {"stent": {"prompt": "Diagnose the presence of a stent in the aorta"}}}
    cohort = write_store(tmp_path / "store", "mine", ["test", "test"], {"stent": [1, None]}, prompts=words)
    table = evaluation_tasks(cohort, "test")
    assert table[["label", "group", "prompt"]].to_numpy().tolist() == [
        ["stent", "all", "Diagnose the presence of a stent in the aorta"]
    ]


def test_the_digest_follows_content_and_labels_of_its_own_split_only(tmp_path: Path) -> None:
    def digests(name: str, values: list[int | None]) -> list[str]:
        cohort = write_store(tmp_path / name, "CTRATE", ["train", "test"], {"emphysema": values})
        return [cohort.digest(split) for split in ("train", "test")]

    first, again = digests("a", [1, 0]), digests("b", [1, 0])
    changed, unknown = digests("c", [1, 1]), digests("d", [1, None])
    assert first == again
    assert first[0] == changed[0] == unknown[0]
    assert len({first[1], changed[1], unknown[1]}) == 3


def test_targets_of_classification_are_never_missing(ctrate: PreparedCohort) -> None:
    assert not np.isnan(classification_tasks(ctrate, "train")["target"]).any()
