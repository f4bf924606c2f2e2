"""Settings of cells: the values of axes and names that keep cells of one model and mix apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from uniferum.data.folds import Folds
from uniferum.report.checks.claims import CT, Check, Claim, cell
from uniferum.report.checks.encoder_pairs import paired
from uniferum.report.checks.examine import examine
from uniferum.report.checks.margins import Margins
from uniferum.report.figures.forest import figure1
from uniferum.report.read_records import from_folders
from uniferum.report.records import CellRecord, PendingCell
from uniferum.report.settings import GridPosition, with_settings
from uniferum.report.tables.catalogue import make_table

GAIN = Check("gain", cell("CTRATE+SEG"), CT, cell("CTRATE"))
ROW = ("uniferum", "pubmedbert", "CTRATE")


def read(root: Path, positions: dict[str, GridPosition] | None = None) -> dict[str, CellRecord]:
    return {one.name: one for one in with_settings(from_folders(root), [], positions)[0]}


def at_lr(rate: str, *, default: bool) -> GridPosition:
    return GridPosition({"lr": rate}, default)


def test_a_grid_of_one_setting_has_none(cells, tmp_path):
    for seed in (0, 1):
        cells("CTRATE", seed=seed, folds=Folds(2, seed), axes={"fold": str(seed)})
    assert {(one.row, one.setting) for one in read(tmp_path).values()} == {(ROW, "")}


def test_the_cell_at_the_defaults_keeps_the_papers_row(cells, tmp_path):
    for rate in ("1e-4", "3e-4"):
        cells("CTRATE", axes={"lr": rate})
    name = "uniferum-pubmedbert-CTRATE-lr"
    positions = {f"{name}1e-4": at_lr("1e-4", default=True), f"{name}3e-4": at_lr("3e-4", default=False)}
    read_ = read(tmp_path, positions)
    assert read_[f"{name}1e-4"].row == ROW
    assert read_[f"{name}1e-4"].setting == "defaults (lr=1e-4)"
    assert read_[f"{name}3e-4"].row == (*ROW, "lr=3e-4")
    assert {one.row for one in read(tmp_path).values()} == {(*ROW, "lr=1e-4"), (*ROW, "lr=3e-4")}


def test_cells_with_names_of_their_own_are_no_seeds(cells, tmp_path):
    for seed in (0, 1):
        cells("CTRATE", seed=seed)
    records = [*from_folders(tmp_path)]
    pending = [PendingCell("my-long-run", *ROW, 0, "due", text=records[0].text)]
    done, (waiting,) = with_settings(records, pending)
    assert [one.setting for one in done] == ["defaults", "defaults"]
    assert [one.row for one in done] == [ROW, ROW]
    assert waiting.row == (*ROW, "my-long-run")


def test_cells_with_folds_are_apart_from_the_cell_without(cells, tmp_path):
    cells("CTRATE")
    folds = [PendingCell(f"cross-fold{i}", *ROW, 0, "due", text={}, folds=Folds(3, i)) for i in range(3)]
    (plain,) = from_folders(tmp_path)
    folds = [PendingCell(one.name, *ROW, 0, "due", text=plain.text, folds=one.folds) for one in folds]
    (plain,), crossed = with_settings([plain], folds)
    assert plain.row == ROW
    assert {one.row for one in crossed} == {(*ROW, "cross")}


@pytest.fixture
def ablated(cells, tmp_path) -> list[CellRecord]:
    """Two mixes at three rates, of which 1e-4 is the default: +SEG gains there, and loses at the others."""
    positions = {}
    for rate in ("5e-5", "1e-4", "3e-4"):
        for mix in ("CTRATE", "CTRATE+SEG"):
            gains = (mix == "CTRATE+SEG") == (rate == "1e-4")
            cells(mix, axes={"lr": rate}, strength=3.0 if gains else 0.0)
            positions[f"uniferum-pubmedbert-{mix}-lr{rate}"] = at_lr(rate, default=rate == "1e-4")
    return list(read(tmp_path, positions).values())


def test_claims_take_the_cells_at_the_defaults_and_say_so(ablated):
    wide = Margins({"auroc": 0.3}, comparable={"CTRATE": "a test"})
    for records in (ablated, ablated[::-1]):
        (finding,) = examine(records, wide, claims=[Claim(1, "t", (GAIN,))])
        assert finding.verdict == "holds"
        assert "cells at defaults (lr=1e-4)" in finding.because
    (finding,) = examine([one for one in ablated if not one.at_defaults], wide, claims=[Claim(1, "t", (GAIN,))])
    assert (finding.verdict, "only lr=" in finding.because) == ("missing", True)


def test_figures_and_pairs_of_encoders_take_the_cells_at_the_defaults(ablated):
    (usual,) = [one for one in ablated if one.row == ROW]
    table = usual.labels.query("cohort == 'CTRATE'")
    for records in (ablated, ablated[::-1]):
        assert drawn(figure1(records)) == pytest.approx(sorted(table["auroc"]))
    others = [replace(one, text_encoder="gatortron") for one in ablated]
    pairs, _ = paired([*ablated, *others], ("pubmedbert", "gatortron"))
    assert {one.setting for pair in pairs for one in (pair.first, pair.second)} == {"defaults (lr=1e-4)"}


def drawn(figure: Figure) -> list[float]:
    (line,) = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2 and line.get_marker() != "None"]
    return sorted(np.asarray(line.get_xdata()).tolist())


def test_a_table_has_a_row_for_each_setting_in_the_order_of_its_values(ablated):
    table = make_table("auroc", ablated, [])
    assert table.row_facts[-1] == "setting"
    assert [row[3] for row in table.rows if row[2] == "CTRATE"] == ["lr=5e-5", "defaults (lr=1e-4)", "lr=3e-4"]
