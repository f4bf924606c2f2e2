"""Radiology reports of a prepared cohort: one text per scan, in the store's ``reports.parquet``, for pretraining.

A store has none unless they are added on purpose: reports are free text about patients. Only a training that reads
reports opens the file, and only such a training has the file's content in its fingerprint. Plans of grids read it, so
pandas is imported where it is needed.
"""

import hashlib
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from uniferum.config import canonical_json
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    import pandas as pd

    from uniferum.data.prepared_cohort import PreparedCohort

FILE = "reports.parquet"
REPORT = "report"
"""Kind, group and label of a row that pairs a volume with its report."""


@runtime_checkable
class HasTrainingReports(Protocol):
    """A cohort with reports of its training and validation scans."""

    def training_reports(self) -> Iterable[tuple[str, str]]:
        """Scan id and text of each report; texts may be empty."""
        ...


def matched_reports(store: Path | str, reports: Iterable[tuple[str, str]], scans: Iterable[str]) -> dict[str, str]:
    """Match reports with the scans of a store.

    Args:
        store: the store's folder or URL, for messages.
        reports: scan id and text, in any order; those of other scans and empty texts are left out.
        scans: the scans of the store.

    Returns:
        scan id to text, in the order of the scans.

    Raises:
        UniferumError: no scan has a report, or one has two that differ.
    """
    known, texts = set(scans), dict[str, str]()
    for scan, text in reports:
        clean = " ".join(text.split())
        if scan in known and clean and texts.setdefault(scan, clean) != clean:
            raise UniferumError(f"reports of {scan}", must="be one text", cure="remove one of them")
    if not texts:
        raise UniferumError(f"store {store}", must="have a scan with a report", cure="are they of the same cohort?")
    return dict(sorted(texts.items()))


def write_reports(store: Path | str, texts: Mapping[str, str]) -> None:
    """Write the reports of a store's scans, by scan id; earlier ones are replaced."""
    import pandas as pd

    from uniferum.preprocessing.store.filesystem import location_of

    buffer = BytesIO()
    pd.DataFrame({"scan_id": [*texts], REPORT: [*texts.values()]}).to_parquet(buffer, index=False)
    location_of(store).write(FILE, buffer.getvalue())


def read_reports(store: Path | str) -> dict[str, str]:
    """Read the texts of a store's reports by scan, in the order of the scans.

    Raises:
        UniferumError: the store has none, or the file is damaged.
    """
    import pyarrow
    import pyarrow.parquet

    from uniferum.preprocessing.store.filesystem import location_of

    try:
        content = location_of(store).read(FILE)
    except FileNotFoundError:
        cure = f"add them with: uniferum data reports COHORT.yaml --store {store}"
        raise UniferumError(f"store {store}", must=f"have reports ({FILE})", cure=cure) from None
    try:
        table = pyarrow.parquet.read_table(BytesIO(content), columns=["scan_id", REPORT]).to_pydict()
    except (OSError, ValueError, KeyError) as error:
        cure = " ".join(str(error).split())[:120]
        raise UniferumError(f"{store}/{FILE}", must="be a table of scan_id and report", cure=cure) from None
    return dict(sorted(zip(table["scan_id"], table[REPORT], strict=True)))


def reports_digest(texts: Mapping[str, str], scans: Iterable[str]) -> str:
    """SHA-256 of the reports of these scans."""
    return hashlib.sha256(canonical_json({scan: texts[scan] for scan in scans if scan in texts}).encode()).hexdigest()


def report_tasks(cohort: "PreparedCohort", split: str) -> "pd.DataFrame":
    """One row per scan of a split with a report, with the report as its prompt and without a target.

    Raises:
        UniferumError: the store has no reports, or none of this split.
    """
    import numpy as np

    from uniferum.data.tasks import table_of

    texts, patients, name = read_reports(cohort.path), cohort.patients(split), cohort.name
    scans = [scan for scan in patients if scan in texts]
    if not scans:
        cure = f"add those of the split {split}"
        raise UniferumError(f"store of {name}: reports of {split}", must="be there", cure=cure)
    count = len(scans)
    return table_of(
        {
            "task_id": [f"{name}/{scan}:{REPORT}" for scan in scans],
            "cohort": [name] * count,
            "volume_id": [f"{name}/{scan}" for scan in scans],
            "scan_id": scans,
            "patient_id": [patients[scan] for scan in scans],
            "split": [split] * count,
            "label": [REPORT] * count,
            "kind": [REPORT] * count,
            "group": [REPORT] * count,
            "prompt": [texts[scan] for scan in scans],
            "target": [np.nan] * count,
            "layer": [""] * count,
            "ids": [()] * count,
            "copy": [0] * count,
        }
    )


def report_table(cohorts: Mapping[str, "PreparedCohort"], names: Iterable[str]) -> "pd.DataFrame":
    """Make the table of a training on reports: the training split of each named cohort; raises as above."""
    from uniferum.data.tasks import joined

    return joined(report_tasks(cohorts[name], "train") for name in names)
