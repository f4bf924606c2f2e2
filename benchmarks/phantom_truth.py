"""That what is learnt is what is there: the demo's CTRATE+SEG cell, trained longer, on true and on shuffled labels.

    python benchmarks/phantom_truth.py [--grid configs/demo_grid.yaml] [--steps 500] [--out runs/phantom_truth]

Both trainings run at once, one core each, on the stores of ``uniferum data demo configs/demo_data.yaml``. Shuffled:
each label's values are permuted, by a seed, over the scans of the training split and over those of the validation
split; the test split stays true. Wanted: mean AUROC on the phantom CT-RATE test split at least 0.80 with true labels,
and from 0.45 to 0.55 with shuffled ones. A table by label shows which findings were learnt. Writes ``truth.md`` and
``truth.json``; exit code 1 where a bound is missed. Finished trainings are not repeated.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from shutil import copyfile

import numpy as np
import pandas as pd

from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from uniferum.run.config import RunConfig
from uniferum.run.train import train_run

COHORT, MIX = "CTRATE", "CTRATE+SEG"
TRUE_AT_LEAST, SHUFFLED_WITHIN = 0.80, (0.45, 0.55)


def shuffled_store(store: Path, folder: Path, seed: int) -> Path:
    """A store beside another: the same scans (linked), labels permuted within training and within validation."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in store.iterdir():
        if path.is_file() and path.name != "labels.parquet":
            copyfile(path, folder / path.name)
    if not (folder / "scans").exists():
        (folder / "scans").symlink_to((store / "scans").resolve(), target_is_directory=True)
    labels = pd.read_parquet(store / "labels.parquet")
    split = pd.read_parquet(store / "manifest.parquet").set_index("scan_id")["split"]
    rng = np.random.default_rng(seed)
    for _, rows in labels.groupby(["label", labels["scan_id"].map(split)], sort=True).groups.items():
        if split[labels.loc[rows[0], "scan_id"]] != "test":
            labels.loc[rows, "value"] = rng.permutation(labels.loc[rows, "value"].to_numpy())
    labels.to_parquet(folder / "labels.parquet", index=False)
    return folder


def train(config: RunConfig, stores: Mapping[str, Path], folder: Path) -> float:
    """One training on one core; the seconds that it took."""
    import torch

    torch.set_num_threads(1)
    began = time.monotonic()
    train_run(config, stores, folder, device="cpu")
    return time.monotonic() - began


def by_label(folder: Path) -> dict[str, tuple[float, float, float, int]]:
    """AUROC with its interval, and the positives, of each label of the test split."""
    table = pd.read_parquet(folder / "metrics.parquet")
    table = table[(table["cohort"] == COHORT) & (table["group"] == "all")]
    return {
        str(row["label"]): (float(row["auroc"]), float(row["auroc_lo"]), float(row["auroc_hi"]), int(row["n_pos"]))
        for row in table.to_dict("records")
    }


def page(true: Mapping[str, tuple], shuffled: Mapping[str, tuple], means: Mapping[str, float], how: str) -> str:
    """The result as Markdown."""
    lines = [
        "# What was learnt on phantoms",
        "",
        how,
        "",
        f"Mean AUROC, true labels: **{means['true']:.3f}** (wanted: at least {TRUE_AT_LEAST:.2f}); shuffled labels: "
        f"**{means['shuffled']:.3f}** (wanted: {SHUFFLED_WITHIN[0]:.2f} to {SHUFFLED_WITHIN[1]:.2f}).",
        "",
        "| label | positives | AUROC (95 %) | on shuffled labels |",
        "|---|---|---|---|",
    ]
    for label, (value, low, high, positives) in sorted(true.items(), key=lambda pair: -pair[1][0]):
        lines.append(f"| {label} | {positives} | {value:.3f} ({low:.3f} to {high:.3f}) | {shuffled[label][0]:.3f} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train both, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=Path, default=Path("configs/demo_grid.yaml"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("runs/phantom_truth"))
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    grid = load_grid(chosen.grid)
    cell = next(cell for cell in expand(grid) if cell.mix == MIX and cell.model == "uniferum")
    training = cell.config.training.replace(steps=chosen.steps, validate_every=max(1, chosen.steps // 5))
    config = cell.config.replace(evaluate_on=(COHORT,), training=training.model_dump(), seed=chosen.seed)
    stores = {name: Path(path) for name, path in grid.stores.items()}
    changed = {**stores, COHORT: shuffled_store(stores[COHORT], chosen.out / "shuffled_store", chosen.seed)}
    folders = {"true": chosen.out / "true", "shuffled": chosen.out / "shuffled"}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = {
            name: pool.submit(train, config, {"true": stores, "shuffled": changed}[name], folder)
            for name, folder in folders.items()
        }
        seconds = {name: future.result() for name, future in futures.items()}
    labels = {name: by_label(folder) for name, folder in folders.items()}
    means = {name: float(np.mean([row[0] for row in rows.values()])) for name, rows in labels.items()}
    how = (
        f"Cell {cell.name}, {chosen.steps} steps, seed {chosen.seed}, one core each; "
        f"{seconds['true']:.0f} s (true labels) and {seconds['shuffled']:.0f} s (shuffled), at once."
    )
    text = page(labels["true"], labels["shuffled"], means, how)
    (chosen.out / "truth.md").write_text(text)
    record = {"how": how, "means": means, "labels": labels, "seconds": seconds}
    (chosen.out / "truth.json").write_text(json.dumps(record, indent=2))
    print(text)
    low, high = SHUFFLED_WITHIN
    return 0 if means["true"] >= TRUE_AT_LEAST and low <= means["shuffled"] <= high else 1


if __name__ == "__main__":
    sys.exit(main())
