"""The effect of an axis or a config key: the metric of each value, and its difference to a base value.

Cells are compared if they differ in this value and the seed alone. AUROCs are averaged over the seeds that both values
have, and tested on the same cases as two cells are (:mod:`uniferum.report.checks.compare`): the components of DeLong's
variance are averaged over the seeds too. So the interval is that of the test cases, for the seeds that were trained.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import NamedTuple

import pandas as pd

from uniferum.errors import UniferumError
from uniferum.evaluation.comparison import Difference, align, group_difference, label_difference
from uniferum.evaluation.multiple_testing import benjamini_hochberg, holm
from uniferum.report.axes import Setting, Varied
from uniferum.report.checks.compare import NEEDED
from uniferum.report.records import CellRecord, Score
from uniferum.report.tables.entries import Entry
from uniferum.report.tables.naming import titled
from uniferum.report.tables.paper import COLUMNS, averaged
from uniferum.report.tables.pivot import METRICS, Layout, measured
from uniferum.report.tables.rounded import Rounded, bounds, shown_p, signed
from uniferum.report.tables.sheet import Sheet

SHORT = {"auroc": "AUROC", "aupr": "AUPR"}
TESTED = "auroc"
"""The metric that has a test; others have a difference alone."""


Scored = tuple[CellRecord, Score]


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
    """The difference of each seed that both values have."""
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
        made += _of_setting(setting, of_setting, sorted(columns, key=_rank), base, wanted)
    p = [one.p for one in made]
    adjusted = zip(made, holm(p), benjamini_hochberg(p), strict=True)
    return [replace(one, holm=float(by_holm), bh=float(by_bh)) for one, by_holm, by_bh in adjusted]


def _of_setting(
    setting: Setting,
    scored: Mapping[str, Mapping[Column, Mapping[int, Scored]]],
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


def _by_column(records: Mapping[int, CellRecord], wanted: Wanted) -> dict[Column, dict[int, Scored]]:
    """The scores of a value's cells by column and seed."""
    layout = Layout(("name",), ("cohort", "group"), wanted.metric, wanted.where)
    layout.check()
    columns: dict[Column, dict[int, Scored]] = {}
    for record, score in measured(list(records.values()), layout):
        columns.setdefault(Column(score.cohort, score.group, score.label), {})[record.seed] = (record, score)
    return columns


def _compared(
    one: Effect, of_base: Mapping[int, Scored], mine: Mapping[int, Scored], metric: str, tables: "_Tables"
) -> Effect:
    """Add the difference to the base over the seeds that both have, or the reason why there is none."""
    shared = sorted(of_base.keys() & mine.keys())
    if not shared:
        return _noted(one, "no seed in common with the base" if of_base else "the base has no result here")
    if shared != sorted(of_base.keys() | mine.keys()):
        one = _noted(one, f"difference over seed{'s' * (len(shared) > 1)} {', '.join(map(str, shared))}")
    if metric != TESTED:
        by_seed = tuple(mine[seed][1].value - of_base[seed][1].value for seed in shared)
        return replace(one, difference=fmean(by_seed), by_seed=by_seed)
    first, second = ([side[seed][0] for seed in shared] for side in (of_base, mine))
    try:
        made = tables.difference(one.column, first, second)
    except UniferumError as error:
        return _noted(one, f"not compared: {error}")
    if made is None:
        return _noted(one, "not compared: no label has both classes")
    by_seed = tuple(b - a for a, b in zip(made.means[: len(shared)], made.means[len(shared) :], strict=True))
    test = made.test
    one = _noted(one, f"no test: {made.reason}") if made.reason else one
    return replace(one, difference=test.difference, lo=test.lo, hi=test.hi, p=test.p, by_seed=by_seed)


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
    pending = [f"seed {one.seed} {one.reason}" for one in setting.pending(value)]
    if entry.known:
        return "; ".join(pending)
    records = setting.records(value).values()
    if not records:
        return "; ".join(pending) or "no such cell"
    absent = any(column.cohort in one.untested for one in records)
    return "; ".join([entry.missing or (f"data absent: {column.cohort}" if absent else "not evaluated"), *pending])


