"""Check that a dataset's folder fits its config: its root, its ``version:`` and its label file.

Each mistake is an error of one line with the correct setting, before any scan is checked.
"""

from collections.abc import Iterator
from pathlib import Path

from uniferum.data.cohorts.base import Cohort
from uniferum.data.cohorts.ct_rate import CtRateConfig
from uniferum.data.cohorts.inspect_ct import InspectConfig
from uniferum.data.cohorts.luna16 import Luna16Config
from uniferum.data.cohorts.rad_chest import RadChestConfig
from uniferum.data.cohorts.tables import rows
from uniferum.errors import UniferumError

FOLDERS = {"v2": ("train_fixed", "valid_fixed"), "v1": ("train", "valid")}
"""Folders of the volumes of each version of CT-RATE."""

LOOKED_AT = 1000
"""Number of rows of a label table whose names are compared with the table's split."""


def refuse_wrong_layout(cohort: Cohort, config: Path | str) -> None:
    """Refuse a folder with the dataset in another place or version than in the config.

    Raises:
        UniferumError: with the correct ``--root`` or key of the config.
    """
    settings, source = cohort.config, str(config)
    if isinstance(settings, CtRateConfig):
        _ct_rate(settings, source)
    elif isinstance(settings, InspectConfig):
        _needs(settings.root, "labels_*.tsv", "the folder full of INSPECT")
    elif isinstance(settings, RadChestConfig):
        _rad_chest(settings, source)
    elif isinstance(settings, Luna16Config):
        _needs(settings.root, "annotations.csv", "LUNA16: annotations.csv beside subset0/ to subset9/")


def _ct_rate(settings: CtRateConfig, source: str) -> None:
    _needs(settings.root, "dataset", "the folder that holds dataset/")
    data = settings.root / "dataset"
    existing = {version: [name for name in names if (data / name).is_dir()] for version, names in FOLDERS.items()}
    other = "v1" if settings.version == "v2" else "v2"
    if not existing[settings.version] and existing[other]:
        cure = f"{data} holds {' and '.join(existing[other])}, which is {other}"
        if other == "v1":
            cure += "; v1 also needs dataset/metadata/train_metadata.csv and validation_metadata.csv"
        raise UniferumError(f"{source}: version", settings.version, must=f"be {other}", cure=cure)
    for part in ("train", "valid"):
        table = data / "multi_abnormality_labels" / f"{part}_predicted_labels.csv"
        if table.is_file():
            _refuse_other_part(table, part)


def _refuse_other_part(table: Path, part: str) -> None:
    other = "valid" if part == "train" else "train"
    for number, row in enumerate(rows(table, ("VolumeName",))):
        if row["VolumeName"].startswith(f"{other}_"):
            cure = f"this is the table of the other part: {other}_predicted_labels.csv, under a wrong name"
            raise UniferumError(str(table), row["VolumeName"], must=f"name volumes {part}_...", cure=cure)
        if number >= LOOKED_AT:
            return


def _rad_chest(settings: RadChestConfig, source: str) -> None:
    _needs(settings.root, "imgtrain_Abnormality_and_Location_Labels.csv", "the folder of RAD-ChestCT's tables")
    folder = settings.root / settings.images
    if folder.is_dir() and next(folder.glob("*.npz"), None) is None:
        example = min(settings.root.rglob("*.npz"), default=None)  # the same one on every disk
        if example is not None:
            folder = example.parent.relative_to(settings.root)
            must = f"be {folder}"
            raise UniferumError(f"{source}: images", settings.images, must=must, cure=f"{folder} holds the npz files")


def _needs(root: Path, pattern: str, what: str) -> None:
    """Refuse a root without a file or folder of a name; search for it one or two levels below, and above."""
    if next(root.glob(pattern), None) is not None:
        return
    for other in _near(root):
        if next(other.glob(pattern), None) is not None:
            raise UniferumError(f"root {root}", must=f"be {what}", cure=f"{other} is: --root {other}")
    cure = f"{pattern} does not exist; get it with uniferum data fetch; docs/datasets.md has the layout"
    raise UniferumError(f"root {root}", must=f"be {what}", cure=cure)


def _near(root: Path) -> Iterator[Path]:
    yield root.resolve().parent
    for pattern in ("*", "*/*"):
        yield from (path for path in sorted(root.glob(pattern)) if path.is_dir() and path.name != ".cache")
