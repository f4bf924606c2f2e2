"""That the fast ways cost no accuracy: the demo's CTRATE+SEG cell, each way, over several seeds.

    python benchmarks/same_accuracy.py [--grid configs/demo_grid.yaml] [--seeds 5] [--out FOLDER]

Ways: the training level with four tasks a volume; volumes resampled from the full level instead; and one task a volume
instead of four; all at equal optimizer steps (the demo itself has sixteen tasks a volume). Finished runs are not
repeated. The demo's stores must be there (``uniferum data demo configs/demo_data.yaml``), with both levels.
"""

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from uniferum.config import merge
from uniferum.run.config import RunConfig
from uniferum.run.train import train_run

WAYS: dict[str, Mapping[str, Any]] = {
    "training level, 4 tasks a volume": {"level": "train", "tasks_per_volume": 4},
    "full level, 4 tasks a volume": {"level": "full", "tasks_per_volume": 4},
    "training level, 1 task a volume": {"level": "train", "tasks_per_volume": 1},
}
COHORT, GROUP, MIX = "CTRATE", "all", "CTRATE+SEG"


def runs(grid_file: Path, seeds: int) -> tuple[dict[str, list[RunConfig]], dict[str, Path]]:
    """The configs of each way, one a seed, and the grid's stores."""
    grid = load_grid(grid_file)
    cell = next(cell for cell in expand(grid) if cell.mix == MIX and cell.model == "uniferum")
    base = cell.config.replace(evaluate_on=(COHORT,)).model_dump(mode="json")
    configs = {
        way: [
            RunConfig.model_validate(merge(base, {"name": f"{cell.name}-{seed}", "seed": seed, "data": dict(changes)}))
            for seed in range(seeds)
        ]
        for way, changes in WAYS.items()
    }
    return configs, dict(grid.stores)


def main() -> None:
    """Train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", type=Path, default=Path("configs/demo_grid.yaml"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/same_accuracy"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    configs, stores = runs(chosen.grid, chosen.seeds)
    figures: dict[str, dict[str, Any]] = {}
    for way, listed in configs.items():
        folders = [chosen.out / way.replace(", ", "-").replace(" ", "_") / str(config.seed) for config in listed]
        results = [train_run(config, stores, folder) for config, folder in zip(listed, folders, strict=True)]
        values = [result.value(COHORT, GROUP) for result in results]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        seconds = statistics.mean(float(result.record["seconds"]) for result in results)
        figures[way] = {"auroc": values, "mean": statistics.mean(values), "sd": spread, "seconds": seconds}
        print(f"{way:36} AUROC {figures[way]['mean']:.4f} +- {spread:.4f} (sd of {len(values)}), {seconds:.0f} s a run")
    (chosen.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
