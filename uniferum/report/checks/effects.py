"""The effect of an axis or a config key: the metric of each value, and its difference to a base value.

Cells are compared if they differ in this value, the seed and the fold alone. AUROCs are averaged over the seeds and
folds that both values have, each paired with its own, and tested on the same cases as two cells are
(:mod:`uniferum.report.checks.compare`): the components of DeLong's variance are averaged over the pairs too. The error
over seeds is added: the spread of the pairs' differences, pooled over the differences of a column. Nested folds have
other test cases each: the test is Student's, over the differences of the folds.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import NamedTuple

import pandas as pd

from uniferum.errors import UniferumError
from uniferum.evaluation.comparison import Difference, align, group_difference, label_difference
from uniferum.evaluation.delong import PairedTest
from uniferum.evaluation.multiple_testing import benjamini_hochberg, holm
from uniferum.report.axes import Setting, Varied
from uniferum.report.checks.compare import NEEDED
from uniferum.report.checks.readings import Tested, combined
from uniferum.report.records import CellRecord, Score
from uniferum.report.tables.entries import Entry
from uniferum.report.tables.paper import averaged, column_order
from uniferum.report.tables.pivot import Layout, measured
from uniferum.report.tables.seed_spread import UNKNOWN, SeedSpread, pooled

SHORT = {"auroc": "AUROC", "aupr": "AUPR"}
TESTED = "auroc"
"""The metric that has a test; others have a difference alone."""


LEAST_NESTED = 3
"""Fewest nested folds over which a difference is tested: Student's t is then 4.3."""
Scored = tuple[CellRecord, Score]
Repeat = tuple[int, int]
"""Seed and fold, -1 without folds."""


class Column(NamedTuple):
    """What is scored: the mean of a group of labels of a cohort, or one label."""

    cohort: str
    group: str
    label: str = ""


@dataclass(frozen=True)
class Wanted:
    """Which numbers are compared: the metric, a limit to a cohort, group or label, and the base value."""

    metric: str = TESTED
    where: Mapping[str, str] | None = None
    base: str | None = None
    common: bool = False
    """Compare on the cases that all cells have; otherwise cells with other cases are not compared."""

    @property
    def label(self) -> str:
        """The label that is compared; empty for means of groups."""
        return (self.where or {}).get("label", "")


@dataclass(frozen=True)
class Effect:
    """One value in one setting and column: its mean, the difference to the base, and what is missing."""

    setting: str
    column: Column
    value: str
    entry: Entry
    is_base: bool = False
    difference: float = math.nan
    lo: float = math.nan
    hi: float = math.nan
    p: float = math.nan
    holm: float = math.nan
    bh: float = math.nan
    by_seed: tuple[float, ...] = ()
    """The difference of each seed and fold that both values have."""
    by_fold: tuple[float, ...] = ()
    """With several folds the mean difference of each; what repeats the difference."""
    test: PairedTest | None = None
    """The test over the cases, to which the error over seeds is added; None without one and of nested folds."""
    spread: SeedSpread = UNKNOWN
    """The spread over seeds that is in the interval; with folds over folds."""
    note: str = ""
    """What is missing, and why."""


def effects(varied: Varied, wanted: Wanted) -> list[Effect]:
    """Compute the effect of each value in each setting and column, with p values adjusted over all of them.

    Raises:
        UniferumError: the metric or the base value is unknown, or no cell has such a score.
    """
    base = varied.base(wanted.base)
    scored = [
        {value: _by_column(setting.records(value), wanted) for value in varied.values} for setting in varied.settings
    ]
    columns = {column for of_setting in scored for of_value in of_setting.values() for column in of_value}
    if not columns:
        raise UniferumError("--vary", varied.name, must="have a finished cell that was scored so", cure=_NOTHING)
    made: list[Effect] = []
    for setting, of_setting in zip(varied.settings, scored, strict=True):
        made += _of_setting(setting, of_setting, sorted(columns, key=column_order), base, wanted)
    made = _with_seeds(made)
    p = [one.p for one in made]
    adjusted = zip(made, holm(p), benjamini_hochberg(p), strict=True)
    return [replace(one, holm=float(by_holm), bh=float(by_bh)) for one, by_holm, by_bh in adjusted]


def _with_seeds(made: Sequence[Effect]) -> list[Effect]:
    """Add the error over seeds, or over folds, to the intervals: the spread of differences pooled over a column."""
    tested = [one for one in made if one.test is not None]
    pools = {kind: _pools([one for one in tested if bool(one.by_fold) == kind]) for kind in (False, True)}
    return [_widened(one, pools[bool(one.by_fold)].get(one.column, UNKNOWN)) for one in made]


