"""A cohort prepared by many processes: a local pool, or Ray on any number of nodes; both resume and both are bounded.

Invariant: a worker holds one scan at a time and the driver a few chunks of scans, whatever the cohort's size; a worker
that dies (out of memory, killed) costs the scan it held, and no other.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from uniferum.data.cohorts.base import Cohort, Scan
from uniferum.data.fetch.plan import gb
from uniferum.data.flag_counts import EXAMPLES, FlagCount, count_flags, flags_of, notes_of
from uniferum.data.needs import level_bytes
from uniferum.data.preparation import LEFT_OUT, PreparationOutcome, card_of, finish_store, prepare_chunk
from uniferum.errors import UniferumError
from uniferum.preprocessing.pipeline import PreparationConfig
from uniferum.preprocessing.store.filesystem import location_of
from uniferum.preprocessing.store.store import Store

# Smaller scans travel in chunks of this many, so that handing out work costs nothing beside it.
SMALL_VOXELS, SMALL_CHUNK = 1_000_000, 16

Heard = Callable[[PreparationOutcome], None]


@dataclass
class PreparationSummary:
    """What a preparation did.

    Attributes:
        prepared: scans prepared now.
        kept: scans that were there already, unchanged.
        failed: those that could not be.
        left_out: why the cohort itself leaves scans out (a missing file, a duplicate id), with their ids.
        scans: rows of the manifest.
        flags: of every scan of the manifest, also of those that were kept.
        notes: scan id to the sentences behind its flags, for the scans that ``flags`` names.
        cohort_notes: what else a reader of the cohort's counts should know; see :class:`uniferum.data.card.DataCard`.
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
        """Count one outcome."""
        self.prepared += outcome.state == "prepared"
        self.kept += outcome.state == "kept"
        if outcome.state == "failed":
            self.failed.append(outcome)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
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
        """Take over what the finished store's own tables say."""
        manifest = store.manifest()
        self.scans = len(manifest)
        self.flags = count_flags(flags_of(manifest))
        self.notes = notes_of(manifest, self.flags)
        known = {outcome.scan_id for outcome in self.failed}
        for row in store.failures().to_dict(orient="records"):
            scan_id, why = str(row["scan_id"]), str(row["reason"])
            if why.startswith(LEFT_OUT):
                self.left_out.setdefault(why.removeprefix(LEFT_OUT), []).append(scan_id)
            elif scan_id not in known:  # its file was damaged between its preparation and the end
                self.failed.append(PreparationOutcome(scan_id, "failed", str(row["file"]), why))


def prepare_cohort(
    cohort: Cohort,
    out: str | Path,
    config: PreparationConfig,
    *,
    workers: int | None = None,
    use_ray: bool = False,
    with_montage: bool = False,
    heard: Heard | None = None,
) -> PreparationSummary:
    """Prepare every scan of a cohort that is not prepared yet, then write the tables.

    Args:
        cohort: what to prepare.
        out: the store, a folder or a URL.
        config: how.
        workers: processes at once; the machine's (or cluster's) cores where not given. 0 runs in this process.
        use_ray: over the Ray that this process is connected to, instead of a pool of processes.
        with_montage: a picture of each volume too.
        heard: told of every outcome as it comes.

    Raises:
        UniferumError: the store is of another cohort or another config, the disk is too small or becomes full, or the
            cohort is empty.
    """
    began = time.monotonic()
    store = Store.create(out, card_of(cohort), config)
    total = sum(1 for _ in cohort.scans())
    check_space(store, total)
    small = _voxels(config) <= SMALL_VOXELS
    chunks = _chunks(cohort.scans(), SMALL_CHUNK if small and total > 4 * SMALL_CHUNK else 1)
    count = _cores(use_ray) if workers is None else workers
    run = _in_ray if use_ray else (_in_pool if count > 0 else _here)
    summary = PreparationSummary()
    where = store.url if "://" in store.url else str(Path(store.url).absolute())  # a worker may start elsewhere
    for outcome in run(chunks, where, count, with_montage):
        summary.add(outcome)
        if heard is not None:
            heard(outcome)
        if outcome.disk_full:  # each scan that is left would be read, and fail
            cure = "free some; the same command goes on from where it stopped"
            raise UniferumError(store.url, must="be on a disk with free space (it became full)", cure=cure)
    finish_store(store, cohort, summary.failed)
    summary.read(store)
    summary.cohort_notes = cohort.card().notes
    summary.seconds = time.monotonic() - began
    return summary


@dataclass(frozen=True)
class PlannedPreparation:
    """What a preparation would do: scans of the cohort, and those that have a file in the store already."""

    total: int
    there: int
    config: PreparationConfig

    def sentence(self) -> str:
        """For the person at the terminal."""
        new = self.total - self.there
        size = new * scan_bytes(self.config)
        start = f"{self.total} scans, {self.there} of them in the store already; about {gb(size)} to write"
        if self.config.levels != ("train",):
            return f"{start} (levels: {', '.join(self.config.levels)})"
        full = new * level_bytes(self.config.geometry, "full")
        return (
            f"{start}: stores the training level only, which is what grids read; --set levels=[train,full] adds the "
            f"full level, about {gb(full)} more"
        )


