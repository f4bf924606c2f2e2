"""Read a file, or a folder of DICOM slices, to stored values with the reader of its format."""

from pathlib import Path

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.content import SIGN_BYTES, UNFINISHED, content_of
from uniferum.preprocessing.formats.dicom import looks_like_dicom, read_dicom
from uniferum.preprocessing.formats.metaimage import read_metaimage
from uniferum.preprocessing.formats.metaimage_header import ENDINGS as METAIMAGE
from uniferum.preprocessing.formats.nifti import read_nifti
from uniferum.preprocessing.formats.npz import read_npz
from uniferum.preprocessing.formats.stored import Stored

FORMATS = ".nii, .nii.gz, .mhd, .mha, .npz, a folder with a DICOM series, or a multi-frame DICOM file"
_BY_NIBABEL = "convert it: nibabel.save(nibabel.load('scan{0}'), 'scan.nii.gz')"
_BY_SIMPLEITK = "convert it: SimpleITK.WriteImage(SimpleITK.ReadImage('scan{0}'), 'scan.nii.gz')"
_PICTURE = "pictures have no HU and no geometry; use the scan from which they were made"
_UNFINISHED = "it is an unfinished download; download it again"
_ARRAY = "save it with its affine: numpy.savez_compressed('scan.npz', ct=volume, affine=affine)"
_UNPACK = "unpack it and use the scan inside"
# File name endings of other formats, with a remedy for each.
_CURES: dict[str, str] = {
    **dict.fromkeys((".hdr", ".img", ".hdr.gz", ".img.gz", ".mgh", ".mgz", ".mnc"), _BY_NIBABEL),
    **dict.fromkeys((".nrrd", ".nhdr", ".gipl", ".gipl.gz", ".vtk"), _BY_SIMPLEITK),
    **dict.fromkeys((".zst", ".bz2", ".xz"), "decompress it to .nii first (zstd -d, bzip2 -d or xz -d)"),
    **dict.fromkeys((".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar"), _UNPACK),
    **dict.fromkeys((".raw", ".zraw"), "use the .mhd header that describes it"),
    **dict.fromkeys((".dcm", ".ima", ".dicom"), "use the folder with the slices of its series"),
    **dict.fromkeys((".npy", ".pt", ".pth", ".pkl", ".mat", ".h5", ".hdf5"), _ARRAY),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"), _PICTURE),
    **dict.fromkeys(UNFINISHED, _UNFINISHED),
}


def read_stored(path: Path, *, believe_header: bool = True) -> Stored:
    """Read a scan or a mask with the reader for its file name ending (in upper or lower case).

    Args:
        path: a file, or a folder of DICOM slices.
        believe_header: ``False`` if the caller has an affine.

    Raises:
        UniferumError: it does not exist, has another format, or its reader refuses it.
    """
    if _is_folder(path):
        return read_dicom(path)
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return read_nifti(path, believe_header=believe_header)
    if name.endswith(METAIMAGE):
        return read_metaimage(path)
    if name.endswith(".npz"):
        return read_npz(path, believe_header=believe_header)
    if looks_like_dicom(path):
        return read_dicom(path)
    raise UniferumError(str(path), must=f"be {FORMATS}", cure=_cure(path))


def _is_folder(path: Path) -> bool:
    """Whether the path is a folder; otherwise it is an existing regular file.

    Raises:
        UniferumError: it does not exist, its name is impossible, or it is a device or a pipe.
    """
    try:
        folder, file, exists = path.is_dir(), path.is_file(), path.exists()
    except (OSError, ValueError) as error:
        raise UniferumError(str(path), must="be a file that can be opened", cure=str(error).split(":")[0]) from None
    if not exists:
        raise UniferumError(str(path), must="exist")
    if not folder and not file:
        raise UniferumError(str(path), must="be a regular file, not a device or pipe")
    return folder


def _cure(path: Path) -> str:
    """Remedy for a file of another format, from its ending or else from its first bytes."""
    name = path.name.lower()
    for ending in sorted(_CURES, key=len, reverse=True):
        if name.endswith(ending):
            return _CURES[ending].format(ending)
    try:
        with path.open("rb") as file:
            content = content_of(file.read(SIGN_BYTES))
    except OSError:
        return ""
    return f"it holds {content}: rename it with the ending of its format" if content else ""
