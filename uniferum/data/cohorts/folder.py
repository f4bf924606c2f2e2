"""Anyone's own cohort: a folder of volumes, a table of labels and masks, and a YAML that says what the columns mean.

Volumes are NIfTI, MetaImage, npz (key ``ct``) or folders of one DICOM series. An empty cell is unknown. A column that
the YAML does not name is refused, so that a misspelt label cannot vanish.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from uniferum.data.cohorts import files, totalsegmentator
from uniferum.data.cohorts.base import Cohort, Dropped, Scan
from uniferum.data.cohorts.folder_config import FolderConfig, MaskColumn, OwnMask, own_words
from uniferum.data.cohorts.splits import by_patient
from uniferum.data.cohorts.tables import Index, header, rows
from uniferum.data.cohorts.values import known_labels, refuse_unknown
from uniferum.data.vocabulary import TOTALSEGMENTATOR, Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.preprocessing.source import MaskSource, ScanSource

SPLIT_NAMES = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}
SUFFIXES = (".nii.gz", ".nii", ".mhd", ".mha", ".npz")


class Folder(Cohort[FolderConfig]):
    """A folder of one's own."""

    config_type = FolderConfig

    def __init__(self, config: FolderConfig) -> None:
        self.config = config
        self.name = config.name
        self.label_columns = {label: own.column or label for label, own in config.labels.items()}
        self.words = own_words(config, Vocabulary.load())

    def entries(self) -> Iterator[Scan | Dropped]:
        """Rows of the table, then volumes that no row names."""
        table = self.config.root / self.config.table
        self._refuse_columns(table)
        drawn = self._drawn(table) if self.config.columns.split is None else None
        with Index() as seen, Index() as named, Index() as patients:
            for row in rows(table, self._needed()):
                self._remember(row, named)
                entry = self._entry(row, seen, drawn)
                if isinstance(entry, Scan):
                    self._refuse_leak(entry, patients)
                yield entry
            for path in files.files_below(self.config.root, SUFFIXES):
                relative = path.relative_to(self.config.root).as_posix()
                if relative not in named and not self._is_organ_mask(path):
                    yield Dropped(path.name, "scan without a label row")

    def expected(self) -> Mapping[str, int]:
        """Nothing: the paper does not use it."""
        return {}

    def papers_split(self) -> Mapping[str, bool]:
        """Nothing to compare with."""
        return {}

    def notes(self) -> Iterable[str]:
        """How the splits came about."""
        if self.config.columns.split is None:
            yield f"splits drawn by patient with seed {self.config.seed}"
        if self.config.columns.patient is None:
            yield "no patient column: each scan counts as a patient of its own"

    def extra_vocabulary(self) -> dict[str, Any]:
        """The labels and structures of the YAML."""
        return self.words

    def _entry(self, row: Mapping[str, str], seen: Index, drawn: Mapping[str, str] | None) -> Scan | Dropped:
        columns = self.config.columns
        scan_id = row[columns.scan]
        if not scan_id or not seen.add(scan_id):
            return Dropped(scan_id, "duplicate id" if scan_id else "row without an id")
        reason = files.fault(self.config.root, row[columns.path], follow_symlinks=self.config.follow_symlinks)
        if reason:
            return Dropped(scan_id, reason)
        patient = self._patient(row)
        study = (row[columns.study] if columns.study else "") or scan_id
        split = self._split(row) if drawn is None else drawn.get(patient, "train")
        try:
            masks = tuple(self._masks(row, scan_id))
        except _BadMask as fault:
            return Dropped(scan_id, str(fault))
        source = ScanSource(scan_id, self.config.root / row[columns.path], masks=masks, root=self.config.fence)
        labels = known_labels(row, self.label_columns, self.config.table.name)
        return Scan(self.name, source, patient, study, split, labels)

    def _is_organ_mask(self, path: Path) -> bool:
        masks_root = self.config.masks_root
        return masks_root is not None and path.is_relative_to(self.config.root / masks_root)

    def _refuse_leak(self, scan: Scan, patients: Index) -> None:
        """A patient of two splits would be trained on and tested on."""
        known = patients.peek(scan.patient_id)
        patients.add(scan.patient_id, {"split": scan.split})
        if known is not None and known["split"] != scan.split:
            where = f"{self.config.table}: patient {scan.patient_id}"
            cure = "or take split out of columns, to have whole patients drawn"
            raise UniferumError(where, f"{known['split']} and {scan.split}", must="be in one split", cure=cure)

    def _patient(self, row: Mapping[str, str]) -> str:
        column = self.config.columns.patient
        return (row[column] if column else "") or row[self.config.columns.scan]

    def _split(self, row: Mapping[str, str]) -> str:
        text = row[self.config.columns.split or ""]
        if text.lower() not in SPLIT_NAMES:
            where = f"{self.config.table}: {self.config.columns.split}"
            raise UniferumError(where, text, must="be train, validation or test")
        return SPLIT_NAMES[text.lower()]

    def _masks(self, row: Mapping[str, str], scan_id: str) -> Iterator[MaskSource]:
        follow = self.config.follow_symlinks
        for column in self.config.masks:
            if not row[column.path]:
                continue
            kind = self._kind(column, row)
            reason = files.fault(self.config.root, row[column.path], follow_symlinks=follow)
            if reason:
                raise _BadMask(f"mask: {reason}")
            path = self.config.root / row[column.path]
            if kind.structure == TOTALSEGMENTATOR:
                layer = totalsegmentator.layer_at(path)
                if layer is not None:
                    yield layer
            else:
                yield MaskSource(kind.structure, path, kind.value, kind.threshold)
        beside = totalsegmentator.beside(self.config.root, self.config.masks_root, scan_id, follow_symlinks=follow)
        if beside is not None:
            yield beside

    def _kind(self, column: MaskColumn, row: Mapping[str, str]) -> OwnMask:
        if column.label is None:
            return next(iter(column.kinds.values()))
        text = row[column.label]
        if text not in column.kinds:
            where = f"{self.config.table}: {column.label}"
            raise UniferumError(where, text, must="be a kind of mask in the YAML", cure=near_miss(text, column.kinds))
        return column.kinds[text]

    def _needed(self) -> list[str]:
        columns = [column for column in self.config.columns.model_dump().values() if column is not None]
        columns += self.label_columns.values()
        for mask in self.config.masks:
            columns += [mask.path, *([mask.label] if mask.label else [])]
        return list(dict.fromkeys(columns))

    def _refuse_columns(self, table: Path) -> None:
        cure = "name it under labels, columns or masks of the cohort's YAML, or under ignore"
        refuse_unknown(header(table), [*self._needed(), *self.config.ignore], str(table), cure=cure)

    def _remember(self, row: Mapping[str, str], named: Index) -> None:
        for column in (self.config.columns.path, *(mask.path for mask in self.config.masks)):
            if row[column]:
                named.add(Path(row[column]).as_posix())

    def _drawn(self, table: Path) -> dict[str, str]:
        counts = Counter(self._patient(row) for row in rows(table, self._needed()))
        total, weight = sum(counts.values()), sum(self.config.fractions.values())
        sizes = {split: round(total * share / weight) for split, share in self.config.fractions.items()}
        return by_patient(counts, sizes, self.config.seed)


class _BadMask(Exception):
    """A row names a mask that cannot be read; the scan is left out rather than kept without it."""
