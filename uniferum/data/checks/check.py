"""Look at a dataset's folder before anything is prepared, and say what to type next.

No voxel is decoded (see ``file_faults``); every count is of the cohort's own reader, so that what is found here is what
a preparation would meet.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from uniferum.data.checks.findings import CheckFinding, findings
from uniferum.data.checks.layout import refuse_wrong_layout
from uniferum.data.checks.look import Looked, look
from uniferum.data.cohorts.base import Cohort
from uniferum.data.commands import prepare_command
from uniferum.data.fetch.plan import Record, free_bytes, gb
from uniferum.data.fetch.sources import sources
from uniferum.data.needs import Needs, needs
from uniferum.preprocessing.geometry import Geometry


@dataclass(frozen=True)
class CohortCheck:
    """The answer.

    Attributes:
        cohort: its name.
        looked: counts.
        findings: the heaviest first.
        needs: disk and time of a preparation.
        free: bytes free where the store will lie; None for a URL.
        next_command: what to type.
    """

    cohort: str
    looked: Looked
    findings: tuple[CheckFinding, ...]
    needs: Needs
    free: int | None
    next_command: str

    @property
    def exit_code(self) -> int:
        """0 fine, 1 problems that cost scans, 2 nothing usable."""
        if not self.looked.usable.total():
            return 2
        return int(any(finding.weight == "problem" for finding in self.findings))


def check(
    cohort: Cohort,
    config: Path | str,
    store: str,
    *,
    geometry: Geometry | None = None,
    heard: Callable[[int], None] | None = None,
) -> CohortCheck:
    """Look at a cohort's folder.

    Args:
        cohort: opened.
        config: the YAML file that it was opened from.
        store: where it would be prepared into.
        geometry: of the preparation; the paper's where not given.
        heard: told of scans as they are looked at.

    Raises:
        UniferumError: the root, the version or a table is wrong.
    """
    refuse_wrong_layout(cohort, config)
    record = Record.read(cohort.config.root)
    looked = look(cohort, heard)
    found = findings(cohort, looked, record, str(config))
    wanted = needs(looked.usable.total(), geometry or Geometry(), looked.mean_voxels)
    free = None if "://" in store else free_bytes(Path(store))
    if free is not None and wanted.level_bytes["train"] > free:
        what = f"{gb(free)} are free at {store}, the training level takes more"
        found.insert(0, CheckFinding("problem", what, cure="give another --store, or a larger disk"))
    command = _next(cohort, config, store, found, record)
    return CohortCheck(cohort.name, looked, tuple(found), wanted, free, command)


def _next(cohort: Cohort, config: Path | str, store: str, found: Sequence[CheckFinding], record: Record | None) -> str:
    """The next command to type: the data first, then masks, then labels from reports, then the preparation."""
    root = cohort.config.root
    base = f"{shlex.quote(str(config))} --root {shlex.quote(str(root))}"
    steps = {finding.step for finding in found}
    if "fetch" in steps:
        return _fetch_command(cohort, record) if cohort.name in sources() else f"uniferum data check {base}"
    if "edit" in steps:
        return f"uniferum data check {base}"
    if "segment" in steps:
        return f"uniferum data segment {base}"
    if "label" in steps:
        return f"uniferum data label-reports {base} --out {shlex.quote(str(root / 'report_labels.csv'))}"
    return prepare_command(base, store)


def _fetch_command(cohort: Cohort, record: Record | None) -> str:
    source = sources()[cohort.name]
    out = cohort.config.root.parent if source.kind == "person" else cohort.config.root
    line = f"uniferum data fetch {cohort.name} --out {shlex.quote(str(out))}"
    limits = record.limits if record is not None else {}
    if len(limits) == 1 and "all" not in limits:
        line += f" --split {next(iter(limits))}"
    whole = set(limits.values())
    return line if len(whole) != 1 or whole == {None} else f"{line} --limit {next(iter(whole))}"


def needed_store(cohort: Cohort) -> str:
    """Where the paper's grid looks for a cohort's store."""
    return f"stores/{cohort.name.lower()}"
