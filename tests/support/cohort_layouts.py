"""Small datasets in the real layouts; volumes are files of one byte where no header is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np

from uniferum.data.vocabulary import Vocabulary

CT_RATE_COLUMNS = tuple(Vocabulary.load().columns("CTRATE").values())
RAD_CHEST_TOKENS = tuple(Vocabulary.load().columns("RADCHEST").values())


def table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [delimiter.join(map(str, line)) for line in (columns, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def touch(path: Path) -> Path:
    """A file of one byte: an empty one would be a download that was cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0")
    return path


def nifti(path: Path, shape: tuple[int, ...] = (4, 5, 6), affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4) if affine is None else affine)
    nibabel.save(image, path)
    return path


class CtRateWriter:
    """Writes a CT-RATE folder row by row."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: dict[str, list[list[object]]] = {"train": [], "valid": []}

    def volume(self, name: str, labels: Mapping[str, object] | None = None, *, file: bool = True) -> None:
        part = name.split("_", 1)[0]
        values = [(labels or {}).get(column, 0) for column in CT_RATE_COLUMNS]
        self.rows[part].append([f"{name}.nii.gz", *values])
        if file:
            touch(self.path(name))

    def path(self, name: str, folder: str | None = None) -> Path:
        part, patient, scan, _ = name.split("_")
        inner = f"{part}_{patient}/{part}_{patient}_{scan}/{name}.nii.gz"
        return self.root / "dataset" / (folder or f"{part}_fixed") / inner

    def save(self, columns: Sequence[str] = CT_RATE_COLUMNS) -> Path:
        folder = self.root / "dataset" / "multi_abnormality_labels"
        for part, rows in self.rows.items():
            table(folder / f"{part}_predicted_labels.csv", ("VolumeName", *columns), rows)
        return self.root


def write_inspect(root: Path, studies: int = 6, *, patients: int = 3) -> Path:
    """``studies`` sound studies of ``patients`` patients, split train, valid, test in turn."""
    columns = tuple(Vocabulary.load().columns("INSPECT").values())
    splits = ("train", "valid", "test")
    labels = [[i, *(["True", "False", "Censored", "False", "True", "Censor", "", "False"])] for i in range(studies)]
    table(root / "labels_20250611.tsv", ("impression_id", *columns), labels, "\t")
    given = [[i, splits[i % 3]] for i in range(studies)]
    table(root / "splits_20250611.tsv", ("impression_id", "split"), given, "\t")
    mapping = [[i, f"PE{i:04x}", 100 + i % patients, "2011-02-03 04:05"] for i in range(studies)]
    columns = ("impression_id", "image_id", "person_id", "procedure_DATETIME")
    table(root / "study_mapping_20250611.tsv", columns, mapping, "\t")
    for i in range(studies):
        nifti(root / "CTPA" / f"PE{i:04x}.nii.gz")
    return root


def write_rad_chest(root: Path, rows: Mapping[str, Mapping[str, object]], *, metadata: bool = True) -> Path:
    """Label tables with two locations a token; ``rows``: scan id (trn.., val.., tst..) -> column -> cell."""
    extra = ("nodule", "nodulegr1cm", "hernia")
    columns = [f"{token}*{where}" for token in (*RAD_CHEST_TOKENS, *extra) for where in ("left_lung", "heart")]
    for prefix, name in (("trn", "imgtrain"), ("val", "imgvalid"), ("tst", "imgtest")):
        own = {scan: cells for scan, cells in rows.items() if scan.startswith(prefix)}
        lines = [[scan, *(cells.get(column, 0) for column in columns)] for scan, cells in own.items()]
        table(root / f"{name}_Abnormality_and_Location_Labels.csv", ("NoteAcc_DEID", *columns), lines)
    for scan in rows:
        touch(root / f"{scan}.npz")
    if metadata:
        joined = [[scan, f"M{int(scan[3:]) // 2}", f"V{scan}"] for scan in rows]
        named = ("NoteAcc_DEID", "MRN_DEID", "VolumeAcc_DEID")
        table(root / "CT_Scan_Metadata_Complete_35747.csv", named, joined)
    return root
