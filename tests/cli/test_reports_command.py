"""`uniferum data reports`: the reports of a cohort's training set go into its store, on purpose."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.support.small_runs import write_store
from uniferum.data.reports import FILE, read_reports
from uniferum.errors import UniferumError

runner = CliRunner()
TABLE = """VolumeName,Findings_EN,Impressions_EN
train_00.nii.gz,"Heart is enlarged.
No effusion.",Cardiomegaly.
train_01.nii.gz,Not given.,Normal.
validation_00.nii.gz,Emphysema.,Not given.
stranger_1_a_1.nii.gz,Another scan.,Not given.
"""


@pytest.fixture
def world(tmp_path: Path) -> tuple[str, str]:
    """A cohort file with reports, and its store."""
    store = write_store(tmp_path / "store", "CTRATE", ("cardiomegaly",), {"train": 3, "validation": 1})
    reports = tmp_path / "ct_rate" / "dataset" / "radiology_text_reports"
    reports.mkdir(parents=True)
    (reports / "train_reports.csv").write_text(TABLE)
    config = tmp_path / "cohort.yaml"
    config.write_text(f"kind: ct_rate\nroot: {tmp_path / 'ct_rate'}\n")
    return str(config), str(store)


def test_reports_are_written_by_scan_with_findings_and_impression(world: tuple[str, str]) -> None:
    config, store = world
    done = runner.invoke(app, ["data", "reports", config, "--store", store, "--dry-run"])
    assert done.exit_code == 0, done.output
    assert not (Path(store) / FILE).exists()
    done = runner.invoke(app, ["data", "reports", config, "--store", store])
    assert done.exit_code == 0, done.output
    assert read_reports(store) == {
        "train_00": "Heart is enlarged. No effusion. Cardiomegaly.",
        "train_01": "Normal.",
        "validation_00": "Emphysema.",
    }


def test_a_store_of_another_cohort_is_refused(world: tuple[str, str], tmp_path: Path) -> None:
    other = write_store(tmp_path / "other", "RADCHEST", ("cardiomegaly",), {"train": 1})
    done = runner.invoke(app, ["data", "reports", world[0], "--store", str(other)])
    assert isinstance(done.exception, UniferumError)
    assert "(RADCHEST) must be that of cohort CTRATE" in str(done.exception)
