"""RAD-ChestCT: npz volumes, and columns per abnormality and location, merged to 39 labels (paper 3.4.2) and 44 more.

A volume's axes run superior to inferior, anterior to posterior, right to left (0.8 mm); the affine contains this, and
no volume is transposed by guess. A label is read only from the columns of exactly its abnormality:
``septal_thickening*`` does not use ``pleural_thickening*``.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from uniferum.data.cohorts import files, organ_masks
from uniferum.data.cohorts.base import Cohort, CohortConfig, Dropped, Scan, repeated
from uniferum.data.cohorts.known_tables import named_after
from uniferum.data.cohorts.splits import BEYOND, PatientSplits, by_patient
from uniferum.data.cohorts.tables import Index, header, rows
from uniferum.data.cohorts.values import MEANING, known, known_id
from uniferum.data.further_labels import further_columns
from uniferum.data.provenance import SplitRule
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.preprocessing.formats.source import Affine, ScanSource

EXPECTED = {"train": 2286, "validation": 984, "test": 360}
"""Paper, Table 1; 2,286 is the official imgtrain, the other 1,344 were split again by a rule that it does not give."""

SPACING_MM = 0.8
"""Spacing after resampling by the dataset's authors, in all directions (rachellea/ct-volume-preprocessing)."""

CLIP_HU = (-1000.0, 1000.0)
ID = "NoteAcc_DEID"
TABLES = {"imgtrain": "train", "imgvalid": "validation", "imgtest": "test"}
METADATA = "CT_Scan_Metadata_Complete_35747.csv"


class RadChestConfig(CohortConfig):
    """Settings of a RAD-ChestCT cohort.

    Attributes:
        images: folder of the npz files, relative to ``root``.
        split: ``official``, or ``paper_sized``: imgtrain is unchanged, imgvalid and imgtest are drawn again by patient
            to the paper's sizes.
        seed: seed of ``paper_sized``.
        spacing_mm: spacing of the arrays, which have no affine; 0.8 in the release.
    """

    images: Path = Path()
    split: Literal["official", "paper_sized"] = "official"
    seed: int = 0
    spacing_mm: float = Field(default=SPACING_MM, gt=0)


