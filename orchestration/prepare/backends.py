"""Run chunks of scans in this process, in a pool of processes, or on Ray.

A worker that dies (out of memory, killed) costs the scan that it held; the other scans of its chunk are run again
alone. At most two chunks per worker are queued, so memory does not grow with the cohort.
"""

import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from uniferum.data.cohorts.base import Scan
from uniferum.data.prepare_cohort import PreparationOutcome, prepare_chunk

Chunk = list[Scan]
Outcomes = Iterator[PreparationOutcome]


def connect_ray(address: str | None, workers: int | None) -> bool:
    """Connect to a Ray cluster, or start one on this machine; always true."""
    import ray

    if not ray.is_initialized():
        if address is None:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address=address, log_to_driver=False)
    return True


def count_cores(use_ray: bool) -> int:
    """Number of cores of the Ray cluster, or those of this process."""
    if use_ray:
        import ray

        return int(ray.cluster_resources().get("CPU", 1))
    return len(os.sched_getaffinity(0))


def in_process(chunks: Iterator[Chunk], store: str, workers: int, with_montage: bool) -> Outcomes:
    """Run the chunks one after the other in this process."""
    assert workers == 0, "no workers"
    for chunk in chunks:
        yield from prepare_chunk(chunk, store, with_montage=with_montage)


def in_pool(chunks: Iterator[Chunk], store: str, workers: int, with_montage: bool) -> Outcomes:
    """Run the chunks in a pool of processes; after a worker's death, run the scans in progress one by one."""
    pool = _new_pool(workers)
    running: dict[Future[list[PreparationOutcome]], Chunk] = {}
    try:
        for chunk in _with_end(chunks):
            if chunk is not None:
                running[pool.submit(prepare_chunk, chunk, store, with_montage=with_montage)] = chunk
            while running and (chunk is None or len(running) >= 2 * workers):
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                    pool.shutdown(wait=False, cancel_futures=True)
                    yield from _one_by_one(list(running.values()), store, with_montage)
                    running.clear()
                    pool = _new_pool(workers)
                    break
                for future in done:
                    del running[future]
                    yield from future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def in_ray(chunks: Iterator[Chunk], store: str, workers: int, with_montage: bool) -> Outcomes:
    """Run the chunks as Ray tasks; after a worker's death, run each scan of its chunk as its own task."""
    import ray
    from ray.exceptions import OutOfMemoryError, WorkerCrashedError

    remote: Any = ray.remote(num_cpus=1, max_retries=1)(prepare_chunk)
    running: dict[Any, Chunk] = {}
    for chunk in _with_end(chunks):
        if chunk is not None:
            running[remote.remote(chunk, store, with_montage=with_montage)] = chunk
        while running and (chunk is None or len(running) >= 2 * max(1, workers)):
            done, _ = ray.wait(list(running), num_returns=1)
            scans = running.pop(done[0])
            try:
                yield from ray.get(done[0])
            except (WorkerCrashedError, OutOfMemoryError):
                if len(scans) == 1:
                    yield _dead_worker(scans[0])
                for scan in scans if len(scans) > 1 else ():
                    running[remote.remote([scan], store, with_montage=with_montage)] = [scan]


def _new_pool(workers: int) -> ProcessPoolExecutor:
    context = get_context("forkserver")
    context.set_forkserver_preload(["uniferum.data.prepare_cohort"])
    return ProcessPoolExecutor(workers, mp_context=context)


def _one_by_one(chunks: list[Chunk], store: str, with_montage: bool) -> Outcomes:
    """Run each scan in its own process."""
    for scan in (scan for chunk in chunks for scan in chunk):
        with _new_pool(1) as pool:
            try:
                yield from pool.submit(prepare_chunk, [scan], store, with_montage=with_montage).result()
            except BrokenProcessPool:
                yield _dead_worker(scan)


def _with_end(chunks: Iterator[Chunk]) -> Iterator[Chunk | None]:
    yield from chunks
    yield None


def _dead_worker(scan: Scan) -> PreparationOutcome:
    return PreparationOutcome(
        scan.scan_id, "failed", scan.source.path.name, "its worker died (out of memory or killed)"
    )
