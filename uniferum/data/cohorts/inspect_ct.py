"""INSPECT: CT pulmonary angiography with embolism and seven censored outcomes (paper 3.4.3).

Twelve more labels, made from the reports' impressions, serve evaluation only: they are given to the test split and to
no other, and a report that was not sampled is unknown, not negative.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from uniferum.config import Section
from uniferum.data.cohorts import files, totalsegmentator
from uniferum.data.cohorts.base import Cohort, CohortConfig, Dropped, Scan
from uniferum.data.cohorts.headers import nifti_fault
from uniferum.data.cohorts.splits import BEYOND, by_patient
from uniferum.data.cohorts.tables import Index, one_file, rows
from uniferum.data.cohorts.values import known, known_labels
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.preprocessing.source import ScanSource

EXPECTED = {"train": 15148, "validation": 1000, "test": 3000}
"""Paper, Table 1; the official split of 2025 has 18,937 / 1,089 / 3,214."""

SPLIT_NAMES = {"train": "train", "valid": "validation", "test": "test"}


class Sizes(Section):
    """Wanted scans by split."""

    train: int
    validation: int
    test: int


class InspectConfig(CohortConfig):
    """Settings of an INSPECT cohort; ``root`` is the folder ``full``.

    Attributes:
        split: ``official``, or patients drawn to the paper's ``sizes``.
        seed: of ``paper_sized``.
        sizes: of ``paper_sized``.
        report_labels: table ``impression_id,label,value`` of the 12 labels made from impressions, relative to
            ``root``; made by ``uniferum data label-reports``.
        check_headers: read each file's header, to drop scans with a broken affine or two channels.
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

    def __init__(self, config: InspectConfig) -> None:
        self.config = config
        vocabulary = Vocabulary.load()
        self.columns = vocabulary.columns(self.name)
        self.report_labels = vocabulary.groups[self.name, "shared"]

    def entries(self) -> Iterator[Scan | Dropped]:
        """Rows of the study mapping, then label rows and files that no row names."""
        with Index() as labels, Index() as splits, Index() as reports, Index() as images:
            yield from self._read(labels, splits)
            self._read_report_labels(reports)
            drawn = self._drawn() if self.config.split == "paper_sized" else None
            for row in self._mapping():
                yield self._entry(row, labels, splits, reports, images, drawn)
            yield from (Dropped(key, "label row without a scan") for key in labels.unseen())
            for path in files.files_below(self.config.root / "CTPA", (".nii.gz",)):
                if path.name.removesuffix(".nii.gz") not in images:
                    yield Dropped(path.name.removesuffix(".nii.gz"), "scan without a label row")

    def expected(self) -> Mapping[str, int]:
        """Table 1."""
        return EXPECTED

    def papers_split(self) -> Mapping[str, bool]:
        """The paper split the data before the official split existed, by a rule and seed it does not give."""
        return {"train": False, "validation": False, "test": False}

    def notes(self) -> Iterable[str]:
        """Which split this is, and whether the 12 labels from reports are there."""
        yield f"split: {self.config.split}, not the paper's"
        yield "8 unique labels, as in the paper's text (3.4.3) and appendix; its Table 1 says 6"
        if self.config.report_labels is None:
            yield "the 12 labels from impressions are not given (report_labels): the shared group will be n/a"
        if not self.config.check_headers:
            yield "headers were not checked for broken affines and second channels"

    def extra_vocabulary(self) -> dict[str, Any]:
        """None: the paper's own labels."""
        return {}

    def reports(self) -> Iterator[tuple[str, str]]:
        """Impressions of the test split, the only one that their labels are given to."""
        looked_at = self.config.check_headers and self.config.split == "paper_sized"  # they decide that split
        reader = Inspect(self.config.replace(report_labels=None, masks_root=None, check_headers=looked_at))
        with Index() as wanted:
            for scan in reader.scans():
                if scan.split == "test":
                    wanted.add(scan.study_id)
            path = one_file(self.config.root, "impressions_*.tsv")
            for row in rows(path, (self.report_id, "impressions"), delimiter="\t"):
                if row[self.report_id] in wanted:
                    yield row[self.report_id], row["impressions"]

    def _entry(
        self,
        row: Mapping[str, str],
        labels: Index,
        splits: Index,
        reports: Index,
        images: Index,
        drawn: Mapping[str, str] | None,
    ) -> Scan | Dropped:
        scan_id, study = row["image_id"], row["impression_id"]
        if not images.add(scan_id):
            return Dropped(scan_id, "duplicate id")
        values = labels.get(study)
        reason = "scan without a label row" if values is None else self._fault(scan_id)
        if reason or values is None:
            return Dropped(scan_id, reason or "")
        split = self._split(row, splits, drawn)
        if split is None:
            return Dropped(scan_id, "no split is given" if drawn is None else BEYOND)
        found = known_labels(values, self.columns, "labels_*.tsv")
        if split == "test":
            found |= {label: int(value) for label, value in (reports.get(study) or {}).items()}
        return Scan(self.name, self._source(scan_id), row["person_id"], study, split, found)

    def _split(self, row: Mapping[str, str], splits: Index, drawn: Mapping[str, str] | None) -> str | None:
        if drawn is not None:
            return drawn.get(row["person_id"])
        given = splits.get(row["impression_id"])
        if given is None:
            return None
        if given["split"] not in SPLIT_NAMES:
            raise UniferumError("splits_*.tsv: split", given["split"], must="be train, valid or test")
        return SPLIT_NAMES[given["split"]]

    def _fault(self, scan_id: str) -> str | None:
        relative = f"CTPA/{scan_id}.nii.gz"
        reason = files.fault(self.config.root, relative, follow_symlinks=self.config.follow_symlinks)
        if reason or not self.config.check_headers:
            return reason
        return nifti_fault(self.config.root / relative)

    def _source(self, scan_id: str) -> ScanSource:
        root, follow = self.config.root, self.config.follow_symlinks
        mask = totalsegmentator.beside(root, self.config.masks_root, scan_id, follow_symlinks=follow)
        masks = () if mask is None else (mask,)
        return ScanSource(scan_id, root / "CTPA" / f"{scan_id}.nii.gz", masks=masks, root=self.config.fence)

    def _mapping(self) -> Iterator[dict[str, str]]:
        path = one_file(self.config.root, "study_mapping_*.tsv")
        for row in rows(path, ("impression_id", "image_id", "person_id"), delimiter="\t"):
            yield {**row, "image_id": row["image_id"].removesuffix(".nii.gz")}

    def _read(self, labels: Index, splits: Index) -> Iterator[Dropped]:
        path = one_file(self.config.root, "labels_*.tsv")
        for row in rows(path, ("impression_id", *self.columns.values()), delimiter="\t"):
            if not labels.add(row["impression_id"], row):
                yield Dropped(row["impression_id"], "duplicate row in the labels table")
        if self.config.split == "paper_sized":
            return
        for row in rows(one_file(self.config.root, "splits_*.tsv"), ("impression_id", "split"), delimiter="\t"):
            if not splits.add(row["impression_id"], row):
                yield Dropped(row["impression_id"], "duplicate row in the splits table")

    def _read_report_labels(self, reports: Index) -> None:
        if self.config.report_labels is None:
            return
        path = self.config.root / self.config.report_labels
        for row in rows(path, ("impression_id", "label", "value")):
            if row["label"] not in self.report_labels:
                cure = near_miss(row["label"], self.report_labels)
                raise UniferumError(f"{path}: label", row["label"], must="be one of the 12 shared labels", cure=cure)
            value = known(row["value"], f"{path}: value")
            if value is not None:
                reports.merge(row["impression_id"], {row["label"]: value})

    def _drawn(self) -> dict[str, str]:
        """A first pass over the mapping, to know how many usable scans each patient has."""
        counts: Counter[str] = Counter()
        with Index() as once:
            for row in self._mapping():
                if once.add(row["image_id"]) and self._fault(row["image_id"]) is None:
                    counts[row["person_id"]] += 1
        return by_patient(counts, self.config.sizes.model_dump(), self.config.seed)
