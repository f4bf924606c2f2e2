"""That the paper's model learns: plain fusion, heads and losses (preset ``paper``) on phantoms, at a CPU's size.

    python benchmarks/paper_learns.py [--store STORE] [--phantoms FOLDER] [--out FOLDER] [--set KEY=VALUE] [--quick]

Trains with the product's own trainer on phantoms in CT-RATE's layout. Every key that differs from the paper's cell of
``configs/paper_grid.yaml`` is printed beside the paper's value; a difference in fusion, heads or losses ends the
program. Printed while it trains: validation AUROC against rows seen, and how far the answers about one volume differ
between prompts (0: the prompt is ignored). At the end: the mean AUROC over the 18 labels of the test split. ``--set``
changes a key, for a control. ``--quick`` trains a few steps of a smaller model, to see that the program works. The
schedule was fixed before the run whose figures stand in ``docs/explanation/model.md``.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.prepare import prepare_cohort
from uniferum.config import merge, override
from uniferum.data.cohorts.base import open_cohort
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.evaluation.spread import prompt_spread
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig
from uniferum.run.config import RunConfig
from uniferum.run.train import PROMPT_SPREAD, train_run
from uniferum.run_files import RunFiles
from uniferum.training.loop import SELECTION
from uniferum.training.reporter import Reporter

COHORT, GOAL = "CTRATE", 0.85
COHORT_FILE, PHANTOMS = Path("configs/cohorts/demo_ct_rate.yaml"), Path("demo/phantoms/ct_rate")
GEOMETRY = {"spacing_mm": [4.0, 4.0, 4.0], "model_shape": [48, 32, 32]}
HERE: dict[str, Any] = {
    "name": "paper-learns",
    "evaluate_on": [COHORT],
    "model": {
        "encoder": {"name": "tf_efficientnet_lite0", "weights": "offline", "stride": 16},
        "text": {"name": "tiny", "layers": 4, "hidden": 128},
    },
    "data": {"tasks_per_volume": 16},
    "augmentation": {"rotation_deg": 5, "zoom": 0.05},
    "training": {
        "steps": 1700,
        "validate_every": 100,
        "batch": 128,
        "micro_batch": 128,
        "precision": "fp32",
        "checkpoint_every": 250,
    },
    "optim": {"lr": 8.0e-4, "encoder_lr": 2.0e-4, "warmup_steps": 100, "clip_norm": 1.0},
}
QUICK: dict[str, Any] = {
    "model": {"encoder": {"weights": "none"}, "text": {"layers": 1, "hidden": 16}},
    "training": {"steps": 4, "validate_every": 2, "batch": 8, "micro_batch": 8, "checkpoint_every": 4},
}
KEPT = (
    "model.kind",
    "model.preset",
    "model.patch",
    "model.fusion.",
    "model.head.",
    "optim.focal_",
    "optim.segmentation_weight",
)
"""What must be the paper's: the system, its fusion, heads and losses."""
BESIDE = ("name", "evaluate_on", "training.checkpoint_every", "training.validate_every")
"""What no weight depends on, but for the choice of the best checkpoint."""


def configs(store: Path, changes: Mapping[str, Any], grid_file: Path) -> tuple[RunConfig, RunConfig]:
    """The paper's cell, and the run at this size on the store's own grid."""
    paper = next(cell for cell in expand(load_grid(grid_file)) if cell.mix == COHORT and cell.model == "uniferum")
    geometry = PreparedCohort.open(store).geometry.model_dump(mode="json")
    raw = merge(merge(paper.config.model_dump(mode="json"), {**HERE, "geometry": geometry}), dict(changes))
    return paper.config, RunConfig.model_validate(raw)


def differences(paper: RunConfig, here: RunConfig) -> list[tuple[str, Any, Any]]:
    """Keys that differ, with the paper's value and ours.

    Raises:
        ValueError: fusion, heads or losses differ.
    """
    theirs, ours = (dict(_flat(config.model_dump(mode="json"))) for config in (paper, here))
    found = [(key, theirs.get(key), ours[key]) for key in ours if theirs.get(key) != ours[key] and key not in BESIDE]
    changed = [key for key, _, _ in found if key.startswith(KEPT)]
    if changed:
        raise ValueError(f"{', '.join(changed)}: must be the paper's")
    return found


def _flat(section: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


class Curve(Reporter):
    """Prints each validation against the rows seen."""

    def __init__(self, batch: int) -> None:
        self.batch, self.losses, self.started = batch, list[float](), time.perf_counter()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the losses of steps, print at validations."""
        if "loss" in values:
            self.losses.append(values["loss"])
        if SELECTION in values:
            loss = sum(self.losses) / max(1, len(self.losses))
            spread, minutes = values.get(PROMPT_SPREAD, float("nan")), (time.perf_counter() - self.started) / 60
            print(
                f"| {step * self.batch:7,} | {loss:.4f} | {values[SELECTION]:.3f} | {spread:.3f} | {minutes:.1f} |",
                flush=True,
            )
            self.losses.clear()


def store_of(phantoms: Path, folder: Path) -> Path:
    """Prepare the phantoms at this size; a store that is there is gone on with."""
    cohort = open_cohort(COHORT_FILE, (), root=phantoms)
    config = PreparationConfig(geometry=Geometry.model_validate(GEOMETRY), levels=("train",))
    prepare_cohort(cohort, str(folder), config, workers=1, use_ray=False)
    return folder


def main(arguments: list[str] | None = None) -> float:
    """Train, print the curve and the result; returns the test AUROC."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=Path, default=PHANTOMS, help="phantoms in CT-RATE's layout")
    parser.add_argument("--store", type=Path, help="a store prepared before; default: made in --out")
    parser.add_argument("--grid", type=Path, default=Path("configs/paper_grid.yaml"), help="the paper's cells")
    parser.add_argument("--out", type=Path, default=Path("runs/paper_learns"))
    parser.add_argument("--set", action="append", default=[], dest="settings", help="key=value, for a control")
    parser.add_argument("--quick", action="store_true", help="a few steps of a smaller model")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    store = given.store or store_of(given.phantoms, given.out / "store")
    paper, here = configs(store, override(QUICK if given.quick else {}, given.settings), given.grid)
    print("| key | paper | here |\n|---|---|---|")
    for key, theirs, ours in differences(paper, here):
        print(f"| `{key}` | {theirs} | {ours} |")
    print(
        "\n| rows seen | training loss | validation AUROC | prompt spread | minutes |\n|---|---|---|---|---|",
        flush=True,
    )
    result = train_run(here, {COHORT: store}, given.out / "run", Curve(here.training.batch), device="cpu")
    auroc = result.value(COHORT, "all")
    spread = prompt_spread(pd.read_parquet(RunFiles(given.out / "run").predictions))
    rows = here.training.steps * here.training.batch
    word = "reached" if auroc >= GOAL else "not reached"
    print(
        f"\ntest, mean over labels, after {rows:,} rows: AUROC {auroc:.4f} (goal {GOAL}: {word}); spread {spread:.3f}"
    )
    return auroc


if __name__ == "__main__":
    main()
