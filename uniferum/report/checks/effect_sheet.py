"""The table of effects: each value with its difference to the base, and what its numbers mean."""

import math
from collections.abc import Sequence

from uniferum.report.axes import UNVARIED, Varied
from uniferum.report.checks.effects import SHORT, TESTED, Effect, Wanted
from uniferum.report.tables.naming import titled
from uniferum.report.tables.pivot import METRICS
from uniferum.report.tables.rounded import Rounded, bounds, shown_p, signed
from uniferum.report.tables.sheet import Sheet


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
        f"{entry.seeds} x {entry.folds} folds" if entry.folds_total else str(entry.seeds or "-"),
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
    if UNVARIED in varied.values:
        lines.append(f"{varied.name}={UNVARIED}: the cells without a value of {varied.name}, at the grid's defaults.")
    mean = "Values: mean over the seeds, ± their standard deviation. By seed: the least and largest difference"
    folds = any(one.entry.folds_total for one in computed)
    lines.append(f"{mean} of cells of one seed{' and fold' if folds else ''}.")
    if folds:
        lines.append("Folds are paired, each with itself; the seeds of a fold are averaged first.")
    tests = sum(math.isfinite(one.p) for one in computed)
    if wanted.metric != TESTED:
        lines.append("Only AUROC has a paired test; other metrics have the difference alone.")
    elif tests:
        unit = "DeLong's components, summed within each patient (Obuchowski 1997), Student's t"
        cases = "those that all cells have" if wanted.common else "the same for all cells of a row and its base"
        lines.append(f"Test: {unit}, averaged over the seeds that both values have; the test cases are {cases}.")
        lines += [*_errors_said(computed), f"Two-sided, 95 %. Adjusted within {tests} differences."]
    if varied.single:
        lines.append(f"Not compared, as no other cell differs in {varied.name} alone: {', '.join(varied.single)}.")
    waiting = [one for s in varied.settings for value in varied.values for one in s.pending(value) if one.command]
    return [*lines, *(f"{one.name}: {one.reason}; run: {one.command}" for one in waiting)]


def _errors_said(computed: Sequence[Effect]) -> list[str]:
    """Which errors the intervals contain."""
    tested = [one for one in computed if math.isfinite(one.lo)]
    lines = []
    for folds in (False, True):
        known = [one for one in tested if one.spread.known and bool(one.by_fold) == folds]
        if known:
            over = "folds" if folds else "seeds"
            said = "; ".join(dict.fromkeys(one.spread.said for one in known))
            lines.append(
                f"Interval and p: errors over the test cases and over {over}; of {over}, by the spread of their "
                f"differences ({said})."
            )
    if any(one.test is not None and not one.spread.known for one in tested):
        lines.append(
            "The spread over seeds is unknown: interval and p are over the test cases, for these trained seeds."
        )
    if any(one.test is None for one in tested):
        lines.append(
            "Nested folds have other test cases each: interval and p are Student's, over the folds' differences."
        )
    return lines
