"""Cells of the systems that the paper cites: their rows, and when the cited value stands beside them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from tests.support.written_cells import write_cell
from uniferum.config import merge
from uniferum.model.config import ModelConfig
from uniferum.report.cited_systems import CXR_BERT, SETTINGS, other_settings, row_model
from uniferum.report.published import find
from uniferum.report.read_records import from_folders
from uniferum.report.records import CellRecord
from uniferum.report.systems import UNRECORDED, encoder_word, other_system
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.rendering import Style, render
from uniferum.run.input_grid import input_record

CONFIGS = Path(__file__).parents[3] / "configs"
KINDS = {"ct_net": "ct_net", "cnn_draelos": "ct_net", "cnn_transformer": "cnn_transformer", "ct_clip": "ct_clip"}


def _model(kind: str, **changes: Any) -> dict[str, Any]:
    text = {"text": CXR_BERT} if kind == "ct_clip" else {}
    return ModelConfig.model_validate(merge({"kind": kind, **text}, changes)).model_dump(mode="json")


def _record(root: Path, kind: str, mix: str, **changes: Any) -> CellRecord:
    """A finished cell of a system with its whole section recorded."""
    folder = write_cell(root, mix, model=kind, encoder="")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["model"] = _model(kind, **changes)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (record,) = [one for one in from_folders(root) if one.folder == folder]
    return record


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_settings_are_the_defaults_of_the_models(kind: str) -> None:
    section, model = KINDS[kind], _model(kind)
    recorded = json.loads(json.dumps(model[section]))
    assert {key: recorded[key] for key in SETTINGS[section]} == SETTINGS[section]
    assert other_settings(kind, model) == []


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("ct_net", {"ct_net": {"input": {"spacing_mm": None}}}, "ct_net.input.spacing_mm None"),
        ("cnn_draelos", {"ct_net": {"network": "resnet34.tv_in1k"}}, "ct_net.network resnet34.tv_in1k"),
        ("cnn_transformer", {"encoder": {"weights": "none"}}, "encoder.weights none"),
        ("ct_clip", {"ct_clip": {"vit": {"width": 64}}}, "ct_clip.vit.width 64"),
        ("ct_clip", {"text": {"name": "tiny"}}, "another text encoder"),
    ],
)
def test_another_size_or_weight_is_another_system(kind: str, changes: dict[str, Any], said: str) -> None:
    assert other_system(kind, _model(kind, **changes)) == said


def test_a_system_whose_section_is_not_recorded_is_no_published_one() -> None:
    assert other_system("ct_net", {"kind": "ct_net"}) == UNRECORDED


@pytest.mark.parametrize("way", ["zero_shot", "vocabfine", "classfine", "contrastive"])
def test_each_way_of_ct_clip_is_a_row_and_its_text_encoder_is_no_part_of_it(way: str) -> None:
    model = _model("ct_clip", ct_clip={"way": way})
    assert row_model("ct_clip", model) == f"ct_clip_{way}"
    assert encoder_word("ct_clip", model["text"]) == ""
    assert encoder_word("ct_clip", {"name": "tiny", "hidden": 64}) == "tiny-64"
    assert (find("auroc", (f"ct_clip_{way}", "", "CTRATE"), "CTRATE", "all") is None) == (way == "contrastive")


def test_a_cited_value_stands_beside_the_measured_one_of_the_published_system_alone(tmp_path: Path) -> None:
    own = _record(tmp_path / "own", "ct_net", "CTRATE")
    clip = _record(tmp_path / "clip", "ct_clip", "CTRATE", ct_clip={"way": "classfine"})
    small = _record(tmp_path / "small", "cnn_transformer", "INSPECT", encoder={"weights": "none"})
    table = make_table("auroc", [own, clip, small], [])
    assert table.entries[own.row, ("CTRATE", "all")].published == 0.6291
    assert table.entries[clip.row, ("CTRATE", "all")].published == 0.7561
    assert (
        table.entries[small.row, ("INSPECT", "unique")].apart
        == "another system than the paper's (encoder.weights none)"
    )
    text = render(table, "terminal", Style(published=True))
    assert "(0.6291)" in text
    assert "CT-CLIP (classFine)" in text


def test_the_optional_grid_has_the_cited_rows_with_their_published_settings() -> None:
    cells = list(expand(load_grid(CONFIGS / "compared_grid.yaml")))
    rows = []
    for cell in cells:
        model, geometry = (getattr(cell.config, name).model_dump(mode="json") for name in ("model", "geometry"))
        assert other_system(cell.model, model, geometry) == ""
        rows.append((row_model(cell.model, model), encoder_word(cell.model, model["text"]), cell.mix))
        record = input_record(cell.config)
        assert record["level"] == "full"
        assert set(record["coarser"]) <= {"x", "y", "z"}
        assert max(record["spacing_mm"]) <= 1.5, "the training level has 2 mm"
    cited = [("ct_net", "CTRATE"), ("cnn_transformer", "INSPECT"), ("cnn_draelos", "RADCHEST")]
    cited += [(f"ct_clip_{way}", "CTRATE") for way in ("zero_shot", "vocabfine", "classfine")]
    assert sorted(rows) == sorted((model, "", mix) for model, mix in cited)
