"""Organ masks of a cohort on many GPUs and machines: one Ray task a scan, each with a GPU of its own.

Invariant: the masks on disk are the only record. A task looks again before it begins, so that runs that overlap, a
worker that is tried again and a run after Ctrl-C make no mask twice, and none is ever half written.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from uniferum.data import segmentation
from uniferum.data.cohorts.base import Cohort, Scan
from uniferum.data.segmentation import Segmented, Shard
from uniferum.errors import UniferumError

Heard = Callable[[Segmented], None]
WHOLE = Shard()
LET_GO_S = 15.0
"""Seconds that cancelled tasks get to end the programs that they started."""


@dataclass(frozen=True)
class Segmenting:
    """How scans are segmented.

    Attributes:
        device: ``gpu``, ``gpu:1`` (only in this process), ``cpu`` or ``mps``.
        fast: the 3 mm model.
        timeout_s: for one scan.
        per_gpu: scans at once on each GPU.
        cpus: cores that each scan reserves.
    """

    device: str = "gpu"
    fast: bool = False
    timeout_s: float = 3600.0
    per_gpu: int = 1
    cpus: float = 4.0

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of :func:`uniferum.data.segmentation.segment_one`."""
        return {"device": self.device, "fast": self.fast, "timeout_s": self.timeout_s}

    @property
    def resources(self) -> dict[str, Any]:
        """What Ray reserves for one scan."""
        gpus = {"num_gpus": 1 / self.per_gpu} if self.device == "gpu" else {}
        return {"num_cpus": self.cpus, **gpus}


@dataclass
class SegmentationSummary:
    """What a run did: masks made now, masks that had appeared in the meantime, and scans that failed."""

    made: int = 0
    kept: int = 0
    failed: list[Segmented] = field(default_factory=list)

    def add(self, done: Segmented) -> None:
        """Count one scan."""
        self.kept += done.kept
        self.made += not (done.fault or done.kept)
        if done.fault:
            self.failed.append(done)


def waiting(cohort: Cohort, shard: Shard, limit: int | None = None) -> Iterator[Scan]:
    """The scans of a shard that have no organ mask yet.

    Raises:
        UniferumError: the cohort's config does not say where masks go.
    """
    return islice((scan for scan in segmentation.waiting(cohort) if shard.holds(scan.scan_id)), limit)


def segment_cohort(
    cohort: Cohort,
    how: Segmenting,
    *,
    shard: Shard = WHOLE,
    limit: int | None = None,
    use_ray: bool = False,
    heard: Heard | None = None,
) -> SegmentationSummary:
    """Segment every scan of a shard that has no mask; run again, it goes on.

    Args:
        cohort: its config names the masks' folder (``masks_root``).
        how: device, model, time limit.
        shard: the part of the cohort that this call is for.
        limit: at most so many scans.
        use_ray: over the Ray that this process is connected to; otherwise one scan after the other in this process.
        heard: told of every scan as it ends.

    Raises:
        UniferumError: TotalSegmentator is not installed where the scans would run, or Ray has no such resources.
    """
    scans, folder = waiting(cohort, shard, limit), segmentation.masks_folder(cohort).absolute()
    summary = SegmentationSummary()
    segmentation.sweep(folder, 2 * how.timeout_s)
    for done in _in_ray(scans, folder, how) if use_ray else _here(scans, folder, how):
        summary.add(done)
        if heard is not None:
            heard(done)
    return summary


def _here(scans: Iterator[Scan], folder: Path, how: Segmenting) -> Iterator[Segmented]:
    return segmentation.segment(scans, folder, segmentation.installed_program(), **how.options)


def _in_ray(scans: Iterator[Scan], folder: Path, how: Segmenting) -> Iterator[Segmented]:
    import ray

    slots = _slots(how)
    program = ray.get(ray.remote(**how.resources)(segmentation.installed_program).remote())
    remote: Any = ray.remote(**how.resources, max_retries=1)(segmentation.segment_one)
    running: dict[Any, Scan] = {}
    try:
        for scan in scans:
            running[remote.remote(scan, folder, program, **how.options)] = scan
            while len(running) >= 2 * slots:
                yield _next(running)
        while running:
            yield _next(running)
    finally:
        for reference in running:
            ray.cancel(reference)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=LET_GO_S)


def _next(running: dict[Any, Scan]) -> Segmented:
    """Wait for one scan to end."""
    import ray
    from ray.exceptions import OutOfMemoryError, WorkerCrashedError

    done, _ = ray.wait(list(running), num_returns=1)
    scan = running.pop(done[0])
    try:
        return ray.get(done[0])
    except (WorkerCrashedError, OutOfMemoryError):
        return Segmented(scan.scan_id, "its worker died twice (out of memory or killed)")


def _slots(how: Segmenting) -> int:
    """Scans at once on the whole cluster.

    Raises:
        UniferumError: not one scan fits.
    """
    import ray

    have = ray.cluster_resources()
    wanted = {"CPU": how.resources["num_cpus"], "GPU": how.resources.get("num_gpus", 0.0)}
    slots = min(int(have.get(name, 0) / amount + 1e-9) for name, amount in wanted.items() if amount)
    if slots < 1:
        found = f"{have.get('CPU', 0):g} cores, {have.get('GPU', 0):g} GPUs"
        cure = "give --address of a cluster, --cpus 1, or --device cpu (hours a scan)"
        raise UniferumError("Ray", found, must=f"have {wanted['CPU']:g} cores, {wanted['GPU']:g} GPUs", cure=cure)
    return slots
