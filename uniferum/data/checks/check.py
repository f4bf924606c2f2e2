"""Check a dataset's folder before preparation, and suggest the next command.

No voxel is decoded (see ``file_faults``); every count comes from the cohort's reader, so the results are those of a
preparation.
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
    """Result of a check.

    Attributes:
        cohort: name of the cohort.
        looked: counts of scans and files.
        findings: problems first, then steps to do, then notes.
        needs: disk space and time of a preparation.
        free: free bytes at the store's location; None for a URL.
        next_command: the command to run next.
    """

    cohort: str
    looked: Looked
    findings: tuple[CheckFinding, ...]
    needs: Needs
    free: int | None
    next_command: str

    @property
    def exit_code(self) -> int:
        """Exit code: 0 without problems, 1 for problems that lose scans, 2 if nothing is usable."""
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
    """Check a cohort's folder.

    Args:
        cohort: the opened cohort.
        config: its YAML file.
        store: planned store of the preparation.
        geometry: geometry of the preparation; by default the paper's.
        heard: called with the number of scans checked since the last call.

    Raises:
        UniferumError: the root, the version or a table is wrong.
    """
    refuse_wrong_layout(cohort, config)
    record = Record.read(cohort.config.root)
    looked = look(cohort, heard)
    results = findings(cohort, looked, record, str(config))
    required = needs(looked.usable.total(), geometry or Geometry(), looked.mean_voxels)
    free = None if "://" in store else free_bytes(Path(store))
    if free is not None and required.level_bytes["train"] > free:
        what = f"{gb(free)} are free at {store}, but the training level needs more"
        results.insert(0, CheckFinding("problem", what, cure="use another --store, or a larger disk"))
    command = _next(cohort, config, store, results, record)
    return CohortCheck(cohort.name, looked, tuple(results), required, free, command)


def _next(
    cohort: Cohort, config: Path | str, store: str, results: Sequence[CheckFinding], record: Record | None
) -> str:
    """The next command to run: for data first, then masks, then labels from reports, then the preparation."""
    root = cohort.config.root
    base = f"{shlex.quote(str(config))} --root {shlex.quote(str(root))}"
    steps = {finding.step for finding in results}
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
    """Store of a cohort in the paper's grid."""
    return f"stores/{cohort.name.lower()}"
