"""Check the files of all scans of a cohort in one pass, without decoding voxels."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from uniferum.data.checks.file_faults import file_fault, voxels
from uniferum.data.cohorts.base import Cohort, Dropped, Scan
from uniferum.data.cohorts.totalsegmentator import refuse_version_1
from uniferum.data.vocabulary import TOTALSEGMENTATOR

CHUNK = 256
LOOKING = 8
"""Number of files that are checked in parallel; a check waits for the disk or network, not for the CPU."""

MEASURED = 200
"""Number of scans whose headers give the mean number of voxels."""


@dataclass
class Looked:
    """Result of one pass over a cohort's scans.

    Attributes:
        usable: scans by split.
        patients: patients by split.
        dropped: exclusion reason of the cohort to identifiers.
        faults: (``volume`` or ``mask``, fault) to identifiers.
        without_mask: usable scans without a TotalSegmentator mask, by split.
        voxels: number of voxels of some scans.
    """

    usable: Counter[str] = field(default_factory=Counter)
    patients: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    dropped: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    faults: defaultdict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    without_mask: Counter[str] = field(default_factory=Counter)
    voxels: list[int] = field(default_factory=list)

    @property
    def mean_voxels(self) -> float | None:
        """Mean number of voxels of the scans whose header was read."""
        return sum(self.voxels) / len(self.voxels) if self.voxels else None


def look(cohort: Cohort, heard: Callable[[int], None] | None = None) -> Looked:
    """Check the cohort's entries and the files of its scans in one pass."""
    looked, version_known = Looked(), False
    entries = cohort.entries()
    with ThreadPoolExecutor(LOOKING) as pool:
        while chunk := list(islice(entries, CHUNK)):
            scans = [entry for entry in chunk if isinstance(entry, Scan)]
            for scan, (fault, bad_masks) in zip(scans, pool.map(_scan_faults, scans), strict=True):
                _count(looked, scan, fault, bad_masks)
                if not version_known:
                    version_known = _version_known(scan)
            for entry in chunk:
                if isinstance(entry, Dropped):
                    looked.dropped[entry.reason].append(entry.scan_id)
            if len(looked.voxels) < MEASURED:
                looked.voxels += [n for n in pool.map(voxels, [scan.source.path for scan in scans]) if n]
            if heard is not None:
                heard(len(chunk))
    return looked


def _scan_faults(scan: Scan) -> tuple[str | None, list[str]]:
    paths = [mask.path for mask in scan.source.masks if mask.path is not None]
    faults = [fault for fault in map(file_fault, paths) if fault is not None]
    return file_fault(scan.source.path), faults


def _count(looked: Looked, scan: Scan, fault: str | None, bad_masks: Sequence[str]) -> None:
    for bad in bad_masks:
        looked.faults["mask", bad].append(scan.scan_id)
    if fault is not None:
        looked.faults["volume", fault].append(scan.scan_id)
        return
    looked.usable[scan.split] += 1
    looked.patients[scan.split].add(scan.patient_id)
    if all(mask.layer != TOTALSEGMENTATOR for mask in scan.source.masks):
        looked.without_mask[scan.split] += 1


def _version_known(scan: Scan) -> bool:
    """Refuse masks of TotalSegmentator 1; return whether a mask existed to check."""
    for mask in scan.source.masks:
        if mask.layer == TOTALSEGMENTATOR and mask.path is not None and mask.path.is_file():
            refuse_version_1(mask.path)
            return True
    return False
