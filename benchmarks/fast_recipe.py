"""Whether the fast recipe costs accuracy: the same run ungrouped and grouped, paired by seed.

    python benchmarks/fast_recipe.py RUN.yaml --stores CTRATE=FOLDER [--seeds 5] [--tasks 4] [--volumes V]
        [--labels L1,L2,...] [--only S] [--out OUT]

RUN.yaml is the setting; its batch, micro-batch, steps and learning rate are those of the paper's recipe (one row a
volume). The fast recipe has ``--tasks`` rows a volume, and ``--volumes`` volumes a step in micro-batches of as many
volumes as the paper's have rows (``--volumes`` is by default 3/8 of the batch, as configs/paper_fast_grid.yaml has it,
in whole micro-batches and at least one: the whole batch where a micro-batch is one).
It is trained twice: for as many encoded volumes as the paper's recipe, and for as many rows; warm-up and the distance
of validations are scaled with the steps. The number format is the run's own for both, so that grouping alone is judged.
Where the paper's recipe itself does not come to a mean AUROC of 0.7, nothing is judged.

Each seed gives a difference of the test AUROC, fast less paper. The fast recipe is non-inferior where the lower end of
the two-sided 95 % interval of the mean difference (Student's t over the seeds) lies above -0.01, a margin fixed before
any of these runs; inferior where the upper end lies below it; else the seeds do not decide. Finished runs are not
repeated: ``--only S`` trains seed S alone and prints no table, for several processes at once. ``--labels`` keeps these
labels of each store (in a copy under OUT), since fewer prompts are learned in fewer rows. Prints a table, and writes it
with all values to ``fast_recipe.md`` and ``fast_recipe.json``.
"""

import argparse
import json
import math
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy import stats

from uniferum.config import load, merge
from uniferum.run.build import open_workbench
from uniferum.run.config import RunConfig
from uniferum.run.result import RunResult
from uniferum.run.train import train_run
from uniferum.training.precision import choose_compute

MARGIN, CONFIDENCE = 0.01, 0.95
LEARNT = 0.7
"""Mean AUROC below which the paper's recipe counts as not having learned: then two recipes are equal in vain."""
FAST_SHARE = 24 / 64
"""Volumes a step of configs/paper_fast_grid.yaml, of the paper's 64."""
PAPER, EQUAL_VOLUMES, EQUAL_ROWS = "paper", "fast, equal volumes", "fast, equal rows"


@dataclass(frozen=True)
class Paired:
    """Differences of two ways over the same seeds, and what they say."""

    differences: tuple[float, ...]
    mean: float
    sd: float
    lo: float
    hi: float
    margin: float

    @property
    def verdict(self) -> str:
        """Against the margin, by the interval alone."""
        if self.lo > -self.margin:
            return f"non-inferior within {self.margin:g}"
        return f"inferior by more than {self.margin:g}" if self.hi < -self.margin else "not decided by these seeds"


def paired(ours: Sequence[float], theirs: Sequence[float], *, margin: float = MARGIN) -> Paired:
    """The mean of ``ours`` less ``theirs``, seed by seed, with its interval.

    Raises:
        ValueError: other than two or more pairs of finite values.
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(f"pairs of two or more seeds are needed, not {len(ours)} and {len(theirs)} values")
    if not all(math.isfinite(value) for value in (*ours, *theirs)):
        raise ValueError("every seed must have a score: some are undefined")
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean, sd = statistics.mean(differences), statistics.stdev(differences)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)) * sd / math.sqrt(len(differences))
    return Paired(tuple(differences), mean, sd, mean - half, mean + half, margin)


@dataclass(frozen=True)
class Way:
    """One recipe's training: its keys, and what it costs."""

    name: str
    keys: Mapping[str, Any]
    steps: int
    volumes: int
    rows: int


