"""A file, or a folder of DICOM slices, to stored values: the reader of its format."""

from pathlib import Path

from uniferum.errors import UniferumError
from uniferum.preprocessing.dicom import looks_like_dicom, read_dicom
from uniferum.preprocessing.metaimage import read_metaimage
from uniferum.preprocessing.nifti import read_nifti
from uniferum.preprocessing.npz import read_npz
from uniferum.preprocessing.stored import Stored

FORMATS = ".nii, .nii.gz, .mhd, .mha, .npz, a folder with a DICOM series, or a multi-frame DICOM file"


def read_stored(path: Path, *, believe_header: bool = True) -> Stored:
    if not path.exists():
        raise UniferumError(str(path), must="exist")
    name = path.name.lower()
    if path.is_dir():
        return read_dicom(path)
    if name.endswith((".nii", ".nii.gz")):
        return read_nifti(path, believe_header=believe_header)
    if name.endswith((".mhd", ".mha")):
        return read_metaimage(path)
    if name.endswith(".npz"):
        return read_npz(path, believe_header=believe_header)
    if looks_like_dicom(path):
        return read_dicom(path)
    raise UniferumError(str(path), must=f"be {FORMATS}")
