"""CT-CLIP as cells: pretraining on reports, then each way from that checkpoint, and each trained one from nothing."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.support.small_runs import CONFIG, LABELS, make_config
from uniferum.config import load, parse
from uniferum.data.reports import read_reports, write_reports
from uniferum.errors import UniferumError
from uniferum.model.ct_clip_config import CXR_BERT, CtClipConfig
from uniferum.model.registry import build_model
from uniferum.preprocessing.pipeline import PreparationConfig
from uniferum.run import RunConfig, RunResult, train_run
from uniferum.run.identity import Reading, fingerprints, training_content
from uniferum.run.identity_keys import identity_of
from uniferum.run.rows import planned_lines
from uniferum.run.stores import open_cohort
from uniferum.run_files import RunFiles
from uniferum.training.reporter import read_steps

CONFIGS = Path(__file__).parents[3] / "configs"
Stores = dict[str, Path]
OWN: dict[str, Any] = {
    "input": {"spacing_mm": None},
    "vit": {
        "width": 32,
        "patch": 4,
        "patch_slices": 4,
        "spatial_layers": 1,
        "temporal_layers": 1,
        "heads": 4,
        "head_width": 8,
        "codes": 32,
    },
    "latent": 16,
}


def _config(way: str, steps: int = 3, **own: Any) -> RunConfig:
    return make_config(
        model={"kind": "ct_clip", "ct_clip": OWN | {"way": way} | own},
        training={"steps": steps, "validate_every": 3, "batch": 8, "micro_batch": 4},
    )


@pytest.fixture(scope="module")
def with_reports(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """The stores, with a report for each scan of one cohort."""
    store = tmp_path_factory.mktemp("reported") / "CTRATE"
    shutil.copytree(stores["CTRATE"], store)
    cohort = open_cohort({"CTRATE": store}, "CTRATE")
    known: dict[str, list[str]] = {}
    for scan, label, value in cohort.known():
        known.setdefault(scan, []).append(f"{label.replace('_', ' ')} is {'' if value else 'not '}present.")
    write_reports(store, {scan: " ".join(sentences) for scan, sentences in known.items()})
    return {**stores, "CTRATE": store}


@pytest.fixture(scope="module")
def pretrained(with_reports: Stores, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("runs") / "contrastive"
    return folder, train_run(_config("contrastive", steps=4), with_reports, folder, device="cpu")


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(RunFiles(folder).best / "model.safetensors")


def test_pretraining_on_reports_is_a_cell(pretrained: tuple[Path, RunResult]) -> None:
    folder, result = pretrained
    assert result.record["rows"]["labels"] == {"CTRATE": {"report": {"report": 12}}}
    lines = [line for line in read_steps(RunFiles(folder).steps) if "loss" in line]
    assert [line["rows"] for line in lines] == [8.0] * 4
    assert "loss/classification" not in lines[0]
    assert {row["cohort"] for row in result.record["groups"]} == set(LABELS)


def test_pretraining_moves_the_codes(pretrained: tuple[Path, RunResult]) -> None:
    assert _weights(pretrained[0])["visual.quantizer.usage"].sum() > 0


def test_zero_shot_scores_a_checkpoint_without_training(
    with_reports: Stores, pretrained: tuple[Path, RunResult], tmp_path: Path
) -> None:
    weights = RunFiles(pretrained[0]).best / "model.safetensors"
    config = _config("zero_shot", steps=0, checkpoint=str(weights))
    result = train_run(config, with_reports, tmp_path / "run", device="cpu")
    assert result.record["steps"] == 0
    assert result.record["groups"] == pretrained[1].record["groups"]
    assert train_run(config, with_reports, tmp_path / "run", device="cpu") == result


@pytest.mark.parametrize("way", ["vocabfine", "classfine"])
@pytest.mark.parametrize("start", ["checkpoint", "nothing"])
def test_the_trained_ways_start_from_a_checkpoint_or_from_nothing(
    with_reports: Stores, pretrained: tuple[Path, RunResult], tmp_path: Path, way: str, start: str
) -> None:
    weights = RunFiles(pretrained[0]).best / "model.safetensors"
    config = _config(way, **({"checkpoint": str(weights)} if start == "checkpoint" else {}))
    result = train_run(config, with_reports, tmp_path / "run", device="cpu")
    assert result.record["model"] == "ct_clip"
    assert result.record["steps"] == 3
    before, after = _weights(pretrained[0]), _weights(tmp_path / "run")
    same = torch.equal(before["visual.patches.project.weight"], after["visual.patches.project.weight"])
    assert same == (way == "classfine" and start == "checkpoint")


def test_the_fingerprint_follows_the_reports_of_a_training_that_reads_them(
    with_reports: Stores, tmp_path: Path
) -> None:
    config, labelled = _config("contrastive"), _config("vocabfine")
    before, other = fingerprints(config, with_reports), fingerprints(labelled, with_reports)
    assert set(training_content(config, with_reports)["reports"]) == {"CTRATE"}
    store = tmp_path / "CTRATE"
    shutil.copytree(with_reports["CTRATE"], store)
    texts = read_reports(store)
    changed = next(scan for scan in texts if scan.startswith("train"))
    write_reports(store, {**texts, changed: "Another report."})
    moved = {**with_reports, "CTRATE": store}
    assert fingerprints(config, moved).training != before.training
    assert fingerprints(labelled, moved) == other


def test_the_section_is_in_the_fingerprint_of_ct_clip_alone(stores: Stores) -> None:
    assert "ct_clip" in identity_of(_config("vocabfine"))["model"]
    assert "ct_clip" not in identity_of(make_config())["model"]
    changed = make_config(model={"ct_clip": {"latent": 7}})
    assert fingerprints(changed, stores) == fingerprints(make_config(), stores)


def test_a_checkpoint_counts_by_its_content(stores: Stores, pretrained: tuple[Path, RunResult], tmp_path: Path) -> None:
    weights = RunFiles(pretrained[0]).best / "model.safetensors"
    moved, changed = tmp_path / "moved.safetensors", tmp_path / "changed.safetensors"
    shutil.copy(weights, moved)
    changed.write_bytes(weights.read_bytes()[:-1] + b"x")
    first, second, third = (_config("vocabfine", checkpoint=str(path)) for path in (weights, moved, changed))
    assert fingerprints(first, stores) == fingerprints(second, stores)
    assert fingerprints(first, stores).training != fingerprints(third, stores).training


def test_a_store_without_reports_is_refused_with_the_command_that_adds_them(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match=r"must have reports .*uniferum data reports"):
        train_run(_config("contrastive"), stores, tmp_path / "run", device="cpu")


def test_a_plan_counts_no_label_rows_for_a_training_on_reports(with_reports: Stores) -> None:
    assert not [line for line in planned_lines(Reading(with_reports), _config("contrastive")) if "rows of" in line]


@pytest.mark.parametrize(
    ("way", "steps", "own", "message"),
    [
        ("zero_shot", 5, {"checkpoint": "x"}, "have training.steps 0 and a model.ct_clip.checkpoint"),
        ("zero_shot", 0, {}, "have training.steps 0 and a model.ct_clip.checkpoint"),
        ("vocabfine", 0, {}, "have training.steps of at least 1"),
    ],
)
def test_steps_that_do_not_fit_the_way_are_refused(way: str, steps: int, own: dict[str, Any], message: str) -> None:
    data = {**CONFIG, "model": {"kind": "ct_clip", "ct_clip": {"way": way, **own}}, "training": {"steps": steps}}
    with pytest.raises(UniferumError, match=message.replace(".", r"\.")):
        parse(RunConfig, data, source="run")


def test_reports_and_masks_are_not_trained_together() -> None:
    data = {**CONFIG, "train_on": ["CTRATE", "SEG"], "model": {"kind": "ct_clip", "ct_clip": {"way": "contrastive"}}}
    with pytest.raises(UniferumError, match="not have SEG in train_on"):
        parse(RunConfig, data, source="run")


def test_the_published_config_reads_volumes_on_ct_clips_own_grid() -> None:
    config, stored = load(RunConfig, CONFIGS / "ct_clip.yaml"), load(PreparationConfig, CONFIGS / "ct_clip_store.yaml")
    assert config.geometry == stored.geometry
    assert config.model.ct_clip == CtClipConfig(way="contrastive")
    assert config.model.ct_clip.input.shape == config.geometry.model_shape
    assert config.model.ct_clip.input.spacing_mm == config.geometry.level_spacing_mm
    assert config.model.text.name == CXR_BERT


def test_the_config_for_phantoms_fits_its_store() -> None:
    config = load(RunConfig, CONFIGS / "ct_clip_phantoms.yaml")
    model = build_model(config.model, config.geometry, (), config.seed)
    with torch.no_grad():
        assert model.eval().encode(torch.rand(1, 1, *config.geometry.model_shape)).shape == (1, 64)
