"""CT-RATE: v1 and v2 volumes, predicted labels, exclusion of brain scans, several reconstructions per study (3.4.1).

Volumes of v2 (``*_fixed``) are in HU with correct headers, and are never rescaled. Volumes of v1 have blank headers:
slope, intercept, spacing, position and orientation come only from the metadata table.
"""

import ast
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from uniferum.data.cohorts import files, organ_masks
from uniferum.data.cohorts.base import Cohort, CohortConfig, Dropped, Scan, repeated
from uniferum.data.cohorts.dialect import BLANKS
from uniferum.data.cohorts.tables import Index, Row, drawn_first, header, rows
from uniferum.data.cohorts.values import known_labels, refuse_unknown
from uniferum.data.provenance import SplitRule
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import Affine, Intensity, MaskSource, ScanSource

NAME = re.compile(r"(?P<study>(?P<patient>(?:train|valid)_\d+)_[A-Za-z]+)_(?P<reconstruction>\d+)\.nii\.gz")
EXPECTED = {"train": 46168, "validation": 221, "test": 3002}
"""Paper, Table 1; 3,002 is the official 3,039 without 37 brain scans."""

GEOMETRY = ("XYSpacing", "ZSpacing", "ImagePositionPatient", "ImageOrientationPatient")
METADATA = ("VolumeName", "RescaleSlope", "RescaleIntercept", *GEOMETRY)
METADATA_NAMES = {"train": "train_metadata.csv", "valid": "validation_metadata.csv"}
PARTS = ("train", "valid")
EXCLUDED = "excluded by the config"
_UNIT = 0.01
"""Tolerance for the length of a direction (1), and for the cosine between two (0): rounding errors."""


class CtRateConfig(CohortConfig):
    """Settings of a CT-RATE cohort; ``root`` contains ``dataset/``.

    Attributes:
        version: ``v2`` reads ``train_fixed`` and ``valid_fixed``, ``v1`` reads ``train`` and ``valid``.
        reconstructions: ``all``, or only the ``first`` of each study.
        validation_patients: number of training patients held out for model selection (paper 3.4.1: 100).
        validation_seed: seed of their selection; the paper gives no seed.
        exclude: volumes, studies or patients to exclude in addition to the brain scans.
    """

    version: Literal["v1", "v2"] = "v2"
    reconstructions: Literal["all", "first"] = "all"
    validation_patients: int = 100
    validation_seed: int = 0
    exclude: tuple[str, ...] = ()


