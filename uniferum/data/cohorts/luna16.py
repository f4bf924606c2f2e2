"""LUNA16: chest CT with annotated nodules, for the nodule segmentation task (paper 3.3, 601 masks).

The dataset has no nodule masks: each annotation becomes a sphere of its diameter. Annotations are in LPS mm and are
converted to RAS by the signs of x and y; the reader handles flipped axes of a volume (``TransformMatrix``).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from uniferum.data.cohorts import files, organ_masks
from uniferum.data.cohorts.base import Cohort, CohortConfig, Dropped, Scan
from uniferum.data.cohorts.tables import Index, rows
from uniferum.data.provenance import SplitRule
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.scan_files import files_of
from uniferum.preprocessing.formats.source import MaskSource, ScanSource, Sphere

EXPECTED = {"train": 601}
"""Paper 3.3: the number of scans with at least one annotated nodule."""

ANNOTATIONS = "annotations.csv"
COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
WIDEST_MM = 300
"""Maximum diameter in mm; the widest nodule of LUNA16 has 32 mm."""

SUBSETS = tuple(f"subset{k}" for k in range(10))


class Luna16Config(CohortConfig):
    """Settings of a LUNA16 cohort.

    Attributes:
        only_with_nodules: whether to exclude scans without an annotated nodule, like the paper with its 601 scans.
    """

    only_with_nodules: bool = True


class Luna16(Cohort[Luna16Config]):
    """LUNA16 as published: no labels, one training split."""

    name = "LUNA16"
    config_type = Luna16Config
    looked_for = "subset0 to subset9: <seriesuid>.mhd, with its .raw or .zraw"

    def __init__(self, config: Luna16Config) -> None:
        self.config = config

    def entries(self) -> Iterator[Scan | Dropped]:
        """Volumes by subset, then annotated series without a volume."""
        with Index[str]() as nodules, Index[str]() as series:
            self._read(nodules)
            for subset in SUBSETS:
                folder, follow = self.config.root / subset, self.config.follow_symlinks
                for on_disk in files.files_below(folder, (".mhd",), follow_symlinks=follow):
                    relative = on_disk.path.relative_to(self.config.root).as_posix()
                    yield self._entry(on_disk.path.stem, relative, nodules, series, on_disk.fault)
            yield from (Dropped(uid, files.MISSING if uid else "row without an id") for uid in nodules.unseen())

    def expected(self) -> Mapping[str, int]:
        """The 601 masks of the paper."""
        return EXPECTED if self.config.only_with_nodules else {}

    def split_rules(self) -> Mapping[str, SplitRule]:
        """The paper's rule: all scans with a nodule are in the training split."""
        return {"train": SplitRule("official", papers=self.config.only_with_nodules)}

    def notes(self) -> Iterable[str]:
        """Note on the source of the masks."""
        yield "nodule masks are spheres of the annotated diameter; the paper does not say how its masks were made"

    def extra_vocabulary(self) -> dict[str, Any]:
        """No additions: the nodule task is the paper's."""
        return {}

    def _entry(
        self, uid: str, relative: str, nodules: Index[str], series: Index[str], unreadable: str | None
    ) -> Scan | Dropped:
        if unreadable:
            return Dropped(relative, unreadable)
        if not series.add(uid):
            return Dropped(uid, "duplicate id")
        row = nodules.get(uid)
        if row is None and self.config.only_with_nodules:
            return Dropped(uid, "no annotated nodule")
        reason = self._fault(relative)
        if reason:
            return Dropped(uid, reason)
        nodule = () if row is None else (MaskSource("nodule", spheres=_spheres(row["nodules"])),)
        root, follow = self.config.root, self.config.follow_symlinks
        try:
            organs = organ_masks.beside(root, self.config.masks_root, uid, follow_symlinks=follow)
        except organ_masks.BadMask as fault:
            return Dropped(uid, str(fault))
        source = ScanSource(uid, root / relative, masks=(*nodule, *organs), root=self.config.scan_root)
        return Scan(self.name, source, uid, uid, "train", {}, patient_known=False)

    def _fault(self, relative: str) -> str | None:
        root, follow = self.config.root, self.config.follow_symlinks
        reason = files.volume_fault(root, relative, follow_symlinks=follow)
        if reason:
            return reason
        voxels = (file.relative_to(root).as_posix() for file in files_of(root / relative)[1:])
        absent = any(files.volume_fault(root, name, follow_symlinks=follow) for name in voxels)
        return files.NO_VOXELS if absent else None

    def _read(self, nodules: Index[str]) -> None:
        """Read the annotations by series, converted to RAS mm."""
        path = self.config.root / ANNOTATIONS
        for row in rows(path, COLUMNS):
            try:
                x, y, z, diameter = (float(row[column]) for column in COLUMNS[1:])
            except ValueError:
                cure = "use a decimal point" if "," in "".join(row.values()) else ""
                raise UniferumError(row.where(), must="have numbers for its coordinates", cure=cure) from None
            if not all(map(math.isfinite, (x, y, z))) or not 0 < diameter < WIDEST_MM:
                must = f"have a finite centre and a positive diameter, less than {WIDEST_MM} mm"
                raise UniferumError(row.where(), must=must)
            uid = row["seriesuid"]
            so_far = (nodules.peek(uid) or {"nodules": ""})["nodules"]
            nodules.merge(uid, {"nodules": f"{so_far};{-x} {-y} {z} {diameter}".lstrip(";")})


def _spheres(text: str) -> tuple[Sphere, ...]:
    numbers = (tuple(float(v) for v in sphere.split()) for sphere in text.split(";"))
    return tuple(Sphere((x, y, z), diameter) for x, y, z, diameter in numbers)
