"""The power of the verdicts: cells whose true means are the paper's 73 published AUROCs, on simulated test scores.

    python benchmarks/verdict_power.py [--sets 400] [--seeds 1 2 3] [--json FILE]

Every set draws new test cases of each column and new seeds of each cell. Column by column the table gives the
attainable margin, which is planned from counts before anything is drawn, and the shares of verdicts at this margin.
Floors: at least 80 % of all verdicts are ``reproduced`` at the attainable margins, at most 5 % ``differs``.

Assumed, because the paper does not print them: positives by label (below), the seeds' spread (that of the paper's pairs
of text encoders), labels of a patient that go together (correlation 0.2 on the scale of a threshold), scores of a
patient that go together over labels (0.3), and two volumes of a patient (labels 0.95, scores 0.7; CT-RATE's 3,002 of
1,304 patients).
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from uniferum.report.checks.attainable import TestCounts, planned_error, smallest_margin, typical_area
from uniferum.report.checks.uncertainty import Uncertainty, papers_spread
from uniferum.report.checks.verdict import decide
from uniferum.report.published import GROUPS, Published, published
from uniferum.report.tables.paper import COLUMNS
from uniferum.report.tables.seed_spread import SeedSpread, pooled
from uniferum.systems import trained_by_paper

Floats = NDArray[np.float64]
Owners = NDArray[np.int64]
"""The patient of each volume."""
WORDS = ("reproduced", "inconclusive", "differs")
TOGETHER = {"labels": 0.2, "scores": 0.3, "volumes' labels": 0.95, "volumes' scores": 0.7}
LABEL_SPREAD = 0.08
"""Standard deviation of the true AUROCs of a group's labels around their mean."""


def _between(least: int, most: int, count: int) -> tuple[int, ...]:
    """Counts at equal ratios."""
    return tuple(round(one) for one in np.geomspace(least, most, count))


@dataclass(frozen=True)
class Column:
    """The test cases of one column."""

    cohort: str
    group: str
    volumes: int
    patients: int
    positives: tuple[int, ...]

    @property
    def counts(self) -> TestCounts:
        """What the plan knows of it."""
        pairs = tuple((one, self.volumes - one) for one in self.positives)
        return TestCounts(self.cohort, self.group, self.volumes, self.patients, pairs)


TEST_CASES = {
    ("CTRATE", "all"): Column("CTRATE", "all", 3002, 1304, _between(220, 1350, 18)),
    ("INSPECT", "shared"): Column("INSPECT", "shared", 500, 500, _between(150, 350, 12)),
    ("INSPECT", "unique"): Column("INSPECT", "unique", 3000, 3000, (150, 330, 380, 600, 200, 300, 400, 300)),
    ("RADCHEST", "shared"): Column("RADCHEST", "shared", 360, 360, _between(25, 180, 7)),
    ("RADCHEST", "unique"): Column("RADCHEST", "unique", 360, 360, (10, 16, 17, *_between(8, 150, 29))),
}
"""INSPECT's mortality: positives at which Hanley and McNeil give the intervals that the paper prints."""


def simulated(column: Column, mean: float, spread: float, seeds: int, generator: np.random.Generator) -> list[Floats]:
    """Draw test cases and scores of a cell whose true mean AUROC is ``mean``.

    Returns:
        The value of each seed, the standard error over cases of each, and the correlation of two labels' errors.
    """
    labels, owner = len(column.positives), np.arange(column.volumes) % column.patients
    latent = _together(column, TOGETHER["labels"], TOGETHER["volumes' labels"], owner, generator)
    order = np.argsort(-latent, axis=0)
    target = np.zeros((column.volumes, labels), dtype=bool)
    for at, count in enumerate(column.positives):
        target[order[:count, at], at] = True
    own = generator.normal(size=labels) * LABEL_SPREAD
    areas = mean + own - own.mean()
    noise = _together(column, TOGETHER["scores"], TOGETHER["volumes' scores"], owner, generator)
    values, errors, mixed = [], [], []
    for _ in range(seeds):
        shifted = np.clip(areas + generator.normal() * spread, 0.02, 0.99)
        fresh = noise if seeds == 1 else math.sqrt(0.9) * noise + math.sqrt(0.1) * generator.normal(size=noise.shape)
        value, error, own_error = _mean_area(target, fresh + target * math.sqrt(2) * norm.ppf(shifted), owner)
        values.append(value)
        errors.append(error)
        mixed.append(own_error)
    return [np.array(values), np.array(errors), np.array(mixed)]


def _together(column: Column, labels: float, volumes: float, owner: Owners, generator: np.random.Generator) -> Floats:
    """Normal variables (volumes, labels), correlated over the labels of a volume and the volumes of a patient."""
    shape = len(column.positives)

    def one(count: int) -> Floats:
        common, own = generator.normal(size=(count, 1)), generator.normal(size=(count, shape))
        return math.sqrt(labels) * common + math.sqrt(1 - labels) * own

    if column.patients == column.volumes:
        return one(column.volumes)
    return math.sqrt(volumes) * one(column.patients)[owner] + math.sqrt(1 - volumes) * one(column.volumes)


