"""`uniferum weights check` from the command line."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from tests.support.hub_folders import write_bert
from uniferum.errors import UniferumError

runner = CliRunner()


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("weights") / "bert")


def test_the_table_is_on_standard_output_and_the_exit_code_says_whether_all_load(bert: Path, tmp_path: Path) -> None:
    fine = runner.invoke(app, ["weights", "check", str(bert), "--layers", "2"])
    assert fine.exit_code == 0
    assert "2 of 5 layers" in fine.stdout
    assert "sha256 " in fine.stdout
    bad = runner.invoke(app, ["weights", "check", str(bert), str(tmp_path), "--format", "json"])
    assert bad.exit_code == 2
    document = json.loads(bad.stdout)
    assert [row["Loads"] for row in document["rows"]] == ["yes", "no"]
    assert any(f"{tmp_path} must hold model.safetensors" in line for line in document["notes"])


def test_a_grid_has_each_of_its_encoders_checked_once(bert: Path, tmp_path: Path) -> None:
    grid = {
        "name": "g",
        "root": str(tmp_path / "runs"),
        "stores": {"CTRATE": "a", "INSPECT": "b"},
        "evaluate_on": ["CTRATE"],
        "defaults": {"model": {"encoder": {"weights": "none"}}},
        "text_encoders": {"fine": {"name": str(bert), "layers": 3}, "small": {"name": "tiny"}},
        "cells": [{"text_encoder": word, "train_on": ["CTRATE", "INSPECT"]} for word in ("fine", "small")],
    }
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid))
    done = runner.invoke(app, ["weights", "check", "--grid", str(tmp_path / "grid.yaml"), "--format", "json"])
    assert done.exit_code == 0
    rows = json.loads(done.stdout)["rows"]
    assert [(row["Name"], row["Kind"]) for row in rows] == [
        (str(bert), "text"),
        ("tiny", "text"),
        ("tf_efficientnet_b0", "image"),
    ]
    assert rows[0]["What"].startswith("3 of 5 layers")


def test_without_a_name_there_is_nothing_to_check() -> None:
    done = runner.invoke(app, ["weights", "check"])
    assert isinstance(done.exception, UniferumError)
    assert "--grid" in str(done.exception)
