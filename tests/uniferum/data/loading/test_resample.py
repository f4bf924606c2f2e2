import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monai.transforms import CenterSpatialCrop, Compose, Resize, SpatialPad
from scipy import ndimage

from tests.support.small_stores import SMALL
from uniferum.data.loading.augmentation import Draw
from uniferum.data.loading.resample import crop_grid, index_map, level_grid, output_grid, resample_image, resample_mask
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import training_level

angles = st.floats(-15, 15)
movements = st.builds(Draw, st.tuples(angles, angles, angles), st.floats(0.9, 1.1))
geometries = st.sampled_from([SMALL, Geometry(spacing_mm=(8, 8, 8), model_shape=(32, 20, 16))])


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1001, shape).astype(np.int16)


def positions(drawn: Draw, geometry: Geometry, level: str, *, fine: bool = False) -> np.ndarray:
    """Source indices of every output voxel, in float64, from the definition in mm."""
    source, output = level_grid(geometry, level), crop_grid(geometry) if fine else output_grid(geometry)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in output.shape), indexing="ij"), -1)
    mm = (index - (np.array(output.shape) - 1) / 2) * output.spacing_mm
    moved = mm @ drawn.source_from_output().T
    return np.moveaxis(moved / source.spacing_mm + (np.array(source.shape) - 1) / 2, -1, 0)


