"""The grids follow from one section, and the numbers are the paper's."""

import numpy as np
import pytest
from pydantic import ValidationError

from uniferum.preprocessing.geometry import Geometry

DEMO = {"spacing_mm": (4, 4, 4), "model_shape": (48, 40, 32)}


def test_defaults_are_the_papers_grids():
    geometry = Geometry()
    assert geometry.box_shape == (416, 336, 256)
    assert geometry.crop_shape == (384, 320, 256)
    assert geometry.level_spacing_mm == (1.5, 2.0, 2.0)
    assert geometry.level_shape == (276, 168, 128)


def test_the_demo_has_the_same_box_in_fewer_voxels():
    geometry = Geometry.model_validate(DEMO)
    assert geometry.box_shape == (104, 84, 64)
    assert geometry.level_shape == (52, 42, 32)


@pytest.mark.parametrize("settings", [{}, DEMO])
def test_all_levels_share_their_middle(settings):
    geometry = Geometry.model_validate(settings)
    for level in ("train", "full"):
        affine = geometry.affine(level, (3.0, -5.0, 70.0))
        middle = (np.array(geometry.shape(level)) - 1) / 2
        np.testing.assert_allclose(affine @ [*middle, 1], [3, -5, 70, 1], atol=1e-9)


@pytest.mark.parametrize(
    "bad",
    [
        {"spacing_mm": (0, 1, 1)},
        {"crop_mm": (500, 320, 256)},
        {"box_mm": (416.5, 336, 256)},
        {"model_shape": (512, 160, 128)},
        {"spacing_mm": (3, 1, 1)},
    ],
)
def test_grids_that_do_not_fit_each_other_are_refused(bad):
    with pytest.raises(ValidationError):
        Geometry.model_validate(bad)


def test_the_full_level_serves_every_crop_and_input_of_its_box() -> None:
    stored = Geometry()
    finer = Geometry(crop_mm=(336, 336, 256), model_shape=(336, 336, 256))
    assert stored.serves(stored, "train")
    assert stored.serves(stored, "full")
    assert stored.serves(finer, "full")
    assert not stored.serves(finer, "train")
    assert np.array_equal(stored.affine("full", (1.0, 2.0, 3.0)), finer.affine("full", (1.0, 2.0, 3.0)))
    assert not stored.serves(Geometry(box_mm=(400, 336, 256)), "full")
    assert not stored.serves(Geometry(spacing_mm=(0.5, 0.5, 0.5)), "full")
