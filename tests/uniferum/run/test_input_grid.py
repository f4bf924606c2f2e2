"""The input of a run: what its record says, and systems with a grid of their own as cells, from both levels."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from tests.support.small_models import SMALL_CNN_TRANSFORMER, SMALL_CT_NET
from tests.support.small_runs import CONFIG, COUNTS, GEOMETRY, LABELS, make_config, write_store
from uniferum.config import parse
from uniferum.errors import UniferumError
from uniferum.model.registry import build_model
from uniferum.model.saved.hub import from_pretrained, save_pretrained
from uniferum.run import RunConfig, RunResult, train_run
from uniferum.run.build import open_workbench
from uniferum.run.identity import fingerprints
from uniferum.run.identity_keys import identity_of
from uniferum.run.input_grid import input_record, input_warnings
from uniferum.run_files import RunFiles
from uniferum.training.checkpoint import load_weights
from uniferum.training.precision import choose_compute

Stores = dict[str, Path]
FINE = {"spacing_mm": [8.0, 8.0, 8.0], "shape": [48, 40, 32]}
OWN: dict[str, dict[str, Any]] = {
    "ct_net": {"ct_net": SMALL_CT_NET | {"input": FINE}},
    "cnn_draelos": {"ct_net": SMALL_CT_NET},
    "cnn_transformer": {"cnn_transformer": SMALL_CNN_TRANSFORMER},
}
FULL = {
    "geometry": GEOMETRY.model_dump(mode="json") | {"model_shape": [48, 40, 32]},
    "data": {"level": "full"},
}


def _config(kind: str, **changes: Any) -> RunConfig:
    training = {"steps": 2, "validate_every": 2, "batch": 8, "micro_batch": 4} | changes.pop("training", {})
    return make_config(model={"kind": kind, **OWN[kind]}, evaluate_on=["CTRATE"], training=training, **changes)


@pytest.fixture(scope="module")
def with_full(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """A store that holds the full level besides."""
    root = tmp_path_factory.mktemp("full")
    return {"CTRATE": write_store(root / "CTRATE", "CTRATE", LABELS["CTRATE"], COUNTS, full=True)}


@pytest.fixture(scope="module")
def runs(stores: Stores, with_full: Stores, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunResult]:
    """A short run of each system, CT-Net from the full level."""
    root = tmp_path_factory.mktemp("runs")
    return {
        kind: train_run(
            _config(kind, **(FULL if kind == "ct_net" else {})),
            with_full if kind == "ct_net" else stores,
            root / kind,
            device="cpu",
        )
        for kind in OWN
    }


@pytest.mark.parametrize("kind", OWN)
def test_a_system_trains_as_a_cell_and_its_saved_weights_answer_the_same(
    runs: dict[str, RunResult], tmp_path: Path, kind: str
) -> None:
    result = runs[kind]
    assert (result.record["model"], result.record["steps"]) == (kind, 2)
    config = _config(kind, **(FULL if kind == "ct_net" else {}))
    labels = ("cardiomegaly", "pleural_effusion")
    model = build_model(config.model, config.geometry, labels, 9, pretrained=False).eval()
    load_weights(model, RunFiles(result.folder).best)
    assert result.record["parameters"] == sum(weight.numel() for weight in model.parameters())
    save_pretrained(model, tmp_path / "saved", config.model, config.geometry, labels)
    volume = torch.rand(1, 1, *config.geometry.model_shape, generator=torch.Generator().manual_seed(0))
    loaded = from_pretrained(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(model.encode(volume), loaded.encode(volume))
        assert torch.equal(
            model.predict(volume, ["x"], labels=labels[:1]).probability,
            loaded.predict(volume, ["x"], labels=labels[:1]).probability,
        )


def test_the_same_run_gives_the_same_bits(runs: dict[str, RunResult], stores: Stores, tmp_path: Path) -> None:
    again = train_run(_config("cnn_draelos"), stores, tmp_path / "again", device="cpu")
    files = [RunFiles(result.folder) for result in (runs["cnn_draelos"], again)]
    one, other = (load_file(file.best / "model.safetensors") for file in files)
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())
    tables = [pd.read_parquet(file.predictions) for file in files]
    pd.testing.assert_frame_equal(tables[0], tables[1])


def test_the_record_has_the_level_and_both_grids(runs: dict[str, RunResult]) -> None:
    assert runs["ct_net"].record["input"] == {
        "level": "full",
        "shape": [48, 40, 32],
        "spacing_mm": [8.0, 8.0, 8.0],
        "own": {"shape": [48, 40, 32], "spacing_mm": [8.0, 8.0, 8.0]},
        "coarser": "",
        "smaller": "",
    }
    coarse = {"level": "train", "shape": [24, 20, 16], "spacing_mm": [16.0, 16.0, 16.0]}
    assert runs["cnn_transformer"].record["input"] == coarse
    assert input_record(_config("ct_net")) == coarse | {
        "own": {"shape": [48, 40, 32], "spacing_mm": [8.0, 8.0, 8.0]},
        "coarser": "xyz",
        "smaller": "",
    }


def test_an_input_that_is_coarser_than_the_systems_own_is_said(
    stores: Stores, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (said,) = input_warnings(_config("ct_net"))
    assert said.startswith(
        "CT-NET reads voxels of 8 x 8 x 8 mm, and its input has 16 x 16 x 16 mm (coarser along x, y, z)"
    )
    assert input_warnings(_config("ct_net", **FULL)) == []
    with caplog.at_level(logging.WARNING):
        train_run(_config("ct_net", training={"steps": 1}), stores, tmp_path / "run", device="cpu")
    assert said in caplog.messages


def test_a_part_of_the_body_that_the_input_lacks_is_recorded() -> None:
    config = parse(RunConfig, {**CONFIG, "model": {"kind": "ct_net"}}, source="run")
    assert input_record(config)["smaller"] == "yz", (
        "the paper's crop has 384 x 320 x 256 mm, CT-Net's 336 x 336 x 321.6"
    )


def test_a_finer_input_needs_the_full_level(stores: Stores, with_full: Stores) -> None:
    compute = choose_compute("fp32", "cpu")
    open_workbench(_config("ct_net", **FULL), with_full, compute)
    for other in (
        {"geometry": FULL["geometry"]},
        FULL | {"geometry": FULL["geometry"] | {"spacing_mm": [4.0, 4.0, 4.0]}},
    ):
        with pytest.raises(UniferumError, match="store of CTRATE: geometry"):
            open_workbench(_config("ct_net", **other), with_full, compute)
    with pytest.raises(UniferumError, match=r"levels \(train\) must hold full"):
        open_workbench(_config("ct_net", **FULL), stores, compute)


@pytest.mark.parametrize("key", ["ct_net", "cnn_transformer"])
def test_a_section_is_in_the_fingerprint_of_its_own_systems_alone(stores: Stores, key: str) -> None:
    for kind in OWN:
        identity = identity_of(_config(kind))["model"]
        assert (key in identity) == (key in OWN[kind])
        assert identity["head"] == identity_of(make_config())["model"]["head"]
    changed = make_config(model={key: {"dropout": 0.25}})
    assert fingerprints(changed, stores) == fingerprints(make_config(), stores)
    assert key not in identity_of(make_config())["model"]
