"""Merge a TotalSegmentator folder with one binary file per class into one layer of ids.

Invariant: each file is read by its own header, with the same checks as any mask; overlapping voxels are counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numba
import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing import resampling
from uniferum.preprocessing.masks.geometry import OrientedMask
from uniferum.preprocessing.volume import Volume

ENDINGS = (".nii.gz", ".nii")
# Grids are equal if their corners differ by less than this, in voxels.
_SAME_VOXELS = 0.05


@dataclass(frozen=True)
class ClassFiles:
    """Class files in a folder.

    Attributes:
        known: class id to its file.
        unknown: number of other NIfTI files.
    """

    known: dict[int, Path]
    unknown: int


def stem(name: str) -> str | None:
    """Class name in a file name, in lower case; ``None`` if it is not a NIfTI file."""
    lower = name.lower()
    ending = next((ending for ending in ENDINGS if lower.endswith(ending)), None)
    return None if ending is None else lower.removesuffix(ending)


def class_files(folder: Path, class_names: Sequence[str]) -> ClassFiles:
    """List the class files of a folder: ``liver.nii.gz`` or ``liver.nii``, endings in upper or lower case.

    Raises:
        UniferumError: the folder cannot be listed, has no class file, or has two of one class.
    """
    numbers = {name.lower(): number for number, name in enumerate(class_names) if number > 0 and name}
    known: dict[int, Path] = {}
    unknown = 0
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UniferumError(str(folder), must="be readable", cure=error.strerror or str(error)) from None
    for entry in entries:
        name = stem(entry.name)
        if name is None or entry.name.startswith("."):
            continue
        number = numbers.get(name)
        if number is None:
            unknown += 1
        elif number in known:
            raise UniferumError(str(entry), must="be the only file of its class", cure=f"{known[number].name} is too")
        else:
            known[number] = entry
    if not known:
        raise UniferumError(str(folder), must="hold one file per class, such as liver.nii.gz")
    return ClassFiles(dict(sorted(known.items())), unknown)


@dataclass(frozen=True)
class Merged:
    """The class files as one layer.

    Attributes:
        mask: ids 1 to 117 on one grid, 0 elsewhere.
        overlapping: number of voxels in more than one class; they get the highest id.
        regridded: number of files on another grid than the layer's, which were resampled by nearest neighbour.
        lost: number of resampled files without a voxel left.
    """

    mask: OrientedMask
    overlapping: int
    regridded: int
    lost: int


def merge_classes(files: ClassFiles, read: Callable[[Path], OrientedMask], like: Volume | None) -> Merged:
    """Read every class file and merge them in the order of their ids.

    Args:
        files: the files found by :func:`class_files`.
        read: function that reads a file's voxels (0 and 1), RAS+ axes.
        like: the scan, whose grid the layer gets if the files' grids differ, so that none is cropped; ``None``: the
            grid of the first file.
    """
    layer: OrientedMask | None = None
    overlapping = regridded = lost = 0
    for merged, (number, path) in enumerate(files.known.items()):
        one = read(path)
        if layer is None:
            layer = replace(one, ids=np.zeros_like(one.ids))
        if not _same_grid(one, layer) and like is not None and not _same_grid(layer, _grid(like)):
            layer = _onto(layer, _grid(like))
            regridded += merged
        if not _same_grid(one, layer):
            held, one = one.ids.any(), _onto(one, layer)
            regridded += 1
            lost += int(held and not one.ids.any())
        overlapping += int(_lay(layer.ids.transpose(2, 1, 0), one.ids.transpose(2, 1, 0), np.uint8(number)))
        layer = replace(layer, shift_mm=max(layer.shift_mm, one.shift_mm))
    assert layer is not None, "class_files finds at least one"
    return Merged(layer, overlapping, regridded, lost)


def _grid(like: Volume) -> OrientedMask:
    return OrientedMask(np.broadcast_to(np.uint8(0), like.shape), like.affine)


def _same_grid(one: OrientedMask, other: OrientedMask) -> bool:
    if one.ids.shape != other.ids.shape:
        return False
    shape = np.array(one.ids.shape) - 1
    ends = np.array([[*shape * [a, b, c], 1] for a in (0, 1) for b in (0, 1) for c in (0, 1)]).T
    return float(np.abs((np.linalg.inv(other.affine) @ one.affine @ ends - ends)[:3]).max()) < _SAME_VOXELS


def _onto(one: OrientedMask, grid: OrientedMask) -> OrientedMask:
    """Resample to another grid by nearest neighbour."""
    x, y, z = grid.ids.shape
    ids = resampling.nearest(one.ids, np.linalg.inv(one.affine) @ grid.affine, (x, y, z))
    return OrientedMask(ids, grid.affine, max(one.shift_mm, grid.shift_mm))


@numba.njit(cache=True, nogil=True)
def _lay(layer, one, number):
    """Write ``number`` where ``one`` is set; return how many voxels had another class."""
    taken = 0
    for z in range(layer.shape[0]):
        for y in range(layer.shape[1]):
            for x in range(layer.shape[2]):
                if one[z, y, x]:
                    taken += layer[z, y, x] != 0
                    layer[z, y, x] = number
    return taken
