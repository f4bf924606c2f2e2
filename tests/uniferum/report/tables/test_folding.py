"""The protocol below a table: folded, once for several tables, and whole with ``--protocol``."""

import csv
import json
from pathlib import Path

from uniferum.report.read_records import from_folders
from uniferum.report.recompute import by_unit, recomputed
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.folding import TOGETHER
from uniferum.report.tables.rendering import Style, render, several


def test_the_protocol_is_folded_unless_asked_for(cells, tmp_path: Path) -> None:
    cells("CTRATE")
    table = make_table("auroc", from_folders(tmp_path), [])
    folded, whole = (render(table, "terminal", Style(protocol=asked)) for asked in (False, True))
    assert "Test volumes: CTRATE 40 of 20 patients" in folded
    assert "left out: never_positive" not in folded
    assert "left out: never_positive" in whole
    assert "<details>" in render(table, "html")


def test_another_unit_is_named_below_the_table(cells, tmp_path: Path) -> None:
    cells("CTRATE")
    records = recomputed(by_unit(from_folders(tmp_path), "patient"), full=False)
    text = render(make_table("auroc", records, []), "terminal")
    assert "Test patients: CTRATE 20;" in text
    assert "Unit: patient (logits averaged" in text


def test_several_tables_share_their_protocol(cells, tmp_path: Path) -> None:
    cells("CTRATE")
    records = from_folders(tmp_path)
    text = several([make_table(name, records, []) for name in ("auroc", "aupr")], "terminal", Style())
    assert text.count("Test volumes:") == 1
    assert text.index(TOGETHER) > text.index("Average precision")


def test_several_tables_in_csv_are_one_table(cells, tmp_path: Path) -> None:
    cells("CTRATE")
    records = from_folders(tmp_path)
    tables = [make_table(name, records, []) for name in ("auroc", "labels")]
    rows = list(csv.DictReader(several(tables, "csv", Style()).splitlines()))
    assert [row["table"] for row in rows].count("labels") == len(tables[1].entries)
    assert len(rows) == sum(len(table.entries) for table in tables)
    assert all(None not in row for row in rows)


def test_cells_with_fewer_labels_are_not_called_cells_of_other_cases(cells, tmp_path: Path) -> None:
    cells("CTRATE")
    folder = cells("INSPECT")
    result = json.loads((folder / "result.json").read_text())
    result["groups"][0]["n_labels"] = 1
    (folder / "result.json").write_text(json.dumps(result))
    table = make_table("auroc", from_folders(tmp_path), [])
    assert "DIFFERENT" not in render(table, "terminal", Style(protocol=True))


def test_what_the_paper_says_of_cited_values_stands_below(cells, tmp_path: Path) -> None:
    cells("CTRATE")
    text = render(
        make_table("auroc", from_folders(tmp_path), [], published_rows=True), "terminal", Style(published=True)
    )
    assert "trained on the full RAD-ChestCT, ten times the public release" in text
