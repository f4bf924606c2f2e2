"""How often the report's 95 % intervals hold the truth, and how often its tests at 5 % reject a true null.

    python benchmarks/coverage.py [--part labels] [--sets 2000] [--bootstrap-sets 500] [--json FILE]

Test sets are made with a fixed generator, so that the true area is known: scores are normal, positives shifted, and
where a patient has several volumes their scores are correlated and their labels agree. A row is one setting. It is
MISSED if the share of test sets whose interval holds the truth is not within 93 to 97 %, or if a test rejects in less
than 4 or more than 6 %. A set of at least 5 positives without an interval counts as not held. The Monte Carlo error is
printed: a row of 2,000 sets has one of 0.5 points. ``held by`` the older method stands beside it: DeLong's interval and
test with volumes as cases, and percentiles of patients drawn with replacement for average precision and for means.

Parts: labels, shapes, clusters, tests, precision, means. Analytic rows have ``--sets`` sets, rows that draw patients
``--bootstrap-sets``, with 500 resamples each. All parts at the default sizes take about two hours on one core.
"""

if __name__ == "coverage":  # a script in this folder imports numba, which looks for the package of this name
    raise ImportError("benchmarks/coverage.py is not the package coverage")

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numba
import numpy as np
from scipy.special import ndtr, ndtri

from uniferum.evaluation import bootstrap
from uniferum.evaluation.area_interval import FEWEST, area_scale, invert
from uniferum.evaluation.comparison import Cases, group_area, group_difference, label_difference
from uniferum.evaluation.delong import paired_delong, placements
from uniferum.evaluation.precision_interval import mean_interval, precision_interval

CT_RATE = (3002, 1304)
"""Volumes and patients of CT-RATE's validation set."""
RADCHEST = (360, 360)
RESAMPLES = 500
Z = float(ndtri(0.975))
Floats = np.ndarray


