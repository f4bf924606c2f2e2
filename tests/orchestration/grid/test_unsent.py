"""Which records of a cell are not in MLflow yet, as any shell can tell from the cell's folder."""

import json
import os
from pathlib import Path

from orchestration.attempt.spool import append
from orchestration.grid.records import CellFolder
from orchestration.grid.unsent import waiting_text, waits_for_mlflow
from orchestration.tracking.reader import spool_result
from tests.support.small_grids import finish


def _send(folder: Path) -> None:
    """Write the upload state of an uploader that has sent everything."""
    size = (folder / "spool.jsonl").stat().st_size
    (folder / "spool.sent.json").write_text(json.dumps({"uri": "s", "run_id": "r", "offset": size, "last_step": {}}))


def test_a_finished_cell_waits_until_its_result_was_spooled_and_sent(tmp_path: Path) -> None:
    finish(tmp_path, "t", "e")
    assert not waits_for_mlflow(tmp_path), "a run that never wrote anything for MLflow"
    append(tmp_path, {"params": {}})
    _send(tmp_path)
    assert waits_for_mlflow(tmp_path), "its driver died before it added the result"
    spool_result(CellFolder(tmp_path))
    assert waits_for_mlflow(tmp_path)
    _send(tmp_path)
    assert not waits_for_mlflow(tmp_path)
    os.utime(tmp_path / "result.json", (1, 1))
    assert waits_for_mlflow(tmp_path), "scored again since"


def test_waiting_records_are_counted_for_the_server_that_is_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        append(tmp_path / name, {"params": {}})
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "absent"]
    assert waiting_text(folders) == "2 records of 2 cells"
    _send(tmp_path / "a")
    assert waiting_text(folders, "s") == "1 record of 1 cell"
    assert waiting_text(folders, "another") == "2 records of 2 cells"
    _send(tmp_path / "b")
    assert waiting_text(folders) is None
