"""One training step on one core, by recipe: the same (volume, prompt) rows, one encoding a row against one a volume.

    python benchmarks/training_step.py [--rows 4] [--tasks-per-volume 4] [--shape 160 128 96] [--frozen] [--json FILE]

The peer is built from the paper's description: one volume and one prompt an item, so a volume is encoded once for every
row that asks about it, by PyTorch's own convolutions. ``ungrouped`` is our step of the paper's recipe
(configs/paper_grid.yaml): the same encodings, one a row; ``checkpointed`` the same with activations computed again in
the backward pass (``model.gradient_checkpointing``); ``grouped`` that of configs/paper_fast_grid.yaml, whose rows of a
volume share its encoding. All have the same weights, the same rows (one in eight asks for a mask), the same loss and
optimizer, in float32; loss and gradient norm are printed. Each runs in a
process of its own: CPU seconds of its one thread (the smallest of the steps after a first one), and its peak resident
memory, whole and beyond what was resident before the first step. ``--shape 256 160 128`` is the paper's size.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import psutil
import torch

from uniferum.data.loading.batch import Batch
from uniferum.data.vocabulary import Vocabulary
from uniferum.model.base import Model
from uniferum.model.config import EncoderConfig, ModelConfig, TextConfig
from uniferum.model.registry import build_model
from uniferum.preprocessing.geometry import Geometry
from uniferum.training.config import OptimConfig
from uniferum.training.optim import build_optimizer
from uniferum.training.parallel import Workers
from uniferum.training.precision import choose_compute
from uniferum.training.step import Stepper

SIDES = ("peer", "ungrouped", "checkpointed", "grouped")


def build(given: argparse.Namespace) -> Model:
    """The paper's model with random weights, at the given input size."""
    text = TextConfig(name="tiny", layers=4, hidden=given.hidden, heads=given.hidden // 64, freeze=given.frozen)
    encoder = EncoderConfig(
        weights="none",
        frozen_stages=7 if given.frozen else 0,
        fast_depthwise="off" if given.side == "peer" else "auto",
    )
    geometry = Geometry(model_shape=tuple(given.shape))
    config = ModelConfig(encoder=encoder, text=text, gradient_checkpointing=given.side == "checkpointed")
    return build_model(config, geometry, ("any",), seed=0)


def rows_of(given: argparse.Namespace, model: Model) -> Batch:
    """The same rows for every side; but for the grouped one, each has an encoding of its own."""
    volumes = given.rows // given.tasks_per_volume
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(volumes, 1, *given.shape, generator=generator)
    row_volume = torch.arange(given.rows) // given.tasks_per_volume
    if given.side != "grouped":
        volume, row_volume = volume[row_volume], torch.arange(given.rows)
    masks = max(1, given.rows // 8)
    target = torch.randint(0, 2, (given.rows,), generator=generator).float()
    target[:masks] = torch.nan
    x, y, z = model.tokens_shape
    patches = (torch.rand(masks, x * y * z, model.patch**3, generator=generator) < 0.1).float()
    return Batch(
        volume=volume,
        row_volume=row_volume,
        prompts=[label.prompt for label in Vocabulary.load().labels.values()][: given.rows],
        labels=["any"] * given.rows,
        label_target=target,
        seg_rows=torch.arange(masks),
        seg_target=patches,
        task_ids=[str(row) for row in range(given.rows)],
        volume_ids=[f"v{place}" for place in range(len(volume))],
    )


def one_side(given: argparse.Namespace) -> dict[str, float]:
    """Time and memory of one side, and fingerprints of its loss and gradient."""
    torch.set_num_threads(1)
    model = build(given)
    optim = OptimConfig()
    compute = choose_compute("fp32", "cpu")
    stepper = Stepper(model, build_optimizer(model, optim), optim, compute, Workers(), 0, given.rows, 1)
    batch = rows_of(given, model)
    before = psutil.Process().memory_info().rss
    found: dict[str, float] = {}
    seconds = []
    for step in range(given.steps):
        started = time.process_time()
        report = stepper.gradient(step, [(0, batch)])
        if not step:
            found |= {"loss": report.loss, "gradient_norm": report.gradient_norm}
        stepper.update(report, 5e-5)
        seconds.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        **found,
        "seconds": min(seconds[1:] or seconds),
        "peak_gib": peak / 2**30,
        "grown_gib": (peak - before) / 2**30,
    }


def main() -> None:
    """Run every side, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--tasks-per-volume", type=int, default=4)
    parser.add_argument("--shape", type=int, nargs=3, default=[160, 128, 96])
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--frozen", action="store_true", help="encoder and text without gradient")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="the peer first")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(one_side(given)))
        return
    sides: dict[str, dict[str, float]] = {}
    for side in given.sides:
        command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
        sides[side] = json.loads(
            subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
        )
        print(f"{side}: " + ", ".join(f"{name} {value:.4g}" for name, value in sides[side].items()), flush=True)
    peer = sides["peer"]
    for side, found in list(sides.items())[1:]:
        print(
            f"{side}: {peer['seconds'] / found['seconds']:.2f} x the peer, peak memory "
            f"{found['peak_gib'] / peer['peak_gib']:.2f} of its, of the step alone "
            f"{found['grown_gib'] / peer['grown_gib']:.2f}"
        )
    if given.json:
        given.json.write_text(json.dumps(sides, indent=2))


if __name__ == "__main__":
    main()
