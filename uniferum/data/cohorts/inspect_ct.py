"""INSPECT: CT pulmonary angiography with embolism labels and seven censored outcomes (paper 3.4.3).

Twelve more labels, from the impressions of the reports, are for evaluation only: only the test split gets them. A
report that was not sampled is unknown, not negative.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from uniferum.config import Section
from uniferum.data.cohorts import files, organ_masks
from uniferum.data.cohorts.base import Cohort, CohortConfig, Dropped, Scan
from uniferum.data.cohorts.headers import nifti_fault
from uniferum.data.cohorts.splits import BEYOND, ORDER, PatientSplits, by_patient
from uniferum.data.cohorts.tables import Index, Row, one_file, rows
from uniferum.data.cohorts.values import known, known_id, known_labels
from uniferum.data.provenance import SplitRule
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.preprocessing.formats.source import ScanSource

EXPECTED = {"train": 15148, "validation": 1000, "test": 3000}
"""Paper, Table 1; the official split of 2025 has 18,937 / 1,089 / 3,214."""

SPLIT_NAMES = {"train": "train", "valid": "validation", "val": "validation", "validation": "validation", "test": "test"}
OTHER_SPLIT = " with another split: the later one of train, valid and test is used"
OTHER_LABELS = " with other labels: the first row is used"


class Sizes(Section):
    """Requested number of scans by split."""

    train: int
    validation: int
    test: int


class InspectConfig(CohortConfig):
    """Settings of an INSPECT cohort; ``root`` is the folder ``full``.

    Attributes:
        split: ``official``, or patients drawn to the paper's ``sizes``.
        seed: seed of ``paper_sized``.
        sizes: scans by split for ``paper_sized``.
        report_labels: table ``impression_id,label,value`` of the 12 labels from impressions, relative to ``root``; made
            by ``uniferum data label-reports``.
        check_headers: whether to read each file's header and exclude scans with a damaged affine or two channels.
    """

    split: Literal["official", "paper_sized"] = "official"
    seed: int = 0
    sizes: Sizes = Sizes.model_validate(EXPECTED)
    report_labels: Path | None = None
    check_headers: bool = True


class Inspect(Cohort[InspectConfig]):
    """INSPECT as published by Stanford AIMI."""

    name = "INSPECT"
    config_type = InspectConfig
    report_id = "impression_id"
    looked_for = "CTPA/<image_id>.nii.gz"

    def __init__(self, config: InspectConfig) -> None:
        self.config = config
        vocabulary = Vocabulary.load()
        self.columns = vocabulary.columns(self.name)
        self.report_labels = vocabulary.groups[self.name, "shared"]

    def entries(self) -> Iterator[Scan | Dropped]:
        """Rows of the study mapping, then label rows and files without a row."""
        with (
            Index[int]() as labels,
            Index[str]() as splits,
            Index[int]() as reports,
            Index[str]() as scans,
            Index[str]() as image_ids,
        ):
            yield from self._read(labels, splits)
            self._read_report_labels(reports)
            drawn = self._drawn() if self.config.split == "paper_sized" else None
            patients = self._patients(splits)
            for row in self._mapping():
                image_ids.add(row["image_id"])
                yield self._entry(row, labels, splits, reports, scans, drawn, patients)
            yield from (Dropped(key, "label row without a scan") for key in labels.unseen())
            yield from self._without_row(image_ids)

    def expected(self) -> Mapping[str, int]:
        """Scans by split in the paper's Table 1."""
        return EXPECTED

    def split_rules(self) -> Mapping[str, SplitRule]:
        """Own splits: the paper's split is older than the official one, and its rule and seed are not published."""
        official = self.config.split == "official"
        rule = SplitRule("official") if official else SplitRule(self.config.split, seed=self.config.seed)
        return dict.fromkeys(ORDER, rule)

    def notes(self) -> Iterable[str]:
        """Notes on the split, and on the 12 labels from reports."""
        yield f"split: {self.config.split}, not the paper's"
        for pattern in ("labels_*.tsv", "splits_*.tsv", "study_mapping_*.tsv"):
            matches = sorted(path.name for path in self.config.root.glob(pattern))
            if len(matches) > 1:
                yield f"{matches[-1]} is read instead of {', '.join(matches[:-1])}"
        yield "8 unique labels, as in the paper's text (3.4.3) and appendix; its Table 1 says 6"
        if self.config.report_labels is None:
            yield "the 12 labels from impressions are missing (report_labels): the shared group will be n/a"
        if not self.config.check_headers:
            yield "headers were not checked for damaged affines and second channels"

    def extra_vocabulary(self) -> dict[str, Any]:
        """No additions: the cohort has the paper's labels."""
        return {}

    def reports(self) -> Iterator[tuple[str, str]]:
        """Impressions of the test split, the only one with labels from reports."""
        headers_matter = self.config.check_headers and self.config.split == "paper_sized"  # the split depends on them
        reader = Inspect(self.config.replace(report_labels=None, masks_root=None, check_headers=headers_matter))
        with Index[str]() as test_studies:
            for scan in reader.scans():
                if scan.split == "test":
                    test_studies.add(scan.study_id)
            path = one_file(self.config.root, "impressions_*.tsv")
            columns = (self.report_id, "impressions")
            for row in rows(path, columns, delimiter="\t", unit="study", free_text=columns[1:]):
                if row[self.report_id] in test_studies:
                    yield row[self.report_id], row["impressions"]

    def _entry(
        self,
        row: Row,
        labels: Index[int],
        splits: Index[str],
        reports: Index[int],
        scans: Index[str],
        drawn: Mapping[str, str] | None,
        patients: PatientSplits,
    ) -> Scan | Dropped:
        scan_id, study = row["image_id"], row["impression_id"]
        values = labels.get(study)
        patient, is_known = _patient(row)
        split = self._split(row, splits, drawn)
        reason = self._left_out(scan_id, patient, split, scans, patients)
        if reason is None and values is None:
            reason = files.WITHOUT_ROW
        if reason is None and (fault := self._fault(scan_id)):
            return Dropped(scan_id, fault, split or "")
        if reason or split is None or values is None:
            return Dropped(scan_id or study, reason or ("it has no split" if drawn is None else BEYOND))
        try:
            source = self._source(scan_id)
        except organ_masks.BadMask as fault:
            return Dropped(scan_id, str(fault), split)
        all_labels = {label: int(value) for label, value in values.items()}
        if split == "test":
            all_labels |= {label: int(value) for label, value in (reports.get(study) or {}).items()}
        return Scan(self.name, source, patient, study, split, all_labels, is_known)

    def _left_out(
        self, scan_id: str, patient: str, split: str | None, scans: Index[str], patients: PatientSplits
    ) -> str | None:
        if not scan_id:
            return "row without an image"
        if split is not None and (leak := patients.leak(patient, split)):
            return leak
        return None if scans.add(scan_id) else "duplicate id"

    def _split(self, row: Row, splits: Index[str], drawn: Mapping[str, str] | None) -> str | None:
        if drawn is not None:
            return drawn.get(_patient(row)[0])
        split_row = splits.get(row["impression_id"])
        return None if split_row is None else split_row["split"]

    def _patients(self, splits: Index[str]) -> PatientSplits:
        patients = PatientSplits()
        if self.config.split == "official":
            for row in self._mapping():
                split_row = splits.peek(row["impression_id"])
                if split_row is not None:
                    patients.add(_patient(row)[0], split_row["split"])
        return patients

    def _without_row(self, image_ids: Index[str]) -> Iterator[Dropped]:
        folder = self.config.root / "CTPA"
        for on_disk in files.files_below(folder, files.NIFTI, follow_symlinks=self.config.follow_symlinks):
            scan_id = files.without_ending(on_disk.path.name)
            if on_disk.fault:
                yield Dropped(on_disk.path.name, on_disk.fault)
            elif scan_id not in image_ids:
                yield Dropped(scan_id, files.WITHOUT_ROW)
            elif os.path.realpath(folder / f"{scan_id}.nii.gz") != on_disk.real:
                yield Dropped(scan_id, files.ELSEWHERE)

    def _fault(self, scan_id: str) -> str | None:
        relative = f"CTPA/{scan_id}.nii.gz"
        reason = files.volume_fault(self.config.root, relative, follow_symlinks=self.config.follow_symlinks)
        if reason or not self.config.check_headers:
            return reason
        return nifti_fault(self.config.root / relative)

    def _source(self, scan_id: str) -> ScanSource:
        root, follow = self.config.root, self.config.follow_symlinks
        masks = organ_masks.beside(root, self.config.masks_root, scan_id, follow_symlinks=follow)
        return ScanSource(scan_id, root / "CTPA" / f"{scan_id}.nii.gz", masks=masks, root=self.config.scan_root)

    def _mapping(self) -> Iterator[Row]:
        path = one_file(self.config.root, "study_mapping_*.tsv")
        for row in rows(path, ("impression_id", "image_id", "person_id"), delimiter="\t", unit="study"):
            row["image_id"] = files.without_ending(row["image_id"], files.NIFTI)
            yield row

    def _read(self, labels: Index[int], splits: Index[str]) -> Iterator[Dropped]:
        path = one_file(self.config.root, "labels_*.tsv")
        for row in rows(path, ("impression_id", *self.columns.values()), delimiter="\t", unit="study"):
            values, study = known_labels(row, self.columns), row["impression_id"]
            if not labels.add(study, values):
                other = labels.peek(study) != values
                yield Dropped(study, "duplicate row in the labels table" + (OTHER_LABELS if other else ""))
        if self.config.split == "paper_sized":
            return
        path = one_file(self.config.root, "splits_*.tsv")
        for row in rows(path, ("impression_id", "split"), delimiter="\t", unit="study"):
            split = row["split"].lower()
            if split not in SPLIT_NAMES:
                raise UniferumError(row.where("split"), row["split"], must="be train, valid or test")
            yield from self._add_split(row["impression_id"], SPLIT_NAMES[split], splits)

    def _add_split(self, study: str, split: str, splits: Index[str]) -> Iterator[Dropped]:
        """Add the split of a study; if it has two, testing has priority over training, as for patients."""
        if splits.add(study, {"split": split}):
            return
        first = (splits.peek(study) or {})["split"]
        splits.merge(study, {"split": max(first, split, key=ORDER.index)})
        other = OTHER_SPLIT if first != split else ""
        yield Dropped(study, f"duplicate row in the splits table{other}")

    def _read_report_labels(self, reports: Index[int]) -> None:
        if self.config.report_labels is None:
            return
        path = self.config.root / self.config.report_labels
        for row in rows(path, ("impression_id", "label", "value"), unit="study"):
            if row["label"] not in self.report_labels:
                cure = near_miss(row["label"], self.report_labels)
                must = "be one of the 12 shared labels"
                raise UniferumError(row.where("label"), row["label"], must=must, cure=cure)
            value = known(row["value"], row, "value")
            if value is not None:
                reports.merge(row["impression_id"], {row["label"]: value})

    def _drawn(self) -> dict[str, str]:
        """Draw the splits in a first pass over the mapping that counts each patient's usable scans."""
        counts: Counter[str] = Counter()
        with Index[str]() as once:
            for row in self._mapping():
                if once.add(row["image_id"]) and self._fault(row["image_id"]) is None:
                    counts[_patient(row)[0]] += 1
        return by_patient(counts, self.config.sizes.model_dump(), self.config.seed)


def _patient(row: Row) -> tuple[str, bool]:
    """Patient of a scan, and whether the table contains it; otherwise the scan id is used."""
    patient = known_id(row["person_id"])
    return patient or row["image_id"], bool(patient)
