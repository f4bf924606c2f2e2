"""The montage is upright, with the patient's left on the image's right."""

import numpy as np

from uniferum.preprocessing.montage import montage


def test_left_is_on_the_right_front_is_up_and_head_is_up():
    hu = np.full((60, 60, 60), -1000, np.int16)
    hu[:30, 30:, 30:] = 500  # x below the middle is the patient's left; front; head
    image = montage(hu, (2.0, 2.0, 2.0)).astype(int)
    axial, coronal = image[:60, 240:300, 2], image[64:124, 180:240, 2]
    assert axial[:28, 32:58].mean() > 200 > axial[:28, :28].mean()
    assert axial[32:, :].mean() < 60
    assert coronal[:28, 32:58].mean() > 200 > coronal[:28, :28].mean()
    assert coronal[32:, :].mean() < 60


def test_the_mask_is_outlined_in_red():
    hu = np.zeros((40, 40, 40), np.int16)
    mask = np.zeros((40, 40, 40), np.uint8)
    mask[10:30, 10:30, 10:30] = 1
    red = (montage(hu, (2, 2, 2), mask) == (255, 40, 40)).all(axis=2)
    assert red.any()
    assert not (montage(hu, (2, 2, 2)) == (255, 40, 40)).all(axis=2).any()
