"""TotalSegmentator v2 output as a mask layer: one multi-label file, or a folder with one file a class.

Version 1 numbers its classes otherwise (lungs 13 to 17, ribs 58 to 81), so that its output would be read as other
organs; it is refused where class names show it.
"""

from pathlib import Path

import nibabel
from nibabel.filebasedimages import ImageFileError

from uniferum.data.cohorts import files
from uniferum.data.vocabulary import TOTALSEGMENTATOR, totalsegmentator_classes
from uniferum.errors import UniferumError
from uniferum.preprocessing.source import MaskSource

SUFFIXES = (".nii.gz", ".nii")
ONLY_IN_V1 = frozenset({"heart_atrium_left", "heart_ventricle_left", "heart_myocardium", "pulmonary_artery", "face"})
"""Classes of ``total`` that version 2 renamed or moved to other tasks (wasserth/TotalSegmentator, class details)."""

V1_CURE = "run TotalSegmentator 2 (uniferum data segment does), or convert the ids"


def layer_at(path: Path) -> MaskSource | None:
    """The TotalSegmentator layer at a file or folder; ``None`` where nothing is there.

    Raises:
        UniferumError: a folder of class files that version 1 wrote, or that holds no known class.
    """
    if path.is_dir():
        return _folder(path)
    return MaskSource(TOTALSEGMENTATOR, path) if path.is_file() else None


def beside(root: Path, masks_root: Path | None, scan_id: str, *, follow_symlinks: bool) -> MaskSource | None:
    """The layer of a scan: ``<scan id>.nii.gz``, ``<scan id>.nii`` or the folder ``<scan id>/`` of ``masks_root``."""
    if masks_root is None:
        return None
    folder = root / masks_root
    for name in (f"{scan_id}{ending}" for ending in (*SUFFIXES, "")):
        if files.fault(folder, name, follow_symlinks=follow_symlinks) is None:
            return layer_at(folder / name)
    return None


def refuse_version_1(path: Path) -> None:
    """Refuse a multi-label file whose extended header names classes that only version 1 has.

    A file without such a header, or one that cannot be read, passes: its faults are found when it is prepared.

    Raises:
        UniferumError: the header names version 1 classes.
    """
    try:
        extensions = nibabel.load(path).header.extensions  # type: ignore[attr-defined]
    except (ImageFileError, OSError, ValueError, EOFError):
        return
    text = " ".join(repr(extension.get_content()) for extension in extensions)
    if any(name in text for name in ONLY_IN_V1):
        raise UniferumError(str(path), must="come from TotalSegmentator 2", cure=V1_CURE)


def _folder(path: Path) -> MaskSource:
    names = {entry.name.removesuffix(".gz").removesuffix(".nii") for entry in path.iterdir()}
    old = sorted(names & ONLY_IN_V1)
    if old:
        raise UniferumError(f"{path}: class", old[0], must="come from TotalSegmentator 2", cure=V1_CURE)
    if not names & set(totalsegmentator_classes()):
        raise UniferumError(str(path), must="hold files named after TotalSegmentator classes")
    return MaskSource(TOTALSEGMENTATOR, path, class_names=("background", *totalsegmentator_classes()))
