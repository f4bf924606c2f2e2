"""Tables count doubtful test cases, and training scans that were left out."""

import json
from pathlib import Path

import pytest

from uniferum.report.checks.lineage import trace
from uniferum.report.read_records import from_folders
from uniferum.report.recompute import recomputed
from uniferum.report.records import CellRecord
from uniferum.report.site.cells import cell_details
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.flagged import data_lines, flag_line, flag_sheet

FLAGS = {
    "CTRATE": {
        "train": {"scans": 100, "flags": {"wrong_hu": 5, "orientation_doubtful": 1, "no_lung": 9}, "left_out": 5},
        "validation": {"scans": 20, "flags": {"wrong_hu": 2}, "left_out": 0},
        "test": {"scans": 40, "flags": {"wrong_hu": 3}, "left_out": 0},
    }
}


@pytest.fixture
def records(cells, tmp_path: Path) -> list[CellRecord]:
    """Two cells whose CT-RATE test has three flagged cases; the second one trained on them all."""
    for mix, left_out in (("CTRATE", 5), ("CTRATE+SEG", 0)):
        path = cells(mix) / "result.json"
        result = json.loads(path.read_text())
        train = {**FLAGS["CTRATE"]["train"], "left_out": left_out}
        result["flags"] = {"CTRATE": {**FLAGS["CTRATE"], "train": train}}
        for row in result["groups"]:
            row["flagged"] = {"wrong_hu": 3, "orientation_doubtful": 1} if row["cohort"] == "CTRATE" else {}
        path.write_text(json.dumps(result))
    return sorted(from_folders(tmp_path), key=lambda record: record.name)


def test_n_never_shrinks_but_says_how_many_of_its_cases_are_flagged(records: list[CellRecord]) -> None:
    lines = make_table("auroc", records, []).protocol
    ctrate = next(line for line in lines if line.startswith("CTRATE"))
    assert (
        "N = 40 volumes of 20 patients, 3 of them flagged wrong_hu, 1 of them flagged orientation_doubtful, " in ctrate
    )
    assert all("flagged" not in line for line in lines if line.startswith(("INSPECT", "RADCHEST")))


def test_a_record_older_than_the_flags_is_not_taken_for_one_of_other_cases(cells, tmp_path: Path, records) -> None:
    cells("CTRATE+INSPECT")
    line = next(line for line in make_table("auroc", from_folders(tmp_path), []).protocol if line.startswith("CTRATE"))
    assert "DIFFERENT" not in line
    assert "3 of them flagged wrong_hu" in line


def test_what_was_left_out_of_training_and_what_was_kept_is_said_with_its_cells(records: list[CellRecord]) -> None:
    first, second = (record.name for record in records)
    assert set(data_lines(records)) == {
        f"CTRATE: 5 of 100 training scans were left out, flagged wrong_hu (1 of 2 cells, e.g. {first}).",
        f"CTRATE: 5 of 100 training scans were used although flagged wrong_hu (1 of 2 cells, e.g. {second}).",
        "CTRATE: 1 of 100 training scans were used although flagged orientation_doubtful.",
        "CTRATE: 2 of 20 selection scans were used although flagged wrong_hu.",
    }
    assert set(data_lines(records)) <= set(make_table("auroc", records, []).protocol)


def test_scores_made_again_from_predictions_keep_the_counts(records: list[CellRecord]) -> None:
    lines = make_table("auroc", recomputed(records), []).protocol
    assert any("3 of them flagged wrong_hu" in line for line in lines)


def test_the_page_shows_every_flag_of_a_cells_splits(records: list[CellRecord]) -> None:
    sheet = flag_sheet(records[0])
    assert sheet is not None
    assert sheet.rows[0] == ["CTRATE", "train", "100", "5 wrong_hu, 1 orientation_doubtful, 9 no_lung", "5"]
    assert "5 wrong_hu, 1 orientation_doubtful, 9 no_lung" in cell_details(records[0])


def test_the_trace_of_a_number_names_the_flagged_scans_behind_it(records: list[CellRecord]) -> None:
    line = flag_line(records[0])
    assert line.startswith("CTRATE train: 5 wrong_hu, 1 orientation_doubtful, 9 no_lung of 100; CTRATE validation: ")
    table = make_table("auroc", records[:1], [])
    assert f"flagged scans: {line}" in trace(table, "CTRATE", "INSPECT shared", records[:1])


def test_a_record_from_before_there_were_flags_says_nothing_of_them(cells, tmp_path: Path) -> None:
    cells("CTRATE")
    old = from_folders(tmp_path)
    assert (data_lines(old), flag_sheet(old[0])) == ((), None)
    assert not any("flagged" in line for line in make_table("auroc", old, []).protocol)
