"""What Optuna's proposals and ASHA's stops save: the demo's search against a random search, over several seeds.

    python benchmarks/search.py [--search configs/searches/demo.yaml] [--seeds 5] [--trials 9] [--random-trials 10]

For each seed two searches of the same space: TPE with ASHA, and random draws that are all trained to the end. Wanted:
over the seeds, the mean best validation AUROC of the first within 0.01 of the second's (or above it), with at most half
its training steps in all. Steps are counted in the trials' own step logs, those of stopped and failed trials too.
The demo's stores must be there (``uniferum data demo configs/demo_data.yaml``). Killed and called again it goes on:
finished trials are not repeated, and a search that is whole only has its line printed. Exit code 1 where a bound is
missed.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from orchestration.cluster import connect
from orchestration.search.config import Search, load_search
from orchestration.search.run import SearchResult, run_search

WITHIN, AT_MOST = 0.01, 0.5


def searches(search: Search, seed: int, changes: dict[str, dict[str, Any]], out: Path) -> dict[str, Search]:
    """The same search by each way."""
    return {
        way: Search(
            search.config.replace(name=f"{way}-{seed}", sampler=way, seed=seed, root=out / f"{way}-{seed}", **keys),
            search.grid,
            search.cell,
        )
        for way, keys in changes.items()
    }


def main() -> None:
    """Search what is missing, print a line a seed and the two sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--search", type=Path, default=Path("configs/searches/demo.yaml"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=9, help="of TPE with ASHA")
    parser.add_argument("--random-trials", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("runs/search"))
    given = parser.parse_args()
    search = load_search(given.search)
    joined = connect.connect(None, search.grid.resources)
    found: dict[str, list[SearchResult]] = {}
    changes = {"random": {"trials": given.random_trials, "asha": None}, "tpe": {"trials": given.trials}}
    try:
        for way in changes:
            for seed in range(given.seeds):
                one = searches(search, seed, changes, given.out)[way]
                ended = run_search(one, lambda line: print("  ", line, flush=True), mlflow=False)
                found.setdefault(way, []).append(ended)
                print(f"seed {seed}: {way} {ended.best:.4f} in {ended.steps} steps", flush=True)
    finally:
        connect.leave(joined)
    sys.exit(0 if judge(found, given.out) else 1)


def judge(found: dict[str, list[SearchResult]], out: Path) -> bool:
    """Print gap and share of steps, by seed and over all, write them, and say whether both bounds hold."""
    for seed, (tpe, random) in enumerate(zip(found["tpe"], found["random"], strict=True)):
        print(f"seed {seed}: {tpe.best - random.best:+.4f} with {tpe.steps / random.steps:.2f} of the steps")
    best = {way: statistics.mean(one.best for one in of) for way, of in found.items()}
    steps = {way: sum(one.steps for one in of) for way, of in found.items()}
    gap, share = best["tpe"] - best["random"], steps["tpe"] / steps["random"]
    print(f"mean best: TPE with ASHA {best['tpe']:.4f}, random {best['random']:.4f}: {gap:+.4f} (wanted: >= -{WITHIN})")
    print(f"steps: {steps['tpe']} of {steps['random']}: {share:.2f} (wanted: <= {AT_MOST})")
    figures = {
        way: [{"best": one.best, "steps": one.steps, "failed": one.failed, "params": one.params} for one in of]
        for way, of in found.items()
    }
    written = {"gap": gap, "share": share, "seeds": len(found["tpe"]), **figures}
    (out / "figures.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return gap >= -WITHIN and share <= AT_MOST


if __name__ == "__main__":
    main()
