import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniferum.data.loading.targets import TargetGrid
from uniferum.errors import UniferumError

sides = st.integers(1, 4)
grids = st.builds(TargetGrid, st.tuples(sides, sides, sides), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 3]))


@given(grid=grids, seed=st.integers(0, 2**32 - 1))
def test_patches_come_back_as_they_were(grid: TargetGrid, seed: int) -> None:
    pooled = np.random.default_rng(seed).integers(0, 2, grid.pooled_shape).astype(np.uint8)
    patches = grid.to_patches(pooled)
    assert patches.shape == (grid.patches, grid.patch**3)
    np.testing.assert_array_equal(grid.from_patches(patches), pooled)


def test_a_voxel_moved_by_hand_lands_in_the_patch_and_place_counted_by_hand() -> None:
    grid = TargetGrid((8, 5, 4), 4, 8)
    pooled = np.zeros(grid.pooled_shape, np.uint8)
    # Token (2, 3, 1) is number (2 * 5 + 3) * 4 + 1; voxel (3, 0, 2) of it is number (3 * 4 + 0) * 4 + 2.
    pooled[2 * 4 + 3, 3 * 4 + 0, 1 * 4 + 2] = 1
    assert np.argwhere(grid.to_patches(pooled)).tolist() == [[53, 50]]


def test_the_papers_grid_has_160_patches_pooled_by_8() -> None:
    grid = TargetGrid.of((256, 160, 128), (8, 5, 4), 4)
    assert (grid.patches, grid.pool, grid.pooled_shape) == (160, 8, (32, 20, 16))


@pytest.mark.parametrize(("tokens", "patch"), [((8, 5, 3), 4), ((8, 5, 4), 3)])
def test_tokens_that_do_not_fit_the_input_are_refused(tokens: tuple[int, int, int], patch: int) -> None:
    with pytest.raises(UniferumError, match=r"model\.patch .* must divide the side of a token"):
        TargetGrid.of((256, 160, 128), tokens, patch)
