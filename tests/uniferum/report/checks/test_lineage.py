"""Tracing a printed number to its files."""

import hashlib

import pandas as pd
import pytest

from uniferum.errors import UniferumError
from uniferum.report.checks.lineage import trace
from uniferum.report.read_records import from_folders
from uniferum.report.records import PendingCell
from uniferum.report.tables.catalogue import make_table


@pytest.fixture
def folder(cells):
    return cells("CTRATE+SEG")


def traced(root, row="CTRATE+SEG", column="RADCHEST unique", pending=()):
    records = from_folders(root)
    return trace(make_table("auroc", records, pending), row, column, records)


def test_a_number_is_traced_to_run_fingerprint_commit_and_prediction_file(folder, tmp_path):
    text = traced(tmp_path)
    digest = hashlib.sha256((folder / "predictions.parquet").read_bytes()).hexdigest()[:16]
    for fact in (
        "0123456789abcdef",
        "abc1234",
        str(folder / "predictions.parquet"),
        digest,
        "seed: 0",
        "CTRATE test bbbbbbbbbbbbbbbb",
    ):
        assert fact in text
    assert "(equal)" in text
    assert "never_positive: n/a, no positive case (0 of 40 positive)" in text


def test_predictions_that_no_longer_give_the_stored_number_are_found_out(folder, tmp_path):
    path = folder / "predictions.parquet"
    table = pd.read_parquet(path)
    table["score"] = -table["score"]
    table.to_parquet(path)
    assert "NOT EQUAL" in traced(tmp_path)


def test_a_place_without_a_number_gives_reason_and_command(folder, tmp_path):
    pending = [PendingCell("cnn-INSPECT", "cnn", "", "INSPECT", 0, "failed: no memory", "uniferum grid run x")]
    text = traced(tmp_path, row="cnn", pending=pending)
    assert "no number: failed: no memory" in text
    assert "get it with: uniferum grid run x" in text


def test_words_that_name_several_places_or_none_are_refused(folder, tmp_path):
    with pytest.raises(UniferumError, match="matches 2"):
        traced(tmp_path, column="RADCHEST")
    with pytest.raises(UniferumError, match=r"CTRATE\+SEG"):
        traced(tmp_path, row="CTRATE+SEGG")


@pytest.mark.parametrize(
    "words",
    ["gatortron", "UFNLP/gatortron-base CTRATE", "gatortron-base", "uniferum gatortron CTRATE"],
)
def test_the_papers_encoders_are_named_by_hub_id_or_for_short(cells, tmp_path, words):
    cells("CTRATE", encoder="gatortron")
    cells("CTRATE")
    assert "row uniferum / UFNLP/gatortron-base / CTRATE" in traced(tmp_path, row=words)
    labels = make_table("labels", from_folders(tmp_path), [])
    assert "value" in trace(labels, "CTRATE lung_nodule", words, from_folders(tmp_path))


def test_a_mean_of_what_is_stored_by_label_alone_is_computed_again_too(folder, tmp_path):
    records = from_folders(tmp_path)
    text = trace(make_table("calibration", records, []), "pubmedbert", "CTRATE all", records)
    assert "recomputed from the predictions" in text
    assert "(equal)" in text


def test_published_values_are_traced_by_row_and_column_as_they_are_printed(folder, tmp_path):
    records = from_folders(tmp_path)
    table = make_table("auroc", records, [], published_rows=True)
    text = trace(table, "CNN (Draelos) - RADCHEST", "RADCHEST shared", records)
    assert "published 0.8353" in text
    assert "published in: paper Table 2, cited from Draelos et al. 2021; trained on the full RAD-ChestCT" in text
    assert "recomputed" in trace(table, "Uniferum CTRATE+SEG", "RADCHEST unique (1/2 labels)", records)


def test_a_number_of_few_positive_cases_says_so(folder, tmp_path):
    table = pd.read_parquet(folder / "predictions.parquet")
    rare = (table["label"] == "honeycombing") & (table["target"] > 0.5)
    table.loc[table.index[rare][2:], "target"] = 0.0
    table.to_parquet(folder / "predictions.parquet")
    records = from_folders(tmp_path)
    text = trace(make_table("auroc", records, []), "CTRATE+SEG", "RADCHEST unique", records)
    assert "(2 of 40 positive; it rests on 2 positive cases)" in text
