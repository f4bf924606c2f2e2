"""Accepted affines: any rotation, any flip, a gantry tilt; a skewed slice is refused."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from uniferum.errors import UniferumError
from uniferum.preprocessing.affines import check_affine

SPACING = np.diag([0.7, 0.7, 2.5])


def affine(columns: np.ndarray) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = columns
    return out


def test_volumes_turned_by_any_angle_or_flipped_have_no_flag():
    draw = np.random.default_rng(0)
    for rotation in Rotation.random(200, rng=draw).as_matrix():
        flip = np.diag(draw.choice([-1.0, 1.0], 3))
        assert check_affine(affine(rotation @ flip @ SPACING), Path("a")) == ()


@pytest.mark.parametrize("degrees", [2, 15, 30])
@pytest.mark.parametrize("turned", [0, 20])
def test_a_tilt_of_the_slices_is_flagged_also_in_a_turned_volume(degrees, turned):
    tilted = SPACING.copy()
    tilted[1, 2] = tilted[2, 2] * np.tan(np.deg2rad(degrees))
    turn = Rotation.from_euler("zyx", [turned, turned / 2, 0], degrees=True).as_matrix()
    for axes in ([0, 1, 2], [2, 0, 1]):
        assert check_affine(affine((turn @ tilted)[:, axes]), Path("a")) == ("gantry_tilt",)


@pytest.mark.parametrize(
    "columns",
    [
        np.array([[0.7, 0.2, 0], [0, 0.7, 0], [0, 0, 2.5]]),
        np.array([[0.7, 0, 0], [0, 0.7, 2.5], [0, 0, 2.5]]),
        np.diag([0.7, 0.7, 0.0]),
        np.diag([0.7, np.nan, 1.0]),
        np.diag([0.7, 0.7, 250.0]),
    ],
    ids=["slice", "tilt of 45 degrees", "flat", "no number", "too large"],
)
def test_skewed_singular_and_impossible_affines_are_refused(columns):
    with pytest.raises(UniferumError, match="affine"):
        check_affine(affine(columns), Path("a"))


def test_an_affine_of_another_shape_is_refused():
    with pytest.raises(UniferumError, match="4 x 4"):
        check_affine(np.eye(3), Path("a"))
