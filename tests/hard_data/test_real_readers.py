"""Every real volume is read as nibabel reads it, also after SimpleITK wrote it in each form of MetaImage."""

import nibabel
import numpy as np
import pytest
import SimpleITK

from uniferum.preprocessing.formats.metaimage import read_metaimage
from uniferum.preprocessing.formats.nifti import read_nifti

pytestmark = pytest.mark.hard_data


def test_every_real_nifti_file_is_read_as_nibabel_reads_it_without_a_flag(realdata):
    paths = sorted(realdata.rglob("*.nii.gz"))
    assert len(paths) > 10
    for path in paths:
        stored, image = read_nifti(path), nibabel.load(path)
        scaled = stored.values * np.float64(stored.intensity.slope) + stored.intensity.intercept
        np.testing.assert_array_equal(scaled, image.get_fdata(), err_msg=path.name)
        np.testing.assert_allclose(stored.affine, image.affine, err_msg=path.name)
        assert stored.flags == (), path.name


@pytest.mark.parametrize(("name", "packed"), [("a.mhd", False), ("b.mhd", True), ("c.mha", False), ("d.mha", True)])
def test_every_real_volume_written_by_simpleitk_as_metaimage_is_read_back(realdata, tmp_path, name, packed):
    for path in sorted(realdata.rglob("*.nii.gz")):
        image = SimpleITK.ReadImage(str(path))
        SimpleITK.WriteImage(image, str(tmp_path / name), packed)
        written = read_metaimage(tmp_path / name)
        np.testing.assert_array_equal(written.values, read_nifti(path).values, err_msg=path.name)
        np.testing.assert_allclose(written.affine, read_nifti(path).affine, atol=1e-3, err_msg=path.name)
        assert written.flags == (), path.name
