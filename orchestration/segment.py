"""Make the organ masks of a cohort on many GPUs: one Ray task per scan.

The masks on disk are the only record. A task checks for its mask before it starts, so overlapping runs, retries and a
run after Ctrl-C make no mask twice; masks are written atomically.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from uniferum.data import segmentation
from uniferum.data.cohorts.base import Cohort, Scan
from uniferum.data.segmentation import Segmented, Shard
from uniferum.errors import StateError

WHOLE = Shard()
CANCEL_S = 15.0
"""Seconds that cancelled tasks have to end their programs."""


@dataclass(frozen=True)
class SegmentationOptions:
    """Options of a segmentation.

    Attributes:
        device: ``gpu``, ``gpu:1`` (only in this process), ``cpu`` or ``mps``.
        fast: use the 3 mm model.
        timeout_s: time limit per scan.
        per_gpu: number of scans at once on each GPU.
        cpus: number of cores that Ray reserves per scan.
    """

    device: str = "gpu"
    fast: bool = False
    timeout_s: float = 3600.0
    per_gpu: int = 1
    cpus: float = 4.0

    @property
    def keywords(self) -> dict[str, Any]:
        """Keyword arguments of :func:`uniferum.data.segmentation.segment_one`."""
        return {"device": self.device, "fast": self.fast, "timeout_s": self.timeout_s}

    @property
    def resources(self) -> dict[str, Any]:
        """Resources that Ray reserves for one scan."""
        gpus = {"num_gpus": 1 / self.per_gpu} if self.device == "gpu" else {}
        return {"num_cpus": self.cpus, **gpus}


@dataclass
class SegmentationSummary:
    """Result of a run: masks made, masks that another run made in the meantime, and scans that failed."""

    made: int = 0
    kept: int = 0
    failed: list[Segmented] = field(default_factory=list)

    def add(self, outcome: Segmented) -> None:
        """Count the result of one scan."""
        self.kept += outcome.kept
        self.made += not (outcome.fault or outcome.kept)
        if outcome.fault:
            self.failed.append(outcome)


def scans_without_masks(cohort: Cohort, shard: Shard, limit: int | None = None) -> Iterator[Scan]:
    """Yield the scans of a shard that have no organ mask yet.

    Raises:
        UniferumError: the cohort's config does not name the folder of the masks.
    """
    return islice((scan for scan in segmentation.waiting(cohort) if shard.holds(scan.scan_id)), limit)


def segment_cohort(
    cohort: Cohort,
    options: SegmentationOptions,
    *,
    shard: Shard = WHOLE,
    limit: int | None = None,
    use_ray: bool = False,
    on_scan: Callable[[Segmented], None] | None = None,
) -> SegmentationSummary:
    """Segment every scan of a shard that has no mask.

    Args:
        cohort: the cohort; its config names the folder of the masks (``masks_root``).
        options: device, model, time limit.
        shard: the part of the cohort to segment.
        limit: largest number of scans.
        use_ray: run on the Ray cluster that this process is connected to; default: one scan after the other, here.
        on_scan: called with the result of each scan.

    Raises:
        UniferumError: TotalSegmentator is not installed where the scans would run, or the cluster is too small.
    """
    scans, folder = scans_without_masks(cohort, shard, limit), segmentation.masks_folder(cohort).absolute()
    summary = SegmentationSummary()
    segmentation.sweep(folder, 2 * options.timeout_s)
    for outcome in _in_ray(scans, folder, options) if use_ray else _in_process(scans, folder, options):
        summary.add(outcome)
        if on_scan is not None:
            on_scan(outcome)
    return summary


def _in_process(scans: Iterator[Scan], folder: Path, options: SegmentationOptions) -> Iterator[Segmented]:
    return segmentation.segment(scans, folder, segmentation.installed_program(), **options.keywords)


def _in_ray(scans: Iterator[Scan], folder: Path, options: SegmentationOptions) -> Iterator[Segmented]:
    import ray

    slots = _slots(options)
    program = ray.get(ray.remote(**options.resources)(segmentation.installed_program).remote())
    remote: Any = ray.remote(**options.resources, max_retries=1)(segmentation.segment_one)
    running: dict[Any, Scan] = {}
    try:
        for scan in scans:
            running[remote.remote(scan, folder, program, **options.keywords)] = scan
            while len(running) >= 2 * slots:
                yield _next(running)
        while running:
            yield _next(running)
    finally:
        for reference in running:
            ray.cancel(reference)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=CANCEL_S)


def _next(running: dict[Any, Scan]) -> Segmented:
    """Wait until one of the tasks has ended."""
    import ray
    from ray.exceptions import OutOfMemoryError, WorkerCrashedError

    done, _ = ray.wait(list(running), num_returns=1)
    scan = running.pop(done[0])
    try:
        return ray.get(done[0])
    except (WorkerCrashedError, OutOfMemoryError):
        return Segmented(scan.scan_id, "its worker died twice (out of memory or killed)")


def _slots(options: SegmentationOptions) -> int:
    """Number of scans at once on the whole cluster.

    Raises:
        StateError: the cluster is too small for one scan.
    """
    import ray

    available = ray.cluster_resources()
    needed = {"CPU": options.resources["num_cpus"], "GPU": options.resources.get("num_gpus", 0.0)}
    slots = min(int(available.get(name, 0) / amount + 1e-9) for name, amount in needed.items() if amount)
    if slots < 1:
        resources = f"{available.get('CPU', 0):g} cores and {available.get('GPU', 0):g} GPUs"
        cure = "Give --address of a cluster, --cpus 1, or --device cpu (hours per scan)."
        wanted = f"{needed['CPU']:g} cores and {needed['GPU']:g} GPUs"
        raise StateError(f"Ray has {resources}; one scan needs {wanted}", cure=cure)
    return slots
