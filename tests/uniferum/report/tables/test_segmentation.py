"""Tables of masks: scores of structures, means of cohorts, protocol lines, and cells without masks."""

import json

import pandas as pd
import pytest

from uniferum.errors import UniferumError
from uniferum.evaluation.mask_scores import mask_table, score_masks
from uniferum.report.checks.lineage import trace
from uniferum.report.read_records import from_folders
from uniferum.report.recompute import recomputed
from uniferum.report.site.cells import glance
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.pivot import Layout, pivot_table
from uniferum.report.tables.rendering import render
from uniferum.report.tables.segmentation import mask_metrics

ROW = ("uniferum", "pubmedbert", "CTRATE+SEG")


def add_masks(folder, drawn=(10, 0), with_masks=2):
    """Masks of one test scan: the heart drawn with a half of it met, the liver with ``drawn`` voxels, all met."""
    facts = {"cohort": "CTRATE", "split": "test", "volume_id": "CTRATE/1", "scan_id": "1", "patient_id": "p"}
    counts = [
        {"structure": "heart", "target_voxels": 10, "drawn_voxels": drawn[0], "overlap_voxels": drawn[0] // 2},
        {"structure": "liver", "target_voxels": 4, "drawn_voxels": drawn[1], "overlap_voxels": drawn[1]},
    ]
    table = mask_table({**facts, "group": "organ", **one} for one in counts)
    scores = score_masks(table)
    table.to_parquet(folder / "masks.parquet")
    scores.structures.to_parquet(folder / "mask_metrics.parquet")
    path = folder / "result.json"
    (means,) = scores.cohorts.to_dict("records")
    summary = {"n_scans": 3, "n_with_masks": with_masks, "n_scored": 1, **means}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"masks": [summary]}))
    return folder


def table_of(tmp_path, name="segmentation"):
    return make_table(name, from_folders(tmp_path), [])


@pytest.mark.parametrize(
    ("name", "heart", "liver"),
    [("segmentation", 0.5, 0.0), ("segmentation-sensitivity", 0.5, 0.0), ("segmentation-volume", 0.0, 1.0)],
)
def test_each_structure_and_their_mean_have_a_place(cells, tmp_path, name, heart, liver):
    add_masks(cells("CTRATE+SEG"))
    cells("CTRATE")
    table = table_of(tmp_path, name)
    assert table.columns == (ROW,), "cells without SEG have no column"
    values = {row[-1]: table.entries[row, ROW].value for row in table.rows}
    assert values == {"(mean)": (heart + liver) / 2, "heart": heart, "liver": liver}


def test_the_table_says_which_scans_were_scored_and_which_masks_stay_empty(cells, tmp_path):
    add_masks(cells("CTRATE+SEG"))
    text = render(table_of(tmp_path), "terminal")
    assert "CTRATE: test split, 1 of 3 scans were scored, 2 have masks; structures: 2." in text
    assert "uniferum-pubmedbert-CTRATE+SEG: masks stay empty for 1 of 2 structures on CTRATE." in text


def test_a_cell_that_draws_nothing_says_so_in_table_and_page(cells, tmp_path):
    add_masks(cells("CTRATE+SEG"), drawn=(0, 0))
    assert "masks stay empty: nothing is drawn on CTRATE" in render(table_of(tmp_path), "md")
    assert "masks stay empty: nothing is drawn on CTRATE" in glance(from_folders(tmp_path), [])


def test_the_page_lists_the_means_of_a_cell(cells, tmp_path):
    add_masks(cells("CTRATE+SEG"))
    text = glance(from_folders(tmp_path), [])
    assert "<th>Dice</th><th>Sensitivity</th><th>Volume error</th><th>Masks</th>" in text
    assert "<td>0.250</td><td>0.250</td><td>0.500</td>" in text


def test_a_cell_scored_before_masks_were_says_so(cells, tmp_path):
    cells("CTRATE+SEG")
    text = render(table_of(tmp_path), "terminal")
    assert "uniferum-pubmedbert-CTRATE+SEG: its masks were not scored" in text


def test_cells_without_seg_have_no_masks_and_are_not_called_older_than_masks(cells, tmp_path):
    cells("CTRATE")
    own = pivot_table("own", from_folders(tmp_path), [], Layout(("label",), ("cohort",), "dice"))
    for table in (table_of(tmp_path), own):
        assert table.protocol == ("No finished cell here was trained with SEG, so none has masks.",)
        assert not table.rows


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_scores_that_the_record_has_and_the_folder_lacks_are_named(cells, tmp_path, damage):
    damage(add_masks(cells("CTRATE+SEG")) / "mask_metrics.parquet")
    with pytest.raises(UniferumError, match=r"mask_metrics\.parquet"):
        table_of(tmp_path)


def test_seeds_are_averaged(cells, tmp_path):
    add_masks(cells("CTRATE+SEG"))
    add_masks(cells("CTRATE+SEG", seed=1, fingerprint="b" * 16), drawn=(0, 0))
    table = table_of(tmp_path)
    (heart,) = [row for row in table.rows if row[-1] == "heart"]
    entry = table.entries[heart, ROW]
    assert (entry.value, entry.seeds) == (0.25, 2)


def test_a_limit_leaves_one_structure(cells, tmp_path):
    add_masks(cells("CTRATE+SEG"))
    table = make_table("segmentation", from_folders(tmp_path), [], where={"label": "heart"})
    assert [row[-1] for row in table.rows] == ["heart"]


def test_a_number_is_traced_to_the_counts_and_computed_again(cells, tmp_path):
    add_masks(cells("CTRATE+SEG"))
    records = from_folders(tmp_path)
    for row in ("CTRATE heart", "CTRATE (mean)"):
        assert "(equal)" in trace(table_of(tmp_path), row, "pubmedbert", records)


def test_recomputing_reads_the_counts(cells, tmp_path):
    folder = add_masks(cells("CTRATE+SEG"))
    means = pd.read_parquet(folder / "mask_metrics.parquet")
    means.assign(dice=0.9).to_parquet(folder / "mask_metrics.parquet")
    (record,) = recomputed(from_folders(tmp_path))
    assert mask_metrics(record)["dice"].tolist() == [0.5, 0.0]
