"""A user's cohort: a folder of volumes, a table of labels and masks, and a YAML that describes its columns.

Volumes are NIfTI, MetaImage, npz (key ``ct``) or folders of one DICOM series. An empty cell is unknown. Columns that
are not in the YAML are refused, so that a misspelt label is not lost.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from uniferum.data.cohorts import files, organ_masks
from uniferum.data.cohorts.base import Cohort, Dropped, Scan, repeated
from uniferum.data.cohorts.folder_config import FolderConfig, MaskColumn, OwnMask, own_words
from uniferum.data.cohorts.organ_masks import BadMask
from uniferum.data.cohorts.splits import ORDER, by_patient
from uniferum.data.cohorts.tables import Index, Row, header, rows
from uniferum.data.cohorts.values import known_id, known_labels, refuse_unknown
from uniferum.data.provenance import SplitRule
from uniferum.data.vocabulary import TOTALSEGMENTATOR, Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.preprocessing.formats.source import MaskSource, ScanSource

SPLIT_NAMES = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


class Folder(Cohort[FolderConfig]):
    """A user's folder of volumes with a table."""

    config_type = FolderConfig

    def __init__(self, config: FolderConfig) -> None:
        self.config = config
        self.name = config.name
        self.label_columns = {label: settings.column or label for label, settings in config.labels.items()}
        self.words = own_words(config, Vocabulary.load())
        self.looked_for = f"the files in column {config.columns.path} of {config.table}"

    def entries(self) -> Iterator[Scan | Dropped]:
        """Rows of the table, then volumes without a row."""
        table = self.config.root / self.config.table
        self._refuse_columns(table)
        drawn = self._drawn(table) if self.config.columns.split is None else None
        with Index[str | Mapping[str, int]]() as scans, Index[str]() as files_with_row, Index[str]() as patients:
            for row in rows(table, self._needed()):
                real = self._remember(row, files_with_row)
                entry = self._entry(row, real, scans, drawn)
                if isinstance(entry, Scan):
                    self._refuse_leak(entry, row, real, files_with_row, patients)
                yield entry
            yield from self._without_row(files_with_row)

    def expected(self) -> Mapping[str, int]:
        """Nothing: the paper does not use this cohort."""
        return {}

    def split_rules(self) -> Mapping[str, SplitRule]:
        """Own splits, from the table or drawn."""
        seed = self.config.seed if self.config.columns.split is None else None
        return dict.fromkeys(ORDER, SplitRule("own", seed=seed))

    def notes(self) -> Iterable[str]:
        """Notes on the source of the splits."""
        if self.config.columns.split is None:
            yield f"splits drawn by patient with seed {self.config.seed}"
        if self.config.columns.patient is None:
            yield "no patient column: each scan counts as a separate patient"

    def extra_vocabulary(self) -> dict[str, Any]:
        """The labels and structures of the YAML."""
        return self.words

    def _entry(
        self, row: Row, real: str, scans: Index[str | Mapping[str, int]], drawn: Mapping[str, str] | None
    ) -> Scan | Dropped:
        columns = self.config.columns
        scan_id = row[columns.scan]
        if not scan_id:
            return Dropped(scan_id, "row without an id")
        patient, is_known = self._patient(row)
        split = self._split(row) if drawn is None else drawn.get(patient, "train")
        labels = known_labels(row, self.label_columns)
        if not scans.add(scan_id, {"split": split, "labels": labels, "path": row[columns.path]}):
            self._refuse_second_split(row, split, scans)
            first = scans.peek(scan_id) or {}
            return Dropped(scan_id, repeated({"labels": labels, "path": row[columns.path]}, first))
        follow = self.config.follow_symlinks
        reason = files.volume_fault(self.config.root, row[columns.path], follow_symlinks=follow, real=real)
        if reason:
            again = files.missing(self.config.root, row[columns.path]) if reason == files.MISSING else reason
            return Dropped(scan_id, again, split)
        study = (row[columns.study] if columns.study else "") or scan_id
        try:
            masks = tuple(self._masks(row, scan_id))
        except BadMask as fault:
            return Dropped(scan_id, str(fault), split)
        source = ScanSource(scan_id, self.config.root / row[columns.path], masks=masks, root=self.config.scan_root)
        return Scan(self.name, source, patient, study, split, labels, is_known or columns.patient is None)

    def _without_row(self, files_with_row: Index[str]) -> Iterator[Dropped]:
        """Volumes of which neither the path nor a parent folder is in a row."""
        root, follow = self.config.root, self.config.follow_symlinks
        for on_disk in files.files_below(root, dicom=True, follow_symlinks=follow, skip=files_with_row):
            if not self._is_organ_mask(on_disk.path):
                yield Dropped(on_disk.path.name, on_disk.fault or files.WITHOUT_ROW)

    def _is_organ_mask(self, path: Path) -> bool:
        masks_root = self.config.masks_root
        return masks_root is not None and path.is_relative_to(self.config.root / masks_root)

    def _refuse_leak(self, scan: Scan, row: Row, real: str, files_with_row: Index[str], patients: Index[str]) -> None:
        """Refuse a patient, or a file, in two splits, which would be used for training and testing."""
        known = patients.peek(scan.patient_id)
        patients.add(scan.patient_id, {"split": scan.split})
        if known is not None and known["split"] != scan.split:
            subject = f"{row.where(self.config.columns.patient)}: patient {scan.patient_id}"
            cure = "or remove split from columns, to draw splits by patient"
            raise UniferumError(subject, f"{known['split']} and {scan.split}", must="be in one split", cure=cure)
        first = files_with_row.peek(real) or {}
        if first.get("split", scan.split) != scan.split:
            subject, other = row.where(self.config.columns.path), first["scan"]
            value = f"{first['split']} with scan {other}, {scan.split} here"
            shared = self.config.columns.split or self.config.columns.patient or "split"
            cure = f"remove one of the rows, or give both the same {shared}"
            raise UniferumError(subject, value, must="name a file of one split", cure=cure)
        files_with_row.merge(real, {"scan": scan.scan_id, "split": scan.split})

    def _refuse_second_split(self, row: Row, split: str, scans: Index[str | Mapping[str, int]]) -> None:
        """Refuse a scan in two splits, whose use would depend on the order of the rows."""
        first = scans.peek(row[self.config.columns.scan])
        if first is not None and first["split"] != split:
            must = "be in one split"
            raise UniferumError(row.where(self.config.columns.split), f"{first['split']} and {split}", must=must)

    def _patient(self, row: Row) -> tuple[str, bool]:
        """Patient of a scan, and whether the table contains it; otherwise the scan id is used."""
        column = self.config.columns.patient
        patient = known_id(row[column]) if column else ""
        return patient or row[self.config.columns.scan], bool(patient)

    def _split(self, row: Row) -> str:
        column = self.config.columns.split or ""
        text = row[column]
        if text.lower() not in SPLIT_NAMES:
            raise UniferumError(row.where(column), text, must="be train, validation or test")
        return SPLIT_NAMES[text.lower()]

    def _masks(self, row: Row, scan_id: str) -> Iterator[MaskSource]:
        follow = self.config.follow_symlinks
        for column in self.config.masks:
            if not row[column.path]:
                continue
            kind = self._kind(column, row)
            reason = files.fault(self.config.root, row[column.path], follow_symlinks=follow)
            if reason:
                raise BadMask(f"mask: {reason}")
            path = self.config.root / row[column.path]
            if kind.structure == TOTALSEGMENTATOR:
                yield from organ_masks.layer_at(path)
            else:
                yield MaskSource(kind.structure, path, kind.value, kind.threshold)
        yield from organ_masks.beside(self.config.root, self.config.masks_root, scan_id, follow_symlinks=follow)

    def _kind(self, column: MaskColumn, row: Row) -> OwnMask:
        if column.label is None:
            return next(iter(column.kinds.values()))
        text = row[column.label]
        if text not in column.kinds:
            cure = near_miss(text, column.kinds)
            raise UniferumError(row.where(column.label), text, must="be a kind of mask in the YAML", cure=cure)
        return column.kinds[text]

    def _needed(self) -> list[str]:
        columns = [column for column in self.config.columns.model_dump().values() if column is not None]
        columns += self.label_columns.values()
        for mask in self.config.masks:
            columns += [mask.path, *([mask.label] if mask.label else [])]
        return list(dict.fromkeys(columns))

    def _refuse_columns(self, table: Path) -> None:
        cure = "add it to labels, columns or masks of the cohort's YAML, or to ignore"
        known = [*self._needed(), *self.config.ignore]
        refuse_unknown(header(table, needed=known), known, str(table), cure=cure)

    def _remember(self, row: Row, files_with_row: Index[str]) -> str:
        """Convert the row's paths to this system, store the files that it names, and return the volume's path."""
        real: list[str] = []
        for column in (self.config.columns.path, *(mask.path for mask in self.config.masks)):
            row[column] = files.as_written(self.config.root, row[column])
            real.append(os.path.realpath(f"{self.config.root}/{row[column]}") if row[column] else "")
            if row[column]:
                files_with_row.add(real[-1], {})
        return real[0]

    def _drawn(self, table: Path) -> dict[str, str]:
        counts = Counter(self._patient(row)[0] for row in rows(table, self._needed()))
        total, weight = sum(counts.values()), sum(self.config.fractions.values())
        sizes = {split: round(total * share / weight) for split, share in self.config.fractions.items()}
        return by_patient(counts, sizes, self.config.seed)
