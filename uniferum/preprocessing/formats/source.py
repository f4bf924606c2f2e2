"""Description of one scan by its cohort: where its files are, and what their headers do not say.

Only data, frozen and picklable, so that a scan can be sent to any process; no file is read here.
"""

from dataclasses import dataclass
from pathlib import Path

Affine = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Intensity:
    """Conversion to Hounsfield units, ``hu = slope * stored + intercept``; it replaces that of the header."""

    slope: float
    intercept: float


@dataclass(frozen=True)
class Sphere:
    """A finding given by its centre and diameter (LUNA16's ``annotations.csv``)."""

    centre_mm_ras: tuple[float, float, float]
    diameter_mm: float


@dataclass(frozen=True)
class MaskSource:
    """One mask layer of a scan.

    Attributes:
        layer: ``totalsegmentator`` (label ids 0 to 117 of version 2), or the name of a binary layer.
        path: a mask file, or (``totalsegmentator``) a folder with one binary ``<class>.nii.gz`` or ``<class>.nii`` per
            class; ``None`` for a mask of spheres.
        value: if set, the mask is where the file, after the header's scaling, equals it (or one of several).
        threshold: if set, the mask is where the file, after the header's scaling, is above it.
        class_names: class name of each id, for a folder of files; index 0 is the background.
        spheres: nodules that are drawn on the prepared grid.
    """

    layer: str
    path: Path | None = None
    value: int | tuple[int, ...] | None = None
    threshold: float | None = None
    class_names: tuple[str, ...] | None = None
    spheres: tuple[Sphere, ...] = ()


@dataclass(frozen=True)
class ScanSource:
    """One scan as its dataset delivers it.

    Attributes:
        scan_id: the dataset's own id.
        path: a NIfTI, MetaImage or npz file, or a folder with one DICOM series.
        intensity: if set, it replaces the header's slope and intercept.
        affine: 4 x 4, voxel index to RAS mm; if set, it replaces the header's geometry.
        masks: the layers that exist for this scan.
        known_hu_clip: limits to which the dataset is clipped (RAD-ChestCT: -1000, 1000).
        root: if set, no file outside this folder is read, not even through links or ``..``.
    """

    scan_id: str
    path: Path
    intensity: Intensity | None = None
    affine: Affine | None = None
    masks: tuple[MaskSource, ...] = ()
    known_hu_clip: tuple[float, float] | None = None
    root: Path | None = None