def _pools(tested: Iterable[Effect]) -> dict[Column, SeedSpread]:
    """The spread of the differences of each column; with too few degrees of freedom that of all columns."""
    of_column: dict[Column, list[tuple[float, int]]] = {}
    for one in tested:
        values = one.by_fold or one.by_seed
        of_column.setdefault(one.column, []).extend([(stdev(values), len(values))] if len(values) > 1 else [])
    whole = replace(pooled(one for of in of_column.values() for one in of), said="pooled over all columns")
    own = {column: replace(pooled(of), said="pooled over its column") for column, of in of_column.items()}
    return {column: one if one.known else whole for column, one in own.items()}


def _widened(one: Effect, spread: SeedSpread) -> Effect:
    if one.test is None or not math.isfinite(one.lo) or not spread.known:
        return one
    repeats = len(one.by_fold or one.by_seed)
    tested = combined(
        one.difference,
        cases=one.test.se,
        of_cases=one.test.freedom,
        seeds=spread.value / math.sqrt(repeats),
        of_seeds=spread.freedom,
    )
    lo, hi = tested.interval()
    return replace(one, lo=lo, hi=hi, p=tested.p, spread=spread)


def _of_setting(
    setting: Setting,
    scored: Mapping[str, Mapping[Column, Mapping[Repeat, Scored]]],
    columns: Sequence[Column],
    base: str,
    wanted: Wanted,
) -> Iterator[Effect]:
    """Effects in one setting by column and value."""
    tables = _Tables(wanted.common)
    for column in columns:
        of_base = scored[base].get(column, {})
        for value, of_value in scored.items():
            mine = of_value.get(column, {})
            entry = averaged([score for _, score in mine.values()]) if mine else Entry()
            one = Effect(
                setting.title, column, value, entry, value == base, note=_missing(setting, value, column, entry)
            )
            yield one if one.is_base or not mine else _compared(one, of_base, mine, wanted.metric, tables)


def _by_column(records: Mapping[Repeat, CellRecord], wanted: Wanted) -> dict[Column, dict[Repeat, Scored]]:
    """The scores of a value's cells by column, seed and fold."""
    layout = Layout(("name",), ("cohort", "group"), wanted.metric, wanted.where)
    layout.check()
    columns: dict[Column, dict[Repeat, Scored]] = {}
    for record, score in measured(list(records.values()), layout):
        columns.setdefault(Column(score.cohort, score.group, score.label), {})[record.repeat] = (record, score)
    return columns


def _compared(
    one: Effect, of_base: Mapping[Repeat, Scored], mine: Mapping[Repeat, Scored], metric: str, tables: "_Tables"
) -> Effect:
    """Add the difference to the base over the seeds and folds that both have, or the reason why there is none."""
    shared = _balanced(of_base.keys() & mine.keys())
    if not shared:
        folded = any(fold >= 0 for _, fold in (*of_base, *mine))
        kind = "seed and fold" if folded else "seed"
        return _noted(one, f"no {kind} in common with the base" if of_base else "the base has no result here")
    if len(shared) != len(of_base.keys() | mine.keys()):
        one = _noted(one, f"difference over {_said_of(shared)}")
    pairs = {at: (of_base[at], mine[at]) for at in shared}
    folds = {(first.folds, second.folds) for (_, first), (_, second) in pairs.values()}
    if any(first != second for first, second in folds) or len({one and one.division for one, _ in folds}) > 1:
        return _noted(one, "not compared: other divisions into folds")
    if any(one is not None and one.nested for one, _ in folds) and len({fold for _, fold in shared}) > 1:
        return _of_nested(one, pairs, metric, tables)
    if metric != TESTED:
        return _repeated(one, shared, [second.value - first.value for (_, first), (_, second) in pairs.values()])
    try:
        made = tables.difference(one.column, *_sides(pairs.values()))
    except UniferumError as error:
        return _noted(one, f"not compared: {error}")
    if made is None:
        return _noted(one, "not compared: no label has both classes")
    one = _noted(one, f"no test: {made.reason}") if made.reason else one
    test, one = made.test, _repeated(one, shared, _by_pair(made))
    return replace(one, difference=test.difference, lo=test.lo, hi=test.hi, p=test.p, test=test)


def _balanced(shared: Iterable[Repeat]) -> list[Repeat]:
    """Seeds and folds that both values have, with as many seeds of each fold."""
    of_fold: dict[int, list[Repeat]] = {}
    for repeat in sorted(shared):
        of_fold.setdefault(repeat[1], []).append(repeat)
    least = min(map(len, of_fold.values()), default=0)
    return [repeat for _, own in sorted(of_fold.items()) for repeat in own[:least]]


