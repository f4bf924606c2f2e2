import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from jaxtyping import TypeCheckError
from monai import transforms as monai_transforms

from tests.support.small_stores import PATCH, SMALL, TOKENS, write_store
from uniferum.config import parse
from uniferum.data.loading.augmentation import AugmentationConfig
from uniferum.data.loading.batches import EvaluationBatches, TrainingBatches
from uniferum.data.loading.transforms import UserTransforms
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.sampling import SamplingConfig, training_table
from uniferum.data.settings import INTENSITY_TRANSFORMS, DataConfig
from uniferum.errors import UniferumError

CONTRAST = {"name": "RandAdjustContrast", "arguments": {"prob": 1.0, "gamma": [0.5, 2.0]}}
NOISE = {"name": "RandGaussianNoise", "arguments": {"prob": 0.5, "std": 0.1}}
NEEDED: dict[str, dict[str, Any]] = {
    "RandScaleIntensity": {"factors": 0.1},
    "RandScaleIntensityFixedMean": {"factors": 0.1},
    "RandShiftIntensity": {"offsets": 0.1},
    "RandStdShiftIntensity": {"factors": 0.1},
    "RandCoarseDropout": {"holes": 2, "spatial_size": 3},
}


def config(*transforms: dict[str, Any], **keys: Any) -> DataConfig:
    return parse(DataConfig, {"transforms": list(transforms), **keys}, source="run.yaml")


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((12, 10, 8), np.float32))


@pytest.mark.parametrize("name", sorted(INTENSITY_TRANSFORMS))
def test_every_allowed_transform_follows_from_its_seed_and_keeps_the_grid(name: str, image: torch.Tensor) -> None:
    arguments = {"prob": 1.0, **NEEDED.get(name, {})}
    apply = UserTransforms(config({"name": name, "arguments": arguments}).transforms)
    before = image.clone()
    one, again, other = apply(image, 3), apply(image, 3), apply(image, 4)
    assert (one.shape, one.dtype, type(one)) == (image.shape, torch.float32, torch.Tensor)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, image)
    assert torch.equal(image, before)


def test_transforms_apply_in_the_order_of_the_config(image: torch.Tensor) -> None:
    there = UserTransforms(config(CONTRAST, NOISE).transforms)(image, 7)
    back = UserTransforms(config(NOISE, CONTRAST).transforms)(image, 7)
    assert not torch.equal(there, back)


def _public(module: Any) -> Sequence[str]:
    kinds = inspect.getmembers(module, inspect.isclass)
    return [name for name, kind in kinds if kind.__module__ == module.__name__ and hasattr(monai_transforms, name)]


def test_every_transform_of_monai_that_moves_voxels_is_refused_as_such() -> None:
    names = [*_public(monai_transforms.spatial.array), *_public(monai_transforms.croppad.array)]
    assert {"RandAffine", "Flip", "RandSpatialCrop"} <= set(names)
    for name in [*names, "RandCoarseShuffle"]:
        with pytest.raises(
            UniferumError, match=rf"transforms\.0\.name \({name}\) must change intensities only"
        ) as caught:
            config({"name": name})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [("RandAdjustContrst", "did you mean 'RandAdjustContrast'"), ("NormalizeIntensity", "allowed: Rand")],
)
def test_another_name_is_refused_with_those_that_are_allowed(name: str, near: str) -> None:
    with pytest.raises(UniferumError, match=rf"\({name}\) must be a random intensity transform of MONAI; .*{near}"):
        config({"name": name})


def test_wrong_arguments_are_refused_before_the_first_step() -> None:
    wrong = config({"name": "RandAdjustContrast", "arguments": {"gama": 2}})
    with pytest.raises(UniferumError, match=r"data\.transforms: RandAdjustContrast .*gama") as caught:
        UserTransforms(wrong.transforms)
    assert "\n" not in str(caught.value)


def test_a_volume_of_another_rank_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        UserTransforms()(torch.zeros(1, 12, 10, 8), 0)


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreparedCohort]:
    path = tmp_path_factory.mktemp("store") / "ctrate"
    labels = {"emphysema": [number % 2 for number in range(8)]}
    return {"CTRATE": write_store(path, "CTRATE", ["train"] * 8, labels)}


@pytest.fixture(scope="module")
def table(cohorts: dict[str, PreparedCohort]) -> pd.DataFrame:
    return training_table(cohorts, ["CTRATE"], SamplingConfig(luna_factor=0), seed=0)


def training(table: pd.DataFrame, cohorts: dict[str, PreparedCohort], settings: DataConfig) -> TrainingBatches:
    return TrainingBatches(
        table,
        cohorts,
        settings,
        geometry=SMALL,
        augmentation=AugmentationConfig(),
        tokens_shape=TOKENS,
        patch=PATCH,
        batch=8,
        micro_batch=4,
        seed=11,
    )


def test_a_resumed_training_and_threads_see_the_same_transformed_volumes(
    table: pd.DataFrame, cohorts: dict[str, PreparedCohort]
) -> None:
    first, *_ = whole = list(training(table, cohorts, config(CONTRAST, NOISE)).steps(0, 3))
    resumed = training(table, cohorts, config(CONTRAST, NOISE)).step(2)
    threads = list(training(table, cohorts, config(CONTRAST, NOISE, loader_workers=2)).steps(0, 3))
    plain = training(table, cohorts, config()).step(0)
    for one, other in zip(whole[2], resumed, strict=True):
        assert torch.equal(one.volume, other.volume)
    for micro, same in zip([m for step in whole for m in step], [m for step in threads for m in step], strict=True):
        assert torch.equal(micro.volume, same.volume)
    assert not torch.equal(first[0].volume, plain[0].volume)


def test_volumes_left_for_the_device_are_transformed_as_on_the_host(
    table: pd.DataFrame, cohorts: dict[str, PreparedCohort]
) -> None:
    host = training(table, cohorts, config(CONTRAST)).step(0)[0]
    device = training(table, cohorts, config(CONTRAST, resample="device")).step(0)[0].to("cpu")
    plain = training(table, cohorts, config()).step(0)[0]
    moved = (host.volume - plain.volume).abs().amax(dim=(1, 2, 3, 4))
    apart = (host.volume - device.volume).abs().mean(dim=(1, 2, 3, 4))
    assert (apart < 0.2 * moved).all()  # noise of the device is another draw


def test_evaluation_volumes_are_not_transformed(table: pd.DataFrame, cohorts: dict[str, PreparedCohort]) -> None:
    how = {"geometry": SMALL, "tokens_shape": TOKENS, "patch": PATCH}
    one = next(iter(EvaluationBatches(table, cohorts, config(CONTRAST), **how)))
    other = next(iter(EvaluationBatches(table, cohorts, config(), **how)))
    assert torch.equal(one.volume, other.volume)
