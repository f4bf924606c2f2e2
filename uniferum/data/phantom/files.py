"""Write phantoms in the datasets' file formats: NIfTI, npz, MetaImage; each file completely or not at all."""

import io
import os
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip

PADDING_HU = -8192
"""Padding value of some CT-RATE v2 files outside the scanner's field of view."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: under another name first, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, content.encode())


def reoriented(array: np.ndarray, affine: np.ndarray, orientation: str) -> tuple[np.ndarray, np.ndarray]:
    """Reorient a RAS+ array and its affine, e.g. to ``LPS``."""
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(orientation)
    )
    turned = nib.orientations.apply_orientation(array, turn)
    return np.ascontiguousarray(turned), affine @ nib.orientations.inv_ornt_aff(turn, array.shape)


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write ``.nii.gz`` (gzip level 1)."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    write_bytes(path, igzip.compress(image.to_bytes(), compresslevel=1, mtime=0))


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Write a compressed ``.npz`` in numpy's format, at a low level of compression."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED)
    write_bytes(path, buffer.getvalue())


def write_metaimage(path: Path, hu: np.ndarray, affine: np.ndarray, *, turned: bool) -> None:
    """Write ``.mhd`` and ``.raw`` (int16, LPS); ``turned`` stores x and y reversed, like 14 scans of LUNA16.

    Args:
        path: path of the ``.mhd``; the ``.raw`` is beside it.
        hu: int16 in RAS+ order.
        affine: affine from voxel to RAS mm.
        turned: whether the direction is (-1, -1, 1) instead of the identity.
    """
    array, affine = reoriented(hu, affine, "RAS" if turned else "LPS")
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.abs(np.diag(lps)[:3])
    direction = np.sign(np.diag(lps)[:3]).astype(int)
    raw = path.with_suffix(".raw")
    header = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": f"{direction[0]} 0 0 0 {direction[1]} 0 0 0 {direction[2]}",
        "Offset": " ".join(repr(float(v)) for v in lps[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "LPS" if turned else "RAI",
        "ElementSpacing": " ".join(repr(float(v)) for v in spacing),
        "DimSize": " ".join(str(n) for n in array.shape),
        "ElementType": "MET_SHORT",
        "ElementDataFile": raw.name,
    }
    write_bytes(raw, np.asarray(array, dtype="<i2").tobytes(order="F"))
    write_text(path, "".join(f"{key} = {value}\n" for key, value in header.items()))


def with_padding(hu: np.ndarray) -> np.ndarray:
    """Volume with the padding value outside the scanner's circular field of view."""
    nx, ny, _ = hu.shape
    x, y = np.meshgrid(np.arange(nx) - (nx - 1) / 2, np.arange(ny) - (ny - 1) / 2, indexing="ij")
    outside = np.hypot(x, y) > max(nx, ny) / 2
    padded = hu.copy()
    padded[outside] = PADDING_HU
    return padded
