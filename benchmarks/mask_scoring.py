"""What scoring masks costs: the targets of a scan, and a prediction with and without masks.

    python benchmarks/mask_scoring.py [--shape 256 160 128] [--volumes 2] [--hidden 768] [--json FILE]

Targets: all 60 structures of one scan at the published size, one structure at a time (as a training row reads them)
against one pass. Prediction: volumes with 18 prompts each, with the masks of 60 structures and without. Times
are processor seconds of one thread, the smallest of three; only ratios within one run count.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from uniferum.data.loading.batch import Batch
from uniferum.data.loading.mask_targets import MaskTargets
from uniferum.data.loading.resample import resample_mask
from uniferum.data.loading.targets import TargetGrid
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.vocabulary import Vocabulary
from uniferum.evaluation.mask_counts import MaskCounter
from uniferum.evaluation.predict import predict
from uniferum.model.config import EncoderConfig, ModelConfig, TextConfig
from uniferum.model.registry import build_model
from uniferum.preprocessing.geometry import Geometry

STRIDE, PATCH, LABELS = 32, 4, 18


class OneScan:
    """A cohort whose every scan has one mask, without a store on disk."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask, self.store, self.vocabulary = mask, self, Vocabulary.load()
        self.layers_of = {"s": ("totalsegmentator",)}

    def present(self, scan_id: str, layer: str) -> frozenset[int]:
        """All 117 classes."""
        return frozenset(range(1, 118))

    def read_mask(self, scan_id: str, layer: str, level: str) -> np.ndarray:
        """The mask."""
        return self.mask


def smallest(work: Callable[[], Any]) -> float:
    """The smallest of three timings, after one that is not counted."""
    work()
    times = []
    for _ in range(3):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def batch_of(shape: tuple[int, int, int], place: int) -> Batch:
    """One volume with 18 label prompts."""
    prompts = [label.prompt for label in Vocabulary.load().labels.values()][:LABELS]
    return Batch(
        volume=torch.rand(1, 1, *shape),
        row_volume=torch.zeros(LABELS, dtype=torch.int64),
        prompts=prompts,
        labels=["any"] * LABELS,
        label_target=torch.full((LABELS,), torch.nan),
        seg_rows=torch.zeros(0, dtype=torch.int64),
        seg_target=torch.zeros(0, 1, 1),
        task_ids=[f"{place}:{row}" for row in range(LABELS)],
        volume_ids=[f"v{place}"],
    )


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=[256, 160, 128])
    parser.add_argument("--volumes", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    geometry = Geometry(model_shape=tuple(given.shape))
    shape = geometry.model_shape
    grid = TargetGrid.of(shape, (shape[0] // STRIDE, shape[1] // STRIDE, shape[2] // STRIDE), PATCH)
    cohort = OneScan(np.random.default_rng(0).integers(0, 118, geometry.level_shape).astype(np.uint8))
    targets = MaskTargets({"CTRATE": cast(PreparedCohort, cohort)}, geometry, "train", grid)
    organs = cohort.vocabulary.organs()

    def one_by_one() -> None:
        for organ in organs:
            members = np.isin(np.arange(256), organ.ids).astype(np.uint8)
            resample_mask(cohort.mask, members, None, geometry, level="train", pool=grid.pool)

    found = {"one_by_one": smallest(one_by_one), "one_pass": smallest(lambda: targets.of("CTRATE", "s"))}
    print(f"targets of {len(organs)} structures: {found['one_by_one']:.3f} s, in one pass {found['one_pass']:.3f} s")

    text = TextConfig(name="tiny", layers=4, hidden=given.hidden, heads=given.hidden // 64)
    model = build_model(ModelConfig(encoder=EncoderConfig(weights="none"), text=text), geometry, ("any",), seed=0)
    batches = [batch_of(shape, place) for place in range(given.volumes)]
    patients = {f"v{place}": ("CTRATE", "s", "p") for place in range(given.volumes)}
    found["labels"] = smallest(lambda: predict(model, batches)) / given.volumes
    counter = MaskCounter(targets.of, patients, "test")
    found["labels_and_masks"] = smallest(lambda: predict(model, batches, also=counter)) / given.volumes
    print(f"a volume with {LABELS} prompts: {found['labels']:.2f} s, with its masks {found['labels_and_masks']:.2f} s")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
