"""What a cohort says about one scan: where its files lie and what their headers do not say.

Pure data, frozen and picklable, so that a scan can be sent to any process; nothing here touches a file.
"""

from dataclasses import dataclass
from pathlib import Path

Affine = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Intensity:
    """Stored value to Hounsfield units: ``hu = slope * stored + intercept``; replaces what the header says."""

    slope: float
    intercept: float


@dataclass(frozen=True)
class Sphere:
    """A finding that a dataset gives as a centre and a diameter (LUNA16's ``annotations.csv``)."""

    centre_mm_ras: tuple[float, float, float]
    diameter_mm: float


@dataclass(frozen=True)
class MaskSource:
    """One mask layer of a scan.

    Attributes:
        layer: ``totalsegmentator`` (multi-label, version 2 ids 0 to 117), or a binary layer's own name.
        path: a mask file, or (``totalsegmentator``) a folder with one binary ``<class>.nii.gz`` or
            ``<class>.nii`` a class; ``None`` where the mask is made of spheres.
        value: where given, the mask is where the file, scaled as its header says, equals it (or one of several).
        threshold: where given, the mask is where the file, scaled as its header says, lies above it.
        class_names: the class of each id, for a folder of files; position 1 is id 1, and position 0 the background.
        spheres: nodules to be drawn on the prepared grid itself.
    """

    layer: str
    path: Path | None = None
    value: int | tuple[int, ...] | None = None
    threshold: float | None = None
    class_names: tuple[str, ...] | None = None
    spheres: tuple[Sphere, ...] = ()


@dataclass(frozen=True)
class ScanSource:
    """One scan as delivered.

    Attributes:
        scan_id: as the dataset publishes it.
        path: a NIfTI, MetaImage or npz file, or a folder that holds one DICOM series.
        intensity: where given, the header's own slope and intercept are not believed.
        affine: 4 x 4, voxel to RAS millimetres; where given, the header's own geometry is not believed.
        masks: the layers that exist for this scan.
        known_hu_clip: limits that the dataset already clipped to (RAD-ChestCT: -1000, 1000).
        root: where given, no file outside this folder is read, whatever links and ``..`` say.
    """

    scan_id: str
    path: Path
    intensity: Intensity | None = None
    affine: Affine | None = None
    masks: tuple[MaskSource, ...] = ()
    known_hu_clip: tuple[float, float] | None = None
    root: Path | None = None
