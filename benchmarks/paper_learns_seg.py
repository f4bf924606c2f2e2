"""That the paper's model learns masks: CTRATE+SEG with plain fusion, heads and losses on phantoms, at a CPU's size.

One thing of a head is not the paper's default: where the mask head's bias starts (``model.mask_prior``), of which paper
and released code say nothing.

    python benchmarks/paper_learns_seg.py [--store STORE] [--phantoms FOLDER] [--out FOLDER] [--quick]

The recipe is that of ``benchmarks/paper_learns.py``, with its table of differences from the paper's cell printed first;
only what masks need differs from it (:data:`HERE`). Printed while it trains: Dice on validation scans by rows seen.
At the end: Dice on the test split of lungs, liver and heart against their goals, and the mean over all structures.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import paper_learns
import torch

from uniferum.config import merge
from uniferum.run.config import RunConfig
from uniferum.run.train import train_run
from uniferum.run_files import RunFiles
from uniferum.training.reporter import Reporter

GOALS = {"lungs": 0.85, "liver": 0.7, "heart": 0.7}
HERE: dict[str, Any] = {
    "name": "paper-learns-seg",
    "train_on": ["CTRATE", "SEG"],
    "model": {
        "encoder": {"stride": 16, "frozen_stages": 4, "frozen_norm": "running"},
        "text": {"name": "tiny", "layers": 4, "hidden": 128},
        # Paper and released code do not say where the mask head starts; at 0 it stays empty (docs: model).
        "mask_prior": 0.1,
    },
    "data": {"tasks_per_volume": 16},
    # Three organ rows a label row, so that masks have seen enough of them in a CPU's time; no LUNA16 here.
    "sampling": {"organ_share": 3.0, "luna_factor": 0},
    "augmentation": {"unit": "volume"},
    "training": {
        "steps": 700,
        "validate_every": 100,
        "batch": 128,
        "micro_batch": 128,
        "micro_batch_volumes": None,
        "checkpoint_every": 100,
    },
    "optim": {"lr": 8.0e-4, "warmup_steps": 100, "clip_norm": 1.0},
}
"""What masks were seen to learn with; all else is as ``paper_learns.py`` has it."""
QUICK: dict[str, Any] = {"training": {"steps": 4, "validate_every": 2, "checkpoint_every": 4}}
SHOWN = (*GOALS, "")


class MaskCurve(Reporter):
    """Prints the Dice of each validation against the rows seen."""

    def __init__(self, batch: int) -> None:
        self.batch, self.losses, self.started = batch, list[float](), time.perf_counter()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the mask losses of steps, print at validations."""
        if "loss/segmentation" in values:
            self.losses.append(values["loss/segmentation"])
        mean = f"validation/dice/{paper_learns.COHORT}"
        if mean in values:
            loss, minutes = sum(self.losses) / max(1, len(self.losses)), (time.perf_counter() - self.started) / 60
            dice = " | ".join(f"{values[f'{mean}/{name}' if name else mean]:.3f}" for name in SHOWN)
            auroc = values.get("validation/auroc", float("nan"))
            print(f"| {step * self.batch:7,} | {loss:.4f} | {dice} | {auroc:.3f} | {minutes:.1f} |", flush=True)
            self.losses.clear()


def learn_masks(store: Path, out: Path, grid_file: Path, changes: Mapping[str, Any]) -> dict[str, float]:
    """Train and score; returns the test split's Dice by structure, and their mean under ``(mean)``."""
    paper, labels_only = paper_learns.configs(store, {}, grid_file)
    here = RunConfig.model_validate(merge(merge(labels_only.model_dump(mode="json"), HERE), dict(changes)))
    print("| key | paper | here |\n|---|---|---|")
    for key, theirs, ours in paper_learns.differences(paper, here):
        print(f"| `{key}` | {theirs} | {ours} |")
    print("\n| rows seen | mask loss | lungs | liver | heart | all | validation AUROC | minutes |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    train_run(here, {paper_learns.COHORT: store}, out, MaskCurve(here.training.batch), device="cpu")
    table = pd.read_parquet(RunFiles(out).mask_metrics)
    dice = dict(zip(table["structure"].tolist(), table["dice"].tolist(), strict=True))
    return {**dice, "(mean)": float(table["dice"].to_numpy().mean())}


def main(arguments: list[str] | None = None) -> bool:
    """Train, print the curve and the result; returns whether every goal was reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=Path, default=paper_learns.PHANTOMS, help="phantoms in CT-RATE's layout")
    parser.add_argument("--store", type=Path, help="a store prepared before; default: made in --out")
    parser.add_argument("--grid", type=Path, default=Path("configs/paper_grid.yaml"), help="the paper's cells")
    parser.add_argument("--out", type=Path, default=Path("runs/paper_learns"))
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that the program works")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    store = given.store or paper_learns.store_of(given.phantoms, given.out / "store")
    dice = learn_masks(store, given.out / "seg", given.grid, QUICK if given.quick else {})
    print(f"\ntest, {len(dice) - 1} structures: mean Dice {dice['(mean)']:.3f}")
    for name, goal in GOALS.items():
        print(f"{name}: {dice[name]:.3f} (goal {goal}: {'reached' if dice[name] >= goal else 'not reached'})")
    return all(dice[name] >= goal for name, goal in GOALS.items())


if __name__ == "__main__":
    main()
