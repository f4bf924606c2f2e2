"""Label files are read as strictly as a dataset's own tables, and only for test scans."""

import hashlib
from pathlib import Path

import pytest

from tests.support.small_runs import LABELS, write_store
from uniferum.data.content import Content
from uniferum.data.label_sets import described, read_label_set, set_of, with_labels
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.tasks import evaluation_tasks
from uniferum.errors import UniferumError


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    """CT-RATE with the test scans test_00 to test_02."""
    folder = tmp_path_factory.mktemp("store") / "CTRATE"
    return PreparedCohort.open(write_store(folder, "CTRATE", LABELS["CTRATE"], {"train": 1, "test": 3}))


def table(folder: Path, text: str) -> Path:
    path = folder / "refined.csv"
    path.write_text(text)
    return path


WIDE = "VolumeName,Pleural effusion,cardiomegaly\ntest_00.nii.gz,1,0\ntest_01,,1\ntrain_00,1,1\nabsent,0,0\n"
LONG = (
    "VolumeName,label,value\ntest_00.nii.gz,pleural_effusion,1\ntest_00,cardiomegaly,0\ntest_01,cardiomegaly,1\n"
    "test_01,pleural_effusion,\ntrain_00,cardiomegaly,1\nabsent,cardiomegaly,0\n"
)


@pytest.mark.parametrize("text", [WIDE, LONG])
def test_both_forms_of_a_table_give_the_known_labels_of_test_scans_and_count_the_rest(
    cohort: PreparedCohort, tmp_path: Path, text: str
) -> None:
    path = table(tmp_path, text)
    read = read_label_set(cohort, "refined", path)
    assert read.known == {"test_00": {"pleural_effusion": 1, "cardiomegaly": 0}, "test_01": {"cardiomegaly": 1}}
    assert read.title == "CTRATE [refined]"
    assert set_of(read.title) == ("CTRATE", "refined")
    assert described(read.record()) == (
        f"CTRATE [refined]: labels of refined.csv (SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:12]}), 2 of 3 "
        "test scans, 2 labels, 2 positive and 1 negative; not read: 2 scans that are not in the test split"
    )


def test_the_tables_of_a_plan_and_of_a_run_give_the_same_set(cohort: PreparedCohort, tmp_path: Path) -> None:
    path = table(tmp_path, WIDE)
    content = Content.read(Path(cohort.path))
    assert content is not None
    assert read_label_set(content, "refined", path) == read_label_set(cohort, "refined", path)


def test_only_known_labels_of_a_set_are_tasks_and_they_are_named_as_the_cohorts_own(
    cohort: PreparedCohort, tmp_path: Path
) -> None:
    view = with_labels(cohort, read_label_set(cohort, "refined", table(tmp_path, WIDE)))
    tasks = evaluation_tasks(view, "test")
    targets = dict(zip(tasks["task_id"], tasks["target"], strict=True))
    assert targets == {
        "CTRATE/test_00:cardiomegaly": 0,
        "CTRATE/test_00:pleural_effusion": 1,
        "CTRATE/test_01:cardiomegaly": 1,
    }
    assert targets.keys() <= set(evaluation_tasks(cohort, "test")["task_id"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("scan,cardiomegly\ntest_00,1\n", r"refined\.csv: column cardiomegly must be a label of CTRATE; did you mean"),
        ("scan,pe_positive\ntest_00,1\n", r"column pe_positive must be a label of CTRATE"),
        ("scan,label,value\ntest_00,goitre,1\n", r"line 2, column label, scan test_00 \(goitre\) must be a label"),
        ("scan,cardiomegaly\ntest_00,1\ntest_00.nii.gz,0\n", r"line 3, column scan.*must occur once"),
        ("scan,cardiomegaly\nother,1\nother,0\ntest_00,1\n", r"line 3, column scan.*must occur once"),
        (
            "scan,label,value\ntest_00,cardiomegaly,1\ntest_00,Cardiomegaly,1\n",
            r"line 3, column label.*must occur once",
        ),
        ("scan,cardiomegaly,Cardiomegaly\ntest_00,1,1\n", r"column Cardiomegaly must be the only one"),
        ("scan,cardiomegaly\ntest_00,0.5\n", r"line 2, column cardiomegaly.*\(0\.5\) must be 0, 1"),
        ("scan,cardiomegaly\n,1\n", r"line 2, column scan must name a scan"),
        ("scan,cardiomegaly\ntrain_00,1\n", r"column scan must have a label of a test scan of CTRATE; .*test_00"),
        ("cardiomegaly,pleural_effusion\n1,1\n", r"column cardiomegaly must be the column of scan ids"),
        ("scan\ntest_00\n", r"must be a scan id and at least one label"),
        ("scan,cardiomegaly\ntest_00\n", r"line 2, scan test_00 \(1 fields\) must be a row of 2 fields"),
    ],
)
def test_a_bad_file_is_one_line_with_its_name_and_field(
    cohort: PreparedCohort, tmp_path: Path, text: str, fault: str
) -> None:
    with pytest.raises(UniferumError, match=fault) as caught:
        read_label_set(cohort, "refined", table(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "refined.csv" in str(caught.value)


def test_a_missing_file_is_named_with_its_key(cohort: PreparedCohort, tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match=r"evaluation\.labels\.CTRATE\.refined \(.*none\.csv\) must be a readable"):
        read_label_set(cohort, "refined", tmp_path / "none.csv")
