"""TotalSegmentator v2 output as a mask layer: one multi-label file, or a folder with one file per class.

Version 1 has other ids for its classes (lungs 13 to 17, ribs 58 to 81), which would be read as other organs; its output
is refused if class names reveal it.
"""

import re
from pathlib import Path

from uniferum.data.cohorts import files
from uniferum.data.vocabulary import TOTALSEGMENTATOR, totalsegmentator_classes
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.nifti_layout import DAMAGED_GZIP, LARGEST_HEADER, nifti_layout, open_unzipped
from uniferum.preprocessing.formats.source import MaskSource
from uniferum.preprocessing.masks.classes import class_files, stem

SUFFIXES = (".nii.gz", ".nii", ".NII.GZ", ".NII", ".nii.GZ")
ONLY_IN_V1 = frozenset({"heart_atrium_left", "heart_ventricle_left", "heart_myocardium", "pulmonary_artery", "face"})
"""Classes of ``total`` that version 2 renamed or moved to other tasks (wasserth/TotalSegmentator, class details)."""

_ONLY_IN_V1 = re.compile("|".join(rf"\b{name}\b" for name in sorted(ONLY_IN_V1)).encode())
_MAX_EXTENSIONS = 1 << 20
V1_CURE = "run TotalSegmentator 2 (uniferum data segment does), or convert the ids"


def layer_at(path: Path) -> MaskSource | None:
    """TotalSegmentator layer of a file or folder; ``None`` if it does not exist.

    Raises:
        UniferumError: a folder has class files of version 1, or no known class.
    """
    if path.is_dir():
        return _folder(path)
    return MaskSource(TOTALSEGMENTATOR, path) if path.is_file() else None


def beside(root: Path, masks_root: Path | None, scan_id: str, *, follow_symlinks: bool) -> MaskSource | None:
    """Layer of a scan: ``<scan id>.nii.gz``, ``<scan id>.nii`` or the folder ``<scan id>/`` in ``masks_root``.

    Raises:
        UniferumError: as :func:`layer_at`.
    """
    if masks_root is None:
        return None
    folder = root / masks_root
    for name in (f"{scan_id}{ending}" for ending in (*SUFFIXES, "")):
        if files.fault(folder, name, follow_symlinks=follow_symlinks) is None:
            return layer_at(folder / name)
    return None


def refuse_version_1(path: Path) -> None:
    """Refuse a multi-label file whose extended header names classes that only exist in version 1.

    A file without such a header, or one that cannot be read, is accepted here: preparation reports its faults.

    Raises:
        UniferumError: the header names classes of version 1.
    """
    if _ONLY_IN_V1.search(_extended_header(path)):
        raise UniferumError(str(path), must="come from TotalSegmentator 2", cure=V1_CURE)


def _extended_header(path: Path) -> bytes:
    """Bytes between a NIfTI header and its voxels; empty if they cannot be read."""
    try:
        with open_unzipped(path) as stream:
            header = stream.read(LARGEST_HEADER)
            layout = nifti_layout(header)
            if layout is None:
                return b""
            whole = header + stream.read(max(0, min(layout.voxels_at, _MAX_EXTENSIONS) - len(header)))
            return whole[layout.header_size : max(layout.header_size, layout.voxels_at)]
    except (OSError, *DAMAGED_GZIP):
        return b""


def _folder(path: Path) -> MaskSource:
    names = {name for entry in path.iterdir() if (name := stem(entry.name)) is not None}
    old = sorted(names & ONLY_IN_V1)
    if old:
        raise UniferumError(f"{path}: class", old[0], must="come from TotalSegmentator 2", cure=V1_CURE)
    if not names & set(totalsegmentator_classes()):
        raise UniferumError(str(path), must="hold files named after TotalSegmentator classes")
    class_names = ("background", *totalsegmentator_classes())
    class_files(path, class_names)
    return MaskSource(TOTALSEGMENTATOR, path, class_names=class_names)
