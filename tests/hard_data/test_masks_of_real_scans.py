"""Every mask of the real volumes as it is, mirrored, moved and resampled: which of them are flagged."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from tests.support.real_volumes import rows, source
from tests.support.simpleitk_images import any_affine, simpleitk_image
from uniferum.errors import UniferumError
from uniferum.preprocessing import body as bodies
from uniferum.preprocessing.formats.intensities import clip_in_place
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.masks import grids
from uniferum.preprocessing.masks.layers import ScanQuality, check_layers, read_layers

pytestmark = pytest.mark.hard_data
MOVES_MM = (-50, -20, 20, 50)
FLIPS = [flip for flip in np.ndindex(2, 2, 2) if any(flip)]


def masked(folder):
    return [scan_id for scan_id, row in rows(folder).items() if row["mask_path"]]


class Checked:
    """A real scan and its mask, ready to be held against each other in any form."""

    def __init__(self, folder, scan_id):
        self.source = source(folder, scan_id)
        self.volume = read_volume(self.source)
        clip_in_place(self.volume.hu, -1000, 1000)
        self.small = bodies.reduced(self.volume, 3.0)
        self.body = bodies.largest_soft_tissue(self.small.hu, -150, 250)
        (self.raw,) = read_layers(self.source, self.volume, ScanQuality(), keep_bad=False)

    def flags(self, raw):
        quality = ScanQuality()
        try:
            check_layers(self.source, [raw], self.volume, self.small, self.body, quality, keep_bad=False)
        except UniferumError:
            return {"refused"}
        return {flag.partition(":")[0] for flag in quality.flags}


def test_no_real_mask_is_flagged_and_lungs_and_organs_are_when_mirrored_or_moved(realdata):
    counts = {}
    for scan_id in masked(realdata):
        real = Checked(realdata, scan_id)
        layer = real.raw.source.layer
        assert real.flags(real.raw) == set(), scan_id
        mirrored = [np.flip(real.raw.ids, tuple(a for a in range(3) if flip[a])) for flip in FLIPS]
        seen = ["mask_mirrored" in real.flags(replace(real.raw, ids=ids)) for ids in mirrored]
        moved = []
        for axis in range(3):
            for mm in MOVES_MM:
                affine = real.raw.affine.copy()
                affine[axis, 3] += mm
                moved.append(bool(real.flags(replace(real.raw, affine=affine))))
        counts[scan_id] = (
            f"{layer}: {sum(seen)} of {len(seen)} mirror images, {sum(moved)} of {len(moved)} moves flagged"
        )
        if layer in ("lungs", "totalsegmentator"):
            assert all(seen), scan_id
            assert sum(moved) >= len(moved) - 1, scan_id
    for scan_id, said in counts.items():
        sys.stdout.write(f"{scan_id} {said}\n")


def test_nearest_neighbour_is_simpleitks_on_a_thousand_random_affines():
    random = np.random.default_rng(11)
    for _ in range(1000):
        ids = random.integers(0, 118, tuple(random.integers(6, 20, 3))).astype(np.uint8)
        mask_affine, affine = (any_affine(random) for _ in range(2))
        shape = tuple(int(n) for n in random.integers(6, 20, 3))
        affine[:3, 3] = mask_affine[:3, :3] @ (np.array(ids.shape) / 2) + mask_affine[:3, 3]
        affine[:3, 3] -= affine[:3, :3] @ (np.array(shape) / 2)
        ours, saved = grids.onto_grid(ids, mask_affine, affine, shape)
        grid = simpleitk_image(np.zeros(shape, np.uint8), affine)
        theirs = sitk.Resample(simpleitk_image(ids, mask_affine), grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        differ = ours != sitk.GetArrayFromImage(theirs).transpose(2, 1, 0)
        index = np.linalg.inv(mask_affine) @ affine @ np.c_[np.argwhere(differ), np.ones(differ.sum())].T
        tie = np.abs(np.abs(index[:3] - np.floor(index[:3])) - 0.5).min(axis=0, initial=1.0) < 1e-3
        assert (~tie).sum() <= saved