def _mean_area(target: NDArray[np.bool_], scores: Floats, owner: Owners) -> tuple[float, float, float]:
    """Mean area over labels, its standard error by patient, and that if the labels' errors were independent."""
    n = len(target)
    positives = target.sum(axis=0)
    negatives = n - positives
    whole = rankdata(scores, axis=0)
    placed = np.empty_like(scores)
    for at in range(scores.shape[1]):
        mine = target[:, at]
        placed[mine, at] = (whole[mine, at] - rankdata(scores[mine, at])) / negatives[at]
        placed[~mine, at] = 1 - (whole[~mine, at] - rankdata(scores[~mine, at])) / positives[at]
    areas = np.where(target, placed, 0).sum(axis=0) / positives
    weights = np.where(target, np.sqrt(positives * (positives - 1.0)), np.sqrt(negatives * (negatives - 1.0)))
    influence = (placed - areas) / weights
    by_patient = np.stack([np.bincount(owner, weights=one) for one in influence.T])
    labels = len(areas)
    together = float((by_patient.sum(axis=0) ** 2).sum()) / labels**2
    return float(areas.mean()), math.sqrt(together), math.sqrt(float((by_patient**2).sum())) / labels


def published_means() -> list[Published]:
    """The 73 AUROCs of systems that the paper's authors trained."""
    return [p for p in published() if p.metric == "auroc" and p.group in GROUPS and trained_by_paper(p.row[0])]


def shares(column: tuple[str, str], means: Sequence[float], sets: int, seeds: int, rng: int) -> dict[str, float]:
    """Simulate the cells of a column; seeds are pooled over the cells of one set, as in a report."""
    cases, prior = TEST_CASES[column], papers_spread("auroc", *column)
    plan = planned_error(cases.counts, typical_area(*column) or 0.5, prior, seeds)
    assert plan is not None, "every label has both classes"
    margin, generator = smallest_margin(plan), np.random.default_rng(rng)
    errors, ratios = [], []
    words: dict[str, int] = dict.fromkeys(WORDS, 0)
    fixed: dict[str, int] = dict.fromkeys(WORDS, 0)
    for _ in range(sets):
        drawn = [simulated(cases, mean, prior.value, seeds, generator) for mean in means]
        spreads = [(float(values.std(ddof=1)), seeds) for values, _, _ in drawn] if seeds > 1 else []
        spread: SeedSpread = pooled(spreads, prior)
        for mean, (values, of_cases, independent) in zip(means, drawn, strict=True):
            error = Uncertainty(float(of_cases.mean()), float(of_cases.mean()), spread, seeds)
            words[_word(float(values.mean()) - mean, error, margin)] += 1
            fixed[_word(float(values.mean()) - mean, error, 0.02)] += 1
            errors.append(float(of_cases.mean()))
            ratios.append(float((of_cases**2 / independent**2).mean()))
    labels = len(cases.positives)
    correlation = (np.mean(ratios) - 1) / (labels - 1)
    counts = {f"{word} at 0.02": fixed[word] / len(errors) for word in WORDS}
    facts = {"margin": margin, "planned": plan.below, "error": float(np.mean(errors)), "correlation": correlation}
    return {"verdicts": len(errors), **facts, **{word: words[word] / len(errors) for word in WORDS}, **counts}


def _word(difference: float, error: Uncertainty, margin: float) -> str:
    found = decide(difference, error, margin)
    return "inconclusive" if found is None else found[0]


def simulate(sets: int, seeds: int) -> dict[str, dict[str, float]]:
    """Simulate every column, and add the shares of all verdicts."""
    made = {}
    for at, column in enumerate(COLUMNS):
        means = [one.value for one in published_means() if (one.cohort, one.group) == column]
        made[" ".join(column)] = shares(column, means, sets, seeds, 1000 * seeds + at)
    total = sum(one["verdicts"] for one in made.values())
    names = [*WORDS, *(f"{word} at 0.02" for word in WORDS)]
    whole = {name: sum(one[name] * one["verdicts"] for one in made.values()) / total for name in names}
    return {**made, "all": {"verdicts": total, **whole}}


def main() -> None:
    """Print the table, and fail below the floors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {seeds: simulate(given.sets, seeds) for seeds in given.seeds}
    print(f"{given.sets} sets; Monte Carlo error of a share of 80 %: at most {_monte_carlo(given.sets):.1%} a column\n")
    print("| seeds | column | margin | error, planned | error, simulated | reproduced | inconclusive | differs |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for seeds, columns in found.items():
        for name, one in columns.items():
            words = [f"{one[word]:.1%}" for word in WORDS]
            facts = [f"±{one['margin']:.3f}", f"{one['planned']:.4f}", f"{one['error']:.4f}"] if "margin" in one else []
            print("| " + " | ".join([str(seeds), name, *(facts or ["-"] * 3), *words]) + " |")
        at = columns["all"]
        print(
            f"| {seeds} | all, at ±0.02 | - | - | - | " + " | ".join(f"{at[w + ' at 0.02']:.1%}" for w in WORDS) + " |"
        )
    correlations = {name: f"{one['correlation']:.3f}" for name, one in found[given.seeds[0]].items() if name != "all"}
    print(f"\nCorrelation between two labels' errors: {correlations}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))
    missed = [s for s, one in found.items() if one["all"]["reproduced"] < 0.8 or one["all"]["differs"] > 0.05]
    raise SystemExit(f"below the floors: {missed} seeds" if missed else 0)


def _monte_carlo(sets: int) -> float:
    """Standard error of a column's share of 80 %: its cells of one set are drawn apart."""
    fewest = min(sum((p.cohort, p.group) == column for p in published_means()) for column in COLUMNS)
    return math.sqrt(0.8 * 0.2 / (sets * fewest))


if __name__ == "__main__":
    main()
