"""The targets that masks are scored against: those of training, for all structures of a scan at once."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.small_stores import PATCH, SMALL, TOKENS, write_store
from uniferum.data.loading.mask_targets import MaskTargets
from uniferum.data.loading.resample import resample_mask
from uniferum.data.loading.targets import TargetGrid
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.vocabulary import Structure

GRID = TargetGrid.of(SMALL.model_shape, TOKENS, PATCH)


def opened(tmp_path: Path, **masks: np.ndarray) -> PreparedCohort:
    held = {layer: {0: ids} for layer, ids in masks.items()}
    return write_store(tmp_path / "store", "CTRATE", ["test", "test"], {"lung_nodule": [1, 0]}, masks=held)


def targets(cohort: PreparedCohort) -> MaskTargets:
    return MaskTargets({"CTRATE": cohort}, SMALL, "train", GRID)


def one_by_one(cohort: PreparedCohort, structure: Structure) -> np.ndarray:
    """A structure's target as a training row that is not moved has it."""
    members = np.zeros(256, np.uint8)
    members[list(structure.ids)] = 1
    mask = cohort.store.read_mask("s000", structure.layer, "train")
    return GRID.to_patches(resample_mask(mask, members, None, SMALL, level="train", pool=GRID.pool)) > 0


def test_every_structure_has_the_target_of_training(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    ids = random.integers(0, 118, SMALL.level_shape).astype(np.uint8)
    ids[random.random(ids.shape) < 0.9] = 0
    cohort = opened(tmp_path, totalsegmentator=ids, nodule=(random.random(ids.shape) < 0.01).astype(np.uint8))
    structures, masks = targets(cohort).of("CTRATE", "s000")
    assert len(structures) == 61, "60 organs, and nodules"
    for structure, target in zip(structures, masks, strict=True):
        np.testing.assert_array_equal(target, one_by_one(cohort, structure))


def test_only_what_the_scan_shows_in_the_field_is_scored(tmp_path: Path) -> None:
    ids = np.zeros(SMALL.level_shape, np.uint8)
    ids[20:30, 20:30, 10:20] = 51  # the heart
    ids[0, 0, 0] = 5  # the liver, in the margin that the model does not see
    cohort = opened(tmp_path, totalsegmentator=ids)
    structures, masks = targets(cohort).of("CTRATE", "s000")
    assert [one.id for one in structures] == ["heart"]
    assert masks.shape == (1, GRID.patches, PATCH**3)


def test_a_scan_without_masks_has_no_target(tmp_path: Path) -> None:
    cohort = opened(tmp_path, totalsegmentator=np.full(SMALL.level_shape, 51, np.uint8))
    structures, masks = targets(cohort).of("CTRATE", "s001")
    assert structures == []
    assert len(masks) == 0


@pytest.mark.parametrize("level", ["train", "full"])
def test_both_levels_give_the_target_of_training(tmp_path: Path, level: str) -> None:
    """The mask of the full level lies on a finer grid than the model's."""
    ids = np.zeros(SMALL.shape(level), np.uint8)
    middle = tuple(slice(n // 3, n // 2) for n in ids.shape)
    ids[middle] = 51

    class Store:
        def read_mask(self, scan_id: str, layer: str, wanted: str) -> np.ndarray:
            assert wanted == level
            return ids

    cohort = opened(tmp_path, totalsegmentator=np.full(SMALL.level_shape, 51, np.uint8))
    object.__setattr__(cohort, "store", Store())
    object.__setattr__(cohort, "_present", {("s000", "totalsegmentator"): frozenset({51})})
    _, masks = MaskTargets({"CTRATE": cohort}, SMALL, level, GRID).of("CTRATE", "s000")
    members = (np.arange(256) == 51).astype(np.uint8)
    expected = resample_mask(ids, members, None, SMALL, level=level, pool=GRID.pool)
    np.testing.assert_array_equal(masks[0], GRID.to_patches(expected) > 0)
    assert masks.any()