def affine_of(spacing_mm: float) -> Affine:
    """Affine from voxel to RAS mm: axis 0 runs to inferior, 1 to posterior, 2 to the patient's left.

    The release has no origin, so it is set to voxel 0.
    """
    step = -spacing_mm
    return ((0.0, 0.0, step, 0.0), (0.0, step, 0.0, 0.0), (step, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


class RadChest(Cohort[RadChestConfig]):
    """RAD-ChestCT as published on Zenodo."""

    name = "RADCHEST"
    config_type = RadChestConfig

    def __init__(self, config: RadChestConfig) -> None:
        self.config = config
        self.tokens = Vocabulary.load().columns(self.name)
        self.further_tokens = further_columns(self.name)
        self.looked_for = (config.images / f"<{ID}>.npz").as_posix()

    def entries(self) -> Iterator[Scan | Dropped]:
        """Rows of the three label tables, then volumes without a row."""
        with Index[str]() as scan_ids, Index[Mapping[str, int]]() as scans, Index[str]() as patients:
            yield from self._read_patients(patients)
            drawn = self._drawn(patients) if self.config.split == "paper_sized" else None
            splits = self._splits(patients, drawn)
            for table in TABLES:
                for scan_id, labels in self._rows(table):
                    scan_ids.add(scan_id)
                    yield self._entry(scan_id, labels, table, scans, patients, drawn, splits)
            yield from self._without_row(scan_ids)

    def expected(self) -> Mapping[str, int]:
        """Scans by split in the paper's Table 1."""
        return EXPECTED

    def split_rules(self) -> Mapping[str, SplitRule]:
        """Own splits: the paper gives only sizes."""
        official = SplitRule("official")
        drawn = official if self.config.split == "official" else SplitRule(self.config.split, seed=self.config.seed)
        return {"train": official, "validation": drawn, "test": drawn}

    def notes(self) -> Iterable[str]:
        """Notes on the split, and on unknown patients."""
        yield f"split: {self.config.split}, not the paper's"
        if not (self.config.root / METADATA).exists():
            yield f"{METADATA} is missing: each scan counts as a separate patient"

    def extra_vocabulary(self) -> dict[str, Any]:
        """No additions: the cohort has the paper's labels."""
        return {}

    def _entry(
        self,
        scan_id: str,
        known_labels: Mapping[str, int],
        table: str,
        scans: Index[Mapping[str, int]],
        patients: Index[str],
        drawn: Mapping[str, str] | None,
        splits: PatientSplits,
    ) -> Scan | Dropped:
        if not scan_id:
            return Dropped(scan_id, "row without an id")
        labels = {label: value for label, value in known_labels.items() if label in self.tokens}
        further = {label: value for label, value in known_labels.items() if label in self.further_tokens}
        patient, is_known = _patient(scan_id, patients)
        split = _split(table, patient, drawn)
        if split is not None and (leak := splits.leak(patient, split)):
            return Dropped(scan_id, leak)
        if not scans.add(scan_id, {"labels": labels}):
            return Dropped(scan_id, repeated({"labels": labels}, scans.peek(scan_id) or {}))
        reason = self._fault(scan_id)
        if reason or split is None:
            return Dropped(scan_id, reason or BEYOND, split or "")
        try:
            source = self._source(scan_id)
        except organ_masks.BadMask as fault:
            return Dropped(scan_id, str(fault), split)
        return Scan(self.name, source, patient, scan_id, split, labels, is_known, further)

    def _source(self, scan_id: str) -> ScanSource:
        root, follow = self.config.root, self.config.follow_symlinks
        masks = organ_masks.beside(root, self.config.masks_root, scan_id, follow_symlinks=follow)
        return ScanSource(
            scan_id,
            root / self._relative(scan_id),
            affine=affine_of(self.config.spacing_mm),
            masks=masks,
            known_hu_clip=CLIP_HU,
            root=self.config.scan_root,
        )

    def _fault(self, scan_id: str) -> str | None:
        relative = self._relative(scan_id).as_posix()
        return files.volume_fault(self.config.root, relative, follow_symlinks=self.config.follow_symlinks)

    def _relative(self, scan_id: str) -> Path:
        return self.config.images / f"{scan_id}.npz"

    def _rows(self, table: str) -> Iterator[tuple[str, dict[str, int]]]:
        """Identifier and labels of each row: the maximum over an abnormality's columns; unknown ones are absent."""
        path = self._table(table)
        columns = self._columns(path)
        needed = [ID, *(column for scan_ids in columns.values() for column in scan_ids)]
        for row in rows(path, needed):
            labels: dict[str, int] = {}
            for label, scan_ids in columns.items():
                cells = {column: row[column] for column in scan_ids}
                read = (MEANING[c] if c in MEANING else known(c, row, column) for column, c in cells.items())
                values = [value for value in read if value is not None]
                if values:
                    labels[label] = max(values)
            yield row[ID], labels

    def _without_row(self, scan_ids: Index[str]) -> Iterator[Dropped]:
        folder, follow = self.config.root / self.config.images, self.config.follow_symlinks
        for on_disk in files.files_below(folder, (".npz",), follow_symlinks=follow):
            scan_id = files.without_ending(on_disk.path.name, (".npz",))
            if on_disk.fault:
                yield Dropped(on_disk.path.name, on_disk.fault)
            elif scan_id not in scan_ids:
                yield Dropped(scan_id, files.WITHOUT_ROW)
            elif os.path.realpath(folder / f"{scan_id}.npz") != on_disk.real:
                yield Dropped(scan_id, files.ELSEWHERE)

    def _columns(self, path: Path) -> dict[str, list[str]]:
        by_token: defaultdict[str, list[str]] = defaultdict(list)
        for column in header(path, needed=(ID,)):
            token, star, _ = column.partition("*")
            if star:
                by_token[token].append(column)
        for token in self.tokens.values():
            if token not in by_token:
                cure = near_miss(token, by_token) if by_token else f"none is{named_after(header(path))}"
                raise UniferumError(f"{path}: columns {token}*<location>", must="exist", cure=cure)
        tokens = {**self.tokens, **self.further_tokens}
        return {label: by_token[token] for label, token in tokens.items() if token in by_token}

    def _table(self, table: str) -> Path:
        return self.config.root / f"{table}_Abnormality_and_Location_Labels.csv"

    def _read_patients(self, patients: Index[str]) -> Iterator[Dropped]:
        path = self.config.root / METADATA
        if path.exists():
            for row in rows(path, (ID, "MRN_DEID")):
                if not patients.add(row[ID], row) and (patients.peek(row[ID]) or {})["MRN_DEID"] != row["MRN_DEID"]:
                    yield Dropped(row[ID], "second patient in the metadata table")

    def _splits(self, patients: Index[str], drawn: Mapping[str, str] | None) -> PatientSplits:
        """Splits of each patient's scans."""
        splits = PatientSplits()
        for table in TABLES:
            for row in rows(self._table(table), (ID,)):
                patient, _ = _patient(row[ID], patients)
                split = _split(table, patient, drawn)
                if split is not None:
                    splits.add(patient, split)
        return splits

    def _drawn(self, patients: Index[str]) -> dict[str, str]:
        counts: Counter[str] = Counter()
        for table in ("imgvalid", "imgtest"):
            for row in rows(self._table(table), (ID,)):
                if self._fault(row[ID]) is None:
                    counts[_patient(row[ID], patients)[0]] += 1
        sizes = {split: EXPECTED[split] for split in ("validation", "test")}
        return by_patient(counts, sizes, self.config.seed)


def _split(table: str, patient: str, drawn: Mapping[str, str] | None) -> str | None:
    """Split of a row; ``None`` if a drawn split has no space for its patient."""
    return TABLES[table] if drawn is None or table == "imgtrain" else drawn.get(patient)


def _patient(scan_id: str, patients: Index[str]) -> tuple[str, bool]:
    """Patient of a scan, and whether it is in the metadata; otherwise the scan id is used."""
    row = patients.peek(scan_id)
    patient = "" if row is None else known_id(row["MRN_DEID"])
    return patient or scan_id, bool(patient)
