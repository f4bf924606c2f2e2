"""Base class of cohorts: a source dataset on disk that yields its scans one by one, from its files as downloaded.

A cohort gives each scan's files, patient, split and known labels; it reads no voxels. A label that is not in
``Scan.labels`` is unknown, never negative. The data card counts everything that is excluded, by reason. A new cohort is
one module and one line in ``REGISTRY``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable

from uniferum.config import Section, load_yaml, override, parse
from uniferum.data.card import DataCard, LeftOut, Tally
from uniferum.data.cohorts import files
from uniferum.data.cohorts.headers import UNREADABLE, nifti_fault
from uniferum.data.cohorts.shared_files import SharedFiles
from uniferum.data.cohorts.totalsegmentator import refuse_version_1
from uniferum.data.provenance import SplitRule
from uniferum.data.vocabulary import TOTALSEGMENTATOR, Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.preprocessing.formats.source import ScanSource

REGISTRY = {
    "ct_rate": "uniferum.data.cohorts.ct_rate:CtRate",
    "folder": "uniferum.data.cohorts.folder:Folder",
    "inspect": "uniferum.data.cohorts.inspect_ct:Inspect",
    "luna16": "uniferum.data.cohorts.luna16:Luna16",
    "rad_chest": "uniferum.data.cohorts.rad_chest:RadChest",
}
"""Kind of a cohort in its YAML file, to module and class."""


@dataclass(frozen=True)
class Scan:
    """One scan of a cohort: its files, patient, split and known labels.

    Attributes:
        cohort: name of the cohort, e.g. ``CTRATE``.
        source: its files, and properties that their headers lack.
        patient_id: the dataset's patient id.
        study_id: the dataset's study id; a study may have several scans.
        split: ``train``, ``validation`` or ``test``.
        labels: label id to 0 or 1, known labels only.
        further_labels: label id to 0 or 1 for the dataset's labels beyond the paper's.
        patient_known: false if the dataset does not identify the patient; ``patient_id`` is then the scan's id.
    """

    cohort: str
    source: ScanSource
    patient_id: str
    study_id: str
    split: str
    labels: Mapping[str, int]
    patient_known: bool = True
    further_labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def scan_id(self) -> str:
        """Identifier of the scan within its cohort."""
        return self.source.scan_id

    @property
    def volume_id(self) -> str:
        """Identifier of the scan among all cohorts."""
        return f"{self.cohort}/{self.source.scan_id}"


@runtime_checkable
class HasReports(Protocol):
    """A cohort with reports that can be labelled.

    Attributes:
        report_id: column name of the identifier in the table of labels.
        report_labels: ids of the labels to find in the reports.
    """

    report_id: str
    report_labels: tuple[str, ...]

    def reports(self) -> Iterator[tuple[str, str]]:
        """Identifier and text of each report of the test split; the text is never written to a file."""
        ...


@dataclass(frozen=True)
class Dropped:
    """A scan or table row that is excluded, with the reason and the split that it is missing from (or empty)."""

    scan_id: str
    reason: str
    split: str = ""


class CohortConfig(Section):
    """Settings of every kind of cohort.

    Attributes:
        kind: a key of ``REGISTRY``.
        root: folder of the dataset, relative to the working directory.
        follow_symlinks: whether to read files outside ``root`` through links, as in a Hugging Face cache.
        masks_root: TotalSegmentator v2 output for a dataset without masks: ``<scan id>.nii.gz`` (one multi-label file)
            or ``<scan id>/`` (one file per class); relative to ``root``, or absolute if ``root`` is read-only.
    """

    kind: str
    root: Path
    follow_symlinks: bool = False
    masks_root: Path | None = None

    @cached_property
    def scan_root(self) -> Path | None:
        """Folder that must contain all files of a scan; ``None`` if the config allows other folders."""
        masks = self.root if self.masks_root is None else self.root / self.masks_root
        inside = masks.resolve().is_relative_to(self.root.resolve())
        return None if self.follow_symlinks or not inside else self.root


C = TypeVar("C", bound=CohortConfig)


class Cohort(ABC, Generic[C]):
    """A source dataset; final subclasses define its scans (``entries``)."""

    name: str
    config: C
    file: Path | None = None
    """The YAML file of the cohort; ``None`` for a cohort made in code."""
    looked_for: str
    """Location and names of the volumes below ``root``, in words."""

    @abstractmethod
    def entries(self) -> Iterator[Scan | Dropped]:
        """All scans and all exclusions, one by one, in the order of the dataset's table."""

    @abstractmethod
    def expected(self) -> Mapping[str, int]:
        """Scans by split in the paper's Table 1; empty if the paper does not use the cohort."""

    @abstractmethod
    def split_rules(self) -> Mapping[str, SplitRule]:
        """Rule for each split, and whether the paper uses the same rule."""

    def papers_split(self) -> Mapping[str, bool]:
        """Whether each split follows the paper's rule, so that scores can be compared with the paper's."""
        return {split: rule.papers for split, rule in self.split_rules().items()}

    @abstractmethod
    def notes(self) -> Iterable[str]:
        """Notes to show beside every count and score of this cohort."""

    @abstractmethod
    def extra_vocabulary(self) -> dict[str, Any]:
        """The cohort's additions for :meth:`Vocabulary.extended`; empty for the paper's datasets."""

    def vocabulary(self) -> Vocabulary:
        """The paper's vocabulary with the cohort's additions."""
        return Vocabulary.load().extended(self.extra_vocabulary())

    def refuse_splits(self, split_counts: Mapping[str, int]) -> None:
        """Refuse invalid splits of the scans on disk, from ``split_counts``, the scans by split.

        Raises:
            UniferumError: a split is invalid.
        """

    def refuse(self, split_counts: Mapping[str, int], left_out: Mapping[str, LeftOut]) -> None:
        """Refuse a cohort that cannot be prepared.

        Args:
            split_counts: number of scans by split.
            left_out: reasons for exclusions.

        Raises:
            UniferumError: there is no scan, or a split is invalid.
        """
        if not any(split_counts.values()):
            cure = "; ".join(self._empty_reasons(left_out))
            raise UniferumError(f"cohort {self.name}", must="hold at least one scan", cure=cure)
        self.refuse_splits(split_counts)

    def scans(self) -> Iterator[Scan]:
        """Yield the scans that are not excluded.

        Raises:
            UniferumError: there is no scan or no valid split (raised after the last scan), or a table of the dataset is
                unreadable.
        """
        tally = Tally(())
        for entry in _checked(self.entries()):
            if isinstance(entry, Scan):
                tally.scan(entry.split, "", {}, ())
                yield entry
            else:
                tally.drop(entry.scan_id, entry.reason)
        self.refuse(tally.scans(), tally.left_out())

    def card(self, on_entry: Callable[[], None] | None = None) -> DataCard:
        """Count everything once, without reading a voxel; ``on_entry`` is called once per entry."""
        tally = Tally(self.vocabulary().of_cohort(self.name))
        with SharedFiles() as shared:
            for entry in _checked(self.entries()):
                if isinstance(entry, Scan):
                    layers = (mask.layer for mask in entry.source.masks)
                    tally.scan(entry.split, entry.patient_id, entry.labels, layers, patient_known=entry.patient_known)
                    shared.add(entry.scan_id, entry.split, entry.source.path)
                else:
                    tally.drop(entry.scan_id, entry.reason)
                if on_entry is not None:
                    on_entry()
            notes = [*self.notes(), *self._warnings(tally), *shared.notes()]
        return tally.card(self.name, expected=self.expected(), papers_split=self.papers_split(), notes=notes)

    def _warnings(self, tally: Tally) -> Iterator[str]:
        """Warnings about the scans on disk, mainly after a partial download."""
        split_counts, left_out = tally.scans(), tally.left_out()
        missing = sum(left_out[reason][0] for reason in files.NOT_ON_DISK if reason in left_out)
        if missing:
            total = sum(split_counts.values())
            yield f"{total} of {total + missing} volumes in the tables are on disk: the dataset is incomplete"
        empty = [split for split in self.expected() if split_counts and not split_counts.get(split)]
        yield from (f"no {split} scan was found" for split in empty)
        train, validation = split_counts.get("train", 0), split_counts.get("validation", 0)
        if 0 < train < validation:
            yield f"only {train} scans for training, and {validation} held out for selection"
        try:
            self.refuse(split_counts, left_out)
        except UniferumError as error:
            yield f"cannot be prepared: {error}"

    def _empty_reasons(self, left_out: Mapping[str, LeftOut]) -> Iterator[str]:
        yield f"searched for {self.looked_for} below {self.config.root}"
        reasons = sorted(left_out.items(), key=lambda entry: -entry[1][0])[:TOP_REASONS]
        if reasons:
            yield "excluded: " + ", ".join(f"{n} {why} (first: {ids[0]})" for why, (n, ids) in reasons)
        elif not any(files.files_below(self.config.root, dicom=True)):
            yield "it contains no volume of a known format: check root"
        if files.MISSING in left_out:
            yield "check root, and that the download is complete"
        if files.OUTSIDE in left_out:
            yield "set follow_symlinks=true to read links that lead out of root"


