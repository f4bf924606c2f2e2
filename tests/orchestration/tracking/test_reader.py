"""Names of metrics in MLflow, which allows no brackets."""

import json
from pathlib import Path

import pandas as pd

from orchestration.grid.records import CellFolder
from orchestration.tracking.reader import spool_result
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
