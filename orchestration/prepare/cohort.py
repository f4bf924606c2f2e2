"""Prepare every scan of a cohort, then write the tables of the store."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from orchestration.prepare.backends import count_cores, in_pool, in_process, in_ray
from orchestration.prepare.plan import check_space
from orchestration.prepare.summary import PreparationSummary
from uniferum.data.cohorts.base import Cohort, Scan
from uniferum.data.prepare_cohort import PreparationOutcome, card_of, finish_store
from uniferum.errors import StateError
from uniferum.preprocessing.pipeline import PreparationConfig
from uniferum.preprocessing.store.store import Store

# Smaller scans are sent to workers in chunks of this many, so that sending takes little of the time.
SMALL_VOXELS, SMALL_CHUNK = 1_000_000, 16


def prepare_cohort(
    cohort: Cohort,
    out: str | Path,
    config: PreparationConfig,
    *,
    workers: int | None = None,
    use_ray: bool = False,
    with_montage: bool = False,
    on_scan: Callable[[PreparationOutcome], None] | None = None,
) -> PreparationSummary:
    """Prepare every scan of a cohort that is not in the store yet, then write the tables.

    Args:
        cohort: the cohort.
        out: the store, a folder or a URL.
        config: settings of the preparation.
        workers: number of processes; default: all cores of the machine or the cluster. 0 runs in this process.
        use_ray: run on the Ray cluster that this process is connected to, instead of a pool of processes.
        with_montage: also write a picture of each volume.
        on_scan: called with the outcome of each scan.

    Raises:
        UniferumError: the store has another cohort or config, the disk is too small, or the cohort is empty.
        StateError: the disk became full.
    """
    start = time.monotonic()
    store = Store.create(out, card_of(cohort), config)
    total = sum(1 for _ in cohort.scans())
    check_space(store, total)
    small = _voxels(config) <= SMALL_VOXELS
    chunks = _chunks(cohort.scans(), SMALL_CHUNK if small and total > 4 * SMALL_CHUNK else 1)
    count = count_cores(use_ray) if workers is None else workers
    run = in_ray if use_ray else (in_pool if count > 0 else in_process)
    summary = PreparationSummary()
    url = store.url if "://" in store.url else str(Path(store.url).absolute())  # workers may have another directory
    for outcome in run(chunks, url, count, with_montage):
        summary.add(outcome)
        if on_scan is not None:
            on_scan(outcome)
        if outcome.disk_full:  # otherwise every other scan would be read only to fail
            cure = "Free some space, then run the same command again; it continues from where it stopped."
            raise StateError(f"The disk of {store.url} is full", cure=cure)
    finish_store(store, cohort, summary.failed)
    summary.read(store)
    summary.cohort_notes = cohort.card().notes
    summary.seconds = time.monotonic() - start
    return summary


def _voxels(config: PreparationConfig) -> int:
    total = 0
    for level in config.levels:
        x, y, z = config.geometry.shape(level)
        total += x * y * z
    return total


def _chunks(scans: Iterator[Scan], size: int) -> Iterator[list[Scan]]:
    while chunk := list(islice(scans, size)):
        yield chunk
