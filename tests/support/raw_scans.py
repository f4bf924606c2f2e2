"""A small thorax with known parts, and files of it in every format that a scan comes in."""

from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

AIR, FAT, TISSUE, LUNG, BONE = -1000, -100, 40, -850, 400
SPACING = (4.0, 4.0, 5.0)
SHAPE = (90, 70, 56)
# RAS: voxel 0 lies on the patient's left, at the back, at the feet.
AFFINE = np.array([[4.0, 0, 0, -170], [0, 4.0, 0, -120], [0, 0, 5.0, -100], [0, 0, 0, 1.0]])
LEFT, RIGHT, LIVER = 10, 12, 5
IDS_LUNGS = (10, 11, 12, 13, 14)


def thorax(*, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """HU (int16) and TotalSegmentator ids (uint8), RAS+ axes: right lung the larger, liver below it, spine behind."""
    x, y, z = np.meshgrid(*(AFFINE[a, 3] + AFFINE[a, a] * np.arange(SHAPE[a]) for a in range(3)), indexing="ij")
    hu = np.full(SHAPE, AIR, dtype=np.float64)
    ids = np.zeros(SHAPE, dtype=np.uint8)
    body = (x / 150) ** 2 + (y / 105) ** 2 < 1
    hu[body] = FAT
    hu[(x / 140) ** 2 + (y / 95) ** 2 < 1] = TISSUE
    for number, centre, wide in ((LEFT, -68, 48), (RIGHT, 70, 56)):
        lung = ((x - centre) / wide) ** 2 + (y / 72) ** 2 + ((z - 50) / 95) ** 2 < 1
        hu[lung], ids[lung] = LUNG, number
    liver = ((x - 60) / 70) ** 2 + ((y - 5) / 60) ** 2 + ((z + 60) / 30) ** 2 < 1
    hu[liver & (ids == 0)] = 60
    ids[liver & (ids == 0)] = LIVER
    spine = (x / 16) ** 2 + ((y + 75) / 16) ** 2 < 1
    hu[spine] = BONE
    ids[spine] = 35
    if noise:
        hu += np.random.default_rng(0).normal(0, noise, SHAPE)
    return np.rint(hu).astype(np.int16), ids


def turned(array: np.ndarray, affine: np.ndarray, codes: str) -> tuple[np.ndarray, np.ndarray]:
    """The same volume stored with other axes, by nibabel: an independent reorientation."""
    wanted = nibabel.orientations.axcodes2ornt(tuple(codes))
    change = nibabel.orientations.ornt_transform(nibabel.orientations.io_orientation(affine), wanted)
    stored = nibabel.orientations.apply_orientation(array, change)
    return stored, affine @ nibabel.orientations.inv_ornt_aff(change, array.shape)


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """A NIfTI file, its spacing and both of its orientations set."""
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.to_filename(path)
    return path


def write_metaimage(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE, kind: str = "MET_SHORT") -> Path:
    """A header and its raw file; the file is LPS."""
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.sqrt((lps[:3, :3] ** 2).sum(axis=0))
    direction = (lps[:3, :3] / spacing).T.ravel()
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": " ".join(str(v) for v in direction),
        "Offset": " ".join(str(v) for v in lps[:3, 3]),
        "ElementSpacing": " ".join(str(v) for v in spacing),
        "DimSize": " ".join(str(v) for v in array.shape),
        "ElementType": kind,
        "ElementDataFile": path.with_suffix(".raw").name,
    }
    path.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
    path.with_suffix(".raw").write_bytes(array.tobytes(order="F"))
    return path


def write_dicom(
    folder: Path,
    array: np.ndarray,
    affine: np.ndarray = AFFINE,
    *,
    skip: tuple[int, ...] = (),
    series: str = "1.2.3",
    private: str = "DOE^JANE",
) -> Path:
    """A series of slices along the last axis, in shuffled order, without file name endings."""
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.sqrt((lps[:3, :3] ** 2).sum(axis=0))
    axes = lps[:3, :3] / spacing
    order = np.random.default_rng(1).permutation(array.shape[2])
    for index, number in enumerate(int(n) for n in order):
        if number in skip:
            continue
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid()
        data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        data.PatientName, data.StudyDate, data.StudyDescription = private, "19700101", f"study of {private}"
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID = series
        data.ImagePositionPatient = [round(float(v), 4) for v in (lps @ [0, 0, number, 1])[:3]]
        data.ImageOrientationPatient = [float(v) for v in (*axes[:, 0], *axes[:, 1])]
        data.PixelSpacing = [float(spacing[1]), float(spacing[0])]
        data.Rows, data.Columns = array.shape[1], array.shape[0]
        data.SamplesPerPixel, data.BitsAllocated, data.BitsStored, data.HighBit = 1, 16, 16, 15
        data.PixelRepresentation, data.PhotometricInterpretation = 0, "MONOCHROME2"
        data.RescaleSlope, data.RescaleIntercept = 1, -2048
        data.PixelData = (array[:, :, number].T.astype(np.int32) + 2048).astype(np.uint16).tobytes()
        pydicom.dcmwrite(folder / f"slice{index:04d}", data)
    return folder
