"""Preparation of one large noisy scan against the paper's own way, one core each, in one run.

The peer is the method as published, with the libraries it names: nibabel's get_fdata in float64, scikit-image's label,
regionprops and convex hulls at full resolution, nilearn's continuous resampling to 1 mm, gzipped NIfTI out. Both read
the same file and each runs in a process of its own, so that its peak memory is its own. On a machine that others use
too, compare the processor times (core_s), not the wall times.

    OMP_NUM_THREADS=1 python benchmarks/preparation.py [--folder DIR] [--repeat 3] [--skip-peer] [--skip-workers]
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np

from uniferum.preprocessing.formats.source import ScanSource
from uniferum.preprocessing.pipeline import PreparationConfig, prepare
from uniferum.preprocessing.store.signature import signature
from uniferum.preprocessing.store.store import Store

SHAPE, SPACING = (512, 512, 300), (0.7, 0.7, 1.0)
BOX = (416, 336, 256)
NOISE_HU = 40


def write_scan(path: Path, seed: int = 0) -> None:
    """A thorax of 512 x 512 x 300 voxels with 40 HU of noise, LPS, int16, gzipped."""
    random = np.random.default_rng(seed)
    x, y = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(SHAPE[:2], SPACING[:2], strict=True))
    x, y = x[:, None], y[None]
    hu = np.empty(SHAPE, dtype=np.int16, order="F")
    for k in range(SHAPE[2]):
        z = (k - 149.5) * SPACING[2]
        plane = np.full(SHAPE[:2], -1000, dtype=np.float32)
        plane[(x / 165) ** 2 + (y / 115) ** 2 < 1] = -100
        plane[(x / 155) ** 2 + (y / 105) ** 2 < 1] = 40
        size = max(0.0, 1 - (z / 120) ** 2) ** 0.5
        for side in (-1, 1) if size > 0 else ():
            lung = ((x - side * 75) / (55 * size)) ** 2 + (y / (80 * size)) ** 2 < 1
            plane[lung] = -850
            plane[lung & (np.sin(x / 6 + z / 9) * np.sin(y / 7) > 0.97)] = 30
        plane[(x / 15) ** 2 + ((y - 75) / 15) ** 2 < 1] = 400
        hu[:, :, k] = np.rint(plane + random.normal(0, NOISE_HU, SHAPE[:2]))
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    affine[:3, 3] = (179, 179, -150)
    nibabel.Nifti1Image(hu, affine).to_filename(path)


def ours(scan: Path, out: Path) -> None:
    """As `uniferum data prepare` does for each scan: sign, prepare, compress, write both levels."""
    store = Store.create(out, {"name": "BENCHMARK"}, PreparationConfig(levels=("train", "full")))
    source = ScanSource(scan.name, scan)
    made = signature(source)
    store.write(prepare(source, store.config), made)


def peer(scan: Path, out: Path) -> None:
    """The paper's 3.5 with the libraries it names."""
    from nilearn.image import resample_img
    from skimage.measure import label, regionprops
    from skimage.morphology import convex_hull_image

    image = nibabel.as_closest_canonical(nibabel.load(scan))
    hu = np.clip(image.get_fdata(dtype=np.float64), -1000, 1000)
    labels = label((hu >= -150) & (hu <= 250))
    largest = max(regionprops(labels), key=lambda region: region.area).label
    body = labels == largest
    hulls = np.stack([convex_hull_image(body[:, :, k]) for k in range(hu.shape[2])], axis=2)
    centre = np.argwhere(hulls.any(axis=2)).mean(axis=0)
    lungs = (hu > -970) & (hu < -400) & hulls
    heights = np.flatnonzero(lungs.sum(axis=(0, 1)) > 100)
    cut = slice(max(0, heights[0] - 5), heights[-1] + 6)
    kept = nibabel.Nifti1Image(hu[:, :, cut], image.affine)
    resampled = resample_img(kept, target_affine=np.eye(3), interpolation="continuous", fill_value=-1000).get_fdata()
    middle = (*np.rint(centre * SPACING[:2]).astype(int), resampled.shape[2] // 2)
    box = np.full(BOX, -1000.0)
    source, target = [], []
    for at, have, want in zip(middle, resampled.shape, BOX, strict=True):
        start = at - want // 2
        low, high = max(0, start), min(have, start + want)
        source.append(slice(low, high))
        target.append(slice(low - start, high - start))
    box[tuple(target)] = resampled[tuple(source)]
    out.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(np.rint(box).astype(np.int16), np.eye(4)).to_filename(out / "prepared.nii.gz")


def measured(way: Callable[[Path, Path], None], scan: Path, out: Path, repeat: int) -> dict[str, float]:
    """The least wall and processor time of several runs, and the peak memory, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(way, scan, out, repeat, sender))
    process.start()
    found = receiver.recv()
    process.join()
    return found


def _report(way: Callable[[Path, Path], None], scan: Path, out: Path, repeat: int, sender: object) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    walls, cores = [], []
    for number in range(repeat):
        wall, core = time.perf_counter(), time.process_time()
        way(scan, out / str(number))
        walls.append(time.perf_counter() - wall)
        cores.append(time.process_time() - core)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sender.send({"wall_s": min(walls), "core_s": min(cores), "peak_gib": peak})  # type: ignore[attr-defined]


def throughput(workers: int, scan: Path, out: Path, count: int) -> float:
    """Scans a second of ``workers`` processes, after each has done one."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.starmap(ours, [(scan, out / f"warm{n}") for n in range(workers)], chunksize=1)
        began = time.perf_counter()
        pool.starmap(ours, [(scan, out / str(n)) for n in range(count)], chunksize=1)
        return count / (time.perf_counter() - began)


def training_level(store: Path) -> dict[str, float]:
    """Size and decoding time of the level that a training sample reads."""
    opened = Store.open(store)
    scan_id = opened.scan_files()[0].removesuffix(".ufs")
    entry = opened.header(scan_id)["arrays"]["train"]
    times = []
    for _ in range(7):
        began = time.process_time()
        opened.read(scan_id, "train")
        times.append(time.process_time() - began)
    return {"train_mb": sum(entry["sizes"]) / 1e6, "train_decode_s": min(times)}


def main() -> None:
    """Run and print one JSON object."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--folder", type=Path, default=None, help="where to work; default: a temporary folder")
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--skip-peer", action="store_true")
    arguments.add_argument("--skip-workers", action="store_true")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        scan = folder / "scan.nii.gz"
        write_scan(scan)
        found: dict[str, object] = {"scan_mb": scan.stat().st_size / 1e6}
        found["ours"] = mine = measured(ours, scan, folder / "ours", given.repeat)
        found |= training_level(folder / "ours" / "0")
        if not given.skip_peer:
            found["peer"] = theirs = measured(peer, scan, folder / "peer", 1)
            found["times_faster"] = theirs["wall_s"] / mine["wall_s"]
            found["times_faster_core"] = theirs["core_s"] / mine["core_s"]
            found["share_of_memory"] = mine["peak_gib"] / theirs["peak_gib"]
        if not given.skip_workers:
            rates = [throughput(workers, scan, folder / f"pool{workers}", 6) for workers in (1, 2)]
            found["two_workers_over_one"] = rates[1] / rates[0]
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
