"""Training input on one core: the paper's own chain against ours, on the same draws, on the same prepared scan.

    python benchmarks/input.py [--draws 40] [--work FOLDER] [--json FILE]

The peer is built from the paper's description (3.5; released order): one volume and one prompt an item, MONAI's pad,
crop, rotate, zoom, pad, crop, area resize, noise and offset on the 1 mm volume, which it keeps as zstd. Ours is the
loader's own code. Both read from the page cache, on one thread, draw after draw in turn; only ratios count, and
processor seconds tell them apart from what else the machine does.
"""

import argparse
import json
import math
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import nibabel as nib
import numpy as np
import torch
import zstandard
from monai import transforms as mt
from numba import njit

from uniferum.data.loading.assembly import Assembly
from uniferum.data.loading.augmentation import IDENTITY, AugmentationConfig, Draw, draw
from uniferum.data.loading.batch import Batch
from uniferum.data.loading.resample import resample_image
from uniferum.data.loading.targets import TargetGrid
from uniferum.data.phantom.rendering import render
from uniferum.data.phantom.spec import PhantomSpec
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.tasks import table_of
from uniferum.preprocessing.formats.source import ScanSource
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig, prepare, training_level
from uniferum.preprocessing.store.store import Store, manifest_row

GEOMETRY = Geometry()
SCAN = "phantom"
FIXED = Draw(angles_deg=(7.0, -9.0, 12.0), zoom=1.05)


class Peer:
    """The paper's chain, one item a call."""

    def __init__(self, full: np.ndarray, folder: Path) -> None:
        """Keep the 1 mm volume as zstd, cut to the body as the released preparation leaves it."""
        body = np.argwhere(full > -999)
        margin = [
            int(min(low, n - 1 - high)) for low, high, n in zip(body.min(0), body.max(0), full.shape, strict=True)
        ]
        cut = full[tuple(slice(m, n - m) for m, n in zip(margin, full.shape, strict=True))]
        self.shape = cut.shape
        self.path = folder / "peer.bin"
        self.path.write_bytes(zstandard.ZstdCompressor(level=6).compress(np.ascontiguousarray(cut).tobytes()))

    def read(self) -> np.ndarray:
        """Decode the stored 1 mm volume."""
        raw = zstandard.ZstdDecompressor().decompress(self.path.read_bytes())
        return np.frombuffer(raw, dtype=np.int16).reshape(self.shape)

    def item(self, drawn: Draw) -> torch.Tensor:
        """The stored volume, augmented: (1, 256, 160, 128) in [0, 1] units."""
        return augmented_by_monai(self.read(), drawn)


def augmented_by_monai(hu: np.ndarray, drawn: Draw) -> torch.Tensor:
    """The chain of the paper's description on a 1 mm volume, each random transform with a drawn value."""
    box, crop, model = GEOMETRY.box_shape, GEOMETRY.crop_shape, GEOMETRY.model_shape
    steps: list[object] = [mt.SpatialPad(box), mt.CenterSpatialCrop(box)]
    if any(drawn.angles_deg):
        angle = [math.radians(a) for a in drawn.angles_deg]
        steps.append(mt.Rotate(angle=angle, keep_size=True, mode="bilinear", padding_mode="border"))
    if drawn.zoom != 1.0:
        steps.append(mt.Zoom(zoom=drawn.zoom, keep_size=True, mode="trilinear", padding_mode="edge"))
    steps += [mt.SpatialPad(crop), mt.CenterSpatialCrop(crop), mt.Resize(model, mode="area")]
    if drawn.noise_std:
        noise = mt.RandGaussianNoise(prob=1.0, std=drawn.noise_std, sample_std=False)
        steps.append(noise.set_random_state(seed=drawn.noise_seed % 2**32))
    if drawn.offset:
        steps.append(mt.ShiftIntensity(offset=drawn.offset))
    image = torch.from_numpy(hu.astype(np.float32) / 2000 + 0.5)[None]
    return mt.Compose(steps)(image)


def prepared_scan(folder: Path) -> PreparedCohort:
    """The 512 x 512 x 300 phantom with 40 HU of noise, prepared as any scan is; made once a folder."""
    path = folder / "store"
    if not (path / "manifest.parquet").exists():
        rendered = render(PhantomSpec(seed=3), (512, 512, 300), (0.72, 0.72, 1.0), noise_hu=40.0)
        file = folder / "scan.nii.gz"
        nib.save(nib.Nifti1Image(rendered.volume.hu, rendered.volume.affine), file)  # type: ignore[attr-defined]
        config = PreparationConfig(levels=("train", "full"))
        store = Store.create(path, {"name": "CTRATE"}, config)
        source = ScanSource(scan_id=SCAN, path=file, intensity=None, affine=None, masks=(), known_hu_clip=None)
        header = store.write(prepare(source, config))
        row = manifest_row(header, patient_id="p", study_id="s", split="train")
        store.finish([row], [{"scan_id": SCAN, "label": "emphysema", "value": 1}], [], {})
    return PreparedCohort.open(path)


