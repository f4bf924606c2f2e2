"""Prepare a cohort's scans into its store; a scan that cannot be read becomes a row of the failures.

Invariant: a scan that was prepared with the same settings from the same content is not prepared again, so an
interrupted run continues. Of a header, only geometry and quality enter a table, a log or a file name.
"""

import errno
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import matplotlib.image
import numpy as np

from uniferum.data.cohorts.base import Cohort, Dropped, Scan
from uniferum.data.provenance import UNPREPARED, SplitCounts, holds_phantoms
from uniferum.preprocessing.faults import fault_line
from uniferum.preprocessing.formats.source import ScanSource
from uniferum.preprocessing.montage import montage
from uniferum.preprocessing.pipeline import PreparedScan, prepare
from uniferum.preprocessing.store.signature import signature, unchanged
from uniferum.preprocessing.store.store import Store, manifest_row

LEFT_OUT = "left out: "
"""Prefix of the reason in a store's failures for scans that the cohort excludes."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk, and of an exceeded quota."""

SHOWS_TRACEBACK = "uniferum --debug data prepare ... --local --workers 0"


@dataclass(frozen=True)
class PreparationOutcome:
    """Result of one scan.

    Attributes:
        scan_id: the dataset's scan id.
        state: ``prepared``, ``kept`` (it was prepared before) or ``failed``.
        file: the scan's file or folder, relative to its dataset's folder.
        reason: reason of a failure, in one line.
        seconds: time spent on it.
        disk_full: whether it failed because the store's disk is full, as every other scan would.
    """

    scan_id: str
    state: Literal["prepared", "kept", "failed"]
    file: str = ""
    reason: str = ""
    seconds: float = 0.0
    disk_full: bool = False


def _into(store: Store, source: ScanSource, *, with_montage: bool, began: float) -> PreparationOutcome:
    try:
        if store.is_current(source.scan_id, lambda known: unchanged(source, known)):
            return PreparationOutcome(source.scan_id, "kept", _relative(source), "", time.perf_counter() - began)
        made = signature(source)
        prepared = prepare(source, store.config)
        store.write(prepared, made)
        if with_montage:
            store.write_montage(prepared.scan_id, picture(prepared, store))
    except Exception as error:  # noqa: BLE001 - one bad scan must not stop fifty thousand others
        full = isinstance(error, OSError) and error.errno in FULL
        seconds = time.perf_counter() - began
        return PreparationOutcome(source.scan_id, "failed", _relative(source), reason(error, source), seconds, full)
    return PreparationOutcome(source.scan_id, "prepared", _relative(source), "", time.perf_counter() - began)


def prepare_chunk(scans: Iterable[Scan], store_path: str, *, with_montage: bool = False) -> list[PreparationOutcome]:
    """Prepare scans into an existing store, unless they are there and unchanged; a bad scan raises no error.

    Args:
        scans: scans of a cohort.
        store_path: store made by :meth:`Store.create`.
        with_montage: whether to write ``montages/<scan>.png`` too.
    """
    store = Store.open(store_path)
    return [_into(store, scan.source, with_montage=with_montage, began=time.perf_counter()) for scan in scans]


def finish_store(store: Store, cohort: Cohort, failures: Iterable[PreparationOutcome] = ()) -> int:
    """Write labels, prompts, failures, the statement about each split and, last, the manifest of all prepared scans.

    The failures include scans that the cohort excludes (a missing file, a duplicate id).

    Returns:
        the number of scans in the manifest.
    """
    failed = {outcome.scan_id: outcome for outcome in failures if outcome.state == "failed"}
    left_out: list[PreparationOutcome] = []
    counts = SplitCounts()
    manifest: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    further: list[dict[str, Any]] = []
    for scan in cohort.entries():
        if isinstance(scan, Dropped):
            left_out.append(PreparationOutcome(scan.scan_id, "failed", "", f"{LEFT_OUT}{scan.reason}"))
            if scan.split:
                counts.absent(scan.split, scan.scan_id, scan.reason)
            continue
        if scan.scan_id in failed:
            counts.absent(scan.split, scan.scan_id, UNPREPARED)
            continue
        try:
            header = store.header(scan.scan_id)
        except Exception as error:  # noqa: BLE001 - one damaged file must not keep a store from its manifest
            failed[scan.scan_id] = PreparationOutcome(
                scan.scan_id, "failed", _relative(scan.source), reason(error, scan.source)
            )
            counts.absent(scan.split, scan.scan_id, UNPREPARED)
            continue
        counts.there(scan.split)
        row = manifest_row(header, patient_id=scan.patient_id, study_id=scan.study_id, split=scan.split)
        manifest.append(row)
        labels += _label_rows(scan.scan_id, scan.labels)
        further += _label_rows(scan.scan_id, scan.further_labels)
    rows = [{"scan_id": o.scan_id, "file": o.file, "reason": o.reason} for o in (*failed.values(), *left_out)]
    phantoms = holds_phantoms(cohort.config.root)
    words = counts.words(cohort.split_rules(), cohort.expected(), phantoms=phantoms)
    splits = {split: word.model_dump(mode="json") for split, word in words.items()}
    rows.sort(key=lambda row: row["scan_id"])
    store.finish(manifest, labels, rows, cohort.extra_vocabulary(), splits, further)
    return len(manifest)


def _label_rows(scan_id: str, labels: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"scan_id": scan_id, "label": label, "value": int(value)} for label, value in sorted(labels.items())]


def card_of(cohort: Cohort) -> dict[str, Any]:
    """The store's description of its cohort; ``config`` is for the commands that a plan suggests."""
    config = {} if cohort.file is None else {"config": str(cohort.file), "root": str(cohort.config.root)}
    return {"name": cohort.name, "papers_split": dict(cohort.papers_split()), "notes": list(cohort.notes()), **config}


def reason(error: BaseException, source: ScanSource) -> str:
    """Reason of a scan's failure in one line, without its folder and any text of its header."""
    folder = source.path.parent if source.root is None else source.root
    return fault_line(error, _relative(source), debug=SHOWS_TRACEBACK).replace(f"{folder}/", "")


def picture(prepared: PreparedScan, store: Store) -> bytes:
    """Montage of a prepared scan as PNG, with the outline of its lungs, or else of its first mask layer."""
    level = store.config.levels[0]
    layers = {layer: levels[level] for layer, levels in prepared.masks.items()}
    chosen = next((layers[name] for name in ("totalsegmentator", "lungs") if name in layers), None)
    mask = chosen if chosen is not None else next(iter(layers.values()), None)
    image = montage(prepared.levels[level], store.geometry.spacing(level), mask)
    buffer = BytesIO()
    matplotlib.image.imsave(buffer, np.ascontiguousarray(image), format="png")
    return buffer.getvalue()


def _relative(source: ScanSource) -> str:
    if source.root is not None and source.path.is_relative_to(source.root):
        return source.path.relative_to(source.root).as_posix()
    return source.path.name
