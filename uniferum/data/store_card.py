"""Summary of a prepared store beyond its dataset's files: quality flags by split, and failures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uniferum.data.card import SPLITS
from uniferum.data.flag_counts import FlagCount, by_split, count_flags, flags_of, notes_of
from uniferum.data.prepare_cohort import LEFT_OUT
from uniferum.errors import UniferumError
from uniferum.preprocessing.store.store import Store


@dataclass(frozen=True)
class StoreCard:
    """Counts of a finished store.

    Attributes:
        url: path or URL of the store.
        scans: number of prepared scans.
        flags: flags of each split's scans.
        whole: flags of all scans.
        notes: scan id to notes on its flags, for the scans that ``whole`` names.
        failed: scan id to the reason, for scans that could not be prepared.
    """

    url: str
    scans: int
    flags: Mapping[str, Sequence[FlagCount]]
    whole: Sequence[FlagCount]
    notes: Mapping[str, Sequence[str]]
    failed: Mapping[str, str]

    @classmethod
    def read(cls, path: Path | str, cohort: str) -> "StoreCard":
        """Count the flags and failures of a cohort's store.

        Raises:
            UniferumError: there is no finished store, or it belongs to another cohort.
        """
        store = Store.open(path)
        if store.name != cohort:
            raise UniferumError(f"--store {path}", store.name, must=f"be a store of cohort {cohort}")
        manifest, failures = store.manifest(), store.failures()
        whole = count_flags(flags_of(manifest))
        notes = notes_of(manifest, whole)
        pairs = zip(failures["scan_id"].tolist(), failures["reason"].tolist(), strict=True)
        failed = {str(scan_id): str(why) for scan_id, why in pairs if not str(why).startswith(LEFT_OUT)}
        return cls(str(path), len(manifest), by_split(manifest, SPLITS), whole, notes, failed)

    def to_dict(self) -> dict[str, Any]:
        """Data for JSON."""
        return {
            "scans": self.scans,
            "flags": {split: [flag.to_dict() for flag in counts] for split, counts in self.flags.items()},
            "failed": dict(self.failed),
            "notes": {scan_id: list(notes) for scan_id, notes in self.notes.items()},
        }
