"""Summary of a preparation: counts, failures, quality flags."""

from dataclasses import dataclass, field
from typing import Any

from uniferum.data.flag_counts import EXAMPLES, FlagCount, count_flags, flags_of, notes_of
from uniferum.data.prepare_cohort import LEFT_OUT, PreparationOutcome
from uniferum.preprocessing.store.store import Store


@dataclass
class PreparationSummary:
    """Result of a preparation.

    Attributes:
        prepared: number of scans prepared by this run.
        kept: number of scans that were in the store already, unchanged.
        failed: outcomes of the scans that could not be prepared.
        left_out: ids of the scans that the cohort itself leaves out, by reason (a missing file, a duplicate id).
        scans: number of rows of the manifest.
        flags: quality flags of all scans in the manifest, also of those that were kept.
        notes: scan id to the sentences behind its flags, for the scans that ``flags`` names.
        cohort_notes: further notes on the cohort's counts; see :class:`uniferum.data.card.DataCard`.
        seconds: wall time.
    """

    prepared: int = 0
    kept: int = 0
    failed: list[PreparationOutcome] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    scans: int = 0
    flags: list[FlagCount] = field(default_factory=list)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cohort_notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def add(self, outcome: PreparationOutcome) -> None:
        """Count the outcome of one scan."""
        self.prepared += outcome.state == "prepared"
        self.kept += outcome.state == "kept"
        if outcome.state == "failed":
            self.failed.append(outcome)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain data for JSON."""
        return {
            "scans": self.scans,
            "prepared": self.prepared,
            "kept": self.kept,
            "failed": [{"scan_id": o.scan_id, "file": o.file, "reason": o.reason} for o in self.failed],
            "left_out": {why: {"count": len(ids), "examples": ids[:EXAMPLES]} for why, ids in self.left_out.items()},
            "flags": [flag.to_dict() for flag in self.flags],
            "notes": {scan_id: list(notes) for scan_id, notes in self.notes.items()},
            "cohort_notes": list(self.cohort_notes),
            "seconds": round(self.seconds, 1),
        }

    def read(self, store: Store) -> None:
        """Add what the tables of the finished store say: rows, flags, scans left out."""
        manifest = store.manifest()
        self.scans = len(manifest)
        self.flags = count_flags(flags_of(manifest))
        self.notes = notes_of(manifest, self.flags)
        failed_ids = {outcome.scan_id for outcome in self.failed}
        for row in store.failures().to_dict(orient="records"):
            scan_id, why = str(row["scan_id"]), str(row["reason"])
            if why.startswith(LEFT_OUT):
                self.left_out.setdefault(why.removeprefix(LEFT_OUT), []).append(scan_id)
            elif scan_id not in failed_ids:  # its file was damaged after it was prepared
                self.failed.append(PreparationOutcome(scan_id, "failed", str(row["file"]), why))
