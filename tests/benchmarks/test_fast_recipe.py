"""The comparison of the two recipes: its statistics on made-up scores, and what "equal" means."""

from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from scipy import stats

from tests.support.benchmarks import load_benchmark
from uniferum.run import RunConfig

PAPER = [0.861, 0.874, 0.858, 0.869, 0.866]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load_benchmark("fast_recipe")


def shifted(*by: float) -> list[float]:
    return [value + change for value, change in zip(PAPER, by, strict=True)]


def test_the_interval_is_that_of_the_paired_t_test(benchmark: ModuleType) -> None:
    ours = shifted(0.004, -0.002, 0.001, -0.006, 0.000)
    result = benchmark.paired(ours, PAPER)
    theirs = stats.ttest_rel(ours, PAPER).confidence_interval(0.95)
    assert (result.lo, result.hi) == pytest.approx((theirs.low, theirs.high))
    assert result.mean == pytest.approx(-0.0006)


@pytest.mark.parametrize(
    ("by", "verdict"),
    [
        ((0.001, -0.001, 0.0005, -0.0005, 0.0), "non-inferior within 0.01"),
        ((0.05, 0.04, 0.06, 0.05, 0.05), "non-inferior within 0.01"),
        ((-0.008, -0.009, -0.0085, -0.0088, -0.0082), "non-inferior within 0.01"),
        ((-0.03, -0.032, -0.029, -0.031, -0.03), "inferior by more than 0.01"),
        ((0.02, -0.02, 0.015, -0.018, 0.001), "not decided by these seeds"),
        ((-0.01, -0.01, -0.011, -0.009, -0.01), "not decided by these seeds"),
    ],
)
def test_the_verdict_follows_the_interval_and_the_margin_alone(
    benchmark: ModuleType, by: tuple[float, ...], verdict: str
) -> None:
    assert benchmark.paired(shifted(*by), PAPER).verdict == verdict


def test_a_shift_common_to_a_seed_is_no_difference(benchmark: ModuleType) -> None:
    """Pairing takes out what the seeds share, which is much more than the margin here."""
    theirs = [0.70, 0.80, 0.90]
    assert benchmark.paired([value + 0.001 for value in theirs], theirs).verdict == "non-inferior within 0.01"


@pytest.mark.parametrize(
    ("ours", "theirs"), [([0.8], [0.8]), ([0.8, 0.7], [0.8]), ([], []), ([0.8, float("nan")], [0.8, 0.7])]
)
def test_without_two_whole_pairs_there_is_no_verdict(
    benchmark: ModuleType, ours: list[float], theirs: list[float]
) -> None:
    with pytest.raises(ValueError, match=r"two or more seeds|undefined"):
        benchmark.paired(ours, theirs)


def test_equal_volumes_and_equal_rows_are_what_they_say(benchmark: ModuleType) -> None:
    assert benchmark.rows_a_volume([1, 4, 5, 10], 4) == pytest.approx(20 / (1 + 1 + 2 + 3))
    config = RunConfig.model_validate(
        {"name": "x", "train_on": ["CTRATE"], "training": {"steps": 600, "validate_every": 100, "batch": 64}}
    )
    paper, volumes, rows = benchmark.ways_of(config, 3.25, 4, None)
    assert (paper.steps, paper.volumes, paper.rows) == (600, 38_400, 38_400)
    assert (volumes.steps, volumes.volumes) == (1600, 38_400)
    assert rows.rows == pytest.approx(38_400, rel=0.005)
    assert rows.volumes == pytest.approx(38_400 / 3.25, rel=0.005)
    for way in (volumes, rows):
        made = benchmark.seeded(config, way, 3)
        assert (made.seed, made.training.batch, made.training.micro_batch_volumes) == (3, 24, 8)
        assert made.training.micro_batch is None
        assert made.data.tasks_per_volume == 4
        assert made.training.steps == way.steps
        assert made.training.steps / made.training.validate_every == pytest.approx(6, rel=0.02)
    ungrouped = benchmark.seeded(config, paper, 3)
    assert (ungrouped.data.tasks_per_volume, ungrouped.training.micro_batch) == (1, 8)


def test_recipes_that_both_learn_nothing_are_not_called_equal(benchmark: ModuleType) -> None:
    nothing = [0.5, 0.51, 0.49]
    result = benchmark.paired(nothing, nothing)
    assert result.verdict.startswith("non-inferior")
    assert benchmark.judged(result, nothing) == "not judged: the paper's recipe reached only 0.50 here"


def test_the_table_has_a_line_a_recipe_with_its_verdict(benchmark: ModuleType) -> None:
    config = RunConfig.model_validate({"name": "x", "train_on": ["CTRATE"]})
    ways = benchmark.ways_of(config, 3.25, 4, None)
    scores = {ways[0].name: PAPER, ways[1].name: shifted(*[0.002] * 5), ways[2].name: shifted(*[-0.05] * 5)}
    lines = benchmark.table(ways, scores, dict.fromkeys(scores, 10.0)).splitlines()
    assert len(lines) == 5
    assert "+0.0020 (+0.0020 to +0.0020) | non-inferior" in lines[3]
    assert "inferior by more than 0.01" in lines[4]


def test_a_narrowed_store_knows_the_named_labels_alone(
    benchmark: ModuleType, tmp_path: Path, small_store: Path
) -> None:
    kept = benchmark.narrowed(small_store, ["emphysema"], tmp_path / "narrow")
    assert set(pd.read_parquet(kept / "labels.parquet")["label"]) == {"emphysema"}
    assert set(pd.read_parquet(small_store / "labels.parquet")["label"]) == {"emphysema", "atelectasis"}
    with pytest.raises(ValueError, match=r"no label cardiomegaly; it has atelectasis, emphysema"):
        benchmark.narrowed(small_store, ["cardiomegaly"], tmp_path / "other")


@pytest.fixture
def small_store(tmp_path: Path) -> Path:
    rows = [("a", "emphysema", 1), ("a", "atelectasis", 0), ("b", "emphysema", 0)]
    (tmp_path / "store").mkdir()
    table = pd.DataFrame(rows, columns=["scan_id", "label", "value"])
    table.to_parquet(tmp_path / "store" / "labels.parquet", index=False)
    (tmp_path / "store" / "store.json").write_text("{}", encoding="utf-8")
    return tmp_path / "store"


def test_a_copy_of_other_data_is_not_taken_for_the_store(
    benchmark: ModuleType, small_store: Path, tmp_path: Path
) -> None:
    kept = benchmark.narrowed(small_store, ["emphysema"], tmp_path / "narrow")
    with (kept / "store.json").open("a", encoding="utf-8") as settings:
        settings.write("\n")
    with pytest.raises(ValueError, match="is not a copy of"):
        benchmark.narrowed(small_store, ["emphysema"], tmp_path / "narrow")
