"""Anyone's own cohort: a folder of volumes, a table of labels and masks, and a YAML that says what the columns mean.

Volumes are NIfTI, MetaImage, npz (key ``ct``) or folders of one DICOM series. An empty cell is unknown. A column that
the YAML does not name is refused, so that a misspelt label cannot vanish.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from uniferum.config import Section
from uniferum.data.cohorts import files, totalsegmentator
from uniferum.data.cohorts.base import Cohort, CohortConfig, Dropped, Scan
from uniferum.data.cohorts.splits import by_patient
from uniferum.data.cohorts.tables import Index, header, rows
from uniferum.data.cohorts.values import known_labels, refuse_unknown
from uniferum.data.vocabulary import TOTALSEGMENTATOR, Kind, Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.preprocessing.source import MaskSource, ScanSource

SPLIT_NAMES = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}
SUFFIXES = (".nii.gz", ".nii", ".mhd", ".mha", ".npz")


class Columns(Section):
    """Which column of the table holds what; ``None`` where the table has none."""

    scan: str = "scan_id"
    path: str = "path"
    patient: str | None = None
    study: str | None = None
    split: str | None = None


class OwnLabel(Section):
    """A label: a known one of the vocabulary (nothing to say), a whole prompt, or a name and an organ phrase.

    Attributes:
        column: the table's column; default: the label's id.
        prompt: the question as a whole.
        name: what is looked for, e.g. ``pleural effusion``.
        organ: where, with its preposition, e.g. ``around the lungs``.
        kind: ``diagnosis`` or ``prognosis``.
    """

    column: str | None = None
    prompt: str | None = None
    name: str | None = None
    organ: str | None = None
    kind: Kind = "diagnosis"


class OwnMask(Section):
    """What one kind of mask file is.

    Attributes:
        structure: an id of the vocabulary (``lungs``, ``heart``, ``nodule``), an id of your own (with ``prompt``), or
            ``totalsegmentator`` for multi-label output of TotalSegmentator v2.
        prompt: for a structure that the vocabulary does not know.
        value: the mask is where the file has this value.
        threshold: the mask is where the file is above this, for interpolated masks.
    """

    structure: str
    prompt: str | None = None
    value: int | None = None
    threshold: float | None = None


class MaskColumn(Section):
    """A column of mask paths; ``label`` is the column that says which of ``kinds`` a row's mask is.

    Without ``label`` there is one kind, and every mask of the column is of it.
    """

    path: str
    label: str | None = None
    kinds: dict[str, OwnMask] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_kind_or_a_label(self) -> Self:
        if self.label is None and len(self.kinds) > 1:
            raise ValueError("name the column (label) that tells several kinds of masks apart")
        return self


class FolderConfig(CohortConfig):
    """Settings of a folder cohort.

    Attributes:
        name: of the cohort, in tables and grids; upper case.
        table: UTF-8 CSV, one row a scan, relative to ``root``.
        columns: see :class:`Columns`.
        labels: label id -> what it asks.
        masks: columns of mask paths.
        ignore: columns that are neither.
        fractions: of scans by split, drawn by patient, where the table has no split column.
        seed: of ``fractions``.
    """

    name: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    table: Path = Path("labels.csv")
    columns: Columns = Columns()
    labels: dict[str, OwnLabel] = Field(default_factory=dict)
    masks: tuple[MaskColumn, ...] = ()
    ignore: tuple[str, ...] = ()
    fractions: dict[Literal["train", "validation", "test"], float] = Field(
        default_factory=lambda: {"train": 0.7, "validation": 0.1, "test": 0.2}
    )
    seed: int = 0

    @model_validator(mode="after")
    def _known_name(self) -> Self:
        if self.name in {"CTRATE", "INSPECT", "RADCHEST", "LUNA16", "SEG"}:
            raise ValueError(f"choose another name: {self.name} is one of the paper's datasets")
        if min(self.fractions.values(), default=0) < 0 or sum(self.fractions.values()) <= 0:
            raise ValueError("give fractions that are not negative and not all zero")
        return self


class Folder(Cohort[FolderConfig]):
    """A folder of one's own."""

    config_type = FolderConfig

    def __init__(self, config: FolderConfig) -> None:
        self.config = config
        self.name = config.name
        self.label_columns = {label: own.column or label for label, own in config.labels.items()}
        self.words = self._words(Vocabulary.load())

    def entries(self) -> Iterator[Scan | Dropped]:
        """Rows of the table, then volumes that no row names."""
        table = self.config.root / self.config.table
        self._refuse_columns(table)
        drawn = self._drawn(table) if self.config.columns.split is None else None
        with Index() as seen, Index() as named:
            for row in rows(table, self._needed()):
                self._remember(row, named)
                yield self._entry(row, seen, drawn)
            for path in files.files_below(self.config.root, SUFFIXES):
                relative = path.relative_to(self.config.root).as_posix()
                if relative not in named and not _within_masks(self.config.masks_root, relative):
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
        root = None if self.config.follow_symlinks else self.config.root
        source = ScanSource(scan_id, self.config.root / row[columns.path], masks=masks, root=root)
        labels = known_labels(row, self.label_columns, self.config.table.name)
        return Scan(self.name, source, patient, study, split, labels)

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

    def _words(self, vocabulary: Vocabulary) -> dict[str, Any]:
        where = f"cohort {self.name}"
        labels = {label: _label_words(label, own, vocabulary, where) for label, own in self.config.labels.items()}
        structures: dict[str, Any] = {}
        for kind in (kind for column in self.config.masks for kind in column.kinds.values()):
            structures |= _structure_words(kind, vocabulary, where)
        return {"cohort": self.name, "labels": labels, "structures": structures}


class _BadMask(Exception):
    """A row names a mask that cannot be read; the scan is left out rather than kept without it."""


def _label_words(label: str, own: OwnLabel, vocabulary: Vocabulary, where: str) -> dict[str, str]:
    known = vocabulary.labels.get(label)
    if known is not None and own.prompt is None and own.name is None:
        return {"name": known.name, "prompt": known.prompt, "kind": known.kind}
    prompt = own.prompt
    if prompt is None and own.name and own.organ and own.kind == "diagnosis":
        prompt = f"Diagnose the presence of {own.name} {own.organ}"
    if prompt is None:
        cure = "give a prompt, or a name and an organ phrase (in the heart, around the lungs)"
        raise UniferumError(f"{where}: label {label}", must="be in the vocabulary or say what it asks", cure=cure)
    return {"name": own.name or label.replace("_", " "), "prompt": prompt, "kind": own.kind}


def _structure_words(kind: OwnMask, vocabulary: Vocabulary, where: str) -> dict[str, Any]:
    """Words for a binary layer of its own; a known organ is asked for in its known words, under an id of its own."""
    if kind.structure == TOTALSEGMENTATOR:
        return {}
    known = vocabulary.structures.get(kind.structure)
    if known is not None:
        own = {"name": known.name, "prompt": known.prompt, "layer": kind.structure, "ids": [1]}
        return {} if known.layer == kind.structure else {f"{kind.structure}_mask": own}
    if kind.prompt is None:
        cure = f"give a prompt; or {near_miss(kind.structure, [*vocabulary.structures, TOTALSEGMENTATOR])}"
        raise UniferumError(f"{where}: structure {kind.structure}", must="be known or have a prompt", cure=cure)
    words = {"name": kind.structure.replace("_", " "), "prompt": kind.prompt, "layer": kind.structure, "ids": [1]}
    return {kind.structure: words}


def _within_masks(masks_root: Path | None, relative: str) -> bool:
    return masks_root is not None and Path(relative).is_relative_to(masks_root)
