import threading

import numpy as np
import pandas as pd
import pytest
import torch

from tests.support.small_stores import PATCH, SMALL, TOKENS, organs, volume, write_store
from uniferum.data.loading.augmentation import AugmentationConfig, draw
from uniferum.data.loading.batch import Batch
from uniferum.data.loading.batches import EvaluationBatches, TrainingBatches
from uniferum.data.loading.resample import resample_image
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.sampling import SamplingConfig, training_table
from uniferum.data.settings import DataConfig
from uniferum.data.tasks import evaluation_tasks, joined
from uniferum.errors import UniferumError
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import training_level

COUNT = 24


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreparedCohort]:
    path = tmp_path_factory.mktemp("store") / "ctrate"
    splits = ["train"] * 18 + ["test"] * 6
    labels = {
        "pleural_effusion": [number % 2 for number in range(COUNT)],
        "emphysema": [number // 2 % 2 for number in range(COUNT)],
        "cardiomegaly": [number % 3 // 2 for number in range(COUNT)],
    }
    masks = {"totalsegmentator": {number: organs(number) for number in range(COUNT)}}
    return {"CTRATE": write_store(path, "CTRATE", splits, labels, masks=masks)}


@pytest.fixture(scope="module")
def table(cohorts: dict[str, PreparedCohort]) -> pd.DataFrame:
    config = SamplingConfig(luna_factor=0, organ_share=0.5)
    return training_table(cohorts, ["CTRATE", "SEG"], config, seed=0)


def batches(
    table: pd.DataFrame, cohorts: dict[str, PreparedCohort], config: DataConfig, **changes: object
) -> TrainingBatches:
    settings = {
        "geometry": SMALL,
        "augmentation": AugmentationConfig(),
        "tokens_shape": TOKENS,
        "patch": PATCH,
        "batch": 24,
        "micro_batch": 8,
        "seed": 11,
    }
    return TrainingBatches(table, cohorts, config, **{**settings, **changes})


def assert_same(one: Batch, other: Batch, *, atol: float = 0.0) -> None:
    assert one.prompts == other.prompts
    assert one.task_ids == other.task_ids
    assert one.labels == other.labels
    assert one.volume_ids == other.volume_ids
    for name in ("row_volume", "seg_rows"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    torch.testing.assert_close(one.label_target, other.label_target, equal_nan=True, rtol=0, atol=0)
    torch.testing.assert_close(one.volume, other.volume, rtol=0, atol=atol)
    if not atol:
        assert torch.equal(one.seg_target, other.seg_target)


def test_rows_point_to_the_volume_and_target_of_their_task(
    table: pd.DataFrame, cohorts: dict[str, PreparedCohort]
) -> None:
    rows = table.set_index("task_id")
    seen = 0
    for batch in batches(table, cohorts, DataConfig()).step(0) + batches(table, cohorts, DataConfig()).step(1):
        assert batch.rows == 8
        assert batch.volume.shape == (len(batch.volume_ids), 1, 48, 40, 32)
        for index, task_id in enumerate(batch.task_ids):
            task = rows.loc[task_id]
            assert batch.volume_ids[int(batch.row_volume[index])] == task["volume_id"]
            assert (batch.prompts[index], batch.labels[index]) == (task["prompt"], task["label"])
            np.testing.assert_equal(float(batch.label_target[index]), task["target"])
        segments = [index for index, t in enumerate(batch.task_ids) if rows.loc[t, "kind"] == "segmentation"]
        assert batch.seg_rows.tolist() == segments
        assert batch.seg_target.shape == (len(segments), 120, 64)
        assert batch.label_target[batch.seg_rows].isnan().all()
        seen += len(segments)
    assert seen > 0


def test_the_volume_is_the_drawn_augmentation_of_the_stored_level(
    table: pd.DataFrame, cohorts: dict[str, PreparedCohort]
) -> None:
    augmentation = AugmentationConfig(noise=0.0)
    first = batches(table, cohorts, DataConfig(), augmentation=augmentation).step(5)[0]
    for index, volume_id in enumerate(first.volume_ids):
        drawn = draw(augmentation, seed=11, step=5, slot=index)
        level = training_level(volume(int(volume_id[-3:])), SMALL)
        movement = drawn.source_from_output() if drawn.moves else None
        expected = resample_image(level, movement, SMALL, level="train", offset=drawn.offset)
        np.testing.assert_array_equal(first.volume[index, 0].numpy(), expected)


def test_noise_has_the_drawn_deviation(table: pd.DataFrame, cohorts: dict[str, PreparedCohort]) -> None:
    noisy = AugmentationConfig(probability=1.0, rotation_deg=0, zoom=0, offset=0, noise=0.01)
    quiet = AugmentationConfig(probability=1.0, rotation_deg=0, zoom=0, offset=0, noise=0)
    one = batches(table, cohorts, DataConfig(), augmentation=noisy).step(3)[0]
    other = batches(table, cohorts, DataConfig(), augmentation=quiet).step(3)[0]
    for index in range(len(one.volume_ids)):
        noise = (one.volume[index] - other.volume[index]).numpy().ravel()
        drawn = draw(noisy, seed=11, step=3, slot=index)
        assert abs(noise.std() / drawn.noise_std - 1) < 0.02
        assert abs(noise.mean()) < 5 * drawn.noise_std / np.sqrt(noise.size)


@pytest.mark.parametrize("level", ["train", "full"])
def test_threads_give_the_batches_of_no_threads_bit_for_bit(
    level: str, table: pd.DataFrame, cohorts: dict[str, PreparedCohort]
) -> None:
    masks_only_at_train = table[table["kind"] != "segmentation"] if level == "full" else table
    inline = batches(masks_only_at_train, cohorts, DataConfig(level=level, cache_gib=0.0))
    threaded = batches(masks_only_at_train, cohorts, DataConfig(level=level, loader_workers=3, prefetch=2))
    for step, prepared in enumerate(threaded.steps(2, 6), start=2):
        for one, other in zip(inline.step(step), prepared, strict=True):
            assert_same(one, other)


def test_a_resumed_training_sees_what_an_uninterrupted_one_sees(
    table: pd.DataFrame, cohorts: dict[str, PreparedCohort]
) -> None:
    whole = list(batches(table, cohorts, DataConfig()).steps(0, 8))
    resumed = list(batches(table, cohorts, DataConfig(loader_workers=1)).steps(5, 8))
    for one, other in zip(whole[5:], resumed, strict=True):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)


def test_workers_share_the_micro_batches_of_one(table: pd.DataFrame, cohorts: dict[str, PreparedCohort]) -> None:
    alone = batches(table, cohorts, DataConfig()).step(4)
    shared = [batches(table, cohorts, DataConfig(), rank=rank, world=2).step(4) for rank in range(2)]
    assert [len(part) for part in shared] == [2, 1]
    for number, micro in enumerate(alone):
        assert_same(micro, shared[number % 2][number // 2])


def test_other_steps_and_seeds_see_other_volumes(table: pd.DataFrame, cohorts: dict[str, PreparedCohort]) -> None:
    made = batches(table, cohorts, DataConfig())
    other = batches(table, cohorts, DataConfig(), seed=12)
    tasks = [tuple(b.task_ids for b in steps) for steps in (made.step(0), made.step(1), other.step(0))]
    assert len({str(t) for t in tasks}) == 3


def test_leaving_early_ends_the_threads(table: pd.DataFrame, cohorts: dict[str, PreparedCohort]) -> None:
    running = batches(table, cohorts, DataConfig(loader_workers=2)).steps(0, 1000)
    next(running)
    assert any(thread.name.startswith("loader") for thread in threading.enumerate())
    running.close()
    assert not any(thread.name.startswith("loader") for thread in threading.enumerate())


def test_a_fault_on_a_thread_is_raised_where_the_batch_is_taken(
    table: pd.DataFrame, cohorts: dict[str, PreparedCohort]
) -> None:
    lost = table.assign(scan_id="nowhere")
    with pytest.raises(UniferumError, match=r"nowhere must be in the store"):
        next(batches(lost, cohorts, DataConfig(loader_workers=2)).steps(0, 3))


@pytest.mark.parametrize("outside", ["edge", "air"])
@pytest.mark.parametrize("level", ["train", "full"])
def test_resampling_on_the_device_is_the_same_transform(
    level: str, outside: str, table: pd.DataFrame, cohorts: dict[str, PreparedCohort]
) -> None:
    table = table[table["kind"] != "segmentation"] if level == "full" else table
    augmentation = AugmentationConfig(noise=0.0, outside=outside)
    host = batches(table, cohorts, DataConfig(level=level), augmentation=augmentation)
    device = batches(table, cohorts, DataConfig(level=level, resample="device"), augmentation=augmentation)
    for step in range(1 if level == "full" else 2):
        for one, other in zip(host.step(step), device.step(step), strict=True):
            assert other.volume.numel() == 0
            made = other.to("cpu")
            assert made.pending is None
            assert_same(one, made, atol=3e-4)
            # Nearest voxels may differ where a position lies on the border of two.
            assert (one.seg_target != made.seg_target).float().mean() < 2e-3 if len(one.seg_rows) else True


def test_counts_are_those_of_the_whole_step(table: pd.DataFrame, cohorts: dict[str, PreparedCohort]) -> None:
    made = batches(table, cohorts, DataConfig(), rank=1, world=3)
    whole = batches(table, cohorts, DataConfig()).step(2)
    segments = sum(len(b.seg_rows) for b in whole)
    assert made.counts(2) == (24 - segments, segments)


def test_evaluation_meets_every_volume_once_with_all_its_rows(cohorts: dict[str, PreparedCohort]) -> None:
    tested = evaluation_tasks(cohorts["CTRATE"], "test")
    for config in (DataConfig(), DataConfig(loader_workers=2, cache_gib=0)):
        made = EvaluationBatches(
            tested, cohorts, config, geometry=SMALL, tokens_shape=TOKENS, patch=PATCH, volumes_per_batch=4
        )
        got = list(made)
        assert len(got) == len(made) == 2
        assert [v for b in got for v in b.volume_ids] == [f"CTRATE/s{n:03d}" for n in range(18, 24)]
        assert sorted(t for b in got for t in b.task_ids) == sorted(tested["task_id"])
        level = training_level(volume(18), SMALL)
        np.testing.assert_array_equal(got[0].volume[0, 0], resample_image(level, None, SMALL, level="train"))


def test_no_rows_give_no_evaluation_batches(cohorts: dict[str, PreparedCohort]) -> None:
    made = EvaluationBatches(joined([]), cohorts, DataConfig(), geometry=SMALL, tokens_shape=TOKENS, patch=PATCH)
    assert list(made) == []


def test_faults_of_the_user_are_named(table: pd.DataFrame, cohorts: dict[str, PreparedCohort]) -> None:
    other = Geometry(spacing_mm=(8, 8, 8), model_shape=(48, 40, 32))
    with pytest.raises(UniferumError, match=r"store of CTRATE: geometry .* must be the run's own"):
        batches(table, cohorts, DataConfig(), geometry=other)
    with pytest.raises(UniferumError, match="must have at least one row"):
        batches(joined([]), cohorts, DataConfig())
    with pytest.raises(UniferumError, match="4 workers for 3 micro-batches"):
        batches(table, cohorts, DataConfig(), world=4)


def test_how_fast_is_no_part_of_what() -> None:
    assert DataConfig(loader_workers=4, prefetch=9, cache_gib=0).identity() == DataConfig().identity()
    assert DataConfig(tasks_per_volume=1).identity() != DataConfig().identity()


def test_batches_that_count_volumes_hold_as_many_whatever_their_rows(
    table: pd.DataFrame, cohorts: dict[str, PreparedCohort]
) -> None:
    made = batches(table, cohorts, DataConfig(tasks_per_volume=3), batch=8, micro_batch=4, by_volumes=True)
    for step in range(3):
        micro_batches = made.step(step)
        assert [len(batch.volume_ids) for batch in micro_batches] == [4, 4]
        assert sum(batch.rows for batch in micro_batches) == sum(made.counts(step))
    with pytest.raises(UniferumError, match="3 workers for 2 micro-batches"):
        batches(table, cohorts, DataConfig(), batch=8, micro_batch=4, by_volumes=True, world=3)


@pytest.mark.parametrize("resample", ["host", "device"])
def test_where_each_row_draws_its_own_augmentation_each_has_an_encoding_of_its_own(
    resample: str, table: pd.DataFrame, cohorts: dict[str, PreparedCohort]
) -> None:
    config = DataConfig.model_validate({"tasks_per_volume": 3, "resample": resample})
    how = AugmentationConfig(unit="row", noise=0.0, probability=1.0)
    whole = {"batch": 4, "micro_batch": 4, "by_volumes": True}
    shared = batches(table, cohorts, config, **whole).step(0)[0]
    apart = batches(table, cohorts, config, augmentation=how, **whole).step(0)[0].to("cpu")
    assert apart.task_ids == shared.task_ids, "the same rows"
    assert len(apart.volume_ids) == apart.rows > len(shared.volume_ids) == 4
    assert apart.row_volume.tolist() == list(range(apart.rows))
    assert apart.volume_ids == [shared.volume_ids[index] for index in shared.row_volume.tolist()]
    for index in (0, 1):
        drawn = draw(how, seed=11, step=0, slot=index)
        own = training_level(volume(int(apart.volume_ids[index][-3:])), SMALL)
        expected = resample_image(own, drawn.source_from_output(), SMALL, level="train", offset=drawn.offset)
        np.testing.assert_allclose(apart.volume[index, 0].numpy(), expected, atol=2e-4)