@dataclass(frozen=True)
class Setting:
    """One row: how its test sets are made."""

    volumes: int
    patients: int
    positives: int
    """Patients whose volumes are positive."""
    area: float
    within: float = 0.0
    """Correlation of the scores of one patient."""
    shape: str = "normal"

    @property
    def named(self) -> str:
        """The setting in words."""
        size = f"{self.volumes} volumes of {self.patients} patients" if self.volumes > self.patients else self.volumes
        within = f", within {self.within:g}" if self.within else ""
        shape = "" if self.shape == "normal" else f", {self.shape} scores"
        return f"{self.positives} positive of {size}, AUROC {self.area:g}{within}{shape}"

    @property
    def truth(self) -> float:
        """The true area."""
        if self.shape == "unequal":
            return float(ndtr(self.shift / math.sqrt(5)))
        return self.area

    @property
    def shift(self) -> float:
        """Distance of the positives' mean from that of the negatives."""
        return math.sqrt(2) * float(ndtri(self.area))

    def cases(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Targets (n,) and patients (n,) of one set."""
        sizes = np.ones(self.patients, int)
        more = self.volumes - self.patients
        sizes += rng.multinomial(more, rng.dirichlet(np.full(self.patients, 1.5))) if more else 0
        owner, positive = np.repeat(np.arange(self.patients), sizes), np.zeros(self.patients)
        positive[rng.permutation(self.patients)[: self.positives]] = 1
        return positive[owner], owner

    def noise(self, rng: np.random.Generator, owner: Floats) -> Floats:
        """Standard normal errors (n,), correlated within patients."""
        own = rng.normal(size=len(owner))
        if not self.within:
            return own
        return math.sqrt(self.within) * rng.normal(size=self.patients)[owner] + math.sqrt(1 - self.within) * own

    def scores(self, rng: np.random.Generator, target: Floats, owner: Floats) -> Floats:
        """Scores (n,) of one set."""
        if self.shape == "exponential":
            return rng.exponential(size=len(owner)) * np.where(target > 0, self.area / (1 - self.area), 1.0)
        noise = self.noise(rng, owner)
        return self.shift * target + noise * (np.where(target > 0, 2.0, 1.0) if self.shape == "unequal" else 1.0)


@dataclass(frozen=True)
class Row:
    """What one setting gave, in per cent of its sets."""

    part: str
    setting: str
    sets: int
    held: float
    error: float
    """Monte Carlo standard error."""
    older: float
    low: float = 93.0
    high: float = 97.0
    few: bool = False
    """Below 5 positives: no interval is given."""

    @property
    def word(self) -> str:
        """Whether the row lies in its range."""
        if self.few:
            return "too few"
        return "holds" if self.low <= self.held <= self.high else "MISSED"


def labels() -> Iterator[Setting]:
    """One volume a patient."""
    for positives in (3, 5, 10, 17, 40, 100, 300):
        for area in (0.55, 0.75, 0.85, 0.95):
            yield Setting(*RADCHEST, positives, area)


def shapes() -> Iterator[Setting]:
    """Scores that are not normal of one width."""
    for shape in ("exponential", "unequal"):
        for positives in (17, 100):
            yield Setting(*RADCHEST, positives, 0.85, shape=shape)


def clusters() -> Iterator[Setting]:
    """Several volumes a patient."""
    for within in (0.5, 0.95):
        for positives in (5, 10, 20, 60, 300):
            for area in (0.55, 0.75, 0.95):
                yield Setting(*CT_RATE, positives, area, within)


def area_row(part: str, setting: Setting, sets: int, rng: np.random.Generator) -> Row:
    """Coverage of the interval of one AUROC, and of DeLong's."""
    scales, plain = [], 0
    for _ in range(sets):
        target, owner = setting.cases(rng)
        score, positive = setting.scores(rng, target, owner), target > 0
        of_pos, of_neg = placements(target, score)
        one = area_scale(of_pos, of_neg, owner[positive], owner[~positive])
        scales.append(one)
        plain += abs(one.value - setting.truth) <= Z * one.se
    low, high = invert(scales)
    held = int(((low <= setting.truth) & (setting.truth <= high)).sum())
    return _row(part, setting.named, sets, held, plain, few=setting.positives < FEWEST)


def tests() -> Iterator[Setting]:
    """Two models with one true area, whose scores are correlated."""
    for positives in (5, 10, 17, 40, 100, 300):
        for area in (0.55, 0.75, 0.95):
            yield Setting(*RADCHEST, positives, area)
    for within in (0.5, 0.95):
        for positives in (5, 20, 60, 300):
            for area in (0.75, 0.95):
                yield Setting(*CT_RATE, positives, area, within)


def test_row(part: str, setting: Setting, sets: int, rng: np.random.Generator) -> Row:
    """How often the paired test of a label rejects, and DeLong's."""
    ours, plain = 0, 0
    for _ in range(sets):
        target, owner = setting.cases(rng)
        common = setting.noise(rng, owner)
        both = np.stack([(common + setting.noise(rng, owner)) / math.sqrt(2) + setting.shift * target for _ in "ab"])
        made = label_difference(Cases(target, both, owner), ((0,), (1,)))
        ours += made is not None and made.test.p <= 0.05
        plain += paired_delong(target, *both).p <= 0.05
    return _row(part, setting.named, sets, ours, plain, low=4.0, high=6.0)


def precision() -> Iterator[Setting]:
    """Average precision of one label."""
    for positives in (3, 5, 10, 17, 40, 100, 300):
        for area in (0.55, 0.75, 0.95):
            yield Setting(*RADCHEST, positives, area)
    for within in (0.5, 0.95):
        for positives in (10, 60, 300):
            yield Setting(*CT_RATE, positives, 0.75, within)


@cache
def true_precision(area: float, prevalence: float) -> float:
    """Average precision of two normal distributions of one width."""
    shift = math.sqrt(2) * float(ndtri(area))
    at = shift + ndtri((np.arange(4000) + 0.5) / 4000)
    found, called = prevalence * ndtr(shift - at), (1 - prevalence) * ndtr(-at)
    return float((found / (found + called)).mean())


def precision_row(part: str, setting: Setting, sets: int, rng: np.random.Generator) -> Row:
    """Coverage of the interval of average precision, and of percentiles."""
    ours, plain = 0, 0
    for at in range(sets):
        target, owner = setting.cases(rng)
        score = setting.scores(rng, target, owner)
        truth = true_precision(setting.area, round(float(target.mean()), 4))
        made = precision_interval(target, score, owner, seed=at)
        ours += made.low <= truth <= made.high
        weights = bootstrap.draw_stratified(_strata(target, owner), RESAMPLES, at)
        low, high = bootstrap.percentile_interval(replicates(target, score, owner, weights)[1])
        plain += low <= truth <= high
    return _row(part, setting.named, sets, ours, plain, few=setting.positives < FEWEST)


def replicates(target: Floats, score: Floats, owner: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """As :func:`uniferum.evaluation.bootstrap.replicate`, for scores without ties, in a twentieth of its time."""
    order = np.argsort(-score)
    return _replicates(target[order] > 0, owner[order], weights)


@numba.njit(cache=True)
def _replicates(positive: Floats, owner: Floats, weights: Floats) -> tuple[Floats, Floats]:
    draws = len(weights)
    areas, precisions = np.full(draws, np.nan), np.full(draws, np.nan)
    for at in range(draws):
        hits, misses, right, total = 0.0, 0.0, 0.0, 0.0
        for case in range(len(owner)):
            weight = float(weights[at, owner[case]])
            if positive[case]:
                hits += weight
                total += weight * hits / max(hits + misses, 1.0)
            else:
                misses += weight
                right += weight * hits
        if hits > 0 and misses > 0:
            areas[at], precisions[at] = right / (hits * misses), total / hits
    return areas, precisions


def _strata(target: Floats, owner: Floats) -> Floats:
    strata = np.zeros(int(owner.max()) + 1, np.int8)
    np.maximum.at(strata, owner, target.astype(np.int8))
    return strata


@dataclass(frozen=True)
class Means:
    """One row of means: labels of growing prevalence, whose scores share a part within a volume."""

    volumes: int
    patients: int
    count: int
    area: float
    """True area of the middle label; the others lie within 0.1 of it."""
    metric: str
    within: float = 0.0

    @property
    def named(self) -> str:
        """The setting in words."""
        size = f"{self.volumes} volumes of {self.patients} patients" if self.volumes > self.patients else self.volumes
        within = f", within {self.within:g}" if self.within else ""
        title = {"auroc": "AUROC", "aupr": "AUPR", "test": "difference of two means"}[self.metric]
        return f"{title}, mean of {self.count} labels, AUROC {self.area:g}, {size}{within}"

    def settings(self) -> list[Setting]:
        """The labels: 5 positive patients up to two fifths of all."""
        positives = np.geomspace(5, 0.4 * self.patients, self.count).round().astype(int)
        areas = self.area + np.linspace(-0.1, 0.1, self.count)[np.argsort(np.sin(np.arange(self.count)))]
        pairs = zip(positives.tolist(), areas.tolist(), strict=True)
        return [Setting(self.volumes, self.patients, m, round(area, 4), self.within) for m, area in pairs]


def means() -> Iterator[Means]:
    """The paper's groups: 7 and 32 labels of RAD-ChestCT, 18 of CT-RATE; zero-shot and trained."""
    for area in (0.6, 0.8):
        for metric in ("auroc", "aupr", "test"):
            yield Means(*RADCHEST, 7, area, metric)
            yield Means(*RADCHEST, 32, area, metric)
            for within in (0.5, 0.95):
                yield Means(*CT_RATE, 18, area, metric, within)


def mean_row(part: str, wanted: Means, sets: int, rng: np.random.Generator) -> Row:
    """Coverage of the interval of a mean, and of percentiles of jointly drawn patients."""
    settings, ours, plain = wanted.settings(), 0, 0
    for at in range(sets):
        cases = _mean_cases(settings, wanted, rng)
        if wanted.metric == "test":
            made = group_difference(cases, ("c", "g"))
            ours += made is not None and made.test.p <= 0.05
            continue
        if wanted.metric == "auroc":
            found, truth = group_area(cases, ("c", "g")), float(np.mean([one.area for one in settings]))
        else:
            own = [precision_interval(one.target, one.scores[0], one.patient, seed=at) for one in cases.values()]
            found = mean_interval(own, [np.arange(wanted.patients)] * len(own))
            truth = _true_mean(settings, list(cases.values()))
        ours += found is not None and found.low <= truth <= found.high
        weights = bootstrap.draw_patients(wanted.patients, RESAMPLES, at)
        which = ("auroc", "aupr").index(wanted.metric)
        drawn = [replicates(one.target, one.scores[0], one.patient, weights)[which] for one in cases.values()]
        low, high = bootstrap.percentile_interval(bootstrap.mean_over_labels(drawn))
        plain += low <= truth <= high
    if wanted.metric == "test":
        return _row(part, wanted.named, sets, ours, math.nan, low=4.0, high=6.0)
    return _row(part, wanted.named, sets, ours, plain)


def _mean_cases(settings: list[Setting], wanted: Means, rng: np.random.Generator) -> dict[tuple[str, str, str], Cases]:
    """The labels of one set: one set of volumes and patients, scores of two models that share errors over labels."""
    _, owner = settings[0].cases(rng)
    shared, cases = [settings[0].noise(rng, owner) for _ in "ab"], {}
    for at, one in enumerate(settings):
        positive = np.zeros(one.patients)
        positive[rng.permutation(one.patients)[: one.positives]] = 1
        target, common = positive[owner], one.noise(rng, owner)
        both = [
            one.shift * target
            + math.sqrt(0.3) * of_all
            + math.sqrt(0.35) * common
            + math.sqrt(0.35) * one.noise(rng, owner)
            for of_all in shared
        ]
        cases["c", "g", str(at)] = Cases(target, np.stack(both), owner)
    return cases


def _true_mean(settings: list[Setting], cases: list[Cases]) -> float:
    pairs = zip(settings, cases, strict=True)
    return float(np.mean([true_precision(one.area, round(float(c.target.mean()), 4)) for one, c in pairs]))


def _row(part: str, named: str, sets: int, ours: float, older: float, **facts: float) -> Row:
    share = ours / sets
    return Row(part, named, sets, 100 * share, 100 * math.sqrt(share * (1 - share) / sets), 100 * older / sets, **facts)


ANALYTIC = {"labels": (labels, area_row), "shapes": (shapes, area_row), "clusters": (clusters, area_row)}
ANALYTIC |= {"tests": (tests, test_row)}
DRAWN: dict[str, tuple[Callable, Callable]] = {"precision": (precision, precision_row), "means": (means, mean_row)}
PARTS: dict[str, tuple[Callable, Callable]] = {**ANALYTIC, **DRAWN}


def printed(row: Row) -> str:
    """One line of the Markdown table."""
    ours = "-" if row.few else f"{row.held:.1f} ± {row.error:.1f}"
    older = f"{row.older:.1f}" if math.isfinite(row.older) else "-"
    return f"| {row.part} | {row.setting} | {row.sets} | {ours} | {row.word} | {older} |"


def main() -> None:
    """Run the parts, and print one line a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="Only this part; may be given several times.")
    parser.add_argument("--sets", type=int, default=2000, help="Test sets of an analytic row.")
    parser.add_argument("--bootstrap-sets", type=int, default=500, help="Test sets of a row that draws patients.")
    parser.add_argument("--only", default="", help="Only rows whose setting contains this text.")
    parser.add_argument("--json", type=Path, help="Write the rows here too, one a line.")
    asked = parser.parse_args()
    print(
        "| part | setting | sets | held or rejected, % | | older method, % |\n|---|---|---:|---:|---|---:|", flush=True
    )
    for part in asked.part or PARTS:
        settings, measure = PARTS[part]
        for at, setting in enumerate(settings()):
            if asked.only in setting.named:
                before = time.process_time()
                sets = asked.sets if part in ANALYTIC else asked.bootstrap_sets
                row = measure(part, setting, sets, np.random.default_rng([20, sorted(PARTS).index(part), at]))
                print(printed(row), flush=True)
                if asked.json:
                    line = asdict(row) | {"word": row.word, "seconds": round(time.process_time() - before, 1)}
                    with asked.json.open("a") as file:
                        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
