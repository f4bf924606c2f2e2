"""The benchmark of the paper's own model: it keeps fusion, heads and losses, and its short form runs."""

from pathlib import Path
from types import ModuleType

import pytest

from tests.support.benchmarks import load_benchmark
from tests.support.small_runs import write_store
from uniferum.config import merge
from uniferum.run.config import RunConfig

ROOT = Path(__file__).parents[2]
GRID = ROOT / "configs" / "paper_grid.yaml"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load_benchmark("paper_learns")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 8, "validation": 4, "test": 4}
    return write_store(tmp_path_factory.mktemp("store") / "c", "CTRATE", ("pleural_effusion", "cardiomegaly"), counts)


def _changed(config: RunConfig, change: dict[str, object]) -> RunConfig:
    return RunConfig.model_validate(merge(config.model_dump(mode="json"), change))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"model": {"fusion": {"summary": True}}}, "model.fusion.summary"),
        ({"model": {"preset": "released"}}, "model.preset"),
        ({"model": {"kind": "cnn"}}, "model.kind"),
        ({"model": {"patch": 2}}, "model.patch"),
        ({"optim": {"focal_gamma": 1.0}}, "optim.focal_gamma"),
        ({"optim": {"segmentation_weight": 1.0}}, "optim.segmentation_weight"),
    ],
)
def test_another_fusion_head_or_loss_than_the_papers_is_refused(
    benchmark: ModuleType, store: Path, change: dict[str, object], key: str
) -> None:
    paper, here = benchmark.configs(store, {}, GRID)
    with pytest.raises(ValueError, match=key):
        benchmark.differences(paper, _changed(here, change))


def test_every_other_difference_stands_beside_the_papers_value(benchmark: ModuleType, store: Path) -> None:
    paper, here = benchmark.configs(store, {}, GRID)
    differences = {key: (theirs, ours) for key, theirs, ours in benchmark.differences(paper, here)}
    assert differences["training.steps"][0] == 25_000
    assert differences["model.encoder.stride"] == (32, 16)
    assert differences["optim.lr"][0] == 5e-5


def test_a_key_that_must_be_the_papers_cannot_be_set_either(benchmark: ModuleType, store: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.fusion\.summary"):
        benchmark.main(
            ["--store", str(store), "--out", str(tmp_path), "--grid", str(GRID), "--set", "model.fusion.summary=true"]
        )


def test_its_short_form_prints_curve_spread_and_result(
    benchmark: ModuleType, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--set", "model.encoder.stride=4"]
    auroc = benchmark.main(["--quick", "--store", str(store), "--out", str(tmp_path), "--grid", str(GRID), *small])
    printed = capsys.readouterr().out
    assert 0 <= auroc <= 1
    assert "prompt spread" in printed
    assert "|      32 |" in printed
    assert f"AUROC {auroc:.4f}" in printed