class CtRate(Cohort[CtRateConfig]):
    """CT-RATE as published."""

    name = "CTRATE"
    config_type = CtRateConfig
    report_id = "VolumeName"

    def __init__(self, config: CtRateConfig) -> None:
        self.config = config
        self.data = config.root / "dataset"
        self._unmatched: set[str] = set()
        self.columns = Vocabulary.load().columns(self.name)
        self.report_labels = tuple(self.columns)
        self.looked_for = f"dataset/{self._folder('train')}/<patient>/<study>/<volume>.nii.gz"

    def entries(self) -> Iterator[Scan | Dropped]:
        """Training rows, then validation rows, each followed by the volumes without a row."""
        self._refuse_layout()
        self._unmatched = set(self.config.exclude).union(*map(self._no_chest, PARTS))
        for part in PARTS:
            self._refuse_columns(part)
            excluded = self._no_chest(part)
            held_out = self._held_out(excluded) if part == "train" else frozenset[str]()
            with Index[Mapping[str, int]]() as volumes, Index[str]() as metadata:
                if self.config.version == "v1":
                    yield from self._read_metadata(part, metadata)
                for row in rows(self._labels(part), ("VolumeName", *self.columns.values())):
                    yield self._entry(part, row, excluded, held_out, volumes, metadata)
                yield from self._without_row(part, volumes)

    def expected(self) -> Mapping[str, int]:
        """Scans by split in the paper's Table 1."""
        return EXPECTED

    def split_rules(self) -> Mapping[str, SplitRule]:
        """Test is the official validation set; the held-out patients are selected by a seed of our own."""
        patients = self.config.validation_patients
        drawn = SplitRule("own", seed=self.config.validation_seed, note=f"{patients} patients of the training set")
        rest = SplitRule("own", seed=self.config.validation_seed, note="the training set without them")
        test = SplitRule("official", papers=True)
        if self.config.reconstructions == "first":
            test = SplitRule("own", note="the first reconstruction of each study")
        return {"train": rest, "validation": drawn, "test": test}

    def notes(self) -> Iterable[str]:
        """Notes on missing exclusion lists, and on the source of the labels."""
        for part in PARTS:
            if not self._no_chest_list(part).exists():
                yield f"no_chest_{part}.txt is missing: brain scans are not excluded from {part}"
            if not (self.data / self._folder(part)).is_dir() and (self.data / self._other_folder(part)).is_dir():
                other = self._other_folder(part)
                yield f"{other} exists instead of {self._folder(part)}: {part} has another version and is not read"
        if self._unmatched:
            count, first = len(self._unmatched), min(self._unmatched)
            yield f"{count} names in exclude or no_chest_*.txt match no row of the label tables (first: {first})"
        yield "labels come from a text classifier on the reports, one set for all reconstructions of a study"

    def extra_vocabulary(self) -> dict[str, Any]:
        """No additions: the cohort has the paper's labels."""
        return {}

    def refuse_splits(self, split_counts: Mapping[str, int]) -> None:
        """Refuse a split in which every training patient on disk is held out."""
        if split_counts.get("validation") and not split_counts.get("train"):
            held, subject = self.config.validation_patients, f"cohort {self.name}: training scans on disk"
            value = f"all {split_counts['validation']} belong to patients held out for selection"
            total = len(set(self._training_patients(self._no_chest("train"))))
            cure = f"the table has {total} training patients and validation_patients is {held}: "
            cure += f"set it to about {total // 10}" if total <= held else "download more of train, or set it lower"
            raise UniferumError(subject, value, must="leave some for training", cure=cure)

    def reports(self) -> Iterator[tuple[str, str]]:
        """Findings and impression of the official validation set, one per study, under its first reconstruction."""
        columns = (self.report_id, "Findings_EN", "Impressions_EN")
        for row in rows(
            self.data / "radiology_text_reports" / "validation_reports.csv", columns, free_text=columns[1:]
        ):
            name = NAME.fullmatch(row[self.report_id])
            if name is not None and name["reconstruction"] == "1":
                parts = (row[column] for column in columns[1:] if row[column] != "Not given.")
                yield row[self.report_id], "\n".join(parts)

    def training_reports(self) -> Iterator[tuple[str, str]]:
        """Findings and impression of every volume of the official training set, as CT-CLIP reads them."""
        columns = (self.report_id, "Findings_EN", "Impressions_EN")
        for row in rows(self.data / "radiology_text_reports" / "train_reports.csv", columns, free_text=columns[1:]):
            parts = (row[column] for column in columns[1:] if row[column] != "Not given.")
            yield row[self.report_id].removesuffix(".nii.gz"), " ".join(parts)

    def _entry(
        self,
        part: str,
        row: Row,
        excluded: frozenset[str],
        held_out: frozenset[str],
        volumes: Index[Mapping[str, int]],
        metadata: Index[str],
    ) -> Scan | Dropped:
        volume = row["VolumeName"]
        name = NAME.fullmatch(volume)
        scan_id = volume.removesuffix(".nii.gz")
        if name is None:
            return Dropped(scan_id, "name is not <patient>_<scan>_<reconstruction>.nii.gz")
        if not volume.startswith(f"{part}_"):
            return Dropped(scan_id, f"row of the other part in the {part} table")
        labels = known_labels(row, self.columns)
        if not volumes.add(volume, {"labels": labels}):
            return Dropped(scan_id, repeated({"labels": labels}, volumes.peek(volume) or {}))
        patient, study = name["patient"], name["study"]
        reason = self._left_out(volume, scan_id, study, patient, name["reconstruction"], excluded)
        relative = self._relative(part, name)
        split = "test" if part == "valid" else "validation" if patient in held_out else "train"
        if reason:
            return Dropped(scan_id, reason, split if reason == EXCLUDED else "")
        fault = files.volume_fault(self.config.root, relative, follow_symlinks=self.config.follow_symlinks)
        if fault:
            return Dropped(scan_id, fault, split)
        try:
            source = self._source(part, relative, scan_id, metadata)
        except (_NoGeometry, organ_masks.BadMask) as error:
            return Dropped(scan_id, str(error), split)
        return Scan(self.name, source, patient, study, split, labels)

    def _left_out(
        self, volume: str, scan_id: str, study: str, patient: str, reconstruction: str, excluded: frozenset[str]
    ) -> str | None:
        self._unmatched -= {volume, scan_id, study, patient}
        if volume in excluded:
            return "brain or other non-chest scan"
        if {volume, scan_id, study, patient} & set(self.config.exclude):
            return EXCLUDED
        if self.config.reconstructions == "first" and reconstruction != "1":
            return "another reconstruction of a study"
        return None

    def _source(self, part: str, relative: str, scan_id: str, metadata: Index[str]) -> ScanSource:
        inner = relative.split("/", 2)[2]
        masks = self._masks(f"dataset/ts_seg/ts_total/{part}_fixed/{inner}")
        intensity, affine = None, None
        if self.config.version == "v1":
            row = metadata.get(f"{scan_id}.nii.gz")
            if row is None:
                raise _NoGeometry("no row in the metadata table")
            intensity, affine = _true_header(row)
        return ScanSource(scan_id, self.config.root / relative, intensity, affine, masks, None, self.config.scan_root)

    def _masks(self, relative: str) -> tuple[MaskSource, ...]:
        if files.fault(self.config.root, relative, follow_symlinks=self.config.follow_symlinks):
            return ()
        return organ_masks.layer_at(self.config.root / relative)

    def _relative(self, part: str, name: re.Match[str]) -> str:
        return f"dataset/{self._folder(part)}/{name['patient']}/{name['study']}/{name.group()}"

    def _without_row(self, part: str, volumes: Index[Mapping[str, int]]) -> Iterator[Dropped]:
        folder, follow = self.data / self._folder(part), self.config.follow_symlinks
        for on_disk in files.files_below(folder, files.NIFTI, follow_symlinks=follow):
            scan_id = files.without_ending(on_disk.path.name)
            name = NAME.fullmatch(f"{scan_id}.nii.gz")
            if on_disk.fault:
                yield Dropped(on_disk.path.name, on_disk.fault)
            elif name is None or name.group() not in volumes:
                yield Dropped(scan_id, files.WITHOUT_ROW)
            elif os.path.realpath(self.config.root / self._relative(part, name)) != on_disk.real:
                yield Dropped(scan_id, files.ELSEWHERE)

    def _held_out(self, excluded: frozenset[str]) -> frozenset[str]:
        """Patients held out, drawn from all patients of the table, so that a partial download has the same ones."""
        patients = self._training_patients(excluded)
        return drawn_first(patients, self.config.validation_patients, self.config.validation_seed)

    def _training_patients(self, excluded: frozenset[str]) -> Iterator[str]:
        names = (row["VolumeName"] for row in rows(self._labels("train"), ("VolumeName",)))
        matches = (NAME.fullmatch(name) for name in names if name not in excluded and name.startswith("train_"))
        return (match["patient"] for match in matches if match is not None)

    def _read_metadata(self, part: str, metadata: Index[str]) -> Iterator[Dropped]:
        for row in rows(self.data / "metadata" / METADATA_NAMES[part], METADATA):
            if not metadata.add(row["VolumeName"], row):
                other = " with other values: the first row is used" if metadata.peek(row["VolumeName"]) != row else ""
                scan_id = row["VolumeName"].removesuffix(".nii.gz")
                yield Dropped(scan_id, f"duplicate row in the metadata table{other}")

    def _no_chest(self, part: str) -> frozenset[str]:
        path = self._no_chest_list(part)
        return listed_volumes(path) if path.exists() else frozenset()

    def _refuse_columns(self, part: str) -> None:
        allowed = {"VolumeName", *self.columns.values()}
        cure = "the vocabulary has CT-RATE's 18 labels; remove the column"
        columns = header(self._labels(part), needed=("VolumeName", *self.columns.values()))
        if "VolumeName" in columns:  # otherwise `rows` reports which table it is
            refuse_unknown(columns, allowed, str(self._labels(part)), cure=cure)

    def _refuse_layout(self) -> None:
        """Refuse two common mistakes, which would otherwise appear as 50,000 missing volumes."""
        root, version = self.config.root, self.config.version
        if not self.data.is_dir() and (root / "multi_abnormality_labels").is_dir():
            raise UniferumError(
                f"cohort {self.name}: root", root, must="contain dataset/", cure="use the folder above it"
            )
        existing = [name for name in map(self._folder, PARTS) if (self.data / name).is_dir()]
        others = [name for name in map(self._other_folder, PARTS) if (self.data / name).is_dir()]
        if others and not existing:
            subject = f"{self.data}: {' and '.join(map(self._folder, PARTS))}"
            cure = f"only {' and '.join(others)} exists: set version: {'v1' if version == 'v2' else 'v2'}"
            raise UniferumError(subject, must=f"exist for version: {version}", cure=cure)

    def _labels(self, part: str) -> Path:
        return self.data / "multi_abnormality_labels" / f"{part}_predicted_labels.csv"

    def _no_chest_list(self, part: str) -> Path:
        return self.data / "metadata" / f"no_chest_{part}.txt"

    def _folder(self, part: str) -> str:
        return f"{part}_fixed" if self.config.version == "v2" else part

    def _other_folder(self, part: str) -> str:
        return part if self.config.version == "v2" else f"{part}_fixed"


