"""Axes that contradict the anatomy are flagged, sound ones are not."""

import numpy as np
import pytest

from tests.uniferum.preprocessing.raw_scans import thorax, write_nifti
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig, prepare
from uniferum.preprocessing.source import MaskSource, ScanSource

CONFIG = PreparationConfig(geometry=Geometry(spacing_mm=(8, 8, 8), model_shape=(24, 20, 16)))
HU, IDS = thorax()


def flags(tmp_path, hu, ids=None):
    masks = ()
    if ids is not None:
        masks = (MaskSource("totalsegmentator", write_nifti(tmp_path / "mask.nii.gz", ids)),)
    return prepare(ScanSource("s", write_nifti(tmp_path / "scan.nii.gz", hu), masks=masks), CONFIG).flags


def test_a_sound_scan_is_not_doubted(tmp_path):
    assert "orientation_doubtful" not in flags(tmp_path, HU)
    assert "orientation_doubtful" not in flags(tmp_path, HU, IDS)


def test_a_scan_stored_back_to_front_is_doubted_for_its_spine(tmp_path):
    assert "orientation_doubtful" in flags(tmp_path, HU[:, ::-1])


def test_swapped_x_and_y_are_doubted(tmp_path):
    assert "orientation_doubtful" in flags(tmp_path, np.ascontiguousarray(HU.transpose(1, 0, 2)))


@pytest.mark.parametrize("axis", [0, 2])
def test_left_and_right_or_up_and_down_are_doubted_for_the_organs(tmp_path, axis):
    flipped = [np.ascontiguousarray(np.flip(array, axis=axis)) for array in (HU, IDS)]
    assert "orientation_doubtful" in flags(tmp_path, *flipped)
    assert "orientation_doubtful" not in flags(tmp_path, HU, IDS)
