"""Paths of a grid or search file mean the same from any working directory."""

import os
from pathlib import Path

import pytest
import yaml

from orchestration.grid.config import load_grid
from orchestration.grid.paths import place_paths
from orchestration.search.config import load_search
from uniferum.errors import UniferumError

GRID = {
    "name": "g",
    "root": "../runs",
    "base": "base.yaml",
    "stores": {"CTRATE": "../stores/a", "INSPECT": "s3://bucket/$PLACE", "LUNA16": "/data/luna"},
    "evaluate_on": ["CTRATE"],
    "text_encoders": {"small": {"name": "tiny"}},
    "other_recipes": ["other.yaml"],
    "resources": {"stage": "$PLACE/stage"},
    "cells": [{"text_encoder": "small", "train_on": "CTRATE"}],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLACE", "here")
    (tmp_path / "configs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    _write(tmp_path)
    (tmp_path / "configs/base.yaml").write_text("optim: {lr: 0.5}\n")
    return tmp_path


def _write(project: Path, **changes: object) -> Path:
    path = project / "configs/grid.yaml"
    path.write_text(yaml.safe_dump({**GRID, **changes}))
    return path


@pytest.mark.parametrize("folder", [".", "configs", "elsewhere", "/"])
@pytest.mark.parametrize("relative", [True, False])
def test_paths_are_relative_to_the_file(
    project: Path, monkeypatch: pytest.MonkeyPatch, folder: str, relative: bool
) -> None:
    monkeypatch.chdir(project / folder)
    file = project / "configs/grid.yaml"
    grid = load_grid(os.path.relpath(file) if relative else file)
    assert grid.root.resolve() == project / "runs"
    assert grid.store_addresses == {
        "CTRATE": str(project / "stores/a"),
        "INSPECT": "s3://bucket/here",
        "LUNA16": "/data/luna",
    }
    assert [path.resolve() for path in grid.other_recipes] == [project / "configs/other.yaml"]
    assert grid.resources.stage == Path("here/stage")
    assert grid.defaults == {"optim": {"lr": 0.5}}


def test_a_path_below_the_working_directory_is_shown_relative_to_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert (load_grid(Path("configs/grid.yaml")).root, load_grid("configs/grid.yaml").stores["CTRATE"]) == (
        Path("runs"),
        Path("stores/a"),
    )


def test_a_typed_path_is_relative_to_the_working_directory(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "elsewhere")
    monkeypatch.setenv("HOME", "/home/me")
    grid = load_grid(project / "configs/grid.yaml", ["root=../runs/x", "stores.CTRATE=~/a", "stores.LUNA16=$PLACE/b"])
    assert (grid.root, grid.stores["CTRATE"]) == (Path("../runs/x"), Path("/home/me/a"))
    assert grid.stores["LUNA16"] == Path("here/b")


def test_home_and_variables_are_expanded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    grid = load_grid(_write(project, root="~/runs", stores={"CTRATE": "${PLACE}/a"}))
    assert grid.root == Path("/home/me/runs")
    assert grid.store_addresses == {"CTRATE": str(project / "configs/here/a")}


def test_a_variable_that_is_not_set_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(UniferumError, match=r"grid\.yaml: stores\.CTRATE \(\$NOWHERE/a\) must name variables"):
        load_grid(_write(project, stores={"CTRATE": "$NOWHERE/a"}))


def test_a_path_of_the_time_when_the_working_directory_counted_is_refused_with_what_to_write(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    (project / "runs").mkdir()
    with pytest.raises(UniferumError, match=r"root \(runs\) must be relative to the folder of the file .*\.\./runs"):
        load_grid(_write(project, root="runs"))
    (project / "configs/runs").mkdir()
    assert load_grid(_write(project, root="runs")).root == Path("configs/runs")


def test_the_shipped_grids_have_the_places_that_they_always_had(monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = Path(__file__).resolve().parents[3]
    monkeypatch.chdir(checkout)
    demo, paper = load_grid("configs/demo_grid.yaml"), load_grid("configs/paper_grid.yaml")
    assert (demo.root, paper.root) == (Path("demo/runs"), Path("runs/paper"))
    assert demo.stores["RADCHEST"] == Path("demo/stores/radchest")
    assert paper.stores["CTRATE"] == Path("stores/ctrate")


def test_a_search_file_has_its_paths_beside_itself(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "elsewhere")
    (project / "configs/searches").mkdir()
    file = project / "configs/searches/s.yaml"
    search = {"name": "s", "grid": "../grid.yaml", "cell": "uniferum-small-CTRATE", "trials": 2}
    space = {"optim.lr": {"float": [1e-4, 1e-2]}}
    file.write_text(yaml.safe_dump({**search, "root": "found", "space": space}))
    loaded = load_search(file)
    assert (loaded.root, loaded.grid.root) == (project / "configs/searches/found", project / "runs")


def test_a_key_that_a_grid_file_has_twice_is_refused_with_both_lines(project: Path) -> None:
    file = _write(project)
    file.write_text(file.read_text() + "seeds: [0]\nmargins: {auroc: 1}\nseeds: [1]\n")
    lines = file.read_text().splitlines()
    first, second = (at for at, line in enumerate(lines, start=1) if line.startswith("seeds"))
    with pytest.raises(UniferumError, match=rf"grid\.yaml: seeds must be given once .* lines {first} and {second}"):
        load_grid(file)


def test_a_checkpoint_is_relative_to_the_file_in_each_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {
        "defaults": {"model": {"ct_clip": {"checkpoint": "all.safetensors"}}},
        "axes": {"start": {"values": {"one": {"model": {"ct_clip": {"checkpoint": "one.safetensors"}}}}}},
        "overrides": [{"when": {"seed": 1}, "set": {"model": {"ct_clip": {"checkpoint": "/data/two.safetensors"}}}}],
    }
    placed = place_paths(tmp_path / "grids" / "grid.yaml", given)
    assert placed["defaults"]["model"]["ct_clip"]["checkpoint"] == "grids/all.safetensors"
    assert placed["axes"]["start"]["values"]["one"]["model"]["ct_clip"]["checkpoint"] == "grids/one.safetensors"
    assert placed["overrides"][0]["set"]["model"]["ct_clip"]["checkpoint"] == "/data/two.safetensors"


def test_a_folder_of_a_text_encoder_is_absolute_and_a_hub_id_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {
        "text_encoders": {"own": {"name": "../weights/bert"}, "hub": {"name": "org/bert"}},
        "axes": {"text": {"values": {"a": {"model": {"text": {"name": "./bert"}}}}}},
    }
    placed = place_paths(tmp_path / "grids" / "grid.yaml", given)
    assert placed["text_encoders"] == {"own": {"name": str(tmp_path / "weights/bert")}, "hub": {"name": "org/bert"}}
    assert placed["axes"]["text"]["values"]["a"]["model"]["text"]["name"] == str(tmp_path / "grids/bert")


@pytest.mark.parametrize("folder", [".", "elsewhere"])
def test_label_files_are_absolute_wherever_a_file_names_them(
    project: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(project / folder)
    (project / "configs/base.yaml").write_text("evaluation: {labels: {CTRATE: {base: labels/base.csv}}}\n")
    given = {"evaluation": {"labels": {"CTRATE": {"refined": "../refined.csv", "other": "$PLACE/b.csv"}}}}
    typed = ["defaults.evaluation.labels.CTRATE.typed=typed.csv"]
    override = {"when": {"seed": 1}, "set": {"evaluation": {"labels": {"INSPECT": {"a": "a.csv"}}}}}
    grid = load_grid(_write(project, defaults=given, overrides=[override]), typed)
    assert grid.defaults["evaluation"]["labels"]["CTRATE"] == {
        "base": str(project / "configs/labels/base.csv"),
        "refined": str(project / "refined.csv"),
        "other": str(project / "configs/here/b.csv"),
        "typed": str(project / folder / "typed.csv"),
    }
    assert grid.overrides[0].set["evaluation"]["labels"]["INSPECT"] == {"a": str(project / "configs/a.csv")}