def rows_a_volume(rows_of_volumes: Sequence[int], tasks: int) -> float:
    """Mean rows of an encoded volume, where at most ``tasks`` rows share one."""
    return sum(rows_of_volumes) / sum(-(-rows // tasks) for rows in rows_of_volumes)


def ways_of(config: RunConfig, mean_rows: float, tasks: int, volumes: int | None) -> list[Way]:
    """The paper's recipe, and the fast one at as many encoded volumes and at as many rows."""
    training, micro = config.training, config.training.micro
    share = volumes or max(1, round(training.batch * FAST_SHARE / micro)) * micro
    encoded = training.steps * training.batch
    by_rows = {"data": {"tasks_per_volume": 1}, "training": {"micro_batch": micro, "micro_batch_volumes": None}}
    found = [Way(PAPER, by_rows, training.steps, encoded, encoded)]
    for name, steps in ((EQUAL_VOLUMES, encoded / share), (EQUAL_ROWS, encoded / (share * mean_rows))):
        count = max(1, round(steps))
        keys = {
            "data": {"tasks_per_volume": tasks},
            "training": {
                "batch": share,
                "micro_batch": None,
                "micro_batch_volumes": micro,
                "steps": count,
                "validate_every": max(1, round(training.validate_every * count / training.steps)),
            },
            "optim": {"warmup_steps": round(config.optim.warmup_steps * count / training.steps)},
        }
        found.append(Way(name, keys, count, count * share, round(count * share * mean_rows)))
    return found


def seeded(config: RunConfig, way: Way, seed: int) -> RunConfig:
    """A way's run of one seed."""
    return RunConfig.model_validate(merge(config.model_dump(mode="json"), merge(way.keys, {"seed": seed})))


def narrowed(store: Path, labels: Sequence[str], folder: Path) -> Path:
    """A copy of a store that knows these labels alone.

    Raises:
        ValueError: the store does not have one of them, or ``folder`` is a copy of other data or with other labels.
    """
    known = pd.read_parquet(store / "labels.parquet")
    absent = sorted(set(labels) - set(known["label"]))
    if absent:
        raise ValueError(f"{store} has no label {', '.join(absent)}; it has {', '.join(sorted(set(known['label'])))}")
    if not folder.exists():
        shutil.copytree(store, folder.with_name(f"{folder.name}.part"), dirs_exist_ok=True)
        kept = known[known["label"].isin(labels)]
        kept.to_parquet(folder.with_name(f"{folder.name}.part") / "labels.parquet", index=False)
        folder.with_name(f"{folder.name}.part").rename(folder)
    copied = set(pd.read_parquet(folder / "labels.parquet")["label"])
    if copied != set(labels) or (folder / "store.json").read_bytes() != (store / "store.json").read_bytes():
        raise ValueError(f"{folder} is not a copy of {store} with {', '.join(labels)}; choose another --out")
    return folder


def table(ways: Sequence[Way], scores: Mapping[str, Sequence[float]], seconds: Mapping[str, float]) -> str:
    """The ways, their cost and their differences, as Markdown."""
    lines = [
        "| recipe | steps | encoded volumes | rows | seconds a run | AUROC (sd) | less the paper's, 95 % interval | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for way in ways:
        values = scores[way.name]
        held = f"{statistics.mean(values):.4f} ({statistics.stdev(values):.4f})"
        against, verdict = "", ""
        if way.name != PAPER:
            found = paired(values, scores[PAPER])
            against, verdict = f"{found.mean:+.4f} ({found.lo:+.4f} to {found.hi:+.4f})", judged(found, scores[PAPER])
        cost = f"{way.steps:,} | {way.volumes:,} | {way.rows:,} | {seconds[way.name]:.0f}"
        lines.append(f"| {way.name} | {cost} | {held} | {against} | {verdict} |")
    return "\n".join(lines)


def judged(found: Paired, reference: Sequence[float]) -> str:
    """The verdict, but where the recipe that is compared with has learned nothing."""
    reached = statistics.mean(reference)
    return found.verdict if reached >= LEARNT else f"not judged: the paper's recipe reached only {reached:.2f} here"


def value_of(result: RunResult, cohort: str, group: str) -> float:
    """The mean AUROC of a group.

    Raises:
        ValueError: it was not evaluated, or is undefined.
    """
    value = result.value(cohort, group)
    if math.isnan(value):
        raise ValueError(f"{result.folder} has no AUROC of {cohort} {group}")
    return value


def main() -> None:
    """Train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--stores", required=True, help="CTRATE=FOLDER,...")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=4, help="rows that share one encoding in the fast recipe")
    parser.add_argument("--volumes", type=int, help="volumes a step of the fast recipe")
    parser.add_argument("--labels", help="train and test on these labels alone, separated by commas")
    parser.add_argument("--only", type=int, help="train this seed and stop")
    parser.add_argument("--group", default="all")
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, default=Path("runs/fast_recipe"))
    chosen = parser.parse_args()
    if chosen.seeds < 2:
        parser.error("--seeds must be 2 or more: an interval needs several")
    torch.set_num_threads(1)
    config = load(RunConfig, chosen.config)
    stores = {name: Path(folder) for name, folder in (part.split("=", 1) for part in chosen.stores.split(","))}
    if chosen.labels:
        labels = chosen.labels.split(",")
        stores = {name: narrowed(store, labels, chosen.out / f"store-{name}") for name, store in stores.items()}
    cohort = (config.evaluate_on or config.training_cohorts)[0]
    config = config.replace(evaluate_on=(cohort,))
    rows = open_workbench(config, stores, choose_compute("fp32", "cpu")).training_table()
    mean_rows = rows_a_volume(rows.groupby(["volume_id", "copy"]).size().tolist(), chosen.tasks)
    ways = ways_of(config, mean_rows, chosen.tasks, chosen.volumes)
    print(f"{mean_rows:.2f} rows an encoded volume; margin {MARGIN:g}; {chosen.seeds} seeds; {cohort} {chosen.group}")
    scores: dict[str, list[float]] = {way.name: [] for way in ways}
    spent: dict[str, list[float]] = {way.name: [] for way in ways}
    for seed in range(chosen.seeds) if chosen.only is None else (chosen.only,):
        for way in ways:
            folder = chosen.out / way.name.replace(", ", "-").replace(" ", "_") / str(seed)
            result = train_run(seeded(config, way, seed), stores, folder, device=chosen.device)
            scores[way.name].append(value_of(result, cohort, chosen.group))
            spent[way.name].append(float(result.record["seconds"]))
            print(f"seed {seed}, {way.name}: {scores[way.name][-1]:.4f}", flush=True)
    if chosen.only is not None:
        return
    shown = table(ways, scores, {name: statistics.mean(seconds) for name, seconds in spent.items()})
    print(shown)
    found = {name: paired(values, scores[PAPER]) for name, values in scores.items() if name != PAPER}
    told = {name: {**asdict(pair), "verdict": judged(pair, scores[PAPER])} for name, pair in found.items()}
    made = {"scores": scores, "seconds": spent, "paired": told, "ways": [asdict(way) for way in ways]}
    (chosen.out / "fast_recipe.md").write_text(shown + "\n", encoding="utf-8")
    (chosen.out / "fast_recipe.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