def assembly(cohort: PreparedCohort, *, level: str = "train", on_device: bool = False) -> Assembly:
    """The loader's own maker of batches, for the one scan, nothing kept in memory."""
    columns = {name: [""] for name in ("patient_id", "split", "group", "prompt", "layer")}
    table = table_of(
        {
            **columns,
            "task_id": ["t"],
            "cohort": ["CTRATE"],
            "volume_id": [f"CTRATE/{SCAN}"],
            "scan_id": [SCAN],
            "label": ["emphysema"],
            "kind": ["diagnosis"],
            "target": [1.0],
            "ids": [()],
            "copy": [0],
        }
    )
    targets = TargetGrid.of(GEOMETRY.model_shape, (8, 5, 4), 4)
    kept = {"CTRATE": cohort}
    return Assembly(table, kept, GEOMETRY, level=level, on_device=on_device, cache_gib=0.0, targets=targets)


def item(made: Assembly, drawn: Draw) -> Batch:
    """One item of ours: a batch of the one volume, filled."""
    batch, fillings = made.begin([np.array([0])], [drawn])
    for fill in fillings:
        fill()
    return batch


@dataclass
class Timing:
    """Wall and processor seconds of each draw for each way; every way is one thread."""

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]

    def summary(self) -> dict[str, dict[str, float]]:
        """Mean seconds of each way, and how many times the peer's rate that is."""
        wall = {way: float(np.mean(seconds)) for way, seconds in self.wall.items()}
        cpu = {way: float(np.mean(seconds)) for way, seconds in self.cpu.items()}
        return {
            "mean wall seconds": wall,
            "mean processor seconds": cpu,
            "least wall seconds": {way: min(seconds) for way, seconds in self.wall.items()},
            "most wall seconds": {way: max(seconds) for way, seconds in self.wall.items()},
            "times the peer by wall": {way: wall["peer"] / seconds for way, seconds in wall.items()},
            "times the peer by processor": {way: cpu["peer"] / seconds for way, seconds in cpu.items()},
        }


def timings(cohort: PreparedCohort, peer: Peer, draws: list[Draw]) -> Timing:
    """Every way on every draw, in turn."""
    host, full, device = assembly(cohort), assembly(cohort, level="full"), assembly(cohort, on_device=True)
    ways = {
        "peer": peer.item,
        "ours": lambda drawn: item(host, drawn),
        "ours from 1 mm": lambda drawn: item(full, drawn),
        "ours, CPU share with resampling on the device": lambda drawn: item(device, drawn),
    }
    everything = replace(FIXED, noise_std=0.01, noise_seed=1, offset=0.01)
    for way in ways.values():
        way(everything)  # compiled and in the page cache
    timing = Timing({name: [] for name in ways}, {name: [] for name in ways})
    for drawn in draws:
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way(drawn)
            timing.wall[name].append(time.perf_counter() - wall)
            timing.cpu[name].append(time.process_time() - cpu)
    return timing


def best(call: object, repeats: int = 15) -> float:
    """Least seconds of several calls."""
    assert callable(call)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


# An analytic thorax: ellipsoids (centre, radii, HU added inside) with edges of a logistic profile, in mm about the
# centre; smooth enough that sampling at 1 mm loses little.
EDGE_MM = 0.8
SHAPES = np.array(
    [
        [0, 0, 0, 165, 110, 400, 1040],
        [-75, 0, 0, 55, 75, 110, -840],
        [75, 0, 0, 55, 75, 110, -840],
        [15, 25, -40, 45, 40, 50, 30],
        [0, -75, 0, 16, 14, 400, 400],
        [-70, 10, 20, 6, 6, 6, 850],
        [60, -30, -30, 9, 9, 9, 850],
        [85, 20, 40, 3, 3, 3, 850],
        [-90, -20, -50, 4, 4, 30, 880],
        [70, 35, 0, 4, 40, 4, 880],
        [-60, -35, 60, 30, 4, 4, 880],
    ],
    dtype=np.float64,
)


@njit(fastmath=True)
def depth(shape, x, y, z):
    """Signed distance, to first order, of a point from an ellipsoid's surface; negative inside."""
    a, b, c = (x - shape[0]) / shape[3], (y - shape[1]) / shape[4], (z - shape[2]) / shape[5]
    r = math.sqrt(a * a + b * b + c * c) + 1e-9
    gradient = math.sqrt((a / shape[3]) ** 2 + (b / shape[4]) ** 2 + (c / shape[5]) ** 2) + 1e-12
    return (r - 1.0) * r / gradient


@njit(fastmath=True)
def averaged(shape, m, x, y, z, spacing, parts):
    """An ellipsoid's share averaged over ``parts`` points of a voxel centred at (x, y, z), seen through ``m``."""
    total = 0.0
    for a in range(parts[0]):
        for b in range(parts[1]):
            for c in range(parts[2]):
                p = x + ((a + 0.5) / parts[0] - 0.5) * spacing[0]
                q = y + ((b + 0.5) / parts[1] - 0.5) * spacing[1]
                r = z + ((c + 0.5) / parts[2] - 0.5) * spacing[2]
                u = m[0, 0] * p + m[0, 1] * q + m[0, 2] * r
                v = m[1, 0] * p + m[1, 1] * q + m[1, 2] * r
                w = m[2, 0] * p + m[2, 1] * q + m[2, 2] * r
                total += 1.0 / (1.0 + math.exp(min(depth(shape, u, v, w) / EDGE_MM, 50.0)))
    return total / (parts[0] * parts[1] * parts[2])