class _NoGeometry(Exception):
    """The metadata table has no complete geometry of a v1 volume."""


def listed_volumes(path: Path) -> frozenset[str]:
    """Names of the volumes in a list of non-chest scans (``no_chest_train.txt``), one per line.

    Raises:
        UniferumError: it is not UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UniferumError(str(path), must="be UTF-8 text") from None
    names = (line.strip(f"{BLANKS}\"',;").replace("\\", "/").rsplit("/", 1)[-1] for line in lines)
    return frozenset(f"{files.without_ending(name, files.NIFTI)}.nii.gz" for name in names if name)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _true_header(row: Mapping[str, str]) -> tuple[Intensity, Affine]:
    """Compute intensity and RAS affine of a v1 volume from the DICOM values in the metadata table.

    The direction columns are the row cosines, the column cosines and their cross product (DICOM C.7.6.2, like the
    repair used by the dataset's users). DICOM is LPS, so x and y change sign.
    """
    try:
        slope, intercept = float(row["RescaleSlope"]), float(row["RescaleIntercept"])
        spacing_x, spacing_y = (float(v) for v in ast.literal_eval(row["XYSpacing"]))
        spacing_z = float(row["ZSpacing"])
        position = [float(v) for v in ast.literal_eval(row["ImagePositionPatient"])]
        cosines = [float(v) for v in ast.literal_eval(row["ImageOrientationPatient"])]
        across, down = cosines[:3], cosines[3:6]
        through = [
            across[1] * down[2] - across[2] * down[1],
            across[2] * down[0] - across[0] * down[2],
            across[0] * down[1] - across[1] * down[0],
        ]
    except (ValueError, SyntaxError, TypeError, IndexError, RecursionError, MemoryError):  # the last two: nested (((
        raise _NoGeometry("metadata row is incomplete") from None
    numbers = [slope, intercept, spacing_x, spacing_y, spacing_z, *position, *cosines]
    if len(position) != 3 or len(cosines) != 6 or not all(map(math.isfinite, numbers)):
        raise _NoGeometry("metadata row is incomplete")
    if abs(math.hypot(*across) - 1) > _UNIT or abs(math.hypot(*down) - 1) > _UNIT or abs(_dot(across, down)) > _UNIT:
        raise _NoGeometry("metadata row has directions that are not of length 1 or not at right angles")
    if min(spacing_x, spacing_y, spacing_z, slope) <= 0:
        raise _NoGeometry("metadata row has a spacing or slope that is not positive")
    signs = (-1.0, -1.0, 1.0)
    affine = tuple(
        (
            signs[axis] * across[axis] * spacing_x,
            signs[axis] * down[axis] * spacing_y,
            signs[axis] * through[axis] * spacing_z,
            signs[axis] * position[axis],
        )
        for axis in range(3)
    )
    return Intensity(slope, intercept), (*affine, (0.0, 0.0, 0.0, 1.0))
