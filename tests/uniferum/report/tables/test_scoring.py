"""Protocol lines, columns and judgements of label sets and test-time augmentation."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.support.recorded_cells import ct_rate, record_cell
from uniferum.evaluation.metrics import score_predictions
from uniferum.report.checks.against import against_sheet
from uniferum.report.checks.comparability import OTHER_LABELS, JudgedColumn, compare
from uniferum.report.checks.lineage import trace
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.verdict import judge
from uniferum.report.figures.catalogue import figures
from uniferum.report.read_records import from_folders
from uniferum.report.recompute import recomputed
from uniferum.report.records import CellRecord
from uniferum.report.site.cases import hardest
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.rendering import render
from uniferum.run.result import plain

TITLE = "CTRATE [refined]"
SET = {"cohort": "CTRATE", "name": "refined", "file": "refined.csv", "digest": "ab" * 32, "test_scans": 3002}
SET |= {"scans": 3002, "elsewhere": 0, "labels": ["emphysema"], "positives": 5, "negatives": 7}
RANGES = {"rotation_deg": 5.0, "zoom": 0.03, "noise": 0.005, "offset": 0.005}


def write(root: Path, *, digest: str = "ab" * 32, seed: int = 0) -> None:
    """A cell of the paper's own system and test split that was also scored under turned labels."""
    folder = record_cell(root, "CTRATE", "all", 3002, ct_rate(3002, 0), seed=seed)
    own = pd.read_parquet(folder / "predictions.parquet")
    other = own.assign(cohort=TITLE, target=1 - own["target"])
    result = json.loads((folder / "result.json").read_text())
    again = score_predictions(other, draws=2)
    pd.concat([own, other], ignore_index=True).to_parquet(folder / "predictions.parquet")
    labels = pd.concat([pd.read_parquet(folder / "metrics.parquet"), again.labels], ignore_index=True)
    labels.to_parquet(folder / "metrics.parquet")
    result["groups"] += plain(again.groups.to_dict("records"))
    result["label_sets"] = [{**SET, "digest": digest}]
    result["evaluation"] = {"augmentations": 2, "strength": "small", "ranges": RANGES}
    (folder / "result.json").write_text(json.dumps(result))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[CellRecord]:
    root = tmp_path_factory.mktemp("cells")
    write(root)
    return from_folders(root)


def test_a_label_set_is_a_column_with_its_file_in_the_protocol(records: list[CellRecord]) -> None:
    made = make_table("auroc", records, [])
    assert made.columns == (("CTRATE", "all"), (TITLE, "all"))
    (row,) = made.rows
    own, other = (made.entries[row, column] for column in made.columns)
    assert own.value + other.value == pytest.approx(1)
    text = render(made, "terminal")
    assert (
        "CTRATE [refined]: labels of refined.csv (SHA-256 abababababab), 3002 of 3002 test scans, 1 labels, 5 positive "
        "and 7 negative.\n" in text
    )
    assert (
        "Test-time augmentation: logits are means over the plain volume and 2 augmented ones (rotation up to 5 "
        "degrees, zoom up to 3%, noise up to 0.005, offset up to 0.005, no flip).\n" in text
    )
    again = make_table("auroc", recomputed(records), [])
    assert again.entries[row, (TITLE, "all")].value == pytest.approx(other.value)


def test_two_files_under_one_name_are_told_apart(tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path, digest=f"{seed}" * 64, seed=seed)
    text = render(make_table("auroc", from_folders(tmp_path), []), "terminal")
    assert "(SHA-256 000000000000)" in text
    assert "(1 of 2 cells, e.g. uniferum-pubmedbert-CTRATE-seed1)" in text


def test_the_papers_numbers_are_compared_with_the_cohorts_own_labels_alone(records: list[CellRecord]) -> None:
    for name in ("auroc", "labels"):
        made = make_table(name, records, [], published_rows=True)
        verdicts = judge(made, Margins({"auroc": 0.01}), records)
        assert verdicts
        assert not any("refined" in " ".join(one.column) for one in verdicts)
        assert not any(
            TITLE in " ".join((*row, *column)) and (entry.published == entry.published or entry.apart)
            for (row, column), entry in made.entries.items()
        )
        sheet = against_sheet(made, records, Margins(), "all")
        assert sheet.rows
        assert not any(TITLE in cell for row in sheet.rows for cell in row)
    judged = JudgedColumn(TITLE, "all", "", 3002, 18, 18)
    assert compare(judged, records, Margins(comparable={"CTRATE": "we trust it"})).incomparable == OTHER_LABELS


def test_words_without_a_label_set_name_the_cohorts_own_column(records: list[CellRecord]) -> None:
    made = make_table("auroc", records, [])
    assert "column CTRATE all\n" in trace(made, "uniferum", "CTRATE all", records)
    other = trace(made, "uniferum", "CTRATE [refined] all", records)
    assert "column CTRATE [refined] all\n" in other
    assert "(equal)" in other


def test_figures_have_plain_names_and_the_page_shows_a_case_once(records: list[CellRecord]) -> None:
    assert "roc-ctrate-refined" in figures(records)
    assert not any(set(name) & set("[] ") for name in figures(records))
    assert {case.cohort for case in hardest(records)} == {"CTRATE"}
