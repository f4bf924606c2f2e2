"""Predicted masks of a prepared scan: position, size, and only structures that the scan shows."""

import numpy as np
import pytest
import torch

from tests.support.pooling import max_pool
from tests.support.small_runs import GEOMETRY, make_config
from uniferum.data.loading.targets import TargetGrid
from uniferum.evaluation.masks import CaseMasks, Outlined, dice
from uniferum.model.base import Model, RowOutput
from uniferum.preprocessing.pipeline import PreparationConfig
from uniferum.preprocessing.store.store import Store
from uniferum.run.ask import Trained
from uniferum.run.masks import SHOWN, case_masks
from uniferum.training.precision import choose_compute

SCAN = "test_00"
GRID = TargetGrid.of(GEOMETRY.model_shape, (6, 5, 4), 2)


class Knowing(Model):
    """Model with the same stored mask for every prompt, or without masks."""

    tokens_shape, patch = GRID.tokens_shape, GRID.patch

    def __init__(self, target):
        super().__init__()
        self.target = target
        self.asked = []

    def encode(self, volume):
        assert volume.shape == (1, 1, *GEOMETRY.model_shape)
        return volume

    def read(self, visual, row_volume, prompts, labels, mask_rows=None):
        self.asked += prompts
        answer = torch.zeros(len(prompts))
        if self.target is None:
            return RowOutput(answer, None)
        logits = torch.from_numpy(GRID.to_patches(self.target)).float() * 10 - 5
        return RowOutput(answer, logits.expand(len(prompts), *logits.shape))


def trained(target):
    compute = choose_compute("fp32", "cpu")
    return Trained(Knowing(target), PreparationConfig(geometry=GEOMETRY), make_config().data.level, compute)


@pytest.fixture
def store(stores):
    return Store.open(stores["CTRATE"])


def inside(stored):
    """The model's field of view, by hand: the level without its margin."""
    return tuple(slice(m, m + n) for m, n in zip(GEOMETRY.level_margin, GEOMETRY.model_shape, strict=True))


def test_a_model_that_knows_the_mask_covers_it_in_its_field_and_nothing_beyond(store):
    stored = store.read_mask(SCAN, "totalsegmentator", "train")
    crop = inside(stored)
    pooled = max_pool(GRID, (stored[crop] == 51).astype(np.uint8))
    made = case_masks(trained(pooled), store, SCAN)
    assert made is not None
    assert made.mask.shape == GEOMETRY.level_shape
    assert (made.mask[crop][stored[crop] == 51] == 51).all()
    beyond = np.ones(made.mask.shape, bool)
    beyond[crop] = False
    assert not made.mask[beyond].any()
    # Each predicted voxel fills pool^3 voxels of the level.
    assert np.count_nonzero(made.mask) == GRID.pool**3 * np.count_nonzero(pooled)
    (heart,) = made.structures
    assert heart.dice == 1.0


def test_only_structures_that_the_scan_shows_are_asked_for(store):
    asking = trained(np.zeros(GRID.pooled_shape, np.uint8))
    made = case_masks(asking, store, SCAN)
    assert asking.model.asked == ["Segment the cardiac organ in the image."]
    assert made is not None
    assert not made.mask.any()
    assert made.structures[0].dice == 0.0


def test_a_model_without_masks_has_none(store):
    assert case_masks(trained(None), store, SCAN) is None


def test_structures_that_are_shown_do_not_overlap():
    from uniferum.data.vocabulary import Vocabulary

    ids = [value for name in SHOWN for value in Vocabulary.load().structures[name].ids]
    assert len(ids) == len(set(ids))


def test_parts_of_a_structure_are_shown_as_one():
    masks = CaseMasks("totalsegmentator", np.zeros((1, 1, 4), np.uint8), (Outlined("Lungs", 10, (10, 11), 1.0),))
    assert masks.like(np.array([[[0, 10, 11, 51]]], np.uint8)).ravel().tolist() == [0, 10, 10, 51]


def test_dice_is_that_of_a_hand_counted_example():
    assert dice(np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0])) == pytest.approx(0.5)
    assert np.isnan(dice(np.zeros(3), np.zeros(3)))
