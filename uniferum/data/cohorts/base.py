"""What a cohort is: a source dataset on disk that yields its scans one by one, from its own files as downloaded.

A cohort says where each scan lies, whose it is, which split it belongs to and which labels are known; it reads no
voxels. A label that is not in ``Scan.labels`` is unknown, never negative. Everything that is left out is counted, with
its reason, in the data card. Adding a cohort is one module and one line in ``REGISTRY``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
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
"""Kind of a cohort in its YAML -> module and class."""


@dataclass(frozen=True)
class Scan:
    """One scan of a cohort: where it lies, whose it is, its split and its known labels.

    Attributes:
        cohort: the cohort's name, e.g. ``CTRATE``.
        source: files, and what their headers do not say.
        patient_id: as the dataset publishes it.
        study_id: as the dataset publishes it; several scans may belong to one study.
        split: ``train``, ``validation`` or ``test``.
        labels: label id -> 0 or 1, known labels only.
        patient_known: false where the dataset does not say whose it is, and ``patient_id`` is the scan's own.
    """

    cohort: str
    source: ScanSource
    patient_id: str
    study_id: str
    split: str
    labels: Mapping[str, int]
    patient_known: bool = True

    @property
    def scan_id(self) -> str:
        """The scan's identifier within its cohort."""
        return self.source.scan_id

    @property
    def volume_id(self) -> str:
        """The scan's identifier among all cohorts."""
        return f"{self.cohort}/{self.source.scan_id}"


@runtime_checkable
class HasReports(Protocol):
    """A cohort whose reports can be judged.

    Attributes:
        report_id: column of the identifier in the table that is made.
        report_labels: ids of the labels that reports are judged for.
    """

    report_id: str
    report_labels: tuple[str, ...]

    def reports(self) -> Iterator[tuple[str, str]]:
        """Identifier and text of each report of the test split; the text is never written anywhere."""
        ...


@dataclass(frozen=True)
class Dropped:
    """A scan, or a row of a table, that is left out, and why; ``split``: which one it is absent from, or empty."""

    scan_id: str
    reason: str
    split: str = ""


class CohortConfig(Section):
    """Settings that every kind of cohort has.

    Attributes:
        kind: a key of ``REGISTRY``.
        root: the dataset's folder; relative to the working directory.
        follow_symlinks: read files that links lead to outside ``root``, as in a Hugging Face cache.
        masks_root: TotalSegmentator v2 output beside a dataset that ships none: ``<scan id>.nii.gz`` (one multi-label
            file) or ``<scan id>/`` (one file a class); relative to ``root``, or absolute where ``root`` cannot be
            written to.
    """

    kind: str
    root: Path
    follow_symlinks: bool = False
    masks_root: Path | None = None

    @cached_property
    def scan_root(self) -> Path | None:
        """The folder that no file of a scan may lie outside of; ``None`` where the config itself leads outside."""
        masks = self.root if self.masks_root is None else self.root / self.masks_root
        inside = masks.resolve().is_relative_to(self.root.resolve())
        return None if self.follow_symlinks or not inside else self.root


C = TypeVar("C", bound=CohortConfig)


