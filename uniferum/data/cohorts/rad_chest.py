"""RAD-ChestCT: npz volumes, and abnormality-by-location columns collapsed to the paper's 39 labels (paper 3.4.2).

A volume's axes run superior to inferior, anterior to posterior, right to left (0.8 mm); the affine says so, and nothing
is ever transposed by guess. A label is read from the columns of exactly its abnormality: ``septal_thickening*`` never
from ``pleural_thickening*``.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from uniferum.data.cohorts import files, totalsegmentator
from uniferum.data.cohorts.base import Cohort, CohortConfig, Dropped, Scan
from uniferum.data.cohorts.splits import BEYOND, by_patient
from uniferum.data.cohorts.tables import Index, header, rows
from uniferum.data.cohorts.values import known
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.preprocessing.source import Affine, ScanSource

EXPECTED = {"train": 2286, "validation": 984, "test": 360}
"""Paper, Table 1; 2,286 is the official imgtrain, the other 1,344 were split anew by a rule it does not give."""

SPACING_MM = 0.8
"""Resampled so by the owners, in all three directions (rachellea/ct-volume-preprocessing)."""

CLIP_HU = (-1000.0, 1000.0)
ID = "NoteAcc_DEID"
TABLES = {"imgtrain": "train", "imgvalid": "validation", "imgtest": "test"}
METADATA = "CT_Scan_Metadata_Complete_35747.csv"


class RadChestConfig(CohortConfig):
    """Settings of a RAD-ChestCT cohort.

    Attributes:
        images: the folder of the npz files, relative to ``root``.
        split: ``official``; or ``paper_sized``: imgtrain stays, imgvalid and imgtest are drawn anew by patient to the
            paper's sizes.
        seed: of ``paper_sized``.
        spacing_mm: of the arrays, which hold no affine; 0.8 in the release.
    """

    images: Path = Path()
    split: Literal["official", "paper_sized"] = "official"
    seed: int = 0
    spacing_mm: float = Field(default=SPACING_MM, gt=0)


def affine_of(spacing_mm: float) -> Affine:
    """Voxel to RAS millimetres: axis 0 runs to inferior, 1 to posterior, 2 to the patient's left.

    The release gives no origin: it is put at voxel 0.
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

    def entries(self) -> Iterator[Scan | Dropped]:
        """Rows of the three label tables, then volumes that none of them names."""
        with Index() as seen, Index() as patients:
            self._read_patients(patients)
            drawn = self._drawn(patients) if self.config.split == "paper_sized" else None
            for table, split in TABLES.items():
                for scan_id, labels in self._rows(table):
                    yield self._entry(scan_id, labels, split, seen, patients, drawn)
            for path in sorted((self.config.root / self.config.images).glob("*.npz")):
                if path.stem not in seen:
                    yield Dropped(path.stem, "scan without a label row")

    def expected(self) -> Mapping[str, int]:
        """Table 1."""
        return EXPECTED

    def papers_split(self) -> Mapping[str, bool]:
        """The paper gives sizes only."""
        return {"train": False, "validation": False, "test": False}

    def notes(self) -> Iterable[str]:
        """Which split this is, and whether patients are known."""
        yield f"split: {self.config.split}, not the paper's"
        if not (self.config.root / METADATA).exists():
            yield f"{METADATA} is missing: each scan counts as a patient of its own"

    def extra_vocabulary(self) -> dict[str, Any]:
        """None: the paper's own labels."""
        return {}

    def _entry(
        self,
        scan_id: str,
        labels: Mapping[str, int],
        split: str,
        seen: Index,
        patients: Index,
        drawn: Mapping[str, str] | None,
    ) -> Scan | Dropped:
        if not seen.add(scan_id):
            return Dropped(scan_id, "duplicate id")
        reason = self._fault(scan_id)
        if reason:
            return Dropped(scan_id, reason)
        patient = _patient(scan_id, patients)
        if drawn is not None and split != "train":
            if patient not in drawn:
                return Dropped(scan_id, BEYOND)
            split = drawn[patient]
        return Scan(self.name, self._source(scan_id), patient, scan_id, split, labels)

    def _source(self, scan_id: str) -> ScanSource:
        root, follow = self.config.root, self.config.follow_symlinks
        mask = totalsegmentator.beside(root, self.config.masks_root, scan_id, follow_symlinks=follow)
        return ScanSource(
            scan_id,
            root / self._relative(scan_id),
            affine=affine_of(self.config.spacing_mm),
            masks=() if mask is None else (mask,),
            known_hu_clip=CLIP_HU,
            root=self.config.fence,
        )

    def _fault(self, scan_id: str) -> str | None:
        relative = self._relative(scan_id).as_posix()
        return files.fault(self.config.root, relative, follow_symlinks=self.config.follow_symlinks)

    def _relative(self, scan_id: str) -> Path:
        return self.config.images / f"{scan_id}.npz"

    def _rows(self, table: str) -> Iterator[tuple[str, dict[str, int]]]:
        """Each row's identifier and its labels: the maximum over the columns of an abnormality, unknowns left out."""
        path = self._table(table)
        columns = self._columns(path)
        needed = [ID, *(column for named in columns.values() for column in named)]
        for row in rows(path, needed):
            labels: dict[str, int] = {}
            for label, named in columns.items():
                values = [v for v in (known(row[c], f"{path.name}: {c}") for c in named) if v is not None]
                if values:
                    labels[label] = max(values)
            yield row[ID], labels

    def _columns(self, path: Path) -> dict[str, list[str]]:
        by_token: defaultdict[str, list[str]] = defaultdict(list)
        for column in header(path):
            token, star, _ = column.partition("*")
            if star:
                by_token[token].append(column)
        for token in self.tokens.values():
            if token not in by_token:
                cure = near_miss(token, by_token)
                raise UniferumError(f"{path}: columns {token}*<location>", must="be there", cure=cure)
        return {label: by_token[token] for label, token in self.tokens.items()}

    def _table(self, table: str) -> Path:
        return self.config.root / f"{table}_Abnormality_and_Location_Labels.csv"

    def _read_patients(self, patients: Index) -> None:
        path = self.config.root / METADATA
        if path.exists():
            for row in rows(path, (ID, "MRN_DEID")):
                patients.add(row[ID], row)

    def _drawn(self, patients: Index) -> dict[str, str]:
        counts: Counter[str] = Counter()
        for table in ("imgvalid", "imgtest"):
            for row in rows(self._table(table), (ID,)):
                if self._fault(row[ID]) is None:
                    counts[_patient(row[ID], patients)] += 1
        sizes = {split: EXPECTED[split] for split in ("validation", "test")}
        return by_patient(counts, sizes, self.config.seed)


def _patient(scan_id: str, patients: Index) -> str:
    row = patients.get(scan_id)
    return scan_id if row is None else row["MRN_DEID"] or scan_id
