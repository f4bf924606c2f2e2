"""Names of metrics in MLflow, which allows no brackets, and where the files of its runs are read."""

import atexit
import json
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from orchestration.grid.records import CellFolder
from orchestration.tracking.reader import read_mlflow, spool_result
from tests.support.small_grids import finish


def test_scores_of_a_label_set_stand_below_their_cohort(tmp_path: Path) -> None:
    groups = [
        {"cohort": cohort, "group": "all", "metric": "auroc", "value": value}
        for cohort, value in (("CTRATE", 0.8), ("CTRATE [refined]", 0.7))
    ]
    finish(tmp_path / "cell", "t", "e", groups=groups)
    pd.DataFrame([{"cohort": "CTRATE [refined]", "group": "all", "label": "cardiomegaly", "auroc": 0.6}]).to_parquet(
        tmp_path / "cell" / "metrics.parquet"
    )
    spool_result(CellFolder(tmp_path / "cell"))
    lines = [json.loads(line) for line in CellFolder(tmp_path / "cell").spool.read_text().splitlines()]
    (metrics,) = [line["metrics"] for line in lines if "metrics" in line]
    assert metrics == {
        "test/CTRATE/all/auroc": 0.8,
        "test/CTRATE/refined/all/auroc": 0.7,
        "test/CTRATE/refined/all/auroc/cardiomegaly": 0.6,
    }


class _Client:
    """A server with one finished run, whose files are those of a folder."""

    def __init__(self, files: Path, artifact_uri: str) -> None:
        self.files = files
        info = SimpleNamespace(run_id="run", artifact_uri=artifact_uri, end_time=1000)
        self.run = SimpleNamespace(info=info, data=SimpleNamespace(tags={}))

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id="1")

    def search_runs(self, *_: object, **__: object) -> Any:
        return type("Page", (list,), {"token": None})([self.run])

    def list_artifacts(self, run_id: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(path=path.name) for path in self.files.iterdir()]

    def download_artifacts(self, run_id: str, name: str, folder: str) -> None:
        shutil.copy(self.files / name, folder)


@pytest.mark.parametrize("remote", [False, True])
def test_files_of_a_remote_server_lie_in_a_folder_that_ends_with_the_process_and_others_are_read_in_place(
    remote: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[tuple[Any, ...]] = []
    finish(tmp_path / "cell", "t", "e", groups=[])
    uri = "mlflow-artifacts:/1/run" if remote else (tmp_path / "cell").as_uri()
    monkeypatch.setattr("mlflow.MlflowClient", lambda **_: _Client(tmp_path / "cell", uri))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(atexit, "register", lambda function, *given, **_: at_exit.append((function, *given)))
    (record,) = read_mlflow("http://127.0.0.1:1", "tiny")
    made = list(tmp_path.glob("uniferum-mlflow-*"))
    assert record.folder == (made[0] / "run" if remote else tmp_path / "cell")
    assert at_exit == ([(shutil.rmtree, made[0])] if remote else [])
    assert len(made) == remote