def plan(cohort: Cohort, out: str | Path, config: PreparationConfig) -> PlannedPreparation:
    """Count a cohort against a store that may not exist yet; writes nothing.

    Raises:
        UniferumError: the store is of another cohort or another config.
    """
    if location_of(out).exists("store.json"):
        Store.create(out, card_of(cohort), config)  # only opens what is there
    total = sum(1 for _ in cohort.scans())
    there = sum(name.endswith(".ufs") for name in location_of(out).names("scans"))
    return PlannedPreparation(total, min(there, total), config)


def ray_for(address: str | None, workers: int | None) -> bool:
    """Connect to a Ray cluster, or start one on this machine; always true."""
    import ray

    if not ray.is_initialized():
        if address is None:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address=address, log_to_driver=False)
    return True


def check_space(store: Store, total: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        UniferumError: less is free than the scans that are still missing will take.
    """
    missing = max(0, total - len(store.scan_files()))
    needed = missing * scan_bytes(store.config)
    free = store.free_bytes()
    if free is not None and needed > free:
        more = "" if store.config.levels == ("train",) else ", or keep the training level alone: --set levels=[train]"
        cure = f"give a larger disk{more}"
        value = f"{free / 1e9:.0f} GB free"
        raise UniferumError(store.url, value, must=f"have about {needed / 1e9:.0f} GB for {missing} scans", cure=cure)


def _cores(use_ray: bool) -> int:
    if use_ray:
        import ray

        return int(ray.cluster_resources().get("CPU", 1))
    return len(os.sched_getaffinity(0))


def scan_bytes(config: PreparationConfig) -> int:
    """Bytes that one prepared scan takes in the store, at most."""
    return sum(level_bytes(config.geometry, level) for level in config.levels)


def _voxels(config: PreparationConfig) -> int:
    total = 0
    for level in config.levels:
        x, y, z = config.geometry.shape(level)
        total += x * y * z
    return total


def _chunks(scans: Iterator[Scan], size: int) -> Iterator[list[Scan]]:
    while chunk := list(islice(scans, size)):
        yield chunk


def _here(chunks: Iterator[list[Scan]], store: str, count: int, with_montage: bool) -> Iterator[PreparationOutcome]:
    assert count == 0, "no workers"
    for chunk in chunks:
        yield from prepare_chunk(chunk, store, with_montage=with_montage)


def _in_pool(chunks: Iterator[list[Scan]], store: str, count: int, with_montage: bool) -> Iterator[PreparationOutcome]:
    pool = _new_pool(count)
    running: dict[Future[list[PreparationOutcome]], list[Scan]] = {}
    try:
        for chunk in _with_end(chunks):
            if chunk is not None:
                running[pool.submit(prepare_chunk, chunk, store, with_montage=with_montage)] = chunk
            while running and (chunk is None or len(running) >= 2 * count):
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                    pool.shutdown(wait=False, cancel_futures=True)
                    yield from _one_by_one(list(running.values()), store, with_montage)
                    running.clear()
                    pool = _new_pool(count)
                    break
                for future in done:
                    del running[future]
                    yield from future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _new_pool(count: int) -> ProcessPoolExecutor:
    context = get_context("forkserver")
    context.set_forkserver_preload(["uniferum.data.preparation"])
    return ProcessPoolExecutor(count, mp_context=context)


def _one_by_one(chunks: list[list[Scan]], store: str, with_montage: bool) -> Iterator[PreparationOutcome]:
    """After a worker died: each of the scans that were under way alone, in a process of its own."""
    for scan in (scan for chunk in chunks for scan in chunk):
        with _new_pool(1) as pool:
            try:
                yield from pool.submit(prepare_chunk, [scan], store, with_montage=with_montage).result()
            except BrokenProcessPool:
                yield _died(scan)


def _in_ray(chunks: Iterator[list[Scan]], store: str, count: int, with_montage: bool) -> Iterator[PreparationOutcome]:
    import ray
    from ray.exceptions import OutOfMemoryError, WorkerCrashedError

    remote: Any = ray.remote(num_cpus=1, max_retries=1)(prepare_chunk)
    running: dict[Any, list[Scan]] = {}
    for chunk in _with_end(chunks):
        if chunk is not None:
            running[remote.remote(chunk, store, with_montage=with_montage)] = chunk
        while running and (chunk is None or len(running) >= 2 * max(1, count)):
            done, _ = ray.wait(list(running), num_returns=1)
            scans = running.pop(done[0])
            try:
                yield from ray.get(done[0])
            except (WorkerCrashedError, OutOfMemoryError):
                if len(scans) == 1:
                    yield _died(scans[0])
                for scan in scans if len(scans) > 1 else ():
                    running[remote.remote([scan], store, with_montage=with_montage)] = [scan]


def _with_end(chunks: Iterator[list[Scan]]) -> Iterator[list[Scan] | None]:
    yield from chunks
    yield None


def _died(scan: Scan) -> PreparationOutcome:
    return PreparationOutcome(
        scan.scan_id, "failed", scan.source.path.name, "its worker died (out of memory or killed)"
    )
