"""Seconds of one training step of the model alone, by what it is made of; and volumes a second at the paper's size.

    python benchmarks/model_step.py                   one CPU thread, 8 volumes x 10 rows of 48 x 40 x 32 voxels
    python benchmarks/model_step.py --paper           256 x 160 x 128, BERT-base text of random weights; bf16 on a GPU

A step is forward and backward without the optimizer: the smallest of ``--repeats``, in processor seconds on a CPU (what
else the machine does is not counted). Only ratios within one run count. The paper's 25,000 steps of 64 rows in 24 hours
are 18.5 volumes a second.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from uniferum.data.vocabulary import Vocabulary
from uniferum.model.base import Model
from uniferum.model.config import ModelConfig
from uniferum.model.registry import build_model
from uniferum.model.text import Text, build_text
from uniferum.model.transformer import Transformer, TransformerShape
from uniferum.model.uniferum import build_uniferum
from uniferum.preprocessing.geometry import Geometry

PAPER_RATE = 25_000 * 64 / (24 * 3600)
FUSION = {"visual_norm": "batch", "visual_positions": True, "summary": True}
ENCODER = {"name": "tf_efficientnet_lite0", "weights": "offline", "stride": 8}
DEMO: dict[str, dict[str, Any]] = {
    "stride 8, 120 tokens": {},
    "native depthwise backward": {"encoder": {"fast_depthwise": "off"}},
    "two stages frozen": {"encoder": {"frozen_stages": 2}},
    "three stages frozen (all)": {"encoder": {"frozen_stages": 3}},
    "with the demo's fusion": {"fusion": FUSION},
    "rows computed one volume each": {"one_row_a_volume": True},
    "cnn, whole network": {"kind": "cnn", "encoder": {"stride": 32}},
}


def best(work: Callable[[], object], repeats: int) -> float:
    """The smallest of several timings, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        clock = time.perf_counter if torch.cuda.is_available() else time.process_time  # one thread: others do not count
        start = clock()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(clock() - start)
    return min(times)


def step(model: Model, volumes: torch.Tensor, rows: int, *, one_row_a_volume: bool = False) -> Callable[[], None]:
    """A step of ``rows`` rows a volume; one in ten asks for a mask."""
    words = Vocabulary.load()
    labels = (list(words.of_cohort("CTRATE")) * len(volumes) * rows)[: len(volumes) * rows]
    prompts = [words.labels[label].prompt for label in labels]
    row_volume = torch.arange(len(volumes), device=volumes.device).repeat_interleave(rows)
    masks = torch.arange(0, len(labels), 10, device=volumes.device)
    if one_row_a_volume:
        volumes, row_volume = volumes[row_volume], torch.arange(len(labels), device=volumes.device)

    def run() -> None:
        model.zero_grad()
        output = model.read(model.encode(volumes), row_volume, prompts, labels, masks)
        loss = output.class_logit.float().square().mean()
        if output.mask_logit is not None:
            loss = loss + output.mask_logit.float().square().mean()
        loss.backward()

    return run


def demo(repeats: int) -> None:
    """Time each variant at the demo's size."""
    torch.set_num_threads(1)
    geometry = Geometry(spacing_mm=(4, 4, 4), model_shape=(48, 40, 32))
    volumes, first = torch.rand(8, 1, 48, 40, 32), None
    for name, changes in DEMO.items():
        alone = changes.get("one_row_a_volume", False)
        sections = {
            "kind": changes.get("kind", "uniferum"),
            "encoder": ENCODER | changes.get("encoder", {}),
            "text": {"name": "tiny", "layers": 2},
            "fusion": changes.get("fusion", {}),
        }
        labels = Vocabulary.load().of_cohort("CTRATE")
        model = build_model(ModelConfig.model_validate(sections), geometry, labels, 0).train()
        seconds = best(step(model, volumes, 10, one_row_a_volume=alone), repeats)
        first = first or seconds
        print(f"{name:32s} {seconds * 1000:7.0f} ms   {seconds / first:5.2f} x")


def paper(repeats: int, batch: int, rows: int) -> None:
    """Volumes a second at the paper's size."""
    text = {"name": "tiny", "layers": 4, "dropout": 0.1}
    config = ModelConfig.model_validate({"encoder": {"weights": "none"}, "text": text})
    reader = build_text(config.text).reader
    shape = TransformerShape(768, 12, 3072, 30522, dropout=0.1, attention_dropout=0.1)
    model = build_uniferum(config, (256, 160, 128), (), None, text=Text(Transformer(shape, 4), reader)).train()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    volumes = torch.rand(batch, 1, 256, 160, 128, device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        seconds = best(step(model.to(device), volumes, rows), repeats)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "one CPU"
    print(
        f"{name}: {batch} volumes x {rows} rows, {seconds:.3f} s a step, {batch / seconds:.1f} volumes/s, "
        f"{batch * rows / seconds:.1f} rows/s; the paper's implied {PAPER_RATE:.1f} volumes (of one row) a second"
    )


def main() -> None:
    """Parse and print."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rows", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.paper:
        paper(chosen.repeats, chosen.batch, chosen.rows)
    else:
        demo(chosen.repeats)


if __name__ == "__main__":
    main()
