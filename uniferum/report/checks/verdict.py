"""Compare each number with the paper's: difference, interval and a verdict.

``reproduced``: the 95 % interval lies inside the published value plus or minus the margin of the grid file.
``differs``: it lies outside. ``inconclusive``: it overlaps the edge; the number of cases or seeds that would decide is
printed. ``missing``: no number. ``not comparable``: phantoms, another split or another label list
(:mod:`uniferum.report.checks.comparability`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import norm

from uniferum.report.checks.comparability import UNKNOWN, Comparison, JudgedColumn, compare
from uniferum.report.checks.margins import Margins
from uniferum.report.records import CellRecord
from uniferum.report.tables.entries import Entry, Key, ReportTable
from uniferum.report.tables.rendering import row_names
from uniferum.report.tables.sheet import Sheet
from uniferum.systems import trained_by_paper

UNKNOWN_CURE = (
    "A record without its split was written by an older version. Run uniferum data prepare again, which writes the "
    "split into the store; then report with --grid, which reads it there if the test scans are the same."
)
WORDS = ("reproduced", "differs", "inconclusive", "missing", "not comparable")


@dataclass(frozen=True)
class Verdict:
    """The verdict on one number; ``because`` gives the reason."""

    row: Key
    column: Key
    published: float
    value: float
    lo: float
    hi: float
    margin: float | None
    word: str
    because: str

    @property
    def difference(self) -> float:
        """Ours minus the paper's."""
        return self.value - self.published


def judge(table: ReportTable, agreement: Margins, records: Sequence[CellRecord] = ()) -> list[Verdict]:
    """Judge every number of a table for which the paper has a number of the same model.

    The margin of a label (``COHORT label``) is used if there is one, otherwise that of the metric. The records give the
    test split of each number; without its record a number is of an unknown split.
    """
    verdicts, cells = [], {record.name: record for record in records}
    for key in ((row, column) for row in table.rows for column in table.columns):
        entry = table.entries[key]
        facts = dict(zip((*table.row_facts, *table.column_facts), (*key[0], *key[1]), strict=True))
        if (math.isfinite(entry.published) or entry.apart) and trained_by_paper(facts.get("model", "")):
            row = tuple(facts.get(name, "") for name in ("model", "text_encoder", "train_on"))
            column = (facts["cohort"], facts.get("label") or facts["group"])
            shown = [cells[name] for name in entry.cells if name in cells]
            compared = compare(judged_column(facts, entry), shown, agreement)
            verdicts.append(_judged(row, column, entry, agreement.margin(table.metric, *column), compared))
    return verdicts


def judged_column(facts: Mapping[str, str], entry: Entry) -> JudgedColumn:
    """What a number of a table measures."""
    counts = entry.n_cases, entry.n_labels, entry.n_labels_total
    return JudgedColumn(facts["cohort"], facts.get("group", ""), facts.get("label", ""), *counts)


def _judged(row: Key, column: tuple[str, str], entry: Entry, margin: float | None, compared: Comparison) -> Verdict:
    lo, hi = entry.lo, entry.hi
    word, because = _word(entry, lo, hi, margin, compared.incomparable)
    if word not in ("missing", "not comparable"):
        because = "; ".join((because, *compared.said))
    return Verdict(row, column, entry.published, entry.value, lo, hi, margin, word, because)


def _word(entry: Entry, lo: float, hi: float, margin: float | None, incomparable: str) -> tuple[str, str]:
    if not entry.known:
        return "missing", entry.missing
    if entry.apart:
        return "not comparable", entry.apart
    if incomparable:
        return "not comparable", incomparable
    if margin is None:
        return "inconclusive", "the grid file gives no margin"
    if not math.isfinite(lo):
        return "inconclusive", "no interval: a mean over an axis, or a cell to evaluate again"
    return interval_word(lo, hi, entry.published - margin, entry.published + margin) or (
        "inconclusive",
        _what_decides(entry, lo, hi, margin),
    )


def interval_word(lo: float, hi: float, low: float, high: float) -> tuple[str, str] | None:
    """Compare an interval with a range: inside, outside, or None if it overlaps an edge."""
    if low <= lo and hi <= high:
        return "reproduced", f"the interval lies inside {low:.4f} to {high:.4f}"
    if hi < low or lo > high:
        return "differs", f"the interval lies outside {low:.4f} to {high:.4f}"
    return None


def _what_decides(entry: Entry, lo: float, hi: float, margin: float) -> str:
    """Estimate the number of cases (or seeds) at which the interval would no longer overlap the edge of the range."""
    distance = abs(margin - abs(entry.value - entry.published))
    half = (hi - lo) / 2
    if distance < 1e-4:
        return "the value lies on the edge of the margin: no number of cases decides"
    cases = math.ceil(round(entry.n_cases * (half / distance) ** 2, 3))
    text = f"about {cases} test volumes would decide (there are {entry.n_cases})"
    if entry.seeds < 2:
        return f"{text}; one seed: the spread over seeds is unknown"
    seeds = math.ceil((float(norm.ppf(0.975)) * entry.spread / distance) ** 2)
    return f"{text}, or, where the spread over seeds dominates, about {max(seeds, 2)} seeds (there are {entry.seeds})"


def verdict_sheet(verdicts: Sequence[Verdict], metric: str) -> Sheet:
    """Make the table of verdicts; below it, the count of each verdict."""
    rows = [
        [
            *row_names(one.row),
            " ".join(one.column),
            *(_shown(x) for x in (one.published, one.value)),
            _shown(one.difference, signed=True),
            f"[{_shown(one.lo)}, {_shown(one.hi)}]" if math.isfinite(one.lo) else "-",
            "-" if one.margin is None else f"±{one.margin:.4f}",
            one.word,
            one.because,
        ]
        for one in verdicts
    ]
    counts = {word: sum(one.word == word for one in verdicts) for word in WORDS}
    headings = ["Model", "Text encoder", "Training data", "Column", "Paper", "Ours", "Difference", "95 %", "Margin"]
    said = [
        f"Of {len(verdicts)} published numbers: " + ", ".join(f"{n} {word}" for word, n in counts.items() if n) + "."
    ]
    if not verdicts:
        said = ["not comparable: the paper has no number of these systems."]
    said += [UNKNOWN_CURE] if any(UNKNOWN in one.because for one in verdicts) else []
    return Sheet(f"Verdict on {metric.upper()}", [*headings, "Verdict", "Because"], rows, said, words=4)


def _shown(value: float, *, signed: bool = False) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:+.4f}" if signed else f"{value:.4f}"