@given(drawn=movements, geometry=geometries, air=st.booleans(), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_the_training_level_is_sampled_as_scipy_samples_it(
    drawn: Draw, geometry: Geometry, air: bool, seed: int
) -> None:
    source = noise(geometry.level_shape, seed)
    mode = "grid-constant" if air else "nearest"
    where = positions(drawn, geometry, "train")
    expected = ndimage.map_coordinates(source.astype(float), where, order=1, mode=mode, cval=-1000)
    got = resample_image(source, drawn.source_from_output(), geometry, level="train", outside="air" if air else "edge")
    np.testing.assert_allclose(got, expected / 2000 + 0.5, atol=5e-5)


@given(drawn=movements, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=10)
def test_the_full_level_is_sampled_finely_and_then_averaged(drawn: Draw, seed: int) -> None:
    source = noise(SMALL.box_shape, seed)
    where = positions(drawn, SMALL, "full", fine=True)
    fine = ndimage.map_coordinates(source.astype(float), where, order=1, mode="nearest")
    area = torch.nn.functional.interpolate(torch.from_numpy(fine)[None, None], size=SMALL.model_shape, mode="area")
    got = resample_image(source, drawn.source_from_output(), SMALL, level="full")
    np.testing.assert_allclose(got, area[0, 0].numpy() / 2000 + 0.5, atol=5e-5)


@pytest.mark.parametrize(
    "geometry", [SMALL, Geometry(box_mm=(104, 84, 64), crop_mm=(96, 80, 64), model_shape=(64, 40, 32))]
)
def test_without_movement_both_levels_give_torchs_area_average_of_the_crop(geometry: Geometry) -> None:
    full = noise(geometry.box_shape)
    low = [(b - c) // 2 for b, c in zip(geometry.box_shape, geometry.crop_shape, strict=True)]
    crop = full[tuple(slice(a, a + c) for a, c in zip(low, geometry.crop_shape, strict=True))]
    tensor = torch.from_numpy(crop.astype(np.float64))[None, None]
    expected = (
        torch.nn.functional.interpolate(tensor, size=geometry.model_shape, mode="area")[0, 0].numpy() / 2000 + 0.5
    )
    np.testing.assert_allclose(resample_image(full, None, geometry, level="full"), expected, atol=1e-6)
    level = training_level(full, geometry)
    # The stored level is rounded to whole HU: half a HU is 2.5e-4.
    np.testing.assert_allclose(resample_image(level, None, geometry, level="train"), expected, atol=2.5e-4 + 1e-6)


def test_without_augmentation_the_levels_give_the_papers_chain_of_monai_transforms() -> None:
    geometry = Geometry(box_mm=(104, 84, 64), crop_mm=(96, 80, 64), model_shape=(64, 40, 32))
    kept = noise((90, 84, 50))  # what the released preparation keeps of a scan: less than the box on x and z
    chain = Compose(
        [
            SpatialPad(geometry.box_shape, value=-1000),
            CenterSpatialCrop(geometry.box_shape),
            SpatialPad(geometry.crop_shape),
            CenterSpatialCrop(geometry.crop_shape),
            Resize(geometry.model_shape, mode="area"),
        ]
    )
    expected = np.asarray(chain(torch.from_numpy(kept.astype(np.float32))[None])[0]) / 2000 + 0.5
    full = np.full(geometry.box_shape, -1000, np.int16)
    full[7:97, :, 7:57] = kept
    level = training_level(full, geometry)
    assert np.abs(resample_image(level, None, geometry, level="train") - expected).max() < 3e-4
    assert np.abs(resample_image(full, None, geometry, level="full") - expected).max() < 3e-4


@given(drawn=movements, geometry=geometries, position=st.tuples(*[st.floats(0, 1)] * 3))
@settings(deadline=None, max_examples=40)
def test_a_marked_voxel_lands_where_the_affine_says(drawn: Draw, geometry: Geometry, position: tuple) -> None:
    shape = geometry.level_shape
    voxel = tuple(int(p * (n - 1)) for p, n in zip(position, shape, strict=True))
    matrix, start = index_map(drawn.source_from_output(), level_grid(geometry, "train"), output_grid(geometry))
    expected = np.linalg.solve(matrix, np.array(voxel) - start)
    assume(all(0.5 <= e <= n - 1.5 for e, n in zip(expected, geometry.model_shape, strict=True)))
    source = np.full(shape, -1000, np.int16)
    source[voxel] = 1000
    image = resample_image(source, drawn.source_from_output(), geometry, level="train", outside="air")
    # A voxel's trilinear tent is met by the output voxel nearest to it, and by none beyond two.
    hit = np.argwhere(image > 0)
    assert len(hit)
    assert np.abs(hit - expected).max() < 2.0
    brightest = np.unravel_index(image.argmax(), image.shape)
    assert np.abs(np.array(brightest) - expected).max() < 1.0


@given(drawn=movements, seed=st.integers(0, 99), pool=st.sampled_from([1, 2, 4]))
@settings(deadline=None, max_examples=20)
def test_a_mask_is_the_nearest_voxels_max_pooled(drawn: Draw, seed: int, pool: int) -> None:
    random = np.random.default_rng(seed)
    source = ndimage.zoom((random.random((13, 11, 8)) < 0.3).astype(np.uint8) * 7, 4, order=0)[:52, :42, :32].copy()
    members = np.zeros(256, np.uint8)
    members[7] = 1
    where = positions(drawn, SMALL, "train")
    near = np.abs(where % 1 - 0.5).min(0) < 1e-6  # ties between two voxels may go either way
    nearest = ndimage.map_coordinates(source, where, order=0, mode="nearest") == 7
    cells = [n for side in SMALL.model_shape for n in (side // pool, pool)]
    expected = nearest.reshape(cells).max(axis=(1, 3, 5))
    doubtful = near.reshape(cells).max(axis=(1, 3, 5))
    got = resample_mask(source, members, drawn.source_from_output(), SMALL, level="train", pool=pool)
    np.testing.assert_array_equal(got[~doubtful], expected[~doubtful])


@given(drawn=movements, position=st.tuples(*[st.floats(0, 1)] * 3))
@settings(deadline=None, max_examples=60)
def test_a_mask_too_small_to_be_met_keeps_its_nearest_voxel(drawn: Draw, position: tuple) -> None:
    geometry = SMALL
    source = np.zeros(geometry.box_shape, np.uint8)  # one voxel of 4 mm on an output of 8 mm: most are missed
    voxel = tuple(int(p * (n - 1)) for p, n in zip(position, source.shape, strict=True))
    source[voxel] = 1
    members = np.zeros(256, np.uint8)
    members[1] = 1
    matrix, start = index_map(drawn.source_from_output(), level_grid(geometry, "full"), output_grid(geometry))
    expected = np.linalg.solve(matrix, np.array(voxel) - start)
    assume(all(0 <= e <= n - 1 for e, n in zip(expected, geometry.model_shape, strict=True)))
    got = resample_mask(source, members, drawn.source_from_output(), geometry, level="full", outside="air", pool=1)
    marked = np.argwhere(got)
    assert len(marked) >= 1
    assert np.abs(marked - expected).max() <= 1.0


def test_a_structure_outside_the_field_leaves_an_empty_mask() -> None:
    source = np.zeros(SMALL.level_shape, np.uint8)
    source[0, 0, 0] = 1  # the level's margin, 2 voxels outside the crop
    members = np.zeros(256, np.uint8)
    members[1] = 1
    assert not resample_mask(source, members, None, SMALL, level="train", pool=2).any()


def test_an_offset_is_added_in_unit_intensities() -> None:
    source = noise(SMALL.level_shape)
    plain = resample_image(source, None, SMALL, level="train")
    np.testing.assert_allclose(resample_image(source, None, SMALL, level="train", offset=0.01), plain + 0.01, atol=1e-6)