class Cohort(ABC, Generic[C]):
    """A source dataset; subclasses say what it holds (``entries``) and are final."""

    name: str
    config: C
    file: Path | None = None
    """The YAML file that describes it; ``None`` for a cohort made in code."""
    looked_for: str
    """Where this kind of cohort has its volumes, below ``root``, in words."""

    @abstractmethod
    def entries(self) -> Iterator[Scan | Dropped]:
        """Every scan and everything that is left out, one by one, in the order of the dataset's own table."""

    @abstractmethod
    def expected(self) -> Mapping[str, int]:
        """Scans by split in the paper's Table 1; empty where the paper does not use the cohort."""

    @abstractmethod
    def split_rules(self) -> Mapping[str, SplitRule]:
        """How each split is made, and whether the paper's is made so too."""

    def papers_split(self) -> Mapping[str, bool]:
        """Whether each split is made by the paper's own rule, so that a score may stand beside its score."""
        return {split: rule.papers for split, rule in self.split_rules().items()}

    @abstractmethod
    def notes(self) -> Iterable[str]:
        """Sentences that belong beside every count and score of this cohort."""

    @abstractmethod
    def extra_vocabulary(self) -> dict[str, Any]:
        """The cohort's own words, as :meth:`Vocabulary.extended` takes them; empty for the paper's datasets."""

    def vocabulary(self) -> Vocabulary:
        """The paper's vocabulary with this cohort's own words."""
        return Vocabulary.load().extended(self.extra_vocabulary())

    def refuse_splits(self, found: Mapping[str, int]) -> None:
        """Refuse scans on disk that make a wrong split; ``found`` is scans by split.

        Raises:
            UniferumError: they do.
        """

    def refuse(self, found: Mapping[str, int], left_out: Mapping[str, LeftOut]) -> None:
        """Refuse a cohort that nothing can be prepared of.

        Args:
            found: scans by split.
            left_out: why rows and scans are left out.

        Raises:
            UniferumError: no scan is there, or no sound split.
        """
        if not any(found.values()):
            cure = "; ".join(self._why_empty(left_out))
            raise UniferumError(f"cohort {self.name}", must="hold at least one scan", cure=cure)
        self.refuse_splits(found)

    def scans(self) -> Iterator[Scan]:
        """The scans that are kept, one by one.

        Raises:
            UniferumError: nothing is left to prepare, no sound split is, or a table of the dataset is unreadable; the
                first two are known, and raised, after the last scan.
        """
        tally = Tally(())
        for entry in _checked(self.entries()):
            if isinstance(entry, Scan):
                tally.scan(entry.split, "", {}, ())
                yield entry
            else:
                tally.drop(entry.scan_id, entry.reason)
        self.refuse(tally.found(), tally.left_out())

    def card(self, heard: Callable[[], None] | None = None) -> DataCard:
        """Count everything once, without reading a voxel; ``heard`` is called once an entry."""
        tally = Tally(self.vocabulary().of_cohort(self.name))
        with SharedFiles() as shared:
            for entry in _checked(self.entries()):
                if isinstance(entry, Scan):
                    layers = (mask.layer for mask in entry.source.masks)
                    tally.scan(entry.split, entry.patient_id, entry.labels, layers, patient_known=entry.patient_known)
                    shared.add(entry.scan_id, entry.split, entry.source.path)
                else:
                    tally.drop(entry.scan_id, entry.reason)
                if heard is not None:
                    heard()
            notes = [*self.notes(), *self._warnings(tally), *shared.notes()]
        return tally.card(self.name, expected=self.expected(), papers_split=self.papers_split(), notes=notes)

    def _warnings(self, tally: Tally) -> Iterator[str]:
        """What is wrong with the scans as they lie on disk, most of all after a partial download."""
        found, left_out = tally.found(), tally.left_out()
        missing = sum(left_out[reason][0] for reason in files.NOT_ON_DISK if reason in left_out)
        if missing:
            total = sum(found.values())
            yield f"{total} of {total + missing} volumes that the tables name are on disk: the dataset is not whole"
        yield from (f"no {split} scan was found" for split in self.expected() if found and not found.get(split))
        train, validation = found.get("train", 0), found.get("validation", 0)
        if 0 < train < validation:
            yield f"only {train} scans to train on beside {validation} held out for selection"
        try:
            self.refuse(found, left_out)
        except UniferumError as error:
            yield f"cannot be prepared: {error}"

    def _why_empty(self, left_out: Mapping[str, LeftOut]) -> Iterator[str]:
        yield f"looked for {self.looked_for} below {self.config.root}"
        reasons = sorted(left_out.items(), key=lambda entry: -entry[1][0])[:TOP_REASONS]
        if reasons:
            yield "left out: " + ", ".join(f"{n} {why} (first: {ids[0]})" for why, (n, ids) in reasons)
        elif not any(files.files_below(self.config.root, dicom=True)):
            yield "no volume of any known format lies below it: check root"
        if files.MISSING in left_out:
            yield "check root and whether the download is whole"
        if files.OUTSIDE in left_out:
            yield "links out of root are read with follow_symlinks=true"


def repeated(row: Mapping[str, object], first: Mapping[str, object]) -> str:
    """Why a second row of one id is left out, and whether it says something else than the first, which counts.

    Args:
        row: what matters of it, by the same keys as in ``first``.
        first: the row that is kept.
    """
    unlike = [name for name, value in row.items() if first.get(name) != value]
    return f"duplicate id with other {' and '.join(unlike)}; the first row counts" if unlike else "duplicate id"


TOP_REASONS = 3
"""Reasons for which scans are left out that the error of an empty cohort names."""


def _checked(entries: Iterator[Scan | Dropped]) -> Iterator[Scan | Dropped]:
    """Pass everything on, once the first readable TotalSegmentator file is known not to be of version 1."""
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
        path: the cohort's YAML file; its key ``kind`` chooses the reader.
        overrides: ``key=value`` settings laid over the file.
        root: the dataset's folder, in place of the file's own ``root``.

    Raises:
        UniferumError: the file, its kind, one of its keys or the dataset's folder is wrong.
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
        raise UniferumError(f"{path}: root", config.root, must="be a folder", cure="give --root or set root=FOLDER")
    cohort = reader(config)
    cohort.file = Path(path)
    return cohort
