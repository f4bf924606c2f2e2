"""Tables and lines of training rows; records without them say so."""

import json
from pathlib import Path
from typing import Any

import pytest

from uniferum.report.read_records import from_folders
from uniferum.report.records import CellRecord
from uniferum.report.site.cells import cell_details
from uniferum.report.tables import sheet
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.row_counts import row_lines, row_sheet, row_sheets

LABELS = {"emphysema": {"positive": 1200, "negative": 1100}, "atelectasis": {"positive": 3, "negative": 3}}
PLAIN: dict[str, Any] = {"labels": {"CTRATE": {"classification": LABELS}}, "masks": []}
MASKS = {"cohort": "INSPECT", "kind": "organ", "wanted": 40, "found": 0, "scans": 50, "without_masks": 50}
SEG: dict[str, Any] = {
    "labels": {"CTRATE": {"classification": LABELS, "organ": {"heart": 7}}, "LUNA16": {"nodule": {"nodule": 20}}},
    "masks": [MASKS],
}


@pytest.fixture
def records(cells, tmp_path: Path) -> list[CellRecord]:
    """Two encoders of one mix with the same rows, a +SEG cell, and one that is older than the counts."""
    written = [
        ("CTRATE", "pubmedbert", PLAIN),
        ("CTRATE", "gatortron", PLAIN),
        ("CTRATE+INSPECT+SEG", "gatortron", SEG),
    ]
    for mix, encoder, rows in [*written, ("RADCHEST", "pubmedbert", None)]:
        path = cells(mix, encoder=encoder) / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | ({} if rows is None else {"rows": rows})))
    return sorted(from_folders(tmp_path), key=lambda record: record.name)


def test_the_protocol_of_every_table_says_the_rows_and_the_masks_that_lacked(records: list[CellRecord]) -> None:
    lines = row_lines(records)
    assert lines == (
        "Organ rows of INSPECT: 0 of 40 wanted; 50 of 50 training scans have no organ mask"
        " (1 of 4 cells, e.g. uniferum-gatortron-CTRATE+INSPECT+SEG).",
        "Training rows of CTRATE: 1,203 positive, 1,103 negative, of 2 labels"
        " (3 of 4 cells, e.g. uniferum-gatortron-CTRATE).",
    )
    assert set(lines) <= set(make_table("auroc", records, []).protocol)


def test_every_label_stands_in_one_table_for_all_cells_with_the_same_rows(records: list[CellRecord]) -> None:
    plain, seg, old = row_sheets(records)
    assert plain.below[0] == "Cells: uniferum-gatortron-CTRATE, uniferum-pubmedbert-CTRATE."
    assert plain.rows == [
        ["CTRATE", "classification", "atelectasis", "3", "3", "6"],
        ["CTRATE", "classification", "emphysema", "1,200", "1,100", "2,300"],
    ]
    assert seg.rows[2:] == [["CTRATE", "organ", "heart", "", "", "7"], ["LUNA16", "nodule", "nodule", "", "", "20"]]
    assert (old.rows, old.below[1]) == ([], "The version that trained it did not record its rows.")
    assert all(json.loads(sheet.as_json(one))["notes"] for one in (plain, seg, old))


def test_the_page_shows_the_rows_of_each_cell_that_has_them(records: list[CellRecord]) -> None:
    seg = next(record for record in records if "SEG" in record.mix)
    assert "<td>emphysema</td>" in cell_details(seg)
    old = next(record for record in records if record.mix == "RADCHEST")
    assert row_sheet(old) is None
    assert "training rows" not in cell_details(old)
    assert row_lines([old]) == ()


def test_a_grid_without_a_finished_cell_says_so() -> None:
    (empty,) = row_sheets([])
    assert list(empty.below) == ["No cell is done."]