def _said_of(repeats: Sequence[Repeat]) -> str:
    """``seeds 0, 2``, or with folds ``folds 0, 1 (seed 0)``."""
    seeds, folds = ([*dict.fromkeys(one[at] for one in repeats)] for at in (0, 1))
    said = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return said if folds == [-1] else f"fold{'s' * (len(folds) > 1)} {', '.join(map(str, folds))} ({said})"


def _sides(pairs: Iterable[tuple[Scored, Scored]]) -> tuple[list[CellRecord], list[CellRecord]]:
    """The cells of the base, and those of the value."""
    first, second = zip(*(((one[0], other[0])) for one, other in pairs), strict=True)
    return list(first), list(second)


def _by_pair(made: Difference) -> list[float]:
    half = len(made.means) // 2
    return [b - a for a, b in zip(made.means[:half], made.means[half:], strict=True)]


def _repeated(one: Effect, shared: Sequence[Repeat], by_seed: Sequence[float]) -> Effect:
    """Add the differences of pairs, and with several folds the mean of each."""
    of_fold: dict[int, list[float]] = {}
    for (_, fold), difference in zip(shared, by_seed, strict=True):
        of_fold.setdefault(fold, []).append(difference)
    folds = tuple(map(fmean, of_fold.values())) if len(of_fold) > 1 else ()
    return replace(one, difference=fmean(folds or by_seed), by_seed=tuple(by_seed), by_fold=folds)


def _of_nested(one: Effect, pairs: Mapping[Repeat, tuple[Scored, Scored]], metric: str, tables: "_Tables") -> Effect:
    """The difference over nested folds, which have other test cases each, with the interval of Student."""
    by_seed: list[float] = []
    for fold in dict.fromkeys(fold for _, fold in pairs):
        own = [pair for at, pair in pairs.items() if at[1] == fold]
        if metric != TESTED:
            by_seed += [second.value - first.value for (_, first), (_, second) in own]
            continue
        try:
            made = tables.difference(one.column, *_sides(own))
        except UniferumError as error:
            return _noted(one, f"fold {fold} not compared: {error}")
        if made is None:
            return _noted(one, f"not compared: no label of fold {fold} has both classes")
        by_seed += _by_pair(made)
    one = _repeated(one, list(pairs), by_seed)
    folds = len(one.by_fold)
    if metric != TESTED or folds < LEAST_NESTED:
        return one if metric != TESTED else _noted(one, f"no test: {folds} nested folds")
    tested = Tested(one.difference, stdev(one.by_fold) / math.sqrt(folds), folds - 1)
    lo, hi = tested.interval()
    return replace(one, lo=lo, hi=hi, p=tested.p)


class _Tables:
    """Predictions of the cells of a setting; each file is read once."""

    def __init__(self, common: bool) -> None:
        self.common = common
        self._read: dict[str, pd.DataFrame] = {}

    def difference(
        self, column: Column, first: Sequence[CellRecord], second: Sequence[CellRecord]
    ) -> Difference | None:
        """Test the mean of some cells against that of others.

        Raises:
            UniferumError: the cells were scored on different cases or targets, or a file is unreadable.
        """
        cases = align({cell.name: self._part(cell, column) for cell in (*first, *second)}, common=self.common)
        sides = range(len(first)), range(len(first), len(first) + len(second))
        if not column.label:
            return group_difference(cases, (column.cohort, column.group), sides)
        return label_difference(cases[column], sides) if column in cases else None

    def _part(self, cell: CellRecord, column: Column) -> pd.DataFrame:
        if cell.name not in self._read:
            self._read[cell.name] = cell.predictions(NEEDED)
        table = self._read[cell.name]
        chosen = (table["cohort"] == column.cohort) & (table["group"] == column.group)
        return table.loc[chosen & (table["label"] == column.label)] if column.label else table.loc[chosen]


def _missing(setting: Setting, value: str, column: Column, entry: Entry) -> str:
    """Why a value has no number, or which of its cells have none."""
    pending = [
        f"seed {one.seed}{f' fold {one.folds.index}' if one.folds else ''} {one.reason}"
        for one in setting.pending(value)
    ]
    if entry.known:
        return "; ".join(pending)
    records = setting.records(value).values()
    if not records:
        return "; ".join(pending) or "no such cell"
    absent = any(column.cohort in one.untested for one in records)
    return "; ".join([entry.missing or (f"data absent: {column.cohort}" if absent else "not evaluated"), *pending])


def _noted(one: Effect, note: str) -> Effect:
    return replace(one, note="; ".join(text for text in (one.note, note) if text))


_NOTHING = "score the cells first, or change --metric, --cohort, --group and --label"