@njit(fastmath=True)
def sampled(counts, spacing, m, parts, shapes):
    """The analytic thorax averaged over ``parts`` points of each voxel of a centred grid, seen through ``m``."""
    out = np.full(counts, -1000.0)
    for i in range(counts[0]):
        for j in range(counts[1]):
            for k in range(counts[2]):
                x = (i + 0.5 - counts[0] / 2) * spacing[0]
                y = (j + 0.5 - counts[1] / 2) * spacing[1]
                z = (k + 0.5 - counts[2] / 2) * spacing[2]
                u = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z
                v = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z
                w = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z
                for s in range(shapes.shape[0]):
                    far = depth(shapes[s], u, v, w)
                    if far < -14.0:
                        out[i, j, k] += shapes[s, 6]
                    elif far < 14.0:
                        out[i, j, k] += shapes[s, 6] * averaged(shapes[s], m, x, y, z, spacing, parts)
    return out


def truth(movement: np.ndarray) -> np.ndarray:
    """The model's input of the analytic thorax, without any interpolation, in [0, 1] units."""
    hu = sampled(GEOMETRY.model_shape, np.array(GEOMETRY.level_spacing_mm), movement, (3, 4, 4), SHAPES)
    return hu / 2000 + 0.5


def within_box(movement: np.ndarray, margin_mm: float = 3.0) -> np.ndarray:
    """Which output voxels look at a place inside the stored box; beyond it there is nothing to compare."""
    axes = [
        (np.arange(n) - (n - 1) / 2) * s for n, s in zip(GEOMETRY.model_shape, GEOMETRY.level_spacing_mm, strict=True)
    ]
    output = np.stack(np.meshgrid(*axes, indexing="ij"))
    half = np.array(GEOMETRY.box_mm) / 2 - margin_mm
    return (np.abs(np.tensordot(movement, output, 1)) < half[:, None, None, None]).all(0)


def psnr(image: np.ndarray, movement: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB against the analytic thorax seen through ``movement``; the peak is 1."""
    error = (image.astype(np.float64) - truth(movement))[within_box(movement)]
    return -10 * math.log10(float(np.mean(error**2)))


def sharpness() -> dict[str, float]:
    """PSNR of each way with a fixed rotation and zoom, against the analytic thorax seen through what the way applies.

    MONAI rounds the zoomed shape down to whole voxels, so its zoom differs a little from axis to axis; it is judged by
    the zoom that it applies, so that the figure tells of blur alone.
    """
    ones = np.array(GEOMETRY.spacing_mm)
    full = np.rint(sampled(GEOMETRY.box_shape, ones, np.eye(3), (1, 1, 1), SHAPES)).astype(np.int16)
    level = training_level(full, GEOMETRY)
    movement = FIXED.source_from_output()
    rounded = np.array([math.floor(n * FIXED.zoom) / n for n in GEOMETRY.box_shape])
    return {
        "peer": psnr(np.asarray(augmented_by_monai(full, FIXED)[0]), movement * FIXED.zoom / rounded),
        "ours from 1 mm": psnr(resample_image(full, movement, GEOMETRY, level="full"), movement),
        "ours from the training level": psnr(resample_image(level, movement, GEOMETRY, level="train"), movement),
    }


def measure(folder: Path, count: int) -> dict[str, object]:
    """All figures of this benchmark."""
    cohort = prepared_scan(folder)
    full = cohort.store.read(SCAN, "full")
    peer = Peer(full, folder)
    config = AugmentationConfig()
    draws = [draw(config, seed=2025, step=0, slot=slot) for slot in range(count)]
    difference = float(
        np.abs(np.asarray(peer.item(IDENTITY)) - np.asarray(item(assembly(cohort), IDENTITY).volume[0])).max()
    )
    sharp = sharpness()
    timing = timings(cohort, peer, draws)
    entry = cohort.store.header(SCAN)["arrays"]["train"]
    return {
        "draws": count,
        "moved": sum(d.moves for d in draws),
        "prepared shape of the peer": list(peer.shape),
        **timing.summary(),
        "largest difference without augmentation": difference,
        "PSNR dB": sharp,
        "training level MB": sum(entry["sizes"]) / 1e6,
        "training level decode s": best(lambda: cohort.store.read(SCAN, "train")),
        "peer MB": peer.path.stat().st_size / 1e6,
        "peer decode s": best(peer.read, 5),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--work", type=Path, default=None, help="keep the prepared scan in this folder")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file as well")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.work or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(folder, chosen.draws)
    text = json.dumps(figures, indent=2)
    print(text)
    if chosen.json:
        chosen.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
