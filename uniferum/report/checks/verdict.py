"""Is this a reproduction? Each number beside the paper's: difference, interval, and one word.

``reproduced``: the 95 % interval lies inside the published value plus or minus the margin that the grid file gave
before the run. ``differs``: it lies outside. ``inconclusive``: it does neither; how many cases or seeds would decide is
said. ``missing``: no number. ``not comparable``: phantoms, another split or another label list
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
    "A record that does not say which split it is of is older than that: run uniferum data prepare again, which writes "
    "it into the store, and report with --grid, which reads it there where the test scans are the very same."
)
WORDS = ("reproduced", "differs", "inconclusive", "missing", "not comparable")


@dataclass(frozen=True)
class Verdict:
    """One judged number; ``because`` says what the word rests on."""

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
    """A verdict for every place of a table that the paper has a number for, and no other model's.

    A place of a table of labels is judged by the margin of its label (``COHORT label``), else by the metric's. The
    records say what each number rests on; a number whose record is not among them is of an unknown split.
    """
    found, cells = [], {record.name: record for record in records}
    for place in ((row, column) for row in table.rows for column in table.columns):
        entry = table.entries[place]
        facts = dict(zip((*table.row_facts, *table.column_facts), (*place[0], *place[1]), strict=True))
        if (math.isfinite(entry.published) or entry.apart) and trained_by_paper(facts.get("model", "")):
            row = tuple(facts.get(name, "") for name in ("model", "text_encoder", "train_on"))
            column = (facts["cohort"], facts.get("label") or facts["group"])
            shown = [cells[name] for name in entry.cells if name in cells]
            compared = compare(place_of(facts, entry), shown, agreement)
            found.append(_judged(row, column, entry, agreement.margin(table.metric, *column), compared))
    return found


def place_of(facts: Mapping[str, str], entry: Entry) -> JudgedColumn:
    """What a place of a table is of."""
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
        return "inconclusive", "no interval is stored; evaluate the cell again"
    return interval_word(lo, hi, entry.published - margin, entry.published + margin) or (
        "inconclusive",
        _what_decides(entry, lo, hi, margin),
    )


def interval_word(lo: float, hi: float, low: float, high: float) -> tuple[str, str] | None:
    """Where an interval lies against a range: inside, outside, or ``None`` for neither."""
    if low <= lo and hi <= high:
        return "reproduced", f"the interval lies inside {low:.4f} to {high:.4f}"
    if hi < low or lo > high:
        return "differs", f"the interval lies outside {low:.4f} to {high:.4f}"
    return None


def _what_decides(entry: Entry, lo: float, hi: float, margin: float) -> str:
    """The cases, and with several seeds the seeds, at which the interval would clear the nearer edge of the range."""
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
    """Verdicts as people read them, with a count of each word below."""
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
