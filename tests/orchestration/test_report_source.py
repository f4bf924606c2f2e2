"""Cells of a grid file, matched to recorded cells."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import orchestration.grid.cells
import orchestration.grid.config
import orchestration.grid.plan
from orchestration import report_source
from orchestration.grid.records import CellFolder
from tests.support.small_grids import grid as small_grid
from tests.support.small_stores import write_store
from tests.support.written_cells import write_cell
from uniferum.errors import UniferumError
from uniferum.model.config import ModelConfig, TextConfig
from uniferum.preprocessing.geometry import Geometry
from uniferum.report.axes import find_varied
from uniferum.run import RunConfig

GRID = Path("grid.yaml")


@pytest.fixture
def plan(monkeypatch):
    """Replace the planner by one that returns cells given as (mix, fingerprint, state, progress)."""

    def give(*cells, stores=None, untested=()):
        planned = [_planned(*cell, untested=untested) for cell in cells]
        ours = {"CTRATE": Path("missing"), "INSPECT": "s3://bucket/inspect"} | (stores or {})
        folders = {"cells_folder": Path("cells"), "stores": ours}
        config = SimpleNamespace(
            name="tiny",
            root=Path("root"),
            margins={"auroc": 0.02},
            synthetic=True,
            comparable={},
            ensembles=(),
            axes={},
            **folders,
        )
        monkeypatch.setattr(orchestration.grid.config, "load_grid", lambda path: config)
        monkeypatch.setattr(orchestration.grid.cells, "expand", lambda grid, source: planned)
        monkeypatch.setattr(orchestration.grid.plan, "make_plan", lambda grid, cells: cells)

    return give


def _planned(mix, fingerprint, state, progress=None, untested=()):
    name = f"uniferum-pubmedbert-{mix}"
    tiny = ModelConfig(text=TextConfig(name="tiny", hidden=64))
    keys = {"name": name, "train_on": mix.split("+"), "model": tiny, "geometry": Geometry(model_shape=(48, 40, 32))}
    config = RunConfig.model_validate(keys)
    axes = {"mix": mix.lower()}
    cell = SimpleNamespace(
        name=name, model="uniferum", text_encoder="pubmedbert", mix=mix, seed=0, config=config, axes=axes
    )
    record = SimpleNamespace(progress=lambda: progress)
    return SimpleNamespace(
        cell=cell,
        training_fingerprint=fingerprint,
        state=state,
        why="why",
        folder=Path(),
        record=record,
        untested=untested,
    )


def test_a_cell_is_matched_by_fingerprint_and_another_of_its_name_is_not_shown(tmp_path, plan):
    write_cell(tmp_path, fingerprint="a" * 16)
    write_cell(tmp_path, fingerprint="b" * 16)
    plan(("CTRATE", "a" * 16, "done"))
    said: list[str] = []
    source = report_source.gather(GRID, tmp_path, say=said.append)
    assert [record.result["training_fingerprint"] for record in source.records] == ["a" * 16]
    assert [line.partition(" of")[0] for line in said] == ["1 older results"]
    assert source.agreement.synthetic


def test_a_cell_is_matched_under_its_former_name(tmp_path, plan):
    write_cell(tmp_path, fingerprint="a" * 16, encoder="small")
    write_cell(tmp_path, "INSPECT", fingerprint="b" * 16)
    plan(("CTRATE", "a" * 16, "done"), ("INSPECT", "b" * 16, "done"))
    source = report_source.gather(GRID, tmp_path)
    assert source.pending == []
    assert [record.name for record in source.records] == ["uniferum-pubmedbert-CTRATE", "uniferum-pubmedbert-INSPECT"]
    assert [record.text_encoder for record in source.records] == ["tiny-64", "pubmedbert"]


def test_a_finished_cell_that_mlflow_lacks_is_named_when_records_come_from_mlflow(tmp_path, plan, monkeypatch):
    folder = write_cell(tmp_path, fingerprint="a" * 16)
    (folder / "spool.jsonl").write_text("{}\n")
    plan(("CTRATE", "a" * 16, "done"))
    monkeypatch.setattr(report_source, "_say_unsent", _with_folder(report_source._say_unsent, folder))
    monkeypatch.setattr(report_source, "_from_mlflow", lambda grid, address: [])
    said: list[str] = []
    report_source.gather(GRID, None, say=said.append)
    assert [line.partition(":")[0] for line in said] == [
        "Not all records of finished cells are in MLflow, so their results may be absent or old here"
    ]
    said.clear()
    report_source.gather(GRID, tmp_path, say=said.append)
    assert said == []


def _with_folder(say_unsent, folder):
    """The plan of these tests has no folders."""

    def say(grid, path, plan, say):
        say_unsent(
            grid,
            path,
            [SimpleNamespace(**{**vars(p), "folder": folder, "record": CellFolder(folder)}) for p in plan],
            say,
        )

    return say


def test_records_of_cells_that_swapped_their_names_have_the_names_of_today(tmp_path, plan):
    write_cell(tmp_path, fingerprint="a" * 16)
    write_cell(tmp_path, "INSPECT", fingerprint="b" * 16)
    plan(("CTRATE", "b" * 16, "done"), ("INSPECT", "a" * 16, "done"))
    source = report_source.gather(GRID, tmp_path)
    assert source.pending == []
    named = {record.name: record.result["training_fingerprint"][0] for record in source.records}
    assert named == {"uniferum-pubmedbert-CTRATE": "b", "uniferum-pubmedbert-INSPECT": "a"}


def test_records_and_pending_cells_have_their_axes(tmp_path, plan):
    folder = write_cell(tmp_path, fingerprint="a" * 16)
    plan(("CTRATE", "a" * 16, "done"), ("INSPECT", "b" * 16, "due"))
    source = report_source.gather(GRID, tmp_path)
    assert [one.axes for one in (*source.records, *source.pending)] == [{"mix": "ctrate"}, {"mix": "inspect"}]
    (folder / "axes.json").write_text('{"lr": "1e-4"}')
    assert [one.axes for one in report_source.gather(None, tmp_path).records] == [{"lr": "1e-4"}]
    (folder / "axes.json").write_text("[]")
    assert [one.axes for one in report_source.gather(None, tmp_path).records] == [{}]


def test_axes_of_the_grid_file_order_the_values_and_a_default_belongs_to_its_axis(tmp_path, monkeypatch):
    axes = {
        "lr": {"key": "optim.lr", "values": [3e-4, 1e-3]},
        "luna": {"key": "sampling.luna_factor", "values": [0, 5]},
        "batch": {"key": "training.batch", "values": {"paper": 64, "half": 32}},
        "bundle": {"values": {"a": {"training": {"steps": 10}}}},
    }
    entry = {"text_encoder": "small", "train_on": "CTRATE"}
    defaults = {"training": {"batch": 32}, "optim": {"lr": 5e-4}}
    grid = small_grid(tmp_path, axes=axes, cells=[entry | {"vary": ["lr"]}, entry], defaults=defaults)
    cells = {cell.name: cell for cell in orchestration.grid.cells.expand(grid)}
    names = ["uniferum-small-CTRATE-lr3e-4", "uniferum-small-CTRATE-lr1e-3", "uniferum-small-CTRATE"]
    states = [
        SimpleNamespace(cell=cells[name], training_fingerprint=None, state="due", why="due", folder=None, untested=())
        for name in names
    ]
    write_cell(tmp_path, encoder="small")
    monkeypatch.setattr(orchestration.grid.config, "load_grid", lambda path: grid)
    monkeypatch.setattr(orchestration.grid.plan, "make_plan", lambda grid, cells: states)
    source = report_source.gather(GRID, tmp_path)
    values = {one.name: one.axes for one in (*source.records, *source.pending)}
    assert [values[name] for name in names] == [
        {"lr": "3e-4", "batch": "half"}, {"lr": "1e-3", "batch": "half"}, {"lr": "5e-4", "batch": "half"}
    ]  # fmt: skip
    assert find_varied("optim.lr", [*source.records, *source.pending], source.axes).values == ("3e-4", "5e-4", "1e-3")


def test_a_pending_cell_is_named_by_its_config_and_all_cells_are_phantoms_if_the_grid_is_synthetic(tmp_path, plan):
    write_cell(tmp_path)
    plan(("CTRATE", "0123456789abcdef", "done"), ("INSPECT", "c" * 16, "due"))
    source = report_source.gather(GRID, tmp_path)
    assert source.phantoms
    assert [one.phantoms for one in (*source.records, *source.pending)] == [True, True]
    assert source.pending[0].text_encoder == "tiny-64"
    assert source.pending[0].other_system == "text encoder tiny-64, geometry.model_shape [48, 40, 32]"
    assert not report_source.gather(None, tmp_path).phantoms


def test_an_expected_cell_without_a_record_gives_its_reason_and_command(tmp_path, plan):
    write_cell(tmp_path)
    plan(("CTRATE", "0123456789abcdef", "done"), ("INSPECT", "c" * 16, "failed"))
    (waiting,) = report_source.gather(GRID, tmp_path).pending
    assert waiting.reason == "failed: why"
    assert waiting.command == "uniferum grid run grid.yaml --only uniferum-pubmedbert-INSPECT"


def test_a_running_cell_has_its_progress(tmp_path, plan):
    write_cell(tmp_path)
    alive = SimpleNamespace(updated=time.time(), step=17, steps=40)
    dead = SimpleNamespace(updated=time.time() - 3600, step=17, steps=40)
    plan(("INSPECT", "c" * 16, "resumable", alive), ("RADCHEST", "d" * 16, "resumable", dead))
    assert [one.reason for one in report_source.gather(GRID, tmp_path).pending] == ["running 42 %", "resumable: why"]


@pytest.mark.parametrize(("digest", "known"), [(None, True), ("of another test split", False)])
def test_an_older_record_gets_the_description_of_a_store_with_the_same_test_split(tmp_path, plan, digest, known):
    store = write_store(tmp_path / "ctrate", "CTRATE", ["test"], {"lung_nodule": [1]})
    word = {"kind": "official", "papers": True, "expected": 3002, "found": 1, "absent": 3001}
    (tmp_path / "ctrate/splits.json").write_text(json.dumps({"test": word}))
    folder = write_cell(tmp_path)
    result = json.loads((folder / "result.json").read_text())
    result["data"]["CTRATE test"] = digest or store.digest("test")
    (folder / "result.json").write_text(json.dumps(result))
    plan(("CTRATE", "0123456789abcdef", "done"), stores={"CTRATE": tmp_path / "ctrate"})
    (record,) = report_source.gather(GRID, tmp_path).records
    assert [name for name, split in record.test_splits.items() if split.expected == 3002] == ["CTRATE"] * known


def test_a_test_cohort_without_a_store_has_its_command(tmp_path, plan):
    scored = json.loads((write_cell(tmp_path) / "result.json").read_text())["evaluate_on"]
    plan(("CTRATE", "0123456789abcdef", "done"), untested=(scored[0], "OURS"), stores={"OURS": Path("stores/ours")})
    (record,) = report_source.gather(GRID, tmp_path).records
    assert record.untested == {"OURS": "uniferum data prepare configs/cohorts/ours.yaml --out stores/ours"}


def test_a_changed_test_set_is_noted(tmp_path, plan):
    write_cell(tmp_path)
    plan(("CTRATE", "0123456789abcdef", "re-score"))
    said: list[str] = []
    source = report_source.gather(GRID, tmp_path, say=said.append)
    assert len(source.records) == 1
    assert "grid evaluate" in " ".join(said)


def test_what_was_noticed_is_said_also_where_the_report_then_fails(tmp_path, plan):
    write_cell(tmp_path, fingerprint="a" * 16)
    write_cell(tmp_path, fingerprint="b" * 16)
    (tmp_path / "ctrate").mkdir()
    for name in ("manifest.parquet", "splits.json", "store.json"):
        (tmp_path / "ctrate" / name).write_text('{"format": 0}')
    plan(("CTRATE", "a" * 16, "done"), stores={"CTRATE": tmp_path / "ctrate"})
    said: list[str] = []
    with pytest.raises(UniferumError, match=r"store\.json: format \(0\) must be"):
        report_source.gather(GRID, tmp_path, say=said.append)
    assert [line.partition(" of")[0] for line in said] == ["1 older results"]


def test_without_a_grid_a_folder_shows_what_it_has(tmp_path):
    write_cell(tmp_path)
    write_cell(tmp_path, "INSPECT", done=False)
    source = report_source.gather(None, tmp_path)
    assert (len(source.records), len(source.pending)) == (1, 1)
    assert source.agreement.margins == {}


def test_nothing_at_all_is_an_error(tmp_path):
    with pytest.raises(UniferumError, match="at least one cell"):
        report_source.gather(None, tmp_path)


def test_cells_tested_on_phantoms_are_marked_without_a_grid(tmp_path):
    result = write_cell(tmp_path) / "result.json"
    word = {"kind": "official", "phantoms": True, "found": 40}
    result.write_text(json.dumps(json.loads(result.read_text()) | {"test_splits": {"CTRATE": word}}))
    assert report_source.gather(None, tmp_path).phantoms


def test_the_grid_with_the_newest_database_is_loaded(tmp_path):
    configs = tmp_path / "configs"
    configs.mkdir()
    grids = [small_grid(tmp_path / name) for name in ("old", "new")]
    for age_s, grid in zip((20, 10), grids, strict=True):
        (configs / f"{grid.root.parent.name}_grid.yaml").write_text(grid.model_dump_json(exclude_none=True))
        grid.root.mkdir(parents=True, exist_ok=True)
        (grid.root / "mlflow.db").touch()
        modified = time.time() - age_s
        os.utime(grid.root / "mlflow.db", (modified, modified))
    path, loaded = report_source.last_recorded(configs)
    assert (path.name, loaded.root) == ("new_grid.yaml", grids[1].root)
    with pytest.raises(UniferumError, match="no grid of configs/ has run here"):
        report_source.last_recorded(tmp_path)


NAME = "uniferum-pubmedbert-CTRATE"


@pytest.fixture
def with_ensembles(tmp_path):
    """Write a grid file of three seeds, with an ensemble of them and one of two."""

    def write(store):
        text = {"name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext", "layers": 4}
        keys = {"name": "g", "root": str(tmp_path), "stores": {"CTRATE": str(store)}, "evaluate_on": ["CTRATE"]}
        keys |= {"text_encoders": {"pubmedbert": text}, "seeds": [0, 1, 2]}
        keys |= {"cells": [{"text_encoder": "pubmedbert", "train_on": "CTRATE"}]}
        keys["ensembles"] = [{"name": "all", "of": NAME, "over": "seeds"}, {"name": "two", "cells": [NAME, "*seed1"]}]
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump(keys))
        return path

    return write


def test_ensembles_of_finished_cells_are_records_and_the_others_wait(tmp_path, with_ensembles):
    for seed in (0, 1):
        write_cell(tmp_path, seed=seed, draws=0)
    path = with_ensembles(tmp_path / "absent")
    source = report_source.gather(path, tmp_path)
    assert [one.name for one in source.records] == [NAME, f"{NAME}-seed1", "two"]
    assert source.records[-1].folder == tmp_path / "ensembles" / "two"
    assert [one.name for one in source.pending] == [f"{NAME}-seed2", "all"]
    waiting = source.pending[-1]
    assert waiting.reason == f"2 of 3 members: {NAME}-seed2 not done"
    assert waiting.command == f"uniferum grid run {path} --only {NAME}-seed2"
    assert len(report_source.gather(path, tmp_path).records) == 3, "an ensemble is not taken for a cell"


def test_an_ensemble_waits_for_members_that_are_scored_on_other_test_data(tmp_path, with_ensembles):
    store = write_store(tmp_path / "store", "CTRATE", ("train", "validation", "test"), {"emphysema": [0, 1, 1]}).store
    path = with_ensembles(store.url)
    grid = orchestration.grid.config.load_grid(path)
    for planned in orchestration.grid.plan.make_plan(grid, orchestration.grid.cells.expand(grid)):
        folder = write_cell(tmp_path, seed=planned.cell.seed, draws=0, fingerprint=str(planned.training_fingerprint))
        if planned.cell.seed != 1:
            result = folder / "result.json"
            fresh = {"evaluation_fingerprint": planned.evaluation_fingerprint}
            result.write_text(json.dumps(json.loads(result.read_text()) | fresh))
    waiting = {one.name: one for one in report_source.gather(path, tmp_path).pending}
    assert waiting["all"].reason == f"2 of 3 members: {NAME}-seed1 to be scored again"
    assert waiting["two"].command == f"uniferum grid evaluate {path} --only {NAME}-seed1"


def test_the_scores_of_an_ensemble_are_kept_elsewhere_if_the_root_is_on_another_machine(tmp_path, with_ensembles):
    for seed in (0, 1):
        write_cell(tmp_path, seed=seed, draws=0)
    path = with_ensembles(tmp_path / "absent")
    path.write_text(path.read_text().replace(f"root: {tmp_path}", f"root: {tmp_path}/elsewhere"))
    record = report_source.gather(path, tmp_path).records[-1]
    assert record.name == "two"
    assert record.files.predictions.exists()
    assert not (tmp_path / "elsewhere").exists()