def _noted(one: Effect, note: str) -> Effect:
    return replace(one, note="; ".join(text for text in (one.note, note) if text))


def _rank(column: Column) -> tuple[object, ...]:
    order = COLUMNS.index(column[:2]) if column[:2] in COLUMNS else len(COLUMNS)
    return order, *column


def effect_sheet(varied: Varied, computed: Sequence[Effect], wanted: Wanted) -> Sheet:
    """Make the table of effects."""
    base = varied.base(wanted.base)
    labels = any(one.column.label for one in computed)
    name = SHORT.get(wanted.metric, METRICS[wanted.metric])
    headings = ["Cells", "Cohort", "Group", *(["Label"] if labels else []), varied.name]
    words = len(headings)
    headings += ["Seeds", "Cases", name, "Difference", "95 %", "p", "p (Holm)", "p (Benjamini-Hochberg)"]
    headings += ["By seed", "Note"]
    rows = [[*_facts(one, labels), *_numbers(one), one.note or "-"] for one in computed]
    sheet = Sheet(
        f"Effect of {varied.name} on {name}", headings, rows, _said(varied, computed, wanted, base), words=words
    )
    records = [one for setting in varied.settings for same in setting.cells.values() for one in same]
    return titled(sheet, records)


def _facts(one: Effect, labels: bool) -> list[str]:
    return [one.setting, *one.column[: 3 if labels else 2], one.value]


def _numbers(one: Effect) -> list[str]:
    entry = one.entry
    spread = f" ±{entry.spread:.4f}" if math.isfinite(entry.spread) else ""
    tested = [one.p, one.holm, one.bh]
    low, high = min(one.by_seed, default=math.nan), max(one.by_seed, default=math.nan)
    return [
        str(entry.seeds or "-"),
        str(entry.n_cases or "-"),
        Rounded(f"{entry.value:.4f}{spread}", repr(entry.value)) if entry.known else "-",
        "base" if one.is_base else signed(one.difference),
        bounds(one.lo, one.hi, "+.4f"),
        *map(shown_p, tested),
        f"{signed(low)} to {signed(high)}" if len(one.by_seed) > 1 else "-",
    ]


def _said(varied: Varied, computed: Sequence[Effect], wanted: Wanted, base: str) -> list[str]:
    chosen = "" if wanted.base else " (the first value; --base VALUE takes another)"
    lines = [f"Base: {varied.name}={base}{chosen}. A row's cells differ from the base in {varied.name} alone."]
    mean = "Values: mean over the seeds, ± their standard deviation. By seed: the least and largest difference"
    lines.append(f"{mean} of cells of one seed.")
    tests = sum(math.isfinite(one.p) for one in computed)
    if wanted.metric != TESTED:
        lines.append("Only AUROC has a paired test; other metrics have the difference alone.")
    elif tests:
        unit = "DeLong's components, summed within each patient (Obuchowski 1997), Student's t"
        cases = "those that all cells have" if wanted.common else "the same for all cells of a row and its base"
        lines.append(f"Test: {unit}, averaged over the seeds that both values have; the test cases are {cases}.")
        lines.append("Interval and p are over the test cases, for these trained seeds: other seeds may differ more.")
        lines.append(f"Two-sided, 95 %. Adjusted within {tests} differences.")
    if varied.single:
        lines.append(f"Not compared, as no other cell differs in {varied.name} alone: {', '.join(varied.single)}.")
    waiting = [one for s in varied.settings for value in varied.values for one in s.pending(value) if one.command]
    return [*lines, *(f"{one.name}: {one.reason}; run: {one.command}" for one in waiting)]


_NOTHING = "score the cells first, or change --metric, --cohort, --group and --label"
