"""Organ masks that the +SEG cells of a grid need: how many are missing, and the commands that make them."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestration.grid import Cell
from uniferum.data.vocabulary import TOTALSEGMENTATOR

CONFIGS = {"INSPECT": "inspect", "RADCHEST": "rad_chest"}
"""Cohorts of the paper whose datasets ship no organ masks -> their file in configs/cohorts/ (LUNA16 gives nodules
alone)."""
SHIPS_MASKS = {"CTRATE": "ct_rate"}
"""Those whose masks are downloaded, not made -> their file."""
WITHOUT_ORGANS = frozenset({"LUNA16"})
"""Cohorts that +SEG cells read for their nodules."""


@dataclass(frozen=True)
class MissingMasks:
    """The training scans of one cohort that have no organ mask.

    Attributes:
        cohort: its name.
        store: its prepared store.
        missing: training scans without an organ mask; ``None`` where the store is not there yet.
        scans: all training scans.
        config: the cohort's YAML file.
        root: the dataset's folder, where the file's own was overridden or is known.
    """

    cohort: str
    store: str
    missing: int | None
    scans: int
    config: str
    root: str | None

    def sentence(self) -> str:
        """For the person at the terminal: the count, and the two commands."""
        root = f" --root {shlex.quote(self.root)}" if self.root else ""
        config = shlex.quote(self.config)
        count = "no store yet" if self.missing is None else f"{self.missing} of {self.scans} training scans have none"
        how = f"make them with: uniferum data segment {config}{root}"
        if self.cohort in SHIPS_MASKS:
            folder = shlex.quote(self.root or "FOLDER")
            how = f"the dataset ships them: uniferum data fetch {self.cohort} --out {folder}"
        return (
            f"organ masks of {self.cohort}: {count}; {how}"
            f" ; then: uniferum data prepare {config}{root} --out {shlex.quote(self.store)}"
        )


def missing_masks(stores: Mapping[str, Path | str], cells: Sequence[Cell]) -> list[MissingMasks]:
    """For each cohort that a +SEG cell trains on, the training scans without organ masks; none where all have one."""
    cohorts = {name for cell in cells if cell.config.segmentation for name in cell.config.trained_stores}
    looked = (_look(name, str(stores[name])) for name in sorted(cohorts - WITHOUT_ORGANS) if name in stores)
    return [found for found in looked if found is not None]


def _look(cohort: str, store: str) -> MissingMasks | None:
    if "://" in store:
        return None
    files = {**CONFIGS, **SHIPS_MASKS}
    config, root = f"configs/cohorts/{files.get(cohort, cohort.lower())}.yaml", None
    card = Path(store) / "store.json"
    if not card.exists():
        return MissingMasks(cohort, store, None, 0, config, root) if cohort in CONFIGS else None
    try:
        described = json.loads(card.read_bytes())["cohort"]
        with_masks, scans = _counted(Path(store) / "manifest.parquet")
    except (OSError, ValueError, KeyError):  # the plan itself says what is wrong with a damaged store
        return None
    if with_masks == scans:
        return None
    return MissingMasks(
        cohort, store, scans - with_masks, scans, described.get("config", config), described.get("root")
    )


def _counted(manifest: Path) -> tuple[int, int]:
    """Training scans with an organ mask, and all of them."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(manifest) as opened:
        table = opened.read(["split", "layers"])
    rows = zip(table.column("split").to_pylist(), table.column("layers").to_pylist(), strict=True)
    layers = [own for split, own in rows if split == "train"]
    return sum(TOTALSEGMENTATOR in own for own in layers), len(layers)