def repeated(row: Mapping[str, object], first: Mapping[str, object]) -> str:
    """Reason for excluding a second row with one id, which names differences from the first row.

    Args:
        row: the relevant values, with the same keys as ``first``.
        first: the row that is used.
    """
    unlike = [name for name, value in row.items() if first.get(name) != value]
    return f"duplicate id with other {' and '.join(unlike)}; the first row is used" if unlike else "duplicate id"


TOP_REASONS = 3
"""Exclusion reasons that the error of an empty cohort lists."""


def _checked(entries: Iterator[Scan | Dropped]) -> Iterator[Scan | Dropped]:
    """Yield all entries after checking that the first readable TotalSegmentator file is not of version 1."""
    waiting = True
    for entry in entries:
        if waiting and isinstance(entry, Scan):
            for mask in (m for m in entry.source.masks if m.layer == TOTALSEGMENTATOR and m.path and m.path.is_file()):
                path = cast("Path", mask.path)
                if nifti_fault(path) != UNREADABLE:
                    refuse_version_1(path)
                    waiting = False
        yield entry


def open_cohort(path: Path | str, overrides: Iterable[str] = (), *, root: Path | str | None = None) -> Cohort:
    """Open the cohort that a YAML file describes.

    Args:
        path: YAML file of the cohort; its key ``kind`` selects the reader.
        overrides: ``key=value`` settings with priority over the file.
        root: folder of the dataset, with priority over the file's ``root``.

    Raises:
        UniferumError: the file, its kind, a key or the dataset's folder is invalid.
    """
    data = override(load_yaml(path), overrides)
    if root is not None:
        data["root"] = str(root)
    kind = data.get("kind")
    if kind not in REGISTRY:
        raise UniferumError(f"{path}: kind", kind, must="be a known kind", cure=near_miss(str(kind), REGISTRY))
    module, _, name = REGISTRY[str(kind)].partition(":")
    reader = getattr(import_module(module), name)
    config = parse(reader.config_type, data, source=str(path))
    if not config.root.is_dir():
        raise UniferumError(f"{path}: root", config.root, must="be a folder", cure="use --root or set root=FOLDER")
    cohort = reader(config)
    cohort.file = Path(path)
    return cohort
