"""Scores computed again from the predictions equal the stored ones."""

import pandas as pd
import pytest

from uniferum.errors import UniferumError
from uniferum.report.read_records import from_folders
from uniferum.report.recompute import recomputed
from uniferum.report.tables.catalogue import make_table


def test_recomputed_numbers_are_the_stored_ones(cells, tmp_path):
    cells("CTRATE")
    stored = from_folders(tmp_path)
    again = recomputed(stored)
    for name in ("auroc", "aupr", "labels"):
        first, second = make_table(name, stored, []).entries, make_table(name, again, []).entries
        assert {key: round(e.value, 12) for key, e in first.items() if e.known} == {
            key: round(e.value, 12) for key, e in second.items() if e.known
        }
    row = ("RADCHEST", "honeycombing")
    first, second = (one[0].labels.set_index(["cohort", "label"]).loc[row] for one in (stored, again))
    assert second["auroc_lo"] == pytest.approx(first["auroc_lo"])
    assert second["auroc_hi"] == pytest.approx(first["auroc_hi"])


def test_changed_predictions_change_the_recomputed_number_only(cells, tmp_path):
    folder = cells("CTRATE")
    table = pd.read_parquet(folder / "predictions.parquet")
    table.assign(score=-table["score"]).to_parquet(folder / "predictions.parquet")
    stored = from_folders(tmp_path)
    key = (stored[0].row, ("INSPECT", "unique"))
    was = make_table("auroc", stored, []).entries[key].value
    now = make_table("auroc", recomputed(stored), []).entries[key].value
    assert now == pytest.approx(1 - was)


def test_a_missing_prediction_file_is_named(cells, tmp_path):
    (cells("CTRATE") / "predictions.parquet").unlink()
    with pytest.raises(UniferumError, match="predictions"):
        recomputed(from_folders(tmp_path))
