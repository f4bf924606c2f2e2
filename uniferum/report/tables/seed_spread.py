"""The spread over seeds, pooled over the cells of a column, and the intervals that it widens.

The interval of a mean over seeds is first that over the test cases, which more seeds do not narrow. The spread over
seeds adds to it as squares (Zou and Donner 2008), with Student's t of the pooled degrees of freedom. Two seeds of one
cell alone would give a t of 12.7; so a spread with fewer than five degrees of freedom stands beside the number, but is
not in its interval, and the table says so.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from uniferum.evaluation.delong import quantile
from uniferum.report.records import Score
from uniferum.report.tables.entries import Entry, Key

LEAST_FREEDOM = 5
"""Fewest degrees of freedom from which a spread over seeds is used: Student's t is then 2.6 at most."""
OF_FOLDS = "Student's, over the folds"
"""The method of an interval over nested folds, which contains their spread."""
WIDENED = "widened by the spread over {}"
CASES_ALONE = f"over test cases alone (the spread over {{}} has fewer than {LEAST_FREEDOM} degrees of freedom)"


@dataclass(frozen=True)
class SeedSpread:
    """Standard deviation over seeds, with its degrees of freedom; NaN with 0 if it is unknown."""

    value: float = math.nan
    freedom: int = 0
    said: str = "the spread over seeds is unknown"

    @property
    def known(self) -> bool:
        """Whether it is known well enough to be used."""
        return self.freedom >= LEAST_FREEDOM


UNKNOWN = SeedSpread()


def centre(score: Score | Entry) -> float:
    """What the interval of a score is around: of average precision the corrected value, else the value."""
    return score.corrected if math.isfinite(score.corrected) else score.value


def pooled(spreads: Iterable[tuple[float, int]], prior: SeedSpread | None = None) -> SeedSpread:
    """Pool standard deviations, each with its number of seeds, and a prior spread."""
    known = [(spread, seeds) for spread, seeds in spreads if math.isfinite(spread) and seeds > 1]
    freedom = sum(seeds - 1 for _, seeds in known)
    squares = sum((seeds - 1) * spread**2 for spread, seeds in known)
    said = [f"{len(known)} cells with several seeds"] if known else []
    if prior is not None and prior.freedom:
        freedom, squares, said = freedom + prior.freedom, squares + prior.freedom * prior.value**2, [*said, prior.said]
    return SeedSpread(math.sqrt(squares / freedom), freedom, " and ".join(said)) if freedom else UNKNOWN


def pooled_by_column(
    entries: Mapping[tuple[Key, Key], Entry],
    facts: Sequence[str],
    prior: Callable[[Key], SeedSpread | None] = lambda key: None,
    *,
    folds: bool = False,
) -> dict[Key, SeedSpread]:
    """The pooled spread over seeds of each cohort with its group or label.

    Args:
        entries: of a table, by row and column.
        facts: names of the facts of a row and a column.
        prior: another spread that is pooled with that of a column; None if there is none.
        folds: pool folds that are tested on the same cases too.

    A column with fewer than :data:`LEAST_FREEDOM` degrees of freedom takes the spread of the whole table.
    """
    of_column: dict[Key, list[tuple[float, int]]] = {}
    for key, entry in entries.items():
        several = math.isfinite(entry.lo) and (folds or not entry.folds_total) and entry.method != OF_FOLDS
        of_column.setdefault(_column(key, facts), []).extend([(entry.spread, _repeats(entry))] if several else [])
    whole = pooled(one for spreads in of_column.values() for one in spreads)
    made: dict[Key, SeedSpread] = {}
    for column, spreads in of_column.items():
        own = pooled(spreads, prior(column))
        made[column] = own if own.known else whole if whole.known else UNKNOWN
    return made


def with_seed_spread(entries: Mapping[tuple[Key, Key], Entry], facts: Sequence[str]) -> dict[tuple[Key, Key], Entry]:
    """Widen the intervals of means over seeds, or over folds on the same cases, by their pooled spread."""
    spreads = pooled_by_column(entries, facts, folds=True)
    return {key: widened(entry, spreads[_column(key, facts)]) for key, entry in entries.items()}


def widened(entry: Entry, spread: SeedSpread) -> Entry:
    """Widen the interval of a mean over seeds by the error of this mean, and name it in the method.

    With distances of the ends from the centre as ``below`` and ``above``, and m seeds::

        below' = sqrt(below^2 + (t s / sqrt(m))^2),  above' likewise, cut at 0 and 1

    An unknown spread leaves the interval as it is, which the method then says.
    """
    if not math.isfinite(entry.spread) or not math.isfinite(entry.lo) or entry.method == OF_FOLDS:
        return entry
    over = "folds" if entry.folds > 1 else "seeds"
    if not spread.known:
        return replace(entry, method=f"{entry.method}, {CASES_ALONE.format(over)}")
    middle, of_seeds = centre(entry), quantile(0.95, spread.freedom) * spread.value / math.sqrt(_repeats(entry))
    lo, hi = middle - math.hypot(middle - entry.lo, of_seeds), middle + math.hypot(entry.hi - middle, of_seeds)
    return replace(entry, lo=max(0.0, lo), hi=min(1.0, hi), method=f"{entry.method}, {WIDENED.format(over)}")


def _repeats(entry: Entry) -> int:
    """Number of values of which the spread is the standard deviation."""
    return entry.folds if entry.folds > 1 else entry.seeds


def _column(key: tuple[Key, Key], names: Sequence[str]) -> Key:
    facts = dict(zip(names, (*key[0], *key[1]), strict=True))
    return facts.get("cohort", ""), facts.get("label") or facts.get("group", "")
