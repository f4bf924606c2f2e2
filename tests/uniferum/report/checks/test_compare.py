"""The table of paired tests between cells."""

import pandas as pd
import pytest

from uniferum.errors import UniferumError
from uniferum.evaluation.clustered import clustered_test
from uniferum.evaluation.delong import paired_delong
from uniferum.report.checks.compare import compare_sheet
from uniferum.report.read_records import from_folders

A, B, C = "uniferum-pubmedbert-CTRATE", "uniferum-pubmedbert-CTRATE+SEG", "uniferum-pubmedbert-INSPECT"


@pytest.fixture
def records(cells, tmp_path):
    for mix in ("CTRATE", "CTRATE+SEG", "INSPECT"):
        cells(mix)
    return from_folders(tmp_path)


def test_a_label_is_tested_on_the_cases_of_both_cells(records):
    rows = [row for row in compare_sheet(records, [A, B]).rows if row[4] == "pe_positive"]
    predictions = {record.name: record.predictions().query("label == 'pe_positive'") for record in records}
    first, second = predictions[A], predictions[B]
    test = paired_delong(first["target"], first["score"], second["score"])
    (row,) = rows
    assert row[:4] == [A, B, "INSPECT", "unique"]
    assert row[5:8] == [f"{test.first:.4f}", f"{test.second:.4f}", f"{test.difference:+.4f}"]
    assert float(row[12]) == pytest.approx(test.p, rel=1e-3), "DeLong's own, volumes as cases"
    own = clustered_test(first["target"], first["score"], second["score"], first["patient_id"])
    assert float(row[9]) == pytest.approx(own.p, rel=1e-3)
    assert row[13] == "20"


def test_p_values_are_adjusted_within_the_labels(records):
    labels = [row for row in compare_sheet(records, [A, B]).rows if not row[4].startswith("mean")]
    p = sorted(float(row[9]) for row in labels)
    smallest = min(labels, key=lambda row: float(row[9]))
    assert float(smallest[10]) == pytest.approx(min(1.0, len(labels) * p[0]), rel=1e-3)
    assert all(float(row[9]) <= float(row[11]) <= float(row[10]) for row in labels)


def test_every_pair_of_three_cells_is_tested(records):
    pairs = {(row[0], row[1]) for row in compare_sheet(records, [A, B, C]).rows}
    assert pairs == {(A, B), (A, C), (B, C)}


def test_cells_of_other_cases_are_refused_unless_the_common_ones_are_asked_for(records):
    record = next(one for one in records if one.name == B)
    table = pd.read_parquet(record.files.predictions)
    table.loc[table["scan_id"] != "0"].to_parquet(record.files.predictions)
    with pytest.raises(UniferumError, match="CTRATE"):
        compare_sheet(records, [A, B])
    assert "that both have" in compare_sheet(records, [A, B], common=True).below[0]


@pytest.mark.parametrize("names", [[A], [A, A], [A, "cnn-CTRATE"]])
def test_two_known_cells_are_needed(records, names):
    with pytest.raises(UniferumError, match="--compare"):
        compare_sheet(records, names)
