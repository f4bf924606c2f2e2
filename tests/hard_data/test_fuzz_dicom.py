"""Damaged DICOM files of every make are read or refused in one line; none ends in another error."""

import contextlib

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from tests.support.dicom_series import ct_slice, enhanced, heights, write_series
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.dicom import read_dicom

pytestmark = pytest.mark.hard_data


def looked_up(data, _):
    """The slice with a modality LUT."""
    del data.RescaleSlope, data.RescaleIntercept
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 16])
    table.add_new("LUTData", "US", [int(v) & 0xFFFF for v in np.arange(4096) - 1024])
    table.ModalityLUTType = "HU"
    data.ModalityLUTSequence = Sequence([table])
    return data


def compressed(data, _):
    """The slice in RLE."""
    data.compress(RLELossless)
    return data


def changed(random, whole):
    """A file with some bytes of its header or pixels changed, sometimes cut off."""
    raw = bytearray(whole)
    for at in random.integers(0, min(len(raw), 2600), random.integers(1, 6)):
        raw[at] = random.integers(256)
    return bytes(raw[: random.integers(len(raw))] if random.random() < 0.2 else raw)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("edit", [None, looked_up, compressed])
def test_one_damaged_slice_of_three(tmp_path, edit, seed):
    write_series(tmp_path, heights(3), edit=edit)
    path, random = tmp_path / "IM002.dcm", np.random.default_rng(seed)
    whole = path.read_bytes()
    for _ in range(400):
        path.write_bytes(changed(random, whole))
        with contextlib.suppress(UniferumError):
            read_dicom(tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_enhanced_file(tmp_path, seed):
    path, random = tmp_path / "scan.dcm", np.random.default_rng(seed)
    slices = [ct_slice((-10, -15, z), number=k) for k, z in enumerate(heights(4))]
    pydicom.dcmwrite(path, enhanced(slices), enforce_file_format=True)
    whole = path.read_bytes()
    for _ in range(400):
        path.write_bytes(changed(random, whole))
        with contextlib.suppress(UniferumError):
            read_dicom(path)
